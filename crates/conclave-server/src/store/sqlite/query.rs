//! The few ways the verbs talk to SQLite: cached statements, counters as 64-bit signed, ids as blobs.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Params, Result, Row};

/// Runs a statement; how many rows it touched.
pub(super) fn run(tx: &Connection, sql: &str, params: impl Params) -> Result<usize> {
    tx.prepare_cached(sql)?.execute(params)
}

/// The first row, if any.
pub(super) fn one<T>(
    tx: &Connection,
    sql: &str,
    params: impl Params,
    parse: impl FnOnce(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    tx.prepare_cached(sql)?.query_row(params, parse).optional()
}

/// All rows.
pub(super) fn all<T>(
    tx: &Connection,
    sql: &str,
    params: impl Params,
    parse: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    tx.prepare_cached(sql)?.query_map(params, parse)?.collect()
}

/// A count: the first column of the only row.
pub(super) fn count(tx: &Connection, sql: &str, params: impl Params) -> Result<u64> {
    let value = tx
        .prepare_cached(sql)?
        .query_row(params, |row| row.get(0))?;
    Ok(uint(value))
}

/// A counter for SQLite; what no row can hold becomes the largest value, which no row has.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A counter from SQLite; rows never hold negative ones.
pub(super) fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A length for SQLite.
pub(super) fn length(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Bytes of a fixed length from a column.
pub(super) fn bytes<const N: usize>(row: &Row<'_>, column: usize) -> Result<[u8; N]> {
    let value = row.get_ref(column)?;
    let blob = value.as_blob()?;
    blob.try_into().map_err(|_| {
        let found = format!("expected {N} bytes, found {}", blob.len());
        rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, found.into())
    })
}
