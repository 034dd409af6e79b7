//! Every command works the same while a daemon has the profile, and many work at once.

#![cfg(test)]

mod support;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::person::of_type;
use support::program::{DEADLINE, finish, terminate};
use support::server::lines;
use support::{Daemon, Person, Server};

/// Anna and Ben, registered, each with a daemon; they do not know each other yet.
fn with_daemons(folder: &Path) -> (Server, [Person; 2], [Daemon; 2]) {
    let server = Server::start(folder);
    let anna = Person::registered(folder, &server, "+4915112345678");
    let ben = Person::registered(folder, &server, "ben@example.org");
    let daemons = [Daemon::start(&anna), Daemon::start(&ben)];
    (server, [anna, ben], daemons)
}

/// Anna writes first, Ben accepts.
fn introduce(anna: &Person, ben: &Person) {
    let sent = anna.ok(&["send", &ben.identifier, "the words of the request"]);
    assert_eq!(sent[0]["state"], "accepted");
    assert_eq!(ben.ok(&["request", "list"]).len(), 1);
    ben.ok(&["request", "accept", &anna.identifier]);
}

/// Talking, people, groups, devices, keys, files: each command does through the daemon what it does alone, with the
/// same rows, exit codes and errors; files are named from where the command line stands.
#[test]
fn commands_work_through_a_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, [anna, ben], [first, second]) = with_daemons(folder.path());
    introduce(&anna, &ben);
    let (to_anna, to_ben) = (anna.identifier.as_str(), ben.identifier.as_str());

    // talking; input goes along
    let sent = ben.ok_with(&["send", to_anna], "piped\n");
    assert_ne!(sent[0]["state"], "queued", "{sent:?}");
    let rows = ben.ok_with(&["send", to_anna, "--lines"], "one\n\ntwo\r\nthree");
    assert_eq!(of_type(&rows, "queued").len(), 3);
    let heard = of_type(&anna.ok(&["listen", "--once"]), "message");
    let texts: Vec<&str> = heard
        .iter()
        .map(|row| row["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["piped", "one", "two", "three"]);
    assert_eq!(anna.ok(&["unread"])[0]["count"], 4);
    assert_eq!(anna.ok(&["read", to_ben])[0]["count"], 4);
    let rows = anna.ok_with(&["chat", to_ben], "from the chat\n");
    assert_eq!(of_type(&rows, "message")[0]["text"], "from the chat");
    let history = anna.history(&ben);
    assert_eq!(history.len(), 6);
    let id = history[5]["id"].as_str().unwrap();
    assert_eq!(
        anna.ok(&["info", id])[0]["message"]["text"],
        "from the chat"
    );
    assert_eq!(anna.ok(&["chats"]).len(), 1);

    // people
    anna.ok(&["contact", "rename", to_ben, "Benjamin"]);
    assert_eq!(anna.ok(&["contact", "list"])[0]["name"], "Benjamin");
    let number = anna.ok(&["safety", "show", to_ben])[0]["number"].clone();
    let verified = ben.ok(&["safety", "verify", to_anna, number.as_str().unwrap()]);
    assert_eq!(verified[0]["trust"], "verified");
    let side_by_side = anna.answer(
        &["safety", "verify", to_ben, "--side-by-side"],
        "y\nwhat\ny\nYES\n",
    );
    assert_eq!(side_by_side.expect_exit(0).rows()[0]["trust"], "verified");

    groups_and_devices(&anna, &ben);
    files_and_the_profile(folder.path(), &anna, &ben);
    failures(&anna, &ben);
    first.terminate();
    second.terminate();
    assert_eq!(
        anna.history(&ben).len(),
        6,
        "the profile is whole, without a daemon"
    );
}

fn groups_and_devices(anna: &Person, ben: &Person) {
    let to_ben = ben.identifier.as_str();
    let group = anna.ok(&["group", "create", "garden", to_ben]);
    assert_eq!(
        group[0]["members"].as_array().unwrap().len(),
        2,
        "{group:?}"
    );
    ben.ok(&["listen", "--once"]);
    ben.ok(&["send", "garden", "tomatoes"]);
    assert_eq!(ben.ok(&["group", "list"]).len(), 1);
    assert_eq!(anna.ok(&["device", "list"]).len(), 1);
}

/// Files are named from where the command line stands, and not the daemon.
fn files_and_the_profile(folder: &Path, anna: &Person, ben: &Person) {
    let (to_anna, to_ben) = (anna.identifier.as_str(), ben.identifier.as_str());
    fs::write(folder.join("secret.txt"), "of the export\n").unwrap();
    let words = ["--export-passphrase-file", "secret.txt"];
    let exported = anna.ok(&[&["key", "export", "anna.pem"], &words[..]].concat());
    assert_eq!(
        (&exported[0]["file"], &exported[0]["matches"]),
        (&json!("anna.pem"), &json!(true))
    );
    assert!(folder.join("anna.pem").exists());
    anna.ok(&[&["key", "import", "--verify", "anna.pem"], &words[..]].concat());
    anna.ok(&["safety", "show", to_ben, "--qr-file", "for-ben.png"]);
    ben.ok(&["safety", "verify", to_anna, "--qr-file", "for-ben.png"]);
    anna.ok(&["proofs", "--out", "proofs.jsonl"]);
    assert!(folder.join("proofs.jsonl").exists());

    assert_eq!(anna.ok(&["whoami"])[0]["identifier"], to_anna);
    assert_eq!(anna.ok(&["status"])[0]["online"], true);
    assert!(anna.ok(&["doctor"]).iter().all(|row| row["ok"] == true));
    anna.ok(&["config", "set", "trust.mode", "strict"]);
    assert_eq!(anna.ok(&["config", "list"])[0]["value"], "strict");
    assert_eq!(anna.ok(&["paths"])[0]["key"], "key_file");
}

/// What goes wrong goes wrong the same way.
fn failures(anna: &Person, ben: &Person) {
    let to_ben = ben.identifier.as_str();
    anna.run(&["history", "nobody@example.org"])
        .expect_error(8, "NOT_FOUND");
    anna.run(&["send", to_ben, ""]).expect_error(2, "USAGE");
    anna.run(&["key", "export", "anna.pem"])
        .expect_error(9, "FILE_EXISTS");
    anna.run(&["safety", "verify", to_ben, &"1".repeat(60)])
        .expect_error(4, "NUMBERS_DIFFER");
    anna.run(&["info", "m_00000000000000000000000000000000"])
        .expect_error(8, "NOT_FOUND");
}

/// A `listen` goes on while other commands send, read and ask: nobody is told that the profile is in use.
#[test]
fn listen_and_send_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, [anna, ben], _daemons) = with_daemons(folder.path());
    introduce(&anna, &ben);
    let mut listeners: Vec<_> = (0..2).map(|_| ben.spawn(&["listen"])).collect();
    let heard: Vec<_> = listeners
        .iter_mut()
        .map(|child| lines(child.stdout.take().unwrap()))
        .collect();
    for number in 0..5 {
        anna.ok(&["send", &ben.identifier, &format!("to ben {number}")]);
        ben.ok(&["send", &anna.identifier, &format!("to anna {number}")]);
    }
    for heard in &heard {
        let mut texts = Vec::new();
        while texts.len() < 5 {
            let row = heard
                .recv_timeout(DEADLINE)
                .expect("each listener hears everything");
            let row: Value = serde_json::from_str(&row).unwrap();
            if row["type"] == "message" {
                texts.push(row["text"].as_str().unwrap().to_owned());
            }
        }
        assert_eq!(
            texts,
            ["to ben 0", "to ben 1", "to ben 2", "to ben 3", "to ben 4"]
        );
    }
    // An interrupted listener ends well, as it does alone; a killed one leaves nothing behind.
    let mut killed = listeners.pop().unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    let listener = listeners.pop().unwrap();
    terminate(&listener);
    assert_eq!(finish(listener, "listen").code, 0);
    assert_eq!(of_type(&anna.ok(&["listen", "--once"]), "message").len(), 5);
}

