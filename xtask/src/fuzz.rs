//! `cargo xtask fuzz`: gives every target of `conclave-fuzz` to libFuzzer, one after the other.
//!
//! Needs no tool but cargo and a C++ compiler: the flags that make a build coverage-guided are stable ones.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::step::{OpenSsl, cargo, succeed};

/// Runs of each target unless told otherwise.
const RUNS: u64 = 1_000_000;
/// Files that a minimised corpus keeps of each target.
const CORPUS_FILES_MAX: usize = 48;
/// What the compiler adds so that libFuzzer sees which way an input went.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=16";

/// What was asked on the command line.
struct Asked {
    targets: Vec<String>,
    runs: u64,
    keep: bool,
}

/// Runs the targets named (all of them when none is) and prints a line for each; fails when one crashed.
pub(crate) fn run(root: &Path, words: &[&str]) -> anyhow::Result<()> {
    let asked = parse(words, &targets(root)?)?;
    let fuzzer = Fuzzer::build(root)?;
    println!(
        "{:<16} {:>10} {:>9} {:>8}",
        "target", "runs", "runs/s", "crashes"
    );
    let mut crashed = Vec::new();
    for target in &asked.targets {
        let result = fuzzer.search(target, asked.runs)?;
        println!("{target:<16} {result}");
        if result.crashes > 0 {
            crashed.push(target.as_str());
        }
        if asked.keep {
            fuzzer.keep(target)?;
        }
    }
    if crashed.is_empty() {
        return Ok(());
    }
    bail!(
        "crashed: {}; the inputs lie in {}: mend what they show and copy them to fuzz/corpus",
        crashed.join(" "),
        fuzzer.work.display()
    )
}

/// The names in `crates/conclave-fuzz/src/target.rs`'s table.
pub(crate) fn targets(root: &Path) -> anyhow::Result<Vec<String>> {
    let table = root.join("crates/conclave-fuzz/src/target.rs");
    let text = fs::read_to_string(&table).with_context(|| format!("{}", table.display()))?;
    Ok(names(&text))
}

fn names(table: &str) -> Vec<String> {
    table
        .split("entry(")
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split_once('"'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn parse(words: &[&str], known: &[String]) -> anyhow::Result<Asked> {
    let mut asked = Asked {
        targets: Vec::new(),
        runs: RUNS,
        keep: false,
    };
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        match word {
            "--keep" => asked.keep = true,
            "--runs" => {
                let number = words.next().context("--runs wants a number")?;
                asked.runs = number.parse().context("--runs wants a number")?;
            }
            name if known.iter().any(|known| known == name) => asked.targets.push(name.to_owned()),
            other => bail!("no such target: {other}; there are {}", known.join(" ")),
        }
    }
    if asked.targets.is_empty() {
        asked.targets = known.to_vec();
    }
    Ok(asked)
}

/// The built program and where it works.
struct Fuzzer {
    program: PathBuf,
    corpora: PathBuf,
    work: PathBuf,
}

/// How a search ended.
struct Found {
    runs: u64,
    per_second: u64,
    crashes: usize,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>10} {:>9} {:>8}",
            self.runs, self.per_second, self.crashes
        )
    }
}

