//! One connection over any byte stream: hellos, then calls matched by id, pushes and pings.
//!
//! 1. [`open`] exchanges the hellos and starts one task that owns the stream.
//! 2. A call takes one of the places in flight, registers its id and queues its frame.
//! 3. The task writes queued frames, pings when nothing was written for 30 s, and hands each reply
//!    to the call that waits for it.
//! 4. Whatever ends the connection first is its reason, and the answer to every call in flight.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use conclave_proto::codec::{CodecError, encode_frame};
use conclave_proto::env::SharedEnv;
use conclave_proto::frame::{Ping, Reply, Request, reply, request};
use conclave_proto::hello::{ClientHello, ConnectionContext, Role, ServerHello};
use conclave_proto::id::{Hash32, Incarnation, ServerId};
use conclave_proto::limits::{FRAME_BYTES_MAX, HELLO_BYTES_MAX, IDLE_DEAD_MS, PING_MS};
use conclave_proto::{ErrorCode, PROTOCOL_VERSION};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Duration, timeout};

use super::frames::FrameReader;
use super::{BoxFuture, Connection, Push, ServerFacts, TransportError};

/// Calls in flight at once; the server refuses more (C-011), so further ones wait here.
const CALLS_MAX: usize = 32;
/// Pushes kept for a slow reader; the last place is for [`Push::Lost`].
const PUSHES_MAX: usize = 256;
/// Frames joined into one write, in bytes; a single frame may be longer.
const WRITE_BYTES: usize = 64 * 1024;
/// How long saying goodbye may take, in ms.
const GOODBYE_MS: u64 = 1_000;

type Answer = Result<reply::Body, TransportError>;

/// Who is at the other end, as the layer below verified it.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) server_id: ServerId,
    /// TLS exporter value.
    pub(super) binding: Vec<u8>,
    /// Ed25519 key of the TLS leaf.
    pub(super) key: [u8; 32],
}

/// Exchanges the hellos on `stream` and returns the running connection.
pub(super) async fn open<S>(
    stream: S,
    peer: Peer,
    role: Role,
    env: &SharedEnv,
) -> Result<Arc<dyn Connection>, TransportError>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (read, mut write) = tokio::io::split(stream);
    let mut reader = FrameReader::new(read);
    let mut client_nonce = [0; 32];
    env.fill(&mut client_nonce);

    let sent_ms = env.now_ms();
    say_hello(&mut write, role, client_nonce).await?;
    let bytes = reader.next(HELLO_BYTES_MAX).await?;
    let (server_nonce, facts) = read_hello(bytes, sent_ms, env.now_ms())?;

    let shared = Arc::new(Shared::new());
    let (outgoing, queue) = mpsc::channel(CALLS_MAX);
    let (push_sender, pushes) = mpsc::channel(PUSHES_MAX);
    tokio::spawn(run(shared.clone(), reader, write, queue, push_sender));
    Ok(Arc::new(LiveConnection {
        context: ConnectionContext {
            server_id: peer.server_id,
            client_nonce,
            server_nonce,
            binding: peer.binding,
        },
        facts,
        server_key: peer.key,
        pushes: Mutex::new(Some(pushes)),
        outgoing,
        shared,
    }))
}

async fn say_hello<S: AsyncWrite>(
    write: &mut WriteHalf<S>,
    role: Role,
    nonce: [u8; 32],
) -> Result<(), TransportError> {
    let hello = ClientHello {
        version: PROTOCOL_VERSION,
        role: role.into(),
        nonce: nonce.to_vec(),
    };
    let frame = encode_frame(&hello).map_err(too_large)?;
    write
        .write_all(&frame)
        .await
        .map_err(|_| TransportError::Closed)?;
    write.flush().await.map_err(|_| TransportError::Closed)
}

fn read_hello(
    bytes: Bytes,
    sent_ms: u64,
    now_ms: u64,
) -> Result<([u8; 32], ServerFacts), TransportError> {
    let hello = ServerHello::decode(bytes)
        .map_err(|_| TransportError::Protocol("its hello is malformed"))?;
    if let Some(refusal) = hello.refusal {
        return Err(match refusal.code() {
            ErrorCode::UnsupportedVersion => TransportError::Incompatible,
            _ => TransportError::Refused(Box::new(refusal)),
        });
    }
    // C-001: any other version is refused
    if hello.version != PROTOCOL_VERSION {
        return Err(TransportError::Incompatible);
    }
    let nonce = <[u8; 32]>::try_from(hello.nonce)
        .map_err(|_| TransportError::Protocol("its hello has no nonce of 32 bytes"))?;
    let pass_hash = Hash32::parse(&hello.pass_hash)
        .ok_or(TransportError::Protocol("its hello shows no member pass"))?;
    let middle_ms = sent_ms + now_ms.saturating_sub(sent_ms) / 2;
    let skew = i128::from(hello.time_ms) - i128::from(middle_ms);
    let facts = ServerFacts {
        time_ms: hello.time_ms,
        skew_ms: i64::try_from(skew).unwrap_or(i64::MAX),
        pass_hash,
        incarnation: Incarnation(hello.incarnation),
    };
    Ok((nonce, facts))
}

