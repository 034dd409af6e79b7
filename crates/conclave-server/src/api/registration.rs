//! From an identifier to an account: the code, the proof, the hold.

use std::net::SocketAddr;

use conclave_proto::account::{AccountState, HybridSignature, OtpStart, OtpStarted, Register};
use conclave_proto::codec::parse_exact;
use conclave_proto::frame::reply;
use conclave_proto::hello::{Purpose, register_fields};
use conclave_proto::id::{AccountId, ChallengeId, Hash32, IdentityFingerprint};
use conclave_proto::identifier::Identifier;
use conclave_proto::limits::{
    INVITE_BYTES_MAX, OTP_CODE_BYTES_MAX, OTP_SENDS_PER_DAY, OTP_SENDS_PER_HOUR, OTP_VALID_MS,
};
use conclave_proto::{ErrorCode, Refusal};

use super::{Answer, DONE, bad, edge, too_large};
use crate::config::RegistrationMode;
use crate::limit::Action;
use crate::otp;
use crate::server::App;
use crate::session::Session;
use crate::store::{
    Challenge, NewAccount, NewChallenge, NewDevice, OtpCheckOutcome, OtpStartOutcome,
    RegisterOutcome, SendId,
};

/// Opens a challenge and sends its code. Nothing here asks whether the identifier is registered (C-045).
pub(super) async fn otp_start(app: &App, session: &Session, request: OtpStart) -> Answer {
    session.count(Action::OtpStart)?;
    let identifier = edge::identifier(&request.identifier)?;
    let fingerprint = IdentityFingerprint::parse(&request.identity_fingerprint);
    let identity_fingerprint = edge::field(fingerprint, "identity fingerprint")?;
    let invite = invite(app, &request.invite).await?;
    let (challenge_id, resend_after_ms) =
        start(app, &identifier, identity_fingerprint, invite).await?;
    Ok(reply::Body::OtpStarted(OtpStarted {
        challenge_id: challenge_id.to_vec(),
        valid_ms: OTP_VALID_MS,
        resend_after_ms,
    }))
}

/// Opens a challenge for a classic registration and sends its code, within the limits of `peer`'s network.
pub(crate) async fn start_code(
    app: &App,
    peer: SocketAddr,
    phone: &Identifier,
    fingerprint: IdentityFingerprint,
) -> Result<ChallengeId, Refusal> {
    if let Some(network) = app.network_to_limit(peer) {
        let connection = app.limits.connection();
        app.limits.count(Action::OtpStart, network, &connection)?;
    }
    // classic requests have no place for an invite
    let invite = invite(app, "").await?;
    Ok(start(app, phone, fingerprint, invite).await?.0)
}

/// A challenge and how long until its code may be sent again, ms.
async fn start(
    app: &App,
    identifier: &Identifier,
    identity_fingerprint: IdentityFingerprint,
    invite: Option<Hash32>,
) -> Result<(ChallengeId, u64), Refusal> {
    may_send(app, identifier)?;
    let pepper = &app.keys.pepper;
    let candidate = ChallengeId::random(&*app.env);
    let candidate_code = otp::code_for(pepper, candidate, identifier);
    let sealed = otp::seal_identifier(pepper, identifier, &*app.env);
    let challenge = NewChallenge {
        challenge_id: candidate,
        identifier_hash: otp::identifier_hash(pepper, identifier),
        sealed_identifier: edge::field(sealed, "identifier")?,
        identity_fingerprint,
        code_mac: otp::code_mac(pepper, candidate, &candidate_code),
        send_id: SendId::random(&*app.env),
        invite,
        valid_ms: OTP_VALID_MS,
        per_hour: OTP_SENDS_PER_HOUR,
        per_day: OTP_SENDS_PER_DAY,
        now_ms: app.env.now_ms(),
    };
    // C-075: challenge and waiting code are on disk before anybody hears of them.
    match app.store.otp_start(challenge).await? {
        OtpStartOutcome::Send {
            challenge_id,
            resend_after_ms,
            ..
        } => {
            app.codes.notify_one();
            Ok((challenge_id, resend_after_ms))
        }
        OtpStartOutcome::RateLimited { retry_ms } => {
            let text = "too many codes were sent to this identifier, try again later";
            Err(Refusal::new(ErrorCode::RateLimited, text).retry_after_ms(retry_ms))
        }
    }
}

