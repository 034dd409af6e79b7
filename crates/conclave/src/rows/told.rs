//! What happened, as a row: the one place that turns events into what listeners, programs and webhooks get.

use conclave_client::view::NoteKind;
use conclave_client::{Client, ClientError, Event};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::note::{GroupChangeRow, RotatedRow};
use super::{
    ChangedRow, GapRow, HistoryRow, IdentityRow, MessageRow, PersonRow, RequestRow, StateRow,
    TimerRow, TypingRow, WarningRow,
};
use crate::output::{Row, json_line};
use crate::rfc3339::rfc3339;

/// A row in both forms, whatever it is a row of.
#[derive(Debug)]
pub(crate) struct BothForms {
    /// For people.
    pub(crate) text: String,
    /// For programs.
    pub(crate) json: String,
}

fn line<T: Row>(row: &T) -> Result<Option<BothForms>, ClientError> {
    let json = json_line(row).map_err(|error| ClientError::Broken(error.to_string()))?;
    Ok(Some(BothForms {
        text: row.text(),
        json,
    }))
}

/// The row that tells of an event; `None` when what it tells of is gone, or needs no telling.
pub(crate) fn line_of(client: &Client, event: &Event) -> Result<Option<BothForms>, ClientError> {
    match event {
        Event::Received(message) => line(&MessageRow::from(message)),
        Event::Changed { message, what, by } => line(&ChangedRow::new(message, *what, by)),
        Event::TimerSet(timer) => line(&TimerRow::from(timer)),
        Event::Typing { chat, from } => line(&TypingRow::new(*chat, from)),
        Event::StateChanged { id, state, .. } => match client.message(*id) {
            Ok(info) => line(&StateRow::new(&info.message, *state)),
            Err(ClientError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        },
        Event::Requested { chat } => {
            let requests = client.requests()?;
            // Gone when it was answered in the meantime.
            match requests.iter().find(|request| request.chat == *chat) {
                Some(request) => line(&RequestRow::from(request)),
                None => Ok(None),
            }
        }
        // Identities stand in direct chats.
        Event::IdentityChanged { chat } => match client.chat(*chat)?.with {
            Some(with) => line(&IdentityRow {
                chat: chat.to_string(),
                with: PersonRow::from(&with),
            }),
            None => Ok(None),
        },
        Event::Noted(note) if note.kind == NoteKind::KeyRotated => line(&RotatedRow::from(note)),
        Event::Noted(note) => line(&GroupChangeRow::from(note)),
        Event::Gap { chat, from, to } => line(&GapRow {
            chat: chat.to_string(),
            from_seq: *from,
            to_seq: *to,
        }),
        Event::History(progress) if progress.is_over => line(&HistoryRow::from(progress)),
        Event::Warning(message) => line(&WarningRow {
            message: message.clone(),
        }),
        _ => Ok(None),
    }
}

/// An event with its number, as programs get it everywhere.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ToldRow {
    /// Its number: what a program acknowledges when it is done with it.
    pub(crate) cursor: u64,
    /// When it was written down.
    ts: String,
    /// The same, ms since 1970-01-01 UTC.
    pub(crate) ts_ms: u64,
    /// The row that `listen -o json` prints for it, as things are now: `type` says what it is.
    pub(crate) event: Value,
    #[serde(skip)]
    text: String,
}

impl ToldRow {
    /// The row of `told`; `None` when what it tells of is gone.
    pub(crate) fn new(
        client: &Client,
        told: &conclave_client::journal::Told,
    ) -> Result<Option<Self>, ClientError> {
        let Some(line) = line_of(client, &told.event)? else {
            return Ok(None);
        };
        let event = serde_json::from_str(&line.json)
            .map_err(|error| ClientError::Broken(error.to_string()))?;
        Ok(Some(Self {
            cursor: told.cursor,
            ts: rfc3339(told.ts_ms),
            ts_ms: told.ts_ms,
            event,
            text: line.text,
        }))
    }

    /// The row as `events.list` answered it.
    pub(crate) fn parse(row: &Value) -> Result<Self, serde_json::Error> {
        let mut parsed = Self::deserialize(row)?;
        parsed.text = parsed.event.to_string();
        Ok(parsed)
    }

    /// The `type` of the event's row.
    pub(crate) fn kind(&self) -> &str {
        let kind = self.event.get("type").and_then(Value::as_str);
        kind.unwrap_or_default()
    }
}

impl Row for ToldRow {
    const TYPE: &'static str = "event";

    fn text(&self) -> String {
        format!("{}  {}", self.cursor, self.text)
    }
}
