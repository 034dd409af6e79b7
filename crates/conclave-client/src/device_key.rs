//! This device's own key, replaced: the leaf key under which it stands in every conversation.
//!
//! 1. the new key is on disk before anybody hears of it; the inbox key stays
//! 2. the account's next state lists the device with it, and with the key that it had
//! 3. the server takes the state; when nobody knows whether it did, the device proves itself by either key
//! 4. the new key is this device's; in each conversation its leaf follows with a commit, signed by the key before
//! 5. when every leaf has moved, and invitations made for the key before have had a day, that key is wiped; a month
//!    later the certificate forgets it

use conclave_core::identity::{DeviceFacts, ProvenDevice};
use conclave_proto::account::{DeviceCert, DeviceCertContent, PutState};
use conclave_proto::hello::Role;
use conclave_proto::limits::{FORMER_LEAF_KEY_MS, FORMER_LEAF_KEYS_MAX};

use crate::client::Client;
use crate::engine::Step;
use crate::error::ClientError;
use crate::shared::{Shared, broken};
use crate::transport::{Transport, TransportError};
use crate::{device, own};

/// How long a former key stays when every conversation has moved, in ms: somebody may be inviting this device with a
/// key package that it signed.
const FORMER_KEEP_MS: u64 = 86_400_000;

impl Client {
    /// Replaces this device's own key, under which it stands in conversations, by a new one that the identity key
    /// certifies. Nobody has to do anything. Needs the network and a device that holds the identity key. After an
    /// error, run it again.
    pub async fn rotate_device_key(&self) -> Result<(), ClientError> {
        self.rotate_device_key_over(&self.transport()?).await
    }

    /// The same over a transport of the caller's choice: tests and the simulator.
    pub async fn rotate_device_key_over(
        &self,
        transport: &dyn Transport,
    ) -> Result<(), ClientError> {
        rotate(self.shared(), transport).await
    }
}

async fn rotate(shared: &Shared, transport: &dyn Transport) -> Result<(), ClientError> {
    let connection = transport.connect(Role::Account).await?;
    let connection = connection.as_ref();
    let before = leaf_key(shared)?;
    let was_tried = shared
        .engine()
        .look(|tx, _| Ok(tx.made_device()?.is_some()))?;
    own::authenticate(shared, connection).await?;
    own::catch_up(shared, transport, connection).await?;
    own::publish(shared, transport, connection, |step| {
        // An earlier attempt got through after all.
        let is_through = was_tried && step.own.account.device.secret.leaf_key() != before;
        (!is_through).then(|| prepare(step)).transpose()
    })
    .await?;
    // The server took back the key packages of the key before.
    device::fill_again(shared, transport).await;
    Ok(())
}

fn leaf_key(shared: &Shared) -> Result<[u8; 32], ClientError> {
    Ok(shared.engine().own()?.account.device.secret.leaf_key())
}

/// C-187: the new key, made once and kept, and the state that lists it.
fn prepare(step: &mut Step<'_>) -> Result<PutState, ClientError> {
    let own = &step.own.account;
    let mut former = former(step)?;
    if former.len() >= FORMER_LEAF_KEYS_MAX {
        return Err(ClientError::NotAllowed(format!(
            "this device's key was replaced {FORMER_LEAF_KEYS_MAX} times within a month; try again later, or remove the \
             device and link it again"
        )));
    }
    former.push(own.device.secret.leaf_key());
    let made = if let Some(made) = step.tx.made_device()? {
        made
    } else {
        let made = own.device.secret.with_new_leaf(step.env);
        step.tx.put_made_device(&made)?;
        made
    };
    let device = &own.device;
    let proven = made.prove(device.server_id, device.account_id, device.device_id);
    next_state(
        step,
        &proven.with_former(&former),
        own.cert.content.not_after_ms,
    )
}

/// The account's next state, in which this device is certified anew until then.
pub(crate) fn next_state(
    step: &Step<'_>,
    device: &ProvenDevice,
    not_after_ms: u64,
) -> Result<PutState, ClientError> {
    let own = &step.own.account;
    let identity = own::identity(step)?;
    let facts = DeviceFacts {
        not_after_ms,
        ..facts(&own.cert.content)
    };
    let mut certs = own.certs.clone();
    certs.retain(|cert| cert.content.device_id != own.device.device_id);
    certs.push(identity.certify_proven(device, &facts));
    let state = identity.next_state(&own.state, &certs, step.now_ms);
    Ok(PutState {
        state: state.to_bytes(),
        certs: certs.iter().map(DeviceCert::to_bytes).collect(),
    })
}

fn facts(old: &DeviceCertContent) -> DeviceFacts {
    DeviceFacts {
        server_id: old.server_id,
        account_id: old.account_id,
        generation: old.generation,
        device_id: old.device_id,
        role: old.role,
        not_before_ms: old.not_before_ms,
        not_after_ms: old.not_after_ms,
    }
}

/// C-187: the keys before the present one that the certificate goes on to list.
pub(crate) fn former(step: &Step<'_>) -> Result<Vec<[u8; 32]>, ClientError> {
    let since_ms = step.now_ms.saturating_sub(FORMER_LEAF_KEY_MS);
    Ok(step.tx.former_leaf_keys(since_ms)?)
}

/// The account's newest state lists this device under this certificate. Whether its key is here: the one in use, or
/// one that was made and takes its place now.
pub(crate) fn follow(step: &Step<'_>, cert: &DeviceCert) -> Result<bool, ClientError> {
    let own = &step.own.account.device.secret;
    let listed = cert.content.leaf_key;
    if own.leaf_key() == listed {
        return Ok(true);
    }
    let made = step.tx.made_device()?;
    let Some(made) = made.filter(|made| made.leaf_key() == listed) else {
        return Ok(false);
    };
    step.tx.take_made_device(own, &made, step.now_ms)?;
    Ok(true)
}

/// A part of each round: former keys that nothing is under any more are wiped.
pub(crate) fn tend(shared: &Shared) -> Result<(), TransportError> {
    let is_over = shared.engine().look(|tx, _| {
        let Some(since_ms) = tx.last_rekey_ms()? else {
            return Ok(false);
        };
        let is_old = shared.env.now_ms().abs_diff(since_ms) >= FORMER_KEEP_MS;
        Ok(is_old && tx.rekeys_waiting()? == 0)
    });
    if !is_over.map_err(|error| broken(shared, &error))? {
        return Ok(());
    }
    let mut engine = shared.engine();
    let wiped = engine
        .step(|step| Ok(step.tx.wipe_former_devices()?))
        .and_then(|()| engine.load_own());
    drop(engine);
    wiped.map_err(|error| broken(shared, &error))
}
