//! A new device joins its account: the waiting side and the letting-in side (C-122 to C-124).
//!
//! 1. `offer`: the new device makes keys, opens a mailbox and shows link and code
//! 2. `approve` on a device of the account: the offer is checked against the link, the answer sealed with the
//!    typed code
//! 3. `finish` on the new device: the answer opens with the code, the device proves its keys
//! 4. `approve` goes on: certificate, next account state, bundle
//! 5. `finish` goes on: the account is checked and becomes this profile's
//!
//! Both sides write down each part before they send it, so both commands can be run again after any end. What
//! may stay is a listed device that never came; `device remove` takes it away.

use conclave_core::capability::Capability;
use conclave_core::identity::{DeviceFacts, DeviceSecret, OwnDevice};
use conclave_core::link::{Answer, Bundle, LinkCode, LinkError, Offer, proven};
use conclave_proto::ErrorCode;
use conclave_proto::account::{AccountState, DeviceCert, DeviceRole, PutState};
use conclave_proto::address::ServerAddress;
use conclave_proto::hello::Role;
use conclave_proto::id::{DeviceId, Hash32};
use conclave_proto::identifier::Identifier;
use conclave_proto::limits::{DEVICES_MAX, MAILBOX_VALID_MS};
use conclave_proto::mailbox::{ANSWER, BUNDLE, LinkUri, OFFER, PROOF, mailbox_id};
use tokio::time::{Duration, sleep};

use crate::archive;
use crate::device;
use crate::engine::{Own, Step};
use crate::error::ClientError;
use crate::own;
use crate::register::{self, CERT_BEFORE_MS, CERT_VALID_MS};
use crate::shared::Shared;
use crate::store::{Approval, OwnAccount, PendingLink};
use crate::transport::{Backoff, Connection, Transport, TransportError, calls};
use crate::view::{DeviceOffer, LinkShown, Whoami};

// --- the new device ---------------------------------------------------------------------------

