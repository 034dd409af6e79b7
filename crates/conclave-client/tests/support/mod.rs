//! A real server in this process, people with profiles in temporary folders, and a clock that tests move.

#[allow(dead_code, reason = "not every suite needs it")]
pub(crate) mod paused;
pub(crate) mod proxy;
pub(crate) mod tamper;

use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use conclave_client::transport::{RealTransport, Transport};
use conclave_client::view::{ChatState, MessageState};
use conclave_client::{Client, Event, Unlock};
use conclave_proto::address::ServerAddress;
use conclave_proto::env::{Env, OsEnv};
use conclave_proto::id::{ChatId, MessageId};
use conclave_proto::identifier::Identifier;
use conclave_server::ServerHandle;
use conclave_server::config::Config;
use paused::Paused;
use tempfile::TempDir;
use tokio::sync::broadcast;
use tokio::time::Instant;

pub(crate) const DAY_MS: u64 = 86_400_000;
/// How long anything may take before a test is wrong.
pub(crate) const LONG: Duration = Duration::from_mins(1);
/// Past the spacing of receipts, so that settling does not wait for it.
const RECEIPT_PAUSE_MS: u64 = 3_000;

/// The machine's clock, or the runtime's paused one, moved forward by tests. Four random bytes are zeros:
/// invitations are then posted without their random delay.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    wrong_by_ms: AtomicI64,
    is_random: AtomicBool,
    /// When a paused world began.
    begin: OnceLock<Instant>,
}

impl Clock {
    /// When paused worlds begin, ms since 1970-01-01 UTC.
    const BEGIN_MS: u64 = 1_780_000_000_000;

    /// The runtime's own clock, which must be paused.
    #[allow(dead_code, reason = "not every suite needs it")]
    pub(crate) fn of_runtime() -> Arc<Self> {
        Arc::new(Self {
            begin: OnceLock::from(Instant::now()),
            ..Self::default()
        })
    }

    /// From here on four random bytes are random too.
    #[allow(dead_code, reason = "not every suite needs it")]
    pub(crate) fn be_random(&self) {
        self.is_random.store(true, Ordering::SeqCst);
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.set_wrong_by(self.wrong_by_ms.load(Ordering::SeqCst) + i64::try_from(ms).unwrap());
    }

    /// Off the machine's clock by so many ms from here on.
    pub(crate) fn set_wrong_by(&self, ms: i64) {
        self.wrong_by_ms.store(ms, Ordering::SeqCst);
    }
}

impl Env for Clock {
    fn now_ms(&self) -> u64 {
        let machine = match self.begin.get() {
            Some(begin) => Self::BEGIN_MS + u64::try_from(begin.elapsed().as_millis()).unwrap(),
            None => OsEnv.now_ms(),
        };
        machine.saturating_add_signed(self.wrong_by_ms.load(Ordering::SeqCst))
    }
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() == 4 && !self.is_random.load(Ordering::SeqCst) {
            bytes.fill(0);
        } else {
            OsEnv.fill(bytes);
        }
    }
}

