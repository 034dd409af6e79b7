//! What stands around a message: what it answers, who is named, what people did to it.

use conclave_proto::id::{ChatId, DeviceId};

use super::{AttachmentInfo, ContactCard, Mention, MessageRef, Person};

/// The message that another one answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The answered message.
    pub to: MessageRef,
    /// Who wrote it.
    pub from: Person,
    /// How it begins, at most 120 characters; empty when it is gone or was never here.
    pub text: String,
    /// Whether it is here and was not deleted.
    pub is_here: bool,
}

/// A person named in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mentioned {
    /// First byte of the text that names them.
    pub start: usize,
    /// Bytes of it; both ends on characters of the text.
    pub length: usize,
    /// Who is meant.
    pub person: Person,
    /// Whether it is this account.
    pub own: bool,
}

/// An emoji that somebody put on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    /// Who.
    pub from: Person,
    /// Whether it is this account.
    pub own: bool,
    /// The emoji, at most 32 bytes.
    pub emoji: String,
}

/// What a message said at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The text.
    pub text: String,
    /// When it was written, ms since 1970-01-01 UTC.
    pub ts_ms: u64,
}

/// How far one device has received and read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceMark {
    /// Whose device.
    pub person: Person,
    /// The device.
    pub device: DeviceId,
    /// Whether it said that it has the message.
    pub delivered: bool,
    /// Whether it said that the message was read there.
    pub read: bool,
}

/// What somebody did to a chat or to a message in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Other words.
    Edited,
    /// An emoji was put on it or taken back.
    Reacted,
    /// Taken away from everybody.
    Deleted,
    /// Held up.
    Pinned,
    /// Held up no longer.
    Unpinned,
}

impl Change {
    /// The stable name: `edited`, `reacted`, `deleted`, `pinned`, `unpinned`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Reacted => "reacted",
            Self::Deleted => "deleted",
            Self::Pinned => "pinned",
            Self::Unpinned => "unpinned",
        }
    }

    /// The change with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Edited,
            Self::Reacted,
            Self::Deleted,
            Self::Pinned,
            Self::Unpinned,
        ]
        .into_iter()
        .find(|change| change.name() == name)
    }
}

/// How long messages stay in a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// The chat.
    pub chat: ChatId,
    /// Seconds after reading, or after sending for own messages; 0 = they stay.
    pub seconds: u32,
    /// Who set it; `None` when nobody ever did.
    pub by: Option<Person>,
}

/// What somebody shows of themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Who.
    pub person: Person,
    /// A JPEG of at most 256 pixels a side; `None` when they show none.
    pub picture: Option<Vec<u8>>,
}

/// What a message is sent with beside its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SendMore {
    /// The message that this one answers, of the same chat.
    pub reply_to: Option<MessageRef>,
    /// People named in the text, in its order.
    pub mentions: Vec<Mention>,
    /// Files that are on the server.
    pub attachments: Vec<AttachmentInfo>,
    /// Somebody's address, passed on.
    pub contact: Option<ContactCard>,
}
