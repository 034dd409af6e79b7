//! Keys that change: a new identity key under the old one's signature, or a new generation when that key is lost.
//!
//! 1. the new key is on disk before anybody hears of it
//! 2. it certifies all devices again, and the account's next state names it
//! 3. the server takes the state; when nobody knows whether it did, the next look at the account says so
//! 4. the state is this account's: the new key takes the old one's place, and the conversations follow
//! 5. contacts hear of a key that nobody signed for at once: they look it up, and stop
//!
//! Whatever moment the process dies, one of the two keys is the account's and both are here.

use conclave_core::conversation::Conversation;
use conclave_core::identity::IdentitySecret;
use conclave_core::inbox_item::{InboxItem, Notice};
use conclave_proto::account::{AccountState, DeviceCert, PutState};
use conclave_proto::hello::Role;
use conclave_proto::id::{IdentityFingerprint, LogId};

use crate::client::Client;
use crate::engine::Step;
use crate::error::ClientError;
use crate::group_link::queue;
use crate::invite::intro_by;
use crate::people::tell_profile;
use crate::shared::Shared;
use crate::store::{StoreError, Taken, Thing};
use crate::transport::Transport;
use crate::view::{ChatKind, Whoami};
use crate::{device, own, recover, register, rejoin};

/// Why a group stands still after the account began a new generation.
pub(crate) const GROUP_LEFT_BEHIND: &str = "your identity key is a new one that nobody vouches for; somebody inside who may has \
     to remove you and add you again";

/// A notice that says: look this identity up. What a newer or older program makes of it is the same.
const NEW_IDENTITY: u8 = 2;

/// How the identity key changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// The old key signs for the new one: contacts are told and go on.
    Rotate,
    /// The old key is lost or stolen: contacts stop until they accept the new one.
    Reset,
}

impl Client {
    /// Replaces the identity key by a new one that the old one signs for. Contacts are told and go on; the safety
    /// numbers change. Needs the network and a device that holds the key. After an error, run it again.
    pub async fn rotate_key(&self) -> Result<Whoami, ClientError> {
        self.rotate_key_over(&self.transport()?).await
    }

    /// The same over a transport of the caller's choice: tests and the simulator.
    pub async fn rotate_key_over(&self, transport: &dyn Transport) -> Result<Whoami, ClientError> {
        change(self.shared(), transport, Change::Rotate).await
    }

    /// Replaces a lost or stolen identity key by a new one: nobody vouches for it, so contacts stop until they accept
    /// it, and groups let this device in again once somebody in them has. The account's other devices are out,
    /// whoever holds them; link them again. After an error, run it again.
    pub async fn reset_key(&self) -> Result<Whoami, ClientError> {
        self.reset_key_over(&self.transport()?).await
    }

    /// The same over a transport of the caller's choice: tests and the simulator.
    pub async fn reset_key_over(&self, transport: &dyn Transport) -> Result<Whoami, ClientError> {
        change(self.shared(), transport, Change::Reset).await
    }
}

async fn change(
    shared: &Shared,
    transport: &dyn Transport,
    change: Change,
) -> Result<Whoami, ClientError> {
    let connection = transport.connect(Role::Account).await?;
    let connection = connection.as_ref();
    own::authenticate(shared, connection).await?;
    let before = fingerprint(shared)?;
    let was_tried = shared
        .engine()
        .look(|tx, _| Ok(tx.made_identity()?.is_some()))?;
    own::catch_up(shared, transport, connection).await?;
    own::publish(shared, transport, connection, |step| {
        // An earlier attempt got through after all.
        let is_through = was_tried && step.own.account.device.identity_fingerprint != before;
        (!is_through).then(|| prepare(step, change)).transpose()
    })
    .await?;
    // The server took back the key packages of a lost key.
    device::fill_again(shared, transport).await;
    Ok(register::whoami(&shared.engine().own()?.account))
}

fn fingerprint(shared: &Shared) -> Result<IdentityFingerprint, ClientError> {
    Ok(shared.engine().own()?.account.device.identity_fingerprint)
}

