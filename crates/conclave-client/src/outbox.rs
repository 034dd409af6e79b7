//! The way out: seal in one transaction (tx 2), post exactly those bytes, settle what the server said.
//!
//! 1. the oldest row of each live log is taken
//! 2. a due self-update goes first
//! 3. the row is sealed and the bytes are kept
//! 4. the bytes are posted; a retry posts the same ones (C-051)
//!
//! An accepted row stays until it is read back in the log: only the log is believed. The retry here is the
//! only one in the client.

use conclave_core::capability::Capability;
use conclave_core::content::{Content, Kind, Mark, Receipt, StateHead};
use conclave_proto::ErrorCode;
use conclave_proto::hello::Role;
use conclave_proto::id::{ChatId, LogId, MessageId, Seq};
use conclave_proto::limits::RECEIPT_SPACING_MS;

use crate::engine::Step;
use crate::error::ClientError;
use crate::net::Net;
use crate::send::{check_chat, contact_of};
use crate::shared::{Shared, broken, is_local};
use crate::store::{ChatRow, ConversationRow, Deleted, OutboxKind, OutboxRow, Stage};
use crate::transport::{TransportError, calls};
use crate::view::{ChatKind, MessageState};
use crate::{contact, members, membership, own_sync, sync, talk};

/// Epoch changes one flush of a log lives through before it lets the round go on.
const STALE_MAX: u32 = 8;
/// How long a log is left alone after that, in ms.
const STALE_PAUSE_MS: u64 = 2_000;

/// Step 7 of a round: receipts that are due are queued, then every log sends what it has.
pub(crate) async fn flush(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    let logs = shared.engine().look(|tx, _| {
        let rows = tx.active_conversations()?;
        Ok(rows
            .into_iter()
            .filter(|row| row.stage == Stage::Live)
            .map(|row| row.log_id)
            .collect::<Vec<_>>())
    });
    for log_id in logs.map_err(|error| broken(shared, &error))? {
        // C-060: not read to its head in this round.
        if net.moved.contains(&log_id) {
            continue;
        }
        let due = shared.engine().step(|step| queue_receipt(step, log_id));
        if let Some(due_ms) = due.map_err(|error| broken(shared, &error))? {
            net.due_at(due_ms);
        }
        match flush_log(shared, net, log_id).await {
            Err(error) if is_local(&error) => net.set_aside(Some(log_id), shared.env.now_ms()),
            done => done?,
        }
    }
    Ok(())
}

/// Queues a receipt when one is owed and the last is old enough; else when it will be.
fn queue_receipt(step: &mut Step<'_>, log_id: LogId) -> Result<Option<u64>, ClientError> {
    let Some(mut row) = step
        .tx
        .conversation(log_id)?
        .filter(ConversationRow::owes_receipt)
    else {
        return Ok(None);
    };
    if !may_confirm(step, row.chat_id)? {
        return Ok(None);
    }
    let mut jitter = [0; 1];
    step.env.fill(&mut jitter);
    let due_ms = row
        .receipt_ms
        .saturating_add(RECEIPT_SPACING_MS + u64::from(jitter[0]));
    if row.receipt_ms != 0 && due_ms > step.now_ms && due_ms - step.now_ms <= 2 * RECEIPT_SPACING_MS
    {
        return Ok(Some(due_ms));
    }
    step.tx.drop_unsealed_receipts(log_id)?;
    step.tx
        .push_outbox(row.chat_id, Some(log_id), None, OutboxKind::Receipt)?;
    row.receipt_ms = step.now_ms;
    row.told_delivered = row.want_delivered;
    row.told_read = row.want_read;
    step.tx.put_conversation(&row)?;
    Ok(None)
}

