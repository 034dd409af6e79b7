//! One-time codes: how they are made, hidden from the database, kept until they are sent, and sent.
//!
//! A code follows from the pepper and its challenge id, so neither a resend nor the durable outbox
//! needs a stored code; the database holds a MAC under the pepper, which lies outside it (C-043).

mod code;
mod console;
mod http;
pub(crate) mod outbox;
mod reach;
mod sender;
mod setup;
mod smtp;

pub(crate) use code::{code_for, code_mac, identifier_hash, open_identifier, seal_identifier};
pub use code::{invite_hash, new_invite};
pub use console::ConsoleSender;
pub use http::HttpSender;
pub(crate) use reach::tls;
pub use sender::{CodeMessage, Leaving, SendError, SendFuture, Sender, Senders};
pub use setup::{SetupError, senders};
pub use smtp::SmtpSender;
