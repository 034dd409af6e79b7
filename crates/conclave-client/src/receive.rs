//! The way in, engine half: one transaction around the MLS step, the message rows and the cursor (C-050).
//!
//! Each entry is tried in a savepoint: an entry that cannot be applied is rolled back alone, and the
//! group in memory, which is then ahead of the disk, is dropped and loaded again.

use std::collections::BTreeSet;

use conclave_core::content::Content;
use conclave_core::conversation::{Applied, ApplyError, Conversation, Member, Opened, Unreadable};
use conclave_core::credential::{LeafError, Wanted};
use conclave_core::leaf::LeafNodeError;
use conclave_proto::id::{Day, Epoch, Hash32, LogId, Seq};
use conclave_proto::label;
use conclave_proto::limits::{HEAL_SPACING_MS, RETENTION_DAYS};
use conclave_proto::log::{Entry, EntryKind};

use crate::content::{Audience, apply_content, placeholder, position, unreadable};
use crate::engine::{Step, person};
use crate::error::ClientError;
use crate::event::Event;
use crate::recover;
use crate::store::{ConversationRow, OutboxKind, OutboxRow};
use crate::successor::{self, Why};
use crate::sync::CheckedPage;
use crate::view::{ChatKind, MessageState, Offence};
use crate::{invite, members, own_sync, rejoin, restored, settings, talk};

/// Why a chat pauses whose commit only a newer program can judge; it goes on by itself once that one is here.
pub(crate) const NEEDS_NEWER: &str = "it needs a newer version of conclave";

/// What applying a page did.
#[derive(Debug, Default)]
pub(crate) struct PageOutcome {
    /// Something changed.
    pub(crate) progress: bool,
    /// The conversation cannot be read on for now.
    pub(crate) stuck: bool,
    /// These states are needed to read on.
    pub(crate) missing: Vec<Wanted>,
}

/// How an entry left the conversation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Applied; the cursor moves over it.
    Done,
    /// Not applied; the cursor stays before it.
    Stuck,
    /// Not applied before these states were asked for.
    Missing(Vec<Wanted>),
}

/// Applies a verified page to the conversation, entry by entry. `tried` are states that were fetched
/// already: what is refused under them is refused.
pub(crate) fn apply_page(
    step: &mut Step<'_>,
    log_id: LogId,
    page: CheckedPage,
    tried: &BTreeSet<Wanted>,
) -> Result<PageOutcome, ClientError> {
    let mut outcome = PageOutcome::default();
    let Some(mut row) = step.tx.conversation(log_id)? else {
        return Ok(outcome);
    };
    let mut group: Option<Conversation> = None;
    for (entry, kind, hash) in &page.entries {
        let applied = match (entry.is_expired(), kind) {
            (true, _) => expired(step, &mut row, entry, *kind)?,
            (false, EntryKind::Commit) => {
                let at = (entry, *hash);
                commit(step, &mut row, &mut group, at, tried)?
            }
            (false, _) => message(step, &mut row, &mut group, entry)?,
        };
        if applied != Outcome::Done {
            outcome.stuck = true;
            if let Outcome::Missing(accounts) = applied {
                outcome.missing = accounts;
            }
            outcome.progress = true;
            // What was applied before this entry stays; a conversation that broke wrote its row itself.
            if !step.tx.is_broken(log_id)? {
                step.tx.put_conversation(&row)?;
            }
            return Ok(outcome);
        }
        outcome.progress = true;
        row.cursor_seq = Seq(entry.seq);
        row.cursor_hash = *hash;
        step.tx.put_chain(log_id, row.cursor_seq, *hash)?;
    }
    restored::read(step, &row, page.head.incarnation)?;
    row.incarnation = page.head.incarnation;
    row.read_ms = step.now_ms;
    row.signed_head = Some(page.signed_head);
    step.tx.put_conversation(&row)?;
    forgotten(step, &row)?;
    Ok(outcome)
}

