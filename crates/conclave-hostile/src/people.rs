//! People, devices and a repeatable environment: the same in every run. Core's own tests compile this file too.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use conclave_core::credential::{Accounts, FormerDevice, KnownAccount, LeafClaim};
use conclave_core::identity::{DeviceFacts, DeviceSecret, IdentitySecret, OwnDevice, StateFacts};
use conclave_proto::account::{AccountState, DeviceCert, DeviceRole, FLAG_DISCOVERABLE};
use conclave_proto::env::Env;
use conclave_proto::id::{AccountId, DeviceId, ServerId};
use conclave_proto::label;

/// The server that everybody in tests lives on.
pub const SERVER: ServerId = ServerId::new([0x5e; 32]);
/// The moment at which tests happen: 2026-11-22, noon UTC.
pub const NOW_MS: u64 = 1_795_348_800_000;
/// How long fixture certificates are valid, in ms: 400 days.
pub const CERT_VALID_MS: u64 = 400 * 86_400_000;

/// Random bytes that are the same in every run, and a clock that stands still.
#[derive(Debug, Default)]
pub struct FixedEnv(AtomicU64);

impl FixedEnv {
    /// Bytes of another stream for each `seed`.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed << 32))
    }
}

impl Env for FixedEnv {
    fn now_ms(&self) -> u64 {
        NOW_MS
    }

    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let count = self.0.fetch_add(1, Ordering::Relaxed);
            let block = label::hash("test stream", &count.to_be_bytes());
            chunk.copy_from_slice(&block.as_bytes()[..chunk.len()]);
        }
    }
}

/// A person with one device and a first state.
#[derive(Debug)]
pub struct Person {
    /// The identity key.
    pub identity: IdentitySecret,
    /// The device, with its keys.
    pub own: OwnDevice,
    /// The account's first state.
    pub state: AccountState,
    /// The device's certificate.
    pub cert: DeviceCert,
}

impl Person {
    /// Somebody else for each `seed`, the same in every run.
    pub fn new(seed: u64) -> Self {
        let env = FixedEnv::new(seed);
        let identity = IdentitySecret::generate(&env);
        let secret = DeviceSecret::generate(&env);
        let account_id = AccountId::random(&env);
        let device_id = DeviceId::random(&env);
        let cert = identity.certify(&secret, &device_facts(account_id, device_id));
        let state = identity.first_state(&state_facts(account_id), std::slice::from_ref(&cert));
        let own = OwnDevice {
            server_id: SERVER,
            account_id,
            device_id,
            identity_fingerprint: identity.public().fingerprint(),
            account_seq: 1,
            secret,
            former: vec![],
        };
        Self {
            identity,
            own,
            state,
            cert,
        }
    }

    /// What this person's leaf claims.
    pub fn claim(&self) -> LeafClaim {
        LeafClaim {
            credential: self.own.credential(),
            signature_key: self.own.secret.leaf_key(),
        }
    }

    /// This account as everybody accepts it.
    pub fn known(&self) -> KnownAccount {
        KnownAccount::new(SERVER, self.state.clone(), vec![self.cert.clone()]).unwrap()
    }

    /// Chain of states: the first one and `more` after it, same device.
    pub fn chain(&self, more: usize) -> Vec<AccountState> {
        let mut states = vec![self.state.clone()];
        for _ in 0..more {
            let last = states.last().unwrap();
            states.push(
                self.identity
                    .next_state(last, std::slice::from_ref(&self.cert), NOW_MS),
            );
        }
        states
    }
}

/// The same account after its key changed.
impl Person {
    /// After a rotation to the key of `seed`: same device, the next state signed by both keys.
    #[must_use]
    pub fn rotated(&self, seed: u64) -> Self {
        self.under(seed, self.state.content.generation, |new, certs| {
            new.rotated_state(&self.identity, &self.state, certs, NOW_MS)
        })
    }

