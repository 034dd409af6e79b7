//! How a profile comes to an account by calls, as a page does it: by a code, by another device, and what goes wrong.

#![cfg(test)]

mod support;

use std::io::{BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin};
use std::sync::mpsc::Receiver;

use serde_json::{Value, json};
use support::program::DEADLINE;
use support::server::lines;
use support::{Person, Server};

/// A profile that `conclave rpc` has open; dropped, it is killed.
struct Pipe {
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
}

impl Pipe {
    fn open(person: &Person) -> Self {
        let mut child = person.spawn(&["rpc"]);
        Self {
            input: child.stdin.take().unwrap(),
            answers: lines(BufReader::new(child.stdout.take().unwrap())),
            child,
        }
    }

    fn send(&mut self, method: &str, params: &Value) {
        let request = json!({"jsonrpc": "2.0", "id": method, "method": method, "params": params});
        writeln!(self.input, "{request}").unwrap();
    }

    fn answer(&self, method: &str) -> Value {
        let line = self.answers.recv_timeout(DEADLINE).expect("an answer");
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer["id"], method, "{answer}");
        answer
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.send(method, params);
        self.answer(method)
    }

    fn ok(&mut self, method: &str, params: &Value) -> Value {
        let mut answer = self.call(method, params);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].take()
    }

    fn refused(&mut self, method: &str, params: &Value) -> String {
        let answer = self.call(method, params);
        let code = answer["error"]["data"]["code"].as_str();
        code.unwrap_or_else(|| panic!("{method}: {answer}"))
            .to_owned()
    }

    fn state(&mut self) -> String {
        let state = self.ok("account.state", &json!({}));
        state["state"].as_str().unwrap().to_owned()
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A profile without an account: a code is out that nobody uses.
fn empty(folder: &Path, server: &Server, identifier: &str) -> Person {
    let folder = folder.join("new");
    std::fs::create_dir_all(&folder).unwrap();
    let person = Person::new(&folder, identifier);
    person.ask_code(server).expect_exit(0);
    person
}

/// Everything but `status` says that there is no account.
fn has_no_account(pipe: &mut Pipe) {
    for method in ["whoami", "chats.list", "events.subscribe", "devices.list"] {
        assert_eq!(
            pipe.refused(method, &json!({})),
            "NOT_REGISTERED",
            "{method}"
        );
    }
    assert!(pipe.ok("status", &json!({}))["account"].is_null());
}

/// A code is asked for and confirmed by calls: other methods say that there is no account yet, a wrong code says how
/// many tries are left, the right one makes the account and goes online, and a second time nothing happens.
#[test]
fn an_account_is_made_by_calls() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let ben = Person::registered(folder.path(), &server, "ben@example.org");
    let anna = empty(folder.path(), &server, "anna@example.org");
    server.code_for("anna@example.org");
    let mut pipe = Pipe::open(&anna);
    let state = pipe.ok("account.state", &json!({}));
    assert_eq!(
        (&state["state"], &state["identifier"], &state["unlock"]),
        (
            &json!("code_sent"),
            &json!("anna@example.org"),
            &json!("key_file")
        )
    );
    assert_eq!(state["server"], server.address());
    has_no_account(&mut pipe);
    let ask = |server: &str, identifier: &str| json!({"server": server, "identifier": identifier, "name": "Cora"});
    for (server, identifier) in [("x", "cora@example.org"), (&*server.address(), "cora")] {
        let refused = pipe.refused("account.register", &ask(server, identifier));
        assert_eq!(refused, "BAD_INPUT");
    }
    let sent = pipe.ok(
        "account.register",
        &ask(&server.address(), "cora@example.org"),
    );
    assert_eq!(sent["identifier"], "cora@example.org");
    assert!(sent["valid_ms"].as_u64() > Some(0), "{sent}");
    let code = server.code_for("cora@example.org");
    let wrong = if code == "111111" { "222222" } else { "111111" };
    let answer = pipe.call("account.confirm", &json!({"code": wrong}));
    assert_eq!(answer["error"]["data"]["code"], "OTP_WRONG");
    let hint = answer["error"]["data"]["hint"].as_str().unwrap();
    assert!(hint.contains("tries are left"), "{hint}");
    assert_eq!(
        pipe.refused("account.confirm", &json!({"code": "?"})),
        "BAD_INPUT"
    );
    let me = pipe.ok("account.confirm", &json!({"code": code}));
    assert_eq!(me["identifier"], "cora@example.org");
    assert_eq!(pipe.ok("account.state", &json!({}))["account"], me);
    assert_eq!(pipe.ok("account.join", &json!({})), me);
    for (method, params) in [
        ("account.confirm", json!({"code": code})),
        (
            "account.register",
            ask(&server.address(), "dan@example.org"),
        ),
        ("account.link", json!({"server": server.address()})),
    ] {
        assert_eq!(
            pipe.refused(method, &params),
            "ALREADY_REGISTERED",
            "{method}"
        );
    }
    let mut listener = ben.spawn(&["listen"]);
    let heard = lines(listener.stdout.take().unwrap());
    // It is online: what is sent goes out, by the name that was given.
    let sent = json!({"to": ben.identifier, "text": "hello"});
    assert_eq!(pipe.ok("messages.send", &sent)["state"], "accepted");
    let request = loop {
        let row: Value = serde_json::from_str(&heard.recv_timeout(DEADLINE).unwrap()).unwrap();
        if row["type"] == "request" {
            break row;
        }
    };
    assert_eq!(request["from"]["name"], "Cora", "{request}");
    listener.kill().unwrap();
    listener.wait().unwrap();
}

