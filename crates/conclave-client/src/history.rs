//! What was said in a chat, from one end to the other.

use conclave_proto::id::{ChatId, MessageId};

use crate::client::Client;
use crate::engine::show;
use crate::error::ClientError;
use crate::store::{MessageRow, Tx};
use crate::view::Message;

/// Messages that are shown under one look at the store.
const AT_ONCE: usize = 500;

/// A message with what stands around it: [`Client::history_around`].
#[derive(Debug, Clone)]
pub struct Around {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// Whether the chat has messages before the first of these.
    pub has_older: bool,
    /// Whether the chat has messages after the last of these.
    pub has_newer: bool,
}

impl Client {
    /// The `limit` messages of a chat that come before one of it, oldest first.
    pub fn history_before(
        &self,
        chat: ChatId,
        before: MessageId,
        limit: usize,
    ) -> Result<Vec<Message>, ClientError> {
        self.engine().look(|tx, own| {
            let before = message_of(tx, chat, before)?;
            let rows = tx.history_before(chat, Some(&before), limit)?;
            rows.iter().map(|row| show(tx, own, row)).collect()
        })
    }

    /// A message of a chat with what stands around it: at most `limit` messages before it and as many after it.
    pub fn history_around(
        &self,
        chat: ChatId,
        message: MessageId,
        limit: usize,
    ) -> Result<Around, ClientError> {
        self.engine().look(|tx, own| {
            let row = message_of(tx, chat, message)?;
            let mut rows = tx.history_before(chat, Some(&row), limit.saturating_add(1))?;
            let has_older = rows.len() > limit;
            rows.drain(..rows.len().saturating_sub(limit));
            let mut after = tx.history_after(chat, &row, limit.saturating_add(1))?;
            let has_newer = after.len() > limit;
            after.truncate(limit);
            rows.push(row);
            rows.append(&mut after);
            let messages = rows.iter().map(|row| show(tx, own, row));
            Ok(Around {
                messages: messages.collect::<Result<_, ClientError>>()?,
                has_older,
                has_newer,
            })
        })
    }

    /// The `limit` messages of a chat that come after one of it, oldest first.
    pub fn history_after(
        &self,
        chat: ChatId,
        after: MessageId,
        limit: usize,
    ) -> Result<Vec<Message>, ClientError> {
        self.engine().look(|tx, own| {
            let after = message_of(tx, chat, after)?;
            let rows = tx.history_after(chat, &after, limit)?;
            rows.iter().map(|row| show(tx, own, row)).collect()
        })
    }

    /// Gives every message of a chat to `put`, oldest first, few in memory at once; how many. What disappears on the
    /// way is left out (C-177).
    pub fn each_message<E: From<ClientError>>(
        &self,
        chat: ChatId,
        mut put: impl FnMut(&Message) -> Result<(), E>,
    ) -> Result<u64, E> {
        let rows = self.engine().look(|tx, _| Ok(tx.rows_of(chat)?))?;
        let mut count = 0;
        for rows in rows.chunks(AT_ONCE) {
            let messages = self.engine().look(|tx, own| {
                let rows = rows.iter().filter_map(|row| tx.row(*row).transpose());
                let shown = rows.map(|row| show(tx, own, &row?));
                shown.collect::<Result<Vec<_>, ClientError>>()
            })?;
            for message in &messages {
                put(message)?;
                count += 1;
            }
        }
        Ok(count)
    }
}

/// A message that is in a chat.
pub(crate) fn message_of(
    tx: &Tx<'_>,
    chat: ChatId,
    id: MessageId,
) -> Result<MessageRow, ClientError> {
    let row = tx.find_message(id)?.filter(|row| row.chat_id == chat);
    row.ok_or_else(|| ClientError::NotFound(format!("there is no message {id} in this chat")))
}
