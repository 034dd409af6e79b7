//! HTTP on the same port: `/livez` and `/readyz` for scripts, `/v1/ws` to become a WebSocket, and
//! `/v1/blobs`, which `blobs` serves.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conclave_proto::WEBSOCKET_PATH;
use conclave_proto::blob::BLOBS_PATH;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::health::Readiness;

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 4096;

/// What a connection that begins with HTTP becomes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Becomes {
    /// A WebSocket; the bytes that came behind its request.
    WebSocket(Vec<u8>),
    /// One that asks for blobs, beginning with this head; the bytes that came behind it.
    Blobs(Vec<u8>, Vec<u8>),
}

/// Answers the first request. An upgrade and blobs leave the stream to the caller; anything else ends
/// the connection. The caller sets the time limit.
pub(crate) async fn answer<S>(readiness: Option<Readiness>, stream: &mut S) -> Option<Becomes>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answer = match read_head(stream, Vec::new()).await {
        Some((head, rest)) => match decide(&head, readiness) {
            Decision::Upgrade(accepted) => {
                stream.write_all(accepted.as_bytes()).await.ok()?;
                stream.flush().await.ok()?;
                return Some(Becomes::WebSocket(rest));
            }
            Decision::Blobs => return Some(Becomes::Blobs(head, rest)),
            Decision::Answer(answer) => answer,
        },
        None => response("400 Bad Request", "bad request"),
    };
    // a client that is gone needs no answer
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    None
}

/// What a request's head leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The answer that begins a WebSocket.
    Upgrade(String),
    /// A request for blobs.
    Blobs,
    /// The answer that ends the connection.
    Answer(String),
}

/// Decides on the head of a connection's first request. `readiness`: `None` = not ready.
pub(crate) fn decide(head: &[u8], readiness: Option<Readiness>) -> Decision {
    let decided = match Request::parse(head) {
        Some(request) if request.path == WEBSOCKET_PATH => request.upgrade(),
        Some(request) if request.is_for_blobs() => return Decision::Blobs,
        Some(request) => Err(respond(&request, readiness)),
        None => Err(response("400 Bad Request", "bad request")),
    };
    decided.map_or_else(Decision::Answer, Decision::Upgrade)
}

/// Reads a head up to its empty line, and what came behind it; `input` is what came before. `None`
/// when the head is too long or never ends.
pub(crate) async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    input: Vec<u8>,
) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut head = input;
    let mut part = [0; 512];
    loop {
        if let Some(end) = head.windows(4).position(|end| end == b"\r\n\r\n") {
            let rest = head.split_off(end + 4);
            return (head.len() <= HEAD_BYTES_MAX).then_some((head, rest));
        }
        if head.len() > HEAD_BYTES_MAX {
            return None;
        }
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        head.extend_from_slice(part.get(..read)?);
    }
}

/// The head of a request.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) version: &'a str,
    headers: Vec<(&'a str, &'a str)>,
}

impl<'a> Request<'a> {
    /// RFC 9112 §3 and §5, without folded lines.
    pub(crate) fn parse(head: &'a [u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, path, version) = (first.next()?, first.next()?, first.next()?);
        let headers = lines
            .take_while(|line| !line.is_empty())
            .map(|line| {
                line.split_once(':')
                    .map(|(name, value)| (name, value.trim()))
            })
            .collect::<Option<Vec<_>>>()?;
        let is_whole = first.next().is_none() && version.starts_with("HTTP/1.");
        is_whole.then_some(Self {
            method,
            path,
            version,
            headers,
        })
    }

