//! What people do to messages and chats: reactions, edits, deletions, pins, timers. Own ones count at once, and
//! everybody's in the order of the log, so that all devices come to the same.
//!
//! 1. an act is kept under (sender, id), the first stays (C-052)
//! 2. whether its sender may do it is judged by the epoch that it was said in
//! 3. one whose message is not here waits for it (C-175)
//! 4. the message's row is settled: the newest of each kind counts

use conclave_core::content::{Kind, Mention, MessageRef, TextMore};
use conclave_core::conversation::{Conversation, ConversationKind, Role};
use conclave_proto::id::{AccountId, ChatId, MessageId};
use conclave_proto::limits::{ACTS_WAITING_MAX, EDITS_KEPT_MAX};

use crate::engine::{Own, Step, show};
use crate::error::ClientError;
use crate::event::Event;
use crate::net::Net;
use crate::shared::{Shared, broken};
use crate::store::{ActKind, ActRow, Deleted, OutboxRow, Position};
use crate::transport::TransportError;
use crate::view::{Change, Person, Timer};

mod client;
mod show;
pub(crate) mod typing;

pub(crate) use client::find;
#[cfg(test)]
pub(crate) use client::force;
pub(crate) use show::{device_marks, surround, versions, who};

/// What somebody may do beside speaking.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rights {
    is_group: bool,
    is_admin: bool,
}

impl Rights {
    /// What `speaker` may do in the group's current epoch.
    pub(crate) fn of(group: &Conversation, speaker: AccountId) -> Self {
        let context = group.context();
        Self {
            is_group: context.kind == ConversationKind::Group,
            is_admin: context.role(speaker) != Role::Member,
        }
    }

    /// C-171, C-172, C-173: whether `act` is its sender's to do.
    fn allow(self, act: &ActRow) -> bool {
        let is_theirs = act.target.is_some_and(|target| target.sender == act.sender);
        match act.kind {
            ActKind::Reaction => act.target.is_some(),
            ActKind::Edit => is_theirs,
            ActKind::Delete => is_theirs || (self.is_group && self.is_admin),
            ActKind::Pin | ActKind::Timer => !self.is_group || self.is_admin,
        }
    }
}

/// An act as it came in.
pub(crate) struct Done {
    /// Its chat.
    pub(crate) chat_id: ChatId,
    /// Who did it.
    pub(crate) sender: AccountId,
    /// Its id.
    pub(crate) act_id: MessageId,
    /// When, ms since 1970-01-01 UTC, clamped.
    pub(crate) sent_ms: u64,
}

/// The row of an act; `None` for a kind that is none.
fn row_of(done: &Done, kind: Kind) -> Option<ActRow> {
    let none = TextMore::default;
    let (kind, target, body, more, number) = match kind {
        Kind::Reaction { target, emoji } => (ActKind::Reaction, Some(target), emoji, none(), 0),
        Kind::Edit {
            target,
            body,
            mentions,
        } => {
            let more = TextMore { mentions, ..none() };
            (ActKind::Edit, Some(target), body, more, 0)
        }
        Kind::Delete { target } => (ActKind::Delete, Some(target), String::new(), none(), 0),
        Kind::Pin { target, pinned } => {
            let number = u32::from(pinned);
            (ActKind::Pin, Some(target), String::new(), none(), number)
        }
        Kind::Timer { seconds } => (ActKind::Timer, None, String::new(), none(), seconds),
        _ => return None,
    };
    Some(ActRow {
        chat_id: done.chat_id,
        sender: done.sender,
        act_id: done.act_id,
        kind,
        target,
        body,
        more: more.to_bytes(),
        number,
        sent_ms: done.sent_ms,
        place: None,
    })
}

/// What an own act says in the log.
pub(crate) fn kind_of(act: ActRow) -> Option<Kind> {
    let mentions: Vec<Mention> = act.mentions();
    Some(match (act.kind, act.target) {
        (ActKind::Timer, _) => Kind::Timer {
            seconds: act.number,
        },
        (ActKind::Reaction, Some(target)) => Kind::Reaction {
            target,
            emoji: act.body,
        },
        (ActKind::Edit, Some(target)) => Kind::Edit {
            target,
            body: act.body,
            mentions,
        },
        (ActKind::Delete, Some(target)) => Kind::Delete { target },
        (ActKind::Pin, Some(target)) => Kind::Pin {
            target,
            pinned: act.number != 0,
        },
        (_, None) => return None,
    })
}

