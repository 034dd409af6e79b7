//! What a log holds in the end against what its writers were told: losses, duplicates, disorder, double epochs.

use std::collections::{BTreeMap, HashMap, HashSet};

use conclave_proto::id::Hash32;
use conclave_proto::log::EntryKind;

/// One entry as a node serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) seq: u64,
    pub(crate) epoch: u64,
    pub(crate) kind: EntryKind,
    /// SHA-256 of the payload.
    pub(crate) hash: Hash32,
    /// Chain hash after it.
    pub(crate) chain: Hash32,
}

/// What one writer was told, in the order in which it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Acked {
    pub(crate) seq: u64,
    pub(crate) epoch: u64,
    pub(crate) kind: EntryKind,
    pub(crate) hash: Hash32,
}

/// Everything that was said about one log while it was written.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// For each writer.
    pub(crate) acked: Vec<Vec<Acked>>,
    /// Bytes that were sent more than once, because an answer was lost.
    pub(crate) resent: HashSet<Hash32>,
    /// The chain as nodes showed it to readers: seq and every hash shown there.
    pub(crate) shown: BTreeMap<u64, HashSet<Hash32>>,
}

/// What must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// Acknowledged and not there.
    Lost,
    /// There twice although it was sent once, or acknowledged in two places.
    Duplicate,
    /// In another place than acknowledged, or not in its writer's order, or a gap, or another past than shown.
    Disorder,
    /// Two commits end one epoch, or an entry stands in an epoch that is not its own.
    DoubleEpoch,
}

/// What the log says, and what is wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Each with the seq that it is about.
    pub(crate) faults: Vec<(Fault, u64)>,
    /// Entries beyond the first with bytes that were sent again after a lost answer; readers drop them.
    pub(crate) repeats: usize,
}

impl Record {
    /// Compares all that was said with the whole log.
    pub(crate) fn check(&self, log: &[Stored]) -> Verdict {
        let mut verdict = Verdict::default();
        let mut places: HashMap<Hash32, Vec<u64>> = HashMap::new();
        for entry in log {
            places.entry(entry.hash).or_default().push(entry.seq);
        }
        self.check_acknowledged(log, &places, &mut verdict);
        self.check_repeats(&places, &mut verdict);
        self.check_shown(log, &mut verdict);
        check_epochs(log, &mut verdict);
        verdict.faults.sort_unstable();
        verdict.faults.dedup();
        verdict
    }

    fn check_acknowledged(
        &self,
        log: &[Stored],
        places: &HashMap<Hash32, Vec<u64>>,
        verdict: &mut Verdict,
    ) {
        let mut won = HashSet::new();
        let mut told = HashMap::new();
        for acked in self.acked.iter().flatten() {
            let at = usize::try_from(acked.seq)
                .ok()
                .and_then(|seq| seq.checked_sub(1));
            let found = at.and_then(|at| log.get(at));
            let is_same = |entry: &&Stored| {
                (entry.hash, entry.epoch, entry.kind) == (acked.hash, acked.epoch, acked.kind)
            };
            match (found.filter(is_same), places.get(&acked.hash)) {
                (Some(_), _) => {}
                (None, Some(_)) => verdict.faults.push((Fault::Disorder, acked.seq)),
                (None, None) => verdict.faults.push((Fault::Lost, acked.seq)),
            }
            if acked.kind == EntryKind::Commit && !won.insert(acked.epoch) {
                verdict.faults.push((Fault::DoubleEpoch, acked.seq));
            }
            if told
                .insert(acked.hash, acked.seq)
                .is_some_and(|seq| seq != acked.seq)
            {
                verdict.faults.push((Fault::Duplicate, acked.seq));
            }
        }
        for writer in &self.acked {
            // The first place counts: that is what readers show.
            let firsts = writer
                .iter()
                .filter_map(|acked| places.get(&acked.hash)?.first());
            let mut last = 0;
            for &seq in firsts {
                if seq <= last {
                    verdict.faults.push((Fault::Disorder, seq));
                }
                last = seq;
            }
        }
    }

    fn check_repeats(&self, places: &HashMap<Hash32, Vec<u64>>, verdict: &mut Verdict) {
        for (hash, seqs) in places {
            for &seq in seqs.iter().skip(1) {
                if self.resent.contains(hash) {
                    verdict.repeats += 1;
                } else {
                    verdict.faults.push((Fault::Duplicate, seq));
                }
            }
        }
    }

    fn check_shown(&self, log: &[Stored], verdict: &mut Verdict) {
        let chain: HashMap<u64, Hash32> =
            log.iter().map(|entry| (entry.seq, entry.chain)).collect();
        for (&seq, hashes) in &self.shown {
            let fault = match chain.get(&seq) {
                None => Fault::Lost,
                Some(_) => Fault::Disorder,
            };
            let is_true = |hash: &Hash32| chain.get(&seq) == Some(hash);
            if seq > 0 && !hashes.iter().all(is_true) {
                verdict.faults.push((fault, seq));
            }
        }
    }
}

