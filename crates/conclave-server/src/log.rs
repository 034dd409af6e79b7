//! The rules of a log, pure: what may enter, who may read how far, what head a handle sees.
//!
//! Every store asks here, so each rule exists once.

use std::collections::HashMap;

use conclave_proto::id::{Epoch, Hash32, Incarnation, LogId, Seq};
use conclave_proto::limits::{
    COMMIT_RETENTION_DAYS, COMMIT_SPACING_MAX_MS, COMMIT_SPACING_MS, RETENTION_DAYS_CHOICES,
};
use conclave_proto::log::{EntryKind, Head, chain_next};

/// Where a log stands, whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogHead {
    /// Current epoch.
    pub epoch: Epoch,
    /// Last entry; 0 in an empty log.
    pub seq: Seq,
    /// Chain hash after it.
    pub hash: Hash32,
}

/// One epoch of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochSpan {
    /// The epoch.
    pub epoch: Epoch,
    /// Seq of the commit that began it; 0 for epoch 1.
    pub begin: Seq,
    /// Seq and chain hash of the commit that ended it; `None` while it is current.
    pub end: Option<(Seq, Hash32)>,
}

/// Why an entry may not enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its epoch is over.
    StaleEpoch,
}

impl LogHead {
    /// The head after an entry of `kind` in `epoch` enters, or why it may not.
    pub fn enter(
        self,
        epoch: Epoch,
        kind: EntryKind,
        payload_hash: Hash32,
    ) -> Result<Self, Refused> {
        // C-024: an entry enters its own epoch or not at all.
        // C-023: a commit is compared with the epoch and moves it in the same step.
        if epoch != self.epoch {
            return Err(Refused::StaleEpoch);
        }
        let seq = self.seq.next();
        let next_epoch = match kind {
            EntryKind::Commit => epoch.next(),
            _ => epoch,
        };
        Ok(Self {
            epoch: next_epoch,
            seq,
            hash: chain_next(self.hash, seq, epoch, kind, payload_hash),
        })
    }

    /// The head that a handle of `span` may see: capped at the commit that ended its epoch (C-021).
    pub fn seen_by(self, span: &EpochSpan, incarnation: Incarnation) -> Head {
        let (epoch, seq, hash) = match span.end {
            Some((seq, hash)) => (span.epoch.next(), seq, hash),
            None => (self.epoch, self.seq, self.hash),
        };
        Head {
            epoch,
            seq,
            hash,
            incarnation,
        }
    }

    /// First and last seq that a handle of `span` may read after `after`; empty when first > last.
    pub fn readable(self, span: &EpochSpan, after: Seq) -> (Seq, Seq) {
        // C-021: from after the commit that began the epoch, up to and including the one that ended it.
        let first = after.max(span.begin).next();
        let last = span.end.map_or(self.seq, |(seq, _)| seq);
        (first, last)
    }
}

/// First day on which a payload of `day` is over: it is kept for whole days after its own (C-026).
pub fn expires_day(kind: EntryKind, day: u32, retention_days: u32) -> u32 {
    let kept = match kind {
        EntryKind::Commit => COMMIT_RETENTION_DAYS,
        _ => retention_days,
    };
    day.saturating_add(kept).saturating_add(1)
}

/// Whether a log may choose this retention of messages, in days.
pub fn is_retention(days: u32) -> bool {
    RETENTION_DAYS_CHOICES.contains(&days)
}

/// How commits of one log are spaced after a lost race (C-028). `first_ms` 0 switches it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitSpacing {
    /// After the first lost race, ms; doubles with each further one.
    pub first_ms: u64,
    /// Ceiling, ms.
    pub max_ms: u64,
}

impl CommitSpacing {
    /// No spacing at all.
    pub const OFF: Self = Self {
        first_ms: 0,
        max_ms: 0,
    };
}