/// Rows that the server said it took must have been met by now. One that was not is proof; the person
/// decides whether to send it again, else a lying server would have it sent for ever.
fn forgotten(step: &mut Step<'_>, row: &ConversationRow) -> Result<(), ClientError> {
    let mut sealed = step.tx.sealed_outbox(row.log_id)?;
    sealed.retain(|sealed| sealed.seq.is_some_and(|seq| seq <= row.cursor_seq.0));
    for lost in &sealed {
        step.tx.unseal_outbox(lost)?;
        if let Some(message_id) = lost.message_id {
            let state = MessageState::Queued;
            step.tx.set_message_state(message_id, state, "")?;
            step.moved(row.chat_id, message_id, state);
        }
    }
    if !sealed.is_empty() {
        step.tx.put_evidence(
            "a message the server accepted is not in the log",
            row.log_id.as_bytes(),
            step.now_ms,
        )?;
        recover::pause(step, row, "the server accepted a message and lost it")?;
    }
    let is_live = step
        .tx
        .chat(row.chat_id)?
        .is_some_and(|chat| chat.live_log == Some(row.log_id));
    if !is_live {
        // C-058: this log was read to its head; what it does not hold goes to the live one.
        for sealed in step
            .tx
            .sealed_outbox(row.log_id)?
            .iter()
            .filter(|row| row.kind.is_talk())
        {
            if sealed.seq.is_none() {
                step.tx.unseal_outbox(sealed)?;
            }
        }
    }
    Ok(())
}

/// C-026: the payload is gone. A message is a gap; a commit is the end of what this device can follow.
fn expired(
    step: &mut Step<'_>,
    row: &mut ConversationRow,
    entry: &Entry,
    kind: EntryKind,
) -> Result<Outcome, ClientError> {
    if kind == EntryKind::Commit {
        let reason = "this device was away longer than the server keeps key changes";
        if !rejoin::strand(step, row, reason)? {
            recover::break_off(step, row.clone(), reason)?;
        }
        return Ok(Outcome::Stuck);
    }
    if let Some(sealed) = own_by_hash(step, row.log_id, entry)? {
        own_entry(step, row, entry, &sealed)?;
        return Ok(Outcome::Done);
    }
    step.events.push(Event::Gap {
        chat: row.chat_id,
        from: entry.seq,
        to: entry.seq,
    });
    let hash = entry.payload_hash().unwrap_or(row.cursor_hash);
    placeholder(
        step,
        row,
        entry,
        hash,
        "the server had dropped it before this device read it",
    )?;
    // What came after the last read is younger than the time since then.
    let away_days = step.now_ms.saturating_sub(row.read_ms) / Day::MS;
    if away_days < u64::from(RETENTION_DAYS) {
        step.warn(format!(
            "the server dropped a message before its {RETENTION_DAYS} days were over; ask its operator"
        ));
    }
    Ok(Outcome::Done)
}

/// The own row whose bytes an expired entry held: it was accepted all the same.
fn own_by_hash(
    step: &Step<'_>,
    log_id: LogId,
    entry: &Entry,
) -> Result<Option<OutboxRow>, ClientError> {
    let rows = step.tx.sealed_outbox(log_id)?;
    Ok(rows.into_iter().find(|row| {
        let hash = row.sealed.as_deref().map(label::sha256);
        hash.is_some() && hash == entry.payload_hash()
    }))
}

fn group<'g>(
    step: &Step<'_>,
    log_id: LogId,
    slot: &'g mut Option<Conversation>,
) -> Result<&'g mut Conversation, ClientError> {
    match slot {
        Some(group) => Ok(group),
        None => Ok(slot.insert(step.group(log_id)?)),
    }
}

// --- commits ----------------------------------------------------------------------------------

/// Steps, checks and merges a commit, or leaves everything as it was.
fn commit(
    step: &mut Step<'_>,
    row: &mut ConversationRow,
    slot: &mut Option<Conversation>,
    (entry, hash): (&Entry, Hash32),
    tried: &BTreeSet<Wanted>,
) -> Result<Outcome, ClientError> {
    group(step, row.log_id, slot)?;
    let Some(mut group) = slot.take() else {
        return Ok(Outcome::Stuck);
    };
    let accounts = step.tx.known_accounts(&step.own.known);
    let outside = step.outside();
    let applied = step.tx.attempt(|| {
        let applied = group.apply_commit(outside, &accounts, &entry.payload, row.epoch);
        applied.map_err(Attempt::Refused)
    });
    match applied {
        Ok(applied) => {
            let outcome = merged(step, row, &group, &applied, (entry.seq, hash))?;
            *slot = Some(group);
            Ok(outcome)
        }
        Err(Attempt::Store(error)) => Err(error.into()),
        Err(Attempt::Refused(error)) => {
            let mut missing = error.missing();
            missing.retain(|of| !tried.contains(of));
            if missing.is_empty() {
                refused(step, row, error)
            } else {
                Ok(Outcome::Missing(missing))
            }
        }
    }
}

/// Why an attempt ended: the store, or the commit.
enum Attempt {
    Store(crate::store::StoreError),
    Refused(ApplyError),
}

impl From<crate::store::StoreError> for Attempt {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Store(error)
    }
}

