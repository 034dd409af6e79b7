//! One connection to the database: cached statements and the few ways the verbs talk to it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Client, Row, Statement};

/// Why a statement did not work.
#[derive(Debug, thiserror::Error)]
pub(super) enum DbError {
    #[error("{}", words(.0))]
    Database(#[from] tokio_postgres::Error),
    /// A row that this program did not write, or a race that the verb wants to look at again.
    #[error("{0}")]
    Row(String),
    /// Somebody else was first: the same verb, run again, sees what they did.
    #[error("somebody else changed the same rows at the same time")]
    Raced,
}

/// What every helper gives.
pub(super) type Result<T> = std::result::Result<T, DbError>;

/// A verb at work.
pub(super) type Working<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Values of a statement.
pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The values of a statement, in order.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$(&$value as &(dyn tokio_postgres::types::ToSql + Sync)),*]
    };
}
pub(super) use params;

/// What became of a statement, for whoever has to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Refused without a trace, and the same again may work: a deadlock, a race that was lost.
    Again,
    /// The connection is of no use any more, or the database takes no writes now.
    Gone,
    /// The statement itself does not hold.
    Refused,
}

impl DbError {
    pub(super) fn fault(&self) -> Fault {
        let error = match self {
            Self::Raced => return Fault::Again,
            Self::Row(_) => return Fault::Refused,
            Self::Database(error) => error,
        };
        let Some(code) = error.code() else {
            return if error.is_closed() || error.as_db_error().is_none() && !is_ours(error) {
                Fault::Gone
            } else {
                Fault::Refused
            };
        };
        let again = [
            &SqlState::T_R_SERIALIZATION_FAILURE,
            &SqlState::T_R_DEADLOCK_DETECTED,
            &SqlState::UNIQUE_VIOLATION,
        ];
        if again.contains(&code) {
            return Fault::Again;
        }
        // 08 connection, 25 read-only or aborted, 53 out of disk, memory or connections, 57 shutting
        // down, 58 system
        match code.code().get(..2) {
            Some("08" | "25" | "53" | "57" | "58") => Fault::Gone,
            _ => Fault::Refused,
        }
    }
}

/// Whether an error arose here, before anything was sent or after all was read.
fn is_ours(error: &tokio_postgres::Error) -> bool {
    let text = error.to_string();
    [
        "serializing",
        "deserializing",
        "column",
        "number of rows",
        "parameters",
    ]
    .iter()
    .any(|word| text.contains(word))
}

/// The error in words, without the detail line, which may name rows.
pub(super) fn words(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return error.message().to_owned();
    }
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// One connection.
pub(super) struct Session {
    pub(super) client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

impl Session {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            statements: Mutex::default(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    async fn prepared(&self, sql: &'static str) -> Result<Statement> {
        let known = {
            let statements = self.statements.lock();
            let statements = statements.unwrap_or_else(PoisonError::into_inner);
            statements.get(sql).cloned()
        };
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        let mut statements = self
            .statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        statements.insert(sql, statement.clone());
        Ok(statement)
    }

    /// Makes statements known, so that using them is one message each.
    pub(super) async fn prepare(&self, statements: &[&'static str]) -> Result<()> {
        for sql in statements {
            self.prepared(sql).await?;
        }
        Ok(())
    }

    /// Runs a statement; how many rows it touched.
    pub(super) async fn run(&self, sql: &'static str, params: Params<'_>) -> Result<u64> {
        let statement = self.prepared(sql).await?;
        Ok(self.client.execute(&statement, params).await?)
    }

    /// All rows.
    pub(super) async fn rows(&self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>> {
        let statement = self.prepared(sql).await?;
        Ok(self.client.query(&statement, params).await?)
    }

    /// The first row, if any.
    pub(super) async fn row(&self, sql: &'static str, params: Params<'_>) -> Result<Option<Row>> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// The first row, parsed, if any.
    pub(super) async fn one<T>(
        &self,
        sql: &'static str,
        params: Params<'_>,
        parse: impl FnOnce(&Row) -> Result<T> + Send,
    ) -> Result<Option<T>> {
        let row = self.row(sql, params).await?;
        row.as_ref().map(parse).transpose()
    }

    /// All rows, parsed.
    pub(super) async fn all<T>(
        &self,
        sql: &'static str,
        params: Params<'_>,
        parse: impl FnMut(&Row) -> Result<T> + Send,
    ) -> Result<Vec<T>> {
        self.rows(sql, params).await?.iter().map(parse).collect()
    }

    /// A count: the first column of the only row.
    pub(super) async fn count(&self, sql: &'static str, params: Params<'_>) -> Result<u64> {
        let found = self.one(sql, params, |row| get::<i64>(row, 0)).await?;
        Ok(uint(found.unwrap_or(0)))
    }

    /// Whether there is a row.
    pub(super) async fn is_there(&self, sql: &'static str, params: Params<'_>) -> Result<bool> {
        Ok(self.row(sql, params).await?.is_some())
    }

    /// A statement without values, or several.
    pub(super) async fn simple(&self, sql: &str) -> Result<()> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Waits for a lock of this name until the transaction ends. `family` keeps names of different
    /// kinds apart; two names may share a lock, which only costs time.
    pub(super) async fn lock(&self, family: i32, name: &[u8]) -> Result<()> {
        let hash = conclave_proto::label::sha256(name);
        let mut first = [0; 4];
        first.copy_from_slice(hash.as_bytes().first_chunk::<4>().unwrap_or(&[0; 4]));
        let name = i32::from_be_bytes(first);
        let taken = "SELECT pg_advisory_xact_lock($1, $2)";
        self.rows(taken, params![family, name]).await?;
        Ok(())
    }
}

/// One column.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T> {
    Ok(row.try_get(column)?)
}

/// Bytes of a fixed length from a column.
pub(super) fn bytes<const N: usize>(row: &Row, column: usize) -> Result<[u8; N]> {
    let found: &[u8] = get(row, column)?;
    found.try_into().map_err(|_| {
        DbError::Row(format!(
            "expected {N} bytes in a row, found {}",
            found.len()
        ))
    })
}

/// Bytes of a fixed length from a column that may hold none.
pub(super) fn maybe_bytes<const N: usize>(row: &Row, column: usize) -> Result<Option<[u8; N]>> {
    match get::<Option<&[u8]>>(row, column)? {
        Some(_) => bytes(row, column).map(Some),
        None => Ok(None),
    }
}

/// A counter from a column.
pub(super) fn number(row: &Row, column: usize) -> Result<u64> {
    get::<i64>(row, column).map(uint)
}

/// A small number from a column.
pub(super) fn small(row: &Row, column: usize) -> Result<u32> {
    Ok(u32::try_from(get::<i32>(row, column)?).unwrap_or(0))
}

/// A counter for the database; what no row can hold becomes the largest value, which no row has.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A small number for the database, the same way.
pub(super) fn int4(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// A counter from the database; rows never hold negative ones.
pub(super) fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A length for the database.
pub(super) fn length(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
