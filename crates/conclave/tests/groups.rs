//! Groups with the real programs over TLS: made, talked in, changed, left, joined by link; refusals and their codes.

#![cfg(test)]

mod support;

use serde_json::Value;
use support::person::of_type;
use support::{Person, Server};

fn texts(person: &Person, group: &str) -> Vec<(String, String)> {
    let rows = person.ok(&["history", group]);
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let line = |row: &Value| (text(&row["from"], "account"), text(row, "text"));
    rows.iter().map(line).collect()
}

fn group(person: &Person, name: &str) -> Value {
    of_type(&person.ok(&["group", "show", name]), "group").remove(0)
}

fn members(group: &Value) -> usize {
    group["members"].as_array().unwrap().len()
}

/// Anna makes a group, everybody writes and reads in it by its name; who may not is refused with a code before
/// anything is sent; a link lets a fourth in until it is taken back; who leaves still reads.
#[test]
fn groups_by_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let [anna, ben, carl, dora] = ["anna", "ben", "carl", "dora"]
        .map(|name| Person::registered(folder.path(), &server, &format!("{name}@example.org")));
    let made = anna.ok(&["group", "create", "hike", &ben.identifier, &carl.identifier]);
    let made = of_type(&made, "group").remove(0);
    assert_eq!((members(&made), &made["kind"]), (3, &"group".into()));
    assert_eq!(made["members"][0]["role"], "owner");
    for person in [&ben, &carl] {
        let asked = of_type(&person.ok(&["request", "list"]), "request").remove(0);
        assert_eq!(asked["group"], "hike");
        person.ok(&["request", "accept", asked["chat"].as_str().unwrap()]);
    }
    anna.ok(&["send", "hike", "where to?"]);
    ben.ok(&["send", "hike", "up the hill"]);
    carl.ok(&["send", "hike", "down the valley"]);
    for person in [&anna, &ben, &carl] {
        person.ok(&["listen", "--once"]);
    }
    let said = texts(&anna, "hike");
    assert_eq!(said.len(), 3);
    assert_eq!(texts(&ben, "hike"), said);
    assert_eq!(texts(&carl, "hike"), said);

    let epoch = group(&ben, "hike")["epoch"].clone();
    ben.run(&["group", "add", "hike", &dora.identifier])
        .expect_error(3, "NOT_ALLOWED");
    ben.run(&["group", "rename", "hike", "mine"])
        .expect_error(3, "NOT_ALLOWED");
    ben.run(&["group", "remove", "hike", &anna.identifier])
        .expect_error(3, "NOT_ALLOWED");
    anna.run(&["group", "leave", "hike"])
        .expect_error(3, "NOT_ALLOWED");
    anna.run(&["group", "create", "hike"])
        .expect_error(9, "EXISTS");
    anna.run(&["group", "create", "dora@example.org"])
        .expect_error(2, "BAD_INPUT");
    anna.run(&["group", "show", "ben@example.org"])
        .expect_error(8, "NOT_FOUND");
    anna.run(&["join", "conclave-group:AAAA"])
        .expect_error(2, "BAD_INPUT");
    assert_eq!(group(&ben, "hike")["epoch"], epoch);

    let link = anna.ok(&["group", "link", "create", "hike"]);
    let link = of_type(&link, "group_link").remove(0)["link"].clone();
    let link = link.as_str().unwrap();
    dora.ok(&["join", link]);
    anna.ok(&["listen", "--once"]);
    dora.ok(&["listen", "--once"]);
    assert_eq!(members(&group(&dora, "hike")), 4);
    anna.ok(&["group", "link", "revoke", "hike"]);
    anna.run(&["group", "link", "show", "hike"])
        .expect_error(8, "NOT_FOUND");

    dora.ok(&["group", "leave", "hike"]);
    anna.ok(&["listen", "--once"]);
    anna.ok(&["listen", "--once"]);
    assert_eq!(members(&group(&anna, "hike")), 3);
    dora.run(&["send", "hike", "bye"])
        .expect_error(3, "NOT_ALLOWED");
    assert_eq!(group(&dora, "hike")["state"], "left");
    dora.run(&["join", link]);
    anna.ok(&["listen", "--once"]);
    dora.ok(&["listen", "--once"]);
    let refused = group(&dora, "hike");
    assert!(
        refused["reason"]
            .as_str()
            .unwrap()
            .contains("not valid any more"),
        "{refused}"
    );
    assert_eq!(members(&group(&anna, "hike")), 3);
    server.stop();
}
