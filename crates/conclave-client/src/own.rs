//! The own account's devices: which there are, following what the others change, naming and removing them.
//!
//! Every certifier device may change the account: it publishes the next state. The others learn of it from the
//! server or from each other and follow it by the rules that hold for everybody's states (C-016): an unbroken
//! chain by the known key, and nothing else.

use conclave_core::identity::{IdentitySecret, ProvenDevice};
use conclave_core::pin::{Pin, Verdict, judge};
use conclave_proto::ErrorCode;
use conclave_proto::account::{AccountState, AccountStates, DeviceCert, DeviceRole, PutState};
use conclave_proto::hello::Role;
use conclave_proto::id::DeviceId;

use crate::client::Client;
use crate::device;
use crate::device_key;
use crate::engine::Step;
use crate::error::ClientError;
use crate::keys;
use crate::link;
use crate::net::Net;
use crate::own_sync;
use crate::register::{self, CERT_BEFORE_MS, CERT_VALID_MS};
use crate::shared::{Shared, broken};
use crate::store::{Thing, parse_known};
use crate::transport::{Connection, RealTransport, Transport, TransportError, calls};
use crate::view::{Device, DeviceOffer, LinkShown, Whoami};

/// A certificate is made anew when it ends within this time, in ms: 60 days.
const RENEW_BEFORE_MS: u64 = 60 * 86_400_000;
/// How often a state is built anew because another device of the account was faster.
const REBUILDS_MAX: u32 = 5;

impl Client {
    // --- linking ------------------------------------------------------------------------------

    /// Offers this device, which has no account, to one on `server`: what to show on it. `name` is what the
    /// person calls it; may be empty.
    pub async fn link_start(
        &self,
        server: &conclave_proto::address::ServerAddress,
        name: &str,
    ) -> Result<LinkShown, ClientError> {
        let transport = RealTransport::new(server.clone(), self.shared().env.clone());
        self.link_start_over(&transport, server, name).await
    }

    /// The same over a transport of the caller's choice: tests and the simulator.
    pub async fn link_start_over(
        &self,
        transport: &dyn Transport,
        server: &conclave_proto::address::ServerAddress,
        name: &str,
    ) -> Result<LinkShown, ClientError> {
        link::offer(self.shared(), transport, server, name).await
    }

    /// Waits until a device of the account lets this one in, or the link is over.
    pub async fn link_finish(&self) -> Result<Whoami, ClientError> {
        let pending = self.engine().store.read(|tx| tx.pending_link())?;
        let Some(pending) = pending else {
            return Err(ClientError::NotFound(
                "no link is under way here; run `conclave link ADDRESS` first".into(),
            ));
        };
        let transport = RealTransport::new(pending.server, self.shared().env.clone());
        self.link_finish_over(&transport).await
    }

    /// The same over a transport of the caller's choice: tests and the simulator.
    pub async fn link_finish_over(&self, transport: &dyn Transport) -> Result<Whoami, ClientError> {
        link::finish(self.shared(), transport).await
    }

    /// Which device a link is of; changes nothing.
    pub async fn link_look(&self, uri: &str) -> Result<DeviceOffer, ClientError> {
        self.link_look_over(&self.transport()?, uri).await
    }

    /// The same over a transport of the caller's choice: tests and the simulator.
    pub async fn link_look_over(
        &self,
        transport: &dyn Transport,
        uri: &str,
    ) -> Result<DeviceOffer, ClientError> {
        link::look(self.shared(), transport, uri).await
    }

    /// Lets the device behind a link into the account, when `code` is what it shows.
    pub async fn approve_device(&self, uri: &str, code: &str) -> Result<DeviceOffer, ClientError> {
        self.approve_device_over(&self.transport()?, uri, code)
            .await
    }

    /// The same over a transport of the caller's choice: tests and the simulator.
    pub async fn approve_device_over(
        &self,
        transport: &dyn Transport,
        uri: &str,
        code: &str,
    ) -> Result<DeviceOffer, ClientError> {
        link::approve(self.shared(), transport, uri, code).await
    }

    // --- devices ------------------------------------------------------------------------------

    /// The account's devices, as this one knows them.
    pub fn devices(&self) -> Result<Vec<Device>, ClientError> {
        self.engine().look(|tx, own| {
            let names = tx.device_names()?;
            let own_id = own.account.device.device_id;
            let show = |cert: &DeviceCert| {
                let content = &cert.content;
                let name = names.iter().find(|(id, _)| *id == content.device_id);
                Device {
                    id: content.device_id,
                    name: name.map(|(_, name)| name.clone()).unwrap_or_default(),
                    may_certify: content.role == DeviceRole::Certifier,
                    added_ms: content.not_before_ms.saturating_add(CERT_BEFORE_MS),
                    expires_ms: content.not_after_ms,
                    is_this: content.device_id == own_id,
                }
            };
            let mut devices: Vec<Device> = own.account.certs.iter().map(show).collect();
            devices.sort_by_key(|device| (device.added_ms, device.id));
            Ok(devices)
        })
    }

