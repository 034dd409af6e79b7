//! What an opened message changes: rows, marks, contacts. Each check of its words is named where it is made.

use conclave_core::capability::Capability;
use conclave_core::content::{Content, Kind, MessageRef, Receipt, StateHead, TextMore};
use conclave_core::conversation::{Conversation, Member};
use conclave_proto::account::{AccountState, AccountStates, DeviceCert};
use conclave_proto::id::{AccountId, Day, Epoch, Hash32, MessageId, Seq};
use conclave_proto::label;
use conclave_proto::log::Entry;

use crate::contact::{NEWER_RECHECK_MS, NEWER_TOLD, Source, accept_states};
use crate::engine::{Step, show};
use crate::error::ClientError;
use crate::event::Event;
use crate::store::{ContactRow, ConversationRow, Deleted, NewMessage, Position};
use crate::talk::Rights;
use crate::view::{ChatKind, MessageState};
use crate::{attachment, members, own_sync, picture, recover, settings, talk};

/// Who sent what nobody can open: in a group it may have been anybody.
const NOBODY: AccountId = AccountId::new([0; 16]);

/// Keeps a row that says that something came and why it is closed.
pub(crate) fn unreadable(
    step: &mut Step<'_>,
    row: &mut ConversationRow,
    entry: &Entry,
    reason: &str,
) -> Result<(), ClientError> {
    placeholder(step, row, entry, label::sha256(&entry.payload), reason)
}

/// A row in the place of a message that nobody can read here. It causes no receipt.
pub(crate) fn placeholder(
    step: &mut Step<'_>,
    row: &mut ConversationRow,
    entry: &Entry,
    hash: Hash32,
    reason: &str,
) -> Result<(), ClientError> {
    let id = hash
        .as_bytes()
        .first_chunk::<16>()
        .copied()
        .unwrap_or_default();
    let (peer, delivered) = (peer(step, row)?, row.want_delivered);
    let at_ms = Day(entry.day).start_ms();
    let said = Said {
        sender: peer,
        message_id: MessageId::new(id),
        body: "",
        more: &TextMore::default(),
        raw: &[],
        reason,
        sent_ms: at_ms,
        devices: 0,
    };
    insert(step, row, entry, &said)?;
    row.want_delivered = delivered;
    Ok(())
}

fn peer(step: &Step<'_>, row: &ConversationRow) -> Result<AccountId, ClientError> {
    let chat = step.tx.chat(row.chat_id)?;
    let chat = chat.ok_or_else(|| ClientError::Broken("a conversation lost its chat".into()))?;
    Ok(chat.peer.unwrap_or(NOBODY))
}

/// Who hears what is said in a conversation.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    /// Devices besides the sender's.
    pub(crate) devices: u32,
    /// The people, each once.
    pub(crate) people: Vec<AccountId>,
    /// What the speaker may do to what others wrote.
    pub(crate) rights: Rights,
}

impl Audience {
    /// Who hears what `speaker` says in `group`.
    pub(crate) fn of(group: Option<&Conversation>, speaker: AccountId) -> Self {
        let Some(group) = group else {
            return Self::default();
        };
        let others = group.members().len().saturating_sub(1);
        Self {
            devices: u32::try_from(others).unwrap_or(u32::MAX),
            people: group.people(),
            rights: Rights::of(group, speaker),
        }
    }
}

