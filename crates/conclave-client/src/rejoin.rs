//! Groups that this device cannot follow any more: it asks to be put in anew, and answers other devices that ask.
//!
//! 1. key changes that this device did not read are gone from the server: it lost its place, the others did not
//! 2. it asks devices of members, its own account's first, once an hour at most
//! 3. one of them takes the old leaf out and puts the device in with one commit (C-095, C-100, C-101)
//! 4. the welcome leads back into the same log and chat; what was missed in between is one line

use conclave_core::conversation::{Applied, Conversation, ConversationKind, Member};
use conclave_core::credential::Accounts as _;
use conclave_core::inbox_item::{InboxItem, Rejoin, WelcomePointer};
use conclave_core::intro::Introduced;
use conclave_proto::id::{AccountId, ChatId, Day, LogId};
use conclave_proto::limits::SUCCESSOR_SPACING_MS;
use conclave_proto::log::Entry;

use crate::content::placeholder;
use crate::engine::Step;
use crate::error::ClientError;
use crate::event::Event;
use crate::group_link::queue;
use crate::intent::random_below;
use crate::invite::intro;
use crate::membership::{Intent, want_soon};
use crate::net::Net;
use crate::recover;
use crate::restored;
use crate::shared::{Shared, broken, is_local};
use crate::states::fetch_missing;
use crate::store::{
    ChatRow, ChatStage, ContactRow, ConversationRow, IntentKind, InvitationRow, JoinWish, Stage,
    StoreError, StrandedRow, StuckRow, Tx,
};
use crate::transport::TransportError;
use crate::view::ChatKind;

/// Devices that are asked at once.
const ASKED_MAX: usize = 8;
/// What a chat says while nobody has answered.
const OUT_OF_DATE: &str =
    "the invitation was out of date; whoever sent it is asked for another one";

/// This device lost its place in a group that the others go on in. Whether it is one that it can ask to come back to.
pub(crate) fn strand(
    step: &mut Step<'_>,
    row: &ConversationRow,
    reason: &str,
) -> Result<bool, ClientError> {
    let chat = step.tx.chat(row.chat_id)?;
    let is_lost = |chat: &ChatRow| {
        chat.kind == ChatKind::Group
            && chat.live_log == Some(row.log_id)
            && matches!(chat.stage, ChatStage::Open | ChatStage::Paused)
    };
    let Some(chat) = chat.filter(is_lost) else {
        return Ok(false);
    };
    if row.stage != Stage::Live {
        return Ok(false);
    }
    step.tx.put_stranded(&StrandedRow {
        log_id: row.log_id,
        chat_id: row.chat_id,
        asked_ms: 0,
    })?;
    // Should the others have gone on in another log, an owner's or admin's welcome to it is taken (C-097).
    step.tx.put_stuck(&StuckRow {
        log_id: row.log_id,
        chat_id: row.chat_id,
        left_out: vec![],
        due_ms: step.now_ms,
        restored_ms: 0,
    })?;
    recover::retire(step, row.clone())?;
    let name = chat.name.clone();
    step.tx.put_chat(&ChatRow {
        live_log: None,
        ..chat
    })?;
    step.warn(format!(
        "the group {name} cannot be followed ({reason}); its members are asked to let this device in again"
    ));
    Ok(true)
}

/// Step of a round: members of groups that this device lost its place in are asked.
pub(crate) async fn ask_due(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    let waiting = shared.engine().look(|tx, _| Ok(tx.stranded_groups()?));
    for row in waiting.map_err(|error| broken(shared, &error))? {
        let due_ms = row.due_ms(shared.env.now_ms());
        if due_ms > shared.env.now_ms() {
            net.due_at(due_ms);
            continue;
        }
        match ask(shared, net, &row).await {
            Err(error) if is_local(&error) => net.set_aside(None, shared.env.now_ms()),
            done => done?,
        }
    }
    Ok(())
}

/// Groups whose members are to be asked now.
pub(crate) fn asks_due(tx: &Tx<'_>, now_ms: u64) -> Result<u64, StoreError> {
    let waiting = tx.stranded_groups()?.into_iter();
    Ok(waiting.filter(|row| row.due_ms(now_ms) <= now_ms).count() as u64)
}

async fn ask(shared: &Shared, net: &mut Net, row: &StrandedRow) -> Result<(), TransportError> {
    let chosen = shared.engine().step(|step| chosen(step, row));
    let chosen = chosen.map_err(|error| broken(shared, &error))?;
    let mut accounts: Vec<_> = chosen.iter().map(|member| member.account_id).collect();
    accounts.sort();
    accounts.dedup();
    // Their devices of today, after so long.
    if !fetch_missing(shared, net, &accounts).await? {
        return Ok(());
    }
    let posted = shared.engine().step(|step| post(step, row, &chosen));
    posted.map_err(|error| broken(shared, &error))?;
    net.progress = true;
    Ok(())
}

