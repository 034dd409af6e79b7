//! Notes: commits and account states become rows that say who came, went, or was given what.
//!
//! Every device derives them from the same commits, so all show the same at the same places.

use conclave_core::conversation::{Applied, Conversation, ConversationContext, Role};
use conclave_proto::id::{AccountId, ChatId, LogId, MessageId};

use crate::client::Client;
use crate::engine::{Own, Step, person, show};
use crate::error::ClientError;
use crate::event::Event;
use crate::history::message_of;
use crate::members::newcomers;
use crate::membership::BY_LINK;
use crate::store::{ChatRow, ConversationRow, IntentKind, MessageRow, NewNote, NoteRow, Tx};
use crate::view::{ChatKind, GroupRole, Moment, Note, NoteKind, Offence, Person};

/// What a note says of who came by the group's link.
const LINK: &str = "link";

impl Client {
    /// The newest `limit` messages and notes of a chat, oldest first.
    pub fn timeline(&self, chat: ChatId, limit: usize) -> Result<Vec<Moment>, ClientError> {
        self.engine().look(|tx, own| {
            let (messages, notes) = (tx.history(chat, limit)?, tx.notes(chat, limit)?);
            show_rows(tx, own, messages, notes, limit)
        })
    }

    /// The `limit` messages and notes of a chat that come before a message of it, oldest first.
    pub fn timeline_before(
        &self,
        chat: ChatId,
        before: MessageId,
        limit: usize,
    ) -> Result<Vec<Moment>, ClientError> {
        self.engine().look(|tx, own| {
            let before = message_of(tx, chat, before)?;
            let messages = tx.history_before(chat, Some(&before), limit)?;
            let end = Row::Message(before).place();
            let mut notes = tx.notes(chat, usize::MAX)?;
            notes.retain(|note| (note.ordinal, note.seq, true) < end);
            show_rows(tx, own, messages, notes, limit)
        })
    }

    /// Notes that no listener was told of yet, in the order they came; of `chat` alone when it is given.
    pub fn unheard_notes(&self, chat: Option<ChatId>) -> Result<Vec<Note>, ClientError> {
        self.engine().look(|tx, own| {
            let mut rows = tx.unheard_notes()?;
            rows.retain(|row| chat.is_none_or(|chat| row.chat_id == chat));
            rows.iter().map(|row| show_note(tx, own, row)).collect()
        })
    }

    /// Listeners were told of these; [`Client::unheard_notes`] leaves them out from now on.
    pub fn mark_notes_heard(&self, notes: &[Note]) -> Result<(), ClientError> {
        if notes.is_empty() {
            return Ok(());
        }
        self.engine().step(|step| {
            for note in notes {
                step.tx.mark_note_heard(note.id)?;
            }
            Ok(())
        })
    }
}

fn show_rows(
    tx: &Tx<'_>,
    own: &Own,
    messages: Vec<MessageRow>,
    notes: Vec<NoteRow>,
    limit: usize,
) -> Result<Vec<Moment>, ClientError> {
    let mut rows: Vec<Row> = messages.into_iter().map(Row::Message).collect();
    rows.extend(notes.into_iter().map(Row::Note));
    // Stable: rows of one place keep the order in which they came.
    rows.sort_by_key(Row::place);
    let over = rows.len().saturating_sub(limit);
    rows.drain(..over);
    rows.iter().map(|row| row.show(tx, own)).collect()
}

/// A row of either table.
enum Row {
    Message(MessageRow),
    Note(NoteRow),
}

impl Row {
    /// Its place in the chat: what has none is the newest, and a note comes after the entry that it stands at.
    fn place(&self) -> (u64, u64, bool) {
        match self {
            Self::Message(row) => {
                let last = u64::MAX;
                (row.ordinal.unwrap_or(last), row.seq.unwrap_or(last), false)
            }
            Self::Note(row) => (row.ordinal, row.seq, true),
        }
    }

    fn show(&self, tx: &Tx<'_>, own: &Own) -> Result<Moment, ClientError> {
        Ok(match self {
            Self::Message(row) => Moment::Message(show(tx, own, row)?),
            Self::Note(row) => Moment::Note(show_note(tx, own, row)?),
        })
    }
}

