//! Under which names a port may be asked: a foreign name that points here (DNS rebinding) and foreign pages are
//! refused before anything else is looked at.

use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;

use super::{Refusal, only, refusal};
use hyper::StatusCode;

/// What `Host` may say, each with its port.
#[derive(Debug, Clone)]
pub(crate) struct Names(Vec<String>);

impl Names {
    /// A port that answers to `hosts` alone.
    pub(crate) const fn new(hosts: Vec<String>) -> Self {
        Self(hosts)
    }

    /// The host is this one, else 421.
    pub(crate) fn check_host(&self, head: &Parts) -> Result<(), Refusal> {
        let is_here = |host: &HeaderValue| self.0.iter().any(|own| host == own);
        if head.uri.host().is_none() && only(&head.headers, header::HOST).is_some_and(is_here) {
            return Ok(());
        }
        let message = "the request is meant for another host";
        Err(refusal(
            StatusCode::MISDIRECTED_REQUEST,
            "WRONG_HOST",
            message,
        ))
    }

    /// No page of a foreign origin asks, else 403. An origin is the very host that is asked: pages at another name of
    /// this port are foreign, too.
    pub(crate) fn check_origin(head: &Parts) -> Result<(), Refusal> {
        let asked = only(&head.headers, header::HOST).map(HeaderValue::as_bytes);
        let is_own = |origin: &HeaderValue| {
            let host = origin.as_bytes().strip_prefix(b"http://");
            host.is_some() && host == asked
        };
        if head.headers.get_all(header::ORIGIN).iter().all(is_own) {
            return Ok(());
        }
        let message = "web pages of other origins may not use this port";
        Err(refusal(StatusCode::FORBIDDEN, "WRONG_ORIGIN", message))
    }
}
