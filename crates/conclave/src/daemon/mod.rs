//! The daemon: one process owns the profile, command lines and programs talk to it over a socket.
//!
//! - `host`: the daemon itself, from the open profile to the closed one
//! - `locked`: what it is while the profile is locked
//! - `place`: where its socket lies, and who may be at the other end
//! - `hosted`: runs the commands of command lines
//! - `lent`: the streams of such a command line, over its connection
//! - `front`: the command line's own side

mod front;
mod host;
mod hosted;
mod lent;
mod locked;
mod place;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub(crate) use front::{Front, stop};
pub(crate) use host::{Daemon, Doors, PageWish, StopRequest, run, show};
pub(crate) use hosted::{Running, start};
pub(crate) use lent::{Facts, Lent};

/// A command line hands over its words: `cli.run`. Only the same version of this program says it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunParams {
    /// This program's version there; another one is refused.
    pub(crate) version: String,
    /// The words after the program's name.
    pub(crate) args: Vec<String>,
    /// The folder that the command line stands in.
    pub(crate) cwd: PathBuf,
    /// `--passphrase-file`, which may come from the environment.
    pub(crate) passphrase_file: Option<PathBuf>,
    /// What the command line's streams are.
    pub(crate) facts: Facts,
}

/// Somebody wants to see the page: `web.open`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenParams {
    /// The port that it should listen on; none: any.
    #[serde(default)]
    pub(crate) port: Option<u16>,
    /// Whether all that were let in before have to come in anew.
    #[serde(default)]
    pub(crate) end_sessions: bool,
}

/// How a command ended: `cli.run`'s result.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunResult {
    /// The exit code; none when the person's interrupt ended it.
    pub(crate) exit: Option<u8>,
}

/// What the daemon says of itself: `daemon.status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct About {
    /// Its process.
    pub(crate) pid: u32,
    /// Its version.
    pub(crate) version: String,
    /// Its socket.
    pub(crate) socket: String,
    /// Where it takes HTTP, when it does.
    pub(crate) http: Option<String>,
    /// Where the page is, when it is served.
    #[serde(default)]
    pub(crate) page: Option<String>,
    /// Since when, ms since 1970-01-01 UTC.
    pub(crate) since_ms: u64,
    /// Open connections.
    pub(crate) connections: usize,
    /// Whether the profile is locked, so that nothing works but the page's lock screen.
    #[serde(default)]
    pub(crate) locked: bool,
}