fn too_large(error: CodecError) -> TransportError {
    match error {
        CodecError::FrameTooLarge { bytes, .. } => TransportError::TooLarge(bytes),
        _ => TransportError::TooLarge(FRAME_BYTES_MAX),
    }
}

/// A connection whose task runs.
struct LiveConnection {
    context: ConnectionContext,
    facts: ServerFacts,
    server_key: [u8; 32],
    pushes: Mutex<Option<mpsc::Receiver<Push>>>,
    outgoing: mpsc::Sender<Vec<u8>>,
    shared: Arc<Shared>,
}

impl fmt::Debug for LiveConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LiveConnection")
    }
}

impl Connection for LiveConnection {
    fn context(&self) -> &ConnectionContext {
        &self.context
    }

    fn hello(&self) -> &ServerFacts {
        &self.facts
    }

    fn server_key(&self) -> [u8; 32] {
        self.server_key
    }

    fn call(&self, body: request::Body) -> BoxFuture<'_, Answer> {
        Box::pin(self.ask(body))
    }

    fn pushes(&self) -> Option<mpsc::Receiver<Push>> {
        lock(&self.pushes).take()
    }

    fn closed(&self) -> Option<TransportError> {
        self.shared.closed.borrow().clone()
    }

    fn close(&self) {
        self.shared.close(TransportError::Closed);
    }
}

impl Drop for LiveConnection {
    fn drop(&mut self) {
        self.close();
    }
}

impl LiveConnection {
    async fn ask(&self, body: request::Body) -> Answer {
        let Ok(place) = self.shared.places.clone().acquire_owned().await else {
            return Err(self.shared.reason());
        };
        let limit = Duration::from_millis(IDLE_DEAD_MS);
        let answer = timeout(limit, self.exchange(body, place)).await;
        answer.unwrap_or_else(|_| {
            // a server that lives but does not answer: no other call here can be trusted to end
            self.shared.close(TransportError::TimedOut);
            Err(self.shared.reason())
        })
    }

    async fn exchange(&self, body: request::Body, place: OwnedSemaphorePermit) -> Answer {
        // the slot comes first, so that a call dropped while it waits has registered nothing
        let Ok(slot) = self.outgoing.reserve().await else {
            return Err(self.shared.reason());
        };
        let (frame, answer) = self.shared.register(body, Some(place))?;
        slot.send(frame);
        answer.await.unwrap_or_else(|_| Err(self.shared.reason()))
    }
}

/// A question that was sent. It stays here when its caller goes away, so that the late answer is known.
struct Waiting {
    answer: oneshot::Sender<Answer>,
    /// Freed by the answer.
    _place: Option<OwnedSemaphorePermit>,
}

/// What the callers and the task of a connection share.
struct Shared {
    last_id: AtomicU64,
    waiting: Mutex<BTreeMap<u64, Waiting>>,
    places: Arc<Semaphore>,
    closed: watch::Sender<Option<TransportError>>,
}

impl Shared {
    fn new() -> Self {
        Self {
            last_id: AtomicU64::new(0),
            waiting: Mutex::default(),
            places: Arc::new(Semaphore::new(CALLS_MAX)),
            closed: watch::Sender::new(None),
        }
    }

    /// Why the connection is closed.
    fn reason(&self) -> TransportError {
        self.closed
            .borrow()
            .clone()
            .unwrap_or(TransportError::Closed)
    }

    /// Closes for `reason` unless closed already, and answers every call in flight with it.
    fn close(&self, reason: TransportError) {
        self.closed.send_if_modified(|closed| {
            let first = closed.is_none();
            closed.get_or_insert(reason);
            first
        });
        self.places.close();
        let reason = self.reason();
        for waiting in std::mem::take(&mut *lock(&self.waiting)).into_values() {
            // a caller that went away needs no answer
            let _ = waiting.answer.send(Err(reason.clone()));
        }
    }

