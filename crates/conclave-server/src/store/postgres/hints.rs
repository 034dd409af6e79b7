//! Hints between servers through the database itself: LISTEN and NOTIFY, for where no NATS runs.
//!
//! One notification for each batch of hints, never one for each message: a notifying commit takes a lock
//! of the whole database. A notification is at most 8,000 bytes of text.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_postgres::AsyncMessage;

use super::address::Address;
use super::open::connect;
use super::session::{Session, params, words};
use crate::hint::{Heard, Hint, Hints, pack, unpack};

/// Bytes of packed hints whose text fits into one notification.
const MESSAGE_MAX: usize = 5_900;
/// Messages that wait to be told; more are lost.
const LEAVING_MAX: usize = 256;
/// Messages told in one transaction.
const AT_ONCE: usize = 64;
/// Batches that wait to be heard; more are lost, and that is said.
const HEARD_MAX: usize = 256;
/// Pause before another connection; doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The channel of hints in a database.
#[derive(Debug)]
pub struct PostgresHints {
    address: Address,
    node: u64,
    leaving: mpsc::Sender<String>,
    is_connected: Arc<AtomicBool>,
}

impl PostgresHints {
    /// Hints of the process `node`, a random number. Needs a tokio runtime.
    pub fn start(address: Address, node: u64) -> Self {
        let (leaving, messages) = mpsc::channel(LEAVING_MAX);
        tokio::spawn(tell(address.clone(), messages));
        Self {
            address,
            node,
            leaving,
            is_connected: Arc::default(),
        }
    }
}

impl Hints for PostgresHints {
    fn publish(&self, batch: Vec<Hint>) {
        for message in pack(self.node, &batch, MESSAGE_MAX) {
            // lost when there are too many: others look by themselves
            let _ = self.leaving.try_send(STANDARD_NO_PAD.encode(message));
        }
    }

    fn subscribe(&self) -> mpsc::Receiver<Heard> {
        let (outlet, heard) = mpsc::channel(HEARD_MAX);
        let listener = Listener {
            address: self.address.clone(),
            node: self.node,
            is_connected: Arc::clone(&self.is_connected),
            outlet,
            lost: false,
        };
        tokio::spawn(listener.run());
        heard
    }

    fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }
}

/// Tells until the other end is dropped.
async fn tell(address: Address, mut messages: mpsc::Receiver<String>) {
    let mut session: Option<Session> = None;
    let (mut batch, mut pause) = (Vec::new(), PAUSE);
    while messages.recv_many(&mut batch, AT_ONCE).await > 0 {
        let told = match session.take().filter(|session| !session.is_closed()) {
            Some(session) => Ok(session),
            None => connect(&address).await,
        };
        let Ok(open) = told else {
            // what is lost here, others find by looking
            batch.clear();
            sleep(pause).await;
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
            continue;
        };
        pause = PAUSE;
        let told = notify(&open, &batch).await;
        batch.clear();
        session = told.is_ok().then_some(open);
    }
}

async fn notify(session: &Session, batch: &[String]) -> super::session::Result<()> {
    // nobody waits for a hint to reach a disk
    session.simple("SET synchronous_commit = off").await?;
    let notify = "SELECT pg_notify('conclave', message) FROM unnest($1::text[]) AS message";
    session.rows(notify, params![batch]).await?;
    Ok(())
}

struct Listener {
    address: Address,
    node: u64,
    is_connected: Arc<AtomicBool>,
    outlet: mpsc::Sender<Heard>,
    /// Hints were lost, and nobody has been told yet.
    lost: bool,
}

impl Listener {
    /// Listens until nobody wants to hear.
    async fn run(mut self) {
        let mut pause = PAUSE;
        while !self.outlet.is_closed() {
            if let Err(error) = self.listen(&mut pause).await {
                tracing::warn!("hints cannot be heard: {}", words(&error));
            }
            self.is_connected.store(false, Ordering::Relaxed);
            tokio::select! {
                () = sleep(pause) => {}
                () = self.outlet.closed() => {}
            }
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }

    /// One connection's life.
    async fn listen(&mut self, pause: &mut Duration) -> Result<(), tokio_postgres::Error> {
        let (client, mut messages) = self.address.connect().await?.split();
        let mut listening = std::pin::pin!(client.batch_execute("LISTEN conclave"));
        let mut listens = false;
        let outlet = self.outlet.clone();
        loop {
            tokio::select! {
                done = &mut listening, if !listens => {
                    done?;
                    listens = true;
                    *pause = PAUSE;
                    self.is_connected.store(true, Ordering::Relaxed);
                    // whatever was told before this moment was not heard
                    self.lost = true;
                    self.hear(None);
                }
                message = messages.next() => match message {
                    Some(AsyncMessage::Notification(told)) => self.hear(hints_of(self.node, told.payload())),
                    Some(_) => {}
                    None => return Ok(()),
                },
                () = outlet.closed() => return Ok(()),
            }
        }
    }

    /// Passes on, and says first that something was lost when it was.
    fn hear(&mut self, hints: Option<Vec<Hint>>) {
        if self.lost && self.outlet.try_send(Heard::Gap).is_ok() {
            self.lost = false;
        }
        if let Some(hints) = hints {
            self.lost |= self.outlet.try_send(Heard::Hints(hints)).is_err();
        }
    }
}

/// What another process told; `None` for own words and for those of strangers.
fn hints_of(own: u64, text: &str) -> Option<Vec<Hint>> {
    let (node, hints) = unpack(&STANDARD_NO_PAD.decode(text).ok()?)?;
    (node != own).then_some(hints)
}
