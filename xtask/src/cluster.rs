//! `cargo xtask cluster`: several servers on PostgreSQL and NATS, broken in every way while people and load go on.
//!
//! 1. PostgreSQL under Patroni and etcd (three nodes, strict synchronous mode), three NATS nodes and three servers
//!    come up on loopback, from Debian's packages
//! 2. lean clients write, race for epochs and read on different nodes; two real people talk
//! 3. servers are killed, the primary is killed, NATS is cut and taken away, a server is paused
//! 4. nothing acknowledged is lost, double or out of order, and the table says how long what stood still

mod door;
mod load;
mod machine;
mod nats;
mod nodes;
mod packages;
mod people;
mod postgres;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context;

use crate::campaign::{Chance, Frame, in_folder, join, pause, planned};
use load::Load;
use nats::Nats;
use nodes::Nodes;
use people::People;
use postgres::Postgres;

/// The whole campaign takes no longer, whatever hangs.
const LIMIT: Duration = Duration::from_mins(30);
/// Between two kills of servers.
const KILL_EVERY: Duration = Duration::from_secs(10);

/// What is broken how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    seed: Option<u64>,
    logs: usize,
    server_kills: usize,
    primary_kills: usize,
    /// Seconds for which NATS is cut, then away; 0 leaves it alone.
    nats_seconds: usize,
    /// Seconds for which a server is paused; 0 leaves it alone.
    pause_seconds: usize,
}

impl Plan {
    /// What a release is held to.
    const FULL: Self = Self {
        seed: None,
        logs: 12,
        server_kills: 9,
        primary_kills: 2,
        nats_seconds: 15,
        pause_seconds: 30,
    };
    /// One of the two that matter most.
    const SHORT: Self = Self {
        seed: None,
        logs: 6,
        server_kills: 1,
        primary_kills: 1,
        nats_seconds: 0,
        pause_seconds: 0,
    };

    /// The full plan, changed by `--short` and by flags with a number.
    pub(crate) fn parse(words: &[&str]) -> anyhow::Result<Self> {
        let short = |plan: &mut Self| {
            *plan = Self {
                seed: plan.seed,
                ..Self::SHORT
            }
        };
        planned(Self::FULL, words, short, |plan, flag, number| {
            match flag {
                "--seed" => plan.seed = Some(number as u64),
                "--logs" => plan.logs = number,
                "--server-kills" => plan.server_kills = number,
                "--primary-kills" => plan.primary_kills = number,
                "--nats-seconds" => plan.nats_seconds = number,
                "--pause-seconds" => plan.pause_seconds = number,
                _ => return false,
            }
            true
        })
    }

    fn replay_line(&self, seed: u64) -> String {
        format!(
            "cargo xtask cluster --seed {seed} --logs {} --server-kills {} --primary-kills {} \
             --nats-seconds {} --pause-seconds {}",
            self.logs, self.server_kills, self.primary_kills, self.nats_seconds, self.pause_seconds
        )
    }
}

/// Everything that runs. What is used by another goes first when this is dropped.
struct Cluster {
    nodes: Nodes,
    nats: Nats,
    postgres: Postgres,
}

/// Runs the campaign; fails, keeps its folder and says how to replay it when anything differs.
pub(crate) fn run(root: &Path, plan: Plan) -> anyhow::Result<()> {
    packages::install()?;
    let seed = plan.seed.unwrap_or_else(Chance::fresh_seed);
    in_folder(root, "cluster", &plan.replay_line(seed), |folder| {
        load::build(root, folder)?;
        campaign(plan, seed, folder)
    })
}

