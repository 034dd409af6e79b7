//! Registration: a code is asked for, then the account is made with it.
//!
//! 1. `start`: keys are made once and kept, the server is asked for a code, the whole future account is
//!    written down as pending.
//! 2. `confirm`: the same account is sent with the code, as often as it takes; the server's answer to the
//!    same bytes is the same.

use conclave_core::identity::{DeviceFacts, DeviceSecret, IdentitySecret, OwnDevice, StateFacts};
use conclave_proto::account::{DeviceRole, FLAG_DISCOVERABLE, OtpStart, Register};
use conclave_proto::address::ServerAddress;
use conclave_proto::env::Env;
use conclave_proto::hello::{Purpose, Role, register_fields};
use conclave_proto::id::{AccountId, ChallengeId, DeviceId};
use conclave_proto::identifier::Identifier;
use conclave_proto::limits::{
    IDENTIFIER_BYTES_MAX, INVITE_BYTES_MAX, NAME_BYTES_MAX, OTP_CODE_BYTES_MAX,
};
use conclave_proto::name::is_plain;
use conclave_proto::{codec, label};

use crate::device;
use crate::error::ClientError;
use crate::shared::Shared;
use crate::store::{OwnAccount, PendingRegistration, StoreError};
use crate::transport::{Transport, calls};
use crate::view::{CodeSent, Whoami};

/// Certificates are valid from a day before now, so that a slow clock elsewhere does not refuse them.
pub(crate) const CERT_BEFORE_MS: u64 = 86_400_000;
/// Life of a device certificate, in ms: 400 days.
pub(crate) const CERT_VALID_MS: u64 = 400 * 86_400_000;

/// Asks `server` for a code and keeps the pending registration.
pub(crate) async fn start(
    shared: &Shared,
    transport: &dyn Transport,
    server: &ServerAddress,
    identifier: &Identifier,
    invite: Option<&str>,
    name: &str,
) -> Result<CodeSent, ClientError> {
    check_words(identifier, invite, name)?;
    let identity = identity(shared)?;
    let connection = transport.connect(Role::Account).await?;
    let otp = OtpStart {
        identifier: identifier.to_string(),
        identity_fingerprint: identity.public().fingerprint().to_vec(),
        invite: invite.unwrap_or_default().to_owned(),
    };
    let started = calls::start_otp(connection.as_ref(), otp).await?;
    let challenge = ChallengeId::parse(&started.challenge_id)
        .ok_or_else(|| ClientError::WrongServer("the server's challenge is malformed".into()))?;
    let mut engine = shared.engine();
    let env = engine.env.clone();
    engine.store.write(|tx| {
        // The same account again when only the code is asked for again: the same bytes get the same answer.
        let earlier = tx.pending_registration()?.map(|pending| pending.account);
        let account = match earlier {
            Some(account)
                if account.server == *server && account.identifier == identifier.as_str() =>
            {
                account
            }
            _ => new_account(&identity, server, identifier, name, env.as_ref()),
        };
        // Whoever asks for a code does not wait to be let in any more.
        tx.forget_link()?;
        tx.put_pending_registration(&PendingRegistration { challenge, account })
    })?;
    Ok(CodeSent {
        valid_ms: started.valid_ms,
        resend_after_ms: started.resend_after_ms,
    })
}

/// Sends the pending account with the code; after the server's yes it is this profile's account.
pub(crate) async fn confirm(
    shared: &Shared,
    transport: &dyn Transport,
    code: &str,
) -> Result<Whoami, ClientError> {
    let code = normalise_code(code)?;
    let _settled = shared.becoming.lock().await;
    let (pending, identity) = {
        let mut engine = shared.engine();
        if let Some(own) = &engine.own {
            return Err(ClientError::AlreadyRegistered(
                own.account.identifier.clone(),
            ));
        }
        let pending = engine
            .store
            .read(|tx| tx.pending_registration())?
            .ok_or(ClientError::NoRegistration)?;
        let identity = engine
            .store
            .read(|tx| tx.identity())?
            .ok_or(ClientError::NoRegistration)?;
        (pending, identity)
    };
    let account = pending.account;
    let connection = transport.connect(Role::Account).await?;
    // C-042: the identity key signs challenge, code and state on this very connection.
    let fields = register_fields(pending.challenge, &code, account.state.hash());
    let proof = identity.sign_input(&connection.context().proof_input(Purpose::Register, &fields));
    let request = Register {
        challenge_id: pending.challenge.to_vec(),
        code,
        state: account.state.to_bytes(),
        certs: vec![account.cert.to_bytes()],
        proof: codec::encode(&proof),
        capability_hash: label::hash(label::CAPABILITY_HASH, &account.capability).to_vec(),
    };
    calls::register(connection.as_ref(), request).await?;
    let whoami = {
        let mut engine = shared.engine();
        engine
            .store
            .write(|tx| -> Result<(), StoreError> { tx.set_registered() })?;
        engine.load_own()?;
        whoami(&engine.own()?.account)
    };
    // Others can write to this account from now on. Should the connection end first, the driver does it.
    let _ = device::introduce(shared, connection.as_ref()).await;
    Ok(whoami)
}

