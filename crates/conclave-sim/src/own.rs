//! Accounts change: devices are let in and taken out.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use conclave_client::ClientError;
use conclave_proto::id::DeviceId;

use crate::device::Stage;
use crate::play::{came_to, is_no};
use crate::world::World;

/// How long two devices try to link, virtual.
const LINK_PATIENCE: Duration = Duration::from_mins(2);
/// Devices of one person, and of all people: worlds stay small.
const DEVICES_MAX: (usize, usize) = (3, 6);

impl World {
    /// A new device is let in, one that asked tries again, one is taken out, or one gets a new key.
    pub(crate) async fn change_devices(&mut self, device: usize) -> anyhow::Result<()> {
        if self.chance.percent(30) {
            return self.rotate_key(device).await;
        }
        let person = self.device(device)?.person;
        let waiting = self.find(person, Stage::Asking);
        let own = self.devices.iter().filter(|device| device.person == person);
        if let Some(asking) = waiting {
            return self.link(asking).await;
        }
        if own.count() < DEVICES_MAX.0 && self.devices.len() < DEVICES_MAX.1 {
            let asking = self.new_device(person)?;
            return self.link(asking).await;
        }
        let mut others = self.devices.iter().enumerate();
        let other = others.position(|(place, other)| {
            place != device && other.person == person && other.stage == Stage::In
        });
        match other {
            Some(other) if self.chance.percent(50) => self.take_out(device, other).await,
            _ => Ok(()),
        }
    }

    fn ids_of(&self, person: usize) -> anyhow::Result<BTreeSet<DeviceId>> {
        let own = self.members().filter(|device| device.person == person);
        own.map(|device| Ok(device.ids()?.1)).collect()
    }

    fn find(&self, person: usize, stage: Stage) -> Option<usize> {
        let is_meant = |device: &crate::device::Device| {
            device.person == person && device.stage == stage && device.alive().is_some()
        };
        self.devices.iter().position(is_meant)
    }

    /// A new device and one of the account try to link.
    async fn link(&mut self, asking: usize) -> anyhow::Result<()> {
        let person = self.device(asking)?.person;
        let Some(letting_in) = self.find(person, Stage::In) else {
            return Ok(());
        };
        let (new, old) = (self.device(asking)?, self.device(letting_in)?);
        let (Some(new_client), Some(old_client)) = (new.alive(), old.alive()) else {
            return Ok(());
        };
        self.note(&format!("{} lets in {}", old.name, new.name));
        let (new_way, old_way) = (new.transport.as_ref(), old.transport.as_ref());
        let address = self.server.address();
        let linking = async {
            let shown = new_client
                .link_start_over(new_way, &address, &new.name)
                .await?;
            let code: String = shown.code.chars().filter(char::is_ascii_digit).collect();
            let (let_in, finished) = tokio::join!(
                old_client.approve_device_over(old_way, &shown.uri, &code),
                new_client.link_finish_over(new_way),
            );
            let_in?;
            finished?;
            Ok::<_, ClientError>(())
        };
        let linked = self.patiently(LINK_PATIENCE, Box::pin(linking)).await;
        came_to(linked, is_link_trouble, "a device cannot be let in")?;
        self.enter_linked()
    }

    /// Who got into its account, whoever heard of it, goes online.
    pub(crate) fn enter_linked(&mut self) -> anyhow::Result<()> {
        for device in &mut self.devices {
            let is_new = device.stage == Stage::Asking
                && device.alive().is_some_and(|client| client.is_registered());
            if is_new {
                self.trace.note(&format!("{} is in", device.name));
                device.enter()?;
            }
        }
        Ok(())
    }

    async fn take_out(&mut self, device: usize, other: usize) -> anyhow::Result<()> {
        let is_dark = self.chance.percent(50);
        let (from, out) = (self.device(device)?, self.device(other)?);
        let Some(client) = from.online() else {
            return Ok(());
        };
        let (name, other) = (&from.name, &out.name);
        self.note(&format!("{name} takes out {other}, dark: {is_dark}"));
        out.transport.set_dark(is_dark);
        let removing = client.remove_device_over(from.transport.as_ref(), out.ids()?.1);
        let removed = self.patiently(LINK_PATIENCE, removing).await;
        came_to(removed, is_link_trouble, "a device cannot be taken out").map(drop)
    }

    async fn rotate_key(&self, device: usize) -> anyhow::Result<()> {
        let device = self.device(device)?;
        let Some(client) = device.online() else {
            return Ok(());
        };
        self.note(&format!("{} gets a new key", device.name));
        let rotating = client.rotate_device_key_over(device.transport.as_ref());
        let rotated = self.patiently(LINK_PATIENCE, rotating).await;
        came_to(rotated, is_no, "a device cannot get a new key").map(drop)
    }

    /// At rest: who was taken out knows it, nobody asks any more, and the others list each other and nobody else.
    pub(crate) async fn settle_accounts(&mut self) -> anyhow::Result<()> {
        self.enter_linked()?;
        for index in 0..self.devices.len() {
            let is_in = match self.device(index)?.online() {
                Some(client) => !matches!(
                    client.settle(LINK_PATIENCE).await,
                    Err(ClientError::Removed)
                ),
                None => false,
            };
            if let Some(device) = self.devices.get_mut(index) {
                device.stage = if is_in { Stage::In } else { Stage::Out };
            }
        }
        for person in 0..self.people.len() {
            self.forget_who_never_came(person).await?;
        }
        Ok(())
    }

    /// A device that was let in and died before it heard of that for good is taken out by hand.
    async fn forget_who_never_came(&self, person: usize) -> anyhow::Result<()> {
        let there = self.ids_of(person)?;
        let first = self.members().find(|device| device.person == person);
        let first = first.with_context(|| format!("{} has no device", self.name_of(person)))?;
        let client = first.client()?;
        for listed in client.devices()? {
            if !there.contains(&listed.id) {
                self.note(&format!("{} forgets a device", first.name));
                client
                    .remove_device_over(first.transport.as_ref(), listed.id)
                    .await
                    .context("a device that never came cannot be taken out")?;
            }
        }
        Ok(())
    }

    /// Every device knows exactly the devices of its account.
    pub(crate) fn accounts_agree(&self) -> anyhow::Result<()> {
        for device in self.members() {
            let listed = device.client()?.devices()?;
            let listed: BTreeSet<_> = listed.iter().map(|device| device.id).collect();
            let there = self.ids_of(device.person)?;
            let name = &device.name;
            ensure!(listed == there, "{name} lists {listed:?}, not {there:?}");
        }
        Ok(())
    }
}

/// What a lost race makes of letting devices in and taking them out.
fn is_link_trouble(error: &ClientError) -> bool {
    use ClientError::{LinkFailed, NotFound, Removed};
    matches!(error, NotFound(_) | LinkFailed(_) | Removed)
}
