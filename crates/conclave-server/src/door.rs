//! Where TLS begins: the costly half of each handshake has its turn on threads of its own, in order of arrival.
//!
//! A crowd that comes back at once, as after a restart, then takes its share of the processor and no more:
//! who is connected is served beside it, nobody is overtaken, and what is not worth waiting for is closed
//! before it costs anything. A turn is only computing, never waiting for a client, so nobody can sit on one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use conclave_proto::limits::HANDSHAKES_WAITING_MAX;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// Accepts TLS.
pub(crate) struct Door {
    config: Arc<ServerConfig>,
    turns: Turns,
}

impl Door {
    /// Half of the processors at most compute handshakes, at least one.
    pub(crate) fn new(config: ServerConfig) -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            config: Arc::new(config),
            turns: Turns::new((processors / 2).max(1), HANDSHAKES_WAITING_MAX),
        }
    }

    /// TLS on one socket; `None` when it fails or too many wait. The caller sets the time limit, and who
    /// is given up before its turn costs none.
    pub(crate) async fn accept(&self, socket: TcpStream) -> Option<TlsStream<TcpStream>> {
        // takes as long as the client likes and next to no computing
        let hello = LazyConfigAcceptor::new(Acceptor::default(), socket);
        let hello = hello.await.ok()?;
        let config = Arc::clone(&self.config);
        // key agreement and signature
        let rest = self.turns.take(move || hello.into_stream(config)).await?;
        rest.await.ok()
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Work that is done in order of arrival, by few threads, while a bounded number waits.
struct Turns(SyncSender<Job>);

impl Turns {
    /// `threads` work, `waiting_max` wait. The threads end when this is dropped.
    fn new(threads: usize, waiting_max: usize) -> Self {
        let (queue, jobs) = sync_channel(waiting_max);
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..threads {
            let jobs = Arc::clone(&jobs);
            thread::spawn(move || work(&jobs));
        }
        Self(queue)
    }

    /// What `job` gives, after its turn; `None` at once when too many wait.
    async fn take<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let turn = move || {
            // who gave up meanwhile costs nothing
            if !answer.is_closed() {
                // and may give up during its turn
                let _ = answer.send(job());
            }
        };
        // C-011: refused, not queued
        self.0.try_send(Box::new(turn)).ok()?;
        answered.await.ok()
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // one that breaks takes nobody's turn away
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a handshake broke");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use tokio::task::JoinSet;

    use super::*;

    /// Never more work at once than there are threads, however many come; each gets its turn, in order of
    /// arrival when there is one thread.
    #[tokio::test]
    async fn a_crowd_has_its_turns() {
        for threads in [1, 3] {
            let turns = Arc::new(Turns::new(threads, 200));
            let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let order = Arc::new(Mutex::new(Vec::new()));
            let mut crowd = JoinSet::new();
            for number in 0..200 {
                let (turns, running, most) = (turns.clone(), running.clone(), most.clone());
                let order = order.clone();
                crowd.spawn(async move {
                    let turn = turns.take(move || {
                        let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        order.lock().unwrap().push(number);
                        thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                    });
                    turn.await.unwrap();
                });
            }
            crowd.join_all().await;
            assert!(most.load(Ordering::SeqCst) <= threads);
            let order = order.lock().unwrap();
            assert_eq!(order.len(), 200);
            assert!(threads > 1 || order.is_sorted(), "{order:?}");
        }
    }

    /// Beyond the bound one is refused at once; who gave up while waiting costs no turn, and who waits is
    /// served, also behind a turn that broke.
    #[tokio::test]
    async fn c011_what_waits_is_bounded() {
        let turns = Arc::new(Turns::new(1, 2));
        let (begun, has_begun) = oneshot::channel();
        let (open, gate) = channel::<()>();
        let first = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move {
                let turn = turns.take(move || {
                    begun.send(()).unwrap();
                    gate.recv().unwrap();
                    panic!("this one breaks");
                });
                turn.await
            }
        });
        has_begun.await.unwrap();
        let gave_up = Arc::new(AtomicUsize::new(0));
        let mut second = Box::pin(turns.take({
            let gave_up = Arc::clone(&gave_up);
            move || gave_up.fetch_add(1, Ordering::SeqCst)
        }));
        let mut third = Box::pin(turns.take(|| 3));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(futures_util::poll!(&mut third).is_pending());
        assert_eq!(turns.take(|| 4).await, None);
        drop(second);
        open.send(()).unwrap();
        assert_eq!(first.await.unwrap(), None::<()>);
        assert_eq!(third.await, Some(3));
        assert_eq!(turns.take(|| 5).await, Some(5));
        assert_eq!(gave_up.load(Ordering::SeqCst), 0);
    }
}
