//! `Client`'s questions and commands about chats, people and trust. All are one look or one step.

use conclave_proto::id::{AccountId, ChatId, MessageId};
use conclave_proto::identifier::Identifier;

use crate::client::{Client, parse_chat, parse_identifier};
use crate::engine::{Own, Step, person, show};
use crate::error::ClientError;
use crate::event::Event;
use crate::journal;
use crate::register::check_name;
use crate::send::contact_of;
use crate::store::{ChatRow, ChatStage, ContactRow, Field, Thing, Tx};
use crate::talk;
use crate::trust::{accept_change, contact, noticed, safety_of, trust};
use crate::view::{
    Chat, ChatKind, ChatState, Contact, Message, MessageInfo, Request, Safety, Trust,
};

impl Client {
    /// The chat that `to` means: `+E164`, e-mail, name of a group or `c_…`; only what this profile knows.
    pub fn find_chat(&self, to: &str) -> Result<ChatId, ClientError> {
        self.engine().look(|tx, _| Ok(find_chat(tx, to)?.chat_id))
    }

    /// Whether `to` is an identifier that only an unaccepted, unconfirmed stranger says is theirs.
    pub(crate) fn is_only_claimed(&self, to: &str) -> Result<bool, ClientError> {
        self.engine().look(|tx, _| {
            if parse_identifier(to).is_err() {
                return Ok(false);
            }
            let contact = find(tx, to)?.0;
            Ok(!contact.confirmed && !contact.accepted)
        })
    }

    /// All chats, pinned ones before the others, newest first.
    pub fn chats(&self) -> Result<Vec<Chat>, ClientError> {
        let now_ms = self.shared().env.now_ms();
        self.engine().look(|tx, own| {
            let mut chats = Vec::new();
            let rows = tx.chats()?.into_iter();
            for row in rows.filter(|row| row.kind != ChatKind::Own) {
                chats.push(show_chat(tx, own, &row, now_ms)?);
            }
            chats.sort_by_key(|chat| std::cmp::Reverse((chat.pinned, chat.ts_ms)));
            Ok(chats)
        })
    }

    /// One chat.
    pub fn chat(&self, chat: ChatId) -> Result<Chat, ClientError> {
        let now_ms = self.shared().env.now_ms();
        self.engine().look(|tx, own| {
            let row = tx.chat(chat)?.ok_or_else(|| no_chat(&chat.to_string()))?;
            show_chat(tx, own, &row, now_ms)
        })
    }

    /// The newest `limit` messages of a chat, oldest first.
    pub fn history(&self, chat: ChatId, limit: usize) -> Result<Vec<Message>, ClientError> {
        self.engine().look(|tx, own| {
            tx.history(chat, limit)?
                .iter()
                .map(|row| show(tx, own, row))
                .collect()
        })
    }

    /// One message in detail.
    pub fn message(&self, id: MessageId) -> Result<MessageInfo, ClientError> {
        self.engine().look(|tx, own| {
            let row = tx
                .find_message(id)?
                .ok_or_else(|| ClientError::NotFound(format!("there is no message {id}")))?;
            Ok(MessageInfo {
                message: show(tx, own, &row)?,
                epoch: row.epoch,
                devices: row.devices,
                versions: talk::versions(tx, &row)?,
                marks: talk::device_marks(tx, &row)?,
            })
        })
    }

    /// Unread messages of a chat, in the order they came in.
    pub fn unread(&self, chat: ChatId) -> Result<Vec<Message>, ClientError> {
        self.engine().look(|tx, own| {
            let rows = tx.unread_messages(chat)?;
            rows.iter().map(|row| show(tx, own, row)).collect()
        })
    }

    /// Messages that no listener was told of yet, in the order they came in, whichever command received
    /// them. A stranger's first text is told with the request instead.
    pub fn unheard(&self) -> Result<Vec<Message>, ClientError> {
        self.engine().look(|tx, own| {
            let rows = tx.unheard_messages()?;
            rows.iter().map(|row| show(tx, own, row)).collect()
        })
    }

    /// Listeners were told of these; [`Client::unheard`] leaves them out from now on.
    pub fn mark_heard(&self, messages: &[Message]) -> Result<(), ClientError> {
        if messages.is_empty() {
            return Ok(());
        }
        self.engine().step(|step| {
            for message in messages {
                step.tx.mark_heard(message.from.account_id, message.id)?;
            }
            Ok(())
        })
    }

