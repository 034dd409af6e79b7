//! Which messages say a word: the index beside the message table.

use conclave_proto::id::{AccountId, ChatId};
use rusqlite::{ToSql, named_params};

use super::messages::message;
use super::{MessageRow, StoreError, Tx, int};

/// What is looked for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// A full-text query of the index; made by [`crate::search`] alone, never a person's words.
    pub(crate) query: String,
    /// In one chat.
    pub(crate) chat: Option<ChatId>,
    /// Written by somebody.
    pub(crate) sender: Option<AccountId>,
    /// Written then or later, ms since 1970-01-01 UTC.
    pub(crate) since_ms: u64,
    /// Rows before this one.
    pub(crate) before: Option<i64>,
    /// At most so many.
    pub(crate) limit: usize,
}

impl Tx<'_> {
    /// Messages that say what is wanted, those that came last first; each with its text, where `marker` stands before
    /// and after each word that was found. Strangers' requests are left out.
    pub(crate) fn find_words(
        &self,
        wanted: &Wanted,
        marker: &str,
    ) -> Result<Vec<(MessageRow, String)>, StoreError> {
        // C-205: the schema's triggers take out of the index what is gone, and overwrite it there
        let mut statement = self.0.prepare_cached(
            "SELECT message.*, highlight(message_words, 0, :marker, :marker) AS marked
             FROM message_words JOIN message ON message.id = message_words.rowid JOIN chat USING (chat_id)
             WHERE message_words MATCH :query AND message_words.rowid < :before AND message.deleted = 0
             AND message.reason = '' AND chat.stage NOT IN ('request', 'declined')
             AND (:chat IS NULL OR message.chat_id = :chat) AND (:sender IS NULL OR message.sender = :sender)
             AND message.sent_ms >= :since ORDER BY message_words.rowid DESC LIMIT :limit",
        )?;
        let (chat, sender) = (
            wanted.chat.map(|chat| chat.to_vec()),
            wanted.sender.map(|sender| sender.to_vec()),
        );
        let (before, since) = (wanted.before.unwrap_or(i64::MAX), int(wanted.since_ms));
        let limit = i64::try_from(wanted.limit).unwrap_or(i64::MAX);
        let params: &[(&str, &dyn ToSql)] = named_params! {
            ":query": wanted.query, ":marker": marker, ":chat": chat, ":sender": sender,
            ":since": since, ":before": before, ":limit": limit,
        };
        let rows = statement.query_map(params, |row| Ok((message(row)?, row.get("marked")?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
