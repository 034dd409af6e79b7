//! Takes an archive in: each piece's records, and how far it is, in one transaction.

use conclave_core::content::{MessageRef, TextMore};
use conclave_core::conversation::Conversation;
use conclave_core::pin::Pin;
use conclave_proto::account::AccountStates;
use conclave_proto::id::{AccountId, BlobId, ChatId, LogId, MessageId};
use conclave_proto::limits::{IDENTIFIER_BYTES_MAX, NAME_BYTES_MAX, TIMER_S_MAX};
use prost::Message as _;
use zeroize::Zeroizing;

use super::record::{self, Act, Begin, Chat, Contact, Damaged, Kind, Message, Note, VERSION};
use crate::blob::BlobError;
use crate::engine::Step;
use crate::error::ClientError;
use crate::event::Event;
use crate::settings;
use crate::shared::Shared;
use crate::store::{
    ActKind, ActRow, ArchiveRow, ArchivedMessage, ChatRow, ChatStage, ContactRow, Deleted, NewNote,
    parse_known,
};
use crate::talk;
use crate::view::{ChatKind, HistoryProgress, MessageState, NoteKind};

/// Why nothing can be written to a group that is known from an archive alone.
const NOT_IN_YET: &str = "this device is not in the group yet";

/// An archive that is being taken in.
pub(super) struct Import {
    blob_id: BlobId,
    total: u64,
    rest: Zeroizing<Vec<u8>>,
    messages: u64,
    has_begun: bool,
    has_ended: bool,
}

/// Why a record stops an import.
enum Refused {
    /// The bytes are no archive for this account.
    Damaged(&'static str),
    /// The store failed; the same piece comes again.
    Store(ClientError),
}

impl From<ClientError> for Refused {
    fn from(error: ClientError) -> Self {
        Self::Store(error)
    }
}

impl From<crate::store::StoreError> for Refused {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Store(error.into())
    }
}

impl From<Damaged> for Refused {
    fn from(_: Damaged) -> Self {
        Self::Damaged("a record is damaged")
    }
}

impl Import {
    /// Goes on where the row says.
    pub(super) fn new(row: &ArchiveRow) -> Self {
        Self {
            blob_id: row.blob_id,
            total: row.total,
            rest: Zeroizing::new(row.rest.clone()),
            messages: row.messages,
            has_begun: row.done > 0,
            has_ended: false,
        }
    }

    /// Takes in the records that `content` ends, and notes that `done` sealed bytes are through.
    pub(super) fn take_in(
        &mut self,
        shared: &Shared,
        content: &[u8],
        done: u64,
    ) -> Result<(), BlobError> {
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(content);
        let taken = {
            let mut refused = None;
            let taken = shared.engine().step(|step| {
                let taken = self.records(step, &all, done);
                taken.map_err(|why| match why {
                    Refused::Damaged(text) => {
                        refused = Some(text);
                        ClientError::BadInput(text.to_owned())
                    }
                    Refused::Store(error) => error,
                })
            });
            match (taken, refused) {
                (Ok(taken), _) => taken,
                (Err(_), Some(text)) => return Err(BlobError::File(text.to_owned())),
                (Err(error), None) => return Err(BlobError::Store(error.to_string())),
            }
        };
        self.rest = taken.rest;
        self.messages = taken.messages;
        self.has_begun = taken.has_begun;
        self.has_ended = taken.has_ended;
        Ok(())
    }