    /// The device that `words` mean: an id, the beginning of one, or a name that one device has.
    pub fn find_device(&self, words: &str) -> Result<Device, ClientError> {
        // What reads as an id is one: no device can be named to be taken for another.
        let is_id = words.starts_with("d_");
        let is_meant = |device: &Device| {
            let begins = words.len() >= 6 && device.id.to_string().starts_with(words);
            if is_id { begins } else { device.name == words }
        };
        let mut found: Vec<Device> = self.devices()?;
        found.retain(is_meant);
        match (found.pop(), found.is_empty()) {
            (Some(device), true) => Ok(device),
            (Some(_), false) => Err(ClientError::BadInput(format!(
                "several devices are meant by {words}; give the id that `conclave device list` shows"
            ))),
            (None, _) => Err(ClientError::NotFound(format!(
                "the account has no device {words}; `conclave device list` shows them"
            ))),
        }
    }

    /// Gives a device a name; the account's other devices are told.
    pub fn rename_device(&self, device: DeviceId, name: &str) -> Result<(), ClientError> {
        check_name(name)?;
        self.engine().step(|step| named(step, device, name))?;
        self.wake();
        Ok(())
    }

    /// Takes another device out of the account. The server refuses it from then on.
    pub async fn remove_device(&self, device: DeviceId) -> Result<(), ClientError> {
        self.remove_device_over(&self.transport()?, device).await
    }

    /// The same over a transport of the caller's choice: tests and the simulator.
    pub async fn remove_device_over(
        &self,
        transport: &dyn Transport,
        device: DeviceId,
    ) -> Result<(), ClientError> {
        remove(self.shared(), transport, device).await
    }

    pub(crate) fn transport(&self) -> Result<RealTransport, ClientError> {
        let server = self.engine().own()?.account.server.clone();
        Ok(RealTransport::new(server, self.shared().env.clone()))
    }
}

/// Refuses names that no device can have.
pub(crate) fn check_name(name: &str) -> Result<(), ClientError> {
    register::check_name(name)?;
    if name.starts_with("d_") {
        return Err(ClientError::BadInput(
            "a device's name must not look like a device's id".into(),
        ));
    }
    Ok(())
}

/// A device has a name now.
pub(crate) fn named(step: &mut Step<'_>, device: DeviceId, name: &str) -> Result<(), ClientError> {
    step.tx.put_device_name(device, name)?;
    Ok(step.tx.share(Thing::Device(device))?)
}

/// The identity key, for one signature.
pub(crate) fn identity(step: &Step<'_>) -> Result<IdentitySecret, ClientError> {
    let held = [step.tx.identity()?, step.tx.next_identity()?];
    let newest = &step.own.account.state.content.identity;
    let mut held = held.into_iter().flatten();
    held.find(|identity| identity.public() == *newest)
        .ok_or_else(|| {
            ClientError::NotAllowed(
                "this device does not hold the account's identity key; use another of its devices"
                    .into(),
            )
        })
}

/// Proves on `connection` that it acts for this device.
pub(crate) async fn authenticate(
    shared: &Shared,
    connection: &dyn Connection,
) -> Result<(), ClientError> {
    device::authenticate(shared, connection).await?;
    Ok(())
}

/// A state that this device published is the newest now.
pub(crate) fn adopt(shared: &Shared, put: &PutState) -> Result<(), ClientError> {
    // with the one before: what follows another key is shown by both
    let before = shared.engine().own()?.account.state.to_bytes();
    let states = AccountStates {
        states: vec![before, put.state.clone()],
        certs: put.certs.clone(),
        former_certs: vec![],
    };
    match follow_by(shared, &states, true)? {
        Followed::Here | Followed::Removed => Ok(()),
        Followed::Missing(_) | Followed::Alarm => Err(ClientError::Broken(
            "a state that this device made does not follow its own newest one".into(),
        )),
    }
}

/// What following states led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Followed {
    /// They are known, or accepted now.
    Here,
    /// Accepted; this device is not in the account any more.
    Removed,
    /// States before these are missing: fetch from this seq.
    Missing(u64),
    /// They contradict what is known; told, nothing was changed.
    Alarm,
}

