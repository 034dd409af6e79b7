//! A community moves from its data folder into a shared database, and nobody notices.

use std::path::Path;

use conclave_proto::frame::{reply, request::Body};
use conclave_proto::hello::Role;
use conclave_proto::id::ChallengeId;
use conclave_proto::inbox::{PostItem, ReadInbox};
use conclave_proto::limits::INBOX_ITEM_BYTES;
use conclave_proto::log::LogPage;
use conclave_server::config::{Config, Secret};
use conclave_server::store::{Address, MoveError, Moved, take_over};
use conclave_server::{ServeError, ServerHandle};
use tempfile::TempDir;

use super::log_support::{Log, append, commit, open, opened, read, seqs};
use super::postgres_support::Database;
use super::support::{Client, Person};

/// A community of one person with a log in its second epoch and an item that waits; its server is stopped.
struct Community {
    folder: TempDir,
    anna: Person,
    log: Log,
    page: LogPage,
}

impl Community {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = ServerHandle::start(folder.path(), Config::default());
        let server = server.await.unwrap();
        let anna = Person::new(&server, "+491700000001");
        let mut client = Client::connect(&server, folder.path(), Role::Account).await;
        let started = client.otp_start(&anna, "").await.unwrap();
        let challenge = ChallengeId::parse(&started.challenge_id).unwrap();
        let code = server.next_code().await.unwrap().code;
        client.register(&anna, challenge, &code).await.unwrap();
        let mut client = Client::connect(&server, folder.path(), Role::Account).await;
        client.authenticate(&anna).await.unwrap();
        let pass = client.status().await.pass;
        let log = Log::new();
        let mut logs = Client::connect(&server, folder.path(), Role::Logs).await;
        let request = log.create(&logs, &pass, vec![]);
        opened(logs.ask(Body::CreateLog(request)).await);
        append(&mut logs, 1, b"before").await.unwrap();
        commit(&mut logs, &log, 1, 1).await.unwrap();
        for _ in 0..600 {
            append(&mut logs, 2, b"many").await.unwrap();
        }
        let page = read(&mut logs, 2, 0).await;
        let mut post = Client::connect(&server, folder.path(), Role::Post).await;
        let item = PostItem {
            pass,
            device_id: anna.device_id.to_vec(),
            capability: Vec::new(),
            item: vec![7; INBOX_ITEM_BYTES],
        };
        post.ask(Body::PostItem(item)).await.unwrap();
        server.stop().await.unwrap();
        Self {
            folder,
            anna,
            log,
            page,
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn serve(&self, database: Option<&Database>) -> Result<ServerHandle, ServeError> {
        serve_from(self.path(), database).await
    }

    /// Everything is there, in the same life of the store, and it goes on.
    async fn goes_on(&self, server: &ServerHandle) {
        let mut logs = Client::connect(server, self.path(), Role::Logs).await;
        assert_eq!(open(&mut logs, &self.log, 2).await.handle, 1);
        let page = read(&mut logs, 1, 0).await;
        assert_eq!(
            (&page.entries, &page.head),
            (&self.page.entries, &self.page.head)
        );
        let last = page.head.unwrap().seq;
        assert_eq!(append(&mut logs, 1, b"after").await, Ok(last + 1));
        assert_eq!(seqs(&read(&mut logs, 1, last).await), [last + 1]);
        let mut account = Client::connect(server, self.path(), Role::Account).await;
        account.authenticate(&self.anna).await.unwrap();
        match account.ask(Body::ReadInbox(ReadInbox { after: 0 })).await {
            Ok(reply::Body::InboxPage(page)) => assert_eq!(page.items.len(), 1),
            other => panic!("{other:?}"),
        }
    }

    async fn moves(&self, to: &Database) -> Result<Moved, MoveError> {
        take_over(self.path(), Address::parse(&to.url(), |_| None).unwrap()).await
    }
}

/// A server with the keys of this folder.
async fn serve_from(
    folder: &Path,
    database: Option<&Database>,
) -> Result<ServerHandle, ServeError> {
    let mut config = Config::default();
    if let Some(database) = database {
        config.server.database = Secret::new(database.url());
    }
    ServerHandle::start(folder, config).await
}

/// What was moved belongs to the keys that it came with, before anybody has served from it.
#[tokio::test]
async fn c232_a_moved_store_belongs_to_its_keys() {
    let (community, database) = (Box::pin(Community::new()).await, Database::new().await);
    community.moves(&database).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let refused = serve_from(other.path(), Some(&database)).await.unwrap_err();
    assert!(refused.to_string().contains("other keys"), "{refused}");
    let server = community.serve(Some(&database)).await.unwrap();
    community.goes_on(&server).await;
    server.stop().await.unwrap();
}

/// After the move the server goes on from the database with the same log, head, incarnation, account and inbox;
/// the folder alone does not serve any more.
#[tokio::test]
async fn c222_a_community_moves_and_goes_on() {
    let (community, database) = (Box::pin(Community::new()).await, Database::new().await);
    let moved = community.moves(&database).await.unwrap();
    assert!(moved.rows.contains(&("entry", 602)) && moved.rows.contains(&("account", 1)));
    let refused = community.serve(None).await.unwrap_err();
    assert!(
        refused.to_string().contains("store.db is missing"),
        "{refused}"
    );
    let server = community.serve(Some(&database)).await.unwrap();
    community.goes_on(&server).await;
    server.stop().await.unwrap();
}

/// What fails in the middle changes nothing on either side: the old server goes on, and the move is begun again.
#[tokio::test]
async fn c222_a_move_that_breaks_off_can_begin_again() {
    let (community, database) = (Box::pin(Community::new()).await, Database::new().await);
    // makes the schema
    drop(
        database
            .store(conclave_server::store::StoreOptions::default())
            .await,
    );
    let breaks = "ALTER TABLE entry ADD CONSTRAINT breaks CHECK (seq < 500)";
    database.execute(breaks).await;
    let refused = community.moves(&database).await.unwrap_err();
    assert!(matches!(refused, MoveError::Database(_)), "{refused}");
    database
        .execute("ALTER TABLE entry DROP CONSTRAINT breaks")
        .await;
    let server = community.serve(None).await.unwrap();
    // nobody moves a store that is being served
    let refused = community.moves(&database).await.unwrap_err();
    assert!(matches!(refused, MoveError::Source(_)), "{refused}");
    server.stop().await.unwrap();
    community.moves(&database).await.unwrap();
    let server = community.serve(Some(&database)).await.unwrap();
    community.goes_on(&server).await;
    server.stop().await.unwrap();
}

/// What arrives otherwise than it was sent is noticed before anything is final.
#[tokio::test]
async fn c222_what_arrives_changed_is_refused() {
    let (community, database) = (Box::pin(Community::new()).await, Database::new().await);
    drop(
        database
            .store(conclave_server::store::StoreOptions::default())
            .await,
    );
    let changes = "CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS \
                   'BEGIN IF NEW.seq = 300 THEN NEW.payload = ''other''; END IF; RETURN NEW; END';
                   CREATE TRIGGER change BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION change()";
    database.execute(changes).await;
    let refused = community.moves(&database).await.unwrap_err();
    assert!(matches!(refused, MoveError::Differs("entry")), "{refused}");
    let server = community.serve(None).await.unwrap();
    community.goes_on(&server).await;
    server.stop().await.unwrap();
}

/// A database that holds a community, and a folder that holds none, are refused.
#[tokio::test]
async fn c222_a_wrong_target_or_source_is_refused() {
    let (one, other) = (
        Box::pin(Community::new()).await,
        Box::pin(Community::new()).await,
    );
    let database = Database::new().await;
    one.moves(&database).await.unwrap();
    let refused = other.moves(&database).await.unwrap_err();
    assert!(
        matches!(refused, MoveError::NotEmpty("account")),
        "{refused}"
    );
    let server = other.serve(None).await.unwrap();
    other.goes_on(&server).await;
    server.stop().await.unwrap();
    let refused = one.moves(&database).await.unwrap_err();
    assert!(matches!(refused, MoveError::NoSource(_)), "{refused}");
}
