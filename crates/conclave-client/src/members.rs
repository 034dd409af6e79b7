//! What happens when members of a conversation change: names, marks, revoked devices, leaving and being removed.

use conclave_core::conversation::{Applied, Change, Conversation, ConversationKind, Member};
use conclave_core::credential::{Accounts as _, Wanted};
use conclave_core::mls_store::MlsRows as _;
use conclave_proto::id::{AccountId, ChatId};

use crate::content::raise_states;
use crate::engine::{Step, person};
use crate::error::ClientError;
use crate::intent;
use crate::membership::{Intent, want_soon};
use crate::note;
use crate::outbox::fail;
use crate::recover;
use crate::rejoin;
use crate::store::{ChatRow, ChatStage, ConversationRow, IntentKind, Stage};
use crate::trust;
use crate::view::ChatKind;

/// Why a group stands still that lets somebody in under a key that this person has not accepted; behind it who.
pub(crate) const NEW_KEY_INSIDE: &str = "somebody in it has a new identity key that nobody vouches for; compare the \
     safety number, then accept it with `conclave safety accept`";

/// Whose key that is by the reason of such a group, as commands take them.
pub(crate) fn awaited_key(reason: &str) -> Option<&str> {
    reason.strip_prefix(NEW_KEY_INSIDE)?.strip_prefix(": ")
}

/// Why a chat is over that this account left by itself.
pub(crate) const LEFT: &str = "you left the group";

/// A commit was merged: what the chat shows and what is wanted of it follow.
pub(crate) fn changed(
    step: &mut Step<'_>,
    row: &mut ConversationRow,
    group: &Conversation,
    applied: &Applied,
    seq: u64,
) -> Result<(), ClientError> {
    if group.context().kind == ConversationKind::Group {
        // C-168
        note::changed(step, row, group, applied, seq)?;
    }
    intent::settle(step, row.chat_id, group)?;
    rejoin::changed(step, row, applied)?;
    let Some(mut chat) = step.tx.chat(row.chat_id)? else {
        return Ok(());
    };
    let name = group.context().name();
    if chat.kind == ChatKind::Group && chat.name != name {
        name.clone_into(&mut chat.name);
        step.tx.put_chat(&chat)?;
    }
    let own = step.own.account.device.account_id;
    for account in newcomers(group, applied) {
        // What was said before they came is no concern of theirs.
        step.tx.raise_mark(row.log_id, account, seq, seq)?;
        row.profile_due |= account != own;
    }
    if applied.added.is_empty() && applied.removed.is_empty() {
        return Ok(());
    }
    raise_states(step, row, &group.people())
}

/// Accounts that were not inside before.
pub(crate) fn newcomers(group: &Conversation, applied: &Applied) -> Vec<AccountId> {
    let members = group.members();
    let is_new = |member: &Member| applied.added.iter().any(|added| added.leaf == member.leaf);
    let was_in = |account: AccountId| {
        let of = |member: &&Member| member.account_id == account;
        applied
            .removed
            .iter()
            .any(|removed| removed.account_id == account)
            || members.iter().filter(of).any(|member| !is_new(member))
    };
    let mut accounts: Vec<_> = applied.added.iter().map(|added| added.account_id).collect();
    accounts.sort();
    accounts.dedup();
    accounts.retain(|account| !was_in(*account));
    accounts
}

/// This device was taken out of a group: what was read stays, nothing is written any more. No successor is
/// tried: the others go on without it (C-109).
pub(crate) fn left(
    step: &mut Step<'_>,
    row: &ConversationRow,
    chat: ChatRow,
    applied: &Applied,
) -> Result<(), ClientError> {
    let own = step.own.account.device.account_id;
    let reason = match &applied.committer {
        _ if chat.stage == ChatStage::Left => chat.reason.clone(),
        Some(by) if by.account_id == own => {
            "another device of this account took this one out of the group".to_owned()
        }
        Some(by) => format!(
            "{} removed you from the group",
            person(step.tx, by.account_id)?.label()
        ),
        None => LEFT.to_owned(),
    };
    if chat.stage != ChatStage::Left {
        step.warn(format!(
            "{}: {reason}; what was written stays readable",
            chat.name
        ));
    }
    if let Some(by) = &applied.committer {
        note::cast_out(step, row, by.account_id)?;
    }
    retire(step, row, chat, &reason)
}

