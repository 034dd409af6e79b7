//! The project's chores: `cargo xtask attachment | demo | test | classic | bench | ci | tidy | ui | page | screenshots | fuzz | vectors | kill | sim | world | cluster`. Links no Conclave crate.
#![expect(
    clippy::print_stdout,
    reason = "a chore's output is for the person who runs it"
)]

mod attachment;
mod bench;
mod campaign;
mod ci;
mod classic;
mod cluster;
mod demo;
mod fuzz;
mod kill;
mod packages;
mod page;
mod sim;
mod soak;
mod step;
mod tidy;
mod ui;
mod vectors;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

const USAGE: &str = "\
usage: cargo xtask CHORE

  demo [--no-page | --keep]
                 build both programs and watch two people talk through a server; at the end a page opens for
                 each of them (--no-page: terminals only)
                 (--keep leaves the server running and prints how to go on by hand)
  test           every test of the workspace, documentation examples included
  bench [NAME…] [--quick]
                 figures beside the limits of this machine (docs/benchmarks.md)
  ci             what must pass before a change lands: format, tidy, lints, docs, tests, demo, kill --short, soak --short, 500 worlds of sim, page
  classic        has the classic client in Python talk with ours (examples/classic)
  tidy           the rules a compiler does not know: edges, files, rule ids, dependencies
  ui             builds the page with Node.js, for the next build of conclave to take in
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
  page [NAME…]   the page in headless Chromium against the real programs (crates/conclave/ui/tests/flows)
  screenshots    takes the pictures of docs/img anew
  world [--short] [--seed N] [--operations N]
                 five people with up to three devices each do everything at once: all must agree
  attachment [--short | --mib N]
                 a file of 1 GiB goes up and comes down while programs and server are killed
  cluster [--short] [--seed N] [--logs N] [--server-kills N] [--primary-kills N] [--nats-seconds N]
          [--pause-seconds N]
                 three servers on PostgreSQL with a standby and three NATS nodes, all of them killed in turn
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
        ["demo", flags @ ..] => demo::run(&root, demo::Plan::parse(flags)?),
        ["test"] => ci::test(&root),
        ["bench", words @ ..] => bench::run(&root, words),
        ["ci"] => ci::run(&root),
        ["fuzz", words @ ..] => fuzz::run(&root, words),
        ["ui"] => ui::run(&root),
        ["page", names @ ..] => page::run(&root, names),
        ["screenshots"] => page::screenshots(&root),
        ["tidy"] => tidy::run(&root),
        ["vectors"] => vectors::write(&root),
        ["vectors", "--check"] => vectors::check(&root),
        ["attachment", flags @ ..] => attachment::run(&root, attachment::Plan::parse(flags)?),
        ["world", flags @ ..] => world::run(&root, world::Plan::parse(flags)?),
        ["cluster", flags @ ..] => cluster::run(&root, cluster::Plan::parse(flags)?),
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