    /// Requests that wait, oldest first.
    pub fn requests(&self) -> Result<Vec<Request>, ClientError> {
        self.engine().look(|tx, _| {
            let mut requests = Vec::new();
            for chat in tx
                .chats()?
                .into_iter()
                .filter(|chat| chat.stage == ChatStage::Request)
            {
                let first = tx.history(chat.chat_id, usize::MAX)?.into_iter().next();
                let Some(asker) = asker(tx, &chat)? else {
                    continue;
                };
                let contact = tx.contact(asker)?;
                requests.push(Request {
                    chat: chat.chat_id,
                    from: person(tx, asker)?,
                    group: (chat.kind == ChatKind::Group).then(|| chat.name.clone()),
                    confirmed: contact.is_some_and(|row| row.confirmed),
                    ts_ms: first.as_ref().map_or(chat.created_ms, |row| row.sent_ms),
                    text: first.map(|row| row.body).unwrap_or_default(),
                });
            }
            Ok(requests)
        })
    }

    /// Accepts a request; the driver joins the conversation.
    pub fn accept_request(&self, chat: ChatId) -> Result<(), ClientError> {
        self.engine().step(|step| {
            let mut row = request(step, chat)?;
            // Who goes into somebody's group does not take them for a contact by that.
            if row.kind == ChatKind::Direct {
                let contact = contact_of(step, &row)?;
                step.tx.put_contact(&ContactRow {
                    accepted: true,
                    ..contact
                })?;
            }
            row.stage = ChatStage::Open;
            step.tx.put_chat(&row)?;
            if row.kind == ChatKind::Group {
                step.tx.share(Thing::Chat(chat, Field::Answered))?;
            }
            // What was told with the request is a message from now on, for programs that take one after the other.
            for first in step.tx.history(chat, usize::MAX)? {
                if !first.own {
                    let first = show(step.tx, step.own, &first)?;
                    journal::write(step, &Event::Received(first))?;
                }
            }
            Ok(())
        })?;
        self.wake();
        Ok(())
    }

    /// Declines a request; the other side learns nothing. Accepting later is possible.
    pub fn decline_request(&self, chat: ChatId) -> Result<(), ClientError> {
        self.engine().step(|step| {
            let mut row = request(step, chat)?;
            if row.stage == ChatStage::Declined {
                return Err(ClientError::NotFound(
                    "that request is declined already; `conclave request list` shows those that wait".into(),
                ));
            }
            row.stage = ChatStage::Declined;
            // What was declined was seen: it counts as unread no more.
            step.tx.mark_read(chat)?;
            step.tx.put_chat(&row)?;
            Ok(step.tx.share(match row.peer {
                Some(peer) => Thing::Contact(peer),
                None => Thing::Chat(chat, Field::Answered),
            })?)
        })
    }

    /// All contacts.
    pub fn contacts(&self) -> Result<Vec<Contact>, ClientError> {
        self.engine()
            .look(|tx, _| Ok(tx.contacts()?.iter().map(show_contact).collect()))
    }

    /// Gives a contact a name of this user's own; empty takes it back.
    pub fn rename_contact(&self, who: &str, name: &str) -> Result<(), ClientError> {
        check_name(name)?;
        self.engine().step(|step| {
            let (contact, _) = find(step.tx, who)?;
            Ok(step.tx.put_contact(&ContactRow {
                given_name: name.to_owned(),
                ..contact
            })?)
        })
    }

    /// Blocks or unblocks somebody. Blocking also replaces the account's capability, so that they are a
    /// stranger to this inbox again; everybody else is told the new one.
    pub fn set_blocked(&self, who: &str, blocked: bool) -> Result<(), ClientError> {
        let mut engine = self.engine();
        engine.step(|step| {
            let (contact, _) = find(step.tx, who)?;
            let is_new = blocked && !contact.blocked;
            step.tx.put_contact(&ContactRow { blocked, ..contact })?;
            if is_new {
                let mut capability = [0; 32];
                step.env.fill(&mut capability);
                step.tx.put_capability(&capability)?;
                step.tx.share(Thing::Profile)?;
                tell_profile(step)?;
            }
            Ok(())
        })?;
        engine.load_own()?;
        drop(engine);
        self.wake();
        Ok(())
    }

