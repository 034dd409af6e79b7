//! Groups with the real programs over TLS: made, talked in, changed, left, joined by link; refusals and their codes.

#![cfg(test)]

mod support;

use std::path::Path;

use serde_json::Value;
use support::person::of_type;
use support::{Person, Server};

fn people<const N: usize>(folder: &Path, server: &Server, names: [&str; N]) -> [Person; N] {
    names.map(|name| Person::registered(folder, server, &format!("{name}@example.org")))
}

/// The one group row of what a command printed.
fn group_row(rows: &[Value]) -> Value {
    let mut groups = of_type(rows, "group");
    assert_eq!(groups.len(), 1, "{rows:?}");
    groups.remove(0)
}

/// The group as this profile has it after a sync.
fn group(person: &Person, name: &str) -> Value {
    group_row(&person.ok(&["group", "show", name]))
}

/// Accounts and roles, in the order of the row.
fn members(group: &Value) -> Vec<(&str, &str)> {
    let members = group["members"].as_array().unwrap().iter();
    members
        .map(|one| {
            let account = one["person"]["account"].as_str().unwrap();
            (account, one["role"].as_str().unwrap())
        })
        .collect()
}

fn role_of(group: &Value, account: &str) -> Option<String> {
    let members = members(group).into_iter();
    let mut theirs = members.filter(|(who, _)| *who == account);
    theirs.next().map(|(_, role)| role.to_owned())
}

fn account(person: &Person) -> String {
    let row = person.ok(&["whoami"]).remove(0);
    row["account"].as_str().unwrap().to_owned()
}

/// Who said what, in order.
fn texts(person: &Person, group: &str) -> Vec<(String, String)> {
    let rows = of_type(&person.ok(&["history", group]), "message");
    let text = |row: &Value| row.as_str().unwrap().to_owned();
    rows.iter()
        .map(|row| (text(&row["from"]["account"]), text(&row["text"])))
        .collect()
}

/// Accepts the one request that waits, which must be for the group `name`.
fn accept(person: &Person, name: &str) {
    let requests = of_type(&person.ok(&["request", "list"]), "request");
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(requests[0]["group"], name);
    person.ok(&["request", "accept", requests[0]["chat"].as_str().unwrap()]);
}

/// Lets `people` sync in turn until `holds` of the group as the last of them has it.
fn until(people: &[&Person], name: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let mut seen = Value::Null;
    for _ in 0..5 {
        for person in people {
            person.ok(&["listen", "--once"]);
        }
        seen = group(people[people.len() - 1], name);
        if holds(&seen) {
            return seen;
        }
    }
    panic!("it does not come true: {seen}");
}

