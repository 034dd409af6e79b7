//! What front ends are shown: plain rows, no keys, nothing that can change state.

pub use conclave_core::content::{AttachmentInfo, ContactCard, Mention, MessageRef};
use conclave_proto::id::{AccountId, ChatId, DeviceId, MessageId};

mod file;
mod note;
mod setup;
mod talk;

pub use file::{Attachment, AttachmentState, Pruned};
pub use note::{Moment, Note, NoteKind, Offence};
pub use setup::{Connection, Setup, Touched};
pub use talk::{Change, DeviceMark, Mentioned, Profile, Reaction, Reply, SendMore, Timer, Version};

/// How far an own message got, or what a received one is. Never conflated, only moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageState {
    /// On this disk only.
    Queued,
    /// Synced to the server's disk.
    Accepted,
    /// One of the recipient's devices has it.
    Delivered,
    /// The recipient has read it.
    Read,
    /// It could not be sent; the reason says why and what to do.
    Failed,
    /// Somebody else's message.
    Received,
}

impl MessageState {
    /// The stable name: `queued`, `accepted`, `delivered`, `read`, `failed`, `received`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Accepted => "accepted",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed => "failed",
            Self::Received => "received",
        }
    }

    /// The state with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Queued,
            Self::Accepted,
            Self::Delivered,
            Self::Read,
            Self::Failed,
            Self::Received,
        ]
        .into_iter()
        .find(|state| state.name() == name)
    }
}

/// How much of the past a new device gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryScope {
    /// Everything, up to what one file holds; the newest then.
    All,
    /// The last so many days.
    Days(u32),
    /// Nothing.
    Nothing,
}

/// History on its way between two devices of this account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryProgress {
    /// Whether it comes to this device.
    pub is_incoming: bool,
    /// Bytes that the server has, or that were taken in.
    pub bytes_done: u64,
    /// Bytes in all.
    pub bytes_total: u64,
    /// Messages in it, or taken in so far that were not here yet.
    pub messages: u64,
    /// Whether nothing more happens to it.
    pub is_over: bool,
    /// Why it ended without success; empty else.
    pub reason: String,
}

/// This profile's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whoami {
    /// The account.
    pub account_id: AccountId,
    /// This device.
    pub device_id: DeviceId,
    /// The registered phone number or e-mail address.
    pub identifier: String,
    /// The server's `conclave://` address.
    pub server: String,
    /// Identity fingerprint, 64 hex digits.
    pub fingerprint: String,
}

/// What a new device shows while it waits to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkShown {
    /// `conclave-link:…`, to scan or copy on a device of the account.
    pub uri: String,
    /// Six digits, to type there.
    pub code: String,
    /// Good for this long, in ms.
    pub valid_ms: u64,
}

/// A new device, as its link shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceOffer {
    /// The device.
    pub device: DeviceId,
    /// The name it goes by; may be empty.
    pub name: String,
}

/// One device of this account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The device.
    pub id: DeviceId,
    /// What the person calls it; may be empty.
    pub name: String,
    /// Whether it may let devices in and remove them.
    pub may_certify: bool,
    /// When it came, ms since 1970-01-01 UTC.
    pub added_ms: u64,
    /// When its certificate ends, ms since 1970-01-01 UTC.
    pub expires_ms: u64,
    /// Whether it is this one.
    pub is_this: bool,
}

/// A code was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeSent {
    /// Valid for this long, in ms.
    pub valid_ms: u64,
    /// Another may be asked for after this time, in ms.
    pub resend_after_ms: u64,
}

/// Who wrote a message or stands at the other end of a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their account.
    pub account_id: AccountId,
    /// Their phone number or e-mail address.
    pub identifier: String,
    /// The name this user gave them, or the one they gave themselves; may be empty.
    pub name: String,
}

impl Person {
    /// How to call them in a sentence: identifier, else name, else account id.
    pub fn label(&self) -> String {
        match (self.identifier.as_str(), self.name.as_str()) {
            ("", "") => self.account_id.to_string(),
            ("", name) => name.to_owned(),
            (identifier, _) => identifier.to_owned(),
        }
    }
}

