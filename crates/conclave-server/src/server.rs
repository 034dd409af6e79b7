//! The server: opens a data folder, accepts connections, sweeps, stops gracefully.

use std::fs::File;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conclave_classic::gateway::Gateway;
use conclave_proto::address::ServerAddress;
use conclave_proto::env::SharedEnv;
use conclave_proto::id::{Day, ServerId};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::blobs::{self, BlobStore, PlaceError};
use crate::clock::Clock;
use crate::config::{Config, ExemptLoopback, OtpSender};
use crate::database::{self, StoreOpenError};
use crate::door::Door;
use crate::health::Readiness;
use crate::hint::SharedHints;
use crate::keys::{KeysError, ServerKeys};
use crate::limit::{Action, Limits, NetworkKey};
use crate::mailbox::Slots;
use crate::nats::{NatsError, NatsHints};
use crate::otp::{self, Sender, Senders, SetupError};
use crate::places::{Place, Places};
use crate::store::{SharedStore, StoreError};
use crate::turns::Turns;
use crate::wake::Hub;
use crate::{admin, classic, connection, files, folder, follow, tls};

/// How long connections may take to finish what is in flight when the server stops.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// The folder of blobs in the data folder.
pub(crate) const BLOBS: &str = "blobs";
/// Pause after a failed accept: the machine is out of files or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a server needs to run.
#[derive(Debug)]
pub struct ServeOptions {
    /// Where everything is kept; made when missing.
    pub data_dir: PathBuf,
    /// All settings.
    pub config: Config,
    /// Time and chance.
    pub env: SharedEnv,
    /// Who sends codes; `None` = whom the settings name.
    pub sender: Option<Arc<dyn Sender>>,
    /// A store that other servers use too, and how they tell each other; `None` = what the settings name.
    pub shared: Option<(SharedStore, SharedHints)>,
}

/// The server cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The settings describe no sender of codes that could work.
    #[error("codes cannot be sent: {0}; `conclave-server check` says more")]
    Sender(#[from] SetupError),
    /// The classic gateway's port cannot be had.
    #[error("cannot listen for classic clients on {listen}: {source}; choose another --classic")]
    Classic {
        /// What was asked for.
        listen: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The console sender while strangers can connect.
    #[error(
        "the console sender is refused while listening on {0}: whoever sees this terminal could \
         register any identifier; listen on 127.0.0.1, or say \
         --print-codes-on-this-terminal-although-strangers-can-connect"
    )]
    ConsoleBeyondLoopback(SocketAddr),
    /// The data folder cannot be used.
    #[error("cannot use the data folder {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `blobs.store` names no store that could work.
    #[error(transparent)]
    Blobs(#[from] PlaceError),
    /// `server.nats` names no NATS that could work.
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// The keys do not hold.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreOpenError),
    /// The store failed while running: a write or sync did not reach the disk.
    #[error(
        "the store failed and the server stopped; look at the disk, then run `conclave-server check`"
    )]
    StoreFailed,
    /// TLS refuses the keys.
    #[error("TLS refuses the server's keys: {0}")]
    Tls(#[from] rustls::Error),
    /// The listening socket is broken.
    #[error("the listening socket is broken: {0}")]
    Socket(#[from] io::Error),
}

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) keys: ServerKeys,
    pub(crate) store: SharedStore,
    pub(crate) blobs: Box<dyn BlobStore>,
    pub(crate) env: SharedEnv,
    pub(crate) config: Config,
    pub(crate) limits: Limits,
    places: Arc<Places>,
    pub(crate) hub: Hub,
    /// To the other processes over the same store; `None` = there are none.
    pub(crate) hints: Option<SharedHints>,
    /// Whose turn it is to commit.
    pub(crate) turns: Turns,
    /// Wakes who waits for a slot of a mailbox.
    pub(crate) slots: Slots,
    /// Who sends codes.
    pub(crate) senders: Senders,
    /// Wakes the outbox of codes.
    pub(crate) codes: Notify,
    /// Which days are believed.
    pub(crate) clock: Clock,
    exempt_loopback: bool,
    is_ready: AtomicBool,
}

/// What outlives the process, and how others over the same hear of it.
pub(crate) struct Kept {
    pub(crate) store: SharedStore,
    pub(crate) blobs: Box<dyn BlobStore>,
    pub(crate) hints: Option<SharedHints>,
}

