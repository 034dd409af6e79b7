//! First contact: invitations that came in, sealed items that must go out.

use conclave_proto::id::{AccountId, ChatId, DeviceId, LogId};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{StoreError, Tx, counter, id, int};

/// An invitation received and not joined yet.
#[derive(Debug, Clone)]
pub(crate) struct InvitationRow {
    /// The conversation it leads to.
    pub(crate) log_id: LogId,
    /// The chat it belongs to.
    pub(crate) chat_id: ChatId,
    /// Who invites.
    pub(crate) account_id: AccountId,
    /// The opened pointer, encoded.
    pub(crate) pointer: Vec<u8>,
    /// When it came, ms since 1970-01-01 UTC.
    pub(crate) received_ms: u64,
}

/// A sealed pointer into a log that is not read far enough to follow it.
#[derive(Debug, Clone)]
pub(crate) struct HeldRow {
    /// The log.
    pub(crate) log_id: LogId,
    /// Who sent it.
    pub(crate) account_id: AccountId,
    /// The epoch that it leads to.
    pub(crate) epoch: u64,
    /// The item as it came.
    pub(crate) item: Vec<u8>,
}

/// That this person asked to come into a group.
#[derive(Debug, Clone)]
pub(crate) struct JoinWish {
    /// The group.
    pub(crate) log_id: LogId,
    /// The group's chat.
    pub(crate) chat_id: ChatId,
    /// Whom they ask.
    pub(crate) asked: Vec<AccountId>,
    /// Secret of the link; empty once everybody was asked.
    pub(crate) secret: Vec<u8>,
}

/// A sealed item that must be posted.
#[derive(Debug, Clone)]
pub(crate) struct PostRow {
    /// Its number.
    pub(crate) id: i64,
    /// To whom.
    pub(crate) account_id: AccountId,
    /// To which device.
    pub(crate) device_id: DeviceId,
    /// The sealed bytes.
    pub(crate) item: Vec<u8>,
    /// Not before this, ms since 1970-01-01 UTC.
    pub(crate) due_ms: u64,
}

fn invitation(row: &Row<'_>) -> rusqlite::Result<InvitationRow> {
    Ok(InvitationRow {
        log_id: LogId::new(id(row, "log_id")?),
        chat_id: ChatId::new(id(row, "chat_id")?),
        account_id: AccountId::new(id(row, "account_id")?),
        pointer: row.get("pointer")?,
        received_ms: counter(row, "received_ms")?,
    })
}

fn wish(row: &Row<'_>) -> rusqlite::Result<JoinWish> {
    let asked = row.get::<_, Vec<u8>>("asked")?;
    let (asked, _) = asked.as_chunks::<16>();
    Ok(JoinWish {
        log_id: LogId::new(id(row, "log_id")?),
        chat_id: ChatId::new(id(row, "chat_id")?),
        asked: asked.iter().map(|id| AccountId::new(*id)).collect(),
        secret: row.get("secret")?,
    })
}

