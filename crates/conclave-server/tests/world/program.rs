//! The real server program in a folder of its own, alone or under strace, which injects faults.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use conclave_proto::env::{Env as _, OsEnv};
use conclave_proto::hello::Role;
use conclave_proto::id::Day;
use conclave_server::keys::{ServerKeys, server_id};

use crate::support::{Client, Place, hello};

/// The program that was built with the tests.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_conclave-server");

/// System calls that show when something is written, synced and said.
const WITNESSED: &str = "accept4,pwrite64,fdatasync,fsync,sendto,sendmsg,write,writev,ftruncate";

/// Runs one command of the program to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Ended {
    let output = Command::new(PROGRAM)
        .env_clear()
        .arg("--data-dir")
        .arg(folder)
        .args(arguments)
        .output()
        .unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder with keys and an empty database.
pub(crate) fn init(folder: &Path) {
    let ended = run(folder, &["init"]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
}

/// A copy of a folder whose server does not run.
pub(crate) fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    std::fs::set_permissions(to.path(), Permissions::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // not the socket that a killed server leaves
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
        }
    }
    to
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None`: by a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running server; killed when a test fails.
pub(crate) struct Program {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
    server_pid: u32,
    folder: PathBuf,
    pub(crate) place: Place,
}

impl Program {
    /// Serves from `folder`.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_logging(folder, "error")
    }

    /// The same with another log level.
    pub(crate) fn start_logging(folder: &Path, level: &str) -> Self {
        Self::spawn(Command::new(PROGRAM), folder, level).expect("the server starts")
    }

    /// The same with at most so many open files.
    pub(crate) fn start_with_files(folder: &Path, files: u32) -> Self {
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            &format!("ulimit -n {files}; exec \"$0\" \"$@\""),
            PROGRAM,
        ]);
        Self::spawn(shell, folder, "error").expect("the server starts")
    }

    /// The same with everything in a database that others may use, too.
    pub(crate) fn start_shared(folder: &Path, url: &str) -> Self {
        let mut program = Command::new(PROGRAM);
        program.env("CONCLAVE_DATABASE", url);
        Self::spawn(program, folder, "error").expect("the server starts")
    }

    /// The server's process.
    pub(crate) fn server_pid(&self) -> u32 {
        self.server_pid
    }

    /// The folder of its keys.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many files it has open.
    pub(crate) fn open_files(&self) -> u64 {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.server_pid)).unwrap();
        u64::try_from(files.count()).unwrap()
    }

    /// The same under strace with these arguments; what it sees goes to `trace` beside the folder.
    /// Gives how the server ended when it did so before it listened.
    pub(crate) fn start_traced(
        folder: &Path,
        trace: &Path,
        faults: &[&str],
    ) -> Result<Self, Ended> {
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-y", "-s", "4200", "-o"])
            .arg(trace)
            .arg("-e")
            .arg(format!("trace={WITNESSED}"))
            .args(faults)
            .arg(PROGRAM);
        Self::spawn(strace, folder, "error")
    }

    fn spawn(mut command: Command, folder: &Path, level: &str) -> Result<Self, Ended> {
        let mut child = command
            .args(["--data-dir".as_ref(), folder.as_os_str()])
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("CONCLAVE_LOG", level)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{command:?} does not start ({error}): these tests need strace")
            });
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut lines = String::new();
        let address = loop {
            let from = lines.len();
            if stderr.read_line(&mut lines).unwrap() == 0 {
                assert!(!lines.contains("PTRACE"), "ptrace is refused here: {lines}");
                let code = child.wait().unwrap().code();
                return Err(ended(code, stdout, lines));
            }
            if let Some(address) = lines[from..].strip_prefix("listening on ") {
                break address.trim().parse().unwrap();
            }
        };
        let place = Place {
            address,
            server_id: server_id(folder).unwrap(),
        };
        let server_pid = only_child(child.id()).unwrap_or(child.id());
        Ok(Self {
            child,
            stdout,
            stderr,
            server_pid,
            folder: folder.to_owned(),
            place,
        })
    }

    /// A raw connection.
    pub(crate) async fn connect(&self, role: Role) -> Client {
        Client::connect(self.place, &self.folder, role).await
    }

    /// The same when the server may be gone.
    pub(crate) async fn try_connect(&self, role: Role) -> Option<Client> {
        Client::try_greet(self.place, &self.folder, &hello(role)).await
    }

    /// Today's member pass, as the server derives it.
    pub(crate) fn pass(&self) -> Vec<u8> {
        let keys = ServerKeys::open(&self.folder, &OsEnv).unwrap();
        keys.pepper.member_pass(Day::of_ms(OsEnv.now_ms())).to_vec()
    }

    /// The code in the next line that the console sender prints; `None` when the server is gone.
    pub(crate) fn next_code(&mut self) -> Option<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let (_, code) = line.split_once(": ")?;
        Some(code.split(' ').next()?.to_owned())
    }

    /// Sends a signal (`-TERM`, `-KILL`) and waits for the end.
    pub(crate) fn stop(self, signal: &str) -> Ended {
        let pid = self.server_pid.to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
        self.wait()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(mut self) -> Ended {
        let code = self.child.wait().unwrap().code();
        let mut stderr = String::new();
        self.stderr.read_to_string(&mut stderr).unwrap();
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).unwrap();
        Ended {
            code,
            stdout,
            stderr,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let pid = self.server_pid.to_string();
            let _ = Command::new("kill").args(["-KILL", &pid]).status();
            let _ = self.child.wait();
        }
    }
}

fn ended(code: Option<i32>, mut stdout: BufReader<ChildStdout>, stderr: String) -> Ended {
    let mut out = String::new();
    stdout.read_to_string(&mut out).unwrap();
    Ended {
        code,
        stdout: out,
        stderr,
    }
}

/// The process that strace started.
fn only_child(pid: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
