//! The server without sockets and threads: any byte stream in, over a store of the caller's choice.
//!
//! Everything above TLS is the code that a real server runs. It runs on the caller's runtime alone, so
//! that one thread, a paused clock and a seed make it repeatable: the simulator.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use conclave_proto::env::SharedEnv;
use conclave_proto::id::ServerId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::blobs::FolderBlobs;
use crate::config::Config;
use crate::hint::SharedHints;
use crate::keys::ServerKeys;
use crate::otp::{self, Sender, Senders};
use crate::server::{self, App, Kept, ServeError};
use crate::store::SharedStore;
use crate::{connection, folder, follow};

/// Whom every stream comes from: loopback, exempt from limits per network.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// A server in this process. Dropping it ends its own tasks at once, as a crash would; streams that it
/// serves end when the futures of [`Self::serve`] are dropped.
#[derive(Debug)]
pub struct InProcessServer {
    app: Arc<App>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl InProcessServer {
    /// Starts a server over `store`; its keys and blobs lie in `keys_dir`, and are made
    /// when missing. Needs a tokio
    /// runtime.
    pub fn start(
        keys_dir: &Path,
        config: Config,
        env: SharedEnv,
        store: SharedStore,
        sender: Arc<dyn Sender>,
    ) -> Result<Self, ServeError> {
        Self::start_node(keys_dir, config, env, (store, None), sender)
    }

    /// The same as one of several over one store, which tell each other through `hints`.
    pub fn start_node(
        keys_dir: &Path,
        config: Config,
        env: SharedEnv,
        (store, hints): (SharedStore, Option<SharedHints>),
        sender: Arc<dyn Sender>,
    ) -> Result<Self, ServeError> {
        let in_folder = |source| ServeError::Folder {
            path: keys_dir.to_path_buf(),
            source,
        };
        folder::prepare(keys_dir).map_err(in_folder)?;
        let keys = ServerKeys::open(keys_dir, &*env)?;
        let blobs = FolderBlobs::open(keys_dir.join(server::BLOBS), config.blobs.limits());
        let blobs = blobs.map_err(in_folder)?.in_place();
        let kept = Kept {
            store,
            blobs: Box::new(blobs),
            hints,
        };
        let app = App::new(keys, kept, env, config, Senders::one(sender), true);
        let app = Arc::new(app);
        let (stop, stopping) = watch::channel(false);
        let mut tasks = vec![
            tokio::spawn(server::upkeep(Arc::clone(&app))),
            tokio::spawn(otp::outbox::run(Arc::clone(&app), stopping)),
        ];
        let hints = app.hints.clone();
        tasks.extend(hints.map(|hints| tokio::spawn(follow::run(Arc::clone(&app), hints))));
        Ok(Self { app, stop, tasks })
    }

    /// What addresses pin.
    pub fn server_id(&self) -> ServerId {
        self.app.keys.server_id
    }

    /// The Ed25519 key (32 bytes, raw) that log heads verify under.
    pub fn head_key(&self) -> [u8; 32] {
        self.app.keys.head_key()
    }

    /// Serves one client's stream until either side ends it; `binding` (32 bytes) stands for the TLS
    /// exporter.
    pub fn serve<S>(&self, stream: S, binding: Vec<u8>) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (app, stop) = (Arc::clone(&self.app), self.stop.subscribe());
        connection::serve_stream(app, Box::new(stream), binding, PEER, stop)
    }
}

impl Drop for InProcessServer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