impl App {
    /// Everything that does not depend on how bytes come in.
    pub(crate) fn new(
        keys: ServerKeys,
        Kept {
            store,
            blobs,
            hints,
        }: Kept,
        env: SharedEnv,
        config: Config,
        senders: Senders,
        exempt_loopback: bool,
    ) -> Self {
        Self {
            keys,
            store,
            blobs,
            places: Places::new(config.server.max_connections_per_host),
            limits: Limits::new(config.limits.clone(), Arc::clone(&env)),
            env,
            hub: Hub::default(),
            hints,
            turns: Turns::default(),
            slots: Slots::default(),
            senders,
            codes: Notify::new(),
            clock: Clock::new(config.retention.clock_jump_days),
            exempt_loopback,
            is_ready: AtomicBool::new(true),
            config,
        }
    }

    /// Whether new work is welcome, and how it goes; `None` = not ready.
    pub(crate) fn readiness(&self) -> Option<Readiness> {
        let hints = self.hints.as_ref();
        let readiness = if hints.is_none_or(|hints| hints.is_connected()) {
            Readiness::Ready
        } else {
            Readiness::HintsAway
        };
        self.is_ready.load(Ordering::Relaxed).then_some(readiness)
    }

    /// Now, for everything that counts in days (C-078).
    pub(crate) fn steady_ms(&self) -> u64 {
        self.clock.steady_ms(self.env.now_ms())
    }

    /// Whether `pass` is today's, or the one that a connection showed (`shown`) a day ago.
    pub(crate) fn takes_pass(&self, pass: &[u8], shown: Day) -> bool {
        let today = Day::of_ms(self.env.now_ms());
        let yesterday = Day(today.0.saturating_sub(1));
        let shown = (shown == yesterday).then_some(yesterday);
        // C-041: one value per day for everybody.
        std::iter::once(today).chain(shown).any(|day| {
            let right = self.keys.pepper.member_pass(day);
            aws_lc_rs::constant_time::verify_slices_are_equal(&right, pass).is_ok()
        })
    }

    /// The network to charge for what a peer does; `None` when the peer is exempt.
    pub(crate) fn network_to_limit(&self, peer: SocketAddr) -> Option<NetworkKey> {
        let is_exempt = self.exempt_loopback && peer.ip().to_canonical().is_loopback();
        (!is_exempt).then(|| self.limits.network(peer))
    }

    /// Room for one more connection of this peer. An exempt peer takes no place.
    fn admit(&self, peer: SocketAddr) -> Result<Option<Place>, TurnedAway> {
        let Some(network) = self.network_to_limit(peer) else {
            return Ok(None);
        };
        let place = self.places.take(self.limits.host(peer));
        let place = place.ok_or(TurnedAway)?;
        // C-073: and how often a network makes this machine do a handshake
        let counted = self.limits.count_network(Action::Handshake, network);
        counted.map(|()| Some(place)).map_err(|_| TurnedAway)
    }
}

/// The peer has too many connections, or makes them too often.
struct TurnedAway;

