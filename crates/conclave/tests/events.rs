//! Events on the real programs: by cursor, over all three doors, through crashes, for whom they are, and once.

#![cfg(test)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::daemon::Wire;
use support::program::DEADLINE;
use support::server::lines;
use support::{Daemon, Person, Server};

/// A server, Anna with a daemon that takes HTTP, and Ben, who are in contact.
struct Pair {
    _server: Server,
    anna: Person,
    ben: Person,
    daemon: Option<Daemon>,
}

impl Pair {
    fn new(folder: &Path) -> Self {
        let server = Server::start(folder);
        let anna = Person::registered(folder, &server, "anna@example.org");
        let ben = Person::registered(folder, &server, "ben@example.org");
        anna.ok(&["send", &ben.identifier, "hello"]);
        ben.ok(&["listen", "--once"]);
        let request = &ben.ok(&["request", "list"])[0]["chat"];
        ben.ok(&["request", "accept", request.as_str().unwrap()]);
        ben.ok(&["send", &anna.identifier, "hello Anna"]);
        let daemon = Some(Daemon::start_with(&anna, &["--http", "127.0.0.1:0"]));
        anna.ok(&["listen", "--once"]);
        Self {
            _server: server,
            anna,
            ben,
            daemon,
        }
    }

    fn wire(&self) -> Wire {
        self.daemon.as_ref().unwrap().connect()
    }

    /// Ends the daemon as a power cut does, and starts it again.
    fn crash(&mut self) {
        drop(self.daemon.take());
        self.daemon = Some(Daemon::start_with(&self.anna, &["--http", "127.0.0.1:0"]));
    }

    /// Ben says something.
    fn say(&self, text: &str) {
        self.ben.ok(&["send", &self.anna.identifier, text]);
    }

    fn address(&self) -> String {
        let url = self.daemon.as_ref().unwrap().about["http"]
            .as_str()
            .unwrap();
        let address = url.strip_prefix("http://").unwrap();
        address.strip_suffix("/rpc").unwrap().to_owned()
    }

    fn token(&self, words: &[&str]) -> String {
        let rows = self.anna.ok(&[&["token", "create"], words].concat());
        rows[0]["token"].as_str().unwrap().to_owned()
    }
}

/// Events of others' messages that a consumer has not taken, waited for until there are `count`.
fn texts(wire: &mut Wire, consumer: &str, count: usize) -> (Vec<String>, u64) {
    let (mut texts, mut cursor) = (Vec::new(), 0);
    while texts.len() < count {
        let params = json!({"consumer": consumer, "after": cursor, "wait_ms": 30_000});
        let page = wire.ok("events.list", &params);
        cursor = page["cursor"].as_u64().unwrap();
        let events = page["events"].as_array().unwrap();
        let heard = events.iter().map(|row| &row["event"]);
        let heard = heard.filter(|row| row["type"] == "message" && row["own"] == false);
        texts.extend(heard.map(|row| row["text"].as_str().unwrap().to_owned()));
    }
    (texts, cursor)
}

/// What a program acknowledged is not told again, all else is: after its own end, the daemon's and a crash of it.
#[test]
fn events_wait_until_they_are_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut pair = Pair::new(folder.path());
    let mut wire = pair.wire();
    wire.ok("events.list", &json!({"consumer": "bot"}));
    pair.say("one");
    pair.say("two");
    let (heard, _) = texts(&mut wire, "bot", 2);
    assert_eq!(heard, ["one", "two"]);
    pair.crash();
    let mut wire = pair.wire();
    let (heard, _) = texts(&mut wire, "bot", 2);
    assert_eq!(heard, ["one", "two"], "nothing was acknowledged");
    let page = wire.ok("events.list", &json!({"consumer": "bot"}));
    let rows = page["events"].as_array().unwrap();
    let one = rows
        .iter()
        .find(|row| row["event"]["text"] == "one")
        .unwrap();
    let ack = |cursor: &Value| json!({"consumer": "bot", "cursor": cursor});
    let acked = wire.ok("events.ack", &ack(&one["cursor"]));
    assert_eq!(acked["cursor"], one["cursor"]);
    pair.crash();
    pair.say("three");
    let mut wire = pair.wire();
    let (heard, cursor) = texts(&mut wire, "bot", 2);
    assert_eq!(heard, ["two", "three"]);
    wire.ok("events.ack", &ack(&json!(cursor)));
    let late = wire.ok("events.ack", &ack(&one["cursor"]));
    assert_eq!(late["cursor"], json!(cursor), "it never goes back");
    let none = wire.ok("events.list", &json!({"consumer": "bot"}));
    assert_eq!(none["events"], json!([]), "{none}");
    let ahead = wire.call("events.ack", &ack(&json!(cursor + 1000)));
    assert_eq!(ahead["error"]["data"]["code"], "BAD_INPUT", "{ahead}");
    let unknown = wire.call("events.ack", &json!({"consumer": "other", "cursor": 1}));
    assert_eq!(unknown["error"]["data"]["code"], "NOT_FOUND", "{unknown}");
    for name in ["", "5", "a b", "a/b", &"x".repeat(65)] {
        let params = json!({"consumer": name, "cursor": 0});
        let made = pair.wire().call("events.subscribe", &params);
        let is_anonymous = name.is_empty();
        assert_eq!(made["error"].is_null(), is_anonymous, "{name}: {made}");
    }
}