/// A note as front ends see it.
pub(crate) fn show_note(tx: &Tx<'_>, own: &Own, row: &NoteRow) -> Result<Note, ClientError> {
    let own_id = own.account.device.account_id;
    let who = |account: Option<AccountId>| -> Result<Option<Person>, ClientError> {
        match account {
            Some(account) if account == own_id => Ok(Some(own.person())),
            Some(account) => Ok(Some(person(tx, account)?)),
            None => Ok(None),
        }
    };
    Ok(Note {
        id: row.id,
        chat: row.chat_id,
        group: tx
            .chat(row.chat_id)?
            .map(|chat| chat.name)
            .unwrap_or_default(),
        kind: row.kind,
        by: who(row.actor)?,
        is_by_own: row.actor == Some(own_id),
        about: who(row.subject)?,
        is_about_own: row.subject == Some(own_id),
        value: row.value.clone(),
        seq: row.log_id.map(|_| row.seq),
        is_told: row.is_heard,
        ts_ms: row.noted_ms,
    })
}

/// Notes of one entry of a chat's log, as they are written.
struct Pen<'s, 'a> {
    step: &'s mut Step<'a>,
    chat_id: ChatId,
    at: Option<(LogId, u64)>,
    actor: Option<AccountId>,
    is_heard: bool,
}

impl Pen<'_, '_> {
    fn put(
        &mut self,
        kind: NoteKind,
        subject: Option<AccountId>,
        value: &str,
    ) -> Result<(), ClientError> {
        let written = self.step.tx.put_note(&NewNote {
            chat_id: self.chat_id,
            at: self.at,
            kind,
            actor: self.actor,
            subject,
            value: value.to_owned(),
            noted_ms: self.step.now_ms,
            is_heard: self.is_heard,
        })?;
        if let Some(row) = written {
            let note = show_note(self.step.tx, self.step.own, &row)?;
            self.step.events.push(Event::Noted(note));
        }
        Ok(())
    }
}

/// A commit of a group was merged at `seq`; called before its wishes are settled.
pub(crate) fn changed(
    step: &mut Step<'_>,
    row: &ConversationRow,
    group: &Conversation,
    applied: &Applied,
    seq: u64,
) -> Result<(), ClientError> {
    let own = step.own.account.device.account_id;
    let actor = applied.committer.map_or(own, |by| by.account_id);
    let people = group.people();
    let came = newcomers(group, applied);
    let mut went: Vec<_> = applied.removed.iter().map(|one| one.account_id).collect();
    went.sort_unstable();
    went.dedup();
    went.retain(|account| !people.contains(account));
    let mut by_link = Vec::new();
    for intent in step.tx.intents_of(row.chat_id)? {
        if intent.kind == IntentKind::AddPerson && intent.value == BY_LINK {
            by_link.push(intent.account_id);
        }
    }
    let mut pen = Pen {
        step,
        chat_id: row.chat_id,
        at: Some((row.log_id, seq)),
        actor: Some(actor),
        is_heard: applied.is_own(),
    };
    for account in came {
        // Nobody said so here: whoever listens is told, also when this device made the commit.
        let is_by_link = applied.is_own() && by_link.contains(&account);
        pen.is_heard = applied.is_own() && !is_by_link;
        let how = if is_by_link { LINK } else { "" };
        pen.put(NoteKind::Added, Some(account), how)?;
    }
    pen.is_heard = applied.is_own();
    for account in went {
        // Who said that they leave was told of already.
        if pen.step.tx.last_move(row.log_id, account)? != Some(NoteKind::Left) {
            pen.put(NoteKind::Removed, Some(account), "")?;
        }
    }
    described(&mut pen, &applied.context_before, group.context())
}

/// Name, link and roles.
fn described(
    pen: &mut Pen<'_, '_>,
    old: &ConversationContext,
    new: &ConversationContext,
) -> Result<(), ClientError> {
    if new.name_bytes != old.name_bytes {
        pen.put(NoteKind::Renamed, None, new.name())?;
    }
    match (&old.link, &new.link) {
        (old, Some(_)) if *old != new.link => pen.put(NoteKind::LinkMade, None, "")?,
        (Some(_), None) => pen.put(NoteKind::LinkRevoked, None, "")?,
        _ => {}
    }
    let mut accounts: Vec<_> = old.roles.iter().chain(&new.roles).collect();
    accounts.sort_unstable_by_key(|entry| entry.account_id);
    accounts.dedup_by_key(|entry| entry.account_id);
    for account in accounts.into_iter().map(|entry| entry.account_id) {
        let role = new.role(account);
        let left = pen
            .at
            .map(|(log_id, _)| pen.step.tx.last_move(log_id, account));
        let is_out = matches!(
            left.transpose()?.flatten(),
            Some(NoteKind::Left | NoteKind::Removed)
        );
        if role != old.role(account) && !is_out {
            pen.put(NoteKind::Role, Some(account), shown(role).name())?;
        }
    }
    Ok(())
}