/// Opens a mailbox and says what to show. A link that still waits is shown again.
pub(crate) async fn offer(
    shared: &Shared,
    transport: &dyn Transport,
    server: &ServerAddress,
    name: &str,
) -> Result<LinkShown, ClientError> {
    own::check_name(name)?;
    let waiting = not_registered(shared)?;
    let now_ms = shared.env.now_ms();
    let connection = transport.connect(Role::Account).await?;
    if let Some(link) = waiting
        && link.server == *server
        && is_in_time(&link, now_ms)
    {
        match calls::open_mailbox(connection.as_ref(), link.offer.to_bytes()).await {
            Ok(()) => return Ok(shown(&link, now_ms)),
            // used up: a fresh one
            Err(error) if is_over(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let env = shared.env.as_ref();
    let secret = DeviceSecret::generate(env);
    let device_id = DeviceId::random(env);
    let link = PendingLink {
        server: server.clone(),
        offer: Offer::new(server.server_id, device_id, &secret, name, env),
        secret,
        code: LinkCode::random(env),
        made_ms: now_ms,
    };
    shared
        .engine()
        .store
        .write(|tx| tx.put_pending_link(&link))?;
    calls::open_mailbox(connection.as_ref(), link.offer.to_bytes()).await?;
    Ok(shown(&link, now_ms))
}

/// The link under way of a profile that has no account yet.
fn not_registered(shared: &Shared) -> Result<Option<PendingLink>, ClientError> {
    let mut engine = shared.engine();
    if let Some(own) = &engine.own {
        let identifier = own.account.identifier.clone();
        return Err(ClientError::AlreadyRegistered(identifier));
    }
    Ok(engine.store.read(|tx| tx.pending_link())?)
}

pub(crate) fn is_in_time(link: &PendingLink, now_ms: u64) -> bool {
    now_ms.abs_diff(link.made_ms) < MAILBOX_VALID_MS
}

pub(crate) fn shown(link: &PendingLink, now_ms: u64) -> LinkShown {
    let uri = LinkUri {
        server_id: link.server.server_id,
        mailbox_id: mailbox_id(&link.offer.to_bytes()),
    };
    let left = MAILBOX_VALID_MS.saturating_sub(now_ms.abs_diff(link.made_ms));
    LinkShown {
        uri: uri.to_string(),
        code: link.code.digits().to_owned(),
        valid_ms: left,
    }
}

/// Waits until a device of the account lets this one in; then the account is this profile's.
pub(crate) async fn finish(
    shared: &Shared,
    transport: &dyn Transport,
) -> Result<Whoami, ClientError> {
    let link = not_registered(shared)?.ok_or_else(no_link)?;
    let mailbox = mailbox_id(&link.offer.to_bytes());
    let mut backoff = Backoff::new(shared.env.clone());
    loop {
        let tried = match transport.connect(Role::Account).await {
            Ok(connection) => let_in(shared, connection.as_ref(), &link, mailbox).await,
            Err(error) => Err(error.into()),
        };
        match tried {
            // What was offered and shown stays good: the server is asked again while there is time.
            Err(ClientError::Unreachable(_)) if is_in_time(&link, shared.env.now_ms()) => {
                sleep(Duration::from_millis(backoff.next_ms())).await;
            }
            done => return done,
        }
    }
}

fn no_link() -> ClientError {
    ClientError::NotFound("no link is under way here; run `conclave link ADDRESS` first".into())
}

async fn let_in(
    shared: &Shared,
    connection: &dyn Connection,
    link: &PendingLink,
    mailbox: Hash32,
) -> Result<Whoami, ClientError> {
    let sealed = waited(shared, connection, link, mailbox, ANSWER).await?;
    let answer = Answer::open(&sealed, &link.secret, &link.offer, &link.code);
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Err(give_up(shared, connection, mailbox, error).await),
    };
    let (server, device) = (link.offer.server_id(), link.offer.device_id());
    let proof = link.secret.prove(server, answer.account_id(), device);
    let put = calls::put_slot(connection, mailbox, PROOF, proof.signature).await;
    put.map_err(|error| mailbox_error(shared, error))?;
    let sealed = waited(shared, connection, link, mailbox, BUNDLE).await?;
    let bundle = Bundle::open(&sealed, &link.secret, &link.offer, &link.code, &answer);
    let bundle = match bundle {
        Ok(bundle) => bundle,
        Err(error) => return Err(give_up(shared, connection, mailbox, error).await),
    };
    let whoami = {
        let _settled = shared.becoming.lock().await;
        not_registered(shared)?;
        keep(shared, link, &bundle)?
    };
    // Empty or over by itself: nothing depends on it any more.
    let _ = calls::close_mailbox(connection, mailbox).await;
    // Others can add this device from now on. Should the connection end first, the driver does it.
    let _ = device::introduce(shared, connection).await;
    Ok(whoami)
}

/// What a slot holds once it is written.
async fn waited(
    shared: &Shared,
    connection: &dyn Connection,
    link: &PendingLink,
    mailbox: Hash32,
    slot: u32,
) -> Result<Vec<u8>, ClientError> {
    while is_in_time(link, shared.env.now_ms()) {
        let read = calls::read_slot(connection, mailbox, slot, true).await;
        let bytes = read.map_err(|error| mailbox_error(shared, error))?;
        if !bytes.is_empty() {
            return Ok(bytes);
        }
    }
    Err(over(shared))
}

/// C-123: what does not open was made by somebody who does not know the code, or not for this link. There is no
/// second try.
async fn give_up(
    shared: &Shared,
    connection: &dyn Connection,
    mailbox: Hash32,
    error: LinkError,
) -> ClientError {
    // It ends by itself should the server not hear of it; this side never looks again.
    let _ = calls::close_mailbox(connection, mailbox).await;
    forget(shared).err().unwrap_or_else(|| link_error(error))
}

fn forget(shared: &Shared) -> Result<(), ClientError> {
    Ok(shared.engine().store.write(|tx| tx.forget_link())?)
}

fn mailbox_error(shared: &Shared, error: TransportError) -> ClientError {
    if is_over(&error) {
        return over(shared);
    }
    error.into()
}

fn over(shared: &Shared) -> ClientError {
    forget(shared).err().unwrap_or_else(|| {
        ClientError::NotFound(
            "nobody let this device in while the link was good; run `conclave link` again".into(),
        )
    })
}

/// The account that arrived becomes this profile's, in one transaction.
fn keep(shared: &Shared, link: &PendingLink, bundle: &Bundle) -> Result<Whoami, ClientError> {
    let content = &bundle.state.content;
    let device_id = link.offer.device_id();
    let cert = bundle.certs.iter();
    let cert = cert
        .clone()
        .find(|cert| cert.content.device_id == device_id)
        .ok_or_else(|| ClientError::Broken("a checked bundle lost its device".into()))?;
    let secret = DeviceSecret::from_stored(&link.secret.to_stored())
        .ok_or_else(|| ClientError::Broken("the new device's keys cannot be read".into()))?;
    let account = OwnAccount {
        device: OwnDevice {
            server_id: content.server_id,
            account_id: content.account_id,
            device_id,
            identity_fingerprint: content.identity.fingerprint(),
            account_seq: content.seq,
            secret,
            former: Vec::new(),
        },
        server: link.server.clone(),
        identifier: bundle.identifier.to_string(),
        name: bundle.name.clone(),
        cert: cert.clone(),
        certs: bundle.certs.clone(),
        capability: *bundle.capability.as_bytes(),
        state: bundle.state.clone(),
    };
    let mut engine = shared.engine();
    let now_ms = shared.env.now_ms();
    engine.store.write(|tx| {
        tx.put_linked(&account, &bundle.identity)?;
        archive::take(tx, &bundle.history, now_ms)?;
        tx.put_device_name(device_id, &link.offer.name())
    })?;
    engine.load_own()?;
    Ok(register::whoami(&engine.own()?.account))
}

// --- the device that lets it in ---------------------------------------------------------------

/// What the link leads to, to show it before anything is done.
pub(crate) async fn look(
    shared: &Shared,
    transport: &dyn Transport,
    uri: &str,
) -> Result<DeviceOffer, ClientError> {
    let uri = parse(shared, uri)?;
    let connection = transport.connect(Role::Account).await?;
    let offer = offered(shared, connection.as_ref(), &uri).await?;
    Ok(DeviceOffer {
        device: offer.device_id(),
        name: offer.name(),
    })
}

fn parse(shared: &Shared, uri: &str) -> Result<LinkUri, ClientError> {
    let uri: LinkUri = uri
        .parse()
        .map_err(|error: conclave_proto::mailbox::LinkUriError| {
            ClientError::BadInput(error.to_string())
        })?;
    let engine = shared.engine();
    let own = engine.own()?;
    if uri.server_id != own.server_id() {
        return Err(ClientError::BadInput(
            "that device talks to another server; run `conclave link` there with the address that `conclave \
             whoami` shows here"
                .into(),
        ));
    }
    if own.account.cert.content.role != DeviceRole::Certifier {
        return Err(ClientError::NotAllowed(
            "this device may not let others in; use one that may, `conclave device list` shows them".into(),
        ));
    }
    Ok(uri)
}

async fn fetch_offer(
    shared: &Shared,
    connection: &dyn Connection,
    uri: &LinkUri,
) -> Result<Offer, ClientError> {
    let read = calls::read_slot(connection, uri.mailbox_id, OFFER, false).await;
    let bytes = read.map_err(approve_error)?;
    // C-122
    let offer = Offer::parse(&bytes, uri.mailbox_id).map_err(link_error)?;
    if offer.server_id() != shared.engine().own()?.server_id() {
        return Err(link_error(LinkError::OtherOffer));
    }
    Ok(offer)
}

/// The offer; of a link that an earlier run followed to its end, what became of it.
async fn offered(
    shared: &Shared,
    connection: &dyn Connection,
    uri: &LinkUri,
) -> Result<Offer, ClientError> {
    match fetch_offer(shared, connection, uri).await {
        Err(ClientError::NotFound(text)) => {
            Err(listed_before(shared, uri)?.unwrap_or(ClientError::NotFound(text)))
        }
        offer => offer,
    }
}

fn approve_error(error: TransportError) -> ClientError {
    if is_over(&error) {
        return ClientError::NotFound(
            "the link is over or was used: the code may have been wrong, or somebody else was faster; nothing was \
             changed here; run `conclave link` on the new device again"
                .into(),
        );
    }
    error.into()
}

/// Lets the device behind `uri` in, when `code` is the one that it shows.
pub(crate) async fn approve(
    shared: &Shared,
    transport: &dyn Transport,
    uri: &str,
    code: &str,
) -> Result<DeviceOffer, ClientError> {
    let uri = parse(shared, uri)?;
    let code = LinkCode::parse(code).ok_or_else(|| {
        ClientError::BadInput("that is not the code: the new device shows six digits".into())
    })?;
    let connection = transport.connect(Role::Account).await?;
    let connection = connection.as_ref();
    let offer = offered(shared, connection, &uri).await?;
    let mut approval = begin(shared, &offer, &code)?;
    calls::put_slot(connection, uri.mailbox_id, ANSWER, approval.answer.clone())
        .await
        .map_err(approve_error)?;
    if approval.bundle.is_empty() {
        let proof = proof(shared, connection, &uri).await?;
        own::authenticate(shared, connection).await?;
        list(shared, transport, connection, &mut approval, &proof).await?;
    }
    let put = calls::put_slot(connection, uri.mailbox_id, BUNDLE, approval.bundle.clone()).await;
    // A bundle that did not arrive goes out when the command is run again, as long as the link is good.
    if put.as_ref().err().is_none_or(is_over) {
        let mut engine = shared.engine();
        engine.store.write(|tx| tx.end_approval(uri.mailbox_id))?;
    }
    shared.wake.notify_one();
    match put {
        Ok(()) => Ok(DeviceOffer {
            device: offer.device_id(),
            name: offer.name(),
        }),
        Err(error) if is_over(&error) => Err(listed(offer.device_id())),
        Err(error) => Err(error.into()),
    }
}

/// The device is in the account, and whether it knows cannot be told.
fn listed(device: DeviceId) -> ClientError {
    ClientError::NotFound(format!(
        "the link is over, and the account has the device already; if it did not get in, run `conclave device remove \
         {device}` and begin again"
    ))
}

/// The same of a link that an earlier run of the command followed until the account listed the device.
fn listed_before(shared: &Shared, uri: &LinkUri) -> Result<Option<ClientError>, ClientError> {
    shared.engine().look(|tx, own| {
        let earlier = tx.approval()?;
        let earlier = earlier.filter(|approval| approval.mailbox_id == uri.mailbox_id.to_vec());
        let offer = earlier.and_then(|approval| Offer::read(&approval.offer).ok());
        let devices = &own.account.state.content.devices;
        let is_in = |offer: &Offer| {
            let mut listed = devices.iter();
            listed.any(|entry| entry.device_id == offer.device_id())
        };
        Ok(offer.filter(is_in).map(|offer| listed(offer.device_id())))
    })
}

/// The answer, written down before it is sent. The same link and code go on where they were.
fn begin(shared: &Shared, offer: &Offer, code: &LinkCode) -> Result<Approval, ClientError> {
    let bytes = offer.to_bytes();
    shared.engine().step(|step| {
        let account = step.own.account.device.account_id;
        if let Some(earlier) = step.tx.approval()?
            && earlier.offer == bytes
            && earlier.code == code.digits()
        {
            return Ok(earlier);
        }
        // Listed by an earlier try that was cut before the device heard of it: it shows a new link, and gets its bundle.
        let mut certs = step.own.account.certs.iter();
        if !certs.any(|cert| offer.is_of(cert)) {
            check_room(step, offer.device_id())?;
        }
        let answer = Answer::new(account, step.env);
        let approval = Approval {
            mailbox_id: mailbox_id(&bytes).to_vec(),
            answer: answer.seal(offer, code).map_err(link_error)?,
            offer: bytes,
            code: code.digits().to_owned(),
            secret: answer.secret().to_vec(),
            put: None,
            bundle: Vec::new(),
        };
        step.tx.put_approval(&approval)?;
        Ok(approval)
    })
}

fn check_room(step: &Step<'_>, device: DeviceId) -> Result<(), ClientError> {
    let devices = &step.own.account.state.content.devices;
    if devices.iter().any(|entry| entry.device_id == device) {
        return Err(ClientError::NotAllowed(
            "the account has that device already".into(),
        ));
    }
    // C-125
    if devices.len() >= DEVICES_MAX {
        return Err(ClientError::NotAllowed(format!(
            "an account has at most {DEVICES_MAX} devices; remove one first, `conclave device list` shows them"
        )));
    }
    Ok(())
}

/// The new device's proof; it comes once the code was right there.
async fn proof(
    shared: &Shared,
    connection: &dyn Connection,
    uri: &LinkUri,
) -> Result<Vec<u8>, ClientError> {
    let since_ms = shared.env.now_ms();
    while shared.env.now_ms().abs_diff(since_ms) < MAILBOX_VALID_MS {
        let read = calls::read_slot(connection, uri.mailbox_id, PROOF, true).await;
        let bytes = read.map_err(approve_error)?;
        if !bytes.is_empty() {
            return Ok(bytes);
        }
    }
    Err(ClientError::TimedOut)
}

/// Publishes the state that lists the device, and makes its bundle. Built anew on whatever another device of the
/// account published meanwhile.
async fn list(
    shared: &Shared,
    transport: &dyn Transport,
    connection: &dyn Connection,
    approval: &mut Approval,
    proof: &[u8],
) -> Result<(), ClientError> {
    own::publish(shared, transport, connection, |step| {
        let is_in = is_listed(step.own, approval)?;
        (!is_in).then(|| certify(step, approval, proof)).transpose()
    })
    .await?;
    shared.engine().step(|step| bundle(step, approval))
}

/// Whether the newest state lists the offered device with the offered keys: the answer to an earlier try was lost.
fn is_listed(own: &Own, approval: &Approval) -> Result<bool, ClientError> {
    let offer = Offer::read(&approval.offer);
    let offer = offer.map_err(|_| ClientError::Store("a stored approval is damaged".into()))?;
    let certs = own.account.certs.iter();
    Ok(certs.clone().any(|cert| offer.is_of(cert)))
}

/// Certificate and next state, written down before they are sent.
fn certify(
    step: &mut Step<'_>,
    approval: &mut Approval,
    proof: &[u8],
) -> Result<PutState, ClientError> {
    let (offer, answer, _) = parts(step, approval)?;
    let account = &step.own.account;
    if let Some(put) = &approval.put {
        let follows =
            AccountState::parse(&put.state).is_ok_and(|state| account.state.is_followed_by(&state));
        if follows {
            return Ok(put.clone());
        }
    }
    check_room(step, offer.device_id())?;
    let device = proven(&offer, &answer, proof).map_err(link_error)?;
    let identity = own::identity(step)?;
    let content = &account.state.content;
    let facts = DeviceFacts {
        server_id: content.server_id,
        account_id: content.account_id,
        generation: content.generation,
        device_id: offer.device_id(),
        role: DeviceRole::Certifier,
        not_before_ms: step.now_ms.saturating_sub(CERT_BEFORE_MS),
        not_after_ms: step.now_ms.saturating_add(CERT_VALID_MS),
    };
    let mut certs = account.certs.clone();
    certs.push(identity.certify_proven(&device, &facts));
    let state = identity.next_state(&account.state, &certs, step.now_ms);
    let put = PutState {
        state: state.to_bytes(),
        certs: certs.iter().map(DeviceCert::to_bytes).collect(),
    };
    approval.put = Some(put.clone());
    step.tx.put_approval(approval)?;
    Ok(put)
}

/// The account for the new device, written down before it is sent.
fn bundle(step: &mut Step<'_>, approval: &mut Approval) -> Result<(), ClientError> {
    let (offer, answer, code) = parts(step, approval)?;
    let own = &step.own.account;
    let bug = |what: &str| ClientError::Broken(format!("the own {what} is not usable"));
    let history = step.tx.take_archive_offer(offer.device_id())?;
    let bundle = Bundle {
        identity: own::identity(step)?,
        state: own.state.clone(),
        certs: own.certs.clone(),
        capability: Capability::parse(&own.capability).ok_or_else(|| bug("capability"))?,
        identifier: Identifier::parse_normalised(&own.identifier).map_err(|_| bug("identifier"))?,
        name: own.name.clone(),
        history,
    };
    approval.bundle = bundle.seal(&offer, &code, &answer).map_err(link_error)?;
    approval.put = None;
    step.tx.put_approval(approval)?;
    own::named(step, offer.device_id(), &offer.name())
}

/// An approval's parts, as they were written down here.
fn parts(step: &Step<'_>, approval: &Approval) -> Result<(Offer, Answer, LinkCode), ClientError> {
    let damaged = || ClientError::Store("a stored approval is damaged".into());
    let offer = Offer::read(&approval.offer).map_err(|_| damaged())?;
    let secret = approval
        .secret
        .as_slice()
        .try_into()
        .map_err(|_| damaged())?;
    let answer = Answer::from_stored(step.own.account.device.account_id, secret);
    let code = LinkCode::parse(&approval.code).ok_or_else(damaged)?;
    Ok((offer, answer, code))
}

fn is_over(error: &TransportError) -> bool {
    matches!(error, TransportError::Refused(refusal) if refusal.code() == ErrorCode::NotFound)
}

fn link_error(error: LinkError) -> ClientError {
    match error {
        LinkError::OtherOffer => ClientError::WrongServer(error.to_string()),
        LinkError::TooLarge => ClientError::TooLarge(error.to_string()),
        _ => ClientError::LinkFailed(error.to_string()),
    }
}
