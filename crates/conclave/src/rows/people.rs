//! Rows about chats and the people in them.

use conclave_client::view::{Chat, Contact, Request, Safety, Trust};
use schemars::JsonSchema;
use serde::Serialize;

use crate::output::{Row, safe};
use crate::rfc3339::{rfc3339, short};
use crate::rows::{MessageRow, PersonRow};

/// One chat.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the row")]
pub(crate) struct ChatRow {
    id: String,
    kind: &'static str,
    name: String,
    with: Option<PersonRow>,
    state: &'static str,
    reason: String,
    unread: u64,
    last: Option<MessageRow>,
    ts: String,
    ts_ms: u64,
    muted_until_ts_ms: Option<u64>,
    archived: bool,
    pinned: bool,
    marked_unread: bool,
    draft: String,
    /// `unverified`, `verified` or `changed`; null in a group.
    trust: Option<&'static str>,
    /// Whether the server confirmed that the other person's identifier is theirs.
    confirmed: bool,
    /// Seconds after which what is written now disappears; 0 = it stays.
    timer_s: u32,
}

impl From<&Chat> for ChatRow {
    fn from(chat: &Chat) -> Self {
        Self {
            id: chat.id.to_string(),
            kind: chat.kind.name(),
            name: chat.name.clone(),
            with: chat.with.as_ref().map(PersonRow::from),
            state: chat.state.name(),
            reason: chat.reason.clone(),
            unread: chat.unread,
            last: chat.last.as_ref().map(MessageRow::from),
            ts: rfc3339(chat.ts_ms),
            ts_ms: chat.ts_ms,
            muted_until_ts_ms: chat.muted_until_ms,
            archived: chat.archived,
            pinned: chat.pinned,
            marked_unread: chat.marked_unread,
            draft: chat.draft.clone(),
            trust: chat.trust.map(Trust::name),
            confirmed: chat.confirmed,
            timer_s: chat.timer_s,
        }
    }
}

impl Row for ChatRow {
    const TYPE: &'static str = "chat";

    fn text(&self) -> String {
        let unread = match self.unread {
            0 if self.marked_unread => "  (marked unread)".to_owned(),
            0 => String::new(),
            count => format!("  ({count} unread)"),
        };
        let state = match self.state {
            "open" => String::new(),
            state => format!("  [{state}]"),
        };
        let reason = match self.reason.as_str() {
            "" => String::new(),
            reason => format!("  {}", safe(reason)),
        };
        let marks = [
            (self.pinned, "  [pinned]"),
            (self.archived, "  [archived]"),
            (self.muted_until_ts_ms.is_some(), "  [muted]"),
            (!self.draft.is_empty(), "  [draft]"),
        ];
        let marks: String = marks
            .iter()
            .filter_map(|(is_so, mark)| is_so.then_some(*mark))
            .collect();
        format!(
            "{}  {}{unread}{marks}{state}{reason}\n    {}",
            short(self.ts_ms),
            title(self.with.as_ref(), &self.name),
            self.id
        )
    }
}

/// How people know a chat: by the other person, or by the group's name.
pub(crate) fn title(with: Option<&PersonRow>, name: &str) -> String {
    with.map_or_else(|| format!("group {}", safe(name)), PersonRow::text)
}

/// Unread messages of all chats together, and of each that has some.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct UnreadRow {
    count: u64,
    chats: Vec<UnreadChatRow>,
}

/// Unread messages of one chat.
#[derive(Debug, Serialize, JsonSchema)]
struct UnreadChatRow {
    chat: String,
    name: String,
    with: Option<PersonRow>,
    count: u64,
}

impl From<&[Chat]> for UnreadRow {
    fn from(chats: &[Chat]) -> Self {
        let unread = chats.iter().filter(|chat| chat.unread > 0);
        let chats: Vec<_> = unread
            .map(|chat| UnreadChatRow {
                chat: chat.id.to_string(),
                name: chat.name.clone(),
                with: chat.with.as_ref().map(PersonRow::from),
                count: chat.unread,
            })
            .collect();
        Self {
            count: chats.iter().map(|chat| chat.count).sum(),
            chats,
        }
    }
}

impl Row for UnreadRow {
    const TYPE: &'static str = "unread";

