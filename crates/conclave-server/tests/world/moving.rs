//! `migrate-store` of the real program: killed in the middle, begun again, and refused where it must not go.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use conclave_server::store::StoreOptions;
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use crate::postgres_support::Database;
use crate::program::{Ended, PROGRAM, Program, init, run};
use crate::scenario::Scenario;

/// How long anything may take before a test is wrong.
const LONG: Duration = Duration::from_mins(1);
/// Whoever stores an entry with this place in its log waits for the lock 1.
const WAITS: &str = "CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN IF NEW.seq = 2 THEN PERFORM pg_advisory_xact_lock(1); END IF; RETURN NEW; END';
    CREATE TRIGGER waits BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION waits()";

/// A folder in which one of everything was written, and whose server does not run.
async fn community() -> (TempDir, Scenario) {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path());
    let mut program = Program::start(folder.path());
    let mut scenario = Scenario::new(&program);
    scenario.play(&mut program).await.unwrap();
    assert_eq!(program.stop("-TERM").code, Some(0));
    (folder, scenario)
}

fn words(folder: &Path, url: &str) -> [String; 5] {
    let from = format!("sqlite:{}", folder.display());
    ["migrate-store", "--from", &from, "--to", url].map(str::to_owned)
}

fn moves(folder: &Path, url: &str) -> Ended {
    let words = words(folder, url);
    run(folder, &words.each_ref().map(String::as_str))
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Until somebody waits for the lock 1 of this database.
async fn somebody_waits(client: &Client) {
    let waiting =
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND
        database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
    let somebody = async {
        while !client
            .query_one(waiting, &[])
            .await
            .unwrap()
            .get::<_, bool>(0)
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, somebody)
        .await
        .expect("the move comes so far");
}

/// Killed between two entries, the move leaves the database empty and the folder as it was; begun again it ends well,
/// and everything is served from the database. It ends with the exit code of what is wrong else.
#[tokio::test]
async fn c222_a_killed_move_begins_again() {
    let (folder, scenario) = Box::pin(community()).await;
    let database = Database::new().await;
    // makes the schema
    drop(database.store(StoreOptions::default()).await);
    database.execute(WAITS).await;
    let holder = connect(&database.url()).await;
    holder
        .batch_execute("SELECT pg_advisory_lock(1)")
        .await
        .unwrap();
    let mut moving = Command::new(PROGRAM)
        .env_clear()
        .arg("--data-dir")
        .arg(folder.path())
        .args(words(folder.path(), &database.url()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    somebody_waits(&holder).await;
    moving.kill().unwrap();
    moving.wait().unwrap();
    holder
        .batch_execute("SELECT pg_advisory_unlock(1)")
        .await
        .unwrap();

    Box::pin(scenario.holds(folder.path(), "the old server")).await;
    let entries = "SELECT count(*) FROM entry";
    let left: i64 = holder.query_one(entries, &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
    database.execute("DROP TRIGGER waits ON entry").await;
    let moved = moves(folder.path(), &database.url());
    assert_eq!(moved.code, Some(0), "{}", moved.stderr);
    assert!(moved.stdout.contains("account 1\n"), "{}", moved.stdout);
    assert!(
        moved.stderr.contains("moved and checked"),
        "{}",
        moved.stderr
    );
    let url = database.url();
    Box::pin(scenario.holds_shared(folder.path(), &url, "the new server")).await;

    let nothing = moves(folder.path(), &url);
    assert_eq!(nothing.code, Some(8), "{}", nothing.stderr);
    let other = tempfile::tempdir().unwrap();
    init(other.path());
    let refused = moves(other.path(), &url);
    assert_eq!(refused.code, Some(9), "{}", refused.stderr);
    assert!(refused.stderr.contains("not empty"), "{}", refused.stderr);
    Box::pin(scenario.holds_shared(folder.path(), &url, "after a refused move")).await;
}

/// Nobody moves a store that is being served.
#[tokio::test]
async fn c222_a_running_server_does_not_move() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path());
    let program = Program::start(folder.path());
    let database = Database::new().await;
    let refused = moves(folder.path(), &database.url());
    assert_eq!(refused.code, Some(9), "{}", refused.stderr);
    assert_eq!(program.stop("-TERM").code, Some(0));
    assert_eq!(moves(folder.path(), &database.url()).code, Some(0));
}
