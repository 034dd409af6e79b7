//! One connection that asks for blobs: request after request, each answered before the next is read.

use std::sync::Arc;
use std::time::Duration;

use conclave_proto::blob::{BYTES_MAX_HEADER, LENGTH_HEADER, OFFSET_HEADER, PASS_HASH_HEADER};
use conclave_proto::hello::pass_hash;
use conclave_proto::id::{BlobId, Day};
use conclave_proto::limits::{
    BLOB_PIECE_BYTES, BLOB_REFUSED_BYTES_MAX, IDLE_DEAD_MS, PROGRESS_BYTES,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};

use super::ask::{Answer, Ask, Asked, BAD, NOT_FOUND, RANGE, Range};
use super::{Begun, BlobError, Reached, Written};
use crate::http::read_head;
use crate::limit::{Action, NetworkKey};
use crate::server::App;

/// How long the rest of a refused body may take.
const LINGER: Duration = Duration::from_secs(2);
/// What a client waits for when the store behind this server is away, in seconds.
const AWAY_S: &str = "5";
/// What a client waits for when too many uploads are open, in seconds.
const LATER_S: &str = "60";

/// A connection whose first head asked for blobs.
#[derive(Debug)]
pub(crate) struct Served<S> {
    /// TLS.
    pub(crate) stream: S,
    /// That head.
    pub(crate) head: Vec<u8>,
    /// What came behind it.
    pub(crate) rest: Vec<u8>,
    /// Whom to charge; `None` = nobody.
    pub(crate) network: Option<NetworkKey>,
}

/// Answers requests until either side ends the connection.
pub(crate) async fn run<S>(app: &Arc<App>, served: Served<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = Connection {
        app,
        began: Day::of_ms(app.env.now_ms()),
        network: served.network,
        stream: served.stream,
        input: served.rest,
        pace: Pace::new(),
    };
    let mut head = served.head;
    while connection.one(&head).await == Some(true) {
        let idle = Duration::from_millis(IDLE_DEAD_MS);
        let input = std::mem::take(&mut connection.input);
        // C-148: a request begins and its head ends in time
        let next = timeout(idle, read_head(&mut connection.stream, input)).await;
        let Ok(Some((next, input))) = next else {
            break;
        };
        (head, connection.input) = (next, input);
    }
    // the client may be gone
    let _ = connection.stream.shutdown().await;
    connection.drain(BLOB_REFUSED_BYTES_MAX).await;
}

struct Connection<'a, S> {
    app: &'a App,
    /// The day that its facts show the pass of.
    began: Day,
    network: Option<NetworkKey>,
    stream: S,
    /// Bytes that were read and not used.
    input: Vec<u8>,
    pace: Pace,
}

/// Bytes that must move while something is under way (C-071's measure).
struct Pace {
    deadline: Instant,
    moved: usize,
}

impl Pace {
    fn new() -> Self {
        let deadline = Instant::now() + Duration::from_millis(IDLE_DEAD_MS);
        Self { deadline, moved: 0 }
    }

    fn moved(&mut self, bytes: usize) {
        self.moved = self.moved.saturating_add(bytes);
        if self.moved >= PROGRESS_BYTES {
            *self = Self::new();
        }
    }
}

/// A piece of a body, and whether the client ended the connection in it.
struct Piece {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    /// Answers one request; `Some(true)` when another may follow.
    async fn one(&mut self, head: &[u8]) -> Option<bool> {
        self.pace = Pace::new();
        let asked = match Asked::read(head) {
            Ok(asked) => asked,
            Err(refused) => {
                self.send(refused.last_answer().as_bytes()).await?;
                return None;
            }
        };
        if let Err(refused) = self.may(&asked) {
            return self.refuse(&asked, refused, asked.body_bytes).await;
        }
        match asked.ask {
            Ask::Read(blob_id, range) => self.read(&asked, blob_id, range).await,
            Ask::Write(blob_id, offset) => self.write(&asked, blob_id, offset).await,
            ask => {
                let answer = self.plain(ask).await.unwrap_or_else(|error| failed(&error));
                self.finish(&asked, &answer).await
            }
        }
    }

    /// C-145: everything but the facts needs the day's pass.
    fn may(&self, asked: &Asked) -> Result<(), Answer> {
        let pass = asked.pass.as_ref().map_or(&[][..], |pass| pass);
        if asked.ask != Ask::Facts && !self.app.takes_pass(pass, self.began) {
            let text = "the member pass is missing or not today's, fetch it again";
            return Err(Answer::new("401 Unauthorized", text));
        }
        if let (Ask::Begin(..), Some(network)) = (asked.ask, self.network)
            && let Err(refusal) = self.app.limits.count_network(Action::Upload, network)
        {
            let seconds = refusal.retry_after_ms.div_ceil(1000);
            let text = "too many uploads from this network, try again later";
            return Err(
                Answer::new("429 Too Many Requests", text).with("Retry-After", seconds.to_string())
            );
        }
        Ok(())
    }

