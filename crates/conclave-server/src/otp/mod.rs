//! One-time codes: how they are made, hidden from the database, and handed to a sender.
//!
//! A code follows from the pepper and its challenge id, so a resend needs no stored code; the
//! database holds a MAC under the pepper, which lies outside it (C-043).

mod code;
mod console;
mod queue;
mod sender;

pub(crate) use code::{code_for, code_mac, identifier_hash, open_identifier, seal_identifier};
pub use code::{invite_hash, new_invite};
pub use console::ConsoleSender;
pub(crate) use queue::CodeQueue;
pub use sender::{CodeMessage, SendError, SendFuture, Sender};
