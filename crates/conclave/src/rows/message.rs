//! Rows about messages and what happens to them.

use conclave_client::view::{Message, MessageInfo, MessageState};
use schemars::JsonSchema;
use serde::Serialize;

use crate::output::{Row, safe};
use crate::rfc3339::{rfc3339, short};
use crate::rows::{PersonRow, table};

/// A message of a history or a listen.
#[derive(Debug, Serialize, JsonSchema)]
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
        format!(
            "{}  {who}: {}{state}{reason}",
            short(self.ts_ms),
            safe(&self.text)
        )
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

/// Somebody's identity key was replaced under the old one's signature.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RotatedRow {
    /// The chat.
    pub(crate) chat: String,
    /// The person whose key was rotated.
    pub(crate) with: PersonRow,
}

impl Row for RotatedRow {
    const TYPE: &'static str = "key_rotated";

    fn text(&self) -> String {
        let who = self.with.text();
        format!(
            "* the identity key of {who} was replaced by a new one, signed by the old one; the safety number is another one now"
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
}

impl From<&MessageInfo> for InfoRow {
    fn from(info: &MessageInfo) -> Self {
        Self {
            message: MessageRow::from(&info.message),
            epoch: info.epoch,
            devices: info.devices,
        }
    }
}

impl Row for InfoRow {
    const TYPE: &'static str = "info";

    fn text(&self) -> String {
        let number =
            |value: Option<u64>| value.map_or_else(|| "none yet".to_owned(), |v| v.to_string());
        table(&[
            ("message", self.message.id.as_str()),
            ("chat", &self.message.chat),
            ("from", &self.message.from.text()),
            ("time", &self.message.ts),
            ("state", self.message.state),
            ("reason", &safe(&self.message.reason)),
            ("seq", &number(self.message.seq)),
            ("epoch", &number(self.epoch)),
            ("devices", &self.devices.to_string()),
            ("text", &safe(&self.message.text)),
        ])
    }
}
