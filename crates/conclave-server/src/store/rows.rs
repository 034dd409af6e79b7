//! What the store's verbs take and give: rows and outcomes, without a word of how they are kept.

use std::fmt;

use conclave_proto::account::AccountState;
use conclave_proto::env::Env;
use conclave_proto::id::{
    AccountId, BlobId, ChallengeId, DeviceId, Epoch, Hash32, IdentityFingerprint, LogId, Seq,
};
use conclave_proto::log::{Entry, Head};

// --- accounts ---------------------------------------------------------------------------------

/// One device as an account state lists it. The caller has verified the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDevice {
    /// The device.
    pub device_id: DeviceId,
    /// Its MLS leaf key, Ed25519.
    pub leaf_key: [u8; 32],
    /// Its encoded certificate.
    pub cert: Vec<u8>,
}

/// A registration. The caller has verified code, proof, state and certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// Chosen by the client.
    pub account_id: AccountId,
    /// Normalised identifier, from the challenge.
    pub identifier: String,
    /// Fingerprint of the identity key that registers: whose hold this is.
    pub identity_fingerprint: IdentityFingerprint,
    /// Encoded state with seq 1.
    pub state: Vec<u8>,
    /// Its `AccountState::hash`.
    pub state_hash: Hash32,
    /// The devices it lists.
    pub devices: Vec<NewDevice>,
    /// Hash of the capability that contacts hold.
    pub capability_hash: Hash32,
    /// The challenge whose code was right; deleted in the same transaction.
    pub challenge_id: ChallengeId,
    /// Hash of the invite to use up; `None` when the server wants none.
    pub invite: Option<Hash32>,
    /// How many accounts with an identifier the server takes; `None` = any number.
    pub accounts_max: Option<u64>,
    /// Now, ms.
    pub now_ms: u64,
}

/// What became of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterOutcome {
    /// The account exists now.
    Registered,
    /// It existed already with exactly this state: the same answer again.
    AlreadySame,
    /// The identifier is taken. It moves to the account that registers with the same identity key
    /// and a new right code after `retry_ms`, unless the holder vetoes (C-044).
    Held {
        /// Time left, ms.
        retry_ms: u64,
    },
    /// The challenge is gone: its code was used already.
    ChallengeUsed,
    /// The invite is unknown, used up or over.
    InviteInvalid,
    /// The server takes no more accounts.
    ServerFull,
    /// Account id or a device id exists with other contents.
    IdTaken,
}

/// The next state of an account. The caller has verified it against the newest one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewState {
    /// The account.
    pub account_id: AccountId,
    /// Its seq; must be the newest one's + 1.
    pub seq: u64,
    /// Hash of the state before; must be the newest one's.
    pub prev_hash: Hash32,
    /// Encoded state.
    pub state: Vec<u8>,
    /// Its `AccountState::hash`.
    pub state_hash: Hash32,
    /// The devices it lists. One whose leaf key is another than before loses its key packages.
    pub devices: Vec<NewDevice>,
    /// Whether it begins a new generation: then all devices lose their key packages, which name the lost key.
    pub is_reset: bool,
}

/// What became of a new state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutStateOutcome {
    /// It is the newest now.
    Stored,
    /// It was stored before, byte for byte.
    SameAgain,
    /// The newest state is another than the one it follows.
    Conflict,
    /// No such account.
    NoAccount,
    /// A device id belongs to another account, or to another key.
    IdTaken,
}

/// States of an account as they were published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The account.
    pub account_id: AccountId,
    /// Encoded states, oldest first.
    pub states: Vec<Vec<u8>>,
    /// Encoded certificates of the newest state, in device id order.
    pub certs: Vec<Vec<u8>>,
    /// The last ones of devices that the first of the states lists and the newest one does not (C-181).
    pub former_certs: Vec<Vec<u8>>,
}

/// The devices that the oldest of these states lists.
pub(super) fn listed_first(states: &[Vec<u8>]) -> Vec<DeviceId> {
    let oldest = states.first().map(|state| AccountState::parse(state));
    let Some(Ok(oldest)) = oldest else {
        return Vec::new();
    };
    let devices = oldest.content.devices.iter();
    devices.map(|entry| entry.device_id).collect()
}

/// What concerns one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceStatus {
    /// One-time key packages left.
    pub pool_left: u32,
    /// Whether a last resort is published.
    pub has_last_resort: bool,
    /// The account's newest state.
    pub state_seq: u64,
    /// The identifier can move to somebody else in this time, ms; at least 1 when a hold stands, 0 = none.
    pub hold_ms: u64,
}

