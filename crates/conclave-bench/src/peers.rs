//! The same two jobs through Conclave and through programs that people would pick instead.
//!
//! 1. A sends messages of 512 bytes to B, who is offline; then B comes back and takes them all
//! 2. both are online: A sends one, B answers, and how long that took
//!
//! Each program runs as it is installed, without TLS where it is installed so, and once more with synced writes, as far
//! as it has settings for them; Conclave always has TLS 1.3. Sending counts what the program acknowledged. Whether it had synced by then is counted from outside, by its system calls.

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

/// When a program's messages are on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    /// When its packager thought best.
    AsInstalled,
    /// As soon as its settings allow.
    Synced,
}

/// What is measured of a program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    /// What it is called, and what is not as installed.
    name: &'static str,
    /// One message in so many is sent through it: slow ones take their time.
    share: usize,
    /// At least so many, or what may be in flight would never be full.
    least: usize,
}

impl About {
    /// One message in `share`, and as many as may be in flight.
    const fn new(name: &'static str, share: usize) -> Self {
        Self {
            name,
            share,
            least: 1_024,
        }
    }
}

/// A program that carries messages from A to B.
pub(crate) trait Peer {
    /// What it is, and how much is asked of it.
    fn about(&self) -> About;

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

/// A program with what it did.
struct Measured<P> {
    peer: P,
    rounds: Rounds,
    targets: Targets,
}

impl<P: Peer> Measured<P> {
    fn new(peer: P, targets: Targets) -> Self {
        Self {
            peer,
            rounds: Rounds::default(),
            targets,
        }
    }

    async fn round(&mut self, messages: usize) -> anyhow::Result<()> {
        let about = self.peer.about();
        let peer = &mut self.peer;
        let count = (messages / about.share).max(about.least);
        for (depth, sent) in DEPTHS.into_iter().zip(&mut self.rounds.sent) {
            let took = peer.send(count, depth).await?;
            sent.push(a_second(count, took));
            let begin = Instant::now();
            peer.drain(count).await?;
            self.rounds.drained.push(a_second(count, begin.elapsed()));
        }
        let talked = peer.talk(ROUND_TRIPS / about.share.min(4)).await?;
        self.rounds.talked.push(talked);
        Ok(())
    }

    /// Counts what it syncs, and puts what it did beside Conclave.
    async fn end(&mut self, table: &mut Table, ours: Option<&Rounds>) -> anyhow::Result<()> {
        let counting = syncs::Counting::begin(self.peer.pid())?;
        self.peer.send(COUNTED, 1).await?;
        self.rounds.syncs = counting.end()? / number(COUNTED);
        self.peer.drain(COUNTED).await?;
        let name = self.peer.about().name;
        println!("{name} syncs {:.2} times for a message", self.rounds.syncs);
        if let Some(ours) = ours {
            compare(table, ours, (name, &self.rounds), self.targets);
        }
        Ok(())
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

/// With synced writes nothing is held to a target: those are for programs as they are installed.
const NONE: Targets = Targets {
    sent: [None, None],
    drained: None,
    talked: None,
};

pub(crate) async fn measure(size: Size, table: &mut Table) -> anyhow::Result<()> {
    let mut ours = Measured::new(ours::Ours::start().await?, NONE);
    let (mut mosquittos, mut prosodies, mut ejabberds) = (Vec::new(), Vec::new(), Vec::new());
    for writes in [Writes::AsInstalled, Writes::Synced] {
        let targets = |installed| match writes {
            Writes::AsInstalled => installed,
            Writes::Synced => NONE,
        };
        let peer = mosquitto::Mosquitto::start(writes).await?;
        mosquittos.push(Measured::new(peer, targets(MOSQUITTO)));
        let peer = prosody::Prosody::start(writes)?;
        prosodies.push(Measured::new(peer, targets(PROSODY)));
        let peer = ejabberd::Ejabberd::start(writes).await?;
        ejabberds.push(Measured::new(peer, targets(EJABBERD)));
    }
    let mut synapse = match std::env::var_os(synapse::PYTHON) {
        Some(python) => {
            let peer = synapse::Synapse::start(Path::new(&python)).await?;
            Some(Measured::new(peer, SYNAPSE))
        }
        None => None,
    };
    for _ in 0..size.rounds {
        ours.round(size.peers).await?;
        for (mosquitto, (prosody, ejabberd)) in mosquittos
            .iter_mut()
            .zip(prosodies.iter_mut().zip(&mut ejabberds))
        {
            mosquitto.round(size.peers).await?;
            prosody.round(size.peers).await?;
            ejabberd.round(size.peers).await?;
        }
        if let Some(synapse) = &mut synapse {
            synapse.round(size.peers).await?;
        }
    }
    ours.end(table, None).await?;
    let ours = Some(&ours.rounds);
    for mosquitto in &mut mosquittos {
        mosquitto.end(table, ours).await?;
    }
    for prosody in &mut prosodies {
        prosody.end(table, ours).await?;
    }
    for ejabberd in &mut ejabberds {
        ejabberd.end(table, ours).await?;
    }
    if let Some(synapse) = &mut synapse {
        return synapse.end(table, ours).await;
    }
    let wanted = synapse::PYTHON;
    println!("Synapse is not measured: set {wanted} to a Python that has it");
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
