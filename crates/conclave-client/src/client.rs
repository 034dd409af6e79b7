//! `Client`: the handle every front end uses. Cheap to clone; all state stands in the engine behind it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use conclave_core::key_export::{ImportError, export_pem, import_pem};
use conclave_proto::ErrorCode;
use conclave_proto::address::ServerAddress;
use conclave_proto::env::SharedEnv;
use conclave_proto::hello::Role;
use conclave_proto::id::{ChatId, MessageId};
use conclave_proto::identifier::Identifier;
use conclave_proto::limits::CLOCK_SKEW_TOLD_MS;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::disk::SharedDisk;
use crate::driver;
use crate::engine::Engine;
use crate::error::{ClientError, OpenError};
use crate::event::Event;
use crate::shared::Shared;
use crate::store::{KeyFile, Store, key_kind};
use crate::transport::{RealTransport, Transport, TransportError, calls};
use crate::view::{CodeSent, Finding, Message, MessageState, Proof, Status, Whoami};
use crate::{archive, attachment, device, own, register, send, trust};

/// Told as long as a conversation has met entries that this profile did not write.
const COPIED: &str = "a copy of this profile was in use: messages stand under its name that it did not write; \
     never run a copied or restored profile";

/// How a profile's store key is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// No profile there yet.
    Absent,
    /// In a 0600 key file: whoever reads the disk reads the profile.
    KeyFile,
    /// Wrapped by a passphrase.
    Passphrase,
}

/// What opens a profile.
pub enum Unlock {
    /// The key file.
    KeyFile,
    /// A passphrase; wiped on drop.
    Passphrase(Zeroizing<String>),
}

impl std::fmt::Debug for Unlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unlock")
    }
}

/// A profile: one account on one device.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    dir: PathBuf,
    driver: Mutex<Option<JoinHandle<()>>>,
    /// Opens the key file again when the passphrase changes.
    unlock: Mutex<Unlock>,
}

impl Drop for Inner {
    /// The driver holds the store's lock; it goes with the last handle.
    fn drop(&mut self) {
        if let Some(driver) = lock(&self.driver).take() {
            driver.abort();
        }
    }
}

impl Client {
    /// How the profile in `dir` keeps its key.
    pub fn key_kind(dir: &Path) -> KeyKind {
        key_kind(dir)
    }

    /// Creates an empty profile in `dir` (made 0700 when missing) and locks it.
    pub fn create(dir: &Path, unlock: Unlock, env: SharedEnv) -> Result<Self, OpenError> {
        let store = Store::create(dir, &unlock, env.as_ref())?;
        Self::over(store, dir, unlock, env)
    }

    /// Opens and locks the profile in `dir`. No network.
    pub fn open(dir: &Path, unlock: Unlock, env: SharedEnv) -> Result<Self, OpenError> {
        let store = Store::open(dir, &unlock)?;
        Self::over(store, dir, unlock, env)
    }

    /// [`Client::create`] on a disk of the caller's choice: tests and the simulator.
    pub fn create_on(
        dir: &Path,
        unlock: Unlock,
        env: SharedEnv,
        disk: SharedDisk,
    ) -> Result<Self, OpenError> {
        let store = Store::create(dir, &unlock, env.as_ref())?.on(disk);
        Self::over(store, dir, unlock, env)
    }

    /// [`Client::open`] on a disk of the caller's choice: tests and the simulator.
    pub fn open_on(
        dir: &Path,
        unlock: Unlock,
        env: SharedEnv,
        disk: SharedDisk,
    ) -> Result<Self, OpenError> {
        let store = Store::open(dir, &unlock)?.on(disk);
        Self::over(store, dir, unlock, env)
    }

