//! How many one-time codes go to one identifier: a pure rule that each store asks.

/// An hour, in ms.
const HOUR_MS: u64 = 3_600_000;
/// A day, in ms: older sends count for nothing.
pub(super) const DAY_MS: u64 = 86_400_000;

/// Milliseconds until the next code may be sent, 0 = now. `sends_ms` are the times of earlier sends,
/// oldest first.
pub(super) fn wait_ms(sends_ms: &[u64], per_hour: u32, per_day: u32, now_ms: u64) -> u64 {
    window_wait_ms(sends_ms, HOUR_MS, per_hour, now_ms)
        .max(window_wait_ms(sends_ms, DAY_MS, per_day, now_ms))
}

fn window_wait_ms(sends_ms: &[u64], window_ms: u64, max: u32, now_ms: u64) -> u64 {
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let counted = sends_ms
        .iter()
        .filter(|at_ms| at_ms.saturating_add(window_ms) > now_ms)
        .count();
    if counted < max {
        return 0;
    }
    // the `max` newest are all in the window: wait until the oldest of them leaves it
    let oldest = sends_ms
        .len()
        .checked_sub(max)
        .and_then(|index| sends_ms.get(index));
    oldest.map_or(window_ms, |at_ms| {
        at_ms.saturating_add(window_ms).saturating_sub(now_ms)
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
}
