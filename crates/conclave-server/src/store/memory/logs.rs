//! Logs and blobs of the model.

use std::collections::{BTreeMap, BTreeSet};

use conclave_proto::id::{Day, Epoch, Hash32, Incarnation, LogId, Seq};
use conclave_proto::label::sha256;
use conclave_proto::log::{Entry, EntryKind, Head};

use super::{
    AppendOutcome, BundleOutcome, CreateOutcome, EpochKey, Model, NewBundle, NewLog, Page,
};
use crate::log::{EpochSpan, LogHead, is_lost_race};
use crate::store::StoredBlob;

/// One log.
#[derive(Debug, Clone)]
pub(super) struct Log {
    head: LogHead,
    create_hash: Hash32,
    pub(super) retention_days: u32,
    pub(super) epochs: BTreeMap<Epoch, EpochRow>,
    /// Entry `seq` at index `seq - 1`.
    pub(super) entries: Vec<Entry>,
}

/// One epoch.
#[derive(Debug, Clone)]
pub(super) struct EpochRow {
    access_key: [u8; 32],
    span: EpochSpan,
    pub(super) end_day: Option<u32>,
}

/// One blob.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    pub(super) bytes: Vec<u8>,
    pub(super) day: Day,
}

impl EpochRow {
    fn begun(epoch: Epoch, begin: Seq, access_key: [u8; 32]) -> Self {
        Self {
            access_key,
            span: EpochSpan {
                epoch,
                begin,
                end: None,
            },
            end_day: None,
        }
    }
}

impl Log {
    fn entry(&self, seq: Seq) -> Option<&Entry> {
        let index = usize::try_from(seq.0.checked_sub(1)?).ok()?;
        self.entries.get(index)
    }

    fn seen_by(&self, row: &EpochRow, life: Incarnation) -> Head {
        self.head.seen_by(&row.span, life)
    }

    fn push(&mut self, head: LogHead, epoch: Epoch, kind: EntryKind, payload: Vec<u8>, day: Day) {
        self.entries.push(Entry {
            seq: head.seq.0,
            epoch: epoch.0,
            kind: kind.into(),
            payload,
            day: day.0,
            expired_hash: Vec::new(),
        });
        self.head = head;
    }
}

impl Model {
    pub(super) fn create_log(&mut self, new: NewLog) -> CreateOutcome {
        if let Some(log) = self.logs.get(&new.log_id) {
            // C-020: the same request gets the same answer, any other is a conflict.
            return match log.epochs.get(&Epoch(1)) {
                Some(row) if log.create_hash == new.create_hash => CreateOutcome::SameAgain {
                    head: log.seen_by(row, self.incarnation),
                },
                _ => CreateOutcome::Conflict,
            };
        }
        if !self.blobs_are_new(&new.blobs) {
            return CreateOutcome::Conflict;
        }
        self.insert_blobs(new.blobs, Day::of_ms(new.now_ms));
        let row = EpochRow::begun(Epoch(1), Seq(0), new.access_key);
        let head = LogHead {
            epoch: Epoch(1),
            seq: Seq(0),
            hash: new.chain_start,
        };
        let seen = head.seen_by(&row.span, self.incarnation);
        let log = Log {
            head,
            create_hash: new.create_hash,
            retention_days: new.retention_days,
            epochs: BTreeMap::from([(Epoch(1), row)]),
            entries: Vec::new(),
        };
        self.logs.insert(new.log_id, log);
        CreateOutcome::Created { head: seen }
    }

    pub(super) fn epoch_key(&self, log_id: LogId, epoch: Epoch) -> Option<EpochKey> {
        let log = self.logs.get(&log_id)?;
        let row = log.epochs.get(&epoch)?;
        Some(EpochKey {
            access_key: row.access_key,
            head: log.seen_by(row, self.incarnation),
        })
    }