/// The group as this device knew it last: in that very log, or in one that it continues (C-161).
fn last_known(step: &Step<'_>, row: &StrandedRow) -> Result<Option<Conversation>, ClientError> {
    if let Some(group) = Conversation::load(step.tx, row.log_id)? {
        return Ok(Some(group));
    }
    for old in step.tx.conversations_of(row.chat_id)?.iter().rev() {
        if let Some(group) = Conversation::load(step.tx, old.log_id)? {
            return Ok(Some(group));
        }
    }
    Ok(None)
}

/// Whom to ask: other devices of this account, then others at random, so that the next hour finds other ones.
fn chosen(step: &mut Step<'_>, row: &StrandedRow) -> Result<Vec<Member>, ClientError> {
    let Some(group) = last_known(step, row)? else {
        return Ok(vec![]);
    };
    let own = step.own.account.device.account_id;
    let others = group.members().into_iter();
    let others = others.filter(|member| member.leaf != group.own_leaf());
    let mut others: Vec<_> = others
        .map(|member| (random_below(step, u64::from(u32::MAX)), member))
        .collect();
    others.sort_by_key(|(random, member)| (member.account_id != own, *random, member.leaf));
    others.truncate(ASKED_MAX);
    Ok(others.into_iter().map(|(_, member)| member).collect())
}

/// Seals the request to each device of those chosen that its account lists, and queues it.
fn post(step: &mut Step<'_>, row: &StrandedRow, chosen: &[Member]) -> Result<(), ClientError> {
    let log_id = row.log_id;
    for member in chosen {
        let accounts = step.tx.known_accounts(&step.own.known);
        let known = accounts.known(member.account_id);
        let Some(cert) = known
            .as_ref()
            .and_then(|known| known.cert(member.device_id))
        else {
            continue;
        };
        let to = (member.account_id, member.device_id);
        let intro = intro(step, to, log_id, None)?;
        queue(
            step,
            log_id,
            &InboxItem::Rejoin(Rejoin { log_id, intro }),
            cert,
        )?;
    }
    if step.tx.conversation(log_id)?.is_none() {
        // C-161: the others talk there already
        step.tx.hurry_posts_of(log_id, step.now_ms)?;
    }
    Ok(step.tx.put_stranded(&StrandedRow {
        asked_ms: step.now_ms,
        ..row.clone()
    })?)
}

/// A welcome cannot be taken any more because a device that it shows was removed since: the device that sent it is
/// asked to put this one in anew. Whether it can be asked.
pub(crate) fn ask_inviter(step: &Step<'_>, pointer: &WelcomePointer) -> Result<bool, ClientError> {
    let device = &step.own.account.device;
    let log_id = pointer.log_id;
    let introduced = pointer
        .intro
        .verify(device, log_id, Day::of_ms(step.now_ms));
    let (ConversationKind::Group, Ok(introduced)) = (pointer.kind, introduced) else {
        return Ok(false);
    };
    let account = introduced.sender.state().content.account_id;
    let accounts = step.tx.known_accounts(&step.own.known);
    let known = accounts.known(account);
    let cert = known
        .as_ref()
        .and_then(|known| known.cert(introduced.device_id));
    let Some(cert) = cert else {
        return Ok(false);
    };
    let intro = intro(step, (account, introduced.device_id), log_id, None)?;
    queue(
        step,
        log_id,
        &InboxItem::Rejoin(Rejoin { log_id, intro }),
        cert,
    )
}

/// The group of such a welcome is not open here until another one comes, by whoever was asked for it. None comes when
/// this account is out of the group by then.
pub(crate) fn await_another(
    step: &Step<'_>,
    invitation: &InvitationRow,
) -> Result<(), ClientError> {
    let chat = step.tx.chat(invitation.chat_id)?;
    let chat = chat.filter(|chat| chat.kind == ChatKind::Group && chat.live_log.is_none());
    let Some(chat) = chat else {
        // One by another own device: that one lets this one in as soon as it can.
        return Ok(());
    };
    step.tx.put_join_wish(&JoinWish {
        log_id: invitation.log_id,
        chat_id: chat.chat_id,
        asked: vec![invitation.account_id],
        secret: Vec::new(),
    })?;
    Ok(step.tx.put_chat(&ChatRow {
        stage: ChatStage::Paused,
        reason: OUT_OF_DATE.to_owned(),
        ..chat
    })?)
}

/// Whether who asks to be put in anew may: nothing else is done about a request before.
pub(crate) fn may_ask(
    step: &Step<'_>,
    introduced: &Introduced,
    log_id: LogId,
) -> Result<Option<ChatId>, ClientError> {
    let Some(row) = step.tx.conversation(log_id)? else {
        return Ok(None);
    };
    let chat = step.tx.chat(row.chat_id)?;
    let is_open = |chat: &ChatRow| chat.kind == ChatKind::Group && chat.stage == ChatStage::Open;
    if row.stage != Stage::Live || !chat.as_ref().is_some_and(is_open) {
        return Ok(None);
    }
    // C-100: the device that signed is inside, by this device's own view
    let group = step.group(log_id)?;
    let sender = introduced.sender.state().content.account_id;
    let is_inside = group.members().iter().any(|member| {
        member.account_id == sender
            && member.device_id == introduced.device_id
            && member.leaf != group.own_leaf()
    });
    // C-101: once an hour; and what was asked before it was put in anew is granted already
    let (asked_ms, done) = step.tx.readded(log_id, introduced.device_id)?;
    let too_soon = asked_ms != 0 && step.now_ms.abs_diff(asked_ms) < SUCCESSOR_SPACING_MS;
    let is_granted = done.is_some_and(|done| introduced.day.0 <= done.0.saturating_add(1));
    let may = is_inside && !too_soon && !is_granted;
    Ok(may.then_some(row.chat_id))
}

