//! Asks a running server for `/readyz` over TLS with its own pinned root.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::keys::{self, KeysError, LEAF_NAME};
use crate::tls;

const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 4096;

/// The server is not ready, or nobody can say.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HealthError {
    /// The folder has no keys to recognise the server by.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Nobody answers there, or the answer breaks off.
    #[error("no ready server at {address}: {source}")]
    Unreachable {
        /// Where it was asked.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// What answers there does not have this server's keys, or speaks no TLS 1.3 at all.
    #[error(
        "another server answers at {0}, this folder's own does not run there; start it with \
         `conclave-server serve --listen ADDR:PORT` on a free port"
    )]
    OtherServer(SocketAddr),
    /// It answers that it is not ready.
    #[error("the server at {0} is not ready")]
    NotReady(SocketAddr),
}

/// How a server is that takes work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// As it should be.
    Ready,
    /// NATS, or the database's channel, is away: what other processes take comes some seconds late (C-220).
    HintsAway,
}

impl Readiness {
    /// What `/readyz` answers.
    pub fn text(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::HintsAway => "ready\nhints: away",
        }
    }
}

/// Asks the server of `folder` at `address`.
pub async fn ask(folder: &Path, address: SocketAddr) -> Result<Readiness, HealthError> {
    let root = keys::root_certificate(folder)?;
    let unreachable = |source| {
        if is_another(&source) {
            return HealthError::OtherServer(address);
        }
        HealthError::Unreachable { address, source }
    };
    let late = |_| unreachable(io::ErrorKind::TimedOut.into());
    let answer = timeout(PATIENCE, fetch(root, address))
        .await
        .map_err(late)?;
    let answer = answer.map_err(unreachable)?;
    if !answer.starts_with("HTTP/1.1 200 ") {
        return Err(HealthError::NotReady(address));
    }
    if answer.trim_end().ends_with(Readiness::HintsAway.text()) {
        return Ok(Readiness::HintsAway);
    }
    Ok(Readiness::Ready)
}

/// Whether an error means that somebody without this server's keys answered. A certificate that has
/// only run out, or is not valid yet, may well be its own.
fn is_another(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => !matches!(
            why,
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        ),
        Some(rustls::Error::InvalidMessage(_) | rustls::Error::PeerIncompatible(_)) => true,
        _ => false,
    }
}

async fn fetch(
    root: rustls::pki_types::CertificateDer<'static>,
    address: SocketAddr,
) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(root).map_err(io::Error::other)?;
    let config = tls::health_config(roots).map_err(io::Error::other)?;
    let name = ServerName::try_from(LEAF_NAME).map_err(io::Error::other)?;
    let socket = TcpStream::connect(address).await?;
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {LEAF_NAME}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_string(&mut answer)
        .await?;
    Ok(answer)
}
