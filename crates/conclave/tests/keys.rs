//! Keys that people compare, and keys that change: real programs against a real server.

#![cfg(test)]

mod support;

use std::path::Path;

use serde_json::Value;
use support::person::of_type;
use support::{Person, Server};

fn folder_and_server() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    (folder, server)
}

/// Two people in one chat: the first wrote, the second accepted and answered.
fn talking(folder: &Path, server: &Server) -> (Person, Person) {
    let anna = Person::registered(folder, server, "anna@example.org");
    let ben = Person::registered(folder, server, "ben@example.org");
    anna.ok(&["send", &ben.identifier, "hello"]);
    ben.ok(&["request", "list"]);
    ben.ok(&["request", "accept", &anna.identifier]);
    ben.ok(&["send", &anna.identifier, "hello yourself"]);
    anna.ok(&["listen", "--once"]);
    (anna, ben)
}

fn trust(person: &Person, other: &Person) -> String {
    let shown = person.ok(&["safety", "show", &other.identifier]);
    shown[0]["trust"].as_str().unwrap().to_owned()
}

/// The picture that one person writes verifies them for the other; a picture of others, of something else, none and
/// a broken one say so and verify nobody.
#[test]
fn safety_numbers_are_compared_by_picture() {
    let (folder, server) = folder_and_server();
    let (anna, ben) = talking(folder.path(), &server);
    let cleo = Person::registered(folder.path(), &server, "cleo@example.org");
    cleo.ok(&["send", &ben.identifier, "I am Cleo"]);
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (by_anna, by_cleo) = (file("anna.png"), file("cleo.png"));
    anna.ok(&["safety", "show", &ben.identifier, "--qr-file", &by_anna]);
    cleo.ok(&["safety", "show", &ben.identifier, "--qr-file", &by_cleo]);
    anna.run(&["safety", "show", &ben.identifier, "--qr-file", &by_anna])
        .expect_error(9, "FILE_EXISTS");

    let verify =
        |picture: &str| ben.run(&["safety", "verify", &anna.identifier, "--qr-file", picture]);
    verify(&by_cleo).expect_error(4, "NUMBERS_DIFFER");
    let nonsense = file("nonsense.png");
    std::fs::write(&nonsense, "no picture").unwrap();
    verify(&nonsense).expect_error(2, "USAGE");
    verify(&file("none.png")).expect_error(2, "USAGE");
    assert_eq!(trust(&ben, &anna), "unverified");
    assert_eq!(
        verify(&by_anna).expect_exit(0).rows()[0]["trust"],
        "verified"
    );
    assert_eq!(trust(&ben, &anna), "verified");
    assert_eq!(trust(&anna, &ben), "unverified");
    // one way to compare at a time, and at least one
    ben.run(&["safety", "verify", &anna.identifier])
        .expect_error(2, "USAGE");
    ben.run(&["safety", "verify", &anna.identifier, "1", "--side-by-side"])
        .expect_error(2, "USAGE");
}

/// Side by side, three lines are confirmed one by one; a no, or no answer, verifies nobody and ends with 4.
#[test]
fn safety_numbers_are_compared_side_by_side() {
    let (folder, server) = folder_and_server();
    let (anna, ben) = talking(folder.path(), &server);
    let both = |answers: &str| {
        let ask = |person: &Person, other: &Person| {
            person.answer(
                &["safety", "verify", &other.identifier, "--side-by-side"],
                answers,
            )
        };
        [ask(&anna, &ben), ask(&ben, &anna)]
    };
    for answers in ["n\n", "y\nn\n", "y\ny\n", "", "perhaps\ny\nNO\n"] {
        for outcome in both(answers) {
            outcome.expect_error(4, "NUMBERS_DIFFER");
        }
    }
    assert_eq!(trust(&anna, &ben), "unverified");
    let asked = both("y\nsurely\nYES\ny\n");
    for outcome in &asked {
        assert_eq!(outcome.code, 0, "{outcome}");
    }
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains("line "));
        lines
            .map(|line| line[line.find("line ").unwrap()..].to_owned())
            .collect()
    };
    assert_eq!(lines(&asked[0].stderr), lines(&asked[1].stderr));
    assert_eq!(lines(&asked[0].stderr).len(), 4);
    assert_eq!(
        (trust(&anna, &ben), trust(&ben, &anna)),
        ("verified".into(), "verified".into())
    );
    anna.run(&["safety", "verify", &ben.identifier, "--side-by-side"])
        .expect_error(2, "USAGE");
}

