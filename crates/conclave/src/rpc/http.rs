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

use conclave_client::Client;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::stream::REQUEST_BYTES_MAX;
use super::{Caller, answer_bytes, sse};
use crate::http::{
    Guesses, Names, Refusal, Reply, check_json, collect, empty, only, other_method, refusal, reply,
};

/// The path of events.
const EVENTS: &str = "/events";

/// The open port.
#[derive(Debug)]
struct Port {
    client: Client,
    names: Names,
    guesses: Mutex<Guesses>,
    /// Places for streams of events.
    streams: Arc<Semaphore>,
}

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
    let names = vec![address.to_string(), format!("localhost:{}", address.port())];
    let port = Arc::new(Port {
        client,
        names: Names::new(names),
        guesses: Mutex::default(),
        streams: sse::places(),
    });
    let answer = move |request| {
        let port = port.clone();
        async move { port.answer(request).await }
    };
    crate::http::serve(listener, answer).await;
}

impl Port {
    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let answer = if head.uri.path() == EVENTS {
            self.events(&head)
        } else {
            self.call(&head, body).await
        };
        answer.unwrap_or_else(Refusal::reply)
    }

    async fn call(&self, head: &Parts, body: Incoming) -> Result<Reply, Refusal> {
        self.check_sender(head)?;
        check_shape(head)?;
        let (caller, _) = self.caller(&head.headers)?;
        let body = collect(body, REQUEST_BYTES_MAX).await?;
        Ok(match answer_bytes(&self.client, &caller, &body).await {
            Some(answer) => reply(StatusCode::OK, &answer),
            None => empty(StatusCode::NO_CONTENT),
        })
    }

    /// Events as they come: the same checks, without a body.
    fn events(&self, head: &Parts) -> Result<Reply, Refusal> {
        self.check_sender(head)?;
        if head.method != Method::GET {
            return Err(other_method("GET"));
        }
        let (caller, words) = self.caller(&head.headers)?;
        let words = words.to_owned();
        let checked = self.client.clone();
        let is_good = move || matches!(checked.check_token(&words), Ok(Some(_)));
        let places = self.streams.clone();
        let reader = sse::Reader {
            caller,
            is_good,
            over: std::future::pending(),
        };
        sse::reply(&self.client, head, reader, places)
    }

    /// Steps 1 and 2.
    fn check_sender(&self, head: &Parts) -> Result<(), Refusal> {
        self.names.check_host(head)?;
        Names::check_origin(head)
    }

    /// Step 4: who calls, and the token that they showed.
    fn caller<'a>(&self, headers: &'a HeaderMap) -> Result<(Caller, &'a str), Refusal> {
        let now = Instant::now();
        self.guesses().check(now)?;
        let Some(bearer) = bearer(headers) else {
            return Err(unauthorized("a token is needed"));
        };
        match self.client.check_token(bearer) {
            Ok(Some(token)) => Ok((Caller::with(token), bearer)),
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

/// Step 3.
fn check_shape(head: &Parts) -> Result<(), Refusal> {
    if head.uri.path() != "/rpc" {
        return Err(refusal(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            "there is only /rpc and /events",
        ));
    }
    if head.method != Method::POST {
        return Err(other_method("POST"));
    }
    check_json(&head.headers)
}

/// The token that a request shows.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let words = only(headers, header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = words.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

const fn unauthorized(message: &'static str) -> Refusal {
    Refusal {
        hint: "send `authorization: Bearer TOKEN`; `conclave token create` makes one",
        ..refusal(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
