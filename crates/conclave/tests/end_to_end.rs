//! Two people, the real programs, real TLS: hundreds of messages over restarts of everybody.

#![cfg(test)]

mod support;

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;
use support::person::of_type;
use support::program::{DEADLINE, finish, terminate};
use support::server::lines;
use support::{Person, Server};

const FIRST: &str = "the words of the request";
/// Half of what each side sends while the other is offline, and half of what it sends while the other listens.
const HALF: usize = 50;

/// Numbered lines as `send --lines` reads them.
fn numbered(what: &str, from: usize, to: usize) -> (Vec<String>, String) {
    let texts: Vec<String> = (from..to)
        .map(|number| format!("{what} {number}"))
        .collect();
    let stdin = texts.join("\n") + "\n";
    (texts, stdin)
}

fn texts(rows: &[Value]) -> Vec<String> {
    rows.iter()
        .map(|row| row["text"].as_str().unwrap().to_owned())
        .collect()
}

/// Sends `HALF` lines; all are accepted, in order.
fn send_half(from: &Person, to: &Person, what: &str, begin: usize) -> Vec<String> {
    let (texts, stdin) = numbered(what, begin, begin + HALF);
    let rows = from.ok_with(&["send", &to.identifier, "--lines"], &stdin);
    assert_eq!(of_type(&rows, "queued").len(), HALF);
    let rows = of_type(&rows, "sent");
    assert_eq!(rows.len(), HALF);
    assert!(rows.iter().all(|row| row["state"] != "queued"), "{rows:?}");
    texts
}

/// Anna and Ben, talking: Anna's first text went with the request, and Ben accepted it.
fn introduced(folder: &Path, server: &Server) -> (Person, Person) {
    let anna = Person::registered(folder, server, "+4915112345678");
    let ben = Person::registered(folder, server, "ben@example.org");
    let sent = anna.ok(&["send", &ben.identifier, FIRST]);
    assert_eq!(sent[0]["state"], "accepted");
    assert_eq!(sent[0]["recipients"][0]["to"], "ben@example.org");
    let heard = ben.ok(&["listen", "--once"]);
    let asked = of_type(&heard, "request");
    assert_eq!(asked.len(), 1, "{heard:?}");
    assert_eq!(
        (&asked[0]["text"], &asked[0]["from"]["identifier"]),
        (&FIRST.into(), &anna.identifier.as_str().into())
    );
    // The other person's identifier names the chat before acceptance too.
    ben.ok(&["request", "accept", &anna.identifier]);
    let history = ben.history(&anna);
    assert_eq!(
        texts(&history),
        [FIRST],
        "the request's text is the first message, shown once"
    );
    assert_eq!(
        history[0]["id"], sent[0]["id"],
        "under the id it was sent with"
    );
    (anna, ben)
}

