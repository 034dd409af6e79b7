//! The durable outbox: takes waiting codes from the store and sees each to its end (C-075, C-076).
//!
//! 1. A request for a code leaves it waiting in the store and wakes the outbox.
//! 2. Each waiting code gets a task that tries once; a few at a time.
//! 3. Sent or refused for good: it waits no more. Not sent: it is tried again, later and later, until
//!    the code is over.
//!
//! Where several servers share the store, each looks for itself now and then, and whoever notes first that a code
//! leaves is the one who sends it.
//!
//! Waiting lines hold no code: it follows from the challenge and the pepper. When a server ends
//! between noting that a code leaves and hearing that it left, the code is not sent again by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{CodeMessage, Leaving, SendError, SendFuture, Sender, code_for, open_identifier};
use crate::server::App;
use crate::store::{SendId, StoreError, StoreFuture, WaitingCode};

/// Codes that are being sent at once.
const AT_ONCE: usize = 8;
/// Waiting codes that one look takes in.
const LOOK: u32 = 1_000;
/// How long one try may take.
const TRY_PATIENCE: Duration = Duration::from_mins(2);
/// Pause after the first failed try; doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// Pause when the store is busy.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two looks where other servers may have left codes behind.
const SHARED_PAUSE: Duration = Duration::from_secs(10);
/// How long tries in progress may take when the server stops.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Runs until `stopping` says so, then lets the tries in progress end.
pub(crate) async fn run(app: Arc<App>, mut stopping: watch::Receiver<bool>) {
    let mut outbox = Outbox {
        app,
        states: HashMap::new(),
        tries: JoinSet::new(),
        given_up: 0,
    };
    // an error means that the store has failed: the server is about to stop
    let _ = outbox.work(&mut stopping).await;
    let _ = timeout(STOP_PATIENCE, outbox.finish()).await;
}

/// Where a waiting code stands; what is not here may be tried at once.
#[derive(Debug, Clone, Copy)]
struct State {
    failures: u32,
    next: Next,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// A task tries it.
    Running,
    /// Not before this.
    At(Instant),
}

/// One try's end; `None`: another server sends this code.
type Tried = (SendId, Option<Result<(), SendError>>);

struct Outbox {
    app: Arc<App>,
    states: HashMap<SendId, State>,
    tries: JoinSet<Tried>,
    given_up: u64,
}

impl Outbox {
    async fn work(&mut self, stopping: &mut watch::Receiver<bool>) -> Result<(), StoreError> {
        let app = Arc::clone(&self.app);
        // C-076: what may have left before the restart is not repeated. Where others share the store, what is
        // handed over may be on its way right now: it ends with its time, or when somebody asks again.
        let interrupted = match app.hints {
            None => patient(|| app.store.otp_interrupted()).await?,
            Some(_) => 0,
        };
        if interrupted > 0 {
            tracing::warn!("{interrupted} codes may have left when the server ended: not repeated");
        }
        while !*stopping.borrow() {
            let wake_at = self.look().await?;
            tokio::select! {
                biased;
                // an error means that the server is gone
                changed = stopping.changed() => if changed.is_err() { break },
                () = app.codes.notified() => {}
                () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
                Some(tried) = self.tries.join_next() => self.settle(tried).await?,
            }
        }
        Ok(())
    }

    async fn finish(&mut self) {
        while let Some(tried) = self.tries.join_next().await {
            if self.settle(tried).await.is_err() {
                return;
            }
        }
    }

    /// Starts what may be tried now; gives the time of the next try.
    async fn look(&mut self) -> Result<Option<Instant>, StoreError> {
        let app = Arc::clone(&self.app);
        let waiting = patient(|| app.store.otp_waiting(LOOK)).await?;
        self.states.retain(|id, state| {
            state.next == Next::Running || waiting.iter().any(|code| code.send_id == *id)
        });
        let now = Instant::now();
        let mut wake_at = app.hints.is_some().then(|| now + SHARED_PAUSE);
        for code in waiting {
            match self.states.get(&code.send_id).map(|state| state.next) {
                Some(Next::Running) => {}
                Some(Next::At(at)) if at > now => {
                    wake_at = Some(wake_at.map_or(at, |earlier: Instant| earlier.min(at)));
                }
                _ if self.tries.len() >= AT_ONCE => break,
                _ => self.start(&code).await?,
            }
        }
        Ok(wake_at)
    }

