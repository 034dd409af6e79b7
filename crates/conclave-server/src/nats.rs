//! Hints over NATS: one subject of a community, one sealed message for each batch, connected again for ever.
//!
//! NATS learns how much is going on and nothing else: messages are sealed under the pepper, which every process
//! of the community has, and the subject's name follows from it (C-221). Core NATS only: nothing is kept there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use conclave_proto::env::SharedEnv;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::hint::{Heard, Hint, Hints, pack, unpack};
use crate::keys::Pepper;

const SEAL_LABEL: &str = "conclave/1 hint-seal";
const SUBJECT_LABEL: &str = "conclave/1 hint-subject";
/// Bytes of one message before it is sealed; NATS takes a mebibyte unless told otherwise.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// Messages that wait while NATS is slow or away; more are lost.
const WAITING_MAX: usize = 64;
/// Pauses between two tries to connect, ms: doubling from the first to the second.
const PAUSE_MS: (u64, u64) = (100, 5_000);
/// How long one try may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// A connection that answers nothing for two of these is over.
const PING_EVERY: Duration = Duration::from_secs(5);

/// The settings name no NATS that could work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NatsError {
    /// Not a list of addresses. It may hold a password, so it is not repeated.
    #[error(
        "`nodes.nats` does not hold: it takes nats://HOST:PORT or tls://HOST:PORT, or several with \
         commas between them"
    )]
    Address,
    /// A password would travel in the clear.
    #[error(
        "`nodes.nats` would send a password unencrypted: write tls:// instead of nats://, that is \
         allowed to this machine only"
    )]
    Unencrypted,
    /// Nobody to trust.
    #[error("`nodes.nats_ca_file` does not hold: {0}")]
    Roots(String),
}

/// The addresses of a setting.
fn addresses(text: &str) -> Result<Vec<ServerAddr>, NatsError> {
    let mut addresses = Vec::new();
    for one in text.split(',') {
        let address: ServerAddr = one.trim().parse().map_err(|_| NatsError::Address)?;
        if !matches!(address.scheme(), "nats" | "tls") || address.host().is_empty() {
            return Err(NatsError::Address);
        }
        let host = address.host().trim_matches(['[', ']']);
        let is_near = host == "localhost"
            || (host.parse::<std::net::IpAddr>()).is_ok_and(|address| address.is_loopback());
        let has_password = address.has_user_pass() || address.username().is_some();
        if has_password && !address.tls_required() && !is_near {
            return Err(NatsError::Unencrypted);
        }
        addresses.push(address);
    }
    Ok(addresses)
}

/// A connection to NATS that comes back by itself.
pub struct NatsHints {
    outlet: mpsc::Sender<Vec<u8>>,
    heard: Mutex<Option<mpsc::Receiver<Heard>>>,
    seal: Arc<Seal>,
    is_connected: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for NatsHints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NatsHints")
    }
}