    /// Answers what has no body in either direction.
    async fn plain(&self, ask: Ask) -> Result<Answer, BlobError> {
        let blobs = &self.app.blobs;
        let most = self.app.config.blobs.max_bytes;
        Ok(match ask {
            Ask::Facts => {
                let pass = self.app.keys.pepper.member_pass(self.began);
                let shown = hex::encode(pass_hash(&pass).as_bytes());
                let facts = Answer::new(OK, "blobs").with(PASS_HASH_HEADER, shown);
                facts.with(BYTES_MAX_HEADER, most.to_string())
            }
            Ask::Begin(_, total) if total > most => {
                let text = "a blob may not have so many bytes";
                Answer::new("413 Content Too Large", text).with(BYTES_MAX_HEADER, most.to_string())
            }
            Ask::Begin(blob_id, total) => {
                let today = Day::of_ms(self.app.steady_ms());
                match blobs.begin(blob_id, total, today).await? {
                    Begun::Open(reached) => far(OK, "begun", reached),
                    Begun::Differs => conflict("a blob of this id has another length"),
                    Begun::TooMany => {
                        let text = "too many uploads are open, try again later";
                        Answer::new("503 Service Unavailable", text)
                            .with("Retry-After", LATER_S.to_string())
                    }
                }
            }
            Ask::State(blob_id) => match blobs.reached(blob_id).await? {
                Some(reached) => far(OK, "", reached),
                None => gone(),
            },
            Ask::Write(..) | Ask::Read(..) => Answer::new(BAD, "bad request"),
        })
    }

    /// Takes a part: each piece as it comes, synced once at the end.
    async fn write(&mut self, asked: &Asked, blob_id: BlobId, mut offset: u64) -> Option<bool> {
        if asked.expects_continue {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let mut left = asked.body_bytes;
        let mut is_cut = false;
        while left > 0 && !is_cut {
            let piece = self.piece(left).await;
            let length = piece.bytes.len() as u64;
            left = left.saturating_sub(length);
            is_cut = piece.is_cut;
            let written = self.app.blobs.write(blob_id, offset, piece.bytes).await;
            if let Some(refused) = refused(written) {
                return self.refuse(asked, refused, left).await;
            }
            offset = offset.saturating_add(length);
        }
        let reached = self.app.blobs.reached(blob_id).await;
        let answer = match reached {
            Ok(Some(reached)) => far(OK, "written", reached),
            Ok(None) => gone(),
            Err(error) => failed(&error),
        };
        if is_cut {
            return None;
        }
        self.finish(asked, &answer).await
    }

    /// Gives a whole blob, or a range of it.
    async fn read(&mut self, asked: &Asked, blob_id: BlobId, range: Option<Range>) -> Option<bool> {
        let reached = match self.app.blobs.reached(blob_id).await {
            Ok(Some(reached)) if reached.is_whole() => reached,
            Ok(_) => return self.finish(asked, &gone()).await,
            Err(error) => return self.finish(asked, &failed(&error)).await,
        };
        let total = reached.total;
        let (mut at, end, answer) = match range.map(|range| range.within(total)) {
            None => (0, total, Answer::new(OK, "")),
            Some(Some((first, end))) => {
                let shown = format!("bytes {first}-{}/{total}", end.saturating_sub(1));
                let answer = Answer::new("206 Partial Content", "").with("Content-Range", shown);
                (first, end, answer)
            }
            Some(None) => {
                let answer = Answer::new(RANGE, "the range begins after the blob");
                let answer = answer.with("Content-Range", format!("bytes */{total}"));
                return self.finish(asked, &answer).await;
            }
        };
        let answer = answer.with("Accept-Ranges", "bytes");
        let head = answer.head(end - at, "application/octet-stream", asked.stays_open);
        self.send(head.as_bytes()).await?;
        let piece_bytes = self.app.blobs.read_bytes();
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(usize::MAX);
            let piece = self.app.blobs.read(blob_id, at, most.min(piece_bytes));
            // the length is promised already: what cannot be read any more ends the connection
            let bytes = piece
                .await
                .ok()
                .flatten()
                .filter(|bytes| !bytes.is_empty())?;
            self.send(&bytes).await?;
            at = at.saturating_add(bytes.len() as u64);
        }
        self.stream.flush().await.ok()?;
        Some(asked.stays_open)
    }

