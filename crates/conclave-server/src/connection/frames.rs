//! Frames in, frames out, on one connection after its hello.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use conclave_proto::codec::{CodecError, decode_frame, encode_frame};
use conclave_proto::frame::{Reply, Request, reply};
use conclave_proto::limits::{FRAME_BYTES_MAX, IDLE_DEAD_MS, PROGRESS_BYTES};
use conclave_proto::{ErrorCode, Refusal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::Stream;
use super::in_flight::{InFlight, UNANSWERED_MAX};
use crate::api::{self, Answer};
use crate::server::App;
use crate::session::Session;

/// Read buffer of an idle connection: most connections are idle most of the time.
const IDLE_BUFFER_BYTES: usize = 512;
/// Larger buffers are given back when nothing is under way.
const KEPT_BYTES: usize = 2 * 1024;
/// The same for what is sent: some acknowledgements.
const KEPT_SENT_BYTES: usize = 256;
/// A read buffer never grows by more at once than it already holds, or this.
const GROW_BYTES: usize = 16 * 1024;
/// While this many bytes wait to be written, nothing more is read or answered.
const UNSENT_BYTES_MAX: usize = 1024 * 1024;
/// How long the last bytes may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// Serves frames until the client leaves, breaks the rules or falls silent, or the server stops.
pub(super) async fn run(
    app: &Arc<App>,
    session: Arc<Session>,
    stream: Stream,
    mut stop: watch::Receiver<bool>,
) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut frames = Frames::new(Arc::clone(app), session);
    let pushes = Arc::clone(&frames.session.pushes);
    // these wait for as long as the connection lives: to begin anew with each frame costs more than a frame
    let mut stopping = pin!(async move { stop.wait_for(|is_stopping| *is_stopping).await.is_ok() });
    let mut silence = pin!(sleep_until(frames.dead_at()));
    let mut pushed = pin!(pushes.wait());
    while !frames.is_over() {
        let (may_read, may_answer) = (frames.may_read(), frames.may_answer());
        // in a fixed order, so that a run repeats: each branch runs dry by what stands below it, and
        // pushes, which strangers cause, come last
        let done = tokio::select! {
            biased;
            is_told = &mut stopping, if !frames.is_ending => {
                frames.is_ending = true;
                is_told.then_some(()).ok_or(Gone)
            }
            (id, answer) = frames.in_flight.next(), if may_answer => {
                frames.answer(id, answer);
                Ok(())
            }
            sent = frames.output.send(&mut writer), if !frames.output.is_idle() => frames.sent(&sent),
            read = read_some(&mut reader, &mut frames.input), if may_read => frames.received(&read),
            () = &mut silence => {
                silence.as_mut().reset(frames.dead_at());
                frames.is_alive()
            }
            () = &mut pushed, if frames.output.is_idle() && !frames.is_ending => {
                pushed.set(pushes.wait());
                frames.push();
                Ok(())
            }
        };
        if done.is_err() {
            return;
        }
    }
    // the client may be gone already; then there is nobody to say goodbye to
    let _ = timeout(GOODBYE, writer.shutdown()).await;
}

/// The client is gone, silent or not worth another byte.
struct Gone;

struct Frames {
    app: Arc<App>,
    session: Arc<Session>,
    input: BytesMut,
    in_flight: InFlight,
    output: Output,
    alive_at: Instant,
    /// Bytes that went either way since then, without an end of a frame.
    moved_bytes: usize,
    is_ending: bool,
}

impl Frames {
    fn new(app: Arc<App>, session: Arc<Session>) -> Self {
        Self {
            app,
            session,
            input: BytesMut::with_capacity(IDLE_BUFFER_BYTES),
            in_flight: InFlight::default(),
            output: Output::default(),
            alive_at: Instant::now(),
            moved_bytes: 0,
            is_ending: false,
        }
    }

    fn is_over(&self) -> bool {
        self.is_ending && self.in_flight.is_empty() && self.output.is_idle()
    }

    fn may_read(&self) -> bool {
        !self.is_ending && self.may_take() && self.output.has_room()
    }

    fn may_take(&self) -> bool {
        self.in_flight.bytes() < FRAME_BYTES_MAX
    }

    fn may_answer(&self) -> bool {
        !self.in_flight.is_empty() && self.output.has_room()
    }

    fn received(&mut self, read: &io::Result<usize>) -> Result<(), Gone> {
        match read {
            Ok(bytes @ 1..) => self.moved(*bytes),
            Ok(0) | Err(_) => return Err(Gone),
        }
        self.take_frames();
        Ok(())
    }

    /// C-071: a frame's end is a sign of life, and so is enough of a long one.
    fn moved(&mut self, bytes: usize) {
        self.moved_bytes = self.moved_bytes.saturating_add(bytes);
        if self.moved_bytes >= PROGRESS_BYTES {
            self.mark_alive();
        }
    }

