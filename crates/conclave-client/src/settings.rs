//! What the person sets for a chat, and what they delete for themselves: here, and on all their devices.
//!
//! Each setting of each chat is a thing of its own in the own conversation ([`crate::own_sync`]): a mute on one
//! device and a draft on another do not undo each other (C-200). What an own device says of a chat or a place that
//! is not known here yet waits for it.

use conclave_core::content::{ChatName, ChatSetting, LogPlace, MessageRef, SyncChat, SyncItem};
use conclave_proto::id::{ChatId, MessageId};
use conclave_proto::limits::TEXT_BYTES_MAX;

use crate::answer;
use crate::client::Client;
use crate::engine::Step;
use crate::error::ClientError;
use crate::people::no_chat;
use crate::store::{ChatRow, Deleted, Field, MessageRow, Thing, Tx};
use crate::talk;
use crate::view::{ChatKind, Message};

impl Client {
    /// Keeps a chat silent until `until_ms`, ms since 1970-01-01 UTC; [`crate::view::FOREVER_MS`], or 0 = not.
    pub fn mute(&self, chat: ChatId, until_ms: u64) -> Result<(), ClientError> {
        let until_ms = until_ms.min(crate::view::FOREVER_MS);
        self.set(chat, |_, _| Ok(ChatSetting::MutedUntil(until_ms)))
    }

    /// Puts a chat away, or fetches it back. What somebody says there fetches it back too, unless it is muted.
    pub fn archive(&self, chat: ChatId, archived: bool) -> Result<(), ClientError> {
        self.set(chat, |step, row| {
            let from = reached(step.tx, row)?.filter(|_| archived);
            Ok(ChatSetting::Archived { archived, from })
        })
    }

    /// Puts a chat above the others, or among them again.
    pub fn pin_chat(&self, chat: ChatId, pinned: bool) -> Result<(), ClientError> {
        self.set(chat, |_, _| Ok(ChatSetting::Pinned(pinned)))
    }

    /// Keeps what was begun to be written to a chat, at most 64 KiB; empty forgets it.
    pub fn set_draft(&self, chat: ChatId, text: &str) -> Result<(), ClientError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ClientError::TooLarge(format!(
                "the draft has {} bytes; at most {TEXT_BYTES_MAX} fit",
                text.len()
            )));
        }
        self.set(chat, |_, _| Ok(ChatSetting::Draft(text.to_owned())))
    }

    /// Sends a chat's draft; it is no draft any more then.
    pub fn send_draft(&self, chat: ChatId) -> Result<Message, ClientError> {
        let sent = self.engine().step(|step| {
            let draft = step.tx.settings(chat)?.draft;
            if draft.is_empty() {
                return Err(ClientError::NotFound(
                    "the chat has no draft; write one with `conclave draft`".into(),
                ));
            }
            let sent = crate::send::queue(step, chat, &draft)?;
            set(step, chat, &ChatSetting::Draft(String::new()))?;
            Ok(sent)
        });
        self.wake();
        sent
    }

    /// Shows a chat as unread, until it is marked as read.
    pub fn mark_unread(&self, chat: ChatId) -> Result<(), ClientError> {
        self.set(chat, |_, _| Ok(ChatSetting::MarkedUnread(true)))
    }

    /// Deletes everything that is in a chat for this account alone, but what waits to be sent; how many messages.
    pub fn clear(&self, chat: ChatId) -> Result<u64, ClientError> {
        let count = self.engine().step(|step| {
            let row = chat_of_people(step.tx, chat)?;
            let before = step.tx.shown(chat)?;
            for target in step.tx.placeless(chat)? {
                delete_for_me(step, chat, target)?;
            }
            if let Some(to) = reached(step.tx, &row)? {
                let setting = ChatSetting::Cleared(to);
                put(step, chat, &setting)?;
                step.tx.share(Thing::Chat(chat, Field::Cleared))?;
            }
            Ok(before.saturating_sub(step.tx.shown(chat)?))
        });
        self.wake();
        count
    }

    /// Takes a message away from this account alone, on all its devices. Nothing is told to the others.
    pub fn delete_for_me(&self, id: MessageId) -> Result<(), ClientError> {
        self.engine().step(|step| {
            let row = talk::find(step, id)?;
            delete_for_me(step, row.chat_id, row.name())
        })?;
        self.wake();
        Ok(())
    }

    fn set(
        &self,
        chat: ChatId,
        setting: impl FnOnce(&Step<'_>, &ChatRow) -> Result<ChatSetting, ClientError>,
    ) -> Result<(), ClientError> {
        self.engine().step(|step| {
            let row = chat_of_people(step.tx, chat)?;
            let setting = setting(step, &row)?;
            set(step, chat, &setting)
        })?;
        self.wake();
        Ok(())
    }
}

