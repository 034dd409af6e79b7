//! Joining: what was accepted, or comes from an own device, becomes a conversation.
//!
//! A welcome is judged by what is known of everybody in it; what is missing is fetched first, once each
//! (C-017). Its rows, and which of a chat's conversations goes on, are written in the joining transaction.

use std::collections::{BTreeMap, BTreeSet};

use conclave_core::conversation::join::join;
use conclave_core::conversation::{
    Conversation, ConversationKind, JoinError, Joined, RebootPsk, SuccessorError,
};
use conclave_core::credential::{LeafError, Wanted};
use conclave_core::inbox_item::WelcomePointer;
use conclave_core::leaf::LeafNodeError;
use conclave_core::mls_store::MlsRows as _;
use conclave_core::sealed_blob;
use conclave_proto::ErrorCode;
use conclave_proto::codec;
use conclave_proto::hello::Role;
use conclave_proto::id::{ChatId, Incarnation, LogId};
use conclave_proto::limits::{JOIN_UPDATE_MS, SELF_UPDATE_MS};
use conclave_proto::log::Head;

use crate::engine::Step;
use crate::error::ClientError;
use crate::members;
use crate::net::Net;
use crate::note;
use crate::own_sync::{self};
use crate::recover;
use crate::rejoin;
use crate::restored;
use crate::shared::{Shared, broken, is_local};
use crate::states::fetch_wanted;
use crate::store::{ChatRow, ChatStage, ConversationRow, InvitationRow, OutboxKind, Stage};
use crate::successor;
use crate::transport::{TransportError, calls};
use crate::view::ChatKind;

/// Step 3 of a round: invitations of open chats are joined.
pub(crate) async fn join_accepted(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    let invitations = shared.engine().look(|tx, _| Ok(tx.open_invitations()?));
    for invitation in invitations.map_err(|error| broken(shared, &error))? {
        match join_one(shared, net, &invitation).await {
            Err(error) if is_local(&error) => net.set_aside(None, shared.env.now_ms()),
            done => done?,
        }
    }
    Ok(())
}

async fn join_one(
    shared: &Shared,
    net: &mut Net,
    invitation: &InvitationRow,
) -> Result<(), TransportError> {
    let Ok(pointer) = codec::parse_exact::<WelcomePointer>(&invitation.pointer) else {
        return give_up(shared, invitation, "it is damaged");
    };
    let waits = shared
        .engine()
        .step(|step| successor::must_wait(step, &pointer));
    if waits.map_err(|error| broken(shared, &error))? {
        return Ok(());
    }
    let mut opened = Vec::new();
    for blob in [&pointer.welcome, &pointer.tree] {
        let (blobs, _) = net.connection(Role::Blobs).await?;
        let bytes = match calls::fetch_blob(blobs.as_ref(), net.pass()?, blob.blob_id).await {
            Ok(bytes) => bytes,
            Err(TransportError::Refused(refusal)) if refusal.code() == ErrorCode::NotFound => {
                return give_up(
                    shared,
                    invitation,
                    "it is older than the server keeps invitations",
                );
            }
            Err(error) => return Err(error),
        };
        match sealed_blob::open(blob, &bytes) {
            Ok(plain) => opened.push(plain),
            Err(_) => return give_up(shared, invitation, "the server changed it"),
        }
    }
    net.progress = true;
    let [welcome, tree] = opened.as_slice() else {
        return Ok(());
    };
    let mut tried = BTreeSet::new();
    loop {
        let entered = shared.engine().step(|step| {
            let ways = (welcome.as_slice(), tree.as_slice());
            enter(step, invitation, &pointer, ways, &tried)
        });
        match entered.map_err(|error| broken(shared, &error))? {
            Entered::Joined => {
                net.moved.insert(invitation.log_id);
                return Ok(());
            }
            Entered::Asked => return Ok(()),
            Entered::Refused(reason) => return give_up(shared, invitation, &reason),
            Entered::Missing(wanted) => {
                // C-017, C-180: each state is asked for once, then the welcome is judged by what is known.
                if !fetch_wanted(shared, net, &wanted).await? {
                    return Ok(());
                }
                tried.extend(wanted);
            }
        }
    }
}