fn campaign(plan: Plan, seed: u64, folder: &Path) -> anyhow::Result<()> {
    let frame = Frame::new(LIMIT);
    let say = |what: &str| println!("    {:>4} s  {what}", frame.seconds());
    let postgres = Postgres::start(folder)?;
    say("PostgreSQL has a primary and a synchronous standby");
    let nats = Nats::start(folder)?;
    say("NATS has three nodes");
    let flags = (0..3).map(|own| {
        let (database, nats) = (postgres.url(), nats.url(own));
        ["--database", &database, "--nats", &nats]
            .map(str::to_owned)
            .to_vec()
    });
    let nodes = Nodes::start(folder, flags.collect(), postgres::PASSWORD)?;
    say("three servers listen");
    let mut cluster = Cluster {
        nodes,
        nats,
        postgres,
    };
    let people = People::meet(folder, &cluster.nodes)?;
    let mut load = Load::start(folder, seed, plan.logs, &cluster.nodes)?;
    let is_over = AtomicBool::new(false);
    let said = thread::scope(|scope| {
        let talk = scope.spawn(|| frame.noted(people.talk(&is_over), say));
        let broken = frame.noted(cluster.break_all(plan, seed, &mut load, &frame), say);
        is_over.store(true, Ordering::Relaxed);
        let said = join(talk);
        broken?;
        said
    })?;
    load.finish()?;
    people.agree(&said)?;
    cluster.nodes.stop()?;
    say("nothing lost, nothing twice, one order, each epoch once");
    Ok(())
}

impl Cluster {
    /// Breaks one thing after the other; each phase ends when every client has got through again.
    fn break_all(
        &mut self,
        plan: Plan,
        seed: u64,
        load: &mut Load,
        frame: &Frame,
    ) -> anyhow::Result<()> {
        let mut chance = Chance::new(seed, 0);
        load.end_phase("coming up")?;
        pause(KILL_EVERY);
        load.end_phase("quiet")?;
        for kill in 0..plan.server_kills {
            frame.go_on()?;
            let dark = chance.wait(2_000);
            self.nodes
                .kill_and_restart(kill % self.nodes.count(), dark)?;
            pause(KILL_EVERY.saturating_sub(dark));
            load.end_phase("server killed")?;
        }
        for _ in 0..plan.primary_kills {
            frame.go_on()?;
            pause(chance.wait(2_000));
            let old = self.postgres.kill_primary()?;
            let failover = self.postgres.wait_for_failover(old)?;
            load.end_phase("primary killed")?;
            let back = self.postgres.bring_back(old)?;
            println!(
                "    another primary after {} s, the old one follows {} s after its start",
                failover.as_secs(),
                back.as_secs()
            );
            load.end_phase("old primary comes back")?;
        }
        if plan.nats_seconds > 0 {
            let span = Duration::from_secs(plan.nats_seconds as u64);
            self.nats.cut(true)?;
            pause(span);
            load.end_phase("NATS nodes cut off from each other")?;
            self.nats.cut(false)?;
            self.nats.set_away(true)?;
            pause(span);
            load.end_phase("NATS away")?;
            self.nats.come_back()?;
            load.end_phase("NATS comes back")?;
        }
        if plan.pause_seconds > 0 {
            frame.go_on()?;
            let index = chance.below(self.nodes.count());
            let span = Duration::from_secs(plan.pause_seconds as u64);
            self.nodes
                .pause_one(index, span)
                .context("pausing a server")?;
            load.end_phase("server paused")?;
        }
        pause(KILL_EVERY);
        load.end_phase("quiet")
    }
}

#[cfg(test)]
mod tests {
    use super::Plan;

    /// The replay line asks for what was run, and what is no flag is refused.
    #[test]
    fn the_replay_line_replays() -> anyhow::Result<()> {
        for plan in [Plan::FULL, Plan::SHORT] {
            let line = plan.replay_line(7);
            let words: Vec<&str> = line.split(' ').skip(3).collect();
            assert_eq!(
                Plan::parse(&words)?,
                Plan {
                    seed: Some(7),
                    ..plan
                }
            );
        }
        assert_eq!(Plan::parse(&["--short"])?, Plan::SHORT);
        for words in [["--seed"].as_slice(), &["--seed", "x"], &["--sead", "7"]] {
            assert!(Plan::parse(words).is_err(), "{words:?}");
        }
        Ok(())
    }
}
