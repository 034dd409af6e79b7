//! Opens the database: lock, file modes, pragmas, schema, incarnation.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::mark::{self, Mark};
use crate::folder;

/// The database's file in the data folder.
pub(super) const DATABASE: &str = "store.db";

/// How much of the file readers see through a memory map, in bytes: a page of a log is a hundred scattered
/// reads, and each would be a system call. SQLite takes no more than 2 GiB; the rest is read as ever.
const MAPPED_BYTES: i64 = 2 << 30;

/// The schema's versions, oldest first; `user_version` counts those applied.
const SCHEMA: [&str; 4] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
];

/// The store cannot be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open; stop that one, or ask it instead.
    #[error("the data folder is in use by a running server, stop it first")]
    Locked,
    /// A newer program wrote it; use that one.
    #[error(
        "the database has schema {found}, this program knows {known}: use the newer program again"
    )]
    NewerSchema {
        /// Version in the database.
        found: u32,
        /// Newest version known here.
        known: u32,
    },
    /// A file of the data folder cannot be used; the path and reason say which and why.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder had a database and has none now, or an empty one.
    #[error(
        "{DATABASE} is missing or empty, and this folder had a database: restore the folder from a \
         backup; to begin with an empty database, delete the file `incarnation`"
    )]
    Missing,
    /// SQLite refuses the database, or the disk does not read or write it.
    #[error(
        "cannot open the database: {0}; look at the disk, and when the file is damaged restore the \
         folder from a backup"
    )]
    Database(#[from] rusqlite::Error),
}

/// An open database with its writing connection.
pub(super) struct Opened {
    pub(super) writer: Connection,
    pub(super) mark: Mark,
    /// Held as long as the store lives.
    pub(super) lock: File,
}

/// Opens or creates the database in `data_dir`, which exists.
pub(super) fn open(data_dir: &Path) -> Result<Opened, OpenError> {
    let lock = take_lock(data_dir)?;
    let path = data_dir.join(DATABASE);
    // an empty database in the place of a lost one would look to everybody like the truth
    if mark::is_remembered(data_dir) && is_missing(&path) {
        return Err(OpenError::Missing);
    }
    private_file(&path)?;
    let mut writer = Connection::open_with_flags(
        &path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    configure(&writer)?;
    migrate(&mut writer)?;
    let mark = mark::advance_on_open(&mut writer, data_dir)?;
    Ok(Opened { writer, mark, lock })
}

/// One reading connection.
pub(super) fn open_reader(data_dir: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(data_dir.join(DATABASE), flags)?;
    reader.pragma_update(None, "query_only", true)?;
    reader.pragma_update(None, "mmap_size", MAPPED_BYTES)?;
    reader.set_prepared_statement_cache_capacity(64);
    Ok(reader)
}

fn is_missing(path: &Path) -> bool {
    match path.metadata() {
        Ok(metadata) => metadata.len() == 0,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn take_lock(data_dir: &Path) -> Result<File, OpenError> {
    let lock = folder::lock(data_dir).map_err(|source| io_error(data_dir, source))?;
    lock.ok_or(OpenError::Locked)
}

/// Opens or creates a file that only its owner may read. SQLite gives its side files the same mode.
fn private_file(path: &Path) -> Result<File, OpenError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| io_error(path, source))
}

pub(super) fn io_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io {
        path: path.to_owned(),
        source,
    }
}

fn configure(writer: &Connection) -> Result<(), OpenError> {
    writer.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: a commit is on disk before anybody hears of it
    writer.pragma_update(None, "synchronous", "FULL")?;
    writer.pragma_update(None, "wal_autocheckpoint", 16_000)?;
    writer.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    writer.pragma_update(None, "foreign_keys", true)?;
    // expired payloads are overwritten, not only forgotten
    writer.pragma_update(None, "secure_delete", true)?;
    writer.pragma_update(None, "cache_size", -32 * 1024)?;
    writer.set_prepared_statement_cache_capacity(128);
    Ok(())
}

/// Brings the schema up to date, one transaction for each version.
fn migrate(writer: &mut Connection) -> Result<(), OpenError> {
    let found = schema_version(writer)?;
    let known = u32::try_from(SCHEMA.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(OpenError::NewerSchema { found, known });
    }
    for (version, sql) in (1_u32..).zip(SCHEMA).skip(found as usize) {
        let tx = writer.transaction()?;
        tx.execute_batch(sql)?;
        tx.pragma_update(None, "user_version", version)?;
        tx.commit()?;
    }
    Ok(())
}

pub(super) fn schema_version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}
