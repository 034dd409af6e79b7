//! The real server over its memory store, which survives; the process around it does not.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use conclave_proto::address::ServerAddress;
use conclave_proto::env::SharedEnv;
use conclave_proto::id::ServerId;
use conclave_server::ChannelSender;
use conclave_server::config::Config;
use conclave_server::in_process::InProcessServer;
use conclave_server::otp::CodeMessage;
use conclave_server::store::{MemoryStore, SharedStore, StoreOptions};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::crash::Mortal;
use crate::locked;

/// The server of one world.
#[derive(Debug)]
pub(crate) struct SimServer {
    keys_dir: PathBuf,
    env: SharedEnv,
    store: SharedStore,
    codes: mpsc::UnboundedSender<CodeMessage>,
    pub(crate) mortal: Arc<Mortal>,
    /// What the server is known by: the same in every life.
    pub(crate) server_id: ServerId,
    pub(crate) head_key: [u8; 32],
    life: Mutex<Life>,
}

/// One run of the process; nothing while it is down.
#[derive(Debug, Default)]
struct Life {
    running: Option<InProcessServer>,
    streams: JoinSet<()>,
}

impl SimServer {
    /// Starts the server; its codes go into `codes`.
    pub(crate) fn start(
        keys_dir: &Path,
        env: SharedEnv,
        mortal: Arc<Mortal>,
        codes: mpsc::UnboundedSender<CodeMessage>,
    ) -> anyhow::Result<Arc<Self>> {
        let options = StoreOptions {
            commit_spacing: config().logs.commit_spacing(),
        };
        let store: SharedStore = Arc::new(MemoryStore::new(options).behind(mortal.clone()));
        let running = process(keys_dir, &env, &store, &codes)?;
        Ok(Arc::new(Self {
            keys_dir: keys_dir.to_path_buf(),
            env,
            store,
            codes,
            mortal,
            server_id: running.server_id(),
            head_key: running.head_key(),
            life: Mutex::new(Life {
                running: Some(running),
                streams: JoinSet::new(),
            }),
        }))
    }

    /// Ends the process at once, wherever it is.
    pub(crate) fn kill(&self) {
        self.mortal.kill();
        // its streams end with it
        drop(std::mem::take(&mut *locked(&self.life)));
    }

    /// Starts the process again over what its store has.
    pub(crate) fn restart(&self) -> anyhow::Result<()> {
        self.mortal.revive();
        let running = process(&self.keys_dir, &self.env, &self.store, &self.codes)?;
        locked(&self.life).running = Some(running);
        Ok(())
    }

    /// Whether the process runs.
    pub(crate) fn is_up(&self) -> bool {
        locked(&self.life).running.is_some()
    }

    /// Serves a stream; `false` when nobody listens.
    pub(crate) fn serve(&self, stream: DuplexStream, binding: Vec<u8>) -> bool {
        let mut life = locked(&self.life);
        let Some(running) = &life.running else {
            return false;
        };
        let serving = running.serve(stream, binding);
        life.streams.spawn(serving);
        while life.streams.try_join_next().is_some() {}
        true
    }

    /// The address that people type; nobody connects to it.
    pub(crate) fn address(&self) -> ServerAddress {
        ServerAddress {
            server_id: self.server_id,
            host: "127.0.0.1".to_owned(),
            port: 5000,
        }
    }
}

fn config() -> Config {
    let mut config = Config::default();
    // worlds let weeks pass at once
    config.retention.clock_jump_days = 0;
    config
}

fn process(
    keys_dir: &Path,
    env: &SharedEnv,
    store: &SharedStore,
    codes: &mpsc::UnboundedSender<CodeMessage>,
) -> anyhow::Result<InProcessServer> {
    let sender = Arc::new(ChannelSender::new(codes.clone()));
    InProcessServer::start(keys_dir, config(), env.clone(), store.clone(), sender)
        .context("the server does not start")
}
