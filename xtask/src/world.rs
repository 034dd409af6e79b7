//! `cargo xtask world`: five people with up to three devices each do what people do, and agree in the end.
//!
//! 1. build both programs, start a server, register five people, make contacts and groups
//! 2. each person's thread sends, adds, removes, leaves, links, unlinks, rotates keys, leaves devices off for a
//!    while, and has programs killed at moments that the seed picks
//! 3. after every so many operations all rest: the devices of each group agree on members, epoch, authenticator
//!    and order, every accepted text is where it must be, and removed devices read nothing after the commit that
//!    removed them

mod check;
mod ledger;
mod life;
mod people;
mod verdict;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::campaign::{Chance, Ended, Frame, Process, Server, Turns, in_folder, join, planned};
use ledger::{Interrupted, Stage};
use life::Life;
use people::Human;

const NAMES: [&str; 5] = ["anna", "ben", "cleo", "dora", "emil"];
/// The whole campaign takes no longer, whatever hangs.
const LIMIT: Duration = Duration::from_hours(3);
/// Operations after which everybody rests and is compared.
const STAGE: usize = 250;

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    seed: Option<u64>,
    operations: usize,
}

impl Plan {
    /// What a release is held to.
    const FULL: Self = Self {
        seed: None,
        operations: 2_000,
    };
    /// A minute's worth.
    pub(crate) const SHORT: Self = Self {
        seed: Some(5),
        operations: 80,
    };

    /// The full plan, changed by `--short`, `--seed N`, `--operations N`.
    pub(crate) fn parse(words: &[&str]) -> anyhow::Result<Self> {
        let short = |plan: &mut Self| plan.operations = Self::SHORT.operations;
        planned(Self::FULL, words, short, |plan, flag, number| {
            match flag {
                "--seed" => plan.seed = Some(number as u64),
                "--operations" => plan.operations = number,
                _ => return false,
            }
            true
        })
    }

    fn replay_line(&self, seed: u64) -> String {
        let operations = self.operations;
        format!("cargo xtask world --seed {seed} --operations {operations}")
    }
}

/// What all threads share.
pub(crate) struct World {
    frame: Frame,
    address: String,
    turns: Turns,
    done: AtomicUsize,
    kills: AtomicUsize,
    /// Who was, as far as commands tell, not in a group all the time in this stage.
    interrupted: Mutex<Interrupted>,
}

impl World {
    fn say(&self, what: &str) {
        println!(
            "    {:>4} s  {:>5} operations, {:>3} kills  {what}",
            self.frame.seconds(),
            self.done.load(Ordering::Relaxed),
            self.kills.load(Ordering::Relaxed),
        );
    }

    /// From here on the person is not known to have been in the group all the time.
    fn interrupt(&self, who: usize, group: &'static str) -> anyhow::Result<()> {
        let name = NAMES.get(who).context("nobody there")?;
        let mut interrupted = self.interrupted.lock();
        let Ok(interrupted) = &mut interrupted else {
            bail!("a part panicked");
        };
        interrupted.insert((*name, group));
        Ok(())
    }

    fn take_interrupted(&self) -> anyhow::Result<Interrupted> {
        let mut interrupted = self.interrupted.lock();
        let Ok(interrupted) = &mut interrupted else {
            bail!("a part panicked");
        };
        Ok(std::mem::take(interrupted))
    }

    /// Waits for a program's end, or kills it after `doom`; none when that found it alive.
    fn outlive(&self, process: Process, doom: Option<Duration>) -> anyhow::Result<Option<Ended>> {
        let Some(wait) = doom else {
            return Ok(Some(process.finish()?));
        };
        let (was_alive, ended) = process.kill(wait)?;
        if was_alive {
            self.kills.fetch_add(1, Ordering::Relaxed);
        }
        Ok((!was_alive).then_some(ended))
    }
}

/// Runs the campaign; fails, keeps its folder and says how to replay it when anything differs.
pub(crate) fn run(root: &Path, plan: Plan) -> anyhow::Result<()> {
    let seed = plan.seed.unwrap_or_else(Chance::fresh_seed);
    let replay = plan.replay_line(seed);
    in_folder(root, "world", &replay, |folder| {
        campaign(seed, plan, folder)
    })
}

fn campaign(seed: u64, plan: Plan, folder: &Path) -> anyhow::Result<()> {
    let mut server = Server::start(folder)?;
    let world = World {
        frame: Frame::new(LIMIT),
        address: server.address()?,
        turns: Turns::new(),
        done: AtomicUsize::new(0),
        kills: AtomicUsize::new(0),
        interrupted: Mutex::default(),
    };
    let mut humans = Vec::new();
    for own in 0..NAMES.len() {
        humans.push(Human::register(folder, seed, own, &mut server)?);
    }
    people::meet(&humans)?;
    let mut stages = Vec::new();
    verdict::reach(&world, &humans, &mut stages, Stage::default(), false)?;
    let mut left = plan.operations;
    while left > 0 {
        let operations = left.min(STAGE);
        left -= operations;
        let number = stages.len();
        live(&world, &mut humans, (number, operations), folder)?;
        world.say("all rest");
        for human in &mut humans {
            human.count_devices()?;
        }
        let sent = humans.iter().flat_map(|human| &human.sent);
        let stage = Stage::of(number, world.take_interrupted()?, sent);
        verdict::reach(&world, &humans, &mut stages, stage, left == 0)?;
    }
    server.stop_and_check()?;
    world.say("all groups agree, none lost, none twice");
    Ok(())
}

/// Everybody does their share of the stage's operations.
fn live(
    world: &World,
    humans: &mut [Human],
    (stage, operations): (usize, usize),
    folder: &Path,
) -> anyhow::Result<()> {
    let share = |own: usize| (operations + own) / NAMES.len();
    thread::scope(|scope| {
        let lives = humans.iter_mut().enumerate().map(|(own, human)| {
            let life = Life::new(world, human, (own, stage), folder);
            let say = |text: &str| world.say(text);
            scope.spawn(move || world.frame.noted(life.run(share(own)), say))
        });
        let lives: Vec<_> = lives.collect();
        let ends = lives.into_iter().map(join);
        // All have ended before the first failure is told.
        let ends: Vec<anyhow::Result<()>> = ends.collect();
        ends.into_iter().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::Plan;

    /// The replay line asks for what was run, and what is no flag is refused.
    #[test]
    fn the_replay_line_replays() -> anyhow::Result<()> {
        assert_eq!(Plan::parse(&[])?, Plan::FULL);
        let line = Plan::SHORT.replay_line(5);
        let words: Vec<&str> = line.split(' ').skip(3).collect();
        assert_eq!(Plan::parse(&words)?, Plan::SHORT);
        for words in [["--seed"].as_slice(), &["--seed", "x"], &["--sead", "7"]] {
            assert!(Plan::parse(words).is_err(), "{words:?}");
        }
        Ok(())
    }
}