/// A chat that people see.
fn chat_of_people(tx: &Tx<'_>, chat: ChatId) -> Result<ChatRow, ClientError> {
    let row = tx.chat(chat)?.filter(|row| row.kind != ChatKind::Own);
    row.ok_or_else(|| no_chat(&chat.to_string()))
}

/// How far this device has read a chat's log.
fn reached(tx: &Tx<'_>, chat: &ChatRow) -> Result<Option<LogPlace>, ClientError> {
    let last = match chat.live_log {
        Some(log_id) => Some(log_id),
        None => tx.logs_of(chat.chat_id)?.pop().map(|(log_id, _)| log_id),
    };
    let Some(log_id) = last else {
        return Ok(None);
    };
    let seq = match tx.conversation(log_id)? {
        Some(row) => row.cursor_seq.0,
        // known from an archive alone
        None => tx.last_seq(log_id)?,
    };
    Ok(Some(LogPlace { log_id, seq }))
}

/// Sets something here, and tells the other own devices unless it was so.
pub(crate) fn set(step: &Step<'_>, chat: ChatId, setting: &ChatSetting) -> Result<(), ClientError> {
    let before = step.tx.settings(chat)?;
    put(step, chat, setting)?;
    if before != step.tx.settings(chat)? {
        step.tx.share(Thing::Chat(chat, Field::of(setting)))?;
    }
    Ok(())
}

fn put(step: &Step<'_>, chat: ChatId, setting: &ChatSetting) -> Result<(), ClientError> {
    step.tx.put_setting(chat, setting)?;
    if let ChatSetting::Cleared(to) = setting {
        step.tx.wipe_to(chat, *to)?;
    }
    Ok(())
}

/// Who writes to a chat that was put away fetches it back.
pub(crate) fn wrote(step: &Step<'_>, chat: ChatId) -> Result<(), ClientError> {
    if !step.tx.settings(chat)?.is_archived {
        return Ok(());
    }
    let setting = ChatSetting::Archived {
        archived: false,
        from: None,
    };
    set(step, chat, &setting)
}

/// Takes a message away from this account's devices: content and what was done to it.
pub(crate) fn delete_for_me(
    step: &Step<'_>,
    chat_id: ChatId,
    target: MessageRef,
) -> Result<(), ClientError> {
    hide(step, chat_id, target)?;
    Ok(step.tx.share(Thing::Deleted(target))?)
}

fn hide(step: &Step<'_>, chat_id: ChatId, target: MessageRef) -> Result<(), ClientError> {
    step.tx.wipe_message(target, Deleted::ForMe, None)?;
    step.tx.forget_acts_on(chat_id, target)?;
    talk::settle(step, chat_id, target)
}

// --- what own devices say -----------------------------------------------------------------------

/// A device came into the own conversation by this one's hand: what it is told of chats.
pub(crate) fn tell_everything(step: &Step<'_>) -> Result<(), ClientError> {
    for chat in step.tx.chats()? {
        let row = step.tx.settings(chat.chat_id)?;
        for field in Field::ALL {
            let is_set = match field {
                Field::Muted => row.muted_until_ms != 0,
                Field::Archived => row.is_archived,
                Field::Pinned => row.is_pinned,
                Field::Draft => !row.draft.is_empty(),
                Field::MarkedUnread => row.marked_unread,
                Field::Cleared => row.cleared.is_some(),
                // a device of this account lets it in without asking
                Field::Answered => false,
            };
            if is_set {
                step.tx.share(Thing::Chat(chat.chat_id, field))?;
            }
        }
    }
    for log_id in step.tx.logs_read()? {
        step.tx.share(Thing::Read(log_id))?;
    }
    Ok(step.tx.share(Thing::AllDeleted)?)
}

/// The value of one setting as it is now; `None` when the chat is gone, or no other device could know it.
pub(crate) fn item(
    step: &Step<'_>,
    chat_id: ChatId,
    field: Field,
) -> Result<Option<SyncItem>, ClientError> {
    let Some(chat) = step.tx.chat(chat_id)? else {
        return Ok(None);
    };
    if field == Field::Answered {
        return Ok(answer::item(step, &chat)?.map(SyncItem::Chat));
    }
    let log_id = match chat.live_log {
        Some(log_id) => Some(log_id),
        None => step.tx.logs_of(chat_id)?.pop().map(|(log_id, _)| log_id),
    };
    let name = match (chat.peer, log_id) {
        (Some(peer), _) => ChatName::With(peer),
        (None, Some(log_id)) => ChatName::Of(log_id),
        (None, None) => return Ok(None),
    };
    let row = step.tx.settings(chat_id)?;
    let setting = match field {
        Field::Muted => ChatSetting::MutedUntil(row.muted_until_ms),
        Field::Archived => {
            // Of a log that a new device never sees nothing could be told: it is said anew of the live one.
            let is_past = row.archived_from.map(|from| from.log_id) != chat.live_log;
            let is_quiet = !step.tx.is_later(row.news, row.archived_from)?;
            let from = match reached(step.tx, &chat)? {
                Some(now) if is_past && is_quiet => Some(now),
                _ => row.archived_from,
            };
            ChatSetting::Archived {
                archived: row.is_archived,
                from: from.filter(|_| row.is_archived),
            }
        }
        Field::Pinned => ChatSetting::Pinned(row.is_pinned),
        Field::Draft => ChatSetting::Draft(row.draft),
        Field::MarkedUnread => ChatSetting::MarkedUnread(row.marked_unread),
        Field::Cleared => match row.cleared {
            Some(to) => ChatSetting::Cleared(to),
            None => return Ok(None),
        },
        // taken above
        Field::Answered => return Ok(None),
    };
    Ok(Some(SyncItem::Chat(SyncChat {
        chat: name,
        setting,
    })))
}