/// Three write and read in one group by its name, in one order; what a member may not do is refused with its code
/// and changes nothing.
#[test]
fn c106_a_group_talks_and_refuses_by_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let names = ["anna", "ben", "carl", "dora"];
    let [anna, ben, carl, dora] = people(folder.path(), &server, names);
    let made = anna.ok(&["group", "create", "hike", &ben.identifier, &carl.identifier]);
    let made = group_row(&made);
    assert_eq!((&made["v"], &made["kind"]), (&1.into(), &"group".into()));
    assert_eq!((members(&made).len(), &made["devices"]), (3, &3.into()));
    assert_eq!(role_of(&made, &account(&anna)).unwrap(), "owner");
    assert_eq!(role_of(&made, &account(&ben)).unwrap(), "member");
    accept(&ben, "hike");
    accept(&carl, "hike");
    let said = [(&anna, "where to?"), (&ben, "uphill"), (&carl, "downhill")];
    for (person, text) in said {
        person.ok(&["send", "hike", text]);
    }
    let said = said.map(|(person, text)| (account(person), text.to_owned()));
    for person in [&anna, &ben, &carl] {
        person.ok(&["listen", "--once"]);
        assert_eq!(texts(person, "hike"), said);
    }

    let (before, carls) = (group(&ben, "hike"), account(&carl));
    let refused: [(&Person, &[&str]); 7] = [
        (&ben, &["add", "hike", &dora.identifier]),
        (&ben, &["rename", "hike", "mine"]),
        (&ben, &["remove", "hike", &carls]),
        (&ben, &["remove", "hike", &anna.identifier]),
        (&ben, &["role", "hike", &ben.identifier, "owner"]),
        (&ben, &["link", "create", "hike"]),
        // the only owner cannot go
        (&anna, &["leave", "hike"]),
    ];
    for (person, words) in refused {
        let words = [&["group"], words].concat();
        person.run(&words).expect_error(3, "NOT_ALLOWED");
    }
    let create = |name: &str| anna.run(&["group", "create", name]);
    create("hike").expect_error(9, "EXISTS");
    create("dora@example.org").expect_error(2, "BAD_INPUT");
    anna.run(&["group", "show", &ben.identifier])
        .expect_error(2, "BAD_INPUT");
    anna.run(&["group", "show", "no such group"])
        .expect_error(8, "NOT_FOUND");
    anna.run(&["send", "nosuch", "hi"])
        .expect_error(8, "NOT_FOUND");
    // who may not is told who may, whoever is meant
    for words in [
        ["remove", "hike", "nobody@example.org"].as_slice(),
        &["role", "hike", &anna.identifier, "member"],
        &["role", "hike", "nobody@example.org", "admin"],
        &["link", "show", "hike"],
    ] {
        let refused = ben.run(&[&["group"], words].concat());
        refused.expect_error(3, "NOT_ALLOWED");
        let message = refused.error()["message"].to_string();
        assert!(message.contains(&anna.identifier), "{message}");
    }
    let after = group(&ben, "hike");
    for field in ["epoch", "name", "members", "waiting", "failed"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    server.stop();
}

/// An owner adds, gives roles, renames and removes; an admin uses the role; who is removed or leaves keeps what was
/// said and writes no more.
#[test]
fn c109_a_group_changes_by_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let [anna, ben, carl] = people(folder.path(), &server, ["anna", "ben", "carl"]);
    anna.ok(&["group", "create", "hike", &ben.identifier]);
    accept(&ben, "hike");
    let bens = account(&ben);
    let row = anna.ok(&["group", "role", "hike", &ben.identifier, "admin"]);
    assert_eq!(role_of(&group_row(&row), &bens).unwrap(), "admin");
    // Ben may now, and did not know carl before.
    let row = ben.ok(&["group", "add", "hike", &carl.identifier]);
    assert_eq!(members(&group_row(&row)).len(), 3);
    accept(&carl, "hike");
    carl.ok(&["send", "hike", "here I am"]);
    let row = ben.ok(&["group", "rename", "hike", "climb"]);
    assert_eq!(group_row(&row)["name"], "climb");
    let carls = group(&carl, "climb");
    assert_eq!(role_of(&carls, &bens).unwrap(), "admin");

    let row = anna.ok(&["group", "remove", "climb", &account(&carl)]);
    assert_eq!(role_of(&group_row(&row), &account(&carl)), None);
    let gone = group(&carl, "climb");
    assert_eq!(
        (&gone["state"], &gone["epoch"]),
        (&"left".into(), &Value::Null)
    );
    assert_eq!(texts(&carl, "climb").len(), 1);
    carl.run(&["send", "climb", "and now?"])
        .expect_error(3, "NOT_ALLOWED");

    ben.ok(&["group", "leave", "climb"]);
    let alone = until(&[&ben, &anna], "climb", |group| members(group).len() == 1);
    assert_eq!(alone["failed"], Value::Array(vec![]));
    ben.run(&["send", "climb", "bye"])
        .expect_error(3, "NOT_ALLOWED");
    assert_eq!(group(&ben, "climb")["state"], "left");
    server.stop();
}

