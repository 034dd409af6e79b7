//! How a command ends badly: exit code, stable error code, sentence and hint, in one table.

mod classic;

use std::io;

use conclave_client::{ClientError, OpenError};
use conclave_proto::{ErrorCode, Refusal};

/// Unexpected error.
pub(crate) const UNEXPECTED: u8 = 1;
/// Bad usage.
pub(crate) const USAGE: u8 = 2;
/// No account, locked, or not authorised.
pub(crate) const NO_ACCESS: u8 = 3;
/// A key is not trusted or has changed.
pub(crate) const KEY: u8 = 4;
/// Too often; the error carries `retry_after_ms`.
pub(crate) const RATE: u8 = 5;
/// Server or network unreachable.
pub(crate) const UNREACHABLE: u8 = 6;
/// Some of it was done.
pub(crate) const PARTLY: u8 = 7;
/// Not found.
pub(crate) const NOT_FOUND: u8 = 8;
/// Conflict, in use, or already there.
pub(crate) const CONFLICT: u8 = 9;
/// Timed out while waiting; the work continues with the next run.
pub(crate) const TIMED_OUT: u8 = 10;
/// Versions do not fit.
pub(crate) const VERSION: u8 = 11;
/// The local store is damaged or the disk full.
pub(crate) const STORE: u8 = 12;

/// Why a command ended badly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The process's exit code.
    pub(crate) exit: u8,
    /// The stable code, as JSON shows it.
    pub(crate) code: String,
    /// What happened: a sentence, lower case, no full stop.
    pub(crate) message: String,
    /// What to do; empty when the message says it.
    pub(crate) hint: String,
    /// When to try again, in ms from now.
    pub(crate) retry_after_ms: Option<u64>,
}

impl Failure {
    /// A failure with its codes and its sentence.
    pub(crate) fn new(exit: u8, code: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.to_owned(),
            message: message.into(),
            hint: String::new(),
            retry_after_ms: None,
        }
    }

    /// Words on the command line that cannot be meant.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(USAGE, "USAGE", message)
    }

    /// The same failure with a hint what to do.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same failure with the time after which to try again, in ms.
    #[must_use]
    pub(crate) const fn retry_after(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// Whoever read our output is gone, as with `conclave history X | head`: nobody is left to tell.
    pub(crate) fn is_silent(&self) -> bool {
        self.code == BROKEN_PIPE
    }
}

const BROKEN_PIPE: &str = "BROKEN_PIPE";

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => {
                Self::new(UNEXPECTED, BROKEN_PIPE, "the reader of our output is gone")
            }
            _ => Self::new(UNEXPECTED, "IO", format!("input or output failed: {error}")),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let (exit, code, hint) = match &error {
            OpenError::InUse(_) => (CONFLICT, "PROFILE_IN_USE", ""),
            OpenError::Absent => (
                NO_ACCESS,
                "NO_PROFILE",
                "conclave register --server ADDR --phone NUMBER",
            ),
            OpenError::Exists => (CONFLICT, "PROFILE_EXISTS", "choose another --profile"),
            OpenError::WrongPassphrase => (
                NO_ACCESS,
                "WRONG_PASSPHRASE",
                "nothing was changed; try again, or check the passphrase file's first line",
            ),
            OpenError::PassphraseNeeded => (
                NO_ACCESS,
                "PASSPHRASE_NEEDED",
                "or run it in a terminal to be asked",
            ),
            OpenError::EmptyPassphrase => (USAGE, "EMPTY_PASSPHRASE", ""),
            OpenError::Newer => (VERSION, "NEWER_PROFILE", ""),
            OpenError::NoEncryption => (STORE, "NO_ENCRYPTION", ""),
            OpenError::Store(_) => (STORE, "STORE", STORE_HINT),
            _ => (UNEXPECTED, "UNEXPECTED", ""),
        };
        Self::new(exit, code, error.to_string()).with_hint(hint)
    }
}

const REMOVED_HINT: &str = "the server may also have gone back to an older backup: `conclave doctor` looks closer; \
     joining or registering anew needs another --profile";
