//! What reads a stranger's bytes before anything is known of it, without a server around it: for searches.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::io::AsyncReadExt as _;

use crate::blobs::Asked;
use crate::connection::websocket;
use crate::health::Readiness;
use crate::http::{self, Decision};

/// The answer to the head of an HTTP request: `Ok` begins a WebSocket, `Err` ends the connection, as
/// blobs that are refused do; `None` when it asks for blobs in a way that can be answered.
pub fn http(head: &[u8]) -> Option<Result<String, String>> {
    match http::decide(head, Some(Readiness::Ready)) {
        Decision::Upgrade(accepted) => Some(Ok(accepted)),
        Decision::Answer(answer) => Some(Err(answer)),
        Decision::Blobs => match Asked::read(head) {
            Ok(_) => None,
            Err(refused) => Some(Err(refused.last_answer())),
        },
    }
}

/// The bytes of frames that a client's WebSocket bytes carry, up to where they end or break its rules.
pub fn websocket(bytes: &[u8]) -> Vec<u8> {
    let mut carried = Vec::new();
    let read = async {
        let stream = tokio::io::join(bytes, tokio::io::sink());
        let mut socket = websocket::wrap(stream, Vec::new()).await;
        socket.read_to_end(&mut carried).await
    };
    // bytes in memory and a sink never keep anybody waiting
    let read = pin!(read).poll(&mut Context::from_waker(Waker::noop()));
    let _: Poll<io::Result<usize>> = read;
    carried
}
