//! What happened, in order: a digest that two runs of one seed share, and lines for who looks for a fault.

use std::sync::{Arc, Mutex};

use crate::locked;
use crate::time::Time;

/// Lines kept: the newest.
const LINES_MAX: usize = 20_000;

/// The events of one world. Sizes and moments go in, never bytes: ciphertexts differ from run to run.
#[derive(Debug)]
pub(crate) struct Trace {
    time: Arc<Time>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    digest: u64,
    events: u64,
    lines: std::collections::VecDeque<String>,
}

impl Trace {
    pub(crate) fn new(time: Arc<Time>) -> Arc<Self> {
        Arc::new(Self {
            time,
            inner: Mutex::default(),
        })
    }

    /// Notes one event.
    pub(crate) fn note(&self, what: &str) {
        let line = format!("{:>9} ms  {what}", self.time.since_begin_ms());
        let mut inner = locked(&self.inner);
        inner.events += 1;
        // FNV-1a: any difference shows
        for byte in line.bytes() {
            inner.digest = (inner.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        inner.lines.push_back(line);
        if inner.lines.len() > LINES_MAX {
            inner.lines.pop_front();
        }
    }

    /// Digest over all events so far, and how many.
    pub(crate) fn digest(&self) -> (u64, u64) {
        let inner = locked(&self.inner);
        (inner.digest, inner.events)
    }

    /// The newest events, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        locked(&self.inner).lines.iter().cloned().collect()
    }
}
