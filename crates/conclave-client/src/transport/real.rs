//! The transport people use: TCP and TLS 1.3 to the server in the address.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use conclave_proto::ALPN;
use conclave_proto::address::ServerAddress;
use conclave_proto::env::SharedEnv;
use conclave_proto::hello::{EXPORTER_LABEL, Role};
use conclave_proto::limits::HANDSHAKE_MS;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connection::{self, Peer};
use super::{BoxFuture, Connection, Transport, TransportError, tls};

/// Head start of one address of the server before the next is tried too, in ms (RFC 8305 §5).
const NEXT_ADDRESS_MS: u64 = 250;
/// Every role a connection can have.
const ROLES: [Role; 5] = [
    Role::Account,
    Role::Directory,
    Role::Post,
    Role::Logs,
    Role::Blobs,
];

/// TCP and TLS 1.3 to one pinned server, with a TLS configuration of its own for each role.
#[derive(Debug)]
pub struct RealTransport {
    address: ServerAddress,
    env: SharedEnv,
    configs: BTreeMap<Role, Arc<ClientConfig>>,
}

impl RealTransport {
    /// A transport to the server at `address`; nothing is connected yet.
    pub fn new(address: ServerAddress, env: SharedEnv) -> Self {
        let configs = ROLES.map(|role| (role, tls::config(address.server_id, &env)));
        Self {
            configs: configs.into(),
            address,
            env,
        }
    }

    /// Where this transport connects to.
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }

    async fn open(&self, role: Role) -> Result<Arc<dyn Connection>, TransportError> {
        let config = self
            .configs
            .get(&role)
            .ok_or(TransportError::Protocol("a connection needs a role"))?;
        let limit = Duration::from_millis(HANDSHAKE_MS);
        let tcp = timeout(limit, dial(&self.address))
            .await
            .map_err(|_| TransportError::Unreachable("no answer in time".into()))??;
        timeout(limit, async {
            let tls = secure(tcp, config.clone()).await?;
            let peer = self.peer(&tls)?;
            connection::open(tls, peer, role, &self.env).await
        })
        .await
        .map_err(|_| TransportError::TimedOut)?
    }

    /// What the finished handshake says about the other end.
    fn peer(&self, tls: &TlsStream<TcpStream>) -> Result<Peer, TransportError> {
        let (_, session) = tls.get_ref();
        if session.alpn_protocol() != Some(ALPN) {
            return Err(TransportError::Incompatible);
        }
        let key = session
            .peer_certificates()
            .and_then(|chain| tls::leaf_key(chain.first()?))
            .ok_or(TransportError::WrongServer(
                "its certificate has no Ed25519 key",
            ))?;
        // C-007: proofs on this connection are good on no other
        let binding = session
            .export_keying_material([0; 32], EXPORTER_LABEL, None)
            .map_err(|_| TransportError::Protocol("its TLS handshake did not end"))?;
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