    pub(super) fn append(
        &mut self,
        log_id: LogId,
        epoch: Epoch,
        payload: Vec<u8>,
        now_ms: u64,
    ) -> AppendOutcome {
        let Some(log) = self.logs.get_mut(&log_id) else {
            return AppendOutcome::NoLog;
        };
        let Some(row) = log.epochs.get(&epoch) else {
            return AppendOutcome::NoLog;
        };
        let span = row.span;
        let Ok(head) = log.head.enter(epoch, EntryKind::Message, sha256(&payload)) else {
            return AppendOutcome::StaleEpoch;
        };
        log.push(head, epoch, EntryKind::Message, payload, Day::of_ms(now_ms));
        AppendOutcome::Appended {
            head: head.seen_by(&span, self.incarnation),
        }
    }

    pub(super) fn put_bundle(&mut self, new: NewBundle) -> BundleOutcome {
        let Some(log) = self.logs.get(&new.log_id) else {
            return BundleOutcome::NoLog;
        };
        let Some(row) = log.epochs.get(&new.base_epoch) else {
            return BundleOutcome::NoLog;
        };
        let commit_hash = sha256(&new.commit_entry);
        if let Some((end, _)) = row.span.end {
            let Some(winner) = log.entry(end) else {
                return BundleOutcome::NoLog;
            };
            let is_own = winner.payload_hash() == Some(commit_hash);
            let is_race = is_lost_race(log.head, new.base_epoch, is_own);
            if is_race {
                self.races.lost(new.log_id, new.now_ms);
            }
            let winner = Box::new(winner.clone());
            return BundleOutcome::Lost { winner, is_race };
        }
        let retry_ms = self.races.wait_ms(new.log_id, new.now_ms);
        if retry_ms > 0 {
            return BundleOutcome::TooSoon { retry_ms };
        }
        if !self.blobs_are_new(&new.blobs) {
            return BundleOutcome::Conflict;
        }
        self.end_epoch(new, commit_hash)
    }

    fn end_epoch(&mut self, new: NewBundle, commit_hash: Hash32) -> BundleOutcome {
        let day = Day::of_ms(new.now_ms);
        let Some(log) = self.logs.get_mut(&new.log_id) else {
            return BundleOutcome::NoLog;
        };
        let entered = log
            .head
            .enter(new.base_epoch, EntryKind::Commit, commit_hash);
        let Ok(head) = entered else {
            return BundleOutcome::NoLog;
        };
        log.push(
            head,
            new.base_epoch,
            EntryKind::Commit,
            new.commit_entry,
            day,
        );
        log.retention_days = new.retention_days;
        if let Some(row) = log.epochs.get_mut(&new.base_epoch) {
            row.span.end = Some((head.seq, head.hash));
            row.end_day = Some(day.0);
        }
        let row = EpochRow::begun(head.epoch, head.seq, new.next_access_key);
        let seen = head.seen_by(&row.span, self.incarnation);
        log.epochs.insert(head.epoch, row);
        self.insert_blobs(new.blobs, day);
        self.races.entered(new.log_id, new.now_ms);
        BundleOutcome::Appended { head: seen }
    }

    pub(super) fn read(
        &self,
        log_id: LogId,
        epoch: Epoch,
        after: Seq,
        limit: u32,
        bytes: usize,
    ) -> Option<Page> {
        let log = self.logs.get(&log_id)?;
        let row = log.epochs.get(&epoch)?;
        let (first, last) = log.head.readable(&row.span, after);
        let mut entries: Vec<Entry> = Vec::new();
        let mut total = 0_usize;
        for entry in &log.entries {
            if entry.seq < first.0 || entry.seq > last.0 {
                continue;
            }
            total = total.saturating_add(entry.payload.len());
            if entries.len() >= limit as usize || !entries.is_empty() && total > bytes {
                break;
            }
            entries.push(entry.clone());
        }
        Some(Page {
            entries,
            head: log.seen_by(row, self.incarnation),
        })
    }

    fn blobs_are_new(&self, blobs: &[StoredBlob]) -> bool {
        let ids: BTreeSet<_> = blobs.iter().map(|blob| blob.blob_id).collect();
        ids.len() == blobs.len() && ids.iter().all(|id| !self.blobs.contains_key(id))
    }

    fn insert_blobs(&mut self, blobs: Vec<StoredBlob>, day: Day) {
        for StoredBlob { blob_id, bytes } in blobs {
            self.blobs.insert(blob_id, Blob { bytes, day });
        }
    }
}
