//! Rows of everyday talk: what stands around a message, changes, timers, who is writing.

use conclave_client::view::{
    AttachmentInfo, Change, ContactCard, DeviceMark, Mentioned, Message, Person, Profile, Reaction,
    Reply, Timer, Version,
};
use conclave_proto::id::ChatId;
use schemars::JsonSchema;
use serde::Serialize;

use crate::output::{Row, safe};
use crate::rfc3339::{rfc3339, short};
use crate::rows::{MessageRow, PersonRow, table};

/// The message that another one answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ReplyRow {
    id: String,
    from: PersonRow,
    text: String,
    here: bool,
}

impl From<&Reply> for ReplyRow {
    fn from(reply: &Reply) -> Self {
        Self {
            id: reply.to.message_id.to_string(),
            from: PersonRow::from(&reply.from),
            text: reply.text.clone(),
            here: reply.is_here,
        }
    }
}

impl ReplyRow {
    /// `> Anna (anna@example.org): how it began`, on a line before the answer.
    pub(super) fn text(&self) -> String {
        let words = if self.here {
            self.text.replace('\n', " ")
        } else {
            "a message that is not here".to_owned()
        };
        format!("    > {}: {}\n", self.from.text(), safe(&words))
    }
}

/// A person named in a text.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MentionRow {
    start: usize,
    length: usize,
    person: PersonRow,
    own: bool,
}

impl From<&Mentioned> for MentionRow {
    fn from(mention: &Mentioned) -> Self {
        Self {
            start: mention.start,
            length: mention.length,
            person: PersonRow::from(&mention.person),
            own: mention.own,
        }
    }
}

/// An emoji on a message.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ReactionRow {
    from: PersonRow,
    own: bool,
    emoji: String,
}

impl From<&Reaction> for ReactionRow {
    fn from(reaction: &Reaction) -> Self {
        Self {
            from: PersonRow::from(&reaction.from),
            own: reaction.own,
            emoji: reaction.emoji.clone(),
        }
    }
}

impl ReactionRow {
    /// `👍 me`, `👍 Anna (anna@example.org)`.
    pub(super) fn text(&self) -> String {
        let who = if self.own {
            "me".to_owned()
        } else {
            self.from.text()
        };
        format!("{} {who}", safe(&self.emoji))
    }
}

/// A file, as its sender describes it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FileRow {
    name: String,
    media_type: String,
    length: u64,
    width: u32,
    height: u32,
}

impl From<&AttachmentInfo> for FileRow {
    fn from(file: &AttachmentInfo) -> Self {
        Self {
            name: file.name.clone(),
            media_type: file.media_type.clone(),
            length: file.length,
            width: file.width,
            height: file.height,
        }
    }
}

impl FileRow {
    /// `[file name.pdf, 1234 bytes]`.
    pub(super) fn text(&self) -> String {
        format!("[file {}, {} bytes]", safe(&self.name), self.length)
    }
}

/// Somebody's address, as the sender has it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CardRow {
    identifier: String,
    name: String,
}

impl From<&ContactCard> for CardRow {
    fn from(card: &ContactCard) -> Self {
        Self {
            identifier: card.identifier.clone(),
            name: card.name.clone(),
        }
    }
}

impl CardRow {
    /// `[contact Ben, ben@example.org]`.
    pub(super) fn text(&self) -> String {
        format!("[contact {}, {}]", safe(&self.name), safe(&self.identifier))
    }
}

/// What a message said before.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct VersionRow {
    text: String,
    ts: String,
    ts_ms: u64,
}

impl From<&Version> for VersionRow {
    fn from(version: &Version) -> Self {
        Self {
            text: version.text.clone(),
            ts: rfc3339(version.ts_ms),
            ts_ms: version.ts_ms,
        }
    }
}

impl VersionRow {
    /// When and what.
    pub(super) fn text(&self) -> String {
        format!("{}  {}", self.ts, safe(&self.text))
    }
}

/// How far one device has received and read a message.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeviceMarkRow {
    person: PersonRow,
    device: String,
    delivered: bool,
    read: bool,
}

