//! Rows about the daemon and what talks to it.

use serde::Serialize;

use crate::daemon::About;
use crate::output::Row;
use crate::rfc3339::rfc3339;
use crate::rows::table;

/// A daemon that runs.
#[derive(Debug, Serialize)]
pub(crate) struct DaemonRow {
    pid: u32,
    version: String,
    socket: String,
    http: Option<String>,
    since: String,
    since_ms: u64,
    connections: usize,
}

impl From<&About> for DaemonRow {
    fn from(about: &About) -> Self {
        Self {
            pid: about.pid,
            version: about.version.clone(),
            socket: about.socket.clone(),
            http: about.http.clone(),
            since: rfc3339(about.since_ms),
            since_ms: about.since_ms,
            connections: about.connections,
        }
    }
}

impl Row for DaemonRow {
    const TYPE: &'static str = "daemon";

    fn text(&self) -> String {
        table(&[
            ("daemon", &self.pid.to_string()),
            ("socket", &self.socket),
            ("http", self.http.as_deref().unwrap_or_default()),
            ("since", &self.since),
            ("version", &self.version),
        ])
    }
}