    fn records(&self, step: &mut Step<'_>, all: &[u8], done: u64) -> Result<Taken, Refused> {
        let mut taken = Taken {
            rest: Zeroizing::default(),
            messages: self.messages,
            has_begun: self.has_begun,
            has_ended: self.has_ended,
        };
        let mut left = all;
        while let Some((kind, rest)) = record::decode(left)? {
            left = rest;
            if taken.has_ended {
                return Err(Refused::Damaged("something follows its end"));
            }
            match kind {
                Some(Kind::Begin(begin)) if !taken.has_begun => {
                    check(step, &begin)?;
                    taken.has_begun = true;
                }
                _ if !taken.has_begun => return Err(Refused::Damaged("it has no beginning")),
                Some(Kind::Contact(contact)) => take_contact(step, contact)?,
                Some(Kind::Chat(chat)) => take_chat(step, &chat)?,
                Some(Kind::Message(message)) => {
                    taken.messages += u64::from(take_message(step, message)?);
                }
                Some(Kind::Act(act)) => take_act(step, act)?,
                Some(Kind::Note(note)) => take_note(step, &note)?,
                Some(Kind::End(_)) => taken.has_ended = true,
                // of a later version, or a second beginning
                Some(Kind::Begin(_)) | None => {}
            }
        }
        left.clone_into(&mut taken.rest);
        step.tx
            .move_archive(self.blob_id, done, left, taken.messages)?;
        step.events.push(Event::History(HistoryProgress {
            is_incoming: true,
            bytes_done: done,
            bytes_total: self.total,
            messages: taken.messages,
            is_over: false,
            reason: String::new(),
        }));
        Ok(taken)
    }

    /// Messages so far that were not here yet.
    #[cfg(test)]
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// Everything came; whether it was whole.
    pub(super) fn finish(self) -> Result<(), BlobError> {
        // after a death behind the last piece only the row is left to look at
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(BlobError::File("the archive ends in the middle".to_owned()))
    }
}

/// What came of a piece.
struct Taken {
    rest: Zeroizing<Vec<u8>>,
    messages: u64,
    has_begun: bool,
    has_ended: bool,
}

fn check(step: &Step<'_>, begin: &Begin) -> Result<(), Refused> {
    if begin.version != VERSION {
        return Err(Refused::Damaged(
            "it was written by a newer version; update this device",
        ));
    }
    // nobody else's past is taken in
    if begin.account_id != step.own.account.device.account_id.as_bytes() {
        return Err(Refused::Damaged("it is of another account"));
    }
    Ok(())
}

/// Takes a person in. What this device knows of them by itself stays; decisions add up.
fn take_contact(step: &mut Step<'_>, contact: Contact) -> Result<(), Refused> {
    let Ok(states) = AccountStates::decode(contact.states.as_slice()) else {
        return Ok(());
    };
    // C-013, C-014: what another device accepted is checked here too
    let Some(known) = parse_known(step.own.server_id(), &states) else {
        return Ok(());
    };
    let pin = Pin::of(known.state());
    let is_fit = contact.identifier.len() <= IDENTIFIER_BYTES_MAX
        && contact.given_name.len() <= NAME_BYTES_MAX
        && contact.own_name.len() <= NAME_BYTES_MAX;
    if !is_fit || pin.account_id == step.own.account.device.account_id {
        return Ok(());
    }
    let row = match step.tx.contact(pin.account_id)? {
        Some(ours) => {
            let is_same = ours.pin.identity_fingerprint == pin.identity_fingerprint;
            // who came here as a member of a conversation first has no address and no way to be written to yet
            ContactRow {
                identifier: first_of(&ours.identifier, &contact.identifier),
                capability: first_of(&ours.capability, &contact.capability),
                blocked: ours.blocked || contact.blocked,
                accepted: ours.accepted || (is_same && contact.accepted),
                verified: ours.verified || (is_same && contact.verified),
                confirmed: ours.confirmed || (is_same && contact.confirmed),
                given_name: first_of(&ours.given_name, &contact.given_name),
                own_name: first_of(&ours.own_name, &contact.own_name),
                ..ours
            }
        }
        None => ContactRow {
            pin,
            identifier: contact.identifier,
            given_name: contact.given_name,
            own_name: contact.own_name,
            states,
            changed: None,
            capability: contact.capability,
            confirmed: contact.confirmed,
            accepted: contact.accepted,
            blocked: contact.blocked,
            verified: contact.verified,
            checked_ms: 0,
            rotated_ms: 0,
        },
    };
    Ok(step.tx.put_contact(&row)?)
}

fn first_of<T: Clone + Default + PartialEq>(ours: &T, theirs: &T) -> T {
    if *ours == T::default() { theirs } else { ours }.clone()
}

