//! The whole benchmark in its short form.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Command;

/// Every figure is measured and printed beside its limit, against a real server in another process.
#[test]
fn the_short_form_measures_everything() {
    let output = Command::new(env!("CARGO_BIN_EXE_conclave-bench"))
        .arg("--quick")
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(output.status.success(), "{out}{err}");
    for figure in [
        "| seal 256 B, CPU |",
        "| open 256 B, CPU |",
        "| seal to 16 |",
        "| open one, of 16 |",
        "| sent to 16 |",
        "| append, 64 × 1 in flight |",
        "| append, 64 × 8 in flight |",
        "| append, 512 × 1 in flight |",
        "| syncs a message, 64 × 1 in flight |",
        "| append, PostgreSQL, 64 × 1 in flight |",
        "| append, PostgreSQL, 64 × 8 in flight |",
        "| PostgreSQL group commit, 512 × 1 in flight |",
        "| PostgreSQL group commit with hints, 64 × 8 in flight |",
        "| syncs a message, PostgreSQL, 64 × 1 in flight |",
        "| one entry to 50 readers |",
        "| seal 256 B to one |",
        "| seal 256 B and keep it, synced |",
        "| start with 10 conversations |",
        "| register, until usable |",
        "| drain of 100, each message |",
        "| drain of 100 |",
        "| idle connection, frames, 50 logs |",
        "| idle connection, WebSocket, 50 logs |",
        "| 50 cut, all live |",
        "| lookup, p50; 500 accounts, 50000 entries |",
        "| sweep of 500 rows, p50; 500 accounts, 50000 entries |",
        "| read of 100 of 30000 entries, p50 |",
        "| append, 64 in flight, beside 30000 entries |",
        "| daemon, from start until it listens |",
        "| idle daemon, resident memory |",
        "| idle daemon, of one core |",
        "| search, a rare word, of 2000 messages |",
        "| page of 50, in the middle, of 2000 messages |",
    ] {
        assert!(out.contains(figure), "{figure} is missing:\n{out}");
    }
    assert!(!out.contains("NaN"), "{out}");
}

/// The model measures what one of each costs, computes every step, and comes within a third of the database
/// that it is held against.
#[test]
fn the_model_fits_a_database_that_was_filled() {
    let output = Command::new(env!("CARGO_BIN_EXE_conclave-bench"))
        .args(["scale", "--quick"])
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}");
    let held = out
        .lines()
        .find(|line| line.contains("entries | "))
        .unwrap();
    let ratio: f64 = held.split('|').nth(4).unwrap().trim().parse().unwrap();
    assert!((0.75..1.34).contains(&ratio), "{held}");
    assert!(
        out.contains("| 100 million |") && !out.contains("NaN"),
        "{out}"
    );
}

/// An unknown name is refused with those that there are.
#[test]
fn an_unknown_name_is_refused() {
    let refused = Command::new(env!("CARGO_BIN_EXE_conclave-bench"))
        .arg("nothing")
        .output()
        .unwrap();
    assert!(!refused.status.success());
    assert!(
        String::from_utf8(refused.stderr)
            .unwrap()
            .contains("crypto, baseline, group, append, fanout")
    );
}
