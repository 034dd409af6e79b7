//! Rows about the account's devices.

use conclave_client::view::{Device, HistoryProgress, LinkShown};
use schemars::JsonSchema;
use serde::Serialize;

use super::table;
use crate::output::{Row, safe};
use crate::rfc3339::{rfc3339, short};

/// What a new device shows while it waits.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LinkRow {
    /// `conclave-link:…`.
    pub(crate) uri: String,
    /// Six digits.
    pub(crate) code: String,
    /// Good for this long, in ms.
    pub(crate) valid_ms: u64,
}

impl From<&LinkShown> for LinkRow {
    fn from(shown: &LinkShown) -> Self {
        Self {
            uri: shown.uri.clone(),
            code: shown.code.clone(),
            valid_ms: shown.valid_ms,
        }
    }
}

impl Row for LinkRow {
    const TYPE: &'static str = "link";

    fn text(&self) -> String {
        let facts = table(&[("link", self.uri.as_str()), ("code", &self.code)]);
        format!(
            "{facts}\non a device of the account run `conclave device approve LINK`, and type the code there; good \
             for {} s",
            self.valid_ms / 1000
        )
    }
}

/// How far history is on its way between two devices.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct HistoryRow {
    /// `in` or `out`.
    direction: &'static str,
    bytes_done: u64,
    bytes_total: u64,
    messages: u64,
    done: bool,
    reason: String,
}

impl From<&HistoryProgress> for HistoryRow {
    fn from(progress: &HistoryProgress) -> Self {
        Self {
            direction: if progress.is_incoming { "in" } else { "out" },
            bytes_done: progress.bytes_done,
            bytes_total: progress.bytes_total,
            messages: progress.messages,
            done: progress.is_over,
            reason: progress.reason.clone(),
        }
    }
}

impl Row for HistoryRow {
    const TYPE: &'static str = "history";

    fn text(&self) -> String {
        let way = if self.direction == "in" {
            "history from the other device"
        } else {
            "history for the new device"
        };
        let messages = self.messages;
        if !self.reason.is_empty() {
            return format!("{way} did not come through: {}", self.reason);
        }
        if self.done {
            return format!("{way}: done, {messages} messages");
        }
        let percent = (self.bytes_done.saturating_mul(100)).checked_div(self.bytes_total);
        format!("{way}: {} %, {messages} messages", percent.unwrap_or(0))
    }
}

/// One device of this account.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeviceRow {
    device: String,
    name: String,
    /// `certifier`: may let devices in and remove them; `ordinary`: may not.
    role: &'static str,
    added: String,
    added_ms: u64,
    expires: String,
    expires_ms: u64,
    this: bool,
}

impl From<&Device> for DeviceRow {
    fn from(device: &Device) -> Self {
        Self {
            device: device.id.to_string(),
            name: device.name.clone(),
            role: if device.may_certify {
                "certifier"
            } else {
                "ordinary"
            },
            added: rfc3339(device.added_ms),
            added_ms: device.added_ms,
            expires: rfc3339(device.expires_ms),
            expires_ms: device.expires_ms,
            this: device.is_this,
        }
    }
}

impl Row for DeviceRow {
    const TYPE: &'static str = "device";

    fn text(&self) -> String {
        let this = if self.this { "  (this one)" } else { "" };
        let name = match self.name.as_str() {
            "" => String::new(),
            name => format!("  {}", safe(name)),
        };
        // Nearly all may; it is worth a word when one may not.
        let right = if self.role == "certifier" {
            ""
        } else {
            "  (may not let devices in or remove them)"
        };
        format!(
            "{}  {}{name}{this}{right}",
            self.device,
            short(self.added_ms)
        )
    }
}
