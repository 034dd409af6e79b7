//! Calls, pushes, silence and lies on an open connection.

use std::sync::Arc;

use conclave_client::transport::memory::{Guest, honest_hello};
use conclave_client::transport::{
    BoxFuture, Connection, MemoryTransport, Push, Transport, TransportError, calls,
};
use conclave_proto::codec::{decode_frame, encode_frame};
use conclave_proto::env::OsEnv;
use conclave_proto::frame::{Done, Reply, Request, reply, request};
use conclave_proto::hello::{ClientHello, Role};
use conclave_proto::id::{Seq, ServerId};
use conclave_proto::inbox::InboxHint;
use conclave_proto::limits::{FRAME_BYTES_MAX, IDLE_DEAD_MS, PING_MS};
use conclave_proto::log::{Appended, LogPush, SignalPush};
use conclave_proto::{ErrorCode, Refusal};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Duration, Instant, timeout};

const SERVER: ServerId = ServerId::new([1; 32]);

/// A server that only passes on what it is asked.
fn asked() -> (MemoryTransport, UnboundedReceiver<(Guest, Request)>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let handler = move |guest: &Guest, request| sender.send((guest.clone(), request)).unwrap();
    let transport = MemoryTransport::new(SERVER, [2; 32], OsEnv::shared(), handler);
    (transport, receiver)
}

async fn connect(transport: &MemoryTransport) -> Arc<dyn Connection> {
    transport.connect(Role::Logs).await.unwrap()
}

/// Starts an append on the side; its payload is `mark`.
fn append(
    connection: &Arc<dyn Connection>,
    mark: u8,
) -> JoinHandle<Result<Appended, TransportError>> {
    let connection = connection.clone();
    tokio::spawn(async move { calls::append_entry(connection.as_ref(), 1, vec![mark]).await })
}

fn mark_of(request: &Request) -> u8 {
    match &request.body {
        Some(request::Body::AppendEntry(entry)) => entry.payload[0],
        other => panic!("not an append: {other:?}"),
    }
}

fn appended(seq: u64) -> reply::Body {
    reply::Body::Appended(Appended { seq, day: 0 })
}

/// Answers in any order reach the calls they belong to.
#[tokio::test]
async fn replies_find_their_calls_in_any_order() {
    let (transport, mut requests) = asked();
    let connection = connect(&transport).await;
    let calls: Vec<_> = (0..20).map(|mark| append(&connection, mark)).collect();
    let mut seen = vec![];
    for _ in 0..20 {
        seen.push(requests.recv().await.unwrap());
    }
    for (guest, request) in seen.iter().rev() {
        guest.send(request.id, appended(mark_of(request).into()));
    }
    for (mark, call) in calls.into_iter().enumerate() {
        let mark = u64::try_from(mark).unwrap();
        assert_eq!(call.await.unwrap().unwrap().seq, mark);
    }
}

/// No more than 32 questions are unanswered at once; the next goes out when one was answered.
#[tokio::test(start_paused = true)]
async fn c011_keeps_within_the_bound_of_unanswered_requests() {
    let (transport, mut requests) = asked();
    let connection = connect(&transport).await;
    let mut calls: JoinSet<_> = (0..33)
        .map(|mark| {
            let connection = connection.clone();
            async move { calls::append_entry(connection.as_ref(), 1, vec![mark]).await }
        })
        .collect();
    let mut seen = vec![];
    for _ in 0..32 {
        seen.push(requests.recv().await.unwrap());
    }
    let idle = timeout(Duration::from_secs(1), requests.recv()).await;
    assert!(idle.is_err(), "a 33rd request went out");

    let (guest, first) = &seen[0];
    guest.send(first.id, appended(1));
    assert!(calls.join_next().await.unwrap().unwrap().is_ok());
    assert!(requests.recv().await.is_some());
}

/// Whatever ends a connection is the answer to every call in flight and to every later one.
async fn ends_with(error: TransportError, end: impl FnOnce(&MemoryTransport, &Guest, &Request)) {
    let (transport, mut requests) = asked();
    let connection = connect(&transport).await;
    let mut pushes = connection.pushes().unwrap();
    let calls: Vec<_> = (0..5).map(|mark| append(&connection, mark)).collect();
    let mut last = requests.recv().await.unwrap();
    for _ in 1..5 {
        last = requests.recv().await.unwrap();
    }
    end(&transport, &last.0, &last.1);
    for call in calls {
        assert_eq!(call.await.unwrap(), Err(error.clone()));
    }
    assert_eq!(pushes.recv().await, None);
    assert_eq!(connection.closed(), Some(error.clone()));
    assert_eq!(calls::ping(connection.as_ref()).await, Err(error));
}

