//! One connection to a gateway: a line out, its reply back; events that come between are kept.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::ClientError;
use crate::keys::PublicKey;
use crate::suite::Suite;
use crate::wire::{Code, LINE_BYTES_MAX, Request};

/// For connecting, and for each reply.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a line that are read: an answer may be a little longer than a request.
const ANSWER_BYTES_MAX: u64 = 2 * LINE_BYTES_MAX as u64;

/// A connection whose server has shown the key that was known beforehand.
pub struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    events: VecDeque<Map<String, Value>>,
    /// The server's key of the suite.
    pub(super) server_key: PublicKey,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    /// Connects to `HOST:PORT` and compares the server's key with `known`.
    pub async fn open(server: &str, known: &PublicKey) -> Result<Self, ClientError> {
        let unreachable = |source| ClientError::Unreachable {
            server: server.to_owned(),
            source,
        };
        let timed_out = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
        let socket = timeout(PATIENCE, TcpStream::connect(server)).await;
        let socket = socket.map_err(timed_out).and_then(|socket| socket);
        let socket = socket.map_err(unreachable)?;
        socket.set_nodelay(true).map_err(unreachable)?;
        let (reader, writer) = socket.into_split();
        let mut connection = Self {
            reader: BufReader::new(reader),
            writer,
            events: VecDeque::new(),
            server_key: known.clone(),
        };
        let hello = connection.call(&Request::Hello).await?;
        let suite = known.suite();
        let shown = hello
            .get("public_keys")
            .and_then(|keys| keys.get(suite.as_str()))
            .and_then(Value::as_str)
            .ok_or(ClientError::BadAnswer("no key of this suite"))?;
        if PublicKey::from_pem(suite, shown)? != *known {
            return Err(ClientError::OtherServer);
        }
        Ok(connection)
    }

    /// The suite of this connection.
    pub const fn suite(&self) -> Suite {
        self.server_key.suite()
    }

    /// Sends a request and waits for its reply.
    pub async fn call(&mut self, request: &Request) -> Result<Map<String, Value>, ClientError> {
        let mut line = serde_json::to_string(request)
            .map_err(|_| ClientError::BadAnswer("the request has no JSON"))?;
        line.push('\n');
        let written = self.writer.write_all(line.as_bytes()).await;
        written.map_err(|_| ClientError::Gone)?;
        loop {
            let line = timeout(PATIENCE, self.line()).await;
            let mut line = line.map_err(|_| ClientError::Gone)??;
            if line.contains_key("event") {
                self.events.push_back(line);
                continue;
            }
            return match line.remove("status").as_ref().and_then(Value::as_str) {
                Some("ok") => Ok(line),
                Some("error") => Err(refused(&line)),
                _ => Err(ClientError::BadAnswer("a reply without a status")),
            };
        }
    }

    /// The next event of a listening connection, however long it takes.
    pub async fn event(&mut self) -> Result<Map<String, Value>, ClientError> {
        match self.events.pop_front() {
            Some(event) => Ok(event),
            None => self.line().await,
        }
    }

    async fn line(&mut self) -> Result<Map<String, Value>, ClientError> {
        let mut line = Vec::new();
        let mut limited = (&mut self.reader).take(ANSWER_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut line).await;
        read.map_err(|_| ClientError::Gone)?;
        if line.pop() != Some(b'\n') {
            return Err(ClientError::Gone);
        }
        serde_json::from_slice(&line).map_err(|_| ClientError::BadAnswer("a line is not an object"))
    }
}

fn refused(line: &Map<String, Value>) -> ClientError {
    let code = line.get("code").cloned().unwrap_or_default();
    let message = line.get("message").and_then(Value::as_str);
    ClientError::Refused {
        // a newer server may know more codes
        code: serde_json::from_value(code).unwrap_or(Code::Internal),
        message: message.unwrap_or("the server said no").to_owned(),
    }
}
