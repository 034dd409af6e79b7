//! What the person wants of a conversation's members, what a pending commit brings along, and marks of each person.

use conclave_proto::id::{AccountId, ChatId, DeviceId, LogId};
use rusqlite::{Row, params};

use super::{StoreError, Tx, counter, id, int};

/// What a wish is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IntentKind {
    /// Somebody shall be in, with all their devices.
    AddPerson,
    /// One device shall be in.
    AddDevice,
    /// Somebody shall be out, with all their devices.
    RemovePerson,
    /// One device shall be out.
    RemoveDevice,
    /// The group's name.
    Rename,
    /// Somebody's role.
    SetRole,
    /// The secret of the group's link.
    SetLink,
    /// One device that lost its place shall be put in anew.
    Readd,
}

impl IntentKind {
    const ALL: [(Self, &'static str); 8] = [
        (Self::AddPerson, "add_person"),
        (Self::AddDevice, "add_device"),
        (Self::RemovePerson, "remove_person"),
        (Self::RemoveDevice, "remove_device"),
        (Self::Rename, "rename"),
        (Self::SetRole, "set_role"),
        (Self::SetLink, "set_link"),
        (Self::Readd, "readd"),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or("", |(_, name)| name)
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(kind, _)| *kind)
    }

    /// The wish that contradicts this one, of the same account and device.
    fn opposite(self) -> Option<Self> {
        match self {
            Self::AddPerson => Some(Self::RemovePerson),
            Self::RemovePerson => Some(Self::AddPerson),
            Self::AddDevice => Some(Self::RemoveDevice),
            Self::RemoveDevice => Some(Self::AddDevice),
            _ => None,
        }
    }
}

/// One wish.
#[derive(Debug, Clone)]
pub(crate) struct IntentRow {
    /// Its number; wishes are carried out in this order.
    pub(crate) id: i64,
    /// What it is about.
    pub(crate) kind: IntentKind,
    /// Whom it is about; zeros when nobody.
    pub(crate) account_id: AccountId,
    /// Which device; `None` when it is about a person.
    pub(crate) device_id: Option<DeviceId>,
    /// Name, role (one byte) or secret of the link (empty: none).
    pub(crate) value: Vec<u8>,
    /// Commits made for it so far.
    pub(crate) tries: u32,
    /// Not before this, ms since 1970-01-01 UTC.
    pub(crate) due_ms: u64,
    /// Why it failed; empty while it waits.
    pub(crate) reason: String,
}

/// A device that an own pending commit adds, and what lets it in.
#[derive(Debug, Clone)]
pub(crate) struct PendingWelcome {
    /// Whose device.
    pub(crate) account_id: AccountId,
    /// The device.
    pub(crate) device_id: DeviceId,
    /// Encoded pointer to its welcome.
    pub(crate) welcome: Vec<u8>,
    /// Encoded pointer to the tree.
    pub(crate) tree: Vec<u8>,
}

fn intent(row: &Row<'_>) -> rusqlite::Result<Option<IntentRow>> {
    // A kind that a newer version wrote is left alone.
    let Some(kind) = IntentKind::parse(&row.get::<_, String>("kind")?) else {
        return Ok(None);
    };
    Ok(Some(IntentRow {
        id: row.get("id")?,
        kind,
        account_id: AccountId::new(id(row, "account_id")?),
        device_id: DeviceId::parse(&row.get::<_, Vec<u8>>("device_id")?),
        value: row.get("value")?,
        tries: row.get("tries")?,
        due_ms: counter(row, "due_ms")?,
        reason: row.get("reason")?,
    }))
}