/// Whoever has the link is let in by an owner who is online; taken back, it lets nobody in and they read why.
#[test]
fn c115_links_let_in_by_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let [anna, ben, carl] = people(folder.path(), &server, ["anna", "ben", "carl"]);
    anna.ok(&["group", "create", "hike"]);
    let rows = anna.ok(&["group", "link", "create", "hike"]);
    let link = of_type(&rows, "group_link").remove(0)["link"].clone();
    let link = link.as_str().unwrap();
    ben.run(&["join", &link[..link.len() - 4]])
        .expect_error(2, "BAD_INPUT");
    assert_eq!(group_row(&ben.ok(&["join", link]))["state"], "paused");
    until(&[&ben], "hike", |group| group["state"] == "paused");
    let mut told = Vec::new();
    for _ in 0..5 {
        told.extend(of_type(&anna.ok(&["listen", "--once"]), "group_change"));
        ben.ok(&["listen", "--once"]);
    }
    // anna let him in without doing anything: she is told so, once
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["change"], "added");
    assert_eq!(told[0]["value"], "link");
    assert_eq!(told[0]["about"]["account"], account(&ben).as_str());
    until(&[&anna, &ben], "hike", |group| group["state"] == "open");
    ben.ok(&["send", "hike", "thank you"]);
    anna.ok(&["listen", "--once"]);
    let shown = of_type(&anna.ok(&["history", "hike"]), "group_change");
    let changes: Vec<_> = shown
        .iter()
        .map(|row| row["change"].as_str().unwrap())
        .collect();
    assert_eq!(changes, ["created", "link_made", "added"]);
    assert_eq!(texts(&anna, "hike"), texts(&ben, "hike"));
    ben.run(&["join", link]).expect_error(9, "EXISTS");

    anna.ok(&["group", "link", "revoke", "hike"]);
    anna.run(&["group", "link", "show", "hike"])
        .expect_error(8, "NOT_FOUND");
    carl.ok(&["join", link]);
    let refused = until(&[&anna, &carl], "hike", |group| group["state"] == "left");
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains("not valid any more"), "{refused}");
    assert_eq!(members(&group(&anna, "hike")).len(), 2);
    server.stop();
}

/// Somebody's key is lost whom this person knows from a group alone: the group stops and names their account, the
/// account id is what `safety accept` takes, and the group goes on.
#[test]
fn c163_a_member_who_is_no_contact_is_accepted_by_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let [anna, ben, carl] = people(folder.path(), &server, ["anna", "ben", "carl"]);
    anna.ok(&["group", "create", "hike", &ben.identifier, &carl.identifier]);
    accept(&ben, "hike");
    accept(&carl, "hike");
    until(&[&anna, &ben, &carl], "hike", |group| {
        members(group).len() == 3
    });
    let bens = account(&ben);
    carl.run(&["safety", "accept", &bens])
        .expect_error(8, "NOTHING_TO_ACCEPT");
    carl.run(&["safety", "accept", "a_no such account"])
        .expect_error(2, "BAD_INPUT");

    ben.ok(&["key", "reset", "--contacts-must-accept"]);
    ben.run(&["listen", "--once"]);
    anna.run(&["listen", "--once"]);
    anna.ok(&["safety", "accept", &bens]);
    until(&[&anna, &ben], "hike", |group| group["state"] == "open");
    carl.run(&["listen", "--once"]);
    let stopped = group_row(&carl.run(&["group", "show", "hike"]).rows());
    assert_eq!(stopped["state"], "paused");
    let reason = stopped["reason"].as_str().unwrap();
    assert!(reason.contains(&bens), "{reason}");
    carl.run(&["send", "hike", "who is this?"])
        .expect_error(4, "KEY_CHANGED");
    assert_eq!(carl.ok(&["safety", "show", &bens])[0]["trust"], "changed");

    let accepted = carl.ok(&["safety", "accept", &bens]);
    assert_eq!(accepted[0]["trust"], "unverified");
    until(&[&anna, &ben, &carl], "hike", |group| {
        group["state"] == "open"
    });
    carl.ok(&["send", "hike", "welcome back"]);
    for person in [&anna, &ben] {
        person.ok(&["listen", "--once"]);
        assert_eq!(texts(person, "hike").last().unwrap().1, "welcome back");
    }
    server.stop();
}