/// Judges states of the own account as everybody's are judged (C-016) and takes what follows.
pub(crate) fn follow(shared: &Shared, states: &AccountStates) -> Result<Followed, ClientError> {
    follow_by(shared, states, false)
}

fn follow_by(
    shared: &Shared,
    states: &AccountStates,
    is_own_doing: bool,
) -> Result<Followed, ClientError> {
    let mut engine = shared.engine();
    let followed = engine.step(|step| {
        let followed = follow_states(step, states)?;
        if followed == Followed::Here {
            own_sync::devices_changed(step, is_own_doing)?;
        }
        Ok(followed)
    })?;
    engine.load_own()?;
    Ok(followed)
}

fn follow_states(step: &mut Step<'_>, states: &AccountStates) -> Result<Followed, ClientError> {
    let own = &step.own.account;
    let parsed: Result<Vec<_>, _> = states
        .states
        .iter()
        .map(|s| AccountState::parse(s))
        .collect();
    let Ok(parsed) = parsed else {
        return alarm(step, "states of this account that cannot be read", None);
    };
    // The driver may have taken it before whoever made it.
    if parsed.last().map(AccountState::hash) == Some(own.state.hash()) {
        return Ok(Followed::Here);
    }
    // C-129: no server and no other device moves this account any other way than everybody's
    match judge(Some(&Pin::of(&own.state)), step.own.server_id(), &parsed) {
        Verdict::Same | Verdict::Stale => Ok(Followed::Here),
        Verdict::Incomplete { from_seq } => Ok(Followed::Missing(from_seq)),
        Verdict::Advanced(_) => advance(step, states),
        Verdict::Changed { pin, .. } if keys::is_made_here(step, pin.identity_fingerprint)? => {
            advance(step, states)
        }
        Verdict::Fork { other } => {
            let what = "two states of this account with one number";
            alarm(step, what, Some(&other.to_bytes()))
        }
        _ => alarm(
            step,
            "this account under another key",
            states.states.last().map(Vec::as_slice),
        ),
    }
}

/// An unbroken chain from the known state: its newest one is the account's.
fn advance(step: &mut Step<'_>, states: &AccountStates) -> Result<Followed, ClientError> {
    let own_id = step.own.account.device.device_id;
    let Some(known) = parse_known(step.own.server_id(), states) else {
        return alarm(
            step,
            "certificates of this account that do not verify",
            None,
        );
    };
    let listed = &known.state().content.devices;
    if !listed.iter().any(|entry| entry.device_id == own_id) {
        // C-130: kept, so that every later start says so
        step.tx.set_removed()?;
        step.warn("this device was removed from the account; what it has stays readable here");
        return Ok(Followed::Removed);
    }
    if known.certs().len() != listed.len() {
        return alarm(step, "this account without its certificates", None);
    }
    // C-129: a key that this device does not hold is not its own, whoever certified it
    let is_ours = match known.cert(own_id) {
        Some(cert) => device_key::follow(step, cert)?,
        None => false,
    };
    if !is_ours {
        let proof = states.states.last().map(Vec::as_slice);
        return alarm(step, "this device under a key that it does not hold", proof);
    }
    step.tx
        .put_own_states(known.state(), known.certs(), own_id)?;
    keys::account_moved(step, known.state())?;
    Ok(Followed::Here)
}

fn alarm(step: &mut Step<'_>, what: &str, proof: Option<&[u8]>) -> Result<Followed, ClientError> {
    if let Some(proof) = proof {
        step.tx.put_evidence(what, proof, step.now_ms)?;
    }
    step.warn(format!(
        "the server shows {what}; nothing was changed here; ask its operator, and look at `conclave device list` \
         on your other devices"
    ));
    Ok(Followed::Alarm)
}

/// Fetches and follows the own states that other devices published, over connections of its own. `account` is
/// authenticated.
pub(crate) async fn catch_up(
    shared: &Shared,
    transport: &dyn Transport,
    account: &dyn Connection,
) -> Result<Followed, ClientError> {
    let status = calls::fetch_status(account).await?;
    let directory = transport.connect(Role::Directory).await?;
    Ok(fetch(shared, directory.as_ref(), &status.pass).await?)
}

/// The same in a round of the driver.
pub(crate) async fn catch_up_in_round(
    shared: &Shared,
    net: &mut Net,
) -> Result<(), TransportError> {
    let known = shared
        .engine()
        .look(|_, own| Ok(own.account.state.content.seq));
    let known = known.map_err(|error| broken(shared, &error))?;
    if net.own_seq <= known {
        return Ok(());
    }
    let (directory, _) = net.connection(Role::Directory).await?;
    fetch(shared, directory.as_ref(), net.pass()?).await?;
    // C-187: key packages under a key that this device has only now
    net.status_due = true;
    // An alarm was told; it is not asked for again on every round.
    net.own_seq = 0;
    net.progress = true;
    Ok(())
}

