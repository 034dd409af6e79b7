//! Lookups and pins: which account an identifier leads to, and what may change about it.

use conclave_core::pin::{Pin, Verdict, is_retired, judge};
use conclave_proto::ErrorCode;
use conclave_proto::account::{AccountState, AccountStates};
use conclave_proto::hello::Role;
use conclave_proto::id::{AccountId, ChatId, ServerId};

use crate::engine::Step;
use crate::error::ClientError;
use crate::event::Event;
use crate::net::Net;
use crate::shared::{Shared, broken, is_local, tell};
use crate::store::{ChatRow, ChatStage, ContactRow, StoreError, Tx, parse_known};
use crate::transport::{TransportError, calls};
use crate::view::ChatKind;
use crate::{members, note};

/// An identifier is looked up again before a send when the last look is older than this, in ms.
const RECHECK_MS: u64 = 86_400_000;
/// The same while sending is stopped: whether the server still says that the identity changed, in ms.
const CHANGED_RECHECK_MS: u64 = 3_600_000;
/// In the place of when a contact was looked up: its account told of a newer state, look at once.
pub(crate) const NEWER_TOLD: u64 = 1;
/// At most one such look in this time, in ms: a contact can tell what it likes.
pub(crate) const NEWER_RECHECK_MS: u64 = 60_000;
/// How long after a lookup that was one too many it is tried again, in ms.
pub(crate) const LIMITED_RECHECK_MS: u64 = 600_000;

/// What judging states against the pin led to.
pub(crate) enum Judged {
    /// The contact stands, as accepted.
    Accepted(Box<ContactRow>),
    /// States between the pin and these are missing: fetch from this seq.
    Fetch(AccountId, u64),
    /// The identity changed or forked; sending stopped.
    Stopped,
    /// It is the own account; nothing was written.
    Own,
    /// Somebody other than the server says that the identity changed: anybody can. Nothing was written but
    /// that a lookup is due.
    Doubtful,
}

/// How states reached this device.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// From somebody who speaks for their own account.
    Peer,
    /// From the server, asked for an account that is known already.
    Fetched,
    /// By a lookup of this identifier, to write there.
    Lookup(&'a str),
    /// By a lookup of this identifier, to see whether it is really that of somebody who claims it.
    Confirm(&'a str),
}

impl<'a> Source<'a> {
    fn identifier(self) -> Option<&'a str> {
        match self {
            Self::Peer | Self::Fetched => None,
            Self::Lookup(identifier) | Self::Confirm(identifier) => Some(identifier),
        }
    }
}

/// Looks up what front ends asked for.
pub(crate) async fn answer_questions(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    while let Some(question) = shared.next_question() {
        let source = Source::Lookup(question.identifier.as_str());
        let answer = match look_up(shared, net, source).await {
            Ok(judged) => open_chat(shared, judged, question.identifier.as_str()),
            Err(TransportError::Refused(refusal)) if refusal.code() == ErrorCode::NotFound => {
                let who = &question.identifier;
                Err(ClientError::NotFound(format!(
                    "nobody is registered as {who} on this server; check the spelling or invite them"
                )))
            }
            Err(error) => {
                // The round's end decides: it is answered with the error, or asked again when a day has turned.
                shared.put_back(question);
                return Err(error);
            }
        };
        // Whoever asked may have given up; the contact then waits for the next send.
        let _ = question.answer.send(answer);
    }
    Ok(())
}

