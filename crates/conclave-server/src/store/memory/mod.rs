//! The plain model: the store in maps behind one lock. Tests and the simulator use it, and every
//! other store is compared with it.

mod accounts;
mod classic;
mod inbox;
mod logs;
mod otp;
mod sweep;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use conclave_classic::gateway::{Account, Places, Pushed, Registered, Waiting};
use conclave_classic::wire::Delivery;
use conclave_proto::id::{
    AccountId, BlobId, ChallengeId, Day, DeviceId, Epoch, Hash32, IdentityFingerprint, Incarnation,
    LogId, Seq,
};

use super::{
    Acked, AppendOutcome, BundleOutcome, CheckReport, ClaimedPackage, CreateOutcome, DeviceStatus,
    EpochKey, InboxRead, KeyPackagesOutcome, MailboxGone, NewAccount, NewBundle, NewChallenge,
    NewItem, NewLog, NewState, OtpCheckOutcome, OtpStartOutcome, Page, PostOutcome, Published,
    PutStateOutcome, RegisterOutcome, SendId, Store, StoreFuture, StoreOptions, Summary,
    WaitingCode,
};
use crate::log::Races;
use crate::store::mailboxes::Mailboxes;

/// What stands before and behind each verb of a [`MemoryStore`]: it may wait, or never come back, as a
/// process that dies there would not.
pub trait Gate: Send + Sync + fmt::Debug + 'static {
    /// Before the verb does anything.
    fn before(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    /// After it is done for good, before anybody hears of it.
    fn after(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Everything in memory; gone when dropped.
#[derive(Debug)]
pub struct MemoryStore {
    model: Mutex<Model>,
    mailboxes: Mailboxes,
    gate: Option<Arc<dyn Gate>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(options: StoreOptions) -> Self {
        let model = Model {
            incarnation: FIRST_LIFE,
            races: Races::new(options.commit_spacing),
            ..Model::default()
        };
        Self {
            model: Mutex::new(model),
            mailboxes: Mailboxes::default(),
            gate: None,
        }
    }

    /// What a backup made now would come back as: the same rows in the next life of the store, without a gate.
    #[must_use]
    pub fn restored(&self) -> Self {
        let model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        let incarnation = Incarnation(model.incarnation.0.saturating_add(1));
        let model = Model {
            incarnation,
            ..model.clone()
        };
        Self {
            model: Mutex::new(model),
            mailboxes: Mailboxes::default(),
            gate: None,
        }
    }

    /// The same store with a gate before each verb.
    #[must_use]
    pub fn behind(self, gate: Arc<dyn Gate>) -> Self {
        let gate = Some(gate);
        Self { gate, ..self }
    }

    fn with<'a, T: Send + 'a>(
        &'a self,
        verb: impl FnOnce(&mut Model) -> T + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            if let Some(gate) = &self.gate {
                gate.before().await;
            }
            let done = verb(&mut self.model.lock().unwrap_or_else(PoisonError::into_inner));
            if let Some(gate) = &self.gate {
                gate.after().await;
            }
            Ok(done)
        })
    }
}

/// The first life of a store in memory.
const FIRST_LIFE: Incarnation = Incarnation(1);

/// All rows.
#[derive(Debug, Clone, Default)]
struct Model {
    incarnation: Incarnation,
    accounts: BTreeMap<AccountId, accounts::Account>,
    devices: BTreeMap<DeviceId, accounts::Device>,
    holds: BTreeMap<(AccountId, IdentityFingerprint), u64>,
    challenges: BTreeMap<ChallengeId, otp::Row>,
    sends: Vec<([u8; 32], u64)>,
    invites: BTreeMap<Hash32, otp::Invite>,
    logs: BTreeMap<LogId, logs::Log>,
    blobs: BTreeMap<BlobId, logs::Blob>,
    races: Races,
    classic: classic::Classic,
    last_day: Day,
}