/// Positions without gaps; each epoch ends with one commit, and nothing of it comes after.
fn check_epochs(log: &[Stored], verdict: &mut Verdict) {
    let mut epoch = 1;
    let mut ended = HashSet::new();
    for (entry, expected) in log.iter().zip(1..) {
        if entry.seq != expected {
            verdict.faults.push((Fault::Disorder, entry.seq));
        }
        if entry.epoch != epoch {
            verdict.faults.push((Fault::DoubleEpoch, entry.seq));
        }
        if entry.kind == EntryKind::Commit {
            if !ended.insert(entry.epoch) {
                verdict.faults.push((Fault::DoubleEpoch, entry.seq));
            }
            epoch = entry.epoch + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: EntryKind = EntryKind::Message;
    const COMMIT: EntryKind = EntryKind::Commit;

    /// Two writers in turns; entry 3 ends the first epoch.
    fn good() -> (Record, Vec<Stored>) {
        let kinds = [MESSAGE, MESSAGE, COMMIT, MESSAGE, MESSAGE, MESSAGE];
        let mut log = Vec::new();
        let mut record = Record {
            acked: vec![vec![], vec![]],
            ..Record::default()
        };
        for (number, kind) in (1_u8..).zip(kinds) {
            let seq = u64::from(number);
            let entry = Stored {
                seq,
                epoch: if seq > 3 { 2 } else { 1 },
                kind,
                hash: Hash32::new([number; 32]),
                chain: Hash32::new([100 + number; 32]),
            };
            log.push(entry);
            record.acked[usize::from(number) % 2].push(acked(&entry));
            record.shown.entry(seq).or_default().insert(entry.chain);
        }
        (record, log)
    }

    fn acked(entry: &Stored) -> Acked {
        Acked {
            seq: entry.seq,
            epoch: entry.epoch,
            kind: entry.kind,
            hash: entry.hash,
        }
    }

    fn faults(record: &Record, log: &[Stored]) -> Vec<Fault> {
        let mut found: Vec<Fault> = record
            .check(log)
            .faults
            .iter()
            .map(|(fault, _)| *fault)
            .collect();
        found.dedup();
        found
    }

    /// A log that is as it was acknowledged has no fault.
    #[test]
    fn a_good_log_is_good() {
        let (record, log) = good();
        assert_eq!(faults(&record, &log), []);
    }

    /// A log that ends early, or lacks one entry in its middle, has lost what was acknowledged.
    #[test]
    fn a_loss_is_found() {
        let (record, mut log) = good();
        log.pop();
        assert_eq!(faults(&record, &log), [Fault::Lost]);
        let (mut record, mut log) = good();
        record.shown.clear();
        log.remove(1);
        for (entry, seq) in log.iter_mut().zip(1..) {
            entry.seq = seq;
        }
        assert!(faults(&record, &log).contains(&Fault::Lost));
    }

    /// An entry that only readers have seen may not go either.
    #[test]
    fn a_loss_of_what_was_only_shown_is_found() {
        let (mut record, mut log) = good();
        record.acked[0].pop();
        log.pop();
        assert_eq!(faults(&record, &log), [Fault::Lost]);
    }

    /// The same bytes twice are a duplicate when they were sent once, and counted as a repeat when sent twice.
    #[test]
    fn a_duplicate_is_found() {
        let (mut record, mut log) = good();
        let again = Stored { seq: 7, ..log[3] };
        log.push(again);
        assert_eq!(faults(&record, &log), [Fault::Duplicate]);
        record.resent.insert(again.hash);
        let verdict = record.check(&log);
        assert_eq!((verdict.faults.len(), verdict.repeats), (0, 1));
        record.acked[0].push(acked(&again));
        assert!(faults(&record, &log).contains(&Fault::Duplicate));
    }

    /// Two entries that changed places, and a gap, are disorder.
    #[test]
    fn disorder_is_found() {
        let (mut record, mut log) = good();
        record.shown.clear();
        let (left, right) = (log[3].hash, log[5].hash);
        (log[3].hash, log[5].hash) = (right, left);
        assert_eq!(faults(&record, &log), [Fault::Disorder]);
        let (record, mut log) = good();
        log[5].seq = 7;
        assert!(faults(&record, &log).contains(&Fault::Disorder));
    }

    /// A writer's own order holds even where every entry is in its acknowledged place.
    #[test]
    fn disorder_of_one_writer_is_found() {
        let (mut record, log) = good();
        record.acked[0].reverse();
        assert_eq!(faults(&record, &log), [Fault::Disorder]);
    }

    /// A past that was shown in another way is disorder.
    #[test]
    fn another_past_is_found() {
        let (mut record, log) = good();
        record
            .shown
            .entry(2)
            .or_default()
            .insert(Hash32::new([9; 32]));
        assert_eq!(faults(&record, &log), [Fault::Disorder]);
    }

    /// Two commits of one epoch, in the log or acknowledged only, and a message of an epoch that is over.
    #[test]
    fn a_double_epoch_is_found() {
        let (record, mut log) = good();
        (log[3].epoch, log[3].kind) = (1, COMMIT);
        assert!(faults(&record, &log).contains(&Fault::DoubleEpoch));
        let (mut record, log) = good();
        record.acked[0].push(Acked {
            hash: Hash32::new([9; 32]),
            ..acked(&log[2])
        });
        assert!(faults(&record, &log).contains(&Fault::DoubleEpoch));
        let (record, mut log) = good();
        log[4].epoch = 1;
        assert!(faults(&record, &log).contains(&Fault::DoubleEpoch));
    }
}
