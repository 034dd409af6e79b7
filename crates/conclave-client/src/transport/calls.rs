//! One typed function per request: builds it, calls, and takes only the reply that fits.
//!
//! A reply of another kind is [`TransportError::Protocol`] and closes the connection. Functions
//! that take the member pass send it only where the connection's hello shows the same one (C-041).

use conclave_proto::account::{
    AccountStates, AccountStatus, Authenticate, FetchStates, FetchStatus, Lookup, OtpStart,
    OtpStarted, PutCapability, PutState, Register, VetoHold,
};
use conclave_proto::blob::FetchBlob;
use conclave_proto::frame::{Ping, reply, request};
use conclave_proto::id::{AccountId, BlobId, DeviceId, Hash32, Seq};
use conclave_proto::inbox::{AckInbox, InboxPage, PostItem, ReadInbox, SubscribeInbox};
use conclave_proto::key_package::{ClaimKeyPackages, ClaimedKeyPackages, PutKeyPackages};
use conclave_proto::log::{
    AppendEntry, Appended, CloseHandle, CreateLog, LogPage, OpenLogs, OpenOne, Opened, OpenedOne,
    PutBundle, ReadLog, SendSignal, SubscribeLog,
};
use conclave_proto::mailbox::{CloseMailbox, OpenMailbox, PutSlot, ReadSlot};

use super::{Connection, TransportError};

/// Calls with one request and unwraps the one reply that answers it.
macro_rules! call {
    ($connection:expr, $request:ident($body:expr) -> $reply:ident) => {
        match $connection.call(request::Body::$request($body)).await? {
            reply::Body::$reply(reply) => Ok(reply),
            _ => Err(wrong_reply($connection)),
        }
    };
}

fn wrong_reply(connection: &dyn Connection) -> TransportError {
    connection.close();
    TransportError::Protocol("a reply of the wrong kind")
}

/// C-041: a pass that this hello does not show would mark whoever sends it.
fn check_pass(connection: &dyn Connection, pass: &[u8]) -> Result<(), TransportError> {
    if connection.hello().shows_pass(pass) {
        Ok(())
    } else {
        Err(TransportError::PassDiffers)
    }
}

/// Asks for a sign of life. Any role.
pub async fn ping(connection: &dyn Connection) -> Result<(), TransportError> {
    call!(connection, Ping(Ping {}) -> Done).map(drop)
}

// --- account ----------------------------------------------------------------------------------

/// Asks for a one-time code.
pub async fn start_otp(
    connection: &dyn Connection,
    start: OtpStart,
) -> Result<OtpStarted, TransportError> {
    call!(connection, OtpStart(start) -> OtpStarted)
}

/// Registers; the same bytes again get the same answer.
pub async fn register(
    connection: &dyn Connection,
    register: Register,
) -> Result<(), TransportError> {
    call!(connection, Register(register) -> Done).map(drop)
}

/// Says which device this connection acts for; `proof` is [`conclave_proto::hello::Purpose::Account`].
pub async fn authenticate(
    connection: &dyn Connection,
    account: AccountId,
    device: DeviceId,
    proof: Vec<u8>,
) -> Result<(), TransportError> {
    let body = Authenticate {
        account_id: account.to_vec(),
        device_id: device.to_vec(),
        proof,
    };
    call!(connection, Authenticate(body) -> Done).map(drop)
}

/// The member pass and what concerns this device. A pass that this hello does not show is refused (C-041).
pub async fn fetch_status(connection: &dyn Connection) -> Result<AccountStatus, TransportError> {
    let status = call!(connection, FetchStatus(FetchStatus {}) -> AccountStatus)?;
    check_pass(connection, &status.pass)?;
    Ok(status)
}

/// Stops a pending move of this account's identifier.
pub async fn veto_hold(connection: &dyn Connection) -> Result<(), TransportError> {
    call!(connection, VetoHold(VetoHold {}) -> Done).map(drop)
}

/// Appends the next account state.
pub async fn put_state(connection: &dyn Connection, put: PutState) -> Result<(), TransportError> {
    call!(connection, PutState(put) -> Done).map(drop)
}