/// The account as people see it.
pub(crate) fn whoami(account: &OwnAccount) -> Whoami {
    Whoami {
        account_id: account.device.account_id,
        device_id: account.device.device_id,
        identifier: account.identifier.clone(),
        server: account.server.to_string(),
        fingerprint: hex::encode(account.device.identity_fingerprint.as_bytes()),
    }
}

fn check_words(
    identifier: &Identifier,
    invite: Option<&str>,
    name: &str,
) -> Result<(), ClientError> {
    if identifier.as_str().len() > IDENTIFIER_BYTES_MAX {
        return Err(ClientError::TooLarge("the identifier is too long".into()));
    }
    if invite.is_some_and(|invite| invite.len() > INVITE_BYTES_MAX) {
        return Err(ClientError::TooLarge(format!(
            "an invite has at most {INVITE_BYTES_MAX} characters"
        )));
    }
    check_name(name)
}

/// Refuses names that nobody should have: too long, or not all to be seen (C-167).
pub(crate) fn check_name(name: &str) -> Result<(), ClientError> {
    // C-167
    if name.len() <= NAME_BYTES_MAX && is_plain(name) {
        return Ok(());
    }
    Err(ClientError::BadInput(format!(
        "a name has at most {NAME_BYTES_MAX} bytes, no characters that cannot be seen, and no space at its ends"
    )))
}

/// Codes are read off a screen: case, spaces and dashes do not matter.
fn normalise_code(code: &str) -> Result<String, ClientError> {
    let code: String = code
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .collect::<String>()
        .to_uppercase();
    if code.is_empty()
        || code.len() > OTP_CODE_BYTES_MAX
        || !code.chars().all(|c| c.is_ascii_alphanumeric())
    {
        return Err(ClientError::BadInput(
            "that is not a code: it has 6 digits, or 8 letters and digits".into(),
        ));
    }
    Ok(code)
}

/// The profile's identity key; made on first use and never replaced.
fn identity(shared: &Shared) -> Result<IdentitySecret, ClientError> {
    let mut engine = shared.engine();
    if engine.own.is_some() {
        return Err(ClientError::AlreadyRegistered(
            engine.own()?.account.identifier.clone(),
        ));
    }
    let env = engine.env.clone();
    let identity = engine.store.write(|tx| {
        if let Some(identity) = tx.identity()? {
            return Ok(identity);
        }
        let identity = IdentitySecret::generate(env.as_ref());
        tx.put_identity(&identity)?;
        Ok::<_, StoreError>(identity)
    })?;
    Ok(identity)
}

fn new_account(
    identity: &IdentitySecret,
    server: &ServerAddress,
    identifier: &Identifier,
    name: &str,
    env: &dyn Env,
) -> OwnAccount {
    let now_ms = env.now_ms();
    let (account_id, device_id) = (AccountId::random(env), DeviceId::random(env));
    let secret = DeviceSecret::generate(env);
    let server_id = server.server_id;
    let facts = DeviceFacts {
        server_id,
        account_id,
        generation: 1,
        device_id,
        role: DeviceRole::Certifier,
        not_before_ms: now_ms.saturating_sub(CERT_BEFORE_MS),
        not_after_ms: now_ms.saturating_add(CERT_VALID_MS),
    };
    let cert = identity.certify(&secret, &facts);
    let facts = StateFacts {
        server_id,
        account_id,
        generation: 1,
        issued_ms: now_ms,
        flags: FLAG_DISCOVERABLE,
    };
    let state = identity.first_state(&facts, std::slice::from_ref(&cert));
    let mut capability = [0; 32];
    env.fill(&mut capability);
    OwnAccount {
        device: OwnDevice {
            server_id,
            account_id,
            device_id,
            identity_fingerprint: identity.public().fingerprint(),
            account_seq: 1,
            secret,
            former: Vec::new(),
        },
        server: server.clone(),
        identifier: identifier.to_string(),
        name: name.to_owned(),
        state,
        certs: vec![cert.clone()],
        cert,
        capability,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes survive the ways people type them; what cannot be a code is refused before the network.
    #[test]
    fn codes_are_normalised() {
        assert_eq!(normalise_code(" 123-456 ").unwrap(), "123456");
        assert_eq!(normalise_code("abcd-efgh").unwrap(), "ABCDEFGH");
        assert!(normalise_code("").is_err());
        assert!(normalise_code("12345ö").is_err());
        assert!(normalise_code(&"1".repeat(33)).is_err());
    }
}
