//! How a profile comes to an account, and how it stands with its server.

use super::{LinkShown, Whoami};

/// How far a profile is on its way to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setup {
    /// Nothing was begun, or what was begun is over.
    Empty,
    /// A code was asked for.
    CodeSent {
        /// Where it went: a phone number or e-mail address.
        identifier: String,
        /// The server's `conclave://` address.
        server: String,
    },
    /// A link is shown and good.
    Linking {
        /// What to show.
        shown: LinkShown,
        /// The server's `conclave://` address.
        server: String,
    },
    /// There is an account.
    Open(Whoami),
}

/// How this device stands with its server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// Whether it is connected and everything that came was read.
    pub is_online: bool,
    /// Whether this device is none of the account's any more.
    pub is_removed: bool,
    /// Messages and receipts that the server has not accepted yet.
    pub queued: u64,
    /// Why there is no connection: a sentence; empty while there is one, and before the first try ended.
    pub trouble: String,
}

/// Something front ends show that may be another now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touched {
    /// A chat: its row, its settings, who is in it.
    Chat(conclave_proto::id::ChatId),
    /// A message of a chat: it came, changed, or is gone.
    Message(conclave_proto::id::ChatId, conclave_proto::id::MessageId),
    /// Somebody's name, picture, or how far they are trusted.
    People,
    /// The account's devices.
    Devices,
    /// Settings of the profile, or what it shows of itself.
    Settings,
}
