//! What was said in a chat, in the order it is shown: in log order, what waits for its place last.

use conclave_proto::id::ChatId;
use rusqlite::{OptionalExtension as _, params};

use super::messages::message;
use super::{MessageRow, StoreError, Tx, int};

impl Tx<'_> {
    /// The rows of a chat's messages that are shown, oldest first.
    pub(crate) fn rows_of(&self, chat_id: ChatId) -> Result<Vec<i64>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT id FROM message WHERE chat_id = ?1 AND deleted < 2
             ORDER BY ordinal IS NULL, ordinal, seq, id",
        )?;
        let rows = statement.query_map([chat_id.as_bytes()], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// One message by its row, when it is still there to be shown.
    pub(crate) fn row(&self, row: i64) -> Result<Option<MessageRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM message WHERE id = ?1 AND deleted < 2")?;
        Ok(statement.query_row([row], message).optional()?)
    }

    /// The newest `limit` messages of a chat, oldest first: in log order, queued ones last.
    pub(crate) fn history(
        &self,
        chat_id: ChatId,
        limit: usize,
    ) -> Result<Vec<MessageRow>, StoreError> {
        self.history_before(chat_id, None, limit)
    }

    /// The last `limit` messages of a chat before one of them, oldest first. Each half is read along its index,
    /// however long the chat is.
    pub(crate) fn history_before(
        &self,
        chat_id: ChatId,
        before: Option<&MessageRow>,
        limit: usize,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let place = before.and_then(|row| row.ordinal.zip(row.seq));
        let mut messages = Vec::new();
        if place.is_none() {
            let row = before.map(|row| self.message_row(row.message_id));
            let row = row.transpose()?.flatten().unwrap_or(i64::MAX);
            let mut statement = self.0.prepare_cached(
                "SELECT * FROM message WHERE chat_id = ?1 AND ordinal IS NULL AND id < ?2 AND deleted < 2
                 ORDER BY id DESC LIMIT ?3",
            )?;
            let rows = statement.query_map(params![chat_id.as_bytes(), row, limit], message)?;
            messages = rows.collect::<Result<_, _>>()?;
        }
        let (ordinal, seq) = place.unwrap_or((u64::MAX, u64::MAX));
        let left = limit.saturating_sub(i64::try_from(messages.len()).unwrap_or(i64::MAX));
        let mut statement = self.0.prepare_cached(
            "SELECT * FROM message WHERE chat_id = ?1 AND (ordinal, seq) < (?2, ?3) AND deleted < 2
             ORDER BY ordinal DESC, seq DESC, id DESC LIMIT ?4",
        )?;
        let place = params![chat_id.as_bytes(), int(ordinal), int(seq), left];
        let rows = statement.query_map(place, message)?;
        for row in rows {
            messages.push(row?);
        }
        messages.reverse();
        Ok(messages)
    }

    /// The first `limit` messages of a chat after one of them, oldest first: queued ones last.
    pub(crate) fn history_after(
        &self,
        chat_id: ChatId,
        after: &MessageRow,
        limit: usize,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut messages = Vec::new();
        // The last row that is passed over among those that wait for their place.
        let mut queued = 0;
        if let Some((ordinal, seq)) = after.ordinal.zip(after.seq) {
            let mut statement = self.0.prepare_cached(
                "SELECT * FROM message WHERE chat_id = ?1 AND (ordinal, seq) > (?2, ?3) AND deleted < 2
                 ORDER BY ordinal, seq, id LIMIT ?4",
            )?;
            let place = params![chat_id.as_bytes(), int(ordinal), int(seq), limit];
            messages = statement
                .query_map(place, message)?
                .collect::<Result<_, _>>()?;
        } else {
            queued = self.message_row(after.message_id)?.unwrap_or(i64::MAX);
        }
        let left = limit.saturating_sub(i64::try_from(messages.len()).unwrap_or(i64::MAX));
        let mut statement = self.0.prepare_cached(
            "SELECT * FROM message WHERE chat_id = ?1 AND ordinal IS NULL AND id > ?2 AND deleted < 2
             ORDER BY id LIMIT ?3",
        )?;
        let rows = statement.query_map(params![chat_id.as_bytes(), queued, left], message)?;
        for row in rows {
            messages.push(row?);
        }
        Ok(messages)
    }
}