/// Finds or makes the chat here that a chat of the other device is.
fn take_chat(step: &mut Step<'_>, chat: &Chat) -> Result<(), Refused> {
    let damaged = Refused::Damaged("a chat is malformed");
    let Some(theirs) = ChatId::parse(&chat.chat_id) else {
        return Err(damaged);
    };
    let logs: Option<Vec<LogId>> = chat.logs.iter().map(|log| LogId::parse(log)).collect();
    let Some(logs) = logs.filter(|logs| logs.len() == chat.ordinals.len()) else {
        return Err(damaged);
    };
    let Some(chat_id) = chat_here(step, chat, theirs, &logs)? else {
        return Ok(());
    };
    let places: Vec<(LogId, u64)> = logs
        .into_iter()
        .zip(chat.ordinals.iter().copied())
        .collect();
    Ok(step.tx.put_archived_chat(theirs, chat_id, &places)?)
}

fn chat_here(
    step: &Step<'_>,
    chat: &Chat,
    theirs: ChatId,
    logs: &[LogId],
) -> Result<Option<ChatId>, Refused> {
    if let Some(known) = step.tx.archived_chat(theirs)? {
        return Ok(Some(known));
    }
    for log_id in logs {
        if let Some(row) = step.tx.conversation(*log_id)? {
            return Ok(Some(row.chat_id));
        }
        if let Some(chat_id) = step.tx.archived_chat_of(*log_id)? {
            return Ok(Some(chat_id));
        }
    }
    if let Some(chat_id) = successor_here(step, logs)? {
        return Ok(Some(chat_id));
    }
    let row = ChatRow {
        chat_id: ChatId::random(step.env),
        kind: ChatKind::Group,
        peer: None,
        name: chat.name.chars().take(NAME_BYTES_MAX).collect(),
        // until a member's device has let this one in
        stage: ChatStage::Left,
        reason: NOT_IN_YET.to_owned(),
        live_log: None,
        created_ms: chat.created_ms,
    };
    let row = match (
        ChatKind::from_name(&chat.kind),
        AccountId::parse(&chat.peer),
    ) {
        (Some(ChatKind::Direct), Some(peer)) => {
            if let Some(ours) = step.tx.chat_with(peer)? {
                return Ok(Some(ours.chat_id));
            }
            if step.tx.contact(peer)?.is_none() {
                return Ok(None);
            }
            ChatRow {
                kind: ChatKind::Direct,
                peer: Some(peer),
                name: String::new(),
                stage: ChatStage::Open,
                ..row
            }
        }
        (Some(ChatKind::Group), _) => row,
        _ => return Ok(None),
    };
    step.tx.put_chat(&row)?;
    Ok(Some(row.chat_id))
}

/// The group here that goes on where one of `logs` ended.
fn successor_here(step: &Step<'_>, logs: &[LogId]) -> Result<Option<ChatId>, Refused> {
    for chat in step.tx.chats()? {
        if chat.kind != ChatKind::Group {
            continue;
        }
        let Some(live) = chat.live_log else { continue };
        // one that cannot be read takes no past in
        let Ok(Some(group)) = Conversation::load(step.tx, live) else {
            continue;
        };
        let older = group.context().successor_of;
        if older.is_some_and(|older| logs.contains(&older)) {
            return Ok(Some(chat.chat_id));
        }
    }
    Ok(None)
}

/// Takes a note in, unless it is here or of a kind that this version does not know.
fn take_note(step: &Step<'_>, note: &Note) -> Result<(), Refused> {
    let Some(theirs) = ChatId::parse(&note.chat_id) else {
        return Err(Refused::Damaged("a note is malformed"));
    };
    let kind = NoteKind::from_name(&note.kind);
    let (Some(chat_id), Some(kind)) = (step.tx.archived_chat(theirs)?, kind) else {
        return Ok(());
    };
    if note.value.len() > NAME_BYTES_MAX {
        return Err(Refused::Damaged("a note is malformed"));
    }
    step.tx.put_archived_note(&NewNote {
        chat_id,
        at: LogId::parse(&note.log_id).map(|log_id| (log_id, note.seq)),
        kind,
        actor: AccountId::parse(&note.actor),
        subject: AccountId::parse(&note.subject),
        value: note.value.clone(),
        noted_ms: note.noted_ms,
        is_heard: true,
    })?;
    Ok(())
}

