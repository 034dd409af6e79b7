//! Methods about the account's devices.

use conclave_client::Client;
use conclave_client::view::HistoryScope;
use conclave_proto::id::DeviceId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Caller, Method, Reach, RpcError, Scope, Short, TimeoutMs};
use crate::rows::{DeviceRow, DoneRow, HistoryRow};

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

/// How far history is on its way to new devices, and to this one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryParams {}

/// History on its way.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct History {
    /// What is under way and what came to its end.
    history: Vec<HistoryRow>,
}

impl Method for HistoryParams {
    const NAME: &'static str = "devices.history";
    const SCOPE: Scope = Scope::Read;
    type Result = History;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<History, RpcError> {
        let history = client.history_progress()?;
        let history = history.iter().map(HistoryRow::from).collect();
        Ok(History { history })
    }
}

/// What of the past a new device gets.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Past {
    /// Nothing.
    #[default]
    None,
    /// The last 30 days.
    Month,
    /// Everything.
    All,
}

/// Which device shows a link, to ask the person before it is let in; changes nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LookParams {
    /// `conclave-link:…`, as the new device shows it.
    link: Short,
    /// How long to wait for the server.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

/// A new device, as its link shows it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Offered {
    /// The device.
    device: String,
    /// What it calls itself; may be empty.
    name: String,
}

impl Method for LookParams {
    const NAME: &'static str = "devices.look";
    const SCOPE: Scope = Scope::Read;
    type Result = Offered;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<Offered, RpcError> {
        let looking = client.link_look(&self.link.0);
        let offer = self.timeout_ms.limit(looking).await?;
        Ok(Offered {
            device: offer.device.to_string(),
            name: offer.name,
        })
    }
}

/// Let a new device in: the one that shows this link and a code. The person at the new device reads the code out, or
/// it is compared by who sees both.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApproveParams {
    /// `conclave-link:…`, as the new device shows it.
    link: Short,
    /// The six digits that it shows.
    code: Short,
    /// What of the past it gets.
    #[serde(default)]
    history: Past,
    /// How long to wait for the new device.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for ApproveParams {
    const NAME: &'static str = "devices.approve";
    const SCOPE: Scope = Scope::Admin;
    type Result = DoneRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<DoneRow, RpcError> {
        // The link is read before anything is promised to it.
        self.timeout_ms
            .limit(client.link_look(&self.link.0))
            .await?;
        client.offer_history(match self.history {
            Past::None => HistoryScope::Nothing,
            Past::Month => HistoryScope::Days(30),
            Past::All => HistoryScope::All,
        })?;
        let approving = client.approve_device(&self.link.0, &self.code.0);
        let offer = self.timeout_ms.limit(approving).await?;
        Ok(done("approved", offer.device))
    }
}

/// Give a device a name of your own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RenameParams {
    /// Its name, its id, or the beginning of its id.
    device: Short,
    /// The new name; empty takes the old one back.
    name: Short,
}

impl Method for RenameParams {
    const NAME: &'static str = "devices.rename";
    const SCOPE: Scope = Scope::Admin;
    type Result = DoneRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<DoneRow, RpcError> {
        let device = client.find_device(&self.device.0)?.id;
        client.rename_device(device, &self.name.0)?;
        Ok(done("renamed", device))
    }
}

/// Give this device a new key in all conversations; nobody has to do anything.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateParams {
    /// How long to wait until the server has it; asked again, it goes on.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for RotateParams {
    const NAME: &'static str = "devices.rotate";
    const SCOPE: Scope = Scope::Admin;
    type Result = DoneRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<DoneRow, RpcError> {
        self.timeout_ms.limit(client.rotate_device_key()).await?;
        Ok(done("rotated", client.whoami()?.device_id))
    }
}

/// Take a device out of the account: lost, stolen or sold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveParams {
    /// Its name, its id, or the beginning of its id.
    device: Short,
    /// How long to wait until the account's new state is at the server; asked again, it goes on.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for RemoveParams {
    const NAME: &'static str = "devices.remove";
    const SCOPE: Scope = Scope::Admin;
    type Result = DoneRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<DoneRow, RpcError> {
        let device = client.find_device(&self.device.0)?.id;
        self.timeout_ms.limit(client.remove_device(device)).await?;
        Ok(done("removed", device))
    }
}

fn done(done: &'static str, device: DeviceId) -> DoneRow {
    let to = device.to_string();
    DoneRow { done, to }
}