/// Receipts go to accepted contacts, and into groups.
pub(crate) fn may_confirm(step: &Step<'_>, chat_id: ChatId) -> Result<bool, ClientError> {
    let Some(chat) = may_send(step, chat_id)? else {
        return Ok(false);
    };
    Ok(match chat.kind {
        ChatKind::Direct => contact_of(step, &chat)?.accepted,
        ChatKind::Group => true,
        ChatKind::Own => false,
    })
}

/// The chat, when this user may write there now. A store that fails says nothing about that.
fn may_send(step: &Step<'_>, chat_id: ChatId) -> Result<Option<ChatRow>, ClientError> {
    match check_chat(step, chat_id) {
        Ok(chat) => Ok(Some(chat)),
        Err(error @ (ClientError::Store(_) | ClientError::Broken(_))) => Err(error),
        Err(_) => Ok(None),
    }
}

/// What to do next for one log.
enum Next {
    /// Nothing waits, or nothing may be sent now.
    Nothing,
    /// A self-update comes first (C-057).
    Update,
    /// A look at the identifier comes first: the text was written after this round's.
    Look,
    /// What was queued is void; others may wait behind it.
    Over,
    /// These bytes.
    Post(Box<OutboxRow>, Vec<u8>),
}

async fn flush_log(shared: &Shared, net: &mut Net, log_id: LogId) -> Result<(), TransportError> {
    let mut stale = 0;
    let looked = net.look_first.remove(&log_id);
    while stale < STALE_MAX {
        let after_ms = net.commit_after_ms.get(&log_id).copied().unwrap_or(0);
        let may_update = after_ms <= shared.env.now_ms();
        if !may_update {
            // What waits for this time must not wait for something else to happen.
            net.due_at(after_ms);
        }
        let next = shared
            .engine()
            .step(|step| next(step, log_id, may_update, looked));
        match next.map_err(|error| broken(shared, &error))? {
            Next::Nothing => return Ok(()),
            Next::Over => {}
            Next::Look => {
                net.look_first.insert(log_id);
                net.progress = true;
                return Ok(());
            }
            Next::Update => {
                membership::send_bundle(shared, net, log_id).await?;
                if !read_on(shared, net, log_id).await? {
                    return Ok(());
                }
                stale += 1;
            }
            Next::Post(row, bytes) => {
                if !post(shared, net, log_id, &row, bytes).await? {
                    if !read_on(shared, net, log_id).await? {
                        return Ok(());
                    }
                    stale += 1;
                }
            }
        }
    }
    // The log refuses what fits it: other logs go on, this one is tried again in a while.
    net.due_at(shared.env.now_ms().saturating_add(STALE_PAUSE_MS));
    Ok(())
}

/// Reads the log forward; whether its head was reached, so that sealing may go on (C-060).
async fn read_on(shared: &Shared, net: &mut Net, log_id: LogId) -> Result<bool, TransportError> {
    let read = sync::sync_log(shared, net, log_id).await?;
    if read != sync::Read::Done {
        net.moved.insert(log_id);
        net.progress |= read == sync::Read::More;
    }
    Ok(read == sync::Read::Done)
}

