//! The store in domain verbs: what the server keeps, without a word of how.
//!
//! Three implementations stand behind one trait and one conformance suite: [`MemoryStore`], the plain
//! model, [`SqliteStore`], what a server alone runs on, and [`PostgresStore`], what several share. A domain "no" is an outcome, never an error;
//! an error means that the store is busy or broken. Time comes from the caller (`now_ms`, Unix, UTC),
//! so a store is deterministic. When a writing verb answers, its effect is on disk and synced, but for
//! mailboxes, which may be gone with the process or the machine.
//!
//! No row links an account or a device to a log: the verbs of the two families share no argument.

mod mailboxes;
mod mark_file;
mod memory;
mod postgres;
mod rows;
mod send_limit;
mod sqlite;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use conclave_classic::gateway::{Account, Places, Pushed, Registered, Waiting};
use conclave_classic::wire::Delivery;
use conclave_proto::id::{
    AccountId, BlobId, ChallengeId, Day, DeviceId, Epoch, Hash32, Incarnation, LogId, Seq,
};
use conclave_proto::limits::INBOX_ITEMS_MAX;

pub use memory::{Gate, MemoryStore};
pub use postgres::{
    Address, DatabaseError, MoveError, Moved, PostgresHints, PostgresStore, take_over,
};
pub use rows::{
    Acked, AppendOutcome, BundleOutcome, Challenge, CheckReport, ClaimedPackage, CreateOutcome,
    DeviceStatus, EpochKey, InboxRead, KeyPackagesOutcome, MailboxGone, NewAccount, NewBundle,
    NewChallenge, NewDevice, NewItem, NewLog, NewState, OtpCheckOutcome, OtpStartOutcome, Page,
    PostOutcome, Published, PutStateOutcome, RegisterOutcome, SendId, StoredBlob, StoredItem,
    Summary, WaitingCode,
};
pub use sqlite::{Batches, OpenError, SqliteStore};

use crate::log::CommitSpacing;

/// The store could not do its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The write queue is full; nothing was changed. Try again in a moment.
    #[error("the store's queue is full, try again in a moment")]
    Busy,
    /// The store failed; whether the write is on disk is unknown. See [`Store::failed`].
    #[error("the store failed: {0}")]
    Broken(String),
}

/// What every verb gives: a boxed future, so that `Arc<dyn Store>` works.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A shared store.
pub type SharedStore = Arc<dyn Store>;

/// How a store behaves; the same for each implementation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreOptions {
    /// Spacing of a log's commits after a lost race (C-028).
    pub commit_spacing: CommitSpacing,
}

