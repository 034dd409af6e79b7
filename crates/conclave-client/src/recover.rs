//! Conversations that cannot go on: retired here, continued in a successor by whoever writes next.
//!
//! Two people see one chat all the while. What was not read back from the old log, or was accepted there and
//! never confirmed, is sealed again for the new one under the same message ids, so nothing is lost and nothing
//! is shown twice (C-052).

use conclave_proto::id::{ChatId, LogId};
use conclave_proto::limits::SUCCESSOR_SPACING_MS;

use crate::engine::Step;
use crate::error::ClientError;
use crate::store::{ChatRow, ChatStage, ConversationRow, OutboxKind, Stage};
use crate::successor;
use crate::view::ChatKind;

/// Takes a conversation out of use. Its keys stay for its successor's binding, its rows for history.
pub(crate) fn retire(step: &mut Step<'_>, mut row: ConversationRow) -> Result<(), ClientError> {
    row.stage = Stage::Broken;
    row.create_request = None;
    row.pending_bundle = None;
    step.tx.put_conversation(&row)?;
    release(step, row.log_id)?;
    // What the server accepted and nobody has confirmed may be lost with the log: said again under the same
    // ids, so that whoever has it keeps the first.
    for message_id in step.tx.unplace_undelivered(row.log_id)? {
        step.tx
            .push_outbox(row.chat_id, None, Some(message_id), OutboxKind::Text)?;
    }
    let own = step.own.account.device.account_id;
    for act_id in step.tx.unplace_acts(row.log_id, own, row.their_delivered)? {
        step.tx
            .push_outbox(row.chat_id, None, Some(act_id), OutboxKind::Act)?;
    }
    Ok(())
}

/// Frees what was sealed for a log: texts and acts go to the live log, receipts and profiles are void.
fn release(step: &mut Step<'_>, log_id: LogId) -> Result<(), ClientError> {
    for sealed in step.tx.sealed_outbox(log_id)? {
        if sealed.kind.is_talk() {
            step.tx.unseal_outbox(&sealed)?;
        }
    }
    step.tx.drop_silent_outbox(log_id)?;
    step.tx.delete_posts_of(log_id)?;
    Ok(())
}

/// The chat has no live log any more, when it was this one.
pub(crate) fn detach(step: &Step<'_>, row: &ConversationRow) -> Result<(), ClientError> {
    if let Some(mut chat) = step.tx.chat(row.chat_id)?
        && chat.live_log == Some(row.log_id)
    {
        chat.live_log = None;
        step.tx.put_chat(&chat)?;
    }
    Ok(())
}

/// A conversation broke: retire it; the chat goes on by itself at most once an hour, else the person is asked.
pub(crate) fn break_off(
    step: &mut Step<'_>,
    mut row: ConversationRow,
    reason: &str,
) -> Result<(), ClientError> {
    let chat = step.tx.chat(row.chat_id)?;
    if let Some(chat) = chat.filter(|chat| chat.kind == ChatKind::Group) {
        return successor::strand(step, chat, row, reason, successor::Why::Unknown);
    }
    let conversations = step.tx.conversations_of(row.chat_id)?;
    let last_ms = conversations
        .iter()
        .map(|row| row.recovered_ms)
        .max()
        .unwrap_or(0);
    let too_soon = last_ms != 0 && step.now_ms.saturating_sub(last_ms) < SUCCESSOR_SPACING_MS;
    row.recovered_ms = step.now_ms;
    let (chat_id, log_id) = (row.chat_id, row.log_id);
    retire(step, row)?;
    if let Some(mut chat) = step.tx.chat(chat_id)? {
        if chat.live_log == Some(log_id) {
            chat.live_log = None;
        }
        if too_soon && chat.stage == ChatStage::Open {
            chat.stage = ChatStage::Paused;
            reason.clone_into(&mut chat.reason);
        }
        step.tx.put_chat(&chat)?;
    }
    step.warn(format!(
        "a conversation could not go on ({reason}); it continues in a new one with the next message"
    ));
    Ok(())
}

/// Stops a chat that has no conversation until the person decides.
pub(crate) fn pause_chat(step: &Step<'_>, chat: ChatRow, reason: &str) -> Result<(), ClientError> {
    Ok(step.tx.put_chat(&ChatRow {
        stage: ChatStage::Paused,
        reason: reason.to_owned(),
        ..chat
    })?)
}

/// Goes on with a chat that was paused for exactly this reason.
pub(crate) fn resume(step: &Step<'_>, chat_id: ChatId, reason: &str) -> Result<(), ClientError> {
    let paused = step.tx.chat(chat_id)?;
    let paused = paused.filter(|chat| chat.stage == ChatStage::Paused && chat.reason == reason);
    let Some(mut chat) = paused else {
        return Ok(());
    };
    chat.stage = ChatStage::Open;
    chat.reason.clear();
    Ok(step.tx.put_chat(&chat)?)
}

/// Stops a chat until the person decides; the conversation stays where it is.
pub(crate) fn pause(
    step: &mut Step<'_>,
    row: &ConversationRow,
    reason: &str,
) -> Result<(), ClientError> {
    if let Some(mut chat) = step.tx.chat(row.chat_id)? {
        chat.stage = ChatStage::Paused;
        reason.clone_into(&mut chat.reason);
        step.tx.put_chat(&chat)?;
    }
    step.warn(format!("a chat is paused: {reason}"));
    Ok(())
}
