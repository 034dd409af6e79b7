//! JSON-RPC over HTTP on this machine alone: `POST /rpc` and `GET /events` with a token, and nothing else.
//!
//! Web pages of a browser on the same machine can reach the port, so each request is checked in this order, and
//! the first thing that is wrong is the answer:
//!
//! 1. the host is this one: a foreign name that points here (DNS rebinding) gets 421
//! 2. no foreign origin: 403
//! 3. path, method and content type: 404, 405, 415; a page cannot send this content type without asking first, and
//!    it is never allowed
//! 4. the token: 401; after five bad ones everybody waits: 429
//! 5. the body, at most [`REQUEST_BYTES_MAX`]: 413

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use conclave_client::Client;
use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::sse::{self, Wish};
use super::stream::REQUEST_BYTES_MAX;
use super::{Caller, RpcError, answer, failed};
use crate::exit::Failure;

/// The path of events.
const EVENTS: &str = "/events";
/// What a reader of events got last.
const LAST: header::HeaderName = header::HeaderName::from_static("last-event-id");
/// Connections at once.
const CONNECTIONS_MAX: usize = 64;
/// How long a request's head and its body may take.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Bad tokens before everybody waits.
const BAD_TOKENS_MAX: u32 = 5;
/// Bad tokens are counted together when they come within this time.
const BAD_TOKENS_WITHIN: Duration = Duration::from_mins(1);
/// How long everybody waits.
const PAUSE: Duration = Duration::from_secs(30);

/// The open port.
#[derive(Debug)]
struct Port {
    client: Client,
    /// What `Host` may say.
    hosts: [String; 2],
    guesses: Mutex<Guesses>,
    /// Places for streams of events.
    streams: Arc<Semaphore>,
}

/// Bad tokens of late.
#[derive(Debug, Default)]
struct Guesses {
    count: u32,
    first: Option<Instant>,
    paused_until: Option<Instant>,
}

/// Why a request is not even parsed.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
    hint: &'static str,
    retry_after: Option<Duration>,
    /// The method that the path takes, when another came.
    allow: &'static str,
}

/// What goes back: one JSON, or events as they come.
type Reply = Response<Either<Full<Bytes>, sse::Stream>>;

/// An address that only this machine reaches: `127.0.0.1:PORT`, `[::1]:PORT`; port 0 takes a free one.
pub(crate) fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "write an address and a port, as in 127.0.0.1:7070".to_owned())?;
    if !address.ip().is_loopback() {
        return Err("only this machine may reach it: 127.0.0.1 or [::1]".to_owned());
    }
    Ok(address)
}

/// Serves until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, client: Client) {
    let Ok(address) = listener.local_addr() else {
        return;
    };
    let port = Arc::new(Port {
        client,
        hosts: [address.to_string(), format!("localhost:{}", address.port())],
        guesses: Mutex::default(),
        streams: Arc::new(Semaphore::new(sse::STREAMS_MAX)),
    });
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        // Never closed.
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        if let Ok((stream, _)) = listener.accept().await {
            let port = port.clone();
            connections.spawn(async move {
                connection(stream, port).await;
                drop(slot);
            });
        } else {
            // Out of descriptors: one of the connections has to end first.
            connections.join_next().await;
        }
    }
}