    /// Sends an answer to a request whose body was taken.
    async fn finish(&mut self, asked: &Asked, answer: &Answer) -> Option<bool> {
        let text = answer.text(asked.is_head, asked.stays_open);
        self.send(text.as_bytes()).await?;
        self.stream.flush().await.ok()?;
        Some(asked.stays_open)
    }

    /// Sends an answer while `left` bytes of the body are on their way; takes those when they are few.
    async fn refuse(&mut self, asked: &Asked, answer: Answer, left: u64) -> Option<bool> {
        let stays_open = asked.stays_open && left <= BLOB_REFUSED_BYTES_MAX;
        let text = answer.text(asked.is_head, stays_open);
        self.send(text.as_bytes()).await?;
        self.stream.flush().await.ok()?;
        (stays_open && self.drain(left).await).then_some(true)
    }

    /// The next bytes of a body, at most a piece and at most `left`.
    async fn piece(&mut self, left: u64) -> Piece {
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let most = most.min(BLOB_PIECE_BYTES);
        let mut bytes = std::mem::take(&mut self.input);
        if bytes.len() > most {
            self.input = bytes.split_off(most);
        }
        while bytes.len() < most {
            let before = bytes.len();
            let room = (most - before) as u64;
            let reading = (&mut self.stream).take(room);
            let mut reading = std::pin::pin!(reading);
            // C-148: who sends nothing for 90 s, or drips, is let go
            let read = timeout_at(self.pace.deadline, reading.read_buf(&mut bytes)).await;
            match read {
                Ok(Ok(read)) if read > 0 => self.pace.moved(read),
                _ => {
                    return Piece {
                        bytes,
                        is_cut: true,
                    };
                }
            }
        }
        Piece {
            bytes,
            is_cut: false,
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Option<()> {
        let sent = timeout_at(self.pace.deadline, self.stream.write_all(bytes)).await;
        sent.ok()?.ok()?;
        self.pace.moved(bytes.len());
        Some(())
    }

    /// Takes so many bytes for nothing, for a moment: a socket that is closed before them takes the
    /// answer along. Whether all of them came.
    async fn drain(&mut self, mut left: u64) -> bool {
        let until = Instant::now() + LINGER;
        self.pace.deadline = self.pace.deadline.min(until);
        while left > 0 {
            let piece = self.piece(left).await;
            left = left.saturating_sub(piece.bytes.len() as u64);
            if piece.is_cut {
                return false;
            }
        }
        true
    }
}

const OK: &str = "200 OK";

/// How far a blob is, as headers.
fn far(status: &'static str, text: &'static str, reached: Reached) -> Answer {
    let answer = Answer::new(status, text).with(OFFSET_HEADER, reached.offset.to_string());
    answer.with(LENGTH_HEADER, reached.total.to_string())
}

fn gone() -> Answer {
    Answer::new(NOT_FOUND, "no such blob, or not all of it")
}

fn conflict(text: &'static str) -> Answer {
    Answer::new("409 Conflict", text)
}

/// Why a piece ends its part, if it does.
fn refused(written: Result<Written, BlobError>) -> Option<Answer> {
    Some(match written {
        Ok(Written::There) => return None,
        Ok(Written::Differs) => conflict("other bytes are there already"),
        Ok(Written::Gap(offset)) => {
            let text = "bytes before these are missing";
            conflict(text).with(OFFSET_HEADER, offset.to_string())
        }
        Ok(Written::TooLong) => Answer::new("413 Content Too Large", "the blob ends before that"),
        Ok(Written::Unknown) => gone(),
        Err(error) => failed(&error),
    })
}

fn failed(error: &BlobError) -> Answer {
    match error {
        BlobError::Full => {
            let text = "the server has no room for more, try again tomorrow";
            Answer::new("507 Insufficient Storage", text)
        }
        BlobError::Away => {
            let text = "the store of files does not answer, try again later";
            Answer::new("503 Service Unavailable", text).with("Retry-After", AWAY_S)
        }
        BlobError::Broken(_) => {
            tracing::error!("{error}");
            Answer::new("500 Internal Server Error", "the server's store failed")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store that is away is told as such, with when to come again; it is no failure of this server.
    #[test]
    fn c197_a_store_that_is_away_is_told_to_come_again() {
        let answer = failed(&BlobError::Away).last_answer();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("\r\nRetry-After: 5\r\n"), "{answer}");
    }
}
