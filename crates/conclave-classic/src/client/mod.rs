//! The client's side: an account in a folder, and the calls it makes.
//!
//! 1. `connection.rs` sends a line and waits for its reply.
//! 2. `folder.rs` keeps key, pins and messages, each on disk before anything depends on it.
//! 3. `account.rs` registers, logs in, sends, fetches, listens.

mod account;
mod connection;
mod folder;

use std::path::PathBuf;

use crate::keys::KeyError;
use crate::message::MessageError;
use crate::pem::PemError;
use crate::wire::Code;

pub use account::{Account, Incoming, Registration, Session};
pub use connection::Connection;
pub use folder::{AccountFile, Folder};

/// A call that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Look at address and network; what was queued waits.
    #[error("cannot reach {server}: {source}")]
    Unreachable {
        /// `HOST:PORT`.
        server: String,
        /// Why.
        source: std::io::Error,
    },
    /// The line broke; call again, nothing is sent twice.
    #[error(
        "the server ended the connection: run the command again, nothing is lost or sent twice"
    )]
    Gone,
    /// The server said no.
    #[error("{message}")]
    Refused {
        /// For programs.
        code: Code,
        /// For people.
        message: String,
    },
    /// What the server said is not what the protocol says.
    #[error("the server's answer is not what the protocol says: {0}")]
    BadAnswer(&'static str),
    /// Somebody else's server, or it has new keys.
    #[error(
        "the server's key is not the one in --server-key: this is another server; do not go on"
    )]
    OtherServer,
    /// The server's signature does not hold.
    #[error("the server's signature over {0} does not hold; do not go on")]
    ServerSignature(&'static str),
    /// Somebody's key changed since it was first seen. Sending stops.
    #[error(
        "the key of {0} changed: nothing is sent; ask them, then run `conclave classic key {0} --accept`"
    )]
    KeyChanged(String),
    /// Their suite is another.
    #[error("{0} uses the other suite: you cannot write to each other")]
    OtherSuite(String),
    /// Register first.
    #[error("no classic account in {0}: run `conclave classic register` first")]
    NoAccount(PathBuf),
    /// There is one already.
    #[error("there is a classic account in {0} already: use another --profile")]
    AccountExists(PathBuf),
    /// Another process uses the account. Let it end.
    #[error("another process uses the account in {0}: one at a time")]
    InUse(PathBuf),
    /// A file of the account.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the account that does not read.
    #[error("{0} is damaged: put it back from a copy")]
    Damaged(PathBuf),
    /// The key file.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A public key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A message.
    #[error(transparent)]
    Message(#[from] MessageError),
}