/// Takes the oldest row and, when it is not sealed for this epoch, seals it: ratchet step and bytes together.
fn next(
    step: &mut Step<'_>,
    log_id: LogId,
    may_update: bool,
    looked: bool,
) -> Result<Next, ClientError> {
    let Some(mut conversation) = step
        .tx
        .conversation(log_id)?
        .filter(|row| row.stage == Stage::Live)
    else {
        return Ok(Next::Nothing);
    };
    if conversation.pending_bundle.is_some() && may_update {
        return Ok(Next::Update);
    }
    if may_update && step.tx.is_rekey_due(log_id)? {
        // C-187: the leaf follows without anything to say
        membership::prepare_update(step, &mut conversation)?;
        return Ok(Next::Update);
    }
    let chat_id = conversation.chat_id;
    let is_live = step
        .tx
        .chat(chat_id)?
        .is_some_and(|chat| chat.live_log == Some(log_id));
    let Some(mut row) = step.tx.next_outbox(chat_id, log_id, is_live)? else {
        return Ok(Next::Nothing);
    };
    if row.kind == OutboxKind::Leave {
        // Rights are given up first: only then may everybody with rights take this account out.
        if members::is_giving_up(step, chat_id)? {
            return Ok(Next::Nothing);
        }
    } else if may_send(step, chat_id)?.is_none() {
        return Ok(Next::Nothing);
    }
    if row.epoch.is_some_and(|epoch| epoch != conversation.epoch.0) {
        // The epoch was read to its end and these bytes were not there: the log will never take them.
        step.tx.unseal_outbox(&row)?;
        row.sealed = None;
    }
    if let Some(sealed) = row.sealed.take() {
        return Ok(Next::Post(Box::new(row), sealed));
    }
    if !looked && row.kind == OutboxKind::Text && contact::is_look_due(step, chat_id)? {
        return Ok(Next::Look);
    }
    if may_update && membership::is_update_due(&conversation, step.now_ms) {
        membership::prepare_update(step, &mut conversation)?;
        return Ok(Next::Update);
    }
    seal(step, &mut conversation, row)
}

fn seal(
    step: &mut Step<'_>,
    conversation: &mut ConversationRow,
    row: OutboxRow,
) -> Result<Next, ClientError> {
    let Some(content) = content(step, conversation, &row)? else {
        step.tx.delete_outbox(row.id)?;
        return Ok(Next::Over);
    };
    let padded = content
        .encode_padded()
        .map_err(|error| ClientError::Broken(error.to_string()))?;
    let mut group = step.group(conversation.log_id)?;
    let sealed = group
        .seal(step.outside(), &padded)
        .map_err(|error| ClientError::Store(error.to_string()))?;
    step.tx
        .seal_outbox(row.id, conversation.log_id, conversation.epoch.0, &sealed)?;
    conversation.own_sends += 1;
    if content.state_head.is_some() {
        conversation.state_told = conversation.epoch.0;
    }
    step.tx.put_conversation(conversation)?;
    Ok(Next::Post(Box::new(row), sealed))
}

/// What a row says, with the place in the log that this device has read (C-054). `None`: nothing any more.
fn content(
    step: &Step<'_>,
    conversation: &ConversationRow,
    row: &OutboxRow,
) -> Result<Option<Content>, ClientError> {
    let own = &step.own.account;
    let chat = step.tx.chat(conversation.chat_id)?;
    let is_group = chat.is_some_and(|chat| chat.kind == ChatKind::Group);
    let mut sent_ms = step.now_ms;
    let mut message_id = MessageId::random(step.env);
    let kind = match row.kind {
        OutboxKind::Text => {
            let Some(id) = row.message_id else {
                return Ok(None);
            };
            let message = step.tx.message(own.device.account_id, id)?;
            // Deleted before it was ever said.
            let Some(message) = message.filter(|row| row.deleted == Deleted::No) else {
                return Ok(None);
            };
            message_id = id;
            sent_ms = message.sent_ms;
            let (body, more) = message.said();
            Kind::Text { body, more }
        }
        OutboxKind::Act => {
            let Some((id, at_ms, kind)) = own_act(step, row)? else {
                return Ok(None);
            };
            (message_id, sent_ms) = (id, at_ms);
            kind
        }
        OutboxKind::Profile => Kind::Profile {
            name: own.name.clone(),
            // What opens this inbox is for contacts, not for whoever is in a group (C-108).
            capability: Capability::parse(&own.capability).filter(|_| !is_group),
            picture: step.tx.picture(own.device.account_id)?,
        },
        OutboxKind::Leave => Kind::Leave,
        OutboxKind::Sync => {
            let what = step.tx.shared_by(row.id)?;
            let item = what.map(|what| own_sync::item(step, what)).transpose()?;
            match item.flatten() {
                Some(item) => Kind::Sync(item),
                None => return Ok(None),
            }
        }
        OutboxKind::Receipt => {
            let seq = Seq(conversation.want_delivered.max(conversation.want_read));
            let Some(hash) = step.tx.chain(conversation.log_id, seq)? else {
                return Ok(None);
            };
            let read_up_to = Seq(conversation.want_read);
            Kind::Receipt(Receipt {
                delivered: Mark { seq, hash },
                read_up_to,
            })
        }
    };
    let tell_state = conversation.state_told < conversation.epoch.0;
    let state_head = tell_state.then(|| StateHead {
        seq: own.state.content.seq,
        hash: own.state.hash(),
    });
    let seen = Mark {
        seq: conversation.cursor_seq,
        hash: conversation.cursor_hash,
    };
    Ok(Some(Content {
        message_id,
        sent_ms,
        seen,
        state_head,
        kind,
    }))
}

