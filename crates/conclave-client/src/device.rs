//! The account connection: who this device is, today's pass, its key packages and its capability.

use conclave_core::identity::{DeviceSecret, OwnDevice};
use conclave_core::key_package;
use conclave_proto::ErrorCode;
use conclave_proto::account::AccountStatus;
use conclave_proto::hello::{ConnectionContext, Purpose, Role, account_fields};
use conclave_proto::key_package::PutKeyPackages;
use conclave_proto::label;
use conclave_proto::limits::{
    CLOCK_SKEW_TOLD_MS, KEY_PACKAGE_POOL, LAST_RESORT_KEEP_MS, LAST_RESORT_REPLACE_MS,
};

use crate::net::Net;
use crate::shared::{self, Shared, broken};
use crate::transport::{Connection, Transport, TransportError, calls};

/// Refill when fewer one-time packages than this are left.
const POOL_LOW: usize = KEY_PACKAGE_POOL / 2;

/// Told when the server does not know this device any more.
const REMOVED: &str = "this device was removed from the account, or the server went back to an older backup: nothing \
     new comes or goes; what is here stays readable";

/// Step 1 of a round: the account connection stands, is authenticated, and what it needs is there.
pub(crate) async fn tend(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    if net.pass.is_some() && shared.is_pass_doubted() {
        net.forget_all();
    }
    let (connection, is_new) = net.connection(Role::Account).await?;
    let connection = connection.as_ref();
    if is_new || net.pass.is_none() {
        let introduced = introduce(shared, connection).await;
        if introduced.is_err() {
            // A connection that did not authenticate is of no use; the next round opens another.
            net.forget(Role::Account);
        }
        let status = match introduced {
            Err(error) if is_removed(&error) => {
                refused(shared, true)?;
                shared::tell(shared, REMOVED);
                return Err(error);
            }
            introduced => introduced?,
        };
        net.pass = Some(status.pass);
        shared.publish_pass(net.pass.as_ref());
        net.own_seq = status.state_seq;
        net.status_due = false;
        calls::subscribe_inbox(connection).await?;
        net.inbox_moved = true;
    }
    if std::mem::take(&mut net.status_due) {
        // Whatever reached the inbox, other devices may have changed the account too.
        let status = match calls::fetch_status(connection).await {
            Err(error) if is_removed(&error) => {
                refused(shared, true)?;
                shared::tell(shared, REMOVED);
                net.forget(Role::Account);
                return Err(error);
            }
            status => status?,
        };
        net.own_seq = status.state_seq;
        // Each invitation costs a package; a new device gets many at once.
        let pool_left = usize::try_from(status.pool_left).unwrap_or(usize::MAX);
        publish_key_packages(shared, connection, pool_left, status.has_last_resort).await?;
    }
    put_capability(shared, connection).await
}

/// Whether the server does not list this device (C-130).
fn is_removed(error: &TransportError) -> bool {
    matches!(error, TransportError::Refused(refusal) if refusal.code() == ErrorCode::Unauthorized)
}

/// Keeps whether the server lists this device, so that every later command knows (C-130).
fn refused(shared: &Shared, is_refused: bool) -> Result<(), TransportError> {
    let is_kept = shared.engine().look(|tx, _| Ok(tx.is_removed()?));
    if is_kept.map_err(|error| broken(shared, &error))? == is_refused {
        return Ok(());
    }
    let kept = shared
        .engine()
        .step(|step| Ok(step.tx.set_refused(is_refused)?));
    kept.map_err(|error| broken(shared, &error))
}

/// Authenticates a new account connection and publishes what key packages are missing. What the server says of
/// this device, the member pass with it.
pub(crate) async fn introduce(
    shared: &Shared,
    connection: &dyn Connection,
) -> Result<AccountStatus, TransportError> {
    let key = authenticate(shared, connection).await?;
    let status = calls::fetch_status(connection).await?;
    refused(shared, false)?;
    if key == ProvenBy::Made {
        // C-187: the account is followed first; key packages are signed with what it lists
        return Ok(status);
    }
    tell(shared, connection.hello().skew_ms, status.hold_ms);
    let life = connection.hello().incarnation;
    let before = shared.engine().look(|tx, _| Ok(tx.server_life()?));
    let before = before.map_err(|error| broken(shared, &error))?;
    if before.is_some_and(|before| before != life) {
        // C-162: it may hand out packages again that were used, whose keys are gone, and know an old capability.
        publish_key_packages(shared, connection, 0, false).await?;
        put_again(shared)?;
    } else {
        let pool_left = usize::try_from(status.pool_left).unwrap_or(usize::MAX);
        publish_key_packages(shared, connection, pool_left, status.has_last_resort).await?;
    }
    if before != Some(life) {
        let noted = shared
            .engine()
            .step(|step| Ok(step.tx.set_server_life(life)?));
        noted.map_err(|error| broken(shared, &error))?;
    }
    Ok(status)
}

fn put_again(shared: &Shared) -> Result<(), TransportError> {
    let due = shared
        .engine()
        .step(|step| Ok(step.tx.put_capability_due()?));
    due.map_err(|error| broken(shared, &error))
}

/// Which of its keys the server knows this device by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProvenBy {
    /// The one in use.
    Own,
    /// One that was made and whose state the server took, though the answer was lost.
    Made,
}