/// Writes what an opened message says.
pub(crate) fn apply_content(
    step: &mut Step<'_>,
    row: &mut ConversationRow,
    entry: &Entry,
    sender: &Member,
    content: Content,
    audience: &Audience,
) -> Result<(), ClientError> {
    check_seen(step, row, entry, content.seen.seq, content.seen.hash)?;
    let is_blocked = step
        .tx
        .contact(sender.account_id)?
        .is_some_and(|contact| contact.blocked);
    if is_blocked {
        return Ok(());
    }
    if let Some(head) = content.state_head {
        check_state_head(step, row, sender, head)?;
    }
    let Some(chat) = step.tx.chat(row.chat_id)? else {
        return Ok(());
    };
    if chat.kind == ChatKind::Own {
        // Nothing there is for people.
        return match content.kind {
            Kind::Sync(item) => own_sync::apply(step, sender, item),
            _ => Ok(()),
        };
    }
    let said = Said {
        sender: sender.account_id,
        message_id: content.message_id,
        body: "",
        more: &TextMore::default(),
        raw: &[],
        reason: "",
        sent_ms: clamp(content.sent_ms, Day(entry.day)),
        devices: audience.devices,
    };
    match content.kind {
        Kind::Text { body, more } => insert(
            step,
            row,
            entry,
            &Said {
                body: &body,
                more: &more,
                ..said
            },
        ),
        // C-056: kept whole, shown as what it is.
        Kind::Newer { bytes } => insert(
            step,
            row,
            entry,
            &Said {
                raw: &bytes,
                ..said
            },
        ),
        Kind::Receipt(receipt) => apply_receipt(step, row, sender, receipt, &audience.people),
        kind @ (Kind::Reaction { .. }
        | Kind::Edit { .. }
        | Kind::Delete { .. }
        | Kind::Timer { .. }
        | Kind::Pin { .. }) => act(step, row, entry, &said, kind, audience.rights),
        Kind::Profile {
            name,
            capability,
            picture,
        } => profile(step, sender, name, capability.as_ref(), picture),
        Kind::AccountUpdate { states, certs } => account_update(step, sender, &states, &certs),
        Kind::Leave if chat.kind == ChatKind::Group => {
            members::is_leaving(step, row, sender, entry.seq)
        }
        Kind::Leave => recover::pause(step, row, "the other side left this conversation"),
        // Said where others hear it: by no program of ours.
        Kind::Sync(_) => Ok(()),
    }
}

/// What the sender did to a message or the chat.
fn act(
    step: &mut Step<'_>,
    row: &ConversationRow,
    entry: &Entry,
    said: &Said<'_>,
    kind: Kind,
    rights: Rights,
) -> Result<(), ClientError> {
    let done = talk::Done {
        chat_id: row.chat_id,
        sender: said.sender,
        act_id: said.message_id,
        sent_ms: said.sent_ms,
    };
    talk::receive(
        step,
        &done,
        kind,
        rights,
        &position(row, entry, said.devices),
    )
}

/// Who the sender says to be, and the capability that a contact gets.
fn profile(
    step: &Step<'_>,
    sender: &Member,
    name: String,
    capability: Option<&Capability>,
    picture: Option<Vec<u8>>,
) -> Result<(), ClientError> {
    let Some(mut contact) = step.tx.contact(sender.account_id)? else {
        return Ok(());
    };
    contact.own_name = name;
    // C-179: taken only as what it must be; shown only of people that this user accepted
    if let Some(picture) = picture.filter(|picture| picture::is_well(picture)) {
        step.tx.put_picture(sender.account_id, &picture)?;
    }
    if let Some(capability) = capability {
        contact.capability = capability.as_bytes().to_vec();
    }
    Ok(step.tx.put_contact(&contact)?)
}