    /// The one value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        let mut values = self
            .headers
            .iter()
            .filter(|header| header.0.eq_ignore_ascii_case(name));
        let value = values.next()?.1;
        values.next().is_none().then_some(value)
    }

    /// Whether a header is there, however often.
    pub(crate) fn has(&self, name: &str) -> bool {
        let mut names = self.headers.iter().map(|header| header.0);
        names.any(|other| other.eq_ignore_ascii_case(name))
    }

    fn is_for_blobs(&self) -> bool {
        let below = self.path.strip_prefix(BLOBS_PATH);
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whether a comma-separated header names `token`.
    pub(crate) fn names(&self, header: &str, token: &str) -> bool {
        self.header(header).is_some_and(|value| {
            value
                .split(',')
                .any(|item| item.trim().eq_ignore_ascii_case(token))
        })
    }

    /// RFC 6455 §4.2: the answer that begins a WebSocket, or why there is none.
    fn upgrade(&self) -> Result<String, String> {
        if self.method != "GET" || self.version != "HTTP/1.1" {
            return Err(response(
                "400 Bad Request",
                "a websocket begins with GET and HTTP/1.1",
            ));
        }
        if !self.names("Upgrade", "websocket") || !self.names("Connection", "upgrade") {
            let text = "this path is a websocket";
            return Err(response_with(
                "426 Upgrade Required",
                "Upgrade: websocket\r\n",
                text,
            ));
        }
        if self.header("Sec-WebSocket-Version") != Some("13") {
            let text = "only websocket version 13";
            let header = "Sec-WebSocket-Version: 13\r\n";
            return Err(response_with("426 Upgrade Required", header, text));
        }
        let key = self.header("Sec-WebSocket-Key").unwrap_or_default();
        let is_key = STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16);
        if !is_key || self.header("Host").is_none() {
            let text = "a websocket needs one host and one key of 16 bytes";
            return Err(response("400 Bad Request", text));
        }
        let accept = derive_accept_key(key.as_bytes());
        Ok(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        ))
    }
}

fn respond(request: &Request<'_>, readiness: Option<Readiness>) -> String {
    match (request.method, request.path, readiness) {
        ("GET", "/livez", _) => response("200 OK", "alive"),
        ("GET", "/readyz", Some(readiness)) => response("200 OK", readiness.text()),
        ("GET", "/readyz", None) => response("503 Service Unavailable", "not ready"),
        _ => response("404 Not Found", "not found"),
    }
}

fn response(status: &str, text: &str) -> String {
    response_with(status, "", text)
}

/// `headers` are whole lines.
fn response_with(status: &str, headers: &str, text: &str) -> String {
    let length = text.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{text}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(request: &[u8], is_ready: bool) -> String {
        let readiness = is_ready.then_some(Readiness::Ready);
        let (mut near, mut far) = tokio::io::duplex(16 * 1024);
        near.write_all(request).await.unwrap();
        near.shutdown().await.unwrap();
        assert_eq!(answer(readiness, &mut far).await, None);
        let mut text = String::new();
        near.read_to_string(&mut text).await.unwrap();
        text.lines().next().unwrap_or_default().to_owned()
    }

    /// Two paths exist; readiness follows the server's state.
    #[tokio::test]
    async fn two_paths_and_nothing_else() {
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
        assert_eq!(ask(&get("/livez"), false).await, "HTTP/1.1 200 OK");
        assert_eq!(ask(&get("/readyz"), true).await, "HTTP/1.1 200 OK");
        let not_ready = ask(&get("/readyz"), false).await;
        assert_eq!(not_ready, "HTTP/1.1 503 Service Unavailable");
        for path in ["/", "/livez/", "/metrics", "/../livez"] {
            assert_eq!(ask(&get(path), true).await, "HTTP/1.1 404 Not Found");
        }
        let post = b"POST /livez HTTP/1.1\r\n\r\n";
        assert_eq!(ask(post, true).await, "HTTP/1.1 404 Not Found");
    }

    /// A head that never ends is cut off.
    #[tokio::test]
    async fn long_heads_are_refused() {
        let long = vec![b'a'; HEAD_BYTES_MAX + 1024];
        assert_eq!(ask(&long, true).await, "HTTP/1.1 400 Bad Request");
    }
}
