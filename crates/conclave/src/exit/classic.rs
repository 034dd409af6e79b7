//! How a classic command ends badly.

use conclave_classic::client::ClientError;
use conclave_classic::pem::PemError;
use conclave_classic::wire::Code;

use super::{
    CONFLICT, Failure, KEY, NO_ACCESS, NOT_FOUND, RATE, STORE, UNEXPECTED, UNREACHABLE, USAGE,
};

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let (exit, code) = match &error {
            ClientError::Refused { code, .. } => (exit_of(*code), name(*code)),
            ClientError::Unreachable { .. } | ClientError::Gone => {
                (UNREACHABLE, "UNREACHABLE".to_owned())
            }
            ClientError::OtherServer
            | ClientError::ServerSignature(_)
            | ClientError::KeyChanged(_) => (KEY, "KEY_CHANGED".to_owned()),
            ClientError::NoAccount(_) => (NO_ACCESS, "NOT_REGISTERED".to_owned()),
            ClientError::AccountExists(_) => (CONFLICT, "ALREADY_REGISTERED".to_owned()),
            ClientError::InUse(_) => (CONFLICT, "PROFILE_IN_USE".to_owned()),
            ClientError::OtherSuite(_) => (USAGE, "OTHER_SUITE".to_owned()),
            ClientError::Pem(PemError::WrongPassphrase) => {
                (NO_ACCESS, "WRONG_PASSPHRASE".to_owned())
            }
            ClientError::Damaged(_) | ClientError::File { .. } | ClientError::Pem(_) => {
                (STORE, "STORE".to_owned())
            }
            _ => (UNEXPECTED, "UNEXPECTED".to_owned()),
        };
        Self::new(exit, &code, error.to_string())
    }
}

fn exit_of(code: Code) -> u8 {
    match code {
        Code::RateLimited | Code::Busy | Code::QueueFull => RATE,
        Code::Full
        | Code::WrongCode
        | Code::UnknownSession
        | Code::LoginRequired
        | Code::BadSignature => NO_ACCESS,
        Code::UnknownRecipient => NOT_FOUND,
        Code::Replay => CONFLICT,
        Code::Internal | Code::Timeout => UNREACHABLE,
        Code::TooLong | Code::BadPhone | Code::SuiteMismatch => USAGE,
        _ => UNEXPECTED,
    }
}

/// The code as programs read it: upper case, as all of this program's.
fn name(code: Code) -> String {
    let name = serde_json::to_value(code).unwrap_or_default();
    name.as_str().unwrap_or("UNEXPECTED").to_uppercase()
}
