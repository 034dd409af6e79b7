//! Moves a stopped server's whole SQLite store into an empty database, in one transaction.
//!
//! 1. The data folder is locked and its store opened and closed once: what waited is in the file.
//! 2. Every table is copied in order; a hash of each row that was read goes into the table's sum.
//! 3. Every table is read back; count and sum must be the same. Mark and incarnation are taken over, so that
//!    clients notice nothing.
//! 4. Commit, and only then the source's file gets another name, so that nobody serves it by mistake.
//!
//! Whatever ends before the commit leaves the database as it was: begin again (C-222).

use std::path::{Path, PathBuf};

use conclave_proto::env::OsEnv;
use conclave_proto::label;
use futures_util::{StreamExt as _, TryStreamExt as _};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::mpsc;
use tokio_postgres::Client;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::PostgresStore;
use super::address::Address;
use super::open::{self, DatabaseError};
use super::take_over_tables::{TABLES, Table};
use crate::folder;
use crate::keys::{KeysError, ServerKeys};
use crate::store::{OpenError, SqliteStore, StoreOptions};

/// The source's file, and what it is called once it moved.
const DATABASE: &str = "store.db";
const MOVED: &str = "store.db.moved";
/// Rows that are handed over at once.
const CHUNK: usize = 256;

/// The store could not be moved; the source is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    /// There is nothing to move.
    #[error("there is no {DATABASE} in {0}; name the data folder of the server that moves")]
    NoSource(PathBuf),
    /// The source cannot be opened: the server runs, or the file is damaged.
    #[error(transparent)]
    Source(#[from] OpenError),
    /// The keys beside it are damaged.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The source does not give its rows.
    #[error("the store in the data folder cannot be read: {0}; run `conclave-server check`")]
    Read(#[from] rusqlite::Error),
    /// The target holds something.
    #[error(
        "the database is not empty (`{0}` has rows): make a new one; nothing was changed. If an earlier \
         migrate-store was interrupted at its very end, `conclave-server check --database …` tells whether \
         it is whole"
    )]
    NotEmpty(&'static str),
    /// The target does not work.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// What arrived is not what was sent.
    #[error("`{0}` arrived with other contents; nothing was changed, look at the database's disk")]
    Differs(&'static str),
    /// Everything is in the database, but the source keeps its name.
    #[error("all is moved, but {DATABASE} cannot be renamed to {MOVED}: {0}; do it by hand")]
    Rename(std::io::Error),
}

impl From<tokio_postgres::Error> for MoveError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Table by table, how many rows moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// Name and rows.
    pub rows: Vec<(&'static str, u64)>,
}

/// Moves the store of `data_dir` into the database at `address`.
pub async fn take_over(data_dir: &Path, address: Address) -> Result<Moved, MoveError> {
    let source = data_dir.join(DATABASE);
    if !source.exists() {
        return Err(MoveError::NoSource(data_dir.to_path_buf()));
    }
    let settle = data_dir.to_path_buf();
    let settled = tokio::task::spawn_blocking(move || {
        // closed at once: then everything is in the one file
        SqliteStore::open(&settle, StoreOptions::default()).map(drop)
    });
    settled.await.unwrap_or(Err(OpenError::Missing))?;
    let locked = folder::lock(data_dir).map_err(DatabaseError::Note)?;
    let _lock = locked.ok_or(OpenError::Locked)?;
    // makes the schema
    let made = PostgresStore::open(address.clone(), None, StoreOptions::default()).await?;
    drop(made);
    let session = open::connect(&address).await?;
    let client = &session.client;
    // no server opens the database from here on; the other store is read between two statements
    let begin = "SET enable_seqscan = on; SET idle_in_transaction_session_timeout = 0; BEGIN;
        LOCK TABLE meta IN ACCESS EXCLUSIVE MODE";
    client.batch_execute(begin).await?;
    refuse_rows(client).await?;
    let mut moved = Moved::default();
    for table in &TABLES {
        let sent = copy(client, &source, table).await?;
        if read_back(client, table).await? != sent {
            return Err(MoveError::Differs(table.name));
        }
        moved.rows.push((table.name, sent.rows));
    }
    let owner = if ServerKeys::are_in(data_dir) {
        Some(ServerKeys::open(data_dir, &OsEnv)?.mark())
    } else {
        None
    };
    take_mark(client, &source, owner).await?;
    client.batch_execute("COMMIT").await?;
    std::fs::rename(&source, data_dir.join(MOVED)).map_err(MoveError::Rename)?;
    Ok(moved)
}

async fn refuse_rows(client: &Client) -> Result<(), MoveError> {
    for table in &TABLES {
        let has_rows = format!("SELECT EXISTS (SELECT 1 FROM {})", table.name);
        if client.query_one(&has_rows, &[]).await?.try_get(0)? {
            return Err(MoveError::NotEmpty(table.name));
        }
    }
    Ok(())
}

/// Copies one table, all of it; gives the sum of what was read.
async fn copy(client: &Client, source: &Path, table: &'static Table) -> Result<Sum, MoveError> {
    let (outlet, mut rows) = mpsc::channel(4);
    let path = source.to_path_buf();
    let reading = tokio::task::spawn_blocking(move || read(&path, table, &outlet));
    let columns = table.names();
    let select = format!("SELECT {columns} FROM {} LIMIT 0", table.name);
    let select = client.prepare(&select).await?;
    let types: Vec<Type> = (select.columns().iter())
        .map(|column| column.type_().clone())
        .collect();
    let copy = format!("COPY {} ({columns}) FROM STDIN BINARY", table.name);
    let writer = BinaryCopyInWriter::new(client.copy_in(&copy).await?, &types);
    let mut writer = std::pin::pin!(writer);
    while let Some(chunk) = rows.recv().await {
        for row in chunk {
            let row: Vec<&(dyn ToSql + Sync)> = row.iter().map(|value| value as _).collect();
            writer.as_mut().write(&row).await?;
        }
    }
    // a reader that broke off must not end the copy well
    let sum = reading
        .await
        .unwrap_or(Err(rusqlite::Error::InvalidQuery))?;
    writer.finish().await?;
    if let Some(column) = table.identity {
        let next = format!(
            "SELECT setval(pg_get_serial_sequence('{0}', '{column}'), greatest((SELECT max({column}) \
             FROM {0}), 1))",
            table.name
        );
        client.batch_execute(&next).await?;
    }
    Ok(sum)
}

fn read(
    source: &Path,
    table: &Table,
    outlet: &mpsc::Sender<Vec<Vec<Value>>>,
) -> Result<Sum, rusqlite::Error> {
    let connection = Connection::open_with_flags(source, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut statement = connection.prepare(table.select)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let (mut sum, mut chunk) = (Sum::default(), Vec::with_capacity(CHUNK));
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| row.get_ref(column).map(Value::of));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        sum.add(&values);
        chunk.push(values);
        if chunk.len() == CHUNK && outlet.blocking_send(std::mem::take(&mut chunk)).is_err() {
            // whoever copies has failed and says so
            return Ok(sum);
        }
    }
    // the same
    let _ = outlet.blocking_send(chunk);
    Ok(sum)
}

