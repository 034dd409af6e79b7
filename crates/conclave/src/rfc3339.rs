//! Times for people and programs: RFC 3339 in UTC, without a crate for twenty lines.

use conclave_proto::id::Day;

/// `unix_ms` (ms since 1970-01-01 UTC) as `2026-11-22T02:18:05.123Z`.
///
/// The date part is the days-to-civil conversion on the proleptic Gregorian calendar, counted in eras
/// of 400 years from 1 March 0000, so that the leap day is each year's last.
pub(crate) fn rfc3339(unix_ms: u64) -> String {
    let (year, month, day) = civil(unix_ms / Day::MS);
    let ms = unix_ms % Day::MS;
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let milli = ms % 1000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// The same for people: `2026-11-22 02:18Z`.
pub(crate) fn short(unix_ms: u64) -> String {
    let full = rfc3339(unix_ms);
    let (date, time) = full.split_once('T').unwrap_or_default();
    format!("{date} {}Z", time.get(..5).unwrap_or_default())
}

/// The beginning of a day, ms since 1970-01-01 UTC: `2026-11-22`.
pub(crate) fn since(text: &str) -> Result<u64, String> {
    let expected = || format!("`{text}` is no date; write 2026-11-22");
    let mut parts = text.splitn(3, '-').map(|part| {
        let is_number = part.chars().all(|c| c.is_ascii_digit()) && part.len() <= 4;
        part.parse::<u64>().ok().filter(|_| is_number)
    });
    let mut next = || parts.next().flatten().ok_or_else(expected);
    let (year, month, day) = (next()?, next()?, next()?);
    if !(1970..=9999).contains(&year) {
        return Err(expected());
    }
    // The day of each year lies within this span of its start: the first that reads as it, if any.
    let from = (year - 1970) * 365;
    let mut days = from..from + 366 + 2_100;
    let found = days.find(|days| civil(*days) == (year, month, day));
    found.map(|days| days * Day::MS).ok_or_else(expected)
}

/// Year, month (1 to 12) and day (1 to 31) of `days` since 1970-01-01.
const fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let leaps = day_of_era / 1_460 + day_of_era / 146_096;
    let year_of_era = (day_of_era + day_of_era / 36_524 - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A date is the beginning of its day; what is no date is refused.
    #[test]
    fn dates_begin_their_day() {
        for (text, s) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2024-02-29", 1_709_164_800),
            ("2100-03-01", 4_107_542_400),
            ("9999-12-31", 253_402_214_400),
        ] {
            assert_eq!(since(text), Ok(s * 1000), "{text}");
        }
        for text in [
            "",
            "2026",
            "2026-11",
            "2026-13-01",
            "2026-02-29",
            "1969-12-31",
            "-1-1-1",
            "2026-11-22T01",
        ] {
            assert!(since(text).is_err(), "{text}");
        }
    }

    /// Known times, leap days and century rules included (from `date -u -d @…`).
    #[test]
    fn known_times() {
        for (s, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_799, "2000-02-29T23:59:59.000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000Z"),
            (1_763_778_485, "2025-11-22T02:28:05.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000Z"),
        ] {
            assert_eq!(rfc3339(s * 1000), text);
        }
        assert_eq!(rfc3339(1_763_778_485_042), "2025-11-22T02:28:05.042Z");
        assert_eq!(short(1_763_778_485_042), "2025-11-22 02:28Z");
    }

    /// Every day of 400 years follows the one before by the calendar's own rule.
    #[test]
    fn days_follow_each_other() {
        let mut last = civil(0);
        for days in 1..146_097 {
            let next = civil(days);
            let (year, month, day) = last;
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + u64::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let want = match (day == length, month) {
                (false, _) => (year, month, day + 1),
                (true, 12) => (year + 1, 1, 1),
                (true, _) => (year, month + 1, 1),
            };
            assert_eq!(next, want);
            last = next;
        }
    }
}