/// States that do not follow the pin stop the contact or are ignored; the message itself is fine.
fn account_update(
    step: &mut Step<'_>,
    sender: &Member,
    states: &[AccountState],
    certs: &[DeviceCert],
) -> Result<(), ClientError> {
    // Nobody speaks for another account.
    if states.last().map(|state| state.content.account_id) != Some(sender.account_id) {
        return Ok(());
    }
    let states = AccountStates {
        states: states.iter().map(AccountState::to_bytes).collect(),
        certs: certs.iter().map(DeviceCert::to_bytes).collect(),
        former_certs: vec![],
    };
    match accept_states(step, Source::Peer, &states) {
        Err(ClientError::WrongServer(_)) | Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

/// C-054: the sender's (seq, h) must be what this device has there.
fn check_seen(
    step: &mut Step<'_>,
    row: &ConversationRow,
    entry: &Entry,
    seq: Seq,
    hash: Hash32,
) -> Result<(), ClientError> {
    let known = step.tx.chain(row.log_id, seq)?;
    let before_us = known.is_none() && seq < row.cursor_seq;
    if (seq.0 < entry.seq && known == Some(hash)) || before_us {
        return Ok(());
    }
    let proof = [
        row.log_id.to_vec(),
        seq.0.to_be_bytes().to_vec(),
        hash.to_vec(),
    ]
    .concat();
    step.tx.put_evidence(
        "a member saw another log than this device",
        &proof,
        step.now_ms,
    )?;
    recover::pause(
        step,
        row,
        "the other side saw a different log: the server shows you different messages, or they do not tell the truth",
    )
}

/// C-016: what the sender says of its own newest state. Another hash for the pinned seq is a fork; a newer
/// one is looked up before the next send.
fn check_state_head(
    step: &mut Step<'_>,
    row: &ConversationRow,
    sender: &Member,
    head: StateHead,
) -> Result<(), ClientError> {
    let Some(contact) = step.tx.contact(sender.account_id)? else {
        return Ok(());
    };
    if head.seq > contact.pin.seq {
        // At once, as a device may be out that this one still talks to; who says so again and again is
        // looked up before the next send.
        let is_long_ago = step.now_ms.abs_diff(contact.checked_ms) > NEWER_RECHECK_MS;
        let checked_ms = if is_long_ago { NEWER_TOLD } else { 0 };
        return Ok(step.tx.put_contact(&ContactRow {
            checked_ms,
            ..contact
        })?);
    }
    if head.seq == contact.pin.seq && head.hash != contact.pin.hash {
        let proof = [contact.pin.hash.to_vec(), head.hash.to_vec()].concat();
        step.tx
            .put_evidence("two account states with one number", &proof, step.now_ms)?;
        let chat = step.tx.chat(row.chat_id)?;
        if chat.is_some_and(|chat| chat.kind == ChatKind::Group) {
            // Whoever says so of themselves would stop everybody's group; sending to them alone stops by a lookup.
            step.warn("somebody in a group has another account state than the server shows; compare safety numbers");
            return Ok(());
        }
        return recover::pause(
            step,
            row,
            "the server shows you another account state than the other side has; compare safety numbers",
        );
    }
    Ok(())
}

/// C-053: a mark counts only with this device's own hash there, so never beyond the head.
fn apply_receipt(
    step: &mut Step<'_>,
    row: &mut ConversationRow,
    sender: &Member,
    receipt: Receipt,
    people: &[AccountId],
) -> Result<(), ClientError> {
    let there = step.tx.chain(row.log_id, receipt.delivered.seq)?;
    let is_own = sender.account_id == step.own.account.device.account_id;
    // From before this device joined there is no hash here; an own device's mark is about what came by an
    // archive, and sends nothing.
    let is_past = there.is_none() && receipt.delivered.seq < row.cursor_seq;
    if !(receipt.holds(there) || is_own && is_past) {
        return Ok(());
    }
    let (delivered, read) = (receipt.delivered.seq.0, receipt.read_up_to.0);
    let read = read.min(delivered);
    if is_own {
        // Read on another own device; the others need not be told twice.
        step.tx.raise_read(row.log_id, read)?;
        step.tx.mark_read_to(row.log_id, read)?;
        row.want_read = row.want_read.max(read);
        row.told_read = row.told_read.max(read);
        row.told_delivered = row.told_delivered.max(delivered);
        return Ok(());
    }
    step.tx
        .raise_mark(row.log_id, sender.account_id, delivered, read)?;
    let device = (sender.account_id, sender.device_id);
    step.tx
        .raise_device_mark(row.log_id, device, delivered, read)?;
    raise_states(step, row, people)
}

/// Own messages are delivered and read as far as everybody else has received and read.
pub(crate) fn raise_states(
    step: &mut Step<'_>,
    row: &mut ConversationRow,
    people: &[AccountId],
) -> Result<(), ClientError> {
    let own = step.own.account.device.account_id;
    let mut least: Option<(u64, u64)> = None;
    for account in people.iter().filter(|account| **account != own) {
        let (delivered, read) = step.tx.mark(row.log_id, *account)?;
        let (all_delivered, all_read) = least.unwrap_or((u64::MAX, u64::MAX));
        least = Some((all_delivered.min(delivered), all_read.min(read)));
    }
    let (delivered, read) = least.unwrap_or((0, 0));
    row.their_delivered = row.their_delivered.max(delivered);
    row.their_read = row.their_read.max(read);
    let below = [MessageState::Accepted, MessageState::Delivered];
    for (seq, from, state) in [
        (row.their_read, below.as_slice(), MessageState::Read),
        (
            row.their_delivered,
            below.get(..1).unwrap_or_default(),
            MessageState::Delivered,
        ),
    ] {
        for id in step.tx.raise_messages(row.log_id, seq, from, state)? {
            step.moved(row.chat_id, id, state);
        }
    }
    Ok(())
}

/// A message as it came in.
struct Said<'a> {
    sender: AccountId,
    message_id: MessageId,
    body: &'a str,
    more: &'a TextMore,
    raw: &'a [u8],
    reason: &'a str,
    sent_ms: u64,
    devices: u32,
}

/// Writes a message of somebody else, or of another own device; the first of (sender, id) stays (C-052).
fn insert(
    step: &mut Step<'_>,
    row: &mut ConversationRow,
    entry: &Entry,
    said: &Said<'_>,
) -> Result<(), ClientError> {
    let (sender, message_id) = (said.sender, said.message_id);
    let own = sender == step.own.account.device.account_id;
    let new = NewMessage {
        chat_id: row.chat_id,
        message_id,
        sender,
        own,
        body: said.body,
        more: said.more,
        raw: said.raw,
        reason: said.reason,
        sent_ms: said.sent_ms,
        is_heard: false,
    };
    let is_new = step.tx.insert_message(&new)?;
    if !is_new {
        step.tx.complete_message(sender, message_id, said.more)?;
    }
    step.tx
        .place_message(sender, message_id, &position(row, entry, said.devices))?;
    if own {
        // By another device of this account: the log has it.
        step.tx.accept_message(message_id)?;
    } else {
        row.want_delivered = entry.seq;
    }
    talk::arrived(step, row.chat_id, MessageRef { sender, message_id })?;
    let Some(written) = step.tx.message(sender, message_id)? else {
        return Ok(());
    };
    settings::placed(step, &written)?;
    let Some(written) = step.tx.message(sender, message_id)? else {
        return Ok(());
    };
    if written.is_read && !own && written.deleted == Deleted::No {
        // Read as the request's first text before its place in the log was known.
        row.want_read = row.want_read.max(entry.seq);
        step.tx.raise_read(row.log_id, entry.seq)?;
    }
    if is_new && written.deleted == Deleted::No {
        attachment::arrived(step, &written)?;
        let shown = show(step.tx, step.own, &written)?;
        step.events.push(Event::Received(shown));
    }
    Ok(())
}

/// The sender's clock, within a day of the server's day stamp.
fn clamp(sent_ms: u64, day: Day) -> u64 {
    let start = day.start_ms();
    sent_ms.clamp(
        start.saturating_sub(Day::MS),
        start.saturating_add(2 * Day::MS),
    )
}

/// Where an entry stands among a chat's messages.
pub(crate) fn position(row: &ConversationRow, entry: &Entry, devices: u32) -> Position {
    Position {
        log_id: row.log_id,
        ordinal: row.ordinal,
        seq: Seq(entry.seq),
        epoch: Epoch(entry.epoch),
        devices,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sender's clock moves a message by at most a day around the server's day.
    #[test]
    fn times_are_clamped_to_the_day_stamp() {
        let day = Day(20_000);
        let noon = day.start_ms() + Day::MS / 2;
        assert_eq!(clamp(noon, day), noon);
        assert_eq!(clamp(0, day), day.start_ms() - Day::MS);
        assert_eq!(clamp(u64::MAX, day), day.start_ms() + 2 * Day::MS);
    }
}
