//! The same frames inside a WebSocket, byte by byte: what is understood, what ends the connection.

use conclave_proto::codec::{decode_frame, encode_frame};
use conclave_proto::frame::{Ping, Reply, Request, reply, request::Body};
use conclave_proto::hello::{Role, ServerHello};
use conclave_proto::limits::{
    FRAME_BYTES_MAX, HELLO_BYTES_MAX, WEBSOCKET_CONTROLS_MAX, WEBSOCKET_MESSAGE_BYTES_MAX,
};
use conclave_proto::{ALPN_HTTP, ErrorCode};
use prost::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::support::{World, hello, tls};

/// The example of RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const CONTINUED: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const FIN: u8 = 0x80;

/// A request for an upgrade, with one header left out and others put in.
pub(crate) fn upgrade(without: &str, with: &str) -> String {
    let lines = [
        "Host: server.conclave.invalid",
        "Connection: keep-alive, Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        &format!("Sec-WebSocket-Key: {KEY}"),
    ];
    let kept = lines
        .into_iter()
        .filter(|line| without.is_empty() || !line.starts_with(without));
    let headers = kept.collect::<Vec<_>>().join("\r\n");
    format!("GET /v1/ws HTTP/1.1\r\n{headers}\r\n{with}\r\n")
}

/// A client's end of a WebSocket that sends what it is told.
pub(crate) struct Socket {
    pub(crate) stream: TlsStream<TcpStream>,
    input: Vec<u8>,
}

