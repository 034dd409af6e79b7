//! Drives the load program: ends its phases, keeps their rows, reads its verdict.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::nodes::Nodes;
use super::packages::guarded;
use crate::campaign::{Process, parse, text};
use crate::step::{OpenSsl, cargo, succeed};

/// The running load.
pub(super) struct Load {
    process: Process,
    rows: Vec<Value>,
}

/// Builds the load program into `folder`.
pub(super) fn build(root: &Path, folder: &Path) -> anyhow::Result<()> {
    let words = ["build", "--locked", "-p", "conclave-bench"];
    succeed(cargo(root, OpenSsl::find()?).args(words))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let built = root.join(target).join("debug/conclave-bench");
    fs::copy(built, folder.join("conclave-bench"))?;
    Ok(())
}

impl Load {
    /// Starts it on all nodes.
    pub(super) fn start(
        folder: &Path,
        seed: u64,
        logs: usize,
        nodes: &Nodes,
    ) -> anyhow::Result<Self> {
        let mut command = guarded(&folder.join("conclave-bench").to_string_lossy(), None);
        command
            .args(["cluster", &seed.to_string(), &logs.to_string()])
            .arg(nodes.data(0))
            .args(nodes.addresses());
        Ok(Self {
            process: Process::start(&mut command, &folder.join("load.log"))?,
            rows: Vec::new(),
        })
    }

    /// Ends the phase, once every client has got through again.
    pub(super) fn end_phase(&mut self, name: &str) -> anyhow::Result<()> {
        let gone = "the load has ended; see load.log";
        ensure!(self.process.write(name), gone);
        let row = parse(&self.process.next_line()?.context(gone)?)?;
        ensure!(text(&row, "phase") == name, "{row}");
        println!("    {}", line(&row));
        self.rows.push(row);
        Ok(())
    }

    /// Ends the load: the table of all phases and the verdict; fails when anything is wrong.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let ended = self.process.finish()?;
        println!("\n{}\n", table(&self.rows));
        for line in &ended.lines {
            println!("    {line}");
        }
        ensure!(ended.code == Some(0), "the load found faults; see load.log");
        Ok(())
    }
}

fn number(row: &Value, name: &str) -> u64 {
    row.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn line(row: &Value) -> String {
    format!(
        "{}: {} writes, {} reads; nobody wrote for {} ms, nobody read for {} ms",
        text(row, "phase"),
        number(row, "writes"),
        number(row, "reads"),
        number(row, "write_gap_ms"),
        number(row, "read_gap_ms"),
    )
}

/// What stood still for how long, in seconds, as Markdown; equal phases are one row with the worst of them.
fn table(rows: &[Value]) -> String {
    let columns = [
        "write_gap_ms",
        "write_wait_ms",
        "read_gap_ms",
        "read_wait_ms",
    ];
    let mut merged: Vec<(&str, u64, [u64; 4])> = Vec::new();
    for row in rows {
        let name = text(row, "phase");
        let figures = columns.map(|column| number(row, column));
        match merged.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, times, worst)) => {
                *times += 1;
                for (worst, figure) in worst.iter_mut().zip(figures) {
                    *worst = figure.max(*worst);
                }
            }
            None => merged.push((name, 1, figures)),
        }
    }
    let head = "| phase | times | nobody wrote | slowest write | nobody read | slowest read |";
    let mut lines = vec![head.to_owned(), "|---|---|---|---|---|---|".to_owned()];
    for (name, times, figures) in merged {
        let figures = figures.map(|ms| format!("{}.{} s", ms / 1000, ms % 1000 / 100));
        lines.push(format!("| {name} | {times} | {} |", figures.join(" | ")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::table;

    /// Phases of one name are one row with their worst figures.
    #[test]
    fn equal_phases_are_one_row() {
        let row = |gap| json!({"phase": "kill", "write_gap_ms": gap, "read_wait_ms": 50});
        let text = table(&[row(1_250), row(900)]);
        assert!(
            text.ends_with("| kill | 2 | 1.2 s | 0.0 s | 0.0 s | 0.0 s |"),
            "{text}"
        );
    }
}
