//! The disk is full, read-only or broken: the server ends with a clear error, and nothing that was
//! acknowledged is lost.

use crate::program::{Program, copy, init};
use crate::scenario::{Scenario, ended_for_the_disk};

/// Plays with a fault from its n-th call on, for several n; the server must end because of it.
async fn plays_with(call: &str, error: &str, from: &[usize], words: &[&str]) {
    let empty = tempfile::tempdir().unwrap();
    init(empty.path());
    for nth in from {
        let folder = copy(empty.path());
        let file = folder.path().with_extension("trace");
        let fault = format!("inject={call}:error={error}:when={nth}+");
        let context = format!("{error} from {call} {nth} on");
        let database = folder.path().join("store.db");
        let paths = [database.clone(), database.with_extension("db-wal")];
        let paths = paths.each_ref().map(|path| path.to_str().unwrap());
        let faults = ["-e", &fault, "-P", paths[0], "-P", paths[1]];
        let (ended, scenario) = match Program::start_traced(folder.path(), &file, &faults) {
            Err(ended) => (ended, None),
            Ok(mut program) => {
                let mut scenario = Scenario::new(&program);
                let played = scenario.play(&mut program).await;
                assert!(played.is_none(), "{context}: all went well");
                (program.wait(), Some(scenario))
            }
        };
        std::fs::remove_file(&file).unwrap();
        ended_for_the_disk(&ended, words);
        match scenario {
            Some(scenario) => scenario.holds(folder.path(), &context).await,
            None => assert_eq!(Program::start(folder.path()).stop("-TERM").code, Some(0)),
        }
    }
}

/// A full disk, at any write.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk() {
    plays_with("pwrite64", "ENOSPC", &[6, 12, 24, 40], &["full"]).await;
}

/// A disk that turns read-only, as Linux does after errors.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_turns_read_only() {
    plays_with("pwrite64", "EROFS", &[8, 30], &["error:"]).await;
}

/// A sync that fails: what it would have synced is not acknowledged, and it is not tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_fails() {
    plays_with("fdatasync", "EIO", &[2, 3, 4, 6], &["disk"]).await;
}

/// A read that fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_a_disk_that_does_not_read() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path());
    let before = std::fs::read(folder.path().join("store.db")).unwrap();
    let file = folder.path().with_extension("trace");
    let database = folder.path().join("store.db");
    let faults = [
        "-e",
        "trace=pread64",
        "-e",
        "inject=pread64:error=EIO",
        "-P",
        database.to_str().unwrap(),
    ];
    let ended = Program::start_traced(folder.path(), &file, &faults)
        .err()
        .expect("no server");
    std::fs::remove_file(&file).unwrap();
    ended_for_the_disk(&ended, &["cannot open the database"]);
    assert_eq!(std::fs::read(&database).unwrap(), before);
    assert_eq!(Program::start(folder.path()).stop("-TERM").code, Some(0));
}

/// A data folder on a read-only disk: no server, and the error names the file.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_a_read_only_disk() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path());
    let file = folder.path().with_extension("trace");
    let database = folder.path().join("store.db");
    let faults = [
        "-e",
        "trace=openat",
        "-e",
        "inject=openat:error=EROFS",
        "-P",
        database.to_str().unwrap(),
    ];
    let ended = Program::start_traced(folder.path(), &file, &faults)
        .err()
        .expect("no server");
    std::fs::remove_file(&file).unwrap();
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("store.db"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert_eq!(Program::start(folder.path()).stop("-TERM").code, Some(0));
}