impl Fuzzer {
    fn build(root: &Path) -> anyhow::Result<Self> {
        let triple = host()?;
        let built = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => PathBuf::from(folder).join("fuzz"),
            None => root.join("target/fuzz"),
        };
        succeed(
            cargo(&root.join("fuzz"), OpenSsl::find()?)
                .env("RUSTFLAGS", COVERAGE)
                .env("CARGO_TARGET_DIR", &built)
                .args(["build", "--release", "--target", &triple]),
        )?;
        Ok(Self {
            program: built.join(triple).join("release/conclave-fuzz-run"),
            corpora: root.join("fuzz/corpus"),
            work: built.join("found"),
        })
    }

    fn command(&self, target: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("CONCLAVE_FUZZ_TARGET", target)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// New inputs go to a folder of their own, the committed ones are only read.
    fn search(&self, target: &str, runs: u64) -> anyhow::Result<Found> {
        let fresh = self.work.join(target).join("corpus");
        let crashes = self.work.join(target).join("crashes");
        // what an earlier search left was mended or is found again
        if crashes.exists() {
            fs::remove_dir_all(&crashes)?;
        }
        for folder in [&fresh, &crashes] {
            fs::create_dir_all(folder)?;
        }
        let output = self
            .command(target)
            .arg(format!("-runs={runs}"))
            .arg(format!("-artifact_prefix={}/", crashes.display()))
            .args(["-print_final_stats=1", "-timeout=30", "-rss_limit_mb=4096"])
            .arg(&fresh)
            .arg(self.corpora.join(target))
            .stderr(Stdio::piped())
            .output()
            .context("the fuzz program did not start")?;
        let log = String::from_utf8_lossy(&output.stderr);
        fs::write(self.work.join(target).join("log"), log.as_bytes())?;
        let crashes = fs::read_dir(&crashes)?.count();
        if !output.status.success() && crashes == 0 {
            bail!(
                "{target} ended with {} and no input to show for it",
                output.status
            );
        }
        Ok(Found {
            runs: stat(&log, "stat::number_of_executed_units:"),
            per_second: stat(&log, "stat::average_exec_per_sec:"),
            crashes,
        })
    }

    /// Merges what was found into the committed corpus: the fewest and smallest inputs that go every way.
    fn keep(&self, target: &str) -> anyhow::Result<()> {
        let merged = self.work.join(target).join("merged");
        let _ = fs::remove_dir_all(&merged);
        fs::create_dir_all(&merged)?;
        let status = self
            .command(target)
            .arg("-merge=1")
            .arg(&merged)
            .arg(self.corpora.join(target))
            .arg(self.work.join(target).join("corpus"))
            .stderr(Stdio::null())
            .status()?;
        if !status.success() {
            bail!("merging the corpus of {target} ended with {status}");
        }
        let mut files: Vec<(u64, PathBuf)> = Vec::new();
        for file in fs::read_dir(&merged)? {
            let file = file?;
            files.push((file.metadata()?.len(), file.path()));
        }
        files.sort();
        let corpus = self.corpora.join(target);
        for (_, file) in files.iter().take(CORPUS_FILES_MAX) {
            let name = file.file_name().context("a merged file has a name")?;
            let name: String = name.to_string_lossy().chars().take(16).collect();
            fs::copy(file, corpus.join(name))?;
        }
        Ok(())
    }
}

/// The number behind `key` in libFuzzer's last lines; 0 when it never said.
fn stat(log: &str, key: &str) -> u64 {
    log.lines()
        .filter_map(|line| line.strip_prefix(key)?.trim().parse().ok())
        .next_back()
        .unwrap_or(0)
}

/// This machine's target triple: naming it keeps the coverage flags away from build scripts.
fn host() -> anyhow::Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("rustc does not say its host")
}

#[cfg(test)]
mod tests {
    use super::{names, parse, stat};

    /// The table's names are found however it is laid out.
    #[test]
    fn reads_the_table() {
        let table = "const fn entry(name: x)\n entry(\"a\", b, c),\n entry(\n  \"d_e\",\n f)";
        assert_eq!(names(table), ["a", "d_e"]);
    }

    /// Targets and runs are taken, anything else is refused.
    #[test]
    fn reads_what_is_asked() {
        let known = ["a".to_owned(), "b".to_owned()];
        let asked = parse(&["b", "--runs", "5"], &known).unwrap();
        assert_eq!((asked.targets, asked.runs), (vec!["b".to_owned()], 5));
        assert_eq!(parse(&[], &known).unwrap().targets, known);
        assert!(parse(&["c"], &known).is_err());
        assert!(parse(&["--runs"], &known).is_err());
    }

    /// The numbers are those of libFuzzer's last words.
    #[test]
    fn reads_final_stats() {
        let log =
            "INFO: x\nstat::number_of_executed_units: 1000\nstat::average_exec_per_sec:     250\n";
        assert_eq!(stat(log, "stat::number_of_executed_units:"), 1000);
        assert_eq!(stat(log, "stat::average_exec_per_sec:"), 250);
        assert_eq!(stat("", "stat::average_exec_per_sec:"), 0);
    }
}
