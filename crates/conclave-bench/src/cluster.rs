//! `conclave-bench cluster SEED LOGS KEYS ADDR…`: load on several nodes while somebody breaks them, and the check after it.
//!
//! Each log has two writers on different nodes, which come to commit the same epoch at the same place, and a
//! reader on a third node. A line on standard input ends and names a phase: once every client has got through
//! again, one JSON line says how long writes and reads stood still. The end of the input ends the load:
//! every log is then read whole from every node and compared with everything that was acknowledged or shown.

mod book;
mod check;
mod client;
mod clock;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use conclave_proto::env::{Env as _, OsEnv};
use conclave_proto::id::{Day, ServerId};
use conclave_proto::log::EntryKind;
use conclave_server::keys::{self, ServerKeys};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::JoinSet;

use crate::wire::Place;
use book::{Book, WRITERS};
use check::Fault;
use client::{Client, Trouble, whole};
use clock::{Act, Clock};

/// The word that picks this program.
pub(crate) const WORD: &str = "cluster";
/// Between two acts of one client: the machine is shared with everything that is under test.
const PACE: Duration = Duration::from_millis(40);
/// Entries of a log between two races for its epoch.
const RACE_EVERY: u64 = 40;
/// Acts of a client on one node.
const MOVE_EVERY: u64 = 50;
/// How long the service may be away before that is a failure.
const RETURN: Duration = Duration::from_secs(150);

/// What all clients share.
#[derive(Debug)]
pub(crate) struct Service {
    id: ServerId,
    pass: Vec<u8>,
    nodes: Vec<Place>,
    clock: Clock,
    is_over: AtomicBool,
    has_failed: AtomicBool,
}

impl Service {
    fn new(folder: &Path, addresses: &[String]) -> anyhow::Result<Self> {
        let keys = ServerKeys::open(folder, &OsEnv)?;
        let place = |address: &String| Place::of_server(address.parse()?, folder);
        Ok(Self {
            id: keys::server_id(folder)?,
            pass: keys.pepper.member_pass(Day::of_ms(OsEnv.now_ms())).to_vec(),
            nodes: addresses.iter().map(place).collect::<anyhow::Result<_>>()?,
            clock: Clock::new(Instant::now()),
            is_over: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
        })
    }

    /// An error once another part has failed.
    fn may_go_on(&self) -> Result<(), Trouble> {
        if self.has_failed.load(Ordering::Relaxed) {
            return Err(Trouble::Wrong(anyhow::anyhow!("another part failed first")));
        }
        Ok(())
    }
}

/// Runs the load until the input ends; fails when anything is wrong with what it finds then.
pub(crate) async fn run(words: &[String]) -> anyhow::Result<()> {
    let [seed, logs, folder, addresses @ ..] = words else {
        bail!("usage: conclave-bench cluster SEED LOGS FOLDER ADDR:PORT…");
    };
    let (seed, logs): (u64, u64) = (seed.parse()?, logs.parse()?);
    ensure!(!addresses.is_empty(), "no address to send to");
    let service = Arc::new(Service::new(Path::new(folder), addresses)?);
    let books: Vec<Arc<Book>> = (0..logs)
        .map(|log| Arc::new(Book::new(seed, log)))
        .collect();
    let mut running = JoinSet::new();
    let mut acts = Vec::new();
    for (book, first) in books.iter().zip(0..) {
        let writers = (0..WRITERS).map(Some).chain([None]);
        for (who, node) in writers.zip(first..) {
            let mut client = Client::new(&service, book, who, node);
            if who == Some(0) {
                client.create().await.map_err(told)?;
            }
            let count = Arc::new(AtomicU64::new(0));
            acts.push(Arc::clone(&count));
            let service = Arc::clone(&service);
            running.spawn(async move {
                let done = live(&service, client, &count).await;
                service
                    .has_failed
                    .fetch_or(done.is_err(), Ordering::Relaxed);
                done
            });
        }
    }
    let phases = phases(&service, &acts).await;
    service.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    phases?;
    verdict(&service, &books).await
}

fn told(trouble: Trouble) -> anyhow::Error {
    match trouble {
        Trouble::Wrong(error) => error,
        other => anyhow::anyhow!("{other:?}"),
    }
}

