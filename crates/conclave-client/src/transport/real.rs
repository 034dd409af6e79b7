//! The transport people use: TCP and TLS 1.3 to the server in the address, frames straight or in a
//! WebSocket.
//!
//! Frames go straight over TLS. Where a network in between lets TCP through and ends or swallows
//! that, the same connection is made once more as a WebSocket under the name of plain HTTP, with the
//! very same checks of who the server is. What worked is remembered for a while.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use conclave_proto::address::ServerAddress;
use conclave_proto::env::SharedEnv;
use conclave_proto::hello::{EXPORTER_LABEL, Role};
use conclave_proto::limits::HANDSHAKE_MS;
use conclave_proto::{ALPN, ALPN_HTTP};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connection::{self, Peer};
use super::{BoxFuture, Connection, HttpStream, Transport, TransportError, tls, websocket};

/// Head start of one address of the server before the next is tried too, in ms (RFC 8305 §5).
const NEXT_ADDRESS_MS: u64 = 250;
/// Head start of one way before the other is tried beside it, in ms.
const NEXT_WAY_MS: u64 = 3_000;
/// How long WebSocket stays the first choice after frames were blocked, in ms.
const WEBSOCKET_FIRST_MS: u64 = 10 * 60_000;
/// Every role a connection can have.
const ROLES: [Role; 5] = [
    Role::Account,
    Role::Directory,
    Role::Post,
    Role::Logs,
    Role::Blobs,
];

/// How frames travel inside TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Frames,
    WebSocket,
}

impl Way {
    /// The protocol that TLS names.
    fn alpn(self) -> &'static [u8] {
        match self {
            Self::Frames => ALPN,
            Self::WebSocket => ALPN_HTTP,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Frames => Self::WebSocket,
            Self::WebSocket => Self::Frames,
        }
    }
}

/// Why one way did not lead to a connection.
enum Failure {
    /// Perhaps somebody in between wants it so; the other way may work.
    Blocked(TransportError),
    /// The server itself said so, there is none, or it is another one: another way changes nothing.
    Final(TransportError),
}

impl Failure {
    /// What a person should hear when the other way failed as well.
    fn then(self, second: Self) -> TransportError {
        match (self, second) {
            (Self::Final(first), _) => first,
            (_, Self::Final(second)) if !matches!(second, TransportError::Unreachable(_)) => second,
            (Self::Blocked(first), _) => first,
        }
    }
}

type Opened = Result<(Arc<dyn Connection>, Way), Failure>;

/// TCP and TLS 1.3 to one pinned server, with a TLS configuration of its own for each role.
#[derive(Debug)]
pub struct RealTransport {
    address: ServerAddress,
    env: SharedEnv,
    configs: BTreeMap<Role, Arc<ClientConfig>>,
    /// Until when WebSocket is tried first.
    websocket_until: Mutex<Option<Instant>>,
}

impl RealTransport {
    /// A transport to the server at `address`; nothing is connected yet.
    pub fn new(address: ServerAddress, env: SharedEnv) -> Self {
        let configs = ROLES.map(|role| (role, tls::config(address.server_id, &env)));
        Self {
            configs: configs.into(),
            address,
            env,
            websocket_until: Mutex::default(),
        }
    }

