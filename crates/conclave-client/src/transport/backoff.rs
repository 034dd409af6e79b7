//! How long to wait before connecting again: doubling, capped, jittered.

use conclave_proto::env::SharedEnv;

/// Longest first wait, in ms.
const FIRST_MS: u64 = 250;
/// Longest wait of all, in ms: a server that comes back is found within half a minute.
const MAX_MS: u64 = 30_000;

/// Waits between attempts: up to 0.25 s, doubling to 30 s, each drawn from the upper half of its range
/// so that clients of a restarted server do not come back in step.
#[derive(Debug)]
pub struct Backoff {
    env: SharedEnv,
    ceiling_ms: u64,
}

impl Backoff {
    /// Nothing has failed yet.
    pub fn new(env: SharedEnv) -> Self {
        Self {
            env,
            ceiling_ms: FIRST_MS,
        }
    }

    /// How long to wait after one more failure, in ms.
    pub fn next_ms(&mut self) -> u64 {
        self.next_ms_within(MAX_MS)
    }

    /// The same, drawn from a range that doubles to `max_ms` only.
    pub fn next_ms_within(&mut self, max_ms: u64) -> u64 {
        let ceiling = self.ceiling_ms.min(max_ms);
        self.ceiling_ms = (ceiling * 2).min(MAX_MS);
        let mut random = [0; 8];
        self.env.fill(&mut random);
        let half = ceiling / 2;
        ceiling - u64::from_be_bytes(random) % (half + 1)
    }

    /// It worked: the next wait is short again.
    pub fn reset(&mut self) {
        self.ceiling_ms = FIRST_MS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conclave_proto::env::OsEnv;

    /// Each wait lies in the upper half of a range that doubles to 30 s and starts over after success.
    #[test]
    fn doubles_to_the_cap_and_starts_over() {
        let mut backoff = Backoff::new(OsEnv::shared());
        let mut ceiling = 250;
        for _ in 0..12 {
            let ms = backoff.next_ms();
            assert!((ceiling / 2..=ceiling).contains(&ms), "{ms} of {ceiling}");
            ceiling = (ceiling * 2).min(30_000);
        }
        assert_eq!(ceiling, 30_000);
        backoff.reset();
        assert!(backoff.next_ms() <= 250);
    }
}
