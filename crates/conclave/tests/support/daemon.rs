//! A running `conclave daemon` of somebody's profile.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc::Receiver;

use serde_json::{Value, json};

use super::Person;
use super::program::{DEADLINE, finish, terminate};
use super::server::lines;

/// A daemon; dropped, it is killed.
pub(crate) struct Daemon {
    child: Option<Child>,
    /// Its row: where it listens.
    pub(crate) about: Value,
    socket: PathBuf,
    _stderr: Receiver<String>,
}

impl Daemon {
    /// Starts the daemon of `person` in a folder that no command line stands in, and waits until it listens.
    pub(crate) fn start(person: &Person) -> Self {
        Self::start_with(person, &[])
    }

    /// The same with more words.
    pub(crate) fn start_with(person: &Person, more: &[&str]) -> Self {
        let mut child = person.spawn_in(Path::new("/"), &[&["daemon"], more].concat());
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        let Ok(row) = stdout.recv_timeout(DEADLINE) else {
            let said: Vec<String> = stderr.try_iter().collect();
            panic!("the daemon does not listen: {}", said.join("\n"));
        };
        Self {
            child: Some(child),
            about: serde_json::from_str(&row).unwrap(),
            socket: person.folder().join("daemon.sock"),
            _stderr: stderr,
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// A connection of a program.
    pub(crate) fn connect(&self) -> Wire {
        Wire(BufReader::new(UnixStream::connect(&self.socket).unwrap()))
    }

    /// Ends it as a service manager does, and checks that it ended well.
    pub(crate) fn terminate(mut self) {
        let child = self.child.take().unwrap();
        terminate(&child);
        assert_eq!(finish(child, "daemon").code, 0);
    }

    /// Waits until it has ended by itself, well.
    pub(crate) fn ended(mut self) {
        let outcome = finish(self.child.take().unwrap(), "daemon");
        assert_eq!(outcome.code, 0, "{outcome}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// A program's connection to the socket.
pub(crate) struct Wire(BufReader<UnixStream>);

impl Wire {
    /// Sends one line.
    pub(crate) fn send(&mut self, line: &str) {
        self.0
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    /// The next line; none at the end.
    pub(crate) fn recv(&mut self) -> Option<Value> {
        self.0.get_ref().set_read_timeout(Some(DEADLINE)).unwrap();
        let mut line = String::new();
        let read = self.0.read_line(&mut line).unwrap();
        (read > 0).then(|| serde_json::from_str(&line).unwrap())
    }

    /// Calls a method; the whole answer.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        self.send(&request.to_string());
        let answer = self.recv().expect("an answer");
        assert_eq!(answer["id"], 7, "{answer}");
        answer
    }

    /// Calls a method that must go well; its result.
    pub(crate) fn ok(&mut self, method: &str, params: &Value) -> Value {
        let mut answer = self.call(method, params);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].take()
    }
}
