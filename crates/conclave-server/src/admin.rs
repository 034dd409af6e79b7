//! What the running server does for its operator: one line of JSON in, one out, over a 0600 socket.
//!
//! A data folder is locked by the server that runs from it, so admin commands ask that server; when
//! none runs they do the same work on the store themselves ([`perform`]).

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use conclave_proto::env::Env;
use conclave_proto::id::Day;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::otp;
use crate::server::App;
use crate::store::{Store, StoreError};

const SOCKET: &str = "admin.sock";
/// Bytes of one line.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// How long a request or its answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an operator asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Makes an invite.
    CreateInvite {
        /// How many may register with it.
        uses: u32,
        /// How long it is good, ms from now.
        valid_ms: u64,
    },
    /// Checks the stored data.
    Check,
    /// The latest day that the server has seen.
    LastDay,
    /// Takes today for a day that may be believed (C-078).
    ConfirmClock,
}

/// What the operator gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// The invite's token: shown once.
    Invite(String),
    /// What is wrong with the stored data; empty = all is well.
    Problems(Vec<String>),
    /// The latest day that the server has seen; 0 = none yet.
    LastDay(u32),
    /// The day that is believed from now on.
    Confirmed(u32),
    /// It did not work.
    Error(String),
}

/// No answer from a running server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// No server runs from this folder.
    #[error("no server runs from this data folder")]
    NotRunning,
    /// A server runs and does not answer.
    #[error("the running server does not answer: {0}")]
    NoAnswer(io::Error),
}

/// Does what is asked.
pub async fn perform(store: &dyn Store, env: &dyn Env, request: Request) -> Response {
    let done = match request {
        Request::CreateInvite { uses, valid_ms } => create_invite(store, env, uses, valid_ms).await,
        Request::Check => store
            .check()
            .await
            .map(|report| Response::Problems(report.problems)),
        Request::LastDay => store.last_day().await.map(|day| Response::LastDay(day.0)),
        Request::ConfirmClock => {
            let today = Day::of_ms(env.now_ms());
            let confirmed = store.confirm_day(today).await;
            confirmed.map(|()| Response::Confirmed(today.0))
        }
    };
    done.unwrap_or_else(|error| Response::Error(error.to_string()))
}

async fn create_invite(
    store: &dyn Store,
    env: &dyn Env,
    uses: u32,
    valid_ms: u64,
) -> Result<Response, StoreError> {
    let token = otp::new_invite(env);
    let expires_ms = env.now_ms().saturating_add(valid_ms);
    let hash = otp::invite_hash(&token);
    store.create_invite(hash, uses, expires_ms).await?;
    Ok(Response::Invite(token))
}

/// Asks the server that runs from `folder`.
pub async fn ask(folder: &Path, request: Request) -> Result<Response, AskError> {
    let stream = UnixStream::connect(path(folder)).await;
    let stream = stream.map_err(|_| AskError::NotRunning)?;
    let asked = timeout(PATIENCE, exchange(stream, request)).await;
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    asked.map_err(late).flatten().map_err(AskError::NoAnswer)
}

async fn exchange(mut stream: UnixStream, request: Request) -> io::Result<Response> {
    let mut line = serde_json::to_string(&request)?;
    line.push('\n');
    stream.write_all(line.as_bytes()).await?;
    let mut answer = String::new();
    let mut reader = BufReader::new(stream.take(LINE_BYTES_MAX));
    reader.read_line(&mut answer).await?;
    Ok(serde_json::from_str(&answer)?)
}

/// The socket of a server that holds the folder's lock; `None` when the path is too long for one.
pub(crate) fn listen(folder: &Path) -> Option<UnixListener> {
    let path = path(folder);
    remove(folder);
    let bound = UnixListener::bind(&path).and_then(|socket| {
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(socket)
    });
    match bound {
        Ok(socket) => Some(socket),
        Err(error) => {
            let kind = error.kind();
            tracing::warn!("no admin socket: {kind}; admin commands need a stopped server");
            None
        }
    }
}

/// Removes a socket that nobody listens on.
pub(crate) fn remove(folder: &Path) {
    // there may be none
    let _ = std::fs::remove_file(path(folder));
}

/// Answers operators, one after the other, for ever.
pub(crate) async fn serve(socket: &UnixListener, app: &App) {
    loop {
        match socket.accept().await {
            Ok((stream, _)) => {
                let answered = timeout(PATIENCE, answer(stream, app)).await;
                if !matches!(answered, Ok(Ok(()))) {
                    tracing::warn!("an admin command ended without an answer");
                }
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn answer(mut stream: UnixStream, app: &App) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(LINE_BYTES_MAX));
    reader.read_line(&mut line).await?;
    let response = match serde_json::from_str(&line) {
        Ok(request) => perform(&*app.store, &*app.env, request).await,
        Err(_) => Response::Error("the running server does not know this command".to_owned()),
    };
    if let Response::Confirmed(day) = response {
        app.clock.believe(Day(day));
    }
    let mut line = serde_json::to_string(&response)?;
    line.push('\n');
    writer.write_all(line.as_bytes()).await
}

fn path(folder: &Path) -> PathBuf {
    folder.join(SOCKET)
}