/// C-138: the new key, made once and kept, and the state that names it.
fn prepare(step: &mut Step<'_>, change: Change) -> Result<PutState, ClientError> {
    let own = &step.own.account;
    let before = &own.state;
    let generation = match change {
        Change::Rotate => before.content.generation,
        Change::Reset => before.content.generation.saturating_add(1),
    };
    let old = match change {
        Change::Rotate => Some(own::identity(step)?),
        Change::Reset => None,
    };
    let new = if let Some(made) = step.tx.made_identity()? {
        made
    } else {
        let made = IdentitySecret::generate(step.env);
        step.tx.put_made_identity(&made)?;
        made
    };
    let certify = |cert: &DeviceCert| new.recertify(cert, generation);
    let certs: Vec<DeviceCert> = match change {
        Change::Rotate => own.certs.iter().map(certify).collect(),
        // Where the key went, one of the other devices may have gone too.
        Change::Reset => vec![certify(&own.cert)],
    };
    let state = match &old {
        Some(old) => new.rotated_state(old, before, &certs, step.now_ms),
        None => new.reset_state(before, &certs, step.now_ms),
    };
    Ok(PutState {
        state: state.to_bytes(),
        certs: certs.iter().map(DeviceCert::to_bytes).collect(),
    })
}

/// Whether a key is one that this device made and that waits to become the account's: what changed is its own doing,
/// though the answer may have been lost.
pub(crate) fn is_made_here(
    step: &Step<'_>,
    fingerprint: IdentityFingerprint,
) -> Result<bool, StoreError> {
    let made = step.tx.made_identity()?;
    Ok(made.is_some_and(|made| made.public().fingerprint() == fingerprint))
}

/// The account's newest state is `new` from now on; the engine still holds the one before. When its key is another
/// one, keys and conversations follow.
pub(crate) fn account_moved(step: &mut Step<'_>, new: &AccountState) -> Result<(), ClientError> {
    let (old, new) = (&step.own.account.state.content, &new.content);
    if old.identity == new.identity {
        return Ok(());
    }
    let taken = step.tx.take_identity(&new.identity)?;
    if new.generation == old.generation {
        if taken == Taken::Made {
            step.tx.share(Thing::Identity)?;
        }
        // C-138: leaves follow with the next commit, and what is said next tells of the new state.
        for mut row in step.tx.active_conversations()? {
            row.update_due = true;
            row.state_told = 0;
            step.tx.put_conversation(&row)?;
        }
    } else {
        leave_behind(step)?;
        tell_contacts(step)?;
    }
    tell_profile(step)?;
    if taken != Taken::Made {
        step.warn("the account's identity key was replaced on another device; this one follows");
    }
    Ok(())
}

/// Another own device says which identity key it made. It is in use once the account's newest state names it.
pub(crate) fn told(step: &Step<'_>, identity: &IdentitySecret) -> Result<(), ClientError> {
    if identity.public() == step.own.account.state.content.identity {
        return Ok(step.tx.put_identity(identity)?);
    }
    Ok(step.tx.put_next_identity(identity)?)
}

/// C-137: conversations in which the lost key vouched for this device end. Two people begin a new one with the next
/// message; members of a group are asked to let this device in again.
fn leave_behind(step: &mut Step<'_>) -> Result<(), ClientError> {
    for row in step.tx.active_conversations()? {
        let chat = step.tx.chat(row.chat_id)?;
        if chat.is_some_and(|chat| chat.kind == ChatKind::Group) {
            // C-163: whoever's person accepted the new key lets this device in again
            if !rejoin::strand(step, &row, "your identity key is a new one")? {
                recover::pause(step, &row, GROUP_LEFT_BEHIND)?;
            }
        } else {
            recover::detach(step, &row)?;
            recover::retire(step, row)?;
        }
    }
    Ok(())
}

/// C-137: an item under the new key to each device of every contact, so that they look it up and stop. Until then
/// they would write to whoever has the lost key.
fn tell_contacts(step: &Step<'_>) -> Result<(), ClientError> {
    // The step's own account is still the one before.
    let Some(own) = step.tx.own_account()? else {
        return Ok(());
    };
    for contact in step.tx.contacts()? {
        if !contact.accepted || contact.blocked {
            continue;
        }
        let known = contact.known();
        for cert in known.iter().flat_map(|known| known.certs()) {
            // Each by itself: the server cannot tell that they belong together.
            let log_id = LogId::random(step.env);
            let to = (cert.content.account_id, cert.content.device_id);
            let item = InboxItem::Notice(Notice {
                log_id,
                code: NEW_IDENTITY,
                text_bytes: vec![].into(),
                intro: intro_by(&own, step.now_ms, to, log_id, None)?,
            });
            queue(step, log_id, &item, cert)?;
        }
    }
    Ok(())
}

/// Whether this device's place in a group is under a key that counts no more: what it does there is refused.
pub(crate) fn is_left_behind(step: &Step<'_>, group: &Conversation) -> bool {
    let state = &step.own.account.state.content;
    let place = group.member(group.own_leaf());
    place.is_some_and(|place| {
        place.identity_fingerprint != state.identity.fingerprint()
            && !state.former.contains(&place.identity_fingerprint)
    })
}
