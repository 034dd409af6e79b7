//! Message rows: own and others', in the order of their logs.

use conclave_core::content::{MessageRef, TextMore};
use conclave_proto::id::{AccountId, ChatId, Epoch, LogId, MessageId, Seq};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{StoreError, Tx, id, int, optional_counter};
use crate::inspect::MessagePlace;
use crate::view::MessageState;

/// One message.
#[derive(Debug, Clone)]
pub(crate) struct MessageRow {
    /// Its chat.
    pub(crate) chat_id: ChatId,
    /// The message.
    pub(crate) message_id: MessageId,
    /// Who wrote it.
    pub(crate) sender: AccountId,
    /// Whether this account wrote it.
    pub(crate) own: bool,
    /// Text; empty for content of an unknown kind.
    pub(crate) body: String,
    /// Content that this version does not know, whole; empty else.
    pub(crate) raw: Vec<u8>,
    /// How far it got.
    pub(crate) state: MessageState,
    /// Why it failed or cannot be shown.
    pub(crate) reason: String,
    /// Place of its log in the chat.
    pub(crate) ordinal: Option<u64>,
    /// Position there.
    pub(crate) seq: Option<u64>,
    /// Epoch of its entry.
    pub(crate) epoch: Option<u64>,
    /// Other devices it is encrypted to.
    pub(crate) devices: u32,
    /// When it was written, ms since 1970-01-01 UTC, clamped.
    pub(crate) sent_ms: u64,
    /// Whether this user has read it.
    pub(crate) is_read: bool,
    /// What comes with the text, encoded.
    pub(crate) more: Vec<u8>,
    /// What it said before it was edited: text and what came with it.
    pub(crate) first: Option<(String, Vec<u8>)>,
    /// Whether its content is gone, and how.
    pub(crate) deleted: Deleted,
    /// Who deleted it for everyone.
    pub(crate) deleted_by: Option<AccountId>,
    /// The timer it was written under, in seconds; 0 = it stays.
    pub(crate) expires_s: u32,
    /// When it goes, ms since 1970-01-01 UTC; `None` until its clock starts.
    pub(crate) expires_ms: Option<u64>,
    /// Log.
    pub(crate) log_id: Option<LogId>,
}

impl MessageRow {
    /// What comes with the text now; nothing when it is damaged.
    pub(crate) fn more(&self) -> TextMore {
        TextMore::parse(&self.more, &self.body).unwrap_or_default()
    }

    /// What it said first: what its own entry in the log says.
    pub(crate) fn said(&self) -> (String, TextMore) {
        let (body, more) = match &self.first {
            Some((body, more)) => (body.clone(), more),
            None => (self.body.clone(), &self.more),
        };
        let more = TextMore::parse(more, &body).unwrap_or_default();
        (body, more)
    }

    /// How other messages name it.
    pub(crate) fn name(&self) -> MessageRef {
        MessageRef {
            sender: self.sender,
            message_id: self.message_id,
        }
    }
}

/// Whether a message's content is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// It is there.
    No,
    /// Gone for everyone: a tombstone is shown.
    ForEveryone,
    /// Gone on own devices: nothing is shown.
    ForMe,
}

impl Deleted {
    /// The number it has in rows and archives.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::No => 0,
            Self::ForEveryone => 1,
            Self::ForMe => 2,
        }
    }

    /// What a number in a row or archive says.
    pub(crate) fn parse(number: u8) -> Self {
        match number {
            0 => Self::No,
            1 => Self::ForEveryone,
            _ => Self::ForMe,
        }
    }
}

/// A message to be written.
#[derive(Debug, Clone)]
pub(crate) struct NewMessage<'a> {
    /// Its chat.
    pub(crate) chat_id: ChatId,
    /// The message.
    pub(crate) message_id: MessageId,
    /// Who wrote it.
    pub(crate) sender: AccountId,
    /// Whether this account wrote it.
    pub(crate) own: bool,
    /// Text.
    pub(crate) body: &'a str,
    /// What comes with it.
    pub(crate) more: &'a TextMore,
    /// Content of an unknown kind.
    pub(crate) raw: &'a [u8],
    /// Why it cannot be shown.
    pub(crate) reason: &'a str,
    /// When it was written, ms since 1970-01-01 UTC, clamped.
    pub(crate) sent_ms: u64,
    /// Whether no listener has to be told: it was written here, or came with a request.
    pub(crate) is_heard: bool,
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    /// Log.
    pub(crate) log_id: LogId,
    /// Place of that log in its chat.
    pub(crate) ordinal: u64,
    /// Place in the log.
    pub(crate) seq: Seq,
    /// Epoch.
    pub(crate) epoch: Epoch,
    /// Other devices in the group.
    pub(crate) devices: u32,
}