/// One row of a chat's history.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says something of its own about the message"
)]
pub struct Message {
    /// The message.
    pub id: MessageId,
    /// Its chat.
    pub chat: ChatId,
    /// Who wrote it.
    pub from: Person,
    /// Whether this account wrote it.
    pub own: bool,
    /// What it says; for kinds this version does not know, a sentence that says so.
    pub text: String,
    /// How far it got.
    pub state: MessageState,
    /// Why it failed, or why it cannot be shown; empty else.
    pub reason: String,
    /// Position in its conversation's log; `None` while it is queued.
    pub seq: Option<u64>,
    /// When it was written, ms since 1970-01-01 UTC: the sender's clock within a day of the server's.
    pub ts_ms: u64,
    /// Whether this user has read it (own messages: always).
    pub is_read: bool,
    /// The message that it answers.
    pub reply: Option<Reply>,
    /// People named in the text, in its order.
    pub mentions: Vec<Mentioned>,
    /// Emojis on it, one for each person, oldest first.
    pub reactions: Vec<Reaction>,
    /// When it was last edited, ms since 1970-01-01 UTC; `None` when it never was.
    pub edited_ms: Option<u64>,
    /// Who deleted it for everyone; its content is gone then.
    pub deleted_by: Option<Person>,
    /// Whether the words were somebody else's first.
    pub forwarded: bool,
    /// The timer it was written under, in seconds; 0 = it stays.
    pub expires_s: u32,
    /// When it goes, ms since 1970-01-01 UTC; `None` until its clock starts.
    pub expires_ms: Option<u64>,
    /// Files, as the sender describes them.
    pub attachments: Vec<AttachmentInfo>,
    /// Somebody's address, as the sender has it.
    pub contact: Option<ContactCard>,
    /// Whether it is held up in its chat.
    pub pinned: bool,
}

/// What to look for in messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// Words, each the beginning of one that the message holds; at most 1 KiB.
    pub words: String,
    /// In one chat: `+E164`, e-mail, name of a group or `c_…`.
    pub chat: Option<String>,
    /// Written by somebody: `+E164`, e-mail or name.
    pub from: Option<String>,
    /// Written then or later, ms since 1970-01-01 UTC.
    pub since_ms: u64,
    /// After this one, which was the last that a search before showed.
    pub before: Option<MessageId>,
    /// At most so many.
    pub limit: usize,
}

/// A message that was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The message.
    pub message: Message,
    /// Where the words stand in its text: starts and lengths in bytes.
    pub ranges: Vec<(usize, usize)>,
}

/// What kind of chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatKind {
    /// Two people.
    Direct,
    /// A group, of any number of people.
    Group,
    /// The devices of this account, among themselves. Never shown.
    Own,
}

impl ChatKind {
    /// The stable name: `direct`, `group`, `own`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
            Self::Own => "own",
        }
    }

    /// The kind with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Direct, Self::Group, Self::Own]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// Whether a chat can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatState {
    /// Both sides can write.
    Open,
    /// A stranger's request that waits for `request accept`.
    Request,
    /// A request that was declined; the other side learns nothing.
    Declined,
    /// Something must be decided first; the reason says what.
    Paused,
    /// A group that this account left or was removed from: it can be read, not written to.
    Left,
}

impl ChatState {
    /// The stable name: `open`, `request`, `declined`, `paused`, `left`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Request => "request",
            Self::Declined => "declined",
            Self::Paused => "paused",
            Self::Left => "left",
        }
    }
}

/// One chat.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says something of its own about the chat"
)]
pub struct Chat {
    /// The chat.
    pub id: ChatId,
    /// Two people or a group.
    pub kind: ChatKind,
    /// Name of a group; empty else.
    pub name: String,
    /// The other person of a direct chat; `None` in a group.
    pub with: Option<Person>,
    /// Whether it can be used.
    pub state: ChatState,
    /// Why it is paused; empty else.
    pub reason: String,
    /// Unread messages.
    pub unread: u64,
    /// The newest message.
    pub last: Option<Message>,
    /// When that was, ms since 1970-01-01 UTC; else when the chat began.
    pub ts_ms: u64,
    /// Silent until then, ms since 1970-01-01 UTC, at most [`FOREVER_MS`]; `None` when it is not muted.
    pub muted_until_ms: Option<u64>,
    /// Whether it is put away.
    pub archived: bool,
    /// Whether it stands above the others.
    pub pinned: bool,
    /// Whether the person marked it as unread.
    pub marked_unread: bool,
    /// What the person began to write; empty when nothing.
    pub draft: String,
    /// Whether the other person's identity was compared; `None` in a group.
    pub trust: Option<Trust>,
    /// Whether the server confirmed that the other person's identifier is theirs; true in a group.
    pub confirmed: bool,
    /// The time after which what is written now disappears, in seconds; 0 = it stays.
    pub timer_s: u32,
}

/// The end of what has no end, in ms since 1970-01-01 UTC.
pub const FOREVER_MS: u64 = i64::MAX as u64;

/// What somebody may do in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupRole {
    /// Writes, leaves, and adds own devices.
    Member,
    /// Also adds people, removes members, and changes name and link.
    Admin,
    /// Also removes anybody and gives roles.
    Owner,
}

impl GroupRole {
    /// The stable name: `member`, `admin`, `owner`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The role with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Member, Self::Admin, Self::Owner]
            .into_iter()
            .find(|role| role.name() == name)
    }
}