/// A server with its data folder, and the clock that everybody shares.
pub(crate) struct World {
    pub(crate) clock: Arc<Clock>,
    /// The server's own; the same as everybody's unless a test says otherwise.
    pub(crate) server_clock: Arc<Clock>,
    pub(crate) folder: TempDir,
    server: Option<ServerHandle>,
    paused: Option<Paused>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let clock = Arc::<Clock>::default();
        let mut world = Self {
            server_clock: clock.clone(),
            clock,
            folder: tempfile::tempdir().unwrap(),
            server: None,
            paused: None,
        };
        world.start().await;
        world
    }

    /// A world on the paused clock of a runtime of one thread; its server has no disk and no socket.
    #[allow(dead_code, reason = "not every suite needs it")]
    pub(crate) fn paused() -> Self {
        let clock = Clock::of_runtime();
        let folder = tempfile::tempdir().unwrap();
        let paused = Paused::new(folder.path(), &clock);
        Self {
            server_clock: clock.clone(),
            clock,
            folder,
            server: None,
            paused: Some(paused),
        }
    }

    /// The server of a world on a paused clock.
    #[allow(dead_code, reason = "not every suite needs it")]
    pub(crate) fn paused_server(&self) -> &Paused {
        self.paused.as_ref().unwrap()
    }

    fn address(&self) -> ServerAddress {
        match &self.paused {
            Some(paused) => paused.address.clone(),
            None => self.server().server_address(),
        }
    }

    pub(crate) fn server(&self) -> &ServerHandle {
        self.server.as_ref().unwrap()
    }

    pub(crate) async fn start(&mut self) {
        let mut config = Config::default();
        // tests let weeks pass at once
        config.retention.clock_jump_days = 0;
        let clock = self.server_clock.clone();
        let server = ServerHandle::start_with(self.folder.path(), config, clock, 0);
        self.server = Some(server.await.unwrap());
    }

    /// Starts again with commits taken as fast as they come, however many races were lost.
    pub(crate) async fn restart_without_spacing(&mut self) {
        self.stop().await;
        let mut config = Config::default();
        config.logs.commit_spacing_ms = 0;
        config.logs.commit_spacing_max_ms = 0;
        let clock = self.server_clock.clone();
        let server = ServerHandle::start_with(self.folder.path(), config, clock, 0);
        self.server = Some(server.await.unwrap());
    }

    pub(crate) async fn stop(&mut self) {
        self.server.take().unwrap().stop().await.unwrap();
    }

    /// A copy of the data folder; the server stops for it and starts again.
    pub(crate) async fn backup(&mut self) -> TempDir {
        self.stop().await;
        let copy = tempfile::tempdir().unwrap();
        copy_files(self.folder.path(), copy.path());
        self.start().await;
        copy
    }

    /// Goes back to a copy, as its operator is told to: without the file that marks its age.
    pub(crate) async fn restore(&mut self, copy: TempDir) {
        std::fs::remove_file(copy.path().join("incarnation")).unwrap();
        self.restore_unnoticed(copy).await;
    }

    /// Goes back to a copy with that file: the server takes itself for the same as before.
    pub(crate) async fn restore_unnoticed(&mut self, copy: TempDir) {
        self.stop().await;
        self.folder = copy;
        self.start().await;
    }

    /// The honest way to the server.
    pub(crate) fn transport(&self) -> Arc<dyn Transport> {
        self.transport_on(&self.clock)
    }

    /// The same, for somebody with a clock of their own.
    pub(crate) fn transport_on(&self, clock: &Arc<Clock>) -> Arc<dyn Transport> {
        if let Some(paused) = &self.paused {
            return paused.transport(clock);
        }
        let address = self.server().server_address();
        Arc::new(RealTransport::new(address, clock.clone()))
    }

    /// Somebody with an account, online. `name` is the local part of the address too.
    pub(crate) async fn person(&self, name: &str) -> Person {
        let person = Person::new(self, name);
        self.register(&person, name).await;
        person.go_online_over(self.transport());
        person
    }

    /// Registers a profile under `name`, with the code that the server sent.
    pub(crate) async fn register(&self, person: &Person, name: &str) {
        let transport = self.transport();
        let (address, identifier) = (self.address(), address_of(name));
        person
            .register_start_over(transport.as_ref(), &address, &identifier, None, name)
            .await
            .unwrap();
        let code = match &self.paused {
            Some(paused) => paused.next_code().await,
            None => self.server().next_code().await.unwrap().code,
        };
        person
            .register_confirm_over(transport.as_ref(), &code)
            .await
            .unwrap();
    }

    /// One more device of somebody's account, let in by `old`, online.
    pub(crate) async fn device_of(&self, old: &Person, name: &str) -> Person {
        let new = self.silent_device_of(old, name).await;
        new.go_online_over(self.transport());
        new
    }

    /// The same before it ever went online by itself.
    pub(crate) async fn silent_device_of(&self, old: &Person, name: &str) -> Person {
        let new = Person {
            address: old.address.clone(),
            ..Person::new(self, "new-device")
        };
        let (way, address) = (self.transport(), self.address());
        let shown = new.link_start_over(way.as_ref(), &address, name).await;
        let shown = shown.unwrap();
        let (approved, joined) = tokio::join!(
            old.approve_device_over(way.as_ref(), &shown.uri, &shown.code),
            new.link_finish_over(way.as_ref()),
        );
        approved.unwrap();
        joined.unwrap();
        new
    }

    /// Two people who have talked: anna asked with "hello", ben accepted, all receipts are through.
    pub(crate) async fn friends(&self) -> (Person, Person) {
        let (anna, ben) = (self.person("anna").await, self.person("ben").await);
        anna.say(&ben, "hello").await;
        anna.settle(LONG).await.unwrap();
        ben.accept(&anna).await;
        self.settle(&[&ben, &anna]).await;
        (anna, ben)
    }

    /// Lets everybody receive and send until nothing is left, receipts of receipts' messages included.
    pub(crate) async fn settle(&self, people: &[&Person]) {
        for _ in 0..2 {
            for person in people {
                self.clock.pass(RECEIPT_PAUSE_MS);
                let settled = person.settle(LONG).await;
                settled.unwrap_or_else(|error| {
                    panic!(
                        "{}: {error}: {:?}\n{:?}",
                        person.address,
                        person.status(),
                        person.groups()
                    )
                });
            }
        }
    }
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let copy = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&copy).unwrap();
            copy_files(&entry.path(), &copy);
        } else {
            std::fs::copy(entry.path(), copy).unwrap();
        }
    }
}

