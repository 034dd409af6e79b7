//! The page before there is an account, while the profile is locked, and what it is told as it happens: on the real
//! programs.

#![cfg(test)]

mod support;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};
use support::page::{Ask, Session};
use support::{Page, Person, Server};

/// Somebody at their page, and their calls.
fn at_page(person: &Person, more: &[&str]) -> (Page, Ask) {
    let page = Page::start_with(person, more);
    let session = page.enter(&page.ticket);
    let call = page.ask("POST", "/rpc").of(&session);
    (page, call)
}

fn refused(call: &Ask, method: &str, params: &Value) -> String {
    let answer = call.call(method, params);
    let code = answer["error"]["data"]["code"].as_str();
    code.unwrap_or_else(|| panic!("{method}: {answer}"))
        .to_owned()
}

/// A page without an account: methods and commands say so, an account is made on it, and from then on it is online and
/// every command works through it.
#[test]
fn an_account_is_made_on_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let ben = Person::registered(folder.path(), &server, "ben@example.org");
    let anna = Person::new(folder.path(), "anna@example.org");
    let (page, call) = at_page(&anna, &["--no-passphrase"]);
    assert_eq!(call.ok("account.state", &json!({}))["state"], "empty");
    assert_eq!(refused(&call, "chats.list", &json!({})), "NOT_REGISTERED");
    anna.run(&["chats"]).expect_error(3, "NOT_REGISTERED");
    assert!(call.ok("status", &json!({}))["account"].is_null());
    assert_eq!(refused(&call, "account.lock", &json!({})), "NOT_ALLOWED");
    let events = page.ask("GET", "/events").with("cookie", "x").send(b"");
    assert_eq!(events.status, 401);
    let ask = json!({"server": server.address(), "identifier": anna.identifier});
    call.ok("account.register", &ask);
    assert_eq!(call.ok("account.state", &json!({}))["state"], "code_sent");
    let code = server.code_for(&anna.identifier);
    let me = call.ok("account.confirm", &json!({"code": code}));
    assert_eq!(anna.ok(&["whoami"])[0]["account"], me["account"]);
    let hello = json!({"to": ben.identifier, "text": "hello"});
    assert_eq!(call.ok("messages.send", &hello)["state"], "accepted");
    page.terminate();
    anna.ok(&["whoami"]);
}

/// The same profile may be registered by the commands beside the open page: the page is online then.
#[test]
fn a_command_registers_the_profile_of_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let ben = Person::registered(folder.path(), &server, "ben@example.org");
    let anna = Person::new(folder.path(), "anna@example.org");
    let (_page, call) = at_page(&anna, &["--no-passphrase"]);
    anna.ask_code(&server).expect_exit(0);
    assert_eq!(call.ok("account.state", &json!({}))["state"], "code_sent");
    anna.ok(&["register", "confirm", &server.code_for(&anna.identifier)]);
    assert_eq!(call.ok("account.state", &json!({}))["state"], "open");
    let hello = json!({"to": ben.identifier, "text": "hello"});
    assert_eq!(call.ok("messages.send", &hello)["state"], "accepted");
}

/// Somebody at their page whose profile has the passphrase `right`.
fn with_passphrase(folder: &Path, server: &Server) -> (Person, Page, Session, Ask) {
    let anna = Person::registered(folder, server, "anna@example.org");
    let page = Page::start(&anna);
    let session = page.enter(&page.ticket);
    let call = page.ask("POST", "/rpc").of(&session);
    call.ok("account.passphrase", &json!({"new": "right"}));
    (anna, page, session, call)
}

/// Whether nobody has the profile open: its lock can be had.
fn is_closed(person: &Person) -> bool {
    let lock = File::open(person.folder().join("lock")).unwrap();
    lock.try_lock().is_ok()
}

