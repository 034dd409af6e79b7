//! One device: a profile on disk, the real client over it, and its way to the server.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use conclave_client::transport::MemoryTransport;
use conclave_client::{Client, Unlock};
use conclave_proto::env::SharedEnv;
use conclave_proto::id::{AccountId, DeviceId};
use conclave_proto::identifier::Identifier;
use conclave_server::otp::CodeMessage;
use tokio::sync::mpsc;

use crate::chance::Chance;
use crate::crash::Mortal;
use crate::liar::Way;
use crate::server::SimServer;
use crate::time::ActorEnv;
use crate::wire::Wire;
use crate::world::World;

/// Where a device is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It asks to be let into its account.
    Asking,
    /// Its account lists it.
    In,
    /// Its account lists it no more.
    Out,
}

/// A device of somebody. The process runs while `client` is there.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) name: String,
    /// Place of its owner among the people.
    pub(crate) person: usize,
    folder: PathBuf,
    pub(crate) env: Arc<ActorEnv>,
    pub(crate) mortal: Arc<Mortal>,
    pub(crate) wire: Arc<Wire>,
    pub(crate) transport: Arc<Way>,
    client: Option<Client>,
    pub(crate) stage: Stage,
    ids: Option<(AccountId, DeviceId)>,
    /// When it starts again, ms since the world began.
    pub(crate) back_ms: u64,
}

impl Device {
    /// An empty profile, offline.
    pub(crate) fn new(
        around: &World,
        person: usize,
        name: &str,
        chance: &mut Chance,
    ) -> anyhow::Result<Self> {
        let env = ActorEnv::new(around.time.clone(), chance.fork());
        let mortal = Mortal::new(&around.died, None);
        let (server, trace) = (around.server.clone(), around.trace.clone());
        let wire = Wire::new(name, server, trace, chance.fork());
        let (server_id, head_key) = (around.server.server_id, around.server.head_key);
        let carrier = wire.clone();
        let honest = MemoryTransport::with_accept(
            server_id,
            head_key,
            env.clone(),
            move |stream, binding| Box::pin(carrier.clone().carry(stream, binding)),
        );
        let transport = Way::new(honest, wire.clone(), chance.fork());
        let folder = around.folder.path().join(name);
        let shared: SharedEnv = env.clone();
        let client = Client::create_on(&folder, Unlock::KeyFile, shared, mortal.clone())
            .context("a profile cannot be made")?;
        Ok(Self {
            name: name.to_owned(),
            person,
            folder,
            env,
            mortal,
            wire,
            transport,
            client: Some(client),
            stage: Stage::Asking,
            ids: None,
            back_ms: 0,
        })
    }

    /// Registers its account and goes online. The network must be calm.
    pub(crate) async fn register(
        &mut self,
        server: &SimServer,
        identifier: &Identifier,
        codes: &mut mpsc::UnboundedReceiver<CodeMessage>,
    ) -> anyhow::Result<()> {
        let client = self.client()?;
        let transport = self.transport.as_ref();
        client
            .register_start_over(transport, &server.address(), identifier, None, &self.name)
            .await?;
        let code = codes.recv().await.context("the server sent no code")?;
        client.register_confirm_over(transport, &code.code).await?;
        self.enter()
    }

    /// Its account lists it: it goes online.
    pub(crate) fn enter(&mut self) -> anyhow::Result<()> {
        let client = self.client()?;
        let own = client.whoami()?;
        client.go_online_over(self.transport.clone());
        self.ids = Some((own.account_id, own.device_id));
        self.stage = Stage::In;
        Ok(())
    }

    /// What it is called in credentials.
    pub(crate) fn ids(&self) -> anyhow::Result<(AccountId, DeviceId)> {
        let name = &self.name;
        self.ids.with_context(|| format!("{name} has no account"))
    }

    /// The process; an error while it does not run.
    pub(crate) fn client(&self) -> anyhow::Result<&Client> {
        let name = &self.name;
        self.client
            .as_ref()
            .with_context(|| format!("{name} does not run"))
    }

    /// The process, unless it is down or dead.
    pub(crate) fn alive(&self) -> Option<&Client> {
        self.client.as_ref().filter(|_| !self.mortal.is_dead())
    }

    /// The process of a device that its account has let in.
    pub(crate) fn online(&self) -> Option<&Client> {
        self.alive().filter(|client| client.is_registered())
    }

    pub(crate) fn is_up(&self) -> bool {
        self.client.is_some()
    }

    /// Ends the process wherever it is; it starts again at `back_ms`.
    pub(crate) async fn end(&mut self, back_ms: u64) {
        self.mortal.kill();
        self.transport.cut();
        if let Some(client) = self.client.take() {
            client.close().await;
        }
        self.back_ms = back_ms;
    }

    /// Starts the process again over what is on its disk.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        self.mortal.revive();
        let env: SharedEnv = self.env.clone();
        let client = Client::open_on(&self.folder, Unlock::KeyFile, env, self.mortal.clone())
            .with_context(|| format!("the profile of {} does not open", self.name))?;
        client.go_online_over(self.transport.clone());
        self.client = Some(client);
        Ok(())
    }
}
