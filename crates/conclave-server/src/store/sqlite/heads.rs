//! The heads of logs that are written to, in memory: an append asks the database nothing.
//!
//! Appends move a head here and it follows to the database before anybody else in the transaction
//! looks at it, and before the commit. So several appends to one log in one batch write its row once.
//! Whatever else changes a log forgets it here first.

use std::collections::HashMap;

use conclave_proto::id::{Epoch, LogId};
use rusqlite::{Connection, Result, params};

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
    is_moved: bool,
}

impl Current {
    pub(super) fn new(log: i64, head: LogHead, retention_days: u32) -> Self {
        Self {
            log,
            head,
            retention_days,
            is_moved: false,
        }
    }
}

/// What the writer remembers.
#[derive(Debug, Default)]
pub(super) struct Heads {
    by_log: HashMap<LogId, Current>,
    /// Whose rows are behind.
    moved: Vec<LogId>,
}

impl Heads {
    /// The log, when it is remembered and in this epoch.
    pub(super) fn current(&self, log_id: LogId, epoch: Epoch) -> Option<Current> {
        let found = self.by_log.get(&log_id).copied();
        found.filter(|current| current.head.epoch == epoch)
    }

    /// Remembers a log as its row says.
    pub(super) fn remember(&mut self, log_id: LogId, current: Current) {
        self.by_log.insert(log_id, current);
    }

    /// An entry was stored and `head` is the log's head after it.
    pub(super) fn moved(&mut self, log_id: LogId, head: LogHead) {
        if let Some(current) = self.by_log.get_mut(&log_id) {
            current.head = head;
            if !std::mem::replace(&mut current.is_moved, true) {
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
            let Some(current) = self.by_log.get_mut(&log_id) else {
                continue;
            };
            current.is_moved = false;
            let LogHead { seq, hash, .. } = current.head;
            run(
                tx,
                "UPDATE log SET seq = ?2, hash = ?3 WHERE id = ?1",
                params![current.log, int(seq.0), hash.as_bytes()],
            )?;
        }
        if self.by_log.len() > KEPT {
            self.by_log.clear();
        }
        Ok(())
    }
}
