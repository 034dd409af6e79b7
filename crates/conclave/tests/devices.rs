//! Devices of one account, with the real programs over TLS: link, list, rename, remove.

#![cfg(test)]

mod support;

use std::path::Path;
use std::process::Child;

use serde_json::Value;
use support::person::of_type;
use support::program::finish;
use support::server::lines;
use support::{Person, Server};

/// A profile that waits to be let in, and what it shows.
struct Waiting {
    person: Person,
    child: Child,
    uri: String,
    code: String,
}

/// Starts `conclave link` in a profile of its own.
fn wait_at(folder: &Path, server: &Server, identifier: &str, name: &str) -> Waiting {
    let own = folder.join(name);
    std::fs::create_dir_all(&own).unwrap();
    let person = Person::new(&own, identifier);
    let address = server.address();
    let words = [
        "link",
        &address,
        "--name",
        name,
        "--no-passphrase",
        "--timeout",
        "60s",
    ];
    let mut child = person.spawn(&words);
    let said = lines(child.stdout.take().unwrap());
    let row: Value = serde_json::from_str(&said.recv().unwrap()).unwrap();
    assert_eq!(row["type"], "link");
    let word = |key: &str| row[key].as_str().unwrap().to_owned();
    Waiting {
        uri: word("uri"),
        code: word("code"),
        person,
        child,
    }
}

/// One more device of somebody's, let in by `old`.
fn device_of(folder: &Path, server: &Server, old: &Person, name: &str) -> Person {
    let new = wait_at(folder, server, &old.identifier, name);
    old.ok(&["device", "approve", &new.uri, "--code", &new.code]);
    let outcome = finish(new.child, "link");
    assert_eq!(outcome.code, 0, "{outcome}");
    new.person
}

fn devices(person: &Person) -> Vec<Value> {
    of_type(&person.ok(&["device", "list"]), "device")
}

/// A device is let in by link and code, is listed on both, gets a name, and is the same account.
#[test]
fn a_device_is_linked_listed_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let old = Person::registered(folder.path(), &server, "anna@example.org");
    let new = device_of(folder.path(), &server, &old, "laptop");
    let me = |person: &Person| person.ok(&["whoami"]).remove(0);
    assert_eq!(me(&old)["account"], me(&new)["account"]);
    assert_eq!(me(&old)["fingerprint"], me(&new)["fingerprint"]);
    assert_ne!(me(&old)["device"], me(&new)["device"]);
    for (person, is_new) in [(&old, false), (&new, true)] {
        let listed = devices(person);
        assert_eq!(listed.len(), 2);
        let laptop = listed.iter().find(|row| row["name"] == "laptop").unwrap();
        assert_eq!(laptop["this"], is_new);
        assert_eq!(laptop["role"], "certifier");
    }
    old.ok(&["device", "rename", "laptop", "the new one"]);
    assert!(devices(&old).iter().any(|row| row["name"] == "the new one"));
}

/// A device's key is replaced with one word; contacts are told nothing and both go on.
#[test]
fn c187_a_device_key_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let anna = Person::registered(folder.path(), &server, "anna@example.org");
    let ben = Person::registered(folder.path(), &server, "ben@example.org");
    anna.ok(&["send", "ben@example.org", "hello"]);
    ben.ok(&["listen", "--once"]);
    ben.ok(&["request", "accept", "anna@example.org"]);
    anna.ok(&["listen", "--once"]);
    let before = anna.ok(&["whoami"]).remove(0);
    let done = anna.ok(&["device", "rotate"]).remove(0);
    let expected = (&"rotated".into(), &before["device"]);
    assert_eq!((&done["done"], &done["to"]), expected);
    assert_eq!(anna.ok(&["whoami"]).remove(0), before);
    ben.ok(&["send", "anna@example.org", "to the new key"]);
    let mut heard = anna.ok(&["listen", "--once"]);
    anna.ok(&["send", "ben@example.org", "from the new key"]);
    heard.extend(ben.ok(&["listen", "--once"]));
    assert!(of_type(&heard, "key_rotated").is_empty(), "{heard:?}");
    for (person, other) in [(&anna, "ben@example.org"), (&ben, "anna@example.org")] {
        let history = of_type(&person.ok(&["history", other]), "message");
        let texts: Vec<_> = history.iter().map(|row| row["text"].clone()).collect();
        assert_eq!(texts, ["hello", "to the new key", "from the new key"]);
    }
}

/// A wrong code ends the link on both sides with its code, and so does a used link.
#[test]
fn c123_wrong_code_is_told_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let old = Person::registered(folder.path(), &server, "anna@example.org");
    let new = wait_at(folder.path(), &server, "anna@example.org", "laptop");
    let wrong = if new.code == "000000" {
        "000001"
    } else {
        "000000"
    };
    let approve = |code: &str| old.run(&["device", "approve", &new.uri, "--code", code]);
    // without the code nothing is done, and the link stays good
    old.run(&["device", "approve", &new.uri])
        .expect_error(2, "USAGE");
    approve(wrong).expect_error(8, "NOT_FOUND");
    finish(new.child, "link").expect_error(4, "LINK_FAILED");
    approve(&new.code).expect_error(8, "NOT_FOUND");
    old.run(&["device", "approve", "conclave-link:x", "--code", "123456"])
        .expect_error(2, "BAD_INPUT");
    assert_eq!(devices(&old).len(), 1);
    new.person
        .run(&["whoami"])
        .expect_error(3, "NOT_REGISTERED");
}

