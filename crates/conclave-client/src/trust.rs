//! Whom this user trusts: comparing safety numbers in three ways, and whether unverified people are written to.

use conclave_core::pin::Pin;
use conclave_core::safety_number::SafetyNumber;
use conclave_proto::id::AccountId;

use crate::client::Client;
use crate::contact::{malformed, newest_only, parse};
use crate::engine::{Own, Step, person};
use crate::error::ClientError;
use crate::members;
use crate::people::{find, identifier_of, no_chat};
use crate::store::{ChatRow, ChatStage, ContactRow, Tx, parse_known};
use crate::view::{ChatKind, Safety, Trust, TrustMode};

/// People that an error names; a group may have hundreds.
const NAMED_MAX: usize = 3;

impl Client {
    /// The safety number with somebody; with a changed key, the number of the new one.
    pub fn safety(&self, who: &str) -> Result<Safety, ClientError> {
        self.engine()
            .look(|tx, own| safety_of(tx, own, &contact(tx, who)?))
    }

    /// Marks somebody verified when `number` (digits, spaces ignored) is theirs; `NotMatching` else. A changed key is
    /// accepted with it.
    pub fn verify(&self, who: &str, number: &str) -> Result<Safety, ClientError> {
        self.compare(who, |expected| {
            let compared = expected.compare(number);
            compared.map_err(|error| ClientError::BadInput(error.to_string()))
        })
    }

    /// The same by what the picture on their screen holds ([`Safety::qr`] over there).
    pub fn verify_picture(&self, who: &str, payload: &[u8]) -> Result<Safety, ClientError> {
        self.compare(who, |expected| {
            let compared = expected.compare_picture(payload);
            compared.map_err(|error| ClientError::BadInput(error.to_string()))
        })
    }

    fn compare(
        &self,
        who: &str,
        is_theirs: impl FnOnce(&SafetyNumber) -> Result<bool, ClientError>,
    ) -> Result<Safety, ClientError> {
        let safety = self.engine().step(|step| {
            let contact = contact(step.tx, who)?;
            if !is_theirs(&safety_number(step.own, &contact)?)? {
                return Err(ClientError::NotMatching);
            }
            let contact = accept_change(step, contact)?;
            let contact = ContactRow {
                verified: true,
                rotated_ms: 0,
                ..contact
            };
            step.tx.put_contact(&contact)?;
            safety_of(step.tx, step.own, &contact)
        })?;
        // What waited for it goes out, and what was held is read again.
        self.shared().read_again();
        Ok(safety)
    }

    /// Whom this user sends to.
    pub fn trust_mode(&self) -> Result<TrustMode, ClientError> {
        self.engine().look(|tx, _| Ok(tx.trust_mode()?))
    }

    /// Changes whom this user sends to. What is queued for unverified people waits under [`TrustMode::Strict`].
    pub fn set_trust_mode(&self, mode: TrustMode) -> Result<(), ClientError> {
        self.engine()
            .step(|step| Ok(step.tx.put_trust_mode(mode)?))?;
        self.wake();
        Ok(())
    }
}

/// Told as long as somebody's key was rotated and this user did not compare or accept since (C-136).
pub(crate) fn rotation_notice(
    tx: &Tx<'_>,
    contact: &ContactRow,
) -> Result<Option<String>, ClientError> {
    if contact.rotated_ms == 0 || !contact.accepted || contact.changed.is_some() {
        return Ok(None);
    }
    let who = name(tx, contact.pin.account_id)?;
    Ok(Some(format!(
        "the identity key of {who} was replaced by a new one, signed by the old one; the safety number is another \
         one now: compare it, or take note with `conclave safety accept {who}`"
    )))
}

/// What a person can be called by in commands.
pub(crate) fn name(tx: &Tx<'_>, account: AccountId) -> Result<String, ClientError> {
    let identifier = person(tx, account)?.identifier;
    Ok(if identifier.is_empty() {
        account.to_string()
    } else {
        identifier
    })
}

/// The person has seen that the key was rotated.
pub(crate) fn noticed(step: &mut Step<'_>, contact: ContactRow) -> Result<ContactRow, ClientError> {
    let contact = ContactRow {
        rotated_ms: 0,
        ..contact
    };
    step.tx.put_contact(&contact)?;
    Ok(contact)
}

