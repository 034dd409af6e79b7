//! First contact, our end: make the conversation, create its log, post the pointers.
//!
//! 1. a key package of each device of the other person is claimed and checked
//! 2. group, welcomes, create request and sealed pointers are written down in one transaction
//! 3. the log is created (the same request as often as it takes)
//! 4. each pointer is posted after a random delay, so that posting and creating do not stand side by side

use conclave_core::capability::Capability;
use conclave_core::conversation::create::create;
use conclave_core::conversation::{Conversation, CreateError, CreateOptions, Created, Predecessor};
use conclave_core::credential::{Accounts as _, KnownAccount, LeafError};
use conclave_core::hpke;
use conclave_core::inbox_item::{self, InboxItem, WelcomePointer};
use conclave_core::intro::{FirstText, Greeting, Intro, IntroFor};
use conclave_core::key_package::{self, CheckedKeyPackage, KeyPackageError};
use conclave_core::leaf::LeafNodeError;
use conclave_core::sealed_blob::BlobPointer;
use conclave_proto::ErrorCode;
use conclave_proto::account::DeviceCert;
use conclave_proto::codec;
use conclave_proto::hello::Role;
use conclave_proto::id::{AccountId, Day, Epoch, Hash32, Incarnation, LogId, MessageId, Seq};
use conclave_proto::identifier::Identifier;
use conclave_proto::key_package::ClaimedKeyPackages;
use conclave_proto::limits::{
    DEVICES_MAX, INTRO_TEXT_BYTES_MAX, POINTER_DELAY_MAX_MS, RETENTION_DAYS,
};
use conclave_proto::log::{CreateLog, Head, chain_start};
use prost::Message as _;

use crate::contact::{Judged, Source, accept_states};
use crate::engine::Step;
use crate::error::ClientError;
use crate::intent::new_blob;
use crate::members;
use crate::net::Net;
use crate::note;
use crate::outbox::fail;
use crate::own_sync;
use crate::recover;
use crate::send::{check_chat, contact_of};
use crate::shared::{Shared, broken, is_clock_wrong, is_local, is_local_refusal};
use crate::store::{
    ChatRow, ChatStage, ContactRow, ConversationRow, OutboxKind, OwnAccount, PendingWelcome, Stage,
};
use crate::transport::{TransportError, calls};
use crate::view::ChatKind;

/// How long a full inbox is left alone, in ms.
const FULL_INBOX_MS: u64 = 600_000;

/// Step 4 of a round: chats with something to say and no conversation get one.
pub(crate) async fn open_chats(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    let chats = shared.engine().step(chats_to_open);
    let chats = chats.map_err(|error| broken(shared, &error))?;
    if !chats.is_empty() {
        let (directory, _) = net.connection(Role::Directory).await?;
        if is_clock_wrong(shared, directory.hello().skew_ms) {
            net.set_aside(None, shared.env.now_ms());
            net.forget(Role::Directory);
            return Ok(());
        }
    }
    for (chat, contact) in chats {
        match open_chat(shared, net, &chat, &contact).await {
            Err(error) if is_local(&error) => net.set_aside(None, shared.env.now_ms()),
            done => done?,
        }
    }
    Ok(())
}

fn chats_to_open(step: &mut Step<'_>) -> Result<Vec<(ChatRow, ContactRow)>, ClientError> {
    let mut open = Vec::new();
    for chat in step.tx.chats()? {
        let is_ready = chat.kind == ChatKind::Direct
            && chat.stage == ChatStage::Open
            && chat.live_log.is_none()
            && step.tx.has_outbox(chat.chat_id)?
            && step.tx.invitations_of(chat.chat_id)?.is_empty();
        if is_ready && check_chat(step, chat.chat_id).is_ok() {
            let contact = contact_of(step, &chat)?;
            open.push((chat, contact));
        }
    }
    Ok(open)
}