    fn over(store: Store, dir: &Path, unlock: Unlock, env: SharedEnv) -> Result<Self, OpenError> {
        let mut engine =
            Engine::new(store, env).map_err(|error| OpenError::Store(error.to_string()))?;
        engine.files = attachment::folder(dir);
        let inner = Inner {
            shared: Arc::new(Shared::new(engine)),
            dir: dir.to_owned(),
            driver: Mutex::new(None),
            unlock: Mutex::new(unlock),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Whether the account is registered.
    pub fn is_registered(&self) -> bool {
        self.engine().own.is_some()
    }

    /// Starts the network driver in the background (inside a tokio runtime); no effect when it runs or
    /// nothing is registered.
    pub fn go_online(&self) {
        let server = self
            .engine()
            .own
            .as_ref()
            .map(|own| own.account.server.clone());
        if let Some(server) = server {
            self.go_online_over(Arc::new(RealTransport::new(
                server,
                self.inner.shared.env.clone(),
            )));
        }
    }

    /// The same over a transport of the caller's choice: tests and the simulator.
    pub fn go_online_over(&self, transport: Arc<dyn Transport>) {
        let mut driver = lock(&self.inner.driver);
        if driver.is_none() && self.is_registered() {
            let shared = self.inner.shared.clone();
            let archives = archive::run(shared.clone(), transport.clone(), self.inner.dir.clone());
            let files = attachment::run(shared.clone(), transport.clone());
            *driver = Some(tokio::spawn(async move {
                tokio::select! {
                    () = driver::run(shared, transport) => {}
                    () = archives => {}
                    () = files => {}
                }
            }));
        }
    }

    /// Stops the driver; the store stays consistent whenever this happens.
    pub async fn close(self) {
        let driver = lock(&self.inner.driver).take();
        if let Some(driver) = driver {
            driver.abort();
            // Aborted is how it should end.
            let _ = driver.await;
        }
        // A log that cannot be truncated now is truncated at the next start; it is encrypted either way.
        let _ = self.engine().store.truncate_log();
    }

    // --- account ------------------------------------------------------------------------------

    /// Asks the server for a code. `name` is what contacts are shown; may be empty.
    pub async fn register_start(
        &self,
        server: &ServerAddress,
        identifier: &Identifier,
        invite: Option<&str>,
        name: &str,
    ) -> Result<CodeSent, ClientError> {
        let transport = RealTransport::new(server.clone(), self.inner.shared.env.clone());
        self.register_start_over(&transport, server, identifier, invite, name)
            .await
    }

    /// The same over a transport of the caller's choice: tests and the simulator.
    pub async fn register_start_over(
        &self,
        transport: &dyn Transport,
        server: &ServerAddress,
        identifier: &Identifier,
        invite: Option<&str>,
        name: &str,
    ) -> Result<CodeSent, ClientError> {
        register::start(
            &self.inner.shared,
            transport,
            server,
            identifier,
            invite,
            name,
        )
        .await
    }

    /// Finishes the registration with the code.
    pub async fn register_confirm(&self, code: &str) -> Result<Whoami, ClientError> {
        let pending = self.engine().store.read(|tx| tx.pending_registration())?;
        let server = match pending {
            Some(pending) => pending.account.server,
            None if self.is_registered() => {
                return Err(ClientError::AlreadyRegistered(self.whoami()?.identifier));
            }
            None => return Err(ClientError::NoRegistration),
        };
        let transport = RealTransport::new(server, self.inner.shared.env.clone());
        self.register_confirm_over(&transport, code).await
    }

    /// The same over a transport of the caller's choice: tests and the simulator.
    pub async fn register_confirm_over(
        &self,
        transport: &dyn Transport,
        code: &str,
    ) -> Result<Whoami, ClientError> {
        register::confirm(&self.inner.shared, transport, code).await
    }

    /// Stops a pending move of this account's identifier to somebody else.
    pub async fn veto_hold(&self) -> Result<(), ClientError> {
        let connection = self.transport()?.connect(Role::Account).await?;
        own::authenticate(self.shared(), connection.as_ref()).await?;
        Ok(calls::veto_hold(connection.as_ref()).await?)
    }

    /// This account.
    pub fn whoami(&self) -> Result<Whoami, ClientError> {
        Ok(register::whoami(&self.engine().own()?.account))
    }

    /// This profile at a glance; offline facts only unless the driver runs.
    pub fn status(&self) -> Result<Status, ClientError> {
        let standing = self.inner.shared.standing();
        let mut engine = self.engine();
        if engine.own.is_none() {
            return Ok(Status {
                account: None,
                online: false,
                is_removed: false,
                queued: 0,
                unread: 0,
                requests: 0,
                clock_skew_ms: None,
                warnings: Vec::new(),
            });
        }
        let mut warnings: Vec<String> = engine.warnings.iter().cloned().collect();
        engine.look(|tx, own| {
            let is_removed = tx.is_removed()?;
            if is_removed {
                warnings.push(ClientError::Removed.to_string());
            }
            let (mut unread, mut requests) = (0, 0);
            for chat in tx.chats()? {
                unread += tx.unread(chat.chat_id)?;
                requests += u64::from(chat.stage == crate::store::ChatStage::Request);
            }
            if tx
                .active_conversations()?
                .iter()
                .any(|row| row.copied_ms != 0)
            {
                warnings.push(COPIED.to_owned());
            }
            for contact in tx.contacts()? {
                warnings.extend(trust::rotation_notice(tx, &contact)?);
            }
            let kinds: BTreeSet<String> =
                tx.evidence()?.into_iter().map(|proof| proof.what).collect();
            for what in kinds {
                warnings.push(format!(
                    "proof of misbehaviour is kept: {what}; `conclave proofs --out FILE` writes it out for your operator"
                ));
            }
            Ok(Status {
                account: Some(register::whoami(&own.account)),
                online: standing.is_online(),
                is_removed,
                queued: tx.outbox_waiting()? + tx.receipts_waiting()? + tx.posts_waiting()?,
                unread,
                requests,
                clock_skew_ms: standing.skew_ms,
                warnings,
            })
        })
    }

    /// The proofs of misbehaviour that this device keeps, oldest first.
    pub fn proofs(&self) -> Result<Vec<Proof>, ClientError> {
        self.engine().look(|tx, _| Ok(tx.evidence()?))
    }

    /// Checks store, account, server and clock; opens a connection of its own.
    pub async fn doctor(&self) -> Vec<Finding> {
        let mut findings = vec![match self.engine().store.check() {
            Ok(()) => finding("store", true, "the encrypted store is whole"),
            Err(error) => finding(
                "store",
                false,
                format!("the store is damaged: {error}; restore or register anew"),
            ),
        }];
        let server = match self.engine().own() {
            Ok(own) => own.account.server.clone(),
            Err(error) => {
                findings.push(finding("account", false, error.to_string()));
                return findings;
            }
        };
        findings.push(finding("account", true, "registered"));
        let transport = RealTransport::new(server, self.inner.shared.env.clone());
        match transport.connect(Role::Account).await {
            Ok(connection) => {
                findings.push(finding("server", true, "the pinned server answers"));
                let login = device::introduce(&self.inner.shared, connection.as_ref()).await;
                findings.push(match login {
                    Ok(_) => finding("login", true, "the server knows this device"),
                    Err(error) => finding("login", false, login_advice(&error)),
                });
                let skew = connection.hello().skew_ms;
                let is_well = skew.unsigned_abs() <= CLOCK_SKEW_TOLD_MS;
                let advice = if is_well {
                    ""
                } else {
                    "; set the clock of this machine"
                };
                let seconds = skew.unsigned_abs() / 1000;
                findings.push(finding(
                    "clock",
                    is_well,
                    format!("{seconds} s from the server's{advice}"),
                ));
            }
            Err(error) => findings.push(finding("server", false, error.to_string())),
        }
        findings
    }

    // --- talking ------------------------------------------------------------------------------

    /// Queues a text to `to` (`+E164`, e-mail or chat id); an identifier not known yet is looked up first,
    /// which needs the driver. Returns once the message is on disk.
    pub async fn send(&self, to: &str, text: &str) -> Result<Message, ClientError> {
        send::check_text(text)?;
        let chat = self.chat_of(to).await?;
        let message = self.engine().step(|step| send::queue(step, chat, text))?;
        self.inner.shared.wake.notify_one();
        Ok(message)
    }

    /// The chat that `to` means; an identifier not known yet is looked up first, which needs the driver.
    pub(crate) async fn chat_of(&self, to: &str) -> Result<ChatId, ClientError> {
        match self.find_chat(to) {
            // Somebody who only claims the identifier is not who is meant: look it up.
            Ok(_) if self.is_only_claimed(to)? => {
                self.inner.shared.ask(parse_identifier(to)?).await
            }
            Err(ClientError::NotFound(text)) => match parse_identifier(to) {
                Ok(identifier) => self.inner.shared.ask(identifier).await,
                Err(_) => Err(ClientError::NotFound(text)),
            },
            found => found,
        }
    }

    /// Waits until an own message is at least at `state` or failed; `TimedOut` after `timeout`.
    pub async fn wait_for(
        &self,
        id: MessageId,
        state: MessageState,
        timeout: Duration,
    ) -> Result<Message, ClientError> {
        let mut events = self.events();
        let waiting = async {
            loop {
                let message = self.message(id)?.message;
                if message.state >= state {
                    return Ok(message);
                }
                // Lagging or not: the store is looked at again either way.
                if let Err(broadcast::error::RecvError::Closed) = events.recv().await {
                    return Err(ClientError::Broken("the engine stopped".into()));
                }
            }
        };
        tokio::time::timeout(timeout, waiting)
            .await
            .unwrap_or(Err(ClientError::TimedOut))
    }

    /// Runs `work` for at most `timeout`. What ends then says [`ClientError::TimedOut`], or what the server said when
    /// it is the server that is busy.
    pub async fn within<T>(
        &self,
        timeout: Duration,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        tokio::time::timeout(timeout, work)
            .await
            .unwrap_or_else(|_| Err(self.inner.shared.late()))
    }

    /// Waits until everything there is was received and everything queued, receipts included, was accepted.
    pub async fn settle(&self, timeout: Duration) -> Result<(), ClientError> {
        self.engine().own()?;
        self.inner.shared.settle(timeout).await
    }

    /// Events from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.engine().events.subscribe()
    }

    // --- keys ---------------------------------------------------------------------------------

    /// The identity key as two encrypted PEM blocks. An empty passphrase is refused.
    pub fn export_key(&self, passphrase: &str) -> Result<String, ClientError> {
        if passphrase.is_empty() {
            return Err(ClientError::Passphrase(
                "an empty passphrase protects nothing; choose a longer one".into(),
            ));
        }
        let identity = self
            .engine()
            .store
            .read(|tx| tx.identity())?
            .ok_or(ClientError::NotRegistered)?;
        export_pem(&identity, passphrase, self.inner.shared.env.as_ref())
            .map_err(|error| ClientError::Broken(error.to_string()))
    }

    /// Whether `pem` holds this profile's identity key, and the fingerprint (64 hex digits) of the key it holds.
    pub fn check_exported_key(
        &self,
        pem: &str,
        passphrase: &str,
    ) -> Result<(String, bool), ClientError> {
        let imported = import_pem(pem, passphrase).map_err(|error| match error {
            ImportError::WrongPassphrase => {
                ClientError::Passphrase("wrong passphrase for this key file".into())
            }
            other => ClientError::BadInput(other.to_string()),
        })?;
        let fingerprint = imported.public().fingerprint();
        let own = self.engine().store.read(|tx| tx.identity())?;
        let is_own = own.is_some_and(|own| own.public().fingerprint() == fingerprint);
        Ok((hex::encode(fingerprint.as_bytes()), is_own))
    }

    /// Wraps the store key anew; `Unlock::KeyFile` removes the passphrase. The database itself is not touched.
    pub fn change_passphrase(&self, new: Unlock) -> Result<(), OpenError> {
        let mut unlock = lock(&self.inner.unlock);
        let file = KeyFile::new(&self.inner.dir);
        let key = file.load(&unlock)?;
        file.save(&key, &new, self.inner.shared.env.as_ref())?;
        *unlock = new;
        Ok(())
    }

    /// Whether `unlock` opens this profile, which is open already: asked again before keys leave it.
    pub fn check_unlock(&self, unlock: &Unlock) -> Result<(), OpenError> {
        KeyFile::new(&self.inner.dir).load(unlock).map(drop)
    }

    // --- inside -------------------------------------------------------------------------------

    /// The engine, for one step.
    pub(crate) fn engine(&self) -> MutexGuard<'_, Engine> {
        self.inner.shared.engine()
    }

