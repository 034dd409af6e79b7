//! Which exit code an error ends with; the table is the same for both programs.

use std::process::ExitCode;

use conclave_server::ServeError;
use conclave_server::config::ConfigError;
use conclave_server::database::StoreOpenError;
use conclave_server::health::HealthError;
use conclave_server::store::{DatabaseError, MoveError, OpenError};

const UNEXPECTED: u8 = 1;
const USAGE: u8 = 2;
const UNREACHABLE: u8 = 6;
const NOT_FOUND: u8 = 8;
const CONFLICT: u8 = 9;
const INCOMPATIBLE: u8 = 11;
const DAMAGED: u8 = 12;

/// Something that a command itself found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The port is taken.
    #[error(
        "port {port} is taken by another program; stop that one, or listen elsewhere with \
         --listen {host}:0 (any free port)"
    )]
    PortTaken {
        /// The host part, as one writes it before a port.
        host: String,
        /// The port.
        port: u16,
    },
    /// A check failed.
    #[error("{0} of the checks failed; each line above says how to fix it")]
    ChecksFailed(usize),
    /// A password among the arguments.
    #[error(
        "a password on the command line can be read by everybody on this machine: put it into \
         PGPASSWORD or the file that PGPASSFILE names, or the whole address into CONCLAVE_DATABASE"
    )]
    PasswordShown,
    /// An argument does not hold.
    #[error("{0}")]
    Usage(String),
    /// The folder has no server yet.
    #[error("there is no server in {0} yet; run `conclave-server init` or `conclave-server serve`")]
    NoServer(String),
    /// The running server refused.
    #[error("{0}")]
    Refused(String),
}

/// The error and its causes in one line, each said once: many errors name their cause themselves.
pub(crate) fn line_of(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !line.contains(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    line
}

/// The exit code of an error.
pub(crate) fn code_of(error: &anyhow::Error) -> ExitCode {
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<CommandError>() {
            return command_code(error).into();
        }
        if let Some(error) = cause.downcast_ref::<ServeError>() {
            return serve_code(error).into();
        }
        if let Some(error) = cause.downcast_ref::<StoreOpenError>() {
            return store_code(error).into();
        }
        if let Some(error) = cause.downcast_ref::<DatabaseError>() {
            return database_code(error).into();
        }
        if let Some(error) = cause.downcast_ref::<MoveError>() {
            return move_code(error).into();
        }
        if cause.is::<ConfigError>() {
            return USAGE.into();
        }
        if let Some(
            HealthError::Unreachable { .. }
            | HealthError::OtherServer(_)
            | HealthError::NotReady(_),
        ) = cause.downcast_ref()
        {
            return UNREACHABLE.into();
        }
    }
    UNEXPECTED.into()
}

fn command_code(error: &CommandError) -> u8 {
    match error {
        CommandError::PortTaken { .. } => CONFLICT,
        CommandError::Usage(_) | CommandError::PasswordShown => USAGE,
        CommandError::ChecksFailed(_) | CommandError::NoServer(_) | CommandError::Refused(_) => {
            UNEXPECTED
        }
    }
}

fn serve_code(error: &ServeError) -> u8 {
    match error {
        ServeError::Sender(_) | ServeError::ConsoleBeyondLoopback(_) => USAGE,
        ServeError::Store(error) => store_code(error),
        ServeError::StoreFailed => DAMAGED,
        _ => UNEXPECTED,
    }
}

fn store_code(error: &StoreOpenError) -> u8 {
    match error {
        StoreOpenError::Folder(error) => open_code(error),
        StoreOpenError::Database(error) => database_code(error),
        _ => UNEXPECTED,
    }
}

fn database_code(error: &DatabaseError) -> u8 {
    match error {
        DatabaseError::Address(_) | DatabaseError::Tls(_) => USAGE,
        DatabaseError::Unreachable(_)
        | DatabaseError::Login
        | DatabaseError::NoDatabase
        | DatabaseError::ReadOnly => UNREACHABLE,
        DatabaseError::TooOld { .. } | DatabaseError::NewerSchema { .. } => INCOMPATIBLE,
        DatabaseError::OtherKeys => CONFLICT,
        DatabaseError::Statement(_) => DAMAGED,
        _ => UNEXPECTED,
    }
}

fn move_code(error: &MoveError) -> u8 {
    match error {
        MoveError::NoSource(_) => NOT_FOUND,
        MoveError::NotEmpty(_) => CONFLICT,
        MoveError::Source(error) => open_code(error),
        MoveError::Read(_) | MoveError::Differs(_) => DAMAGED,
        MoveError::Database(error) => database_code(error),
        _ => UNEXPECTED,
    }
}

fn open_code(error: &OpenError) -> u8 {
    match error {
        OpenError::Locked => CONFLICT,
        OpenError::NewerSchema { .. } => INCOMPATIBLE,
        OpenError::Database(_) | OpenError::Missing => DAMAGED,
        _ => UNEXPECTED,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    /// A move that cannot be made ends with the code of who must act.
    #[test]
    fn a_refused_move_says_who_must_act() {
        let cases = [
            (MoveError::NotEmpty("account"), CONFLICT),
            (MoveError::Source(OpenError::Locked), CONFLICT),
            (MoveError::Differs("entry"), DAMAGED),
            (MoveError::Database(DatabaseError::Login), UNREACHABLE),
            (MoveError::NoSource("nowhere".into()), NOT_FOUND),
        ];
        for (error, code) in cases {
            let error = anyhow::Error::from(error);
            assert_eq!(code_of(&error), code.into(), "{error}");
        }
        let address = anyhow::Error::from(DatabaseError::ReadOnly);
        assert_eq!(code_of(&address), UNREACHABLE.into());
    }

    /// A cause that an error names itself is not said again; one that it hides is.
    #[test]
    fn each_cause_is_said_once() {
        let refused = || std::io::Error::from_raw_os_error(111);
        let address = ([127, 0, 0, 1], 1).into();
        let source = refused();
        let error = anyhow::Error::from(HealthError::Unreachable { address, source });
        assert_eq!(line_of(&error).matches("os error 111").count(), 1);
        let hidden = Err::<(), _>(refused()).context("cannot listen");
        let line = line_of(&hidden.unwrap_err());
        assert!(line.starts_with("cannot listen: ") && line.ends_with("(os error 111)"));
    }
}
