//! What must still reach a log, in order.

use conclave_proto::id::{ChatId, LogId, MessageId, Seq};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{StoreError, Tx, id, int, optional_counter};

/// What an outbox row carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutboxKind {
    /// A message people see; goes to the chat's live log.
    Text,
    /// A receipt; belongs to one log.
    Receipt,
    /// Name and capability; belongs to one log.
    Profile,
    /// That this account leaves the group; belongs to one log.
    Leave,
    /// What somebody did to a message or the chat; goes to the chat's live log.
    Act,
    /// The newest value of one thing, to the own other devices; goes to their live log.
    Sync,
}

impl OutboxKind {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Receipt => "receipt",
            Self::Profile => "profile",
            Self::Leave => "leave",
            Self::Act => "act",
            Self::Sync => "sync",
        }
    }

    /// Whether it is said to people, in whichever log the chat goes on.
    pub(crate) fn is_talk(self) -> bool {
        matches!(self, Self::Text | Self::Act)
    }

    fn parse(name: &str) -> Self {
        match name {
            "receipt" => Self::Receipt,
            "profile" => Self::Profile,
            "leave" => Self::Leave,
            "act" => Self::Act,
            "sync" => Self::Sync,
            _ => Self::Text,
        }
    }
}

/// One row.
#[derive(Debug, Clone)]
pub(crate) struct OutboxRow {
    /// Its number; rows leave in this order.
    pub(crate) id: i64,
    /// Its chat.
    pub(crate) chat_id: ChatId,
    /// The message row it belongs to.
    pub(crate) message_id: Option<MessageId>,
    /// What it carries.
    pub(crate) kind: OutboxKind,
    /// Sealed bytes: written before they were sent, posted unchanged ever after (C-051).
    pub(crate) sealed: Option<Vec<u8>>,
    /// Epoch they were sealed in.
    pub(crate) epoch: Option<u64>,
    /// Where the server said they went.
    pub(crate) seq: Option<u64>,
}

fn outbox(row: &Row<'_>) -> rusqlite::Result<OutboxRow> {
    Ok(OutboxRow {
        id: row.get("id")?,
        chat_id: ChatId::new(id(row, "chat_id")?),
        message_id: row
            .get::<_, Option<[u8; 16]>>("message_id")?
            .map(MessageId::new),
        kind: OutboxKind::parse(&row.get::<_, String>("kind")?),
        sealed: row.get("sealed")?,
        epoch: optional_counter(row, "epoch")?,
        seq: optional_counter(row, "seq")?,
    })
}

