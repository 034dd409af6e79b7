//! Keys that people compare, and keys that change: real programs against a real server.

#![cfg(test)]

mod support;

use std::path::Path;

use serde_json::Value;
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
