//! Two servers over one store, and what people do on them.

use std::path::Path;
use std::sync::Arc;

use conclave_proto::env::OsEnv;
use conclave_proto::frame::{reply, request::Body};
use conclave_proto::hello::Role;
use conclave_proto::id::ChallengeId;
use conclave_proto::inbox::SubscribeInbox;
use conclave_proto::log::{LogPush, SubscribeLog};
use conclave_server::ServerHandle;
use conclave_server::config::{Config, Secret};
use conclave_server::hint::SharedHints;
use conclave_server::store::{MemoryStore, SharedStore, StoreOptions};
use tempfile::TempDir;

use super::bus::{Bus, Manners};
use super::log_support::{Log, open, opened, read, seqs};
use super::postgres_support::Database;
use super::support::{Client, Person};

/// What two servers of one community share: the four files that clients know them by.
const SHARED_KEYS: [&str; 4] = ["root.pem", "chain.pem", "leaf-key.pem", "pepper"];

/// One server with its folder.
pub(crate) struct Node {
    pub(crate) folder: TempDir,
    pub(crate) server: ServerHandle,
}

impl Node {
    /// A server over a store, or the one that `config` names, with the keys that lie in `keys`.
    pub(crate) async fn start(
        keys: Option<&Path>,
        config: Config,
        shared: Option<(SharedStore, SharedHints)>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in SHARED_KEYS {
            if let Some(keys) = keys {
                std::fs::copy(keys.join(name), folder.path().join(name)).unwrap();
            }
        }
        let server = ServerHandle::start_node(folder.path(), config, OsEnv::shared(), 0, shared);
        let server = server.await.unwrap();
        Self { folder, server }
    }

    pub(crate) async fn connect(&self, role: Role) -> Client {
        Client::connect(&self.server, self.folder.path(), role).await
    }

    /// A connection that acts for somebody's device.
    pub(crate) async fn account(&self, person: &Person) -> Client {
        let mut client = self.connect(Role::Account).await;
        client.authenticate(person).await.unwrap();
        client
    }
}

/// Two servers of one community.
pub(crate) struct Pair {
    pub(crate) a: Node,
    pub(crate) b: Node,
    /// Gone last.
    _database: Option<Database>,
}

impl Pair {
    pub(crate) async fn new(manners: Manners) -> Self {
        let bus = Bus::new(manners);
        Self::with(&Config::default(), [bus.end(), bus.end()]).await
    }

    /// Over a store in memory, told by `hints`.
    pub(crate) async fn with(config: &Config, hints: [SharedHints; 2]) -> Self {
        let store: SharedStore = Arc::new(MemoryStore::new(StoreOptions {
            commit_spacing: config.logs.commit_spacing(),
        }));
        let [of_a, of_b] = hints;
        let a = Node::start(None, config.clone(), Some((Arc::clone(&store), of_a))).await;
        let keys = Some(a.folder.path());
        let b = Node::start(keys, config.clone(), Some((store, of_b))).await;
        Self::of(a, b, None)
    }

    /// Over one PostgreSQL, each with a connection of its own.
    pub(crate) async fn over_postgres() -> Self {
        let database = Database::new().await;
        let mut config = Config::default();
        config.server.database = Secret::new(database.url());
        let a = Node::start(None, config.clone(), None).await;
        let b = Node::start(Some(a.folder.path()), config, None).await;
        Self::of(a, b, Some(database))
    }

    fn of(a: Node, b: Node, database: Option<Database>) -> Self {
        assert_eq!(a.server.server_id(), b.server.server_id());
        Self {
            a,
            b,
            _database: database,
        }
    }

    /// Somebody who asked A for a code and registered with B.
    pub(crate) async fn person(&self, identifier: &str) -> Person {
        let person = Person::new(&self.a.server, identifier);
        let mut asking = self.a.connect(Role::Account).await;
        let started = asking.otp_start(&person, "").await.unwrap();
        let challenge = ChallengeId::parse(&started.challenge_id).unwrap();
        // whichever of them notes first that it leaves
        let code = tokio::select! {
            code = self.a.server.next_code() => code,
            code = self.b.server.next_code() => code,
        };
        let code = code.unwrap().code;
        let mut registering = self.b.connect(Role::Account).await;
        let registered = registering.register(&person, challenge, &code).await;
        registered.unwrap();
        person
    }

    /// A log that A created, and the connection to A that has it open (handle 1).
    pub(crate) async fn log(&self, pass: &[u8]) -> (Log, Client) {
        let log = Log::new();
        let mut client = self.a.connect(Role::Logs).await;
        let request = log.create(&client, pass, vec![]);
        opened(client.ask(Body::CreateLog(request)).await);
        (log, client)
    }

    /// A connection to B that follows the log in epoch 1 (handle 1).
    pub(crate) async fn reader(&self, log: &Log) -> Client {
        let mut reader = self.b.connect(Role::Logs).await;
        assert_eq!(open(&mut reader, log, 1).await.handle, 1);
        let subscribe = Body::SubscribeLog(SubscribeLog { handle: 1 });
        reader.ask(subscribe).await.unwrap();
        reader
    }

    pub(crate) async fn stop(self) {
        self.a.server.stop().await.unwrap();
        self.b.server.stop().await.unwrap();
    }
}

/// From now on the client hears of its inbox.
pub(crate) async fn listen(client: &mut Client) {
    let subscribe = Body::SubscribeInbox(SubscribeInbox {});
    client.ask(subscribe).await.unwrap();
}

/// Waits for pushes until what is read behind them, in handle 1, goes up to `last`; everything once, in order.
pub(crate) async fn follow(reader: &mut Client, last: u64) {
    let mut have = 0;
    while have < last {
        let reply::Body::LogPush(LogPush { handle: 1, .. }) = reader.push().await else {
            panic!("another push")
        };
        let new = seqs(&read(reader, 1, have).await);
        let until = have + new.len() as u64;
        assert_eq!(new, (have + 1..=until).collect::<Vec<_>>());
        have = until;
    }
    assert_eq!(have, last);
}
