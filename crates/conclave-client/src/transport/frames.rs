//! Reads length-delimited frames from a byte stream, never allocating for a length over its limit.

use bytes::{Buf, Bytes, BytesMut};
use conclave_proto::codec::{LENGTH_BYTES, frame_length};
use conclave_proto::limits::IDLE_DEAD_MS;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Duration, timeout};

use super::TransportError;

/// Buffer of a quiet connection, in bytes.
const BUFFER_BYTES: usize = 4 * 1024;

/// The reading half of a connection, cut into frames.
#[derive(Debug)]
pub(super) struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// The body of the next frame, at most `max` bytes; [`TransportError::Closed`] at the end.
    pub(super) async fn next(&mut self, max: usize) -> Result<Bytes, TransportError> {
        loop {
            let missing = match self.buffer.first_chunk::<LENGTH_BYTES>() {
                None => BUFFER_BYTES,
                Some(prefix) => {
                    // C-004: before anything is allocated
                    let body = frame_length(*prefix, max)
                        .map_err(|_| TransportError::Protocol("a frame is over its limit"))?;
                    let frame = LENGTH_BYTES + body;
                    if self.buffer.len() >= frame {
                        self.buffer.advance(LENGTH_BYTES);
                        return Ok(self.buffer.split_to(body).freeze());
                    }
                    frame - self.buffer.len()
                }
            };
            self.buffer.reserve(missing);
            self.fill().await?;
        }
    }

    /// Takes whatever bytes come next; any byte is a sign of life.
    async fn fill(&mut self) -> Result<(), TransportError> {
        let silence = Duration::from_millis(IDLE_DEAD_MS);
        match timeout(silence, self.stream.read_buf(&mut self.buffer)).await {
            Err(_) => Err(TransportError::TimedOut),
            Ok(Ok(0) | Err(_)) => Err(TransportError::Closed),
            Ok(Ok(_)) => Ok(()),
        }
    }
}
