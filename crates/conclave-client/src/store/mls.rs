//! Lends the transaction to MLS: [`MlsRows`] over the table `mls_row`.

use conclave_core::mls_store::{MlsRows, RowsError};
use rusqlite::{OptionalExtension as _, params};

use super::Tx;

/// Ends in the caller's rollback; OpenMLS only needs to know that it failed.
#[expect(clippy::needless_pass_by_value, reason = "used as map_err's function")]
fn failed(error: rusqlite::Error) -> RowsError {
    RowsError::new(error.to_string())
}

impl Tx<'_> {
    fn put_row(
        &self,
        group: Option<&[u8]>,
        kind: &str,
        key: &[u8],
        sub: &[u8],
        value: &[u8],
    ) -> Result<(), RowsError> {
        self.0
            .prepare_cached(
                "INSERT INTO mls_row (kind, key, sub, grp, value) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (kind, key, sub) DO UPDATE SET value = excluded.value",
            )
            .and_then(|mut statement| statement.execute(params![kind, key, sub, group, value]))
            .map(drop)
            .map_err(failed)
    }
}

#[cfg(test)]
impl Tx<'_> {
    /// The values of rows that hold keys.
    pub(crate) fn key_rows(&self) -> Vec<Vec<u8>> {
        let words = "SELECT value FROM mls_row WHERE kind LIKE '%key%' OR kind LIKE '%psk%'";
        let mut statement = self.0.prepare(words).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }
}

impl MlsRows for Tx<'_> {
    fn put(
        &self,
        group: Option<&[u8]>,
        kind: &'static str,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), RowsError> {
        self.put_row(group, kind, key, &[], value)
    }

    fn load(&self, kind: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        self.0
            .prepare_cached("SELECT value FROM mls_row WHERE kind = ?1 AND key = ?2 AND sub = x''")
            .and_then(|mut statement| {
                statement
                    .query_row(params![kind, key], |row| row.get(0))
                    .optional()
            })
            .map_err(failed)
    }

    fn delete(&self, kind: &'static str, key: &[u8]) -> Result<(), RowsError> {
        self.0
            .prepare_cached("DELETE FROM mls_row WHERE kind = ?1 AND key = ?2")
            .and_then(|mut statement| statement.execute(params![kind, key]))
            .map(drop)
            .map_err(failed)
    }

    fn append(
        &self,
        group: Option<&[u8]>,
        kind: &'static str,
        key: &[u8],
        sub: &[u8],
        value: &[u8],
    ) -> Result<(), RowsError> {
        self.put_row(group, kind, key, sub, value)
    }

    fn list(&self, kind: &'static str, key: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>, RowsError> {
        let mut statement = self
            .0
            .prepare_cached(
                "SELECT sub, value FROM mls_row WHERE kind = ?1 AND key = ?2 ORDER BY id",
            )
            .map_err(failed)?;
        let rows = statement
            .query_map(params![kind, key], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    fn remove(&self, kind: &'static str, key: &[u8], sub: &[u8]) -> Result<(), RowsError> {
        self.0
            .execute(
                "DELETE FROM mls_row WHERE kind = ?1 AND key = ?2 AND sub = ?3",
                params![kind, key, sub],
            )
            .map(drop)
            .map_err(failed)
    }

    fn delete_group(&self, group: &[u8]) -> Result<(), RowsError> {
        self.0
            .execute("DELETE FROM mls_row WHERE grp = ?1", [group])
            .map(drop)
            .map_err(failed)
    }
}
