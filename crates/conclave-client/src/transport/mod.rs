//! How a client reaches its server: connections, calls and pushes, over TLS or in memory.
//!
//! A [`Transport`] opens one [`Connection`] per [`Role`]; roles never share one. On a connection
//! many [`Connection::call`]s may be in flight, and [`Push`]es arrive beside them.
//!
//! - [`calls`]: one typed function per request
//! - [`real`]: TCP and TLS 1.3 to a pinned server, frames straight or in a WebSocket
//! - [`memory`]: the same frames to a handler in this process, for tests and the simulator
//! - [`backoff`]: how long to wait before connecting again

pub mod backoff;
pub mod calls;
mod connection;
mod frames;
pub mod memory;
pub mod real;
mod tls;
mod websocket;

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use conclave_proto::Refusal;
use conclave_proto::frame::{reply, request};
use conclave_proto::hello::{self, ConnectionContext, Role};
use conclave_proto::id::{Hash32, Incarnation};
use conclave_proto::log::{LogPush, SignalPush};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

pub use backoff::Backoff;
pub use memory::MemoryTransport;
pub use real::RealTransport;
pub(crate) use tls::SERVER_NAME;

/// A future that can be named in an object-safe trait.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A way to one server.
pub trait Transport: Send + Sync + Debug {
    /// Opens a connection of `role`: reached, server verified, hellos exchanged.
    fn connect(&self, role: Role) -> BoxFuture<'_, Result<Arc<dyn Connection>, TransportError>>;

    /// Opens a byte stream for HTTP to the same server, verified the same way, shared with nothing.
    /// A transport without one says that there is none.
    fn http(&self) -> BoxFuture<'_, Result<Box<dyn HttpStream>, TransportError>> {
        let none = TransportError::Unreachable("there is no http here".into());
        Box::pin(std::future::ready(Err(none)))
    }
}

/// A byte stream that HTTP can be spoken on.
pub trait HttpStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> HttpStream for S {}

/// One open connection. Dropping the last reference closes it.
pub trait Connection: Send + Sync + Debug {
    /// What every proof made on this connection signs (C-007).
    fn context(&self) -> &ConnectionContext;

    /// What the server said about itself when the connection opened.
    fn hello(&self) -> &ServerFacts;

    /// The Ed25519 key (32 bytes, raw) of the server's TLS leaf: verifies signed heads (C-027).
    fn server_key(&self) -> [u8; 32];

    /// Asks and waits for the answer; many calls may run at once.
    ///
    /// A refusal comes back as [`TransportError::Refused`], never as a body. After any other error it
    /// is unknown whether the server acted. Dropping the future does not take the request back.
    fn call(&self, body: request::Body) -> BoxFuture<'_, Result<reply::Body, TransportError>>;

    /// The pushes of this connection, once; `None` from the second time on. Ends with the connection.
    fn pushes(&self) -> Option<mpsc::Receiver<Push>>;

    /// Why the connection is closed, or `None` while it is open.
    fn closed(&self) -> Option<TransportError>;

    /// Whether the connection is closed, by whom ever.
    fn is_closed(&self) -> bool {
        self.closed().is_some()
    }

    /// Closes; calls in flight end with [`TransportError::Closed`].
    fn close(&self);
}

/// What the server sends without being asked. Only hints: nothing here moves a cursor.
#[derive(Debug, Clone, PartialEq)]
pub enum Push {
    /// Something new waits in this device's inbox.
    Inbox,
    /// A subscribed log grew.
    Log(LogPush),
    /// Somebody types or is there.
    Signal(SignalPush),
    /// Pushes came faster than they were taken and some are gone: read everything subscribed once.
    Lost,
}

/// What the server said in its hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerFacts {
    /// Server clock, ms since 1970-01-01 UTC; never for trust.
    pub time_ms: u64,
    /// Server clock minus ours in the middle of the hello's round trip, in ms.
    pub skew_ms: i64,
    /// Hash of the day's member pass, the same for everybody (C-041).
    pub pass_hash: Hash32,
    /// Which life of the server's store this is.
    pub incarnation: Incarnation,
}

impl ServerFacts {
    /// Whether `pass` (32 bytes) is the one this hello shows.
    pub fn shows_pass(&self, pass: &[u8]) -> bool {
        hello::pass_hash(pass) == self.pass_hash
    }
}

/// Why there is no connection, or no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// Nobody answers at the address. Connect again after a [`Backoff`].
    #[error("cannot reach the server ({0}); check the address and the network")]
    Unreachable(String),
    /// Somebody answers who is not the pinned server (C-008, C-009). Tell the person; never go on by itself.
    #[error(
        "this is not the server of the address: {0}; compare the address with the one its operator gives out"
    )]
    WrongServer(&'static str),
    /// The server speaks another version (C-001). The person updates the older side.
    #[error(
        "client and server speak different versions; update the older one (this is protocol {version})",
        version = conclave_proto::PROTOCOL_VERSION
    )]
    Incompatible,
    /// No answer in time; whether the server acted is unknown. Connect again and read before repeating.
    #[error("the server did not answer in time; check the network and try again")]
    TimedOut,
    /// The connection ended; whether the server acted is unknown. Connect again and read before repeating.
    #[error("the connection to the server was closed; try again")]
    Closed,
    /// The server broke the protocol and the connection is closed. Its bug or its malice: report it.
    #[error("the server broke the protocol: {0}; report this to its operator")]
    Protocol(&'static str),
    /// The request is over a limit and was not sent. Our own bug.
    #[error("the request of {0} bytes is too large to send; this is a bug in conclave")]
    TooLarge(usize),
    /// The member pass in hand is not the one this connection's hello showed (C-041); nothing was sent.
    ///
    /// Fetch the pass again and open a new connection: the day may have turned in between. When the two
    /// still differ, the server hands out passes that mark people; tell the person.
    #[error("the server shows another member pass than it gave this account")]
    PassDiffers,
    /// The server said no; the code says what to do.
    #[error("the server refused: {0}")]
    Refused(Box<Refusal>),
    /// Nothing of the network: this device's own store failed in the middle of a round, which was rolled back.
    /// The person makes room or mends the disk.
    #[error("{0}")]
    Store(String),
}
