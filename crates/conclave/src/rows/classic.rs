//! Rows of the classic protocols.

use serde::Serialize;

use crate::output::{Row, safe};
use crate::rfc3339::short;

/// A classic account that was made.
#[derive(Debug, Serialize)]
pub(crate) struct ClassicAccountRow {
    /// E.164.
    pub(crate) phone: String,
    /// `rsa` or `ec`.
    pub(crate) suite: &'static str,
    /// `HOST:PORT`.
    pub(crate) server: String,
}

impl Row for ClassicAccountRow {
    const TYPE: &'static str = "classic_account";

    fn text(&self) -> String {
        format!(
            "registered {} ({}) at {}",
            self.phone, self.suite, self.server
        )
    }
}

/// A message that the server has.
#[derive(Debug, Serialize)]
pub(crate) struct ClassicSentRow {
    /// 32 hex digits.
    pub(crate) message_id: String,
    /// Phone of the recipient.
    pub(crate) to: String,
}

impl Row for ClassicSentRow {
    const TYPE: &'static str = "classic_sent";

    fn text(&self) -> String {
        format!("accepted {} for {}", self.message_id, self.to)
    }
}

/// A message that came.
#[derive(Debug, Serialize)]
pub(crate) struct ClassicMessageRow {
    /// 32 hex digits.
    pub(crate) message_id: String,
    /// Phone of the sender.
    pub(crate) from: String,
    /// As the sender says, Unix seconds.
    pub(crate) timestamp: u64,
    /// The text; empty when it cannot be read.
    pub(crate) text: String,
    /// Why it cannot be read.
    pub(crate) problem: Option<String>,
}

impl Row for ClassicMessageRow {
    const TYPE: &'static str = "classic_message";

    fn text(&self) -> String {
        let text = match &self.problem {
            None => safe(&self.text).into_owned(),
            Some(problem) => format!("[cannot be read: {}]", safe(problem)),
        };
        let when = short(self.timestamp.saturating_mul(1_000));
        format!("{when}  {}: {text}", safe(&self.from))
    }
}

/// A message that arrived.
#[derive(Debug, Serialize)]
pub(crate) struct ClassicReceiptRow {
    /// Which.
    pub(crate) message_id: String,
    /// Who has it.
    pub(crate) to: String,
    /// Since when, Unix seconds.
    pub(crate) delivered_at: u64,
}

impl Row for ClassicReceiptRow {
    const TYPE: &'static str = "classic_receipt";

    fn text(&self) -> String {
        let when = short(self.delivered_at.saturating_mul(1_000));
        format!(
            "{when}  delivered {} to {}",
            safe(&self.message_id),
            safe(&self.to)
        )
    }
}

/// Somebody's key.
#[derive(Debug, Serialize)]
pub(crate) struct ClassicKeyRow {
    /// Whose.
    pub(crate) phone: String,
    /// SPKI PEM.
    pub(crate) public_key: String,
}

impl Row for ClassicKeyRow {
    const TYPE: &'static str = "classic_key";

    fn text(&self) -> String {
        self.public_key.trim_end().to_owned()
    }
}
