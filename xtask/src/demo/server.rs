//! The demo's server: started in a folder of its own, read through its output files, stopped by
//! its own process handle.

use std::fs::{DirBuilder, File};
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use super::say;

/// How long the server may take for one thing.
const PATIENCE: Duration = Duration::from_secs(30);
/// The port people expect.
const PORT: u16 = 5000;

/// A running `conclave-server`; killed when dropped unless left running.
pub(super) struct Server {
    program: PathBuf,
    folder: PathBuf,
    child: Option<Child>,
    /// How many lines of the server's output have been read as codes.
    codes_read: usize,
}

impl Server {
    /// Starts the server and waits until it listens. `keep` starts it apart from this terminal, so
    /// that Ctrl-C here does not end it.
    pub(super) fn start(programs: &Path, folder: &Path, keep: bool) -> anyhow::Result<Self> {
        let program = programs.join("conclave-server");
        let data = folder.join("server");
        DirBuilder::new().mode(0o700).create(&data)?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let mut command = Command::new(&program);
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(&data)
            .args([
                "--listen",
                &listen,
                "--otp",
                "console",
                "--registration",
                "open",
            ])
            .stdin(Stdio::null())
            .stdout(File::create(folder.join("server.out"))?)
            .stderr(File::create(folder.join("server.log"))?);
        if keep {
            command.process_group(0);
        }
        let data = data.display();
        println!(
            "   $ conclave-server serve --data-dir {data} --listen {listen} --otp console --registration open"
        );
        let child = command.spawn().context("conclave-server did not start")?;
        let mut server = Self {
            program,
            folder: folder.to_path_buf(),
            child: Some(child),
            codes_read: 0,
        };
        let line = server.wait_for_line("server.log", |line| line.starts_with("listening on "))?;
        println!("{line}");
        Ok(server)
    }

    /// The address that clients need, as `conclave-server address` prints it.
    pub(super) fn address(&self) -> anyhow::Result<String> {
        let data = self.data_folder();
        println!("   $ conclave-server address --data-dir {}", data.display());
        let output = Command::new(&self.program)
            .arg("address")
            .arg("--data-dir")
            .arg(&data)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        let address = String::from_utf8(output.stdout)?.trim().to_owned();
        ensure!(
            address.starts_with("conclave://"),
            "`conclave-server address` printed no address"
        );
        println!("{address}");
        Ok(address)
    }

    /// The next code that the console sender prints for `identifier`.
    pub(super) fn code_for(&mut self, identifier: &str) -> anyhow::Result<String> {
        let start = format!("OTP for {identifier}: ");
        let skip = self.codes_read;
        let mut seen = 0;
        let line = self.wait_for_line("server.out", |line| {
            seen += usize::from(line.starts_with("OTP for "));
            seen > skip && line.starts_with(&start)
        })?;
        self.codes_read += 1;
        let code = line
            .strip_prefix(&start)
            .and_then(|rest| rest.split(' ').next());
        code.map(str::to_owned)
            .context("the line of the code has no code")
    }

    /// Everything that the server has logged so far.
    pub(super) fn log(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.folder.join("server.log"))?)
    }

    /// Where the server keeps its data.
    pub(super) fn data_folder(&self) -> PathBuf {
        self.folder.join("server")
    }

    /// The server's process id; 0 when it is gone.
    pub(super) fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Lets the server live on after this program.
    pub(super) fn leave(&mut self) {
        self.child = None;
    }

    /// Asks the server to stop, as an operator would, and expects that it ends well.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let id = child.id().to_string();
        println!("   $ kill -TERM {id}");
        // The shell's own `kill`: a small system has no program of that name.
        Command::new("sh")
            .args(["-c", "kill -TERM \"$0\"", &id])
            .status()
            .context("`sh` did not start")?;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = child.try_wait()? {
                ensure!(status.success(), "the server ended with {status}");
                say("the server has ended cleanly");
                return Ok(());
            }
            park_timeout(Duration::from_millis(20));
        }
        child.kill()?;
        child.wait()?;
        bail!("the server did not stop within {} s", PATIENCE.as_secs())
    }

    /// Reads the output file `name` again and again until a line is `wanted`; `wanted` sees every
    /// complete line of a reading in order.
    fn wait_for_line(
        &mut self,
        name: &str,
        mut wanted: impl FnMut(&str) -> bool,
    ) -> anyhow::Result<String> {
        let start = Instant::now();
        let mut lines_read = 0;
        while start.elapsed() < PATIENCE {
            let text = std::fs::read_to_string(self.folder.join(name))?;
            let complete = text
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            for line in complete.skip(lines_read) {
                lines_read += 1;
                if wanted(line.trim_end()) {
                    return Ok(line.trim_end().to_owned());
                }
            }
            if let Some(status) = self
                .child
                .as_mut()
                .map(Child::try_wait)
                .transpose()?
                .flatten()
            {
                bail!("the server ended with {status}: {}", self.log()?.trim_end());
            }
            park_timeout(Duration::from_millis(20));
        }
        bail!(
            "the server said nothing for {} s: {}",
            PATIENCE.as_secs(),
            self.log()?.trim_end()
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Port 5000, or the next free one, which is said.
fn free_port() -> anyhow::Result<u16> {
    for port in PORT..PORT + 100 {
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            if port != PORT {
                say(&format!("port {PORT} is taken, the server gets {port}"));
            }
            return Ok(port);
        }
    }
    bail!(
        "ports {PORT} to {} are all taken: end a program that holds one",
        PORT + 99
    )
}
