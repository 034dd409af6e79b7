//! The server is killed at every step of everything that writes.

use crate::program::{Program, copy, init};
use crate::scenario::Scenario;

/// Kills at the n-th of these calls, for n = 1, 1 + `every`, … until a whole scenario gets through.
async fn killed_at_every(calls: &str, every: usize) {
    let empty = tempfile::tempdir().unwrap();
    init(empty.path());
    let (mut nth, mut kills) = (1, 0);
    loop {
        let folder = copy(empty.path());
        let file = folder.path().with_extension("trace");
        let fault = format!("inject={calls}:signal=KILL:when={nth}");
        let context = format!("killed at {calls} {nth}");
        let started = Program::start_traced(folder.path(), &file, &["-e", &fault]);
        nth += every;
        let Ok(mut program) = started else {
            std::fs::remove_file(&file).unwrap();
            assert_eq!(
                Program::start(folder.path()).stop("-TERM").code,
                Some(0),
                "{context}"
            );
            continue;
        };
        let mut scenario = Scenario::new(&program);
        let is_through = scenario.play(&mut program).await.is_some();
        let ended = if is_through {
            program.stop("-KILL")
        } else {
            program.wait()
        };
        std::fs::remove_file(&file).unwrap();
        assert_ne!(ended.code, Some(0), "{context}");
        assert!(
            !ended.stderr.contains("error"),
            "{context}: {}",
            ended.stderr
        );
        scenario.holds(folder.path(), &context).await;
        if is_through {
            break;
        }
        kills += 1;
    }
    assert!(kills >= 5, "only {kills} kills");
}

/// Killed at each write to the database and its log.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_a_write() {
    killed_at_every("pwrite64", 7).await;
}

/// Killed at each sync: before it, so nothing of it may have been acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_a_sync() {
    killed_at_every("fdatasync", 1).await;
}

/// Killed at each answer: it was synced and nobody heard of it.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_an_answer() {
    killed_at_every("sendto,sendmsg,writev", 1).await;
}
