//! Methods about this profile and this program.

use conclave_client::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Caller, Method, Reach, RpcError, Scope, Short, TimeoutMs};
use crate::commands::config::Setting;
use crate::rows::{FindingRow, SettingRow, StatusRow, WhoamiRow};

/// Connection, queue, unread messages and problems.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusParams {}

impl Method for StatusParams {
    const NAME: &'static str = "status";
    const SCOPE: Scope = Scope::Read;
    type Result = StatusRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<StatusRow, RpcError> {
        Ok(StatusRow::from(&client.status()?))
    }
}

/// This account: identifier, account and device id, server, identity fingerprint.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WhoamiParams {}

impl Method for WhoamiParams {
    const NAME: &'static str = "whoami";
    const SCOPE: Scope = Scope::Read;
    type Result = WhoamiRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Filtered)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<WhoamiRow, RpcError> {
        Ok(WhoamiRow::from(&client.whoami()?))
    }
}

/// The version of this program.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VersionParams {}

/// The version of this program.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Version {
    /// As `conclave --version` says it.
    version: &'static str,
}

impl Method for VersionParams {
    const NAME: &'static str = "version";
    const SCOPE: Scope = Scope::Read;
    type Result = Version;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Nothing)
    }

    async fn call(self, _: &Client, _: &Caller) -> Result<Version, RpcError> {
        let version = env!("CARGO_PKG_VERSION");
        Ok(Version { version })
    }
}

/// Check clock, server, store and keys; each finding says what to do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DoctorParams {}

/// What was found.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Findings {
    /// One for each check.
    findings: Vec<FindingRow>,
}

impl Method for DoctorParams {
    const NAME: &'static str = "doctor";
    const SCOPE: Scope = Scope::Read;
    type Result = Findings;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<Findings, RpcError> {
        let findings = client.doctor().await;
        let findings = findings.iter().map(FindingRow::from).collect();
        Ok(Findings { findings })
    }
}

/// All settings of the profile.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SettingsParams {}

/// Settings.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Settings {
    /// All of them.
    settings: Vec<SettingRow>,
}

impl Method for SettingsParams {
    const NAME: &'static str = "config.list";
    const SCOPE: Scope = Scope::Read;
    type Result = Settings;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<Settings, RpcError> {
        let rows = Setting::ALL.into_iter().map(|setting| setting.row(client));
        let settings = rows.collect::<Result<_, _>>()?;
        Ok(Settings { settings })
    }
}

/// Change a setting of the profile.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetParams {
    /// Which one.
    setting: Setting,
    /// Its new value.
    value: Short,
}

impl Method for SetParams {
    const NAME: &'static str = "config.set";
    const SCOPE: Scope = Scope::Admin;
    type Result = SettingRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<SettingRow, RpcError> {
        self.setting.change(client, &self.value.0)?;
        Ok(self.setting.row(client)?)
    }
}

/// Replace the identity key by a new one that the old one signs: contacts are told and go on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateParams {
    /// How long to wait until the server has it; asked again, it goes on.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for RotateParams {
    const NAME: &'static str = "key.rotate";
    const SCOPE: Scope = Scope::Admin;
    type Result = WhoamiRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<WhoamiRow, RpcError> {
        let whoami = self.timeout_ms.limit(client.rotate_key()).await?;
        Ok(WhoamiRow::from(&whoami))
    }
}