impl Tx<'_> {
    /// Keeps a wish; a newer one about the same replaces the older, and takes back what contradicts it.
    pub(crate) fn put_intent(
        &self,
        chat_id: ChatId,
        kind: IntentKind,
        about: (AccountId, Option<DeviceId>),
        value: &[u8],
        due_ms: u64,
    ) -> Result<(), StoreError> {
        let device = about.1.as_ref().map_or(&[][..], |device| device.as_bytes());
        if let Some(opposite) = kind.opposite() {
            self.0.execute(
                "DELETE FROM intent WHERE chat_id = ?1 AND kind = ?2 AND account_id = ?3 AND device_id = ?4",
                params![chat_id.as_bytes(), opposite.name(), about.0.as_bytes(), device],
            )?;
        }
        self.0
            .prepare_cached(
                "INSERT INTO intent (chat_id, kind, account_id, device_id, value, due_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (chat_id, kind, account_id, device_id)
                 DO UPDATE SET value = excluded.value, due_ms = excluded.due_ms, tries = 0, reason = ''",
            )?
            .execute(params![
                chat_id.as_bytes(),
                kind.name(),
                about.0.as_bytes(),
                device,
                value,
                int(due_ms)
            ])?;
        Ok(())
    }

    /// A chat's wishes that wait or failed, oldest first.
    pub(crate) fn intents_of(&self, chat_id: ChatId) -> Result<Vec<IntentRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM intent WHERE chat_id = ?1 ORDER BY id")?;
        let rows = statement.query_map([chat_id.as_bytes()], intent)?;
        Ok(rows
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    /// Chats with wishes that wait.
    pub(crate) fn chats_with_intents(&self) -> Result<Vec<ChatId>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT DISTINCT chat_id FROM intent WHERE reason = '' ORDER BY chat_id",
        )?;
        let rows = statement.query_map([], |row| Ok(ChatId::new(id(row, "chat_id")?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Wishes that wait, in chats where something can be done.
    pub(crate) fn intents_waiting(&self) -> Result<u64, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT count(*) AS n FROM intent JOIN chat USING (chat_id)
             WHERE intent.reason = '' AND chat.live_log IS NOT NULL AND chat.stage IN ('open', 'left')",
        )?;
        Ok(statement.query_row([], |row| counter(row, "n"))?)
    }

    /// A commit was made for a wish; if it loses, not before `due_ms` again.
    pub(crate) fn try_intent(&self, id: i64, due_ms: u64) -> Result<(), StoreError> {
        self.0
            .prepare_cached("UPDATE intent SET tries = tries + 1, due_ms = ?2 WHERE id = ?1")?
            .execute(params![id, int(due_ms)])?;
        Ok(())
    }

    /// A wish cannot be carried out.
    pub(crate) fn fail_intent(&self, id: i64, reason: &str) -> Result<(), StoreError> {
        self.0.execute(
            "UPDATE intent SET reason = ?2 WHERE id = ?1",
            params![id, reason],
        )?;
        Ok(())
    }

    /// A wish holds, or is taken back.
    pub(crate) fn delete_intent(&self, id: i64) -> Result<(), StoreError> {
        self.0
            .prepare_cached("DELETE FROM intent WHERE id = ?1")?
            .execute([id])?;
        Ok(())
    }

    /// The chat is over: nothing is wanted of it any more.
    pub(crate) fn delete_intents_of(&self, chat_id: ChatId) -> Result<(), StoreError> {
        self.0.execute(
            "DELETE FROM intent WHERE chat_id = ?1",
            [chat_id.as_bytes()],
        )?;
        Ok(())
    }

    /// Keeps the way in for a device that an own pending commit adds.
    pub(crate) fn put_pending_welcome(
        &self,
        log_id: LogId,
        row: &PendingWelcome,
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT OR REPLACE INTO pending_welcome (log_id, account_id, device_id, welcome, tree)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                log_id.as_bytes(),
                row.account_id.as_bytes(),
                row.device_id.as_bytes(),
                row.welcome,
                row.tree
            ])?;
        Ok(())
    }

    /// Takes what an own commit brought along, now that it won or lost.
    pub(crate) fn take_pending_welcomes(
        &self,
        log_id: LogId,
    ) -> Result<Vec<PendingWelcome>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "DELETE FROM pending_welcome WHERE log_id = ?1
             RETURNING account_id, device_id, welcome, tree",
        )?;
        let rows = statement.query_map([log_id.as_bytes()], |row| {
            Ok(PendingWelcome {
                account_id: AccountId::new(id(row, "account_id")?),
                device_id: DeviceId::new(id(row, "device_id")?),
                welcome: row.get("welcome")?,
                tree: row.get("tree")?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Raises how far somebody has received and read.
    pub(crate) fn raise_mark(
        &self,
        log_id: LogId,
        account: AccountId,
        delivered: u64,
        read: u64,
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT INTO mark (log_id, account_id, delivered, read) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (log_id, account_id) DO UPDATE SET
                 delivered = max(delivered, excluded.delivered), read = max(read, excluded.read)",
            )?
            .execute(params![
                log_id.as_bytes(),
                account.as_bytes(),
                int(delivered),
                int(read)
            ])?;
        Ok(())
    }

    /// Raises how far one device has received and read.
    pub(crate) fn raise_device_mark(
        &self,
        log_id: LogId,
        (account, device): (AccountId, DeviceId),
        delivered: u64,
        read: u64,
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT INTO device_mark (log_id, account_id, device_id, delivered, read)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (log_id, account_id, device_id) DO UPDATE SET
                 delivered = max(delivered, excluded.delivered), read = max(read, excluded.read)",
            )?
            .execute(params![
                log_id.as_bytes(),
                account.as_bytes(),
                device.as_bytes(),
                int(delivered),
                int(read)
            ])?;
        Ok(())
    }

    /// How far each device in a log has received and read, as far as it said so.
    pub(crate) fn device_marks(
        &self,
        log_id: LogId,
    ) -> Result<Vec<(AccountId, DeviceId, u64, u64)>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM device_mark WHERE log_id = ?1")?;
        let rows = statement.query_map([log_id.as_bytes()], |row| {
            Ok((
                AccountId::new(id(row, "account_id")?),
                DeviceId::new(id(row, "device_id")?),
                counter(row, "delivered")?,
                counter(row, "read")?,
            ))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How far somebody has received and read.
    pub(crate) fn mark(&self, log_id: LogId, account: AccountId) -> Result<(u64, u64), StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT max(delivered) AS delivered, max(read) AS read FROM mark
             WHERE log_id = ?1 AND account_id = ?2",
        )?;
        let ids = params![log_id.as_bytes(), account.as_bytes()];
        Ok(statement.query_row(ids, |row| {
            let of = |column| super::optional_counter(row, column);
            Ok((of("delivered")?.unwrap_or(0), of("read")?.unwrap_or(0)))
        })?)
    }
}