/// One client's life; counts what it got done.
async fn live(service: &Service, mut client: Client, acts: &AtomicU64) -> anyhow::Result<()> {
    let mut last = client.place();
    while !service.is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        if client.is_writer() {
            let place = client.place();
            if place / RACE_EVERY > last / RACE_EVERY {
                client.write(EntryKind::Commit).await.map_err(told)?;
            } else {
                client.write(EntryKind::Message).await.map_err(told)?;
                service.clock.done(Act::Write, began, Instant::now());
            }
            last = place;
        } else {
            client.read().await.map_err(told)?;
            service.clock.done(Act::Read, began, Instant::now());
        }
        if acts.fetch_add(1, Ordering::Relaxed) % MOVE_EVERY == MOVE_EVERY - 1 {
            client.move_on();
        }
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

/// Ends a phase with each line of the input, which names it.
async fn phases(service: &Service, acts: &[Arc<AtomicU64>]) -> anyhow::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(name) = lines.next_line().await? {
        everybody_acts(service, acts).await?;
        let [writes, reads] = service.clock.next_phase();
        println!(
            "{}",
            json!({
                "phase": name,
                "writes": writes.count,
                "write_gap_ms": ms(writes.gap),
                "write_wait_ms": ms(writes.wait),
                "reads": reads.count,
                "read_gap_ms": ms(reads.gap),
                "read_wait_ms": ms(reads.wait),
            })
        );
    }
    Ok(())
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Waits until each client has got through with an act that began after this was asked.
async fn everybody_acts(service: &Service, acts: &[Arc<AtomicU64>]) -> anyhow::Result<()> {
    let count = |one: &Arc<AtomicU64>| one.load(Ordering::Relaxed);
    let before: Vec<u64> = acts.iter().map(count).collect();
    let end = Instant::now() + RETURN;
    // The first to come may have begun before.
    while acts
        .iter()
        .zip(&before)
        .any(|(one, before)| count(one) < before + 2)
    {
        ensure!(
            !service.has_failed.load(Ordering::Relaxed),
            "a client has failed"
        );
        ensure!(
            Instant::now() < end,
            "the service did not come back in {} s",
            RETURN.as_secs()
        );
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

/// Reads every log from every node and says what is wrong.
async fn verdict(service: &Arc<Service>, books: &[Arc<Book>]) -> anyhow::Result<()> {
    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut acked, mut entries, mut commits, mut repeats, mut resent) = (0, 0, 0, 0, 0);
    for (number, book) in books.iter().enumerate() {
        let first = whole(service, book, 0).await?;
        for node in 1..service.nodes.len() {
            let other = whole(service, book, node).await?;
            ensure!(
                first == other,
                "log {number} differs between nodes 0 and {node}"
            );
        }
        let record = book.record();
        let verdict = record.check(&first);
        for (fault, seq) in verdict.faults {
            *faults.entry(name_of(fault)).or_default() += 1;
            println!(
                "{}",
                json!({"fault": name_of(fault), "log": number, "seq": seq})
            );
        }
        acked += record.acked.iter().map(Vec::len).sum::<usize>();
        entries += first.len();
        commits += first
            .iter()
            .filter(|entry| entry.kind == EntryKind::Commit)
            .count();
        repeats += verdict.repeats;
        resent += record.resent.len();
    }
    let of = |fault| faults.get(name_of(fault)).copied().unwrap_or(0);
    println!(
        "{}",
        json!({
            "acknowledged": acked,
            "entries": entries,
            "commits": commits,
            "sent_again": resent,
            "repeats": repeats,
            "lost": of(Fault::Lost),
            "duplicates": of(Fault::Duplicate),
            "disorder": of(Fault::Disorder),
            "double_epochs": of(Fault::DoubleEpoch),
        })
    );
    ensure!(
        faults.is_empty(),
        "what is stored is not what was acknowledged"
    );
    Ok(())
}

const fn name_of(fault: Fault) -> &'static str {
    match fault {
        Fault::Lost => "lost",
        Fault::Duplicate => "duplicate",
        Fault::Disorder => "disorder",
        Fault::DoubleEpoch => "double epoch",
    }
}