async fn open_chat(
    shared: &Shared,
    net: &mut Net,
    chat: &ChatRow,
    contact: &ContactRow,
) -> Result<(), TransportError> {
    let account = contact.pin.account_id;
    let (directory, _) = net.connection(Role::Directory).await?;
    let claimed = calls::claim_key_packages(
        directory.as_ref(),
        net.pass()?,
        account,
        &contact.capability,
    )
    .await;
    let claimed = match claimed {
        Ok(claimed) => claimed,
        Err(TransportError::Refused(refusal)) if refusal.code() == ErrorCode::NotFound => {
            ClaimedKeyPackages::default()
        }
        Err(error) => return Err(error),
    };
    let made = shared
        .engine()
        .step(|step| make(step, chat, contact, &claimed));
    match made.map_err(|error| broken(shared, &error))? {
        Made::Done => {
            net.progress = true;
            Ok(())
        }
        Made::FetchStates => {
            let from_seq = contact.pin.seq;
            let states =
                calls::fetch_states(directory.as_ref(), net.pass()?, account, from_seq).await?;
            let followed = shared.engine().step(|step| {
                let judged = accept_states(step, Source::Peer, &states)?;
                let is_newer =
                    matches!(&judged, Judged::Accepted(now) if now.pin.seq > contact.pin.seq);
                if !is_newer {
                    fail_all(
                        step,
                        chat,
                        "a device of theirs claims an account state that does not exist",
                    )?;
                }
                Ok(())
            });
            followed.map_err(|error| broken(shared, &error))?;
            net.progress = true;
            Ok(())
        }
    }
}

enum Made {
    Done,
    FetchStates,
}

/// Checks the claimed packages and writes everything that the conversation needs, or fails the chat's messages.
fn make(
    step: &mut Step<'_>,
    chat: &ChatRow,
    contact: &ContactRow,
    claimed: &ClaimedKeyPackages,
) -> Result<Made, ClientError> {
    let accounts = step.tx.known_accounts(&step.own.known);
    let known = contact.known();
    let mut peers = Vec::new();
    let mut reason =
        "the other person has no device that can be invited; ask them to start conclave once"
            .to_owned();
    // C-083: each check costs; an account has no more devices.
    for package in claimed.packages.iter().take(DEVICES_MAX) {
        match key_package::check(&package.key_package, &accounts, step.now_ms) {
            Ok(peer) if peer.account_id() != contact.pin.account_id => {
                "the server handed out a key package of somebody else".clone_into(&mut reason);
            }
            Ok(peer) if !can_be_sealed_to(known.as_ref(), &peer) => {
                "the other person's device has an inbox key that cannot be used"
                    .clone_into(&mut reason);
            }
            Ok(peer) => {
                let is_new = |other: &CheckedKeyPackage| other.device_id() != peer.device_id();
                if peers.iter().all(is_new) {
                    peers.push(peer);
                }
            }
            Err(KeyPackageError::Leaf(LeafNodeError::Leaf(LeafError::NewerState { .. }))) => {
                return Ok(Made::FetchStates);
            }
            Err(error) => reason = format!("the other person's device cannot be invited: {error}"),
        }
    }
    if peers.is_empty() {
        return fail_all(step, chat, &reason).map(|()| Made::Done);
    }
    let predecessor = predecessor(step, chat, contact.pin.account_id)?;
    let options = CreateOptions {
        successor_of: predecessor,
        ..CreateOptions::default()
    };
    let created = create(step.outside(), &peers, &options);
    let created = match created {
        Ok(created) => created,
        Err(CreateError::Failed(error)) => return Err(error.into()),
        Err(error) => {
            return fail_all(step, chat, &error.to_string()).map(|()| Made::Done);
        }
    };
    keep(step, chat, contact, created)?;
    Ok(Made::Done)
}

/// C-030: the pointer must reach the device; a key of right length that nothing can be sealed to is found here.
pub(crate) fn can_be_sealed_to(known: Option<&KnownAccount>, peer: &CheckedKeyPackage) -> bool {
    let cert = known.and_then(|known| known.cert(peer.device_id()));
    cert.is_some_and(|cert| hpke::seal(cert.content.inbox_key.as_slice(), b"", b"", b"").is_ok())
}

fn fail_all(step: &mut Step<'_>, chat: &ChatRow, reason: &str) -> Result<(), ClientError> {
    let nowhere = LogId::new([0; 32]);
    while let Some(row) = step.tx.next_outbox(chat.chat_id, nowhere, true)? {
        fail(step, &row, reason)?;
    }
    Ok(())
}

