//! Leaf keys of this device: one that was made and waits to be listed, and those that it had before.

use conclave_core::identity::DeviceSecret;
use conclave_proto::id::LogId;
use rusqlite::params;

use super::account::DEVICE;
use super::{StoreError, Tx, counter, id, int};

const MADE_DEVICE: &str = "made_device";

impl Tx<'_> {
    /// This device's keys as they will be, made before anybody hears of them.
    pub(crate) fn made_device(&self) -> Result<Option<DeviceSecret>, StoreError> {
        let Some(bytes) = self.meta(MADE_DEVICE)? else {
            return Ok(None);
        };
        DeviceSecret::from_stored(&bytes)
            .map(Some)
            .ok_or_else(|| StoreError("the stored new device key is damaged".into()))
    }

    /// Keeps them.
    pub(crate) fn put_made_device(&self, made: &DeviceSecret) -> Result<(), StoreError> {
        self.set_meta(MADE_DEVICE, &made.to_stored())
    }

    /// The made keys are this device's from now on; those before stay beside them, with when that was.
    pub(crate) fn take_made_device(
        &self,
        old: &DeviceSecret,
        made: &DeviceSecret,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        self.0.execute(
            "INSERT OR REPLACE INTO former_key (leaf_key, secret, since_ms) VALUES (?1, ?2, ?3)",
            params![old.leaf_key(), old.to_stored().as_slice(), int(now_ms)],
        )?;
        self.set_meta(DEVICE, &made.to_stored())?;
        self.delete_meta(MADE_DEVICE)?;
        // every leaf of this device is under a former key now
        self.0.execute(
            "INSERT OR IGNORE INTO rekey (log_id) SELECT log_id FROM conversation WHERE stage <> 'broken'",
            [],
        )?;
        Ok(())
    }

    /// Keys that this device had and that may still be needed to sign, oldest first.
    pub(crate) fn former_devices(&self) -> Result<Vec<DeviceSecret>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT secret FROM former_key WHERE secret <> x'' ORDER BY since_ms",
        )?;
        let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
        let mut secrets = Vec::new();
        for stored in rows {
            let stored = zeroize::Zeroizing::new(stored?);
            let secret = DeviceSecret::from_stored(&stored);
            secrets
                .push(secret.ok_or_else(|| StoreError("a former device key is damaged".into()))?);
        }
        Ok(secrets)
    }

    /// Their public halves, also of those that are wiped, that were replaced at `since_ms` or later, oldest first.
    pub(crate) fn former_leaf_keys(&self, since_ms: u64) -> Result<Vec<[u8; 32]>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT leaf_key FROM former_key WHERE since_ms >= ?1 ORDER BY since_ms",
        )?;
        let rows = statement.query_map([int(since_ms)], |row| id(row, "leaf_key"))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// When the last of the keys that are still here was replaced, ms since 1970-01-01 UTC.
    pub(crate) fn last_rekey_ms(&self) -> Result<Option<u64>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT since_ms FROM former_key WHERE secret <> x'' ORDER BY since_ms DESC LIMIT 1",
        )?;
        let mut rows = statement.query_map([], |row| counter(row, "since_ms"))?;
        Ok(rows.next().transpose()?)
    }

    /// Nothing is under a former key any more: the private halves go.
    pub(crate) fn wipe_former_devices(&self) -> Result<(), StoreError> {
        self.0.execute("UPDATE former_key SET secret = x''", [])?;
        Ok(())
    }

    /// This device's leaf in a log is under a former key.
    pub(crate) fn put_rekey(&self, log_id: LogId) -> Result<(), StoreError> {
        self.0.execute(
            "INSERT OR IGNORE INTO rekey (log_id) VALUES (?1)",
            [log_id.as_bytes()],
        )?;
        Ok(())
    }

    /// It is under the newest one.
    pub(crate) fn end_rekey(&self, log_id: LogId) -> Result<(), StoreError> {
        self.0
            .execute("DELETE FROM rekey WHERE log_id = ?1", [log_id.as_bytes()])?;
        Ok(())
    }

    /// Whether this device's leaf in a log is under a former key.
    pub(crate) fn is_rekey_due(&self, log_id: LogId) -> Result<bool, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT 1 FROM rekey WHERE log_id = ?1")?;
        Ok(statement.exists([log_id.as_bytes()])?)
    }

    /// In how many conversations that go on it is.
    pub(crate) fn rekeys_waiting(&self) -> Result<u64, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT count(*) AS waiting FROM rekey JOIN conversation USING (log_id) WHERE stage <> 'broken'",
        )?;
        Ok(statement.query_row([], |row| counter(row, "waiting"))?)
    }
}