async fn read_back(client: &Client, table: &Table) -> Result<Sum, MoveError> {
    let select = format!("SELECT {} FROM {}", table.names(), table.name);
    let nothing: [&str; 0] = [];
    let rows = client.query_raw(&select, nothing).await?;
    let sum = rows.map(|row| {
        let row = row?;
        let values = (0..row.len()).map(|column| row.try_get::<_, Value>(column));
        values.collect::<Result<Vec<_>, _>>()
    });
    let sum = sum.try_fold(Sum::default(), |mut sum, values| async move {
        sum.add(&values);
        Ok(sum)
    });
    Ok(sum.await?)
}

/// C-222: the moved store goes on in the same life; and with the same keys (C-232), whoever had the empty database.
async fn take_mark(
    client: &Client,
    source: &Path,
    owner: Option<[u8; 32]>,
) -> Result<(), MoveError> {
    let connection = Connection::open_with_flags(source, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let select = "SELECT mark, mark_day, incarnation FROM meta";
    let (mark, day, incarnation): (i64, i32, i64) = connection.query_row(select, [], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    drop(connection);
    let owner = owner.as_ref().map(<[u8; 32]>::as_slice);
    let update = "UPDATE meta SET mark = $1, mark_day = $2, incarnation = $3, community = $4";
    client
        .execute(update, &[&mark, &day, &incarnation, &owner])
        .await?;
    Ok(())
}

/// How many rows, and the sum of their hashes, in whatever order they come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    rows: u64,
    hashes: u128,
}

impl Sum {
    fn add(&mut self, row: &[Value]) {
        let mut bytes = Vec::new();
        for value in row {
            let (kind, content) = match value {
                Value::Nothing => (0, Vec::new()),
                Value::Number(number) => (1, number.to_be_bytes().to_vec()),
                Value::Text(text) => (2, text.clone().into_bytes()),
                Value::Bytes(bytes) => (3, bytes.clone()),
            };
            bytes.push(kind);
            bytes.extend((content.len() as u64).to_be_bytes());
            bytes.extend(content);
        }
        let hash = label::sha256(&bytes);
        let first = hash.as_bytes().first_chunk().copied().unwrap_or_default();
        self.rows += 1;
        self.hashes = self.hashes.wrapping_add(u128::from_be_bytes(first));
    }
}

/// One column of a row, in either database.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Nothing,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Value {
    fn of(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Integer(number) => Self::Number(number),
            ValueRef::Text(text) => Self::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Self::Bytes(bytes.to_vec()),
            // no column holds such numbers
            ValueRef::Null | ValueRef::Real(_) => Self::Nothing,
        }
    }
}

type Failed = Box<dyn std::error::Error + Sync + Send>;

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut tokio_postgres::types::private::BytesMut,
    ) -> Result<IsNull, Failed> {
        match (self, kind) {
            (Self::Nothing, _) => Ok(IsNull::Yes),
            (Self::Number(number), &Type::INT8) => number.to_sql(kind, out),
            (Self::Number(number), &Type::INT4) => i32::try_from(*number)?.to_sql(kind, out),
            (Self::Number(number), &Type::BOOL) => (*number != 0).to_sql(kind, out),
            (Self::Text(text), &Type::TEXT) => text.to_sql(kind, out),
            (Self::Bytes(bytes), &Type::BYTEA) => bytes.to_sql(kind, out),
            _ => Err("a column of another kind".into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Failed> {
        Ok(match *kind {
            Type::INT8 => Self::Number(i64::from_sql(kind, raw)?),
            Type::INT4 => Self::Number(i32::from_sql(kind, raw)?.into()),
            Type::BOOL => Self::Number(bool::from_sql(kind, raw)?.into()),
            Type::TEXT => Self::Text(String::from_sql(kind, raw)?),
            Type::BYTEA => Self::Bytes(raw.to_vec()),
            _ => return Err("a column of another kind".into()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failed> {
        Ok(Self::Nothing)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
