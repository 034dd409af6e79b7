//! What people did to messages: reactions, edits, deletions, pins, and the chat's timer.
//!
//! The newest in the order of the logs counts; what is not in a log yet is newer than what is.

use conclave_core::content::{MessageRef, TextMore};
use conclave_proto::id::{AccountId, ChatId, LogId, MessageId};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{Position, StoreError, Tx, counter, id, int};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ActKind {
    /// An emoji on a message.
    Reaction,
    /// Other words.
    Edit,
    /// Taken away from everybody.
    Delete,
    /// Held up, or no longer.
    Pin,
    /// The chat's timer.
    Timer,
}

impl ActKind {
    /// The name it has in rows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reaction => "reaction",
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::Pin => "pin",
            Self::Timer => "timer",
        }
    }

    /// The kind with that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [
            Self::Reaction,
            Self::Edit,
            Self::Delete,
            Self::Pin,
            Self::Timer,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}

/// One act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ActRow {
    /// Its chat.
    pub(crate) chat_id: ChatId,
    /// Who did it.
    pub(crate) sender: AccountId,
    /// Its id, as its sender chose it.
    pub(crate) act_id: MessageId,
    /// What was done.
    pub(crate) kind: ActKind,
    /// To which message; `None` when it is about the chat.
    pub(crate) target: Option<MessageRef>,
    /// The emoji or the new words.
    pub(crate) body: String,
    /// The new words' mentions, encoded.
    pub(crate) more: Vec<u8>,
    /// Whether it is pinned, or the timer's seconds.
    pub(crate) number: u32,
    /// When, ms since 1970-01-01 UTC, clamped.
    pub(crate) sent_ms: u64,
    /// Log, place of that log in its chat, place in it; `None` until a log has it.
    pub(crate) place: Option<(LogId, u64, u64)>,
}

impl ActRow {
    /// The mentions of its new words; none when they are damaged.
    pub(crate) fn mentions(&self) -> Vec<conclave_core::content::Mention> {
        TextMore::parse(&self.more, &self.body)
            .map(|more| more.mentions)
            .unwrap_or_default()
    }
}

fn act(row: &Row<'_>) -> rusqlite::Result<ActRow> {
    let ids = (
        AccountId::parse(&row.get::<_, Vec<u8>>("target_sender")?),
        MessageId::parse(&row.get::<_, Vec<u8>>("target_id")?),
    );
    let target = ids
        .0
        .zip(ids.1)
        .map(|(sender, message_id)| MessageRef { sender, message_id });
    let place = (
        row.get::<_, Option<[u8; 32]>>("log_id")?.map(LogId::new),
        super::optional_counter(row, "ordinal")?,
        super::optional_counter(row, "seq")?,
    );
    Ok(ActRow {
        chat_id: ChatId::new(id(row, "chat_id")?),
        sender: AccountId::new(id(row, "sender")?),
        act_id: MessageId::new(id(row, "act_id")?),
        kind: ActKind::parse(&row.get::<_, String>("kind")?).unwrap_or(ActKind::Reaction),
        target,
        body: row.get("body")?,
        more: row.get("more")?,
        number: row.get("number")?,
        sent_ms: counter(row, "sent_ms")?,
        place: match place {
            (Some(log_id), Some(ordinal), Some(seq)) => Some((log_id, ordinal, seq)),
            _ => None,
        },
    })
}

/// Oldest first; what no log has yet is newest.
const IN_ORDER: &str = "ORDER BY ordinal IS NULL, ordinal, seq, id";