/// What a merged commit means for the conversation.
pub(crate) fn merged(
    step: &mut Step<'_>,
    row: &mut ConversationRow,
    group: &Conversation,
    applied: &Applied,
    at: (u64, Hash32),
) -> Result<Outcome, ClientError> {
    let brought = step.tx.take_pending_welcomes(row.log_id)?;
    if applied.removed_self() {
        return removed(step, row, applied);
    }
    row.epoch = row.epoch.next();
    row.pending_bundle = None;
    row.pending_blobs = None;
    if applied.is_own() {
        row.update_due = false;
        row.updated_ms = step.now_ms;
        row.own_sends = 0;
        if group.has_newest_key(&step.own.account.device) {
            step.tx.end_rekey(row.log_id)?;
        }
        invite::queue_pointers_of(step, row, group, brought, at)?;
        if !applied.added.is_empty() && own_sync::is_own_chat(step, row.chat_id)? {
            own_sync::tell_everything(step)?;
        }
    }
    // C-002: the program that was needed is here.
    recover::resume(step, row.chat_id, NEEDS_NEWER)?;
    members::changed(step, row, group, applied, at.0)?;
    for member in &applied.added {
        members::drop_revoked_from(step, row.chat_id, group, member.account_id)?;
    }
    Ok(Outcome::Done)
}

/// This device was taken out: nothing after this entry is for it.
fn removed(
    step: &mut Step<'_>,
    row: &mut ConversationRow,
    applied: &Applied,
) -> Result<Outcome, ClientError> {
    let chat = step.tx.chat(row.chat_id)?;
    if let Some(chat) = chat.filter(|chat| chat.kind == ChatKind::Group) {
        members::left(step, row, chat, applied)?;
        return Ok(Outcome::Stuck);
    }
    // The person decides whether to talk on.
    let reason = "the other side removed this device from the conversation";
    recover::break_off(step, row.clone(), reason)?;
    recover::pause(step, row, reason)?;
    Ok(Outcome::Stuck)
}

fn refused(
    step: &mut Step<'_>,
    row: &ConversationRow,
    error: ApplyError,
) -> Result<Outcome, ClientError> {
    let chat = step.tx.chat(row.chat_id)?;
    let group = chat.filter(|chat| chat.kind == ChatKind::Group);
    if let (Some(chat), Some(who)) = (&group, members::undecided(step, &error.missing())?) {
        // C-163: held until the person decides; the others may have decided already
        let reason = format!("{}: {who}", members::NEW_KEY_INSIDE);
        if chat.reason != reason {
            recover::pause(step, row, &reason)?;
        }
        return Ok(Outcome::Stuck);
    }
    let reason = blame(step, &error)?;
    match (error, group) {
        (ApplyError::Failed(error), _) => return Err(ClientError::Store(error.to_string())),
        (ApplyError::NeedsNewerVersion, _) => {
            recover::pause(step, row, NEEDS_NEWER)?;
        }
        // C-097: a group goes on by itself, without whoever did it
        (error, Some(chat)) => {
            let guilty = guilty(&error);
            let why = guilty.map_or(Why::Unknown, |by| Why::By(by.account_id, offence(&error)));
            successor::strand(step, chat, row.clone(), &reason, why)?;
        }
        (error, None) => broke(step, row, &error, &reason)?,
    }
    Ok(Outcome::Stuck)
}

/// A conversation of two cannot go on.
fn broke(
    step: &mut Step<'_>,
    row: &ConversationRow,
    error: &ApplyError,
    reason: &str,
) -> Result<(), ClientError> {
    match error {
        ApplyError::NotMember
        | ApplyError::WrongEpoch { .. }
        | ApplyError::Garbage { .. }
        | ApplyError::UnknownOwn { .. }
        | ApplyError::WrongKeys { .. } => recover::break_off(step, row.clone(), reason),
        // Somebody did what nobody may do: the person decides whether to talk on.
        _ => {
            recover::break_off(step, row.clone(), reason)?;
            recover::pause(step, row, reason)
        }
    }
}

/// Who bound themselves to a commit that is refused (C-036), unless the account has cast that device out itself.
fn guilty(error: &ApplyError) -> Option<Member> {
    match error {
        ApplyError::Leaf {
            error: LeafNodeError::Leaf(LeafError::NotListed),
            ..
        } => None,
        error => committer(error),
    }
}

fn offence(error: &ApplyError) -> Offence {
    match error {
        ApplyError::WrongKeys { .. } => Offence::WrongKeys,
        ApplyError::Policy { .. } | ApplyError::Revocation { .. } => Offence::NotAllowed,
        ApplyError::Leaf { .. } | ApplyError::UnknownOwn { .. } => Offence::Forged,
        _ => Offence::Garbage,
    }
}