/// On the socket events come by themselves, in order, behind the answer; a new subscription takes the place of the
/// old one.
#[test]
fn events_come_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new(folder.path());
    let mut wire = pair.wire();
    let begin = wire.ok("events.subscribe", &json!({"consumer": "bot"}));
    let next = |wire: &mut Wire| loop {
        let frame = wire.recv().unwrap();
        assert_eq!(frame["method"], "event", "{frame}");
        let row = frame["params"].clone();
        if row["event"]["type"] == "message" && row["event"]["own"] == false {
            return row;
        }
    };
    pair.say("one");
    let one = next(&mut wire);
    assert_eq!(one["event"]["text"], "one");
    assert!(one["cursor"].as_u64() > begin["cursor"].as_u64());
    pair.say("two");
    assert_eq!(next(&mut wire)["event"]["text"], "two");
    let again = json!({"cursor": begin["cursor"]});
    wire.send(
        &json!({"jsonrpc": "2.0", "id": 9, "method": "events.subscribe", "params": again})
            .to_string(),
    );
    loop {
        // What was under way before the answer.
        let frame = wire.recv().unwrap();
        if frame["id"] == 9 {
            break;
        }
    }
    for text in ["one", "two"] {
        assert_eq!(next(&mut wire)["event"]["text"], text);
    }
}

/// What an event tells is made when it is told: what was edited comes edited, what was deleted for everyone comes
/// without its words, what was deleted here does not come, nor what a timer took away.
#[test]
fn deletions_hold_in_events() {
    let folder = tempfile::tempdir().unwrap();
    let mut pair = Pair::new(folder.path());
    let begin = pair
        .wire()
        .ok("events.subscribe", &json!({"consumer": "bot"}));
    for text in ["stays", "edited", "taken back", "not for me"] {
        pair.say(text);
    }
    let id = |person: &Person, text: &str| {
        let rows = person.ok(&[
            "history",
            if person.identifier == "ben@example.org" {
                "anna@example.org"
            } else {
                "ben@example.org"
            },
        ]);
        let row = rows.iter().find(|row| row["text"] == text).unwrap();
        row["id"].as_str().unwrap().to_owned()
    };
    pair.ben
        .ok(&["edit", &id(&pair.ben, "edited"), "other words"]);
    pair.ben
        .ok(&["delete", &id(&pair.ben, "taken back"), "--for-everyone"]);
    pair.anna.ok(&["listen", "--once"]);
    let gone = id(&pair.anna, "not for me");
    pair.anna.ok(&["delete", &gone]);
    pair.crash();
    let mut wire = pair.wire();
    let page = wire.ok("events.list", &json!({"after": begin["cursor"]}));
    let all = page.to_string();
    for words in ["taken back", "not for me", &gone] {
        assert!(!all.contains(words), "{words}: {all}");
    }
    let (heard, _) = texts(&mut wire, "bot", 3);
    assert_eq!(heard, ["stays", "other words", ""]);
}