/// What a welcome led to.
enum Entered {
    Joined,
    Refused(String),
    /// It is out of date; whoever sent it is asked for another.
    Asked,
    /// These states are needed first.
    Missing(Vec<Wanted>),
}

/// Joins, in one transaction with everything that follows from it.
fn enter(
    step: &mut Step<'_>,
    invitation: &InvitationRow,
    pointer: &WelcomePointer,
    (welcome, tree): (&[u8], &[u8]),
    tried: &BTreeSet<Wanted>,
) -> Result<Entered, ClientError> {
    let result = step
        .tx
        .attempt(|| try_join(step, invitation, pointer, welcome, tree));
    match result {
        Ok(joined) => {
            settle(step, invitation, pointer, &joined)?;
            Ok(Entered::Joined)
        }
        Err(Attempt::Store(error)) => Err(error.into()),
        Err(Attempt::Refused(JoinError::Failed(error))) => {
            Err(ClientError::Store(error.to_string()))
        }
        Err(Attempt::Refused(error)) => {
            let missing = error.missing().iter();
            let missing: Vec<_> = missing.filter(|of| !tried.contains(*of)).copied().collect();
            if !missing.is_empty() {
                return Ok(Entered::Missing(missing));
            }
            // C-100: a device in it was removed since, so that the inviter has newer ones
            let is_old = matches!(
                error,
                JoinError::Leaf {
                    error: LeafNodeError::Leaf(LeafError::NotListed),
                    ..
                }
            );
            if is_old && rejoin::ask_inviter(step, pointer)? {
                step.tx.delete_invitation(invitation.log_id)?;
                rejoin::await_another(step, invitation)?;
                return Ok(Entered::Asked);
            }
            Ok(Entered::Refused(error.to_string()))
        }
        Err(Attempt::NoSuccessor(error)) => Ok(Entered::Refused(error.to_string())),
        Err(Attempt::Stranger) => Ok(Entered::Refused("its welcome is by somebody else".into())),
        Err(Attempt::Kind) => Ok(Entered::Refused("it is not what its sender says".into())),
    }
}

enum Attempt {
    Store(crate::store::StoreError),
    Refused(JoinError),
    Stranger,
    Kind,
    NoSuccessor(SuccessorError),
}

impl Attempt {
    #[expect(clippy::needless_pass_by_value, reason = "used as map_err's function")]
    fn store(error: impl ToString) -> Self {
        Self::Store(crate::store::StoreError(error.to_string()))
    }
}

impl From<crate::store::StoreError> for Attempt {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Store(error)
    }
}

fn try_join(
    step: &Step<'_>,
    invitation: &InvitationRow,
    pointer: &WelcomePointer,
    welcome: &[u8],
    tree: &[u8],
) -> Result<Joined, Attempt> {
    let accounts = step.tx.known_accounts(&step.own.known);
    let psks = old_psks(step, pointer).map_err(Attempt::Store)?;
    if rejoin::is_awaited(step, pointer.log_id).map_err(Attempt::store)? {
        // The place that this device lost makes room for the new one; a refusal gives it back.
        let emptied = step.tx.delete_group(pointer.log_id.as_bytes());
        emptied.map_err(Attempt::store)?;
    }
    let joined = join(
        step.outside(),
        &accounts,
        pointer.log_id,
        welcome,
        tree,
        &psks,
    )
    .map_err(Attempt::Refused)?;
    // C-112: what was shown to the person is what is joined.
    let context = joined.conversation.context();
    if context.kind != pointer.kind || context.successor_of != pointer.successor_of {
        return Err(Attempt::Kind);
    }
    match successor::judge(step, &joined, pointer) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(Attempt::NoSuccessor(error)),
        Err(error) => {
            return Err(Attempt::Store(crate::store::StoreError(error.to_string())));
        }
    }
    // C-039: the person behind the welcome is the one whose intro was accepted: the same pinned account.
    if joined.inviter.account_id == invitation.account_id {
        Ok(joined)
    } else {
        Err(Attempt::Stranger)
    }
}