impl Default for CommitSpacing {
    fn default() -> Self {
        Self {
            first_ms: COMMIT_SPACING_MS,
            max_ms: COMMIT_SPACING_MAX_MS,
        }
    }
}

/// Which logs wait, and for how long; in memory only, so a restart forgets it.
#[derive(Debug, Clone, Default)]
pub struct Races {
    rule: CommitSpacing,
    by_log: HashMap<LogId, Race>,
}

impl Races {
    /// Logs remembered before those that have been quiet are forgotten.
    const KEPT: usize = 10_000;

    /// Nobody waits yet.
    pub fn new(rule: CommitSpacing) -> Self {
        Self {
            rule,
            by_log: HashMap::new(),
        }
    }

    /// Milliseconds until the log takes its next commit; 0 = now.
    pub fn wait_ms(&self, log_id: LogId, now_ms: u64) -> u64 {
        Race::wait_ms(self.by_log.get(&log_id), self.rule, now_ms)
    }

    /// A commit of this log entered.
    pub fn entered(&mut self, log_id: LogId, now_ms: u64) {
        if self.by_log.len() >= Self::KEPT {
            let rule = self.rule;
            self.by_log.retain(|_, race| !race.is_over(rule, now_ms));
        }
        let race = Race::entered(self.by_log.get(&log_id), self.rule, now_ms);
        self.by_log.insert(log_id, race);
    }

    /// A commit of this log lost a race ([`is_lost_race`]).
    pub fn lost(&mut self, log_id: LogId, now_ms: u64) {
        let race = Race::lost(self.by_log.get(&log_id), self.rule, now_ms);
        self.by_log.insert(log_id, race);
    }
}

/// What one log remembers of its newest commit and of lost races; in memory only.
///
/// The waiting time counts from the commit, never from a lost race: whoever loses on purpose, again
/// and again, cannot keep the log closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Race {
    /// Spacing in force, ms; 0 while no race was lost.
    pub(crate) spacing_ms: u64,
    /// When the newest commit entered, ms; when unknown, the first lost race after it.
    pub(crate) commit_ms: u64,
    /// Whether a race against that commit was lost: it counts once.
    pub(crate) counted: bool,
}

impl Race {
    /// Milliseconds until the next commit is taken; 0 = now.
    pub fn wait_ms(race: Option<&Self>, rule: CommitSpacing, now_ms: u64) -> u64 {
        race.map_or(0, |race| {
            let open_ms = race.commit_ms.saturating_add(race.spacing_ms);
            // a clock that was set back must not close a log for longer than the ceiling
            open_ms.saturating_sub(now_ms).min(rule.max_ms)
        })
    }

    /// What is remembered after a commit entered at `now_ms`.
    #[must_use]
    pub fn entered(race: Option<&Self>, rule: CommitSpacing, now_ms: u64) -> Self {
        Self {
            spacing_ms: race
                .filter(|race| !race.is_over(rule, now_ms))
                .map_or(0, |race| race.spacing_ms),
            commit_ms: now_ms,
            counted: false,
        }
    }

    /// What is remembered after a race was lost at `now_ms`.
    #[must_use]
    pub fn lost(race: Option<&Self>, rule: CommitSpacing, now_ms: u64) -> Self {
        let race = race.copied().unwrap_or(Self {
            spacing_ms: 0,
            commit_ms: now_ms,
            counted: false,
        });
        if race.counted {
            return race;
        }
        // C-028: 2 s, doubling to 60 s, until a quiet time.
        let spacing_ms = race.spacing_ms.saturating_mul(2);
        Self {
            spacing_ms: spacing_ms.max(rule.first_ms).min(rule.max_ms),
            counted: true,
            ..race
        }
    }

    /// Whether the log has been quiet for so long that the race is forgotten.
    pub fn is_over(&self, rule: CommitSpacing, now_ms: u64) -> bool {
        let open_ms = self.commit_ms.saturating_add(self.spacing_ms);
        now_ms >= open_ms.saturating_add(rule.max_ms)
    }
}