    /// Accepts somebody's changed identity key, or goes on with a paused chat. The verified mark is cleared
    /// when the key changed.
    pub fn accept_identity(&self, who: &str) -> Result<Safety, ClientError> {
        let safety = self.engine().step(|step| {
            let Ok((contact, mut chat)) = find(step.tx, who) else {
                // Somebody of a group, who was never written to.
                let member = contact(step.tx, who)?;
                let contact = accept_change(step, member)?;
                let contact = noticed(step, contact)?;
                return safety_of(step.tx, step.own, &contact);
            };
            let contact = accept_change(step, contact)?;
            let contact = noticed(step, contact)?;
            if chat.stage == ChatStage::Paused {
                chat = step.tx.chat(chat.chat_id)?.unwrap_or(chat);
                chat.stage = ChatStage::Open;
                chat.reason.clear();
                let is_broken = match chat.live_log {
                    Some(log_id) => step.tx.is_broken(log_id)?,
                    None => false,
                };
                if let (true, Some(log_id)) = (is_broken, chat.live_log) {
                    chat.live_log = None;
                    if let Some(row) = step.tx.conversation(log_id)? {
                        crate::recover::retire(step, row)?;
                    }
                }
                step.tx.put_chat(&chat)?;
            }
            safety_of(step.tx, step.own, &contact)
        })?;
        self.shared().read_again();
        Ok(safety)
    }
}

/// The chat that `to` means: an identifier's, a group's by its name, or `c_…`.
///
/// What reads as an identifier is one: nobody can name a group like a person to be written to in their place.
pub(crate) fn find_chat(tx: &Tx<'_>, to: &str) -> Result<ChatRow, ClientError> {
    if to.starts_with("c_") {
        return tx.chat(parse_chat(to)?)?.ok_or_else(|| no_chat(to));
    }
    if parse_identifier(to).is_ok() {
        return Ok(find(tx, to)?.1);
    }
    // C-169: a stranger names a group as they like
    let groups = tx.groups_named(to)?;
    let people = named(tx, to)?;
    match (groups.as_slice(), people.as_slice()) {
        ([], []) => Err(unknown(to)),
        ([], [first, ..]) => Err(ClientError::BadInput(format!(
            "{to} is what a person is called; write to them by address or number, as in {first}"
        ))),
        ([one], []) => Ok(one.clone()),
        ([one], [first, ..]) => Err(ClientError::BadInput(format!(
            "{to} is what a group and a person are called; say which: {} is the group, {first} the person",
            one.chat_id
        ))),
        (more, _) => Err(ClientError::BadInput(format!(
            "{} groups are named {to}; say which by its id, `conclave group list` shows them",
            more.len()
        ))),
    }
}

/// The identifiers of accepted contacts that are called so, by this user or by themselves.
fn named(tx: &Tx<'_>, name: &str) -> Result<Vec<String>, ClientError> {
    let wanted = name.to_lowercase();
    let is_called = |row: &ContactRow| {
        let names = [&row.given_name, &row.own_name];
        let is_name = |name: &String| !name.is_empty() && name.to_lowercase() == wanted;
        row.accepted && names.into_iter().any(is_name)
    };
    let contacts = tx.contacts()?.into_iter().filter(is_called);
    Ok(contacts.map(|row| row.identifier).collect())
}

/// Words that mean nobody here: what is wrong with them when they were to be an identifier.
fn unknown(to: &str) -> ClientError {
    let is_identifier = to.contains('@') || !to.chars().any(char::is_alphabetic);
    match parse_identifier(to) {
        Err(error) if is_identifier => error,
        _ => ClientError::NotFound(format!(
            "nobody and no group here is called {to}; say who by e-mail address or number, `conclave chats` lists \
             people and groups"
        )),
    }
}

/// The identifier that `who` is; says what is wrong when it is none.
pub(crate) fn identifier_of(who: &str) -> Result<Identifier, ClientError> {
    parse_identifier(who).map_err(|_| unknown(who))
}

/// Whom `who` means, with the direct chat.
pub(crate) fn find(tx: &Tx<'_>, who: &str) -> Result<(ContactRow, ChatRow), ClientError> {
    let contact = if who.starts_with("c_") {
        let chat = tx.chat(parse_chat(who)?)?.ok_or_else(|| no_chat(who))?;
        let peer = chat.peer.ok_or_else(|| {
            ClientError::BadInput("that is a group; name one of its people instead".into())
        })?;
        tx.contact(peer)?
    } else {
        Some(contact(tx, who)?)
    };
    let contact = contact.ok_or_else(|| no_chat(who))?;
    let chat = tx
        .chat_with(contact.pin.account_id)?
        .ok_or_else(|| no_chat(who))?;
    Ok((contact, chat))
}

