//! Everyday talk through the real programs: each command does what it says, and refuses what it must.

#![cfg(test)]

mod support;

use serde_json::Value;
use support::person::of_type;
use support::{Person, Server};

/// Anna and Ben, talking; and the id of Anna's first text.
fn talking(folder: &std::path::Path, server: &Server) -> (Person, Person, String) {
    let anna = Person::registered(folder, server, "anna@example.org");
    let ben = Person::registered(folder, server, "ben@example.org");
    let sent = anna.ok(&["send", &ben.identifier, "first"]);
    ben.ok(&["listen", "--once"]);
    ben.ok(&["request", "accept", &anna.identifier]);
    ben.ok(&["listen", "--once"]);
    anna.ok(&["listen", "--once"]);
    (anna, ben, text(&sent[0]["id"]))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn by_id(rows: &[Value], id: &str) -> Value {
    let mut rows = rows.iter();
    rows.find(|row| row["id"] == id).unwrap().clone()
}

/// Reply, mention, react, edit, pin, timer, forward and delete arrive, and `listen` and `history` show them.
#[test]
fn everyday_commands_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, ben, first) = talking(folder.path(), &server);
    let answer = format!("yes @{}", anna.identifier);
    let sent = ben.ok(&["reply", &first, &answer, "--mention", &anna.identifier]);
    let reply = text(&sent[0]["id"]);
    ben.ok(&["react", &first, "👍"]);
    anna.ok(&["edit", &first, "first!"]);
    anna.ok(&["pin", &first]);
    let heard = ben.ok(&["listen", "--once"]);
    let changes: Vec<_> = of_type(&heard, "changed")
        .iter()
        .map(|row| text(&row["what"]))
        .collect();
    assert_eq!(changes, ["edited", "pinned"]);
    anna.ok(&["listen", "--once"]);
    let history = anna.history(&ben);
    let shown = by_id(&history, &first);
    assert_eq!(shown["text"], "first!");
    assert_eq!(shown["reactions"][0]["emoji"], "👍");
    assert_eq!(shown["pinned"], true);
    let got = by_id(&history, &reply);
    assert_eq!(got["reply"]["id"], first.as_str());
    assert_eq!(got["mentions"][0]["own"], true);
    let info = anna.ok(&["info", &first]);
    assert_eq!(info[0]["versions"][0]["text"], "first");
    assert_eq!(info[0]["marks"][0]["delivered"], true);
    assert_eq!(ben.ok(&["pins", &anna.identifier])[0]["id"], first.as_str());
    assert_eq!(
        ben.ok(&["timer", &anna.identifier, "1w"])[0]["seconds"],
        604_800
    );
    anna.ok(&["listen", "--once"]);
    assert_eq!(anna.ok(&["timer", &ben.identifier])[0]["seconds"], 604_800);
    anna.ok(&["forward", &reply, &ben.identifier]);
    anna.ok(&["delete", &first, "--for-everyone"]);
    anna.ok(&["delete", &reply]);
    ben.ok(&["listen", "--once"]);
    let history = ben.history(&anna);
    let gone = by_id(&history, &first);
    assert_eq!(
        (&gone["text"], &gone["deleted_by"]["identifier"]),
        (&"".into(), &"anna@example.org".into())
    );
    let forwarded = history.last().unwrap();
    assert_eq!(
        (&forwarded["forwarded"], &forwarded["text"]),
        (&true.into(), &answer.as_str().into())
    );
    assert!(
        anna.history(&ben)
            .iter()
            .all(|row| row["id"] != reply.as_str())
    );
}

/// What cannot be done is said with its exit code, and nothing is sent.
#[test]
fn everyday_commands_refuse() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, ben, first) = talking(folder.path(), &server);
    let nobody = "m_00000000000000000000000000000000";
    ben.run(&["edit", &first, "mine now"]).expect_exit(3);
    ben.run(&["delete", &first, "--for-everyone"])
        .expect_exit(3);
    ben.run(&["react", &first, "not one emoji"]).expect_exit(2);
    ben.run(&["reply", nobody, "what"]).expect_exit(8);
    ben.run(&["timer", &anna.identifier, "2y"]).expect_exit(2);
    ben.run(&[
        "send",
        &anna.identifier,
        "hi",
        "--mention",
        &anna.identifier,
    ])
    .expect_exit(2);
    ben.run(&["profile", "set"]).expect_exit(2);
    ben.run(&["profile", "set", "--picture", "/dev/null"])
        .expect_exit(2);
    anna.ok(&["listen", "--once"]);
    let history = anna.history(&ben);
    assert_eq!(history.len(), 1);
    assert_eq!(history[0]["text"], "first");
    assert!(history[0]["reactions"].as_array().unwrap().is_empty());
}
