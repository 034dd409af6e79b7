//! Files of messages, as front ends see them.

use conclave_proto::id::{ChatId, MessageId};

use super::Person;

/// Where a file of a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachmentState {
    /// On the server; nobody asked for it here.
    Remote,
    /// On its way to the server; its message goes out when all its files are there.
    Uploading,
    /// On its way here.
    Loading,
    /// Here, sealed in the profile's folder.
    Loaded,
    /// It did not come; the reason says why.
    Failed,
}

impl AttachmentState {
    /// The stable name: `remote`, `uploading`, `loading`, `loaded`, `failed`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Remote => "remote",
            Self::Uploading => "uploading",
            Self::Loading => "loading",
            Self::Loaded => "loaded",
            Self::Failed => "failed",
        }
    }
}

/// One file of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its message.
    pub message: MessageId,
    /// Its place there, from 1.
    pub number: u32,
    /// Its chat.
    pub chat: ChatId,
    /// Who sent it.
    pub from: Person,
    /// Whether this account did.
    pub own: bool,
    /// Its name, made safe to show and to write to (C-192).
    pub name: String,
    /// What it is, as its sender says.
    pub media_type: String,
    /// Bytes of its content.
    pub length: u64,
    /// Where it is.
    pub state: AttachmentState,
    /// Bytes that moved, of `bytes_total`: a little more than its content.
    pub bytes_done: u64,
    /// Bytes that have to move.
    pub bytes_total: u64,
    /// Why it waits or failed; empty else.
    pub reason: String,
}

/// What was made room of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Files that were removed.
    pub files: u64,
    /// Bytes that they had on this disk.
    pub bytes: u64,
}