const STORE_HINT: &str =
    "check free space and permissions of the folder that `conclave paths` shows";

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let (exit, code, hint) = match &error {
            ClientError::Refused(refusal) => return Self::refused(refusal),
            ClientError::NotRegistered => (NO_ACCESS, "NOT_REGISTERED", ""),
            ClientError::AlreadyRegistered(_) => (CONFLICT, "ALREADY_REGISTERED", ""),
            ClientError::NoRegistration => (NO_ACCESS, "NO_REGISTRATION", ""),
            ClientError::NotFound(_) => (NOT_FOUND, "NOT_FOUND", ""),
            ClientError::Exists(_) => (CONFLICT, "EXISTS", ""),
            ClientError::BadInput(_) => (USAGE, "BAD_INPUT", ""),
            ClientError::TooLarge(_) => (
                USAGE,
                "TOO_LARGE",
                "nothing was sent; send it in smaller parts",
            ),
            ClientError::CursorTooOld { .. } => (NOT_FOUND, "CURSOR_TOO_OLD", ""),
            ClientError::KeyReused => (CONFLICT, "KEY_REUSED", ""),
            ClientError::CallRunning => {
                let failure = Self::new(CONFLICT, "CALL_RUNNING", error.to_string());
                return failure.retry_after(1000);
            }
            ClientError::CallBroken => (CONFLICT, "CALL_BROKEN", ""),
            ClientError::IdentityChanged(_) => (KEY, "KEY_CHANGED", ""),
            ClientError::Unverified(_) => (
                KEY,
                "UNVERIFIED",
                "or trust whom you meet first: conclave config set trust.mode tofu",
            ),
            ClientError::NotMatching => (KEY, "NUMBERS_DIFFER", ""),
            ClientError::NotAllowed(_) => (NO_ACCESS, "NOT_ALLOWED", ""),
            ClientError::LinkFailed(_) => (KEY, "LINK_FAILED", "nothing was changed"),
            ClientError::Removed => (NO_ACCESS, "DEVICE_REMOVED", REMOVED_HINT),
            ClientError::WrongServer(_) => (KEY, "WRONG_SERVER", ""),
            ClientError::Incompatible => (VERSION, "INCOMPATIBLE", ""),
            ClientError::Unreachable(_) => (
                UNREACHABLE,
                "UNREACHABLE",
                "check the network and that the server runs",
            ),
            ClientError::TimedOut => (TIMED_OUT, "TIMED_OUT", "give it longer with --timeout"),
            ClientError::Passphrase(_) => (NO_ACCESS, "PASSPHRASE", ""),
            ClientError::Store(_) => (STORE, "STORE", STORE_HINT),
            ClientError::Broken(_) => (UNEXPECTED, "BUG", ""),
            _ => (UNEXPECTED, "UNEXPECTED", ""),
        };
        Self::new(exit, code, error.to_string()).with_hint(hint)
    }
}

impl Failure {
    /// The server said no: its stable code decides the exit code.
    fn refused(refusal: &Refusal) -> Self {
        let (exit, hint) = match refusal.code() {
            ErrorCode::RateLimited => (RATE, "try again later"),
            ErrorCode::Busy => (
                RATE,
                "what is queued stays queued and goes out with the next run; or give it longer with --timeout",
            ),
            ErrorCode::Unauthorized => (
                NO_ACCESS,
                "the server does not know this device: removed, or the server went back to an older backup; \
                 `conclave doctor` looks closer, registering anew needs another --profile",
            ),
            ErrorCode::OtpWrong => (
                NO_ACCESS,
                "look at the code again, then `conclave register confirm CODE`",
            ),
            ErrorCode::OtpExpired | ErrorCode::OtpExhausted => (
                NO_ACCESS,
                "ask for a new code with `conclave register --server … --phone …`",
            ),
            ErrorCode::RegistrationClosed | ErrorCode::ServerFull => {
                (NO_ACCESS, "ask the server's operator")
            }
            ErrorCode::InviteInvalid => (
                NO_ACCESS,
                "ask the server's operator for an invite and give it with --invite",
            ),
            ErrorCode::UnsupportedVersion => (VERSION, "update the older of client and server"),
            ErrorCode::TooLarge => (USAGE, "send less"),
            ErrorCode::NotFound => (NOT_FOUND, ""),
            ErrorCode::Conflict => (CONFLICT, ""),
            ErrorCode::IdentifierHeld => (
                CONFLICT,
                "its owner was told and can object until then; confirm again after that time",
            ),
            ErrorCode::Internal | ErrorCode::ShuttingDown => (UNREACHABLE, "try again later"),
            _ => (UNEXPECTED, ""),
        };
        let hint = match refusal.checks_left {
            0 => hint.to_owned(),
            left => format!("{left} tries are left; {hint}"),
        };
        let code = refusal.code().name().to_uppercase();
        let message = format!("the server refused: {}", refusal.message);
        let mut failure = Self::new(exit, &code, message).with_hint(hint);
        failure.retry_after_ms = Some(refusal.retry_after_ms).filter(|ms| *ms > 0);
        failure
    }
}

#[cfg(test)]
#[path = "exit/tests.rs"]
mod tests;
