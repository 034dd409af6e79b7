//! The classic protocols with the real programs: offline queue, restarts, kills, changed keys.

#![cfg(test)]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::person::of_type;
use support::program::{DEADLINE, finish};
use support::server::lines;
use support::{CONCLAVE, Outcome, Program, Server};

const ANNA: &str = "+491713920001";
const BEN: &str = "+491713920002";

/// A server that also speaks classic, on a port of its own.
struct Classic {
    server: Server,
    port: u16,
}

impl Classic {
    fn start(folder: &Path) -> Self {
        let port = free_port();
        let server = Server::start_with(folder, &["--classic", &format!("127.0.0.1:{port}")]);
        Self { server, port }
    }

    fn kill_and_restart(&mut self) {
        self.server.kill();
        let listen = format!("127.0.0.1:{}", self.port);
        self.server.restart_with(&["--classic", &listen]);
    }

    fn key(&self, folder: &Path, suite: &str) -> PathBuf {
        let outcome = self
            .server
            .run(&["classic", "public-key", "--suite", suite]);
        assert_eq!(outcome.code, 0, "{outcome}");
        let file = folder.join(format!("{suite}.pem"));
        std::fs::write(&file, outcome.stdout).unwrap();
        file
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Somebody with a classic account.
struct Person {
    program: Program,
    phone: &'static str,
    suite: &'static str,
}

impl Person {
    fn register(
        folder: &Path,
        classic: &Classic,
        suite: &'static str,
        phone: &'static str,
    ) -> Self {
        let passphrase = folder.join("passphrase");
        std::fs::write(&passphrase, "secret words\n").unwrap();
        let mut program = Program::new(CONCLAVE, folder);
        let home = folder.join(phone.trim_start_matches('+'));
        program.env("CONCLAVE_DATA_DIR", home.to_str().unwrap());
        program.env("CONCLAVE_PASSPHRASE_FILE", passphrase.to_str().unwrap());
        let person = Self {
            program,
            phone,
            suite,
        };
        let outcome = person.try_register(folder, classic);
        assert_eq!(outcome.code, 0, "{outcome}");
        person
    }

    fn try_register(&self, folder: &Path, classic: &Classic) -> Outcome {
        let (server, key) = (
            format!("127.0.0.1:{}", classic.port),
            classic.key(folder, self.suite),
        );
        let words = [
            "classic",
            "register",
            "--suite",
            self.suite,
            "--server",
            &server,
            "--server-key",
            key.to_str().unwrap(),
            "--phone",
            self.phone,
            "-o",
            "json",
        ];
        let mut child = self.program.spawn(&words);
        let code = classic.server.code_for(self.phone);
        writeln!(child.stdin.take().unwrap(), "{code}").unwrap();
        finish(child, "conclave classic register")
    }

    fn run(&self, words: &[&str]) -> Outcome {
        self.program
            .run(&[&["classic"], words, &["-o", "json"]].concat(), "")
    }

    fn ok(&self, words: &[&str]) -> Vec<Value> {
        self.run(words).expect_exit(0).rows()
    }

    /// Runs a command that strace kills at its n-th call of a kind, if it makes so many.
    fn killed_at(&self, call: &str, n: usize, words: &[&str]) {
        let (trace, inject) = (
            format!("trace={call}"),
            format!("inject={call}:signal=KILL:when={n}"),
        );
        let strace = [
            "strace",
            "-f",
            "-qqq",
            "-o",
            "/dev/null",
            "-e",
            &trace,
            "-e",
            &inject,
        ];
        let outcome = self
            .program
            .under(&strace)
            .run(&[&["classic"], words].concat(), "");
        assert!(matches!(outcome.code, -1 | 0), "{call} {n}: {outcome}");
    }

    fn send(&self, to: &Self, text: &str) -> String {
        let rows = self.ok(&["send", to.phone, text]);
        rows[0]["message_id"].as_str().unwrap().to_owned()
    }

    fn texts(&self, words: &[&str]) -> Vec<String> {
        let rows = of_type(&self.ok(words), "classic_message");
        let text = |row: &Value| row["text"].as_str().unwrap().to_owned();
        rows.iter().map(text).collect()
    }
}

/// Two people in both suites: send while the other is offline, the server killed in between, fetch once,
/// receipts once, and the listener hears what arrives.
#[test]
fn both_suites_end_to_end() {
    for suite in ["rsa", "ec"] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut classic = Classic::start(folder);
        let anna = Person::register(folder, &classic, suite, ANNA);
        let ben = Person::register(folder, &classic, suite, BEN);
        let first = anna.send(&ben, "hello");
        classic.kill_and_restart();
        let second = anna.send(&ben, "grüße\nund mehr");
        assert_eq!(ben.texts(&["fetch"]), ["hello", "grüße\nund mehr"]);
        assert_eq!(ben.texts(&["fetch"]), Vec::<String>::new());
        classic.kill_and_restart();
        let receipts = of_type(&anna.ok(&["fetch"]), "classic_receipt");
        let ids: Vec<&Value> = receipts.iter().map(|row| &row["message_id"]).collect();
        assert_eq!(ids, [&json!(first), &json!(second)]);
        assert_eq!(anna.ok(&["fetch"]), Vec::<Value>::new());
        assert_eq!(ben.texts(&["fetch", "--all"]).len(), 2, "kept here");

        let mut listener = ben.program.spawn(&["classic", "listen", "-o", "json"]);
        let heard = lines(listener.stdout.take().unwrap());
        anna.send(&ben, "live");
        let row: Value = serde_json::from_str(&heard.recv_timeout(DEADLINE).unwrap()).unwrap();
        assert_eq!((&row["text"], &row["from"]), (&json!("live"), &json!(ANNA)));
        listener.kill().unwrap();
        listener.wait().unwrap();
        assert_eq!(anna.ok(&["quit"])[0]["done"], "quit");
    }
}

/// A client that is killed at any write or sync of a fetch has each message once when it is run again, and the
/// sender one receipt for each.
#[test]
fn a_killed_fetch_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let classic = Classic::start(folder);
    let anna = Person::register(folder, &classic, "ec", ANNA);
    let ben = Person::register(folder, &classic, "ec", BEN);
    let mut sent = Vec::new();
    for (number, call) in ["fsync", "write", "sendto", "fsync", "sendto"]
        .iter()
        .enumerate()
    {
        let text = format!("text {number}");
        anna.send(&ben, &text);
        sent.push(text);
        for when in 1..=3 {
            ben.killed_at(call, when, &["fetch"]);
        }
    }
    ben.run(&["fetch"]).expect_exit(0);
    assert_eq!(ben.texts(&["fetch", "--all"]), sent);
    let receipts = of_type(&anna.ok(&["fetch"]), "classic_receipt");
    assert_eq!(receipts.len(), sent.len());
    assert_eq!(anna.ok(&["fetch"]), Vec::<Value>::new());
}