/// Sends `HALF` lines while the other side listens, and answers what it heard, in its order.
fn send_to_a_listener(from: &Person, to: &Person, what: &str, begin: usize) -> Vec<String> {
    let mut listener = to.spawn(&["listen"]);
    let heard = lines(listener.stdout.take().unwrap());
    let sent = send_half(from, to, what, begin);
    let mut texts = Vec::new();
    while texts.len() < HALF {
        let line = heard
            .recv_timeout(DEADLINE)
            .expect("the listener hears every message");
        let row: Value = serde_json::from_str(&line).unwrap();
        if row["type"] == "message" {
            texts.push(row["text"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(texts, sent, "in the order they were sent");
    terminate(&listener);
    assert_eq!(
        finish(listener, "listen").code,
        0,
        "listen ends well on SIGTERM"
    );
    sent
}

/// 200 messages each way, half of them to somebody who is offline, both clients and the server restarted
/// in between: none lost, none twice, one order on both sides, every own message ends as read.
#[test]
fn nothing_is_lost_and_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let (anna, ben) = introduced(folder.path(), &server);
    let (mut by_anna, mut by_ben) = (vec![FIRST.to_owned()], Vec::new());

    // Ben is offline; the server restarts between two halves, once like in a power cut.
    by_anna.extend(send_half(&anna, &ben, "anna", 0));
    server.stop();
    server.restart();
    by_anna.extend(send_half(&anna, &ben, "anna", HALF));
    server.kill();
    server.restart();
    let heard = texts(&of_type(&ben.ok(&["listen", "--once"]), "message"));
    assert_eq!(
        heard,
        by_anna[1..],
        "everything waits for who was offline, in order, once"
    );
    assert!(
        of_type(&ben.ok(&["listen", "--once"]), "message").is_empty(),
        "and is told once"
    );

    // Anna is offline; then both listen in turn.
    by_ben.extend(send_half(&ben, &anna, "ben", 0));
    by_ben.extend(send_half(&ben, &anna, "ben", HALF));
    server.stop();
    server.restart();
    let heard = texts(&of_type(&anna.ok(&["listen", "--once"]), "message"));
    assert_eq!(heard, by_ben);
    for begin in [2 * HALF, 3 * HALF] {
        by_anna.extend(send_to_a_listener(&anna, &ben, "anna", begin));
        by_ben.extend(send_to_a_listener(&ben, &anna, "ben", begin));
    }

    both_end_as_read(&anna, &ben);
    both_see_the_same(&anna, &ben, &by_anna, &by_ben);
}

fn both_end_as_read(anna: &Person, ben: &Person) {
    ben.ok(&["read", &anna.identifier]);
    anna.ok(&["read", &ben.identifier]);
    for (person, other) in [(anna, ben), (ben, anna)] {
        person.ok(&["listen", "--once"]);
        for row in person.history(other) {
            let state = if row["own"] == true {
                "read"
            } else {
                "received"
            };
            assert_eq!(row["state"], state, "{row}");
            assert_eq!(row["read"], true, "{row}");
        }
        let unread = person.ok(&["unread"]);
        assert_eq!(unread[0]["count"], 0);
        assert_eq!(person.ok(&["status"])[0]["queued"], 0);
    }
}

fn both_see_the_same(anna: &Person, ben: &Person, by_anna: &[String], by_ben: &[String]) {
    let (seen_by_anna, seen_by_ben) = (anna.history(ben), ben.history(anna));
    let ids = |rows: &[Value]| {
        rows.iter()
            .map(|row| row["id"].to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        ids(&seen_by_anna),
        ids(&seen_by_ben),
        "one order on both sides"
    );
    assert_eq!(texts(&seen_by_anna), texts(&seen_by_ben));
    let distinct: HashSet<String> = ids(&seen_by_anna).into_iter().collect();
    assert_eq!(
        distinct.len(),
        8 * HALF + 1,
        "200 each way and the first; none twice"
    );
    let own = |rows: &[Value]| {
        rows.iter()
            .filter(|row| row["own"] == true)
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        texts(&own(&seen_by_anna)),
        by_anna,
        "none lost, in the order they were sent"
    );
    assert_eq!(texts(&own(&seen_by_ben)), by_ben);
    let seqs: Vec<u64> = seen_by_anna
        .iter()
        .map(|row| row["seq"].as_u64().unwrap())
        .collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "the log's order");
}

/// Both see one safety number; comparing it marks the other as verified, another number is refused.
#[test]
fn safety_numbers_are_the_same_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, ben) = introduced(folder.path(), &server);
    let number = |row: &Value| row["number"].as_str().unwrap().to_owned();
    let by_anna = number(&anna.ok(&["safety", "show", &ben.identifier])[0]);
    let by_ben = number(&ben.ok(&["safety", "show", &anna.identifier])[0]);
    assert_eq!(by_anna, by_ben);
    assert_eq!(by_anna.split(' ').count(), 12, "{by_anna}");

    let other = by_anna.replace(['1', '2', '3'], "4");
    anna.run(&["safety", "verify", &ben.identifier, &other])
        .expect_error(4, "NUMBERS_DIFFER");
    assert_eq!(anna.ok(&["contact", "list"])[0]["trust"], "unverified");
    // The groups may come as words of their own.
    let groups: Vec<&str> = by_ben.split(' ').collect();
    let verified = anna.ok(&[
        &["safety", "verify", ben.identifier.as_str()],
        groups.as_slice(),
    ]
    .concat());
    assert_eq!(verified[0]["trust"], "verified");
    assert_eq!(anna.ok(&["safety", "list"])[0]["trust"], "verified");
}

/// `send --wait` ends when the recipient's device has the message, and when it is read; else with exit 10
/// and the message safe on the server.
#[test]
fn send_waits_as_far_as_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, ben) = introduced(folder.path(), &server);
    let late = anna.run(&[
        "--timeout",
        "2s",
        "send",
        &ben.identifier,
        "nobody there",
        "--wait",
        "delivered",
    ]);
    late.expect_error(10, "TIMED_OUT");
    assert_eq!(late.rows()[0]["state"], "accepted");

    let listener = ben.spawn(&["listen"]);
    let sent = anna.ok(&[
        "--timeout",
        "60s",
        "send",
        &ben.identifier,
        "there you are",
        "--wait",
        "delivered",
    ]);
    assert_eq!(sent[0]["state"], "delivered");
    terminate(&listener);
    assert_eq!(finish(listener, "listen").code, 0);

    let mut reader = ben.spawn(&["chat", &anna.identifier]);
    let stdin = reader.stdin.take();
    let sent = anna.ok(&[
        "--timeout",
        "60s",
        "send",
        &ben.identifier,
        "read this",
        "--wait",
        "read",
    ]);
    assert_eq!(sent[0]["state"], "read");
    drop(stdin);
    assert_eq!(
        finish(reader, "chat").code,
        0,
        "chat ends at the end of its input"
    );
}

