//! The project's chores: `cargo xtask attachment | demo | test | classic | bench | ci | tidy | fuzz | vectors | kill | sim | world`. Links no Conclave crate.
#![expect(
    clippy::print_stdout,
    reason = "a chore's output is for the person who runs it"
)]

mod attachment;
mod bench;
mod campaign;
mod ci;
mod classic;
mod demo;
mod fuzz;
mod kill;
mod sim;
mod soak;
mod step;
mod tidy;
mod vectors;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

const USAGE: &str = "\
usage: cargo xtask CHORE

  demo [--keep]  build both programs and watch two people talk through a server
                 (--keep leaves the server running and prints how to go on by hand)
  test           every test of the workspace, documentation examples included
  bench [NAME…] [--quick]
                 figures beside the limits of this machine (docs/benchmarks.md)
  ci             what must pass before a change lands: format, tidy, lints, docs, tests, demo, kill --short, soak --short, 500 worlds of sim
  classic        has the classic client in Python talk with ours (examples/classic)
  tidy           the rules a compiler does not know: edges, files, rule ids, dependencies
  fuzz [TARGET…] [--runs N] [--keep]
                 gives every reader of outside bytes N inputs (1,000,000 unless told), one target
                 after the other (--keep adds what went new ways to fuzz/corpus)
  vectors [--check]
                 writes the examples of every format of ours (--check has them verified by a
                 second implementation, in Python)
  kill [--short] [--seed N] [--messages N] [--server-kills N] [--client-kills N]
                 four people talk while their programs and the server are killed: nothing may be lost
  soak [--short] [--seed N] [--messages N] [--kills N]
                 a bot takes messages off a daemon while bot, daemon and server are killed: each once
  world [--short] [--seed N] [--operations N]
                 five people with up to three devices each do everything at once: all must agree
  attachment [--short | --mib N]
                 a file of 1 GiB goes up and comes down while programs and server are killed
  sim --seed N | --seeds A..B | --minutes M [--steps N] [--trace]
                 worlds of real clients and a real server under one seed each, where everything breaks";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let root = root()?;
    match words.as_slice() {
        ["classic"] => classic::run(&root),
        ["demo"] => demo::run(&root, false),
        ["demo", "--keep"] => demo::run(&root, true),
        ["test"] => ci::test(&root),
        ["bench", words @ ..] => bench::run(&root, words),
        ["ci"] => ci::run(&root),
        ["fuzz", words @ ..] => fuzz::run(&root, words),
        ["tidy"] => tidy::run(&root),
        ["vectors"] => vectors::write(&root),
        ["vectors", "--check"] => vectors::check(&root),
        ["attachment", flags @ ..] => attachment::run(&root, attachment::Plan::parse(flags)?),
        ["world", flags @ ..] => world::run(&root, world::Plan::parse(flags)?),
        ["sim", flags @ ..] => sim::run(&root, flags),
        ["kill", flags @ ..] => kill::run(&root, kill::Plan::parse(flags)?),
        ["soak", flags @ ..] => soak::run(&root, soak::Plan::parse(flags)?),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("no such chore\n\n{USAGE}"),
    }
}

/// The repository's top folder: where this crate's folder lies.
fn root() -> anyhow::Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .context("xtask has to lie inside the repository")
}