/// A device is let in by calls on both sides: what is shown is drawn and read as a QR code, the old device sees the new
/// one's name first, a page that was loaded anew goes on with the same link, and the new device has the account.
#[test]
fn a_device_is_linked_by_calls() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let old = Person::registered(folder.path(), &server, "anna@example.org");
    let new = empty(folder.path(), &server, "anna2@example.org");
    let mut pipe = Pipe::open(&new);
    let ask = json!({"server": server.address(), "name": "desk"});
    let shown = pipe.ok("account.link", &ask);
    assert_eq!(pipe.state(), "linking");
    assert_eq!(pipe.ok("account.link", &ask)["uri"], shown["uri"]);
    let state = pipe.ok("account.state", &json!({}));
    assert_eq!(state["link"]["code"], shown["code"]);
    assert_eq!(
        pipe.refused("account.join", &json!({"timeout_ms": 1})),
        "TIMED_OUT"
    );
    let drawn = pipe.ok("qr.draw", &json!({"text": shown["uri"]}));
    let size = drawn["size"].as_u64().unwrap();
    let rows = drawn["rows"].as_array().unwrap();
    assert_eq!(rows.len() as u64, size);
    assert!(
        rows.iter()
            .all(|row| row.as_str().unwrap().len() as u64 == size)
    );
    let mut at_old = Pipe::open(&old);
    let looked = at_old.ok("devices.look", &json!({"link": shown["uri"]}));
    assert_eq!(looked["name"], "desk");
    pipe.send("account.join", &json!({}));
    at_old.ok(
        "devices.approve",
        &json!({"link": shown["uri"], "code": shown["code"]}),
    );
    let me = pipe.answer("account.join")["result"].take();
    assert_eq!(me["account"], at_old.ok("whoami", &json!({}))["account"]);
    assert_eq!(me["device"], looked["device"]);
    assert_eq!(pipe.state(), "open");
    let devices = at_old.ok("devices.list", &json!({}))["devices"].take();
    assert_eq!(devices.as_array().unwrap().len(), 2, "{devices}");
}

/// A wrong code ends the link on the side that shows it, with the command's words, and a new one can be asked for.
#[test]
fn c123_a_link_with_a_wrong_code_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let old = Person::registered(folder.path(), &server, "anna@example.org");
    let new = empty(folder.path(), &server, "anna2@example.org");
    let mut pipe = Pipe::open(&new);
    assert_eq!(pipe.refused("account.join", &json!({})), "NOT_FOUND");
    let ask = json!({"server": server.address()});
    let shown = pipe.ok("account.link", &ask);
    pipe.send("account.join", &json!({}));
    let wrong = if shown["code"] == "000000" {
        "000001"
    } else {
        "000000"
    };
    let approve = json!({"link": shown["uri"], "code": wrong}).to_string();
    let approving = old.run(&["rpc", "call", "devices.approve", &approve]);
    approving.expect_error(8, "NOT_FOUND");
    let over = pipe.answer("account.join");
    assert_eq!(over["error"]["data"]["code"], "LINK_FAILED", "{over}");
    assert_eq!(pipe.state(), "code_sent", "what was begun before goes on");
    assert_ne!(pipe.ok("account.link", &ask)["uri"], shown["uri"]);
}

/// A passphrase is set and changed by calls, the old one is asked for, and nothing here can be locked without a page.
#[test]
fn the_passphrase_is_changed_by_calls() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let anna = Person::registered(folder.path(), &server, "anna@example.org");
    let mut pipe = Pipe::open(&anna);
    assert_eq!(pipe.refused("account.lock", &json!({})), "NOT_ALLOWED");
    let set = |old: &str, new: &str| json!({"old": old, "new": new});
    assert_eq!(
        pipe.refused("account.passphrase", &set("", "")),
        "EMPTY_PASSPHRASE"
    );
    pipe.ok("account.passphrase", &set("", "first"));
    assert_eq!(pipe.ok("account.state", &json!({}))["unlock"], "passphrase");
    let wrong = pipe.refused("account.passphrase", &set("", "second"));
    assert_eq!(wrong, "WRONG_PASSPHRASE");
    pipe.ok("account.passphrase", &set("first", "second"));
    assert_eq!(pipe.refused("account.lock", &json!({})), "NOT_ALLOWED");
    drop(pipe);
    anna.run(&["whoami"]).expect_error(3, "PASSPHRASE_NEEDED");
    let file = folder.path().join("second.txt");
    std::fs::write(&file, "second\n").unwrap();
    anna.ok(&["whoami", "--passphrase-file", file.to_str().unwrap()]);
}
