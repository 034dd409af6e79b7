//! What happened, in order: lines that two runs of one seed share, for who looks for a fault.

use std::sync::{Arc, Mutex};

use crate::locked;
use crate::time::Time;

/// The events of one world. Sizes and moments go in, never bytes: ciphertexts differ from run to run.
#[derive(Debug)]
pub(crate) struct Trace {
    time: Arc<Time>,
    lines: Mutex<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(time: Arc<Time>) -> Arc<Self> {
        let lines = Mutex::default();
        Arc::new(Self { time, lines })
    }

    /// Notes one event.
    pub(crate) fn note(&self, what: &str) {
        let line = format!("{:>9} ms  {what}", self.time.since_begin_ms());
        locked(&self.lines).push(line);
    }

    /// All events so far, a line each.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut locked(&self.lines))
    }
}
