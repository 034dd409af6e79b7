//! The daemon itself.
//!
//! 1. the profile is open and locked: nobody else can be its daemon
//! 2. the socket is bound, and the row says that it listens
//! 3. connections are served until a signal or `daemon stop`
//! 4. commands end, the profile is closed, and only then who asked for the end is told

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conclave_client::Client;
use tokio::io::BufReader;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};

use super::{About, place};
use crate::args::Global;
use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::DaemonRow;
use crate::rpc::{http, stream};
use crate::webhook;

/// Commands at once; each has a thread.
const COMMANDS_MAX: u32 = 64;
/// Connections at once.
const CONNECTIONS_MAX: usize = 256;
/// How long commands may take to end when the daemon does.
const COMMANDS_END: Duration = Duration::from_secs(5);

/// What connections and commands share.
#[derive(Debug)]
pub(crate) struct Daemon {
    client: Client,
    profile: String,
    dir: PathBuf,
    about: About,
    commands: Arc<Semaphore>,
    connections: AtomicUsize,
    stop: mpsc::Sender<StopRequest>,
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

    /// Ends the daemon.
    pub(crate) async fn end(&self, request: StopRequest) {
        // Full or closed: it ends already.
        let _ = self.stop.send(request).await;
    }
}

/// Runs the daemon of the profile that `client` has open, until it is told to end.
pub(crate) async fn run(
    context: &Context,
    client: Client,
    http: Option<TcpListener>,
) -> Result<(), Failure> {
    let dir = context.dir()?;
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let (listener, place) = place::bind(&dir, runtime_dir.as_deref())?;
    let (stop, mut stops) = mpsc::channel(1);
    let daemon = Arc::new(Daemon {
        about: About {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            socket: place.path.display().to_string(),
            http: http_url(http.as_ref())?,
            since_ms: context.now_ms(),
            connections: 0,
        },
        client: client.clone(),
        profile: context.global.profile.clone(),
        dir,
        commands: Arc::new(Semaphore::new(COMMANDS_MAX as usize)),
        connections: AtomicUsize::new(0),
        stop,
    });
    client.go_online();
    let webhooks = tokio::spawn(webhook::run(client.clone()));
    let port = http.map(|listener| tokio::spawn(http::serve(listener, client.clone())));
    context.out.row(&DaemonRow::from(&daemon.about()))?;
    let mut connections = JoinSet::new();
    let request = tokio::select! {
        () = accept(&listener, &daemon, &mut connections) => None,
        request = stops.recv() => request,
        stopped = context.console.stopped() => stopped.map(|()| None)?,
    };
    drop(listener);
    drop(place);
    connections.shutdown().await;
    webhooks.abort();
    // Aborted is how it should end.
    let _ = webhooks.await;
    if let Some(port) = port {
        port.abort();
        // Aborted is how it should end.
        let _ = port.await;
    }
    // Each command holds a permit until it has let the profile go.
    let commands = daemon.commands.clone();
    drop(daemon);
    let _ = tokio::time::timeout(COMMANDS_END, commands.acquire_many(COMMANDS_MAX)).await;
    client.close().await;
    if let Some(request) = request {
        // Who asked may be gone.
        let _ = request.frames.send(request.answer).await;
        drop(request.frames);
        let _ = request.writer.await;
    }
    Ok(())
}

/// Where programs post to.
fn http_url(listener: Option<&TcpListener>) -> Result<Option<String>, Failure> {
    let address = listener.map(TcpListener::local_addr).transpose()?;
    Ok(address.map(|address| format!("http://{address}/rpc")))
}

/// Takes connections until the task is dropped.
async fn accept(listener: &UnixListener, daemon: &Arc<Daemon>, connections: &mut JoinSet<()>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Mode 0600 keeps others out; root, and a system that ignores the mode, are seen here.
                    if place::is_own_user(&stream) && connections.len() < CONNECTIONS_MAX {
                        connections.spawn(serve(stream, daemon.clone()));
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