/// A group with its people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The chat, with its name.
    pub chat: Chat,
    /// How often its members or keys changed; `None` when this account is not in.
    pub epoch: Option<u64>,
    /// First 16 bytes of the epoch's authenticator (RFC 9420 §8.7): the same on two devices means the same
    /// history of members and keys. Empty when this account is not in.
    pub authenticator: Vec<u8>,
    /// Who is in, owners first; empty when this account is not in.
    pub people: Vec<GroupMember>,
    /// Devices of all of them together.
    pub devices: u64,
    /// Whether there is a link that lets people ask to come in.
    pub has_link: bool,
    /// What was wanted and is not done yet.
    pub waiting: Vec<Wish>,
    /// What was wanted and cannot be.
    pub failed: Vec<Wish>,
}

/// One person of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Who.
    pub person: Person,
    /// What they may do.
    pub role: GroupRole,
    /// Devices of theirs in the group.
    pub devices: u64,
    /// Whether it is this account.
    pub own: bool,
    /// Whether the server confirmed that the identifier belongs to the account.
    pub confirmed: bool,
}

/// Something that was wanted of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// What, in words.
    pub text: String,
    /// Why it failed; empty while it waits.
    pub reason: String,
}

/// Whether a contact's identity was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Pinned on first use, not compared.
    Unverified,
    /// The safety number was compared.
    Verified,
    /// The identity key is another one now; nothing is sent until `safety accept`.
    Changed,
}

impl Trust {
    /// The stable name: `unverified`, `verified`, `changed`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Verified => "verified",
            Self::Changed => "changed",
        }
    }
}

/// One contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Who.
    pub person: Person,
    /// Whether the server confirmed that the identifier belongs to the account.
    pub confirmed: bool,
    /// Whether they are blocked.
    pub blocked: bool,
    /// Whether the identity was compared.
    pub trust: Trust,
    /// When their key was replaced under the old one's signature, ms since 1970-01-01 UTC; `None` when it never was,
    /// or when this user compared or accepted since.
    pub rotated_ms: Option<u64>,
    /// Identity fingerprint, 64 hex digits.
    pub fingerprint: String,
}

/// A stranger's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The chat it would become.
    pub chat: ChatId,
    /// Who asks, by their own word.
    pub from: Person,
    /// Name of the group that they invite to; `None` when they want to talk alone.
    pub group: Option<String>,
    /// Whether the server confirmed that the identifier belongs to the account.
    pub confirmed: bool,
    /// Their first text; empty when it was over 1 KiB.
    pub text: String,
    /// When it was written, ms since 1970-01-01 UTC.
    pub ts_ms: u64,
}

/// A safety number with one contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Safety {
    /// With whom.
    pub with: Person,
    /// 60 digits in 12 groups of 5.
    pub number: String,
    /// Bytes of the QR code: version and both full fingerprints.
    pub qr: Vec<u8>,
    /// Whether it was compared.
    pub trust: Trust,
    /// When their key was replaced under the old one's signature; as in [`Contact`].
    pub rotated_ms: Option<u64>,
}

/// Whom this user sends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustMode {
    /// Whoever is pinned: trust on first use.
    Tofu,
    /// Verified people alone; in a group, when all are.
    Strict,
}

impl TrustMode {
    /// The stable name: `tofu`, `strict`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tofu => "tofu",
            Self::Strict => "strict",
        }
    }

    /// The mode with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Tofu, Self::Strict]
            .into_iter()
            .find(|mode| mode.name() == name)
    }
}

/// One message in detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageInfo {
    /// The row.
    pub message: Message,
    /// Epoch of its entry, when accepted.
    pub epoch: Option<u64>,
    /// Devices it is encrypted to, when accepted.
    pub devices: u32,
    /// What it said before, oldest first; empty when it was never edited.
    pub versions: Vec<Version>,
    /// Of an own message: how far each device of the others is, as far as they said so.
    pub marks: Vec<DeviceMark>,
}

/// This profile at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Account, when registered.
    pub account: Option<Whoami>,
    /// Whether the account connection stands.
    pub online: bool,
    /// Whether the server or the account itself says that this device is none of the account's any more.
    pub is_removed: bool,
    /// Messages and receipts that the server has not accepted yet.
    pub queued: u64,
    /// Unread messages.
    pub unread: u64,
    /// Requests that wait.
    pub requests: u64,
    /// Clock against the server, in ms (positive: this clock is ahead), when known.
    pub clock_skew_ms: Option<i64>,
    /// Things that people should know: each a sentence with what to do.
    pub warnings: Vec<String>,
}

/// Proof that somebody broke a promise, kept by this device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// What it shows, in words.
    pub what: String,
    /// The signed objects that show it, as they came; their shape depends on `what`.
    pub bytes: Vec<u8>,
    /// When it was seen, ms since 1970-01-01 UTC.
    pub seen_ms: u64,
}

/// One finding of `doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was checked, one word.
    pub check: &'static str,
    /// Whether it is well.
    pub ok: bool,
    /// What was found and, when not well, what to do.
    pub text: String,
}
