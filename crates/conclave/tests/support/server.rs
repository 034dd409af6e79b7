//! A real `conclave-server` in a folder of its own, on a free port, that can stop and come back.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::program::{DEADLINE, Program, finish, terminate};

/// A running server; dropped, it is killed.
pub(crate) struct Server {
    program: Program,
    folder: PathBuf,
    child: Option<Child>,
    port: u16,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Server {
    /// Starts a server in `folder/server` on a free port of this machine.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    /// The same with more words for `serve`.
    pub(crate) fn start_with(folder: &Path, more: &[&str]) -> Self {
        let program = Program::new(binary(), folder);
        let mut server = Self {
            program,
            folder: folder.join("server"),
            child: None,
            port: 0,
            stdout: mpsc::channel().1,
            stderr: mpsc::channel().1,
        };
        server.serve(more);
        server
    }

    /// Its data folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its `conclave://…` address.
    pub(crate) fn address(&self) -> String {
        let outcome = self.program.run(
            &["address", "--data-dir", self.folder.to_str().unwrap()],
            "",
        );
        assert_eq!(outcome.code, 0, "{outcome}");
        outcome.stdout.trim().to_owned()
    }

    /// Runs another command of the server program on this server's folder.
    pub(crate) fn run(&self, args: &[&str]) -> super::Outcome {
        let folder = self.folder.to_str().unwrap();
        self.program
            .run(&[args, &["--data-dir", folder]].concat(), "")
    }

    /// The code that the console sender printed last for `identifier`, waited for.
    pub(crate) fn code_for(&self, identifier: &str) -> String {
        let begin = format!("OTP for {identifier}: ");
        loop {
            let line = self
                .stdout
                .recv_timeout(DEADLINE)
                .expect("the server prints the code");
            if let Some(rest) = line.strip_prefix(&begin) {
                return rest.split(' ').next().unwrap().to_owned();
            }
        }
    }

    /// Stops it as a service manager does, and checks that it ended well.
    pub(crate) fn stop(&mut self) {
        let child = self.child.take().expect("the server runs");
        terminate(&child);
        let outcome = finish(child, "conclave-server serve");
        assert_eq!(outcome.code, 0, "the server stops gracefully: {outcome}");
    }

    /// Kills it, as a power cut does.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again on the same port.
    pub(crate) fn restart(&mut self) {
        self.restart_with(&[]);
    }

    /// The same with more words for `serve`.
    pub(crate) fn restart_with(&mut self, more: &[&str]) {
        assert!(self.child.is_none(), "the server is stopped first");
        self.serve(more);
    }

    fn serve(&mut self, more: &[&str]) {
        let listen = format!("127.0.0.1:{}", self.port);
        let folder = self.folder.to_str().unwrap();
        let words = [
            "serve",
            "--data-dir",
            folder,
            "--listen",
            &listen,
            "--otp",
            "console",
            "--registration",
            "open",
        ];
        let mut child = self.program.spawn(&[&words, more].concat());
        self.stdout = lines(child.stdout.take().unwrap());
        self.stderr = lines(child.stderr.take().unwrap());
        self.child = Some(child);
        let mut seen = Vec::new();
        self.port = loop {
            let Ok(line) = self.stderr.recv_timeout(DEADLINE) else {
                panic!("the server does not listen: {}", seen.join("\n"));
            };
            if let Some(address) = line.strip_prefix("listening on ") {
                let address = address.split(' ').next().unwrap();
                break address.rsplit(':').next().unwrap().parse().unwrap();
            }
            seen.push(line);
        };
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The lines of `stream` as they come; read to the end, so that the program never blocks on a full pipe.
pub(crate) fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { break };
            // The test may have stopped looking.
            drop(sender.send(line));
        }
    });
    receiver
}

/// The server program beside the client program; built when it is not there.
pub(crate) fn binary() -> PathBuf {
    let path = Path::new(super::CONCLAVE).with_file_name("conclave-server");
    if !path.exists() {
        let status = Command::new(env!("CARGO"))
            .args(["build", "--package", "conclave-server"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(
            status.success() && path.exists(),
            "conclave-server is built beside conclave"
        );
    }
    path
}
