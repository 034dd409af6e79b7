//! How many one-time codes go to one identifier: a pure rule that each store asks.

use conclave_proto::limits::OTP_VALID_MS;

/// An hour, in ms.
const HOUR_MS: u64 = 3_600_000;
/// A day, in ms: older sends count for nothing.
pub(super) const DAY_MS: u64 = 86_400_000;

/// The latest end that a code opened now or a little later can have. What ends later was opened by
/// another clock than this one (C-078), and counts as over.
pub(super) fn latest_end_ms(now_ms: u64) -> u64 {
    now_ms.saturating_add(2 * OTP_VALID_MS)
}

/// Milliseconds until the next code may be sent, 0 = now. `sends_ms` are the times of earlier sends,
/// oldest first.
pub(super) fn wait_ms(sends_ms: &[u64], per_hour: u32, per_day: u32, now_ms: u64) -> u64 {
    window_wait_ms(sends_ms, HOUR_MS, per_hour, now_ms)
        .max(window_wait_ms(sends_ms, DAY_MS, per_day, now_ms))
}

fn window_wait_ms(sends_ms: &[u64], window_ms: u64, max: u32, now_ms: u64) -> u64 {
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    // C-078: a send in a far future was counted by another clock, and locks nobody out
    let counted: Vec<u64> = sends_ms
        .iter()
        .copied()
        .filter(|at_ms| at_ms.abs_diff(now_ms) < window_ms)
        .collect();
    if counted.len() < max {
        return 0;
    }
    // the `max` newest are all in the window: wait until the oldest of them leaves it
    let oldest = (counted.len().checked_sub(max)).and_then(|index| counted.get(index));
    oldest.map_or(window_ms, |at_ms| {
        let left_ms = at_ms.saturating_add(window_ms).saturating_sub(now_ms);
        left_ms.min(window_ms)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The third send of an hour and the fifth of a day close the door until the oldest has left.
    #[test]
    fn three_an_hour_five_a_day() {
        let minute = 60_000;
        assert_eq!(wait_ms(&[0, minute], 3, 5, 2 * minute), 0);
        assert_eq!(
            wait_ms(&[0, minute, 2 * minute], 3, 5, 3 * minute),
            57 * minute
        );
        assert_eq!(wait_ms(&[0, minute, 2 * minute], 3, 5, 60 * minute), 0);
        let five = [0, minute, 2 * minute, 90 * minute, 91 * minute];
        assert_eq!(wait_ms(&five, 3, 5, 200 * minute), 1_240 * minute);
        assert_eq!(wait_ms(&[], 0, 5, 0), 60 * minute);
    }

    /// Sends that a clock a year ahead counted lock nobody out once it is right again; a clock that
    /// was a minute ahead gives nobody more.
    #[test]
    fn c078_sends_of_another_year_do_not_count() {
        let (minute, year) = (60_000, 365 * DAY_MS);
        let now = 2 * year;
        assert_eq!(wait_ms(&[now + year; 5], 3, 5, now), 0);
        assert_eq!(wait_ms(&[now + minute; 3], 3, 5, now), 60 * minute);
    }
}
