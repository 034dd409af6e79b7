//! How often a program syncs its files, seen from outside: `strace` counts the system calls.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use tempfile::NamedTempFile;

/// Calls that write to the disk before they return.
const CALLS: &str = "trace=fsync,fdatasync,msync,sync_file_range,sync,syncfs";

/// A count that runs.
pub(crate) struct Counting {
    tracer: Child,
    lines: NamedTempFile,
}

impl Counting {
    /// Counts from now on what the process `pid` and all its threads do.
    pub(crate) fn begin(pid: u32) -> anyhow::Result<Self> {
        let lines = NamedTempFile::new()?;
        let mut tracer = Command::new("strace")
            .args(["-f", "-e", CALLS, "-o"])
            .arg(lines.path())
            .args(["-p", &pid.to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .context("strace does not start; install it")?;
        let stderr = tracer.stderr.take().context("no standard error")?;
        let mut said = BufReader::new(stderr).lines();
        let first = said.next().context("strace says nothing")??;
        ensure!(first.contains(" attached"), "strace cannot attach: {first}");
        // what it says of further threads is read off, so that it never waits
        std::thread::spawn(move || said.for_each(drop));
        Ok(Self { tracer, lines })
    }

    /// How many there were.
    pub(crate) fn end(mut self) -> anyhow::Result<f64> {
        let pid = self.tracer.id().to_string();
        let ended = Command::new("kill").args(["-INT", &pid]).status()?;
        ensure!(ended.success(), "strace cannot be stopped");
        self.tracer.wait()?;
        let lines = std::fs::read_to_string(self.lines.path())?;
        let calls = lines
            .lines()
            .filter(|line| line.contains("sync") && !line.contains("resumed"));
        Ok(f64::from(u32::try_from(calls.count())?))
    }
}
