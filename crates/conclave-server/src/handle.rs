//! A server in the background of this process: for tests, and for programs that embed one.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use conclave_proto::address::ServerAddress;
use conclave_proto::env::{OsEnv, SharedEnv};
use conclave_proto::id::ServerId;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::hint::SharedHints;
use crate::otp::{CodeMessage, Leaving, SendError, SendFuture, Sender};
use crate::server::{ServeError, ServeOptions, Server, address_of};
use crate::store::SharedStore;

/// A running server. Dropping it stops the server without waiting; [`Self::stop`] waits.
#[derive(Debug)]
pub struct ServerHandle {
    local_address: SocketAddr,
    classic_address: Option<SocketAddr>,
    server_id: ServerId,
    codes: Mutex<mpsc::UnboundedReceiver<CodeMessage>>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), ServeError>>,
}

impl ServerHandle {
    /// Starts a server on a free loopback port. Its codes go to [`Self::next_code`].
    pub async fn start(data_dir: &Path, config: Config) -> Result<Self, ServeError> {
        Self::start_with(data_dir, config, OsEnv::shared(), 0).await
    }

    /// The same with another clock and a port of choice; 0 = any free one.
    pub async fn start_with(
        data_dir: &Path,
        config: Config,
        env: SharedEnv,
        port: u16,
    ) -> Result<Self, ServeError> {
        Self::start_node(data_dir, config, env, port, None).await
    }

    /// The same as one of several servers over one store; `None` = over the store that the settings name.
    pub async fn start_node(
        data_dir: &Path,
        config: Config,
        env: SharedEnv,
        port: u16,
        shared: Option<(SharedStore, SharedHints)>,
    ) -> Result<Self, ServeError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let (inlet, codes) = mpsc::unbounded_channel();
        let options = ServeOptions {
            data_dir: data_dir.to_path_buf(),
            config,
            env,
            sender: Some(Arc::new(ChannelSender(inlet))),
            shared,
        };
        let server = Server::open(options, listener).await?;
        let (local_address, server_id) = (server.local_address(), server.server_id());
        let classic_address = server.classic_address();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run(async {
            // a dropped handle stops the server too
            let _ = stopped.await;
        }));
        Ok(Self {
            local_address,
            classic_address,
            server_id,
            codes: Mutex::new(codes),
            stop,
            running,
        })
    }

    /// Where it listens.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Where the classic gateway listens, when it is on.
    pub fn classic_address(&self) -> Option<SocketAddr> {
        self.classic_address
    }

    /// What addresses pin.
    pub fn server_id(&self) -> ServerId {
        self.server_id
    }

    /// The address for clients.
    pub fn server_address(&self) -> ServerAddress {
        address_of(self.server_id, self.local_address)
    }

    /// The next code that was sent to anybody; `None` when the server is gone.
    pub async fn next_code(&self) -> Option<CodeMessage> {
        self.codes.lock().await.recv().await
    }

    /// Stops gracefully and says how the server ended.
    pub async fn stop(self) -> Result<(), ServeError> {
        // it may have ended by itself
        let _ = self.stop.send(());
        match self.running.await {
            Ok(ended) => ended,
            Err(broken) => Err(ServeError::Socket(broken.into())),
        }
    }
}

/// Hands codes to a channel of this process instead of to people; refused once nobody reads it.
#[derive(Debug)]
pub struct ChannelSender(mpsc::UnboundedSender<CodeMessage>);

impl ChannelSender {
    /// Codes go into `outlet`.
    pub const fn new(outlet: mpsc::UnboundedSender<CodeMessage>) -> Self {
        Self(outlet)
    }
}

impl Sender for ChannelSender {
    fn send<'a>(&'a self, message: &'a CodeMessage, leaving: &'a dyn Leaving) -> SendFuture<'a> {
        Box::pin(async move {
            leaving.note().await?;
            let sent = self.0.send(message.clone());
            sent.map_err(|_| SendError::Refused("nobody takes codes".to_owned()))
        })
    }

    fn probe(&self) -> SendFuture<'_> {
        Box::pin(std::future::ready(Ok(())))
    }
}
