//! `cargo xtask world`: five people with up to three devices each do what people do, and agree in the end.
//!
//! 1. build both programs, start a server, register five people, make contacts and groups
//! 2. each person's thread sends, adds, removes, leaves, links, unlinks, rotates keys, goes away for a
//!    while, and has programs killed at moments that the seed picks
//! 3. when all is quiet: the devices of each group agree on members, epoch, authenticator and order, every
//!    accepted text is where it must be, and removed devices read nothing after the commit that removed them

mod life;
mod people;
mod verdict;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::campaign::{Chance, Server, build};
use life::Life;
use people::{GROUPS, Human, Interrupted, Sent};

const NAMES: [&str; 5] = ["anna", "ben", "cleo", "dora", "emil"];
/// The whole campaign takes no longer, whatever hangs.
const LIMIT: Duration = Duration::from_hours(1);

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
    /// What every change is held to.
    pub(crate) const SHORT: Self = Self {
        seed: Some(5),
        operations: 100,
    };

    /// The full plan, changed by `--short`, `--seed N`, `--operations N`.
    pub(crate) fn parse(words: &[&str]) -> anyhow::Result<Self> {
        let mut plan = Self::FULL;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if *word == "--short" {
                plan.operations = Self::SHORT.operations;
                continue;
            }
            let number = words
                .next()
                .with_context(|| format!("{word} wants a number"))?;
            let number: usize = number.parse().with_context(|| format!("{word} {number}"))?;
            match *word {
                "--seed" => plan.seed = Some(number as u64),
                "--operations" => plan.operations = number,
                _ => bail!("no such flag: {word}"),
            }
        }
        Ok(plan)
    }
}

/// What all threads share.
pub(crate) struct World {
    seed: u64,
    start: Instant,
    address: String,
    done: AtomicUsize,
    kills: AtomicUsize,
    has_failed: AtomicBool,
    /// Who was, as far as commands tell, not in a group all the time.
    interrupted: Mutex<Interrupted>,
}

impl World {
    fn go_on(&self) -> anyhow::Result<()> {
        let is_whole = !self.has_failed.load(Ordering::Relaxed);
        ensure!(is_whole, "another part failed first");
        let is_in_time = self.start.elapsed() < LIMIT;
        ensure!(is_in_time, "not done after {} min", LIMIT.as_secs() / 60);
        Ok(())
    }

    fn say(&self, what: &str) {
        println!(
            "    {:>4} s  {:>5} operations, {:>3} kills  {what}",
            self.start.elapsed().as_secs(),
            self.done.load(Ordering::Relaxed),
            self.kills.load(Ordering::Relaxed),
        );
    }

    /// Remembers a failure, so that the other parts end too.
    fn noted<T>(&self, result: anyhow::Result<T>) -> anyhow::Result<T> {
        if let Err(error) = &result
            && !self.has_failed.swap(true, Ordering::Relaxed)
        {
            self.say(&format!("failed: {error:#}"));
        }
        result
    }
}

/// Runs the campaign; fails, keeps its folder and says how to replay it when anything differs.
pub(crate) fn run(root: &Path, plan: Plan) -> anyhow::Result<()> {
    let seed = plan.seed.unwrap_or_else(Chance::fresh_seed);
    let line = format!(
        "cargo xtask world --seed {seed} --operations {}",
        plan.operations
    );
    println!("    {line}");
    let folder = std::env::temp_dir().join(format!("conclave-world-{}", std::process::id()));
    std::fs::create_dir(&folder)
        .with_context(|| format!("{} could not be made", folder.display()))?;
    build(root, &folder)?;
    campaign(seed, plan, &folder).with_context(|| {
        let folder = folder.display();
        format!("the campaign failed; its folder is kept: {folder}; replay: {line}")
    })?;
    std::fs::remove_dir_all(&folder).context("the temporary folder could not be removed")
}

fn campaign(seed: u64, plan: Plan, folder: &Path) -> anyhow::Result<()> {
    let mut server = Server::start(folder)?;
    let world = World {
        seed,
        start: Instant::now(),
        address: server.address()?,
        done: AtomicUsize::new(0),
        kills: AtomicUsize::new(0),
        has_failed: AtomicBool::new(false),
        interrupted: Mutex::default(),
    };
    let mut humans = Vec::new();
    for name in NAMES {
        humans.push(Human::register(folder, name, &mut server)?);
    }
    people::meet(&humans)?;
    world.say("everybody is in every group");
    let share = |own: usize| (plan.operations + own) / NAMES.len();
    let sent: anyhow::Result<Vec<Vec<Sent>>> = thread::scope(|scope| {
        let world = &world;
        let lives: Vec<_> = humans
            .iter_mut()
            .enumerate()
            .map(|(own, human)| {
                let life = Life::new(world, human, own, folder);
                scope.spawn(move || world.noted(life.run(share(own))))
            })
            .collect();
        lives
            .into_iter()
            .map(|life| life.join().unwrap_or_else(|_| bail!("a part panicked")))
            .collect()
    });
    let sent = sent?;
    world.say("everything was done; now everybody catches up");
    verdict::reach(&world, &humans, &sent)?;
    server.stop_and_check()?;
    let groups = GROUPS.len();
    world.say(&format!("{groups} groups agree, none lost, none twice"));
    Ok(())
}
