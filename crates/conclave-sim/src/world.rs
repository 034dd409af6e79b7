//! One world: it begins calm, people act while everything breaks, it comes to rest, and is judged.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use conclave_proto::identifier::Identifier;
use conclave_server::otp::CodeMessage;
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};

use crate::chance::Chance;
use crate::check::Checker;
use crate::crash::{Mortal, Side};
use crate::device::Device;
use crate::model::Model;
use crate::server::SimServer;
use crate::time::{ActorEnv, Time};
use crate::trace::Trace;
use crate::{Plan, Report};

/// Streams of chance; each actor has its own.
mod stream {
    pub(super) const SERVER: u64 = 1;
    pub(super) const STORE: u64 = 2;
    pub(super) const PLAY: u64 = 3;
    pub(super) const DEVICES: u64 = 4;
}

const NAMES: [&str; 4] = ["anna", "ben", "cleo", "dora"];

/// Everything in one world.
pub(crate) struct World {
    pub(crate) time: Arc<Time>,
    pub(crate) trace: Arc<Trace>,
    pub(crate) server: Arc<SimServer>,
    /// When the server starts again, ms since the world began.
    pub(crate) server_back_ms: u64,
    pub(crate) died: Arc<Notify>,
    pub(crate) people: Vec<Identifier>,
    pub(crate) devices: Vec<Device>,
    pub(crate) model: Model,
    pub(crate) checker: Checker,
    pub(crate) chance: Chance,
    is_rough: bool,
    births: Chance,
    codes: mpsc::UnboundedReceiver<CodeMessage>,
    pub(crate) folder: TempDir,
}

/// Runs the world of a plan; a failure comes with what happened before.
pub(crate) async fn run(plan: &Plan) -> Result<Report, (anyhow::Error, Vec<String>)> {
    let mut world = World::new(plan.seed).map_err(|error| (error, Vec::new()))?;
    let ran = Box::pin(world.run(plan.steps)).await;
    let trace = world.trace.take();
    match ran {
        Err(error) => Err((error, trace)),
        Ok(()) => Ok(Report {
            texts: world.model.sent.len() as u64,
            trace,
        }),
    }
}

impl World {
    fn new(seed: u64) -> anyhow::Result<Self> {
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            TempDir::new_in(memory)
        } else {
            TempDir::new()
        };
        let folder = folder.context("no folder for the profiles")?;
        let time = Time::begin();
        let trace = Trace::new(time.clone());
        let died = Arc::<Notify>::default();
        let (inlet, codes) = mpsc::unbounded_channel();
        let server = SimServer::start(
            &folder.path().join("server"),
            ActorEnv::new(time.clone(), Chance::new(seed, stream::SERVER)),
            Mortal::new(&died, Some(Chance::new(seed, stream::STORE))),
            inlet,
        )?;
        let mut world = Self {
            time,
            trace,
            server,
            server_back_ms: 0,
            died,
            people: Vec::new(),
            devices: Vec::new(),
            model: Model::default(),
            checker: Checker::default(),
            chance: Chance::new(seed, stream::PLAY),
            is_rough: false,
            births: Chance::new(seed, stream::DEVICES),
            codes,
            folder,
        };
        let count = 2 + world.births.index(NAMES.len() - 1);
        for (person, name) in NAMES.iter().take(count).enumerate() {
            world.people.push(format!("{name}@example.org").parse()?);
            world.new_device(person)?;
        }
        Ok(world)
    }

    /// One more device of somebody, which its account does not know yet. Its place.
    pub(crate) fn new_device(&mut self, person: usize) -> anyhow::Result<usize> {
        let owner = NAMES.get(person).copied().unwrap_or_default();
        let name = format!("{owner}-{}", self.devices.len());
        let mut chance = self.births.fork();
        let device = Device::new(self, person, &name, &mut chance)?;
        device.wire.set_rough(self.is_rough);
        self.devices.push(device);
        Ok(self.devices.len() - 1)
    }

    async fn run(&mut self, steps: u64) -> anyhow::Result<()> {
        for device in &mut self.devices {
            let owner = self.people.get(device.person);
            let identifier = owner.context("a device of nobody")?;
            device
                .register(&self.server, identifier, &mut self.codes)
                .await
                .with_context(|| format!("{} cannot register", device.name))?;
        }
        self.set_rough(true);
        for _ in 0..steps {
            self.step().await?;
            self.enter_linked()?;
            self.look()?;
        }
        self.rest().await?;
        self.judge()?;
        self.betray().await
    }

    /// Whether the network has faults from now on.
    pub(crate) fn set_rough(&mut self, is_rough: bool) {
        self.is_rough = is_rough;
        for device in &self.devices {
            device.wire.set_rough(is_rough);
        }
    }

    pub(crate) fn note(&self, what: &str) {
        self.trace.note(what);
    }

    /// Ms since the world began.
    pub(crate) fn now_ms(&self) -> u64 {
        self.time.since_begin_ms()
    }

    /// Lets so much time pass; who dies meanwhile is taken care of.
    pub(crate) async fn pass(&mut self, ms: u64) -> anyhow::Result<()> {
        let until = tokio::time::Instant::now() + Duration::from_millis(ms);
        loop {
            self.bury().await?;
            let died = self.died.clone();
            tokio::select! {
                biased;
                () = died.notified() => {}
                () = tokio::time::sleep_until(until) => return self.bury().await,
            }
        }
    }

    /// Takes away who has died, and starts who was down long enough.
    pub(crate) async fn bury(&mut self) -> anyhow::Result<()> {
        let now_ms = self.now_ms();
        if self.server.is_up() && self.server.mortal.is_dead() {
            self.trace.note("server: died");
            self.server.kill();
            self.server_back_ms = now_ms + self.chance.spread(20_000);
        } else if !self.server.is_up() && self.server_back_ms <= now_ms {
            self.trace.note("server: starts");
            self.server.restart()?;
        }
        for device in &mut self.devices {
            if device.is_up() && device.mortal.is_dead() {
                self.trace.note(&format!("{}: died", device.name));
                let back_ms = now_ms + self.chance.spread(60_000);
                device.end(back_ms).await;
            } else if !device.is_up() && device.back_ms <= now_ms {
                self.trace.note(&format!("{}: starts", device.name));
                device.start()?;
                if self.is_rough && self.chance.percent(25) {
                    // what a start takes up again is where deaths hurt
                    device
                        .mortal
                        .plan(self.chance.spread(12), Side::any(&mut self.chance));
                }
            }
        }
        Ok(())
    }
}