/// A token sees events of its chats alone, and its consumers are its own: nobody else moves them.
#[test]
fn tokens_see_events_of_their_chats() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new(folder.path());
    pair.say("for the token");
    let mut wire = pair.wire();
    pair.wire()
        .ok("events.subscribe", &json!({"consumer": "bot", "cursor": 0}));
    let (heard, _) = texts(&mut wire, "bot", 2);
    assert_eq!(heard.last().unwrap(), "for the token");
    pair.anna.ok(&["group", "create", "hike"]);
    let group = pair.anna.ok(&["group", "list"])[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let with_ben = pair.token(&["--scope", "read", "--chat", &pair.ben.identifier]);
    let with_group = pair.token(&["--scope", "read", "--chat", &group]);
    let call = |token: &str, method: &str, params: Value| {
        let body =
            json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let head = format!(
            "POST /rpc HTTP/1.1\r\nhost: {0}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {1}\r\n\r\n",
            pair.address(),
            body.len()
        );
        let mut stream = TcpStream::connect(pair.address()).unwrap();
        stream.write_all((head + &body).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str::<Value>(body).unwrap()
    };
    let seen = call(&with_ben, "events.list", json!({"after": 0}));
    assert!(seen.to_string().contains("for the token"), "{seen}");
    let unseen = call(&with_group, "events.list", json!({"after": 0}));
    assert_eq!(unseen["result"]["events"], json!([]), "{unseen}");
    let moved = call(
        &with_ben,
        "events.ack",
        json!({"consumer": "bot", "cursor": 1}),
    );
    assert_eq!(moved["error"]["data"]["code"], "NOT_FOUND", "{moved}");
    let own = call(
        &with_ben,
        "events.subscribe",
        json!({"consumer": "bot", "cursor": 0}),
    );
    assert_eq!(own["result"]["consumer"], "bot", "{own}");
    let all = call(&with_ben, "events.consumers", json!({}));
    assert_eq!(all["result"]["consumers"].as_array().unwrap().len(), 1);
}

/// A reader of server-sent events.
struct Reader(BufReader<TcpStream>);

impl Reader {
    /// Asks for events; the status, and the reader behind the head.
    fn open(pair: &Pair, query: &str, headers: &[(&str, &str)]) -> (u16, String, Self) {
        let address = pair.address();
        let mut request = format!("GET /events{query} HTTP/1.1\r\nhost: {address}\r\n");
        for (name, value) in headers {
            request.push_str(&[name, ": ", value, "\r\n"].concat());
        }
        request.push_str("\r\n");
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, Self(reader))
    }

    /// The next event's id and data; comments and the frame of the transfer coding are left out.
    fn next(&mut self) -> Option<(u64, Value)> {
        let mut id = None;
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(number) = line.strip_prefix("id: ") {
                id = Some(number.trim().parse().unwrap());
            }
            if let (Some(id), Some(data)) = (id, line.strip_prefix("data: ")) {
                return Some((id, serde_json::from_str(data).unwrap()));
            }
        }
    }

    /// The next message of somebody else.
    fn message(&mut self) -> (u64, String) {
        loop {
            let (id, row) = self.next().unwrap();
            assert_eq!(row["cursor"], id, "{row}");
            if row["event"]["type"] == "message" && row["event"]["own"] == false {
                return (id, row["event"]["text"].as_str().unwrap().to_owned());
            }
        }
    }
}

/// Over HTTP events come as they happen; the head comes before the first of them; a reader that comes back with the
/// last id that it got misses nothing, also when the daemon crashed in between; a token that is taken back ends it.
#[test]
fn server_sent_events_go_on_where_the_reader_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut pair = Pair::new(folder.path());
    let token = pair.token(&["--scope", "read", "--name", "reader"]);
    let bearer = format!("Bearer {token}");
    // The head is read before anything is said.
    let (status, head, mut reader) = Reader::open(&pair, "", &[("authorization", &bearer)]);
    assert_eq!(status, 200, "{head}");
    assert!(head.contains("text/event-stream"), "{head}");
    assert!(!head.to_lowercase().contains("access-control"), "{head}");
    pair.say("one");
    pair.say("two");
    let (one, text) = reader.message();
    assert_eq!(text, "one");
    drop(reader);
    pair.crash();
    pair.say("three");
    let last = one.to_string();
    let headers = [
        ("authorization", bearer.as_str()),
        ("last-event-id", last.as_str()),
    ];
    let (_, _, mut reader) = Reader::open(&pair, "?after=1", &headers);
    assert_eq!(reader.message().1, "two");
    assert_eq!(reader.message().1, "three");
    for (query, more, expected) in [
        ("?after=x", ("x", ""), 400),
        ("?after=99999999", ("x", ""), 400),
        ("?no=1", ("x", ""), 400),
        ("", ("last-event-id", "abc"), 400),
        ("", ("origin", "http://example.org"), 403),
        ("", ("authorization", "Bearer x"), 401),
        ("?consumer=a/b", ("x", ""), 400),
    ] {
        let (status, ..) = Reader::open(&pair, query, &[headers[0], more]);
        assert_eq!(status, expected, "{query} {more:?}");
    }
    let list = pair.anna.ok(&["token", "list"]);
    pair.anna
        .ok(&["token", "revoke", list[0]["id"].as_str().unwrap()]);
    pair.say("not for you");
    while let Some((_, row)) = reader.next() {
        assert_ne!(row["event"]["text"], "not for you", "{row}");
    }
    let (status, ..) = Reader::open(&pair, "", &[headers[0]]);
    assert_eq!(status, 401);
}

