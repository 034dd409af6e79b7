//! What the person set for each chat, how far they read, and what they deleted for themselves.

use conclave_core::content::{ChatName, ChatSetting, LogPlace, MessageRef};
use conclave_proto::id::{AccountId, ChatId, LogId, MessageId};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{StoreError, Tx, counter, id, int};

/// Which setting of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// Until when it is silent.
    Muted,
    /// Whether it is put away.
    Archived,
    /// Whether it stands above the others.
    Pinned,
    /// What the person began to write.
    Draft,
    /// Whether it is shown as unread.
    MarkedUnread,
    /// How far it was cleared.
    Cleared,
    /// What was said to the newest invitation into it.
    Answered,
}

impl Field {
    /// Every one.
    pub(crate) const ALL: [Self; 7] = [
        Self::Muted,
        Self::Archived,
        Self::Pinned,
        Self::Draft,
        Self::MarkedUnread,
        Self::Cleared,
        Self::Answered,
    ];

    /// Which one a setting is.
    pub(crate) fn of(setting: &ChatSetting) -> Self {
        match setting {
            ChatSetting::MutedUntil(_) => Self::Muted,
            ChatSetting::Archived { .. } => Self::Archived,
            ChatSetting::Pinned(_) => Self::Pinned,
            ChatSetting::Draft(_) => Self::Draft,
            ChatSetting::MarkedUnread(_) => Self::MarkedUnread,
            ChatSetting::Cleared(_) => Self::Cleared,
            ChatSetting::Answered { .. } => Self::Answered,
        }
    }

    /// The number it has in rows.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Muted => 1,
            Self::Archived => 2,
            Self::Pinned => 3,
            Self::Draft => 4,
            Self::MarkedUnread => 5,
            Self::Cleared => 6,
            Self::Answered => 7,
        }
    }

    /// `None`: of a newer version.
    pub(crate) fn parse(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.number() == number)
    }
}

/// What is set for one chat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SettingsRow {
    /// Silent until then, ms since 1970-01-01 UTC; 0 = not.
    pub(crate) muted_until_ms: u64,
    /// Whether it was put away.
    pub(crate) is_archived: bool,
    /// How far it was read then.
    pub(crate) archived_from: Option<LogPlace>,
    /// Whether it stands above the others.
    pub(crate) is_pinned: bool,
    /// What the person began to write.
    pub(crate) draft: String,
    /// Whether it is shown as unread.
    pub(crate) marked_unread: bool,
    /// How far it was cleared.
    pub(crate) cleared: Option<LogPlace>,
    /// The newest that somebody else said.
    pub(crate) news: Option<LogPlace>,
}

fn place(row: &Row<'_>, log: &str, seq: &str) -> rusqlite::Result<Option<LogPlace>> {
    let log_id = row.get::<_, Option<[u8; 32]>>(log)?;
    let seq = counter(row, seq)?;
    Ok(log_id.map(|log_id| LogPlace {
        log_id: LogId::new(log_id),
        seq,
    }))
}

fn settings(row: &Row<'_>) -> rusqlite::Result<SettingsRow> {
    Ok(SettingsRow {
        muted_until_ms: counter(row, "muted_until_ms")?,
        is_archived: row.get("is_archived")?,
        archived_from: place(row, "archived_log", "archived_seq")?,
        is_pinned: row.get("is_pinned")?,
        draft: row.get("draft")?,
        marked_unread: row.get("marked_unread")?,
        cleared: place(row, "cleared_log", "cleared_seq")?,
        news: place(row, "news_log", "news_seq")?,
    })
}

fn name_bytes(name: ChatName) -> Vec<u8> {
    match name {
        ChatName::With(account) => account.to_vec(),
        ChatName::Of(log_id) => log_id.to_vec(),
    }
}

