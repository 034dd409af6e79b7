//! WebSocket (RFC 6455) as a plain byte stream: the payloads of its binary messages, joined.
//!
//! What a client may not send ends the connection with a close code that says so.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use conclave_proto::limits::{WEBSOCKET_CONTROLS_MAX, WEBSOCKET_MESSAGE_BYTES_MAX};
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Read buffer of an idle connection.
const READ_BYTES: usize = 768;
/// Payload of one message that is sent: the write buffer is kept, so it has to stay small.
const PIECE_BYTES: usize = 2 * 1024;
/// One piece and what answers pings, in bytes; beyond it a client that reads nothing is cut off.
const WRITE_BYTES_MAX: usize = 2 * PIECE_BYTES;

/// A stream whose upgrade was answered; `early` is what came behind the request.
pub(crate) async fn wrap<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    early: Vec<u8>,
) -> WebSocket<S> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BYTES_MAX)
        // C-004, C-070: refused by the length in its header; so is whatever many parts add up to
        .max_frame_size(Some(WEBSOCKET_MESSAGE_BYTES_MAX))
        .max_message_size(Some(WEBSOCKET_MESSAGE_BYTES_MAX));
    let inner = WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config));
    WebSocket {
        inner: inner.await,
        input: Bytes::new(),
        controls: 0,
        goodbye: None,
        is_over: false,
    }
}

/// The server's end of a WebSocket.
pub(crate) struct WebSocket<S> {
    inner: WebSocketStream<S>,
    input: Bytes,
    /// Control frames and empty messages since the last byte of a frame.
    controls: u32,
    /// Why this ends; nothing is read any more.
    goodbye: Option<CloseFrame>,
    /// The goodbye is on its way.
    is_over: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Waits for bytes of frames; no bytes = the client has closed.
    fn poll_input(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.input.is_empty() && self.goodbye.is_none() && !self.is_over {
            match ready!(Pin::new(&mut self.inner).poll_next(context)) {
                None => return Poll::Ready(Ok(())),
                Some(Ok(message)) => self.take(message),
                Some(Err(error)) => self.take_error(error)?,
            }
        }
        if self.input.is_empty() {
            return self.poll_goodbye(context).map(Err);
        }
        Poll::Ready(Ok(()))
    }

    /// Says why this ends, behind what was still owed.
    fn poll_goodbye(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if !self.is_over {
            // when it cannot be said, it ends without a reason
            let _ = ready!(Pin::new(&mut self.inner).poll_flush(context));
            let goodbye = Message::Close(self.goodbye.take());
            let _ = Pin::new(&mut self.inner).start_send(goodbye);
            self.is_over = true;
        }
        let _ = ready!(Pin::new(&mut self.inner).poll_flush(context));
        Poll::Ready(io::ErrorKind::InvalidData.into())
    }

    fn take(&mut self, message: Message) {
        // C-070: binary messages carry the frames, text carries nothing, the rest is counted
        match message {
            Message::Binary(bytes) if !bytes.is_empty() => {
                self.controls = 0;
                self.input = bytes;
            }
            Message::Text(_) => self.fail(CloseCode::Unsupported, "only binary messages"),
            // the next poll answers it and ends
            Message::Close(_) => {}
            _ => {
                self.controls += 1;
                if self.controls > WEBSOCKET_CONTROLS_MAX {
                    self.fail(
                        CloseCode::Policy,
                        "too many control frames without a request",
                    );
                }
            }
        }
    }

    fn take_error(&mut self, error: Error) -> io::Result<()> {
        match error {
            Error::Capacity(_) => {
                self.fail(CloseCode::Size, "a message has at most 16384 bytes");
            }
            Error::Utf8(_) => self.fail(CloseCode::Unsupported, "only binary messages"),
            Error::Protocol(_) => self.fail(CloseCode::Protocol, "not RFC 6455"),
            error => return Err(other(error)),
        }
        Ok(())
    }

    fn fail(&mut self, code: CloseCode, reason: &'static str) {
        self.goodbye = Some(CloseFrame {
            code,
            reason: reason.into(),
        });
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_input(context))?;
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
