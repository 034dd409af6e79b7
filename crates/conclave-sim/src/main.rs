//! `conclave-sim`: runs worlds, one after the other, and says how to run one again that failed.
#![expect(
    clippy::print_stdout,
    reason = "a chore's output is for the person who runs it"
)]

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use conclave_sim::{Plan, run};

const USAGE: &str = "\
usage: conclave-sim --seed N | --seeds A..B | --minutes M [--steps N] [--trace]";

/// What was asked for.
struct Asked {
    seeds: std::ops::Range<u64>,
    minutes: Option<u64>,
    steps: u64,
    trace: bool,
}

fn main() -> ExitCode {
    match asked().and_then(|asked| run_all(&asked)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn asked() -> anyhow::Result<Asked> {
    let mut asked = Asked {
        seeds: 0..1,
        minutes: None,
        steps: Plan::STEPS,
        trace: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--trace" {
            asked.trace = true;
            continue;
        }
        let value = words
            .next()
            .with_context(|| format!("{word} wants a value\n{USAGE}"))?;
        let number = |text: &str| -> anyhow::Result<u64> {
            text.parse().with_context(|| format!("{word} {text}"))
        };
        match word.as_str() {
            "--seed" => asked.seeds = number(&value)?..number(&value)? + 1,
            "--seeds" => {
                let (from, to) = value.split_once("..").context("seeds are A..B")?;
                asked.seeds = number(from)?..number(to)?;
            }
            "--minutes" => asked.minutes = Some(number(&value)?),
            "--steps" => asked.steps = number(&value)?,
            _ => bail!("no such flag: {word}\n{USAGE}"),
        }
    }
    if asked.minutes.is_some() && asked.seeds == (0..1) {
        asked.seeds = 1_000..u64::MAX;
    }
    Ok(asked)
}

fn run_all(asked: &Asked) -> anyhow::Result<()> {
    let begin = Instant::now();
    let limit = asked.minutes.map(Duration::from_mins);
    let (mut worlds, mut texts, mut failed) = (0, 0, 0);
    for seed in asked.seeds.clone() {
        if limit.is_some_and(|limit| begin.elapsed() >= limit) {
            break;
        }
        let plan = Plan {
            seed,
            steps: asked.steps,
        };
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