impl Tx<'_> {
    /// Adds a row at the end.
    pub(crate) fn push_outbox(
        &self,
        chat_id: ChatId,
        log_id: Option<LogId>,
        message_id: Option<MessageId>,
        kind: OutboxKind,
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT INTO outbox (chat_id, log_id, message_id, kind) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                chat_id.as_bytes(),
                log_id.as_ref().map(LogId::as_bytes),
                message_id.as_ref().map(MessageId::as_bytes),
                kind.name(),
            ])?;
        Ok(())
    }

    /// Queues a text or act again, unless it waits already.
    pub(crate) fn say_again(
        &self,
        chat_id: ChatId,
        message_id: MessageId,
        kind: OutboxKind,
    ) -> Result<(), StoreError> {
        self.0.execute(
            "INSERT INTO outbox (chat_id, message_id, kind) SELECT ?1, ?2, ?3
             WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE message_id = ?2 AND sealed IS NULL)",
            params![chat_id.as_bytes(), message_id.as_bytes(), kind.name()],
        )?;
        Ok(())
    }

    /// The oldest row that `log_id` should send next: its own rows, and the chat's free ones when it is the live log.
    pub(crate) fn next_outbox(
        &self,
        chat_id: ChatId,
        log_id: LogId,
        is_live: bool,
    ) -> Result<Option<OutboxRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT * FROM outbox WHERE chat_id = ?1 AND seq IS NULL
             AND (log_id = ?2 OR (log_id IS NULL AND ?3)) ORDER BY id LIMIT 1",
        )?;
        Ok(statement
            .query_row(
                params![chat_id.as_bytes(), log_id.as_bytes(), is_live],
                outbox,
            )
            .optional()?)
    }

    /// The row whose sealed bytes are exactly `payload`, of that log.
    pub(crate) fn outbox_by_payload(
        &self,
        log_id: LogId,
        payload: &[u8],
    ) -> Result<Option<OutboxRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM outbox WHERE log_id = ?1 AND sealed = ?2")?;
        Ok(statement
            .query_row(params![log_id.as_bytes(), payload], outbox)
            .optional()?)
    }

    /// Keeps the sealed bytes of a row, in the transaction of the ratchet step.
    pub(crate) fn seal_outbox(
        &self,
        row: i64,
        log_id: LogId,
        epoch: u64,
        sealed: &[u8],
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached("UPDATE outbox SET log_id = ?2, epoch = ?3, sealed = ?4 WHERE id = ?1")?
            .execute(params![row, log_id.as_bytes(), int(epoch), sealed])?;
        Ok(())
    }

    /// Forgets sealed bytes that the log proved it does not have; texts and acts become free for whichever log is live.
    pub(crate) fn unseal_outbox(&self, row: &OutboxRow) -> Result<(), StoreError> {
        let keep_log = !row.kind.is_talk();
        self.0.execute(
            "UPDATE outbox SET sealed = NULL, epoch = NULL, seq = NULL,
             log_id = CASE WHEN ?2 THEN log_id ELSE NULL END WHERE id = ?1",
            params![row.id, keep_log],
        )?;
        Ok(())
    }

    /// Rows of a log whose fate is open: sealed, not read back yet.
    pub(crate) fn sealed_outbox(&self, log_id: LogId) -> Result<Vec<OutboxRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT * FROM outbox WHERE log_id = ?1 AND sealed IS NOT NULL ORDER BY id",
        )?;
        let rows = statement.query_map([log_id.as_bytes()], outbox)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The server said where a row went.
    pub(crate) fn set_outbox_seq(&self, row: i64, seq: Seq) -> Result<(), StoreError> {
        self.0
            .prepare_cached("UPDATE outbox SET seq = ?2 WHERE id = ?1")?
            .execute(params![row, int(seq.0)])?;
        Ok(())
    }

    /// A row is done.
    pub(crate) fn delete_outbox(&self, row: i64) -> Result<(), StoreError> {
        self.0
            .prepare_cached("DELETE FROM outbox WHERE id = ?1")?
            .execute([row])?;
        Ok(())
    }

    /// Forgets receipts and profiles of a log that cannot take them any more. Own devices learn by themselves how far
    /// it was read (C-203).
    pub(crate) fn drop_silent_outbox(&self, log_id: LogId) -> Result<(), StoreError> {
        self.0.execute(
            "DELETE FROM outbox WHERE log_id = ?1 AND kind NOT IN ('text', 'act')",
            [log_id.as_bytes()],
        )?;
        if self.own_read(log_id)? > 0 {
            self.share(super::Thing::Read(log_id))?;
        }
        Ok(())
    }

    /// Takes back that this account leaves, as far as it was not said.
    pub(crate) fn drop_leave(&self, chat_id: ChatId) -> Result<(), StoreError> {
        self.0.execute(
            "DELETE FROM outbox WHERE chat_id = ?1 AND kind = 'leave' AND sealed IS NULL",
            [chat_id.as_bytes()],
        )?;
        Ok(())
    }

    /// Texts and acts of a chat that wait, oldest first.
    pub(crate) fn waiting_texts(&self, chat_id: ChatId) -> Result<Vec<OutboxRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT * FROM outbox WHERE chat_id = ?1 AND kind IN ('text', 'act') AND seq IS NULL ORDER BY id",
        )?;
        let rows = statement.query_map([chat_id.as_bytes()], outbox)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Unsealed receipts of a log, to be replaced by a newer one.
    pub(crate) fn drop_unsealed_receipts(&self, log_id: LogId) -> Result<(), StoreError> {
        self.0.execute(
            "DELETE FROM outbox WHERE log_id = ?1 AND kind = 'receipt' AND sealed IS NULL",
            [log_id.as_bytes()],
        )?;
        Ok(())
    }

    /// Rows that the server has not accepted yet, in chats that are not paused; under strict trust those to verified
    /// people.
    pub(crate) fn outbox_waiting(&self) -> Result<u64, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT count(*) AS n FROM outbox JOIN chat USING (chat_id) LEFT JOIN contact USING (account_id)
             WHERE outbox.seq IS NULL AND (chat.stage = 'open' OR outbox.kind = 'leave')
             AND NOT coalesce(contact.blocked, 0) AND contact.changed IS NULL
             AND (chat.kind = 'own' OR coalesce(contact.verified, 0)
                  OR NOT EXISTS (SELECT 1 FROM meta WHERE key = 'trust_mode' AND value = CAST('strict' AS BLOB)))",
        )?;
        Ok(statement.query_row([], |row| super::counter(row, "n"))?)
    }

    /// Whether a chat has anything to send.
    pub(crate) fn has_outbox(&self, chat_id: ChatId) -> Result<bool, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM outbox WHERE chat_id = ?1 AND seq IS NULL)",
        )?;
        Ok(statement.query_row([chat_id.as_bytes()], |row| row.get(0))?)
    }
}