/// A lock closes the profile: sessions, streams and connections end, the page and the socket say that it is locked, a
/// wrong passphrase opens nothing. The right one opens it, online, for whoever said it; old sessions stay shut out.
#[test]
fn a_lock_shuts_everybody_out() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let ben = Person::registered(folder.path(), &server, "ben@example.org");
    let (anna, page, session, call) = with_passphrase(folder.path(), &server);
    let (_, mut events) = page.ask("GET", "/events").of(&session).stream();
    let socket = anna.folder().join("daemon.sock");
    let wire = std::os::unix::net::UnixStream::connect(socket).unwrap();
    // answered, so it is of the open profile: who connects later is told that it is locked
    let whoami = json!({"jsonrpc": "2.0", "id": 1, "method": "whoami"});
    writeln!(&wire, "{whoami}").unwrap();
    let mut wire = BufReader::new(wire);
    let mut line = String::new();
    wire.read_line(&mut line).unwrap();
    assert!(line.contains(&anna.identifier), "{line}");
    assert!(!is_closed(&anna));
    assert_eq!(call.ok("account.lock", &json!({}))["done"], "locked");

    let mut rest = String::new();
    // The last piece of what came in pieces.
    while rest != "0\r\n" {
        rest.clear();
        assert!(events.read_line(&mut rest).unwrap() > 0, "it ends whole");
    }
    wire.read_to_string(&mut rest).unwrap();
    let unlock = page.ask("POST", "/unlock");
    let said = |passphrase: &str| unlock.json(&json!({"passphrase": passphrase}));
    let wrong = said("wrong");
    assert_eq!(
        (wrong.status, wrong.code().as_str()),
        (401, "WRONG_PASSPHRASE")
    );
    assert!(is_closed(&anna), "nothing has the profile");
    let locked = call.json(&json!({"jsonrpc": "2.0", "id": 1, "method": "whoami"}));
    assert_eq!((locked.status, locked.code().as_str()), (423, "LOCKED"));
    assert_eq!(
        page.ask("GET", "/").send(b"").status,
        200,
        "the lock screen"
    );
    anna.run(&["whoami"]).expect_error(3, "LOCKED");
    anna.run(&["rpc", "call", "status"])
        .expect_error(3, "LOCKED");
    assert_eq!(anna.ok(&["daemon", "status"])[0]["locked"], true);
    let address = anna.ok(&["web", "--no-open"])[0]["url"].clone();
    assert!(
        address
            .as_str()
            .unwrap()
            .starts_with(&format!("http://{}", page.address))
    );

    let opened = said("right");
    assert_eq!(opened.status, 200, "{}", opened.text());
    let new = page.ask("POST", "/rpc").of(&Session::of(&opened));
    assert_eq!(new.ok("whoami", &json!({}))["identifier"], anna.identifier);
    let old = call.json(&json!({"jsonrpc": "2.0", "id": 1, "method": "whoami"}));
    assert_eq!((old.status, old.code().as_str()), (401, "UNAUTHORIZED"));
    assert_eq!(anna.ok(&["daemon", "status"])[0]["locked"], false);
    let hello = json!({"to": ben.identifier, "text": "hello"});
    assert_eq!(new.ok("messages.send", &hello)["state"], "accepted");
    anna.ok(&["whoami"]);
}

/// A locked daemon can be ended, by its command and by a signal, and what was there is there.
#[test]
fn a_locked_daemon_can_be_ended() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (anna, page, _, call) = with_passphrase(folder.path(), &server);
    call.ok("account.lock", &json!({}));
    anna.ok(&["daemon", "stop"]);
    assert!(is_closed(&anna));
    page.terminate();
    let file = folder.path().join("right.txt");
    std::fs::write(&file, "right\n").unwrap();
    let words = ["--passphrase-file", file.to_str().unwrap()];
    let (page, call) = at_page(&anna, &words);
    call.ok("account.lock", &json!({}));
    page.terminate();
    anna.ok(&[&["whoami"][..], &words].concat());
}

