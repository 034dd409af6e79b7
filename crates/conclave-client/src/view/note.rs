//! Notes of a chat: what happened there that is no message.

use conclave_proto::id::ChatId;

use super::{Message, Person};

/// What a note tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoteKind {
    /// This account made the group on this device.
    Created,
    /// Somebody was brought into the group; the value is `link` when this device let them in by the group's link.
    Added,
    /// This account was brought into the group.
    Joined,
    /// Somebody was taken out.
    Removed,
    /// Somebody left by themselves.
    Left,
    /// The group has another name: the value.
    Renamed,
    /// Somebody has another role: the value, as [`super::GroupRole::name`] says it.
    Role,
    /// The group has a link, or another one.
    LinkMade,
    /// The group's link is valid no more.
    LinkRevoked,
    /// The group broke and goes on in a new conversation.
    Continued,
    /// Somebody broke the group, which goes on without them; the value says how, see [`Offence::name`].
    PutOut,
    /// Somebody's identity key was replaced by one that the old key signed for.
    KeyRotated,
    /// Of a newer version of this program.
    Unknown,
}

impl NoteKind {
    const ALL: [Self; 13] = [
        Self::Created,
        Self::Added,
        Self::Joined,
        Self::Removed,
        Self::Left,
        Self::Renamed,
        Self::Role,
        Self::LinkMade,
        Self::LinkRevoked,
        Self::Continued,
        Self::PutOut,
        Self::KeyRotated,
        Self::Unknown,
    ];

    /// The stable name: `created`, `added`, `joined`, `removed`, `left`, `renamed`, `role`, `link_made`,
    /// `link_revoked`, `continued`, `put_out`, `key_rotated`, `unknown`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Added => "added",
            Self::Joined => "joined",
            Self::Removed => "removed",
            Self::Left => "left",
            Self::Renamed => "renamed",
            Self::Role => "role",
            Self::LinkMade => "link_made",
            Self::LinkRevoked => "link_revoked",
            Self::Continued => "continued",
            Self::PutOut => "put_out",
            Self::KeyRotated => "key_rotated",
            Self::Unknown => "unknown",
        }
    }

    /// The kind with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How somebody broke a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Offence {
    /// A commit that nobody can process.
    Garbage,
    /// The next epoch was registered under keys that it does not have.
    WrongKeys,
    /// What their role, or anybody's, does not allow.
    NotAllowed,
    /// A member, or somebody else's commit, was forged.
    Forged,
}

impl Offence {
    /// The stable name: `garbage`, `wrong_keys`, `not_allowed`, `forged`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Garbage => "garbage",
            Self::WrongKeys => "wrong_keys",
            Self::NotAllowed => "not_allowed",
            Self::Forged => "forged",
        }
    }
}

/// Something that happened in a chat beside messages. Never unread, never counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Names this note on this device.
    pub id: i64,
    /// Its chat.
    pub chat: ChatId,
    /// What the group is called now; empty in a chat of two.
    pub group: String,
    /// What happened.
    pub kind: NoteKind,
    /// Who did it; `None` when nobody is named.
    pub by: Option<Person>,
    /// Whether that is this account.
    pub is_by_own: bool,
    /// Whom it is about; `None` when it is about the group.
    pub about: Option<Person>,
    /// Whether that is this account.
    pub is_about_own: bool,
    /// A name, a role or how; see [`NoteKind`].
    pub value: String,
    /// Its entry in the conversation's log, or the last one read before; `None` when there was no conversation.
    pub seq: Option<u64>,
    /// Whether a listener was told, or none has to be: the person did it on this device.
    pub is_told: bool,
    /// When this device learned of it, ms since 1970-01-01 UTC.
    pub ts_ms: u64,
}

/// One row of a chat's history.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all rows are messages; boxing them would cost each of them"
)]
pub enum Moment {
    /// Somebody wrote.
    Message(Message),
    /// Something else happened.
    Note(Note),
}
