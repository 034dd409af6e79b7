//! The campaign's server: killed and started again on the same folder and port.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::process::{PATIENCE, Process, kib_of, pause};

/// A `conclave-server` on a port of its own.
pub(crate) struct Server {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    process: Option<Process>,
}

impl Server {
    /// Starts a server in `folder` on a free port of this machine.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        let mut server = Self {
            program: folder.join("conclave-server"),
            folder: folder.to_path_buf(),
            port: 0,
            process: None,
        };
        server.serve()?;
        Ok(server)
    }

    /// The address that clients need.
    pub(crate) fn address(&self) -> anyhow::Result<String> {
        let output = Command::new(&self.program)
            .args(["address", "--data-dir"])
            .arg(self.data())
            .output()?;
        let address = String::from_utf8(output.stdout)?.trim().to_owned();
        ensure!(
            address.starts_with("conclave://"),
            "`conclave-server address` printed no address"
        );
        Ok(address)
    }

    /// The code that the console sender printed for `identifier`.
    pub(crate) fn code_for(&mut self, identifier: &str) -> anyhow::Result<String> {
        let start = format!("OTP for {identifier}: ");
        let process = self.process.as_mut().context("the server does not run")?;
        loop {
            let line = process.next_line()?.context("the server has ended")?;
            if let Some(rest) = line.strip_prefix(&start) {
                let code = rest.split(' ').next().unwrap_or_default();
                return Ok(code.to_owned());
            }
        }
    }

    /// The most memory that it has had since it was started, in KiB.
    pub(crate) fn memory_kib(&self) -> anyhow::Result<u64> {
        let process = self.process.as_ref().context("the server does not run")?;
        kib_of(process.id()).context("the server has ended")
    }

    /// Kills it as a power cut does, and starts it again after `dark`.
    pub(crate) fn kill_and_restart(&mut self, dark: Duration) -> anyhow::Result<()> {
        let process = self.process.take().context("the server does not run")?;
        let (was_alive, ended) = process.kill(Duration::ZERO)?;
        ensure!(was_alive, "the server ended by itself: {:?}", ended.code);
        pause(dark);
        self.serve()
    }

    /// Stops it as an operator does, and has it check its store.
    pub(crate) fn stop_and_check(mut self) -> anyhow::Result<()> {
        let process = self.process.take().context("the server does not run")?;
        // The shell's own `kill`: a small system has no program of that name.
        Command::new("sh")
            .args(["-c", "kill -TERM \"$0\"", &process.id().to_string()])
            .status()?;
        let code = process.finish()?.code;
        ensure!(code == Some(0), "the server ended with {code:?}");
        let checked = Command::new(&self.program)
            .args(["check", "--data-dir"])
            .arg(self.data())
            .output()?;
        ensure!(
            checked.status.success(),
            "`conclave-server check` is not content: {}",
            String::from_utf8_lossy(&checked.stderr)
        );
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("server-data")
    }

    /// Starts it and waits until it listens; the first time on any free port.
    fn serve(&mut self) -> anyhow::Result<()> {
        let log = self.folder.join("server.log");
        let said_before = fs::read_to_string(&log).unwrap_or_default().len();
        let mut command = Command::new(&self.program);
        command
            .args(["serve", "--otp", "console", "--registration", "open"])
            .arg("--data-dir")
            .arg(self.data())
            .arg("--listen")
            .arg(format!("127.0.0.1:{}", self.port));
        self.process = Some(Process::start(&mut command, &log)?);
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let log = fs::read_to_string(&log)?;
            let said = log.get(said_before..).unwrap_or_default();
            let address = said
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'))
                .find_map(|line| line.strip_prefix("listening on "));
            if let Some(address) = address {
                let address = address.split_whitespace().next().unwrap_or_default();
                let port = address.rsplit(':').next().unwrap_or_default();
                self.port = port.parse().context("the server names no port")?;
                return Ok(());
            }
            pause(Duration::from_millis(10));
        }
        bail!("the server did not listen; see {}", log.display())
    }
}