async fn connection(stream: TcpStream, port: Arc<Port>) {
    let service = service_fn(move |request| {
        let port = port.clone();
        async move { Ok::<_, std::convert::Infallible>(port.answer(request).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    let served = builder
        .timer(TokioTimer::new())
        .header_read_timeout(READ_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    // A broken connection is an ended one.
    let _ = served.await;
}

impl Port {
    async fn answer(&self, request: Request<Incoming>) -> Reply {
        if request.uri().path() == EVENTS {
            let answer = self.events(&request);
            return answer.unwrap_or_else(|refusal| refusal.reply());
        }
        match self.take(request).await {
            Ok(Some(answer)) => reply(StatusCode::OK, &answer),
            Ok(None) => empty(StatusCode::NO_CONTENT),
            Err(refusal) => refusal.reply(),
        }
    }

    async fn take(&self, request: Request<Incoming>) -> Result<Option<Value>, Refusal> {
        let (head, body) = request.into_parts();
        self.check_sender(&head.headers, head.uri.host().is_some())?;
        check_shape(head.uri.path(), &head.method, &head.headers)?;
        let caller = self.caller(&head.headers)?;
        let body = Limited::new(body, REQUEST_BYTES_MAX).collect();
        let Ok(body) = tokio::time::timeout(READ_TIMEOUT, body).await else {
            return Err(refusal(
                StatusCode::REQUEST_TIMEOUT,
                "TIMED_OUT",
                "the body did not come in time",
            ));
        };
        let Ok(body) = body else {
            return Err(refusal(
                StatusCode::PAYLOAD_TOO_LARGE,
                "TOO_LARGE",
                "the request is over 1 MiB",
            ));
        };
        match serde_json::from_slice(&body.to_bytes()) {
            Ok(message) => Ok(answer(&self.client, &caller, message).await),
            Err(error) => {
                let why = format!("the body is no JSON: {error}");
                Ok(Some(failed(&Value::Null, &RpcError::parse(&why))))
            }
        }
    }

    /// Events as they come: the same checks, without a body.
    fn events(&self, request: &Request<Incoming>) -> Result<Reply, Refusal> {
        let headers = request.headers();
        self.check_sender(headers, request.uri().host().is_some())?;
        if request.method() != Method::GET {
            return Err(other_method("GET"));
        }
        let caller = self.caller(headers)?;
        let last = only(headers, LAST).and_then(|value| value.to_str().ok());
        if last.is_none() && headers.contains_key(LAST) {
            let message = "`Last-Event-ID` is there twice or is no text";
            return Err(refusal(StatusCode::BAD_REQUEST, "BAD_REQUEST", message));
        }
        let wish = Wish::parse(request.uri().query(), last).map_err(RpcError::bad_params);
        let begin = wish.and_then(|wish| wish.begin(&self.client, &caller));
        let cursor = match begin {
            Ok(cursor) => cursor,
            Err(error) => return Ok(reply(status_of(&error), &failed(&Value::Null, &error))),
        };
        let permit = self.streams.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Refusal {
            retry_after: Some(PAUSE),
            ..refusal(
                StatusCode::TOO_MANY_REQUESTS,
                "BUSY",
                "too many read events now",
            )
        })?;
        let client = self.client.clone();
        let words = bearer(headers).unwrap_or_default().to_owned();
        let checked = client.clone();
        let is_good = move || matches!(checked.check_token(&words), Ok(Some(_)));
        let stream = sse::stream(client, (caller, is_good), cursor, permit);
        let mut reply = Response::new(Either::Right(stream));
        let headers = reply.headers_mut();
        let kind = HeaderValue::from_static("text/event-stream");
        headers.insert(header::CONTENT_TYPE, kind);
        harden(headers);
        Ok(reply)
    }

    /// Steps 1 and 2.
    fn check_sender(&self, headers: &HeaderMap, has_absolute_uri: bool) -> Result<(), Refusal> {
        let is_here = |host: &HeaderValue| self.hosts.iter().any(|own| host == own);
        if has_absolute_uri || !only(headers, header::HOST).is_some_and(is_here) {
            let message = "the request is meant for another host";
            return Err(refusal(
                StatusCode::MISDIRECTED_REQUEST,
                "WRONG_HOST",
                message,
            ));
        }
        let is_own = |origin: &HeaderValue| {
            let host = origin
                .to_str()
                .ok()
                .and_then(|origin| origin.strip_prefix("http://"));
            host.is_some_and(|host| self.hosts.iter().any(|own| own == host))
        };
        if !headers.get_all(header::ORIGIN).iter().all(is_own) {
            let message = "web pages of other origins may not use this port";
            return Err(refusal(StatusCode::FORBIDDEN, "WRONG_ORIGIN", message));
        }
        Ok(())
    }

    /// Step 4.
    fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let now = Instant::now();
        self.guesses().check(now)?;
        let Some(bearer) = bearer(headers) else {
            return Err(unauthorized("a token is needed"));
        };
        match self.client.check_token(bearer) {
            Ok(Some(token)) => Ok(Caller::with(token)),
            Ok(None) => {
                self.guesses().note(now);
                Err(unauthorized("the token is unknown, revoked or expired"))
            }
            Err(_) => Err(refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                "STORE",
                "the profile's store cannot be read",
            )),
        }
    }

    fn guesses(&self) -> std::sync::MutexGuard<'_, Guesses> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guesses {
    /// Refuses everybody while it pauses.
    fn check(&self, now: Instant) -> Result<(), Refusal> {
        match self.paused_until {
            Some(end) if now < end => Err(Refusal {
                retry_after: Some(end - now),
                ..refusal(
                    StatusCode::TOO_MANY_REQUESTS,
                    "RATE_LIMITED",
                    "too many bad tokens",
                )
            }),
            _ => Ok(()),
        }
    }

    /// One more bad token.
    fn note(&mut self, now: Instant) {
        if self
            .first
            .is_none_or(|first| now - first > BAD_TOKENS_WITHIN)
        {
            (self.count, self.first) = (0, Some(now));
        }
        self.count += 1;
        if self.count >= BAD_TOKENS_MAX {
            *self = Self {
                paused_until: Some(now + PAUSE),
                ..Self::default()
            };
        }
    }
}

/// Step 3.
fn check_shape(path: &str, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    if path != "/rpc" {
        return Err(refusal(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            "there is only /rpc and /events",
        ));
    }
    if method != Method::POST {
        return Err(other_method("POST"));
    }
    let is_json = |value: &HeaderValue| {
        let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
        matches!(
            value.as_str(),
            "application/json" | "application/json; charset=utf-8"
        )
    };
    if !only(headers, header::CONTENT_TYPE).is_some_and(is_json) {
        let message = "the content type is not application/json";
        return Err(refusal(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "CONTENT_TYPE",
            message,
        ));
    }
    Ok(())
}

/// The token that a request shows.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let words = only(headers, header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = words.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// A header that is there once.
fn only(headers: &HeaderMap, name: header::HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { None } else { first }
}

const fn refusal(status: StatusCode, code: &'static str, message: &'static str) -> Refusal {
    Refusal {
        status,
        code,
        message,
        hint: "",
        retry_after: None,
        allow: "",
    }
}

const fn other_method(allow: &'static str) -> Refusal {
    let message = "this path takes another method";
    Refusal {
        allow,
        ..refusal(StatusCode::METHOD_NOT_ALLOWED, "METHOD", message)
    }
}

/// The status for a stream of events that cannot begin.
fn status_of(error: &RpcError) -> StatusCode {
    match error.data.code.as_str() {
        "FORBIDDEN" => StatusCode::FORBIDDEN,
        "CURSOR_TOO_OLD" => StatusCode::GONE,
        "STORE" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

const fn unauthorized(message: &'static str) -> Refusal {
    Refusal {
        hint: "send `authorization: Bearer TOKEN`; `conclave token create` makes one",
        ..refusal(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
    }
}

impl Refusal {
    fn reply(self) -> Reply {
        let mut failure = Failure::new(exit_of(self.status), self.code, self.message);
        self.hint.clone_into(&mut failure.hint);
        let retry_after_ms = self.retry_after.map(|wait| u64::try_from(wait.as_millis()));
        failure.retry_after_ms = retry_after_ms.and_then(Result::ok);
        let body = failed(&Value::Null, &RpcError::from(failure));
        let mut reply = reply(self.status, &body);
        let headers = reply.headers_mut();
        // What is left unread of the request would be taken for the next one.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(header::ALLOW, HeaderValue::from_static(self.allow));
            }
            _ => {}
        }
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        reply
    }
}

fn exit_of(status: StatusCode) -> u8 {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => crate::exit::NO_ACCESS,
        StatusCode::TOO_MANY_REQUESTS => crate::exit::RATE,
        StatusCode::NOT_FOUND => crate::exit::NOT_FOUND,
        StatusCode::INTERNAL_SERVER_ERROR => crate::exit::STORE,
        _ => crate::exit::USAGE,
    }
}

fn reply(status: StatusCode, body: &Value) -> Reply {
    let mut reply = Response::new(Either::Left(Full::from(body.to_string())));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    harden(headers);
    reply
}

/// What every answer says to caches and browsers.
fn harden(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
}

fn empty(status: StatusCode) -> Reply {
    let mut reply = reply(status, &json!(null));
    *reply.body_mut() = Either::Left(Full::default());
    reply.headers_mut().remove(header::CONTENT_TYPE);
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five bad tokens within a minute pause the port for everybody; slower ones do not, and the pause ends.
    #[test]
    fn five_bad_tokens_pause_the_port() {
        let begin = Instant::now();
        let mut guesses = Guesses::default();
        for number in 0..10 {
            let now = begin + number * Duration::from_secs(20);
            guesses.note(now);
            assert!(guesses.check(now).is_ok());
        }
        let mut guesses = Guesses::default();
        for _ in 0..4 {
            guesses.note(begin);
            assert!(guesses.check(begin).is_ok());
        }
        guesses.note(begin);
        let refusal = guesses.check(begin).unwrap_err();
        assert_eq!(refusal.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refusal.retry_after, Some(PAUSE));
        assert!(guesses.check(begin + PAUSE).is_ok());
    }

    /// Only addresses of this machine are served.
    #[test]
    fn other_machines_are_kept_out() {
        for text in ["127.0.0.1:0", "127.0.0.1:7070", "[::1]:1", "127.8.9.1:5"] {
            assert!(loopback(text).is_ok(), "{text}");
        }
        for text in [
            "0.0.0.0:1",
            "[::]:1",
            "192.168.1.2:80",
            "localhost:1",
            "127.0.0.1",
            "",
        ] {
            assert!(loopback(text).is_err(), "{text}");
        }
    }
}
