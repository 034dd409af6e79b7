//! Conversations: one MLS group with one log each, cursors, marks, and what is under way.

use conclave_proto::id::{ChatId, Epoch, Hash32, Incarnation, LogId, Seq};
use conclave_proto::log::Head;
use rusqlite::{OptionalExtension as _, Row, params};

use super::{StoreError, Tx, counter, id, int, optional_counter};

/// Where a conversation is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Ours; the server may not have the log yet.
    Creating,
    /// The server has it. New messages go there when it is the chat's live one, else it is only read.
    Live,
    /// Cannot go on: garbage commit, wrong keys, or gone. Its rows stay for history.
    Broken,
}

impl Stage {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Creating, "creating"),
        (Self::Live, "live"),
        (Self::Broken, "broken"),
    ];

    fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(stage, _)| *stage == self)
            .map_or("", |(_, name)| name)
    }

    fn parse(name: &str) -> Self {
        Self::ALL
            .iter()
            .find(|(_, known)| *known == name)
            .map_or(Self::Broken, |(stage, _)| *stage)
    }
}

/// One conversation.
#[derive(Debug, Clone)]
pub(crate) struct ConversationRow {
    /// Log and MLS group.
    pub(crate) log_id: LogId,
    /// The chat it belongs to.
    pub(crate) chat_id: ChatId,
    /// Place among the chat's conversations, from 1.
    pub(crate) ordinal: u64,
    /// Where it is in its life.
    pub(crate) stage: Stage,
    /// Epoch of the MLS group.
    pub(crate) epoch: Epoch,
    /// Last entry applied.
    pub(crate) cursor_seq: Seq,
    /// Chain hash there.
    pub(crate) cursor_hash: Hash32,
    /// Server incarnation when it was last read.
    pub(crate) incarnation: Incarnation,
    /// Encoded CreateLog without pass and proof, until the server has the log.
    pub(crate) create_request: Option<Vec<u8>>,
    /// Encoded CommitEntry of an own commit, until the log says who won.
    pub(crate) pending_bundle: Option<Vec<u8>>,
    /// Encoded PutBundle with the blobs of that commit and nothing else; `None` when it has none.
    pub(crate) pending_blobs: Option<Vec<u8>>,
    /// Whether a self-update is due before the next own send.
    pub(crate) update_due: bool,
    /// When this device last updated its leaf, ms since 1970-01-01 UTC.
    pub(crate) updated_ms: u64,
    /// Own messages since then.
    pub(crate) own_sends: u64,
    /// How far the other side has received.
    pub(crate) their_delivered: u64,
    /// How far the other side has read.
    pub(crate) their_read: u64,
    /// What our last receipt said of delivery.
    pub(crate) told_delivered: u64,
    /// What our last receipt said of reading.
    pub(crate) told_read: u64,
    /// Last message of theirs that this device has.
    pub(crate) want_delivered: u64,
    /// Last message of theirs that the person has read.
    pub(crate) want_read: u64,
    /// When our last receipt was queued, ms since 1970-01-01 UTC.
    pub(crate) receipt_ms: u64,
    /// When the log was last read to its head, ms since 1970-01-01 UTC.
    pub(crate) read_ms: u64,
    /// When a successor was last made by itself, ms since 1970-01-01 UTC.
    pub(crate) recovered_ms: u64,
    /// When an unknown entry by our own leaf was last seen, ms since 1970-01-01 UTC.
    pub(crate) copied_ms: u64,
    /// Epoch in which the own account's state head was last told.
    pub(crate) state_told: u64,
    /// Whether people came who were not told this account's name.
    pub(crate) profile_due: bool,
    /// Newest head read, encoded, with the server's signature behind it.
    pub(crate) signed_head: Option<Vec<u8>>,
}

impl ConversationRow {
    /// A conversation that stands at `head`, unused yet.
    pub(crate) fn new(
        log_id: LogId,
        chat_id: ChatId,
        ordinal: u64,
        stage: Stage,
        head: Head,
        now_ms: u64,
    ) -> Self {
        Self {
            log_id,
            chat_id,
            ordinal,
            stage,
            epoch: head.epoch,
            cursor_seq: head.seq,
            cursor_hash: head.hash,
            incarnation: head.incarnation,
            create_request: None,
            pending_bundle: None,
            pending_blobs: None,
            update_due: false,
            updated_ms: now_ms,
            own_sends: 0,
            their_delivered: 0,
            their_read: 0,
            told_delivered: 0,
            told_read: 0,
            want_delivered: 0,
            want_read: 0,
            receipt_ms: 0,
            read_ms: now_ms,
            recovered_ms: 0,
            copied_ms: 0,
            state_told: 0,
            profile_due: false,
            signed_head: None,
        }
    }

