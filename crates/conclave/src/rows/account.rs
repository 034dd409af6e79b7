//! Rows about this account and its profile.

use conclave_client::view::{Finding, Proof, Status, Whoami};
use schemars::JsonSchema;
use serde::Serialize;

use crate::output::{Row, safe};
use crate::rfc3339::{rfc3339, short};
use crate::rows::table;

/// This account.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WhoamiRow {
    account: String,
    device: String,
    identifier: String,
    server: String,
    fingerprint: String,
}

impl From<&Whoami> for WhoamiRow {
    fn from(me: &Whoami) -> Self {
        Self {
            account: me.account_id.to_string(),
            device: me.device_id.to_string(),
            identifier: me.identifier.clone(),
            server: me.server.clone(),
            fingerprint: me.fingerprint.clone(),
        }
    }
}

impl Row for WhoamiRow {
    const TYPE: &'static str = "whoami";

    fn text(&self) -> String {
        table(&[
            ("identifier", self.identifier.as_str()),
            ("account", &self.account),
            ("device", &self.device),
            ("server", &self.server),
            ("fingerprint", &self.fingerprint),
        ])
    }
}

/// This profile at a glance.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StatusRow {
    account: Option<WhoamiRow>,
    online: bool,
    /// Whether this device is none of the account's any more.
    removed: bool,
    queued: u64,
    unread: u64,
    requests: u64,
    clock_skew_ms: Option<i64>,
    warnings: Vec<String>,
    version: &'static str,
}

impl From<&Status> for StatusRow {
    fn from(status: &Status) -> Self {
        Self {
            account: status.account.as_ref().map(WhoamiRow::from),
            online: status.online,
            removed: status.is_removed,
            queued: status.queued,
            unread: status.unread,
            requests: status.requests,
            clock_skew_ms: status.clock_skew_ms,
            warnings: status.warnings.clone(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

impl Row for StatusRow {
    const TYPE: &'static str = "status";

    fn text(&self) -> String {
        let account = self
            .account
            .as_ref()
            .map_or("not registered", |me| &me.identifier);
        let online = match (self.removed, self.online) {
            (true, _) => "this device was removed from the account",
            (false, true) => "online",
            (false, false) => "offline",
        };
        let facts = table(&[
            ("account", account),
            ("server", online),
            ("queued", &self.queued.to_string()),
            ("unread", &self.unread.to_string()),
            ("requests", &self.requests.to_string()),
            ("version", self.version),
        ]);
        let warnings = self.warnings.iter().map(|text| format!("! {}", safe(text)));
        [facts]
            .into_iter()
            .chain(warnings)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// What an exported key file holds.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct KeyRow {
    /// The file.
    pub(crate) file: String,
    /// Identity fingerprint, 64 hex digits.
    pub(crate) fingerprint: String,
    /// Whether it is this profile's key.
    pub(crate) matches: bool,
}

impl Row for KeyRow {
    const TYPE: &'static str = "key";

    fn text(&self) -> String {
        let matches = if self.matches {
            "this profile's key"
        } else {
            "another profile's key"
        };
        format!(
            "{}: {matches}\nfingerprint  {}",
            self.file, self.fingerprint
        )
    }
}

/// How the profile is unlocked from now on.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PassphraseRow {
    /// `passphrase` or `key_file`.
    pub(crate) unlock: &'static str,
}

impl Row for PassphraseRow {
    const TYPE: &'static str = "passphrase";

    fn text(&self) -> String {
        match self.unlock {
            "key_file" => {
                "the profile opens without a passphrase now: whoever reads the disk reads it"
                    .to_owned()
            }
            _ => "the profile opens with the new passphrase only".to_owned(),
        }
    }
}

/// One setting of the profile.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SettingRow {
    /// Its name.
    pub(crate) setting: &'static str,
    /// What it is set to.
    pub(crate) value: String,
}

impl Row for SettingRow {
    const TYPE: &'static str = "setting";

    fn text(&self) -> String {
        format!("{} = {}", self.setting, self.value)
    }
}

/// One finding of `doctor`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FindingRow {
    check: &'static str,
    ok: bool,
    text: String,
}

impl From<&Finding> for FindingRow {
    fn from(finding: &Finding) -> Self {
        Self {
            check: finding.check,
            ok: finding.ok,
            text: finding.text.clone(),
        }
    }
}

impl Row for FindingRow {
    const TYPE: &'static str = "doctor";

    fn text(&self) -> String {
        let mark = if self.ok { "ok  " } else { "FAIL" };
        format!("{mark}  {:<10}  {}", self.check, safe(&self.text))
    }
}

/// A code was sent.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CodeSentRow {
    /// Where to.
    pub(crate) identifier: String,
    /// Valid for this long, in ms.
    pub(crate) valid_ms: u64,
    /// Another may be asked for after this time, in ms.
    pub(crate) resend_after_ms: u64,
    /// What to run with the code.
    pub(crate) next: String,
}

impl Row for CodeSentRow {
    const TYPE: &'static str = "code_sent";

    fn text(&self) -> String {
        format!(
            "a code was sent to {}; it is valid for {} min\nthen run: {}",
            safe(&self.identifier),
            self.valid_ms / 60_000,
            self.next
        )
    }
}

/// Where a profile lives.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PathsRow {
    /// The profile's name.
    pub(crate) profile: String,
    /// Its folder.
    pub(crate) profile_dir: String,
    /// How its key is kept: `absent`, `key_file`, `passphrase`.
    pub(crate) key: &'static str,
}

impl Row for PathsRow {
    const TYPE: &'static str = "paths";

    fn text(&self) -> String {
        table(&[
            ("profile", self.profile.as_str()),
            ("folder", &self.profile_dir),
            ("key", self.key),
        ])
    }
}

/// Proof that somebody misbehaved.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProofRow {
    what: String,
    bytes: String,
    ts: String,
    ts_ms: u64,
}

impl From<&Proof> for ProofRow {
    fn from(proof: &Proof) -> Self {
        Self {
            what: proof.what.clone(),
            bytes: hex::encode(&proof.bytes),
            ts: rfc3339(proof.seen_ms),
            ts_ms: proof.seen_ms,
        }
    }
}

impl Row for ProofRow {
    const TYPE: &'static str = "proof";

    fn text(&self) -> String {
        let bytes = self.bytes.len() / 2;
        format!(
            "{}  {}  ({bytes} bytes)",
            short(self.ts_ms),
            safe(&self.what)
        )
    }
}
