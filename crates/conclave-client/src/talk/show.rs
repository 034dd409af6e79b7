//! A message with what stands around it, as front ends see it.

use conclave_core::content::MessageRef;
use conclave_proto::id::AccountId;

use crate::attachment;
use crate::engine::{Own, person};
use crate::error::ClientError;
use crate::store::{ActKind, Deleted, MessageRow, Tx};
use crate::view::{DeviceMark, Mentioned, Message, Person, Reaction, Reply, Version};

/// Characters of an answered message that are shown with the answer.
const REPLY_CHARS: usize = 120;

/// Somebody, own account or not, as front ends see them.
pub(crate) fn who(tx: &Tx<'_>, own: &Own, account: AccountId) -> Result<Person, ClientError> {
    if account == own.account.device.account_id {
        return Ok(own.person());
    }
    person(tx, account)
}

/// Adds to `message` what stands around its row.
pub(crate) fn surround(
    tx: &Tx<'_>,
    own: &Own,
    row: &MessageRow,
    mut message: Message,
) -> Result<Message, ClientError> {
    if row.deleted != Deleted::No {
        let by = row.deleted_by;
        message.deleted_by = by.map(|by| who(tx, own, by)).transpose()?;
        return Ok(message);
    }
    let more = row.more();
    message.forwarded = more.forwarded;
    message.reply = match more.reply_to {
        Some(to) => Some(reply(tx, own, row, to)?),
        None => None,
    };
    if message.text == row.body {
        for mention in &more.mentions {
            message.mentions.push(Mentioned {
                start: mention.start as usize,
                length: mention.length as usize,
                person: who(tx, own, mention.account_id)?,
                own: mention.account_id == own.account.device.account_id,
            });
        }
    }
    message.attachments = more.attachments;
    for file in &mut message.attachments {
        // C-192, C-195: what others wrote is shown as what it may be
        file.name = attachment::safe_name(&file.name);
        if !attachment::is_well(&file.preview) {
            file.preview.clear();
        }
    }
    message.contact = more.contact;
    let acts = |kind| tx.acts_on(row.chat_id, row.name(), kind);
    message.edited_ms = acts(ActKind::Edit)?.last().map(|edit| edit.sent_ms);
    message.pinned = acts(ActKind::Pin)?
        .last()
        .is_some_and(|pin| pin.number != 0);
    let mut newest: Vec<(AccountId, String)> = Vec::new();
    for act in acts(ActKind::Reaction)? {
        newest.retain(|(sender, _)| *sender != act.sender);
        newest.push((act.sender, act.body));
    }
    for (sender, emoji) in newest.into_iter().filter(|(_, emoji)| !emoji.is_empty()) {
        message.reactions.push(Reaction {
            from: who(tx, own, sender)?,
            own: sender == own.account.device.account_id,
            emoji,
        });
    }
    Ok(message)
}

/// C-174: what an answer names counts only when it is of the same chat.
fn reply(tx: &Tx<'_>, own: &Own, row: &MessageRow, to: MessageRef) -> Result<Reply, ClientError> {
    let there = tx.message(to.sender, to.message_id)?;
    let there = there.filter(|there| there.chat_id == row.chat_id && there.deleted == Deleted::No);
    Ok(Reply {
        to,
        from: who(tx, own, to.sender)?,
        is_here: there.is_some(),
        text: there
            .map(|there| there.body.chars().take(REPLY_CHARS).collect())
            .unwrap_or_default(),
    })
}

/// What a message said before what it says now, oldest first.
pub(crate) fn versions(tx: &Tx<'_>, row: &MessageRow) -> Result<Vec<Version>, ClientError> {
    let Some((text, _)) = row.first.clone() else {
        return Ok(Vec::new());
    };
    let first = Version {
        text,
        ts_ms: row.sent_ms,
    };
    let mut versions = vec![first];
    for edit in tx.acts_on(row.chat_id, row.name(), ActKind::Edit)? {
        versions.push(Version {
            text: edit.body,
            ts_ms: edit.sent_ms,
        });
    }
    versions.pop();
    Ok(versions)
}

/// How far the others' devices are with an own message.
pub(crate) fn device_marks(tx: &Tx<'_>, row: &MessageRow) -> Result<Vec<DeviceMark>, ClientError> {
    let (true, Some(log_id), Some(seq)) = (row.own, row.log_id, row.seq) else {
        return Ok(Vec::new());
    };
    let mut marks = Vec::new();
    for (account, device, delivered, read) in tx.device_marks(log_id)? {
        marks.push(DeviceMark {
            person: person(tx, account)?,
            device,
            delivered: delivered >= seq,
            read: read >= seq,
        });
    }
    Ok(marks)
}
