//! Which exit code an error ends with; the table is the same for both programs.

use std::process::ExitCode;

use conclave_server::ServeError;
use conclave_server::config::ConfigError;
use conclave_server::health::HealthError;
use conclave_server::store::OpenError;

const UNEXPECTED: u8 = 1;
const USAGE: u8 = 2;
const UNREACHABLE: u8 = 6;
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

/// The exit code of an error.
pub(crate) fn code_of(error: &anyhow::Error) -> ExitCode {
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<CommandError>() {
            return command_code(error).into();
        }
        if let Some(error) = cause.downcast_ref::<ServeError>() {
            return serve_code(error).into();
        }
        if let Some(error) = cause.downcast_ref::<OpenError>() {
            return open_code(error).into();
        }
        if cause.is::<ConfigError>() {
            return USAGE.into();
        }
        if let Some(HealthError::Unreachable { .. } | HealthError::NotReady(_)) =
            cause.downcast_ref()
        {
            return UNREACHABLE.into();
        }
    }
    UNEXPECTED.into()
}

fn command_code(error: &CommandError) -> u8 {
    match error {
        CommandError::PortTaken { .. } => CONFLICT,
        CommandError::Usage(_) => USAGE,
        CommandError::ChecksFailed(_) | CommandError::NoServer(_) | CommandError::Refused(_) => {
            UNEXPECTED
        }
    }
}

fn serve_code(error: &ServeError) -> u8 {
    match error {
        ServeError::SenderMissing(_) | ServeError::ConsoleBeyondLoopback(_) => USAGE,
        ServeError::Store(error) => open_code(error),
        ServeError::StoreFailed => DAMAGED,
        _ => UNEXPECTED,
    }
}

fn open_code(error: &OpenError) -> u8 {
    match error {
        OpenError::Locked => CONFLICT,
        OpenError::NewerSchema { .. } => INCOMPATIBLE,
        OpenError::Database(_) => DAMAGED,
        _ => UNEXPECTED,
    }
}