/// Takes what somebody did. What they may not do is passed over without a word.
pub(crate) fn receive(
    step: &mut Step<'_>,
    done: &Done,
    kind: Kind,
    rights: Rights,
    at: &Position,
) -> Result<(), ClientError> {
    let Some(mut act) = row_of(done, kind).filter(|act| rights.allow(act)) else {
        return Ok(());
    };
    act.place = Some((at.log_id, at.ordinal, at.seq.0));
    keep(step, &act)?;
    Ok(())
}

/// Keeps an act and settles what it is about. Whether it is news.
fn keep(step: &mut Step<'_>, act: &ActRow) -> Result<bool, ClientError> {
    let Some(target) = act.target else {
        let is_new = step.tx.insert_act(act, false)?;
        if is_new {
            settle_timer(step, act.chat_id)?;
            tell(step, act)?;
        }
        return Ok(is_new);
    };
    let there = step.tx.message(target.sender, target.message_id)?;
    let is_void = there.as_ref().is_some_and(|message| {
        // C-174: a message of another conversation is not this one's to change
        message.chat_id != act.chat_id
            || (message.deleted != Deleted::No && act.kind != ActKind::Delete)
    });
    if is_void || !step.tx.insert_act(act, there.is_none())? {
        return Ok(false);
    }
    if there.is_none() {
        // C-175: it waits, and nobody makes this device keep more than so many
        let (chat_id, sender) = (act.chat_id, act.sender);
        step.tx.bound_waiting(chat_id, sender, ACTS_WAITING_MAX)?;
        return Ok(true);
    }
    settle(step, act.chat_id, target)?;
    tell(step, act)?;
    Ok(true)
}

/// Takes in what an own device wrote down of what somebody did. Nobody is told.
pub(crate) fn take_in(step: &Step<'_>, act: &ActRow) -> Result<(), ClientError> {
    let there = match act.target {
        Some(target) => step.tx.message(target.sender, target.message_id)?,
        None => None,
    };
    let is_elsewhere = there.is_some_and(|message| message.chat_id != act.chat_id);
    // Its message was left out, or is gone: there is nothing to wait for.
    let is_void = act.target.is_some() && is_elsewhere;
    if !is_void && step.tx.insert_act(act, false)? {
        settle_act(step, act)?;
    }
    Ok(())
}

/// A message came: what waited for it counts now.
pub(crate) fn arrived(
    step: &Step<'_>,
    chat_id: ChatId,
    target: MessageRef,
) -> Result<(), ClientError> {
    if step.tx.end_wait(chat_id, target)? {
        settle(step, chat_id, target)?;
    }
    Ok(())
}

/// An own act stands in the log. C-171, C-172, C-173: it counts only when it was still this account's to do there.
pub(crate) fn own_entry(
    step: &mut Step<'_>,
    sealed: &OutboxRow,
    rights: Rights,
    at: &Position,
) -> Result<(), ClientError> {
    let own = step.own.account.device.account_id;
    let act = sealed
        .message_id
        .map(|id| step.tx.act(own, id))
        .transpose()?;
    let Some(act) = act.flatten() else {
        return Ok(());
    };
    if rights.allow(&act) {
        step.tx.place_act(own, act.act_id, at)?;
    } else {
        step.tx.delete_act(own, act.act_id)?;
    }
    settle_act(step, &act)?;
    // What is others' goes only now.
    let is_late = act.kind == ActKind::Delete && act.target.is_some_and(|of| of.sender != own);
    if is_late {
        tell(step, &act)?;
    }
    Ok(())
}

/// An own act will never reach anybody: as if it had not been done.
pub(crate) fn undo(step: &mut Step<'_>, row: &OutboxRow, reason: &str) -> Result<(), ClientError> {
    let own = step.own.account.device.account_id;
    let act = row.message_id.map(|id| step.tx.act(own, id)).transpose()?;
    if let Some(act) = act.flatten() {
        step.tx.delete_act(own, act.act_id)?;
        settle_act(step, &act)?;
        step.warn(format!(
            "a change of a message or chat did not get through: {reason}"
        ));
    }
    Ok(())
}

fn settle_act(step: &Step<'_>, act: &ActRow) -> Result<(), ClientError> {
    match act.target {
        Some(target) => settle(step, act.chat_id, target),
        None => settle_timer(step, act.chat_id),
    }
}

