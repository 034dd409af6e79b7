//! How long writing and reading stood still: for everybody, and for whoever waited longest.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// A message or commit until it is known to be accepted.
    Write,
    /// A read to the head.
    Read,
}

/// Writes and reads since the phase began.
#[derive(Debug)]
pub(crate) struct Clock(Mutex<[Waits; 2]>);

/// One kind of act in one phase.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// Acts that ended well.
    pub(crate) count: u64,
    /// The longest time in which nobody's act ended well.
    pub(crate) gap: Duration,
    /// The longest that one client waited for one act.
    pub(crate) wait: Duration,
    last: Instant,
}

impl Clock {
    /// Begins the first phase.
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new([Waits::new(now); 2]))
    }

    /// An act that began then has ended well now.
    pub(crate) fn done(&self, act: Act, began: Instant, now: Instant) {
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [writes, reads] = &mut *waits;
        let waits = if act == Act::Write { writes } else { reads };
        waits.count += 1;
        waits.gap = waits.gap.max(now.duration_since(waits.last));
        waits.wait = waits.wait.max(now.duration_since(began));
        waits.last = now;
    }

    /// Ends the phase: its writes and reads. A standstill counts for the phase in which it ends.
    pub(crate) fn next_phase(&self) -> [Waits; 2] {
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = *waits;
        *waits = ended.map(|waits| Waits::new(waits.last));
        ended
    }
}

impl Waits {
    fn new(last: Instant) -> Self {
        Self {
            count: 0,
            gap: Duration::ZERO,
            wait: Duration::ZERO,
            last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gap is between two ends by anybody, the wait is one client's own; a phase starts both anew.
    #[test]
    fn gaps_and_waits_are_told_apart() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let clock = Clock::new(start);
        clock.done(Act::Write, at(0), at(1));
        clock.done(Act::Write, at(0), at(9));
        clock.done(Act::Write, at(2), at(10));
        clock.done(Act::Read, at(9), at(10));
        let [writes, reads] = clock.next_phase();
        assert_eq!((writes.count, reads.count), (3, 1));
        assert_eq!(writes.gap, Duration::from_secs(8));
        assert_eq!(writes.wait, Duration::from_secs(9));
        assert_eq!(reads.gap, Duration::from_secs(10));
        clock.done(Act::Write, at(14), at(15));
        let [writes, reads] = clock.next_phase();
        assert_eq!(
            (writes.gap, writes.wait),
            (Duration::from_secs(5), Duration::from_secs(1))
        );
        assert_eq!(reads.count, 0);
    }
}
