//! Bodies: of requests, read whole and bounded, and of answers that come as they are made.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::StatusCode;
use hyper::body::{Body, Frame, Incoming};
use tokio::sync::mpsc;

use super::{READ_TIMEOUT, Refusal, refusal};

/// How long what is left of a refused body may keep away.
const REST_TIMEOUT: Duration = Duration::from_secs(1);
const TOO_LARGE: Refusal = refusal(
    StatusCode::PAYLOAD_TOO_LARGE,
    "TOO_LARGE",
    "the request is too large",
);

/// The whole of a body, at most `bytes_max`: 413, and 408 when it does not come in time.
pub(crate) async fn collect(mut body: Incoming, bytes_max: usize) -> Result<Bytes, Refusal> {
    if body.size_hint().lower() > bytes_max as u64 {
        drain(body).await;
        return Err(TOO_LARGE);
    }
    let whole = Limited::new(&mut body, bytes_max).collect();
    let Ok(whole) = tokio::time::timeout(READ_TIMEOUT, whole).await else {
        let message = "the body did not come in time";
        return Err(refusal(StatusCode::REQUEST_TIMEOUT, "TIMED_OUT", message));
    };
    let Ok(whole) = whole else {
        drain(body).await;
        return Err(TOO_LARGE);
    };
    Ok(whole.to_bytes())
}

/// Reads what is left and keeps nothing: who is cut off while they send does not see why they are refused.
pub(crate) async fn drain(mut body: Incoming) {
    let rest = async {
        while let Ok(Some(Ok(_))) = tokio::time::timeout(REST_TIMEOUT, body.frame()).await {}
    };
    // Whoever still sends then is cut off.
    let _ = tokio::time::timeout(READ_TIMEOUT, rest).await;
}

/// A body that comes as it is made: ends with its sender, and its sender with it.
#[derive(Debug)]
pub(crate) struct Stream(mpsc::Receiver<Bytes>);

impl Stream {
    /// What `parts` brings.
    pub(crate) const fn new(parts: mpsc::Receiver<Bytes>) -> Self {
        Self(parts)
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.0.poll_recv(cx);
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