/// Everything the server keeps. Each verb is one transaction.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    // --- accounts -----------------------------------------------------------------------------

    /// Registers an account with its first state and devices, uses its invite up and deletes its
    /// challenge. For a taken identifier it starts, continues or finishes the hold (C-044).
    fn register(&self, account: NewAccount) -> StoreFuture<'_, RegisterOutcome>;

    /// Appends the next state of an account, compared with the newest one's seq and hash (C-015).
    /// Devices that the new state does not list lose their key packages and inbox.
    fn put_state(&self, state: NewState) -> StoreFuture<'_, PutStateOutcome>;

    /// The newest state of the account that holds `identifier`, and its certificates.
    fn account_by_identifier(&self, identifier: String) -> StoreFuture<'_, Option<Published>>;

    /// At most 256 states of an account from `from_seq` on, and the newest state's certificates.
    fn states(&self, account_id: AccountId, from_seq: u64) -> StoreFuture<'_, Option<Published>>;

    /// The leaf key (Ed25519) of a device that its account's newest state lists, else `None`.
    fn device_key(
        &self,
        account_id: AccountId,
        device_id: DeviceId,
    ) -> StoreFuture<'_, Option<[u8; 32]>>;

    /// What concerns one device: pool, newest state seq, hold. `None` when it is not listed.
    fn device_status(
        &self,
        account_id: AccountId,
        device_id: DeviceId,
        now_ms: u64,
    ) -> StoreFuture<'_, Option<DeviceStatus>>;

    /// Replaces an account's capability hash; `false` when there is no such account.
    fn put_capability(
        &self,
        account_id: AccountId,
        capability_hash: Hash32,
    ) -> StoreFuture<'_, bool>;

    /// Deletes every pending move of this account's identifier; says whether there was one (C-044).
    fn veto_hold(&self, account_id: AccountId) -> StoreFuture<'_, bool>;

    // --- one-time codes and invites -----------------------------------------------------------

    /// Opens a challenge, or finds the live one of the same identifier and key, counts a send, and
    /// leaves the code waiting to be sent unless it already is (C-075).
    fn otp_start(&self, challenge: NewChallenge) -> StoreFuture<'_, OtpStartOutcome>;

    /// Counts a check and then compares the code's MAC in constant time (C-040).
    fn otp_check(
        &self,
        challenge_id: ChallengeId,
        code_mac: [u8; 32],
        now_ms: u64,
    ) -> StoreFuture<'_, OtpCheckOutcome>;

    /// Deletes a challenge. ([`Self::register`] does so by itself.)
    fn otp_delete(&self, challenge_id: ChallengeId) -> StoreFuture<'_, ()>;

    /// Codes that wait to be sent and have not been handed over, at most `limit`, soonest over first.
    fn otp_waiting(&self, limit: u32) -> StoreFuture<'_, Vec<WaitingCode>>;

    /// Notes that a code is about to leave (`true`), or certainly did not (`false`); says whether the
    /// code still waits under this id, and nobody else noted that it leaves (C-076).
    fn otp_hand_over(&self, send_id: SendId, handed_over: bool) -> StoreFuture<'_, bool>;

    /// The code under this id waits no more: it was sent or given up.
    fn otp_sent(&self, send_id: SendId) -> StoreFuture<'_, ()>;

    /// For the start: codes that were handed over when the server ended wait no more, because they
    /// may have left; says how many (C-076).
    fn otp_interrupted(&self) -> StoreFuture<'_, u64>;

    /// Stores an invite by the hash of its token, good for `uses` registrations until `expires_ms`.
    fn create_invite(&self, token_hash: Hash32, uses: u32, expires_ms: u64) -> StoreFuture<'_, ()>;

    /// Whether an invite has a use left.
    fn invite_valid(&self, token_hash: Hash32, now_ms: u64) -> StoreFuture<'_, bool>;

    // --- key packages and inbox ---------------------------------------------------------------

    /// Adds one-time packages (oldest first; the pool keeps the 20 newest) and replaces the last
    /// resort when one is given. A package that was here before, claimed or not, is passed over.
    fn put_key_packages(
        &self,
        device_id: DeviceId,
        one_time: Vec<Vec<u8>>,
        last_resort: Option<Vec<u8>>,
        now_ms: u64,
    ) -> StoreFuture<'_, KeyPackagesOutcome>;

    /// Takes one package for each device of an account, in device id order; `None` when there is no
    /// such account; with `device_id` for that device alone. Without the account's capability hash:
    /// last resorts only (C-033).
    fn claim(
        &self,
        account_id: AccountId,
        capability_hash: Option<Hash32>,
        device_id: Option<DeviceId>,
    ) -> StoreFuture<'_, Option<Vec<ClaimedPackage>>>;

    /// Puts one sealed item into a device's inbox (C-037).
    fn post_item(&self, item: NewItem) -> StoreFuture<'_, PostOutcome>;

    /// A device's items with numbers above `after`, at most `limit`.
    fn read_inbox(&self, device_id: DeviceId, after: u64, limit: u32)
    -> StoreFuture<'_, InboxRead>;

    /// Deletes items of a device; unknown numbers are passed over.
    fn ack_inbox(&self, device_id: DeviceId, numbers: Vec<u64>) -> StoreFuture<'_, Acked>;

    /// Number of the newest waiting item of each device, in order; 0 = nothing waits.
    fn newest_items(&self, devices: Vec<DeviceId>) -> StoreFuture<'_, Vec<u64>> {
        Box::pin(async move {
            let mut newest = Vec::with_capacity(devices.len());
            for device_id in devices {
                let read = self.read_inbox(device_id, 0, INBOX_ITEMS_MAX).await?;
                newest.push(read.items.last().map_or(0, |item| item.number));
            }
            Ok(newest)
        })
    }

    // --- logs and blobs -----------------------------------------------------------------------

    /// Creates a log at epoch 1 with its blobs (C-020).
    fn create_log(&self, log: NewLog) -> StoreFuture<'_, CreateOutcome>;

    /// The access key of one epoch and the head it may see, to check an opening proof against.
    /// Unknown log and forgotten epoch are both `None` (C-022).
    fn epoch_key(&self, log_id: LogId, epoch: Epoch) -> StoreFuture<'_, Option<EpochKey>>;

    /// Appends a message while `epoch` is current (C-024).
    fn append(
        &self,
        log_id: LogId,
        epoch: Epoch,
        payload: Vec<u8>,
        now_ms: u64,
    ) -> StoreFuture<'_, AppendOutcome>;

    /// Ends an epoch with a commit: compare-and-set on the epoch, first wins (C-023). The caller has
    /// verified the signatures of the commit entry against [`Self::epoch_key`].
    fn put_bundle(&self, bundle: NewBundle) -> StoreFuture<'_, BundleOutcome>;

    /// Entries after `after` that a handle of `epoch` may see, at most `limit` entries and `bytes`
    /// payload bytes (the first entry always fits), and the head it may see; all from one snapshot
    /// that also checks the right (C-021). `after` before the epoch's begin is moved there.
    fn read(
        &self,
        log_id: LogId,
        epoch: Epoch,
        after: Seq,
        limit: u32,
        bytes: usize,
    ) -> StoreFuture<'_, Option<Page>>;

    /// Last seq that a handle of each epoch may see, in order; `None` as in [`Self::epoch_key`].
    fn reached(&self, logs: Vec<(LogId, Epoch)>) -> StoreFuture<'_, Vec<Option<Seq>>> {
        Box::pin(async move {
            let mut reached = Vec::with_capacity(logs.len());
            for (log_id, epoch) in logs {
                let key = self.epoch_key(log_id, epoch).await?;
                reached.push(key.map(|key| key.head.seq));
            }
            Ok(reached)
        })
    }

    /// A blob's bytes.
    fn blob(&self, blob_id: BlobId) -> StoreFuture<'_, Option<Vec<u8>>>;

    // --- mailboxes of devices that are being linked: never on a disk that is backed up ----------

    /// Opens the mailbox of `offer` for ten minutes; the same offer again finds it as it is (C-120, C-121).
    fn open_mailbox(&self, offer: Vec<u8>, now_ms: u64)
    -> StoreFuture<'_, Result<(), MailboxGone>>;

    /// Writes `slot` (1 to 3), unless it holds other bytes (C-120).
    fn put_slot(
        &self,
        mailbox_id: Hash32,
        slot: u32,
        bytes: Vec<u8>,
        now_ms: u64,
    ) -> StoreFuture<'_, Result<(), MailboxGone>>;

    /// What `slot` holds; empty = nothing yet.
    fn read_slot(
        &self,
        mailbox_id: Hash32,
        slot: u32,
        now_ms: u64,
    ) -> StoreFuture<'_, Result<Vec<u8>, MailboxGone>>;

    /// Empties a mailbox for good; its offer opens nothing again while its time lasts.
    fn close_mailbox(
        &self,
        mailbox_id: Hash32,
        now_ms: u64,
    ) -> StoreFuture<'_, Result<(), MailboxGone>>;

    // --- classic protocols: rows of their own, no other row refers to them --------------------

    /// How many phones are registered.
    fn classic_accounts(&self) -> StoreFuture<'_, u64>;

    /// The account of a phone.
    fn classic_account(&self, phone: String) -> StoreFuture<'_, Option<Account>>;

    /// Registers a phone, or gives a registered one a new key; at most `accounts_max` phones.
    fn classic_put_account(
        &self,
        phone: String,
        account: Account,
        accounts_max: u64,
    ) -> StoreFuture<'_, Registered>;

    /// Whether a message was accepted in the last 30 days.
    fn classic_is_known(&self, message_id: String) -> StoreFuture<'_, bool>;

    /// Puts a message that was not accepted before into its recipient's queue.
    fn classic_push(&self, delivery: Delivery, now_ms: u64) -> StoreFuture<'_, Pushed>;

    /// Messages and receipts for `phone` behind `after`, oldest first, at most `most` of each.
    fn classic_waiting(&self, phone: String, after: Places, most: u32) -> StoreFuture<'_, Waiting>;

    /// Deletes messages for `phone` and leaves a receipt for each one's sender; deletes receipts for
    /// `phone`. Unknown ids are passed over. Gives the senders that got a receipt, each once.
    fn classic_ack(
        &self,
        phone: String,
        message_ids: Vec<String>,
        receipt_ids: Vec<String>,
        now_ms: u64,
    ) -> StoreFuture<'_, Vec<String>>;

    // --- upkeep -------------------------------------------------------------------------------

    /// Deletes one slice (≤ 500 rows) of what has expired; `true` when there is more to do (C-026).
    fn sweep(&self, now_ms: u64) -> StoreFuture<'_, bool>;

    /// The latest day that a sweep has seen, or an operator confirmed; 0 = none yet (C-078).
    fn last_day(&self) -> StoreFuture<'_, Day>;

    /// Takes `day` for the latest, whatever it was before (C-078).
    fn confirm_day(&self, day: Day) -> StoreFuture<'_, ()>;

    /// Which life of the store this is; fixed while it is open.
    fn incarnation(&self) -> Incarnation;

    /// Whether the stored data is whole.
    fn check(&self) -> StoreFuture<'_, CheckReport>;

    /// Counts and sizes of what is stored.
    fn summary(&self) -> StoreFuture<'_, Summary>;

    /// Completes when the store has failed for good: the process should end. Else never.
    fn failed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}
