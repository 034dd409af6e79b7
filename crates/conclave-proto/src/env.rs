//! The one door to time and chance, so that tests and the simulator can hold it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// Where time and random bytes come from.
pub trait Env: Send + Sync + std::fmt::Debug {
    /// Milliseconds since 1970-01-01 UTC by this machine's clock. Never decides whether a commit is valid.
    fn now_ms(&self) -> u64;

    /// Fills `bytes` with random bytes fit for keys.
    fn fill(&self, bytes: &mut [u8]);
}

/// A shared [`Env`].
pub type SharedEnv = Arc<dyn Env>;

/// The operating system's clock and random generator.
#[derive(Debug, Default, Clone, Copy)]
pub struct OsEnv;

impl OsEnv {
    /// The operating system, shared.
    pub fn shared() -> SharedEnv {
        Arc::new(Self)
    }
}

impl Env for OsEnv {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the door that the lint points to"
    )]
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    #[expect(
        clippy::expect_used,
        reason = "without randomness no key may be made; stopping is the only safe answer"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        SystemRandom::new()
            .fill(bytes)
            .expect("the operating system gives random bytes");
    }
}
