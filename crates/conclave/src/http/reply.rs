//! Answers and refusals, as JSON that no cache keeps.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::Stream;
use crate::exit::{self, Failure};
use crate::rpc::RpcError;

/// What goes back: something whole, or what comes as it is made.
pub(crate) type Reply = Response<Either<Full<Bytes>, Stream>>;

/// Why a request is not even parsed.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// What HTTP says.
    pub(crate) status: StatusCode,
    /// What programs act on.
    pub(crate) code: &'static str,
    /// What happened.
    pub(crate) message: &'static str,
    /// What to do; empty when the message says it.
    pub(crate) hint: &'static str,
    /// When to try again.
    pub(crate) retry_after: Option<Duration>,
    /// The method that the path takes, when another came.
    pub(crate) allow: &'static str,
}

/// A refusal without a hint.
pub(crate) const fn refusal(
    status: StatusCode,
    code: &'static str,
    message: &'static str,
) -> Refusal {
    Refusal {
        status,
        code,
        message,
        hint: "",
        retry_after: None,
        allow: "",
    }
}

/// The path takes the method `allow` alone: 405.
pub(crate) const fn other_method(allow: &'static str) -> Refusal {
    let message = "this path takes another method";
    Refusal {
        allow,
        ..refusal(StatusCode::METHOD_NOT_ALLOWED, "METHOD", message)
    }
}

impl Refusal {
    /// As it goes back. The connection ends: what is left unread of the request would be taken for the next one.
    pub(crate) fn reply(self) -> Reply {
        let mut failure = Failure::new(exit_of(self.status), self.code, self.message);
        self.hint.clone_into(&mut failure.hint);
        let retry_after_ms = self.retry_after.map(|wait| u64::try_from(wait.as_millis()));
        failure.retry_after_ms = retry_after_ms.and_then(Result::ok);
        let mut reply = failed(self.status, &RpcError::from(failure));
        let headers = reply.headers_mut();
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

/// An error as JSON-RPC carries it, to no request.
pub(crate) fn failed(status: StatusCode, error: &RpcError) -> Reply {
    reply(
        status,
        &json!({"jsonrpc": "2.0", "id": null, "error": error}),
    )
}

/// The status for what cannot begin: a stream of events, a file.
pub(crate) fn status_of(error: &RpcError) -> StatusCode {
    match error.data.code.as_str() {
        "FORBIDDEN" => StatusCode::FORBIDDEN,
        "NOT_FOUND" => StatusCode::NOT_FOUND,
        "CURSOR_TOO_OLD" => StatusCode::GONE,
        "STORE" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// JSON.
pub(crate) fn reply(status: StatusCode, body: &Value) -> Reply {
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

/// Nothing.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = reply(status, &json!(null));
    *reply.body_mut() = Either::Left(Full::default());
    reply.headers_mut().remove(header::CONTENT_TYPE);
    reply
}

/// What every answer says to caches and browsers.
pub(crate) fn harden(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
}

/// A header that is there once.
pub(crate) fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { None } else { first }
}

/// The body is JSON, else 415: a page of another origin cannot send that without asking first.
pub(crate) fn check_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let is_json = |value: &HeaderValue| {
        let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
        matches!(
            value.as_str(),
            "application/json" | "application/json; charset=utf-8"
        )
    };
    if only(headers, header::CONTENT_TYPE).is_some_and(is_json) {
        return Ok(());
    }
    let message = "the content type is not application/json";
    Err(refusal(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "CONTENT_TYPE",
        message,
    ))
}

fn exit_of(status: StatusCode) -> u8 {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::LOCKED => exit::NO_ACCESS,
        StatusCode::TOO_MANY_REQUESTS => exit::RATE,
        StatusCode::NOT_FOUND => exit::NOT_FOUND,
        StatusCode::INTERNAL_SERVER_ERROR => exit::STORE,
        _ => exit::USAGE,
    }
}