/// The chat's last conversation, when the new one continues it under the same identity.
fn predecessor(
    step: &Step<'_>,
    chat: &ChatRow,
    peer: AccountId,
) -> Result<Option<Predecessor>, ClientError> {
    // The other person waits in a conversation that could not be joined here: this one replaces it (C-059).
    if let Some(log_id) = step.tx.voided(chat.chat_id, peer)? {
        return Ok(Some(Predecessor { log_id, psk: None }));
    }
    let Some(last) = step.tx.conversations_of(chat.chat_id)?.pop() else {
        return Ok(None);
    };
    let Some(group) = Conversation::load(step.tx, last.log_id)? else {
        return Ok(None);
    };
    if !group.people().contains(&peer) {
        return Ok(None);
    }
    // Who was not in it could not open what is bound to it (C-156).
    let psk = if members::has_listed(step, &group, peer) {
        group.reboot_psks(step.tx)?.into_iter().next()
    } else {
        None
    };
    Ok(Some(Predecessor {
        log_id: last.log_id,
        psk,
    }))
}

/// Writes conversation row, create request and pointers.
fn keep(
    step: &mut Step<'_>,
    chat: &ChatRow,
    contact: &ContactRow,
    created: Created,
) -> Result<(), ClientError> {
    let at = keep_created(step, chat, &created)?;
    let damaged = || ClientError::Store("a contact's state is damaged".into());
    let known = contact.known().ok_or_else(damaged)?;
    let first = first_text(step, chat)?;
    let Some(tree) = created.tree else {
        return Ok(());
    };
    for welcome in created.welcomes {
        let cert = known.cert(welcome.device_id).ok_or_else(damaged)?;
        let way = (welcome.blob.pointer, tree.pointer.duplicate());
        queue_pointer(step, cert, at, way, &created.conversation, first.clone())?;
    }
    Ok(())
}

/// Writes the conversation row of a new conversation and the request that makes its log; the chat goes on in it.
/// Where those who are invited begin to read.
pub(crate) fn keep_created(
    step: &mut Step<'_>,
    chat: &ChatRow,
    created: &Created,
) -> Result<Start, ClientError> {
    let log_id = created.log_id;
    let start = chain_start(step.own.server_id(), log_id);
    let head = Head {
        epoch: Epoch(1),
        seq: Seq(0),
        hash: start,
        incarnation: Incarnation(0),
    };
    let chat_id = chat.chat_id;
    let ordinal = step.tx.next_ordinal(chat_id)?;
    let mut row =
        ConversationRow::new(log_id, chat_id, ordinal, Stage::Creating, head, step.now_ms);
    let blobs = created.welcomes.iter().map(|welcome| &welcome.blob);
    let blobs = blobs.chain(&created.tree).map(new_blob);
    let request = CreateLog {
        log_id: log_id.to_vec(),
        access_key: created.access.public().to_vec(),
        blobs: blobs.collect(),
        retention_days: RETENTION_DAYS,
        ..CreateLog::default()
    };
    row.create_request = Some(request.encode_to_vec());
    step.tx.put_conversation(&row)?;
    step.tx.put_chain(log_id, Seq(0), start)?;
    step.tx.forget_voided(chat_id)?;
    step.tx.put_chat(&ChatRow {
        live_log: Some(log_id),
        ..chat.clone()
    })?;
    own_sync::conversation_is_new(step, true)?;
    Ok(Start {
        epoch: head.epoch,
        seq: head.seq,
        hash: head.hash,
    })
}

/// The same for a group that begins with others in it: its pointers too.
pub(crate) fn keep_group(
    step: &mut Step<'_>,
    chat: &ChatRow,
    created: Created,
) -> Result<(), ClientError> {
    let at = keep_created(step, chat, &created)?;
    if let Some(row) = step.tx.conversation(created.log_id)? {
        note::began(step, &row, true)?;
    }
    let Some(tree) = created.tree else {
        return Ok(());
    };
    for welcome in created.welcomes {
        let accounts = step.tx.known_accounts(&step.own.known);
        let known = accounts.known(welcome.account_id);
        let cert = known
            .as_ref()
            .and_then(|known| known.cert(welcome.device_id));
        if let Some(cert) = cert {
            let way = (welcome.blob.pointer, tree.pointer.duplicate());
            queue_pointer(step, cert, at, way, &created.conversation, None)?;
        }
    }
    Ok(())
}

/// Where an invited device begins to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    /// The epoch that it joins.
    pub(crate) epoch: Epoch,
    /// Last entry before that epoch.
    pub(crate) seq: Seq,
    /// Chain hash there.
    pub(crate) hash: Hash32,
}