async fn fetch(
    shared: &Shared,
    directory: &dyn Connection,
    pass: &[u8],
) -> Result<Followed, TransportError> {
    let (account, seq) = {
        let engine = shared.engine();
        let own = engine.own().map_err(|_| TransportError::Closed)?;
        let content = &own.account.state.content;
        (content.account_id, content.seq)
    };
    let states = calls::fetch_states(directory, pass, account, seq).await?;
    match follow(shared, &states).map_err(|error| broken(shared, &error))? {
        Followed::Missing(_) => Err(TransportError::Protocol("the account's states have a gap")),
        followed => Ok(followed),
    }
}

/// A part of each round: this device's certificate is made anew before it ends, so that it can go on to be added.
pub(crate) async fn renew(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    let put = shared.engine().step(|step| renewed(step));
    let Some(put) = put.map_err(|error| broken(shared, &error))? else {
        return Ok(());
    };
    let (account, _) = net.connection(Role::Account).await?;
    match calls::put_state(account.as_ref(), put.clone()).await {
        Ok(()) => adopt(shared, &put).map_err(|error| broken(shared, &error)),
        // Another device was faster: this one follows it first, then tries again.
        Err(TransportError::Refused(refusal)) if refusal.code() == ErrorCode::Conflict => {
            net.status_due = true;
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The next state with a fresh certificate of this device, when its own ends soon or lists keys from long ago, and it
/// may make one.
fn renewed(step: &Step<'_>) -> Result<Option<PutState>, ClientError> {
    let own = &step.own.account;
    let old = &own.cert.content;
    let ends_soon = old.not_after_ms.saturating_sub(step.now_ms) < RENEW_BEFORE_MS;
    let proven = ProvenDevice::of(&own.cert);
    let former = device_key::former(step)?;
    // C-187: a key that was replaced long ago counts no more
    let is_due = ends_soon || proven.former.len() > former.len();
    if !is_due || old.role != DeviceRole::Certifier || identity(step).is_err() {
        return Ok(None);
    }
    let not_after_ms = if ends_soon {
        step.now_ms.saturating_add(CERT_VALID_MS)
    } else {
        old.not_after_ms
    };
    device_key::next_state(step, &proven.with_former(&former), not_after_ms).map(Some)
}

async fn remove(
    shared: &Shared,
    transport: &dyn Transport,
    device: DeviceId,
) -> Result<(), ClientError> {
    let connection = transport.connect(Role::Account).await?;
    let connection = connection.as_ref();
    authenticate(shared, connection).await?;
    publish(shared, transport, connection, |step| without(step, device)).await?;
    shared.wake.notify_one();
    Ok(())
}

/// Publishes the account's next state as `build` makes it, and follows it. Built anew on whatever another device of the
/// account published meanwhile; nothing from `build` says that it is so already.
pub(crate) async fn publish(
    shared: &Shared,
    transport: &dyn Transport,
    connection: &dyn Connection,
    mut build: impl FnMut(&mut Step<'_>) -> Result<Option<PutState>, ClientError>,
) -> Result<(), ClientError> {
    for _ in 0..REBUILDS_MAX {
        let Some(put) = shared.engine().step(|step| build(step))? else {
            return Ok(());
        };
        match calls::put_state(connection, put.clone()).await {
            Ok(()) => return adopt(shared, &put),
            Err(TransportError::Refused(refusal)) if refusal.code() == ErrorCode::Conflict => {
                catch_up(shared, transport, connection).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(ClientError::NotAllowed(
        "other devices change the account all the time; try again".into(),
    ))
}

/// The next state, without `device`; `None` when it is out already.
fn without(step: &mut Step<'_>, device: DeviceId) -> Result<Option<PutState>, ClientError> {
    let own = &step.own.account;
    if device == own.device.device_id {
        return Err(ClientError::NotAllowed(
            "this device cannot remove itself; run it on another one".into(),
        ));
    }
    let mut certs = own.certs.clone();
    certs.retain(|cert| cert.content.device_id != device);
    if certs.len() == own.certs.len() {
        return Ok(None);
    }
    let state = identity(step)?.next_state(&own.state, &certs, step.now_ms);
    Ok(Some(PutState {
        state: state.to_bytes(),
        certs: certs.iter().map(DeviceCert::to_bytes).collect(),
    }))
}
