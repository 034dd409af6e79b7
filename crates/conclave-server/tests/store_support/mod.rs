//! Rows for the store's tests: everything follows from small numbers.

#![allow(dead_code, reason = "each test file uses its own part")]

use conclave_proto::account::{
    AccountState, AccountStateContent, DeviceEntry, FLAG_DISCOVERABLE, HybridSignature,
    IdentityKey, SUITE_ED25519_MLDSA65,
};
use conclave_proto::id::{
    AccountId, BlobId, ChallengeId, DeviceId, Epoch, Hash32, IdentityFingerprint, LogId, ServerId,
};
use conclave_proto::log::chain_start;
use conclave_server::store::{
    BundleOutcome, CreateOutcome, NewAccount, NewBundle, NewChallenge, NewDevice, NewItem, NewLog,
    NewState, OtpStartOutcome, RegisterOutcome, SendId, Store, StoredBlob,
};

/// The day that the tests begin on.
pub(crate) const DAY: u32 = 20_000;
/// A day, ms.
pub(crate) const DAY_MS: u64 = 86_400_000;
/// When the tests begin, ms.
pub(crate) const NOW: u64 = DAY as u64 * DAY_MS;

pub(crate) fn hash(n: u8) -> Hash32 {
    Hash32::new([n; 32])
}

pub(crate) fn account_id(n: u8) -> AccountId {
    AccountId::new([n; 16])
}

pub(crate) fn device_id(n: u8) -> DeviceId {
    DeviceId::new([n; 16])
}

pub(crate) fn log_id(n: u8) -> LogId {
    LogId::new([n; 32])
}

pub(crate) fn blob(n: u8) -> StoredBlob {
    StoredBlob {
        blob_id: BlobId::new([n; 32]),
        bytes: vec![n; 100],
    }
}

pub(crate) fn fingerprint(n: u8) -> IdentityFingerprint {
    IdentityFingerprint::new([n; 32])
}

pub(crate) fn device(n: u8) -> NewDevice {
    NewDevice {
        device_id: device_id(n),
        leaf_key: [n; 32],
        cert: vec![n; 10],
    }
}

/// A challenge by identity key `key` for identifier `who`.
pub(crate) fn challenge(n: u8, who: u8, key: u8, now_ms: u64) -> NewChallenge {
    NewChallenge {
        challenge_id: ChallengeId::new([n; 16]),
        identifier_hash: [who; 32],
        sealed_identifier: vec![who; 5],
        identity_fingerprint: fingerprint(key),
        code_mac: [n; 32],
        send_id: SendId([n; 16]),
        invite: None,
        valid_ms: 600_000,
        per_hour: 3,
        per_day: 5,
        now_ms,
    }
}

/// The registration of account, device, identity key and challenge `n` for identifier `who`.
pub(crate) fn registration(n: u8, who: u8, now_ms: u64) -> NewAccount {
    NewAccount {
        account_id: account_id(n),
        identifier: format!("+4900000{who:03}"),
        identity_fingerprint: fingerprint(n),
        state: vec![n; 20],
        state_hash: hash(n),
        devices: vec![device(n)],
        capability_hash: hash(n),
        challenge_id: ChallengeId::new([n; 16]),
        invite: None,
        accounts_max: None,
        now_ms,
    }
}

/// The state after `seq - 1`, listing `devices`; states' hashes are account and seq.
pub(crate) fn next_state(n: u8, seq: u64, devices: &[u8]) -> NewState {
    NewState {
        account_id: account_id(n),
        seq,
        prev_hash: state_hash(n, seq - 1),
        state: vec![n; 30],
        state_hash: state_hash(n, seq),
        devices: devices.iter().map(|n| device(*n)).collect(),
        is_reset: false,
    }
}