/// Whether this server sends codes to such an identifier at all; the same for everybody who asks.
fn may_send(app: &App, identifier: &Identifier) -> Result<(), Refusal> {
    if app.senders.to(identifier).is_none() {
        return Err(bad(
            "this server sends codes by mail only, use a mail address",
        ));
    }
    if !identifier.is_email() && !app.config.otp.takes_phone(identifier.as_str()) {
        return Err(bad("this server sends no codes to phones of that country"));
    }
    Ok(())
}

/// The invite to use up at registration, as the mode wants it.
async fn invite(app: &App, token: &str) -> Result<Option<Hash32>, Refusal> {
    match app.config.registration.mode {
        RegistrationMode::Open => Ok(None),
        RegistrationMode::Closed => Err(Refusal::new(
            ErrorCode::RegistrationClosed,
            "this server takes no registrations",
        )),
        RegistrationMode::Invite => {
            let hash = otp::invite_hash(token);
            let valid = token.len() <= INVITE_BYTES_MAX
                && app.store.invite_valid(hash, app.env.now_ms()).await?;
            if valid {
                Ok(Some(hash))
            } else {
                Err(invite_invalid())
            }
        }
    }
}

fn invite_invalid() -> Refusal {
    let text = "this server wants an invite that is not used up or over, ask its operator";
    Refusal::new(ErrorCode::InviteInvalid, text)
}

/// A registration whose bytes and proof hold; only the code is open.
struct Applicant {
    challenge_id: ChallengeId,
    state: AccountState,
    devices: Vec<NewDevice>,
    capability_hash: Hash32,
}

/// Finishes a registration. The same state again gets the same answer.
pub(super) async fn register(app: &App, session: &Session, request: Register) -> Answer {
    // signatures cost time, so even malformed tries are counted
    session.count(Action::OtpCheck)?;
    let applicant = applicant(app, session, &request)?;
    let challenge_id = applicant.challenge_id;
    let mac = otp::code_mac(&app.keys.pepper, challenge_id, &request.code);
    let now_ms = app.env.now_ms();
    // C-040: the store counts the check before it compares.
    match app.store.otp_check(challenge_id, mac, now_ms).await? {
        OtpCheckOutcome::Right(challenge) => {
            let account = new_account(app, &request, applicant, &challenge)?;
            outcome(app.store.register(account).await?)
        }
        OtpCheckOutcome::Wrong { left } => Err(Refusal {
            checks_left: left,
            ..Refusal::new(ErrorCode::OtpWrong, "the code is wrong")
        }),
        OtpCheckOutcome::Exhausted => Err(Refusal::new(
            ErrorCode::OtpExhausted,
            "the code's five checks are used up, ask for a new code",
        )),
        OtpCheckOutcome::Expired => {
            let id = applicant.state.content.account_id;
            if is_registered(app, id, &request.state).await? {
                return Ok(DONE);
            }
            Err(otp_expired())
        }
    }
}

fn otp_expired() -> Refusal {
    let text = "the code is unknown, used or over, ask for a new code";
    Refusal::new(ErrorCode::OtpExpired, text)
}

/// Whether the very same first state is registered already: its answer was lost on the way.
async fn is_registered(app: &App, id: AccountId, state: &[u8]) -> Result<bool, Refusal> {
    let published = app.store.states(id, 1).await?;
    Ok(published.is_some_and(|p| p.states.first().is_some_and(|first| first == state)))
}