/// Who waits for events when their token is taken back hears of none.
#[test]
fn a_token_taken_back_ends_a_wait() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new(folder.path());
    let token = pair.token(&["--scope", "read", "--name", "reader"]);
    pair.say("for you");
    let last = pair.wire().ok("events.list", &json!({}))["last"].clone();
    let address = pair.address();
    let params = json!({"after": last, "wait_ms": 60_000});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "events.list", "params": params});
    let body = body.to_string();
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(
        stream,
        "POST /rpc HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let list = pair.anna.ok(&["token", "list"]);
    pair.anna
        .ok(&["token", "revoke", list[0]["id"].as_str().unwrap()]);
    pair.say("not for you");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(!answer.contains("not for you"), "{answer}");
    assert!(
        answer.contains("FORBIDDEN") || answer.contains("UNAUTHORIZED"),
        "{answer}"
    );
}

/// A call said again under its key is done once: with the same answer, after a crash too, made anew of what the
/// message is by then; the key of another call is refused, and is no key of another caller.
#[test]
fn calls_with_a_key_are_done_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut pair = Pair::new(folder.path());
    let mut wire = pair.wire();
    let to = pair.ben.identifier.clone();
    let say = |text: &str, key: &str| json!({"to": to, "text": text, "idempotency_key": key});
    let first = wire.ok("messages.send", &say("once", "k1"));
    pair.crash();
    let mut wire = pair.wire();
    let again = wire.ok("messages.send", &say("once", "k1"));
    assert_eq!(again["id"], first["id"]);
    for params in [
        say("other", "k1"),
        json!({"to": to, "text": "once", "wait": "read", "idempotency_key": "k1"}),
    ] {
        let other = wire.call("messages.send", &params);
        assert_eq!(other["error"]["code"], -32_009, "{other}");
        assert_eq!(other["error"]["data"]["code"], "KEY_REUSED", "{other}");
    }
    let other = wire.call(
        "messages.react",
        &json!({"id": first["id"], "emoji": "x", "idempotency_key": "k1"}),
    );
    assert_eq!(other["error"]["data"]["code"], "KEY_REUSED", "{other}");
    wire.ok(
        "messages.edit",
        &json!({"id": first["id"], "text": "now this", "idempotency_key": "k2"}),
    );
    let again = wire.ok("messages.send", &say("once", "k1"));
    assert_eq!(again["text"], "now this", "made of what there is");
    let nobody = say("x", "k3")
        .to_string()
        .replace(&to, "c_00000000000000000000000000000000");
    let nobody: Value = serde_json::from_str(&nobody).unwrap();
    assert_eq!(
        wire.call("messages.send", &nobody)["error"]["data"]["code"],
        "NOT_FOUND"
    );
    // What did nothing is done when it can be.
    let refused = wire.call(
        "groups.leave",
        &json!({"group": "hike", "idempotency_key": "k4"}),
    );
    assert_eq!(refused["error"]["data"]["code"], "NOT_FOUND", "{refused}");
    let make = json!({"name": "hike", "who": [], "timeout_ms": 30_000, "idempotency_key": "k5"});
    let group = wire.ok("groups.create", &make);
    assert_eq!(wire.ok("groups.create", &make)["id"], group["id"]);
    assert_eq!(pair.anna.ok(&["group", "list"]).len(), 1);
    wire.ok(
        "groups.leave",
        &json!({"group": "hike", "idempotency_key": "k4"}),
    );
    let delete = json!({"id": first["id"], "for_everyone": true, "idempotency_key": "k6"});
    assert_eq!(
        wire.ok("messages.delete", &delete),
        wire.ok("messages.delete", &delete)
    );
    let look = wire.call(
        "messages.history",
        &json!({"chat": to, "idempotency_key": "k7"}),
    );
    assert_eq!(look["error"]["data"]["code"], "BAD_PARAMS", "{look}");
    let sent = pair.anna.history(&pair.ben);
    assert_eq!(
        sent.iter().filter(|row| row["own"] == true).count(),
        2,
        "{sent:?}"
    );
}