// --- one-time codes ---------------------------------------------------------------------------

/// A challenge to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChallenge {
    /// Its id when a new one is opened; the code follows from it, so a resend needs no stored code.
    pub challenge_id: ChallengeId,
    /// HMAC of the identifier under the pepper.
    pub identifier_hash: [u8; 32],
    /// The identifier, sealed under a key outside the database: given back with a right code.
    pub sealed_identifier: Vec<u8>,
    /// The identity key that will register.
    pub identity_fingerprint: IdentityFingerprint,
    /// HMAC of the code that belongs to `challenge_id`.
    pub code_mac: [u8; 32],
    /// Under which the code is sent, unless it waits to be sent already.
    pub send_id: SendId,
    /// Hash of the invite token that came along.
    pub invite: Option<Hash32>,
    /// How long a code is valid, ms.
    pub valid_ms: u64,
    /// Sends per hour and identifier.
    pub per_hour: u32,
    /// Sends per day and identifier.
    pub per_day: u32,
    /// Now, ms.
    pub now_ms: u64,
}

/// Whether a code is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtpStartOutcome {
    /// Send the code that belongs to this challenge, now valid for `valid_ms`.
    Send {
        /// The new challenge, or the live one of the same identifier and key.
        challenge_id: ChallengeId,
        /// Whether it was there before.
        resend: bool,
        /// The next send is allowed in this time, ms; 0 = at once.
        resend_after_ms: u64,
    },
    /// Too many codes were sent to this identifier.
    RateLimited {
        /// The next send is allowed in this time, ms.
        retry_ms: u64,
    },
}

/// One sending of one code; the same over every retry and restart. Says nothing about the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SendId(pub [u8; 16]);

impl SendId {
    /// A fresh one.
    pub fn random(env: &dyn Env) -> Self {
        let mut bytes = [0; 16];
        env.fill(&mut bytes);
        Self(bytes)
    }
}

impl fmt::Display for SendId {
    /// Lower-case hex.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A code that waits to be sent. The code itself follows from the challenge and the pepper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingCode {
    /// This sending.
    pub send_id: SendId,
    /// The challenge that the code belongs to.
    pub challenge_id: ChallengeId,
    /// The identifier, sealed as it was given.
    pub sealed_identifier: Vec<u8>,
    /// When the code is over, ms.
    pub expires_ms: u64,
}

/// An open challenge whose code was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// HMAC of the identifier.
    pub identifier_hash: [u8; 32],
    /// The identifier, sealed as it was given.
    pub sealed_identifier: Vec<u8>,
    /// The only identity key that may register.
    pub identity_fingerprint: IdentityFingerprint,
    /// Hash of the invite token, when one came along.
    pub invite: Option<Hash32>,
}

/// What became of a code check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtpCheckOutcome {
    /// The code is right. The challenge stays until the registration deletes it.
    Right(Box<Challenge>),
    /// The code is wrong.
    Wrong {
        /// Checks left.
        left: u32,
    },
    /// All checks were used before this one.
    Exhausted,
    /// Unknown, used or over.
    Expired,
}

// --- key packages and inbox -------------------------------------------------------------------

/// What became of uploaded key packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPackagesOutcome {
    /// Stored.
    Stored {
        /// One-time packages in the pool now.
        pool_left: u32,
    },
    /// No account's newest state lists the device.
    NoSuchDevice,
}

/// One claimed key package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedPackage {
    /// The device it was published by.
    pub device_id: DeviceId,
    /// As it was published.
    pub key_package: Vec<u8>,
    /// Whether it is the last resort.
    pub last_resort: bool,
}

/// One sealed item for a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    /// The device.
    pub device_id: DeviceId,
    /// Hash of the capability shown; `None` or a wrong one makes a stranger.
    pub capability_hash: Option<Hash32>,
    /// The sealed bytes; the caller has checked their length.
    pub item: Vec<u8>,
    /// Now, ms; only its day is kept.
    pub now_ms: u64,
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostOutcome {
    /// It waits in the inbox.
    Posted,
    /// The same bytes wait there already.
    SameAgain,
    /// The inbox takes no more, from strangers or at all.
    Full,
    /// No account's newest state lists the device.
    NoSuchDevice,
}

/// One waiting item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredItem {
    /// Its number in this inbox, from 1.
    pub number: u64,
    /// The sealed bytes.
    pub item: Vec<u8>,
}

/// Waiting items.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InboxRead {
    /// In order of number.
    pub items: Vec<StoredItem>,
    /// Whether more wait behind these.
    pub more: bool,
}