/// Ends a group here: its keys go, its rows stay.
pub(crate) fn retire(
    step: &mut Step<'_>,
    row: &ConversationRow,
    chat: ChatRow,
    reason: &str,
) -> Result<(), ClientError> {
    let log_id = row.log_id;
    step.tx.put_conversation(&ConversationRow {
        stage: Stage::Broken,
        create_request: None,
        pending_bundle: None,
        pending_blobs: None,
        ..row.clone()
    })?;
    fail_texts(step, chat.chat_id, reason)?;
    step.tx.drop_silent_outbox(log_id)?;
    step.tx.delete_posts_of(log_id)?;
    step.tx.delete_intents_of(chat.chat_id)?;
    step.tx.delete_group(log_id.as_bytes())?;
    Ok(step.tx.put_chat(&ChatRow {
        stage: ChatStage::Left,
        reason: reason.to_owned(),
        live_log: None,
        ..chat
    })?)
}

/// What was not sent when a group ended for this account never will be.
pub(crate) fn fail_texts(
    step: &mut Step<'_>,
    chat_id: ChatId,
    reason: &str,
) -> Result<(), ClientError> {
    for text in step.tx.waiting_texts(chat_id)? {
        fail(step, &text, reason)?;
    }
    Ok(())
}

/// Somebody says that they leave: whoever may takes them out.
pub(crate) fn is_leaving(
    step: &mut Step<'_>,
    row: &ConversationRow,
    sender: &Member,
    seq: u64,
) -> Result<(), ClientError> {
    let account = sender.account_id;
    note::left(step, row, account, seq, false)?;
    if account == step.own.account.device.account_id {
        // Said on another own device.
        if let Some(chat) = step.tx.chat(row.chat_id)? {
            step.tx.put_chat(&ChatRow {
                stage: ChatStage::Left,
                reason: LEFT.to_owned(),
                ..chat
            })?;
        }
        return Ok(());
    }
    let group = step.group(row.log_id)?;
    let theirs = group.members().into_iter();
    let theirs = theirs.filter(|member| member.account_id == account);
    let changes: Vec<_> = theirs
        .map(|member| Change::Remove { leaf: member.leaf })
        .collect();
    let accounts = step.tx.known_accounts(&step.own.known);
    if group.check_change(&accounts, &changes).is_ok() {
        want_soon(step, row.chat_id, Intent::RemovePerson { account })?;
    }
    Ok(())
}

/// Whether this account still gives up its rights in a group that it leaves.
pub(crate) fn is_giving_up(step: &Step<'_>, chat_id: ChatId) -> Result<bool, ClientError> {
    let own = step.own.account.device.account_id;
    let intents = step.tx.intents_of(chat_id)?;
    Ok(intents.iter().any(|intent| {
        intent.kind == IntentKind::SetRole && intent.account_id == own && intent.reason.is_empty()
    }))
}

/// Who of those whose states are `wanted` shows a new key that this person has not decided about, as commands take them.
pub(crate) fn undecided(step: &Step<'_>, wanted: &[Wanted]) -> Result<Option<String>, ClientError> {
    for account in wanted.iter().map(|wanted| wanted.account_id()) {
        let contact = step.tx.contact(account)?;
        if contact.is_some_and(|contact| contact.changed.is_some()) {
            return Ok(Some(trust::name(step.tx, account)?));
        }
    }
    Ok(None)
}