/// `listen --from NAME` prints each event once over all its runs, with and without a daemon; `--ack manual` prints it
/// until somebody acknowledges; a cursor reads without a name.
#[test]
fn listen_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut pair = Pair::new(folder.path());
    let heard = |pair: &Pair, words: &[&str]| {
        let rows = pair
            .anna
            .ok(&[&["listen", "--once", "--from"], words].concat());
        let texts = rows.iter().filter(|row| row["event"]["own"] == false);
        let texts = texts.filter_map(|row| row["event"]["text"].as_str().map(str::to_owned));
        texts.collect::<Vec<_>>()
    };
    assert_eq!(heard(&pair, &["log"]), [""; 0], "a new name begins now");
    pair.say("one");
    assert_eq!(heard(&pair, &["log", "--ack", "manual"]), ["one"]);
    assert_eq!(heard(&pair, &["log"]), ["one"]);
    pair.say("two");
    drop(pair.daemon.take());
    assert_eq!(heard(&pair, &["log"]), ["two"]);
    assert_eq!(heard(&pair, &["log"]), [""; 0]);
    assert_eq!(heard(&pair, &["0"]).last().unwrap(), "two");
    let ahead = pair.anna.run(&["listen", "--once", "--from", "99999"]);
    ahead.expect_error(2, "BAD_INPUT");
    pair.anna
        .run(&["listen", "--from", "a/b"])
        .expect_error(2, "BAD_INPUT");
    pair.anna
        .run(&["listen", "--exec", "true"])
        .expect_error(2, "USAGE");
}

/// `listen --exec` hands each event to a command: one that fails is run again for the same event, one that is killed
/// with its listener sees it again, and what ended well is not told twice; through the daemon, in the folder where the
/// command line stands.
#[test]
fn listen_runs_a_command_for_each_event() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new(folder.path());
    pair.wire()
        .ok("events.subscribe", &json!({"consumer": "sh"}));
    for text in ["one", "two", "three"] {
        pair.say(text);
    }
    pair.anna.ok(&["listen", "--once"]);
    // Fails the first time it sees "two"; hangs at "three" until there is a file.
    let script = r#"line=$(cat); printf '%s\n' "$line" >> heard
        case "$line" in
        *'"two"'*) [ -e failed ] || { : > failed; exit 3; };;
        *'"three"'*) [ -e go ] || exec sleep 1000;;
        esac"#;
    let at = folder.path();
    let words = ["listen", "--from", "sh", "--exec", script];
    let mut listener = pair.anna.spawn_in(at, &words);
    let complaints = lines(listener.stderr.take().unwrap());
    let said = complaints.recv_timeout(DEADLINE).unwrap();
    assert!(said.contains("ended with exit status: 3"), "{said}");
    let heard = |text: &str| {
        let rows = fs::read_to_string(at.join("heard")).unwrap_or_default();
        let rows = rows
            .lines()
            .map(|row| serde_json::from_str::<Value>(row).unwrap());
        rows.filter(|row| row["event"]["text"] == text && row["type"] == "event")
            .count()
    };
    let begin = std::time::Instant::now();
    while heard("three") == 0 {
        assert!(
            begin.elapsed() < DEADLINE,
            "the command is run for the third"
        );
        std::thread::park_timeout(Duration::from_millis(20));
    }
    listener.kill().unwrap();
    listener.wait().unwrap();
    fs::write(at.join("go"), "").unwrap();
    let once = pair
        .anna
        .spawn_in(at, &[&words, ["--once"].as_slice()].concat());
    assert_eq!(support::program::finish(once, "listen --exec").code, 0);
    assert_eq!([heard("one"), heard("two"), heard("three")], [1, 2, 2]);
}

/// A place that posts come to.
struct Hook(TcpListener);

impl Hook {
    fn open() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn url(&self) -> String {
        format!("http://{}/hook?a=b", self.0.local_addr().unwrap())
    }

    /// Takes one post, answers it with `answer`; its head in small letters, and its body.
    fn take(&self, answer: &str) -> (String, String) {
        let (stream, _) = self.0.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
        }
        let head = head.to_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap();
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        reader.get_mut().write_all(answer.as_bytes()).unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    /// The text of the next post.
    fn text(&self, answer: &str) -> String {
        let (_, body) = self.take(answer);
        let row: Value = serde_json::from_str(&body).unwrap();
        row["event"]["text"].as_str().unwrap().to_owned()
    }
}

