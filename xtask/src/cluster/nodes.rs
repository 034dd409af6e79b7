//! The servers: several processes on one database with the same keys, and a door that leads to any of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::door::Door;
use super::machine::{ports, signal, until};
use super::packages::guarded;
use crate::campaign::{Process, pause};
use crate::step::succeed;

/// A start takes no longer.
const LIMIT: Duration = Duration::from_mins(1);
/// What all nodes share beside the database: who they are.
const KEYS: [&str; 5] = [
    "root.pem",
    "root-key.pem",
    "leaf-key.pem",
    "chain.pem",
    "pepper",
];

/// The servers.
pub(super) struct Nodes {
    program: PathBuf,
    folder: PathBuf,
    /// Of the database; the environment brings it, because others can read command lines.
    password: &'static str,
    all: Vec<Node>,
    /// Where people come in.
    pub(super) door: Door,
}

struct Node {
    port: u16,
    /// Flags of its own beside folder and port.
    flags: Vec<String>,
    process: Option<Process>,
}

impl Nodes {
    /// Makes keys once, gives them to each, and starts as many nodes as there are `flags`.
    pub(super) fn start(
        folder: &Path,
        flags: Vec<Vec<String>>,
        password: &'static str,
    ) -> anyhow::Result<Self> {
        let free: [u16; 3] = ports()?;
        let nodes: Vec<Node> = free
            .into_iter()
            .zip(flags)
            .map(|(port, flags)| Node {
                port,
                flags,
                process: None,
            })
            .collect();
        let door = Door::open(nodes.iter().map(|node| node.port).collect())?;
        let mut servers = Self {
            program: folder.join("conclave-server"),
            folder: folder.to_owned(),
            password,
            all: nodes,
            door,
        };
        let first = servers.data(0);
        succeed(
            Command::new(&servers.program)
                .arg("init")
                .arg("--data-dir")
                .arg(&first),
        )?;
        for index in 1..servers.all.len() {
            let data = servers.data(index);
            succeed(Command::new("mkdir").args(["-m", "700"]).arg(&data))?;
            for key in KEYS {
                fs::copy(first.join(key), data.join(key)).with_context(|| key.to_owned())?;
            }
        }
        for index in 0..servers.all.len() {
            servers.serve(index)?;
        }
        Ok(servers)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// The folder with its keys.
    pub(super) fn data(&self, index: usize) -> PathBuf {
        self.folder.join(format!("server-{index}"))
    }

    /// Where each listens.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.all
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect()
    }

    /// The address that people need: through the door.
    pub(super) fn address(&self) -> anyhow::Result<String> {
        let output = Command::new(&self.program)
            .args([
                "address",
                "--public",
                &format!("127.0.0.1:{}", self.door.port),
            ])
            .arg("--data-dir")
            .arg(self.data(0))
            .output()?;
        let address = String::from_utf8(output.stdout)?.trim().to_owned();
        ensure!(address.starts_with("conclave://"), "no address was printed");
        Ok(address)
    }

    /// The code for `identifier`, on whichever console it is printed.
    pub(super) fn code_for(&self, identifier: &str) -> anyhow::Result<String> {
        let start = format!("OTP for {identifier}: ");
        let printed = || {
            let running = self.all.iter().filter_map(|node| node.process.as_ref());
            running.filter_map(Process::line_here).find_map(|line| {
                let rest = line.strip_prefix(&start)?;
                Some(rest.split(' ').next()?.to_owned())
            })
        };
        Ok(until("a code", LIMIT, printed)?.0)
    }

    fn serve(&mut self, index: usize) -> anyhow::Result<()> {
        let (data, log) = (
            self.data(index),
            self.folder.join(format!("server-{index}.log")),
        );
        let said_before = fs::read_to_string(&log).unwrap_or_default().len();
        let node = self.all.get_mut(index).context("no such node")?;
        let mut command = guarded(&self.program.to_string_lossy(), None);
        command
            .args([
                "serve",
                "--otp",
                "console",
                "--registration",
                "open",
                "--data-dir",
            ])
            .arg(data)
            .args(["--listen", &format!("127.0.0.1:{}", node.port)])
            .args(&node.flags)
            .env("PGPASSWORD", self.password);
        node.process = Some(Process::start(&mut command, &log)?);
        let listens = || {
            let said = fs::read_to_string(&log).ok()?;
            said.get(said_before..)?
                .contains("listening on ")
                .then_some(())
        };
        let what = format!("server {index} listens; see {}", log.display());
        until(&what, LIMIT, listens)?;
        Ok(())
    }

    /// Kills one as a power cut does, and starts it again after `dark`.
    pub(super) fn kill_and_restart(&mut self, index: usize, dark: Duration) -> anyhow::Result<()> {
        let node = self.all.get_mut(index).context("no such node")?;
        let process = node.process.take().context("the node does not run")?;
        let (was_alive, ended) = process.kill(Duration::ZERO)?;
        ensure!(was_alive, "node {index} ended by itself: {:?}", ended.code);
        pause(dark);
        self.serve(index)
    }

    /// Stops one in its tracks for so long, and lets it go on.
    pub(super) fn pause_one(&self, index: usize, span: Duration) -> anyhow::Result<()> {
        let node = self.all.get(index).context("no such node")?;
        let pid = node.process.as_ref().context("the node does not run")?.id();
        signal(&[pid], "STOP")?;
        pause(span);
        signal(&[pid], "CONT")
    }

    /// Stops all as an operator does.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        for (index, node) in self.all.into_iter().enumerate() {
            let process = node.process.context("a node does not run")?;
            signal(&[process.id()], "TERM")?;
            let code = process.finish()?.code;
            ensure!(code == Some(0), "node {index} ended with {code:?}");
        }
        Ok(())
    }
}
