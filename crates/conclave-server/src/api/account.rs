//! What a device does for its own account: proof, status, states, key packages, veto.

use std::collections::BTreeSet;

use conclave_proto::account::{
    AccountState, AccountStatus, Authenticate, PutCapability, PutState, Succession, verify_ed25519,
};
use conclave_proto::frame::reply;
use conclave_proto::hello::{Purpose, account_fields};
use conclave_proto::id::{AccountId, Day, DeviceId, Hash32};
use conclave_proto::key_package::PutKeyPackages;
use conclave_proto::limits::{KEY_PACKAGE_BYTES_MAX, KEY_PACKAGE_POOL};
use conclave_proto::{ErrorCode, Refusal};

use super::{Answer, DONE, bad, edge, too_large};
use crate::server::App;
use crate::session::Session;
use crate::store::{KeyPackagesOutcome, NewState, PutStateOutcome};

/// Says which device this connection acts for.
pub(super) async fn authenticate(app: &App, session: &Session, request: &Authenticate) -> Answer {
    let account_id = edge::field(AccountId::parse(&request.account_id), "account id")?;
    let device_id = edge::field(DeviceId::parse(&request.device_id), "device id")?;
    if session.is_authenticated() {
        return Err(bad("this connection acts for a device already"));
    }
    let leaf_key = app.store.device_key(account_id, device_id).await?;
    let fields = account_fields(account_id, device_id);
    let input = session.context.proof_input(Purpose::Account, &fields);
    // C-007: the proof is for this connection. An unknown device and a wrong proof get one answer.
    let holds = leaf_key.is_some_and(|key| verify_ed25519(&key, &input, &request.proof));
    if !holds {
        return Err(unauthorized());
    }
    session.authenticated(account_id, device_id);
    Ok(DONE)
}

fn unauthorized() -> Refusal {
    let text = "the proof does not verify, or the account does not list the device";
    Refusal::new(ErrorCode::Unauthorized, text)
}

/// The member pass and what concerns this device.
pub(super) async fn status(app: &App, session: &Session) -> Answer {
    let (account_id, device_id) = session.device().await?;
    let now_ms = app.env.now_ms();
    let status = app
        .store
        .device_status(account_id, device_id, app.steady_ms());
    let status = status.await?.ok_or_else(unauthorized)?;
    let pass = app.keys.pepper.member_pass(Day::of_ms(now_ms));
    Ok(reply::Body::AccountStatus(AccountStatus {
        pass: pass.to_vec(),
        pool_left: status.pool_left,
        has_last_resort: status.has_last_resort,
        state_seq: status.state_seq,
        hold_ms: status.hold_ms,
    }))
}

/// Stops a pending move of this account's identifier (C-044).
pub(super) async fn veto_hold(app: &App, session: &Session) -> Answer {
    let (account_id, _) = session.device().await?;
    app.store.veto_hold(account_id).await?;
    Ok(DONE)
}

/// Appends the next account state.
pub(super) async fn put_state(app: &App, session: &Session, request: PutState) -> Answer {
    let (account_id, device_id) = session.device().await?;
    let (state, devices) = edge::account(app.keys.server_id, &request.state, &request.certs)?;
    let content = &state.content;
    if content.account_id != account_id || devices.is_empty() {
        return Err(bad("the state is not one of this account"));
    }
    let previous = app.store.states(account_id, content.seq.saturating_sub(1));
    let previous = previous.await?.and_then(|p| p.states.into_iter().next());
    let previous = previous.and_then(|bytes| AccountState::parse(&bytes).ok());
    // C-015, C-136: seq + 1 and the hash of the one before, by the same key or one that it signed for.
    let succession = previous
        .as_ref()
        .and_then(|previous| previous.succession(&state));
    match succession {
        None => return Err(conflict("the state does not follow the newest one")),
        // C-137: the key may be lost, the device that says so may not.
        Some(Succession::Reset) if !lists(&state, device_id) => {
            return Err(bad(
                "a new generation has to list the device that begins it",
            ));
        }
        Some(_) => {}
    }
    let (seq, prev_hash) = (content.seq, content.prev_hash);
    let state_hash = state.hash();
    let before = previous.into_iter().flat_map(|state| state.content.devices);
    let concerned: BTreeSet<DeviceId> = before
        .chain(content.devices.iter().copied())
        .map(|entry| entry.device_id)
        .collect();
    let outcome = app.store.put_state(NewState {
        account_id,
        seq,
        prev_hash,
        state: request.state,
        state_hash,
        devices,
        is_reset: succession == Some(Succession::Reset),
    });
    match outcome.await? {
        PutStateOutcome::SameAgain => Ok(DONE),
        PutStateOutcome::Stored => {
            // C-130: those that are out find out now, the others that there is a newer state
            for device in concerned {
                app.hub.inbox(device);
            }
            Ok(DONE)
        }
        PutStateOutcome::Conflict => Err(conflict("the state does not follow the newest one")),
        PutStateOutcome::IdTaken => Err(conflict("a device id is taken, make a new one")),
        PutStateOutcome::NoAccount => Err(unauthorized()),
    }
}

fn lists(state: &AccountState, device_id: DeviceId) -> bool {
    let mut devices = state.content.devices.iter();
    devices.any(|entry| entry.device_id == device_id)
}

fn conflict(text: &str) -> Refusal {
    Refusal::new(ErrorCode::Conflict, text)
}

/// Replaces the account's capability hash.
pub(super) async fn put_capability(
    app: &App,
    session: &Session,
    request: &PutCapability,
) -> Answer {
    let (account_id, _) = session.device().await?;
    let hash = edge::field(Hash32::parse(&request.capability_hash), "capability hash")?;
    if app.store.put_capability(account_id, hash).await? {
        return Ok(DONE);
    }
    Err(unauthorized())
}

/// Adds key packages; they are opaque here.
pub(super) async fn put_key_packages(
    app: &App,
    session: &Session,
    request: PutKeyPackages,
) -> Answer {
    let (_, device_id) = session.device().await?;
    if request.one_time.len() > KEY_PACKAGE_POOL {
        let text = format!("at most {KEY_PACKAGE_POOL} key packages");
        return Err(too_large(text));
    }
    let is_long = |package: &Vec<u8>| package.len() > KEY_PACKAGE_BYTES_MAX;
    if request.one_time.iter().any(is_long) || is_long(&request.last_resort) {
        let text = format!("a key package has at most {KEY_PACKAGE_BYTES_MAX} bytes");
        return Err(too_large(text));
    }
    if request.one_time.iter().any(Vec::is_empty) {
        return Err(bad("a key package is empty"));
    }
    let last_resort = Some(request.last_resort).filter(|package| !package.is_empty());
    let now_ms = app.steady_ms();
    // C-032: the answer comes when the packages are on disk.
    let put = app
        .store
        .put_key_packages(device_id, request.one_time, last_resort, now_ms);
    match put.await? {
        KeyPackagesOutcome::Stored { .. } => Ok(DONE),
        KeyPackagesOutcome::NoSuchDevice => Err(unauthorized()),
    }
}