/// Somebody whose identity holds asks for one of their devices: it shall be put in anew. `contact` is `None` when it
/// is another device of this account.
pub(crate) fn asked(
    step: &mut Step<'_>,
    contact: Option<&ContactRow>,
    introduced: &Introduced,
    log_id: LogId,
) -> Result<(), ClientError> {
    let Some(chat_id) = may_ask(step, introduced, log_id)? else {
        return Ok(());
    };
    let (account, device) = (
        introduced.sender.state().content.account_id,
        introduced.device_id,
    );
    let accounts = step.tx.known_accounts(&step.own.known);
    let known = accounts.known(account);
    // C-100: its account lists it still
    let is_listed = known.is_some_and(|known| known.cert(device).is_some());
    if !is_listed || contact.is_some_and(|contact| contact.blocked) {
        return Ok(());
    }
    if let Some(contact) = contact {
        // It lets this device have a key package.
        step.tx.put_contact(&ContactRow {
            own_name: introduced.greeting.name.clone(),
            capability: introduced.greeting.capability.as_bytes().to_vec(),
            ..contact.clone()
        })?;
    }
    let (_, done) = step.tx.readded(log_id, device)?;
    step.tx.put_readded(log_id, device, (step.now_ms, done))?;
    want_soon(step, chat_id, Intent::Readd { account, device })
}

/// A commit was merged: devices that it put in anew need nobody else to do so.
pub(crate) fn changed(
    step: &Step<'_>,
    row: &ConversationRow,
    applied: &Applied,
) -> Result<(), ClientError> {
    for added in &applied.added {
        let is_same = |other: &&Member| {
            other.device_id == added.device_id && other.account_id == added.account_id
        };
        if applied.removed.iter().find(is_same).is_none() {
            continue;
        }
        for intent in step.tx.intents_of(row.chat_id)? {
            let is_it = intent.kind == IntentKind::Readd
                && intent.account_id == added.account_id
                && intent.device_id == Some(added.device_id);
            if is_it {
                step.tx.delete_intent(intent.id)?;
            }
        }
        if applied.is_own() {
            // It waits to talk again, and so do those who would write to it.
            step.tx.hurry_posts_of(row.log_id, step.now_ms)?;
        }
        restored::say_again(step, row)?;
        let (asked_ms, _) = step.tx.readded(row.log_id, added.device_id)?;
        let done = Some(Day::of_ms(step.now_ms));
        step.tx
            .put_readded(row.log_id, added.device_id, (asked_ms, done))?;
    }
    Ok(())
}

/// Whether this device waits to be put into this log anew.
pub(crate) fn is_awaited(step: &Step<'_>, log_id: LogId) -> Result<bool, ClientError> {
    Ok(step.tx.stranded(log_id)?.is_some())
}

/// The chat of the group that this device asked to come back to, when `inviter` could be asked: a member as far as
/// it could follow.
pub(crate) fn chat_of(
    step: &Step<'_>,
    log_id: LogId,
    inviter: AccountId,
) -> Result<Option<ChatRow>, ClientError> {
    let Some(row) = step.tx.stranded(log_id)?.filter(|row| row.asked_ms != 0) else {
        return Ok(None);
    };
    let group = last_known(step, &row)?;
    let is_member = group.is_some_and(|group| group.people().contains(&inviter));
    let chat = step.tx.chat(row.chat_id)?;
    let goes_on = |chat: &ChatRow| matches!(chat.stage, ChatStage::Open | ChatStage::Paused);
    Ok(chat.filter(|chat| is_member && goes_on(chat)))
}

/// This device is in again: one line stands for what it missed.
pub(crate) fn came_back(
    step: &mut Step<'_>,
    before: &ConversationRow,
    row: &mut ConversationRow,
) -> Result<(), ClientError> {
    step.tx.delete_stranded(row.log_id)?;
    step.tx.delete_posts_of(row.log_id)?;
    step.events.push(Event::Gap {
        chat: row.chat_id,
        from: before.cursor_seq.next().0,
        to: row.cursor_seq.0,
    });
    let entry = Entry {
        seq: row.cursor_seq.0,
        epoch: row.epoch.0,
        day: Day::of_ms(step.now_ms).0,
        ..Entry::default()
    };
    let hash = row.cursor_hash;
    placeholder(
        step,
        row,
        &entry,
        hash,
        "what was written while this device could not follow the group was missed",
    )
}