/// An own commit that adds devices won: they learn where to begin, and what opens their welcomes.
pub(crate) fn queue_pointers_of(
    step: &mut Step<'_>,
    row: &ConversationRow,
    group: &Conversation,
    brought: Vec<PendingWelcome>,
    (seq, hash): (u64, Hash32),
) -> Result<(), ClientError> {
    let at = Start {
        epoch: row.epoch,
        seq: Seq(seq),
        hash,
    };
    for welcome in brought {
        let accounts = step.tx.known_accounts(&step.own.known);
        let known = accounts.known(welcome.account_id);
        let cert = known
            .as_ref()
            .and_then(|known| known.cert(welcome.device_id));
        let way = (
            codec::parse_exact::<BlobPointer>(&welcome.welcome),
            codec::parse_exact::<BlobPointer>(&welcome.tree),
        );
        // Revoked since: it is taken out by whoever sees it.
        if let (Some(cert), (Ok(welcome), Ok(tree))) = (cert, way) {
            queue_pointer(step, cert, at, (welcome, tree), group, None)?;
        }
    }
    Ok(())
}

/// Seals the pointer for one invited device and queues it.
fn queue_pointer(
    step: &Step<'_>,
    cert: &DeviceCert,
    at: Start,
    (welcome, tree): (BlobPointer, BlobPointer),
    group: &Conversation,
    first: Option<FirstText>,
) -> Result<(), ClientError> {
    let to = (cert.content.account_id, cert.content.device_id);
    let log_id = group.log_id();
    let context = group.context();
    let item = InboxItem::Welcome(WelcomePointer {
        log_id,
        kind: context.kind,
        name_bytes: context.name_bytes.clone(),
        successor_of: context.successor_of,
        welcome,
        tree,
        epoch: at.epoch,
        start_seq: at.seq,
        start_hash: at.hash,
        intro: intro(step, to, log_id, first)?,
    });
    let sealed =
        inbox_item::seal(&item, cert).map_err(|error| ClientError::Broken(error.to_string()))?;
    Ok(step.tx.push_post(log_id, to, &sealed, pointer_due(step))?)
}

/// When an item is posted: at random within seconds.
pub(crate) fn pointer_due(step: &Step<'_>) -> u64 {
    let mut random = [0; 4];
    step.env.fill(&mut random);
    step.now_ms
        .saturating_add(u64::from(u32::from_be_bytes(random)) % POINTER_DELAY_MAX_MS)
}

/// Who this account is, signed for one device and log.
pub(crate) fn intro(
    step: &Step<'_>,
    to: (AccountId, conclave_proto::id::DeviceId),
    log_id: LogId,
    first: Option<FirstText>,
) -> Result<Intro, ClientError> {
    intro_by(&step.own.account, step.now_ms, to, log_id, first)
}

/// The same for an account that is not the step's yet.
pub(crate) fn intro_by(
    own: &OwnAccount,
    now_ms: u64,
    to: (AccountId, conclave_proto::id::DeviceId),
    log_id: LogId,
    first: Option<FirstText>,
) -> Result<Intro, ClientError> {
    let bug = |what: &str| ClientError::Broken(format!("the own {what} is not usable"));
    let greeting = Greeting {
        name: own.name.clone(),
        identifier: Identifier::parse_normalised(&own.identifier).map_err(|_| bug("identifier"))?,
        capability: Capability::parse(&own.capability).ok_or_else(|| bug("capability"))?,
        first,
    };
    let recipient = IntroFor {
        account_id: to.0,
        device_id: to.1,
        log_id,
        day: Day::of_ms(now_ms),
    };
    Intro::sign(&own.device, &own.state, &own.cert, &recipient, &greeting)
        .map_err(|error| ClientError::Broken(error.to_string()))
}

/// The chat's oldest queued text, when it is short enough to be the request itself.
fn first_text(step: &Step<'_>, chat: &ChatRow) -> Result<Option<FirstText>, ClientError> {
    let nowhere = LogId::new([0; 32]);
    let Some(row) = step.tx.next_outbox(chat.chat_id, nowhere, true)? else {
        return Ok(None);
    };
    let (OutboxKind::Text, Some(message_id)) = (row.kind, row.message_id) else {
        return Ok(None);
    };
    let message = step
        .tx
        .message(step.own.account.device.account_id, message_id)?;
    let short = message.filter(|message| message.said().0.len() <= INTRO_TEXT_BYTES_MAX);
    Ok(short.map(|message| FirstText {
        message_id: MessageId::new(*message_id.as_bytes()),
        sent_ms: message.sent_ms,
        body: message.said().0,
    }))
}

