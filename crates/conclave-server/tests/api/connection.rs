//! Hellos, roles, frames, health, and how the server stops.

use conclave_proto::account::{FetchStatus, Lookup};
use conclave_proto::codec::encode_frame;
use conclave_proto::frame::{Ping, Reply, Request, reply, request::Body};
use conclave_proto::hello::{Role, ServerHello};
use conclave_proto::limits::{FRAME_BYTES_MAX, HELLO_BYTES_MAX};
use conclave_proto::{ErrorCode, PROTOCOL_VERSION};
use conclave_server::health;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::support::{Client, World, hello, tls};

const PING: Body = Body::Ping(Ping {});

/// A hello of another version is refused with a code that says so.
#[tokio::test]
async fn c001_refuses_other_versions() {
    let world = World::new().await;
    for version in [0, PROTOCOL_VERSION + 1] {
        let other = conclave_proto::hello::ClientHello {
            version,
            ..hello(Role::Account)
        };
        let mut client = Client::greet(&world.server, world.folder.path(), &other).await;
        let refusal = client.hello.refusal.clone().unwrap();
        assert_eq!(refusal.code(), ErrorCode::UnsupportedVersion);
        assert!(client.hello.nonce.is_empty());
        assert_eq!(client.frame::<Reply>().await, None);
    }
}

/// A hello without a role, with an unknown one or with a short nonce is refused.
#[tokio::test]
async fn c006_a_hello_needs_a_role() {
    let world = World::new().await;
    let mut short = hello(Role::Logs);
    short.nonce.pop();
    let mut unknown = hello(Role::Logs);
    unknown.role = 99;
    for wrong in [hello(Role::Unspecified), unknown, short] {
        let client = Client::greet(&world.server, world.folder.path(), &wrong).await;
        let refusal = client.hello.refusal.unwrap();
        assert_eq!(refusal.code(), ErrorCode::BadRequest);
    }
}

/// A request of another role is refused, on every role; a ping is answered on all.
#[tokio::test]
async fn c006_refuses_requests_of_another_role() {
    let world = World::new().await;
    for role in [
        Role::Account,
        Role::Directory,
        Role::Post,
        Role::Logs,
        Role::Blobs,
    ] {
        let mut client = world.connect(role).await;
        client.ask(PING).await.unwrap();
        let other = match role {
            Role::Account => Body::Lookup(Lookup::default()),
            _ => Body::FetchStatus(FetchStatus {}),
        };
        let refusal = client.ask(other).await.unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::BadRequest, "{role:?}");
        assert!(refusal.message.contains("role"), "{refusal}");
    }
}

/// A frame over the limit ends the connection by its prefix alone, before and after the hello.
#[tokio::test]
async fn c004_refuses_long_frames_by_their_prefix() {
    let world = World::new().await;
    let mut client = world.connect(Role::Logs).await;
    let length = u32::try_from(FRAME_BYTES_MAX + 1).unwrap();
    client.raw(&length.to_be_bytes()).await;
    let reply: Reply = client.frame().await.unwrap();
    let Some(reply::Body::Refused(refusal)) = reply.body else {
        panic!("{reply:?}")
    };
    assert_eq!((reply.id, refusal.code()), (0, ErrorCode::TooLarge));
    assert_eq!(client.frame::<Reply>().await, None);

    let folder = world.folder.path();
    let mut stream = tls(&world.server, folder, conclave_proto::ALPN).await;
    let length = u32::try_from(HELLO_BYTES_MAX + 1).unwrap();
    stream.write_all(&length.to_be_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let (answer, _) = conclave_proto::codec::decode_frame::<ServerHello>(&answer)
        .unwrap()
        .unwrap();
    assert_eq!(answer.refusal.unwrap().code(), ErrorCode::TooLarge);
}

/// Bytes that are no request end the connection; an id that is 0 or used twice is refused.
#[tokio::test]
async fn malformed_requests_are_refused() {
    let world = World::new().await;
    let mut client = world.connect(Role::Logs).await;
    let zero = Request {
        id: 0,
        body: Some(PING),
    };
    client.raw(&encode_frame(&zero).unwrap()).await;
    let refused = client.push().await;
    assert!(matches!(refused, reply::Body::Refused(r) if r.code() == ErrorCode::BadRequest));
    let empty = Request { id: 9, body: None };
    client.raw(&encode_frame(&empty).unwrap()).await;
    let refusal = client.reply(9).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::BadRequest);
    client.raw(&[0, 0, 0, 2, 0xff, 0xff]).await;
    let refused = client.push().await;
    assert!(matches!(refused, reply::Body::Refused(r) if r.code() == ErrorCode::BadRequest));
    assert_eq!(client.frame::<Reply>().await, None);
}

/// Frames may come in any pieces, and many at once; each request gets its one answer.
#[tokio::test]
async fn frames_may_come_in_pieces() {
    let world = World::new().await;
    let mut client = world.connect(Role::Logs).await;
    let mut bytes = Vec::new();
    for id in 1..=40 {
        let body = Some(PING);
        bytes.extend(encode_frame(&Request { id, body }).unwrap());
    }
    for piece in bytes.chunks(3) {
        client.raw(piece).await;
    }
    let mut ids = Vec::new();
    for _ in 1..=40 {
        ids.push(client.frame::<Reply>().await.unwrap().id);
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=40).collect::<Vec<_>>());
}

/// The chain in TLS is exactly leaf and root, and every connection has its own nonce.
#[tokio::test]
async fn c008_sends_exactly_leaf_and_root() {
    let world = World::new().await;
    let one = world.connect(Role::Logs).await;
    let two = world.connect(Role::Logs).await;
    assert_eq!(one.certificates(), 2);
    assert_ne!(one.hello.nonce, two.hello.nonce);
    assert_eq!(one.hello.pass_hash, two.hello.pass_hash);
}

/// HTTP on the same port answers health and nothing else.
#[tokio::test]
async fn health_answers_on_the_same_port() {
    let world = World::new().await;
    let address = world.server.local_address();
    health::ask(world.folder.path(), address).await.unwrap();
    let mut stream = tls(&world.server, world.folder.path(), b"http/1.1").await;
    let request = b"GET /v1/secrets HTTP/1.1\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

/// A stopping server closes idle connections properly and ends without waiting for them.
#[tokio::test]
async fn stops_gracefully() {
    let world = World::new().await;
    let mut client = world.connect(Role::Logs).await;
    client.ask(PING).await.unwrap();
    let address = world.server.local_address();
    world.server.stop().await.unwrap();
    assert_eq!(client.frame::<Reply>().await, None);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
