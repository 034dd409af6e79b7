//! The heads of logs that are written to, in memory: an append asks the database nothing.
//!
//! Appends move a head here and it follows to the database before anybody else in the transaction
//! looks at it, and before the commit. So several appends to one log in one batch write its row once.
//! Whatever else changes a log forgets it here first.

use std::collections::HashMap;

use conclave_proto::id::{Epoch, LogId};
use rusqlite::{Connection, Result, params};

use super::newest::Newest;
use super::query::{int, run};
use crate::log::LogHead;

/// Logs remembered; beyond it all are forgotten, and each is loaded again when it is written to.
const KEPT: usize = 16_384;

/// A log in its current epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Current {
    /// Its row id.
    pub(super) log: i64,
    pub(super) head: LogHead,
    pub(super) retention_days: u32,
}

#[derive(Debug)]
struct Remembered {
    current: Current,
    newest: Newest,
    is_moved: bool,
}

/// What the writer remembers.
#[derive(Debug, Default)]
pub(super) struct Heads {
    by_log: HashMap<LogId, Remembered>,
    /// Whose rows are behind.
    moved: Vec<LogId>,
}

impl Heads {
    /// The log, when it is remembered and in this epoch.
    pub(super) fn current(&self, log_id: LogId, epoch: Epoch) -> Option<Current> {
        let found = self.by_log.get(&log_id)?.current;
        (found.head.epoch == epoch).then_some(found)
    }

    /// Remembers a log as its row says.
    pub(super) fn remember(&mut self, log_id: LogId, current: Current, newest: Newest) {
        let remembered = Remembered {
            current,
            newest,
            is_moved: false,
        };
        self.by_log.insert(log_id, remembered);
    }

    /// An entry was stored in row `entry` and `head` is the log's head after it.
    pub(super) fn moved(&mut self, log_id: LogId, head: LogHead, entry: i64) {
        if let Some(found) = self.by_log.get_mut(&log_id) {
            found.current.head = head;
            found.newest.push(entry);
            if !std::mem::replace(&mut found.is_moved, true) {
                self.moved.push(log_id);
            }
        }
    }

    /// Forgets a log that changes by other means; its row must not be behind.
    pub(super) fn forget(&mut self, log_id: LogId) {
        self.by_log.remove(&log_id);
    }

    /// Brings the rows up to date, within the transaction in progress.
    pub(super) fn follow(&mut self, tx: &Connection) -> Result<()> {
        for log_id in self.moved.drain(..) {
            let Some(found) = self.by_log.get_mut(&log_id) else {
                continue;
            };
            found.is_moved = false;
            let Current { log, head, .. } = found.current;
            found.newest.settle_some(tx, log, head.seq)?;
            run(
                tx,
                "UPDATE log SET seq = ?2, hash = ?3, newest = ?4 WHERE id = ?1",
                params![log, int(head.seq.0), head.hash.as_bytes(), found.newest],
            )?;
        }
        if self.by_log.len() > KEPT {
            self.by_log.clear();
        }
        Ok(())
    }
}
