//! Events by number, and how far programs have taken them.

use conclave_proto::id::{AccountId, ChatId, MessageId};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{StoreError, Tx, counter, int};

/// One event: names of what it tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EventRow {
    /// Its number; 0 before it is written.
    pub(crate) number: u64,
    /// When it was written, ms since 1970-01-01 UTC.
    pub(crate) at_ms: u64,
    /// Its stable name.
    pub(crate) kind: String,
    /// Its chat; `None` when it is about the profile.
    pub(crate) chat_id: Option<ChatId>,
    /// Who wrote the message.
    pub(crate) sender: Option<AccountId>,
    /// The message.
    pub(crate) thing: Option<MessageId>,
    /// Who did it.
    pub(crate) actor: Option<AccountId>,
    /// A state, a change, a sentence.
    pub(crate) word: String,
    /// Numbers, each kind its own.
    pub(crate) numbers: [u64; 3],
}

fn event(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    let bytes = |name| row.get::<_, Vec<u8>>(name);
    Ok(EventRow {
        number: counter(row, "number")?,
        at_ms: counter(row, "at_ms")?,
        kind: row.get("kind")?,
        chat_id: bytes("chat_id")?.try_into().ok().map(ChatId::new),
        sender: bytes("sender")?.try_into().ok().map(AccountId::new),
        thing: bytes("thing")?.try_into().ok().map(MessageId::new),
        actor: bytes("actor")?.try_into().ok().map(AccountId::new),
        word: row.get("word")?,
        numbers: [
            counter(row, "one")?,
            counter(row, "two")?,
            counter(row, "three")?,
        ],
    })
}

impl Tx<'_> {
    /// Writes an event; its number.
    pub(crate) fn put_event(&self, new: &EventRow) -> Result<u64, StoreError> {
        let [one, two, three] = new.numbers;
        let mut statement = self.0.prepare_cached(
            "INSERT INTO event (at_ms, kind, chat_id, sender, thing, actor, word, one, two, three)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING number",
        )?;
        let values = params![
            int(new.at_ms),
            new.kind,
            new.chat_id.map(|id| id.to_vec()).unwrap_or_default(),
            new.sender.map(|id| id.to_vec()).unwrap_or_default(),
            new.thing.map(|id| id.to_vec()).unwrap_or_default(),
            new.actor.map(|id| id.to_vec()).unwrap_or_default(),
            new.word,
            int(one),
            int(two),
            int(three),
        ];
        Ok(statement.query_row(values, |row| counter(row, "number"))?)
    }

    /// Deletes the oldest events: all before the last `count_max`, and those before the first that is not older
    /// than `since_ms`. Always a beginning of the list, whatever the clock did.
    pub(crate) fn prune_events(&self, count_max: u64, since_ms: u64) -> Result<(), StoreError> {
        let (_, last) = self.event_range()?;
        let mut statement = self
            .0
            .prepare_cached("SELECT number FROM event WHERE at_ms >= ?1 ORDER BY number LIMIT 1")?;
        let young = statement
            .query_row([int(since_ms)], |row| counter(row, "number"))
            .optional()?;
        let kept = young
            .unwrap_or(last + 1)
            .max(last.saturating_sub(count_max) + 1);
        self.0
            .prepare_cached("DELETE FROM event WHERE number < ?1")?
            .execute([int(kept)])?;
        Ok(())
    }

    /// The number before the oldest event that is kept, and the newest number that was given.
    pub(crate) fn event_range(&self) -> Result<(u64, u64), StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'event'")?;
        let last = statement
            .query_row([], |row| counter(row, "seq"))
            .optional()?;
        let last = last.unwrap_or(0);
        let mut statement = self
            .0
            .prepare_cached("SELECT number FROM event ORDER BY number LIMIT 1")?;
        let first = statement
            .query_row([], |row| counter(row, "number"))
            .optional()?;
        Ok((first.map_or(last, |first| first.saturating_sub(1)), last))
    }

    /// At most `limit` events after number `after`, in order.
    pub(crate) fn events_after(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<EventRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM event WHERE number > ?1 ORDER BY number LIMIT ?2")?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![int(after), limit], event)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The event with that number, while it is kept.
    pub(crate) fn event(&self, number: u64) -> Result<Option<EventRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM event WHERE number = ?1")?;
        Ok(statement.query_row([int(number)], event).optional()?)
    }

    /// How far a program has taken the events.
    pub(crate) fn consumer(&self, owner: &str, name: &str) -> Result<Option<u64>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT cursor FROM consumer WHERE owner = ?1 AND name = ?2")?;
        Ok(statement
            .query_row([owner, name], |row| counter(row, "cursor"))
            .optional()?)
    }

    /// A program has taken the events up to `cursor`, or begins there.
    pub(crate) fn put_consumer(
        &self,
        owner: &str,
        name: &str,
        cursor: u64,
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT INTO consumer (owner, name, cursor) VALUES (?1, ?2, ?3)
                 ON CONFLICT (owner, name) DO UPDATE SET cursor = excluded.cursor",
            )?
            .execute(params![owner, name, int(cursor)])?;
        Ok(())
    }

    /// The programs of an owner and how far each is.
    pub(crate) fn consumers(&self, owner: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT name, cursor FROM consumer WHERE owner = ?1 ORDER BY name")?;
        let rows = statement.query_map([owner], |row| {
            Ok((row.get("name")?, counter(row, "cursor")?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets a program; whether it was known.
    pub(crate) fn delete_consumer(&self, owner: &str, name: &str) -> Result<bool, StoreError> {
        let deleted = self
            .0
            .prepare_cached("DELETE FROM consumer WHERE owner = ?1 AND name = ?2")?
            .execute([owner, name])?;
        Ok(deleted > 0)
    }

    /// Forgets all programs and calls of an owner.
    pub(crate) fn delete_owner(&self, owner: &str) -> Result<(), StoreError> {
        for words in [
            "DELETE FROM consumer WHERE owner = ?1",
            "DELETE FROM call_key WHERE owner = ?1",
        ] {
            self.0.execute(words, [owner])?;
        }
        Ok(())
    }
}
