//! What bad input gets, on the real programs: a clear error, nothing lost, no state changed.

#![cfg(test)]

mod support;

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use support::person::of_type;
use support::program::{DEADLINE, finish};
use support::server::{binary, lines};
use support::{Person, Program, Server};

/// Another code of the same shape.
fn other_code(code: &str) -> String {
    code.chars()
        .map(|c| if c == '2' { '3' } else { '2' })
        .collect()
}

fn is_registered(person: &Person) -> bool {
    person.run(&["whoami"]).code == 0
}

/// Anna and Ben, talking.
fn introduced(folder: &Path, server: &Server) -> (Person, Person) {
    let anna = Person::registered(folder, server, "anna@example.org");
    let ben = Person::registered(folder, server, "ben@example.org");
    anna.ok(&["send", &ben.identifier, "hello"]);
    ben.ok(&["listen", "--once"]);
    ben.ok(&["request", "accept", &anna.identifier]);
    (anna, ben)
}

/// An address with another server's pin: exit 4 before anything is told to the server.
#[test]
fn c008_a_wrong_pin_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let address = server.address();
    let (pin, host) = address
        .strip_prefix("conclave://")
        .unwrap()
        .split_once('@')
        .unwrap();
    let turned: String = pin.chars().rev().collect();
    // The last character carries two bits only: `A` is right at any place.
    let wrong = format!("conclave://{}A@{host}", &turned[1..]);
    let anna = Person::new(folder.path(), "anna@example.org");
    let words = [
        "register",
        "--server",
        &wrong,
        "--email",
        "anna@example.org",
        "--no-passphrase",
    ];
    anna.run(&words).expect_error(4, "WRONG_SERVER");
    assert!(!is_registered(&anna));
    anna.ask_code(&server).expect_exit(0);
}

/// Another server at the old address: exit 4, the message stays queued, and goes out when the right one is back.
#[test]
fn c008_a_changed_server_root_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let (anna, ben) = introduced(folder.path(), &server);
    server.stop();
    fs::rename(folder.path().join("server"), folder.path().join("kept")).unwrap();
    server.restart();
    anna.run(&["send", &ben.identifier, "to whom?"])
        .expect_error(4, "WRONG_SERVER");
    let history = anna.history(&ben);
    assert_eq!(
        history.last().unwrap()["state"],
        "queued",
        "nothing is lost"
    );
    server.stop();
    fs::remove_dir_all(folder.path().join("server")).unwrap();
    fs::rename(folder.path().join("kept"), folder.path().join("server")).unwrap();
    server.restart();
    anna.ok(&["listen", "--once"]);
    assert_eq!(anna.history(&ben).last().unwrap()["state"], "accepted");
}

/// A wrong code tells how many tries are left; after five wrong ones the right one does not help either.
#[test]
fn c040_the_sixth_try_is_too_late() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let anna = Person::new(folder.path(), "anna@example.org");
    anna.ask_code(&server).expect_exit(0);
    let code = server.code_for(&anna.identifier);
    for left in (0..5).rev() {
        let outcome = anna.run(&["register", "confirm", &other_code(&code)]);
        let error = outcome.error();
        assert_eq!(outcome.code, 3, "{outcome}");
        if left > 0 {
            assert_eq!(error["code"], "OTP_WRONG", "{outcome}");
            assert!(
                error["hint"]
                    .as_str()
                    .unwrap()
                    .starts_with(&format!("{left} ")),
                "{outcome}"
            );
        }
    }
    anna.run(&["register", "confirm", &code])
        .expect_error(3, "OTP_EXHAUSTED");
    assert!(!is_registered(&anna));
}

/// A code registers once: replayed in the same profile it finds the account made, elsewhere it is unknown.
#[test]
fn a_replayed_code_registers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let anna = Person::new(folder.path(), "anna@example.org");
    anna.ask_code(&server).expect_exit(0);
    let code = server.code_for(&anna.identifier);
    anna.ok(&["register", "confirm", &code]);
    let before = anna.ok(&["whoami"]);
    anna.run(&["register", "confirm", &code])
        .expect_error(9, "ALREADY_REGISTERED");
    anna.ask_code(&server).expect_error(9, "ALREADY_REGISTERED");
    assert_eq!(anna.ok(&["whoami"]), before);

    let other = Person::new(folder.path(), "other@example.org");
    other.ask_code(&server).expect_exit(0);
    other
        .run(&["register", "confirm", &code])
        .expect_error(3, "OTP_WRONG");
    assert!(!is_registered(&other));
}

