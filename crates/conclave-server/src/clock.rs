//! Notices a clock that jumps, so that a wrong date deletes nothing and ends no wait (C-078).
//!
//! The store keeps the latest day that a sweep has seen. When today lies more than a few days
//! (`retention.clock_jump_days`) after it, either the server was off for long or the clock is wrong: sweeps
//! stop until the operator says which. Until then, and while the clock is behind, days are counted
//! as if the clock had kept to its bounds; times of day go on.

use std::sync::atomic::{AtomicU32, Ordering};

use conclave_proto::id::Day;

/// A day in ms.
const DAY_MS: u64 = 86_400_000;

/// How many days today lies past `last`, when those are more than `jump_days`; else 0. Day 0 and 0
/// days to jump know nothing.
pub fn ahead_days(last: Day, jump_days: u32, now_ms: u64) -> u32 {
    let today = Day::of_ms(now_ms).0;
    let is_known = last.0 > 0 && jump_days > 0;
    let is_ahead = is_known && today > last.0.saturating_add(jump_days);
    if is_ahead { today - last.0 } else { 0 }
}

/// The latest day that is believed.
#[derive(Debug)]
pub(crate) struct Clock {
    last: AtomicU32,
    jump_days: u32,
}

impl Clock {
    /// A clock that may jump so many days; 0 = any number, and nothing here does anything.
    pub(crate) fn new(jump_days: u32) -> Self {
        Self {
            last: AtomicU32::new(0),
            jump_days,
        }
    }

    /// Believes `day` from now on; day 0 means that nothing is known yet.
    pub(crate) fn believe(&self, day: Day) {
        self.last.store(day.0, Ordering::Relaxed);
    }

    /// The latest day that counts, and the one that a jump may reach; `None` = nothing is known.
    fn bounds(&self) -> Option<(u32, u32)> {
        let last = self.last.load(Ordering::Relaxed);
        let is_known = last > 0 && self.jump_days > 0;
        is_known.then(|| (last, last.saturating_add(self.jump_days)))
    }

    /// How many days the clock lies ahead of what can be believed; 0 = it is plausible.
    pub(crate) fn ahead_days(&self, now_ms: u64) -> u32 {
        ahead_days(
            Day(self.last.load(Ordering::Relaxed)),
            self.jump_days,
            now_ms,
        )
    }

    /// The time to date entries with, and to count waits of days by: never before the latest day and
    /// never further after it than a jump may be.
    pub(crate) fn steady_ms(&self, now_ms: u64) -> u64 {
        let Some((last, latest)) = self.bounds() else {
            return now_ms;
        };
        let day = Day::of_ms(now_ms).0.clamp(last, latest);
        u64::from(day) * DAY_MS + now_ms % DAY_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: u64 = 20_000;

    fn clock() -> Clock {
        let clock = Clock::new(5);
        clock.believe(Day(20_000));
        clock
    }

    /// A few days off are ordinary, a year is not; a clock that is behind deletes nothing anyway.
    #[test]
    fn c078_a_jump_is_noticed() {
        let at = |day: u64| clock().ahead_days(day * DAY_MS + 5);
        assert_eq!(at(TODAY), 0);
        assert_eq!(at(TODAY + 5), 0);
        assert_eq!(at(TODAY + 6), 6);
        assert_eq!(at(TODAY + 365), 365);
        assert_eq!(at(TODAY - 365), 0);
        assert_eq!(Clock::new(5).ahead_days(TODAY * DAY_MS), 0);
    }

    /// Entries are dated within bounds whatever the clock says, and the time of day goes on.
    #[test]
    fn c078_days_stay_within_bounds() {
        let steady = |day: u64| clock().steady_ms(day * DAY_MS + 77);
        assert_eq!(steady(TODAY + 2), (TODAY + 2) * DAY_MS + 77);
        assert_eq!(steady(TODAY - 365), TODAY * DAY_MS + 77);
        assert_eq!(steady(TODAY + 365), (TODAY + 5) * DAY_MS + 77);
        assert_eq!(Clock::new(5).steady_ms(5), 5);
        let off = Clock::new(0);
        off.believe(Day(20_000));
        assert_eq!(
            off.steady_ms((TODAY + 365) * DAY_MS),
            (TODAY + 365) * DAY_MS
        );
    }
}