/// A sender that is killed anywhere sends each text once, when it is run again.
#[test]
fn a_killed_send_is_finished_by_the_next_command() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut classic = Classic::start(folder);
    let anna = Person::register(folder, &classic, "ec", ANNA);
    let ben = Person::register(folder, &classic, "ec", BEN);
    anna.send(&ben, "first");
    for when in 1..=8 {
        let text = format!("killed at {when}");
        anna.killed_at("sendto", when, &["send", BEN, &text]);
    }
    classic.kill_and_restart();
    anna.send(&ben, "last");
    let texts = ben.texts(&["fetch"]);
    let mut once = texts.clone();
    once.dedup();
    assert_eq!(texts, once, "none twice");
    assert_eq!(
        (&texts[0], texts.last()),
        (&"first".to_owned(), Some(&"last".to_owned()))
    );
    let order: Vec<&String> = texts
        .iter()
        .filter(|text| text.starts_with("killed"))
        .collect();
    assert!(order.is_sorted(), "{texts:?}");
}

/// A key that changes stops sending until it is accepted; another server's key stops everything.
#[test]
fn changed_keys_stop() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let classic = Classic::start(folder);
    let anna = Person::register(folder, &classic, "ec", ANNA);
    let ben = Person::register(folder, &classic, "ec", BEN);
    anna.send(&ben, "before");
    std::fs::remove_dir_all(folder.join(BEN.trim_start_matches('+'))).unwrap();
    let ben = Person::register(folder, &classic, "ec", BEN);
    anna.run(&["send", BEN, "after"])
        .expect_error(4, "KEY_CHANGED");
    anna.ok(&["key", BEN, "--accept"]);
    anna.send(&ben, "after");
    // what was wrapped to the old key cannot be read, and says so
    let rows = of_type(&ben.ok(&["fetch"]), "classic_message");
    assert!(rows[0]["problem"].is_string(), "{rows:?}");
    assert_eq!(rows[1]["text"], "after");

    let other = tempfile::tempdir().unwrap();
    let elsewhere = Classic::start(other.path());
    let server = format!("127.0.0.1:{}", elsewhere.port);
    anna.run(&["fetch", "--server", &server])
        .expect_error(4, "KEY_CHANGED");
    let key = elsewhere.key(other.path(), "ec");
    let words = ["fetch", "--server-key", key.to_str().unwrap()];
    anna.run(&words).expect_error(4, "KEY_CHANGED");
    // what was said for one command holds for that command
    anna.ok(&["fetch"]);
}

/// One process at a time uses an account; with an account of each suite, the suite has to be said.
#[test]
fn one_process_and_one_account_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let classic = Classic::start(folder);
    let anna = Person::register(folder, &classic, "ec", ANNA);
    let ben = Person::register(folder, &classic, "ec", BEN);
    anna.send(&ben, "there?");
    let mut listener = ben.program.spawn(&["classic", "listen", "-o", "json"]);
    let heard = lines(listener.stdout.take().unwrap());
    heard.recv_timeout(DEADLINE).unwrap();
    ben.run(&["fetch"]).expect_error(9, "PROFILE_IN_USE");
    listener.kill().unwrap();
    listener.wait().unwrap();
    ben.ok(&["fetch"]);
    Person::register(folder, &classic, "rsa", ANNA);
    anna.run(&["fetch"]).expect_error(2, "USAGE");
    // the phone took the key of the second registration
    anna.run(&["fetch", "--suite", "ec"])
        .expect_error(3, "BAD_SIGNATURE");
    anna.ok(&["fetch", "--suite", "rsa"]);
}

/// Classic is off unless asked for, and the two worlds share no account.
#[test]
fn off_by_default_and_apart() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let classic = Classic::start(folder);
    let anna = Person::register(folder, &classic, "rsa", ANNA);
    anna.program
        .run(&["whoami", "-o", "json"], "")
        .expect_error(3, "NO_PROFILE");
    let mut stream = TcpStream::connect(("127.0.0.1", classic.port)).unwrap();
    stream.write_all(b"{\"action\":\"hello\"}\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&line).unwrap()["status"],
        "ok"
    );
    let plain = folder.join("plain");
    std::fs::create_dir(&plain).unwrap();
    let plain = Server::start(&plain);
    assert!(!plain.folder().join("classic-rsa.pem").exists());
}
