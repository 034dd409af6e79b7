//! The page's port and the profile behind it: open, or locked until a passphrase comes.
//!
//! It outlives the profile: a lock takes sessions and profile away and leaves the port, where the passphrase is then
//! waited for.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use conclave_client::Client;
use conclave_proto::env::SharedEnv;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::assets::Assets;
use super::sessions::Sessions;
use super::{answer, desk};
use crate::exit::{self, Failure};
use crate::http::{Guesses, Names, serve};
use crate::rpc::sse;

/// Requests at once; there are never as many connections.
const WORK_MAX: u32 = 1_024;
/// How long requests may take to end when the profile is closed; each is cut off.
const END: Duration = Duration::from_secs(5);
/// Where the port of last time stands, in the profile's folder.
const LAST_PORT: &str = "page.port";
/// How often sessions are looked at that nobody uses.
const TIDY: Duration = Duration::from_mins(1);

/// The page of one profile.
#[derive(Debug)]
pub(crate) struct Page {
    pub(super) env: SharedEnv,
    /// The profile's folder.
    pub(super) dir: PathBuf,
    pub(super) assets: Assets,
    /// Places for streams of events.
    pub(super) places: Arc<Semaphore>,
    /// One place at the door: a passphrase costs a quarter of a GiB to try.
    pub(super) trying: Semaphore,
    work: Arc<Semaphore>,
    state: Mutex<State>,
    /// Counts how often the profile was closed.
    closings: watch::Sender<u64>,
    knocks: mpsc::Sender<Unlocking>,
    knocking: tokio::sync::Mutex<mpsc::Receiver<Unlocking>>,
}

#[derive(Debug, Default)]
struct State {
    /// None: locked.
    client: Option<Client>,
    sessions: Sessions,
    guesses: Guesses,
    port: Option<Port>,
}

/// Where it listens; ends with the page.
#[derive(Debug)]
struct Port {
    number: u16,
    task: JoinHandle<()>,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Somebody at the page of a locked profile says its passphrase.
#[derive(Debug)]
pub(crate) struct Unlocking {
    /// What they say.
    pub(crate) passphrase: Zeroizing<String>,
    /// Whether it opened the profile; [`Page::open`] comes before.
    pub(crate) answer: oneshot::Sender<Result<(), Failure>>,
}

/// A way in, once: `web.open`'s result.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Opened {
    /// The page's address with a ticket that is good for a minute.
    pub(crate) url: String,
}

/// The profile for one request, until it is closed.
pub(super) struct Work {
    /// The open profile; none: locked.
    pub(super) client: Option<Client>,
    closing: watch::Receiver<u64>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Work {
    /// What comes of `work`; none when the profile is closed first.
    pub(super) async fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.over() => None,
            done = work => Some(done),
        }
    }

    /// Until the profile is closed.
    pub(super) fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut closing = self.closing.clone();
        // The page going away is a closing, too.
        async move { drop(closing.changed().await) }
    }
}

impl Page {
    /// The page of the profile in `dir`; nobody sees it yet. The caller holds the profile's lock.
    pub(crate) fn new(env: SharedEnv, dir: PathBuf) -> Arc<Self> {
        desk::clear(&dir);
        let (knocks, knocking) = mpsc::channel(1);
        Arc::new(Self {
            env,
            dir,
            assets: Assets::find(),
            places: sse::places(),
            trying: Semaphore::new(1),
            work: Arc::new(Semaphore::new(WORK_MAX as usize)),
            state: Mutex::default(),
            closings: watch::Sender::default(),
            knocks,
            knocking: tokio::sync::Mutex::new(knocking),
        })
    }

    /// Shows the profile of `client` from now on.
    pub(crate) fn open(&self, client: Client) {
        self.state().client = Some(client);
    }

    /// Shows nothing any more: sessions, what they had and requests under way end. When this returns, the page holds
    /// no handle of the profile.
    pub(crate) async fn close(&self) {
        {
            let mut state = self.state();
            state.client = None;
            state.sessions.end_all();
        }
        self.closings.send_modify(|count| *count += 1);
        let streams = u32::try_from(sse::STREAMS_MAX).unwrap_or(u32::MAX);
        let ended = async {
            drop(self.work.acquire_many(WORK_MAX).await);
            drop(self.places.acquire_many(streams).await);
        };
        // Whoever comes next finds the profile in use then, and says so.
        let _ = tokio::time::timeout(END, ended).await;
    }

