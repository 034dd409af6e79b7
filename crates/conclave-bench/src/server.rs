//! Other processes: the real server program and what is measured beside it; and what they use.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use conclave_proto::env::{Env as _, OsEnv};
use conclave_proto::id::{Day, ServerId};
use conclave_server::keys::{self, ServerKeys};
use tempfile::TempDir;

use crate::wire::Place;

/// How long a child may take to say its next line.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process that is stopped when this is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts a program; its standard error goes on to ours.
    pub(crate) fn spawn(command: &mut Command) -> anyhow::Result<(Self, Receiver<String>)> {
        let name = command.get_program().to_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start", name.display()))?;
        let stdout = child.stdout.take().context("no standard output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok((Self(child), lines))
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(&mut self) {
        // it may be gone already
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Processor time used so far, in µs; the kernel counts it in steps of 10 ms.
    pub(crate) fn cpu_us(&self) -> anyhow::Result<f64> {
        cpu_us(&self.0.id().to_string())
    }

    /// Resident memory, in bytes.
    pub(crate) fn memory_bytes(&self) -> anyhow::Result<u64> {
        self.memory("VmRSS:")
    }

    /// The same without what it sees of files, which the machine can have back at any time.
    pub(crate) fn own_memory_bytes(&self) -> anyhow::Result<u64> {
        self.memory("RssAnon:")
    }

    fn memory(&self, kind: &str) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(kind));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib.context("no such line of memory")?.parse()?;
        Ok(kib * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The same of any process; `self` is this one.
pub(crate) fn cpu_us(pid: &str) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // the name before may hold blanks; utime and stime are the 12th and 13th word after it
    let (_, words) = stat.rsplit_once(") ").context("no process status")?;
    let ticks = words.split(' ').skip(11).take(2).map(str::parse::<u32>);
    let ticks: u32 = ticks.sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) * 10_000.0)
}

/// The next line of a process.
pub(crate) fn next_line(lines: &Receiver<String>) -> anyhow::Result<String> {
    lines
        .recv_timeout(PATIENCE)
        .context("a process said nothing in time")
}

/// The real server program, on a free loopback port and a folder of its own.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Process,
    lines: Receiver<String>,
    pub(crate) address: SocketAddr,
    pub(crate) id: ServerId,
    pub(crate) folder: TempDir,
    settings: Settings,
}

/// What a server finds in its environment.
type Settings = Vec<(&'static str, String)>;

impl Server {
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::start_with(Settings::new(), |_| Ok(()))
    }

    /// One on a shared database.
    pub(crate) fn start_shared(url: &str) -> anyhow::Result<Self> {
        let database = ("CONCLAVE_DATABASE", url.to_owned());
        Self::start_with(vec![database], |_| Ok(()))
    }

    /// One whose database `fill` writes first.
    pub(crate) fn start_filled(
        fill: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        Self::start_with(Settings::new(), fill)
    }

    /// One that counts connections of this machine as it counts those of strangers; `fill` may write its
    /// database first.
    pub(crate) fn start_counting(
        fill: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let counting = (
            "CONCLAVE_SERVER__LIMITS__EXEMPT_LOOPBACK",
            "never".to_owned(),
        );
        Self::start_with(vec![counting], fill)
    }

    fn start_with(
        settings: Settings,
        fill: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let ended = Command::new(beside_this_one("conclave-server")?)
            .arg("--data-dir")
            .arg(folder.path())
            .arg("init")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .context("conclave-server does not start")?;
        ensure!(ended.success(), "conclave-server init ended with {ended}");
        fill(folder.path())?;
        let (process, lines) = serve(folder.path(), &settings, "127.0.0.1:0")?;
        let address = until(|| conclave_server::folder::last_listening(folder.path()))?;
        Ok(Self {
            process,
            lines,
            address,
            id: keys::server_id(folder.path())?,
            folder,
            settings,
        })
    }

    /// Kills it and starts it again at the same address; returns when it listens.
    pub(crate) fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.process.kill();
        let listen = self.address.to_string();
        (self.process, self.lines) = serve(self.folder.path(), &self.settings, &listen)?;
        until(|| std::net::TcpStream::connect(self.address).ok())?;
        Ok(())
    }

    /// For the lean client.
    pub(crate) fn place(&self) -> anyhow::Result<Place> {
        Place::of_server(self.address, self.folder.path())
    }

    /// Today's member pass, as the server derives it.
    pub(crate) fn pass(&self) -> anyhow::Result<Vec<u8>> {
        let keys = ServerKeys::open(self.folder.path(), &OsEnv)?;
        let today = Day::of_ms(OsEnv.now_ms());
        Ok(keys.pepper.member_pass(today).to_vec())
    }

    /// The next code that the console sender prints.
    pub(crate) fn next_code(&self) -> anyhow::Result<String> {
        let line = next_line(&self.lines)?;
        let code = line
            .split(": ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        Ok(code
            .with_context(|| format!("no code in `{line}`"))?
            .to_owned())
    }
}

/// Starts the program on a folder that has its keys.
fn serve(
    folder: &Path,
    settings: &[(&str, String)],
    listen: &str,
) -> anyhow::Result<(Process, Receiver<String>)> {
    let mut serve = Command::new(beside_this_one("conclave-server")?);
    serve
        .arg("--data-dir")
        .arg(folder)
        .args(["serve", "--listen", listen])
        .envs(settings.iter().cloned())
        .stderr(Stdio::null());
    Process::spawn(&mut serve)
}

/// Waits for what a process that starts writes.
pub(crate) fn until<T>(mut found: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    for _ in 0..1_000 {
        if let Some(found) = found() {
            return Ok(found);
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    anyhow::bail!("the server does not listen")
}

/// A port of this machine that nobody has now.
pub(crate) fn free_port() -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}

/// Waits until somebody can be reached there.
pub(crate) fn until_listening(address: SocketAddr) -> anyhow::Result<()> {
    until(|| std::net::TcpStream::connect(address).ok()).map(drop)
}

/// A program that was built into the same folder as this one.
pub(crate) fn beside_this_one(name: &str) -> anyhow::Result<std::path::PathBuf> {
    let own = std::env::current_exe()?;
    let program = own.parent().unwrap_or(Path::new(".")).join(name);
    ensure!(
        program.exists(),
        "{} is missing: run `cargo xtask bench`, which builds it",
        program.display()
    );
    Ok(program)
}