impl Store for MemoryStore {
    fn register(&self, account: NewAccount) -> StoreFuture<'_, RegisterOutcome> {
        self.with(|model| model.register(account))
    }

    fn put_state(&self, state: NewState) -> StoreFuture<'_, PutStateOutcome> {
        self.with(|model| model.put_state(state))
    }

    fn account_by_identifier(&self, identifier: String) -> StoreFuture<'_, Option<Published>> {
        self.with(move |model| model.account_by_identifier(&identifier))
    }

    fn states(&self, account_id: AccountId, from_seq: u64) -> StoreFuture<'_, Option<Published>> {
        self.with(move |model| model.states(account_id, from_seq))
    }

    fn device_key(
        &self,
        account_id: AccountId,
        device_id: DeviceId,
    ) -> StoreFuture<'_, Option<[u8; 32]>> {
        self.with(move |model| {
            let device = model.listed(device_id)?;
            (device.account_id == account_id).then_some(device.leaf_key)
        })
    }

    fn device_status(
        &self,
        account_id: AccountId,
        device_id: DeviceId,
        now_ms: u64,
    ) -> StoreFuture<'_, Option<DeviceStatus>> {
        self.with(move |model| model.device_status(account_id, device_id, now_ms))
    }

    fn put_capability(
        &self,
        account_id: AccountId,
        capability_hash: Hash32,
    ) -> StoreFuture<'_, bool> {
        self.with(move |model| {
            let account = model.accounts.get_mut(&account_id);
            account
                .map(|account| account.capability_hash = capability_hash)
                .is_some()
        })
    }

    fn veto_hold(&self, account_id: AccountId) -> StoreFuture<'_, bool> {
        self.with(move |model| model.end_holds(account_id))
    }

    fn otp_start(&self, challenge: NewChallenge) -> StoreFuture<'_, OtpStartOutcome> {
        self.with(|model| model.otp_start(challenge))
    }

    fn otp_check(
        &self,
        challenge_id: ChallengeId,
        code_mac: [u8; 32],
        now_ms: u64,
    ) -> StoreFuture<'_, OtpCheckOutcome> {
        self.with(move |model| model.otp_check(challenge_id, &code_mac, now_ms))
    }

    fn otp_delete(&self, challenge_id: ChallengeId) -> StoreFuture<'_, ()> {
        self.with(move |model| {
            model.challenges.remove(&challenge_id);
        })
    }

    fn otp_waiting(&self, limit: u32) -> StoreFuture<'_, Vec<WaitingCode>> {
        self.with(move |model| model.otp_waiting(limit))
    }

    fn otp_hand_over(&self, send_id: SendId, handed_over: bool) -> StoreFuture<'_, bool> {
        self.with(move |model| model.otp_hand_over(send_id, handed_over))
    }

    fn otp_sent(&self, send_id: SendId) -> StoreFuture<'_, ()> {
        self.with(move |model| model.otp_sent(send_id))
    }

    fn otp_interrupted(&self) -> StoreFuture<'_, u64> {
        self.with(Model::otp_interrupted)
    }

    fn create_invite(&self, token_hash: Hash32, uses: u32, expires_ms: u64) -> StoreFuture<'_, ()> {
        self.with(move |model| {
            let invite = otp::Invite { uses, expires_ms };
            model.invites.insert(token_hash, invite);
        })
    }

    fn invite_valid(&self, token_hash: Hash32, now_ms: u64) -> StoreFuture<'_, bool> {
        self.with(move |model| model.invite_valid(token_hash, now_ms))
    }

    fn put_key_packages(
        &self,
        device_id: DeviceId,
        one_time: Vec<Vec<u8>>,
        last_resort: Option<Vec<u8>>,
        now_ms: u64,
    ) -> StoreFuture<'_, KeyPackagesOutcome> {
        self.with(move |model| model.put_key_packages(device_id, one_time, last_resort, now_ms))
    }

    fn claim(
        &self,
        account_id: AccountId,
        capability_hash: Option<Hash32>,
        device_id: Option<DeviceId>,
    ) -> StoreFuture<'_, Option<Vec<ClaimedPackage>>> {
        self.with(move |model| model.claim(account_id, capability_hash, device_id))
    }

    fn post_item(&self, item: NewItem) -> StoreFuture<'_, PostOutcome> {
        self.with(|model| model.post_item(item))
    }

    fn read_inbox(
        &self,
        device_id: DeviceId,
        after: u64,
        limit: u32,
    ) -> StoreFuture<'_, InboxRead> {
        self.with(move |model| model.read_inbox(device_id, after, limit))
    }

    fn ack_inbox(&self, device_id: DeviceId, numbers: Vec<u64>) -> StoreFuture<'_, Acked> {
        self.with(move |model| model.ack_inbox(device_id, &numbers))
    }

    fn create_log(&self, log: NewLog) -> StoreFuture<'_, CreateOutcome> {
        self.with(|model| model.create_log(log))
    }

    fn epoch_key(&self, log_id: LogId, epoch: Epoch) -> StoreFuture<'_, Option<EpochKey>> {
        self.with(move |model| model.epoch_key(log_id, epoch))
    }

    fn append(
        &self,
        log_id: LogId,
        epoch: Epoch,
        payload: Vec<u8>,
        now_ms: u64,
    ) -> StoreFuture<'_, AppendOutcome> {
        self.with(move |model| model.append(log_id, epoch, payload, now_ms))
    }

    fn put_bundle(&self, bundle: NewBundle) -> StoreFuture<'_, BundleOutcome> {
        self.with(|model| model.put_bundle(bundle))
    }

    fn read(
        &self,
        log_id: LogId,
        epoch: Epoch,
        after: Seq,
        limit: u32,
        bytes: usize,
    ) -> StoreFuture<'_, Option<Page>> {
        self.with(move |model| model.read(log_id, epoch, after, limit, bytes))
    }

    fn blob(&self, blob_id: BlobId) -> StoreFuture<'_, Option<Vec<u8>>> {
        self.with(move |model| model.blobs.get(&blob_id).map(|blob| blob.bytes.clone()))
    }

    fn open_mailbox(
        &self,
        offer: Vec<u8>,
        now_ms: u64,
    ) -> StoreFuture<'_, Result<(), MailboxGone>> {
        self.with(move |_| self.mailboxes.open(offer, now_ms))
    }

    fn put_slot(
        &self,
        mailbox_id: Hash32,
        slot: u32,
        bytes: Vec<u8>,
        now_ms: u64,
    ) -> StoreFuture<'_, Result<(), MailboxGone>> {
        self.with(move |_| self.mailboxes.put(mailbox_id, slot, bytes, now_ms))
    }

    fn read_slot(
        &self,
        mailbox_id: Hash32,
        slot: u32,
        now_ms: u64,
    ) -> StoreFuture<'_, Result<Vec<u8>, MailboxGone>> {
        self.with(move |_| self.mailboxes.read(mailbox_id, slot, now_ms))
    }

    fn close_mailbox(
        &self,
        mailbox_id: Hash32,
        now_ms: u64,
    ) -> StoreFuture<'_, Result<(), MailboxGone>> {
        self.with(move |_| self.mailboxes.close(mailbox_id, now_ms))
    }

    fn classic_accounts(&self) -> StoreFuture<'_, u64> {
        self.with(|model| model.classic.accounts.len() as u64)
    }

    fn classic_account(&self, phone: String) -> StoreFuture<'_, Option<Account>> {
        self.with(move |model| model.classic.accounts.get(&phone).cloned())
    }

    fn classic_put_account(
        &self,
        phone: String,
        account: Account,
        accounts_max: u64,
    ) -> StoreFuture<'_, Registered> {
        self.with(move |model| model.classic.put_account(phone, account, accounts_max))
    }

    fn classic_is_known(&self, message_id: String) -> StoreFuture<'_, bool> {
        self.with(move |model| model.classic.seen.contains_key(&message_id))
    }

    fn classic_push(&self, delivery: Delivery, now_ms: u64) -> StoreFuture<'_, Pushed> {
        self.with(move |model| model.classic.push(delivery, now_ms))
    }

    fn classic_waiting(&self, phone: String, after: Places, most: u32) -> StoreFuture<'_, Waiting> {
        self.with(move |model| model.classic.waiting(&phone, after, most))
    }

    fn classic_ack(
        &self,
        phone: String,
        message_ids: Vec<String>,
        receipt_ids: Vec<String>,
        now_ms: u64,
    ) -> StoreFuture<'_, Vec<String>> {
        self.with(move |model| {
            let classic = &mut model.classic;
            classic.ack(&phone, &message_ids, &receipt_ids, now_ms)
        })
    }

    fn sweep(&self, now_ms: u64) -> StoreFuture<'_, bool> {
        self.with(move |model| {
            model.sweep(now_ms);
            self.mailboxes.tidy(now_ms);
            false
        })
    }

    fn last_day(&self) -> StoreFuture<'_, Day> {
        self.with(|model| model.last_day)
    }

    fn confirm_day(&self, day: Day) -> StoreFuture<'_, ()> {
        self.with(move |model| model.last_day = day)
    }

    fn incarnation(&self) -> Incarnation {
        let model = self.model.lock();
        model.unwrap_or_else(PoisonError::into_inner).incarnation
    }

    fn check(&self) -> StoreFuture<'_, CheckReport> {
        self.with(|_| CheckReport::default())
    }

    fn summary(&self) -> StoreFuture<'_, Summary> {
        self.with(|model| model.summary())
    }

    fn failed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}