/// What an own act says, with its id and time; `None` when it does not count any more.
fn own_act(
    step: &Step<'_>,
    row: &OutboxRow,
) -> Result<Option<(MessageId, u64, Kind)>, ClientError> {
    let own = step.own.account.device.account_id;
    let act = row.message_id.map(|id| step.tx.act(own, id)).transpose()?;
    Ok(act.flatten().and_then(|act| {
        let (id, sent_ms) = (act.act_id, act.sent_ms);
        talk::kind_of(act).map(|kind| (id, sent_ms, kind))
    }))
}

/// Posts sealed bytes. Whether the log took them; `false` = read forward first.
async fn post(
    shared: &Shared,
    net: &mut Net,
    log_id: LogId,
    row: &OutboxRow,
    bytes: Vec<u8>,
) -> Result<bool, TransportError> {
    let Some(handle) = net.handles.get(&log_id).map(|(_, handle)| *handle) else {
        return Ok(false);
    };
    let (logs, is_new) = net.connection(Role::Logs).await?;
    if is_new {
        return Ok(false);
    }
    // Whatever happens from here on: the log is read before these bytes are posted again.
    net.moved.insert(log_id);
    match calls::append_entry(logs.as_ref(), handle, bytes).await {
        Ok(appended) => {
            let settled = shared
                .engine()
                .step(|step| accepted(step, row, Seq(appended.seq)));
            settled.map_err(|error| broken(shared, &error))?;
            net.progress = true;
            Ok(true)
        }
        Err(TransportError::Refused(refusal)) if !refusal.code().is_temporary() => {
            match refusal.code() {
                ErrorCode::StaleEpoch | ErrorCode::UnknownLog | ErrorCode::BadRequest => {
                    net.drop_handles(log_id);
                    Ok(false)
                }
                _ => {
                    let failed = shared
                        .engine()
                        .step(|step| fail(step, row, &refusal.message));
                    failed.map_err(|error| broken(shared, &error))?;
                    Ok(true)
                }
            }
        }
        Err(error) => Err(error),
    }
}

fn accepted(step: &mut Step<'_>, row: &OutboxRow, seq: Seq) -> Result<(), ClientError> {
    step.tx.set_outbox_seq(row.id, seq)?;
    if let Some(message_id) = row.message_id
        && step.tx.accept_message(message_id)?
    {
        step.moved(row.chat_id, message_id, MessageState::Accepted);
    }
    Ok(())
}

/// Gives a row up and says why.
pub(crate) fn fail(step: &mut Step<'_>, row: &OutboxRow, reason: &str) -> Result<(), ClientError> {
    step.tx.delete_outbox(row.id)?;
    if row.kind == OutboxKind::Act {
        return talk::undo(step, row, reason);
    }
    if let Some(message_id) = row.message_id {
        step.tx
            .set_message_state(message_id, MessageState::Failed, reason)?;
        step.moved(row.chat_id, message_id, MessageState::Failed);
    }
    Ok(())
}
