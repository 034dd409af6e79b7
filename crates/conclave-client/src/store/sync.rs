//! What own devices tell each other: which things have a newer value that the others have not heard.

use conclave_core::content::MessageRef;
use conclave_proto::id::{AccountId, ChatId, DeviceId, LogId, MessageId};
use rusqlite::{OptionalExtension as _, params};

use super::{ChatRow, ContactRow, Field, StoreError, Tx};
use crate::view::ChatKind;

const RECONCILE: &str = "reconcile_ms";
const OWN_CHANGED: &str = "own_changed";

/// One thing whose newest value own devices share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thing {
    /// Somebody.
    Contact(AccountId),
    /// The name of a device.
    Device(DeviceId),
    /// Own name and capability.
    Profile,
    /// How far a log was read.
    Read(LogId),
    /// The identity key.
    Identity,
    /// One setting of a chat.
    Chat(ChatId, Field),
    /// That a message is deleted on own devices.
    Deleted(MessageRef),
    /// The same of the newest of them all.
    AllDeleted,
    /// More history for a device that this one let in.
    History(DeviceId),
}

impl Thing {
    /// As an outbox row keeps it.
    fn to_bytes(self) -> Vec<u8> {
        let joined;
        let (tag, key): (u8, &[u8]) = match &self {
            Self::Contact(account) => (1, account.as_bytes()),
            Self::Device(device) => (2, device.as_bytes()),
            Self::Profile => (3, &[]),
            Self::Read(log_id) => (4, log_id.as_bytes()),
            Self::Identity => (5, &[]),
            Self::Chat(chat, field) => {
                joined = [&[field.number()], &chat.as_bytes()[..]].concat();
                (6, &joined)
            }
            Self::Deleted(of) => {
                joined = [of.sender.as_bytes(), &of.message_id.as_bytes()[..]].concat();
                (7, &joined)
            }
            Self::AllDeleted => (8, &[]),
            Self::History(device) => (9, device.as_bytes()),
        };
        [&[tag], key].concat()
    }

    /// `None`: written by a newer version.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (tag, key) = bytes.split_first()?;
        Some(match tag {
            1 => Self::Contact(AccountId::parse(key)?),
            2 => Self::Device(DeviceId::parse(key)?),
            3 => Self::Profile,
            4 => Self::Read(LogId::parse(key)?),
            5 => Self::Identity,
            6 => {
                let (field, chat) = key.split_first()?;
                Self::Chat(ChatId::parse(chat)?, Field::parse(*field)?)
            }
            7 => {
                let (sender, message_id) = key.split_at_checked(16)?;
                Self::Deleted(MessageRef {
                    sender: AccountId::parse(sender)?,
                    message_id: MessageId::parse(message_id)?,
                })
            }
            8 => Self::AllDeleted,
            9 => Self::History(DeviceId::parse(key)?),
            _ => return None,
        })
    }
}

