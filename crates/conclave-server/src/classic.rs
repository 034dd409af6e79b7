//! The classic gateway over this server's store: codes by the configured sender, rows beside the others.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use conclave_classic::gateway::{
    Account, Backend, BackendFuture, CodeCheck, CodeTicket, Gateway, Places, Pushed, Registered,
    ServerKeys, Waiting,
};
use conclave_classic::keys::PrivateKey;
use conclave_classic::pem;
use conclave_classic::suite::Suite;
use conclave_classic::wire::{Code, Delivery, Refusal};
use conclave_proto::ErrorCode;
use conclave_proto::env::SharedEnv;
use conclave_proto::id::{ChallengeId, IdentityFingerprint};
use conclave_proto::identifier::Identifier;
use conclave_proto::label;
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use crate::api;
use crate::folder::write_private;
use crate::keys::KeysError;
use crate::otp;
use crate::server::{App, ServeError};
use crate::store::{OtpCheckOutcome, StoreError};

/// Label of what a classic registration stands under among the challenges: each is one of its own.
const SESSION: &str = "conclave/1 classic-session";

/// The gateway's fixed key of a suite, in the data folder; made when missing.
pub fn server_key(data_dir: &Path, suite: Suite) -> Result<PrivateKey, KeysError> {
    let path = data_dir.join(format!("classic-{suite}.pem"));
    let damaged = || KeysError::Damaged { path: path.clone() };
    let file = |source| KeysError::File {
        path: path.clone(),
        source,
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => pem::read_plain(suite, &Zeroizing::new(text)).map_err(|_| damaged()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = PrivateKey::generate(suite).map_err(|_| damaged())?;
            let text = pem::write_plain(&key).map_err(|_| damaged())?;
            write_private(&path, Zeroizing::new(text).as_bytes()).map_err(file)?;
            Ok(key)
        }
        Err(error) => Err(file(error)),
    }
}

/// Both keys.
fn server_keys(data_dir: &Path) -> Result<ServerKeys, KeysError> {
    Ok(ServerKeys {
        rsa: server_key(data_dir, Suite::Rsa)?,
        ec: server_key(data_dir, Suite::Ec)?,
    })
}

/// The gateway on its port, when the settings ask for one.
pub(crate) fn open(
    app: &Arc<App>,
    data_dir: &Path,
) -> Result<Option<(TcpListener, Arc<Gateway>)>, ServeError> {
    let Some(listen) = app.config.classic.address() else {
        return Ok(None);
    };
    let taken = |source| ServeError::Classic { listen, source };
    let listener = std::net::TcpListener::bind(listen).map_err(taken)?;
    listener.set_nonblocking(true).map_err(taken)?;
    let listener = TcpListener::from_std(listener).map_err(taken)?;
    let app = Arc::clone(app);
    let gateway = Gateway::new(Arc::new(Classic { app }), server_keys(data_dir)?);
    Ok(Some((listener, Arc::new(gateway))))
}

/// What the gateway asks, answered by the server.
#[derive(Debug)]
struct Classic {
    app: Arc<App>,
}

impl Backend for Classic {
    fn env(&self) -> &SharedEnv {
        &self.app.env
    }

    fn accounts_max(&self) -> u64 {
        self.app.config.classic.max_accounts
    }

    fn accounts(&self) -> BackendFuture<'_, u64> {
        Box::pin(async { self.app.store.classic_accounts().await.map_err(stored) })
    }

    fn start_code(
        &self,
        session: [u8; 16],
        phone: Identifier,
        peer: SocketAddr,
    ) -> BackendFuture<'_, CodeTicket> {
        Box::pin(async move {
            let fingerprint = IdentityFingerprint::new(*label::hash(SESSION, &session).as_bytes());
            let started = api::start_code(&self.app, peer, &phone, fingerprint).await;
            let challenge_id = started.map_err(|refusal| refused(&refusal))?;
            Ok(CodeTicket(*challenge_id.as_bytes()))
        })
    }

    fn check_code(&self, ticket: CodeTicket, code: String) -> BackendFuture<'_, CodeCheck> {
        Box::pin(async move {
            let challenge_id = ChallengeId::new(ticket.0);
            // C-040: counted before it is compared.
            let mac = otp::code_mac(&self.app.keys.pepper, challenge_id, &code);
            let now_ms = self.app.env.now_ms();
            let checked = self.app.store.otp_check(challenge_id, mac, now_ms).await;
            Ok(match checked.map_err(stored)? {
                OtpCheckOutcome::Right(_) => {
                    let deleted = self.app.store.otp_delete(challenge_id).await;
                    deleted.map_err(stored)?;
                    CodeCheck::Right
                }
                OtpCheckOutcome::Wrong { .. } => CodeCheck::Wrong,
                OtpCheckOutcome::Exhausted | OtpCheckOutcome::Expired => CodeCheck::Over,
            })
        })
    }

    fn put_account(&self, phone: String, account: Account) -> BackendFuture<'_, Registered> {
        let most = self.accounts_max();
        Box::pin(async move {
            let put = self.app.store.classic_put_account(phone, account, most);
            put.await.map_err(stored)
        })
    }

    fn account(&self, phone: String) -> BackendFuture<'_, Option<Account>> {
        Box::pin(async move { self.app.store.classic_account(phone).await.map_err(stored) })
    }

    fn is_known(&self, message_id: String) -> BackendFuture<'_, bool> {
        Box::pin(async move {
            let known = self.app.store.classic_is_known(message_id);
            known.await.map_err(stored)
        })
    }

    fn push(&self, delivery: Delivery) -> BackendFuture<'_, Pushed> {
        let now_ms = self.app.env.now_ms();
        Box::pin(async move {
            let pushed = self.app.store.classic_push(delivery, now_ms);
            pushed.await.map_err(stored)
        })
    }

    fn waiting(&self, phone: String, after: Places, most: u32) -> BackendFuture<'_, Waiting> {
        Box::pin(async move {
            let waiting = self.app.store.classic_waiting(phone, after, most);
            waiting.await.map_err(stored)
        })
    }

    fn ack(
        &self,
        phone: String,
        message_ids: Vec<String>,
        receipt_ids: Vec<String>,
    ) -> BackendFuture<'_, Vec<String>> {
        let now_ms = self.app.env.now_ms();
        Box::pin(async move {
            let ids = (message_ids, receipt_ids);
            let acked = self.app.store.classic_ack(phone, ids.0, ids.1, now_ms);
            acked.await.map_err(stored)
        })
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that `map_err` takes"
)]
fn stored(error: StoreError) -> Refusal {
    match error {
        StoreError::Busy => Refusal::new(Code::Busy, error.to_string()),
        StoreError::Broken(_) => {
            let text = "the server's store failed, try again later";
            Refusal::new(Code::Internal, text)
        }
    }
}

/// A refusal of the modern protocol in classic words.
fn refused(refusal: &conclave_proto::Refusal) -> Refusal {
    let code = match refusal.code() {
        ErrorCode::RateLimited => Code::RateLimited,
        ErrorCode::Busy => Code::Busy,
        ErrorCode::RegistrationClosed | ErrorCode::InviteInvalid => Code::RegistrationClosed,
        ErrorCode::BadRequest => Code::BadPhone,
        _ => Code::Internal,
    };
    Refusal::new(code, refusal.message.clone())
}