impl Tx<'_> {
    /// What is set for a chat; nothing by default.
    pub(crate) fn settings(&self, chat_id: ChatId) -> Result<SettingsRow, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM chat_setting WHERE chat_id = ?1")?;
        let row = statement.query_row([chat_id.as_bytes()], settings);
        Ok(row.optional()?.unwrap_or_default())
    }

    /// Writes one setting, but not how far the chat was cleared when that is less than it was.
    pub(crate) fn put_setting(
        &self,
        chat_id: ChatId,
        setting: &ChatSetting,
    ) -> Result<(), StoreError> {
        let mut row = self.settings(chat_id)?;
        match setting {
            ChatSetting::MutedUntil(until_ms) => row.muted_until_ms = *until_ms,
            ChatSetting::Archived { archived, from } => {
                row.is_archived = *archived;
                row.archived_from = from.filter(|_| *archived);
            }
            ChatSetting::Pinned(pinned) => row.is_pinned = *pinned,
            ChatSetting::Draft(text) => row.draft.clone_from(text),
            ChatSetting::MarkedUnread(marked) => row.marked_unread = *marked,
            ChatSetting::Cleared(to) => {
                if self.is_later(Some(*to), row.cleared)? {
                    row.cleared = Some(*to);
                }
            }
            // the chat's stage says it
            ChatSetting::Answered { .. } => return Ok(()),
        }
        let (archived, cleared) = (row.archived_from, row.cleared);
        self.0
            .prepare_cached(
                "INSERT INTO chat_setting (chat_id, muted_until_ms, is_archived, archived_log, archived_seq, is_pinned,
                 draft, marked_unread, cleared_log, cleared_seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                 ON CONFLICT (chat_id) DO UPDATE SET muted_until_ms = excluded.muted_until_ms,
                 is_archived = excluded.is_archived, archived_log = excluded.archived_log,
                 archived_seq = excluded.archived_seq, is_pinned = excluded.is_pinned, draft = excluded.draft,
                 marked_unread = excluded.marked_unread, cleared_log = excluded.cleared_log,
                 cleared_seq = excluded.cleared_seq",
            )?
            .execute(params![
                chat_id.as_bytes(),
                int(row.muted_until_ms),
                row.is_archived,
                archived.map(|place| place.log_id.to_vec()),
                int(archived.map_or(0, |place| place.seq)),
                row.is_pinned,
                row.draft,
                row.marked_unread,
                cleared.map(|place| place.log_id.to_vec()),
                int(cleared.map_or(0, |place| place.seq)),
            ])?;
        Ok(())
    }

    /// Somebody else said something: it is the newest unless a later place is known.
    pub(crate) fn raise_news(&self, chat_id: ChatId, to: LogPlace) -> Result<(), StoreError> {
        let row = self.settings(chat_id)?;
        if !self.is_later(Some(to), row.news)? {
            return Ok(());
        }
        self.0
            .prepare_cached(
                "INSERT INTO chat_setting (chat_id, news_log, news_seq) VALUES (?1, ?2, ?3)
                 ON CONFLICT (chat_id) DO UPDATE SET news_log = excluded.news_log, news_seq = excluded.news_seq",
            )?
            .execute(params![
                chat_id.as_bytes(),
                to.log_id.as_bytes(),
                int(to.seq)
            ])?;
        Ok(())
    }

    /// C-201: whether a chat is put away now. What others said since brings it back, unless it is muted.
    pub(crate) fn is_archived(&self, row: &SettingsRow, now_ms: u64) -> Result<bool, StoreError> {
        Ok(row.is_archived
            && (row.muted_until_ms > now_ms || !self.is_later(row.news, row.archived_from)?))
    }

    /// Whether place `one` of a chat comes after `other`. What is in a log that is not known here comes after
    /// nothing that is.
    pub(crate) fn is_later(
        &self,
        one: Option<LogPlace>,
        other: Option<LogPlace>,
    ) -> Result<bool, StoreError> {
        let (one, other) = match (one, other) {
            (None, _) => return Ok(false),
            (Some(_), None) => return Ok(true),
            (Some(one), Some(other)) => (one, other),
        };
        if one.log_id == other.log_id {
            return Ok(one.seq > other.seq);
        }
        Ok(self.ordinal_of(one.log_id)? > self.ordinal_of(other.log_id)?)
    }

    /// The place of a log in its chat; `None` when it is not known here.
    pub(crate) fn ordinal_of(&self, log_id: LogId) -> Result<Option<u64>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT ordinal FROM conversation WHERE log_id = ?1
             UNION ALL SELECT ordinal FROM archived_log WHERE log_id = ?1 LIMIT 1",
        )?;
        let found = statement.query_row([log_id.as_bytes()], |row| counter(row, "ordinal"));
        Ok(found.optional()?)
    }

    /// The last place in a log that a message here has.
    pub(crate) fn last_seq(&self, log_id: LogId) -> Result<u64, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT coalesce(max(seq), 0) AS last FROM message WHERE log_id = ?1",
        )?;
        Ok(statement.query_row([log_id.as_bytes()], |row| counter(row, "last"))?)
    }

    /// Takes away what stands in a chat's logs up to a place, with what was done to it and noted of it.
    pub(crate) fn wipe_to(&self, chat_id: ChatId, to: LogPlace) -> Result<(), StoreError> {
        let Some(ordinal) = self.ordinal_of(to.log_id)? else {
            return Ok(());
        };
        self.0
            .prepare_cached(
                "UPDATE message SET body = '', more = x'', raw = x'', first_body = NULL, first_more = NULL,
                 deleted = 2, is_read = 1, is_heard = 1
                 WHERE chat_id = ?1 AND deleted < 2 AND seq IS NOT NULL
                 AND (ordinal < ?2 OR ordinal = ?2 AND seq <= ?3)",
            )?
            .execute(params![chat_id.as_bytes(), int(ordinal), int(to.seq)])?;
        self.0
            .prepare_cached(
                "DELETE FROM act WHERE chat_id = ?1 AND kind IN ('reaction', 'edit', 'pin') AND EXISTS (
                 SELECT 1 FROM message WHERE message.sender = act.target_sender
                 AND message.message_id = act.target_id AND message.deleted = 2)",
            )?
            .execute([chat_id.as_bytes()])?;
        self.0
            .prepare_cached(
                "DELETE FROM note WHERE chat_id = ?1 AND (log_id = ?3 AND seq <= ?4 OR log_id IN (
                 SELECT log_id FROM conversation WHERE chat_id = ?1 AND ordinal < ?2
                 UNION ALL SELECT log_id FROM archived_log WHERE chat_id = ?1 AND ordinal < ?2))",
            )?
            .execute(params![
                chat_id.as_bytes(),
                int(ordinal),
                to.log_id.as_bytes(),
                int(to.seq)
            ])?;
        Ok(())
    }

    /// Messages of a chat that stand in no log and are not on their way into one.
    pub(crate) fn placeless(&self, chat_id: ChatId) -> Result<Vec<MessageRef>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT sender, message_id FROM message
             WHERE chat_id = ?1 AND seq IS NULL AND deleted < 2 AND state IN ('failed', 'received')",
        )?;
        let rows = statement.query_map([chat_id.as_bytes()], named)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many messages of a chat are shown.
    pub(crate) fn shown(&self, chat_id: ChatId) -> Result<u64, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT count(*) AS n FROM message WHERE chat_id = ?1 AND deleted < 2",
        )?;
        Ok(statement.query_row([chat_id.as_bytes()], |row| counter(row, "n"))?)
    }

    // --- what waits ---------------------------------------------------------------------------

    /// Keeps a setting until its chat and place are known here; the last one counts.
    pub(crate) fn keep_setting(
        &self,
        name: ChatName,
        field: Field,
        item: &[u8],
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT OR REPLACE INTO setting_wait (name, field, item) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![name_bytes(name), field.number(), item])?;
        Ok(())
    }

    /// The settings that wait.
    pub(crate) fn waiting_settings(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut statement = self.0.prepare_cached("SELECT item FROM setting_wait")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A setting waits no longer.
    pub(crate) fn end_setting_wait(&self, name: ChatName, field: Field) -> Result<(), StoreError> {
        self.0
            .prepare_cached("DELETE FROM setting_wait WHERE name = ?1 AND field = ?2")?
            .execute(params![name_bytes(name), field.number()])?;
        Ok(())
    }

    /// A message that is not here was deleted on another own device.
    pub(crate) fn hide(&self, of: MessageRef) -> Result<(), StoreError> {
        self.0
            .prepare_cached("INSERT OR IGNORE INTO hidden (sender, message_id) VALUES (?1, ?2)")?
            .execute(params![of.sender.as_bytes(), of.message_id.as_bytes()])?;
        Ok(())
    }

    /// Whether a message that came was deleted before; forgets it.
    pub(crate) fn take_hidden(&self, of: MessageRef) -> Result<bool, StoreError> {
        let taken = self
            .0
            .prepare_cached("DELETE FROM hidden WHERE sender = ?1 AND message_id = ?2")?
            .execute(params![of.sender.as_bytes(), of.message_id.as_bytes()])?;
        Ok(taken > 0)
    }

    /// The newest messages that were deleted on own devices, at most `limit`, those that did not come first.
    pub(crate) fn deleted_for_me(&self, limit: usize) -> Result<Vec<MessageRef>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT sender, message_id FROM hidden UNION ALL SELECT * FROM (
             SELECT sender, message_id FROM message WHERE deleted = 2 ORDER BY id DESC) LIMIT ?1",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map([limit], named)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    // --- read ---------------------------------------------------------------------------------

    /// How far the person has read a log.
    pub(crate) fn own_read(&self, log_id: LogId) -> Result<u64, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT seq FROM own_read WHERE log_id = ?1")?;
        let found = statement.query_row([log_id.as_bytes()], |row| counter(row, "seq"));
        Ok(found.optional()?.unwrap_or(0))
    }

    /// Everything of a log up to `seq` is read, also what comes later; whether that is news.
    pub(crate) fn raise_read(&self, log_id: LogId, seq: u64) -> Result<bool, StoreError> {
        let raised = self
            .0
            .prepare_cached(
                "INSERT INTO own_read (log_id, seq) VALUES (?1, ?2)
                 ON CONFLICT (log_id) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > own_read.seq",
            )?
            .execute(params![log_id.as_bytes(), int(seq)])?;
        Ok(raised > 0)
    }

    /// The logs of which something was read.
    pub(crate) fn logs_read(&self) -> Result<Vec<LogId>, StoreError> {
        let mut statement = self.0.prepare_cached("SELECT log_id FROM own_read")?;
        let rows = statement.query_map([], |row| Ok(LogId::new(id(row, "log_id")?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn named(row: &Row<'_>) -> rusqlite::Result<MessageRef> {
    Ok(MessageRef {
        sender: AccountId::new(id(row, "sender")?),
        message_id: MessageId::new(id(row, "message_id")?),
    })
}
