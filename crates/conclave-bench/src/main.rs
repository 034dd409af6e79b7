//! Measures Conclave beside the limits of the same machine: `conclave-bench [NAME…] [--quick]`.
//!
//! What is compared runs in turns, several rounds, and the median counts: this machine's disk and cores
//! are shared, so a figure alone says little and a ratio of neighbours says much.
//!
//! - `crypto`: seal and open one message, beside the primitives alone
//! - `baseline`: one message to many, beside the classic protocols
//! - `group`: what a group costs by its number of leaves
//! - `append`: messages a second through the whole server, beside the store without network, a bare file
//!   and TLS without a store
//! - `people`: registration, first contact, sending and draining with whole clients
//! - `idle`: memory of connections that do nothing
//! - `daemon`: start, memory and processor time of a client's daemon
//! - `search`: words and pages in a profile with 100,000 messages

#![expect(clippy::print_stdout, reason = "its output is the table")]

mod append;
mod bare;
mod baseline;
mod crypto;
mod daemon;
mod echo;
mod group;
mod idle;
mod load;
mod people;
mod search;
mod server;
mod table;
mod wire;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};

use table::Table;

/// Payload of one entry, in bytes.
const PAYLOAD_BYTES: usize = 512;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Rounds; the median of them counts.
    rounds: usize,
    /// How long one contender runs in one round.
    span: Duration,
    /// Messages of the backlog that one device drains.
    backlog: usize,
    /// Messages that are searched and paged.
    searched: usize,
    /// Idle connections.
    idle: usize,
    /// How long a daemon is watched that does nothing.
    idle_span: Duration,
    /// Messages sealed and opened in one round.
    sealed: usize,
    /// Of one message, each as a measurement of its own.
    recipients: &'static [u64],
    /// Leaves of a group, each as a measurement of its own.
    leaves: &'static [u64],
}

const WHOLE: Size = Size {
    rounds: 5,
    span: Duration::from_millis(1500),
    backlog: 10_000,
    searched: 100_000,
    idle: 2_000,
    idle_span: Duration::from_mins(1),
    sealed: 2_000,
    recipients: &[2, 16, 128, 1_024],
    leaves: &[2, 16, 128, 512, 1_024],
};

const QUICK: Size = Size {
    rounds: 2,
    span: Duration::from_millis(250),
    backlog: 100,
    searched: 2_000,
    idle: 100,
    idle_span: Duration::from_secs(3),
    sealed: 100,
    recipients: &[2, 16],
    leaves: &[2, 16, 128],
};

const NAMES: [&str; 8] = [
    "crypto", "baseline", "group", "append", "people", "idle", "daemon", "search",
];

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
    if words == [echo::WORD] {
        return echo::serve();
    }
    let is_quick = words.iter().any(|word| word == "--quick");
    let names: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| *word != "--quick")
        .collect();
    if let Some(unknown) = names.iter().find(|name| !NAMES.contains(name)) {
        bail!("`{unknown}` is not one of {}", NAMES.join(", "));
    }
    let size = if is_quick { QUICK } else { WHOLE };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime does not start")?;
    let mut table = Table::default();
    for name in NAMES {
        if !names.is_empty() && !names.contains(&name) {
            continue;
        }
        println!("measuring {name} …");
        match name {
            "crypto" => crypto::measure(size, &mut table)?,
            "baseline" => baseline::measure(size, &mut table)?,
            "group" => group::measure(size, &mut table)?,
            "append" => runtime.block_on(append::measure(size, &mut table))?,
            "people" => runtime.block_on(people::measure(size, &mut table))?,
            "idle" => runtime.block_on(idle::measure(size, &mut table))?,
            "search" => runtime.block_on(search::measure(size, &mut table))?,
            _ => runtime.block_on(daemon::measure(size, &mut table))?,
        }
    }
    table.print();
    let file = std::env::temp_dir().join("conclave-bench.jsonl");
    std::fs::write(&file, table.json_lines())
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("\nthe same as JSON lines: {}", file.display());
    Ok(())
}