    /// Whether a receipt has something new to say.
    pub(crate) fn owes_receipt(&self) -> bool {
        self.want_delivered > self.told_delivered || self.want_read > self.told_read
    }
}

fn conversation(row: &Row<'_>) -> rusqlite::Result<ConversationRow> {
    Ok(ConversationRow {
        log_id: LogId::new(id(row, "log_id")?),
        chat_id: ChatId::new(id(row, "chat_id")?),
        ordinal: counter(row, "ordinal")?,
        stage: Stage::parse(&row.get::<_, String>("stage")?),
        epoch: Epoch(counter(row, "epoch")?),
        cursor_seq: Seq(counter(row, "cursor_seq")?),
        cursor_hash: Hash32::new(id(row, "cursor_hash")?),
        incarnation: Incarnation(counter(row, "incarnation")?),
        create_request: row.get("create_request")?,
        pending_bundle: row.get("pending_bundle")?,
        pending_blobs: row.get("pending_blobs")?,
        update_due: row.get("update_due")?,
        updated_ms: counter(row, "updated_ms")?,
        own_sends: counter(row, "own_sends")?,
        their_delivered: counter(row, "their_delivered")?,
        their_read: counter(row, "their_read")?,
        told_delivered: counter(row, "told_delivered")?,
        told_read: counter(row, "told_read")?,
        want_delivered: counter(row, "want_delivered")?,
        want_read: counter(row, "want_read")?,
        receipt_ms: counter(row, "receipt_ms")?,
        read_ms: counter(row, "read_ms")?,
        recovered_ms: counter(row, "recovered_ms")?,
        copied_ms: counter(row, "copied_ms")?,
        state_told: counter(row, "state_told")?,
        profile_due: row.get("profile_due")?,
        signed_head: row.get("signed_head")?,
    })
}

