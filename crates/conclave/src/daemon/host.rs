//! The daemon itself.
//!
//! 1. the profile is open and locked: nobody else can be its daemon
//! 2. the socket is bound, the page's port too when it is wanted, and the row says so
//! 3. connections are served until a signal, `daemon stop`, or a lock: that closes the profile until its passphrase is
//!    said on the page, and goes back to 3
//! 4. commands end, the profile is closed, and only then who asked for the end is told

use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conclave_client::{Client, ClientError};
use conclave_proto::env::SharedEnv;
use tokio::io::BufReader;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};

use super::locked::{self, Unlocked};
use super::{About, OpenParams, place};
use crate::args::Global;
use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::{DaemonRow, PageRow};
use crate::rpc::{RpcError, http, stream};
use crate::web::{Opened, Page, open};
use crate::webhook;

/// Commands at once; each has a thread.
const COMMANDS_MAX: u32 = 64;
/// Connections at once.
const CONNECTIONS_MAX: usize = 256;
/// How long commands may take to end when the daemon does.
const COMMANDS_END: Duration = Duration::from_secs(5);
/// How long answers at the socket have to get out when the profile is locked, the lock's own among them.
const ANSWERS_END: Duration = Duration::from_millis(100);

/// What connections and commands share.
#[derive(Debug)]
pub(crate) struct Daemon {
    client: Client,
    profile: String,
    dir: PathBuf,
    about: About,
    commands: Arc<Semaphore>,
    connections: AtomicUsize,
    page: Arc<Page>,
    stop: mpsc::Sender<StopRequest>,
}

/// Where it is reached beside its socket.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    /// By programs with a token.
    pub(crate) http: Option<TcpListener>,
    /// By a person with a browser.
    pub(crate) page: Option<PageWish>,
}

/// How the page should be opened.
#[derive(Debug)]
pub(crate) struct PageWish {
    /// On this port; none: a free one.
    pub(crate) port: Option<u16>,
    /// Whether a browser is started.
    pub(crate) in_browser: bool,
}

/// Somebody wants the daemon to end, and is told when it has.
#[derive(Debug)]
pub(crate) struct StopRequest {
    /// Where to.
    pub(crate) frames: mpsc::Sender<String>,
    /// What writes them.
    pub(crate) writer: JoinHandle<()>,
    /// The answer.
    pub(crate) answer: String,
}

impl Daemon {
    /// The open profile.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// What it says of itself.
    pub(crate) fn about(&self) -> About {
        About {
            connections: self.connections.load(Ordering::Relaxed),
            page: self.page.address(),
            ..self.about.clone()
        }
    }

    /// The right to run one more command; none when there are too many.
    pub(super) fn permit(&self) -> Option<OwnedSemaphorePermit> {
        self.commands.clone().try_acquire_owned().ok()
    }

    /// Says which profile a hosted command means, whatever its words were: this daemon's.
    pub(super) fn name_profile(&self, global: &mut Global) {
        global.profile.clone_from(&self.profile);
        global.data_dir = self.dir.parent().map(Path::to_owned);
    }

    /// A way into the page, which is served from now on.
    pub(crate) async fn open_page(&self, params: OpenParams) -> Result<Opened, RpcError> {
        self.page.listen(params.port).await?;
        if params.end_sessions {
            self.page.end_sessions();
        }
        Ok(self.page.ticket()?)
    }

    /// Ends the daemon.
    pub(crate) async fn end(&self, request: StopRequest) {
        // Full or closed: it ends already.
        let _ = self.stop.send(request).await;
    }
}

/// What stays the same while the profile is opened, locked and opened again.
#[derive(Debug)]
pub(super) struct House {
    pub(super) about: About,
    profile: String,
    pub(super) dir: PathBuf,
    pub(super) page: Arc<Page>,
    pub(super) env: SharedEnv,
    pub(super) stop: mpsc::Sender<StopRequest>,
}

/// A person's wish to end the daemon, as signals say it.
pub(super) type Stopped<'a, F> = Pin<&'a mut F>;

/// How the time of an open profile ends.
enum Ended {
    /// The daemon ends; whoever asked for it is told when it has.
    Stop(Option<StopRequest>),
    /// The profile is locked.
    Lock,
}

/// The open profile and all that works with it.
struct Open {
    daemon: Arc<Daemon>,
    connections: JoinSet<()>,
    lock_asked: Pin<Box<dyn Future<Output = ()> + Send>>,
    webhooks: JoinHandle<()>,
    port: Option<JoinHandle<()>>,
}

