//! The store that several servers share: PostgreSQL.
//!
//! Servers keep nothing of it but connections. What must hold between servers is checked and written in
//! one transaction, with locks on the rows that the check read (or, where there is no row yet, a named
//! lock). Messages are appended by one committer for each server, many in one transaction; every other
//! verb is a transaction of its own. Reads go to the primary alone.
//!
//! A lost connection is not the end: verbs that changed nothing are tried anew or answer busy, a commit
//! whose answer was lost is looked for (appends) or told to the caller as unknown. Protocol requests may
//! be repeated, so the caller finds out.

mod accounts;
mod address;
mod appends;
mod classic;
mod hints;
mod inbox;
mod logs;
mod mailbox;
mod open;
mod otp;
mod pool;
mod recent;
mod session;
mod sweep;
mod take_over;
mod take_over_tables;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use conclave_classic::gateway::{Account, Places, Pushed, Registered, Waiting};
use conclave_classic::wire::Delivery;
use conclave_proto::id::{
    AccountId, BlobId, ChallengeId, Day, DeviceId, Epoch, Hash32, Incarnation, LogId, Seq,
};

pub use address::Address;
pub use hints::PostgresHints;
pub use open::DatabaseError;
pub use take_over::{MoveError, Moved, take_over};

use appends::Appends;
use open::Shared;
use pool::{Pool, Verb, dead};

use super::{
    Acked, AppendOutcome, Batches, BundleOutcome, CheckReport, ClaimedPackage, CreateOutcome,
    DeviceStatus, EpochKey, InboxRead, KeyPackagesOutcome, MailboxGone, NewAccount, NewBundle,
    NewChallenge, NewItem, NewLog, NewState, OtpCheckOutcome, OtpStartOutcome, Page, PostOutcome,
    Published, PutStateOutcome, RegisterOutcome, SendId, Store, StoreFuture, StoreOptions, Summary,
    WaitingCode,
};
use crate::log::CommitSpacing;

/// A store in a PostgreSQL database that other servers may use at the same time.
#[derive(Debug)]
pub struct PostgresStore {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    appends: Appends,
    spacing: CommitSpacing,
}

impl PostgresStore {
    /// Opens the database, making what is not there yet. In `note_dir`, an existing folder, the file
    /// `incarnation` remembers how far the database was: a database behind it was restored from a backup
    /// and begins a new life. Needs a tokio runtime.
    pub async fn open(
        address: Address,
        note_dir: Option<&Path>,
        options: StoreOptions,
    ) -> Result<Self, DatabaseError> {
        let shared = open::open(address, note_dir).await?;
        Ok(Self {
            pool: Arc::new(Pool::new(Arc::clone(&shared))),
            appends: Appends::start(Arc::clone(&shared)),
            shared,
            spacing: options.commit_spacing,
        })
    }

    /// Claims the database for the community of `mark` ([`crate::keys::ServerKeys::mark`]), unless another one has it
    /// ([`DatabaseError::OtherKeys`], C-232); with `None` only asks whether one has.
    pub async fn belong_to(&self, mark: Option<[u8; 32]>) -> Result<(), DatabaseError> {
        open::belong_to(&self.shared, mark).await
    }

    /// How many messages went into how many commits since the store was opened.
    pub fn batches(&self) -> Batches {
        self.appends.batches()
    }

    fn write<A, T>(&self, args: A, verb: Verb<A, T>) -> StoreFuture<'_, T>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        Box::pin(Arc::clone(&self.pool).write(args, verb))
    }

    fn reading<A, T>(&self, args: A, verb: Verb<A, T>) -> StoreFuture<'_, T>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        Box::pin(async move { self.pool.read(&args, verb).await })
    }
}