/// A command that waits is ended by a signal at once, the daemon goes on; what it queued stays queued.
#[test]
fn an_interrupt_ends_the_command_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, [anna, ben], daemons) = with_daemons(folder.path());
    let mut sending = anna.spawn(&[
        "--timeout",
        "10m",
        "send",
        &ben.identifier,
        "hi",
        "--wait",
        "read",
    ]);
    let mut wire = daemons[0].connect();
    // The daemon has it when the chat is there.
    while anna.run(&["history", &ben.identifier]).rows().is_empty() {}
    terminate(&sending);
    drop(sending.stdin.take());
    assert_eq!(finish(sending, "send").code, 128 + 15);
    assert_eq!(
        wire.ok("version", &json!({}))["version"],
        env!("CARGO_PKG_VERSION")
    );
    anna.ok(&["listen", "--once"]);
    assert_eq!(ben.ok(&["request", "list"])[0]["text"], "hi");
}

/// One daemon a profile; `daemon stop` returns when the profile is free, and what a killed one left is replaced.
#[test]
fn a_profile_has_one_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let anna = Person::registered(folder.path(), &server, "+4915112345678");
    anna.run(&["daemon", "status"]).expect_error(8, "NO_DAEMON");
    anna.run(&["daemon", "stop"]).expect_error(8, "NO_DAEMON");
    let daemon = Daemon::start(&anna);
    let again = anna.run(&["daemon"]);
    again.expect_error(9, "PROFILE_IN_USE");
    assert!(again.stderr.contains(&daemon.pid().to_string()), "{again}");
    let status = anna.ok(&["daemon", "status"]);
    assert_eq!(status[0]["pid"], daemon.pid());
    assert_eq!(status[0]["socket"], daemon.about["socket"]);
    let mut listener = anna.spawn(&["listen"]);
    drop(listener.stdin.take());
    // its own connection is one, the listener's the other
    while anna.ok(&["daemon", "status"])[0]["connections"] != 2 {}
    anna.ok(&["daemon", "stop"]);
    daemon.ended();
    finish(listener, "listen").expect_error(6, "DAEMON_GONE");
    drop(Daemon::start(&anna));
    assert!(
        anna.folder().join("daemon.sock").exists(),
        "a killed daemon leaves its socket"
    );
    assert_eq!(
        anna.ok(&["whoami"])[0]["identifier"],
        anna.identifier.as_str()
    );
    Daemon::start(&anna).terminate();
    let nobody = Person::new(folder.path(), "nobody@example.org");
    nobody.run(&["daemon"]).expect_error(3, "NO_PROFILE");
}