fn committer(error: &ApplyError) -> Option<Member> {
    match error {
        ApplyError::Garbage { committer, .. } | ApplyError::WrongKeys { committer } => *committer,
        ApplyError::UnknownOwn { bound } => *bound,
        ApplyError::Policy { committer, .. }
        | ApplyError::Leaf { committer, .. }
        | ApplyError::Revocation { committer, .. } => Some(*committer),
        _ => None,
    }
}

/// What is wrong with a commit, and whose it is when it names them (C-036).
fn blame(step: &Step<'_>, error: &ApplyError) -> Result<String, ClientError> {
    let Some(committer) = committer(error) else {
        return Ok(error.to_string());
    };
    let who = if committer.account_id == step.own.account.device.account_id {
        "a device of this account".to_owned()
    } else {
        person(step.tx, committer.account_id)?.label()
    };
    Ok(format!("{error}; it was made by {who}"))
}

// --- messages ---------------------------------------------------------------------------------

fn message(
    step: &mut Step<'_>,
    row: &mut ConversationRow,
    slot: &mut Option<Conversation>,
    entry: &Entry,
) -> Result<Outcome, ClientError> {
    if let Some(sealed) = step.tx.outbox_by_payload(row.log_id, &entry.payload)? {
        if sealed.kind == OutboxKind::Act {
            let own = step.own.account.device.account_id;
            let rights = Audience::of(Some(group(step, row.log_id, slot)?), own).rights;
            talk::own_entry(step, &sealed, rights, &position(row, entry, 1))?;
        }
        own_entry(step, row, entry, &sealed)?;
        return Ok(Outcome::Done);
    }
    let opened = group(step, row.log_id, slot)?.open_message(
        step.outside(),
        &entry.payload,
        Epoch(entry.epoch),
    );
    match opened.map_err(|error| ClientError::Store(error.to_string()))? {
        Opened::Message { sender, content } => match Content::decode_padded(&content) {
            Ok(content) => {
                let audience = Audience::of(slot.as_ref(), sender.account_id);
                apply_content(step, row, entry, &sender, content, &audience)?;
            }
            Err(error) => unreadable(step, row, entry, &error.to_string())?,
        },
        Opened::Own => copied(step, row)?,
        Opened::Unreadable(reason) => {
            if reason == Unreadable::Closed {
                heal(step, row);
            }
            unreadable(step, row, entry, &reason.to_string())?;
        }
    }
    Ok(Outcome::Done)
}

/// C-080: in a new epoch every ratchet starts anew, so that what the sender says next can be read.
fn heal(step: &Step<'_>, row: &mut ConversationRow) {
    row.update_due |= step.now_ms.abs_diff(row.updated_ms) >= HEAL_SPACING_MS;
}

/// One's own bytes in the log: accepted, wherever the reply went.
fn own_entry(
    step: &mut Step<'_>,
    row: &ConversationRow,
    entry: &Entry,
    sealed: &OutboxRow,
) -> Result<(), ClientError> {
    if let Some(message_id) = sealed.message_id {
        let own = step.own.account.device.account_id;
        step.tx
            .place_message(own, message_id, &position(row, entry, 1))?;
        if let Some(written) = step.tx.message(own, message_id)? {
            settings::placed(step, &written)?;
        }
        if step.tx.accept_message(message_id)? {
            step.moved(row.chat_id, message_id, MessageState::Accepted);
        }
    }
    step.tx.delete_outbox(sealed.id)?;
    Ok(())
}

/// An entry under our own leaf that this profile did not write: a copy of the profile, or a member who
/// pretends so. A fresh leaf shuts a copy out; within a day only a warning, since a member can fake it.
fn copied(step: &mut Step<'_>, row: &mut ConversationRow) -> Result<(), ClientError> {
    let again = row.copied_ms != 0 && step.now_ms.saturating_sub(row.copied_ms) < Day::MS;
    row.update_due |= !again;
    row.copied_ms = step.now_ms;
    step.warn(
        "a message under this device's name was not written here: a copy of this profile may be in use; \
         never run a copied or restored profile",
    );
    // Sealed under keys that the copy has used, these may be closed to everybody: said again under the same
    // ids, so that whoever could read them keeps the first (C-052).
    for sealed in step.tx.sealed_outbox(row.log_id)? {
        if let (true, Some(message_id)) = (sealed.kind.is_talk(), sealed.message_id) {
            step.tx.say_again(row.chat_id, message_id, sealed.kind)?;
        }
    }
    Ok(())
}