impl Tx<'_> {
    /// Writes an act unless (sender, id) is known: the first stays (C-052). Whether it was written.
    pub(crate) fn insert_act(&self, row: &ActRow, waits: bool) -> Result<bool, StoreError> {
        let place = row.place;
        let written = self
            .0
            .prepare_cached(
                "INSERT OR IGNORE INTO act (chat_id, sender, act_id, kind, target_sender, target_id, body, more,
                 number, sent_ms, waits, log_id, ordinal, seq)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .execute(params![
                row.chat_id.as_bytes(),
                row.sender.as_bytes(),
                row.act_id.as_bytes(),
                row.kind.name(),
                row.target.as_ref().map_or(&[][..], |target| target.sender.as_bytes()),
                row.target.as_ref().map_or(&[][..], |target| target.message_id.as_bytes()),
                row.body,
                row.more,
                row.number,
                int(row.sent_ms),
                waits,
                place.map(|(log_id, ..)| log_id.to_vec()),
                place.map(|(_, ordinal, _)| int(ordinal)),
                place.map(|(.., seq)| int(seq)),
            ])?;
        Ok(written == 1)
    }

    /// One act by (sender, id).
    pub(crate) fn act(
        &self,
        sender: AccountId,
        act_id: MessageId,
    ) -> Result<Option<ActRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM act WHERE sender = ?1 AND act_id = ?2")?;
        let ids = params![sender.as_bytes(), act_id.as_bytes()];
        Ok(statement.query_row(ids, act).optional()?)
    }

    /// Gives an own act its place, unless it has one.
    pub(crate) fn place_act(
        &self,
        sender: AccountId,
        act_id: MessageId,
        at: &Position,
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "UPDATE act SET log_id = ?3, ordinal = ?4, seq = ?5
                 WHERE sender = ?1 AND act_id = ?2 AND seq IS NULL",
            )?
            .execute(params![
                sender.as_bytes(),
                act_id.as_bytes(),
                at.log_id.as_bytes(),
                int(at.ordinal),
                int(at.seq.0),
            ])?;
        Ok(())
    }

    /// Forgets an act.
    pub(crate) fn delete_act(
        &self,
        sender: AccountId,
        act_id: MessageId,
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached("DELETE FROM act WHERE sender = ?1 AND act_id = ?2")?
            .execute(params![sender.as_bytes(), act_id.as_bytes()])?;
        Ok(())
    }

    /// What was done to a message in a chat, oldest first.
    pub(crate) fn acts_on(
        &self,
        chat_id: ChatId,
        target: MessageRef,
        kind: ActKind,
    ) -> Result<Vec<ActRow>, StoreError> {
        let mut statement = self.0.prepare_cached(&format!(
            "SELECT * FROM act WHERE target_id = ?3 AND target_sender = ?2 AND kind = ?4 AND chat_id = ?1
             {IN_ORDER}"
        ))?;
        let rows = statement.query_map(
            params![
                chat_id.as_bytes(),
                target.sender.as_bytes(),
                target.message_id.as_bytes(),
                kind.name()
            ],
            act,
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What was done of one kind in a chat, oldest first.
    pub(crate) fn acts_in(
        &self,
        chat_id: ChatId,
        kind: ActKind,
    ) -> Result<Vec<ActRow>, StoreError> {
        let mut statement = self.0.prepare_cached(&format!(
            "SELECT * FROM act WHERE chat_id = ?1 AND kind = ?2 {IN_ORDER}"
        ))?;
        let rows = statement.query_map(params![chat_id.as_bytes(), kind.name()], act)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The chat's timer in seconds; 0 = messages stay.
    pub(crate) fn timer(&self, chat_id: ChatId) -> Result<u32, StoreError> {
        let acts = self.acts_in(chat_id, ActKind::Timer)?;
        Ok(acts.last().map_or(0, |act| act.number))
    }

    /// A message came: what waited for it in its chat waits no more; what named it from another chat is void
    /// (C-174). Whether anything had waited.
    pub(crate) fn end_wait(&self, chat_id: ChatId, target: MessageRef) -> Result<bool, StoreError> {
        let of = params![
            chat_id.as_bytes(),
            target.sender.as_bytes(),
            target.message_id.as_bytes()
        ];
        self.0
            .prepare_cached(
                "DELETE FROM act WHERE target_id = ?3 AND target_sender = ?2 AND chat_id <> ?1 AND waits = 1",
            )?
            .execute(of)?;
        let ended = self
            .0
            .prepare_cached(
                "UPDATE act SET waits = 0
                 WHERE target_id = ?3 AND target_sender = ?2 AND chat_id = ?1 AND waits = 1",
            )?
            .execute(of)?;
        Ok(ended > 0)
    }

    /// Forgets the oldest acts of somebody in a chat that wait for messages, down to `keep` (C-175).
    pub(crate) fn bound_waiting(
        &self,
        chat_id: ChatId,
        sender: AccountId,
        keep: usize,
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "DELETE FROM act WHERE id IN (SELECT id FROM act WHERE chat_id = ?1 AND sender = ?2
                 AND waits = 1 ORDER BY id DESC LIMIT -1 OFFSET ?3)",
            )?
            .execute(params![
                chat_id.as_bytes(),
                sender.as_bytes(),
                i64::try_from(keep).unwrap_or(i64::MAX)
            ])?;
        Ok(())
    }

    /// Forgets everything that was done to a message but for what own acts still have to say, and its deletion.
    pub(crate) fn forget_acts_on(
        &self,
        chat_id: ChatId,
        target: MessageRef,
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "DELETE FROM act WHERE target_id = ?3 AND target_sender = ?2 AND chat_id = ?1
                 AND kind <> 'delete'",
            )?
            .execute(params![
                chat_id.as_bytes(),
                target.sender.as_bytes(),
                target.message_id.as_bytes()
            ])?;
        Ok(())
    }

    /// Up to `limit` acts after row `after` that a log has, on chats and on messages written at `since_ms` or later,
    /// in the order they came in; each with its row.
    pub(crate) fn acts_after(
        &self,
        after: i64,
        since_ms: u64,
        limit: u32,
    ) -> Result<Vec<(i64, ActRow)>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT act.* FROM act JOIN chat USING (chat_id) WHERE act.id > ?1 AND seq IS NOT NULL
             AND (act.kind = 'timer' OR EXISTS (SELECT 1 FROM message WHERE message.sender = act.target_sender
                  AND message.message_id = act.target_id AND message.sent_ms >= ?3))
             AND chat.stage NOT IN ('request', 'declined') AND chat.kind <> 'own' ORDER BY act.id LIMIT ?2",
        )?;
        let rows = statement.query_map(params![after, limit, int(since_ms)], |row| {
            Ok((row.get("id")?, act(row)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Own acts of a log that nobody confirmed lose their place there; which ones, in order. Those that still stand
    /// in the outbox are left out.
    pub(crate) fn unplace_acts(
        &self,
        log_id: LogId,
        own: AccountId,
        delivered: u64,
    ) -> Result<Vec<MessageId>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "UPDATE act SET log_id = NULL, ordinal = NULL, seq = NULL
             WHERE log_id = ?1 AND sender = ?2 AND seq > ?3
             AND act_id NOT IN (SELECT message_id FROM outbox WHERE message_id IS NOT NULL)
             RETURNING act_id",
        )?;
        let rows = statement.query_map(
            params![log_id.as_bytes(), own.as_bytes(), int(delivered)],
            |row| row.get(0),
        )?;
        let ids = rows.collect::<Result<Vec<[u8; 16]>, _>>()?;
        Ok(ids.into_iter().map(MessageId::new).collect())
    }
}