    /// C-071: silence, and a frame that only drips, end the connection then.
    fn dead_at(&self) -> Instant {
        self.alive_at + Duration::from_millis(IDLE_DEAD_MS)
    }

    fn is_alive(&self) -> Result<(), Gone> {
        if Instant::now() < self.dead_at() {
            return Ok(());
        }
        Err(Gone)
    }

    fn mark_alive(&mut self) {
        self.alive_at = Instant::now();
        self.moved_bytes = 0;
    }

    /// Starts the requests that are all there.
    fn take_frames(&mut self) {
        while !self.is_ending && self.may_take() {
            match decode_frame::<Request>(&self.input) {
                Ok(Some((request, bytes))) => {
                    self.input.advance(bytes);
                    self.mark_alive();
                    self.take_request(request, bytes);
                }
                Ok(None) => break,
                Err(error) => self.end_with(&error),
            }
        }
        let is_idle = self.input.is_empty() && self.in_flight.is_empty();
        if is_idle && self.input.capacity() > KEPT_BYTES {
            self.input = BytesMut::with_capacity(IDLE_BUFFER_BYTES);
        }
    }

    fn take_request(&mut self, request: Request, bytes: usize) {
        let id = request.id;
        if id == 0 || self.in_flight.contains(id) {
            let text = "a request needs an id of its own that is not 0";
            self.put(id, Err(Refusal::new(ErrorCode::BadRequest, text)));
        } else if self.in_flight.is_full() {
            // C-011: refused, not queued.
            let text = format!("at most {UNANSWERED_MAX} unanswered requests, wait for a reply");
            self.put(id, Err(Refusal::new(ErrorCode::Busy, text)));
        } else {
            let (app, session) = (Arc::clone(&self.app), Arc::clone(&self.session));
            let running = Box::pin(api::answer(app, session, request.body));
            self.in_flight.push(id, bytes, running);
        }
    }

    /// After a frame that is none, nothing behind it can be understood.
    fn end_with(&mut self, error: &CodecError) {
        // C-004: the length was refused before anything was allocated for it.
        let code = match error {
            CodecError::FrameTooLarge { .. } => ErrorCode::TooLarge,
            _ => ErrorCode::BadRequest,
        };
        self.put(0, Err(Refusal::new(code, error.to_string())));
        self.is_ending = true;
    }

    fn answer(&mut self, id: u64, answer: Answer) {
        self.put(id, answer);
        // a frame may have waited for the room that this one took
        self.take_frames();
    }

    fn put(&mut self, id: u64, answer: Answer) {
        let body = answer.unwrap_or_else(reply::Body::Refused);
        self.output.put(id, body);
    }

    fn push(&mut self) {
        for body in self.session.pushes.take(self.app.env.now_ms()) {
            self.output.put(0, body);
        }
    }

    fn sent(&mut self, sent: &io::Result<usize>) -> Result<(), Gone> {
        let Ok(bytes) = sent else {
            return Err(Gone);
        };
        if !self.may_read() {
            // nothing is read right now, so taking replies is the only sign of life
            self.moved(*bytes);
        }
        Ok(())
    }
}

async fn read_some(reader: &mut ReadHalf<Stream>, input: &mut BytesMut) -> io::Result<usize> {
    if input.len() == input.capacity() {
        let more = input.len().clamp(IDLE_BUFFER_BYTES, GROW_BYTES);
        input.reserve(more);
    }
    reader.read_buf(input).await
}

/// Bytes on their way out.
#[derive(Default)]
struct Output {
    bytes: BytesMut,
    is_flushing: bool,
}

impl Output {
    fn is_idle(&self) -> bool {
        self.bytes.is_empty() && !self.is_flushing
    }

    fn has_room(&self) -> bool {
        self.bytes.len() < UNSENT_BYTES_MAX
    }

    fn put(&mut self, id: u64, body: reply::Body) {
        let reply = |body| Reply {
            id,
            body: Some(body),
        };
        let frame = encode_frame(&reply(body)).or_else(|_| {
            tracing::error!("a reply was over the limit of a frame");
            let refusal = Refusal::new(ErrorCode::Internal, "the reply is too large to send");
            encode_frame(&reply(reply::Body::Refused(refusal)))
        });
        self.bytes.extend_from_slice(&frame.unwrap_or_default());
        self.is_flushing = true;
    }

    /// Writes some of it; says how many bytes.
    async fn send(&mut self, writer: &mut WriteHalf<Stream>) -> io::Result<usize> {
        let mut sent = 0;
        if !self.bytes.is_empty() {
            sent = writer.write_buf(&mut self.bytes).await?;
        }
        if self.bytes.is_empty() {
            writer.flush().await?;
            self.is_flushing = false;
            if self.bytes.capacity() > KEPT_SENT_BYTES {
                self.bytes = BytesMut::new();
            }
        }
        Ok(sent)
    }
}