/// Under strict trust nothing goes to somebody who was not compared, known or new, nor does what was queued before;
/// after comparing it does.
#[test]
fn c139_strict_trust_sends_to_verified_people_only() {
    let (folder, server) = folder_and_server();
    let (anna, ben) = talking(folder.path(), &server);
    let cleo = Person::registered(folder.path(), &server, "cleo@example.org");
    let mode = |person: &Person| -> Value {
        person.ok(&["config", "get", "trust.mode"])[0]["value"].clone()
    };
    assert_eq!(mode(&anna), "tofu");
    anna.run(&["config", "set", "trust.mode", "none"])
        .expect_error(2, "USAGE");
    anna.ok(&["config", "set", "trust.mode", "strict"]);
    assert_eq!(mode(&anna), "strict");
    for other in [&ben, &cleo] {
        anna.run(&["send", &other.identifier, "may not go"])
            .expect_error(4, "UNVERIFIED");
    }
    // what comes in is shown, and not confirmed
    ben.ok(&["send", &anna.identifier, "are you there?"]);
    anna.ok(&["listen", "--once"]);
    let last = ben.history(&anna).pop().unwrap();
    assert_eq!(
        (&last["text"], &last["state"]),
        (&"are you there?".into(), &"accepted".into())
    );

    let number = ben.ok(&["safety", "show", &anna.identifier])[0]["number"].clone();
    anna.ok(&[
        "safety",
        "verify",
        &ben.identifier,
        number.as_str().unwrap(),
    ]);
    anna.ok(&["send", &ben.identifier, "now I am"]);
    ben.ok(&["listen", "--once"]);
    let texts: Vec<Value> = ben
        .history(&anna)
        .iter()
        .map(|row| row["text"].clone())
        .collect();
    assert_eq!(
        texts,
        ["hello", "hello yourself", "are you there?", "now I am"]
    );
    cleo.ok(&["listen", "--once"]);
    assert!(cleo.ok(&["request", "list"]).is_empty());
    anna.ok(&["config", "set", "trust.mode", "tofu"]);
    anna.ok(&["send", &cleo.identifier, "hello Cleo"]);
}

