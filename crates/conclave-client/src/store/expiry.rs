//! Messages that disappear: whose clock starts, and whose time is over (C-177).

use rusqlite::OptionalExtension as _;

use super::{StoreError, Tx, counter, int};

impl Tx<'_> {
    /// Starts the clocks of messages that were read here, and of own ones that a server took.
    pub(crate) fn start_clocks(&self, now_ms: u64) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "UPDATE message SET expires_ms = ?1 + expires_s * 1000
                 WHERE expires_s > 0 AND expires_ms IS NULL
                 AND (own = 0 AND is_read = 1 OR own = 1 AND state IN ('accepted', 'delivered', 'read'))",
            )?
            .execute([int(now_ms)])?;
        Ok(())
    }

    /// When the next message goes, ms since 1970-01-01 UTC.
    pub(crate) fn next_expiry(&self) -> Result<Option<u64>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT expires_ms FROM message WHERE expires_ms IS NOT NULL ORDER BY expires_ms LIMIT 1",
        )?;
        let next = statement.query_row([], |row| counter(row, "expires_ms"));
        Ok(next.optional()?)
    }

    /// Deletes every message whose time is over, with all that was done to it.
    pub(crate) fn delete_expired(&self, now_ms: u64) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "DELETE FROM act WHERE (target_sender, target_id) IN
                 (SELECT sender, message_id FROM message WHERE expires_ms IS NOT NULL AND expires_ms <= ?1)",
            )?
            .execute([int(now_ms)])?;
        self.0
            .prepare_cached(
                "DELETE FROM message WHERE expires_ms IS NOT NULL AND expires_ms <= ?1",
            )?
            .execute([int(now_ms)])?;
        Ok(())
    }
}
