//! Queueing a message: checked, written down, its id returned. The driver does the rest.

use conclave_core::content::{Kind, TextMore};
use conclave_proto::id::{ChatId, MessageId};
use conclave_proto::limits::TEXT_BYTES_MAX;

use crate::engine::{Step, person, show};
use crate::error::ClientError;
use crate::members;
use crate::settings;
use crate::store::{ChatRow, ChatStage, ContactRow, NewMessage, OutboxKind};
use crate::trust::check_strict;
use crate::view::{ChatKind, Message};

/// Writes a text down as queued (tx 1 of its way).
pub(crate) fn queue(
    step: &mut Step<'_>,
    chat_id: ChatId,
    text: &str,
) -> Result<Message, ClientError> {
    queue_with(step, chat_id, text, TextMore::default())
}

/// The same with what comes beside the text. The chat's timer is added here (C-177).
pub(crate) fn queue_with(
    step: &mut Step<'_>,
    chat_id: ChatId,
    text: &str,
    more: TextMore,
) -> Result<Message, ClientError> {
    let message_id = write_down(step, chat_id, text, more)?;
    release(step, chat_id, message_id)?;
    shown(step, message_id)
}

/// Writes a message down that does not go out before it is released.
pub(crate) fn write_down(
    step: &mut Step<'_>,
    chat_id: ChatId,
    text: &str,
    mut more: TextMore,
) -> Result<MessageId, ClientError> {
    check(text, &more)?;
    check_chat(step, chat_id)?;
    check_reply(step, chat_id, &more)?;
    more.expires_s = step.tx.timer(chat_id)?;
    let message_id = MessageId::random(step.env);
    step.tx.insert_message(&NewMessage {
        chat_id,
        message_id,
        sender: step.own.account.device.account_id,
        own: true,
        body: text,
        more: &more,
        raw: &[],
        reason: "",
        sent_ms: step.now_ms,
        is_heard: true,
    })?;
    settings::wrote(step, chat_id)?;
    step.made = Some(message_id);
    Ok(message_id)
}

/// Hands a message that was written down to the outbox.
pub(crate) fn release(
    step: &Step<'_>,
    chat_id: ChatId,
    message_id: MessageId,
) -> Result<(), ClientError> {
    let chat = check_chat(step, chat_id)?;
    introduce_again(step, &chat)?;
    let kind = OutboxKind::Text;
    Ok(step.tx.push_outbox(chat_id, None, Some(message_id), kind)?)
}

/// An own message as front ends see it.
pub(crate) fn shown(step: &Step<'_>, message_id: MessageId) -> Result<Message, ClientError> {
    let sender = step.own.account.device.account_id;
    let row = step.tx.message(sender, message_id)?;
    let row =
        row.ok_or_else(|| ClientError::Broken("a message vanished while it was queued".into()))?;
    show(step.tx, step.own, &row)
}

/// Who came into a group since this account spoke last does not know its name: it is said again, before the text.
fn introduce_again(step: &Step<'_>, chat: &ChatRow) -> Result<(), ClientError> {
    let Some(log_id) = chat.live_log else {
        return Ok(());
    };
    if let Some(mut row) = step.tx.conversation(log_id)?.filter(|row| row.profile_due) {
        row.profile_due = false;
        step.tx.put_conversation(&row)?;
        let chat_id = chat.chat_id;
        step.tx
            .push_outbox(chat_id, Some(log_id), None, OutboxKind::Profile)?;
    }
    Ok(())
}

/// Refuses what no message can hold, before anything changes. With files or a card the text may be empty.
pub(crate) fn check(text: &str, more: &TextMore) -> Result<(), ClientError> {
    if !(text.is_empty() && more.is_something()) {
        check_text(text)?;
    }
    let kind = Kind::Text {
        body: text.to_owned(),
        more: more.clone(),
    };
    kind.check()
        .map_err(|error| ClientError::BadInput(error.to_string()))
}