    /// Starts one try, or gives a code up that nobody can send any more.
    async fn start(&mut self, code: &WaitingCode) -> Result<(), StoreError> {
        let app = &self.app;
        let now_ms = app.env.now_ms();
        if code.expires_ms <= now_ms {
            return self.give_up(code.send_id, "its time is over").await;
        }
        let pepper = &app.keys.pepper;
        let Some(identifier) = open_identifier(pepper, &code.sealed_identifier) else {
            return self.give_up(code.send_id, "the pepper has changed").await;
        };
        let Some(sender) = app.senders.to(&identifier).map(Arc::clone) else {
            let text = "no sender is set for its kind of identifier";
            return self.give_up(code.send_id, text).await;
        };
        let message = CodeMessage {
            send_id: code.send_id,
            code: code_for(pepper, code.challenge_id, &identifier),
            identifier,
            expires_ms: code.expires_ms,
            now_ms,
        };
        let failures = self.states.get(&code.send_id).map_or(0, |s| s.failures);
        let next = Next::Running;
        self.states.insert(code.send_id, State { failures, next });
        self.tries.spawn(try_once(Arc::clone(app), sender, message));
        Ok(())
    }

    async fn settle(
        &mut self,
        tried: Result<Tried, tokio::task::JoinError>,
    ) -> Result<(), StoreError> {
        let Ok((send_id, result)) = tried else {
            // its line stays `Running`: not tried again in this life of the server
            tracing::error!("a sender broke");
            return Ok(());
        };
        let app = Arc::clone(&self.app);
        let Some(result) = result else {
            self.states.remove(&send_id);
            return Ok(());
        };
        match result {
            Ok(()) => {
                self.states.remove(&send_id);
                patient(|| app.store.otp_sent(send_id)).await
            }
            Err(error @ SendError::Later(_)) => {
                self.again_later(send_id, &error);
                patient(|| app.store.otp_hand_over(send_id, false)).await?;
                Ok(())
            }
            Err(error) => self.give_up(send_id, &error.to_string()).await,
        }
    }

    fn again_later(&mut self, send_id: SendId, error: &SendError) {
        let failures = self.states.get(&send_id).map_or(0, |s| s.failures) + 1;
        if failures == 1 {
            // C-043: the text names neither code nor identifier.
            tracing::warn!("a code could not be sent: {error}");
        }
        let pause = PAUSE.saturating_mul(1 << (failures - 1).min(10));
        let next = Next::At(Instant::now() + pause.min(PAUSE_MAX));
        self.states.insert(send_id, State { failures, next });
    }

    async fn give_up(&mut self, send_id: SendId, why: &str) -> Result<(), StoreError> {
        self.given_up += 1;
        // C-043: the text names neither code nor identifier.
        tracing::warn!(given_up = self.given_up, "a code was given up: {why}");
        self.states.remove(&send_id);
        let app = Arc::clone(&self.app);
        patient(|| app.store.otp_sent(send_id)).await
    }
}

async fn try_once(app: Arc<App>, sender: Arc<dyn Sender>, message: CodeMessage) -> Tried {
    let note = Note {
        app: &app,
        send_id: message.send_id,
        noted: AtomicBool::new(false),
        is_taken: AtomicBool::new(false),
    };
    let tried = timeout(TRY_PATIENCE, sender.send(&message, &note)).await;
    let result = tried.unwrap_or_else(|_| {
        let text = "the sender took too long".to_owned();
        Err(if note.noted.load(Ordering::Relaxed) {
            SendError::Unknown(text)
        } else {
            SendError::Later(text)
        })
    });
    // C-076: its note is theirs, and so is its end
    let is_taken = note.is_taken.load(Ordering::Relaxed);
    (message.send_id, (!is_taken).then_some(result))
}

/// The note of one try.
struct Note<'a> {
    app: &'a App,
    send_id: SendId,
    noted: AtomicBool,
    /// Nobody waits for the code any more, or another server sends it.
    is_taken: AtomicBool,
}

impl Leaving for Note<'_> {
    fn note(&self) -> SendFuture<'_> {
        Box::pin(async move {
            self.noted.store(true, Ordering::Relaxed);
            match patient(|| self.app.store.otp_hand_over(self.send_id, true)).await {
                Ok(true) => Ok(()),
                Ok(false) => {
                    self.is_taken.store(true, Ordering::Relaxed);
                    Err(SendError::Refused("nobody waits for it".to_owned()))
                }
                Err(_) => Err(SendError::Refused("the store has failed".to_owned())),
            }
        })
    }
}

/// Calls a verb of the store until it is not busy.
async fn patient<'a, T>(verb: impl Fn() -> StoreFuture<'a, T> + Send) -> Result<T, StoreError> {
    loop {
        match verb().await {
            Err(StoreError::Busy) => sleep(BUSY_PAUSE).await,
            done => return done,
        }
    }
}
