//! The journal: events that stay until programs have taken them, by number, and who is how far.
//!
//! - an event is written in the step that did what it tells: both are on disk, or neither
//! - a row holds ids; what a program is told is made of them when it reads, so that what is deleted, or over, is not
//!   told any more
//! - a program reads from its cursor, and acknowledges what it is done with; whatever ends in between is told again

use std::collections::BTreeSet;
use std::time::Duration;

use conclave_core::content::MessageRef;
use conclave_proto::id::ChatId;
use tokio::sync::watch;

use crate::client::Client;
use crate::engine::{Own, Step, show};
use crate::error::ClientError;
use crate::event::Event;
use crate::note::show_note;
use crate::store::{Deleted, EventRow, Tx};
use crate::talk::who;
use crate::view::{Change, HistoryProgress, MessageState, Timer};

/// Events that are kept at most.
const EVENTS_MAX: u64 = 100_000;
/// How long they are kept at most, in ms: 30 days.
const EVENTS_MS: u64 = 30 * 86_400_000;
/// Old events are looked for when a number is a multiple of this.
const PRUNE_EVERY: u64 = 256;
/// Programs of one owner.
const CONSUMERS_MAX: usize = 32;
/// Bytes of a program's name.
const NAME_BYTES_MAX: usize = 64;
/// Events that one look at the store goes through.
const LOOK_MAX: usize = 1000;

/// The kinds of events.
pub const KINDS: [&str; 10] = [
    "message",
    "changed",
    "timer",
    "state",
    "request",
    "identity_changed",
    "note",
    "gap",
    "history",
    "warning",
];

/// An event with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its number: the cursor of whoever has taken it.
    pub cursor: u64,
    /// When it was written down, ms since 1970-01-01 UTC.
    pub ts_ms: u64,
    /// One of [`KINDS`].
    pub kind: String,
    /// Its chat; `None` when it is about the profile.
    pub chat: Option<ChatId>,
    /// What it tells, as it is now.
    pub event: Event,
}

/// Events in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Those that can be told.
    pub told: Vec<Told>,
    /// Up to here all were looked at, also those that are left out: they are about other chats, or about what is
    /// gone.
    pub cursor: u64,
    /// The newest number there is.
    pub last: u64,
}

impl Client {
    /// At most `limit` events after `after`, of `chats` alone when they are given. [`ClientError::CursorTooOld`] when
    /// some of them are kept no more.
    pub fn events_after(
        &self,
        after: u64,
        limit: usize,
        chats: Option<&BTreeSet<ChatId>>,
    ) -> Result<Page, ClientError> {
        self.engine().look(|tx, own| {
            let (before_first, last) = tx.event_range()?;
            check_cursor(after, before_first, last)?;
            let mut page = Page {
                told: Vec::new(),
                cursor: after,
                last,
            };
            for row in tx.events_after(after, LOOK_MAX)? {
                if page.told.len() >= limit {
                    return Ok(page);
                }
                page.cursor = row.number;
                page.told.extend(tell(tx, own, &row, chats)?);
            }
            Ok(page)
        })
    }

    /// The same; when there is none, waits for one, at most `wait`.
    pub async fn next_events(
        &self,
        after: u64,
        limit: usize,
        chats: Option<&BTreeSet<ChatId>>,
        wait: Duration,
    ) -> Result<Page, ClientError> {
        // Before the first look: what is written after it is heard of.
        let mut news = self.news();
        let mut page = self.events_after(after, limit, chats)?;
        let waiting = async {
            loop {
                while page.told.is_empty() && page.cursor < page.last {
                    page = self.events_after(page.cursor, limit, chats)?;
                }
                if !page.told.is_empty() {
                    return Ok(());
                }
                if news.changed().await.is_err() {
                    return Err(ClientError::Broken("the engine stopped".into()));
                }
                page = self.events_after(page.cursor, limit, chats)?;
            }
        };
        // When the time is over the page says up to where nothing was.
        tokio::time::timeout(wait, waiting)
            .await
            .unwrap_or(Ok(()))?;
        Ok(page)
    }

    /// Changes whenever there is another event.
    pub fn news(&self) -> watch::Receiver<()> {
        self.engine().journal.subscribe()
    }

    /// The event with that number, of `chats` alone when they are given; `None` when it is kept no more or what it
    /// tells is gone.
    pub fn event(
        &self,
        number: u64,
        chats: Option<&BTreeSet<ChatId>>,
    ) -> Result<Option<Told>, ClientError> {
        self.engine().look(|tx, own| match tx.event(number)? {
            Some(row) => tell(tx, own, &row, chats),
            None => Ok(None),
        })
    }