impl Tx<'_> {
    /// One conversation.
    pub(crate) fn conversation(
        &self,
        log_id: LogId,
    ) -> Result<Option<ConversationRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM conversation WHERE log_id = ?1")?;
        Ok(statement
            .query_row([log_id.as_bytes()], conversation)
            .optional()?)
    }

    /// Conversations that are still read, all chats.
    pub(crate) fn active_conversations(&self) -> Result<Vec<ConversationRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT * FROM conversation WHERE stage <> 'broken' ORDER BY chat_id, ordinal",
        )?;
        let rows = statement.query_map([], conversation)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A chat's conversations, oldest first.
    pub(crate) fn conversations_of(
        &self,
        chat_id: ChatId,
    ) -> Result<Vec<ConversationRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM conversation WHERE chat_id = ?1 ORDER BY ordinal")?;
        let rows = statement.query_map([chat_id.as_bytes()], conversation)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Place of the next conversation of a chat.
    pub(crate) fn next_ordinal(&self, chat_id: ChatId) -> Result<u64, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT max(ordinal) + 1 AS next FROM (SELECT ordinal FROM conversation WHERE chat_id = ?1
             UNION ALL SELECT ordinal FROM archived_log WHERE chat_id = ?1)",
        )?;
        let next =
            statement.query_row([chat_id.as_bytes()], |row| optional_counter(row, "next"))?;
        Ok(next.unwrap_or(1))
    }

    /// Moves a conversation behind all others of its chat, with its messages.
    pub(crate) fn put_last(&self, chat_id: ChatId, log_id: LogId) -> Result<(), StoreError> {
        let ordinal = int(self.next_ordinal(chat_id)?);
        self.0.execute(
            "DELETE FROM archived_log WHERE log_id = ?1",
            [log_id.as_bytes()],
        )?;
        for table in ["conversation", "message"] {
            self.0.execute(
                &format!("UPDATE {table} SET ordinal = ?2 WHERE log_id = ?1"),
                params![log_id.as_bytes(), ordinal],
            )?;
        }
        Ok(())
    }

    /// Writes one conversation whole. A place that an archive gave it stays.
    pub(crate) fn put_conversation(&self, row: &ConversationRow) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT OR REPLACE INTO conversation (log_id, chat_id, ordinal, stage, epoch, cursor_seq,
                 cursor_hash, incarnation, create_request, pending_bundle, update_due, updated_ms, own_sends,
                 their_delivered, their_read, told_delivered, told_read, want_delivered, want_read, receipt_ms,
                 read_ms, recovered_ms, copied_ms, state_told, signed_head, pending_blobs, profile_due)
                 VALUES (?1, ?2, coalesce((SELECT ordinal FROM archived_log WHERE log_id = ?1), ?3), ?4, ?5, ?6,
                 ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26,
                 ?27)",
            )?
            .execute(params![
                row.log_id.as_bytes(),
                row.chat_id.as_bytes(),
                int(row.ordinal),
                row.stage.name(),
                int(row.epoch.0),
                int(row.cursor_seq.0),
                row.cursor_hash.as_bytes(),
                int(row.incarnation.0),
                row.create_request,
                row.pending_bundle,
                row.update_due,
                int(row.updated_ms),
                int(row.own_sends),
                int(row.their_delivered),
                int(row.their_read),
                int(row.told_delivered),
                int(row.told_read),
                int(row.want_delivered),
                int(row.want_read),
                int(row.receipt_ms),
                int(row.read_ms),
                int(row.recovered_ms),
                int(row.copied_ms),
                int(row.state_told),
                row.signed_head,
                row.pending_blobs,
                row.profile_due,
            ])?;
        Ok(())
    }

    /// Keeps the chain hash after an entry.
    pub(crate) fn put_chain(
        &self,
        log_id: LogId,
        seq: Seq,
        hash: Hash32,
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached("INSERT OR REPLACE INTO chain (log_id, seq, hash) VALUES (?1, ?2, ?3)")?
            .execute(params![log_id.as_bytes(), int(seq.0), hash.as_bytes()])?;
        Ok(())
    }

    /// The chain hash after an entry, when this device has read it.
    pub(crate) fn chain(&self, log_id: LogId, seq: Seq) -> Result<Option<Hash32>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT hash FROM chain WHERE log_id = ?1 AND seq = ?2")?;
        let hash = statement.query_row(params![log_id.as_bytes(), int(seq.0)], |row| {
            row.get::<_, [u8; 32]>(0)
        });
        Ok(hash.optional()?.map(Hash32::new))
    }

    /// Conversations that owe a receipt to an accepted contact. Under strict trust groups are not waited for: whether
    /// all of their people are verified stands in the keys.
    pub(crate) fn receipts_waiting(&self) -> Result<u64, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT count(*) AS n FROM conversation JOIN chat USING (chat_id) LEFT JOIN contact USING (account_id)
             WHERE conversation.stage = 'live' AND chat.stage = 'open'
             AND (chat.kind = 'group' OR contact.accepted) AND NOT coalesce(contact.blocked, 0)
             AND contact.changed IS NULL
             AND (chat.kind = 'own' OR coalesce(contact.verified, 0)
                  OR NOT EXISTS (SELECT 1 FROM meta WHERE key = 'trust_mode' AND value = CAST('strict' AS BLOB)))
             AND (want_delivered > told_delivered OR want_read > told_read)",
        )?;
        Ok(statement.query_row([], |row| counter(row, "n"))?)
    }

    /// Own commits and creations whose fate is open.
    pub(crate) fn bundles_waiting(&self) -> Result<u64, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT count(*) AS n FROM conversation JOIN chat USING (chat_id)
             WHERE conversation.stage <> 'broken' AND chat.stage = 'open'
             AND (pending_bundle IS NOT NULL OR create_request IS NOT NULL)",
        )?;
        Ok(statement.query_row([], |row| counter(row, "n"))?)
    }

    /// Whether a conversation cannot go on.
    pub(crate) fn is_broken(&self, log_id: LogId) -> Result<bool, StoreError> {
        Ok(self
            .conversation(log_id)?
            .is_none_or(|row| row.stage == Stage::Broken))
    }

    /// The own name and picture changed: in groups they are said again before the next text.
    pub(crate) fn tell_groups_profile(&self) -> Result<(), StoreError> {
        self.0.execute(
            "UPDATE conversation SET profile_due = 1 WHERE stage = 'live'
             AND chat_id IN (SELECT chat_id FROM chat WHERE kind = 'group')",
            [],
        )?;
        Ok(())
    }
}
