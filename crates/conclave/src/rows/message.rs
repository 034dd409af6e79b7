//! Rows about messages and what happens to them.

use conclave_client::view::{Message, MessageInfo, MessageState};
use schemars::JsonSchema;
use serde::Serialize;

use crate::output::{Row, safe};
use crate::rfc3339::{rfc3339, short};
use crate::rows::talk::{
    CardRow, DeviceMarkRow, FileRow, MentionRow, ReactionRow, ReplyRow, VersionRow, goes,
};
use crate::rows::{PersonRow, table};

/// A message of a history or a listen.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the row")]
pub(crate) struct MessageRow {
    id: String,
    chat: String,
    from: PersonRow,
    own: bool,
    text: String,
    state: &'static str,
    reason: String,
    seq: Option<u64>,
    ts: String,
    ts_ms: u64,
    read: bool,
    reply: Option<ReplyRow>,
    mentions: Vec<MentionRow>,
    reactions: Vec<ReactionRow>,
    edited_ts_ms: Option<u64>,
    deleted_by: Option<PersonRow>,
    forwarded: bool,
    expires_s: u32,
    expires_ts_ms: Option<u64>,
    attachments: Vec<FileRow>,
    contact: Option<CardRow>,
    pinned: bool,
}

impl From<&Message> for MessageRow {
    fn from(message: &Message) -> Self {
        Self {
            id: message.id.to_string(),
            chat: message.chat.to_string(),
            from: PersonRow::from(&message.from),
            own: message.own,
            text: message.text.clone(),
            state: message.state.name(),
            reason: message.reason.clone(),
            seq: message.seq,
            ts: rfc3339(message.ts_ms),
            ts_ms: message.ts_ms,
            read: message.is_read,
            reply: message.reply.as_ref().map(ReplyRow::from),
            mentions: message.mentions.iter().map(MentionRow::from).collect(),
            reactions: message.reactions.iter().map(ReactionRow::from).collect(),
            edited_ts_ms: message.edited_ms,
            deleted_by: message.deleted_by.as_ref().map(PersonRow::from),
            forwarded: message.forwarded,
            expires_s: message.expires_s,
            expires_ts_ms: message.expires_ms,
            attachments: message.attachments.iter().map(FileRow::from).collect(),
            contact: message.contact.as_ref().map(CardRow::from),
            pinned: message.pinned,
        }
    }
}

impl Row for MessageRow {
    const TYPE: &'static str = "message";

    fn text(&self) -> String {
        let (who, state) = if self.own {
            ("me".to_owned(), format!("  [{}]", self.state))
        } else {
            (self.from.text(), String::new())
        };
        let reason = match self.reason.as_str() {
            "" => String::new(),
            reason => format!("  ({})", safe(reason)),
        };
        let reply = self.reply.as_ref().map(ReplyRow::text).unwrap_or_default();
        let (time, words, marks) = (short(self.ts_ms), self.words(), self.marks());
        format!("{reply}{time}  {who}: {words}{marks}{state}{reason}")
    }
}

impl MessageRow {
    /// What it says, its files and its card; of a deleted one, who took it away.
    fn words(&self) -> String {
        if let Some(by) = &self.deleted_by {
            return format!("(deleted by {})", by.text());
        }
        let files = self.attachments.iter().map(FileRow::text);
        let card = self.contact.iter().map(CardRow::text);
        let mut words: Vec<String> = files.chain(card).collect();
        if !self.text.is_empty() {
            words.insert(0, safe(&self.text).into_owned());
        }
        words.join(" ")
    }

    /// What was done to it, in a few characters.
    fn marks(&self) -> String {
        let mut marks = String::new();
        let flags = [
            (self.forwarded, "  (forwarded)"),
            (self.edited_ts_ms.is_some(), "  (edited)"),
            (self.pinned, "  (pinned)"),
        ];
        for (_, word) in flags.iter().filter(|(is_so, _)| *is_so) {
            marks.push_str(word);
        }
        if !self.reactions.is_empty() {
            let reactions: Vec<_> = self.reactions.iter().map(ReactionRow::text).collect();
            marks.extend(["  {", &reactions.join(", "), "}"]);
        }
        marks + &goes(self.expires_s, self.expires_ts_ms)
    }
}

/// A line of `send --lines` that stands on this disk now.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct QueuedRow {
    /// The message.
    pub(crate) id: String,
    /// Its chat.
    pub(crate) chat: String,
    /// To whom, as it was written.
    pub(crate) to: String,
}

impl Row for QueuedRow {
    const TYPE: &'static str = "queued";

    fn text(&self) -> String {
        format!("{}  queued  to {}", self.id, safe(&self.to))
    }
}

/// What became of a message that `send` queued.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SentRow {
    id: String,
    chat: String,
    state: &'static str,
    recipients: Vec<RecipientRow>,
}

