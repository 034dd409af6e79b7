//! The embedded store: SQLite in WAL mode, one writing thread with group commit, a few readers.
//!
//! Shape and settings were measured: see `docs/decisions`. `synchronous=FULL`, so an answer means
//! that the write is synced. No second process may have the folder open: a lock file sees to that.

mod accounts;
mod classic;
mod heads;
mod inbox;
mod logs;
mod mark;
mod newest;
mod open;
mod otp;
mod query;
mod readers;
mod sweep;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::File;
use std::future::{Future, ready};
use std::path::Path;
use std::pin::Pin;

use conclave_classic::gateway::{Account, Places, Pushed, Registered, Waiting};
use conclave_classic::wire::Delivery;
use conclave_proto::id::{
    AccountId, BlobId, ChallengeId, Day, DeviceId, Epoch, Hash32, Incarnation, LogId, Seq,
};
use conclave_proto::label::sha256;
use rusqlite::Connection;

pub use open::OpenError;
pub use writer::Batches;

use readers::Readers;
use writer::{Context, Kind, Writer, stopped};

use super::{
    Acked, AppendOutcome, BundleOutcome, CheckReport, ClaimedPackage, CreateOutcome, DeviceStatus,
    EpochKey, InboxRead, KeyPackagesOutcome, MailboxGone, NewAccount, NewBundle, NewChallenge,
    NewItem, NewLog, NewState, OtpCheckOutcome, OtpStartOutcome, Page, PostOutcome, Published,
    PutStateOutcome, RegisterOutcome, SendId, Store, StoreFuture, StoreOptions, StoredBlob,
    Summary, WaitingCode,
};
use crate::log::Races;
use crate::store::mailboxes::Mailboxes;

/// A store in one folder of this machine. Dropping it waits for the last write.
#[derive(Debug)]
pub struct SqliteStore {
    // dropped in this order: the writer closes the database last and takes its side files away, then
    // the lock goes
    readers: Readers,
    writer: Writer,
    mailboxes: Mailboxes,
    incarnation: Incarnation,
    _lock: File,
}

impl SqliteStore {
    /// Opens or creates the store in `data_dir`, an existing folder that only its owner may enter.
    pub fn open(data_dir: &Path, options: StoreOptions) -> Result<Self, OpenError> {
        let opened = open::open(data_dir)?;
        let readers = Readers::open(data_dir)?;
        let races = Races::new(options.commit_spacing);
        let context = Context::new(races, opened.mark, data_dir.to_owned());
        let writer = Writer::start(opened.writer, context)
            .map_err(|source| open::io_error(data_dir, source))?;
        Ok(Self {
            readers,
            writer,
            mailboxes: Mailboxes::default(),
            incarnation: Incarnation(opened.mark.incarnation),
            _lock: opened.lock,
        })
    }

    /// How many writes went into how many commits since the store was opened.
    pub fn batches(&self) -> Batches {
        self.writer.batches()
    }

    /// A write whose size does not matter for the batch.
    fn write<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&Connection, &mut Context) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        self.write_sized(0, verb)
    }

    fn write_sized<T: Send + 'static>(
        &self,
        bytes: usize,
        verb: impl FnOnce(&Connection, &mut Context) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        Box::pin(self.writer.write((Kind::Verb, bytes), verb))
    }

    fn read_with<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<'_, T> {
        Box::pin(async move {
            if self.writer.is_dead() {
                return Err(stopped());
            }
            self.readers.read(verb).await
        })
    }
}

fn blob_bytes(blobs: &[StoredBlob]) -> usize {
    blobs.iter().map(|blob| blob.bytes.len()).sum()
}

