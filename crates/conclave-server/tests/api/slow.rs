//! Who is slow on purpose: every stage of every kind of connection has an end, on a clock that stands
//! still until everybody waits.

use std::time::Duration;

use conclave_proto::codec::encode_frame;
use conclave_proto::frame::{Ping, Reply, Request, request::Body};
use conclave_proto::hello::Role;
use conclave_proto::limits::{HANDSHAKE_MS, IDLE_DEAD_MS};
use conclave_proto::{ALPN, ALPN_HTTP};
use conclave_server::config::Config;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::support::{Client, World, hello, tls};
use super::websocket::{Socket, masked_message, upgrade};

const PING: Body = Body::Ping(Ping {});
const SECOND: Duration = Duration::from_secs(1);
const ROLES: [Role; 5] = [
    Role::Account,
    Role::Directory,
    Role::Post,
    Role::Logs,
    Role::Blobs,
];

/// Sends one of `bytes` each second, while an honest client uses the server, until the server ends the
/// connection. Gives the time that this took, in ms.
pub(crate) async fn drip<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    bytes: &[u8],
    honest: &mut Client,
) -> u64 {
    let start = Instant::now();
    for byte in bytes.iter().cycle().take(1000) {
        honest.ask(PING).await.unwrap();
        // an end shows when reading
        let _ = stream.write_all(&[*byte]).await;
        let _ = stream.flush().await;
        let read = standing(timeout(SECOND, stream.read(&mut [0; 512]))).await;
        if let Ok(Ok(0) | Err(_)) = read {
            honest.ask(PING).await.unwrap();
            return u64::try_from(start.elapsed().as_millis()).unwrap();
        }
    }
    panic!("the server waits for ever");
}

/// Waits for something with a clock that jumps to the next deadline whenever nothing happens.
async fn standing<T>(waiting: impl Future<Output = T>) -> T {
    tokio::time::pause();
    let waited = waiting.await;
    tokio::time::resume();
    waited
}

/// Whether something ended at a deadline, give or take what the test itself let pass before it looked.
pub(crate) fn is_at(took_ms: u64, deadline_ms: u64) -> bool {
    (deadline_ms - 1000..deadline_ms + 1500).contains(&took_ms)
}

/// Lets time go by, for everybody.
async fn pass(time: Duration) {
    // nothing comes, so that the time is up
    let _ = standing(timeout(time, std::future::pending::<()>())).await;
}

/// Whoever does not get through TLS, upgrade and hello in ten seconds is gone, however it drips; an
/// honest client next to it notices nothing.
#[tokio::test]
async fn c071_slow_greetings_end_by_the_deadline() {
    let world = World::new().await;
    let folder = world.folder.path();
    let mut honest = world.connect(Role::Logs).await;
    let address = world.server.local_address();
    // a record of 512 bytes that begins a hello of TLS 1.3
    let record = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0; 505]].concat();
    let ours = encode_frame(&hello(Role::Logs)).unwrap();
    let health = b"GET /readyz HTTP/1.1\r\nHost: x\r\nX: 1\r\n\r\n".to_vec();

    let mut silent = TcpStream::connect(address).await.unwrap();
    let took = drip(&mut silent, &record, &mut honest).await;
    assert!(is_at(took, HANDSHAKE_MS), "TLS: {took}");
    for (name, alpn, bytes) in [
        ("hello", ALPN, ours.clone()),
        ("health", ALPN_HTTP, health),
        ("upgrade", ALPN_HTTP, upgrade("", "").into_bytes()),
    ] {
        let mut stream = tls(&world.server, folder, alpn).await;
        let took = drip(&mut stream, &bytes, &mut honest).await;
        assert!(is_at(took, HANDSHAKE_MS), "{name}: {took}");
    }
    let mut socket = Socket::open(&world).await;
    let took = drip(&mut socket.stream, &masked_message(&ours), &mut honest).await;
    assert!(is_at(took, HANDSHAKE_MS), "hello in a websocket: {took}");
}

/// Who stops in the middle of a frame is gone after 90 s on a connection of any role, also when a byte
/// comes each second, and in a WebSocket.
#[tokio::test]
async fn c071_slow_frames_end_by_the_deadline() {
    let world = World::new().await;
    let mut honest = world.connect(Role::Logs).await;
    // a frame of 1 MiB, at its beginning
    let frame = [&[0, 0x10, 0, 0][..], &[0; 1020]].concat();
    for role in ROLES {
        let mut slow = world.connect(role).await;
        let took = drip(&mut slow.stream, &frame, &mut honest).await;
        assert!(is_at(took, IDLE_DEAD_MS), "{role:?}: {took}");
        let mut slow = Socket::greeted(&world, role).await;
        let took = drip(&mut slow.stream, &masked_message(&frame), &mut honest).await;
        assert!(is_at(took, IDLE_DEAD_MS), "{role:?} in a websocket: {took}");
    }
}