/// C-174: an answer stands in the chat of what it answers.
fn check_reply(step: &Step<'_>, chat_id: ChatId, more: &TextMore) -> Result<(), ClientError> {
    let Some(to) = more.reply_to else {
        return Ok(());
    };
    let there = step.tx.message(to.sender, to.message_id)?;
    if there.is_some_and(|there| there.chat_id == chat_id) {
        return Ok(());
    }
    Err(ClientError::BadInput(format!(
        "there is no message {} in this chat; a reply names a message of its own chat",
        to.message_id
    )))
}

/// Refuses texts that no message can hold, before anything changes.
pub(crate) fn check_text(text: &str) -> Result<(), ClientError> {
    if text.trim().is_empty() {
        return Err(ClientError::BadInput(
            "the message is empty; write something".into(),
        ));
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(ClientError::TooLarge(format!(
            "the message has {} bytes; at most {TEXT_BYTES_MAX} fit, send it in parts",
            text.len()
        )));
    }
    Ok(())
}

/// Whether this user may write in a chat now; says what to do when not.
pub(crate) fn check_chat(step: &Step<'_>, chat_id: ChatId) -> Result<ChatRow, ClientError> {
    // C-130: nothing that is queued here would ever go out
    if step.tx.is_removed()? {
        return Err(ClientError::Removed);
    }
    let chat = step
        .tx
        .chat(chat_id)?
        .ok_or_else(|| ClientError::NotFound(format!("there is no chat {chat_id}")))?;
    match chat.kind {
        ChatKind::Direct => check_direct(step, &chat)?,
        ChatKind::Group => check_group(&chat)?,
        ChatKind::Own => {}
    }
    check_strict(step, &chat)?;
    Ok(chat)
}

fn check_direct(step: &Step<'_>, chat: &ChatRow) -> Result<(), ClientError> {
    let contact = contact_of(step, chat)?;
    let who = person(step.tx, contact.pin.account_id)?.identifier;
    if contact.blocked {
        return Err(ClientError::NotAllowed(format!(
            "{who} is blocked; run `conclave contact unblock {who}` first"
        )));
    }
    if contact.changed.is_some() {
        return Err(ClientError::IdentityChanged(who));
    }
    match chat.stage {
        ChatStage::Open => Ok(()),
        ChatStage::Request | ChatStage::Declined => Err(ClientError::NotAllowed(format!(
            "{who} asks to talk to you; run `conclave request accept {who}` first"
        ))),
        ChatStage::Paused | ChatStage::Left => Err(ClientError::NotAllowed(format!(
            "the chat is paused: {}; to go on run `conclave safety accept {who}`",
            chat.reason
        ))),
    }
}

fn check_group(chat: &ChatRow) -> Result<(), ClientError> {
    let id = chat.chat_id;
    match chat.stage {
        ChatStage::Open => Ok(()),
        ChatStage::Request | ChatStage::Declined => Err(ClientError::NotAllowed(format!(
            "you are invited to the group and not in it; run `conclave request accept {id}` first"
        ))),
        ChatStage::Paused => Err(match members::awaited_key(&chat.reason) {
            Some(who) => ClientError::IdentityChanged(who.to_owned()),
            None => ClientError::NotAllowed(format!(
                "the group is paused: {}; to go on run `conclave group resume {id}`",
                chat.reason
            )),
        }),
        ChatStage::Left => Err(ClientError::NotAllowed(format!(
            "{}; somebody inside can add you again",
            chat.reason
        ))),
    }
}

/// The other person of a direct chat.
pub(crate) fn contact_of(step: &Step<'_>, chat: &ChatRow) -> Result<ContactRow, ClientError> {
    let contact = chat.peer.map(|peer| step.tx.contact(peer)).transpose()?;
    contact
        .flatten()
        .ok_or_else(|| ClientError::Broken("a chat lost its contact".into()))
}
