//! Somebody or something damaged the database: the server says so, says what to do, and touches nothing.

use std::fs;
use std::path::Path;

use conclave_proto::hello::Role;

use crate::program::{Program, copy, init, run};
use crate::scenario::Scenario;

/// A folder in which everything was done once, its server ended by `signal`.
async fn lived_in(signal: &str) -> (tempfile::TempDir, Scenario) {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path());
    let mut program = Program::start(folder.path());
    let mut scenario = Scenario::new(&program);
    scenario
        .play(&mut program)
        .await
        .expect("nothing is in the way");
    program.stop(signal);
    (folder, scenario)
}

/// No command of the program accepts the damaged file; each says what to do, and changes nothing.
fn is_refused(folder: &Path, what: &str) {
    let database = folder.join("store.db");
    let before = fs::read(&database).ok();
    for words in [&["serve", "--listen", "127.0.0.1:0"][..], &["init"]] {
        let ended = run(folder, words);
        assert_eq!(ended.code, Some(12), "{what}, {words:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("backup"), "{what}: {}", ended.stderr);
        assert_eq!(
            fs::read(&database).ok(),
            before,
            "{what}: {words:?} changed the file"
        );
    }
    let check = run(folder, &["check"]);
    assert_eq!(check.code, Some(1), "{what}");
    assert!(check.stdout.contains("backup"), "{what}: {}", check.stdout);
    assert_eq!(
        fs::read(&database).ok(),
        before,
        "{what}: check changed the file"
    );
}

/// A database that is no database, is cut, or is empty where there was one.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_is_refused_and_left_alone() {
    let (folder, _) = lived_in("-TERM").await;
    let whole = fs::read(folder.path().join("store.db")).unwrap();
    let mut scribbled = whole.clone();
    scribbled[..100].fill(0xa5);
    let damages: [(&str, &[u8]); 5] = [
        ("overwritten header", &scribbled),
        ("no database", b"this is a letter to my aunt"),
        ("cut in the middle", &whole[..whole.len() / 2 / 4096 * 4096]),
        ("cut inside its first page", &whole[..700]),
        ("empty", &[]),
    ];
    for (what, bytes) in damages {
        let damaged = copy(folder.path());
        fs::write(damaged.path().join("store.db"), bytes).unwrap();
        is_refused(damaged.path(), what);
    }
}

/// A database that is gone while its folder remembers it.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_database_is_not_begun_anew() {
    let (folder, _) = lived_in("-TERM").await;
    fs::remove_file(folder.path().join("store.db")).unwrap();
    is_refused(folder.path(), "missing");
    assert!(!folder.path().join("store.db").exists());
    // whoever wants that says so
    fs::remove_file(folder.path().join("incarnation")).unwrap();
    assert_eq!(Program::start(folder.path()).stop("-TERM").code, Some(0));
}

/// Damage in the middle of the file is found by `check`, and a page that SQLite cannot read ends no
/// more than the request, or the server with a clear error: never with a panic or a wrong answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_is_found() {
    let (folder, _) = lived_in("-TERM").await;
    let whole = fs::read(folder.path().join("store.db")).unwrap();
    let mut found = 0;
    let pages = whole.len() / 4096;
    for page in 1..pages {
        let damaged = copy(folder.path());
        let mut bytes = whole.clone();
        // the page's header: what kind it is, its cells
        bytes[page * 4096..page * 4096 + 8].fill(0x5a);
        fs::write(damaged.path().join("store.db"), &bytes).unwrap();
        let check = run(damaged.path(), &["check"]);
        assert!(!check.stderr.contains("panicked"), "{}", check.stderr);
        if check.code == Some(1) {
            assert!(check.stdout.contains("backup"), "{}", check.stdout);
            found += 1;
        }
    }
    // overflow pages have no header: only their content is hit
    assert!(found * 2 > pages, "{found} of {pages} pages");
}

/// A database from before the last start is one from the past: the server tells clients.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_database_begins_a_new_incarnation() {
    let (folder, _) = lived_in("-TERM").await;
    let older = fs::read(folder.path().join("store.db")).unwrap();
    for incarnation in [1, 2] {
        let program = Program::start(folder.path());
        let hello = program.connect(Role::Logs).await.hello;
        assert_eq!(hello.incarnation, incarnation);
        assert_eq!(program.stop("-TERM").code, Some(0));
        fs::write(folder.path().join("store.db"), &older).unwrap();
    }
}

/// Two servers on one folder: the second says so and leaves the first alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path());
    let mut program = Program::start(folder.path());
    let mut scenario = Scenario::new(&program);
    for _ in 0..2 {
        let second = run(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(second.code, Some(9), "{}", second.stderr);
        assert!(second.stderr.contains("in use"), "{}", second.stderr);
    }
    scenario
        .play(&mut program)
        .await
        .expect("nothing is in the way");
    assert_eq!(program.stop("-TERM").code, Some(0));
    scenario.holds(folder.path(), "after a second server").await;
}

/// Killed in the middle: the last write to the write-ahead log is only half there. What was synced
/// before it is served, in the same incarnation.
#[tokio::test(flavor = "multi_thread")]
async fn a_torn_last_write_is_forgotten() {
    let (folder, scenario) = lived_in("-KILL").await;
    let path = folder.path().join("store.db-wal");
    let mut log = fs::read(&path).unwrap();
    // a frame that claims to be one and is not
    log.extend_from_slice(&[0x5a; 2_000]);
    fs::write(&path, log).unwrap();
    scenario.holds(folder.path(), "a torn write").await;
    let program = Program::start(folder.path());
    assert_eq!(program.connect(Role::Logs).await.hello.incarnation, 1);
}
