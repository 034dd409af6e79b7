//! Where a log's entries stand: in the table `place`, but for the newest, whose rows the log's own row names.
//!
//! An append changes the log's row in any case. The index follows once for some entries of the log, so that
//! a batch over many logs need not write a page of the index for each.

use conclave_proto::id::Seq;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Result, params};

use super::query::{int, run};

/// So many entries of a log go to the index together.
const PLACED_TOGETHER: usize = 16;
/// Of a row id in the column.
const ID_BYTES: usize = 8;

/// Row ids of a log's last entries, oldest first: those that have no place in the index. In its column each
/// takes 8 bytes, big-endian.
#[derive(Debug, Clone, Default)]
pub(super) struct Newest(Vec<i64>);

impl Newest {
    /// The log got one more entry.
    pub(super) fn push(&mut self, entry: i64) {
        self.0.push(entry);
    }

    /// Each with its seq, oldest first, when the last of them has `head`.
    pub(super) fn places(&self, head: Seq) -> impl Iterator<Item = (Seq, i64)> {
        let before = head.0.saturating_sub(self.0.len() as u64);
        let seqs = (before..).skip(1).map(Seq);
        seqs.zip(self.0.iter().copied())
    }

    /// Gives them their places in the index when there are enough of them.
    pub(super) fn settle_some(&mut self, tx: &Connection, log: i64, head: Seq) -> Result<()> {
        if self.0.len() < PLACED_TOGETHER {
            return Ok(());
        }
        self.settle(tx, log, head)
    }

    /// The same however few there are. The log's row must follow.
    pub(super) fn settle(&mut self, tx: &Connection, log: i64, head: Seq) -> Result<()> {
        for (seq, entry) in self.places(head) {
            place(tx, (log, seq), entry)?;
        }
        self.0.clear();
        Ok(())
    }
}

/// Gives an entry its place in the index.
pub(super) fn place(tx: &Connection, (log, seq): (i64, Seq), entry: i64) -> Result<()> {
    run(
        tx,
        "INSERT INTO place (log, seq, entry) VALUES (?1, ?2, ?3)",
        params![log, int(seq.0), entry],
    )?;
    Ok(())
}

impl FromSql for Newest {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let (ids, rest) = value.as_blob()?.as_chunks::<ID_BYTES>();
        if !rest.is_empty() {
            return Err(FromSqlError::InvalidType);
        }
        Ok(Self(ids.iter().map(|id| i64::from_be_bytes(*id)).collect()))
    }
}

impl ToSql for Newest {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|id| id.to_be_bytes()).collect();
        Ok(bytes.into())
    }
}