/// A server that is open: its folder is locked, its port bound, its keys loaded.
pub struct Server {
    app: Arc<App>,
    data_dir: PathBuf,
    listener: TcpListener,
    local_address: SocketAddr,
    door: Arc<Door>,
    admin: Option<UnixListener>,
    classic: Option<(TcpListener, Arc<Gateway>)>,
    /// Of the data folder, when the store holds none; given up last.
    lock: Option<File>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

impl Server {
    /// Opens the data folder, making what a new server lacks. Needs a tokio runtime.
    pub async fn open(options: ServeOptions, listener: TcpListener) -> Result<Self, ServeError> {
        let local_address = listener.local_addr()?;
        let ServeOptions {
            data_dir,
            config,
            env,
            sender,
            shared,
        } = options;
        let senders = match sender {
            Some(sender) => Senders::one(sender),
            None => senders_of(&config, local_address)?,
        };
        let in_folder = |source| ServeError::Folder {
            path: data_dir.clone(),
            source,
        };
        folder::prepare(&data_dir).map_err(in_folder)?;
        let (kept, hints) = match shared {
            Some((store, hints)) => (database::Opened { store, lock: None }, Some(hints)),
            None => (database::open(&config, &data_dir, &*env).await?, None),
        };
        let database::Opened { store, lock } = kept;
        let keys = ServerKeys::open(&data_dir, &*env)?;
        let hints = hints_of(&config, &keys, &env)?.or(hints);
        let door = Arc::new(Door::new(tls::server_config(&keys)?));
        if hints.is_some() && config.blobs.store.is_empty() {
            tracing::warn!(
                "files of clients lie in this server's data folder: with several servers name one S3 store \
                 for all of them with --blobs, or share the folder `{BLOBS}`"
            );
        }
        let blobs = blobs::open(data_dir.join(BLOBS), &config.blobs);
        let blobs = blobs.map_err(|error| match error {
            blobs::OpenError::Place(error) => ServeError::Blobs(error),
            blobs::OpenError::Folder(source) => in_folder(source),
        })?;
        let admin = admin::listen(&data_dir);
        folder::remember_listening(&data_dir, local_address).map_err(in_folder)?;
        let exempt = exempt_loopback(&config, local_address);
        let kept = Kept {
            store,
            blobs,
            hints,
        };
        let app = Arc::new(App::new(keys, kept, env, config, senders, exempt));
        let classic = classic::open(&app, &data_dir)?;
        Ok(Self {
            app,
            data_dir,
            listener,
            local_address,
            door,
            admin,
            classic,
            lock,
        })
    }

    /// The address that is bound.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Where the classic gateway listens, when it is on.
    pub fn classic_address(&self) -> Option<SocketAddr> {
        self.classic.as_ref()?.0.local_addr().ok()
    }

    /// What addresses pin.
    pub fn server_id(&self) -> ServerId {
        self.app.keys.server_id
    }

    /// Serves until `shutdown` completes, then finishes what is in flight; or until the store fails.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let (stop, stopping) = watch::channel(false);
        let mut connections = JoinSet::new();
        // before anything is dated
        if let Ok(day) = self.app.store.last_day().await {
            self.app.clock.believe(day);
        }
        let upkeep = tokio::spawn(upkeep(Arc::clone(&self.app)));
        let hints = self.app.hints.clone();
        let follow = hints.map(|hints| tokio::spawn(follow::run(Arc::clone(&self.app), hints)));
        let classic = self
            .classic
            .map(|(listener, gateway)| tokio::spawn(gateway.serve(listener, stopping.clone())));
        let codes = tokio::spawn(otp::outbox::run(Arc::clone(&self.app), stopping.clone()));
        let admin = self.admin.map(|socket| {
            let app = Arc::clone(&self.app);
            tokio::spawn(async move { admin::serve(&socket, &app).await })
        });
        let accept = Accept {
            app: &self.app,
            door: &self.door,
            most: files::connections_max(self.app.config.server.max_connections),
            stopping,
        };
        let ended = tokio::select! {
            () = shutdown => Ok(()),
            () = self.app.store.failed() => Err(ServeError::StoreFailed),
            () = accept.run(&self.listener, &mut connections) => Ok(()),
        };
        self.app.is_ready.store(false, Ordering::Relaxed);
        self.app.slots.stop();
        drop(self.listener);
        // every connection may be gone already
        let _ = stop.send(true);
        let all_done = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_PATIENCE, all_done).await.is_err() {
            connections.shutdown().await;
        }
        for task in std::iter::once(upkeep).chain(admin).chain(follow) {
            task.abort();
            // aborted on purpose
            let _ = task.await;
        }
        admin::remove(&self.data_dir);
        let sent = codes.await;
        let told = match classic {
            Some(task) => task.await,
            None => Ok(()),
        };
        let app = self.app;
        // dropping the store waits for its last write
        let closed = tokio::task::spawn_blocking(move || drop(app)).await;
        if closed.is_err() || sent.is_err() || told.is_err() {
            tracing::error!("a task of the server broke while it stopped");
        }
        drop(self.lock);
        ended
    }
}

/// The accept loop's surroundings.
struct Accept<'a> {
    app: &'a Arc<App>,
    door: &'a Arc<Door>,
    most: usize,
    stopping: watch::Receiver<bool>,
}

