//! Measures Conclave beside the limits of the same machine: `conclave-bench [NAME…] [--quick]`.
//!
//! What is compared runs in turns, several rounds, and the median counts: this machine's disk and cores
//! are shared, so a figure alone says little and a ratio of neighbours says much.
//!
//! - `crypto`: seal and open one message, beside the primitives alone
//! - `baseline`: one message to many, beside the classic protocols
//! - `group`: what a group costs by its number of leaves
//! - `append`: messages a second through the whole server, beside the store without network, a bare file
//!   and TLS without a store; the same on PostgreSQL, where that is installed
//! - `fanout`: one entry to many readers who are online, beside TLS writes
//! - `client`: a message sealed and kept, beside SQLCipher and RSA; the start with many conversations
//! - `people`: registration, first contact, sending and draining with whole clients
//! - `idle`: memory of connections that do nothing
//! - `reconnect`: everybody comes back after the server was killed
//! - `growth`: the store at size beside an empty one
//! - `scale`: what one of each costs, and what 100 million people need; by its name only
//! - `large`: pages and appends of a store with up to ten million entries: minutes, and 7 GB of disk
//! - `move`: how long a community stands still while it moves into PostgreSQL
//! - `peers`: the same two jobs through Mosquitto, Prosody and ejabberd, as installed and with synced writes; by its
//!   name only
//! - `daemon`: start, memory and processor time of a client's daemon
//! - `search`: words and pages in a profile with 100,000 messages
//!
//! `conclave-bench plot FILE` draws the JSON lines of a run. `conclave-bench cluster …` is the load of `cargo xtask cluster`.

#![expect(clippy::print_stdout, reason = "its output is the table")]

mod append;
mod bare;
mod baseline;
mod client;
mod cluster;
mod crowd;
mod crypto;
mod daemon;
mod echo;
mod fanout;
mod fill;
mod group;
mod growth;
mod idle;
mod large;
mod load;
mod moving;
mod peers;
mod people;
mod plot;
mod postgres;
mod reconnect;
mod scale;
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
    /// Conversations of a client that starts.
    conversations: usize,
    /// Idle connections with open logs.
    idle: usize,
    /// Readers of one entry.
    readers: u64,
    /// Connections that are cut and come back.
    cut: usize,
    /// Accounts and entries of a store, each as a measurement of its own.
    grown: &'static [growth::Grown],
    /// Messages that go through each program in a round; slower ones get a share.
    peers: usize,
    /// Entries of a store and what a page of it may take, each as a measurement of its own.
    large: &'static [large::Large],
    /// Entries of a store that moves, each as a measurement of its own.
    moved: &'static [u64],
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
    conversations: 1_000,
    idle: 10_000,
    readers: 1_000,
    peers: 20_000,
    cut: 5_000,
    grown: &[(10_000, 1_000_000), (300_000, 5_000_000)],
    large: &[(1_000_000, 500.0), (10_000_000, 1_200.0)],
    moved: &[100_000, 1_000_000],
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
    conversations: 10,
    idle: 100,
    readers: 50,
    peers: 1_000,
    cut: 50,
    grown: &[(500, 50_000)],
    large: &[(30_000, 500.0)],
    moved: &[30_000],
    idle_span: Duration::from_secs(3),
    sealed: 100,
    recipients: &[2, 16],
    leaves: &[2, 16, 128],
};

const NAMES: [&str; 16] = [
    "crypto",
    "baseline",
    "group",
    "append",
    "fanout",
    "client",
    "people",
    "idle",
    "reconnect",
    "growth",
    SCALE,
    PEERS,
    "large",
    "move",
    "daemon",
    "search",
];

/// Measures again what others measure: it runs when it is asked for.
const SCALE: &str = "scale";
/// Needs other programs: it runs when it is asked for.
const PEERS: &str = "peers";

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
    if let [cluster::WORD, ..] = *words.iter().map(String::as_str).collect::<Vec<_>>() {
        return runtime()?.block_on(cluster::run(words.get(1..).unwrap_or_default()));
    }
    if let [plot::WORD, file] = *words.iter().map(String::as_str).collect::<Vec<_>>() {
        let lines = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
        print!(
            "{}",
            plot::draw("Of its limit, each figure reaches", &lines)?
        );
        return Ok(());
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
    let runtime = runtime()?;
    // whoever only waits and writes needs no second thread beside the one that is measured
    let lean = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime does not start")?;
    let mut table = Table::default();
    for name in NAMES {
        if !names.contains(&name) && (!names.is_empty() || [SCALE, PEERS].contains(&name)) {
            continue;
        }
        println!("measuring {name} …");
        match name {
            "crypto" => crypto::measure(size, &mut table)?,
            "baseline" => baseline::measure(size, &mut table)?,
            "group" => group::measure(size, &mut table)?,
            "append" => lean.block_on(append::measure(size, &mut table))?,
            "fanout" => lean.block_on(fanout::measure(size, &mut table))?,
            "client" => runtime.block_on(client::measure(size, &mut table))?,
            "people" => runtime.block_on(people::measure(size, &mut table))?,
            "idle" => runtime.block_on(idle::measure(size, &mut table))?,
            "reconnect" => runtime.block_on(reconnect::measure(size, &mut table))?,
            "growth" => drop(runtime.block_on(growth::measure(size, &mut table))?),
            PEERS => lean.block_on(peers::measure(size, &mut table))?,
            SCALE => runtime.block_on(scale::measure(size, &mut table))?,
            "large" => runtime.block_on(large::measure(size, &mut table))?,
            "move" => runtime.block_on(moving::measure(size, &mut table))?,
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

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime does not start")
}