/// C-139: under `trust.mode = strict` nothing goes to a chat with anybody in it who is not verified.
pub(crate) fn check_strict(step: &Step<'_>, chat: &ChatRow) -> Result<(), ClientError> {
    if step.tx.trust_mode()? == TrustMode::Tofu {
        return Ok(());
    }
    let mut accounts = match (chat.kind, chat.live_log) {
        (ChatKind::Direct, _) => chat.peer.into_iter().collect(),
        (ChatKind::Own, _) | (ChatKind::Group, None) => Vec::new(),
        (ChatKind::Group, Some(log_id)) => {
            let members = step.group(log_id)?.members();
            members.iter().map(|member| member.account_id).collect()
        }
    };
    accounts.retain(|account| *account != step.own.account.device.account_id);
    accounts.sort_unstable();
    accounts.dedup();
    let mut unverified = Vec::new();
    for account in accounts {
        let contact = step.tx.contact(account)?;
        if !contact.is_some_and(|contact| contact.verified) {
            unverified.push(account);
        }
    }
    if unverified.is_empty() {
        return Ok(());
    }
    let mut names = Vec::new();
    for account in unverified.iter().take(NAMED_MAX) {
        names.push(name(step.tx, *account)?);
    }
    let mut text = names.join(", ");
    if unverified.len() > NAMED_MAX {
        text = format!("{text} and {} more", unverified.len() - NAMED_MAX);
    }
    Err(ClientError::Unverified(text))
}

/// Whom `who` means: an identifier, a chat, or an account as [`ClientError::Unverified`] names it.
pub(crate) fn contact(tx: &Tx<'_>, who: &str) -> Result<ContactRow, ClientError> {
    let contact = if who.starts_with("a_") {
        let account: Result<AccountId, _> = who.parse();
        tx.contact(account.map_err(|error| ClientError::BadInput(error.to_string()))?)?
    } else if who.starts_with("c_") {
        Some(find(tx, who)?.0)
    } else {
        tx.contact_by_identifier(identifier_of(who)?.as_str())?
    };
    contact.ok_or_else(|| no_chat(who))
}

pub(crate) fn trust(contact: &ContactRow) -> Trust {
    match (contact.changed.is_some(), contact.verified) {
        (true, _) => Trust::Changed,
        (false, true) => Trust::Verified,
        (false, false) => Trust::Unverified,
    }
}

fn safety_number(own: &Own, contact: &ContactRow) -> Result<SafetyNumber, ClientError> {
    let shown = contact.changed.as_ref().unwrap_or(&contact.states);
    let known = parse_known(own.server_id(), shown);
    let known = known.ok_or_else(|| ClientError::Store("a contact's state is damaged".into()))?;
    Ok(SafetyNumber::of(
        &own.account.state.content.identity,
        &known.state().content.identity,
    ))
}

pub(crate) fn safety_of(
    tx: &Tx<'_>,
    own: &Own,
    contact: &ContactRow,
) -> Result<Safety, ClientError> {
    let number = safety_number(own, contact)?;
    Ok(Safety {
        with: person(tx, contact.pin.account_id)?,
        number: number.to_string(),
        qr: number.qr_payload(),
        trust: trust(contact),
        rotated_ms: Some(contact.rotated_ms).filter(|ms| *ms != 0),
    })
}

/// Accepts the identity that sending was stopped for. The verified mark is cleared; the chat gets a new conversation.
pub(crate) fn accept_change(
    step: &mut Step<'_>,
    contact: ContactRow,
) -> Result<ContactRow, ClientError> {
    let Some(states) = contact.changed.clone() else {
        return Ok(contact);
    };
    let parsed = parse(&states)?;
    let pin = Pin::of(parsed.last().ok_or_else(malformed)?);
    if parse_known(step.own.server_id(), &states).is_none() {
        return Err(malformed());
    }
    let accepted = ContactRow {
        pin,
        states: newest_only(&states),
        changed: None,
        verified: false,
        rotated_ms: 0,
        capability: Vec::new(),
        accepted: true,
        ..contact.clone()
    };
    if pin.account_id != contact.pin.account_id {
        move_chat(step, &contact, pin.account_id)?;
    }
    step.tx.put_contact(&accepted)?;
    members::key_accepted(step, pin.account_id)?;
    if let Some(mut chat) = step.tx.chat_with(pin.account_id)? {
        // What was sealed for the old identity's devices is sealed again for the new one's.
        for conversation in step.tx.conversations_of(chat.chat_id)? {
            crate::recover::retire(step, conversation)?;
        }
        chat.live_log = None;
        chat.stage = ChatStage::Open;
        chat.reason.clear();
        step.tx.put_chat(&chat)?;
    }
    Ok(accepted)
}

/// The identifier now belongs to another account: the chat follows it, the old account keeps its messages' name.
fn move_chat(step: &mut Step<'_>, old: &ContactRow, new: AccountId) -> Result<(), ClientError> {
    let former = ContactRow {
        identifier: String::new(),
        changed: None,
        confirmed: false,
        accepted: false,
        ..old.clone()
    };
    step.tx.put_contact(&former)?;
    let chat = step.tx.chat_with(old.pin.account_id)?;
    let request = step.tx.chat_with(new)?;
    if let (Some(mut chat), request) = (chat, request) {
        if let Some(request) = request {
            step.tx.merge_chat(request.chat_id, chat.chat_id)?;
        }
        chat.peer = Some(new);
        step.tx.put_chat(&chat)?;
    }
    Ok(())
}
