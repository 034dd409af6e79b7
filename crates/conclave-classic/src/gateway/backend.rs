//! What the gateway needs from the server that runs it: codes, and durable rows.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::net::SocketAddr;

use conclave_proto::env::SharedEnv;
use conclave_proto::identifier::Identifier;

use crate::suite::Suite;
use crate::wire::{Delivery, Receipt, Refusal};

/// What every call gives. A refusal is passed on to the client as it is.
pub type BackendFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send + 'a>>;

/// A registered client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its suite.
    pub suite: Suite,
    /// Its key, SPKI PEM as it was registered.
    pub public_key: String,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// On disk and synced.
    Stored,
    /// It was stored before.
    Replay,
    /// The recipient's queue is full.
    Full,
}

/// What became of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// On disk and synced: a new account, or a new key of an old one.
    Yes,
    /// As many accounts as there may be.
    Full,
}

/// What waits for one client, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Messages, each with its place in the queue.
    pub messages: Vec<(u64, Delivery)>,
    /// Receipts, each with its place among the receipts.
    pub receipts: Vec<(u64, Receipt)>,
}

/// Where to go on reading: places that were read before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Places {
    /// Of messages.
    pub message: u64,
    /// Of receipts.
    pub receipt: u64,
}

/// A one-time code that was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeCheck {
    /// The code is right; it can be used once.
    Right,
    /// Wrong, and counted.
    Wrong,
    /// Unknown, used, too old or guessed at too often.
    Over,
}

/// The server behind the gateway. When a writing call answers, its effect is on disk and synced.
pub trait Backend: Send + Sync + fmt::Debug + 'static {
    /// Time and chance.
    fn env(&self) -> &SharedEnv;

    /// Accounts that there may be.
    fn accounts_max(&self) -> u64;

    /// How many accounts there are.
    fn accounts(&self) -> BackendFuture<'_, u64>;

    /// Sends a code for `session` to `phone`, within the server's limits of phones and of `peer`'s network.
    fn start_code(
        &self,
        session: [u8; 16],
        phone: Identifier,
        peer: SocketAddr,
    ) -> BackendFuture<'_, CodeTicket>;

    /// Counts a try and then compares the code.
    fn check_code(&self, ticket: CodeTicket, code: String) -> BackendFuture<'_, CodeCheck>;

    /// Stores an account, or a registered phone's new key; at most `accounts_max` phones.
    fn put_account(&self, phone: String, account: Account) -> BackendFuture<'_, Registered>;

    /// The account of a phone.
    fn account(&self, phone: String) -> BackendFuture<'_, Option<Account>>;

    /// Whether a message was ever stored (within the store's memory of 30 days or more).
    fn is_known(&self, message_id: String) -> BackendFuture<'_, bool>;

    /// Puts a message into its recipient's queue.
    fn push(&self, delivery: Delivery) -> BackendFuture<'_, Pushed>;

    /// What waits for `phone` behind `after`, at most `most` messages and `most` receipts.
    fn waiting(&self, phone: String, after: Places, most: u32) -> BackendFuture<'_, Waiting>;

    /// Deletes messages of `phone` and makes them receipts for their senders; deletes receipts of `phone`.
    /// Unknown ids are passed over. Gives the senders that have a new receipt.
    fn ack(
        &self,
        phone: String,
        message_ids: Vec<String>,
        receipt_ids: Vec<String>,
    ) -> BackendFuture<'_, Vec<String>>;
}

/// What the server knows a started code by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeTicket(pub [u8; 16]);
