//! `cargo xtask sim`: builds the simulator and shares the seeds between as many processes as there are cores.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context, bail};

use crate::step::{OpenSsl, cargo, succeed};

/// Seeds that every change is held to.
const CI_SEEDS: std::ops::Range<u64> = 0..500;
/// Processes at once, however many cores there are.
const PROCESSES_MAX: usize = 8;

/// Runs what the flags say: `--seed N`, `--seeds A..B` or `--minutes M`, and `--steps N`, `--trace`.
pub(crate) fn run(root: &Path, flags: &[&str]) -> anyhow::Result<()> {
    let program = build(root)?;
    let Some(at) = flags.iter().position(|flag| *flag == "--seeds") else {
        return succeed(Command::new(&program).args(flags));
    };
    let range = flags.get(at + 1).context("--seeds wants A..B")?;
    let (from, to) = range.split_once("..").context("--seeds wants A..B")?;
    let mut others = flags.to_vec();
    others.drain(at..=at + 1);
    share(&program, from.parse()?..to.parse()?, &others)
}

/// The fixed seeds.
pub(crate) fn fixed(root: &Path) -> anyhow::Result<()> {
    let program = build(root)?;
    share(&program, CI_SEEDS, &[])
}

/// Every process gets a part; all are waited for, also when one fails.
fn share(program: &Path, seeds: std::ops::Range<u64>, flags: &[&str]) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut running: Vec<Child> = Vec::new();
    for part in parts(seeds, cores.min(PROCESSES_MAX) as u64) {
        let mut command = Command::new(program);
        let range = format!("{}..{}", part.start, part.end);
        let started = command.args(["--seeds", &range]).args(flags).spawn();
        running.push(started.context("the simulator does not start")?);
    }
    let mut failed = 0;
    for mut process in running {
        failed += usize::from(!process.wait()?.success());
    }
    if failed > 0 {
        bail!("promises were broken; each line above says how to see it again");
    }
    Ok(())
}

/// Cuts a range into at most so many parts of about the same length.
fn parts(seeds: std::ops::Range<u64>, count: u64) -> Vec<std::ops::Range<u64>> {
    let length = seeds.end.saturating_sub(seeds.start).div_ceil(count.max(1));
    let mut parts = Vec::new();
    let mut from = seeds.start;
    while from < seeds.end {
        let to = seeds.end.min(from + length);
        parts.push(from..to);
        from = to;
    }
    parts
}

fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let words = ["build", "--locked", "-p", "conclave-sim"];
    succeed(cargo(root, OpenSsl::find()?).args(words))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(root.join(target).join("debug").join("conclave-sim"))
}

#[cfg(test)]
mod tests {
    use super::parts;

    /// Every seed is in one part, and no part is empty.
    #[test]
    fn parts_cover_the_seeds() {
        for (seeds, count) in [(0..500, 2), (3..4, 2), (0..7, 3), (5..5, 4)] {
            let parts = parts(seeds.clone(), count);
            assert!(parts.len() as u64 <= count && parts.iter().all(|part| !part.is_empty()));
            let all: Vec<u64> = parts.into_iter().flatten().collect();
            assert_eq!(all, seeds.collect::<Vec<_>>());
        }
    }
}