impl Store for SqliteStore {
    fn register(&self, account: NewAccount) -> StoreFuture<'_, RegisterOutcome> {
        self.write(move |tx, _| accounts::register(tx, &account))
    }

    fn put_state(&self, state: NewState) -> StoreFuture<'_, PutStateOutcome> {
        self.write(move |tx, _| accounts::put_state(tx, &state))
    }

    fn account_by_identifier(&self, identifier: String) -> StoreFuture<'_, Option<Published>> {
        self.read_with(move |tx| accounts::account_by_identifier(tx, &identifier))
    }

    fn states(&self, account_id: AccountId, from_seq: u64) -> StoreFuture<'_, Option<Published>> {
        self.read_with(move |tx| accounts::states(tx, account_id, from_seq))
    }

    fn device_key(
        &self,
        account_id: AccountId,
        device_id: DeviceId,
    ) -> StoreFuture<'_, Option<[u8; 32]>> {
        self.read_with(move |tx| accounts::device_key(tx, account_id, device_id))
    }

    fn device_status(
        &self,
        account_id: AccountId,
        device_id: DeviceId,
        now_ms: u64,
    ) -> StoreFuture<'_, Option<DeviceStatus>> {
        self.read_with(move |tx| accounts::device_status(tx, account_id, device_id, now_ms))
    }

    fn put_capability(
        &self,
        account_id: AccountId,
        capability_hash: Hash32,
    ) -> StoreFuture<'_, bool> {
        self.write(move |tx, _| accounts::put_capability(tx, account_id, capability_hash))
    }

    fn veto_hold(&self, account_id: AccountId) -> StoreFuture<'_, bool> {
        self.write(move |tx, _| accounts::veto_hold(tx, account_id))
    }

    fn otp_start(&self, challenge: NewChallenge) -> StoreFuture<'_, OtpStartOutcome> {
        self.write(move |tx, _| otp::start(tx, &challenge))
    }

    fn otp_check(
        &self,
        challenge_id: ChallengeId,
        code_mac: [u8; 32],
        now_ms: u64,
    ) -> StoreFuture<'_, OtpCheckOutcome> {
        self.write(move |tx, _| otp::check(tx, challenge_id, &code_mac, now_ms))
    }

    fn otp_delete(&self, challenge_id: ChallengeId) -> StoreFuture<'_, ()> {
        self.write(move |tx, _| otp::delete(tx, challenge_id))
    }

    fn otp_waiting(&self, limit: u32) -> StoreFuture<'_, Vec<WaitingCode>> {
        self.read_with(move |tx| otp::waiting(tx, limit))
    }

    fn otp_hand_over(&self, send_id: SendId, handed_over: bool) -> StoreFuture<'_, bool> {
        self.write(move |tx, _| otp::hand_over(tx, send_id, handed_over))
    }

    fn otp_sent(&self, send_id: SendId) -> StoreFuture<'_, ()> {
        self.write(move |tx, _| otp::sent(tx, send_id))
    }

    fn otp_interrupted(&self) -> StoreFuture<'_, u64> {
        self.write(|tx, _| otp::interrupted(tx))
    }

    fn create_invite(&self, token_hash: Hash32, uses: u32, expires_ms: u64) -> StoreFuture<'_, ()> {
        self.write(move |tx, _| otp::create_invite(tx, token_hash, uses, expires_ms))
    }

    fn invite_valid(&self, token_hash: Hash32, now_ms: u64) -> StoreFuture<'_, bool> {
        self.read_with(move |tx| otp::invite_valid(tx, token_hash, now_ms))
    }

    fn put_key_packages(
        &self,
        device_id: DeviceId,
        one_time: Vec<Vec<u8>>,
        last_resort: Option<Vec<u8>>,
        now_ms: u64,
    ) -> StoreFuture<'_, KeyPackagesOutcome> {
        let bytes = one_time.iter().map(Vec::len).sum();
        self.write_sized(bytes, move |tx, _| {
            inbox::put_key_packages(tx, device_id, &one_time, last_resort.as_deref(), now_ms)
        })
    }

    fn claim(
        &self,
        account_id: AccountId,
        capability_hash: Option<Hash32>,
        device_id: Option<DeviceId>,
    ) -> StoreFuture<'_, Option<Vec<ClaimedPackage>>> {
        self.write(move |tx, _| inbox::claim(tx, account_id, capability_hash, device_id))
    }

    fn post_item(&self, item: NewItem) -> StoreFuture<'_, PostOutcome> {
        self.write_sized(item.item.len(), move |tx, _| inbox::post_item(tx, &item))
    }

    fn read_inbox(
        &self,
        device_id: DeviceId,
        after: u64,
        limit: u32,
    ) -> StoreFuture<'_, InboxRead> {
        self.read_with(move |tx| inbox::read_inbox(tx, device_id, after, limit))
    }

    fn ack_inbox(&self, device_id: DeviceId, numbers: Vec<u64>) -> StoreFuture<'_, Acked> {
        self.write(move |tx, _| inbox::ack_inbox(tx, device_id, &numbers))
    }

    fn create_log(&self, log: NewLog) -> StoreFuture<'_, CreateOutcome> {
        let bytes = blob_bytes(&log.blobs);
        self.write_sized(bytes, move |tx, cx| logs::create_log(tx, cx, &log))
    }

    fn epoch_key(&self, log_id: LogId, epoch: Epoch) -> StoreFuture<'_, Option<EpochKey>> {
        let incarnation = self.incarnation;
        self.read_with(move |tx| logs::epoch_key(tx, incarnation, log_id, epoch))
    }

    fn append(
        &self,
        log_id: LogId,
        epoch: Epoch,
        payload: Vec<u8>,
        now_ms: u64,
    ) -> StoreFuture<'_, AppendOutcome> {
        // here, where the caller's processor does it, and not the one thread that writes
        let payload_hash = sha256(&payload);
        let bytes = payload.len();
        let verb = move |tx: &Connection, cx: &mut Context| {
            logs::append(tx, cx, (log_id, epoch), (&payload, payload_hash), now_ms)
        };
        Box::pin(self.writer.write((Kind::Append, bytes), verb))
    }

    fn put_bundle(&self, bundle: NewBundle) -> StoreFuture<'_, BundleOutcome> {
        let bytes = bundle.commit_entry.len() + blob_bytes(&bundle.blobs);
        self.write_sized(bytes, move |tx, cx| logs::put_bundle(tx, cx, &bundle))
    }

    fn read(
        &self,
        log_id: LogId,
        epoch: Epoch,
        after: Seq,
        limit: u32,
        bytes: usize,
    ) -> StoreFuture<'_, Option<Page>> {
        let incarnation = self.incarnation;
        self.read_with(move |tx| logs::read(tx, incarnation, (log_id, epoch), after, limit, bytes))
    }

    fn blob(&self, blob_id: BlobId) -> StoreFuture<'_, Option<Vec<u8>>> {
        self.read_with(move |tx| logs::blob(tx, blob_id))
    }

    fn open_mailbox(
        &self,
        offer: Vec<u8>,
        now_ms: u64,
    ) -> StoreFuture<'_, Result<(), MailboxGone>> {
        let done = self.mailboxes.open(offer, now_ms);
        Box::pin(ready(Ok(done)))
    }

    fn put_slot(
        &self,
        mailbox_id: Hash32,
        slot: u32,
        bytes: Vec<u8>,
        now_ms: u64,
    ) -> StoreFuture<'_, Result<(), MailboxGone>> {
        let done = self.mailboxes.put(mailbox_id, slot, bytes, now_ms);
        Box::pin(ready(Ok(done)))
    }

    fn read_slot(
        &self,
        mailbox_id: Hash32,
        slot: u32,
        now_ms: u64,
    ) -> StoreFuture<'_, Result<Vec<u8>, MailboxGone>> {
        let done = self.mailboxes.read(mailbox_id, slot, now_ms);
        Box::pin(ready(Ok(done)))
    }

    fn close_mailbox(
        &self,
        mailbox_id: Hash32,
        now_ms: u64,
    ) -> StoreFuture<'_, Result<(), MailboxGone>> {
        let done = self.mailboxes.close(mailbox_id, now_ms);
        Box::pin(ready(Ok(done)))
    }

    fn classic_accounts(&self) -> StoreFuture<'_, u64> {
        self.read_with(classic::accounts)
    }

    fn classic_account(&self, phone: String) -> StoreFuture<'_, Option<Account>> {
        self.read_with(move |tx| classic::account(tx, &phone))
    }

    fn classic_put_account(
        &self,
        phone: String,
        account: Account,
        accounts_max: u64,
    ) -> StoreFuture<'_, Registered> {
        self.write(move |tx, _| classic::put_account(tx, &phone, &account, accounts_max))
    }

    fn classic_is_known(&self, message_id: String) -> StoreFuture<'_, bool> {
        self.read_with(move |tx| classic::is_known(tx, &message_id))
    }

    fn classic_push(&self, delivery: Delivery, now_ms: u64) -> StoreFuture<'_, Pushed> {
        let bytes = delivery.message.encrypted_content.len();
        self.write_sized(bytes, move |tx, _| classic::push(tx, &delivery, now_ms))
    }

    fn classic_waiting(&self, phone: String, after: Places, most: u32) -> StoreFuture<'_, Waiting> {
        self.read_with(move |tx| classic::waiting(tx, &phone, after, most))
    }

    fn classic_ack(
        &self,
        phone: String,
        message_ids: Vec<String>,
        receipt_ids: Vec<String>,
        now_ms: u64,
    ) -> StoreFuture<'_, Vec<String>> {
        self.write(move |tx, _| classic::ack(tx, &phone, &message_ids, &receipt_ids, now_ms))
    }

    fn sweep(&self, now_ms: u64) -> StoreFuture<'_, bool> {
        self.mailboxes.tidy(now_ms);
        self.write(move |tx, cx| sweep::sweep(tx, cx, now_ms))
    }

    fn last_day(&self) -> StoreFuture<'_, Day> {
        self.read_with(sweep::last_day)
    }

    fn confirm_day(&self, day: Day) -> StoreFuture<'_, ()> {
        self.write(move |tx, _| sweep::confirm_day(tx, day))
    }

    fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    fn check(&self) -> StoreFuture<'_, CheckReport> {
        self.read_with(sweep::check)
    }

    fn summary(&self) -> StoreFuture<'_, Summary> {
        self.read_with(sweep::summary)
    }

    fn failed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.writer.failed())
    }
}