/// Runs the daemon of the profile that `client` has open, until it is told to end. A lock closes the profile; its
/// passphrase, said on the page, opens it again.
pub(crate) async fn run(context: &Context, client: Client, doors: Doors) -> Result<(), Failure> {
    let Doors { http, page: wish } = doors;
    let dir = context.dir()?;
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let (listener, place) = place::bind(&dir, runtime_dir.as_deref())?;
    let (stop, mut stops) = mpsc::channel(1);
    let mut house = House {
        about: About {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            socket: place.path.display().to_string(),
            http: None,
            page: None,
            since_ms: context.now_ms(),
            connections: 0,
            locked: false,
        },
        profile: context.global.profile.clone(),
        page: Page::new(context.env(), dir.clone()),
        env: context.env(),
        dir,
        stop,
    };
    let http_address = http.as_ref().map(TcpListener::local_addr).transpose()?;
    let mut open = Open::begin(&mut house, client, http)?;
    // Heard before anybody is told that it listens, and all the time: a signal that comes while the profile is closed
    // counts, too.
    let mut stopped = pin!(context.console.stopped());
    tokio::select! {
        biased;
        stopped = &mut stopped => return Ok(stopped?),
        () = std::future::ready(()) => {}
    }
    match wish {
        Some(wish) => {
            house.page.listen(wish.port).await?;
            show(context, &house.page.ticket()?.url, wish.in_browser)?;
        }
        None => context.out.row(&DaemonRow::from(&open.daemon.about()))?,
    }
    let (open, request) = loop {
        match open.until_over(&listener, &mut stops, &mut stopped).await? {
            Ended::Stop(request) => break (Some(open), request),
            Ended::Lock => open.close(ANSWERS_END).await,
        }
        match locked::wait(&house, &listener, &mut stops, &mut stopped).await? {
            Unlocked::Opened(client) => {
                // Its port may be another program's by now: then there is none.
                let http = match http_address {
                    Some(address) => TcpListener::bind(address).await.ok(),
                    None => None,
                };
                open = Open::begin(&mut house, client, http)?;
            }
            Unlocked::Stop(request) => break (None, request),
        }
    };
    drop(listener);
    drop(place);
    if let Some(open) = open {
        open.close(Duration::ZERO).await;
    }
    if let Some(request) = request {
        // Who asked may be gone.
        let _ = request.frames.send(request.answer).await;
        drop(request.frames);
        let _ = request.writer.await;
    }
    Ok(())
}

impl Open {
    fn begin(
        house: &mut House,
        client: Client,
        http: Option<TcpListener>,
    ) -> Result<Self, Failure> {
        house.about.http = http_url(http.as_ref())?;
        // Before anybody can ask for it.
        let lock_asked = Box::pin(client.lock_asked());
        house.page.open(client.clone());
        client.go_online();
        let daemon = Arc::new(Daemon {
            about: house.about.clone(),
            client: client.clone(),
            profile: house.profile.clone(),
            page: house.page.clone(),
            dir: house.dir.clone(),
            commands: Arc::new(Semaphore::new(COMMANDS_MAX as usize)),
            connections: AtomicUsize::new(0),
            stop: house.stop.clone(),
        });
        Ok(Self {
            daemon,
            connections: JoinSet::new(),
            lock_asked,
            webhooks: tokio::spawn(webhook::run(client.clone())),
            port: http.map(|listener| tokio::spawn(http::serve(listener, client))),
        })
    }

    /// Serves until somebody wants something else.
    async fn until_over(
        &mut self,
        listener: &UnixListener,
        stops: &mut mpsc::Receiver<StopRequest>,
        stopped: &mut Stopped<'_, impl Future<Output = Result<(), ClientError>>>,
    ) -> Result<Ended, Failure> {
        let daemon = &self.daemon;
        let serve = |stream| serve(stream, daemon.clone());
        Ok(tokio::select! {
            () = accept(listener, &mut self.connections, serve) => Ended::Stop(None),
            request = stops.recv() => Ended::Stop(request),
            () = &mut self.lock_asked => Ended::Lock,
            stopped = stopped => stopped.map(|()| Ended::Stop(None))?,
        })
    }

    /// Ends all that has the profile, programs at the socket `grace` after the page, and closes it.
    async fn close(mut self, grace: Duration) {
        self.daemon.page.close().await;
        tokio::time::sleep(grace).await;
        self.connections.shutdown().await;
        for task in [Some(self.webhooks), self.port].into_iter().flatten() {
            task.abort();
            // Aborted is how it should end.
            let _ = task.await;
        }
        // Each command holds a permit until it has let the profile go.
        let (commands, client) = (self.daemon.commands.clone(), self.daemon.client.clone());
        drop(self.daemon);
        let _ = tokio::time::timeout(COMMANDS_END, commands.acquire_many(COMMANDS_MAX)).await;
        client.close().await;
    }
}

/// Tells where the page is, and opens a browser there.
pub(crate) fn show(context: &Context, url: &str, in_browser: bool) -> Result<(), Failure> {
    let opened = in_browser && open(url);
    Ok(context.out.row(&PageRow::new(url, opened))?)
}

/// Where programs post to.
fn http_url(listener: Option<&TcpListener>) -> Result<Option<String>, Failure> {
    let address = listener.map(TcpListener::local_addr).transpose()?;
    Ok(address.map(|address| format!("http://{address}/rpc")))
}

/// Takes connections, each to be served by `serve`, until the task is dropped.
pub(super) async fn accept<S: Future<Output = ()> + Send + 'static>(
    listener: &UnixListener,
    connections: &mut JoinSet<()>,
    serve: impl Fn(UnixStream) -> S,
) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Mode 0600 keeps others out; root, and a system that ignores the mode, are seen here.
                    if place::is_own_user(&stream) && connections.len() < CONNECTIONS_MAX {
                        connections.spawn(serve(stream));
                    }
                }
                // Out of descriptors: one of the connections has to end first.
                Err(_) => { connections.join_next().await; }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: UnixStream, daemon: Arc<Daemon>) {
    daemon.connections.fetch_add(1, Ordering::Relaxed);
    let counted = Counted(daemon.clone());
    let (input, output) = stream.into_split();
    let door = stream::Door::Socket(daemon.clone());
    stream::serve(BufReader::new(input), output, daemon.client.clone(), door).await;
    drop(counted);
}

/// Counts a connection until it is dropped, aborted or not.
struct Counted(Arc<Daemon>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