    /// After a reset to the key of `seed`: same device, the next generation.
    #[must_use]
    pub fn reset(&self, seed: u64) -> Self {
        self.under(seed, self.state.content.generation + 1, |new, certs| {
            new.reset_state(&self.state, certs, NOW_MS)
        })
    }

    fn under(
        &self,
        seed: u64,
        generation: u32,
        state: impl FnOnce(&IdentitySecret, &[DeviceCert]) -> AccountState,
    ) -> Self {
        let identity = IdentitySecret::generate(&FixedEnv::new(seed));
        let cert = identity.recertify(&self.cert, generation);
        let state = state(&identity, std::slice::from_ref(&cert));
        let secret = DeviceSecret::from_stored(&self.own.secret.to_stored()).unwrap();
        let own = OwnDevice {
            identity_fingerprint: identity.public().fingerprint(),
            account_seq: state.content.seq,
            secret,
            former: vec![],
            ..self.own
        };
        Self {
            identity,
            own,
            state,
            cert,
        }
    }

    /// After the device replaced its leaf key by the one of `seed`: same identity, the next state.
    #[must_use]
    pub fn rekeyed(&self, seed: u64) -> Self {
        let copy = |secret: &DeviceSecret| DeviceSecret::from_stored(&secret.to_stored()).unwrap();
        let stored = IdentitySecret::from_stored(&self.identity.to_stored());
        let (identity, own) = (stored.unwrap(), &self.own);
        let secret = own.secret.with_new_leaf(&FixedEnv::new(seed));
        let mut former: Vec<_> = own.former.iter().map(copy).collect();
        former.push(copy(&own.secret));
        let proven = secret
            .prove(SERVER, own.account_id, own.device_id)
            .with_former(&self.cert.leaf_keys());
        let facts = device_facts(own.account_id, own.device_id);
        let cert = identity.certify_proven(&proven, &facts);
        let state = identity.next_state(&self.state, std::slice::from_ref(&cert), NOW_MS);
        let own = OwnDevice {
            account_seq: state.content.seq,
            secret,
            former,
            ..*own
        };
        Self {
            identity,
            own,
            state,
            cert,
        }
    }
}

/// Facts of a certifier device that is valid now.
pub fn device_facts(account_id: AccountId, device_id: DeviceId) -> DeviceFacts {
    DeviceFacts {
        server_id: SERVER,
        account_id,
        generation: 1,
        device_id,
        role: DeviceRole::Certifier,
        not_before_ms: NOW_MS - 1000,
        not_after_ms: NOW_MS + CERT_VALID_MS,
    }
}

/// Facts of a first state.
pub fn state_facts(account_id: AccountId) -> StateFacts {
    StateFacts {
        server_id: SERVER,
        account_id,
        generation: 1,
        issued_ms: NOW_MS,
        flags: FLAG_DISCOVERABLE,
    }
}

/// Accepted states held in memory.
#[derive(Debug, Default)]
pub struct Book(BTreeMap<AccountId, KnownAccount>, Vec<FormerDevice>);

impl Book {
    /// A book in which exactly these people are accepted.
    pub fn of(people: &[&Person]) -> Self {
        Self(
            people
                .iter()
                .map(|person| (person.own.account_id, person.known()))
                .collect(),
            Vec::new(),
        )
    }

    /// Accepts one more state.
    pub fn accept(&mut self, known: KnownAccount) {
        self.0.insert(known.state().content.account_id, known);
    }

    /// Remembers one more device that its account listed once, and none else of its id.
    pub fn remember(&mut self, former: FormerDevice) {
        self.1.retain(|other| other.device_id != former.device_id);
        self.1.push(former);
    }
}

impl Accounts for Book {
    fn known(&self, account: AccountId) -> Option<KnownAccount> {
        self.0.get(&account).cloned()
    }

    fn former(&self, account: AccountId, device: DeviceId) -> Option<FormerDevice> {
        let mut all = self.1.iter();
        let found = all.find(|it| (it.account_id, it.device_id) == (account, device));
        found.cloned()
    }
}