    /// A numbered frame for `body`, and where its answer will come.
    fn register(
        &self,
        body: request::Body,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<(Vec<u8>, oneshot::Receiver<Answer>), TransportError> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let request = Request {
            id,
            body: Some(body),
        };
        let frame = encode_frame(&request).map_err(too_large)?;
        let (answer, receiver) = oneshot::channel();
        let mut waiting = lock(&self.waiting);
        // checked under the lock that closing drains: a question is never left behind
        if self.closed.borrow().is_some() {
            return Err(self.reason());
        }
        let question = Waiting {
            answer,
            _place: place,
        };
        waiting.insert(id, question);
        Ok((frame, receiver))
    }

    /// Hands one frame from the server to whom it is for.
    fn deliver(&self, bytes: Bytes, pushes: &mpsc::Sender<Push>) -> Result<(), TransportError> {
        let reply =
            Reply::decode(bytes).map_err(|_| TransportError::Protocol("a reply is malformed"))?;
        let body = reply
            .body
            .ok_or(TransportError::Protocol("a reply is empty"))?;
        if reply.id == 0 {
            return take_push(body, pushes);
        }
        let waiting = lock(&self.waiting)
            .remove(&reply.id)
            .ok_or(TransportError::Protocol(
                "a reply to a question nobody asked",
            ))?;
        let answer = match body {
            reply::Body::Refused(refusal) => Err(TransportError::Refused(Box::new(refusal))),
            body => Ok(body),
        };
        // a caller that went away needs no answer
        let _ = waiting.answer.send(answer);
        Ok(())
    }
}

/// Queues a push; a refusal without a question is the server's goodbye.
fn take_push(body: reply::Body, pushes: &mpsc::Sender<Push>) -> Result<(), TransportError> {
    let push = match body {
        reply::Body::InboxHint(_) => Push::Inbox,
        reply::Body::LogPush(push) => Push::Log(push),
        reply::Body::SignalPush(push) => Push::Signal(push),
        reply::Body::Refused(refusal) => return Err(TransportError::Refused(Box::new(refusal))),
        _ => return Err(TransportError::Protocol("a push that is none")),
    };
    // Only this task sends, so the room seen here can only grow. The last place always holds `Lost`:
    // when the queue is full, the reader is going to find it.
    let push = if pushes.capacity() == 1 {
        Push::Lost
    } else {
        push
    };
    let _ = pushes.try_send(push);
    Ok(())
}

/// Owns the stream until something ends the connection.
async fn run<S>(
    shared: Arc<Shared>,
    reader: FrameReader<ReadHalf<S>>,
    mut write: WriteHalf<S>,
    queue: mpsc::Receiver<Vec<u8>>,
    pushes: mpsc::Sender<Push>,
) where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let reason = tokio::select! {
        biased;
        reason = read_replies(&shared, reader, &pushes) => reason,
        reason = write_requests(&shared, &mut write, queue) => reason,
        reason = until_closed(&shared) => reason,
    };
    shared.close(reason);
    drop(pushes);
    // closed either way; the goodbye only spares the server a wait
    let _ = timeout(Duration::from_millis(GOODBYE_MS), write.shutdown()).await;
}

async fn read_replies<S: AsyncRead>(
    shared: &Shared,
    mut reader: FrameReader<ReadHalf<S>>,
    pushes: &mpsc::Sender<Push>,
) -> TransportError {
    loop {
        let delivered = match reader.next(FRAME_BYTES_MAX).await {
            Ok(bytes) => shared.deliver(bytes, pushes),
            Err(error) => Err(error),
        };
        if let Err(error) = delivered {
            return error;
        }
    }
}

async fn write_requests<S: AsyncWrite>(
    shared: &Shared,
    write: &mut WriteHalf<S>,
    mut queue: mpsc::Receiver<Vec<u8>>,
) -> TransportError {
    loop {
        let mut bytes = match timeout(Duration::from_millis(PING_MS), queue.recv()).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return TransportError::Closed,
            Err(_) => match shared.register(request::Body::Ping(Ping {}), None) {
                Ok((frame, _)) => frame,
                Err(error) => return error,
            },
        };
        while bytes.len() < WRITE_BYTES
            && let Ok(frame) = queue.try_recv()
        {
            bytes.extend_from_slice(&frame);
        }
        if write.write_all(&bytes).await.is_err() || write.flush().await.is_err() {
            return TransportError::Closed;
        }
    }
}

async fn until_closed(shared: &Shared) -> TransportError {
    let mut closed = shared.closed.subscribe();
    // fails only when the sender is gone, which is closed as well
    drop(closed.wait_for(Option::is_some).await);
    TransportError::Closed
}

/// A poisoned lock still guards whole values here: no holder panics between two writes.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
