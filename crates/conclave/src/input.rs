//! Lines of standard input, read by a thread that nobody has to wait for.

use std::io::{self, BufRead, BufReader, Read as _};
use std::thread;

use conclave_proto::limits::TEXT_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::exit::Failure;

/// Lines read ahead of whoever takes them.
const AHEAD_LINES: usize = 16;
/// Bytes read ahead of whoever takes them.
const AHEAD_BYTES: usize = 64 * 1024;
/// Where a line is cut, in bytes: above what a message holds, so that it is refused as too large.
const LINE_BYTES_MAX: usize = TEXT_BYTES_MAX + 3;

/// The lines of standard input as they come.
#[derive(Debug)]
pub(crate) struct Lines(Receiver<io::Result<String>>);

impl Lines {
    /// Starts to read. The thread is none of the runtime's: a read that never returns would keep the
    /// runtime from ending.
    pub(crate) fn of_stdin() -> Self {
        let (sender, lines) = mpsc::channel(AHEAD_LINES);
        thread::spawn(move || forward(BufReader::new(io::stdin()), &sender));
        Self(lines)
    }

    /// The next line without its line end; none at the end of the input.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, Failure> {
        self.0.recv().await.transpose().map_err(unreadable)
    }
}

/// The bytes of standard input, read by a thread of their own as [`Lines`] are.
pub(crate) fn piped() -> impl AsyncRead + Unpin {
    let (sender, mut chunks) = mpsc::channel::<Vec<u8>>(AHEAD_LINES);
    thread::spawn(move || {
        let mut input = BufReader::new(io::stdin());
        while let Ok(chunk) = input.fill_buf() {
            let length = chunk.len();
            if length == 0 || sender.blocking_send(chunk.to_vec()).is_err() {
                break;
            }
            input.consume(length);
        }
    });
    let (mut near, far) = tokio::io::duplex(AHEAD_BYTES);
    tokio::spawn(async move {
        while let Some(chunk) = chunks.recv().await {
            if near.write_all(&chunk).await.is_err() {
                break;
            }
        }
    });
    far
}

impl From<Receiver<io::Result<String>>> for Lines {
    /// Lines that come from somewhere else.
    fn from(lines: Receiver<io::Result<String>>) -> Self {
        Self(lines)
    }
}

/// Standard input that is no text is bad usage, not a broken disk.
pub(crate) fn unreadable(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::InvalidData => Failure::usage("standard input is no UTF-8 text"),
        _ => error.into(),
    }
}

fn forward(mut input: impl BufRead, lines: &Sender<io::Result<String>>) {
    while let Some(line) = next_line(&mut input).transpose() {
        let is_end = line.is_err();
        if lines.blocking_send(line).is_err() || is_end {
            break;
        }
    }
}

fn next_line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    if input.take(limit).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.len() == LINE_BYTES_MAX && !bytes.ends_with(b"\n") {
        // The rest of a line that is refused is no message of its own.
        input.skip_until(b'\n')?;
        return Ok(Some(String::from_utf8_lossy(&bytes).into_owned()));
    }
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let no_text = |_| io::Error::from(io::ErrorKind::InvalidData);
    let line = std::str::from_utf8(line).map_err(no_text)?;
    Ok(Some(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<io::Result<String>> {
        let (sender, mut lines) = mpsc::channel(100);
        forward(bytes, &sender);
        std::iter::from_fn(|| lines.try_recv().ok()).collect()
    }

    /// Lines end with either line end or with the input; empty ones are lines too.
    #[test]
    fn splits_lines() {
        let lines: Vec<String> = lines(b"a\r\n\nb\nc")
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(lines, ["a", "", "b", "c"]);
    }

    /// Bytes that are no text end the reading with an error, after the lines before them.
    #[test]
    fn ends_at_what_is_no_text() {
        let lines = lines(b"a\n\xff\nb\n");
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].as_ref().unwrap(), "a");
        assert_eq!(
            lines[1].as_ref().unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    /// A line without an end does not fill the memory: it is cut where it is too large for a message, and
    /// its rest is not taken for another line.
    #[test]
    fn cuts_endless_lines() {
        let mut bytes = "ü".repeat(2 * LINE_BYTES_MAX).into_bytes();
        bytes.extend(b"\nnext\n");
        let lines: Vec<String> = lines(&bytes).into_iter().map(Result::unwrap).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].len() > TEXT_BYTES_MAX, "{}", lines[0].len());
        assert!(lines[0].len() < LINE_BYTES_MAX + 3, "{}", lines[0].len());
        assert_eq!(lines[1], "next");
    }
}