/// A code asked for with one identity key registers no other key.
#[test]
fn c042_a_code_belongs_to_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let anna = Person::new(folder.path(), "anna@example.org");
    let thief = Person::new(&folder.path().join("thief"), "anna@example.org");
    fs::create_dir(folder.path().join("thief")).unwrap();
    anna.ask_code(&server).expect_exit(0);
    let code = server.code_for(&anna.identifier);
    thief.ask_code(&server).expect_exit(0);
    thief
        .run(&["register", "confirm", &code])
        .expect_error(3, "OTP_WRONG");
    assert!(!is_registered(&thief));
    anna.ok(&["register", "confirm", &code]);
}

/// A taken identifier: the right code starts a hold of seven days, the owner is told and can veto.
#[test]
fn c044_a_taken_identifier_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let anna = Person::registered(folder.path(), &server, "anna@example.org");
    let before = anna.ok(&["whoami"]);
    fs::create_dir(folder.path().join("other")).unwrap();
    let other = Person::new(&folder.path().join("other"), "anna@example.org");
    other.ask_code(&server).expect_exit(0);
    let code = server.code_for(&anna.identifier);
    let held = other.run(&["register", "confirm", &code]);
    held.expect_error(9, "IDENTIFIER_HELD");
    let week = 7 * 86_400_000_u64;
    let wait = held.error()["retry_after_ms"].as_u64().unwrap();
    assert!(wait > week - 600_000 && wait <= week, "{wait}");
    assert!(!is_registered(&other));
    let status = &anna.ok(&["status"])[0];
    assert!(
        !status["warnings"].as_array().unwrap().is_empty(),
        "the owner is told: {status}"
    );
    anna.ok(&["register", "veto"]);
    assert_eq!(anna.ok(&["whoami"]), before);
    assert!(
        anna.ok(&["status"])[0]["warnings"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

/// Words that are no recipient, and a recipient whom the server does not know.
#[test]
fn unknown_recipients_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let anna = Person::registered(folder.path(), &server, "anna@example.org");
    anna.run(&["send", "nobody@example.org", "hello"])
        .expect_error(8, "NOT_FOUND");
    // a name that nobody has is not found; what was to be an address or a number is told to be none
    anna.run(&["send", "no recipient", "hello"])
        .expect_error(8, "NOT_FOUND");
    for words in ["no@recipient@", "+49", "0151 1234567"] {
        anna.run(&["send", words, "hello"])
            .expect_error(2, "BAD_INPUT");
    }
    let chat = format!("c_{}", "00".repeat(16));
    anna.run(&["send", &chat, "hello"])
        .expect_error(8, "NOT_FOUND");
    anna.run(&["history", "nobody@example.org"])
        .expect_error(8, "NOT_FOUND");
    anna.run(&["info", &format!("m_{}", "00".repeat(16))])
        .expect_error(8, "NOT_FOUND");
    anna.run(&["request", "accept", "nobody@example.org"])
        .expect_error(8, "NOT_FOUND");
    anna.run(&["safety", "show", "nobody@example.org"])
        .expect_error(8, "NOT_FOUND");
    assert!(anna.ok(&["chats"]).is_empty(), "nothing was made");
}

/// 64 KiB of text goes through; one byte more is refused before anything is sent. As one of many lines it
/// ends the command, and what came before it is sent.
#[test]
fn oversized_messages_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, ben) = introduced(folder.path(), &server);
    let most = "x".repeat(64 * 1024);
    anna.ok_with(&["send", &ben.identifier], &format!("{most}\n"));
    anna.run_with(&["send", &ben.identifier, "-"], &format!("{most}y"))
        .expect_error(2, "TOO_LARGE");
    let lines = format!("small\n{most}y\nsmall\n");
    anna.run_with(&["send", &ben.identifier, "--lines"], &lines)
        .expect_error(7, "PARTLY_SENT");
    let heard = of_type(&ben.ok(&["listen", "--once"]), "message");
    assert_eq!(heard.len(), 2, "{}", heard.len());
    assert_eq!(heard[1]["text"], "small");
    assert_eq!(heard[0]["text"].as_str().map(str::len), Some(64 * 1024));
}

