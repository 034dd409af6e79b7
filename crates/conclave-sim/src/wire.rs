//! The network between one device and the server: it delays, stalls, swallows, and cuts at any byte.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::sync::watch;

use crate::chance::Chance;
use crate::locked;
use crate::server::SimServer;
use crate::trace::Trace;

/// Bytes under way in each direction.
const PIPE_BYTES: usize = 64 * 1024;
/// Bytes that travel together.
const CHUNK_BYTES: usize = 4 * 1024;

/// What one device's network is like.
#[derive(Debug)]
pub(crate) struct Wire {
    name: String,
    server: Arc<SimServer>,
    trace: Arc<Trace>,
    chance: Mutex<Chance>,
    /// Faults happen.
    is_rough: AtomicBool,
    /// Nothing passes until this is false again; nobody is told.
    is_silent: watch::Sender<bool>,
}

/// What becomes of one direction of one connection.
struct Fate {
    chance: Chance,
    /// Ms that each chunk takes at most.
    delay_ms: u64,
    /// After so many bytes the connection is cut.
    cut_at: Option<usize>,
    /// After so many bytes nothing arrives any more, and nobody is told.
    swallow_at: Option<usize>,
    is_rough: bool,
}

impl Wire {
    pub(crate) fn new(
        name: &str,
        server: Arc<SimServer>,
        trace: Arc<Trace>,
        chance: Chance,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            server,
            trace,
            chance: Mutex::new(chance),
            is_rough: AtomicBool::new(false),
            is_silent: watch::Sender::new(false),
        })
    }

    /// Whether faults happen from now on.
    pub(crate) fn set_rough(&self, is_rough: bool) {
        self.is_rough.store(is_rough, Ordering::Relaxed);
    }

    /// Whether faults happen now.
    pub(crate) fn is_rough(&self) -> bool {
        self.is_rough.load(Ordering::Relaxed)
    }

    /// Notes an event of this device's network.
    pub(crate) fn note(&self, what: &str) {
        self.trace.note(&format!("{} {what}", self.name));
    }

    /// Whether nothing passes from now on.
    pub(crate) fn set_silent(&self, is_silent: bool) {
        self.is_silent.send_replace(is_silent);
    }

    /// Carries one connection from its first byte to its last.
    pub(crate) async fn carry(self: Arc<Self>, client: DuplexStream, binding: Vec<u8>) {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let (up, down) = (self.fate(), self.fate());
        self.heard().await;
        if !self.server.serve(far, binding) {
            return self.note("connection refused");
        }
        let (from_client, to_client) = tokio::io::split(client);
        let (from_server, to_server) = tokio::io::split(near);
        let up = self.pump('>', up, from_client, to_server);
        let down = self.pump('<', down, from_server, to_client);
        tokio::pin!(up, down);
        // the server has the last word; a cut ends both directions
        tokio::select! {
            biased;
            true = &mut up => {}
            _ = &mut down => {}
        }
    }

    fn fate(&self) -> Fate {
        let mut chance = locked(&self.chance).fork();
        let is_rough = self.is_rough();
        let delays_ms: &[u64] = if is_rough { &[5, 40, 300, 3_000] } else { &[5] };
        let delay_ms = chance.pick(delays_ms).copied().unwrap_or(0);
        let mut bytes = |percent| {
            let is_met = is_rough && chance.percent(percent);
            is_met.then(|| usize::try_from(chance.spread(60_000)).unwrap_or(0))
        };
        let (cut_at, swallow_at) = (bytes(12), bytes(4));
        Fate {
            chance,
            delay_ms,
            cut_at,
            swallow_at,
            is_rough,
        }
    }

    /// Completes when the network is not silent.
    async fn heard(&self) {
        let mut is_silent = self.is_silent.subscribe();
        // the sender lives as long as the wire
        let _ = is_silent.wait_for(|is_silent| !is_silent).await;
    }

    /// Whether the connection was cut; else its sender has finished.
    async fn pump(
        &self,
        arrow: char,
        mut fate: Fate,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> bool {
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut moved = 0;
        loop {
            let Ok(bytes @ 1..) = from.read(&mut buffer).await else {
                // whoever is gone needs no goodbye
                let _ = to.shutdown().await;
                return false;
            };
            fate.pause().await;
            self.heard().await;
            self.note(&format!("{arrow} {bytes}"));
            moved += bytes;
            if fate.swallow_at.is_some_and(|at| moved >= at) {
                self.note(&format!("{arrow} swallows"));
                std::future::pending::<()>().await;
            }
            let lost = moved.saturating_sub(fate.cut_at.unwrap_or(usize::MAX));
            let kept = bytes.saturating_sub(lost);
            let arrived = to.write_all(buffer.get(..kept).unwrap_or_default()).await;
            if lost > 0 || arrived.is_err() {
                self.note(&format!("{arrow} cut"));
                return true;
            }
        }
    }
}

impl Fate {
    async fn pause(&mut self) {
        let mut ms = self.chance.spread(self.delay_ms);
        // now and then longer than anybody waits
        if self.is_rough && self.chance.below(400) == 0 {
            ms += self.chance.below(120_000);
        }
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }
}