impl Store for PostgresStore {
    fn register(&self, account: NewAccount) -> StoreFuture<'_, RegisterOutcome> {
        self.write(account, |tx, new| Box::pin(accounts::register(tx, new)))
    }

    fn put_state(&self, state: NewState) -> StoreFuture<'_, PutStateOutcome> {
        self.write(state, |tx, new| Box::pin(accounts::put_state(tx, new)))
    }

    fn account_by_identifier(&self, identifier: String) -> StoreFuture<'_, Option<Published>> {
        self.reading(identifier, |tx, identifier| {
            Box::pin(accounts::account_by_identifier(tx, identifier))
        })
    }

    fn states(&self, account_id: AccountId, from_seq: u64) -> StoreFuture<'_, Option<Published>> {
        self.reading((account_id, from_seq), |tx, (account_id, from_seq)| {
            Box::pin(accounts::states(tx, *account_id, *from_seq))
        })
    }

    fn device_key(
        &self,
        account_id: AccountId,
        device_id: DeviceId,
    ) -> StoreFuture<'_, Option<[u8; 32]>> {
        self.reading((account_id, device_id), |tx, (account_id, device_id)| {
            Box::pin(accounts::device_key(tx, *account_id, *device_id))
        })
    }

    fn device_status(
        &self,
        account_id: AccountId,
        device_id: DeviceId,
        now_ms: u64,
    ) -> StoreFuture<'_, Option<DeviceStatus>> {
        self.reading(
            (account_id, device_id, now_ms),
            |tx, (account, device, now_ms)| {
                Box::pin(accounts::device_status(tx, *account, *device, *now_ms))
            },
        )
    }

    fn put_capability(
        &self,
        account_id: AccountId,
        capability_hash: Hash32,
    ) -> StoreFuture<'_, bool> {
        self.write((account_id, capability_hash), |tx, (account_id, hash)| {
            Box::pin(accounts::put_capability(tx, *account_id, *hash))
        })
    }

    fn veto_hold(&self, account_id: AccountId) -> StoreFuture<'_, bool> {
        self.write(account_id, |tx, account_id| {
            Box::pin(accounts::veto_hold(tx, *account_id))
        })
    }

    fn otp_start(&self, challenge: NewChallenge) -> StoreFuture<'_, OtpStartOutcome> {
        self.write(challenge, |tx, new| Box::pin(otp::start(tx, new)))
    }

    fn otp_check(
        &self,
        challenge_id: ChallengeId,
        code_mac: [u8; 32],
        now_ms: u64,
    ) -> StoreFuture<'_, OtpCheckOutcome> {
        self.write((challenge_id, code_mac, now_ms), |tx, (id, mac, now_ms)| {
            Box::pin(otp::check(tx, *id, mac, *now_ms))
        })
    }

    fn otp_delete(&self, challenge_id: ChallengeId) -> StoreFuture<'_, ()> {
        self.write(challenge_id, |tx, id| Box::pin(otp::delete(tx, *id)))
    }

    fn otp_waiting(&self, limit: u32) -> StoreFuture<'_, Vec<WaitingCode>> {
        self.reading(limit, |tx, limit| Box::pin(otp::waiting(tx, *limit)))
    }

    fn otp_hand_over(&self, send_id: SendId, handed_over: bool) -> StoreFuture<'_, bool> {
        self.write((send_id, handed_over), |tx, (send_id, handed_over)| {
            Box::pin(otp::hand_over(tx, *send_id, *handed_over))
        })
    }

    fn otp_sent(&self, send_id: SendId) -> StoreFuture<'_, ()> {
        self.write(send_id, |tx, send_id| Box::pin(otp::sent(tx, *send_id)))
    }

    fn otp_interrupted(&self) -> StoreFuture<'_, u64> {
        self.write((), |tx, ()| Box::pin(otp::interrupted(tx)))
    }

    fn create_invite(&self, token_hash: Hash32, uses: u32, expires_ms: u64) -> StoreFuture<'_, ()> {
        self.write(
            (token_hash, uses, expires_ms),
            |tx, (hash, uses, expires_ms)| {
                Box::pin(otp::create_invite(tx, *hash, *uses, *expires_ms))
            },
        )
    }

    fn invite_valid(&self, token_hash: Hash32, now_ms: u64) -> StoreFuture<'_, bool> {
        self.reading((token_hash, now_ms), |tx, (hash, now_ms)| {
            Box::pin(otp::invite_valid(tx, *hash, *now_ms))
        })
    }

    fn put_key_packages(
        &self,
        device_id: DeviceId,
        one_time: Vec<Vec<u8>>,
        last_resort: Option<Vec<u8>>,
        now_ms: u64,
    ) -> StoreFuture<'_, KeyPackagesOutcome> {
        let args = (device_id, one_time, last_resort, now_ms);
        self.write(args, |tx, (device_id, one_time, last_resort, now_ms)| {
            let last_resort = last_resort.as_deref();
            Box::pin(inbox::put_key_packages(
                tx,
                *device_id,
                one_time,
                last_resort,
                *now_ms,
            ))
        })
    }

    fn claim(
        &self,
        account_id: AccountId,
        capability_hash: Option<Hash32>,
        device_id: Option<DeviceId>,
    ) -> StoreFuture<'_, Option<Vec<ClaimedPackage>>> {
        let args = (account_id, capability_hash, device_id);
        self.write(args, |tx, (account_id, capability_hash, only)| {
            Box::pin(inbox::claim(tx, *account_id, *capability_hash, *only))
        })
    }

    fn post_item(&self, item: NewItem) -> StoreFuture<'_, PostOutcome> {
        self.write(item, |tx, new| Box::pin(inbox::post_item(tx, new)))
    }

    fn read_inbox(
        &self,
        device_id: DeviceId,
        after: u64,
        limit: u32,
    ) -> StoreFuture<'_, InboxRead> {
        self.reading(
            (device_id, after, limit),
            |tx, (device_id, after, limit)| {
                Box::pin(inbox::read_inbox(tx, *device_id, *after, *limit))
            },
        )
    }

    fn newest_items(&self, devices: Vec<DeviceId>) -> StoreFuture<'_, Vec<u64>> {
        self.reading(devices, |tx, devices| {
            Box::pin(inbox::newest_items(tx, devices))
        })
    }

    fn ack_inbox(&self, device_id: DeviceId, numbers: Vec<u64>) -> StoreFuture<'_, Acked> {
        self.write((device_id, numbers), |tx, (device_id, numbers)| {
            Box::pin(inbox::ack_inbox(tx, *device_id, numbers))
        })
    }

    fn create_log(&self, log: NewLog) -> StoreFuture<'_, CreateOutcome> {
        self.write((log, self.shared.incarnation), |tx, (new, incarnation)| {
            Box::pin(logs::create_log(tx, new, *incarnation))
        })
    }

    fn epoch_key(&self, log_id: LogId, epoch: Epoch) -> StoreFuture<'_, Option<EpochKey>> {
        let args = (self.shared.incarnation, log_id, epoch);
        self.reading(args, |tx, (incarnation, log_id, epoch)| {
            Box::pin(logs::epoch_key(tx, *incarnation, *log_id, *epoch))
        })
    }

    fn append(
        &self,
        log_id: LogId,
        epoch: Epoch,
        payload: Vec<u8>,
        now_ms: u64,
    ) -> StoreFuture<'_, AppendOutcome> {
        Box::pin(self.appends.append(log_id, epoch, payload, now_ms))
    }

    fn put_bundle(&self, bundle: NewBundle) -> StoreFuture<'_, BundleOutcome> {
        let args = (bundle, (self.shared.incarnation, self.spacing));
        self.write(args, |tx, (new, kept)| {
            Box::pin(logs::put_bundle(tx, new, *kept))
        })
    }

    fn read(
        &self,
        log_id: LogId,
        epoch: Epoch,
        after: Seq,
        limit: u32,
        bytes: usize,
    ) -> StoreFuture<'_, Option<Page>> {
        let args = (
            self.shared.incarnation,
            (log_id, epoch),
            after,
            limit,
            bytes,
        );
        self.reading(args, |tx, (incarnation, handle, after, limit, bytes)| {
            Box::pin(logs::read(
                tx,
                *incarnation,
                *handle,
                *after,
                *limit,
                *bytes,
            ))
        })
    }

    fn reached(&self, logs: Vec<(LogId, Epoch)>) -> StoreFuture<'_, Vec<Option<Seq>>> {
        self.reading(logs, |tx, logs| Box::pin(logs::reached(tx, logs)))
    }

    fn blob(&self, blob_id: BlobId) -> StoreFuture<'_, Option<Vec<u8>>> {
        self.reading(blob_id, |tx, blob_id| Box::pin(logs::blob(tx, *blob_id)))
    }

    fn open_mailbox(
        &self,
        offer: Vec<u8>,
        now_ms: u64,
    ) -> StoreFuture<'_, Result<(), MailboxGone>> {
        self.write((offer, now_ms), |tx, (offer, now_ms)| {
            Box::pin(mailbox::open(tx, offer, *now_ms))
        })
    }

    fn put_slot(
        &self,
        mailbox_id: Hash32,
        slot: u32,
        bytes: Vec<u8>,
        now_ms: u64,
    ) -> StoreFuture<'_, Result<(), MailboxGone>> {
        let args = (mailbox_id, slot, bytes, now_ms);
        self.write(args, |tx, (id, slot, bytes, now_ms)| {
            Box::pin(mailbox::put(tx, *id, *slot, bytes, *now_ms))
        })
    }

    fn read_slot(
        &self,
        mailbox_id: Hash32,
        slot: u32,
        now_ms: u64,
    ) -> StoreFuture<'_, Result<Vec<u8>, MailboxGone>> {
        self.reading((mailbox_id, slot, now_ms), |tx, (id, slot, now_ms)| {
            Box::pin(mailbox::read(tx, *id, *slot, *now_ms))
        })
    }

    fn close_mailbox(
        &self,
        mailbox_id: Hash32,
        now_ms: u64,
    ) -> StoreFuture<'_, Result<(), MailboxGone>> {
        self.write((mailbox_id, now_ms), |tx, (id, now_ms)| {
            Box::pin(mailbox::close(tx, *id, *now_ms))
        })
    }

    fn classic_accounts(&self) -> StoreFuture<'_, u64> {
        self.reading((), |tx, ()| Box::pin(classic::accounts(tx)))
    }

    fn classic_account(&self, phone: String) -> StoreFuture<'_, Option<Account>> {
        self.reading(phone, |tx, phone| Box::pin(classic::account(tx, phone)))
    }

    fn classic_put_account(
        &self,
        phone: String,
        account: Account,
        accounts_max: u64,
    ) -> StoreFuture<'_, Registered> {
        self.write(
            (phone, account, accounts_max),
            |tx, (phone, account, max)| Box::pin(classic::put_account(tx, phone, account, *max)),
        )
    }

    fn classic_is_known(&self, message_id: String) -> StoreFuture<'_, bool> {
        self.reading(message_id, |tx, id| Box::pin(classic::is_known(tx, id)))
    }

    fn classic_push(&self, delivery: Delivery, now_ms: u64) -> StoreFuture<'_, Pushed> {
        self.write((delivery, now_ms), |tx, (delivery, now_ms)| {
            Box::pin(classic::push(tx, delivery, *now_ms))
        })
    }

    fn classic_waiting(&self, phone: String, after: Places, most: u32) -> StoreFuture<'_, Waiting> {
        self.reading((phone, after, most), |tx, (phone, after, most)| {
            Box::pin(classic::waiting(tx, phone, *after, *most))
        })
    }

    fn classic_ack(
        &self,
        phone: String,
        message_ids: Vec<String>,
        receipt_ids: Vec<String>,
        now_ms: u64,
    ) -> StoreFuture<'_, Vec<String>> {
        let args = (phone, message_ids, receipt_ids, now_ms);
        self.write(args, |tx, (phone, messages, receipts, now_ms)| {
            Box::pin(classic::ack(tx, phone, messages, receipts, *now_ms))
        })
    }

    fn sweep(&self, now_ms: u64) -> StoreFuture<'_, bool> {
        self.write((now_ms, self.spacing), |tx, (now_ms, spacing)| {
            Box::pin(sweep::sweep(tx, *now_ms, *spacing))
        })
    }

    fn last_day(&self) -> StoreFuture<'_, Day> {
        Box::pin(async move {
            let (day, incarnation) = self
                .pool
                .read(&(), |tx, ()| Box::pin(sweep::last_day(tx)))
                .await?;
            if self.shared.verify(incarnation) {
                Ok(day)
            } else {
                Err(dead())
            }
        })
    }

    fn confirm_day(&self, day: Day) -> StoreFuture<'_, ()> {
        self.write(day, |tx, day| Box::pin(sweep::confirm_day(tx, *day)))
    }

    fn incarnation(&self) -> Incarnation {
        self.shared.incarnation
    }

    fn check(&self) -> StoreFuture<'_, CheckReport> {
        self.reading((), |tx, ()| Box::pin(sweep::check(tx)))
    }

    fn summary(&self) -> StoreFuture<'_, Summary> {
        self.reading((), |tx, ()| Box::pin(sweep::summary(tx)))
    }

    fn failed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.shared.died())
    }
}