/// A rotated key is another one on disk and in the export; contacts go on, see a new safety number and a note until
/// they take it, and what was said stays one chat.
#[test]
fn c138_rotated_key_is_followed() {
    let (folder, server) = folder_and_server();
    let (anna, ben) = talking(folder.path(), &server);
    let whoami = |person: &Person| person.ok(&["whoami"])[0]["fingerprint"].clone();
    let number = |person: &Person, other: &Person| {
        person.ok(&["safety", "show", &other.identifier])[0]["number"].clone()
    };
    let (old, old_number) = (whoami(&anna), number(&ben, &anna));
    let rotated = anna.ok(&["key", "rotate"]);
    assert_ne!(rotated[0]["fingerprint"], old);
    assert_eq!(rotated[0]["fingerprint"], whoami(&anna));
    ben.ok(&["listen", "--once"]);
    assert_ne!(number(&ben, &anna), old_number);
    assert_eq!(number(&ben, &anna), number(&anna, &ben));
    let warnings = |person: &Person| person.ok(&["status"])[0]["warnings"].to_string();
    assert!(warnings(&ben).contains("signed by the old one"));
    let contact = &ben.ok(&["contact", "list"])[0];
    assert!(contact["rotated_ms"].is_u64(), "{contact}");
    anna.ok(&["send", &ben.identifier, "a new key"]);
    let shown = ben.ok(&["history", &anna.identifier]);
    assert_eq!(of_type(&shown, "key_rotated").len(), 1, "{shown:?}");
    ben.ok(&["send", &anna.identifier, "I see"]);
    anna.ok(&["listen", "--once"]);
    assert_eq!(anna.history(&ben).len(), 4);
    assert_eq!(ben.ok(&["chats"]).len(), 1);
    ben.ok(&["safety", "accept", &anna.identifier]);
    assert!(!warnings(&ben).contains("signed by the old one"));
    // it needs the server: without it nothing has changed, and nothing is in the way of the next try
    let new = whoami(&anna);
    let mut server = server;
    server.stop();
    let failed = anna.run(&["key", "rotate", "--timeout", "2s"]);
    assert!(matches!(failed.code, 6 | 10), "{failed}");
    assert_eq!(whoami(&anna), new);
    server.restart();
    anna.ok(&["key", "rotate"]);
    assert_ne!(whoami(&anna), new);
}

/// Killed at any sync of `key rotate`, the next command works, and the next rotation goes through: the contact
/// follows whatever became of it.
#[test]
fn c138_rotation_killed_anywhere_leaves_one_key() {
    let (folder, server) = folder_and_server();
    let (anna, ben) = talking(folder.path(), &server);
    let mut said = 2;
    for sync in 1..200 {
        let inject = format!("inject=fdatasync:signal=KILL:when={sync}");
        let wrapper = [
            "strace",
            "-f",
            "-qqq",
            "-o",
            "/dev/null",
            "-e",
            "trace=fdatasync",
            "-e",
        ];
        let killed = anna.run_under(&[&wrapper[..], &[&inject]].concat(), &["key", "rotate"]);
        assert!(matches!(killed.code, -1 | 0), "{killed}");
        anna.ok(&["send", &ben.identifier, &format!("{sync}")]);
        ben.ok(&["listen", "--once"]);
        said += 1;
        assert_eq!(ben.history(&anna).len(), said);
        assert_eq!(trust(&ben, &anna), "unverified");
        if killed.code == 0 {
            assert!(sync > 3, "it syncs before and after");
            return;
        }
    }
    panic!("`key rotate` never ends");
}

/// A key that is lost is replaced without its signature: contacts are stopped with 4 until they accept it.
#[test]
fn c137_reset_key_is_accepted_by_people() {
    let (folder, server) = folder_and_server();
    let (anna, ben) = talking(folder.path(), &server);
    anna.run(&["key", "reset"]).expect_error(2, "USAGE");
    anna.ok(&["key", "reset", "--contacts-must-accept"]);
    anna.ok(&["send", &ben.identifier, "my key was stolen"]);
    ben.run(&["listen", "--once"]);
    ben.run(&["send", &anna.identifier, "who is this?"])
        .expect_error(4, "KEY_CHANGED");
    assert_eq!(trust(&ben, &anna), "changed");
    assert_eq!(ben.history(&anna).len(), 2);
    ben.ok(&["safety", "accept", &anna.identifier]);
    ben.ok(&["send", &anna.identifier, "good to hear"]);
    anna.ok(&["listen", "--once"]);
    ben.ok(&["listen", "--once"]);
    for (person, other) in [(&anna, &ben), (&ben, &anna)] {
        let mut texts: Vec<Value> = person
            .history(other)
            .iter()
            .map(|row| row["text"].clone())
            .collect();
        texts.sort_by_key(|text| text.as_str().map(str::to_owned));
        assert_eq!(
            texts,
            [
                "good to hear",
                "hello",
                "hello yourself",
                "my key was stolen"
            ]
        );
        assert_eq!(person.ok(&["chats"]).len(), 1);
    }
}
