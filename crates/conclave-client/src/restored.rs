//! Groups whose server was put back from a backup: some members know more of the log than the server does now.
//!
//! 1. a member that is ahead of the server is stuck, and makes or joins a successor, owners and admins first (C-160)
//! 2. a member that is not ahead reads on in the old log, and follows a successor when one is made (C-161)
//! 3. who cannot open the way into a successor asks its members to be put in anew (C-161, C-100)
//! 4. what not everybody has confirmed is said again under the same ids, there and when somebody was put in anew

use conclave_core::conversation::{Conversation, Joined, Role, SuccessorError};
use conclave_core::inbox_item::WelcomePointer;
use conclave_proto::codec;
use conclave_proto::id::{Day, Incarnation, LogId};
use conclave_proto::limits::RETENTION_DAYS;

use crate::engine::Step;
use crate::error::ClientError;
use crate::recover;
use crate::store::{ConversationRow, InvitationRow, OutboxKind, StrandedRow, StuckRow};
use crate::successor::{self, Why};
use crate::view::ChatKind;

/// What people are told.
const REASON: &str = "the server was restored from an older backup";
/// How long a member that is not ahead follows others into a successor, in ms: as long as what they lost was kept.
const FOLLOWED_MS: u64 = RETENTION_DAYS as u64 * Day::MS;
/// How long a device that cannot enter a successor waits to be let in before it makes one itself, in ms.
const LET_IN_MS: u64 = 60_000;

/// Whether the server's store is in another life than when this log was read last.
pub(crate) fn is_other_life(row: &ConversationRow, life: Incarnation) -> bool {
    row.incarnation.0 != 0 && row.incarnation != life
}

/// This device knows more of a log than the server that was put back: it goes on in another one.
pub(crate) fn break_off(step: &mut Step<'_>, row: ConversationRow) -> Result<(), ClientError> {
    let chat = step.tx.chat(row.chat_id)?;
    match chat.filter(|chat| chat.kind == ChatKind::Group) {
        Some(chat) => successor::strand(step, chat, row, REASON, Why::Restored),
        None => recover::break_off(step, row, REASON),
    }
}

/// A log was read to its head. When the server was put back meanwhile and nothing of the log is missing here, others
/// may be ahead of it: should they go on elsewhere, this device follows (C-161).
pub(crate) fn read(
    step: &Step<'_>,
    row: &ConversationRow,
    life: Incarnation,
) -> Result<(), ClientError> {
    if !is_other_life(row, life) {
        return Ok(());
    }
    let chat = step.tx.chat(row.chat_id)?;
    if chat.is_some_and(|chat| chat.kind == ChatKind::Group) {
        step.tx.put_stuck(&StuckRow {
            log_id: row.log_id,
            chat_id: row.chat_id,
            left_out: vec![],
            due_ms: step.now_ms,
            restored_ms: step.now_ms,
        })?;
    }
    Ok(())
}

/// Whether this device, which still reads the log, follows others into a successor of it now.
pub(crate) fn follows(step: &Step<'_>, stuck: &StuckRow) -> bool {
    stuck.restored_ms != 0 && step.now_ms.abs_diff(stuck.restored_ms) < FOLLOWED_MS
}

/// C-161: the way into a successor does not open for this device: the key package is one that the server handed out
/// before it was put back, or it is bound to an epoch that this device never was in. Its members are asked. Whether
/// it is that.
pub(crate) fn ask_in(
    step: &mut Step<'_>,
    invitation: &InvitationRow,
    reason: &str,
) -> Result<bool, ClientError> {
    let Ok(pointer) = codec::parse_exact::<WelcomePointer>(&invitation.pointer) else {
        return Ok(false);
    };
    let Some(old) = pointer.successor_of else {
        return Ok(false);
    };
    let Some(stuck) = step.tx.stuck(old)?.filter(|stuck| follows(step, stuck)) else {
        return Ok(false);
    };
    step.tx.delete_invitation(invitation.log_id)?;
    step.tx.put_stranded(&StrandedRow {
        log_id: invitation.log_id,
        chat_id: stuck.chat_id,
        asked_ms: 0,
    })?;
    // Counted from the restore: nobody keeps this device from making its own by showing one closed way after another.
    let let_in_ms = stuck.restored_ms.saturating_add(LET_IN_MS);
    step.tx.put_stuck(&StuckRow {
        due_ms: stuck.due_ms.max(let_in_ms),
        ..stuck
    })?;
    step.warn(format!(
        "the new log of a group does not open here ({reason}); its members are asked to let this device in"
    ));
    Ok(true)
}

/// Judges what a member let this device into, which it asked for: a successor of the group that is here, with nobody
/// new unless by who may add anybody (C-161).
pub(crate) fn judge(
    step: &Step<'_>,
    joined: &Joined,
    old: LogId,
) -> Result<Result<(), SuccessorError>, ClientError> {
    let Some(group) = Conversation::load(step.tx, old)? else {
        return Ok(Err(SuccessorError::OtherPredecessor));
    };
    let roster = group.people();
    let people = joined.conversation.people();
    let may_bring = group.context().role(joined.inviter.account_id) >= Role::Admin;
    let judged = if joined.conversation.context().successor_of != Some(old) {
        Err(SuccessorError::OtherPredecessor)
    } else if may_bring || people.iter().all(|account| roster.contains(account)) {
        Ok(())
    } else {
        Err(SuccessorError::OtherPeople)
    };
    Ok(judged)
}

/// Somebody was put anew into a group that others went on in after the server was put back: what they have not
/// confirmed is said again, for they had no key to it.
pub(crate) fn say_again(step: &Step<'_>, row: &ConversationRow) -> Result<(), ClientError> {
    let group = step.group(row.log_id)?;
    let Some(old) = group.context().successor_of else {
        return Ok(());
    };
    if step
        .tx
        .stuck(old)?
        .is_some_and(|stuck| follows(step, &stuck))
    {
        for message_id in step.tx.undelivered(row.log_id)? {
            step.tx
                .say_again(row.chat_id, message_id, OutboxKind::Text)?;
        }
    }
    Ok(())
}