fn applicant(app: &App, session: &Session, request: &Register) -> Result<Applicant, Refusal> {
    if request.code.len() > OTP_CODE_BYTES_MAX {
        let text = format!("a code has at most {OTP_CODE_BYTES_MAX} bytes");
        return Err(too_large(text));
    }
    let challenge_id = edge::field(ChallengeId::parse(&request.challenge_id), "challenge id")?;
    let capability_hash = Hash32::parse(&request.capability_hash);
    let capability_hash = edge::field(capability_hash, "capability hash")?;
    let (state, devices) = edge::account(app.keys.server_id, &request.state, &request.certs)?;
    if state.content.seq != 1 || devices.is_empty() {
        return Err(bad("a first state has seq 1 and a device"));
    }
    let proof: HybridSignature =
        parse_exact(&request.proof).map_err(|error| bad(&error.to_string()))?;
    // C-042: the identity key signs challenge, code and state, on this connection (C-007).
    let fields = register_fields(challenge_id, &request.code, state.hash());
    let input = session.context.proof_input(Purpose::Register, &fields);
    let identity = &state.content.identity;
    if identity.verify_input(&input, &proof).is_err() {
        return Err(unauthorized());
    }
    Ok(Applicant {
        challenge_id,
        state,
        devices,
        capability_hash,
    })
}

fn unauthorized() -> Refusal {
    let text = "the proof is not by the identity key that asked for the code";
    Refusal::new(ErrorCode::Unauthorized, text)
}

fn new_account(
    app: &App,
    request: &Register,
    applicant: Applicant,
    challenge: &Challenge,
) -> Result<NewAccount, Refusal> {
    // C-042: a code asked for one key registers no other.
    let identity_fingerprint = applicant.state.content.identity.fingerprint();
    if identity_fingerprint != challenge.identity_fingerprint {
        return Err(unauthorized());
    }
    let identifier = otp::open_identifier(&app.keys.pepper, &challenge.sealed_identifier);
    let identifier = identifier.ok_or_else(otp_expired)?;
    let registration = &app.config.registration;
    let invite = match registration.mode {
        RegistrationMode::Open => None,
        RegistrationMode::Invite => Some(challenge.invite.ok_or_else(invite_invalid)?),
        RegistrationMode::Closed => {
            let text = "this server takes no registrations";
            return Err(Refusal::new(ErrorCode::RegistrationClosed, text));
        }
    };
    Ok(NewAccount {
        account_id: applicant.state.content.account_id,
        identifier: identifier.as_str().to_owned(),
        identity_fingerprint,
        state: request.state.clone(),
        state_hash: applicant.state.hash(),
        devices: applicant.devices,
        capability_hash: applicant.capability_hash,
        challenge_id: applicant.challenge_id,
        invite,
        accounts_max: (registration.max_accounts > 0).then_some(registration.max_accounts),
        // C-078: a clock that jumps ends no hold.
        now_ms: app.steady_ms(),
    })
}

fn outcome(outcome: RegisterOutcome) -> Answer {
    let refusal = match outcome {
        RegisterOutcome::Registered | RegisterOutcome::AlreadySame => return Ok(DONE),
        RegisterOutcome::Held { retry_ms } => {
            // C-044: a taken identifier moves after seven days without a veto.
            let text = "the identifier is taken: ask for a code and register again after the wait, \
                        unless its owner objects";
            Refusal::new(ErrorCode::IdentifierHeld, text).retry_after_ms(retry_ms)
        }
        RegisterOutcome::ChallengeUsed => otp_expired(),
        RegisterOutcome::InviteInvalid => invite_invalid(),
        RegisterOutcome::ServerFull => {
            let text = "this server has as many accounts as it takes";
            Refusal::new(ErrorCode::ServerFull, text)
        }
        RegisterOutcome::IdTaken => {
            let text = "the account or device id is taken, make new ones";
            Refusal::new(ErrorCode::Conflict, text)
        }
    };
    Err(refusal)
}