fn address_of(name: &str) -> Identifier {
    format!("{name}@example.org").parse().unwrap()
}

/// A profile in a folder of its own. Everything a [`Client`] can do, it can.
pub(crate) struct Person {
    pub(crate) address: String,
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<Clock>,
    client: Option<Client>,
}

impl Deref for Person {
    type Target = Client;
    fn deref(&self) -> &Client {
        self.client.as_ref().expect("the profile is open")
    }
}

impl Person {
    /// An empty profile on the world's clock.
    pub(crate) fn new(world: &World, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let client = Client::create(folder.path(), Unlock::KeyFile, world.clock.clone()).unwrap();
        Self {
            address: address_of(name).to_string(),
            folder,
            clock: world.clock.clone(),
            client: Some(client),
        }
    }

    /// Ends the process, so to speak: the driver is dropped wherever it is.
    pub(crate) async fn die(&mut self) {
        self.client.take().unwrap().close().await;
    }

    /// Opens the profile again; offline.
    pub(crate) fn wake_up(&mut self) {
        let client = Client::open(self.folder.path(), Unlock::KeyFile, self.clock.clone());
        self.client = Some(client.unwrap());
    }

    /// A copy of a closed profile's folder: what nobody should run.
    pub(crate) fn copy(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy_files(self.folder.path(), folder.path());
        Self {
            address: self.address.clone(),
            folder,
            clock: self.clock.clone(),
            client: None,
        }
    }

    /// Starts anew, over `transport`.
    pub(crate) async fn restart(&mut self, transport: Arc<dyn Transport>) {
        if self.client.is_some() {
            self.die().await;
        }
        self.wake_up();
        self.go_online_over(transport);
    }

    /// Queues a text to somebody.
    pub(crate) async fn say(&self, to: &Person, text: &str) -> MessageId {
        self.send(&to.address, text).await.unwrap().id
    }

    /// Waits for somebody's request and accepts it.
    pub(crate) async fn accept(&self, from: &Person) {
        let chat = self.wait_for_request(from).await;
        self.accept_request(chat).unwrap();
    }

    async fn wait_for_request(&self, from: &Person) -> ChatId {
        let mut events = self.events();
        let waiting = async {
            loop {
                let found = self.requests().unwrap().into_iter();
                let mut found = found.filter(|request| request.from.identifier == from.address);
                if let Some(request) = found.next() {
                    return request.chat;
                }
                events.recv().await.unwrap();
            }
        };
        tokio::time::timeout(LONG, waiting)
            .await
            .expect("a request")
    }

    /// The chat with somebody.
    pub(crate) fn chat_with(&self, other: &Person) -> ChatId {
        self.find_chat(&other.address).unwrap()
    }

    /// Whether the chat with somebody can be used, and why not.
    pub(crate) fn chat_state(&self, other: &Person) -> (ChatState, String) {
        let chat = self.chat(self.chat_with(other)).unwrap();
        (chat.state, chat.reason)
    }

    /// Everything said with somebody, in order.
    pub(crate) fn texts(&self, other: &Person) -> Vec<String> {
        let history = self.history(self.chat_with(other), 10_000).unwrap();
        history.into_iter().map(|message| message.text).collect()
    }

    /// How far an own message got, and why not further.
    pub(crate) fn state(&self, id: MessageId) -> (MessageState, String) {
        let message = self.message(id).unwrap().message;
        (message.state, message.reason)
    }

    /// Waits until something holds.
    pub(crate) async fn wait_until(&self, holds: impl Fn() -> bool) {
        let waiting = async {
            let mut looks = tokio::time::interval(Duration::from_millis(1));
            while !holds() {
                looks.tick().await;
            }
        };
        tokio::time::timeout(LONG, waiting).await.expect("it holds");
    }

    /// Whether a warning or kept proof says `words`.
    pub(crate) fn is_warned(&self, words: &str) -> bool {
        let warnings = self.status().unwrap().warnings;
        warnings.iter().any(|warning| warning.contains(words))
    }
}

/// The first event that `wanted` picks.
pub(crate) async fn next_event<T>(
    events: &mut broadcast::Receiver<Event>,
    wanted: impl Fn(Event) -> Option<T>,
) -> T {
    let waiting = async {
        loop {
            if let Some(found) = wanted(events.recv().await.unwrap()) {
                return found;
            }
        }
    };
    tokio::time::timeout(LONG, waiting)
        .await
        .expect("the event")
}
