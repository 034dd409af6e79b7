//! A server over its memory store on a clock that stands still while anything runs: what takes how long is exact.

use std::path::Path;
use std::sync::{Arc, Mutex};

use conclave_client::transport::{MemoryTransport, Transport};
use conclave_proto::address::ServerAddress;
use conclave_proto::env::SharedEnv;
use conclave_server::ChannelSender;
use conclave_server::config::Config;
use conclave_server::in_process::InProcessServer;
use conclave_server::otp::CodeMessage;
use conclave_server::store::{MemoryStore, SharedStore, StoreOptions};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::Clock;

/// The server, in whichever life; inside a runtime of one thread whose clock is paused.
pub(crate) struct Paused {
    life: Arc<Mutex<Life>>,
    clock: Arc<Clock>,
    codes: tokio::sync::Mutex<mpsc::UnboundedReceiver<CodeMessage>>,
    outlet: mpsc::UnboundedSender<CodeMessage>,
    head_key: [u8; 32],
    pub(crate) address: ServerAddress,
}

/// One run of the process.
struct Life {
    store: Arc<MemoryStore>,
    server: InProcessServer,
    streams: Vec<AbortHandle>,
}

impl Paused {
    pub(crate) fn new(folder: &Path, clock: &Arc<Clock>) -> Self {
        let options = StoreOptions {
            commit_spacing: config().logs.commit_spacing(),
        };
        let (outlet, codes) = mpsc::unbounded_channel();
        let life = begin(folder, clock, MemoryStore::new(options), &outlet);
        Self {
            address: ServerAddress {
                server_id: life.server.server_id(),
                host: "127.0.0.1".to_owned(),
                port: 5000,
            },
            head_key: life.server.head_key(),
            life: Arc::new(Mutex::new(life)),
            clock: clock.clone(),
            codes: tokio::sync::Mutex::new(codes),
            outlet,
        }
    }

    /// The next code that the server sent.
    pub(crate) async fn next_code(&self) -> String {
        self.codes.lock().await.recv().await.unwrap().code
    }

    /// What a backup made now would come back as.
    pub(crate) fn backup(&self) -> MemoryStore {
        self.life.lock().unwrap().store.restored()
    }

    /// Ends the process and starts it over a backup.
    pub(crate) fn restore(&self, folder: &Path, backup: MemoryStore) {
        let new = begin(folder, &self.clock, backup, &self.outlet);
        let old = std::mem::replace(&mut *self.life.lock().unwrap(), new);
        for stream in old.streams {
            stream.abort();
        }
    }

    /// The way to it for somebody with a clock.
    pub(crate) fn transport(&self, clock: &Arc<Clock>) -> Arc<dyn Transport> {
        let life = self.life.clone();
        let accept = move |stream: DuplexStream, binding: Vec<u8>| {
            let mut life = life.lock().unwrap();
            let serving = tokio::spawn(life.server.serve(stream, binding));
            life.streams.retain(|stream| !stream.is_finished());
            life.streams.push(serving.abort_handle());
            Box::pin(async move {
                // Aborted is how a life ends.
                let _ = serving.await;
            }) as _
        };
        let (id, key) = (self.address.server_id, self.head_key);
        Arc::new(MemoryTransport::with_accept(id, key, clock.clone(), accept))
    }
}

fn config() -> Config {
    let mut config = Config::default();
    // tests let weeks pass at once
    config.retention.clock_jump_days = 0;
    config
}

fn begin(
    folder: &Path,
    clock: &Arc<Clock>,
    store: MemoryStore,
    outlet: &mpsc::UnboundedSender<CodeMessage>,
) -> Life {
    let store = Arc::new(store);
    let shared: SharedStore = store.clone();
    let env: SharedEnv = clock.clone();
    let sender = Arc::new(ChannelSender::new(outlet.clone()));
    let server = InProcessServer::start(folder, config(), env, shared, sender).unwrap();
    Life {
        store,
        server,
        streams: Vec::new(),
    }
}