/// Looks identifiers up again whose chats have something to send and whose last look is a day old, and those
/// that told of a newer state.
pub(crate) async fn recheck(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    let now_ms = shared.env.now_ms();
    let due = shared.engine().look(|tx, _| {
        let mut due = Vec::new();
        for chat in tx.chats()? {
            let Some(peer) = chat.peer else {
                continue;
            };
            let contact = tx.contact(peer)?;
            let is_changed = contact.as_ref().is_some_and(|row| row.changed.is_some());
            let is_newer = contact
                .as_ref()
                .is_some_and(|row| row.checked_ms == NEWER_TOLD);
            let is_asked = is_changed || is_newer || tx.has_outbox(chat.chat_id)?;
            if chat.stage != ChatStage::Open || !is_asked {
                continue;
            }
            due.extend(contact.filter(|row| is_recheck_due(row, now_ms)));
        }
        Ok(due)
    });
    for contact in due.map_err(|error| broken(shared, &error))? {
        match look_up(shared, net, Source::Lookup(&contact.identifier)).await {
            Ok(_) => {}
            // Gone, not discoverable any more, or asked too often: the pinned conversation still works.
            Err(error) if is_about_contact(&error) => {
                let every_ms = recheck_ms(&contact);
                let mut checked_ms = now_ms;
                if is_rate_limited(&error) {
                    checked_ms = now_ms.saturating_sub(every_ms - LIMITED_RECHECK_MS);
                    net.due_at(now_ms.saturating_add(LIMITED_RECHECK_MS));
                }
                let noted = shared.engine().step(|step| {
                    Ok(step.tx.put_contact(&ContactRow {
                        checked_ms,
                        ..contact
                    })?)
                });
                noted.map_err(|error| broken(shared, &error))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn recheck_ms(contact: &ContactRow) -> u64 {
    if contact.changed.is_some() {
        CHANGED_RECHECK_MS
    } else {
        RECHECK_MS
    }
}

/// Also due when the last look lies in the future: the clock was wrong then.
fn is_recheck_due(contact: &ContactRow, now_ms: u64) -> bool {
    !contact.identifier.is_empty() && now_ms.abs_diff(contact.checked_ms) > recheck_ms(contact)
}

/// Whether the identifier behind an open chat was not looked up for a day.
pub(crate) fn is_look_due(step: &Step<'_>, chat_id: ChatId) -> Result<bool, ClientError> {
    let peer = step.tx.chat(chat_id)?.and_then(|chat| chat.peer);
    let contact = peer
        .map(|peer| step.tx.contact(peer))
        .transpose()?
        .flatten();
    Ok(contact.is_some_and(|row| is_recheck_due(&row, step.now_ms)))
}

pub(crate) fn is_rate_limited(error: &TransportError) -> bool {
    matches!(error, TransportError::Refused(refusal) if refusal.code() == ErrorCode::RateLimited)
}

/// Whether a lookup failed for one contact alone.
pub(crate) fn is_about_contact(error: &TransportError) -> bool {
    match error {
        TransportError::Protocol(_) => true,
        other => is_rate_limited(other) || is_local(other),
    }
}

/// One lookup, followed along the chain from the pin when states are missing.
pub(crate) async fn look_up(
    shared: &Shared,
    net: &mut Net,
    source: Source<'_>,
) -> Result<Judged, TransportError> {
    let identifier = source.identifier().unwrap_or_default();
    let (directory, _) = net.connection(Role::Directory).await?;
    let mut states = calls::lookup(directory.as_ref(), net.pass()?, identifier).await?;
    let mut followed = false;
    loop {
        let judged = shared
            .engine()
            .step(|step| accept_states(step, source, &states));
        match judged.map_err(|error| refused_states(shared, &error))? {
            Judged::Fetch(account, from_seq) if !followed => {
                followed = true;
                states =
                    calls::fetch_states(directory.as_ref(), net.pass()?, account, from_seq).await?;
            }
            Judged::Fetch(..) => {
                return Err(TransportError::Protocol("the account's states have a gap"));
            }
            judged => return Ok(judged),
        }
    }
}

fn refused_states(shared: &Shared, error: &ClientError) -> TransportError {
    match error {
        ClientError::WrongServer(text) => {
            tell(shared, text);
            TransportError::Protocol("it shows an account that cannot be right")
        }
        other => broken(shared, other),
    }
}

/// Judges `states` against what is pinned and writes the outcome (C-016). After a lookup of our own the
/// pin is the identifier's; one that only confirms a claim makes no contact of a third person.
pub(crate) fn accept_states(
    step: &mut Step<'_>,
    source: Source<'_>,
    states: &AccountStates,
) -> Result<Judged, ClientError> {
    let server_id = step.own.server_id();
    let parsed = parse(states)?;
    let newest = parsed.last().ok_or_else(malformed)?;
    let account = newest.content.account_id;
    if account == step.own.account.device.account_id {
        return Ok(Judged::Own);
    }
    check_owner(step, source, account)?;
    let pinned = match source.identifier() {
        Some(identifier) => pinned_to(step.tx, identifier, account)?,
        None => step.tx.contact(account)?,
    };
    let verdict = match pinned.as_ref().and_then(ContactRow::known) {
        // C-136: what a replaced key signs counts for nothing, whoever shows it.
        Some(known) if is_retired(known.state(), newest) => Verdict::Stale,
        _ => judge(pinned.as_ref().map(|row| &row.pin), server_id, &parsed),
    };
    let is_usable = parse_known(server_id, states).is_some();
    let has_advanced = matches!(verdict, Verdict::Advanced(..));
    let mut contact = match (verdict, pinned) {
        (Verdict::New(_), None) if matches!(source, Source::Confirm(_)) => {
            return Ok(Judged::Stopped);
        }
        (Verdict::New(pin), None) if is_usable => new_contact(pin, source.identifier(), states),
        (Verdict::Same, Some(contact)) => with_certs(server_id, contact, states),
        (Verdict::Stale, Some(contact)) => contact,
        (Verdict::Advanced(pin), Some(contact)) if is_usable => {
            advance(step, contact, pin, states)?
        }
        (Verdict::Incomplete { from_seq }, Some(contact)) => {
            return Ok(Judged::Fetch(contact.pin.account_id, from_seq));
        }
        (Verdict::Fork { other }, Some(contact)) => {
            step.tx.put_evidence(
                "two account states with one number",
                &other.to_bytes(),
                step.now_ms,
            )?;
            return stop(step, contact, states);
        }
        (Verdict::Changed { .. }, Some(contact)) if matches!(source, Source::Peer) => {
            return doubt(step, contact, states);
        }
        (Verdict::Changed { pin, .. }, Some(contact))
            if is_usable && source.identifier().is_some() && !is_relied_on(step, &contact)? =>
        {
            // What a stranger planted under this account was never theirs.
            step.tx.delete_request(contact.pin.account_id)?;
            ContactRow {
                blocked: contact.blocked,
                ..new_contact(pin, source.identifier(), states)
            }
        }
        (Verdict::Changed { .. }, Some(contact)) if is_usable => {
            return stop(step, contact, states);
        }
        _ => return Err(malformed()),
    };
    if let Some(identifier) = source.identifier() {
        // Whoever else claims it, unaccepted, does so wrongly.
        step.tx.drop_claims(identifier, account)?;
        identifier.clone_into(&mut contact.identifier);
        contact.confirmed = true;
        contact.checked_ms = step.now_ms;
        take_back(step, &mut contact)?;
    }
    step.tx.put_contact(&contact)?;
    if has_advanced {
        members::drop_revoked(step, account)?;
    }
    Ok(Judged::Accepted(Box::new(contact)))
}

/// The known state, with certificates that were not at hand: an introduction brings one device's alone.
fn with_certs(server_id: ServerId, contact: ContactRow, shown: &AccountStates) -> ContactRow {
    let mut states = contact.states.clone();
    for cert in &shown.certs {
        if !states.certs.contains(cert) {
            states.certs.push(cert.clone());
        }
    }
    // C-014: each is one that the state lists, or none of them counts
    match parse_known(server_id, &states) {
        Some(_) => ContactRow { states, ..contact },
        None => contact,
    }
}

/// Follows the pinned chain. A key that the old one signed for is told, and sending goes on (C-136).
fn advance(
    step: &mut Step<'_>,
    contact: ContactRow,
    pin: Pin,
    states: &AccountStates,
) -> Result<ContactRow, ClientError> {
    let is_rotated = pin.identity_fingerprint != contact.pin.identity_fingerprint;
    if is_rotated
        && contact.accepted
        && let Some(chat) = step.tx.chat_with(pin.account_id)?
    {
        note::key_rotated(step, &chat, pin.account_id)?;
    }
    let rotated_ms = if is_rotated {
        step.now_ms
    } else {
        contact.rotated_ms
    };
    Ok(ContactRow {
        pin,
        states: newest_only(states),
        rotated_ms,
        ..contact
    })
}

/// An account has one identifier: a lookup that leads to somebody who is known under another is a lie.
fn check_owner(step: &Step<'_>, source: Source<'_>, account: AccountId) -> Result<(), ClientError> {
    let Some(identifier) = source.identifier() else {
        return Ok(());
    };
    let known = step.tx.contact(account)?;
    let is_other = |row: &ContactRow| {
        row.confirmed && !row.identifier.is_empty() && row.identifier != identifier
    };
    if known.as_ref().is_some_and(is_other) {
        return Err(ClientError::WrongServer(format!(
            "the server says that {identifier} is the account of somebody you know under another \
             identifier; report this to its operator"
        )));
    }
    Ok(())
}

/// C-082: a lookup leads to the pinned key again. Sending goes on, to whom it went before; the change that
/// was shown meanwhile is void. Two states of one key stay until the person decides.
fn take_back(step: &mut Step<'_>, contact: &mut ContactRow) -> Result<(), ClientError> {
    let Some(changed) = &contact.changed else {
        return Ok(());
    };
    let shown = Pin::of(parse(changed)?.last().ok_or_else(malformed)?);
    let pin = &contact.pin;
    let is_fork = shown.account_id == pin.account_id
        && shown.identity_fingerprint == pin.identity_fingerprint
        && shown.generation == pin.generation;
    if !is_fork {
        contact.changed = None;
        step.warn(format!(
            "for a while the server showed another identity key for {}; it shows the known one again, nothing \
             was sent meanwhile, and sending goes on; ask its operator why",
            contact.identifier
        ));
    }
    Ok(())
}

/// C-016: a state is signed by its own key alone, so who merely shows one changes nothing. Known as the change
/// that a lookup found, it is that; else a lookup is due.
fn doubt(
    step: &mut Step<'_>,
    contact: ContactRow,
    states: &AccountStates,
) -> Result<Judged, ClientError> {
    let found = contact
        .changed
        .as_ref()
        .and_then(|changed| changed.states.last());
    if found.is_some() && found == states.states.last() {
        return Ok(Judged::Stopped);
    }
    step.tx.put_contact(&ContactRow {
        checked_ms: 0,
        ..contact
    })?;
    Ok(Judged::Doubtful)
}

/// Stops sending to somebody whose identity is not the pinned one, until the person decides.
fn stop(
    step: &mut Step<'_>,
    contact: ContactRow,
    states: &AccountStates,
) -> Result<Judged, ClientError> {
    let now_ms = step.now_ms;
    let contact = ContactRow {
        changed: Some(states.clone()),
        checked_ms: now_ms,
        ..contact
    };
    step.tx.put_contact(&contact)?;
    if let Some(chat) = step.tx.chat_with(contact.pin.account_id)? {
        step.events
            .push(Event::IdentityChanged { chat: chat.chat_id });
    }
    Ok(Judged::Stopped)
}

/// Whom an identifier is pinned to: somebody this user wrote to or accepted, else the account itself.
fn pinned_to(
    tx: &Tx<'_>,
    identifier: &str,
    account: AccountId,
) -> Result<Option<ContactRow>, StoreError> {
    let pinned = tx
        .contact_by_identifier(identifier)?
        .filter(|row| row.accepted);
    match pinned {
        Some(row) => Ok(Some(row)),
        None => tx.contact(account),
    }
}

/// Whether a pin stands for somebody: a contact, somebody whose number was compared, or a member of a group that this
/// device is in (C-163). A lookup that shows another key stops then, and never takes the pin's place in silence.
fn is_relied_on(step: &Step<'_>, contact: &ContactRow) -> Result<bool, ClientError> {
    Ok(contact.accepted || contact.verified || members::is_beside(step, contact.pin.account_id)?)
}

fn new_contact(pin: Pin, identifier: Option<&str>, states: &AccountStates) -> ContactRow {
    ContactRow {
        pin,
        identifier: identifier.unwrap_or_default().to_owned(),
        given_name: String::new(),
        own_name: String::new(),
        states: newest_only(states),
        changed: None,
        capability: Vec::new(),
        confirmed: false,
        accepted: false,
        blocked: false,
        verified: false,
        rotated_ms: 0,
        checked_ms: 0,
    }
}

pub(crate) fn newest_only(states: &AccountStates) -> AccountStates {
    AccountStates {
        states: states.states.last().cloned().into_iter().collect(),
        certs: states.certs.clone(),
        former_certs: vec![],
    }
}

pub(crate) fn parse(states: &AccountStates) -> Result<Vec<AccountState>, ClientError> {
    states
        .states
        .iter()
        .map(|state| AccountState::parse(state).map_err(|_| malformed()))
        .collect()
}

pub(crate) fn malformed() -> ClientError {
    ClientError::WrongServer(
        "the server showed an account that does not verify; report this to its operator".into(),
    )
}

/// The chat with a contact that was just looked up; made when there is none. Writing first accepts them.
fn open_chat(shared: &Shared, judged: Judged, identifier: &str) -> Result<ChatId, ClientError> {
    let contact = match judged {
        Judged::Accepted(contact) => contact,
        Judged::Own if shared.engine().own()?.account.identifier == identifier => {
            return Err(ClientError::BadInput(
                "that is your own account; write to somebody else".into(),
            ));
        }
        Judged::Own => {
            return Err(ClientError::WrongServer(format!(
                "the server says that {identifier} is your own account; report this to its operator"
            )));
        }
        _ => return Err(ClientError::IdentityChanged(identifier.to_owned())),
    };
    shared.engine().step(|step| {
        let account = contact.pin.account_id;
        if let Some(chat) = step.tx.chat_with(account)? {
            return Ok(chat.chat_id);
        }
        step.tx.put_contact(&ContactRow {
            accepted: true,
            ..*contact
        })?;
        let chat = new_chat(step, account, ChatStage::Open);
        step.tx.put_chat(&chat)?;
        Ok(chat.chat_id)
    })
}

/// A group's row that is not written yet.
pub(crate) fn new_group_chat(step: &Step<'_>, name: &str, stage: ChatStage) -> ChatRow {
    ChatRow {
        chat_id: ChatId::random(step.env),
        kind: ChatKind::Group,
        peer: None,
        name: name.to_owned(),
        stage,
        reason: String::new(),
        live_log: None,
        created_ms: step.now_ms,
    }
}

/// A direct chat's row that is not written yet.
pub(crate) fn new_chat(step: &Step<'_>, peer: AccountId, stage: ChatStage) -> ChatRow {
    ChatRow {
        chat_id: ChatId::random(step.env),
        kind: ChatKind::Direct,
        peer: Some(peer),
        name: String::new(),
        stage,
        reason: String::new(),
        live_log: None,
        created_ms: step.now_ms,
    }
}