/// Proves on `connection` that it acts for this device (C-007): by the key in use, else by one that was made and may
/// be listed by now (C-187).
pub(crate) async fn authenticate(
    shared: &Shared,
    connection: &dyn Connection,
) -> Result<ProvenBy, TransportError> {
    let (account, device, own, made) = {
        let mut engine = shared.engine();
        let proofs = engine.look(|tx, own| {
            let device = &own.account.device;
            let proof = |secret: &DeviceSecret| account_proof(device, secret, connection.context());
            let made = tx.made_device()?.as_ref().map(proof);
            let own = proof(&device.secret);
            Ok((device.account_id, device.device_id, own, made))
        });
        proofs.map_err(|_| TransportError::Closed)?
    };
    match calls::authenticate(connection, account, device, own).await {
        Err(error) if is_removed(&error) => {
            let Some(made) = made else { return Err(error) };
            calls::authenticate(connection, account, device, made).await?;
            Ok(ProvenBy::Made)
        }
        done => done.map(|()| ProvenBy::Own),
    }
}

fn account_proof(
    device: &OwnDevice,
    secret: &DeviceSecret,
    context: &ConnectionContext,
) -> Vec<u8> {
    let fields = account_fields(device.account_id, device.device_id);
    secret.sign_input(&context.proof_input(Purpose::Account, &fields))
}

/// Tells people about a wrong clock and about somebody who wants their identifier.
fn tell(shared: &Shared, skew_ms: i64, hold_ms: u64) {
    let mut texts = Vec::new();
    if skew_ms.unsigned_abs() > CLOCK_SKEW_TOLD_MS {
        let minutes = skew_ms.unsigned_abs() / 60_000;
        texts.push(format!(
            "this clock and the server's differ by {minutes} minutes; set the clock of this machine"
        ));
    }
    if hold_ms > 0 {
        let days = hold_ms.div_ceil(86_400_000);
        texts.push(format!(
            "somebody with a right code wants your identifier; it moves in {days} days unless you run `conclave register veto`"
        ));
    }
    for text in texts {
        shared::tell(shared, &text);
    }
}

/// Puts a whole pool and another last resort in the place of what the server took back with a key, or was given under it
/// since (C-137, C-187). Should that fail, the driver's next start fills the pool. Then a round begins.
pub(crate) async fn fill_again(shared: &Shared, transport: &dyn Transport) {
    if let Ok(connection) = transport.connect(Role::Account).await {
        let connection = connection.as_ref();
        if authenticate(shared, connection).await.is_ok() {
            let _ = publish_key_packages(shared, connection, 0, false).await;
        }
    }
    shared.wake.notify_one();
}

/// Fills the pool and replaces the last resort weekly. Private keys are on disk before the server hears of
/// the public ones; old ones go only after the server has the new (C-032).
async fn publish_key_packages(
    shared: &Shared,
    connection: &dyn Connection,
    mut pool_left: usize,
    mut has_last_resort: bool,
) -> Result<(), TransportError> {
    let keys = || {
        let known = shared.engine().look(|_, own| {
            let device = &own.account.device;
            Ok((device.secret.leaf_key(), device.identity_fingerprint))
        });
        known.map_err(|error| broken(shared, &error))
    };
    loop {
        let before = keys()?;
        put_key_packages(shared, connection, pool_left, has_last_resort).await?;
        if keys()? == before {
            return Ok(());
        }
        // C-137, C-187: what went up may be by keys that were replaced meanwhile, and nobody takes it
        (pool_left, has_last_resort) = (0, false);
    }
}

async fn put_key_packages(
    shared: &Shared,
    connection: &dyn Connection,
    pool_left: usize,
    has_last_resort: bool,
) -> Result<(), TransportError> {
    let prepared = shared.engine().step(|step| {
        for reference in step.tx.take_old_last_resorts(step.now_ms)? {
            key_package::delete(step.tx, step.env, &reference)?;
        }
        let wanted = if pool_left < POOL_LOW {
            KEY_PACKAGE_POOL.saturating_sub(pool_left)
        } else {
            0
        };
        let device = &step.own.account.device;
        let build = |last_resort| key_package::build(step.tx, device, step.env, last_resort);
        let mut put = PutKeyPackages::default();
        for _ in 0..wanted {
            put.one_time.push(build(false)?.bytes);
        }
        let made = step.tx.last_resort()?.map(|(made, _)| made);
        let is_old = made.is_none_or(|made| step.now_ms.abs_diff(made) > LAST_RESORT_REPLACE_MS);
        let reference = if is_old || !has_last_resort {
            let built = build(true)?;
            put.last_resort = built.bytes;
            Some(built.hash_ref)
        } else {
            None
        };
        Ok((put, reference))
    });
    let (put, reference) = prepared.map_err(|error| broken(shared, &error))?;
    if put.one_time.is_empty() && put.last_resort.is_empty() {
        return Ok(());
    }
    calls::put_key_packages(connection, put).await?;
    let Some(reference) = reference else {
        return Ok(());
    };
    let noted = shared.engine().step(|step| {
        // C-032: the server has the new one; the old one's key stays for invitations under way.
        let delete_old_ms = step.now_ms.saturating_add(LAST_RESORT_KEEP_MS);
        Ok(step
            .tx
            .put_last_resort(&reference, step.now_ms, delete_old_ms)?)
    });
    noted.map_err(|error| broken(shared, &error))
}

async fn put_capability(
    shared: &Shared,
    connection: &dyn Connection,
) -> Result<(), TransportError> {
    let due = shared.engine().look(|tx, own| {
        Ok(tx
            .is_capability_due()?
            .then(|| label::hash(label::CAPABILITY_HASH, &own.account.capability)))
    });
    let Some(hash) = due.map_err(|error| broken(shared, &error))? else {
        return Ok(());
    };
    calls::put_capability(connection, hash.to_vec()).await?;
    let done = shared
        .engine()
        .step(|step| Ok(step.tx.clear_capability_due()?));
    done.map_err(|error| broken(shared, &error))
}