    /// What front ends and the driver share.
    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// The profile's folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// Something was queued or changed: the driver should look.
    pub(crate) fn wake(&self) {
        self.inner.shared.wake.notify_one();
    }
}

/// Words that should be an identifier.
pub(crate) fn parse_identifier(to: &str) -> Result<Identifier, ClientError> {
    to.parse()
        .map_err(|error: conclave_proto::identifier::IdentifierError| {
            ClientError::BadInput(error.to_string())
        })
}

/// Words that should be a chat id.
pub(crate) fn parse_chat(to: &str) -> Result<ChatId, ClientError> {
    to.parse()
        .map_err(|error: conclave_proto::id::IdError| ClientError::BadInput(error.to_string()))
}

fn login_advice(error: &TransportError) -> String {
    match error {
        TransportError::Refused(refusal) if refusal.code() == ErrorCode::Unauthorized => {
            "the server does not know this device (removed, or the server went back to an older backup); \
             register anew in another profile"
                .to_owned()
        }
        other => other.to_string(),
    }
}

fn finding(check: &'static str, ok: bool, text: impl Into<String>) -> Finding {
    Finding {
        check,
        ok,
        text: text.into(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<OpenError> for ClientError {
    fn from(error: OpenError) -> Self {
        Self::Store(error.to_string())
    }
}

/// A refused round is told in the words of the client.
impl From<&TransportError> for ClientError {
    fn from(error: &TransportError) -> Self {
        error.clone().into()
    }
}
