//! A network that blocks raw frames: the client goes through it as a WebSocket, by itself.

use std::sync::Arc;
use std::time::Duration;

use conclave_client::transport::{RealTransport, Transport, TransportError, calls};
use conclave_client::view::MessageState;
use conclave_proto::hello::Role;
use conclave_proto::limits::{HANDSHAKE_MS, TEXT_BYTES_MAX};
use conclave_server::ServerHandle;
use conclave_server::config::Config;
use tokio::time::Instant;

use crate::support::proxy::{Block, Proxy};
use crate::support::{LONG, Person, World};

/// A way to the world's server through a proxy.
fn through(world: &World, proxy: &Proxy) -> Arc<RealTransport> {
    let transport = RealTransport::new(proxy.address.clone(), world.clock.clone());
    Arc::new(transport)
}

/// Somebody whose every connection goes through the proxy, from registering on.
async fn behind(world: &World, proxy: &Proxy, name: &str) -> Person {
    let person = Person::new(world, name);
    let (address, transport) = (&proxy.address, through(world, proxy));
    let identifier = format!("{name}@example.org").parse().unwrap();
    person
        .register_start_over(transport.as_ref(), address, &identifier, None, name)
        .await
        .unwrap();
    let code = world.server().next_code().await.unwrap().code;
    person
        .register_confirm_over(transport.as_ref(), &code)
        .await
        .unwrap();
    person.go_online_over(transport);
    person
}

/// Registering, asking, accepting, a long message and receipts all pass a network that resets every
/// connection that names the frame protocol; the other side is on a free network.
#[tokio::test(flavor = "multi_thread")]
async fn c072_people_talk_where_frames_are_blocked() {
    let world = World::new().await;
    let proxy = Proxy::start(&world.server().server_address(), Block::Reset).await;
    let (anna, ben) = (
        behind(&world, &proxy, "anna").await,
        world.person("ben").await,
    );
    anna.say(&ben, "hello").await;
    anna.settle(LONG).await.unwrap();
    ben.accept(&anna).await;
    world.settle(&[&ben, &anna]).await;
    let long = anna.say(&ben, &"x".repeat(TEXT_BYTES_MAX)).await;
    ben.say(&anna, "received").await;
    world.settle(&[&anna, &ben, &anna]).await;
    ben.mark_read(ben.chat_with(&anna)).unwrap();
    world.settle(&[&ben, &anna]).await;
    assert_eq!(anna.state(long).0, MessageState::Read);
    assert_eq!(anna.texts(&ben), ben.texts(&anna));
    assert_eq!(anna.texts(&ben).len(), 3);
    let (blocked, passed) = proxy.seen();
    assert!(blocked > 0 && passed > blocked, "{blocked} {passed}");
}

/// However the network blocks frames, the connection stands as a WebSocket: to the same server, bound to
/// the TLS session like any other, and calls are answered.
#[tokio::test]
async fn c072_every_kind_of_block_is_passed() {
    let world = World::new().await;
    for block in [Block::Reset, Block::HangUp, Block::Alert, Block::Cut] {
        let proxy = Proxy::start(&world.server().server_address(), block).await;
        let transport = through(&world, &proxy);
        let connection = transport.connect(Role::Logs).await.unwrap();
        calls::ping(connection.as_ref()).await.unwrap();
        assert_eq!(proxy.seen(), (1, 1), "{block:?}");
        assert_eq!(connection.context().binding.len(), 32);
        assert_eq!(connection.context().server_id, world.server().server_id());
    }
}

/// A network that swallows frames costs a short wait, not the whole patience of a handshake.
#[tokio::test]
async fn c072_silence_is_passed_after_a_short_wait() {
    let world = World::new().await;
    let proxy = Proxy::start(&world.server().server_address(), Block::Swallow).await;
    let transport = through(&world, &proxy);
    let before = Instant::now();
    let connecting = tokio::spawn(async move { transport.connect(Role::Logs).await });
    while proxy.seen() == (0, 0) {
        tokio::task::yield_now().await;
    }
    pass(Duration::from_secs(3)).await;
    let connection = connecting.await.unwrap().unwrap();
    // on the stopped clock, with what the rest really took
    assert!(before.elapsed() < Duration::from_millis(HANDSHAKE_MS));
    assert_eq!(proxy.seen(), (1, 1));
    calls::ping(connection.as_ref()).await.unwrap();
}

/// Lets time go by, for everybody.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// What worked is remembered for ten minutes and no longer; where nothing is blocked, WebSocket is never
/// tried.
#[tokio::test]
async fn c072_what_worked_is_remembered_for_a_while() {
    let world = World::new().await;
    let proxy = Proxy::start(&world.server().server_address(), Block::HangUp).await;
    let transport = through(&world, &proxy);
    for role in [Role::Logs, Role::Directory, Role::Post] {
        transport.connect(role).await.unwrap();
    }
    assert_eq!(proxy.seen(), (1, 3));
    pass(Duration::from_mins(10)).await;
    transport.connect(Role::Logs).await.unwrap();
    assert_eq!(proxy.seen(), (2, 4));

    let free = Proxy::start(&world.server().server_address(), Block::Never).await;
    let transport = through(&world, &free);
    transport.connect(Role::Logs).await.unwrap();
    assert_eq!(free.seen(), (1, 0));
}

/// Another server is refused as an impostor in both ways, and at the first sign of it: falling back is no
/// way around the pin.
#[tokio::test]
async fn c072_falling_back_never_lowers_the_pin() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let other = ServerHandle::start(folder.path(), Config::default())
        .await
        .unwrap();
    assert_ne!(other.server_id(), world.server().server_id());
    for (block, seen) in [(Block::Never, (1, 0)), (Block::Reset, (1, 1))] {
        let mut pinned = other.server_address();
        pinned.server_id = world.server().server_id();
        let proxy = Proxy::start(&pinned, block).await;
        let error = through(&world, &proxy)
            .connect(Role::Logs)
            .await
            .unwrap_err();
        assert!(matches!(error, TransportError::WrongServer(_)), "{error}");
        assert_eq!(proxy.seen(), seen);
    }
    other.stop().await.unwrap();
}

/// A server that is not there is asked once; what blocks both ways is named as the first one failed.
#[tokio::test]
async fn c072_says_what_went_wrong_with_frames() {
    let world = World::new().await;
    let mut nobody = world.server().server_address();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    nobody.port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let mut count = 0;
        for _ in 0..2 {
            drop(listener.accept().await.unwrap());
            count += 1;
        }
        count
    });
    let transport = RealTransport::new(nobody, world.clock.clone());
    let error = transport.connect(Role::Logs).await.unwrap_err();
    assert!(matches!(error, TransportError::Unreachable(_)), "{error}");
    assert_eq!(server.await.unwrap(), 2);
    // both connections are gone, and so is the listener
    let error = transport.connect(Role::Logs).await.unwrap_err();
    assert!(matches!(error, TransportError::Unreachable(_)), "{error}");
}
