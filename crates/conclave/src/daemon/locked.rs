//! The daemon while the profile is locked: its socket answers that it is, and the page's lock screen waits for the
//! passphrase. Nothing of the profile is in memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use conclave_client::{Client, ClientError, OpenError, Unlock};
use conclave_proto::env::SharedEnv;
use serde_json::Value;
use tokio::io::BufReader;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::host::{House, StopRequest, Stopped, accept};
use super::{About, OpenParams};
use crate::exit::{self, Failure};
use crate::rpc::stream::{next_line, write};
use crate::rpc::{Request, RpcError, error_frame, result_frame};
use crate::web::{Opened, Page};

/// Answers that wait for a slow reader.
const FRAMES_AHEAD: usize = 16;
/// How long the last of what had the profile may take to let it go.
const RELEASED: Duration = Duration::from_secs(5);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(10);

/// How the time of a locked profile ends.
pub(super) enum Unlocked {
    /// Its passphrase was said.
    Opened(Client),
    /// The daemon ends; whoever asked for it is told when it has.
    Stop(Option<StopRequest>),
}

/// What connections share.
struct Locked {
    about: About,
    page: Arc<Page>,
    stop: mpsc::Sender<StopRequest>,
}

/// Waits until somebody says the passphrase on the page, or the daemon is to end.
pub(super) async fn wait(
    house: &House,
    listener: &UnixListener,
    stops: &mut mpsc::Receiver<StopRequest>,
    stopped: &mut Stopped<'_, impl Future<Output = Result<(), ClientError>>>,
) -> Result<Unlocked, Failure> {
    let shared = Arc::new(Locked {
        about: About {
            locked: true,
            http: None,
            ..house.about.clone()
        },
        page: house.page.clone(),
        stop: house.stop.clone(),
    });
    let mut connections = JoinSet::new();
    let unlocked = tokio::select! {
        () = accept(listener, &mut connections, |stream| serve(stream, shared.clone())) => {
            Unlocked::Stop(None)
        }
        client = unlocked(&house.page, &house.dir, &house.env) => match client {
            Some(client) => Unlocked::Opened(client),
            None => Unlocked::Stop(None),
        },
        request = stops.recv() => Unlocked::Stop(request),
        stopped = stopped => stopped.map(|()| Unlocked::Stop(None))?,
    };
    // Who waits there for a passphrase would not hear that it came.
    connections.shutdown().await;
    Ok(unlocked)
}

/// The profile, once its passphrase was said on the page; whoever says it is let in. None when the page is gone.
async fn unlocked(page: &Page, dir: &Path, env: &SharedEnv) -> Option<Client> {
    loop {
        let unlocking = page.unlocking().await?;
        match open(dir, unlocking.passphrase, env).await {
            Ok(client) => {
                page.open(client.clone());
                // Who said it may be gone.
                let _ = unlocking.answer.send(Ok(()));
                return Some(client);
            }
            Err(failure) => drop(unlocking.answer.send(Err(failure))),
        }
    }
}

/// Opens the profile, on a thread of its own: a passphrase takes its time. What still has it from before the lock is
/// waited for.
async fn open(
    dir: &Path,
    passphrase: Zeroizing<String>,
    env: &SharedEnv,
) -> Result<Client, Failure> {
    let end = Instant::now() + RELEASED;
    loop {
        let (dir, env) = (dir.to_owned(), env.clone());
        let unlock = Unlock::Passphrase(passphrase.clone());
        let opening = tokio::task::spawn_blocking(move || Client::open(&dir, unlock, env));
        match opening.await {
            Ok(Err(OpenError::InUse(pid)))
                if pid == Some(std::process::id()) && Instant::now() < end =>
            {
                tokio::time::sleep(LOOK).await;
            }
            Ok(opened) => return Ok(opened?),
            Err(_) => {
                let message = "conclave has a bug: opening the profile broke off; please report it";
                return Err(Failure::new(exit::UNEXPECTED, "BUG", message));
            }
        }
    }
}

/// Answers one connection until it ends.
async fn serve(stream: UnixStream, locked: Arc<Locked>) {
    let (input, output) = stream.into_split();
    let mut input = BufReader::new(input);
    let (frames, waiting) = mpsc::channel(FRAMES_AHEAD);
    let mut writer = tokio::spawn(write(output, waiting));
    let mut line = Vec::new();
    // A broken connection is an ended one.
    while let Ok(true) = next_line(&mut input, &mut line).await {
        match locked.take(&line, frames.clone(), writer).await {
            Some(goes_on) => writer = goes_on,
            None => return,
        }
        line.clear();
    }
    drop(frames);
    // Its end is the connection's.
    let _ = writer.await;
}

impl Locked {
    /// Answers one line. None when the daemon ends by it; then the writer went along.
    async fn take(
        &self,
        line: &[u8],
        frames: mpsc::Sender<String>,
        writer: JoinHandle<()>,
    ) -> Option<JoinHandle<()>> {
        let message = serde_json::from_slice::<Value>(line).unwrap_or_default();
        let request = match Request::parse(message) {
            Ok(request) => request,
            Err(refused) => {
                // Who asked may be gone.
                let _ = frames.send(error_frame(&refused.0, &refused.1)).await;
                return Some(writer);
            }
        };
        let id = request.id.unwrap_or_default();
        let frame = match request.method.as_str() {
            "daemon.stop" => {
                let answer = result_frame(&id, &self.about());
                let request = StopRequest {
                    frames,
                    writer,
                    answer,
                };
                // Full or closed: it ends already.
                let _ = self.stop.send(request).await;
                return None;
            }
            "daemon.status" => result_frame(&id, &self.about()),
            "web.open" => match self.open_page(request.params).await {
                Ok(opened) => result_frame(&id, &opened),
                Err(error) => error_frame(&id, &error),
            },
            _ => error_frame(&id, &is_locked().into()),
        };
        // The same.
        let _ = frames.send(frame).await;
        Some(writer)
    }

    fn about(&self) -> About {
        About {
            page: self.page.address(),
            ..self.about.clone()
        }
    }

    /// Where the lock screen is. A ticket would open nothing.
    async fn open_page(&self, params: Value) -> Result<Opened, RpcError> {
        let params: OpenParams = serde_json::from_value(params)
            .map_err(|error| RpcError::bad_params(error.to_string()))?;
        self.page.listen(params.port).await?;
        Ok(Opened {
            url: self.page.address().unwrap_or_default(),
        })
    }
}

fn is_locked() -> Failure {
    let message = "the profile is locked";
    Failure::new(exit::NO_ACCESS, "LOCKED", message).with_hint(
        "give its passphrase on the page, `conclave web` opens it; or end its daemon: `conclave daemon stop`",
    )
}