/// Whether an account is in a group that this device is in.
pub(crate) fn is_beside(step: &Step<'_>, account: AccountId) -> Result<bool, ClientError> {
    for row in step.tx.active_conversations()? {
        let chat = step.tx.chat(row.chat_id)?;
        let is_group = chat.is_some_and(|chat| chat.kind == ChatKind::Group);
        if is_group && step.group(row.log_id)?.people().contains(&account) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// C-163: the person accepted an account's new key. Its places in groups under the key before are made anew, and
/// groups that waited for this go on.
pub(crate) fn key_accepted(step: &Step<'_>, account: AccountId) -> Result<(), ClientError> {
    for chat in step.tx.chats()? {
        if chat.stage == ChatStage::Paused && chat.reason.starts_with(NEW_KEY_INSIDE) {
            step.tx.put_chat(&ChatRow {
                stage: ChatStage::Open,
                reason: String::new(),
                ..chat
            })?;
        }
    }
    let known = step.tx.known_accounts(&step.own.known).known(account);
    let Some(known) = known else {
        return Ok(());
    };
    // C-136: places under a key that was replaced under its own signature hold, and follow by themselves
    let used = known.state().keys_used();
    for row in step.tx.active_conversations()? {
        let chat = step.tx.chat(row.chat_id)?;
        if row.stage != Stage::Live || chat.is_none_or(|chat| chat.kind != ChatKind::Group) {
            continue;
        }
        let group = step.group(row.log_id)?;
        for member in group.members() {
            let is_left =
                member.account_id == account && !used.contains(&member.identity_fingerprint);
            if is_left {
                let device = member.device_id;
                want_soon(step, row.chat_id, Intent::Readd { account, device })?;
            }
        }
        drop_revoked_from(step, row.chat_id, &group, account)?;
    }
    Ok(())
}

/// An account's newer state was accepted: devices that it lists no more go out of every conversation (C-107).
pub(crate) fn drop_revoked(step: &mut Step<'_>, account: AccountId) -> Result<(), ClientError> {
    if let Some(chat) = step.tx.chat_with(account)? {
        end_deserted(step, chat.chat_id, account)?;
    }
    for row in step.tx.active_conversations()? {
        if row.stage != Stage::Live {
            continue;
        }
        let group = step.group(row.log_id)?;
        drop_revoked_from(step, row.chat_id, &group, account)?;
    }
    Ok(())
}

/// C-156: of the conversations of two with `peer`, those end that nobody would read on in; and beside the one that
/// goes on, those with a removed device inside: no commit takes it out of them.
pub(crate) fn end_deserted(
    step: &mut Step<'_>,
    chat_id: ChatId,
    peer: AccountId,
) -> Result<(), ClientError> {
    let Some(chat) = step.tx.chat(chat_id)? else {
        return Ok(());
    };
    let mut rows = step.tx.conversations_of(chat_id)?;
    rows.retain(|row| row.stage != Stage::Broken);
    let mut open = Vec::new();
    for row in &rows {
        let (listed, revoked) = count(step, &step.group(row.log_id)?, peer);
        if listed > 0 {
            let is_live = chat.live_log == Some(row.log_id);
            open.push((!is_live, revoked > 0, row.log_id));
        }
    }
    // C-058
    let best = open.iter().min().map(|(.., log_id)| *log_id);
    let goes_on = chat.live_log.and(best);
    if chat.live_log != goes_on {
        step.tx.put_chat(&ChatRow {
            live_log: goes_on,
            ..chat
        })?;
    }
    let stays = |row: &ConversationRow| {
        let found = open.iter().find(|(.., log_id)| *log_id == row.log_id);
        found.is_some_and(|(_, has_revoked, log_id)| {
            !has_revoked || goes_on.is_none_or(|live| live == *log_id)
        })
    };
    for row in rows.into_iter().filter(|row| !stays(row)) {
        // What none of them confirmed is said again where the chat goes on.
        recover::retire(step, row)?;
    }
    Ok(())
}

/// How many devices of an account in a conversation its accepted state lists, and how many not.
fn count(step: &Step<'_>, group: &Conversation, account: AccountId) -> (usize, usize) {
    let accounts = step.tx.known_accounts(&step.own.known);
    let members = group.members().into_iter();
    let theirs = members.filter(|member| member.account_id == account);
    let (revoked, listed): (Vec<_>, Vec<_>) =
        theirs.partition(|member| intent::is_revoked(&accounts, member));
    (listed.len(), revoked.len())
}

/// Whether a device that the account's accepted state lists is in a conversation.
pub(crate) fn has_listed(step: &Step<'_>, group: &Conversation, account: AccountId) -> bool {
    count(step, group, account).0 > 0
}

/// The same in one conversation: a device may have been let in by who did not know yet. With a device that is gone,
/// what it promised may be gone: others of the account that have done nothing in a group since they came in may have
/// been let in by it and never heard of it, and are put in anew (C-184).
pub(crate) fn drop_revoked_from(
    step: &Step<'_>,
    chat_id: ChatId,
    group: &Conversation,
    account: AccountId,
) -> Result<(), ClientError> {
    let accounts = step.tx.known_accounts(&step.own.known);
    let mut others = group.members();
    others.retain(|member| member.account_id == account && member.leaf != group.own_leaf());
    let (gone, listed): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|member| intent::is_revoked(&accounts, member));
    for member in &gone {
        let device = member.device_id;
        want_soon(step, chat_id, Intent::RemoveDevice { account, device })?;
    }
    if gone.is_empty() || group.context().kind != ConversationKind::Group {
        return Ok(());
    }
    for member in listed.iter().filter(|member| group.is_as_added(member)) {
        let device = member.device_id;
        want_soon(step, chat_id, Intent::Readd { account, device })?;
    }
    Ok(())
}