/// What the chat of the conversation that is continued left to bind a successor with: an invitation by an own device
/// is not held in that chat.
fn old_psks(
    step: &Step<'_>,
    pointer: &WelcomePointer,
) -> Result<Vec<RebootPsk>, crate::store::StoreError> {
    let mut psks = Vec::new();
    let old = pointer.successor_of.map(|old| step.tx.conversation(old));
    let Some(chat_id) = old.transpose()?.flatten().map(|row| row.chat_id) else {
        return Ok(psks);
    };
    for row in step.tx.conversations_of(chat_id)? {
        let group = Conversation::load(step.tx, row.log_id);
        if let Ok(Some(group)) = group {
            let found = group.reboot_psks(step.tx);
            psks.extend(found.map_err(|error| crate::store::StoreError(error.to_string()))?);
        }
    }
    Ok(psks)
}

/// A joined conversation becomes rows; the chat's live one is chosen by rule (C-058, C-059).
fn settle(
    step: &mut Step<'_>,
    invitation: &InvitationRow,
    pointer: &WelcomePointer,
    joined: &Joined,
) -> Result<(), ClientError> {
    let log_id = pointer.log_id;
    step.tx.delete_invitation(log_id)?;
    // C-128: where it belongs is known only now, when another own device let this one in
    let is_by_own = invitation.account_id == step.own.account.device.account_id;
    let moved = if is_by_own {
        let chat_id = own_sync::home(step, log_id, joined)?.chat_id;
        Some(InvitationRow {
            chat_id,
            ..invitation.clone()
        })
    } else {
        None
    };
    let invitation = moved.as_ref().unwrap_or(invitation);
    own_sync::conversation_is_new(step, false)?;
    step.tx.forget_voided(invitation.chat_id)?;
    let is_back = rejoin::is_awaited(step, log_id)?;
    let row = new_row(step, invitation.chat_id, pointer, joined)?;
    step.tx.put_conversation(&row)?;
    step.tx.delete_stranded(log_id)?;
    if pointer.kind == ConversationKind::Group && !is_by_own && !is_back {
        let before = joined.conversation.context().successor_of;
        let before = before.map(|log_id| step.tx.conversation(log_id));
        let is_successor = before.transpose()?.flatten().is_some();
        note::joined(step, &row, invitation.account_id, is_successor)?;
    }
    step.tx.put_chain(log_id, row.cursor_seq, row.cursor_hash)?;
    if !is_by_own {
        step.tx
            .push_outbox(invitation.chat_id, Some(log_id), None, OutboxKind::Profile)?;
    }
    let Some(mut chat) = step.tx.chat(invitation.chat_id)? else {
        return Ok(());
    };
    let live = winner(chat.live_log, joined, log_id);
    let replaced = chat
        .live_log
        .filter(|old| joined.conversation.context().successor_of == Some(*old));
    if let Some(old) = replaced
        .map(|old| step.tx.conversation(old))
        .transpose()?
        .flatten()
    {
        // The other side reads the old log no more: what it did not confirm there is said again (C-059).
        recover::retire(step, old)?;
    }
    put_in_order(step, chat.chat_id)?;
    chat.live_log = Some(live);
    if pointer.kind == ConversationKind::Group {
        let name = joined.conversation.context().name();
        name.clone_into(&mut chat.name);
        successor::joined(step, &chat, joined)?;
        for account in joined.conversation.people() {
            // C-180: the welcome may show devices that were removed since
            members::drop_revoked_from(step, chat.chat_id, &joined.conversation, account)?;
        }
    }
    step.tx.put_chat(&chat)?;
    match chat.peer {
        Some(peer) => members::end_deserted(step, chat.chat_id, peer),
        None => Ok(()),
    }
}