/// A server that goes away mid-call leaves no call hanging, whether it hangs up or is cut off.
#[tokio::test]
async fn a_lost_server_answers_every_call() {
    ends_with(TransportError::Closed, |_, guest, _| guest.hang_up()).await;
    ends_with(TransportError::Closed, |transport, _, _| transport.cut()).await;
}

/// A reply to a question nobody asked, and a second reply to one that was, close the connection.
#[tokio::test]
async fn unasked_replies_close_the_connection() {
    let unasked = || TransportError::Protocol("a reply to a question nobody asked");
    ends_with(unasked(), |_, guest, request| {
        guest.send(request.id + 1, appended(1));
    })
    .await;

    let (transport, mut requests) = asked();
    let connection = connect(&transport).await;
    let call = append(&connection, 0);
    let (guest, request) = requests.recv().await.unwrap();
    guest.send(request.id, appended(1));
    guest.send(request.id, appended(2));
    assert_eq!(call.await.unwrap().unwrap().seq, 1);
    let mut pushes = connection.pushes().unwrap();
    assert_eq!(pushes.recv().await, None);
    assert_eq!(connection.closed(), Some(unasked()));
}

/// A frame over 4 MiB closes the connection by its length alone: not one byte of it was sent.
#[tokio::test]
async fn c004_an_oversized_frame_closes() {
    let oversized = TransportError::Protocol("a frame is over its limit");
    ends_with(oversized, |_, guest, _| {
        let length = u32::try_from(FRAME_BYTES_MAX + 1).unwrap();
        guest.send_bytes(length.to_be_bytes().to_vec());
    })
    .await;
}

/// Replies that are malformed, empty, or pushes that are none close the connection.
#[tokio::test]
async fn malformed_replies_close_the_connection() {
    let malformed = TransportError::Protocol("a reply is malformed");
    ends_with(malformed, |_, guest, _| {
        guest.send_bytes(vec![0, 0, 0, 2, 0xff, 0xff]);
    })
    .await;
    let empty = TransportError::Protocol("a reply is empty");
    ends_with(empty, |_, guest, request| {
        let id = request.id;
        guest.send_bytes(encode_frame(&Reply { id, body: None }).unwrap());
    })
    .await;
    let no_push = TransportError::Protocol("a push that is none");
    ends_with(no_push, |_, guest, _| guest.send(0, appended(1))).await;
}

/// A refusal that answers no question is the server's goodbye, and its code reaches every call.
#[tokio::test]
async fn a_goodbye_says_why() {
    let refusal = Refusal::new(ErrorCode::ShuttingDown, "the server is stopping");
    let error = TransportError::Refused(Box::new(refusal.clone()));
    ends_with(error, |_, guest, _| {
        guest.send(0, reply::Body::Refused(refusal));
    })
    .await;
}

/// A refused call is an error with its code; the connection goes on.
#[tokio::test]
async fn a_refused_call_leaves_the_connection_open() {
    let (transport, mut requests) = asked();
    let connection = connect(&transport).await;
    let call = append(&connection, 0);
    let (guest, request) = requests.recv().await.unwrap();
    let refusal = Refusal::new(ErrorCode::StaleEpoch, "the epoch is over");
    guest.send(request.id, reply::Body::Refused(refusal.clone()));
    let error = call.await.unwrap();
    assert_eq!(error, Err(TransportError::Refused(Box::new(refusal))));
    assert_eq!(calls::ping(connection.as_ref()).await, Ok(()));
}

/// A reply of the wrong kind, or one answer too few, is no answer and closes the connection.
#[tokio::test]
async fn a_reply_of_the_wrong_kind_closes() {
    let wrong = TransportError::Protocol("a reply of the wrong kind");
    let (transport, mut requests) = asked();
    tokio::spawn(async move {
        while let Some((guest, request)) = requests.recv().await {
            let none = conclave_proto::log::OpenedLogs::default();
            guest.send(request.id, reply::Body::OpenedLogs(none));
        }
    });
    let connection = connect(&transport).await;
    let page = calls::read_log(connection.as_ref(), 1, Seq(0), 100).await;
    assert_eq!(page, Err(wrong.clone()));
    assert!(connection.is_closed());

    let connection = connect(&transport).await;
    let one = conclave_proto::log::OpenOne::default();
    let opened = calls::open_logs(connection.as_ref(), vec![one]).await;
    assert_eq!(opened, Err(wrong));
    assert!(connection.is_closed());
}