/// Reads the stream up to the first live frame that `wanted` takes.
fn live(events: &mut BufReader<TcpStream>, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(events.read_line(&mut line).unwrap() > 0, "it goes on");
        if line.trim() == "event: live" {
            line.clear();
            events.read_line(&mut line).unwrap();
            let told: Value = serde_json::from_str(line.trim_start_matches("data: ")).unwrap();
            if wanted(&told) {
                return told;
            }
        }
    }
}

fn is(kind: &'static str) -> impl Fn(&Value) -> bool {
    move |told| told["type"] == kind
}

/// The page need not poll: it is told who writes, how the server stands, and whatever a command beside it changes of
/// chats, people, devices and settings; what it is told of a chat is what the methods would answer.
#[test]
fn the_page_is_told_what_happens_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let anna = Person::registered(folder.path(), &server, "anna@example.org");
    let ben = Person::registered(folder.path(), &server, "ben@example.org");
    ben.ok(&["send", &anna.identifier, "hello"]);
    anna.ok(&["listen", "--once"]);
    anna.ok(&["request", "accept", &ben.identifier]);
    anna.ok(&["send", &ben.identifier, "hello Ben"]);
    ben.ok(&["listen", "--once"]);
    let page = Page::start(&anna);
    let session = page.enter(&page.ticket);
    let (_, mut events) = page.ask("GET", "/events").of(&session).stream();
    live(&mut events, |told| {
        told["type"] == "connection" && told["online"] == true
    });

    ben.ok(&["typing", &anna.identifier]);
    let typing = live(&mut events, is("typing"));
    assert_eq!(typing["from"]["identifier"], ben.identifier);
    let sent = anna.ok(&["send", &ben.identifier, "from the terminal"]);
    // ben is away: as far as it comes, so that nothing more is told of it
    let of_it = |told: &Value| {
        // with others, when a receipt of an earlier one came in the same moment
        let messages = told["messages"].as_array();
        messages
            .into_iter()
            .flatten()
            .any(|message| message["id"] == sent[0]["id"] && message["state"] == "accepted")
    };
    let told = live(&mut events, of_it);
    assert_eq!(told["chat"]["last"]["text"], "from the terminal");
    anna.ok(&["mute", &ben.identifier]);
    let told = live(&mut events, |told| {
        !told["chat"]["muted_until_ts_ms"].is_null()
    });
    // none but the one that was just sent, whose place in the log may have come in the same moment
    let messages = told["messages"].as_array().into_iter().flatten();
    assert!(
        messages
            .map(|row| &row["id"])
            .all(|id| *id == sent[0]["id"])
    );
    let call = page.ask("POST", "/rpc").of(&session);
    assert_eq!(told["chat"], call.ok("chats.list", &json!({}))["chats"][0]);
    anna.ok(&["delete", sent[0]["id"].as_str().unwrap()]);
    live(&mut events, |told| told["gone"][0] == sent[0]["id"]);
    anna.ok(&["contact", "rename", &ben.identifier, "Benny"]);
    live(&mut events, is("people"));
    anna.ok(&["config", "set", "typing", "off"]);
    live(&mut events, is("settings"));
    let device = call.ok("devices.list", &json!({}))["devices"][0]["device"].take();
    anna.ok(&["device", "rename", device.as_str().unwrap(), "desk"]);
    live(&mut events, is("devices"));
    let file = folder.path().join("photo.bin");
    std::fs::write(&file, vec![7; 200_000]).unwrap();
    anna.ok(&["send", &ben.identifier, "--attach", file.to_str().unwrap()]);
    let told = live(&mut events, is("progress"));
    assert_eq!(
        (&told["name"], &told["own"]),
        (&json!("photo.bin"), &json!(true))
    );

    server.stop();
    let told = live(&mut events, |told| {
        told["type"] == "connection" && told["online"] == false
    });
    assert!(!told["reason"].as_str().unwrap().is_empty(), "{told}");
}