impl Drop for NatsHints {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NatsHints {
    /// Connects to one of `addresses` (commas between them), in the background and for ever. `ca_file`: PEM file
    /// of the only roots to trust, empty = this machine's. Needs a tokio runtime.
    pub fn start(
        addresses: &str,
        ca_file: &str,
        pepper: &Pepper,
        env: SharedEnv,
    ) -> Result<Self, NatsError> {
        let addresses = self::addresses(addresses)?;
        let seal = Arc::new(Seal::new(pepper, env)?);
        let is_connected = Arc::new(AtomicBool::new(false));
        let (outlet, leaving) = mpsc::channel(WAITING_MAX);
        let (inlet, heard) = mpsc::channel(WAITING_MAX);
        let options = with_login(options(&inlet, &is_connected), &addresses);
        let needs_tls = addresses.iter().any(ServerAddr::tls_required);
        let options = if needs_tls || !ca_file.is_empty() {
            let config = crate::otp::tls(ca_file).map_err(|e| NatsError::Roots(e.to_string()))?;
            options.tls_client_config(config)
        } else {
            options
        };
        let ends = Ends {
            subject: subject(pepper),
            seal: Arc::clone(&seal),
            leaving,
            inlet,
        };
        let task = tokio::spawn(async move {
            // retried by itself for ever: it fails only for addresses, which hold
            if let Ok(client) = options.connect(addresses).await {
                ends.run(client).await;
            } else {
                tracing::error!("NATS cannot be used: hints come by looking alone");
            }
        });
        Ok(Self {
            outlet,
            heard: Mutex::new(Some(heard)),
            seal,
            is_connected,
            task,
        })
    }
}

/// The client takes no login from an address by itself. A user without a password is a token.
fn with_login(options: ConnectOptions, addresses: &[ServerAddr]) -> ConnectOptions {
    let login = addresses.iter().find(|address| address.has_user_pass());
    let Some(user) = login.and_then(ServerAddr::username) else {
        return options;
    };
    match login.and_then(ServerAddr::password) {
        Some(password) => options.user_and_password(user.to_owned(), password.to_owned()),
        None => options.token(user.to_owned()),
    }
}

fn options(inlet: &mpsc::Sender<Heard>, is_connected: &Arc<AtomicBool>) -> ConnectOptions {
    let (inlet, is_connected) = (inlet.clone(), Arc::clone(is_connected));
    let is_failing = AtomicBool::new(false);
    ConnectOptions::new()
        .name("conclave-server")
        .no_echo()
        .retry_on_initial_connect()
        .connection_timeout(CONNECT_PATIENCE)
        .ping_interval(PING_EVERY)
        .subscription_capacity(WAITING_MAX * 16)
        .reconnect_delay_callback(|attempts| {
            let doubled = PAUSE_MS.0.saturating_mul(1 << attempts.min(10));
            Duration::from_millis(doubled.min(PAUSE_MS.1))
        })
        .event_callback(move |event| {
            if let Event::ClientError(error) = &event {
                // once, not at each try
                if !is_failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!("NATS cannot be used for now, check `server.nats`: {error}");
                }
            } else {
                is_failing.store(false, Ordering::Relaxed);
                noted(&event, &inlet, &is_connected);
            }
            std::future::ready(())
        })
}

/// The connection came, went or fell behind.
fn noted(event: &Event, inlet: &mpsc::Sender<Heard>, is_connected: &AtomicBool) {
    match event {
        Event::Connected => {
            is_connected.store(true, Ordering::Relaxed);
            tracing::info!("connected to NATS");
        }
        Event::Disconnected => {
            if is_connected.swap(false, Ordering::Relaxed) {
                tracing::warn!("NATS is away: other servers' messages arrive later");
            }
        }
        Event::SlowConsumer(_) => {}
        _ => return,
    }
    // C-220: a full channel wakes whoever looks, too
    let _ = inlet.try_send(Heard::Gap);
}

impl Hints for NatsHints {
    fn publish(&self, batch: Vec<Hint>) {
        for message in pack(self.seal.node, &batch, MESSAGE_BYTES_MAX) {
            if let Some(sealed) = self.seal.seal(message) {
                // C-220: lost when NATS does not keep up
                let _ = self.outlet.try_send(sealed);
            }
        }
    }

    fn subscribe(&self) -> mpsc::Receiver<Heard> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        // the second subscriber hears nothing
        let taken = { heard }.take();
        taken.unwrap_or_else(|| mpsc::channel(1).1)
    }

    fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }
}

/// What goes in and out of one client.
struct Ends {
    subject: String,
    seal: Arc<Seal>,
    leaving: mpsc::Receiver<Vec<u8>>,
    inlet: mpsc::Sender<Heard>,
}

impl Ends {
    async fn run(mut self, client: Client) {
        let Ok(mut messages) = client.subscribe(self.subject.clone()).await else {
            tracing::error!("NATS cannot be used: hints come by looking alone");
            return;
        };
        loop {
            tokio::select! {
                sealed = self.leaving.recv() => {
                    let Some(sealed) = sealed else { return };
                    // C-220: a hint that cannot leave is lost
                    let _ = client.publish(self.subject.clone(), sealed.into()).await;
                }
                message = messages.next() => {
                    let Some(message) = message else { return };
                    if let Some(hints) = self.seal.open(message.payload.to_vec()) {
                        let heard = self.inlet.try_send(Heard::Hints(hints));
                        if heard.is_err() {
                            // who does not keep up looks for itself
                            let _ = self.inlet.send(Heard::Gap).await;
                        }
                    }
                }
            }
        }
    }
}