/// Replaces the account's capability; `hash` is 32 bytes under `label::CAPABILITY_HASH`.
pub async fn put_capability(
    connection: &dyn Connection,
    hash: Vec<u8>,
) -> Result<(), TransportError> {
    let body = PutCapability {
        capability_hash: hash,
    };
    call!(connection, PutCapability(body) -> Done).map(drop)
}

/// Opens the mailbox of an offer.
pub async fn open_mailbox(
    connection: &dyn Connection,
    offer: Vec<u8>,
) -> Result<(), TransportError> {
    call!(connection, OpenMailbox(OpenMailbox { offer }) -> Done).map(drop)
}

/// Writes one slot of a mailbox, once.
pub async fn put_slot(
    connection: &dyn Connection,
    mailbox: Hash32,
    slot: u32,
    bytes: Vec<u8>,
) -> Result<(), TransportError> {
    let body = PutSlot {
        mailbox_id: mailbox.to_vec(),
        slot,
        bytes,
    };
    call!(connection, PutSlot(body) -> Done).map(drop)
}

/// One slot of a mailbox; with `wait` the server answers when it is written, or empty after 5 s.
pub async fn read_slot(
    connection: &dyn Connection,
    mailbox: Hash32,
    slot: u32,
    wait: bool,
) -> Result<Vec<u8>, TransportError> {
    let mailbox_id = mailbox.to_vec();
    let body = ReadSlot {
        mailbox_id,
        slot,
        wait,
    };
    call!(connection, ReadSlot(body) -> SlotBytes).map(|slot| slot.bytes)
}

/// Ends a mailbox.
pub async fn close_mailbox(
    connection: &dyn Connection,
    mailbox: Hash32,
) -> Result<(), TransportError> {
    let mailbox_id = mailbox.to_vec();
    call!(connection, CloseMailbox(CloseMailbox { mailbox_id }) -> Done).map(drop)
}

/// Adds to this device's pool of key packages.
pub async fn put_key_packages(
    connection: &dyn Connection,
    put: PutKeyPackages,
) -> Result<(), TransportError> {
    call!(connection, PutKeyPackages(put) -> Done).map(drop)
}

/// This device's inbox items after number `after`.
pub async fn read_inbox(
    connection: &dyn Connection,
    after: u64,
) -> Result<InboxPage, TransportError> {
    call!(connection, ReadInbox(ReadInbox { after }) -> InboxPage)
}

/// Deletes this device's inbox items of these numbers.
pub async fn ack_inbox(
    connection: &dyn Connection,
    numbers: Vec<u64>,
) -> Result<(), TransportError> {
    call!(connection, AckInbox(AckInbox { numbers }) -> Done).map(drop)
}

/// Turns on [`super::Push::Inbox`].
pub async fn subscribe_inbox(connection: &dyn Connection) -> Result<(), TransportError> {
    call!(connection, SubscribeInbox(SubscribeInbox {}) -> Done).map(drop)
}

// --- directory, post, blobs -------------------------------------------------------------------

/// The newest state behind a normalised identifier.
pub async fn lookup(
    connection: &dyn Connection,
    pass: &[u8],
    identifier: &str,
) -> Result<AccountStates, TransportError> {
    check_pass(connection, pass)?;
    let body = Lookup {
        pass: pass.to_vec(),
        identifier: identifier.to_owned(),
    };
    call!(connection, Lookup(body) -> AccountStates)
}

/// An account's states from `from_seq` (at least 1) to the newest.
pub async fn fetch_states(
    connection: &dyn Connection,
    pass: &[u8],
    account: AccountId,
    from_seq: u64,
) -> Result<AccountStates, TransportError> {
    check_pass(connection, pass)?;
    let body = FetchStates {
        pass: pass.to_vec(),
        account_id: account.to_vec(),
        from_seq,
    };
    call!(connection, FetchStates(body) -> AccountStates)
}

/// One key package per device of the account; an empty `capability` makes the caller a stranger.
pub async fn claim_key_packages(
    connection: &dyn Connection,
    pass: &[u8],
    account: AccountId,
    capability: &[u8],
) -> Result<ClaimedKeyPackages, TransportError> {
    claim(connection, pass, account, capability, &[]).await
}

