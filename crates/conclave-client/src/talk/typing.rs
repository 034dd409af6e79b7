//! Who is writing: said to accepted people at most every three seconds, shown for six, kept nowhere.
//!
//! 1. a front end says that the person types in a chat
//! 2. the driver's round seals it under the epoch and sends it to whoever listens now
//! 3. what comes in is opened, checked and told; nothing answers it

use conclave_core::conversation::Signal;
use conclave_proto::hello::Role;
use conclave_proto::id::{ChatId, LogId};

use crate::client::Client;
use crate::engine::{Step, person};
use crate::error::ClientError;
use crate::event::Event;
use crate::net::Net;
use crate::outbox::may_confirm;
use crate::shared::{Shared, broken};
use crate::store::Stage;
use crate::transport::{TransportError, calls};

/// Between two signals of one chat, in ms.
const SPACING_MS: u64 = 3_000;
/// How far the sender's clock may be off, in ms: an old signal shown again is nothing.
const FRESH_MS: u64 = 60_000;
/// Chats whose last signal is remembered.
const CHATS_MAX: usize = 64;

/// Chats in which the person types, and when that was last said.
#[derive(Debug, Default)]
pub(crate) struct Typing {
    waiting: Vec<ChatId>,
    said: Vec<(ChatId, u64)>,
}

impl Typing {
    /// Notes that somebody types, unless it was said a moment ago. Whether it is to be said.
    fn note(&mut self, chat: ChatId, now_ms: u64) -> bool {
        self.said
            .retain(|(_, at_ms)| now_ms.abs_diff(*at_ms) < SPACING_MS);
        let is_said = self.said.iter().any(|(said, _)| *said == chat);
        if is_said || self.said.len() >= CHATS_MAX {
            return false;
        }
        self.said.push((chat, now_ms));
        self.waiting.push(chat);
        true
    }
}

impl Client {
    /// The person types in a chat: the others there are told, when this device is online. Costs nothing when it is
    /// called for every key; says nothing to people who were not accepted, or with `typing` off.
    pub fn typing(&self, chat: ChatId) -> Result<(), ClientError> {
        let may = self.engine().step(|step| {
            let is_on = step.tx.says_typing()?;
            Ok(is_on && may_confirm(step, chat)?)
        })?;
        let now_ms = self.shared().env.now_ms();
        if may && self.shared().typing().note(chat, now_ms) {
            self.wake();
        }
        Ok(())
    }

    /// Whether others are told that the person types.
    pub fn says_typing(&self) -> Result<bool, ClientError> {
        self.engine().look(|tx, _| Ok(tx.says_typing()?))
    }

    /// Sets it.
    pub fn set_says_typing(&self, is_on: bool) -> Result<(), ClientError> {
        self.engine()
            .step(|step| Ok(step.tx.set_says_typing(is_on)?))
    }
}

/// Part of a round: says what waits, and tells what came. A signal that cannot go out is forgotten.
pub(crate) async fn tend(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    for (log_id, payload) in std::mem::take(&mut net.signals) {
        let told = shared.engine().step(|step| receive(step, log_id, &payload));
        told.map_err(|error| broken(shared, &error))?;
    }
    let waiting = std::mem::take(&mut shared.typing().waiting);
    for chat in waiting {
        let sealed = shared.engine().step(|step| seal(step, chat));
        let Some((log_id, payload)) = sealed.map_err(|error| broken(shared, &error))? else {
            continue;
        };
        let Some(handle) = net.handles.get(&log_id).map(|(_, handle)| *handle) else {
            continue;
        };
        let (logs, is_new) = net.connection(Role::Logs).await?;
        if is_new {
            continue;
        }
        match calls::send_signal(logs.as_ref(), handle, payload).await {
            // The epoch moved on, or the server has enough of it: the next key says it again.
            Ok(()) | Err(TransportError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn seal(step: &mut Step<'_>, chat: ChatId) -> Result<Option<(LogId, Vec<u8>)>, ClientError> {
    let live = step.tx.chat(chat)?.and_then(|chat| chat.live_log);
    let row = live
        .map(|log_id| step.tx.conversation(log_id))
        .transpose()?;
    let Some(row) = row.flatten().filter(|row| row.stage == Stage::Live) else {
        return Ok(None);
    };
    let sent_ms = step.now_ms;
    let sealed = step
        .group(row.log_id)?
        .seal_signal(step.env, Signal::Typing { sent_ms });
    // Not a member any more: nothing to say.
    Ok(sealed.ok().map(|payload| (row.log_id, payload)))
}

/// C-178: told only when it is fresh, of somebody else, and of somebody whom this person talks with.
fn receive(step: &mut Step<'_>, log_id: LogId, payload: &[u8]) -> Result<(), ClientError> {
    let Some(row) = step.tx.conversation(log_id)? else {
        return Ok(());
    };
    if row.stage != Stage::Live || !may_confirm(step, row.chat_id)? {
        return Ok(());
    }
    let Some((sender, Signal::Typing { sent_ms })) = step.group(log_id)?.open_signal(payload)
    else {
        return Ok(());
    };
    let is_own = sender.account_id == step.own.account.device.account_id;
    let contact = step.tx.contact(sender.account_id)?;
    let is_blocked = contact.is_some_and(|contact| contact.blocked);
    if is_own || is_blocked || step.now_ms.abs_diff(sent_ms) > FRESH_MS {
        return Ok(());
    }
    let from = person(step.tx, sender.account_id)?;
    step.events.push(Event::Typing {
        chat: row.chat_id,
        from,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However often somebody presses a key, one signal in three seconds goes out for each chat.
    #[test]
    fn c178_one_signal_in_three_seconds() {
        let mut typing = Typing::default();
        let (one, other) = (ChatId::new([1; 16]), ChatId::new([2; 16]));
        assert!(typing.note(one, 10_000));
        assert!(!typing.note(one, 10_001));
        assert!(typing.note(other, 10_001));
        assert!(!typing.note(one, 12_999));
        assert!(typing.note(one, 13_000));
        // a clock that goes back does not silence anybody
        assert!(typing.note(one, 1_000));
    }
}