/// Takes a message in; whether it was not here yet.
fn take_message(step: &Step<'_>, message: Message) -> Result<bool, Refused> {
    let ids = (
        ChatId::parse(&message.chat_id),
        MessageId::parse(&message.message_id),
        AccountId::parse(&message.sender),
    );
    let (Some(theirs), Some(message_id), Some(sender)) = ids else {
        return Err(Refused::Damaged("a message is malformed"));
    };
    // of a chat that has no place here
    let Some(chat_id) = step.tx.archived_chat(theirs)? else {
        return Ok(false);
    };
    let own = sender == step.own.account.device.account_id;
    let state = MessageState::from_name(&message.state).filter(|state| {
        let is_received = *state == MessageState::Received;
        is_received != own && *state != MessageState::Queued
    });
    let Some(state) = state else {
        return Err(Refused::Damaged(
            "a message has a state that it cannot have",
        ));
    };
    let damaged = Refused::Damaged("what comes with a message is malformed");
    // what another device checked is checked here too (C-170)
    let first = message.first_body.map(|body| (body, message.first_more));
    let words = first.iter().map(|(body, more)| (body.as_str(), more));
    let words = words.chain([(message.body.as_str(), &message.more)]);
    for (body, more) in words {
        if TextMore::parse(more, body).is_err() || message.expires_s > TIMER_S_MAX {
            return Err(damaged);
        }
    }
    let archived = ArchivedMessage {
        chat_id,
        message_id,
        sender,
        own,
        body: message.body,
        raw: message.raw,
        state,
        reason: message.reason,
        place: LogId::parse(&message.log_id).map(|log_id| (log_id, message.seq, message.epoch)),
        devices: message.devices,
        sent_ms: message.sent_ms,
        is_read: message.is_read || own,
        more: message.more,
        first,
        deleted: Deleted::parse(u8::try_from(message.deleted).unwrap_or(u8::MAX)),
        deleted_by: AccountId::parse(&message.deleted_by),
        expires_s: message.expires_s,
        expires_ms: Some(message.expires_ms).filter(|at_ms| *at_ms != 0),
    };
    // C-153: the first of (sender, id) stays
    let is_new = step.tx.insert_archived(&archived)?;
    let target = MessageRef { sender, message_id };
    if !is_new && archived.deleted == Deleted::ForMe {
        step.tx.wipe_message(target, Deleted::ForMe, None)?;
    }
    talk::arrived(step, chat_id, target)?;
    if let Some(row) = step.tx.message(sender, message_id)? {
        settings::placed(step, &row)?;
    }
    Ok(is_new)
}

/// Takes in what somebody did. The device that wrote it down judged whether it was theirs to do.
fn take_act(step: &Step<'_>, act: Act) -> Result<(), Refused> {
    let damaged = Refused::Damaged("a change of a message is malformed");
    let ids = (
        ChatId::parse(&act.chat_id),
        AccountId::parse(&act.sender),
        MessageId::parse(&act.act_id),
        LogId::parse(&act.log_id),
    );
    let (Some(theirs), Some(sender), Some(act_id), Some(log_id)) = ids else {
        return Err(damaged);
    };
    let Some(kind) = ActKind::parse(&act.kind) else {
        // of a later version
        return Ok(());
    };
    let target = AccountId::parse(&act.target_sender).zip(MessageId::parse(&act.target_id));
    let target = target.map(|(sender, message_id)| MessageRef { sender, message_id });
    let Some(chat_id) = step.tx.archived_chat(theirs)? else {
        return Ok(());
    };
    let Some(ordinal) = step.tx.archived_ordinal(log_id)? else {
        return Ok(());
    };
    let row = ActRow {
        chat_id,
        sender,
        act_id,
        kind,
        target,
        body: act.body,
        more: act.more,
        number: act.number,
        sent_ms: act.sent_ms,
        place: Some((log_id, ordinal, act.seq)),
    };
    let is_well = talk::kind_of(row.clone()).is_some_and(|kind| kind.check().is_ok());
    if !is_well || TextMore::parse(&row.more, &row.body).is_err() {
        return Err(damaged);
    }
    Ok(talk::take_in(step, &row)?)
}