    fn text(&self) -> String {
        let total = format!("{} unread", self.count);
        let chats = self.chats.iter();
        let chats = chats.map(|chat| {
            let title = title(chat.with.as_ref(), &chat.name);
            format!("{:>6}  {title}", chat.count)
        });
        [total]
            .into_iter()
            .chain(chats)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// A chat was marked read.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ReadRow {
    /// The chat.
    pub(crate) chat: String,
    /// How many messages were unread.
    pub(crate) count: u64,
}

impl Row for ReadRow {
    const TYPE: &'static str = "read";

    fn text(&self) -> String {
        format!("{} marked read", self.count)
    }
}

/// One contact.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ContactRow {
    #[serde(flatten)]
    person: PersonRow,
    confirmed: bool,
    blocked: bool,
    trust: &'static str,
    rotated_ts: Option<String>,
    rotated_ms: Option<u64>,
    fingerprint: String,
}

impl From<&Contact> for ContactRow {
    fn from(contact: &Contact) -> Self {
        Self {
            person: PersonRow::from(&contact.person),
            confirmed: contact.confirmed,
            blocked: contact.blocked,
            trust: contact.trust.name(),
            rotated_ts: contact.rotated_ms.map(rfc3339),
            rotated_ms: contact.rotated_ms,
            fingerprint: contact.fingerprint.clone(),
        }
    }
}

impl Row for ContactRow {
    const TYPE: &'static str = "contact";

    fn text(&self) -> String {
        let confirmed = if self.confirmed { "" } else { "  unconfirmed" };
        let blocked = if self.blocked { "  blocked" } else { "" };
        let rotated = rotated(self.rotated_ms);
        format!(
            "{:<10}  {}{confirmed}{blocked}{rotated}",
            self.trust,
            self.person.text()
        )
    }
}

/// That a key was rotated, and when.
fn rotated(ms: Option<u64>) -> String {
    ms.map(|ms| format!("  key rotated {}, signed by the old key", short(ms)))
        .unwrap_or_default()
}

/// A stranger's request.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RequestRow {
    chat: String,
    from: PersonRow,
    group: Option<String>,
    confirmed: bool,
    text: String,
    ts: String,
    ts_ms: u64,
}

impl From<&Request> for RequestRow {
    fn from(request: &Request) -> Self {
        Self {
            chat: request.chat.to_string(),
            from: PersonRow::from(&request.from),
            group: request.group.clone(),
            confirmed: request.confirmed,
            text: request.text.clone(),
            ts: rfc3339(request.ts_ms),
            ts_ms: request.ts_ms,
        }
    }
}

impl Row for RequestRow {
    const TYPE: &'static str = "request";

    fn text(&self) -> String {
        let confirmed = if self.confirmed { "" } else { " [unconfirmed]" };
        let asks = match &self.group {
            Some(group) => format!("invites you to the group {}", safe(group)),
            None => format!("asks to write to you: {}", safe(&self.text)),
        };
        format!(
            "{}  {}{confirmed} {asks}\n    accept with: conclave request accept {}",
            short(self.ts_ms),
            self.from.text(),
            self.chat
        )
    }
}

/// A decision about a chat or a person, carried out.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DoneRow {
    /// What was done, one word: `accepted`, `declined`, `renamed`, `blocked`, `unblocked`, `deleted`.
    pub(crate) done: &'static str,
    /// To what: a chat id, an identifier or a message id.
    pub(crate) to: String,
}

impl Row for DoneRow {
    const TYPE: &'static str = "done";

    fn text(&self) -> String {
        format!("{} {}", self.done, safe(&self.to))
    }
}

/// A safety number.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SafetyRow {
    with: PersonRow,
    number: String,
    qr: String,
    trust: &'static str,
    rotated_ts: Option<String>,
    rotated_ms: Option<u64>,
}

impl From<&Safety> for SafetyRow {
    fn from(safety: &Safety) -> Self {
        Self {
            with: PersonRow::from(&safety.with),
            number: safety.number.clone(),
            qr: hex::encode(&safety.qr),
            trust: safety.trust.name(),
            rotated_ts: safety.rotated_ms.map(rfc3339),
            rotated_ms: safety.rotated_ms,
        }
    }
}

impl Row for SafetyRow {
    const TYPE: &'static str = "safety";

    fn text(&self) -> String {
        let groups: Vec<&str> = self.number.split_whitespace().collect();
        let lines: Vec<String> = groups
            .chunks(4)
            .map(|four| format!("    {}", four.join(" ")))
            .collect();
        format!(
            "{:<10}  {}{}\n{}",
            self.trust,
            self.with.text(),
            rotated(self.rotated_ms),
            lines.join("\n")
        )
    }
}
