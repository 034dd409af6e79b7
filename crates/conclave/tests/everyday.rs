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

/// The chat with Ben as `chats` shows it, if it does.
fn listed(anna: &Person, words: &[&str]) -> Option<Value> {
    let rows = anna.ok(&[&["chats"], words].concat());
    of_type(&rows, "chat").into_iter().next()
}

/// Mute, archive, pin, draft, unread mark and clear do what they say and are shown; nonsense is refused.
#[test]
fn chats_are_set_by_commands() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, ben, _) = talking(folder.path(), &server);
    let to = ben.identifier.clone();
    anna.ok(&["mute", &to, "8h"]);
    assert!(listed(&anna, &[]).unwrap()["muted_until_ts_ms"].is_u64());
    anna.ok(&["mute", &to, "off"]);
    anna.ok(&["chats", "pin", &to]);
    anna.ok(&["unread", &to]);
    let chat = listed(&anna, &[]).unwrap();
    assert_eq!(chat["pinned"], true);
    assert_eq!(chat["marked_unread"], true);
    assert!(chat["muted_until_ts_ms"].is_null());
    anna.ok(&["read", &to]);
    anna.ok(&["chats", "unpin", &to]);
    anna.ok(&["archive", &to]);
    assert_eq!(listed(&anna, &[]), None);
    assert_eq!(
        listed(&anna, &["--archived"]).unwrap()["marked_unread"],
        false
    );
    anna.ok(&["unarchive", &to]);
    assert_eq!(listed(&anna, &[]).unwrap()["pinned"], false);
    anna.ok(&["archive", &to]);
    anna.ok(&["draft", &to, "to be continued"]);
    assert_eq!(anna.ok(&["draft", &to])[0]["text"], "to be continued");
    let sent = anna.ok(&["draft", &to, "--send"]);
    assert_eq!(sent[0]["text"], "to be continued");
    let chat = listed(&anna, &[]).unwrap();
    assert_eq!(
        (&chat["draft"], &chat["archived"]),
        (&"".into(), &false.into())
    );
    anna.run(&["draft", &to, "--send"]).expect_exit(8);
    anna.run(&["mute", &to, "soon"]).expect_exit(2);
    anna.run(&["mute", "nobody@example.org"]).expect_exit(8);
    let cleared = anna.ok(&["chats", "clear", &to]);
    assert_eq!(cleared[0]["count"], 2);
    assert!(anna.history(&ben).is_empty());
}

/// Search shows where the words stand, pages go on from their end, and an export holds what is still there.
#[test]
fn what_was_said_is_found_and_written_out() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, ben, first) = talking(folder.path(), &server);
    let to = ben.identifier.clone();
    anna.ok(&["send", &to, "Grüße vom Picknick"]);
    anna.ok(&["timer", &to, "1s"]);
    let gone = text(&anna.ok(&["send", &to, "a secret picnic"])[0]["id"]);
    anna.ok(&["timer", &to, "1h"]);
    anna.ok(&["send", &to, "for an hour"]);
    // until its second is over, however slow this machine is
    while anna
        .history(&ben)
        .iter()
        .any(|row| row["id"] == gone.as_str())
    {
        anna.ok(&["whoami"]);
    }
    let found = anna.ok(&["search", "picn", "--in", &to]);
    assert!(found.is_empty(), "{found:?}");
    let found = anna.ok(&["search", "GRUSE", "pick"]);
    assert!(found.is_empty(), "{found:?}");
    let found = anna.ok(&["search", "GRU", "pick", "--from", &anna.identifier]);
    assert_eq!(found[0]["type"], "found");
    let whole = text(&found[0]["text"]);
    let ranges: Vec<_> = found[0]["ranges"].as_array().unwrap().iter().collect();
    let part = |range: &Value| {
        let at = |name: &str| usize::try_from(range[name].as_u64().unwrap()).unwrap();
        whole[at("start")..at("start") + at("length")].to_owned()
    };
    assert_eq!(
        ranges.into_iter().map(part).collect::<Vec<_>>(),
        ["Grüße", "Picknick"]
    );
    anna.run(&["search", "\"*\" - ("]).expect_exit(2);
    anna.run(&["search", "x", "--since", "yesterday"])
        .expect_exit(2);
    assert!(
        anna.ok(&["search", "\"", "OR", "NEAR(", "first"])
            .is_empty()
    );
    let page = anna.ok(&["history", &to, "--before", &text(&found[0]["id"])]);
    assert_eq!(page.last().unwrap()["id"], first.as_str());
    let rows = anna.ok(&["export", &to]);
    let texts: Vec<_> = rows.iter().map(|row| text(&row["text"])).collect();
    assert_eq!(texts, ["first", "Grüße vom Picknick", "for an hour"]);
    assert_eq!(rows[2]["expires_s"], 3_600);
    assert!(rows[2]["expires_ts_ms"].is_u64());
    let file = folder.path().join("ben.txt");
    let name = file.to_str().unwrap();
    let written = anna.ok(&["export", &to, "--format", "txt", "--out", name]);
    assert_eq!(written[0]["count"], 3);
    let lines = std::fs::read_to_string(&file).unwrap();
    assert!(lines.contains("Grüße vom Picknick") && !lines.contains("secret"));
    anna.run(&["export", &to, "--out", name]).expect_exit(9);
}
