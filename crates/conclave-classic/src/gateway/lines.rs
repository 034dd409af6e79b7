//! A TCP stream as lines, within limits of length and time.

use std::io;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, timeout, timeout_at};

use crate::wire::{Code, LINE_BYTES_MAX, Refusal};

/// From a line's first byte to its line feed.
const LINE_TIME: Duration = Duration::from_secs(30);
/// Without a request.
const IDLE_TIME: Duration = Duration::from_mins(2);
/// Without a request, while the client listens.
const LISTEN_TIME: Duration = Duration::from_hours(1);
/// For a reply to be taken.
const WRITE_TIME: Duration = Duration::from_secs(30);
const READ_BYTES: usize = 4 * 1024;

/// Why no further line comes.
#[derive(Debug)]
pub(super) enum End {
    /// The client is gone, or did not take its reply.
    Gone,
    /// Tell the client why, then close.
    Refused(Refusal),
}

/// The reading half.
pub(super) struct Lines {
    reader: OwnedReadHalf,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line feed.
    searched: usize,
    /// When the line that is coming has to be there.
    deadline: Instant,
    idle: Duration,
}

/// The writing half.
pub(super) struct Replies(OwnedWriteHalf);

pub(super) fn split(socket: TcpStream) -> io::Result<(Lines, Replies)> {
    socket.set_nodelay(true)?;
    let (reader, writer) = socket.into_split();
    let lines = Lines {
        reader,
        buffer: BytesMut::new(),
        searched: 0,
        deadline: Instant::now() + IDLE_TIME,
        idle: IDLE_TIME,
    };
    Ok((lines, Replies(writer)))
}

impl Lines {
    /// The client listens: it may be silent for longer.
    pub(super) fn listen(&mut self) {
        self.idle = LISTEN_TIME;
    }

    /// The next line, without its line feed (and carriage return). May be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Vec<u8>, End> {
        loop {
            if let Some(line) = self.take()? {
                return Ok(line);
            }
            if self.buffer.capacity() == self.buffer.len() {
                self.buffer.reserve(READ_BYTES);
            }
            let was_empty = self.buffer.is_empty();
            let read = timeout_at(self.deadline, self.reader.read_buf(&mut self.buffer)).await;
            match read {
                Ok(Ok(1..)) if was_empty => self.deadline = Instant::now() + LINE_TIME,
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) => return Err(End::Gone),
                Err(_) => {
                    let text = "no whole line came in time: connect again";
                    return Err(End::Refused(Refusal::new(Code::Timeout, text)));
                }
            }
        }
    }

    fn take(&mut self) -> Result<Option<Vec<u8>>, End> {
        let fresh = self.buffer.get(self.searched..).unwrap_or_default();
        let end = fresh.iter().position(|byte| *byte == b'\n');
        let end = end.map(|at| self.searched + at);
        if end.unwrap_or(self.buffer.len()) > LINE_BYTES_MAX {
            let text =
                format!("a line has at most {LINE_BYTES_MAX} bytes: send less, connect again");
            return Err(End::Refused(Refusal::new(Code::TooLong, text)));
        }
        let Some(end) = end else {
            self.searched = self.buffer.len();
            return Ok(None);
        };
        let mut line = self.buffer.split_to(end).to_vec();
        self.buffer.advance(1);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        self.searched = 0;
        let time = if self.buffer.is_empty() {
            self.idle
        } else {
            LINE_TIME
        };
        self.deadline = Instant::now() + time;
        Ok(Some(line))
    }
}

impl Replies {
    /// Writes one line.
    pub(super) async fn send(&mut self, mut line: String) -> Result<(), End> {
        line.push('\n');
        match timeout(WRITE_TIME, self.0.write_all(line.as_bytes())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    /// Ends the stream, so that what was written arrives.
    pub(super) async fn close(mut self) {
        // whoever does not take its last line loses it
        let _ = timeout(WRITE_TIME, self.0.shutdown()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// A client that connected, and the server's end of it.
    async fn pair() -> (TcpStream, Lines, Replies) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (lines, replies) = split(accepted.unwrap().0).unwrap();
        (client.unwrap(), lines, replies)
    }

    fn code(end: &End) -> Option<Code> {
        match end {
            End::Refused(refusal) => Some(refusal.code),
            End::Gone => None,
        }
    }

    /// Who says nothing, or never ends a line, is let go. Time runs by itself while everybody waits.
    #[tokio::test(start_paused = true)]
    async fn slow_clients_are_let_go() {
        for begun in [b"".as_slice(), b"{\"action\":"] {
            let (mut client, mut lines, _replies) = pair().await;
            client.write_all(begun).await.unwrap();
            let end = lines.next().await.unwrap_err();
            assert_eq!(code(&end), Some(Code::Timeout));
        }
    }

    /// Who does not take replies is let go.
    #[tokio::test(start_paused = true)]
    async fn deaf_clients_are_let_go() {
        let (_client, _lines, mut replies) = pair().await;
        let line = "x".repeat(1024 * 1024);
        let mut sent = 0;
        while replies.send(line.clone()).await.is_ok() {
            sent += 1;
            assert!(
                sent < 1_000,
                "a client that reads nothing takes no gigabyte"
            );
        }
    }

    /// Lines come whole and in order however they were cut; one too long ends the stream.
    #[tokio::test]
    async fn lines_are_cut_where_they_end() {
        let (mut client, mut lines, _replies) = pair().await;
        client.write_all(b"one\ntw").await.unwrap();
        assert_eq!(lines.next().await.unwrap(), b"one");
        client.write_all(b"o\r\n\n").await.unwrap();
        assert_eq!(lines.next().await.unwrap(), b"two");
        assert_eq!(lines.next().await.unwrap(), b"");
        let longest = vec![b'x'; LINE_BYTES_MAX];
        let writing = tokio::spawn(async move {
            client.write_all(&longest).await.unwrap();
            client.write_all(b"\n").await.unwrap();
            client.write_all(&longest).await.unwrap();
            client.write_all(b"xx").await.unwrap();
            client
        });
        assert_eq!(lines.next().await.unwrap().len(), LINE_BYTES_MAX);
        let end = lines.next().await.unwrap_err();
        assert_eq!(code(&end), Some(Code::TooLong));
        drop(writing.await.unwrap());
        assert_eq!(code(&lines.next().await.unwrap_err()), Some(Code::TooLong));
    }
}
