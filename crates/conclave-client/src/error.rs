//! Why the client said no, and who must act.

use conclave_core::mls_store::RowsError;
use conclave_core::provider::MlsFailure;
use conclave_proto::ErrorCode;

use crate::transport::TransportError;

/// Why a profile could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process holds the profile; its number, when it could be read. Stop it, or use it.
    #[error(
        "another process{} uses this profile; stop it first or choose another profile",
        .0.map_or_else(String::new, |pid| format!(" ({pid})"))
    )]
    InUse(Option<u32>),
    /// There is no profile in the folder. Create one by registering.
    #[error("there is no profile here; run `conclave register` first")]
    Absent,
    /// A profile is there already.
    #[error("there is a profile here already")]
    Exists,
    /// The passphrase does not open the store key. Nothing was changed.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// The profile wants a passphrase and got none.
    #[error("this profile is locked with a passphrase; give it with --passphrase-file")]
    PassphraseNeeded,
    /// An empty passphrase.
    #[error("an empty passphrase protects nothing; choose a longer one or say --no-passphrase")]
    EmptyPassphrase,
    /// Made by a newer version. Update this program.
    #[error("this profile was written by a newer version of conclave; update this program")]
    Newer,
    /// The SQLite that is linked cannot encrypt: a broken build. Nothing was written.
    #[error("this build cannot encrypt its store (SQLCipher is missing); install a proper build")]
    NoEncryption,
    /// Damaged, unreadable or full. The text says what the disk said.
    #[error("the profile's store cannot be used: {0}")]
    Store(String),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nothing is registered in this profile.
    #[error(
        "this profile has no account yet; run `conclave register --server …`, then `conclave register confirm CODE`"
    )]
    NotRegistered,
    /// An account is registered already.
    #[error("this profile is registered already as {0}; use another --profile for another account")]
    AlreadyRegistered(String),
    /// `register confirm` without a registration under way.
    #[error("no code was asked for; run `conclave register --server … --phone …` first")]
    NoRegistration,
    /// No such chat, contact, message or request.
    #[error("{0}")]
    NotFound(String),
    /// It is so already; nothing was changed.
    #[error("{0}")]
    Exists(String),
    /// Words that cannot be understood; the text says what is expected.
    #[error("{0}")]
    BadInput(String),
    /// Events behind this cursor are kept no more.
    #[error(
        "events up to {before_first} are kept no more; read the history of your chats for what was missed, then go \
         on from {before_first}"
    )]
    CursorTooOld {
        /// The oldest cursor from which nothing is missing.
        before_first: u64,
    },
    /// The key of a call was given to another call before.
    #[error("this idempotency key was used for another call; take a new key for each call")]
    KeyReused,
    /// The same call is worked on now.
    #[error("the same call is worked on now; ask again for its answer")]
    CallRunning,
    /// The call began, and its program ended before there was an answer.
    #[error(
        "this call was begun and its program ended before the answer was kept; look at what is there before you \
         make another call"
    )]
    CallBroken,
    /// Over a limit; the text says which.
    #[error("{0}")]
    TooLarge(String),
    /// The recipient's identity key changed; nothing was sent.
    #[error(
        "the identity key of {0} has changed; compare safety numbers, then run `conclave safety accept {0}`"
    )]
    IdentityChanged(String),
    /// `trust.mode` is strict, and the text's people are not verified; nothing was sent.
    #[error(
        "trust.mode is strict and these people are not verified: {0}; compare safety numbers with \
         `conclave safety show` and `conclave safety verify`"
    )]
    Unverified(String),
    /// The safety numbers differ.
    #[error(
        "the numbers differ: somebody may stand between you; do not accept, ask again over another channel"
    )]
    NotMatching,
    /// A device could not be linked; nothing was changed. The text says why and what to do.
    #[error("{0}")]
    LinkFailed(String),
    /// This device is not one of its account's any more. What it has stays readable.
    #[error(
        "this device was removed from the account; what it has stays readable, nothing new comes or goes"
    )]
    Removed,
    /// The contact is blocked or the request declined or waiting.
    #[error("{0}")]
    NotAllowed(String),
    /// The server refused; its code says why.
    #[error("the server refused: {}", .0.message)]
    Refused(conclave_proto::Refusal),
    /// The server is not the pinned one, or breaks its promises. Nothing was sent.
    #[error("{0}")]
    WrongServer(String),
    /// Server and client do not speak the same version.
    #[error("the server speaks another version of the protocol; update the older of the two")]
    Incompatible,
    /// Not reachable now; what was queued stays queued.
    #[error(
        "the server cannot be reached ({0}); what is queued stays queued and goes out with the next run"
    )]
    Unreachable(String),
    /// The wait ended first; the work continues with the next run.
    #[error("not done in time; what is queued stays queued and goes out with the next run")]
    TimedOut,
    /// The passphrase is empty or wrong.
    #[error("{0}")]
    Passphrase(String),
    /// Disk trouble: damaged or full.
    #[error("the profile's store failed: {0}")]
    Store(String),
    /// A bug in Conclave.
    #[error("conclave has a bug: {0}; please report it")]
    Broken(String),
}

impl From<TransportError> for ClientError {
    fn from(error: TransportError) -> Self {
        match error {
            // C-130: the server does not list this device
            TransportError::Refused(refusal) if refusal.code() == ErrorCode::Unauthorized => {
                Self::Removed
            }
            TransportError::Refused(refusal) => Self::Refused(*refusal),
            TransportError::Incompatible => Self::Incompatible,
            TransportError::TimedOut => Self::TimedOut,
            TransportError::Store(text) => Self::Store(text),
            TransportError::WrongServer(_) | TransportError::Protocol(_) => {
                Self::WrongServer(error.to_string())
            }
            _ => Self::Unreachable(error.to_string()),
        }
    }
}

/// The store failed under MLS.
impl From<RowsError> for ClientError {
    fn from(error: RowsError) -> Self {
        Self::Store(error.to_string())
    }
}

/// MLS failed where only a broken store or a bug can make it fail.
impl From<MlsFailure> for ClientError {
    fn from(error: MlsFailure) -> Self {
        Self::Store(error.to_string())
    }
}