impl Accept<'_> {
    /// Accepts for ever.
    async fn run(&self, listener: &TcpListener, connections: &mut JoinSet<()>) {
        let mut is_failing = false;
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((socket, peer)) => {
                        is_failing = false;
                        self.start(connections, socket, peer);
                    }
                    Err(error) => {
                        if !is_failing {
                            tracing::warn!("cannot accept connections: {}", error.kind());
                        }
                        is_failing = true;
                        // who waits to be accepted stays in the listener's queue
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next() => {
                    if ended.is_err_and(|error| error.is_panic()) {
                        tracing::error!("a connection's task broke");
                    }
                }
            }
        }
    }

    fn start(&self, connections: &mut JoinSet<()>, socket: TcpStream, peer: SocketAddr) {
        // C-011: one connection too many is closed before it costs a handshake.
        if connections.len() >= self.most {
            return;
        }
        let Ok(place) = self.app.admit(peer) else {
            return;
        };
        let app = Arc::clone(self.app);
        let (door, stopping) = (Arc::clone(self.door), self.stopping.clone());
        let serving = connection::serve(app, door, socket, peer, stopping);
        connections.spawn(async move {
            serving.await;
            drop(place);
        });
    }
}

/// Deletes what has expired and forgets idle networks, for ever.
pub(crate) async fn upkeep(app: Arc<App>) {
    let every_ms = app.config.retention.sweep_every_ms.max(1);
    let mut was_ahead = false;
    let mut tick = tokio::time::interval(Duration::from_millis(every_ms));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        app.limits.tidy();
        let now_ms = app.env.now_ms();
        match app.store.last_day().await {
            Ok(day) => app.clock.believe(day),
            Err(StoreError::Busy) => continue,
            Err(_) => return,
        }
        // C-078: nothing is deleted by a date that nobody confirmed.
        let ahead = app.clock.ahead_days(now_ms);
        if ahead > 0 {
            if !was_ahead {
                tracing::error!(
                    "the clock is {ahead} days past the last day seen: nothing expires until it is \
                     set right, or `conclave-server clock confirm` says that it is right"
                );
            }
            was_ahead = true;
            continue;
        }
        was_ahead = false;
        if let Err(error) = app.blobs.sweep(Day::of_ms(now_ms)).await {
            tracing::error!("expired blobs cannot be deleted: {error}");
        }
        loop {
            match app.store.sweep(now_ms).await {
                Ok(true) => tokio::task::yield_now().await,
                Ok(false) | Err(StoreError::Busy) => break,
                // the store has failed: the server is about to stop
                Err(_) => return,
            }
        }
    }
}

fn senders_of(config: &Config, listen: SocketAddr) -> Result<Senders, ServeError> {
    let is_near = |address: SocketAddr| address.ip().is_loopback();
    let is_alone = is_near(listen) && config.classic.address().is_none_or(is_near)
        || config.otp.console_beyond_loopback;
    if config.otp.sender == OtpSender::Console && !is_alone {
        return Err(ServeError::ConsoleBeyondLoopback(listen));
    }
    Ok(otp::senders(&config.otp)?)
}

/// How this process hears of others over the same store, as the settings say; `None` = there are no others.
fn hints_of(
    config: &Config,
    keys: &ServerKeys,
    env: &SharedEnv,
) -> Result<Option<SharedHints>, NatsError> {
    let (nats, ca_file) = (config.server.nats.expose(), &config.server.nats_ca_file);
    if nats.is_empty() {
        return Ok(database::hints(config, &**env));
    }
    let hints = NatsHints::start(nats, ca_file, &keys.pepper, Arc::clone(env))?;
    Ok(Some(Arc::new(hints)))
}

fn exempt_loopback(config: &Config, listen: SocketAddr) -> bool {
    match config.limits.exempt_loopback {
        ExemptLoopback::Auto => listen.ip().is_loopback(),
        ExemptLoopback::Always => true,
        ExemptLoopback::Never => false,
    }
}

/// The address that clients of a server bound to `listening` can use on this machine or, for a
/// concrete host, in its network.
pub fn address_of(server_id: ServerId, listening: SocketAddr) -> ServerAddress {
    let host = if listening.ip().is_unspecified() {
        "127.0.0.1".to_owned()
    } else {
        listening.ip().to_string()
    };
    ServerAddress {
        server_id,
        host,
        port: listening.port(),
    }
}