/// Creates a conversation's log on the server: the same request until the server has it (C-020).
pub(crate) async fn create_log(
    shared: &Shared,
    net: &mut Net,
    row: &ConversationRow,
) -> Result<(), TransportError> {
    let (logs, _) = net.connection(Role::Logs).await?;
    let request = row.create_request.as_deref().unwrap_or_default();
    let mut create = CreateLog::decode(request)
        .map_err(|_| TransportError::Protocol("a stored request is damaged"))?;
    let proof = shared.engine().step(|step| {
        let key = step.group(row.log_id)?.access_key()?;
        Ok(key.prove_create(logs.context(), &create))
    });
    create.proof = proof.map_err(|error| broken(shared, &error))?;
    create.pass = net.pass()?.to_vec();
    let created = calls::create_log(logs.as_ref(), create).await;
    net.progress = true;
    let refused = match created {
        Ok(opened) => {
            net.next_handles
                .insert(row.log_id, (row.epoch, opened.handle));
            None
        }
        Err(TransportError::Refused(refusal))
            if !refusal.code().is_temporary() && refusal.code() != ErrorCode::PassInvalid =>
        {
            Some(refusal)
        }
        Err(error) => return Err(error),
    };
    let settled = shared.engine().step(|step| {
        // It may have ended while the server was asked: left, or without anybody to talk to.
        let row = step.tx.conversation(row.log_id)?;
        let Some(row) = row.filter(|row| row.stage == Stage::Creating) else {
            return Ok(());
        };
        match &refused {
            Some(refusal) => recover::break_off(step, row, &refusal.message),
            None => Ok(step.tx.put_conversation(&ConversationRow {
                create_request: None,
                stage: Stage::Live,
                incarnation: logs.hello().incarnation,
                ..row
            })?),
        }
    });
    settled.map_err(|error| broken(shared, &error))
}

/// Step 8 of a round: pointers whose time has come are posted.
pub(crate) async fn post_due(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    loop {
        let next = shared.engine().look(|tx, own| {
            let Some(post) = tx.next_post()? else {
                return Ok(None);
            };
            if post.account_id == own.account.device.account_id {
                return Ok(Some((post, own.account.capability.to_vec())));
            }
            let capability = tx
                .contact(post.account_id)?
                .map(|contact| contact.capability);
            Ok(Some((post, capability.unwrap_or_default())))
        });
        let Some((post, capability)) = next.map_err(|error| broken(shared, &error))? else {
            return Ok(());
        };
        let now_ms = shared.env.now_ms();
        // Further ahead than any delay: the clock was wrong when it was written down.
        let is_ahead = post.due_ms.saturating_sub(now_ms) > FULL_INBOX_MS;
        if post.due_ms > now_ms && !is_ahead {
            net.due_at(post.due_ms);
            return Ok(());
        }
        let (connection, _) = net.connection(Role::Post).await?;
        let posted = calls::post_item(
            connection.as_ref(),
            net.pass()?,
            post.device_id,
            &capability,
            post.item,
        )
        .await;
        net.progress = true;
        let code = match posted {
            Ok(()) => None,
            Err(TransportError::Refused(refusal))
                if refusal.code() == ErrorCode::InboxFull || is_local_refusal(&refusal) =>
            {
                Some(refusal.code())
            }
            Err(error) => return Err(error),
        };
        let settled = shared.engine().step(|step| match code {
            None => Ok(step.tx.delete_post(post.id)?),
            Some(ErrorCode::NotFound) => {
                step.warn("an invited device does not exist any more");
                Ok(step.tx.delete_post(post.id)?)
            }
            // One invitation that is refused leaves the others alone.
            Some(code) => {
                step.warn(if code == ErrorCode::InboxFull {
                    "the other person's inbox is full; the invitation is tried again"
                } else {
                    "the server refused an invitation; it is tried again"
                });
                let due_ms = step.now_ms.saturating_add(FULL_INBOX_MS);
                Ok(step.tx.delay_post(post.id, due_ms)?)
            }
        });
        settled.map_err(|error| broken(shared, &error))?;
    }
}
