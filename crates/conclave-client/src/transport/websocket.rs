//! WebSocket (RFC 6455) to the server as a plain byte stream, for networks that block raw frames.
//!
//! The payloads of the binary messages, joined, are the very bytes that would go over TLS itself.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, Bytes};
use conclave_proto::WEBSOCKET_PATH;
use conclave_proto::env::SharedEnv;
use conclave_proto::limits::WEBSOCKET_MESSAGE_BYTES_MAX;
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, http};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::{TransportError, tls};

/// Read buffer, and payload of one message that is sent, in bytes.
const PIECE_BYTES: usize = 2 * 1024;

/// Asks the server at the other end of `stream` to go on as a WebSocket.
pub(super) async fn upgrade<S>(stream: S, env: &SharedEnv) -> Result<WebSocket<S>, TransportError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(PIECE_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * PIECE_BYTES)
        // C-004, C-070: refused by the length in its header; so is whatever many parts add up to
        .max_frame_size(Some(WEBSOCKET_MESSAGE_BYTES_MAX))
        .max_message_size(Some(WEBSOCKET_MESSAGE_BYTES_MAX));
    let refused = TransportError::Protocol("it does not become a websocket");
    let request = request(env).map_err(|_| refused.clone())?;
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((inner, _)) => Ok(WebSocket {
            inner,
            input: Bytes::new(),
        }),
        Err(Error::Io(_)) => Err(TransportError::Closed),
        Err(_) => Err(refused),
    }
}

fn request(env: &SharedEnv) -> Result<Request, http::Error> {
    let mut key = [0; 16];
    env.fill(&mut key);
    let name = tls::SERVER_NAME;
    http::Request::builder()
        .uri(format!("wss://{name}{WEBSOCKET_PATH}"))
        .header("Host", name)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", STANDARD.encode(key))
        .body(())
}

/// The client's end of a WebSocket.
pub(super) struct WebSocket<S> {
    inner: WebSocketStream<S>,
    input: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.input.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_next(context)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(Message::Binary(bytes))) => self.input = bytes,
                // C-070: frames travel in binary messages only
                Some(Ok(Message::Text(_))) => {
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
                // pings are answered and a goodbye is returned by the next poll
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(other(error))),
            }
        }
        let bytes = self.input.len().min(buffer.remaining());
        buffer.put_slice(self.input.get(..bytes).unwrap_or_default());
        self.input.advance(bytes);
        if self.input.is_empty() {
            // gives the memory behind it back
            self.input = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.inner).poll_ready(context)).map_err(other)?;
        let piece = bytes.get(..PIECE_BYTES).unwrap_or(bytes);
        let message = Message::Binary(Bytes::copy_from_slice(piece));
        let sent = Pin::new(&mut self.inner).start_send(message);
        Poll::Ready(sent.map(|()| piece.len()).map_err(other))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context).map_err(other)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_close(context)).map_err(other)?;
        Pin::new(self.inner.get_mut()).poll_shutdown(context)
    }
}

fn other(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::other(error),
    }
}
