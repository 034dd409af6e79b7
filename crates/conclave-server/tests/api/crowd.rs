//! Many at once: idle crowds, hosts with too many connections, networks with too many handshakes.

use conclave_proto::frame::{Ping, request::Body};
use conclave_proto::hello::Role;
use conclave_server::config::{Config, ExemptLoopback};
use conclave_server::files;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::support::{Client, Place, World};
use super::websocket::Socket;

const PING: Body = Body::Ping(Ping {});
/// Idle connections; `world/crowd.rs` has more of them, against the real program.
const CROWD: usize = 200;

/// Idle connections, every tenth a WebSocket, fill the server; one more is closed at once, those
/// who are there are served, and when the crowd leaves its places are free.
#[tokio::test]
async fn c011_an_idle_crowd_is_bounded_and_leaves_room() {
    // two descriptors of this process for each connection
    files::raise_limit();
    let mut config = Config::default();
    config.server.max_connections = u32::try_from(CROWD + 1).unwrap();
    let world = World::with(config).await;
    let mut honest = world.connect(Role::Logs).await;
    let (mut crowd, mut sockets) = (Vec::new(), Vec::new());
    for number in 0..CROWD {
        if number % 10 == 0 {
            sockets.push(Socket::greeted(&world, Role::Logs).await);
        } else {
            crowd.push(world.connect(Role::Logs).await);
        }
    }
    assert!(is_turned_away(&world).await);
    honest.ask(PING).await.unwrap();
    crowd.last_mut().unwrap().ask(PING).await.unwrap();
    sockets.last_mut().unwrap().ping().await;
    drop((crowd, sockets));
    while is_turned_away(&world).await {}
    world.connect(Role::Logs).await.ask(PING).await.unwrap();
}

/// Everybody who comes at the same moment gets in, whatever the others do: beside them some say nothing at all
/// or break off in their hello. Who was there before is served meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_comes_at_once_gets_in() {
    files::raise_limit();
    let world = World::with(Config::default()).await;
    let mut honest = world.connect(Role::Logs).await;
    let address = world.server.local_address();
    let mut silent = Vec::new();
    for number in 0..CROWD / 5 {
        silent.push(TcpStream::connect(address).await.unwrap());
        // the header of a hello that never comes whole
        let mut broken = TcpStream::connect(address).await.unwrap();
        broken.write_all(&[22, 3, 1, 6, 0, 1]).await.unwrap();
        if number % 2 == 0 {
            silent.push(broken);
        }
    }
    let (place, folder) = (Place::from(&world.server), world.folder.path().to_owned());
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let folder = folder.clone();
        crowd.spawn(async move {
            let mut client = Client::connect(place, &folder, Role::Logs).await;
            client.ask(PING).await.unwrap();
        });
    }
    honest.ask(PING).await.unwrap();
    crowd.join_all().await;
    honest.ask(PING).await.unwrap();
}

/// Whether a new connection is closed before TLS: who is let in hears that this is none.
async fn is_turned_away(world: &World) -> bool {
    let address = world.server.local_address();
    let mut stream = TcpStream::connect(address).await.unwrap();
    // the server may be gone before it hears this
    let _ = stream.write_all(b"what is this?").await;
    let heard = stream.read(&mut [0; 16]).await;
    heard.unwrap_or(0) == 0
}

fn counted() -> Config {
    let mut config = Config::default();
    config.limits.exempt_loopback = ExemptLoopback::Never;
    config
}

/// One host has its number of connections, and a new one when an old one ends; the others stay.
#[tokio::test]
async fn c073_connections_of_a_host_are_bounded() {
    let mut config = counted();
    config.server.max_connections_per_host = 3;
    let world = World::with(config).await;
    let mut kept: Vec<Client> = Vec::new();
    for _ in 0..3 {
        kept.push(world.connect(Role::Logs).await);
    }
    assert!(is_turned_away(&world).await);
    kept.pop();
    while is_turned_away(&world).await {}
    for client in &mut kept {
        client.ask(PING).await.unwrap();
    }
}

/// One network has its number of handshakes in an hour; those who are connected are not touched.
#[tokio::test]
async fn c073_handshakes_of_a_network_are_bounded() {
    let mut config = counted();
    config.limits.per_network_handshakes = 2;
    let world = World::with(config).await;
    let mut first = world.connect(Role::Logs).await;
    drop(world.connect(Role::Logs).await);
    assert!(is_turned_away(&world).await);
    first.ask(PING).await.unwrap();
}

/// The machine itself is exempt from both while the server listens to nobody else.
#[tokio::test]
async fn c073_loopback_is_exempt_by_default() {
    let mut config = Config::default();
    config.server.max_connections_per_host = 1;
    config.limits.per_network_handshakes = 1;
    let world = World::with(config).await;
    let mut both = (
        world.connect(Role::Logs).await,
        world.connect(Role::Logs).await,
    );
    both.0.ask(PING).await.unwrap();
    both.1.ask(PING).await.unwrap();
}
