//! Bad tokens of late: five within a minute pause the port for everybody.

use std::time::Duration;

use hyper::StatusCode;
use tokio::time::Instant;

use super::{Refusal, refusal};

/// Bad tokens before everybody waits.
const BAD_TOKENS_MAX: u32 = 5;
/// Bad tokens are counted together when they come within this time.
const BAD_TOKENS_WITHIN: Duration = Duration::from_mins(1);
/// How long everybody waits.
pub(crate) const PAUSE: Duration = Duration::from_secs(30);

/// Bad tokens of late.
#[derive(Debug, Default)]
pub(crate) struct Guesses {
    count: u32,
    first: Option<Instant>,
    paused_until: Option<Instant>,
}

impl Guesses {
    /// Refuses everybody while it pauses.
    pub(crate) fn check(&self, now: Instant) -> Result<(), Refusal> {
        match self.paused_until {
            Some(end) if now < end => Err(Refusal {
                retry_after: Some(end - now),
                ..refusal(
                    StatusCode::TOO_MANY_REQUESTS,
                    "RATE_LIMITED",
                    "too many bad tokens",
                )
            }),
            _ => Ok(()),
        }
    }

    /// One more bad token.
    pub(crate) fn note(&mut self, now: Instant) {
        if self
            .first
            .is_none_or(|first| now - first > BAD_TOKENS_WITHIN)
        {
            (self.count, self.first) = (0, Some(now));
        }
        self.count += 1;
        if self.count >= BAD_TOKENS_MAX {
            *self = Self {
                paused_until: Some(now + PAUSE),
                ..Self::default()
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five bad tokens within a minute pause the port for everybody; slower ones do not, and the pause ends.
    #[test]
    fn five_bad_tokens_pause_the_port() {
        let begin = Instant::now();
        let mut guesses = Guesses::default();
        for number in 0..10 {
            let now = begin + number * Duration::from_secs(20);
            guesses.note(now);
            assert!(guesses.check(now).is_ok());
        }
        let mut guesses = Guesses::default();
        for _ in 0..4 {
            guesses.note(begin);
            assert!(guesses.check(begin).is_ok());
        }
        guesses.note(begin);
        let refusal = guesses.check(begin).unwrap_err();
        assert_eq!(refusal.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refusal.retry_after, Some(PAUSE));
        assert!(guesses.check(begin + PAUSE).is_ok());
    }
}
