//! Key packages and inboxes of the model.

use conclave_proto::id::{AccountId, Day, DeviceId, Hash32};
use conclave_proto::label::sha256;
use conclave_proto::limits::{INBOX_ITEMS_MAX, INBOX_STRANGER_ITEMS_MAX, KEY_PACKAGE_POOL};

use super::accounts::Device;
use super::{Acked, ClaimedPackage, InboxRead, KeyPackagesOutcome, Model, NewItem, PostOutcome};
use crate::store::StoredItem;

/// One one-time key package; the hash of a claimed one stays, so that it never comes back.
#[derive(Debug, Clone)]
pub(super) struct Package {
    hash: Hash32,
    /// `None`: claimed, or withdrawn.
    pub(super) bytes: Option<Vec<u8>>,
    pub(super) day: Day,
}

/// One inbox item.
#[derive(Debug, Clone)]
pub(super) struct Item {
    number: u64,
    stranger: bool,
    hash: Hash32,
    bytes: Vec<u8>,
    pub(super) day: Day,
}

impl Device {
    pub(super) fn pool_left(&self) -> u32 {
        let waiting = self
            .packages
            .iter()
            .filter(|package| package.bytes.is_some());
        u32::try_from(waiting.count()).unwrap_or(u32::MAX)
    }

    fn take_package(&mut self) -> Option<Vec<u8>> {
        self.packages
            .iter_mut()
            .find_map(|package| package.bytes.take())
    }
}

impl Model {
    pub(super) fn put_key_packages(
        &mut self,
        device_id: DeviceId,
        one_time: Vec<Vec<u8>>,
        last_resort: Option<Vec<u8>>,
        now_ms: u64,
    ) -> KeyPackagesOutcome {
        let device = self.devices.get_mut(&device_id);
        let Some(device) = device.filter(|device| device.listed) else {
            return KeyPackagesOutcome::NoSuchDevice;
        };
        for bytes in one_time {
            let hash = sha256(&bytes);
            if device.packages.iter().all(|package| package.hash != hash) {
                device.packages.push(Package {
                    hash,
                    bytes: Some(bytes),
                    day: Day::of_ms(now_ms),
                });
            }
        }
        while device.pool_left() as usize > KEY_PACKAGE_POOL {
            device.take_package();
        }
        if last_resort.is_some() {
            device.last_resort = last_resort;
        }
        KeyPackagesOutcome::Stored {
            pool_left: device.pool_left(),
        }
    }

    pub(super) fn claim(
        &mut self,
        account_id: AccountId,
        capability_hash: Option<Hash32>,
        only: Option<DeviceId>,
    ) -> Option<Vec<ClaimedPackage>> {
        let account = self.accounts.get(&account_id)?;
        let contact = capability_hash == Some(account.capability_hash);
        let mut claimed = Vec::new();
        for (device_id, device) in &mut self.devices {
            let is_wanted = only.is_none_or(|only| only == *device_id);
            if device.account_id != account_id || !device.listed || !is_wanted {
                continue;
            }
            // C-033: one-time packages for contacts, each once; strangers get the last resort only.
            let one_time = if contact { device.take_package() } else { None };
            let last_resort = one_time.is_none();
            if let Some(key_package) = one_time.or_else(|| device.last_resort.clone()) {
                claimed.push(ClaimedPackage {
                    device_id: *device_id,
                    key_package,
                    last_resort,
                });
            }
        }
        Some(claimed)
    }

    pub(super) fn post_item(&mut self, new: NewItem) -> PostOutcome {
        let Some(device) = self.listed(new.device_id) else {
            return PostOutcome::NoSuchDevice;
        };
        let account = self.accounts.get(&device.account_id);
        let stranger = new.capability_hash.is_none()
            || account.map(|account| account.capability_hash) != new.capability_hash;
        let Some(device) = self.devices.get_mut(&new.device_id) else {
            return PostOutcome::NoSuchDevice;
        };
        let hash = sha256(&new.item);
        if device.items.iter().any(|item| item.hash == hash) {
            return PostOutcome::SameAgain;
        }
        // C-037: strangers share 32 places.
        let strangers = device.items.iter().filter(|item| item.stranger).count();
        let full = device.items.len() >= INBOX_ITEMS_MAX as usize
            || stranger && strangers >= INBOX_STRANGER_ITEMS_MAX as usize;
        if full {
            return PostOutcome::Full;
        }
        device.last_number += 1;
        device.items.push(Item {
            number: device.last_number,
            stranger,
            hash,
            bytes: new.item,
            day: Day::of_ms(new.now_ms),
        });
        PostOutcome::Posted
    }

    pub(super) fn read_inbox(&self, device_id: DeviceId, after: u64, limit: u32) -> InboxRead {
        let Some(device) = self.listed(device_id) else {
            return InboxRead::default();
        };
        let limit = limit as usize;
        let waiting = || device.items.iter().filter(|item| item.number > after);
        InboxRead {
            items: waiting()
                .take(limit)
                .map(|item| StoredItem {
                    number: item.number,
                    item: item.bytes.clone(),
                })
                .collect(),
            more: waiting().count() > limit,
        }
    }

    pub(super) fn ack_inbox(&mut self, device_id: DeviceId, numbers: &[u64]) -> Acked {
        let Some(device) = self.devices.get_mut(&device_id) else {
            return Acked { deleted: 0 };
        };
        let before = device.items.len();
        device.items.retain(|item| !numbers.contains(&item.number));
        let deleted = before - device.items.len();
        Acked {
            deleted: u32::try_from(deleted).unwrap_or(u32::MAX),
        }
    }
}
