//! Accounts, devices and holds of the model.

use conclave_proto::id::{AccountId, DeviceId, Hash32};
use conclave_proto::limits::{HOLD_MS, STATE_CHAIN_MAX};

use super::inbox::{Item, Package};
use super::{
    DeviceStatus, Model, NewAccount, NewState, Published, PutStateOutcome, RegisterOutcome,
};
use crate::store::NewDevice;
use crate::store::rows::listed_first;

/// One account.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) identifier: Option<String>,
    pub(super) capability_hash: Hash32,
    /// Encoded states with their hashes; seq = index + 1.
    states: Vec<(Hash32, Vec<u8>)>,
}

/// One device, listed by its account's newest state or once upon a time.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) account_id: AccountId,
    pub(super) leaf_key: [u8; 32],
    cert: Vec<u8>,
    pub(super) listed: bool,
    pub(super) last_resort: Option<Vec<u8>>,
    pub(super) packages: Vec<Package>,
    pub(super) items: Vec<Item>,
    pub(super) last_number: u64,
}

impl Model {
    pub(super) fn register(&mut self, new: NewAccount) -> RegisterOutcome {
        if let Some(account) = self.accounts.get(&new.account_id) {
            let same = account.states.first().map(|(hash, _)| *hash) == Some(new.state_hash);
            return if same {
                RegisterOutcome::AlreadySame
            } else {
                RegisterOutcome::IdTaken
            };
        }
        if new
            .devices
            .iter()
            .any(|device| self.devices.contains_key(&device.device_id))
        {
            return RegisterOutcome::IdTaken;
        }
        if !self.challenges.contains_key(&new.challenge_id) {
            return RegisterOutcome::ChallengeUsed;
        }
        if new
            .invite
            .is_some_and(|invite| !self.invite_valid(invite, new.now_ms))
        {
            return RegisterOutcome::InviteInvalid;
        }
        let holder = self.holder_of(&new.identifier);
        if let Some(holder) = holder {
            // C-044: seven days without a veto, counted from the first right code by this key.
            let since_ms = self
                .holds
                .entry((holder, new.identity_fingerprint))
                .or_insert(new.now_ms);
            // C-078: a hold that another clock began in the future begins now
            *since_ms = new.now_ms.min(*since_ms);
            let retry_ms = since_ms.saturating_add(HOLD_MS).saturating_sub(new.now_ms);
            if retry_ms > 0 {
                self.challenges.remove(&new.challenge_id);
                return RegisterOutcome::Held { retry_ms };
            }
        } else if new
            .accounts_max
            .is_some_and(|max| self.accounts_held() >= max)
        {
            return RegisterOutcome::ServerFull;
        }
        if let Some(holder) = holder {
            self.end_holds(holder);
            if let Some(account) = self.accounts.get_mut(&holder) {
                account.identifier = None;
            }
        }
        self.insert_account(new);
        RegisterOutcome::Registered
    }

    fn insert_account(&mut self, new: NewAccount) {
        self.challenges.remove(&new.challenge_id);
        if let Some(invite) = new.invite.and_then(|hash| self.invites.get_mut(&hash)) {
            invite.uses = invite.uses.saturating_sub(1);
        }
        let account = Account {
            identifier: Some(new.identifier),
            capability_hash: new.capability_hash,
            states: vec![(new.state_hash, new.state)],
        };
        self.accounts.insert(new.account_id, account);
        self.list_devices(new.account_id, new.devices);
    }

    pub(super) fn put_state(&mut self, new: NewState) -> PutStateOutcome {
        let Some(account) = self.accounts.get(&new.account_id) else {
            return PutStateOutcome::NoAccount;
        };
        let newest_seq = account.states.len() as u64;
        let newest_hash = account.states.last().map(|(hash, _)| *hash);
        if new.seq == newest_seq && newest_hash == Some(new.state_hash) {
            return PutStateOutcome::SameAgain;
        }
        // C-015: seq + 1 and the hash of the one before.
        if new.seq != newest_seq + 1 || newest_hash != Some(new.prev_hash) {
            return PutStateOutcome::Conflict;
        }
        let taken = new.devices.iter().any(|device| {
            let known = self.devices.get(&device.device_id);
            known.is_some_and(|known| known.account_id != new.account_id)
        });
        if taken {
            return PutStateOutcome::IdTaken;
        }
        for device in &new.devices {
            // Key packages are signed by the leaf key, and name the generation's key.
            if let Some(known) = self.devices.get_mut(&device.device_id)
                && (new.is_reset || known.leaf_key != device.leaf_key)
            {
                known.last_resort = None;
                known.packages.clear();
            }
        }
        if let Some(account) = self.accounts.get_mut(&new.account_id) {
            account.states.push((new.state_hash, new.state));
        }
        self.list_devices(new.account_id, new.devices);
        PutStateOutcome::Stored
    }