/// Makes a message's row say what its acts say.
pub(crate) fn settle(
    step: &Step<'_>,
    chat_id: ChatId,
    target: MessageRef,
) -> Result<(), ClientError> {
    let message = step.tx.message(target.sender, target.message_id)?;
    let Some(message) = message.filter(|message| message.chat_id == chat_id) else {
        return Ok(());
    };
    let acts = |kind| step.tx.acts_on(chat_id, target, kind);
    // An own deletion of somebody else's message counts once the log says that it may.
    let counts = |act: &&ActRow| act.place.is_some() || act.sender == target.sender;
    if let Some(act) = acts(ActKind::Delete)?.iter().find(counts) {
        // C-172: words, versions, files and reactions are gone; who did it stays
        step.tx
            .wipe_message(target, Deleted::ForEveryone, Some(act.sender))?;
        return Ok(step.tx.forget_acts_on(chat_id, target)?);
    }
    let edits = acts(ActKind::Edit)?;
    let too_many = edits.len().saturating_sub(EDITS_KEPT_MAX);
    for old in edits.iter().take(too_many) {
        step.tx.delete_act(old.sender, old.act_id)?;
    }
    match (edits.last(), message.first.as_ref()) {
        (Some(edit), first) => {
            let (first_body, first_more) =
                first.map_or((&message.body, &message.more), |(body, more)| (body, more));
            let now = TextMore {
                mentions: edit.mentions(),
                ..message.said().1
            };
            let (now, first) = (now.to_bytes(), (first_body.as_str(), first_more.as_slice()));
            step.tx.set_words(target, (&edit.body, &now), Some(first))?;
        }
        (None, Some((body, more))) => step.tx.set_words(target, (body, more), None)?,
        (None, None) => {}
    }
    prune(step, &acts(ActKind::Reaction)?)?;
    prune_all(step, &acts(ActKind::Pin)?)
}

fn settle_timer(step: &Step<'_>, chat_id: ChatId) -> Result<(), ClientError> {
    prune_all(step, &step.tx.acts_in(chat_id, ActKind::Timer)?)
}

/// C-176: of each person the newest in the log, and the newest that is on its way there.
fn prune(step: &Step<'_>, acts: &[ActRow]) -> Result<(), ClientError> {
    let mut seen = Vec::new();
    for act in acts.iter().rev() {
        let key = (act.sender, act.place.is_some());
        if seen.contains(&key) {
            step.tx.delete_act(act.sender, act.act_id)?;
        } else {
            seen.push(key);
        }
    }
    Ok(())
}

/// The newest in the log, and the newest on its way there, whoever did it.
fn prune_all(step: &Step<'_>, acts: &[ActRow]) -> Result<(), ClientError> {
    for is_placed in [true, false] {
        let mut same = acts.iter().filter(|act| act.place.is_some() == is_placed);
        same.next_back();
        for old in same {
            step.tx.delete_act(old.sender, old.act_id)?;
        }
    }
    Ok(())
}

/// Tells front ends what was done.
fn tell(step: &mut Step<'_>, act: &ActRow) -> Result<(), ClientError> {
    let by: Person = who(step.tx, step.own, act.sender)?;
    let what = match (act.kind, act.number) {
        (ActKind::Timer, seconds) => {
            step.events.push(Event::TimerSet(Timer {
                chat: act.chat_id,
                seconds,
                by: Some(by),
            }));
            return Ok(());
        }
        (ActKind::Reaction, _) => Change::Reacted,
        (ActKind::Edit, _) => Change::Edited,
        (ActKind::Delete, _) => Change::Deleted,
        (ActKind::Pin, 0) => Change::Unpinned,
        (ActKind::Pin, _) => Change::Pinned,
    };
    let Some(target) = act.target else {
        return Ok(());
    };
    let row = step.tx.message(target.sender, target.message_id)?;
    if let Some(row) = row.filter(|row| row.deleted != Deleted::ForMe) {
        let message = show(step.tx, step.own, &row)?;
        step.events.push(Event::Changed { message, what, by });
    }
    Ok(())
}

/// Part of a round: a device that stays on looks again when the next message goes (C-177).
pub(crate) fn tend(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    let next = shared.engine().look(|tx, _| Ok(tx.next_expiry()?));
    if let Some(next_ms) = next.map_err(|error| broken(shared, &error))? {
        net.due_at(next_ms);
    }
    Ok(())
}

/// What this account may do in a chat now.
fn own_rights(step: &Step<'_>, chat: &crate::store::ChatRow) -> Result<Rights, ClientError> {
    let own: &Own = step.own;
    if chat.kind != crate::view::ChatKind::Group {
        return Ok(Rights::default());
    }
    let Some(log_id) = chat.live_log else {
        return Ok(Rights {
            is_group: true,
            is_admin: false,
        });
    };
    Ok(Rights::of(
        &step.group(log_id)?,
        own.account.device.account_id,
    ))
}