fn shown(role: Role) -> GroupRole {
    match role {
        Role::Member => GroupRole::Member,
        Role::Admin => GroupRole::Admin,
        Role::Owner => GroupRole::Owner,
    }
}

/// This account was taken out of a group by `actor`.
pub(crate) fn cast_out(
    step: &mut Step<'_>,
    row: &ConversationRow,
    actor: AccountId,
) -> Result<(), ClientError> {
    let own = step.own.account.device.account_id;
    let is_told = step.tx.last_move(row.log_id, own)? == Some(NoteKind::Left);
    if is_told || actor == own {
        return Ok(());
    }
    let seq = row.cursor_seq.next().0;
    here(step, row, seq, Some(actor)).put(NoteKind::Removed, Some(own), "")
}

/// Somebody said at `seq` that they leave.
pub(crate) fn left(
    step: &mut Step<'_>,
    row: &ConversationRow,
    account: AccountId,
    seq: u64,
    is_heard: bool,
) -> Result<(), ClientError> {
    let mut pen = here(step, row, seq, Some(account));
    pen.is_heard = is_heard;
    pen.put(NoteKind::Left, Some(account), "")
}

/// This account came into a group at `seq`, or into the one that continues it.
pub(crate) fn joined(
    step: &mut Step<'_>,
    row: &ConversationRow,
    actor: AccountId,
    is_successor: bool,
) -> Result<(), ClientError> {
    let own = step.own.account.device.account_id;
    let (kind, subject) = if is_successor {
        (NoteKind::Continued, None)
    } else {
        (NoteKind::Joined, Some(own))
    };
    here(step, row, row.cursor_seq.0, Some(actor)).put(kind, subject, "")
}

/// This device began a group, or one that continues another.
pub(crate) fn began(
    step: &mut Step<'_>,
    row: &ConversationRow,
    is_successor: bool,
) -> Result<(), ClientError> {
    let own = step.own.account.device.account_id;
    let mut pen = here(step, row, row.cursor_seq.0, Some(own));
    pen.is_heard = !is_successor;
    let kind = if is_successor {
        NoteKind::Continued
    } else {
        NoteKind::Created
    };
    pen.put(kind, None, "")
}

/// The entry after the last one read broke the group, and names its maker (C-097).
pub(crate) fn put_out(
    step: &mut Step<'_>,
    row: &ConversationRow,
    account: AccountId,
    offence: Offence,
) -> Result<(), ClientError> {
    let mut pen = here(step, row, row.cursor_seq.next().0, None);
    pen.put(NoteKind::PutOut, Some(account), offence.name())
}

fn here<'s, 'a>(
    step: &'s mut Step<'a>,
    row: &ConversationRow,
    seq: u64,
    actor: Option<AccountId>,
) -> Pen<'s, 'a> {
    Pen {
        step,
        chat_id: row.chat_id,
        at: Some((row.log_id, seq)),
        actor,
        is_heard: false,
    }
}

/// A contact's key was replaced by one that the old one signed for (C-138).
pub(crate) fn key_rotated(
    step: &mut Step<'_>,
    chat: &ChatRow,
    account: AccountId,
) -> Result<(), ClientError> {
    if chat.kind != ChatKind::Direct {
        return Ok(());
    }
    let live = chat.live_log.map(|log_id| step.tx.conversation(log_id));
    let live = live.transpose()?.flatten();
    let mut pen = Pen {
        step,
        chat_id: chat.chat_id,
        at: live.map(|row| (row.log_id, row.cursor_seq.0)),
        actor: Some(account),
        is_heard: false,
    };
    pen.put(NoteKind::KeyRotated, Some(account), "")
}