impl Tx<'_> {
    /// Keeps an invitation; the same log again is kept once.
    pub(crate) fn put_invitation(&self, row: &InvitationRow) -> Result<(), StoreError> {
        self.0.execute(
            "INSERT OR IGNORE INTO invitation (log_id, chat_id, account_id, pointer, received_ms)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                row.log_id.as_bytes(),
                row.chat_id.as_bytes(),
                row.account_id.as_bytes(),
                row.pointer,
                int(row.received_ms)
            ],
        )?;
        Ok(())
    }

    /// Groups that somebody invites to and that wait for an answer, declined ones included.
    pub(crate) fn requests_by(&self, account: AccountId) -> Result<usize, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT count(*) AS n FROM invitation JOIN chat USING (chat_id)
             WHERE invitation.account_id = ?1 AND chat.kind = 'group'
             AND chat.stage IN ('request', 'declined')",
        )?;
        let count = statement.query_row([account.as_bytes()], |row| counter(row, "n"))?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// Remembers that this person asked to come into a group.
    pub(crate) fn put_join_wish(&self, wish: &JoinWish) -> Result<(), StoreError> {
        let asked: Vec<u8> = wish.asked.iter().flat_map(|id| id.to_vec()).collect();
        let (log_id, chat_id) = (wish.log_id.as_bytes(), wish.chat_id.as_bytes());
        self.0.execute(
            "INSERT OR REPLACE INTO join_wish (log_id, chat_id, asked, secret) VALUES (?1, ?2, ?3, ?4)",
            params![log_id, chat_id, asked, wish.secret],
        )?;
        Ok(())
    }

    /// Whether this person asked to come into a group.
    pub(crate) fn join_wish(&self, log_id: LogId) -> Result<Option<JoinWish>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM join_wish WHERE log_id = ?1")?;
        Ok(statement.query_row([log_id.as_bytes()], wish).optional()?)
    }

    /// Wishes whose people were not asked yet.
    pub(crate) fn knocks(&self) -> Result<Vec<JoinWish>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM join_wish WHERE secret <> x''")?;
        let rows = statement.query_map([], wish)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The wish is granted, refused or taken back.
    pub(crate) fn delete_join_wish(&self, log_id: LogId) -> Result<(), StoreError> {
        self.0.execute(
            "DELETE FROM join_wish WHERE log_id = ?1",
            [log_id.as_bytes()],
        )?;
        Ok(())
    }

    /// Keeps a sealed pointer until its log is read further, the newest `most` of each sender.
    pub(crate) fn put_held(&self, row: &HeldRow, most: u32) -> Result<(), StoreError> {
        self.0.execute(
            "INSERT OR REPLACE INTO held (log_id, account_id, epoch, item) VALUES (?1, ?2, ?3, ?4)",
            params![
                row.log_id.as_bytes(),
                row.account_id.as_bytes(),
                int(row.epoch),
                row.item
            ],
        )?;
        self.0.execute(
            "DELETE FROM held WHERE log_id = ?1 AND account_id = ?2 AND epoch NOT IN
             (SELECT epoch FROM held WHERE log_id = ?1 AND account_id = ?2
              ORDER BY epoch DESC LIMIT ?3)",
            params![row.log_id.as_bytes(), row.account_id.as_bytes(), most],
        )?;
        Ok(())
    }

    /// Everything that is kept so, of each log the earliest epoch first.
    pub(crate) fn held(&self) -> Result<Vec<HeldRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM held ORDER BY log_id, epoch, account_id")?;
        let held = |row: &Row<'_>| {
            Ok(HeldRow {
                log_id: LogId::new(id(row, "log_id")?),
                account_id: AccountId::new(id(row, "account_id")?),
                epoch: counter(row, "epoch")?,
                item: row.get("item")?,
            })
        };
        let rows = statement.query_map([], held)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// It is followed, or leads nowhere.
    pub(crate) fn delete_held(&self, row: &HeldRow) -> Result<(), StoreError> {
        self.0.execute(
            "DELETE FROM held WHERE log_id = ?1 AND account_id = ?2 AND epoch = ?3",
            params![
                row.log_id.as_bytes(),
                row.account_id.as_bytes(),
                int(row.epoch)
            ],
        )?;
        Ok(())
    }

    /// The invitation to this log, void or not.
    pub(crate) fn invitation(&self, log_id: LogId) -> Result<Option<InvitationRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM invitation WHERE log_id = ?1")?;
        let row = statement.query_row([log_id.as_bytes()], invitation);
        Ok(row.optional()?)
    }

    /// Whether an invitation to this log is here, void or not.
    pub(crate) fn is_invited(&self, log_id: LogId) -> Result<bool, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM invitation WHERE log_id = ?1)")?;
        Ok(statement.query_row([log_id.as_bytes()], |row| row.get(0))?)
    }

    /// Invitations of a chat that are not void, oldest first.
    pub(crate) fn invitations_of(&self, chat_id: ChatId) -> Result<Vec<InvitationRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT * FROM invitation WHERE chat_id = ?1 AND pointer <> x'' ORDER BY received_ms",
        )?;
        let rows = statement.query_map([chat_id.as_bytes()], invitation)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Invitations that can be joined: their chats are open.
    pub(crate) fn open_invitations(&self) -> Result<Vec<InvitationRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT invitation.* FROM invitation JOIN chat USING (chat_id)
             LEFT JOIN contact ON contact.account_id = chat.account_id
             WHERE chat.stage = 'open' AND pointer <> x''
             AND NOT coalesce(contact.blocked, 0) AND contact.changed IS NULL ORDER BY received_ms",
        )?;
        let rows = statement.query_map([], invitation)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// An invitation cannot be taken. Its log is remembered: whatever is begun instead continues it.
    pub(crate) fn void_invitation(&self, log_id: LogId) -> Result<(), StoreError> {
        self.0.execute(
            "UPDATE invitation SET pointer = x'' WHERE log_id = ?1",
            [log_id.as_bytes()],
        )?;
        Ok(())
    }

    /// The log of somebody's newest void invitation to a chat.
    pub(crate) fn voided(
        &self,
        chat_id: ChatId,
        account: AccountId,
    ) -> Result<Option<LogId>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT log_id FROM invitation WHERE chat_id = ?1 AND account_id = ?2 AND pointer = x''
             ORDER BY received_ms DESC LIMIT 1",
        )?;
        let ids = params![chat_id.as_bytes(), account.as_bytes()];
        let log_id = statement.query_row(ids, |row| Ok(LogId::new(id(row, "log_id")?)));
        Ok(log_id.optional()?)
    }

    /// A chat has a new conversation: nothing has to continue a void invitation any more.
    pub(crate) fn forget_voided(&self, chat_id: ChatId) -> Result<(), StoreError> {
        self.0.execute(
            "DELETE FROM invitation WHERE chat_id = ?1 AND pointer = x''",
            [chat_id.as_bytes()],
        )?;
        Ok(())
    }

    /// An invitation is joined.
    pub(crate) fn delete_invitation(&self, log_id: LogId) -> Result<(), StoreError> {
        self.0.execute(
            "DELETE FROM invitation WHERE log_id = ?1",
            [log_id.as_bytes()],
        )?;
        Ok(())
    }

    /// Queues a sealed item.
    pub(crate) fn push_post(
        &self,
        log_id: LogId,
        to: (AccountId, DeviceId),
        item: &[u8],
        due_ms: u64,
    ) -> Result<(), StoreError> {
        self.0.execute(
            "INSERT INTO post (log_id, account_id, device_id, item, due_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![log_id.as_bytes(), to.0.as_bytes(), to.1.as_bytes(), item, int(due_ms)],
        )?;
        Ok(())
    }

    /// The item that is due first among those whose log the server has, or that ask to come into one.
    pub(crate) fn next_post(&self) -> Result<Option<PostRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT post.* FROM post LEFT JOIN conversation USING (log_id) LEFT JOIN chat USING (chat_id)
             LEFT JOIN contact ON contact.account_id = chat.account_id
             WHERE (conversation.log_id IS NULL
                    OR (chat.stage = 'open' AND (conversation.stage = 'live'
                        OR EXISTS (SELECT 1 FROM stranded WHERE stranded.log_id = post.log_id)))
                    OR EXISTS (SELECT 1 FROM join_wish WHERE join_wish.log_id = post.log_id))
             AND NOT coalesce(contact.blocked, 0) AND contact.changed IS NULL
             ORDER BY due_ms, post.id LIMIT 1",
        )?;
        let row = statement.query_row([], |row| {
            Ok(PostRow {
                id: row.get("id")?,
                account_id: AccountId::new(id(row, "account_id")?),
                device_id: DeviceId::new(id(row, "device_id")?),
                item: row.get("item")?,
                due_ms: counter(row, "due_ms")?,
            })
        });
        Ok(row.optional()?)
    }

    /// An item is posted or void.
    pub(crate) fn delete_post(&self, id: i64) -> Result<(), StoreError> {
        self.0.execute("DELETE FROM post WHERE id = ?1", [id])?;
        Ok(())
    }

    /// Tries a post again later, at `due_ms`.
    pub(crate) fn delay_post(&self, id: i64, due_ms: u64) -> Result<(), StoreError> {
        self.0.execute(
            "UPDATE post SET due_ms = ?2 WHERE id = ?1",
            params![id, int(due_ms)],
        )?;
        Ok(())
    }

    /// The log of these items is retired: they lead nowhere.
    pub(crate) fn delete_posts_of(&self, log_id: LogId) -> Result<(), StoreError> {
        self.0
            .execute("DELETE FROM post WHERE log_id = ?1", [log_id.as_bytes()])?;
        Ok(())
    }

    /// Items not posted yet that may be.
    pub(crate) fn posts_waiting(&self) -> Result<u64, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT count(*) AS n FROM post LEFT JOIN conversation USING (log_id) LEFT JOIN chat USING (chat_id)
             LEFT JOIN contact ON contact.account_id = chat.account_id
             WHERE (conversation.log_id IS NULL OR (chat.stage = 'open' AND (conversation.stage <> 'broken'
                 OR EXISTS (SELECT 1 FROM stranded WHERE stranded.log_id = post.log_id))))
             AND NOT coalesce(contact.blocked, 0) AND contact.changed IS NULL",
        )?;
        Ok(statement.query_row([], |row| counter(row, "n"))?)
    }
}
