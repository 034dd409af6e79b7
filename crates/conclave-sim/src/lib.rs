//! `conclave-sim`: real clients and a real server in one process, one thread, under one seed.
//!
//! A world is a server, some people and a network between them that delays, swallows and cuts; processes
//! die around transactions. Time is virtual and chance comes from the seed, so a seed that shows a fault
//! shows it again. What the people do is written down in a plain model; what the devices then know is held
//! against it.
//!
//! - `chance`, `time`: the seed, and a clock that stands still while anything runs; `trace`: what happened
//! - `wire`, `crash`: the network, and deaths around transactions; `liar`: a server that lies on the way
//! - `server`, `device`: the real programs
//! - `world`: everything together; `play`, `groups`, `own`: what people do; `model`: what they were promised
//! - `check`: whether it was kept; `betray`: a member breaks a group at the end
//!
//! ```
//! let report = conclave_sim::run(&conclave_sim::Plan { seed: 1, steps: 3 })?;
//! assert!(!report.trace.is_empty());
//! # Ok::<(), conclave_sim::Failure>(())
//! ```

mod betray;
mod chance;
mod check;
mod crash;
mod device;
mod groups;
mod liar;
mod model;
mod own;
mod play;
mod server;
mod time;
mod trace;
mod wire;
mod world;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Which world is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Everything follows from it.
    pub seed: u64,
    /// How often somebody does something before all comes to rest.
    pub steps: u64,
}

impl Plan {
    /// Steps unless told otherwise.
    pub const STEPS: u64 = 35;

    /// The usual world of a seed.
    pub const fn of(seed: u64) -> Self {
        Self {
            seed,
            steps: Self::STEPS,
        }
    }

    /// The command that runs exactly this world.
    pub fn replay_line(&self) -> String {
        let Self { seed, steps } = self;
        format!("cargo xtask sim --seed {seed} --steps {steps}")
    }
}

/// A world in which everything was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Texts that were sent.
    pub texts: u64,
    /// Moments, sizes and decisions, a line each: two runs of a plan have the same.
    pub trace: Vec<String>,
}

/// A promise that was broken, or a world that could not be run.
#[derive(Debug)]
pub struct Failure {
    /// What differs.
    pub what: String,
    /// The command that shows it again.
    pub replay: String,
    /// What happened before, a line each.
    pub trace: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; again: {}", self.what, self.replay)
    }
}

impl std::error::Error for Failure {}

/// Runs one world from its beginning to its end.
pub fn run(plan: &Plan) -> Result<Report, Failure> {
    let failure = |error: &anyhow::Error, trace| Failure {
        what: format!("{error:#}"),
        replay: plan.replay_line(),
        trace,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| failure(&error.into(), Vec::new()))?;
    let ran = runtime.block_on(world::run(plan));
    // what is left of the world ends with its runtime
    runtime.shutdown_background();
    match ran {
        Ok(report) => Ok(report),
        Err((error, trace)) => Err(failure(&error, trace)),
    }
}

/// A lock that one thread takes: whatever panicked inside, the world is over anyway.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
