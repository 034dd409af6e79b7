//! Groups that cannot go on in a log, until another one continues them.

use conclave_proto::id::{AccountId, ChatId, LogId};
use rusqlite::{OptionalExtension, Row, params};

use super::{StoreError, Tx, counter, id, int};

/// A log that a group is stuck in, at its last good epoch.
#[derive(Debug, Clone)]
pub(crate) struct StuckRow {
    /// The log.
    pub(crate) log_id: LogId,
    /// The group's chat.
    pub(crate) chat_id: ChatId,
    /// Who broke it, when somebody is named.
    pub(crate) left_out: Vec<AccountId>,
    /// When this device begins a successor, ms since 1970-01-01 UTC.
    pub(crate) due_ms: u64,
    /// When this device saw that the server was put back from a backup, ms since 1970-01-01 UTC; 0 = it was not.
    pub(crate) restored_ms: u64,
}

fn stuck(row: &Row<'_>) -> rusqlite::Result<StuckRow> {
    let left_out = row.get::<_, Vec<u8>>("left_out")?;
    let (left_out, _) = left_out.as_chunks::<16>();
    Ok(StuckRow {
        log_id: LogId::new(id(row, "log_id")?),
        chat_id: ChatId::new(id(row, "chat_id")?),
        left_out: left_out.iter().map(|id| AccountId::new(*id)).collect(),
        due_ms: counter(row, "due_ms")?,
        restored_ms: counter(row, "restored_ms")?,
    })
}

impl Tx<'_> {
    /// Remembers that a group is stuck, and who broke it.
    pub(crate) fn put_stuck(&self, row: &StuckRow) -> Result<(), StoreError> {
        let left_out: Vec<u8> = row.left_out.iter().flat_map(|id| id.to_vec()).collect();
        self.0.execute(
            "INSERT OR REPLACE INTO stuck (log_id, chat_id, left_out, due_ms, restored_ms)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                row.log_id.as_bytes(),
                row.chat_id.as_bytes(),
                left_out,
                int(row.due_ms),
                int(row.restored_ms)
            ],
        )?;
        Ok(())
    }

    /// Whether a group is stuck in this log.
    pub(crate) fn stuck(&self, log_id: LogId) -> Result<Option<StuckRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM stuck WHERE log_id = ?1")?;
        Ok(statement.query_row([log_id.as_bytes()], stuck).optional()?)
    }

    /// Open groups that are stuck and that nothing continues yet, nor invites on from.
    pub(crate) fn stuck_groups(&self) -> Result<Vec<StuckRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT stuck.* FROM stuck JOIN chat USING (chat_id)
             WHERE chat.stage = 'open' AND chat.live_log IS NULL
             AND NOT EXISTS (SELECT 1 FROM stranded WHERE stranded.log_id = stuck.log_id)
             AND NOT EXISTS (SELECT 1 FROM invitation
                 WHERE invitation.chat_id = stuck.chat_id AND pointer <> x'')
             AND stuck.log_id = (SELECT log_id FROM conversation JOIN stuck AS each USING (log_id)
                 WHERE conversation.chat_id = stuck.chat_id ORDER BY ordinal DESC LIMIT 1)
             ORDER BY due_ms",
        )?;
        let rows = statement.query_map([], stuck)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Posts of a log go out now, without the random delay of first contact.
    pub(crate) fn hurry_posts_of(&self, log_id: LogId, now_ms: u64) -> Result<(), StoreError> {
        self.0.execute(
            "UPDATE post SET due_ms = ?2 WHERE log_id = ?1",
            params![log_id.as_bytes(), int(now_ms)],
        )?;
        Ok(())
    }
}