/// `chat` sends each line and shows what comes in, in one process.
#[test]
fn chat_sends_lines_and_shows_answers() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, ben) = introduced(folder.path(), &server);
    let (said, stdin) = numbered("line", 0, 3);
    let rows = ben.ok_with(&["chat", &anna.identifier], &stdin);
    assert_eq!(
        of_type(&rows, "message").len(),
        4,
        "the unread first message, then the own three: {rows:?}"
    );
    assert_eq!(
        texts(&of_type(&anna.ok(&["listen", "--once"]), "message")),
        said
    );
    let history = anna.history(&ben);
    assert_eq!(
        history[0]["state"], "read",
        "what chat showed counts as read"
    );
}

/// A second process on a profile is told so, exit 9, and the first goes on.
#[test]
fn a_profile_has_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, ben) = introduced(folder.path(), &server);
    let mut listener = ben.spawn(&["listen"]);
    let heard = lines(listener.stdout.take().unwrap());
    anna.ok(&["send", &ben.identifier, "one"]);
    heard
        .recv_timeout(DEADLINE)
        .expect("the listener is at work");
    ben.run(&["history", &anna.identifier])
        .expect_error(9, "PROFILE_IN_USE");
    ben.run(&["send", &anna.identifier, "x"])
        .expect_error(9, "PROFILE_IN_USE");
    terminate(&listener);
    assert_eq!(finish(listener, "listen").code, 0);
    assert_eq!(ben.history(&anna).len(), 2);
    ben.ok(&["listen", "--for", "10ms"]);
}

/// A declined stranger learns nothing: the message stays accepted, and nothing ever says read.
#[test]
fn a_declined_request_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let anna = Person::registered(folder.path(), &server, "+4915112345678");
    let ben = Person::registered(folder.path(), &server, "ben@example.org");
    anna.ok(&["send", &ben.identifier, FIRST]);
    assert_eq!(ben.ok(&["request", "list"]).len(), 1);
    ben.ok(&["request", "decline", &anna.identifier]);
    assert!(ben.ok(&["request", "list"]).is_empty());
    ben.run(&["request", "decline", &anna.identifier])
        .expect_error(9, "ALREADY_DECLINED");
    anna.ok(&["send", &ben.identifier, "still there?"]);
    assert!(of_type(&ben.ok(&["listen", "--once"]), "message").is_empty());
    anna.ok(&["listen", "--once"]);
    assert!(
        anna.history(&ben)
            .iter()
            .all(|row| row["state"] == "accepted")
    );
}

/// A message that another command took in is told by the next `listen`, once; what was read is not told again.
#[test]
fn listen_tells_what_other_commands_received() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, ben) = introduced(folder.path(), &server);
    anna.ok(&["send", &ben.identifier, "taken in by a send"]);
    ben.ok(&["send", &anna.identifier, "busy"]);
    let heard = of_type(&ben.ok(&["listen", "--once"]), "message");
    assert_eq!(texts(&heard), ["taken in by a send"]);
    assert!(of_type(&ben.ok(&["listen", "--once"]), "message").is_empty());
    anna.ok(&["send", &ben.identifier, "read first"]);
    ben.ok(&["status"]);
    ben.ok(&["read", &anna.identifier]);
    assert!(of_type(&ben.ok(&["listen", "--once"]), "message").is_empty());
}
