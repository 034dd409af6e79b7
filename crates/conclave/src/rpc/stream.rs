//! Requests and answers as lines: of the daemon's socket, or of the pipes of `conclave rpc`.

use std::io;
use std::sync::Arc;

use conclave_client::Client;
use serde_json::Value;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};

use super::follow::{self, Follow};
use super::{Caller, Request, RpcError, answer, error_frame, result_frame};
use crate::daemon::{self, Daemon, RunParams, Running, StopRequest};

/// Bytes of one request: the longest text with every character escaped, and room.
pub(crate) const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// Requests of one connection that are worked on at once.
const CALLS_MAX: usize = 32;
/// Answers that wait for a slow reader.
const FRAMES_AHEAD: usize = 64;

/// The method after whose answer events follow.
const SUBSCRIBE: &str = "events.subscribe";

/// Where a stream comes from, and so what may be asked beside the methods.
#[derive(Debug)]
pub(crate) enum Door {
    /// The pipes of a program that this process is for.
    Pipe,
    /// The daemon's socket: also command lines, and the daemon's end.
    Socket(Arc<Daemon>),
}

/// Answers requests until `input` ends and everything is answered, or `output` is gone.
pub(crate) async fn serve(
    mut input: impl AsyncBufRead + Unpin,
    output: impl AsyncWrite + Unpin + Send + 'static,
    client: Client,
    door: Door,
) {
    let (frames, waiting) = mpsc::channel(FRAMES_AHEAD);
    let (follow, follows) = mpsc::channel(1);
    let follower = follow::run(client.clone(), frames.clone(), follows);
    let mut connection = Connection {
        client,
        door,
        writer: tokio::spawn(write(output, waiting)),
        frames,
        follow,
        follower: Follower(tokio::spawn(follower)),
        calls: JoinSet::new(),
        slots: Arc::new(Semaphore::new(CALLS_MAX)),
        running: None,
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        match next_line(&mut input, &mut line).await {
            Ok(true) => {}
            // A broken connection is an ended one.
            Ok(false) | Err(_) => break,
        }
        connection = match connection.take(&line).await {
            Some(connection) => connection,
            None => return,
        };
    }
    connection.finish().await;
}