/// A wrong passphrase opens nothing and changes nothing; the right one still does.
#[test]
fn a_wrong_passphrase_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let anna = Person::registered(folder.path(), &server, "anna@example.org");
    for (name, text) in [("good", "correct horse\n"), ("bad", "battery staple\n")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    anna.ok(&["passphrase", "change", "--new-passphrase-file", "good"]);
    let bad = anna.run(&["whoami", "--passphrase-file", "bad"]);
    bad.expect_error(3, "WRONG_PASSPHRASE");
    assert!(bad.stdout.is_empty());
    anna.run(&["whoami"]).expect_error(3, "PASSPHRASE_NEEDED");
    anna.ok(&["whoami", "--passphrase-file", "good"]);
}

/// A damaged store is told as such, exit 12, and is not written over.
#[test]
fn a_damaged_store_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let anna = Person::registered(folder.path(), &server, "anna@example.org");
    let store = anna.folder().join("store.db");
    let damaged: Vec<u8> = fs::read(&store)
        .unwrap()
        .iter()
        .map(|byte| byte ^ 0x55)
        .collect();
    fs::write(&store, &damaged).unwrap();
    anna.run(&["history", "x@example.org"])
        .expect_error(12, "STORE");
    anna.ask_code(&server).expect_error(12, "STORE");
    assert_eq!(fs::read(&store).unwrap(), damaged);
}

/// A taken port: the second server names it and ends; the first goes on.
#[test]
fn a_taken_port_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let other = folder.path().join("other");
    let listen = format!("127.0.0.1:{}", server.port());
    let words = [
        "serve",
        "--data-dir",
        other.to_str().unwrap(),
        "--listen",
        &listen,
    ];
    let outcome = Program::new(binary(), folder.path()).run(&words, "");
    assert_ne!(outcome.code, 0, "{outcome}");
    assert!(
        outcome.stderr.contains(&server.port().to_string()),
        "{outcome}"
    );
    Person::registered(folder.path(), &server, "anna@example.org");
}

/// The server gone between any two steps: exit 6, the message stays queued, and nothing is lost or doubled
/// once it is back.
#[test]
fn a_server_that_is_gone_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let anna = Person::new(folder.path(), "anna@example.org");
    let ben = Person::registered(folder.path(), &server, "ben@example.org");
    anna.ask_code(&server).expect_exit(0);
    let code = server.code_for(&anna.identifier);
    server.kill();
    anna.run(&["register", "confirm", &code])
        .expect_error(6, "UNREACHABLE");
    server.restart();
    anna.ok(&["register", "confirm", &code]);

    server.kill();
    anna.run(&["send", &ben.identifier, "not even looked up"])
        .expect_error(6, "UNREACHABLE");
    server.restart();
    anna.ok(&["send", &ben.identifier, "one"]);
    ben.ok(&["listen", "--once"]);
    server.kill();
    ben.run(&["request", "accept", &anna.identifier])
        .expect_error(6, "UNREACHABLE");
    let queued = anna.run(&["send", &ben.identifier, "two"]);
    queued.expect_error(6, "UNREACHABLE");
    assert_eq!(queued.rows()[0]["state"], "queued");
    assert_eq!(anna.ok(&["status"])[0]["online"], false);
    server.restart();
    anna.ok(&["listen", "--once"]);
    ben.ok(&["listen", "--once"]);
    server.kill();
    ben.run(&["read", &anna.identifier])
        .expect_error(6, "UNREACHABLE");
    server.restart();
    ben.ok(&["listen", "--once"]);
    anna.ok(&["listen", "--once"]);
    let texts = |rows: &[serde_json::Value]| {
        rows.iter()
            .map(|row| row["text"].to_string())
            .collect::<Vec<_>>()
    };
    let (seen_by_anna, seen_by_ben) = (anna.history(&ben), ben.history(&anna));
    assert_eq!(texts(&seen_by_ben), ["\"one\"", "\"two\""]);
    assert_eq!(texts(&seen_by_anna), texts(&seen_by_ben));
    assert!(
        seen_by_anna.iter().all(|row| row["state"] == "read"),
        "{seen_by_anna:?}"
    );
}