impl Socket {
    /// Upgraded, nothing said yet.
    pub(crate) async fn open(world: &World) -> Self {
        let mut stream = tls(&world.server, world.folder.path(), ALPN_HTTP).await;
        stream.write_all(upgrade("", "").as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n")));
        let input = Vec::new();
        Self { stream, input }
    }

    /// With the hellos exchanged.
    pub(crate) async fn greeted(world: &World, role: Role) -> Self {
        let mut socket = Self::open(world).await;
        socket
            .frame(FIN | BINARY, &encode_frame(&hello(role)).unwrap())
            .await;
        let hello: ServerHello = socket.next().await;
        assert!(hello.refusal.is_none());
        socket
    }

    async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// One masked WebSocket frame; the mask is real.
    async fn frame(&mut self, first: u8, payload: &[u8]) {
        self.raw(&masked(first, payload)).await;
    }

    /// The first byte and payload of the next WebSocket frame; `None` at the end.
    async fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.stream.read_u8().await.ok()?;
        let length = match self.stream.read_u8().await.ok()? {
            126 => usize::from(self.stream.read_u16().await.ok()?),
            short @ ..126 => usize::from(short),
            _ => panic!("the server sends short messages, unmasked"),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some((first, payload))
    }

    /// The next of our frames, whatever messages it came in.
    async fn next<M: Message + Default>(&mut self) -> M {
        loop {
            if let Some((message, used)) = decode_frame(&self.input).unwrap() {
                self.input.drain(..used);
                return message;
            }
            let (first, payload) = self.receive().await.unwrap();
            assert_eq!(first, FIN | BINARY);
            assert!(payload.len() <= WEBSOCKET_MESSAGE_BYTES_MAX);
            self.input.extend(payload);
        }
    }

    /// A ping and its pong.
    pub(crate) async fn ping(&mut self) {
        self.frame(FIN | PING, &[]).await;
        assert_eq!(self.receive().await, Some((FIN | PONG, vec![])));
    }

    /// Whether the server ends it, without another word.
    pub(crate) async fn is_ended(&mut self) -> bool {
        self.receive().await.is_none()
    }

    /// The code with which the server closes, nothing before it; nothing follows.
    async fn closed(mut self) -> u16 {
        let (first, payload) = self.receive().await.expect("a close frame");
        assert_eq!(first, FIN | CLOSE);
        let (code, reason) = payload.split_first_chunk().unwrap();
        assert!(!reason.is_empty());
        assert_eq!(self.receive().await, None);
        u16::from_be_bytes(*code)
    }
}

/// A whole message of frames.
pub(crate) fn masked_message(payload: &[u8]) -> Vec<u8> {
    masked(FIN | BINARY, payload)
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(length @ ..126) => bytes.push(0x80 | u8::try_from(length).unwrap()),
        Ok(length) => {
            bytes.push(0xfe);
            bytes.extend(length.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0xff);
            bytes.extend(u64::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    let mask = [0x5a, 0x01, 0xff, 0x77];
    bytes.extend(mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

fn ping(id: u64) -> Vec<u8> {
    let body = Some(Body::Ping(Ping {}));
    encode_frame(&Request { id, body }).unwrap()
}

/// Frames may be one to a message, several, or spread over messages and parts of messages with pings
/// between them; each request gets its answer, each ping its pong.
#[tokio::test]
async fn c070_frames_travel_in_binary_messages() {
    let world = World::new().await;
    let mut socket = Socket::greeted(&world, Role::Logs).await;
    socket.frame(FIN | BINARY, &ping(1)).await;
    let both = [ping(2), ping(3)].concat();
    socket.frame(FIN | BINARY, &both).await;
    for byte in ping(4) {
        socket.frame(FIN | BINARY, &[byte]).await;
    }
    for id in 1..=4 {
        let reply: Reply = socket.next().await;
        assert_eq!(reply.id, id);
    }
    let (start, end) = (&ping(5)[..3], &ping(5)[3..]);
    socket.frame(BINARY, start).await;
    socket.frame(FIN | PING, b"there?").await;
    assert_eq!(
        socket.receive().await,
        Some((FIN | PONG, b"there?".to_vec()))
    );
    socket.frame(CONTINUED, b"").await;
    socket.frame(FIN | CONTINUED, end).await;
    assert_eq!(socket.next::<Reply>().await.id, 5);
}

/// What the client closes is closed in return, with its own code, and then really closed.
#[tokio::test]
async fn c070_a_close_is_answered() {
    let world = World::new().await;
    let mut socket = Socket::greeted(&world, Role::Logs).await;
    socket.frame(FIN | CLOSE, &1000_u16.to_be_bytes()).await;
    let (first, payload) = socket.receive().await.unwrap();
    assert_eq!(
        (first, payload),
        (FIN | CLOSE, 1000_u16.to_be_bytes().to_vec())
    );
    assert_eq!(socket.receive().await, None);
}

/// Whatever a WebSocket may not carry here ends it with a code that says why, before the hello as well
/// as after it, and the server goes on.
#[tokio::test]
async fn c070_refuses_everything_else() {
    let world = World::new().await;
    let too_long = vec![0; WEBSOCKET_MESSAGE_BYTES_MAX + 1];
    let half = vec![0; WEBSOCKET_MESSAGE_BYTES_MAX / 2 + 1];
    let controls = usize::try_from(WEBSOCKET_CONTROLS_MAX).unwrap() + 1;
    let header_alone = [&[FIN | BINARY, 0xff][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat();
    let wrong: [(&str, u16, Vec<u8>); 14] = [
        ("text", 1003, masked(FIN | TEXT, b"hello")),
        ("text that is none", 1003, masked(FIN | TEXT, &[0xff, 0xfe])),
        ("too long", 1009, masked(FIN | BINARY, &too_long)),
        ("a length without end", 1009, header_alone),
        (
            "too long in parts",
            1009,
            [masked(BINARY, &half), masked(CONTINUED, &half)].concat(),
        ),
        ("not masked", 1002, vec![FIN | BINARY, 1, 0]),
        ("reserved bit", 1002, masked(FIN | 0x40 | BINARY, &[0])),
        ("unknown kind", 1002, masked(FIN | 0x3, &[0])),
        ("unknown control", 1002, masked(FIN | 0xb, &[0])),
        ("long ping", 1002, masked(FIN | PING, &[0; 126])),
        ("ping in parts", 1002, masked(PING, &[0])),
        (
            "an end without a start",
            1002,
            masked(FIN | CONTINUED, &[0]),
        ),
        (
            "empty messages",
            1008,
            masked(FIN | BINARY, &[]).repeat(controls),
        ),
        ("pongs", 1008, masked(FIN | PONG, &[]).repeat(controls)),
    ];
    for (name, code, bytes) in wrong {
        for mut socket in [
            Socket::open(&world).await,
            Socket::greeted(&world, Role::Logs).await,
        ] {
            socket.raw(&bytes).await;
            assert_eq!(socket.closed().await, code, "{name}");
        }
    }
    Socket::greeted(&world, Role::Logs).await;
}

/// Pings are answered until there are too many without a request.
#[tokio::test]
async fn c070_ends_a_flood_of_pings() {
    let world = World::new().await;
    let mut socket = Socket::greeted(&world, Role::Logs).await;
    for round in 1..=2 {
        for _ in 0..WEBSOCKET_CONTROLS_MAX {
            socket.frame(FIN | PING, &[]).await;
            assert_eq!(socket.receive().await, Some((FIN | PONG, vec![])));
        }
        if round == 1 {
            socket.frame(FIN | BINARY, &ping(1)).await;
            assert_eq!(socket.next::<Reply>().await.id, 1);
        }
    }
    socket.frame(FIN | PING, &[]).await;
    assert_eq!(socket.receive().await, Some((FIN | PONG, vec![])));
    assert_eq!(socket.closed().await, 1008);
}

/// The limits of hellos and frames hold inside a WebSocket too, with the same refusals.
#[tokio::test]
async fn c004_refuses_long_frames_in_a_websocket() {
    let world = World::new().await;
    let mut socket = Socket::open(&world).await;
    let length = u32::try_from(HELLO_BYTES_MAX + 1).unwrap();
    socket.frame(FIN | BINARY, &length.to_be_bytes()).await;
    let hello: ServerHello = socket.next().await;
    assert_eq!(hello.refusal.unwrap().code(), ErrorCode::TooLarge);

    let mut socket = Socket::greeted(&world, Role::Logs).await;
    let length = u32::try_from(FRAME_BYTES_MAX + 1).unwrap();
    socket.frame(FIN | BINARY, &length.to_be_bytes()).await;
    let reply: Reply = socket.next().await;
    let Some(reply::Body::Refused(refusal)) = reply.body else {
        panic!("{reply:?}")
    };
    assert_eq!(refusal.code(), ErrorCode::TooLarge);
    let (first, _) = socket.receive().await.unwrap();
    assert_eq!(first, FIN | CLOSE);
    assert_eq!(socket.receive().await, None);
}

/// An upgrade that is not RFC 6455's, version 13, with one host and one key, is told what is wrong.
#[tokio::test]
async fn c070_checks_the_upgrade() {
    let world = World::new().await;
    let good = upgrade("", "");
    let wrong = [
        (404, good.replace("/v1/ws", "/v1/wss")),
        (404, good.replace("/v1/ws", "/v2/ws")),
        (400, good.replace("GET", "POST")),
        (400, good.replace("HTTP/1.1", "HTTP/1.0")),
        (400, good.replace("HTTP/1.1", "HTTP/2")),
        (400, good.replace("Host:", "Host")),
        (400, upgrade("Host", "")),
        (426, upgrade("Upgrade", "")),
        (426, upgrade("Connection", "")),
        (426, upgrade("Connection", "Connection: close\r\n")),
        (426, upgrade("Sec-WebSocket-Version", "")),
        (
            426,
            upgrade("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8\r\n"),
        ),
        (400, upgrade("Sec-WebSocket-Key", "")),
        (
            400,
            upgrade("Sec-WebSocket-Key", "Sec-WebSocket-Key: c2hvcnQ=\r\n"),
        ),
        (400, upgrade("", &format!("Sec-WebSocket-Key: {KEY}\r\n"))),
        (400, upgrade("", &format!("X: {}\r\n", "x".repeat(5000)))),
    ];
    for (status, request) in wrong {
        let mut stream = tls(&world.server, world.folder.path(), ALPN_HTTP).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let line = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&line), "{request}\n{answer}");
        assert!(status != 426 || answer.contains("websocket"), "{answer}");
    }
}