/// A removed device is told with its exit code, keeps what it has, and the account goes on without it.
#[test]
fn c130_removed_device_is_told_with_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let old = Person::registered(folder.path(), &server, "anna@example.org");
    let new = device_of(folder.path(), &server, &old, "laptop");
    old.run(&["device", "remove", "nothing"])
        .expect_error(8, "NOT_FOUND");
    old.ok(&["device", "remove", "laptop"]);
    assert_eq!(devices(&old).len(), 1);
    new.run(&["listen", "--once"])
        .expect_error(3, "DEVICE_REMOVED");
    new.ok(&["whoami"]);
    new.ok(&["chats"]);
    let listed = new.run(&["device", "list"]);
    listed.expect_error(3, "DEVICE_REMOVED");
    let listed = of_type(&listed.rows(), "device");
    assert!(listed.iter().any(|row| row["this"] == true), "{listed:?}");
    // what it writes would never go out: nothing is queued
    new.run(&["send", &old.identifier, "anybody?"])
        .expect_error(3, "DEVICE_REMOVED");
    let status = new.ok(&["status"]).remove(0);
    assert_eq!(
        (&status["removed"], &status["queued"]),
        (&true.into(), &0.into())
    );
    old.ok(&["listen", "--once"]);
}

/// A new device gets the whole past, what the old one had not fetched yet too, and each group once.
#[test]
fn the_whole_past_goes_along_and_groups_are_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let old = Person::registered(folder.path(), &server, "anna@example.org");
    let ben = Person::registered(folder.path(), &server, "ben@example.org");
    old.ok(&["send", &ben.identifier, "hello"]);
    ben.ok(&["listen", "--once"]);
    ben.ok(&["request", "accept", &old.identifier]);
    old.ok(&["listen", "--once"]);
    old.ok(&["group", "create", "friends", &ben.identifier]);
    ben.ok(&["listen", "--once"]);
    ben.ok(&["send", "friends", "to all"]);
    ben.ok(&["send", &old.identifier, "to one"]);
    // nothing of that is on the old device so far
    let new = wait_at(folder.path(), &server, &old.identifier, "laptop");
    let code = &new.code;
    old.ok(&[
        "device",
        "approve",
        &new.uri,
        "--code",
        code,
        "--history",
        "all",
    ]);
    let outcome = finish(new.child, "link");
    assert_eq!(outcome.code, 0, "{outcome}");
    for person in [&new.person, &old, &new.person] {
        person.ok(&["listen", "--once"]);
    }
    // what one own device says is told on the other, as its own
    old.ok(&["send", &ben.identifier, "from the old one"]);
    let heard = of_type(&new.person.ok(&["listen", "--once"]), "message");
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(
        (&heard[0]["own"], &heard[0]["text"]),
        (&true.into(), &"from the old one".into())
    );
    ben.ok(&["send", "friends", "now"]);
    new.person.ok(&["listen", "--once"]);
    let texts = |chat: &str| -> Vec<_> {
        let rows = of_type(&new.person.ok(&["history", chat]), "message");
        rows.into_iter().map(|row| row["text"].clone()).collect()
    };
    let direct = ["hello", "to one", "from the old one"];
    assert_eq!(texts(&ben.identifier), direct);
    assert_eq!(texts("friends"), ["to all", "now"]);
    // what happened in the group before it came goes along, too
    let changes = |person: &Person| -> Vec<_> {
        let rows = of_type(&person.ok(&["history", "friends"]), "group_change");
        rows.into_iter().map(|row| row["change"].clone()).collect()
    };
    assert_eq!(changes(&old), ["created", "added"]);
    assert_eq!(changes(&new.person), changes(&old));
    let groups = of_type(&new.person.ok(&["group", "list"]), "group");
    assert_eq!(groups.len(), 1, "{groups:?}");
}

/// Who approves a device that waits no more is told so, and nothing is changed.
#[test]
fn who_waits_in_vain_is_told_for_whom() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let old = Person::registered(folder.path(), &server, "anna@example.org");
    let mut new = wait_at(folder.path(), &server, &old.identifier, "laptop");
    new.child.kill().unwrap();
    new.child.wait().unwrap();
    let words = ["device", "approve", &new.uri, "--code", &new.code];
    let outcome = old.run(&[&words[..], &["--timeout", "5s"]].concat());
    let message = outcome.error()["message"].to_string();
    assert!(message.contains("does not answer"), "{message}");
    outcome.expect_error(10, "TIMED_OUT");
    assert_eq!(devices(&old).len(), 1);
}
