//! A program that runs: its rows as they come, its end, its death.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// No row and no end takes this long, however busy the machine is: above what catching up may take.
pub(crate) const PATIENCE: Duration = Duration::from_mins(11);

/// A running program; killed when dropped.
pub(crate) struct Process {
    shown: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

/// What a program left behind.
pub(crate) struct Ended {
    /// Exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    /// The lines that nobody took before.
    pub(crate) lines: Vec<String>,
}

impl Process {
    /// Starts `command`; what it says on standard error goes to the end of `log`, its words and rows to that of
    /// `log` with `.rows`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let open = |log: &Path| OpenOptions::new().create(true).append(true).open(log);
        let mut kept = open(&log.with_extension("rows"))?;
        let log = open(log)?;
        let words: Vec<_> = command
            .get_args()
            .map(|word| word.to_string_lossy())
            .collect();
        let shown = words.join(" ");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("`{shown}` did not start"))?;
        let id = child.id();
        writeln!(kept, "{id}: {shown}")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            // Ends with the program: a killed one may leave half a line, which is no line.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Nothing is decided by it: a full disk is told by the programs themselves.
                let _ = writeln!(kept, "{id}> {line}");
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            shown,
            stdin: child.stdin.take(),
            child,
            lines,
        })
    }

    /// Writes a line to the program; `false` when it does not read any more.
    pub(crate) fn write(&mut self, line: &str) -> bool {
        let written = self.stdin.as_mut().map(|stdin| writeln!(stdin, "{line}"));
        matches!(written, Some(Ok(())))
    }

    /// The next line, or none when the program has ended.
    pub(crate) fn next_line(&mut self) -> anyhow::Result<Option<String>> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                bail!("`{}` said nothing for {} s", self.shown, PATIENCE.as_secs())
            }
        }
    }

    /// A line that is here already.
    pub(crate) fn line_here(&self) -> Option<String> {
        self.lines.try_recv().ok()
    }

    /// Closes its input and waits for its end.
    pub(crate) fn finish(mut self) -> anyhow::Result<Ended> {
        self.stdin = None;
        let mut lines = Vec::new();
        while let Some(line) = self.next_line()? {
            lines.push(line);
        }
        let code = self.child.wait()?.code();
        Ok(Ended { code, lines })
    }

    /// Kills it with SIGKILL after `wait`; whether it still ran then, and what it had said.
    pub(crate) fn kill(mut self, wait: Duration) -> anyhow::Result<(bool, Ended)> {
        pause(wait);
        let was_alive = self.child.try_wait()?.is_none();
        self.child.kill()?;
        Ok((was_alive, self.finish()?))
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets `wait` pass.
pub(crate) fn pause(wait: Duration) {
    let end = Instant::now() + wait;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
}

/// The most memory that a process has had, in KiB; none when it has ended.
pub(crate) fn kib_of(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