/// A caller that loses patience leaves no trap: the late answer is known and dropped.
#[tokio::test]
async fn a_late_answer_to_a_dropped_call_is_no_violation() {
    let (transport, mut requests) = asked();
    let connection = connect(&transport).await;
    let call = append(&connection, 0);
    let (guest, request) = requests.recv().await.unwrap();
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    guest.send(request.id, appended(1));
    assert_eq!(calls::ping(connection.as_ref()).await, Ok(()));
}

/// A request over the frame limit is not sent and harms nothing.
#[tokio::test]
async fn c004_never_sends_an_oversized_frame() {
    let (transport, _requests) = asked();
    let connection = connect(&transport).await;
    let payload = vec![0; FRAME_BYTES_MAX];
    let error = calls::append_entry(connection.as_ref(), 1, payload).await;
    assert!(matches!(error, Err(TransportError::TooLarge(_))));
    assert_eq!(calls::ping(connection.as_ref()).await, Ok(()));
}

/// A frame of nearly the whole limit passes both ways.
#[tokio::test]
async fn large_frames_pass() {
    let (transport, mut requests) = asked();
    let connection = connect(&transport).await;
    let payload = vec![7; FRAME_BYTES_MAX - 64];
    let call = tokio::spawn({
        let (connection, payload) = (connection.clone(), payload.clone());
        let body =
            request::Body::AppendEntry(conclave_proto::log::AppendEntry { handle: 1, payload });
        async move { connection.call(body).await }
    });
    let (guest, request) = requests.recv().await.unwrap();
    let bytes = payload;
    let blob = reply::Body::BlobBytes(conclave_proto::blob::BlobBytes { bytes });
    guest.send(request.id, blob.clone());
    assert_eq!(call.await.unwrap(), Ok(blob));
}

/// Pushes arrive in order and can be taken once.
#[tokio::test]
async fn pushes_arrive() {
    let (transport, mut requests) = asked();
    let connection = connect(&transport).await;
    let mut pushes = connection.pushes().unwrap();
    assert!(connection.pushes().is_none());
    let _call = append(&connection, 0);
    let (guest, _) = requests.recv().await.unwrap();
    let log = LogPush {
        handle: 1,
        seq: 2,
        entry: None,
    };
    let signal = SignalPush {
        handle: 1,
        payload: vec![3],
    };
    guest.send(0, reply::Body::LogPush(log.clone()));
    guest.send(0, reply::Body::SignalPush(signal.clone()));
    guest.send(0, reply::Body::InboxHint(InboxHint {}));
    assert_eq!(pushes.recv().await, Some(Push::Log(log)));
    assert_eq!(pushes.recv().await, Some(Push::Signal(signal)));
    assert_eq!(pushes.recv().await, Some(Push::Inbox));
}

/// A flood of pushes nobody takes is cut at 256, the last of which says that some are gone; calls go on.
#[tokio::test]
async fn c011_pushes_are_bounded() {
    let (transport, mut requests) = asked();
    let connection = connect(&transport).await;
    let mut pushes = connection.pushes().unwrap();
    let call = append(&connection, 0);
    let (guest, request) = requests.recv().await.unwrap();
    for _ in 0..10_000 {
        guest.send(0, reply::Body::InboxHint(InboxHint {}));
    }
    guest.send(request.id, appended(1));
    call.await.unwrap().unwrap();

    let mut kept = vec![];
    while let Ok(push) = pushes.try_recv() {
        kept.push(push);
    }
    assert_eq!(kept.len(), 256);
    assert_eq!(kept.pop(), Some(Push::Lost));
    assert!(kept.iter().all(|push| *push == Push::Inbox));

    guest.send(0, reply::Body::InboxHint(InboxHint {}));
    assert_eq!(pushes.recv().await, Some(Push::Inbox));
}

/// The server's end of a connection, byte by byte.
struct Raw {
    stream: DuplexStream,
    bytes: Vec<u8>,
}