/// The row of a conversation that was just joined, at the place where its welcome begins.
fn new_row(
    step: &mut Step<'_>,
    chat_id: ChatId,
    pointer: &WelcomePointer,
    joined: &Joined,
) -> Result<ConversationRow, ClientError> {
    let log_id = pointer.log_id;
    if joined.conversation.has_newest_key(&step.own.account.device) {
        step.tx.end_rekey(log_id)?;
    } else {
        // C-187: invited by a key package from before
        step.tx.put_rekey(log_id)?;
    }
    let head = Head {
        epoch: joined.conversation.epoch(),
        seq: pointer.start_seq,
        hash: pointer.start_hash,
        incarnation: Incarnation(0),
    };
    let before = if rejoin::is_awaited(step, log_id)? {
        step.tx.conversation(log_id)?
    } else {
        None
    };
    let ordinal = match &before {
        Some(before) => before.ordinal,
        None => step.tx.next_ordinal(chat_id)?,
    };
    let mut row = ConversationRow::new(log_id, chat_id, ordinal, Stage::Live, head, step.now_ms);
    let is_group = pointer.kind == ConversationKind::Group;
    if is_group && !joined.last_resort {
        // C-113: at a random time within days, so that those who came together do not commit together.
        let mut random = [0; 8];
        step.env.fill(&mut random);
        let wait_ms = u64::from_be_bytes(random) % JOIN_UPDATE_MS;
        let updated_ms = step.now_ms.saturating_sub(SELF_UPDATE_MS);
        row.updated_ms = updated_ms.saturating_add(wait_ms);
    } else {
        // C-057: soon after joining, with the first send, a leaf of our own replaces the key package's.
        row.update_due = true;
    }
    if let Some(before) = before {
        rejoin::came_back(step, &before, &mut row)?;
    }
    Ok(row)
}

/// Puts the conversations of a chat that are read in an order that every device finds alone: predecessors before
/// successors, and of those that were begun at the same time the one that goes on last (C-058).
fn put_in_order(step: &Step<'_>, chat_id: ChatId) -> Result<(), ClientError> {
    let rows = step.tx.conversations_of(chat_id)?.into_iter();
    let logs: Vec<LogId> = rows
        .filter(|row| row.stage != Stage::Broken)
        .map(|row| row.log_id)
        .collect();
    let mut before = BTreeMap::new();
    for log_id in &logs {
        before.insert(*log_id, step.group(*log_id)?.context().successor_of);
    }
    let depth = |log_id: &LogId| {
        let older = |log_id: &LogId| before.get(log_id).copied().flatten();
        let chain = std::iter::successors(older(log_id), older);
        chain.take(logs.len()).count()
    };
    let mut sorted = logs.clone();
    sorted.sort_by_key(|log_id| (depth(log_id), std::cmp::Reverse(*log_id)));
    if sorted != logs {
        for log_id in sorted {
            step.tx.put_last(chat_id, log_id)?;
        }
    }
    Ok(())
}

/// Which of two logs a pair goes on in: a successor beats its predecessor, else the smaller id wins.
fn winner(live: Option<LogId>, joined: &Joined, new: LogId) -> LogId {
    match live {
        None => new,
        // C-059: the inviter is the pinned contact; the context names what it continues.
        Some(live) if joined.conversation.context().successor_of == Some(live) => new,
        // C-058
        Some(live) => live.min(new),
    }
}

/// An invitation that cannot be taken is void; people are told why and what to do.
fn give_up(
    shared: &Shared,
    invitation: &InvitationRow,
    reason: &str,
) -> Result<(), TransportError> {
    let done = shared.engine().step(|step| {
        if restored::ask_in(step, invitation, reason)? {
            return Ok(());
        }
        if rejoin::is_awaited(step, invitation.log_id)? {
            // This device asks again, and others than this one.
            step.tx.delete_invitation(invitation.log_id)?;
            step.warn(format!("a way back into a group cannot be taken: {reason}"));
            return Ok(());
        }
        if successor::is_invitation(step, invitation)? {
            // Another member makes a better one, or this device does.
            step.tx.delete_invitation(invitation.log_id)?;
            step.warn(format!(
                "a new group for one that broke is not taken: {reason}"
            ));
            return Ok(());
        }
        step.tx.void_invitation(invitation.log_id)?;
        let chat = step.tx.chat(invitation.chat_id)?;
        let Some(chat) = chat.filter(|chat| chat.kind == ChatKind::Group) else {
            step.warn(format!(
                "an invitation cannot be taken ({reason}); write to the other person to start anew"
            ));
            return Ok(());
        };
        // Another invitation is as good as this one.
        step.tx.delete_invitation(invitation.log_id)?;
        let text = format!("the invitation to it could not be taken ({reason})");
        step.warn(format!(
            "the group {}: {text}; ask to be added again",
            chat.name
        ));
        if chat.live_log.is_none() {
            step.tx.put_chat(&ChatRow {
                stage: ChatStage::Left,
                reason: text,
                ..chat
            })?;
        }
        Ok(())
    });
    done.map_err(|error| broken(shared, &error))
}