impl From<&DeviceMark> for DeviceMarkRow {
    fn from(mark: &DeviceMark) -> Self {
        Self {
            person: PersonRow::from(&mark.person),
            device: mark.device.to_string(),
            delivered: mark.delivered,
            read: mark.read,
        }
    }
}

impl DeviceMarkRow {
    /// `Anna (anna@example.org)  d_…  read`.
    pub(super) fn text(&self) -> String {
        let state = match (self.read, self.delivered) {
            (true, _) => "read",
            (false, true) => "delivered",
            (false, false) => "not yet",
        };
        format!("{}  {}  {state}", self.person.text(), self.device)
    }
}

/// Somebody changed a message.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChangedRow {
    what: &'static str,
    by: PersonRow,
    message: MessageRow,
}

impl ChangedRow {
    /// The row of `what` that `by` did to `message`.
    pub(crate) fn new(message: &Message, what: Change, by: &Person) -> Self {
        Self {
            what: what.name(),
            by: PersonRow::from(by),
            message: MessageRow::from(message),
        }
    }
}

impl Row for ChangedRow {
    const TYPE: &'static str = "changed";

    fn text(&self) -> String {
        format!(
            "* {} {}:\n{}",
            self.by.text(),
            self.what,
            self.message.text()
        )
    }
}

/// The time after which messages of a chat disappear.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TimerRow {
    chat: String,
    seconds: u32,
    by: Option<PersonRow>,
}

impl From<&Timer> for TimerRow {
    fn from(timer: &Timer) -> Self {
        Self {
            chat: timer.chat.to_string(),
            seconds: timer.seconds,
            by: timer.by.as_ref().map(PersonRow::from),
        }
    }
}

impl Row for TimerRow {
    const TYPE: &'static str = "timer";

    fn text(&self) -> String {
        let by = match &self.by {
            Some(by) => format!(", set by {}", by.text()),
            None => String::new(),
        };
        match self.seconds {
            0 => format!("messages stay{by}"),
            seconds => format!(
                "messages disappear {} after they are read{by}",
                spelled(seconds)
            ),
        }
    }
}

/// Seconds as people say them: the largest unit that they are whole in.
pub(super) fn spelled(seconds: u32) -> String {
    for (unit, name) in [(604_800, "w"), (86_400, "d"), (3_600, "h"), (60, "m")] {
        if seconds >= unit && seconds.is_multiple_of(unit) {
            return format!("{}{name}", seconds / unit);
        }
    }
    format!("{seconds}s")
}

/// The name and picture that somebody shows of themselves.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProfileRow {
    person: PersonRow,
    picture_bytes: Option<usize>,
}

impl From<&Profile> for ProfileRow {
    fn from(profile: &Profile) -> Self {
        Self {
            person: PersonRow::from(&profile.person),
            picture_bytes: profile.picture.as_ref().map(Vec::len),
        }
    }
}

impl Row for ProfileRow {
    const TYPE: &'static str = "profile";

    fn text(&self) -> String {
        let picture = match self.picture_bytes {
            Some(bytes) => format!("JPEG, {bytes} bytes"),
            None => "none".to_owned(),
        };
        table(&[("profile", &self.person.text()), ("picture", &picture)])
    }
}

/// Somebody is writing.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TypingRow {
    chat: String,
    from: PersonRow,
}

impl TypingRow {
    /// The row of `from` who writes in `chat`.
    pub(crate) fn new(chat: ChatId, from: &Person) -> Self {
        Self {
            chat: chat.to_string(),
            from: PersonRow::from(from),
        }
    }
}

impl Row for TypingRow {
    const TYPE: &'static str = "typing";

    fn text(&self) -> String {
        format!("… {} is writing", self.from.text())
    }
}

/// When something goes, in a few characters.
pub(super) fn goes(expires_s: u32, expires_ms: Option<u64>) -> String {
    match (expires_s, expires_ms) {
        (0, _) => String::new(),
        (seconds, None) => format!("  (disappears {} after reading)", spelled(seconds)),
        (_, Some(at_ms)) => format!("  (disappears {})", short(at_ms)),
    }
}
