//! Methods about this profile and this program.

use conclave_client::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Caller, Method, Reach, RpcError, Scope};
use crate::rows::{DeviceRow, StatusRow, WhoamiRow};

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

/// The account's devices, this one marked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DevicesParams {}

impl Method for DevicesParams {
    const NAME: &'static str = "devices.list";
    const SCOPE: Scope = Scope::Read;
    type Result = Devices;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<Devices, RpcError> {
        let devices = client.devices()?;
        let devices = devices.iter().map(DeviceRow::from).collect();
        Ok(Devices { devices })
    }
}

/// Devices.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Devices {
    /// All of them.
    devices: Vec<DeviceRow>,
}
