//! The profile's encrypted database: open, migrate, and the one way to a transaction.
//!
//! One file per table family; each adds its methods to [`Tx`]. MLS state, message rows, cursors and
//! outbox rows live in the same database, so one [`Store::write`] holds them all (C-050).

mod account;
mod acts;
mod archive;
mod attachments;
mod calls;
mod chats;
mod contacts;
mod conversations;
mod device_key;
mod devices;
mod expiry;

#[cfg(test)]
pub(crate) mod fault;
mod history;
mod inbox;
mod intents;
mod journal;
mod keys;
mod messages;
mod mls;
mod notes;
mod open;
mod outbox;
mod search;
mod settings;
mod stranded;
mod stuck;
mod sync;
mod tokens;
mod touched;
mod webhooks;

pub(crate) use account::{OwnAccount, PendingRegistration};
pub(crate) use acts::{ActKind, ActRow};
pub(crate) use archive::{ArchiveRow, ArchivedMessage, HistoryMark};
pub(crate) use attachments::{FileRow, FileState};
pub(crate) use calls::CallRow;
pub(crate) use chats::{ChatRow, ChatStage};
pub(crate) use contacts::{ContactRow, Known, parse_known};
pub(crate) use conversations::{ConversationRow, Stage};
pub(crate) use devices::{Approval, PendingLink};
pub(crate) use inbox::{HeldRow, InvitationRow, JoinWish};
pub(crate) use intents::{IntentKind, IntentRow, PendingWelcome};
pub(crate) use journal::EventRow;
pub(crate) use keys::Taken;
pub(crate) use messages::{Deleted, MessageRow, NewMessage, Position};
pub(crate) use notes::{NewNote, NoteRow};
pub(crate) use open::{KeyFile, key_kind};
pub(crate) use outbox::{OutboxKind, OutboxRow};
pub(crate) use search::Wanted;
pub(crate) use settings::Field;
pub(crate) use stranded::StrandedRow;
pub(crate) use stuck::StuckRow;
pub(crate) use sync::Thing;
pub(crate) use webhooks::{DeliveryRow, WebhookRow};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::disk::{Moment, SharedDisk};

/// The database failed: full, damaged or unreadable. The transaction was rolled back.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct StoreError(pub String);

/// What to do about a store that cannot be mended: a profile that was patched or put back would encrypt under
/// keys that are used up.
const DAMAGED: &str = "keep the folder, and register anew with another --profile";

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{
            DatabaseCorrupt, DiskFull, NotADatabase, ReadOnly, SystemIoFailure,
        };
        Self(match error.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => {
                format!(
                    "its database does not open with its key: it is damaged ({error}); {DAMAGED}"
                )
            }
            Some(DiskFull) => "the disk is full; make room and try again".to_owned(),
            Some(ReadOnly) => "the profile is read-only; make it writable and try again".to_owned(),
            Some(SystemIoFailure) => format!("the disk failed ({error}); check it, then try again"),
            _ => error.to_string(),
        })
    }
}

/// The open database of a profile. Whoever holds it holds the profile's lock.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Connection,
    _lock: std::fs::File,
    disk: Option<SharedDisk>,
    #[cfg(test)]
    pub(crate) fault: fault::Fault,
}

/// A transaction: every table family's methods stand on it.
#[derive(Debug)]
pub(crate) struct Tx<'c>(Transaction<'c>);

impl Store {
    fn new(connection: Connection, lock: std::fs::File) -> Self {
        Self {
            connection,
            _lock: lock,
            disk: None,
            #[cfg(test)]
            fault: fault::Fault::default(),
        }
    }

    /// The same store, with `disk` around each transaction.
    pub(crate) fn on(self, disk: SharedDisk) -> Self {
        let disk = Some(disk);
        Self { disk, ..self }
    }

    /// Runs `work` in one write transaction; commits when it returns `Ok`, else rolls everything back.
    pub(crate) fn write<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let disk = self.disk.clone();
        ask(disk.as_ref(), Moment::Read)?;
        self.end_left_over()?;
        let tx = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(StoreError::from)?;
        let tx = Tx(tx);
        let value = work(&tx)?;
        ask(disk.as_ref(), Moment::Commit)?;
        #[cfg(test)]
        self.fault.before_commit()?;
        tx.0.commit().map_err(StoreError::from)?;
        #[cfg(test)]
        self.fault.after_commit()?;
        ask(disk.as_ref(), Moment::Committed)?;
        Ok(value)
    }

    /// Runs `work` on one consistent view; nothing it does is kept.
    pub(crate) fn read<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        #[cfg(test)]
        self.fault.check()?;
        ask(self.disk.as_ref(), Moment::Read)?;
        self.end_left_over()?;
        let tx = Tx(self.connection.transaction().map_err(StoreError::from)?);
        work(&tx)
    }

    /// A disk that fails may fail the rollback too; the transaction would stay open and refuse every other.
    fn end_left_over(&self) -> Result<(), StoreError> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        Ok(self.connection.execute_batch("ROLLBACK")?)
    }

    /// Moves what is committed out of the write-ahead log and truncates it, so that deleted keys do not linger there.
    pub(crate) fn truncate_log(&mut self) -> Result<(), StoreError> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    /// Whether the database is whole (`PRAGMA quick_check`, and with each page its authentication); what is
    /// wrong else.
    pub(crate) fn check(&mut self) -> Result<(), StoreError> {
        // Each page against its MAC, free ones too; a row for each that does not fit.
        let mut pages = self.connection.prepare("PRAGMA cipher_integrity_check")?;
        let mut damaged = pages.query_map([], |row| row.get::<_, String>(0))?;
        if let Some(first) = damaged.next() {
            return Err(StoreError(first?));
        }
        let answer = self
            .connection
            .query_row("PRAGMA quick_check", [], |row| row.get::<_, String>(0));
        match answer.map_err(|error| StoreError(error.to_string()))? {
            answer if answer == "ok" => Ok(()),
            answer => Err(StoreError(answer)),
        }
    }
}

/// Whether the process goes on.
fn ask(disk: Option<&SharedDisk>, moment: Moment) -> Result<(), StoreError> {
    let answer = disk.map(|disk| disk.ask(moment));
    answer.unwrap_or(Ok(())).map_err(StoreError)
}

impl Tx<'_> {
    /// Runs `work` so that its writes are kept only when it returns `Ok`; the transaction goes on either way.
    pub(crate) fn attempt<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let run = |sql| self.0.execute_batch(sql).map_err(StoreError::from);
        run("SAVEPOINT attempt")?;
        let result = work();
        if result.is_err() {
            run("ROLLBACK TO attempt")?;
        }
        run("RELEASE attempt")?;
        result
    }
}

/// An id column: exactly its bytes, else the store is damaged.
fn id<const N: usize>(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<[u8; N]> {
    row.get::<_, [u8; N]>(column)
}

/// A counter as SQLite keeps it.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A counter out of a column.
fn counter(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

/// A counter that may be absent.
fn optional_counter(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<Option<u64>> {
    Ok(row
        .get::<_, Option<i64>>(column)?
        .and_then(|value| u64::try_from(value).ok()))
}
