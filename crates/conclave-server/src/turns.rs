//! Whose turn it is to end a log's epoch: who lost a race goes before whoever won it (C-028).
//!
//! Spacing alone opens a log to everybody at once, and the quickest wins again. So who loses a race, or comes
//! while it is somebody else's turn, gets in line; one place for each connection. In memory only: a restart
//! forgets it. Whoever does not use their turn loses it, so nobody keeps the log closed.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use conclave_proto::id::LogId;
use conclave_proto::limits::{COMMIT_LINE_MAX, COMMIT_SPACING_MAX_MS, COMMIT_TURN_MS};

/// A connection: the server's nonce of its hello.
pub(crate) type Who = [u8; 32];

/// The lines of all logs that were raced for.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    by_log: Mutex<HashMap<LogId, Line>>,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Who>,
    /// When the first one's turn is over, ms.
    until_ms: u64,
}

impl Line {
    /// Turns that were not used are over.
    fn move_on(&mut self, now_ms: u64) {
        // a clock that was set back must not hold a turn for longer than it may last
        let longest_ms = COMMIT_SPACING_MAX_MS.saturating_add(COMMIT_TURN_MS);
        self.until_ms = self.until_ms.min(now_ms.saturating_add(longest_ms));
        while self.until_ms <= now_ms && self.waiting.pop_front().is_some() {
            self.until_ms = self.until_ms.saturating_add(COMMIT_TURN_MS);
        }
    }

    fn wait(&mut self, who: Who, now_ms: u64) {
        if self.waiting.is_empty() {
            self.until_ms = now_ms.saturating_add(COMMIT_TURN_MS);
        }
        if self.waiting.len() < COMMIT_LINE_MAX && !self.waiting.contains(&who) {
            self.waiting.push_back(who);
        }
    }
}

impl Turns {
    /// Logs with a line; more are not kept.
    const KEPT: usize = 10_000;

    /// Milliseconds until it may be the turn of `who`; 0 = now. Who has to wait gets in line.
    pub(crate) fn wait_ms(&self, log_id: LogId, who: Who, now_ms: u64) -> u64 {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(&log_id) else {
            return 0;
        };
        line.move_on(now_ms);
        match line.waiting.front() {
            None => {
                lines.remove(&log_id);
                0
            }
            Some(first) if *first == who => 0,
            Some(_) => {
                line.wait(who, now_ms);
                line.until_ms.saturating_sub(now_ms)
            }
        }
    }

    /// `who` lost a race against the newest commit.
    pub(crate) fn lost(&self, log_id: LogId, who: Who, now_ms: u64) {
        let mut lines = self.lines();
        if lines.len() >= Self::KEPT {
            lines.retain(|_, line| {
                line.move_on(now_ms);
                !line.waiting.is_empty()
            });
        }
        if lines.len() < Self::KEPT || lines.contains_key(&log_id) {
            let line = lines.entry(log_id).or_default();
            line.move_on(now_ms);
            line.wait(who, now_ms);
        }
    }

    /// The log is closed to everybody for `retry_ms`: if it is the turn of `who`, it lasts until after that.
    pub(crate) fn spaced(&self, log_id: LogId, who: Who, retry_ms: u64, now_ms: u64) {
        if let Some(line) = self.lines().get_mut(&log_id)
            && line.waiting.front() == Some(&who)
        {
            let until_ms = now_ms
                .saturating_add(retry_ms)
                .saturating_add(COMMIT_TURN_MS);
            line.until_ms = line.until_ms.max(until_ms);
        }
    }

    /// A commit of `who` entered: the next in line has the turn.
    pub(crate) fn entered(&self, log_id: LogId, who: Who, now_ms: u64) {
        let mut lines = self.lines();
        if let Some(line) = lines.get_mut(&log_id) {
            line.waiting.retain(|other| *other != who);
            line.until_ms = now_ms.saturating_add(COMMIT_TURN_MS);
            if line.waiting.is_empty() {
                lines.remove(&log_id);
            }
        }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<LogId, Line>> {
        self.by_log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogId = LogId::new([1; 32]);
    const ANNA: Who = [1; 32];
    const BEN: Who = [2; 32];
    const CARL: Who = [3; 32];

    /// Who lost goes first, then who came meanwhile, in that order; another log knows nothing of it.
    #[test]
    fn c028_losers_go_before_winners() {
        let turns = Turns::default();
        assert_eq!(turns.wait_ms(LOG, BEN, 0), 0);
        turns.entered(LOG, BEN, 0);
        turns.lost(LOG, ANNA, 0);
        assert_eq!(turns.wait_ms(LOG, BEN, 1_000), COMMIT_TURN_MS - 1_000);
        assert_eq!(turns.wait_ms(LOG, CARL, 1_000), COMMIT_TURN_MS - 1_000);
        assert_eq!(turns.wait_ms(LogId::new([2; 32]), BEN, 1_000), 0);
        turns.spaced(LOG, BEN, 60_000, 1_000);
        turns.spaced(LOG, ANNA, 2_000, 1_000);
        assert_eq!(turns.wait_ms(LOG, ANNA, 3_000), 0);
        turns.entered(LOG, ANNA, 3_000);
        assert!(turns.wait_ms(LOG, CARL, 3_000) > 0);
        assert_eq!(turns.wait_ms(LOG, BEN, 3_000), 0);
        turns.entered(LOG, BEN, 3_000);
        assert_eq!(turns.wait_ms(LOG, CARL, 3_000), 0);
        turns.entered(LOG, CARL, 3_000);
        assert_eq!(turns.wait_ms(LOG, ANNA, 3_000), 0);
    }

    /// Who gets in line again and again and never commits keeps nobody out for longer than one turn.
    #[test]
    fn c028_unused_turns_end() {
        let turns = Turns::default();
        turns.lost(LOG, BEN, 0);
        assert_eq!(turns.wait_ms(LOG, ANNA, 0), COMMIT_TURN_MS);
        for now_ms in [COMMIT_TURN_MS, COMMIT_TURN_MS + 1] {
            turns.lost(LOG, BEN, now_ms);
            assert!(turns.wait_ms(LOG, BEN, now_ms) > 0);
            assert_eq!(turns.wait_ms(LOG, ANNA, now_ms), 0);
        }
        // a clock that goes back by years
        let turns = Turns::default();
        turns.lost(LOG, BEN, u64::MAX / 2);
        assert!(turns.wait_ms(LOG, ANNA, 0) <= COMMIT_SPACING_MAX_MS + COMMIT_TURN_MS);
    }
}
