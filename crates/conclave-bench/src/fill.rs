//! Fills the database of a server that does not run, as weeks of use leave it: the rows that the store's own
//! verbs write, by straight SQL for speed.

use std::path::Path;

use anyhow::Context as _;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use conclave_proto::env::{Env as _, OsEnv};
use conclave_proto::id::{Day, Epoch, LogId};
use conclave_proto::label::sha256;
use conclave_proto::limits::RETENTION_DAYS;
use conclave_proto::log::EntryKind;
use conclave_server::log::expires_day;
use conclave_server::store::{SqliteStore, StoreOptions};
use rusqlite::{Connection, params};

use crate::PAYLOAD_BYTES;

/// The epoch that every filled log is in.
pub(crate) const EPOCH: Epoch = Epoch(1);
/// Opens every filled log: the seed of an Ed25519 key.
const ACCESS_SEED: [u8; 32] = [7; 32];
/// Bytes of what an account with one device keeps: a signed state, a certificate, a key package.
const STATE_BYTES: u32 = 5_600;
const CERTIFICATE_BYTES: u32 = 3_600;
const PACKAGE_BYTES: u32 = 2_700;
/// No common factor with the number of logs (see [`Amount`]): entry n is for log n × this, so that neighbours
/// in a log lie far apart, as they do when many people talk at once.
const STRIDE: u64 = 1_000_003;
/// Memory for the database's pages while it is filled, in KiB.
const CACHE_KIB: i64 = 1024 * 1024;

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    /// Accounts with one device each.
    pub(crate) accounts: u64,
    /// Logs in their first epoch; no multiple of 1,000,003.
    pub(crate) logs: u64,
    /// Entries of each log, of [`PAYLOAD_BYTES`] each, evenly over the last 30 days.
    pub(crate) per_log: u64,
    /// One-time key packages of each device.
    pub(crate) packages: u64,
}

impl Amount {
    /// As many more logs as it takes for so many entries.
    pub(crate) fn with_entries(self, entries: u64) -> Self {
        Self {
            logs: entries / self.per_log,
            ..self
        }
    }
}

/// The key that opens every filled log.
pub(crate) fn access_key() -> anyhow::Result<Ed25519KeyPair> {
    Ed25519KeyPair::from_seed_unchecked(&ACCESS_SEED).context("the access key")
}

/// The id of a filled log.
pub(crate) fn log_id(number: u64) -> LogId {
    LogId::new(*sha256(&number.to_be_bytes()).as_bytes())
}

/// The identifier of a filled account.
pub(crate) fn identifier(number: u64) -> String {
    format!("person{number}@example.org")
}

/// Fills the database in `folder`, which is made when there is none.
pub(crate) fn fill(folder: &Path, amount: Amount) -> anyhow::Result<()> {
    drop(SqliteStore::open(folder, StoreOptions::default())?);
    let mut database = Connection::open(folder.join("store.db"))?;
    // what is lost in a crash is filled again
    database.pragma_update(None, "journal_mode", "OFF")?;
    database.pragma_update(None, "synchronous", "OFF")?;
    database.pragma_update(None, "cache_size", -CACHE_KIB)?;
    let today = Day::of_ms(OsEnv.now_ms()).0;
    let tx = database.transaction()?;
    accounts(&tx, amount, today)?;
    logs(&tx, amount)?;
    entries(&tx, amount, today)?;
    tx.commit()?;
    // the store would do so by itself; here it happens before anything is measured
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// Bytes of the database.
pub(crate) fn database_bytes(folder: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(folder.join("store.db"))?.len())
}

fn accounts(database: &Connection, amount: Amount, today: u32) -> anyhow::Result<()> {
    let mut account = database.prepare(
        "INSERT INTO account (account_id, identifier, capability_hash) VALUES (?, ?, ?)",
    )?;
    let mut state = database.prepare(
        "INSERT INTO account_state (account, seq, hash, state) VALUES (?, 1, ?, zeroblob(?))",
    )?;
    let mut device = database.prepare(
        "INSERT INTO device (device_id, account, leaf_key, cert, listed, last_resort)
         VALUES (?, ?, ?, zeroblob(?), 1, zeroblob(?))",
    )?;
    let mut package = database.prepare(
        "INSERT INTO key_package (device, hash, package, day) VALUES (?, ?, zeroblob(?), ?)",
    )?;
    for number in 0..amount.accounts {
        let id = *sha256(identifier(number).as_bytes()).as_bytes();
        let short = id.first_chunk::<16>().context("16 of 32 bytes")?;
        account.execute(params![short, identifier(number), id])?;
        let row = database.last_insert_rowid();
        state.execute(params![row, id, STATE_BYTES])?;
        device.execute(params![short, row, id, CERTIFICATE_BYTES, PACKAGE_BYTES])?;
        let row = database.last_insert_rowid();
        for one in 0..amount.packages {
            let hash = sha256(&[&id[..], &one.to_be_bytes()].concat());
            package.execute(params![row, hash.as_bytes(), PACKAGE_BYTES, today])?;
        }
    }
    Ok(())
}

fn logs(database: &Connection, amount: Amount) -> anyhow::Result<()> {
    let key = access_key()?;
    let mut log = database.prepare(
        "INSERT INTO log (log_id, create_hash, retention_days, epoch, seq, hash)
         VALUES (?1, ?1, ?2, ?3, ?4, ?1)",
    )?;
    let mut epoch = database
        .prepare("INSERT INTO epoch (log, epoch, access_key, begin_seq) VALUES (?, ?, ?, 0)")?;
    for number in 0..amount.logs {
        let (id, of) = (log_id(number), i64::try_from(EPOCH.0)?);
        let seq = i64::try_from(amount.per_log)?;
        log.execute(params![id.as_bytes(), RETENTION_DAYS, of, seq])?;
        let row = database.last_insert_rowid();
        epoch.execute(params![row, of, key.public_key().as_ref()])?;
    }
    Ok(())
}

fn entries(database: &Connection, amount: Amount, today: u32) -> anyhow::Result<()> {
    let logs = amount.logs;
    let entries = logs * amount.per_log;
    let mut entry = database.prepare(
        "INSERT INTO entry (log, seq, epoch, kind, day, payload, expires_day)
         VALUES (?, ?, ?, ?, ?, zeroblob(?), ?)",
    )?;
    let kind = EntryKind::Message;
    for number in 0..entries {
        let days_ago =
            RETENTION_DAYS - 1 - u32::try_from(number * u64::from(RETENTION_DAYS) / entries)?;
        let day = today - days_ago;
        entry.execute(params![
            i64::try_from(number % logs * STRIDE % logs + 1)?,
            i64::try_from(number / logs + 1)?,
            i64::try_from(EPOCH.0)?,
            i32::from(kind),
            day,
            i64::try_from(PAYLOAD_BYTES)?,
            expires_day(kind, day, RETENTION_DAYS)
        ])?;
    }
    database.execute(
        "INSERT INTO place SELECT log, seq, id FROM entry ORDER BY log, seq",
        [],
    )?;
    Ok(())
}
