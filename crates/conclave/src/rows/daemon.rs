//! Rows about the daemon and what talks to it.

use conclave_client::Token;
use serde::Serialize;

use crate::daemon::About;
use crate::output::{Row, safe};
use crate::rfc3339::rfc3339;
use crate::rows::table;

/// A daemon that runs.
#[derive(Debug, Serialize)]
pub(crate) struct DaemonRow {
    pid: u32,
    version: String,
    socket: String,
    http: Option<String>,
    page: Option<String>,
    since: String,
    since_ms: u64,
    connections: usize,
    locked: bool,
}

impl From<&About> for DaemonRow {
    fn from(about: &About) -> Self {
        Self {
            pid: about.pid,
            version: about.version.clone(),
            socket: about.socket.clone(),
            http: about.http.clone(),
            page: about.page.clone(),
            since: rfc3339(about.since_ms),
            since_ms: about.since_ms,
            connections: about.connections,
            locked: about.locked,
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
            ("page", self.page.as_deref().unwrap_or_default()),
            ("since", &self.since),
            ("version", &self.version),
            ("profile", if self.locked { "locked" } else { "" }),
        ])
    }
}

/// Where the page is, and whether a browser was started there.
#[derive(Debug, Serialize)]
pub(crate) struct PageRow {
    /// Good once, for a minute.
    url: String,
    opened: bool,
}

impl PageRow {
    /// The row of a way in.
    pub(crate) fn new(url: &str, opened: bool) -> Self {
        Self {
            url: url.to_owned(),
            opened,
        }
    }
}

impl Row for PageRow {
    const TYPE: &'static str = "page";

    fn text(&self) -> String {
        let what = if self.opened {
            "the page opens in your browser; if it does not, open this link there within a minute:"
        } else {
            "open this link in a browser on this machine within a minute; it works once:"
        };
        format!("{what}\n{}", self.url)
    }
}

/// A token of a program.
#[derive(Debug, Serialize)]
pub(crate) struct TokenRow {
    id: String,
    name: String,
    scopes: Vec<&'static str>,
    chats: Vec<String>,
    created: String,
    created_ms: u64,
    expires: String,
    expires_ms: u64,
    /// What opens the door; shown once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl TokenRow {
    /// The row of `token`; `words` when it was just made.
    pub(crate) fn new(token: &Token, words: Option<&str>) -> Self {
        Self {
            id: token.id.clone(),
            name: token.name.clone(),
            scopes: token.scopes.iter().map(|scope| scope.name()).collect(),
            chats: token.chats.iter().map(ToString::to_string).collect(),
            created: rfc3339(token.created_ms),
            created_ms: token.created_ms,
            expires: rfc3339(token.expires_ms),
            expires_ms: token.expires_ms,
            token: words.map(str::to_owned),
        }
    }
}

impl Row for TokenRow {
    const TYPE: &'static str = "token";

    fn text(&self) -> String {
        let chats = match self.chats.as_slice() {
            [] => "all chats".to_owned(),
            chats => chats.join(", "),
        };
        let facts = format!(
            "{}  {}  {}  until {}  {chats}",
            self.id,
            safe(&self.name),
            self.scopes.join(","),
            self.expires,
        );
        match &self.token {
            Some(words) => format!(
                "{facts}\n{words}\nit is shown this once: keep it where only the program reads it"
            ),
            None => facts,
        }
    }
}