/// Reads a line into `line`, at most one byte more than a request may have; `false` at the end.
pub(crate) async fn next_line(
    input: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> io::Result<bool> {
    let limit = u64::try_from(REQUEST_BYTES_MAX + 1).unwrap_or(u64::MAX);
    Ok(input.take(limit).read_until(b'\n', line).await? > 0)
}

/// Writes frames as lines until there are no more, or the other end is gone.
pub(crate) async fn write(mut output: impl AsyncWrite + Unpin, mut frames: mpsc::Receiver<String>) {
    while let Some(mut frame) = frames.recv().await {
        frame.push('\n');
        let written = output.write_all(frame.as_bytes()).await;
        if written.is_err() || output.flush().await.is_err() {
            break;
        }
    }
}

struct Connection {
    client: Client,
    door: Door,
    writer: JoinHandle<()>,
    frames: mpsc::Sender<String>,
    follow: mpsc::Sender<Follow>,
    follower: Follower,
    calls: JoinSet<()>,
    slots: Arc<Semaphore>,
    running: Option<Running>,
}

/// Tells of events; ends with the connection.
struct Follower(JoinHandle<()>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    /// Takes one line. None when the connection is over.
    async fn take(mut self, line: &[u8]) -> Option<Self> {
        if line.len() > REQUEST_BYTES_MAX {
            let why = format!("a request is at most {REQUEST_BYTES_MAX} bytes");
            self.send(error_frame(&Value::Null, &RpcError::invalid(&why)))
                .await;
            // Where the next line begins is not known.
            self.finish().await;
            return None;
        }
        if line.trim_ascii().is_empty() {
            return Some(self);
        }
        let message = match serde_json::from_slice::<Value>(line) {
            Ok(message) => message,
            Err(error) => {
                let why = format!("the line is no JSON: {error}");
                self.send(error_frame(&Value::Null, &RpcError::parse(&why)))
                    .await;
                return Some(self);
            }
        };
        let method = message.get("method").and_then(Value::as_str);
        match (&self.door, method) {
            (Door::Socket(daemon), Some(method)) if is_own(method) => {
                let daemon = daemon.clone();
                self.take_own(&daemon, message).await
            }
            (Door::Socket(_), None) if message.get("result").is_some() => {
                self.take_answer(message);
                Some(self)
            }
            _ => {
                self.call(message).await;
                Some(self)
            }
        }
    }

    /// A method of the table; works beside the others.
    async fn call(&mut self, message: Value) {
        while self.calls.try_join_next().is_some() {}
        // Never closed.
        let Ok(slot) = self.slots.clone().acquire_owned().await else {
            return;
        };
        let (client, frames) = (self.client.clone(), self.frames.clone());
        let wants_events = message.get("method").and_then(Value::as_str) == Some(SUBSCRIBE);
        let follow = wants_events.then(|| self.follow.clone());
        self.calls.spawn(async move {
            if let Some(answer) = answer(&client, &Caller::owner(), message).await {
                let cursor = answer.pointer("/result/cursor").and_then(Value::as_u64);
                let answer = answer.to_string();
                // Who asked may be gone.
                match cursor.zip(follow) {
                    Some((cursor, follow)) => drop(follow.send(Follow { cursor, answer }).await),
                    None => drop(frames.send(answer).await),
                }
            }
            drop(slot);
        });
    }

    /// What the daemon itself does.
    async fn take_own(mut self, daemon: &Arc<Daemon>, message: Value) -> Option<Self> {
        let request = match Request::parse(message) {
            Ok(request) => request,
            Err(refused) => {
                self.send(error_frame(&refused.0, &refused.1)).await;
                return Some(self);
            }
        };
        let id = request.id.unwrap_or_default();
        match request.method.as_str() {
            "cli.stop" => {
                let heeds = self.running.as_ref().is_none_or(|run| run.lent.interrupt());
                if !heeds {
                    self.running = None;
                }
            }
            "cli.run" => {
                if let Err(error) = self.run(daemon, id.clone(), request.params) {
                    self.send(error_frame(&id, &error)).await;
                }
            }
            "web.open" => {
                let opened = match serde_json::from_value(request.params) {
                    Ok(params) => daemon.open_page(params).await,
                    Err(error) => Err(RpcError::bad_params(error.to_string())),
                };
                let frame = match opened {
                    Ok(opened) => result_frame(&id, &opened),
                    Err(error) => error_frame(&id, &error),
                };
                self.send(frame).await;
            }
            "daemon.status" => self.send(result_frame(&id, &daemon.about())).await,
            _ => {
                let request = StopRequest {
                    answer: result_frame(&id, &daemon.about()),
                    frames: self.frames,
                    writer: self.writer,
                };
                daemon.end(request).await;
                return None;
            }
        }
        Some(self)
    }

    fn run(&mut self, daemon: &Daemon, id: Value, params: Value) -> Result<(), RpcError> {
        if self.running.is_some() {
            return Err(RpcError::invalid("a connection runs one command"));
        }
        let params: RunParams = serde_json::from_value(params)
            .map_err(|error| RpcError::bad_params(error.to_string()))?;
        self.running = Some(daemon::start(daemon, params, self.frames.clone(), id)?);
        Ok(())
    }

    fn take_answer(&mut self, mut message: Value) {
        if let Some(running) = &self.running {
            let result = message.get_mut("result").map(Value::take);
            let id = message.get("id").unwrap_or(&Value::Null);
            running.lent.answer(id, result.unwrap_or_default());
        }
    }

    async fn send(&self, frame: String) {
        // Who asked may be gone.
        let _ = self.frames.send(frame).await;
    }

    /// Whoever closes its half first still gets the answers; a command without its command line ends.
    async fn finish(mut self) {
        self.running = None;
        while self.calls.join_next().await.is_some() {}
        drop(self.follower);
        drop(self.frames);
        // Its end is the connection's.
        let _ = self.writer.await;
    }
}

fn is_own(method: &str) -> bool {
    matches!(
        method,
        "cli.run" | "cli.stop" | "daemon.status" | "daemon.stop" | "web.open"
    )
}
