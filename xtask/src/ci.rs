//! `cargo xtask ci` and `cargo xtask test`: what must pass, step by step.

use std::path::Path;
use std::time::Instant;

use crate::step::{OpenSsl, answers, cargo, step, succeed};
use crate::{attachment, classic, demo, kill, page, sim, soak, tidy, vectors, world};

/// Everything that must pass before a change lands; cheap steps first.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let start = Instant::now();
    let openssl = OpenSsl::find()?;
    step("format", || {
        succeed(cargo(root, openssl).args(["fmt", "--all", "--check"]))
    })?;
    step("tidy", || tidy::run(root))?;
    step("dependencies", || deny(root, openssl))?;
    step("lints", || {
        succeed(
            cargo(root, openssl)
                .args(["clippy", "--workspace", "--all-targets", "--locked"])
                .args(["--", "--deny", "warnings"]),
        )
    })?;
    step("documentation", || {
        succeed(
            cargo(root, openssl)
                .env("RUSTDOCFLAGS", "--deny warnings")
                .args(["doc", "--workspace", "--no-deps", "--locked"]),
        )
    })?;
    step("tests", || test_with(root, openssl))?;
    step("tests over PostgreSQL", || over_postgres(root, openssl))?;
    step("vectors", || vectors::check(root))?;
    step("demo", || demo::run(root, demo::Plan::UNSEEN))?;
    step("classic", || classic::run(root))?;
    step("simulator", || sim::fixed(root))?;
    step("attachment", || {
        attachment::run(root, attachment::Plan::SHORT)
    })?;
    step("kill", || kill::run(root, kill::Plan::SHORT))?;
    step("world", || world::run(root, world::Plan::SHORT))?;
    step("page", || page::run(root, &[]))?;
    step("soak", || soak::run(root, soak::Plan::SHORT))?;
    println!(
        "everything passed after {} min",
        start.elapsed().as_secs().div_ceil(60)
    );
    Ok(())
}

/// Every test of the workspace.
pub(crate) fn test(root: &Path) -> anyhow::Result<()> {
    test_with(root, OpenSsl::find()?)
}

/// nextest runs the tests in parallel and bounds their time; plain cargo does without. The examples that tests
/// start are built before: built by a test alone they would want other features, and everything under them anew.
fn test_with(root: &Path, openssl: OpenSsl) -> anyhow::Result<()> {
    succeed(cargo(root, openssl).args(["build", "--workspace", "--examples", "--locked"]))?;
    if answers("cargo", &["nextest", "--version"]) {
        let words = [
            "nextest",
            "run",
            "--workspace",
            "--all-targets",
            "--locked",
            "--profile",
            "ci",
        ];
        succeed(cargo(root, openssl).args(words))?;
    } else {
        let words = [
            "test",
            "--workspace",
            "--all-targets",
            "--locked",
            "--no-fail-fast",
        ];
        succeed(cargo(root, openssl).args(words))?;
    }
    succeed(cargo(root, openssl).args(["test", "--workspace", "--doc", "--locked"]))
}

/// The server's own suite once more, each test with a database of its own. The whole workspace is named, so
/// that nothing is built anew.
fn over_postgres(root: &Path, openssl: OpenSsl) -> anyhow::Result<()> {
    let mut command = cargo(root, openssl);
    command.env("CONCLAVE_TEST_STORE", "postgres");
    let runner: &[&str] = if answers("cargo", &["nextest", "--version"]) {
        &["nextest", "run", "--profile", "ci"]
    } else {
        &["test", "--no-fail-fast"]
    };
    succeed(
        command
            .args(runner)
            .args(["--workspace", "--locked", "--test", "api"]),
    )
}

/// cargo-deny where it is installed; tidy makes the checks that matter in any case.
fn deny(root: &Path, openssl: OpenSsl) -> anyhow::Result<()> {
    if !answers("cargo", &["deny", "--version"]) {
        println!("    cargo-deny is not installed; tidy has checked licences, sources and bans");
        return Ok(());
    }
    succeed(cargo(root, openssl).args(["deny", "check", "bans", "licenses", "sources"]))
}