/// The subject of a community: says nothing to whoever does not know the pepper.
fn subject(pepper: &Pepper) -> String {
    let name = pepper.mac(SUBJECT_LABEL, &[]);
    let name: String = hex::encode(name).chars().take(32).collect();
    format!("conclave.{name}")
}

/// Seals messages between the processes of a community.
struct Seal {
    key: LessSafeKey,
    env: SharedEnv,
    /// This process: its own messages say nothing new to it.
    node: u64,
}

impl Seal {
    fn new(pepper: &Pepper, env: SharedEnv) -> Result<Self, NatsError> {
        let key = pepper.mac(SEAL_LABEL, &[]);
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| NatsError::Address)?;
        let mut node = [0; 8];
        env.fill(&mut node);
        Ok(Self {
            key: LessSafeKey::new(key),
            env,
            node: u64::from_be_bytes(node),
        })
    }

    fn seal(&self, mut message: Vec<u8>) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        self.env.fill(&mut nonce);
        let own = Nonce::assume_unique_for_key(nonce);
        let sealed = self
            .key
            .seal_in_place_append_tag(own, Aad::empty(), &mut message);
        sealed.ok()?;
        Some([&nonce[..], &message].concat())
    }

    /// Hints that another process of this community sealed, else `None` (C-221).
    fn open(&self, mut sealed: Vec<u8>) -> Option<Vec<Hint>> {
        let (nonce, message) = sealed.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.key.open_in_place(nonce, Aad::empty(), message).ok()?;
        let (node, hints) = unpack(opened)?;
        (node != self.node).then_some(hints)
    }
}

#[cfg(test)]
mod tests {
    use conclave_proto::env::OsEnv;
    use conclave_proto::id::{Epoch, LogId, Seq};

    use super::*;

    fn seal(pepper: u8) -> Seal {
        Seal::new(&Pepper::new(&[pepper; 32]), OsEnv::shared()).unwrap()
    }

    /// A message opens for another process of the community, once sealed it shows no id, and whoever lacks the
    /// pepper can neither make nor change one.
    #[test]
    fn c221_only_the_community_makes_hints() {
        let (log_id, epoch, seq) = (LogId::new([0xab; 32]), Epoch(1), Seq(2));
        let hints = vec![Hint::Log { log_id, epoch, seq }];
        let (one, other, stranger) = (seal(1), seal(1), seal(2));
        let message = pack(one.node, &hints, MESSAGE_BYTES_MAX).remove(0);
        let sealed = one.seal(message.clone()).unwrap();
        assert_eq!(other.open(sealed.clone()), Some(hints));
        assert!(!sealed.windows(8).any(|bytes| bytes == [0xab; 8]));
        assert_eq!(one.open(sealed.clone()), None, "its own");
        assert_eq!(stranger.open(sealed.clone()), None);
        assert_eq!(other.open(stranger.seal(message.clone()).unwrap()), None);
        assert_eq!(other.open(message), None);
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(other.open(changed), None);
        }
        assert_eq!(other.open(Vec::new()), None);
    }

    /// A password leaves this machine under TLS alone, and what is no address is refused.
    #[test]
    fn passwords_need_tls() {
        let takes = |text| addresses(text).map(|all| all.len());
        assert_eq!(takes("nats://a:4222, nats://b:4222"), Ok(2));
        assert_eq!(takes("tls://me:secret@a:4222"), Ok(1));
        assert_eq!(takes("nats://me:secret@127.0.0.1:4222"), Ok(1));
        let open = "nats://me:secret@a.example:4222";
        assert_eq!(takes(open), Err(NatsError::Unencrypted));
        for wrong in ["", "http://a", "ws://a", "nats://a,,nats://b"] {
            assert_eq!(takes(wrong), Err(NatsError::Address), "{wrong}");
        }
    }

    /// Communities on one NATS do not hear each other.
    #[test]
    fn each_community_has_its_subject() {
        let subject = |pepper| subject(&Pepper::new(&[pepper; 32]));
        assert_eq!(subject(1), subject(1));
        assert_ne!(subject(1), subject(2));
    }
}