/// Somebody by identifier, or by the one name that nobody else here has.
pub(crate) fn find_contact(tx: &Tx<'_>, who: &str) -> Result<ContactRow, ClientError> {
    let found = if let Ok(identifier) = parse_identifier(who) {
        tx.contact_by_identifier(identifier.as_str())?
    } else {
        let mut named = tx.contacts()?;
        named.retain(|contact| contact.name() == who);
        if named.len() > 1 {
            return Err(ClientError::BadInput(format!(
                "{} people are named {who}; say which by phone number or e-mail address",
                named.len()
            )));
        }
        named.pop()
    };
    found.ok_or_else(|| ClientError::NotFound(format!("nobody here is known as {who}")))
}

pub(crate) fn no_chat(who: &str) -> ClientError {
    ClientError::NotFound(format!(
        "there is no chat with {who}; `conclave chats` lists them"
    ))
}

fn request(step: &Step<'_>, chat: ChatId) -> Result<ChatRow, ClientError> {
    let row = step
        .tx
        .chat(chat)?
        .ok_or_else(|| no_chat(&chat.to_string()))?;
    if !matches!(row.stage, ChatStage::Request | ChatStage::Declined) {
        return Err(ClientError::NotFound(
            "that chat is not a request; `conclave request list` shows them".into(),
        ));
    }
    Ok(row)
}

/// Who waits for an answer: the other person, or whoever invites to a group.
fn asker(tx: &Tx<'_>, chat: &ChatRow) -> Result<Option<AccountId>, ClientError> {
    if chat.peer.is_some() {
        return Ok(chat.peer);
    }
    let invitations = tx.invitations_of(chat.chat_id)?;
    Ok(invitations.first().map(|row| row.account_id))
}

/// Tells every contact but blocked ones name and capability anew.
pub(crate) fn tell_profile(step: &Step<'_>) -> Result<(), ClientError> {
    for chat in step.tx.chats()? {
        let Some(peer) = chat.peer else {
            continue;
        };
        let contact = step.tx.contact(peer)?;
        if let (Some(log_id), true) = (
            chat.live_log,
            contact.is_some_and(|row| row.accepted && !row.blocked),
        ) {
            step.tx.push_outbox(
                chat.chat_id,
                Some(log_id),
                None,
                crate::store::OutboxKind::Profile,
            )?;
        }
    }
    Ok(())
}

pub(crate) fn show_chat(
    tx: &Tx<'_>,
    own: &Own,
    row: &ChatRow,
    now_ms: u64,
) -> Result<Chat, ClientError> {
    let settings = tx.settings(row.chat_id)?;
    let last = tx.history(row.chat_id, 1)?.into_iter().next();
    let last = last.map(|row| show(tx, own, &row)).transpose()?;
    let contact = row.peer.map(|peer| tx.contact(peer)).transpose()?.flatten();
    let trust = contact.as_ref().map(trust);
    let is_changed = trust == Some(Trust::Changed);
    let (state, reason) = match row.stage {
        _ if is_changed => (
            ChatState::Paused,
            "their identity key has changed".to_owned(),
        ),
        ChatStage::Open => (ChatState::Open, String::new()),
        ChatStage::Request => (ChatState::Request, String::new()),
        ChatStage::Declined => (ChatState::Declined, String::new()),
        ChatStage::Paused => (ChatState::Paused, row.reason.clone()),
        ChatStage::Left => (ChatState::Left, row.reason.clone()),
    };
    Ok(Chat {
        id: row.chat_id,
        kind: row.kind,
        name: row.name.clone(),
        with: row.peer.map(|peer| person(tx, peer)).transpose()?,
        state,
        reason,
        unread: tx.unread(row.chat_id)?,
        ts_ms: last
            .as_ref()
            .map_or(row.created_ms, |message| message.ts_ms),
        last,
        muted_until_ms: Some(settings.muted_until_ms).filter(|until_ms| *until_ms > now_ms),
        archived: tx.is_archived(&settings, now_ms)?,
        pinned: settings.is_pinned,
        marked_unread: settings.marked_unread,
        draft: settings.draft,
        trust,
        confirmed: contact.is_none_or(|contact| contact.confirmed),
        timer_s: tx.timer(row.chat_id)?,
    })
}

fn show_contact(row: &ContactRow) -> Contact {
    Contact {
        person: crate::view::Person {
            account_id: row.pin.account_id,
            identifier: row.identifier.clone(),
            name: row.name().to_owned(),
        },
        confirmed: row.confirmed,
        blocked: row.blocked,
        trust: trust(row),
        rotated_ms: Some(row.rotated_ms).filter(|ms| *ms != 0),
        fingerprint: hex::encode(row.pin.identity_fingerprint.as_bytes()),
    }
}
