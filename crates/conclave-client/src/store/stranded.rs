//! Groups that this device lost its place in, and devices that asked here to be put in anew.

use conclave_proto::id::{ChatId, Day, DeviceId, LogId};
use conclave_proto::limits::SUCCESSOR_SPACING_MS;
use rusqlite::{OptionalExtension, Row, params};

use super::{StoreError, Tx, counter, id, int};

/// A log that this device waits to be put into anew.
#[derive(Debug, Clone)]
pub(crate) struct StrandedRow {
    /// The log.
    pub(crate) log_id: LogId,
    /// The group's chat.
    pub(crate) chat_id: ChatId,
    /// When it last asked, ms since 1970-01-01 UTC; 0 = not yet.
    pub(crate) asked_ms: u64,
}

fn stranded(row: &Row<'_>) -> rusqlite::Result<StrandedRow> {
    Ok(StrandedRow {
        log_id: LogId::new(id(row, "log_id")?),
        chat_id: ChatId::new(id(row, "chat_id")?),
        asked_ms: counter(row, "asked_ms")?,
    })
}

impl StrandedRow {
    /// C-101: when it asks again, ms since 1970-01-01 UTC. A date in the future is that of a wrong clock.
    pub(crate) fn due_ms(&self, now_ms: u64) -> u64 {
        if self.asked_ms > now_ms {
            return now_ms;
        }
        match self.asked_ms {
            0 => now_ms,
            asked_ms => asked_ms.saturating_add(SUCCESSOR_SPACING_MS),
        }
    }
}

impl Tx<'_> {
    /// Remembers that this device lost its place in a group, and when it asked for a new one.
    pub(crate) fn put_stranded(&self, row: &StrandedRow) -> Result<(), StoreError> {
        let (log_id, chat_id) = (row.log_id.as_bytes(), row.chat_id.as_bytes());
        self.0.execute(
            "INSERT OR REPLACE INTO stranded (log_id, chat_id, asked_ms) VALUES (?1, ?2, ?3)",
            params![log_id, chat_id, int(row.asked_ms)],
        )?;
        Ok(())
    }

    /// Whether this device lost its place in a group's log.
    pub(crate) fn stranded(&self, log_id: LogId) -> Result<Option<StrandedRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM stranded WHERE log_id = ?1")?;
        let row = statement.query_row([log_id.as_bytes()], stranded);
        Ok(row.optional()?)
    }

    /// Open groups that this device waits to be put into anew, and that nobody invites to yet. One that it never
    /// could enter is waited for beside the log that is still read (C-161).
    pub(crate) fn stranded_groups(&self) -> Result<Vec<StrandedRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT stranded.* FROM stranded JOIN chat USING (chat_id)
             WHERE chat.stage = 'open' AND (chat.live_log IS NULL
                 OR stranded.log_id NOT IN (SELECT log_id FROM conversation))
             AND NOT EXISTS (SELECT 1 FROM invitation
                 WHERE invitation.chat_id = stranded.chat_id AND pointer <> x'')
             ORDER BY log_id",
        )?;
        let rows = statement.query_map([], stranded)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// This device has a place in the group again.
    pub(crate) fn delete_stranded(&self, log_id: LogId) -> Result<(), StoreError> {
        for table in ["stranded", "stuck"] {
            let words = format!("DELETE FROM {table} WHERE log_id = ?1");
            self.0.execute(&words, [log_id.as_bytes()])?;
        }
        Ok(())
    }

    /// When a device was last taken up that asked to be put in anew (ms; 0 = never), and the last day on which one
    /// was put in anew, whoever did it.
    pub(crate) fn readded(
        &self,
        log_id: LogId,
        device_id: DeviceId,
    ) -> Result<(u64, Option<Day>), StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT asked_ms, done_day FROM readd WHERE log_id = ?1 AND device_id = ?2",
        )?;
        let ids = params![log_id.as_bytes(), device_id.as_bytes()];
        let found = statement.query_row(ids, |row| {
            let day = row.get::<_, Option<u32>>("done_day")?;
            Ok((counter(row, "asked_ms")?, day.map(Day)))
        });
        Ok(found.optional()?.unwrap_or((0, None)))
    }

    /// Remembers the same.
    pub(crate) fn put_readded(
        &self,
        log_id: LogId,
        device_id: DeviceId,
        (asked_ms, done): (u64, Option<Day>),
    ) -> Result<(), StoreError> {
        let (log_id, device_id) = (log_id.as_bytes(), device_id.as_bytes());
        self.0.execute(
            "INSERT OR REPLACE INTO readd (log_id, device_id, asked_ms, done_day) VALUES (?1, ?2, ?3, ?4)",
            params![log_id, device_id, int(asked_ms), done.map(|day| day.0)],
        )?;
        Ok(())
    }
}