impl Tx<'_> {
    /// The chat of this account's own devices.
    pub(crate) fn own_chat(&self) -> Result<Option<ChatRow>, StoreError> {
        Ok(self
            .chats()?
            .into_iter()
            .find(|chat| chat.kind == ChatKind::Own))
    }

    /// The newest value of `what` is to be told to the other own devices, if there are any.
    pub(crate) fn share(&self, what: Thing) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT INTO outbox (chat_id, kind, what)
                 SELECT chat_id, 'sync', ?1 FROM chat WHERE kind = 'own' AND live_log IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM outbox WHERE what = ?1 AND sealed IS NULL)",
            )?
            .execute([what.to_bytes()])?;
        Ok(())
    }

    /// Whether an own, newer value of `what` is on its way: what others said before it does not count any more.
    pub(crate) fn is_sharing(&self, what: Thing) -> Result<bool, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT 1 FROM outbox WHERE what = ?1")?;
        Ok(statement.exists([what.to_bytes()])?)
    }

    /// What an outbox row is about.
    pub(crate) fn shared_by(&self, outbox: i64) -> Result<Option<Thing>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT what FROM outbox WHERE id = ?1")?;
        let what = statement
            .query_row([outbox], |row| row.get::<_, Option<Vec<u8>>>(0))
            .optional()?;
        Ok(what.flatten().and_then(|what| Thing::parse(&what)))
    }

    /// Shares what changed about somebody from `before`.
    pub(super) fn share_contact(
        &self,
        before: Option<&ContactRow>,
        after: &ContactRow,
    ) -> Result<(), StoreError> {
        let decided = |row: &ContactRow| (row.accepted, row.blocked, row.verified, row.confirmed);
        let said = |row: &ContactRow| {
            let names = (
                row.identifier.clone(),
                row.given_name.clone(),
                row.own_name.clone(),
            );
            (names, row.capability.clone(), row.pin)
        };
        let is_same =
            |before: &ContactRow| decided(before) == decided(after) && said(before) == said(after);
        // Somebody met through another own device: that one knows more, and is about to say so.
        let is_unknown = after.identifier.is_empty()
            && after.given_name.is_empty()
            && !(after.blocked || after.verified);
        let is_decided = after.accepted || after.blocked;
        if before.is_some_and(is_same) || is_unknown || !is_decided {
            return Ok(());
        }
        self.share(Thing::Contact(after.pin.account_id))
    }

    /// When the conversations should be looked through for devices that are missing, ms since 1970-01-01 UTC.
    pub(crate) fn reconcile_ms(&self) -> Result<Option<u64>, StoreError> {
        let bytes = self.meta(RECONCILE)?;
        Ok(bytes.and_then(|bytes| Some(u64::from_be_bytes(bytes.as_slice().try_into().ok()?))))
    }

    /// Sets that time; the earlier one counts. `None`: all devices are everywhere.
    pub(crate) fn set_reconcile_ms(&self, due_ms: Option<u64>) -> Result<(), StoreError> {
        match due_ms {
            Some(due_ms) => {
                let due_ms = self.reconcile_ms()?.map_or(due_ms, |now| now.min(due_ms));
                self.set_meta(RECONCILE, &due_ms.to_be_bytes())
            }
            None => self.delete_meta(RECONCILE),
        }
    }

    /// The own account changed under a step: it is loaded again before the next round.
    pub(crate) fn set_own_changed(&self) -> Result<(), StoreError> {
        self.set_meta(OWN_CHANGED, b"1")
    }

    /// Whether that happened; forgets it.
    pub(crate) fn take_own_changed(&self) -> Result<bool, StoreError> {
        let is_changed = self.meta(OWN_CHANGED)?.is_some();
        if is_changed {
            self.delete_meta(OWN_CHANGED)?;
        }
        Ok(is_changed)
    }

    /// Name and capability as another own device set them.
    pub(crate) fn put_own_profile(
        &self,
        name: &str,
        capability: &[u8; 32],
    ) -> Result<(), StoreError> {
        self.set_meta(super::account::NAME, name.as_bytes())?;
        self.set_meta(super::account::CAPABILITY, capability)
    }

    /// How many chats wait for a device to be added or removed.
    pub(crate) fn device_wishes(&self) -> Result<usize, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT count(DISTINCT chat_id) AS n FROM intent
             WHERE kind IN ('add_device', 'remove_device') AND reason = ''",
        )?;
        let count = statement.query_row([], |row| super::counter(row, "n"))?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// Puts off wishes to add a device: nothing was tried.
    pub(crate) fn put_off_device(&self, device: DeviceId, due_ms: u64) -> Result<(), StoreError> {
        self.0.execute(
            "UPDATE intent SET due_ms = ?2 WHERE kind = 'add_device' AND device_id = ?1 AND reason = ''",
            params![device.as_bytes(), super::int(due_ms)],
        )?;
        Ok(())
    }

    /// Takes back wishes to put a device in anew.
    pub(crate) fn forget_readd(&self, device: DeviceId) -> Result<(), StoreError> {
        self.0.execute(
            "DELETE FROM intent WHERE kind = 'readd' AND device_id = ?1",
            [device.as_bytes()],
        )?;
        Ok(())
    }

    /// Takes back wishes to add a device that is not there.
    pub(crate) fn forget_device_wishes(&self, device: DeviceId) -> Result<(), StoreError> {
        self.0.execute(
            "DELETE FROM intent WHERE kind = 'add_device' AND device_id = ?1",
            [device.as_bytes()],
        )?;
        Ok(())
    }

    /// Chats that are talked in, the newest message first.
    pub(crate) fn chats_by_newest(&self) -> Result<Vec<ChatRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT chat.chat_id AS chat_id, max(message.id) AS newest FROM chat
             LEFT JOIN message USING (chat_id) WHERE chat.live_log IS NOT NULL
             GROUP BY chat.chat_id ORDER BY (chat.kind = 'own') DESC, newest DESC",
        )?;
        let ids = statement.query_map([], |row| Ok(ChatId::new(super::id(row, "chat_id")?)))?;
        let mut chats = Vec::new();
        for id in ids.collect::<Result<Vec<_>, _>>()? {
            chats.extend(self.chat(id)?);
        }
        Ok(chats)
    }
}
