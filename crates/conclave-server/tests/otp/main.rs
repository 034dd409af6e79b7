//! Codes on their way: the real senders and the real program against real mail and web servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod mail;
mod mail_server;
mod outbox;
#[path = "../postgres_support/mod.rs"]
mod postgres_support;
#[allow(dead_code, reason = "the tests with faults use the rest")]
#[path = "../world/program.rs"]
mod program;
mod receiver;
#[allow(dead_code, reason = "the router's own tests use the rest")]
#[path = "../api/support.rs"]
mod support;
mod webhook;

use std::sync::atomic::{AtomicU32, Ordering};

use conclave_proto::identifier::Identifier;
use conclave_server::otp::{CodeMessage, Leaving, SendFuture};
use conclave_server::store::SendId;

/// Counts how often a code was about to leave.
#[derive(Default)]
pub(crate) struct Notes(AtomicU32);

impl Notes {
    pub(crate) fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Leaving for Notes {
    fn note(&self) -> SendFuture<'_> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A code for `to`, valid for ten minutes.
pub(crate) fn message(to: &str) -> CodeMessage {
    CodeMessage {
        send_id: SendId([0xa7; 16]),
        identifier: Identifier::parse_normalised(to).unwrap(),
        code: "KX4TQ9ZW".to_owned(),
        expires_ms: 1_800_000_600_000,
        now_ms: 1_800_000_000_000,
    }
}

/// Root, certificate and key files for `localhost` in a folder.
pub(crate) fn certificate(folder: &std::path::Path) -> [String; 3] {
    let root_key = rcgen::KeyPair::generate().unwrap();
    let mut root = rcgen::CertificateParams::default();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf
        .signed_by(&key, &rcgen::Issuer::new(root, root_key))
        .unwrap();
    let files = [
        ("root.pem", root_pem),
        ("leaf.pem", leaf.pem()),
        ("key.pem", key.serialize_pem()),
    ];
    files.map(|(name, pem)| {
        let path = folder.join(name);
        std::fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    })
}