    /// Where this transport connects to.
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }

    async fn open(&self, role: Role) -> Result<Arc<dyn Connection>, TransportError> {
        let first = self.first_way();
        let one = Box::pin(self.attempt(role, first));
        let other = Box::pin(self.attempt(role, first.other()));
        let (connection, way) = whichever(one, other).await?;
        self.remember(first, way);
        Ok(connection)
    }

    /// TLS under the name of plain HTTP, with every check that frames have (C-072).
    async fn open_http(&self) -> Result<Box<dyn HttpStream>, TransportError> {
        let limit = Duration::from_millis(HANDSHAKE_MS);
        let opening = async {
            let tcp = dial(&self.address).await?;
            let mut config = ClientConfig::clone(&tls::config(self.address.server_id, &self.env));
            config.alpn_protocols = vec![ALPN_HTTP.to_vec()];
            let tls = secure(tcp, Arc::new(config)).await?;
            if tls.get_ref().1.alpn_protocol() != Some(ALPN_HTTP) {
                return Err(TransportError::Incompatible);
            }
            Ok(Box::new(tls) as Box<dyn HttpStream>)
        };
        let late = |_| TransportError::Unreachable("no answer in time".into());
        timeout(limit, opening).await.map_err(late)?
    }

    fn first_way(&self) -> Way {
        let until = self.websocket_until.lock();
        match *until.unwrap_or_else(PoisonError::into_inner) {
            Some(until) if Instant::now() < until => Way::WebSocket,
            _ => Way::Frames,
        }
    }

    fn remember(&self, first: Way, worked: Way) {
        let until = Instant::now() + Duration::from_millis(WEBSOCKET_FIRST_MS);
        let mut remembered = self
            .websocket_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match (first, worked) {
            (Way::Frames, Way::WebSocket) => *remembered = Some(until),
            // not longer than from the last time that frames were blocked
            (Way::WebSocket, Way::WebSocket) => {}
            (_, Way::Frames) => *remembered = None,
        }
    }

    /// One connection, one way.
    async fn attempt(&self, role: Role, way: Way) -> Opened {
        let limit = Duration::from_millis(HANDSHAKE_MS);
        let late = |_| TransportError::Unreachable("no answer in time".into());
        let dialled = timeout(limit, dial(&self.address)).await;
        let tcp = dialled.map_err(late).flatten().map_err(Failure::Final)?;
        match timeout(limit, self.greet(tcp, role, way)).await {
            Ok(opened) => opened.map(|connection| (connection, way)),
            Err(_) => Err(Failure::Blocked(TransportError::TimedOut)),
        }
    }

    /// TLS, the upgrade when there is one, and the hellos.
    async fn greet(
        &self,
        tcp: TcpStream,
        role: Role,
        way: Way,
    ) -> Result<Arc<dyn Connection>, Failure> {
        let config = self
            .configs
            .get(&role)
            .ok_or(Failure::Final(TransportError::Protocol(
                "a connection needs a role",
            )))?;
        // C-072: the same configuration in every other respect, the pin above all
        let mut config = ClientConfig::clone(config);
        config.alpn_protocols = vec![way.alpn().to_vec()];
        let tls = secure(tcp, Arc::new(config)).await.map_err(unverified)?;
        let peer = self.peer(&tls, way)?;
        let opened = match way {
            Way::Frames => connection::open(tls, peer, role, &self.env).await,
            Way::WebSocket => {
                let websocket = websocket::upgrade(tls, &self.env).await;
                let websocket = websocket.map_err(Failure::Blocked)?;
                connection::open(websocket, peer, role, &self.env).await
            }
        };
        opened.map_err(|error| match error {
            TransportError::Closed | TransportError::TimedOut => Failure::Blocked(error),
            error => Failure::Final(error),
        })
    }

    /// What the finished handshake says about the other end.
    fn peer(&self, tls: &TlsStream<TcpStream>, way: Way) -> Result<Peer, Failure> {
        let (_, session) = tls.get_ref();
        if session.alpn_protocol() != Some(way.alpn()) {
            return Err(Failure::Blocked(TransportError::Incompatible));
        }
        let key = session
            .peer_certificates()
            .and_then(|chain| tls::leaf_key(chain.first()?))
            .ok_or(Failure::Final(TransportError::WrongServer(
                "its certificate has no Ed25519 key",
            )))?;
        // C-007: proofs on this connection are good on no other
        let binding = session
            .export_keying_material([0; 32], EXPORTER_LABEL, None)
            .map_err(|_| TransportError::Protocol("its TLS handshake did not end"))
            .map_err(Failure::Final)?;
        Ok(Peer {
            server_id: self.address.server_id,
            binding: binding.to_vec(),
            key,
        })
    }
}

impl Transport for RealTransport {
    fn connect(&self, role: Role) -> BoxFuture<'_, Result<Arc<dyn Connection>, TransportError>> {
        Box::pin(self.open(role))
    }

    fn http(&self) -> BoxFuture<'_, Result<Box<dyn HttpStream>, TransportError>> {
        Box::pin(self.open_http())
    }
}

/// The first of two ways that leads to a connection. The second begins when the first is blocked, or
/// when it has got nowhere for a while; then both go on.
async fn whichever(
    mut one: impl Future<Output = Opened> + Unpin,
    mut other: impl Future<Output = Opened> + Unpin,
) -> Result<(Arc<dyn Connection>, Way), TransportError> {
    let head_start = Duration::from_millis(NEXT_WAY_MS);
    let first = match timeout(head_start, &mut one).await {
        Ok(Ok(opened)) => return Ok(opened),
        Ok(Err(Failure::Final(error))) => return Err(error),
        Ok(Err(blocked)) => blocked,
        Err(_) => tokio::select! {
            opened = &mut one => match opened {
                Ok(opened) => return Ok(opened),
                Err(failed) => failed,
            },
            opened = &mut other => match opened {
                Ok(opened) => return Ok(opened),
                Err(second) => return one.await.map_err(|first| first.then(second)),
            },
        },
    };
    other.await.map_err(|second| first.then(second))
}

/// What a TLS handshake that did not end well says about the way.
fn unverified(error: TransportError) -> Failure {
    match error {
        // C-072: who is not the pinned server is not asked a second time in another way
        TransportError::WrongServer(_) => Failure::Final(error),
        error => Failure::Blocked(error),
    }
}

/// Resolves the host and connects to whichever of its addresses answers first.
async fn dial(address: &ServerAddress) -> Result<TcpStream, TransportError> {
    let found = lookup_host((address.host.as_str(), address.port))
        .await
        .map_err(|error| TransportError::Unreachable(error.to_string()))?;
    let mut waiting = found.collect::<Vec<SocketAddr>>().into_iter();
    let mut attempts = JoinSet::new();
    let mut last = "the host has no address".to_owned();
    loop {
        if let Some(next) = waiting.next() {
            attempts.spawn(TcpStream::connect(next));
        } else if attempts.is_empty() {
            return Err(TransportError::Unreachable(last));
        }
        tokio::select! {
            Some(attempt) = attempts.join_next() => match attempt {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error.to_string(),
                Err(error) => last = error.to_string(),
            },
            () = sleep(Duration::from_millis(NEXT_ADDRESS_MS)), if waiting.len() > 0 => {}
        }
    }
}

/// TLS over a fresh TCP connection, without Nagle's delay.
async fn secure(
    tcp: TcpStream,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, TransportError> {
    tcp.set_nodelay(true)
        .map_err(|error| TransportError::Unreachable(error.to_string()))?;
    let name = ServerName::try_from(tls::SERVER_NAME)
        .map_err(|_| TransportError::Protocol("the server name is a DNS name"))?;
    TlsConnector::from(config)
        .connect(name, tcp)
        .await
        .map_err(|error| tls::handshake_error(&error))
}
