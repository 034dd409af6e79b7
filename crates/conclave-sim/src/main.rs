//! `conclave-sim`: runs worlds, one after the other, and says how to run one again that failed.
#![expect(
    clippy::print_stdout,
    reason = "a chore's output is for the person who runs it"
)]

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use conclave_sim::{Plan, run};

const USAGE: &str = "\
usage: conclave-sim --seed N | --seeds A..B | --minutes M [--steps N] [--trace]";

/// What was asked for.
struct Asked {
    seeds: Option<std::ops::Range<u64>>,
    minutes: Option<u64>,
    steps: u64,
    trace: bool,
}

fn main() -> anyhow::Result<()> {
    run_all(&asked()?)
}

fn asked() -> anyhow::Result<Asked> {
    let mut asked = Asked {
        seeds: None,
        minutes: None,
        steps: Plan::STEPS,
        trace: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().context(USAGE);
        match word.as_str() {
            "--trace" => asked.trace = true,
            "--seed" => {
                let seed = value()?.parse()?;
                asked.seeds = Some(seed..seed + 1);
            }
            "--seeds" => {
                let value = value()?;
                let (from, to) = value.split_once("..").context("seeds are A..B")?;
                asked.seeds = Some(from.parse()?..to.parse()?);
            }
            "--minutes" => asked.minutes = Some(value()?.parse()?),
            "--steps" => asked.steps = value()?.parse()?,
            _ => bail!("no such flag: {word}\n{USAGE}"),
        }
    }
    Ok(asked)
}

fn run_all(asked: &Asked) -> anyhow::Result<()> {
    let begin = Instant::now();
    let limit = asked.minutes.map(Duration::from_mins);
    let (mut worlds, mut texts, mut failed) = (0, 0, 0);
    let others = limit.map_or(0..1, |_| 1_000..u64::MAX);
    for seed in asked.seeds.clone().unwrap_or(others) {
        if limit.is_some_and(|limit| begin.elapsed() >= limit) {
            break;
        }
        let steps = asked.steps;
        let plan = Plan { seed, steps };
        worlds += 1;
        let trace = match run(&plan) {
            Ok(report) => {
                texts += report.texts;
                report.trace
            }
            Err(failure) => {
                failed += 1;
                println!("    seed {seed}: {failure}");
                failure.trace
            }
        };
        if asked.trace {
            // whoever stops reading has read enough
            let _ = writeln!(std::io::stdout(), "{}", trace.join("\n"));
        }
    }
    println!(
        "    {worlds} worlds, {texts} texts, {} s",
        begin.elapsed().as_secs()
    );
    if failed > 0 {
        bail!("{failed} of {worlds} worlds failed");
    }
    Ok(())
}
