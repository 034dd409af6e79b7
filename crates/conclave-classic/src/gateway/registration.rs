//! From a phone to an account: a code there, the code and a key back.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use conclave_proto::identifier::Identifier;
use serde_json::json;

use super::session::{Answer, Session, base64};
use super::{Account, CodeCheck, CodeTicket, Registered};
use crate::keys::PublicKey;
use crate::signed;
use crate::suite::Suite;
use crate::wire::{Code, Refusal};

/// How long a registration stays open, seconds.
const OPEN_S: u64 = 600;
/// Registrations that are open at once, in all.
const OPEN_MAX: usize = 1_024;
const SESSION_BYTES: usize = 16;

/// Registrations whose code has not come back. In memory: after a restart, one registers again.
#[derive(Debug, Default)]
pub(super) struct Registrations(Mutex<HashMap<String, Open>>);

#[derive(Debug, Clone)]
struct Open {
    suite: Suite,
    phone: String,
    ticket: CodeTicket,
    until_ms: u64,
}

impl Registrations {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<String, Open>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn has_room(&self, now_ms: u64) -> bool {
        self.with(|all| {
            all.retain(|_, open| open.until_ms > now_ms);
            all.len() < OPEN_MAX
        })
    }

    fn find(&self, session: &str, now_ms: u64) -> Option<Open> {
        let open = self.with(|all| all.get(session).cloned())?;
        (open.until_ms > now_ms).then_some(open)
    }
}

impl Session {
    pub(super) async fn register(&self, suite: Suite, phone: &str) -> Answer {
        let backend = &self.gateway.backend;
        let phone_id = Identifier::parse_normalised(phone)
            .ok()
            .filter(|identifier| !identifier.is_email());
        let phone_id = phone_id.ok_or_else(|| {
            let text = "not a phone number: write it as in +4915112345678, without spaces";
            Refusal::new(Code::BadPhone, text)
        })?;
        let is_known = backend.account(phone.to_owned()).await?.is_some();
        if !is_known && backend.accounts().await? >= backend.accounts_max() {
            return Err(full());
        }
        let now_ms = backend.env().now_ms();
        if !self.gateway.registrations.has_room(now_ms) {
            let text = "too many registrations are open, try again later";
            return Err(Refusal::new(Code::RateLimited, text));
        }
        let mut session = [0; SESSION_BYTES];
        backend.env().fill(&mut session);
        let ticket = backend.start_code(session, phone_id, self.peer).await?;
        let session = hex::encode(session);
        let open = Open {
            suite,
            phone: phone.to_owned(),
            ticket,
            until_ms: now_ms.saturating_add(OPEN_S * 1_000),
        };
        let key = session.clone();
        self.gateway.registrations.with(|all| all.insert(key, open));
        Ok(json!({ "session": session, "expires_s": OPEN_S }))
    }

    pub(super) async fn verify(
        &self,
        session: &str,
        public_key: String,
        encrypted_otp: &str,
        signature: &str,
    ) -> Answer {
        let gateway = &self.gateway;
        let now_ms = gateway.backend.env().now_ms();
        let open = gateway.registrations.find(session, now_ms);
        let open = open.ok_or_else(unknown_session)?;
        let (sealed_code, signature) = (base64(encrypted_otp)?, base64(signature)?);
        let key = PublicKey::from_pem(open.suite, &public_key)
            .map_err(|error| Refusal::new(Code::BadKey, error.to_string()))?;
        key.verify(&signed::verify(session, &public_key), &signature)
            .map_err(|_| {
                let text = "the signature is not by that key over session and key";
                Refusal::new(Code::BadSignature, text)
            })?;
        // what does not open counts as a wrong code, so that the two look and cost the same
        let own = gateway.keys.of(open.suite);
        let code = own.unwrap(signed::OTP_INFO, &sealed_code).ok();
        let code = code.and_then(|code| String::from_utf8(code.to_vec()).ok());
        let check = gateway
            .backend
            .check_code(open.ticket, code.unwrap_or_default());
        match check.await? {
            CodeCheck::Right => {}
            CodeCheck::Wrong => {
                let text = "the code is wrong: look again, there are five tries in all";
                return Err(Refusal::new(Code::WrongCode, text));
            }
            CodeCheck::Over => {
                gateway.registrations.with(|all| all.remove(session));
                return Err(unknown_session());
            }
        }
        let account = Account {
            suite: open.suite,
            public_key: public_key.clone(),
        };
        match gateway
            .backend
            .put_account(open.phone.clone(), account)
            .await?
        {
            Registered::Yes => {}
            Registered::Full => return Err(full()),
        }
        gateway.registrations.with(|all| all.remove(session));
        let text = signed::registered(&open.phone, &public_key);
        Ok(json!({ "signature": gateway.sign(open.suite, &text)? }))
    }
}

fn full() -> Refusal {
    let text = "this server has as many classic accounts as it takes, ask its operator";
    Refusal::new(Code::Full, text)
}

fn unknown_session() -> Refusal {
    let text = "this registration is unknown, used or over: register again for a new code";
    Refusal::new(Code::UnknownSession, text)
}
