//! The same two jobs through Conclave and through programs that people would pick instead.
//!
//! 1. A sends messages of 512 bytes to B, who is offline; then B comes back and takes them all
//! 2. both are online: A sends one, B answers, and how long that took
//!
//! Each program runs as it is installed, without TLS where it is installed so; Conclave always has TLS 1.3. Sending
//! counts what the program acknowledged. Whether it had synced by then is counted from outside, by its system calls.

mod ejabberd;
mod http;
mod line;
mod mosquitto;
mod mqtt;
mod ours;
mod prosody;
mod synapse;
mod syncs;
mod xmpp;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Size;
use crate::table::{Better, Table, median};

/// Messages in flight while B is offline, each a measurement of its own.
const DEPTHS: [usize; 2] = [64, 512];
/// Round trips of one round.
const ROUND_TRIPS: usize = 200;
/// Messages, one in flight, whose syncs are counted.
const COUNTED: usize = 50;

/// A program that carries messages from A to B.
pub(crate) trait Peer {
    /// What it is called, and what is not as installed.
    const NAME: &'static str;
    /// One message in so many is sent through it: slow ones take their time.
    const SHARE: usize;
    /// At least so many, or what may be in flight would never be full.
    const LEAST: usize = 1_024;

    /// A comes and sends `count` messages, `depth` in flight, while B is away; how long the sending took, until all were
    /// acknowledged.
    async fn send(&mut self, count: usize, depth: usize) -> anyhow::Result<Duration>;

    /// B comes, takes `count` messages, and goes.
    async fn drain(&mut self, count: usize) -> anyhow::Result<()>;

    /// Both come; A sends and B answers `count` times, one after the other; the median in ms.
    async fn talk(&mut self, count: usize) -> anyhow::Result<f64>;

    /// The processes that store.
    fn pid(&self) -> u32;
}

/// What one program did, a value for each round.
#[derive(Debug, Default)]
struct Rounds {
    /// For each of [`DEPTHS`], messages a second.
    sent: [Vec<f64>; DEPTHS.len()],
    /// Messages a second.
    drained: Vec<f64>,
    /// ms.
    talked: Vec<f64>,
    /// Syncs of one message, one in flight.
    syncs: f64,
}

impl Rounds {
    async fn add<P: Peer>(&mut self, peer: &mut P, messages: usize) -> anyhow::Result<()> {
        let count = (messages / P::SHARE).max(P::LEAST);
        for (depth, sent) in DEPTHS.into_iter().zip(&mut self.sent) {
            let took = peer.send(count, depth).await?;
            sent.push(a_second(count, took));
            let begin = Instant::now();
            peer.drain(count).await?;
            self.drained.push(a_second(count, begin.elapsed()));
        }
        self.talked
            .push(peer.talk(ROUND_TRIPS / P::SHARE.min(4)).await?);
        Ok(())
    }

    async fn count_syncs<P: Peer>(&mut self, peer: &mut P) -> anyhow::Result<()> {
        let counting = syncs::Counting::begin(peer.pid())?;
        peer.send(COUNTED, 1).await?;
        self.syncs = counting.end()? / number(COUNTED);
        peer.drain(COUNTED).await
    }
}

fn a_second(count: usize, took: Duration) -> f64 {
    number(count) / took.as_secs_f64()
}

/// A count of messages, which is far below 2^32.
fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The least that counts as good, of one program.
#[derive(Clone, Copy)]
struct Targets {
    /// Times its rate at 64 and at 512 in flight.
    sent: [Option<f64>; DEPTHS.len()],
    drained: Option<f64>,
    talked: Option<f64>,
}

const MOSQUITTO: Targets = Targets {
    sent: [None, Some(1.0)],
    drained: None,
    talked: Some(0.5),
};
const PROSODY: Targets = Targets {
    sent: [Some(3.0), Some(3.0)],
    drained: Some(2.0),
    talked: None,
};
const EJABBERD: Targets = Targets {
    sent: [Some(15.0), Some(15.0)],
    drained: Some(2.0),
    talked: None,
};
const SYNAPSE: Targets = Targets {
    sent: [Some(100.0), Some(100.0)],
    drained: None,
    talked: None,
};

pub(crate) async fn measure(size: Size, table: &mut Table) -> anyhow::Result<()> {
    let mut ours = ours::Ours::start().await?;
    let mut mosquitto = mosquitto::Mosquitto::start().await?;
    let mut prosody = prosody::Prosody::start()?;
    let mut ejabberd = ejabberd::Ejabberd::start().await?;
    let mut synapse = match std::env::var_os(synapse::PYTHON) {
        Some(python) => Some(synapse::Synapse::start(Path::new(&python)).await?),
        None => None,
    };
    let mut rounds: [Rounds; 5] = std::array::from_fn(|_| Rounds::default());
    let [of_ours, of_mosquitto, of_prosody, of_ejabberd, of_synapse] = &mut rounds;
    for _ in 0..size.rounds {
        of_ours.add(&mut ours, size.peers).await?;
        of_mosquitto.add(&mut mosquitto, size.peers).await?;
        of_prosody.add(&mut prosody, size.peers).await?;
        of_ejabberd.add(&mut ejabberd, size.peers).await?;
        if let Some(synapse) = &mut synapse {
            of_synapse.add(synapse, size.peers).await?;
        }
    }
    of_ours.count_syncs(&mut ours).await?;
    of_mosquitto.count_syncs(&mut mosquitto).await?;
    of_prosody.count_syncs(&mut prosody).await?;
    of_ejabberd.count_syncs(&mut ejabberd).await?;
    if let Some(synapse) = &mut synapse {
        of_synapse.count_syncs(synapse).await?;
    }
    let others = [
        (mosquitto::Mosquitto::NAME, &*of_mosquitto, MOSQUITTO),
        (prosody::Prosody::NAME, &*of_prosody, PROSODY),
        (ejabberd::Ejabberd::NAME, &*of_ejabberd, EJABBERD),
        (synapse::Synapse::NAME, &*of_synapse, SYNAPSE),
    ];
    println!(
        "{} syncs {:.2} times for a message",
        ours::Ours::NAME,
        of_ours.syncs
    );
    for (name, other, targets) in others {
        if other.talked.is_empty() {
            println!(
                "{name} is not measured: set {} to a Python that has it",
                synapse::PYTHON
            );
            continue;
        }
        println!("{name} syncs {:.2} times for a message", other.syncs);
        compare(table, of_ours, (name, other), targets);
    }
    Ok(())
}

fn compare(table: &mut Table, ours: &Rounds, (name, other): (&str, &Rounds), targets: Targets) {
    for (place, depth) in DEPTHS.into_iter().enumerate() {
        let (Some(own), Some(others)) = (ours.sent.get(place), other.sent.get(place)) else {
            continue;
        };
        let what = format!("send to who is offline, {depth} in flight");
        let target = targets.sent.get(place).copied().flatten();
        table.add((what, "1/s", Better::More), own, (name, others), target);
    }
    let drain = ("drain what waited", "1/s", Better::More);
    table.add(
        drain,
        &ours.drained,
        (name, &other.drained),
        targets.drained,
    );
    let talk = ("there and back, both online", "ms", Better::Less);
    table.add(talk, &ours.talked, (name, &other.talked), targets.talked);
}

/// The median of times, in ms.
fn median_ms(times: &[f64]) -> f64 {
    median(times) * 1_000.0
}