/// A whole account state, as the server reads it: it lists `devices`. Signatures are the edge's business.
pub(crate) fn account_state(n: u8, seq: u64, devices: &[u8]) -> Vec<u8> {
    let entry = |n: &u8| DeviceEntry {
        device_id: device_id(*n),
        cert_hash: hash(*n),
    };
    let content = AccountStateContent {
        suite: SUITE_ED25519_MLDSA65,
        server_id: ServerId::new([9; 32]),
        account_id: account_id(n),
        generation: 1,
        seq,
        prev_hash: state_hash(n, seq - 1),
        issued_ms: NOW,
        identity: IdentityKey {
            suite: SUITE_ED25519_MLDSA65,
            ed25519: [n; 32],
            mldsa65: vec![n; 1_952].into(),
        },
        former: vec![],
        devices: devices.iter().map(entry).collect(),
        recovery_key_hash: hash(0),
        flags: FLAG_DISCOVERABLE,
    };
    let signature = HybridSignature {
        ed25519: vec![n; 64].into(),
        mldsa65: vec![n; 3_309].into(),
    };
    let state = AccountState {
        content,
        signature,
        rotation: None,
    };
    state.to_bytes()
}

pub(crate) fn state_hash(n: u8, seq: u64) -> Hash32 {
    let mut bytes = [n; 32];
    if seq > 1 {
        bytes[..8].copy_from_slice(&seq.to_be_bytes());
    }
    Hash32::new(bytes)
}

/// Opens a challenge and registers with it.
pub(crate) async fn register(store: &dyn Store, new: NewAccount) -> RegisterOutcome {
    let challenge = NewChallenge {
        challenge_id: new.challenge_id,
        // each its own row: the limit on sends has tests of its own
        identifier_hash: *new.state_hash.as_bytes(),
        identity_fingerprint: new.identity_fingerprint,
        per_hour: 100,
        per_day: 100,
        ..challenge(0, 0, 0, new.now_ms)
    };
    let started = store.otp_start(challenge).await.unwrap();
    assert!(matches!(started, OtpStartOutcome::Send { .. }));
    store.register(new).await.unwrap()
}

pub(crate) fn item(device: u8, bytes: u8, capability: Option<u8>, now_ms: u64) -> NewItem {
    NewItem {
        device_id: device_id(device),
        capability_hash: capability.map(hash),
        item: vec![bytes; 64],
        now_ms,
    }
}

pub(crate) fn new_log(n: u8, blobs: &[u8], now_ms: u64) -> NewLog {
    NewLog {
        log_id: log_id(n),
        access_key: [1; 32],
        create_hash: hash(n),
        chain_start: chain_start(ServerId::new([9; 32]), log_id(n)),
        retention_days: 30,
        blobs: blobs.iter().map(|n| blob(*n)).collect(),
        now_ms,
    }
}

/// A bundle that ends `epoch`; the next access key is the next epoch's number.
pub(crate) fn bundle(n: u8, epoch: u64, commit: &[u8], now_ms: u64) -> NewBundle {
    NewBundle {
        log_id: log_id(n),
        base_epoch: Epoch(epoch),
        commit_entry: commit.to_vec(),
        next_access_key: [u8::try_from(epoch + 1).unwrap(); 32],
        retention_days: 30,
        blobs: Vec::new(),
        now_ms,
    }
}

pub(crate) async fn create(store: &dyn Store, n: u8) {
    let created = store.create_log(new_log(n, &[], NOW)).await.unwrap();
    assert!(matches!(created, CreateOutcome::Created { .. }));
}

/// Ends `epoch` of log `n`.
pub(crate) async fn commit(store: &dyn Store, n: u8, epoch: u64) {
    let outcome = store.put_bundle(bundle(n, epoch, &[n, 0xc0], NOW)).await;
    assert!(matches!(outcome, Ok(BundleOutcome::Appended { .. })));
}

/// Appends to `epoch` of log `n` and wants it taken.
pub(crate) async fn append(store: &dyn Store, n: u8, epoch: u64, payload: &[u8], now_ms: u64) {
    let outcome = store
        .append(log_id(n), Epoch(epoch), payload.to_vec(), now_ms)
        .await
        .unwrap();
    assert!(matches!(
        outcome,
        conclave_server::store::AppendOutcome::Appended { .. }
    ));
}

/// Sweeps until nothing is left to do.
pub(crate) async fn sweep(store: &dyn Store, now_ms: u64) {
    while store.sweep(now_ms).await.unwrap() {}
}