/// Acknowledged items are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acked {
    /// How many were deleted.
    pub deleted: u32,
}

// --- logs and blobs ---------------------------------------------------------------------------

/// One blob to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlob {
    /// Random id.
    pub blob_id: BlobId,
    /// Opaque bytes.
    pub bytes: Vec<u8>,
}

/// A log to create. The caller has verified the proof by `access_key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLog {
    /// Chosen by the client.
    pub log_id: LogId,
    /// Public half of A_1.
    pub access_key: [u8; 32],
    /// `CreateLog::fields_hash`: what "the same request" means.
    pub create_hash: Hash32,
    /// `h_0`: `conclave_proto::log::chain_start`.
    pub chain_start: Hash32,
    /// Retention of messages, days: 1, 7 or 30.
    pub retention_days: u32,
    /// Stored in the same transaction.
    pub blobs: Vec<StoredBlob>,
    /// Now, ms; only its day is kept.
    pub now_ms: u64,
}

/// What became of a new log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateOutcome {
    /// It exists now.
    Created {
        /// Its head: epoch 1, seq 0.
        head: Head,
    },
    /// The same request was made before.
    SameAgain {
        /// The head that a handle of epoch 1 sees.
        head: Head,
    },
    /// The log id, or a blob id, exists with other contents.
    Conflict,
}

/// What an opening proof is checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochKey {
    /// Public half of the epoch's access key.
    pub access_key: [u8; 32],
    /// The head that a handle of this epoch sees.
    pub head: Head,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOutcome {
    /// It is in the log, on disk.
    Appended {
        /// The head after it; `head.seq` is its seq.
        head: Head,
    },
    /// It stood in the log before: its sender said it through another process, or a lost answer said so (C-212).
    SaidBefore {
        /// Its seq.
        seq: Seq,
    },
    /// The epoch is over.
    StaleEpoch,
    /// Unknown log or forgotten epoch.
    NoLog,
}

/// A commit bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBundle {
    /// The log.
    pub log_id: LogId,
    /// The epoch that it ends.
    pub base_epoch: Epoch,
    /// Encoded `CommitEntry`: the payload of the commit entry.
    pub commit_entry: Vec<u8>,
    /// Public half of A_{e+1}.
    pub next_access_key: [u8; 32],
    /// Retention of messages from now on, days; applies to the waiting ones too.
    pub retention_days: u32,
    /// Stored in the same transaction.
    pub blobs: Vec<StoredBlob>,
    /// Now, ms; only its day is kept.
    pub now_ms: u64,
}

/// What became of a bundle.
#[derive(Debug, Clone, PartialEq)]
pub enum BundleOutcome {
    /// It ended the epoch.
    Appended {
        /// The head after it, in the next epoch; `head.seq` is the commit's seq.
        head: Head,
    },
    /// Another commit ended the epoch first; or this very one did, when the bytes are the same.
    Lost {
        /// The commit that ended it.
        winner: Box<Entry>,
        /// Whether a race was lost against the newest commit (C-028).
        is_race: bool,
    },
    /// Commits of this log are spaced after a lost race (C-028).
    TooSoon {
        /// The next commit is taken in this time, ms.
        retry_ms: u64,
    },
    /// A blob id exists already.
    Conflict,
    /// Unknown log or forgotten epoch.
    NoLog,
}

/// What a handle may see of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Without gaps, in order.
    pub entries: Vec<Entry>,
    /// The head that the handle may see.
    pub head: Head,
}

// --- mailboxes --------------------------------------------------------------------------------

/// Why a mailbox gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailboxGone {
    /// Unknown, used or over: one answer for all three (C-120).
    Over,
    /// There are as many as a community has at once (C-121).
    Full,
}

// --- upkeep -----------------------------------------------------------------------------------

/// Whether the stored data is whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Version of the schema.
    pub schema: u32,
    /// What is wrong, in words; empty = all is well.
    pub problems: Vec<String>,
}

/// Counts and sizes of what is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Accounts that hold an identifier.
    pub accounts: u64,
    /// Devices that newest states list.
    pub devices: u64,
    /// One-time key packages and last resorts.
    pub key_packages: u64,
    /// Waiting inbox items.
    pub inbox_items: u64,
    /// Logs.
    pub logs: u64,
    /// Entries, expired ones included.
    pub entries: u64,
    /// Entries whose payload has expired.
    pub entries_expired: u64,
    /// Payload bytes of all entries.
    pub payload_bytes: u64,
    /// Blobs.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
}