    /// The number before the oldest event that is kept, and the newest number.
    pub fn event_range(&self) -> Result<(u64, u64), ClientError> {
        self.engine().look(|tx, _| Ok(tx.event_range()?))
    }

    /// Where the program `name` of `owner` goes on: behind what it acknowledged. With `from` it goes there; 0 is the
    /// oldest event that is kept. A new one begins with what happens from now on.
    pub fn consume(&self, owner: &str, name: &str, from: Option<u64>) -> Result<u64, ClientError> {
        check_name(name)?;
        self.engine().step(|step| {
            let (before_first, last) = step.tx.event_range()?;
            let known = step.tx.consumer(owner, name)?;
            let cursor = match (from, known) {
                (Some(0), _) => before_first,
                (Some(from), _) => from,
                (None, Some(known)) => known,
                (None, None) => last,
            };
            check_cursor(cursor, before_first, last)?;
            if known.is_none() && step.tx.consumers(owner)?.len() >= CONSUMERS_MAX {
                return Err(ClientError::TooLarge(format!(
                    "there are {CONSUMERS_MAX} consumers already; take one back with events.forget first"
                )));
            }
            if known != Some(cursor) {
                step.tx.put_consumer(owner, name, cursor)?;
            }
            Ok(cursor)
        })
    }

    /// The program `name` of `owner` is done with everything up to `cursor`; how far it is then. Never goes back.
    pub fn ack_events(&self, owner: &str, name: &str, cursor: u64) -> Result<u64, ClientError> {
        self.engine().step(|step| {
            let known = step.tx.consumer(owner, name)?;
            let known = known.ok_or_else(|| no_consumer(name))?;
            let (_, last) = step.tx.event_range()?;
            check_cursor(cursor, 0, last)?;
            if cursor > known {
                step.tx.put_consumer(owner, name, cursor)?;
            }
            Ok(cursor.max(known))
        })
    }

    /// The programs of `owner` and how far each is.
    pub fn consumers(&self, owner: &str) -> Result<Vec<(String, u64)>, ClientError> {
        self.engine().look(|tx, _| Ok(tx.consumers(owner)?))
    }

    /// Forgets how far the program `name` of `owner` is.
    pub fn forget_consumer(&self, owner: &str, name: &str) -> Result<(), ClientError> {
        self.engine().step(|step| {
            if step.tx.delete_consumer(owner, name)? {
                return Ok(());
            }
            Err(no_consumer(name))
        })
    }
}

fn no_consumer(name: &str) -> ClientError {
    let name: String = name.chars().take(NAME_BYTES_MAX).collect();
    ClientError::NotFound(format!(
        "there is no consumer {name}; events.subscribe makes one"
    ))
}

fn check_name(name: &str) -> Result<(), ClientError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_number = name.chars().all(|c| c.is_ascii_digit());
    if is_number || name.len() > NAME_BYTES_MAX || !name.chars().all(is_allowed) {
        return Err(ClientError::BadInput(format!(
            "a consumer's name is up to {NAME_BYTES_MAX} letters, digits and `-_.`, and no number"
        )));
    }
    Ok(())
}

fn check_cursor(cursor: u64, before_first: u64, last: u64) -> Result<(), ClientError> {
    if cursor > last {
        return Err(ClientError::BadInput(format!(
            "there is no event {cursor} yet; the newest is {last}"
        )));
    }
    if cursor < before_first {
        return Err(ClientError::CursorTooOld { before_first });
    }
    Ok(())
}

/// Writes down what a step did, in its transaction.
pub(crate) fn write(step: &Step<'_>, event: &Event) -> Result<(), ClientError> {
    let Some(mut row) = row_of(event) else {
        return Ok(());
    };
    row.at_ms = step.now_ms;
    let number = step.tx.put_event(&row)?;
    step.is_told.set(true);
    if number % PRUNE_EVERY == 0 {
        let since_ms = step.now_ms.saturating_sub(EVENTS_MS);
        step.tx.prune_events(EVENTS_MAX, since_ms)?;
    }
    Ok(())
}

