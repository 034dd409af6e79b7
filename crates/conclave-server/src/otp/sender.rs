//! Who brings codes to people, and what they are given.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use conclave_proto::identifier::Identifier;

/// One code on its way to a person.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeMessage {
    /// Where to.
    pub identifier: Identifier,
    /// The code: never logged.
    pub code: String,
    /// How long it is valid, minutes.
    pub valid_min: u64,
}

impl fmt::Debug for CodeMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeMessage")
    }
}

/// A code could not be sent. The text names no identifier and no code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a code could not be sent: {0}")]
pub struct SendError(pub String);

/// What [`Sender::send`] gives.
pub type SendFuture<'a> = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>>;

/// Brings codes to people.
pub trait Sender: Send + Sync + fmt::Debug + 'static {
    /// Sends one code. Called one at a time, never while a request waits for it (C-045).
    fn send(&self, message: CodeMessage) -> SendFuture<'_>;
}