    /// Makes `devices` exactly the account's listed ones.
    fn list_devices(&mut self, account_id: AccountId, devices: Vec<NewDevice>) {
        for (id, device) in &mut self.devices {
            let stays = devices.iter().any(|new| new.device_id == *id);
            if device.account_id == account_id && !stays {
                device.listed = false;
                device.last_resort = None;
                device.packages.clear();
                device.items.clear();
            }
        }
        for new in devices {
            let device = self.devices.entry(new.device_id).or_insert(Device {
                account_id,
                leaf_key: new.leaf_key,
                cert: Vec::new(),
                listed: true,
                last_resort: None,
                packages: Vec::new(),
                items: Vec::new(),
                last_number: 0,
            });
            device.leaf_key = new.leaf_key;
            device.cert = new.cert;
            device.listed = true;
        }
    }

    pub(super) fn account_by_identifier(&self, identifier: &str) -> Option<Published> {
        let account_id = self.holder_of(identifier)?;
        let newest_seq = self.accounts.get(&account_id)?.states.len() as u64;
        self.states(account_id, newest_seq)
    }

    pub(super) fn states(&self, account_id: AccountId, from_seq: u64) -> Option<Published> {
        let account = self.accounts.get(&account_id)?;
        let skipped = usize::try_from(from_seq.saturating_sub(1)).unwrap_or(usize::MAX);
        let states = account.states.iter().skip(skipped).take(STATE_CHAIN_MAX);
        let states: Vec<_> = states.map(|(_, state)| state.clone()).collect();
        let listed = self.devices.values().filter(|device| device.listed);
        let former = listed_first(&states).into_iter();
        let former = former.filter_map(|device_id| self.devices.get(&device_id));
        let gone = former.filter(|device| device.account_id == account_id && !device.listed);
        Some(Published {
            account_id,
            former_certs: gone.map(|device| device.cert.clone()).collect(),
            states,
            certs: listed
                .filter(|device| device.account_id == account_id)
                .map(|device| device.cert.clone())
                .collect(),
        })
    }

    pub(super) fn device_status(
        &self,
        account_id: AccountId,
        device_id: DeviceId,
        now_ms: u64,
    ) -> Option<DeviceStatus> {
        let device = self.listed(device_id)?;
        let account = self.accounts.get(&account_id)?;
        if device.account_id != account_id {
            return None;
        }
        let holds = self
            .holds
            .iter()
            .filter(|((holder, _), _)| *holder == account_id);
        let first = holds.map(|(_, since_ms)| *since_ms).min();
        Some(DeviceStatus {
            pool_left: device.pool_left(),
            has_last_resort: device.last_resort.is_some(),
            state_seq: account.states.len() as u64,
            hold_ms: first.map_or(0, |since_ms| {
                since_ms
                    .saturating_add(HOLD_MS)
                    .saturating_sub(now_ms)
                    .max(1)
            }),
        })
    }

    /// The device when its account's newest state lists it.
    pub(super) fn listed(&self, device_id: DeviceId) -> Option<&Device> {
        self.devices.get(&device_id).filter(|device| device.listed)
    }

    pub(super) fn end_holds(&mut self, account_id: AccountId) -> bool {
        let before = self.holds.len();
        self.holds.retain(|(holder, _), _| *holder != account_id);
        self.holds.len() < before
    }

    fn holder_of(&self, identifier: &str) -> Option<AccountId> {
        let mut accounts = self.accounts.iter();
        accounts
            .find(|(_, account)| account.identifier.as_deref() == Some(identifier))
            .map(|(id, _)| *id)
    }

    pub(super) fn accounts_held(&self) -> u64 {
        let held = self
            .accounts
            .values()
            .filter(|account| account.identifier.is_some());
        held.count() as u64
    }
}