/// One recipient of a sent message.
#[derive(Debug, Serialize, JsonSchema)]
struct RecipientRow {
    to: String,
    state: &'static str,
}

impl SentRow {
    /// The row of `message` to the person with the identifier `to`.
    pub(crate) fn new(message: &Message, to: &str) -> Self {
        let state = message.state.name();
        Self {
            id: message.id.to_string(),
            chat: message.chat.to_string(),
            state,
            recipients: vec![RecipientRow {
                to: to.to_owned(),
                state,
            }],
        }
    }
}

impl Row for SentRow {
    const TYPE: &'static str = "sent";

    fn text(&self) -> String {
        let to: Vec<_> = self.recipients.iter().map(|one| safe(&one.to)).collect();
        format!("{}  {}  to {}", self.id, self.state, to.join(", "))
    }
}

/// An own message moved on.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StateRow {
    /// The chat.
    pub(crate) chat: String,
    /// The message.
    pub(crate) id: String,
    /// Where it is now.
    pub(crate) state: &'static str,
    /// How the message begins: people know it by its words.
    #[serde(skip)]
    pub(crate) begin: String,
}

impl StateRow {
    /// The row of an own message that came to `state`.
    pub(crate) fn new(message: &Message, state: MessageState) -> Self {
        let begin: String = message.text.chars().take(BEGIN_CHARS).collect();
        let cut = if begin.len() < message.text.len() {
            "…"
        } else {
            ""
        };
        Self {
            chat: message.chat.to_string(),
            id: message.id.to_string(),
            state: state.name(),
            begin: format!("{}{cut}", begin.replace('\n', " ")),
        }
    }
}

/// How much of a message its state is shown with, in characters.
const BEGIN_CHARS: usize = 32;

impl Row for StateRow {
    const TYPE: &'static str = "state";

    fn text(&self) -> String {
        format!("    [{}]  {}", self.state, safe(&self.begin))
    }
}

/// Something about a chat that is no message: a changed identity key, or messages that are gone.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct IdentityRow {
    /// The chat.
    pub(crate) chat: String,
    /// The person whose key changed.
    pub(crate) with: PersonRow,
}

impl Row for IdentityRow {
    const TYPE: &'static str = "identity_changed";

    fn text(&self) -> String {
        let who = self.with.text();
        format!(
            "! the identity key of {who} has changed; nothing is sent until you compare safety numbers and run `conclave safety accept`"
        )
    }
}

/// Messages that are gone before this device read them.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct GapRow {
    /// The chat.
    pub(crate) chat: String,
    /// First entry lost.
    pub(crate) from_seq: u64,
    /// Last entry lost.
    pub(crate) to_seq: u64,
}

impl Row for GapRow {
    const TYPE: &'static str = "gap";

    fn text(&self) -> String {
        format!(
            "! {}: entries {} to {} expired on the server before this device read them",
            self.chat, self.from_seq, self.to_seq
        )
    }
}

/// Something people should know.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WarningRow {
    /// A sentence with what to do.
    pub(crate) message: String,
}

impl Row for WarningRow {
    const TYPE: &'static str = "warning";

    fn text(&self) -> String {
        format!("! {}", safe(&self.message))
    }
}

/// One message in detail.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct InfoRow {
    message: MessageRow,
    epoch: Option<u64>,
    devices: u32,
    versions: Vec<VersionRow>,
    marks: Vec<DeviceMarkRow>,
}

impl From<&MessageInfo> for InfoRow {
    fn from(info: &MessageInfo) -> Self {
        Self {
            message: MessageRow::from(&info.message),
            epoch: info.epoch,
            devices: info.devices,
            versions: info.versions.iter().map(VersionRow::from).collect(),
            marks: info.marks.iter().map(DeviceMarkRow::from).collect(),
        }
    }
}

impl Row for InfoRow {
    const TYPE: &'static str = "info";

    fn text(&self) -> String {
        let number =
            |value: Option<u64>| value.map_or_else(|| "none yet".to_owned(), |v| v.to_string());
        let mut lines = table(&[
            ("message", self.message.id.as_str()),
            ("chat", &self.message.chat),
            ("from", &self.message.from.text()),
            ("time", &self.message.ts),
            ("state", self.message.state),
            ("reason", &safe(&self.message.reason)),
            ("seq", &number(self.message.seq)),
            ("epoch", &number(self.epoch)),
            ("devices", &self.devices.to_string()),
            ("text", &self.message.words()),
            ("marks", self.message.marks().trim()),
        ]);
        for version in &self.versions {
            lines.extend(["\nbefore  ", &version.text()]);
        }
        for mark in &self.marks {
            lines.extend(["\non  ", &mark.text()]);
        }
        lines
    }
}
