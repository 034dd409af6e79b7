//! Virtual time: the runtime's paused clock, plus what each actor's own clock is wrong by.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use conclave_proto::env::Env;
use tokio::time::Instant;

use crate::chance::Chance;
use crate::locked;

/// When every world begins, ms since 1970-01-01 UTC.
const BEGIN_MS: u64 = 1_780_000_000_000;
/// All jumps of one world together, ms.
const SKIPPED_MS_MAX: u64 = 20 * 86_400_000;

/// The time of one world.
#[derive(Debug)]
pub(crate) struct Time {
    begin: Instant,
    skipped_ms: AtomicU64,
}

impl Time {
    /// Begins now; inside a runtime whose clock is paused.
    pub(crate) fn begin() -> Arc<Self> {
        Arc::new(Self {
            begin: Instant::now(),
            skipped_ms: AtomicU64::new(0),
        })
    }

    /// Ms since 1970-01-01 UTC.
    pub(crate) fn now_ms(&self) -> u64 {
        BEGIN_MS + self.since_begin_ms()
    }

    /// Ms since the world began.
    pub(crate) fn since_begin_ms(&self) -> u64 {
        let ran = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        ran + self.skipped_ms.load(Ordering::Relaxed)
    }

    /// Every clock jumps, as when all machines slept; in all no further than messages are kept.
    pub(crate) fn skip(&self, ms: u64) {
        let left_ms = SKIPPED_MS_MAX.saturating_sub(self.skipped_ms.load(Ordering::Relaxed));
        self.skipped_ms
            .fetch_add(ms.min(left_ms), Ordering::Relaxed);
    }
}

/// Time and chance of one actor.
#[derive(Debug)]
pub(crate) struct ActorEnv {
    time: Arc<Time>,
    wrong_by_ms: AtomicI64,
    chance: Mutex<Chance>,
}

impl ActorEnv {
    /// An actor whose clock is right.
    pub(crate) fn new(time: Arc<Time>, chance: Chance) -> Arc<Self> {
        Arc::new(Self {
            time,
            wrong_by_ms: AtomicI64::new(0),
            chance: Mutex::new(chance),
        })
    }

    /// From now on its clock is off by so many ms.
    pub(crate) fn set_wrong_by(&self, ms: i64) {
        self.wrong_by_ms.store(ms, Ordering::Relaxed);
    }
}

impl Env for ActorEnv {
    fn now_ms(&self) -> u64 {
        let wrong_by = self.wrong_by_ms.load(Ordering::Relaxed);
        self.time.now_ms().saturating_add_signed(wrong_by)
    }

    fn fill(&self, bytes: &mut [u8]) {
        locked(&self.chance).fill(bytes);
    }
}