/// The daemon does not lend a locked profile's keys: whoever changes its passphrase or takes a key out of it shows
/// the passphrase again.
#[test]
fn a_locked_profile_asks_again_for_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let anna = Person::registered(folder.path(), &server, "+4915112345678");
    for (file, text) in [("old.txt", "old\n"), ("new.txt", "new\n")] {
        fs::write(folder.path().join(file), text).unwrap();
    }
    let change = ["passphrase", "change", "--new-passphrase-file"];
    anna.ok(&[&change[..], &["old.txt"]].concat());
    let old = folder.path().join("old.txt");
    let daemon = Daemon::start_with(&anna, &["--passphrase-file", old.to_str().unwrap()]);
    anna.ok(&["whoami"]);
    let to_new = [&change[..], &["new.txt"]].concat();
    anna.run(&to_new).expect_error(3, "PASSPHRASE_NEEDED");
    let with = |file| [&["--passphrase-file", file][..], &to_new].concat();
    anna.run(&with("new.txt"))
        .expect_error(3, "WRONG_PASSPHRASE");
    let export = [
        "key",
        "export",
        "k.pem",
        "--export-passphrase-file",
        "new.txt",
    ];
    anna.run(&export).expect_error(3, "PASSPHRASE_NEEDED");
    anna.ok(&with("old.txt"));
    anna.ok(&[&["--passphrase-file", "new.txt"][..], &export].concat());
    daemon.terminate();
    anna.run(&["whoami", "--passphrase-file", "old.txt"])
        .expect_error(3, "WRONG_PASSPHRASE");
    anna.ok(&["whoami", "--passphrase-file", "new.txt"]);
}
