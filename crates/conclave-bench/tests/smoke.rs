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
        "| register, until usable |",
        "| drain of 100, each message |",
        "| idle connection, frames |",
        "| idle connection, WebSocket |",
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
            .contains("crypto, baseline, group, append")
    );
}