pub(super) fn message(row: &Row<'_>) -> rusqlite::Result<MessageRow> {
    Ok(MessageRow {
        chat_id: ChatId::new(id(row, "chat_id")?),
        message_id: MessageId::new(id(row, "message_id")?),
        sender: AccountId::new(id(row, "sender")?),
        own: row.get("own")?,
        body: row.get("body")?,
        raw: row.get("raw")?,
        state: MessageState::from_name(&row.get::<_, String>("state")?)
            .unwrap_or(MessageState::Failed),
        reason: row.get("reason")?,
        ordinal: optional_counter(row, "ordinal")?,
        seq: optional_counter(row, "seq")?,
        epoch: optional_counter(row, "epoch")?,
        devices: row.get("devices")?,
        sent_ms: super::counter(row, "sent_ms")?,
        is_read: row.get("is_read")?,
        more: row.get("more")?,
        first: row
            .get::<_, Option<String>>("first_body")?
            .zip(row.get("first_more")?),
        deleted: Deleted::parse(row.get("deleted")?),
        deleted_by: row
            .get::<_, Option<[u8; 16]>>("deleted_by")?
            .map(AccountId::new),
        expires_s: row.get("expires_s")?,
        expires_ms: optional_counter(row, "expires_ms")?,
        log_id: row.get::<_, Option<[u8; 32]>>("log_id")?.map(LogId::new),
    })
}

