//! Rows about webhooks.

use conclave_client::webhook::{Dead, Webhook};
use schemars::JsonSchema;
use serde::Serialize;

use crate::output::{Row, safe};
use crate::rfc3339::{rfc3339, short};

/// A webhook, without its secret.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WebhookRow {
    id: String,
    url: String,
    /// The kinds of events it wants; empty: all.
    events: Vec<String>,
    /// Events that wait to be posted.
    waiting: u64,
    /// Events that were given up.
    dead: u64,
    created: String,
    created_ms: u64,
}

impl From<&Webhook> for WebhookRow {
    fn from(webhook: &Webhook) -> Self {
        Self {
            id: webhook.id.clone(),
            url: webhook.url.clone(),
            events: webhook.kinds.clone(),
            waiting: webhook.waiting,
            dead: webhook.dead,
            created: rfc3339(webhook.created_ms),
            created_ms: webhook.created_ms,
        }
    }
}

impl Row for WebhookRow {
    const TYPE: &'static str = "webhook";

    fn text(&self) -> String {
        let events = match self.events.as_slice() {
            [] => "all events".to_owned(),
            events => events.join(","),
        };
        format!(
            "{}  {}  {events}  {} waiting, {} given up",
            self.id,
            safe(&self.url),
            self.waiting,
            self.dead
        )
    }
}

/// An event that was given up.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeadRow {
    webhook: String,
    cursor: u64,
    chat: Option<String>,
    tries: u32,
    reason: String,
    ts: String,
    ts_ms: u64,
}

impl From<&Dead> for DeadRow {
    fn from(dead: &Dead) -> Self {
        Self {
            webhook: dead.webhook.clone(),
            cursor: dead.cursor,
            chat: dead.chat.map(|chat| chat.to_string()),
            tries: dead.tries,
            reason: dead.reason.clone(),
            ts: rfc3339(dead.dead_ms),
            ts_ms: dead.dead_ms,
        }
    }
}

impl Row for DeadRow {
    const TYPE: &'static str = "dead";

    fn text(&self) -> String {
        format!(
            "{}  {}  event {} was tried {} times: {}",
            short(self.ts_ms),
            self.webhook,
            self.cursor,
            self.tries,
            safe(&self.reason)
        )
    }
}

/// What a try to post came to.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PostedRow {
    /// The webhook.
    pub(crate) webhook: String,
    /// Whether the other side took it.
    pub(crate) ok: bool,
    /// Why not; empty when it did.
    pub(crate) reason: String,
}

impl Row for PostedRow {
    const TYPE: &'static str = "posted";

    fn text(&self) -> String {
        if self.ok {
            format!("{}  took the test", self.webhook)
        } else {
            format!(
                "{}  did not take the test: {}",
                self.webhook,
                safe(&self.reason)
            )
        }
    }
}

/// How many events that were given up something was done to.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CountRow {
    /// The webhook.
    pub(crate) webhook: String,
    /// How many.
    pub(crate) count: u64,
}

impl Row for CountRow {
    const TYPE: &'static str = "count";

    fn text(&self) -> String {
        format!("{}  {} events", self.webhook, self.count)
    }
}