/// Whether a late commit counts as a lost race: only against the newest commit, and never one's own.
///
/// Else somebody who left long ago could slow a log down for ever with the key of an old epoch.
pub fn is_lost_race(head: LogHead, base_epoch: Epoch, is_own: bool) -> bool {
    base_epoch.next() == head.epoch && !is_own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(epoch: u64, seq: u64) -> LogHead {
        LogHead {
            epoch: Epoch(epoch),
            seq: Seq(seq),
            hash: Hash32::new([9; 32]),
        }
    }

    /// An ended epoch's handle neither reads nor sees past the commit that ended it.
    #[test]
    fn c021_an_ended_epoch_is_capped() {
        let span = EpochSpan {
            epoch: Epoch(2),
            begin: Seq(3),
            end: Some((Seq(5), Hash32::new([5; 32]))),
        };
        let log = head(4, 9);
        assert_eq!(log.readable(&span, Seq(0)), (Seq(4), Seq(5)));
        assert_eq!(log.readable(&span, Seq(8)), (Seq(9), Seq(5)));
        let seen = log.seen_by(&span, Incarnation(1));
        assert_eq!((seen.epoch, seen.seq), (Epoch(3), Seq(5)));
    }

    /// Only the current epoch takes entries; a commit moves it.
    #[test]
    fn c024_only_the_current_epoch_takes_entries() {
        let hash = Hash32::new([1; 32]);
        let log = head(4, 9);
        for epoch in [3, 5] {
            let refused = log.enter(Epoch(epoch), EntryKind::Message, hash);
            assert_eq!(refused, Err(Refused::StaleEpoch));
        }
        let next = log.enter(Epoch(4), EntryKind::Commit, hash).unwrap();
        assert_eq!((next.epoch, next.seq), (Epoch(5), Seq(10)));
    }

    /// Each commit that was raced for doubles the spacing up to the ceiling; a quiet time forgets it.
    #[test]
    fn c028_spacing_doubles_and_is_forgotten() {
        let rule = CommitSpacing::default();
        let (mut race, mut now_ms, mut waits) = (None, 1_000, Vec::new());
        for _ in 0..7 {
            let entered = Race::entered(race.as_ref(), rule, now_ms);
            race = Some(Race::lost(Some(&entered), rule, now_ms));
            let wait_ms = Race::wait_ms(race.as_ref(), rule, now_ms);
            waits.push(wait_ms);
            now_ms += wait_ms;
        }
        assert_eq!(waits, [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(Race::wait_ms(race.as_ref(), rule, now_ms), 0);
        let entered = Race::entered(race.as_ref(), rule, now_ms + 60_000);
        let late = Race::lost(Some(&entered), rule, now_ms + 60_000);
        assert_eq!(Race::wait_ms(Some(&late), rule, now_ms + 60_000), 2_000);
    }

    /// Losing on purpose, again and again, neither doubles nor prolongs the wait.
    #[test]
    fn c028_losing_twice_counts_once() {
        let rule = CommitSpacing::default();
        let once = Race::lost(None, rule, 1_000);
        let twice = Race::lost(Some(&once), rule, 2_500);
        assert_eq!(Race::wait_ms(Some(&twice), rule, 2_500), 500);
        let off = Race::lost(None, CommitSpacing::OFF, 1_000);
        assert_eq!(Race::wait_ms(Some(&off), CommitSpacing::OFF, 1_000), 0);
    }

    /// A key of an old epoch cannot slow the log down.
    #[test]
    fn c028_only_a_race_against_the_newest_commit_counts() {
        assert!(is_lost_race(head(4, 9), Epoch(3), false));
        assert!(!is_lost_race(head(4, 9), Epoch(2), false));
        assert!(!is_lost_race(head(4, 9), Epoch(3), true));
    }
}