impl Tx<'_> {
    /// Where the messages of a chat stand, in the order of its history.
    pub(crate) fn places(&self, chat_id: ChatId) -> Result<Vec<MessagePlace>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT message_id, log_id, epoch, seq FROM message
             WHERE chat_id = ?1 AND log_id IS NOT NULL AND seq IS NOT NULL AND epoch IS NOT NULL
             ORDER BY ordinal, seq",
        )?;
        let places = statement.query_map([chat_id.as_bytes()], |row| {
            Ok(MessagePlace {
                id: MessageId::new(id(row, "message_id")?),
                log_id: LogId::new(id(row, "log_id")?),
                epoch: Epoch(super::counter(row, "epoch")?),
                seq: Seq(super::counter(row, "seq")?),
            })
        })?;
        Ok(places.collect::<Result<_, _>>()?)
    }

    /// Writes a message unless (sender, id) is known already: the first one stays (C-052). Whether it was written.
    pub(crate) fn insert_message(&self, new: &NewMessage<'_>) -> Result<bool, StoreError> {
        let state = if new.own {
            MessageState::Queued
        } else {
            MessageState::Received
        };
        let written = self
            .0
            .prepare_cached(
                "INSERT OR IGNORE INTO message (chat_id, message_id, sender, own, body, raw, state, reason,
                 sent_ms, is_read, is_heard, more, expires_s)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?4, ?10, ?11, ?12)",
            )?
            .execute(params![
                new.chat_id.as_bytes(),
                new.message_id.as_bytes(),
                new.sender.as_bytes(),
                new.own,
                new.body,
                new.raw,
                state.name(),
                new.reason,
                int(new.sent_ms),
                new.is_heard,
                new.more.to_bytes(),
                new.more.expires_s,
            ])?;
        Ok(written == 1)
    }

    /// A message that was known by its words alone, from a request, came whole.
    pub(crate) fn complete_message(
        &self,
        sender: AccountId,
        message_id: MessageId,
        more: &TextMore,
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "UPDATE message SET more = ?3, expires_s = ?4
                 WHERE sender = ?1 AND message_id = ?2 AND seq IS NULL AND own = 0 AND deleted = 0",
            )?
            .execute(params![
                sender.as_bytes(),
                message_id.as_bytes(),
                more.to_bytes(),
                more.expires_s
            ])?;
        Ok(())
    }

    /// Gives a message other words. `first` is what it said first, kept from now on; `None` leaves nothing to keep.
    pub(crate) fn set_words(
        &self,
        of: MessageRef,
        (body, more): (&str, &[u8]),
        first: Option<(&str, &[u8])>,
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "UPDATE message SET body = ?3, more = ?4, first_body = ?5, first_more = ?6
                 WHERE sender = ?1 AND message_id = ?2 AND deleted = 0",
            )?
            .execute(params![
                of.sender.as_bytes(),
                of.message_id.as_bytes(),
                body,
                more,
                first.map(|(body, _)| body),
                first.map(|(_, more)| more),
            ])?;
        Ok(())
    }

    /// Takes a message's content away. Deleted on own devices stays so.
    pub(crate) fn wipe_message(
        &self,
        of: MessageRef,
        how: Deleted,
        by: Option<AccountId>,
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "UPDATE message SET body = '', more = x'', raw = x'', first_body = NULL, first_more = NULL,
                 deleted = max(deleted, ?3), deleted_by = coalesce(deleted_by, ?4), is_read = 1, is_heard = 1
                 WHERE sender = ?1 AND message_id = ?2",
            )?
            .execute(params![
                of.sender.as_bytes(),
                of.message_id.as_bytes(),
                how.number(),
                by.as_ref().map(AccountId::as_bytes),
            ])?;
        Ok(())
    }

    /// Gives a message its place, unless it has one.
    pub(crate) fn place_message(
        &self,
        sender: AccountId,
        message_id: MessageId,
        at: &Position,
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "UPDATE message SET log_id = ?3, ordinal = ?4, seq = ?5, epoch = ?6, devices = ?7
                 WHERE sender = ?1 AND message_id = ?2 AND seq IS NULL",
            )?
            .execute(params![
                sender.as_bytes(),
                message_id.as_bytes(),
                at.log_id.as_bytes(),
                int(at.ordinal),
                int(at.seq.0),
                int(at.epoch.0),
                at.devices,
            ])?;
        Ok(())
    }

    /// The server has an own message; whether that is news. States only move forward.
    pub(crate) fn accept_message(&self, message_id: MessageId) -> Result<bool, StoreError> {
        let raised = self
            .0
            .prepare_cached(
                "UPDATE message SET state = 'accepted', reason = ''
                 WHERE message_id = ?1 AND own = 1 AND state = 'queued'",
            )?
            .execute([message_id.as_bytes()])?;
        Ok(raised > 0)
    }

    /// Sets an own message's state and reason.
    pub(crate) fn set_message_state(
        &self,
        message_id: MessageId,
        state: MessageState,
        reason: &str,
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "UPDATE message SET state = ?2, reason = ?3 WHERE message_id = ?1 AND own = 1",
            )?
            .execute(params![message_id.as_bytes(), state.name(), reason])?;
        Ok(())
    }

    /// Own messages of a log up to `seq` that are not at `state` yet become it; which ones.
    pub(crate) fn raise_messages(
        &self,
        log_id: LogId,
        seq: u64,
        from: &[MessageState],
        state: MessageState,
    ) -> Result<Vec<MessageId>, StoreError> {
        let mut raised = Vec::new();
        for lower in from {
            let mut statement = self.0.prepare_cached(
                "UPDATE message SET state = ?4 WHERE log_id = ?1 AND seq <= ?2 AND own = 1 AND state = ?3
                 RETURNING message_id",
            )?;
            let rows = statement.query_map(
                params![log_id.as_bytes(), int(seq), lower.name(), state.name()],
                |row| row.get(0),
            )?;
            for row in rows {
                raised.push(MessageId::new(row?));
            }
        }
        Ok(raised)
    }

    /// Own messages of a log that the server accepted and nobody confirmed, in order; they lose their place
    /// there. Those that still stand in the outbox are left out.
    pub(crate) fn unplace_undelivered(&self, log_id: LogId) -> Result<Vec<MessageId>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT message_id FROM message WHERE log_id = ?1 AND own = 1 AND state = 'accepted'
             AND message_id NOT IN (SELECT message_id FROM outbox WHERE message_id IS NOT NULL)
             ORDER BY seq",
        )?;
        let rows = statement.query_map([log_id.as_bytes()], |row| row.get(0))?;
        let ids = rows.collect::<Result<Vec<[u8; 16]>, _>>()?;
        self.0.execute(
            "UPDATE message SET log_id = NULL, ordinal = NULL, seq = NULL, epoch = NULL
             WHERE log_id = ?1 AND own = 1 AND state = 'accepted'",
            [log_id.as_bytes()],
        )?;
        Ok(ids.into_iter().map(MessageId::new).collect())
    }

    /// Own messages of a log that the server accepted and not everybody confirmed, in order.
    pub(crate) fn undelivered(&self, log_id: LogId) -> Result<Vec<MessageId>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT message_id FROM message WHERE log_id = ?1 AND own = 1 AND state = 'accepted' ORDER BY seq",
        )?;
        let rows = statement.query_map([log_id.as_bytes()], |row| row.get(0))?;
        let ids = rows.collect::<Result<Vec<[u8; 16]>, _>>()?;
        Ok(ids.into_iter().map(MessageId::new).collect())
    }

    /// One message by (sender, id).
    pub(crate) fn message(
        &self,
        sender: AccountId,
        message_id: MessageId,
    ) -> Result<Option<MessageRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM message WHERE sender = ?1 AND message_id = ?2")?;
        Ok(statement
            .query_row(params![sender.as_bytes(), message_id.as_bytes()], message)
            .optional()?)
    }

    /// One message by its id alone; an own one first.
    pub(crate) fn find_message(
        &self,
        message_id: MessageId,
    ) -> Result<Option<MessageRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT * FROM message WHERE message_id = ?1 ORDER BY own DESC LIMIT 1",
        )?;
        Ok(statement
            .query_row([message_id.as_bytes()], message)
            .optional()?)
    }

    /// The row number of a message by its id alone; an own one first.
    pub(crate) fn message_row(&self, message_id: MessageId) -> Result<Option<i64>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT id FROM message WHERE message_id = ?1 ORDER BY own DESC LIMIT 1",
        )?;
        let found = statement.query_row([message_id.as_bytes()], |row| row.get(0));
        Ok(found.optional()?)
    }

    /// Unread messages of a chat.
    pub(crate) fn unread(&self, chat_id: ChatId) -> Result<u64, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT count(*) AS n FROM message WHERE chat_id = ?1 AND is_read = 0",
        )?;
        Ok(statement.query_row([chat_id.as_bytes()], |row| super::counter(row, "n"))?)
    }

    /// Unread messages of a chat, in the order they came in.
    pub(crate) fn unread_messages(&self, chat_id: ChatId) -> Result<Vec<MessageRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT * FROM message WHERE chat_id = ?1 AND is_read = 0 ORDER BY id",
        )?;
        let rows = statement.query_map([chat_id.as_bytes()], message)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Messages that no listener was told of, in the order they came in.
    pub(crate) fn unheard_messages(&self) -> Result<Vec<MessageRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM message WHERE is_heard = 0 ORDER BY id")?;
        let rows = statement.query_map([], message)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A listener was told of a message.
    pub(crate) fn mark_heard(&self, sender: AccountId, id: MessageId) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "UPDATE message SET is_heard = 1 WHERE sender = ?1 AND message_id = ?2",
            )?
            .execute(params![sender.as_bytes(), id.as_bytes()])?;
        Ok(())
    }

    /// Marks everything of a log up to `seq` read: another own device did.
    pub(crate) fn mark_read_to(&self, log_id: LogId, seq: u64) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "UPDATE message SET is_read = 1, is_heard = 1 WHERE log_id = ?1 AND seq <= ?2 AND is_read = 0",
            )?
            .execute(params![log_id.as_bytes(), int(seq)])?;
        Ok(())
    }

    /// Marks everything in a chat read; how many were not, and the last read position of each log.
    pub(crate) fn mark_read(
        &self,
        chat_id: ChatId,
    ) -> Result<(u64, Vec<(LogId, u64)>), StoreError> {
        let count = self.0.execute(
            "UPDATE message SET is_read = 1, is_heard = 1 WHERE chat_id = ?1 AND is_read = 0",
            [chat_id.as_bytes()],
        )?;
        let mut statement = self.0.prepare_cached(
            "SELECT log_id, max(seq) AS last FROM message
             WHERE chat_id = ?1 AND own = 0 AND seq IS NOT NULL GROUP BY log_id",
        )?;
        let rows = statement.query_map([chat_id.as_bytes()], |row| {
            Ok((LogId::new(id(row, "log_id")?), super::counter(row, "last")?))
        })?;
        Ok((count as u64, rows.collect::<Result<_, _>>()?))
    }
}