/// The names of what an event tells; `None` when it is not kept: who types now, and how far a
/// file is, is another thing soon.
fn row_of(event: &Event) -> Option<EventRow> {
    let mut row = EventRow::default();
    let kind = match event {
        Event::Received(message) => {
            row.chat_id = Some(message.chat);
            row.sender = Some(message.from.account_id);
            row.thing = Some(message.id);
            "message"
        }
        Event::Changed { message, what, by } => {
            row.chat_id = Some(message.chat);
            row.sender = Some(message.from.account_id);
            row.thing = Some(message.id);
            row.actor = Some(by.account_id);
            what.name().clone_into(&mut row.word);
            "changed"
        }
        Event::TimerSet(timer) => {
            row.chat_id = Some(timer.chat);
            row.actor = timer.by.as_ref().map(|by| by.account_id);
            row.numbers = [timer.seconds.into(), 0, 0];
            "timer"
        }
        Event::StateChanged { chat, id, state } => {
            row.chat_id = Some(*chat);
            row.thing = Some(*id);
            state.name().clone_into(&mut row.word);
            "state"
        }
        Event::Requested { chat } => {
            row.chat_id = Some(*chat);
            "request"
        }
        Event::IdentityChanged { chat } => {
            row.chat_id = Some(*chat);
            "identity_changed"
        }
        // What was done here needs no telling.
        Event::Noted(note) if !note.is_told => {
            row.chat_id = Some(note.chat);
            row.numbers = [u64::try_from(note.id).ok()?, 0, 0];
            "note"
        }
        Event::Gap { chat, from, to } => {
            row.chat_id = Some(*chat);
            row.numbers = [*from, *to, 0];
            "gap"
        }
        Event::History(progress) if progress.is_over => {
            row.word.clone_from(&progress.reason);
            row.numbers = [
                progress.bytes_done,
                progress.bytes_total,
                // The direction stands in the last bit.
                progress.messages.saturating_mul(2) | u64::from(progress.is_incoming),
            ];
            "history"
        }
        Event::Warning(text) => {
            row.word.clone_from(text);
            "warning"
        }
        Event::Noted(_) | Event::History(_) | Event::Typing { .. } | Event::File(_) => return None,
    };
    kind.clone_into(&mut row.kind);
    Some(row)
}

/// What an event tells now; `None` when that is gone, or not for whoever asks.
fn tell(
    tx: &Tx<'_>,
    own: &Own,
    row: &EventRow,
    chats: Option<&BTreeSet<ChatId>>,
) -> Result<Option<Told>, ClientError> {
    let is_seen = chats.is_none_or(|chats| row.chat_id.is_some_and(|chat| chats.contains(&chat)));
    if !is_seen {
        return Ok(None);
    }
    let event = match row.chat_id {
        Some(chat) => in_chat(tx, own, row, chat)?,
        None => of_profile(row),
    };
    Ok(event.map(|event| Told {
        cursor: row.number,
        ts_ms: row.at_ms,
        kind: row.kind.clone(),
        chat: row.chat_id,
        event,
    }))
}

fn of_profile(row: &EventRow) -> Option<Event> {
    let [bytes_done, bytes_total, messages] = row.numbers;
    match row.kind.as_str() {
        "history" => Some(Event::History(HistoryProgress {
            is_incoming: messages % 2 == 1,
            bytes_done,
            bytes_total,
            messages: messages / 2,
            is_over: true,
            reason: row.word.clone(),
        })),
        "warning" => Some(Event::Warning(row.word.clone())),
        _ => None,
    }
}

fn in_chat(
    tx: &Tx<'_>,
    own: &Own,
    row: &EventRow,
    chat: ChatId,
) -> Result<Option<Event>, ClientError> {
    let actor = row.actor.map(|actor| who(tx, own, actor)).transpose()?;
    let [one, two, _] = row.numbers;
    Ok(match row.kind.as_str() {
        "message" | "changed" => {
            let (Some(sender), Some(message_id)) = (row.sender, row.thing) else {
                return Ok(None);
            };
            let name = MessageRef { sender, message_id };
            let found = tx.message(name.sender, name.message_id)?;
            let Some(found) = found.filter(|found| found.deleted != Deleted::ForMe) else {
                return Ok(None);
            };
            let message = show(tx, own, &found)?;
            let what = Change::from_name(&row.word);
            match (what, actor) {
                (Some(what), Some(by)) => Some(Event::Changed { message, what, by }),
                _ if row.kind == "message" => Some(Event::Received(message)),
                _ => None,
            }
        }
        "state" => row
            .thing
            .zip(MessageState::from_name(&row.word))
            .map(|(id, state)| Event::StateChanged { chat, id, state }),
        "timer" => Some(Event::TimerSet(Timer {
            chat,
            seconds: u32::try_from(one).unwrap_or(u32::MAX),
            by: actor,
        })),
        "request" => Some(Event::Requested { chat }),
        "identity_changed" => Some(Event::IdentityChanged { chat }),
        "note" => {
            let note = i64::try_from(one).map(|id| tx.note(id)).ok().transpose()?;
            let note = note.flatten().map(|note| show_note(tx, own, &note));
            note.transpose()?.map(Event::Noted)
        }
        "gap" => Some(Event::Gap {
            chat,
            from: one,
            to: two,
        }),
        _ => None,
    })
}