/// A silent client is gone after 90 s; one that pings in time stays.
#[tokio::test]
async fn c071_silence_ends_and_pings_keep() {
    let world = World::new().await;
    let mut alive = world.connect(Role::Logs).await;
    for _ in 0..5 {
        let mut silent = world.connect(Role::Logs).await;
        let start = Instant::now();
        let early = standing(timeout(80 * SECOND, silent.frame::<Reply>())).await;
        assert!(early.is_err(), "still there");
        alive.ask(PING).await.unwrap();
        assert_eq!(standing(silent.frame::<Reply>()).await, None);
        alive.ask(PING).await.unwrap();
        let took = u64::try_from(start.elapsed().as_millis()).unwrap();
        assert!(is_at(took, IDLE_DEAD_MS), "{took}");
    }
}

/// A WebSocket's own pings are no sign of life: only frames are.
#[tokio::test]
async fn c071_websocket_pings_do_not_keep() {
    let world = World::new().await;
    let mut socket = Socket::greeted(&world, Role::Logs).await;
    let start = Instant::now();
    for _ in 0..8 {
        socket.ping().await;
        pass(10 * SECOND).await;
    }
    assert!(standing(socket.is_ended()).await);
    let took = u64::try_from(start.elapsed().as_millis()).unwrap();
    assert!(is_at(took, IDLE_DEAD_MS), "{took}");
}

/// A long frame over a slow line is no attack: a megabyte at 6 kB/s arrives and is answered.
#[tokio::test]
async fn c071_slow_lines_are_served() {
    let world = World::new().await;
    let mut client = world.connect(Role::Logs).await;
    let ping = encode_frame(&Request {
        id: 1,
        body: Some(PING),
    })
    .unwrap();
    // a field that nobody knows (number 1000, 1 MiB) behind an ordinary ping
    let filler = [&[0xc2, 0x3e, 0x80, 0x80, 0x40][..], &vec![0; 1 << 20]].concat();
    let length = u32::try_from(ping.len() - 4 + filler.len()).unwrap();
    let frame = [&length.to_be_bytes()[..], &ping[4..], &filler].concat();
    let start = Instant::now();
    for piece in frame.chunks(60_000) {
        client.raw(piece).await;
        pass(10 * SECOND).await;
    }
    assert!(client.reply(1).await.is_ok());
    assert!(start.elapsed() > Duration::from_millis(IDLE_DEAD_MS));
}

/// Who asks and never reads the answers is no longer read from, and gone after 90 s.
#[tokio::test]
async fn c071_who_never_reads_is_cut_off() {
    let world = World::new().await;
    let mut honest = world.connect(Role::Logs).await;
    let mut stream = tls(&world.server, world.folder.path(), ALPN).await;
    stream
        .write_all(&encode_frame(&hello(Role::Logs)).unwrap())
        .await
        .unwrap();
    // requests of no kind: the refusals are longer than the questions
    let mut asked = Vec::new();
    for id in 1..1000 {
        asked.extend(encode_frame(&Request { id, body: None }).unwrap());
    }
    let (mut sent, mut blocked_since) = (0, Instant::now());
    loop {
        match standing(timeout(30 * SECOND, stream.write(&asked))).await {
            Ok(Ok(written)) => {
                sent += written;
                blocked_since = Instant::now();
                assert!(sent < 1 << 26, "the server reads on and on");
            }
            Ok(Err(_)) => break,
            Err(_) => drop(honest.ask(PING).await.unwrap()),
        }
    }
    let took = u64::try_from(blocked_since.elapsed().as_millis()).unwrap();
    assert!(took < IDLE_DEAD_MS + 1500, "{took}");
    let mut other = world.connect(Role::Logs).await;
    other.ask(PING).await.unwrap();
}

/// Places that slow strangers take are free for honest clients after the deadline.
#[tokio::test]
async fn c071_places_are_free_again() {
    let mut config = Config::default();
    config.server.max_connections = 8;
    let world = World::with(config).await;
    let mut stalled = Vec::new();
    for _ in 0..8 {
        stalled.push(
            TcpStream::connect(world.server.local_address())
                .await
                .unwrap(),
        );
    }
    let mut late = TcpStream::connect(world.server.local_address())
        .await
        .unwrap();
    assert_eq!(late.read(&mut [0]).await.unwrap_or(0), 0);
    for mut stream in stalled {
        assert_eq!(standing(stream.read(&mut [0])).await.unwrap_or(0), 0);
    }
    let mut honest = world.connect(Role::Logs).await;
    honest.ask(PING).await.unwrap();
}
