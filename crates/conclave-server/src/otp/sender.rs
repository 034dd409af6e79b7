//! Who brings codes to people, what they are given, and how a try can end.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use conclave_proto::identifier::Identifier;

use crate::store::SendId;

/// One code on its way to a person.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeMessage {
    /// This sending: the same for every try, also after a restart.
    pub send_id: SendId,
    /// Where to.
    pub identifier: Identifier,
    /// The code: never logged.
    pub code: String,
    /// When it is over, ms since 1970-01-01 UTC.
    pub expires_ms: u64,
    /// When this try began, ms since 1970-01-01 UTC.
    pub now_ms: u64,
}

impl CodeMessage {
    /// How long the code is still valid, in begun minutes.
    pub fn valid_min(&self) -> u64 {
        self.expires_ms.saturating_sub(self.now_ms).div_ceil(60_000)
    }
}

impl fmt::Debug for CodeMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeMessage")
    }
}

/// A code could not be sent. No text names an identifier, a code, or words of the other side, which
/// may repeat both (C-043).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It did not leave, for certain: worth another try.
    #[error("{0}; it is tried again until the code is over")]
    Later(String),
    /// The other side refuses it for good.
    #[error("{0}")]
    Refused(String),
    /// It may have left. It is not tried again: nobody should get two (C-076).
    #[error("{0}; it may have arrived, so it is not sent again unless somebody asks")]
    Unknown(String),
}

/// What [`Sender::send`] gives.
pub type SendFuture<'a> = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>>;

/// Notes on disk that a code is about to leave; after a crash it is then not sent again (C-076).
pub trait Leaving: Send + Sync {
    /// Completes when the note is synced. An error means: do not send.
    fn note(&self) -> SendFuture<'_>;
}

/// Brings codes to people.
pub trait Sender: Send + Sync + fmt::Debug + 'static {
    /// Tries once to send one code. A sender whose other side cannot tell a repetition awaits
    /// `leaving.note()` right before the first byte that could be delivered.
    fn send<'a>(&'a self, message: &'a CodeMessage, leaving: &'a dyn Leaving) -> SendFuture<'a>;

    /// Whether the other side could be reached now; for `conclave-server check`.
    fn probe(&self) -> SendFuture<'_>;
}

/// Who sends to which kind of identifier; `None` = nobody.
#[derive(Debug, Clone)]
pub struct Senders {
    /// To e-mail addresses.
    pub mail: Option<Arc<dyn Sender>>,
    /// To phone numbers.
    pub sms: Option<Arc<dyn Sender>>,
}

impl Senders {
    /// One sender for everything.
    pub fn one(sender: Arc<dyn Sender>) -> Self {
        Self {
            mail: Some(Arc::clone(&sender)),
            sms: Some(sender),
        }
    }

    /// Who sends to this identifier.
    pub fn to(&self, identifier: &Identifier) -> Option<&Arc<dyn Sender>> {
        if identifier.is_email() {
            self.mail.as_ref()
        } else {
            self.sms.as_ref()
        }
    }
}