/// A server that takes the connection and says nothing: the command ends by `--timeout`, exit 6 or 10,
/// and while it waits a second process on the profile gets exit 9.
#[test]
fn a_mute_server_and_a_second_process() {
    let folder = tempfile::tempdir().unwrap();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    let address = format!("conclave://{}@127.0.0.1:{port}", "A".repeat(43));
    let anna = Person::new(folder.path(), "anna@example.org");
    let words = [
        "--timeout",
        "5s",
        "register",
        "--server",
        &address,
        "--email",
        "anna@example.org",
        "--no-passphrase",
    ];
    let waiting = anna.spawn(&words);
    let connection = mute.accept().unwrap();
    anna.run(&["whoami"]).expect_error(9, "PROFILE_IN_USE");
    let outcome = finish(waiting, "register");
    assert!(matches!(outcome.code, 6 | 10), "{outcome}");
    drop(connection);
    anna.run(&["whoami"]).expect_error(3, "NOT_REGISTERED");
}

/// A server stopped in the middle of many lines: each line is accepted or queued, and all arrive once, in order.
#[test]
fn a_server_stopped_in_the_middle_of_many_lines() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let (anna, ben) = introduced(folder.path(), &server);
    let mut chat = anna.spawn(&["--timeout", "3s", "chat", &ben.identifier]);
    let mut stdin = chat.stdin.take().unwrap();
    let said = lines(chat.stdout.take().unwrap());
    let mut wanted = vec!["hello".to_owned()];
    for number in 0..40 {
        use std::io::Write as _;
        writeln!(stdin, "line {number}").unwrap();
        wanted.push(format!("line {number}"));
        if number == 20 {
            said.recv_timeout(DEADLINE).expect("the chat sends");
            server.kill();
        }
    }
    drop(stdin);
    let outcome = finish(chat, "chat");
    assert!(matches!(outcome.code, 6 | 10), "{outcome}");
    server.restart();
    anna.ok(&["listen", "--once"]);
    ben.ok(&["listen", "--once"]);
    let texts = |person: &Person, other: &Person| -> Vec<String> {
        person
            .history(other)
            .iter()
            .map(|row| row["text"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(texts(&ben, &anna), wanted);
    assert_eq!(texts(&anna, &ben), wanted);
}

/// Numbers and times that mean nothing, and a folder that is not there: each refusal says what would do, and nothing is
/// written.
#[test]
fn what_means_nothing_is_refused_with_what_would_do() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, ben) = introduced(folder.path(), &server);
    let ben = ben.identifier.as_str();
    anna.run(&["history", ben, "--limit", "0"])
        .expect_error(2, "USAGE");
    for time in [
        "0s",
        "0d",
        "30 days",
        "tomorrow",
        "-1d",
        "99999999999999999999d",
    ] {
        let expires = format!("--expires={time}");
        let refused = anna.run(&["token", "create", "--scope", "read", &expires]);
        refused.expect_error(2, "USAGE");
        let error = refused.error();
        assert!(error.to_string().contains("30d"), "{time}: {error}");
    }
    assert!(anna.ok(&["token", "list"]).is_empty());
    let nowhere = folder.path().join("nowhere");
    let out = nowhere.join("x");
    let refused = anna.run(&["export", ben, "--out", out.to_str().unwrap()]);
    refused.expect_error(8, "NO_FOLDER");
    let error = refused.error();
    assert!(error.to_string().contains("make the folder"), "{error}");
    assert!(!nowhere.exists());
}
