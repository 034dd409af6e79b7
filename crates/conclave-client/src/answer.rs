//! What the person answers to an invitation into a group on one device holds on the others (C-233).
//!
//! Each device has a pointer of its own to the same place of the log. An answer says up to which entry of the log
//! invitations are meant, so that it counts for no later one: who left and is invited again is asked again.

use conclave_core::content::{ChatName, ChatSetting, SyncChat, SyncItem};
use conclave_core::inbox_item::WelcomePointer;
use conclave_proto::codec;

use crate::engine::Step;
use crate::error::ClientError;
use crate::store::{ChatRow, ChatStage, Field, InvitationRow, Stage};
use crate::view::ChatKind;

/// The last entry that an invitation knows of; `None` when it is void.
fn place(invitation: &InvitationRow) -> Option<u64> {
    let pointer = codec::parse_exact::<WelcomePointer>(&invitation.pointer);
    pointer.ok().map(|pointer| pointer.start_seq.0)
}

/// What was answered in a chat, as it is now; `None` when nothing is, or it is out of date.
pub(crate) fn item(step: &Step<'_>, chat: &ChatRow) -> Result<Option<SyncChat>, ClientError> {
    let accepted = match chat.stage {
        ChatStage::Open => true,
        ChatStage::Declined => false,
        _ => return Ok(None),
    };
    let invited = step.tx.invitations_of(chat.chat_id)?.pop();
    let at = match (invited, chat.live_log) {
        (Some(row), _) => place(&row).map(|seq| (row.log_id, seq)),
        // joined already
        (None, Some(log_id)) => {
            let row = step.tx.conversation(log_id)?;
            row.map(|row| (log_id, row.cursor_seq.0))
        }
        (None, None) => None,
    };
    Ok(at.map(|(log_id, seq)| SyncChat {
        chat: ChatName::Of(log_id),
        setting: ChatSetting::Answered { accepted, seq },
    }))
}

/// Another own device answered an invitation: the one here is answered, or the answer waits for it. Going in counts
/// more than declining, so that all devices come to the same whatever they hear first.
pub(crate) fn told(
    step: &Step<'_>,
    said: &SyncChat,
    accepted: bool,
    seq: u64,
) -> Result<(), ClientError> {
    let ChatName::Of(log_id) = said.chat else {
        return Ok(());
    };
    let Some(invitation) = step.tx.invitation(log_id)? else {
        let here = step.tx.conversation(log_id)?;
        if here.is_some_and(|row| row.stage != Stage::Broken) {
            return Ok(step.tx.end_setting_wait(said.chat, Field::Answered)?);
        }
        let item = SyncItem::Chat(said.clone()).to_bytes();
        return Ok(step.tx.keep_setting(said.chat, Field::Answered, &item)?);
    };
    step.tx.end_setting_wait(said.chat, Field::Answered)?;
    // C-233: a later invitation is another question
    if place(&invitation).is_none_or(|asked| asked > seq) {
        return Ok(());
    }
    let chat = step.tx.chat(invitation.chat_id)?;
    let Some(mut chat) = chat.filter(|chat| chat.kind == ChatKind::Group) else {
        return Ok(());
    };
    chat.stage = match (chat.stage, accepted) {
        (ChatStage::Request | ChatStage::Declined, true) => ChatStage::Open,
        (ChatStage::Request, false) => ChatStage::Declined,
        _ => return Ok(()),
    };
    if !accepted {
        step.tx.mark_read(chat.chat_id)?;
    }
    Ok(step.tx.put_chat(&chat)?)
}