/// One key package of one device of the account; none when the device is not listed or has none.
pub async fn claim_key_package(
    connection: &dyn Connection,
    pass: &[u8],
    account: AccountId,
    capability: &[u8],
    device: DeviceId,
) -> Result<ClaimedKeyPackages, TransportError> {
    claim(connection, pass, account, capability, device.as_bytes()).await
}

async fn claim(
    connection: &dyn Connection,
    pass: &[u8],
    account: AccountId,
    capability: &[u8],
    device: &[u8],
) -> Result<ClaimedKeyPackages, TransportError> {
    check_pass(connection, pass)?;
    let body = ClaimKeyPackages {
        pass: pass.to_vec(),
        account_id: account.to_vec(),
        capability: capability.to_vec(),
        device_id: device.to_vec(),
    };
    call!(connection, ClaimKeyPackages(body) -> ClaimedKeyPackages)
}

/// Posts one sealed item of 16 KiB; an empty `capability` makes the caller a stranger.
pub async fn post_item(
    connection: &dyn Connection,
    pass: &[u8],
    device: DeviceId,
    capability: &[u8],
    item: Vec<u8>,
) -> Result<(), TransportError> {
    check_pass(connection, pass)?;
    let body = PostItem {
        pass: pass.to_vec(),
        device_id: device.to_vec(),
        capability: capability.to_vec(),
        item,
    };
    call!(connection, PostItem(body) -> Done).map(drop)
}

/// The bytes of a blob.
pub async fn fetch_blob(
    connection: &dyn Connection,
    pass: &[u8],
    blob: BlobId,
) -> Result<Vec<u8>, TransportError> {
    check_pass(connection, pass)?;
    let body = FetchBlob {
        pass: pass.to_vec(),
        blob_id: blob.to_vec(),
    };
    call!(connection, FetchBlob(body) -> BlobBytes).map(|blob| blob.bytes)
}

// --- logs -------------------------------------------------------------------------------------

/// Creates a log and opens it. Carries the member pass, so it is checked like every other.
pub async fn create_log(
    connection: &dyn Connection,
    create: CreateLog,
) -> Result<Opened, TransportError> {
    check_pass(connection, &create.pass)?;
    call!(connection, CreateLog(create) -> Opened)
}

/// Opens up to 100 logs; exactly one answer for each, in order.
pub async fn open_logs(
    connection: &dyn Connection,
    logs: Vec<OpenOne>,
) -> Result<Vec<OpenedOne>, TransportError> {
    let asked = logs.len();
    let opened = call!(connection, OpenLogs(OpenLogs { logs }) -> OpenedLogs)?.logs;
    if opened.len() == asked {
        Ok(opened)
    } else {
        Err(wrong_reply(connection))
    }
}

/// Appends one sealed message.
pub async fn append_entry(
    connection: &dyn Connection,
    handle: u32,
    payload: Vec<u8>,
) -> Result<Appended, TransportError> {
    call!(connection, AppendEntry(AppendEntry { handle, payload }) -> Appended)
}

/// Ends an epoch.
pub async fn put_bundle(
    connection: &dyn Connection,
    bundle: PutBundle,
) -> Result<Opened, TransportError> {
    call!(connection, PutBundle(bundle) -> Opened)
}

/// At most `limit` entries after `after`.
pub async fn read_log(
    connection: &dyn Connection,
    handle: u32,
    after: Seq,
    limit: u32,
) -> Result<LogPage, TransportError> {
    let body = ReadLog {
        handle,
        after: after.0,
        limit,
    };
    call!(connection, ReadLog(body) -> LogPage)
}

/// Turns on [`super::Push::Log`] and [`super::Push::Signal`] for the handle.
pub async fn subscribe_log(connection: &dyn Connection, handle: u32) -> Result<(), TransportError> {
    call!(connection, SubscribeLog(SubscribeLog { handle }) -> Done).map(drop)
}

/// Forgets the handle and its subscription.
pub async fn close_handle(connection: &dyn Connection, handle: u32) -> Result<(), TransportError> {
    call!(connection, CloseHandle(CloseHandle { handle }) -> Done).map(drop)
}

/// Sends a sealed signal of at most 64 bytes.
pub async fn send_signal(
    connection: &dyn Connection,
    handle: u32,
    payload: Vec<u8>,
) -> Result<(), TransportError> {
    call!(connection, SendSignal(SendSignal { handle, payload }) -> Done).map(drop)
}