impl Raw {
    async fn read<M: Message + Default>(&mut self) -> M {
        loop {
            if let Some((message, used)) = decode_frame(&self.bytes).unwrap() {
                self.bytes.drain(..used);
                return message;
            }
            assert_ne!(self.stream.read_buf(&mut self.bytes).await.unwrap(), 0);
        }
    }

    async fn write(&mut self, message: &impl Message) {
        let frame = encode_frame(message).unwrap();
        self.stream.write_all(&frame).await.unwrap();
    }
}

/// A client and the raw end of its server, after the hellos.
async fn raw() -> (Arc<dyn Connection>, Raw) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let transport =
        MemoryTransport::with_accept(SERVER, [2; 32], OsEnv::shared(), move |stream, _| {
            let sender = sender.clone();
            Box::pin(async move {
                let mut end = Raw {
                    stream,
                    bytes: vec![],
                };
                let _: ClientHello = end.read().await;
                end.write(&honest_hello(&OsEnv)).await;
                sender.send(end).unwrap();
            })
        });
    let connection = connect(&transport).await;
    (connection, receiver.recv().await.unwrap())
}

/// An idle connection pings every 30 s and lives as long as it is answered.
#[tokio::test(start_paused = true)]
async fn pings_keep_an_idle_connection_alive() {
    let (connection, mut server) = raw().await;
    let start = Instant::now();
    for _ in 0..10 {
        let request: Request = server.read().await;
        assert!(matches!(request.body, Some(request::Body::Ping(_))));
        let body = Some(reply::Body::Done(Done {}));
        let id = request.id;
        server.write(&Reply { id, body }).await;
    }
    assert!(start.elapsed() >= Duration::from_millis(10 * PING_MS));
    assert!(!connection.is_closed());
}

/// A server that falls silent is given up after 90 s, and the calls in flight with it.
#[tokio::test(start_paused = true)]
async fn silence_ends_a_connection() {
    let (connection, _server) = raw().await;
    let mut pushes = connection.pushes().unwrap();
    let start = Instant::now();
    assert_eq!(pushes.recv().await, None);
    assert_eq!(start.elapsed(), Duration::from_millis(IDLE_DEAD_MS));
    assert_eq!(connection.closed(), Some(TransportError::TimedOut));
}

/// A server that answers pings and nothing else is given up as well.
#[tokio::test(start_paused = true)]
async fn an_unanswered_call_times_out() {
    let (transport, _requests) = asked();
    let connection = connect(&transport).await;
    let start = Instant::now();
    let answer = append(&connection, 0).await.unwrap();
    assert_eq!(answer, Err(TransportError::TimedOut));
    assert_eq!(start.elapsed(), Duration::from_millis(IDLE_DEAD_MS));
    assert!(connection.is_closed());
}

/// A server that never says hello is given up.
#[tokio::test(start_paused = true)]
async fn a_missing_hello_times_out() {
    let silent = |stream: DuplexStream, _| -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let _stream = stream;
            std::future::pending::<()>().await;
        })
    };
    let transport = MemoryTransport::with_accept(SERVER, [2; 32], OsEnv::shared(), silent);
    let error = transport.connect(Role::Logs).await.unwrap_err();
    assert_eq!(error, TransportError::TimedOut);
}

/// Closing, and dropping the last reference, end the connection on both sides.
#[tokio::test]
async fn closing_and_dropping_hang_up() {
    let (connection, mut server) = raw().await;
    connection.close();
    assert_eq!(connection.closed(), Some(TransportError::Closed));
    assert_eq!(server.stream.read(&mut [0; 1]).await.unwrap(), 0);

    let (connection, mut server) = raw().await;
    drop(connection);
    assert_eq!(server.stream.read(&mut [0; 1]).await.unwrap(), 0);
}

/// A server that is down for new connections leaves open ones alone, and comes back.
#[tokio::test]
async fn reachability_can_be_switched() {
    let (transport, _requests) = asked();
    let connection = connect(&transport).await;
    transport.set_reachable(false);
    let error = transport.connect(Role::Logs).await.unwrap_err();
    assert!(matches!(error, TransportError::Unreachable(_)));
    assert_eq!(calls::ping(connection.as_ref()).await, Ok(()));
    transport.set_reachable(true);
    connect(&transport).await;
}
