//! What expires in the model, and what it holds in all.

use conclave_proto::id::Day;
use conclave_proto::label::sha256;
use conclave_proto::limits::{
    HOLD_KEEP_DAYS, HOLD_MS, KEY_PACKAGE_KEEP_DAYS, KEY_PACKAGE_OFFER_DAYS, WELCOME_RETENTION_DAYS,
};
use conclave_proto::log::EntryKind;

use super::{Model, Summary};
use crate::log::expires_day;
use crate::store::send_limit::DAY_MS;

impl Model {
    /// Deletes everything that has expired, at once.
    pub(super) fn sweep(&mut self, now_ms: u64) {
        let today = Day::of_ms(now_ms).0;
        // C-078: never back, so that a clock set right again is no jump.
        self.last_day = self.last_day.max(Day(today));
        self.sweep_logs(today);
        self.classic.sweep(today);
        let kept = |day: Day, days: u32| today <= day.0.saturating_add(days);
        self.blobs
            .retain(|_, blob| kept(blob.day, WELCOME_RETENTION_DAYS));
        for device in self.devices.values_mut() {
            device
                .items
                .retain(|item| kept(item.day, WELCOME_RETENTION_DAYS));
            device
                .packages
                .retain(|package| kept(package.day, KEY_PACKAGE_KEEP_DAYS));
            for package in &mut device.packages {
                if !kept(package.day, KEY_PACKAGE_OFFER_DAYS) {
                    package.bytes = None;
                }
            }
        }
        let since_ms = now_ms.saturating_sub(DAY_MS);
        self.challenges.retain(|_, row| row.expires_ms > since_ms);
        self.sends.retain(|(_, at_ms)| *at_ms > since_ms);
        self.invites
            .retain(|_, invite| invite.uses > 0 && invite.expires_ms > now_ms);
        let since_ms = now_ms.saturating_sub(HOLD_MS + u64::from(HOLD_KEEP_DAYS) * DAY_MS);
        self.holds.retain(|_, held_ms| *held_ms > since_ms);
    }

    fn sweep_logs(&mut self, today: u32) {
        for log in self.logs.values_mut() {
            for entry in &mut log.entries {
                let over = expires_day(entry.kind(), entry.day, log.retention_days) <= today;
                if over && !entry.is_expired() {
                    // C-026: the payload's hash stays, so that the chain closes.
                    entry.expired_hash = sha256(&entry.payload).to_vec();
                    entry.payload = Vec::new();
                }
            }
            log.epochs.retain(|_, row| {
                row.end_day
                    .is_none_or(|day| expires_day(EntryKind::Commit, day, 0) > today)
            });
        }
    }

    pub(super) fn summary(&self) -> Summary {
        let listed = || self.devices.values().filter(|device| device.listed);
        let entries = || self.logs.values().flat_map(|log| &log.entries);
        let packages = |device: &super::accounts::Device| {
            u64::from(device.pool_left()) + u64::from(device.last_resort.is_some())
        };
        Summary {
            accounts: self.accounts_held(),
            devices: listed().count() as u64,
            key_packages: listed().map(packages).sum(),
            inbox_items: listed().map(|device| device.items.len() as u64).sum(),
            logs: self.logs.len() as u64,
            entries: entries().count() as u64,
            entries_expired: entries().filter(|entry| entry.is_expired()).count() as u64,
            payload_bytes: entries().map(|entry| entry.payload.len() as u64).sum(),
            blobs: self.blobs.len() as u64,
            blob_bytes: self
                .blobs
                .values()
                .map(|blob| blob.bytes.len() as u64)
                .sum(),
        }
    }
}