/// Another own device set something.
pub(crate) fn told(step: &Step<'_>, said: &SyncChat) -> Result<(), ClientError> {
    let field = Field::of(&said.setting);
    if let ChatSetting::Answered { accepted, seq } = said.setting {
        return answer::told(step, said, accepted, seq);
    }
    let Some(chat_id) = known(step.tx, said)? else {
        let item = SyncItem::Chat(said.clone()).to_bytes();
        return Ok(step.tx.keep_setting(said.chat, field, &item)?);
    };
    step.tx.end_setting_wait(said.chat, field)?;
    // C-126, C-202: this device's own value comes later in the log; but what was cleared stays so
    if field != Field::Cleared && step.tx.is_sharing(Thing::Chat(chat_id, field))? {
        return Ok(());
    }
    put(step, chat_id, &said.setting)
}

/// The chat here that is meant, once it and the place in it are known.
fn known(tx: &Tx<'_>, said: &SyncChat) -> Result<Option<ChatId>, ClientError> {
    let chat_id = match said.chat {
        ChatName::With(account) => tx.chat_with(account)?.map(|chat| chat.chat_id),
        ChatName::Of(log_id) => match tx.conversation(log_id)? {
            Some(row) => Some(row.chat_id),
            None => tx.archived_chat_of(log_id)?,
        },
    };
    let place = match &said.setting {
        ChatSetting::Archived { from, .. } => *from,
        ChatSetting::Cleared(to) => Some(*to),
        _ => None,
    };
    if let Some(place) = place
        && tx.ordinal_of(place.log_id)?.is_none()
    {
        return Ok(None);
    }
    let chat = chat_id.map(|chat_id| tx.chat(chat_id)).transpose()?;
    // One that is being joined is held there until it is known where it belongs.
    let chat = chat.flatten().filter(|chat| chat.kind != ChatKind::Own);
    Ok(chat.map(|chat| chat.chat_id))
}

/// Part of a round: what waits for a chat or a log that came since is set now.
pub(crate) fn tend(step: &Step<'_>) -> Result<(), ClientError> {
    for item in step.tx.waiting_settings()? {
        if let Some(SyncItem::Chat(said)) = SyncItem::parse(&item) {
            told(step, &said)?;
        }
    }
    Ok(())
}

/// C-202: what was deleted on another own device goes here too, or when it comes.
pub(crate) fn deleted_elsewhere(
    step: &Step<'_>,
    targets: &[MessageRef],
) -> Result<(), ClientError> {
    for target in targets.iter().copied() {
        match step.tx.message(target.sender, target.message_id)? {
            Some(row) if row.deleted == Deleted::ForMe => {}
            Some(row) => hide(step, row.chat_id, target)?,
            None => step.tx.hide(target)?,
        }
    }
    Ok(())
}

/// A message has its place: what was read, deleted or cleared on another device before it came is so here.
pub(crate) fn placed(step: &Step<'_>, row: &MessageRow) -> Result<(), ClientError> {
    if step.tx.take_hidden(row.name())? {
        hide(step, row.chat_id, row.name())?;
    }
    let (Some(log_id), Some(seq)) = (row.log_id, row.seq) else {
        return Ok(());
    };
    let at = LogPlace { log_id, seq };
    if !row.own {
        step.tx.raise_news(row.chat_id, at)?;
        // C-203: read is read, whichever comes first
        if !row.is_read && step.tx.own_read(log_id)? >= seq {
            step.tx.mark_read_to(log_id, seq)?;
        }
    }
    let cleared = step.tx.settings(row.chat_id)?.cleared;
    if cleared.is_some() && !step.tx.is_later(Some(at), cleared)? && row.deleted != Deleted::ForMe {
        hide(step, row.chat_id, row.name())?;
    }
    Ok(())
}
