//! The table of targets.

use crate::{archive, chat, classic, core, link, proto, seeds, server};

/// One reader of outside bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its corpus folder.
    pub name: &'static str,
    /// Reads any bytes; panics when a promise breaks.
    pub run: fn(&[u8]),
    /// Inputs to begin a search with, made from real objects.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

const fn entry(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Target {
    Target { name, run, seeds }
}

/// All of them, sorted by name.
pub const TARGETS: &[Target] = &[
    entry("account_state", proto::account_state, seeds::account_states),
    entry("address", proto::address, seeds::addresses),
    entry("apply_commit", chat::apply_commit, seeds::commits),
    entry("archive", archive::archive, archive::archives),
    entry("at_rest", core::at_rest, seeds::wrapped_keys),
    entry("attachment", core::attachment, core::attachments),
    entry("classic_key", classic::key, classic::keys),
    entry("classic_line", classic::line, classic::lines),
    entry("commit_entry", proto::commit_entry, seeds::commit_entries),
    entry("content", core::content, seeds::contents),
    entry("content_sealed", chat::content_sealed, seeds::contents),
    entry("context", link::context, link::contexts),
    entry("credential", core::credential, seeds::credentials),
    entry("device_cert", proto::device_cert, seeds::device_certs),
    entry("device_link", link::device_link, link::device_links),
    entry("entry", proto::entry, seeds::entries),
    entry("frame", proto::frame, seeds::frames),
    entry("group_link", link::group_link, link::group_links),
    entry("head", proto::head, seeds::heads),
    entry("hello", proto::hello, seeds::hellos),
    entry("http", server::http, server::http_heads),
    entry("id", proto::id, seeds::ids),
    entry("identifier", proto::identifier, seeds::identifiers),
    entry("identity_key", proto::identity_key, seeds::identity_keys),
    entry("inbox_item", core::inbox_item, seeds::inbox_items),
    entry("intro", core::intro, seeds::intros),
    entry("join", chat::join, seeds::joins),
    entry("key_export", core::key_export, seeds::key_exports),
    entry("key_package", chat::key_package, seeds::key_packages),
    entry("link_offer", link::link_offer, link::link_offers),
    entry("link_slot", link::link_slot, link::link_slots),
    entry("open", chat::open, seeds::messages),
    entry("reply", proto::reply, seeds::replies),
    entry("request", proto::request, seeds::requests),
    entry("safety_number", core::safety_number, seeds::safety_numbers),
    entry("sealed_blob", core::sealed_blob, seeds::sealed_blobs),
    entry("server_config", server::settings, server::server_configs),
    entry("state_chain", core::state_chain, seeds::state_chains),
    entry("websocket", server::websocket, server::websockets),
    entry(
        "welcome_pointer",
        core::welcome_pointer,
        seeds::welcome_pointers,
    ),
];

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