    /// Listens on this machine, on `port` or a free one; nothing new when it does already.
    pub(crate) async fn listen(self: &Arc<Self>, port: Option<u16>) -> Result<(), Failure> {
        if let Some(number) = self.number() {
            return match port {
                Some(port) if port != 0 && port != number => Err(elsewhere(number)),
                _ => Ok(()),
            };
        }
        let listener = self.bind(port).await?;
        let number = listener.local_addr()?.port();
        // A weak handle: the page's end is the port's.
        let page = Arc::downgrade(self);
        let names = Names::new(hosts(number));
        let served = serve(listener, move |request| {
            let (page, names) = (page.upgrade(), names.clone());
            answer::answer(page, names, request)
        });
        let page = Arc::downgrade(self);
        let tidied = async move {
            loop {
                tokio::time::sleep(TIDY).await;
                let Some(page) = page.upgrade() else { return };
                page.state().sessions.tidy(Instant::now());
            }
        };
        let task = tokio::spawn(async move {
            tokio::select! {
                () = served => {}
                () = tidied => {}
            }
        });
        // Another call may have been quicker: then this port closes again.
        self.state().port.get_or_insert(Port { number, task });
        Ok(())
    }

    /// A socket on `port`; without one on that of last time, as long as nobody else has it: what the browser keeps
    /// for the page, and what the person allowed it, hangs on its address.
    async fn bind(&self, port: Option<u16>) -> Result<TcpListener, Failure> {
        let at = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let file = self.dir.join(LAST_PORT);
        if port.is_none() {
            let last = std::fs::read_to_string(&file).ok();
            let last = last.and_then(|text| text.trim().parse().ok());
            if let Some(last) = last.filter(|last| *last != 0)
                && let Ok(listener) = at(last).await
            {
                return Ok(listener);
            }
        }
        let wanted = port.unwrap_or_default();
        let listener = at(wanted).await.map_err(|error| {
            let message = format!("the page cannot have port {wanted}: {error}");
            Failure::new(exit::CONFLICT, "ADDRESS", message).with_hint("choose another --port")
        })?;
        let number = listener.local_addr()?.port();
        // Kept for convenience: without it the next one is a free one again.
        let _ = std::fs::write(file, format!("{number}\n"));
        Ok(listener)
    }

    /// Where it listens: `http://127.0.0.1:PORT/`.
    pub(crate) fn address(&self) -> Option<String> {
        Some(format!("http://127.0.0.1:{}/", self.number()?))
    }

    /// A way in, once, within a minute.
    pub(crate) fn ticket(&self) -> Result<Opened, Failure> {
        let address = self.address().ok_or_else(ending)?;
        let ticket = self.state().sessions.ticket(&*self.env, Instant::now());
        // The part behind # never leaves the browser.
        let url = format!("{address}#t={}", ticket.as_str());
        Ok(Opened { url })
    }

    /// Ends all sessions; the profile stays open.
    pub(crate) fn end_sessions(&self) {
        self.state().sessions.end_all();
    }

    /// The next passphrase that somebody says at the locked page.
    pub(crate) async fn unlocking(&self) -> Option<Unlocking> {
        self.knocking.lock().await.recv().await
    }

    /// Says a passphrase to whoever waits for one with [`Page::unlocking`]; how it went.
    pub(super) async fn knock(&self, passphrase: Zeroizing<String>) -> Result<(), Failure> {
        let (answer, answered) = oneshot::channel();
        let unlocking = Unlocking { passphrase, answer };
        // Nobody waits: the daemon ends.
        if self.knocks.send(unlocking).await.is_err() {
            return Err(ending());
        }
        answered.await.unwrap_or_else(|_| Err(ending()))
    }

    /// The profile, for one request.
    pub(super) fn work(&self) -> Work {
        let permit = self.work.clone().try_acquire_owned().ok();
        let state = self.state();
        Work {
            // In one look: a closing that is not seen here is seen by the receiver.
            client: state.client.clone().filter(|_| permit.is_some()),
            closing: self.closings.subscribe(),
            _permit: permit,
        }
    }

    /// Looks at or changes who may come in.
    pub(super) fn doors<T>(&self, work: impl FnOnce(&mut Sessions, &mut Guesses) -> T) -> T {
        let mut state = self.state();
        let state = &mut *state;
        work(&mut state.sessions, &mut state.guesses)
    }

    /// The port that it listens on.
    pub(super) fn number(&self) -> Option<u16> {
        self.state().port.as_ref().map(|port| port.number)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `Host` may say.
fn hosts(port: u16) -> Vec<String> {
    ["127.0.0.1", "localhost", "[::1]"]
        .map(|host| format!("{host}:{port}"))
        .into()
}

fn elsewhere(number: u16) -> Failure {
    let message = format!("the page is at port {number} already");
    Failure::new(exit::CONFLICT, "ADDRESS", message)
        .with_hint("leave --port out, or end the daemon first: `conclave daemon stop`")
}

fn ending() -> Failure {
    let message = "the program that serves this page ends";
    Failure::new(exit::UNREACHABLE, "DAEMON_GONE", message).with_hint("run `conclave web` again")
}