const WELL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Posts are signed as the documents say, come in order, and come again after a redirect, an error and a crash until
/// they are taken; what was deleted meanwhile does not come.
#[test]
fn webhooks_come_until_they_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let mut pair = Pair::new(folder.path());
    let (hook, elsewhere) = (Hook::open(), Hook::open());
    let secret = folder.path().join("secret");
    fs::write(&secret, "0123456789abcdef0123456789abcdef\n").unwrap();
    let secret = secret.to_str().unwrap();
    let url = hook.url();
    let words = [
        "webhook",
        "add",
        &url,
        "--events",
        "message",
        "--secret-file",
        secret,
    ];
    let added = pair.anna.ok(&words);
    let id = added[0]["id"].as_str().unwrap().to_owned();
    pair.say("one");
    pair.say("two");
    let moved = format!(
        "HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
        elsewhere.url()
    );
    assert_eq!(hook.text(&moved), "one");
    assert_eq!(
        hook.text("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"),
        "one"
    );
    pair.crash();
    let (head, body) = hook.take(WELL);
    assert!(body.contains("\"one\""), "{body}");
    assert!(head.starts_with("post /hook?a=b http/1.1"), "{head}");
    let signature = head.split("conclave-signature: ").nth(1).unwrap();
    let signature = signature.split("\r\n").next().unwrap();
    let seconds = signature
        .strip_prefix("t=")
        .unwrap()
        .split(',')
        .next()
        .unwrap();
    assert_eq!(
        signature,
        format!("t={seconds},v1={}", hmac(folder.path(), seconds, &body))
    );
    assert_eq!(hook.text(WELL), "two");
    elsewhere.0.set_nonblocking(true).unwrap();
    assert!(elsewhere.0.accept().is_err(), "redirects are not followed");
    let tested = std::thread::scope(|scope| {
        let test = scope.spawn(|| pair.anna.ok(&["webhook", "test", &id]));
        assert!(hook.take(WELL).1.contains("\"test\""));
        test.join().unwrap()
    });
    assert_eq!(tested[0]["ok"], true);
    let listed = pair.anna.ok(&["webhook", "list"]);
    assert_eq!(listed[0]["waiting"], 0, "{listed:?}");
    assert!(!format!("{listed:?}").contains("0123456789abcdef0123456789abcdef"));
    pair.anna.ok(&["webhook", "remove", &id]);
    assert_eq!(pair.anna.ok(&["webhook", "list"]).len(), 0);
}

/// Webhooks that are not there, targets that are no web addresses of this machine or behind TLS, and events that there
/// are not, are refused with a reason.
#[test]
fn webhooks_are_checked_before_they_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::new(folder.path());
    let secret = folder.path().join("secret");
    fs::write(&secret, "0123456789abcdef0123456789abcdef\n").unwrap();
    let secret = secret.to_str().unwrap();
    for id in ["w_0123456789abcdef", "w_", "../x"] {
        pair.anna
            .run(&["webhook", "remove", id])
            .expect_error(8, "NOT_FOUND");
        pair.anna
            .run(&["webhook", "dead", "retry", id])
            .expect_error(8, "NOT_FOUND");
    }
    for url in [
        "http://example.org/",
        "ftp://127.0.0.1/",
        "https://a@example.org/",
        "x",
    ] {
        let refused = pair
            .anna
            .run(&["webhook", "add", url, "--secret-file", secret]);
        refused.expect_error(2, "USAGE");
        let params = json!({"url": url, "secret": "0123456789abcdef"});
        let refused = pair.wire().call("webhooks.add", &params);
        assert_eq!(refused["error"]["data"]["code"], "BAD_INPUT", "{refused}");
    }
    let url = "http://127.0.0.1:9/";
    let unknown = [
        "webhook",
        "add",
        url,
        "--events",
        "messages",
        "--secret-file",
        secret,
    ];
    pair.anna.run(&unknown).expect_error(2, "BAD_INPUT");
    assert_eq!(pair.anna.ok(&["webhook", "list"]).len(), 0);
}

/// The same signature by another program.
fn hmac(folder: &Path, seconds: &str, body: &str) -> String {
    let file = folder.join("signed");
    fs::write(&file, format!("{seconds}.{body}")).unwrap();
    let program = "import hmac,sys; print(hmac.new(sys.argv[1].encode(), open(sys.argv[2],'rb').read(), 'sha256').hexdigest())";
    let output = std::process::Command::new("python3")
        .args(["-c", program, "0123456789abcdef0123456789abcdef"])
        .arg(&file)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
