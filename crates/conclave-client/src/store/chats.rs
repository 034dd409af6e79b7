//! Chats: what people see as one conversation, with somebody or in a group.

use conclave_proto::id::{AccountId, ChatId, LogId};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{StoreError, Tx, counter, id, int};
use crate::view::ChatKind;

/// Whether a chat can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChatStage {
    /// Both can write.
    Open,
    /// A stranger's request.
    Request,
    /// A request that was declined.
    Declined,
    /// The person must decide something first.
    Paused,
    /// This account left the group or was removed: only read from here on.
    Left,
}

impl ChatStage {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Open, "open"),
        (Self::Request, "request"),
        (Self::Declined, "declined"),
        (Self::Paused, "paused"),
        (Self::Left, "left"),
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
            .map_or(Self::Paused, |(stage, _)| *stage)
    }
}

/// One chat.
#[derive(Debug, Clone)]
pub(crate) struct ChatRow {
    /// The chat.
    pub(crate) chat_id: ChatId,
    /// What kind of chat.
    pub(crate) kind: ChatKind,
    /// The other person of a direct chat; `None` in the others.
    pub(crate) peer: Option<AccountId>,
    /// Name of a group, as its context says it; empty else.
    pub(crate) name: String,
    /// Whether it can be used.
    pub(crate) stage: ChatStage,
    /// Why not; empty else.
    pub(crate) reason: String,
    /// The log that new messages go to; `None` until there is one.
    pub(crate) live_log: Option<LogId>,
    /// When it began, ms since 1970-01-01 UTC.
    pub(crate) created_ms: u64,
}

fn chat(row: &Row<'_>) -> rusqlite::Result<ChatRow> {
    Ok(ChatRow {
        chat_id: ChatId::new(id(row, "chat_id")?),
        kind: ChatKind::from_name(&row.get::<_, String>("kind")?).unwrap_or(ChatKind::Direct),
        peer: AccountId::parse(&row.get::<_, Vec<u8>>("account_id")?),
        name: row.get("name")?,
        stage: ChatStage::parse(&row.get::<_, String>("stage")?),
        reason: row.get("reason")?,
        live_log: row.get::<_, Option<[u8; 32]>>("live_log")?.map(LogId::new),
        created_ms: counter(row, "created_ms")?,
    })
}

impl Tx<'_> {
    /// One chat.
    pub(crate) fn chat(&self, chat_id: ChatId) -> Result<Option<ChatRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM chat WHERE chat_id = ?1")?;
        Ok(statement.query_row([chat_id.as_bytes()], chat).optional()?)
    }

    /// The direct chat with somebody.
    pub(crate) fn chat_with(&self, account: AccountId) -> Result<Option<ChatRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM chat WHERE account_id = ?1 AND kind = 'direct'")?;
        Ok(statement.query_row([account.as_bytes()], chat).optional()?)
    }

    /// All chats, oldest first.
    pub(crate) fn chats(&self) -> Result<Vec<ChatRow>, StoreError> {
        let mut statement = self.0.prepare("SELECT * FROM chat ORDER BY created_ms")?;
        let rows = statement.query_map([], chat)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Groups of exactly that name, oldest first.
    pub(crate) fn groups_named(&self, name: &str) -> Result<Vec<ChatRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT * FROM chat WHERE name = ?1 AND kind = 'group' ORDER BY created_ms",
        )?;
        let rows = statement.query_map([name], chat)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Writes one chat whole.
    pub(crate) fn put_chat(&self, row: &ChatRow) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT INTO chat (chat_id, account_id, stage, reason, live_log, created_ms, kind, name)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (chat_id) DO UPDATE SET account_id = excluded.account_id, stage = excluded.stage,
                 reason = excluded.reason, live_log = excluded.live_log, name = excluded.name",
            )?
            .execute(params![
                row.chat_id.as_bytes(),
                row.peer.as_ref().map_or(&[][..], |peer| peer.as_bytes()),
                row.stage.name(),
                row.reason,
                row.live_log.as_ref().map(LogId::as_bytes),
                int(row.created_ms),
                row.kind.name(),
                row.name,
            ])?;
        Ok(())
    }

    /// Moves everything of chat `from` into chat `to` and deletes `from`.
    pub(crate) fn merge_chat(&self, from: ChatId, to: ChatId) -> Result<(), StoreError> {
        for table in [
            "conversation",
            "message",
            "act",
            "note",
            "outbox",
            "invitation",
            "chat_setting",
        ] {
            self.0.execute(
                &format!("UPDATE OR IGNORE {table} SET chat_id = ?2 WHERE chat_id = ?1"),
                params![from.as_bytes(), to.as_bytes()],
            )?;
        }
        for table in ["chat_setting", "chat"] {
            self.0.execute(
                &format!("DELETE FROM {table} WHERE chat_id = ?1"),
                [from.as_bytes()],
            )?;
        }
        Ok(())
    }

    /// Forgets a request that was never accepted, with its first text: it was not by this account.
    pub(crate) fn delete_request(&self, account: AccountId) -> Result<(), StoreError> {
        let Some(chat) = self.chat_with(account)? else {
            return Ok(());
        };
        if !matches!(chat.stage, ChatStage::Request | ChatStage::Declined) {
            return Ok(());
        }
        for table in [
            "message",
            "act",
            "note",
            "invitation",
            "outbox",
            "chat_setting",
            "chat",
        ] {
            self.0.execute(
                &format!("DELETE FROM {table} WHERE chat_id = ?1"),
                [chat.chat_id.as_bytes()],
            )?;
        }
        Ok(())
    }
}
