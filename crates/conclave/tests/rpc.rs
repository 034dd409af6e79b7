//! JSON-RPC over socket, pipes and HTTP on the real programs: what bots do, and what bad input gets.
//!
//! The methods come from `rpc schema`, which is made from the one table of them: a new method cannot stay out.

#![cfg(test)]

mod support;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::Receiver;

use serde_json::{Map, Value, json};
use support::daemon::Wire;
use support::program::DEADLINE;
use support::server::lines;
use support::{CONCLAVE, Daemon, Person, Server};

/// Nobody's ids.
const NO_CHAT: &str = "c_00000000000000000000000000000000";
const NO_MESSAGE: &str = "m_00000000000000000000000000000000";

/// One method as the schema describes it.
struct Method {
    name: String,
    scope: String,
    params: Vec<Param>,
}

struct Param {
    name: String,
    required: bool,
    /// `string`, `integer`, `array`, or the first of an enum's words.
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Words,
    Number,
    List,
    Flag,
    OneOf(String),
}

fn schema(person: &Person) -> Value {
    let outcome = person.run(&["rpc", "schema"]).expect_exit(0);
    serde_json::from_str(&outcome.stdout).unwrap()
}

/// Follows references to the shared shapes.
fn kind(document: &Value, schema: &Value) -> Kind {
    let reference = schema["$ref"]
        .as_str()
        .or_else(|| schema["allOf"][0]["$ref"].as_str());
    if let Some(path) = reference {
        return kind(
            document,
            document.pointer(path.trim_start_matches('#')).unwrap(),
        );
    }
    let one = schema["oneOf"][0]["const"]
        .as_str()
        .or_else(|| schema["enum"][0].as_str());
    match (schema["type"].as_str(), one) {
        (_, Some(word)) => Kind::OneOf(word.to_owned()),
        (Some("string"), _) => Kind::Words,
        (Some("integer"), _) => Kind::Number,
        (Some("array"), _) => Kind::List,
        (Some("boolean"), _) => Kind::Flag,
        _ => panic!("a parameter of another kind: {schema}"),
    }
}

fn methods(document: &Value) -> Vec<Method> {
    let param = |param: &Value| Param {
        name: param["name"].as_str().unwrap().to_owned(),
        required: param["required"].as_bool().unwrap(),
        kind: kind(document, &param["schema"]),
    };
    let method = |method: &Value| Method {
        name: method["name"].as_str().unwrap().to_owned(),
        scope: method["x-scope"].as_str().unwrap().to_owned(),
        params: method["params"]
            .as_array()
            .unwrap()
            .iter()
            .map(param)
            .collect(),
    };
    document["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(method)
        .collect()
}

impl Method {
    /// Parameters that parse and name nobody.
    fn nobody(&self) -> Map<String, Value> {
        let required = self.params.iter().filter(|param| param.required);
        required
            .map(|param| {
                let value = match &param.kind {
                    Kind::Words if matches!(param.name.as_str(), "id" | "message") => {
                        json!(NO_MESSAGE)
                    }
                    Kind::Words if matches!(param.name.as_str(), "name" | "text") => json!("x"),
                    // the head of a PNG file alone
                    Kind::Words if param.name == "picture" => json!("iVBORw0KGgo="),
                    Kind::Words => json!(NO_CHAT),
                    Kind::Number => json!(1),
                    Kind::List => json!(["nobody at all"]),
                    Kind::Flag => json!(true),
                    Kind::OneOf(word) => json!(word),
                };
                (param.name.clone(), value)
            })
            .collect()
    }

    /// Parameters that must be refused before anything is done, each with what is wrong about them.
    fn bad_params(&self) -> Vec<(String, Value)> {
        let good = self.nobody();
        let with = |name: &str, value: Value| {
            let mut params = good.clone();
            params.insert(name.to_owned(), value);
            Value::Object(params)
        };
        let mut bad = vec![(
            "an unknown field".to_owned(),
            with("no_such_field", json!(1)),
        )];
        for param in &self.params {
            let name = &param.name;
            let wrong = match param.kind {
                Kind::Words => vec![json!(5), json!(null), json!({}), json!("x".repeat(70_000))],
                Kind::Number => vec![json!("5"), json!(-1), json!(1.5), json!(u64::MAX)],
                Kind::List => vec![json!("x"), json!([5]), json!(["x".repeat(70_000)])],
                Kind::Flag => vec![json!("true"), json!(1), json!(null)],
                Kind::OneOf(_) => vec![json!("nonsense"), json!(5), json!(null)],
            };
            bad.extend(
                wrong
                    .into_iter()
                    .map(|value| (format!("{name} is wrong"), with(name, value))),
            );
            if param.required {
                let mut params = good.clone();
                params.remove(name);
                bad.push((format!("{name} is missing"), Value::Object(params)));
            }
        }
        bad
    }
}

/// An error has all its parts, and is none of ours.
fn code(answer: &Value) -> String {
    let error = &answer["error"];
    assert!(
        error["code"].as_i64().is_some_and(|number| number < 0),
        "{answer}"
    );
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty()),
        "{answer}"
    );
    assert!(error["data"]["hint"].is_string(), "{answer}");
    assert!(error["data"].get("retry_after_ms").is_some(), "{answer}");
    let code = error["data"]["code"].as_str().unwrap();
    assert!(!matches!(code, "BUG" | "UNEXPECTED"), "{answer}");
    code.to_owned()
}

/// One person with a daemon that takes HTTP.
fn with_http(folder: &Path) -> (Server, Person, Daemon) {
    let server = Server::start(folder);
    let anna = Person::registered(folder, &server, "anna@example.org");
    let daemon = Daemon::start_with(&anna, &["--http", "127.0.0.1:0"]);
    (server, anna, daemon)
}

fn token(person: &Person, words: &[&str]) -> String {
    let rows = person.ok(&[&["token", "create"], words].concat());
    rows[0]["token"].as_str().unwrap().to_owned()
}

/// A port, and what a request to it says.
#[derive(Clone)]
struct Http {
    address: String,
    host: String,
    method: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, String)>,
}

impl Http {
    /// A right request without a token.
    fn new(daemon: &Daemon) -> Self {
        let url = daemon.about["http"].as_str().unwrap();
        let address = url
            .strip_prefix("http://")
            .unwrap()
            .strip_suffix("/rpc")
            .unwrap();
        Self {
            address: address.to_owned(),
            host: address.to_owned(),
            method: "POST",
            path: "/rpc",
            headers: vec![("content-type", "application/json".to_owned())],
        }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    fn token(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    /// Status and body; the whole answer's head is looked at too: nothing lets other origins in.
    fn send(&self, body: &str) -> (u16, Value) {
        let mut request = format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\n",
            self.method, self.path, self.host
        );
        for (name, value) in &self.headers {
            request.push_str(&[name, ": ", value, "\r\n"].concat());
        }
        let length = body.len().to_string();
        request.push_str(&["content-length: ", &length, "\r\nconnection: close\r\n\r\n"].concat());
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        // Whoever is refused early may find the connection closed.
        drop(stream.write_all(body.as_bytes()));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{answer}"));
        assert!(!head.to_lowercase().contains("access-control"), "{head}");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    fn call(&self, method: &str, params: &Value) -> (u16, Value) {
        self.send(
            &json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string(),
        )
    }
}

/// Every method refuses wrong types, unknown fields, missing and oversized values before it does anything, and answers
/// ids of nobody with a clear error.
#[test]
fn every_method_refuses_bad_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, anna, daemon) = with_http(folder.path());
    let methods = methods(&schema(&anna));
    assert!(methods.len() > 30, "the table is there");
    let mut wire = daemon.connect();
    for method in &methods {
        for (what, params) in method.bad_params() {
            let answer = wire.call(&method.name, &params);
            assert_eq!(
                code(&answer),
                "BAD_PARAMS",
                "{}: {what}: {answer}",
                method.name
            );
        }
        // Of the profile's own account, whatever they are given: account.rs, and the page's tests.
        if method.name.starts_with("account.") {
            continue;
        }
        let answer = wire.call(&method.name, &Value::Object(method.nobody()));
        let is_new = matches!(method.name.as_str(), "groups.create" | "qr.draw");
        // whatever it is given is words, which nobody said
        let is_looking = method.name == "messages.search";
        let wants = method.params.iter().any(|param| param.required);
        if (wants && !is_looking) || is_new {
            let code = code(&answer);
            let expected = ["NOT_FOUND", "BAD_INPUT", "NOTHING_TO_ACCEPT"];
            assert!(
                expected.contains(&code.as_str()),
                "{}: {answer}",
                method.name
            );
        } else {
            assert!(answer["error"].is_null(), "{}: {answer}", method.name);
        }
    }
    assert_eq!(anna.ok(&["chats"]).len(), 0, "nothing was made");
    assert_eq!(anna.ok(&["whoami"])[0]["identifier"], "anna@example.org");
}

/// Every method wants a token over HTTP: without one, or without the method's scope, or for another chat, nothing is
/// done.
#[test]
fn every_method_wants_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let (server, anna, daemon) = with_http(folder.path());
    let ben = Person::registered(folder.path(), &server, "ben@example.org");
    anna.ok(&["send", &ben.identifier, "hello"]);
    let http = Http::new(&daemon);
    let with = |words: &[&str]| http.clone().token(&token(&anna, words));
    let whole = with(&["--scope", "read,send,admin"]);
    let limited = with(&["--scope", "read,send,admin", "--chat", &ben.identifier]);
    let without = [
        ("read", with(&["--scope", "send,admin"])),
        ("send", with(&["--scope", "read,admin"])),
        ("admin", with(&["--scope", "read,send"])),
    ];
    for method in methods(&schema(&anna)) {
        let (name, nobody) = (&method.name, Value::Object(method.nobody()));
        let (status, answer) = http.call(name, &nobody);
        assert_eq!(
            (status, code(&answer).as_str()),
            (401, "UNAUTHORIZED"),
            "{name}"
        );
        let (_, without) = without
            .iter()
            .find(|(scope, _)| *scope == method.scope)
            .unwrap();
        let (status, answer) = without.call(name, &nobody);
        assert_eq!(
            (status, code(&answer).as_str()),
            (200, "FORBIDDEN"),
            "{name}"
        );
        let (_, answer) = limited.call(name, &nobody);
        let (_, in_full) = whole.call(name, &nobody);
        let has_id = method.params.iter().any(|param| param.name == "id");
        // A token's consumers are its own: it may name them, whatever its chats. QR codes are nobody's.
        let is_own = name.starts_with("events.") || name.starts_with("qr.");
        let names_nobody = !has_id && !is_own && method.params.iter().any(|param| param.required);
        if names_nobody {
            assert_eq!(code(&answer), "FORBIDDEN", "{name}: {answer}");
        } else if answer["error"].is_null() {
            assert!(in_full["error"].is_null(), "{name}: {in_full}");
        }
    }
    let chat = anna.ok(&["chats"])[0]["id"].clone();
    let (_, seen) = limited.call("messages.history", &json!({"chat": chat}));
    assert_eq!(seen["result"]["messages"][0]["text"], "hello");
    let to_carl = json!({"to": "carl@example.org", "text": "x"});
    assert_eq!(
        code(&limited.call("messages.send", &to_carl).1),
        "FORBIDDEN"
    );
    let id = anna.history(&ben)[0]["id"].clone();
    let (_, seen) = limited.call("messages.info", &json!({"id": id}));
    assert_eq!(seen["result"]["message"]["text"], "hello");
    let (_, seen) = limited.call("messages.react", &json!({"id": id, "emoji": "👍"}));
    assert_eq!(seen["result"]["id"], id, "{seen}");
    let elsewhere = json!({"id": id, "to": "carl@example.org"});
    assert_eq!(
        code(&limited.call("messages.forward", &elsewhere).1),
        "FORBIDDEN"
    );
}

/// A token for some chats hears of nobody else: neither names nor what is wrong with them tell it anything.
#[test]
fn a_name_tells_a_limited_token_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (server, anna, daemon) = with_http(folder.path());
    let ben = Person::registered(folder.path(), &server, "ben@example.org");
    anna.ok(&["send", &ben.identifier, "hello"]);
    let http = Http::new(&daemon);
    let with = |words: &[&str]| http.clone().token(&token(&anna, words));
    let whole = with(&["--scope", "read"]);
    let limited = with(&["--scope", "read", "--chat", &ben.identifier]);
    let eve = Person::registered(folder.path(), &server, "eve@example.org");
    anna.ok(&["send", &eve.identifier, "hello"]);
    anna.ok(&["contact", "rename", &eve.identifier, "Evelyn"]);
    for words in ["Evelyn", "", "nobody", "@"] {
        let (_, answer) = limited.call("messages.history", &json!({"chat": words}));
        assert_eq!(code(&answer), "FORBIDDEN", "{words}: {answer}");
        assert!(!answer.to_string().contains("eve@"), "{answer}");
    }
    let (_, answer) = whole.call("messages.history", &json!({"chat": "Evelyn"}));
    assert!(answer.to_string().contains("eve@example.org"), "{answer}");
    let (_, answer) = whole.call("messages.history", &json!({"chat": ""}));
    assert!(!answer.to_string().contains("@example.org"), "{answer}");
}

/// A token is shown once; expired, revoked or unknown it opens nothing, and the fifth of those pauses everybody.
#[test]
fn bad_tokens_open_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, anna, daemon) = with_http(folder.path());
    let http = Http::new(&daemon);
    let good = http.clone().token(&token(&anna, &["--scope", "read"]));
    let brief = token(&anna, &["--scope", "read", "--expires", "1s"]);
    let revoked = token(&anna, &["--scope", "read", "--name", "gone"]);
    let listed = anna.ok(&["token", "list"]);
    assert_eq!(listed.len(), 3);
    assert!(
        listed.iter().all(|row| row["token"].is_null()),
        "{listed:?}"
    );
    let gone = listed.iter().find(|row| row["name"] == "gone").unwrap()["id"].clone();
    let gone = gone.as_str().unwrap();
    anna.ok(&["token", "revoke", gone]);
    anna.run(&["token", "revoke", gone])
        .expect_error(8, "NOT_FOUND");
    anna.run(&["token", "create", "--scope", "all"])
        .expect_error(2, "USAGE");
    let brief = http.clone().token(&brief);
    let mut asked = std::iter::repeat_with(|| brief.call("status", &json!({})));
    let (status, answer) = asked.find(|(status, _)| *status != 200).unwrap();
    assert_eq!((status, code(&answer).as_str()), (401, "UNAUTHORIZED"));
    let tried = [&revoked, gone, "conclave-token-", &revoked[1..]];
    for bad in tried {
        assert_eq!(good.call("status", &json!({})).0, 200);
        let (status, answer) = http.clone().token(bad).call("status", &json!({}));
        assert_eq!((status, code(&answer).as_str()), (401, "UNAUTHORIZED"));
    }
    let (status, answer) = good.call("status", &json!({}));
    assert_eq!((status, code(&answer).as_str()), (429, "RATE_LIMITED"));
    let wait = answer["error"]["data"]["retry_after_ms"].as_u64();
    assert!(wait.is_some_and(|ms| ms > 0), "{answer}");
}

/// What web pages, foreign names and broken programs send to the port is refused, in the documented way, and a good
/// request afterwards is answered.
#[test]
fn the_http_port_refuses_what_is_not_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, anna, daemon) = with_http(folder.path());
    let good = Http::new(&daemon).token(&token(&anna, &["--scope", "read"]));
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"version"}"#;
    for (http, expected) in misdirected(&good) {
        let (status, _) = http.send(request);
        assert_eq!(
            status, expected,
            "{} {} host {:?} {:?}",
            http.method, http.path, http.host, http.headers
        );
    }
    assert_eq!(good.send(&" ".repeat(1024 * 1024 + 1)).0, 413);
    for (body, expected) in [
        ("", "PARSE"),
        ("{", "PARSE"),
        ("[]", "INVALID_REQUEST"),
        ("5", "INVALID_REQUEST"),
    ] {
        let (status, answer) = good.send(body);
        assert_eq!((status, code(&answer).as_str()), (200, expected), "{body}");
    }
    // The socket's own are not for tokens.
    for method in ["cli.run", "daemon.stop", "daemon.status", "cli.stop"] {
        let (_, answer) = good.call(method, &json!({}));
        assert_eq!(code(&answer), "NO_METHOD");
    }
    let notification = r#"{"jsonrpc":"2.0","method":"version"}"#;
    assert_eq!(good.send(notification).0, 204);
    assert_eq!(good.send(request).0, 200);
    let others = anna.run(&["daemon", "--http", "0.0.0.0:0"]);
    others.expect_error(2, "USAGE");
}

/// Requests that differ from a good one in one thing, and the status each must get.
fn misdirected(good: &Http) -> Vec<(Http, u16)> {
    let port = good.host.rsplit(':').next().unwrap();
    let mut all = vec![(good.clone(), 200)];
    let foreign = [format!("example.org:{port}"), format!("127.0.0.1.:{port}")];
    for host in ["example.org", "127.0.0.1", ""]
        .map(str::to_owned)
        .into_iter()
        .chain(foreign)
    {
        all.push((
            Http {
                host,
                ..good.clone()
            },
            421,
        ));
    }
    all.push((good.clone().with("host", "example.org"), 421));
    let host = format!("localhost:{port}");
    all.push((
        Http {
            host,
            ..good.clone()
        },
        200,
    ));
    for origin in [
        "http://example.org",
        "null",
        "https://127.0.0.1",
        "http://127.0.0.1:1",
        "file://",
    ] {
        all.push((good.clone().with("origin", origin), 403));
    }
    let own = format!("http://127.0.0.1:{port}");
    all.push((good.clone().with("origin", &own), 200));
    for content in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "",
    ] {
        all.push((good.clone().with("content-type", content), 415));
    }
    for method in ["GET", "OPTIONS", "PUT", "DELETE", "HEAD"] {
        all.push((
            Http {
                method,
                ..good.clone()
            },
            405,
        ));
    }
    for path in ["/", "/rpc/", "/rpc/..", "//rpc", "/RPC"] {
        all.push((
            Http {
                path,
                ..good.clone()
            },
            404,
        ));
    }
    all
}

/// Lines that are no requests get an error each and the connection goes on; one that is too long ends it, and the
/// daemon goes on.
#[test]
fn the_socket_survives_nonsense() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, anna, daemon) = with_http(folder.path());
    let mut wire = daemon.connect();
    let refused = |wire: &mut Wire, line: &str| {
        wire.send(line);
        code(&wire.recv().unwrap())
    };
    assert_eq!(refused(&mut wire, "{"), "PARSE");
    assert_eq!(refused(&mut wire, "\u{1}"), "PARSE");
    let long = format!("[{}]", ["1"; 65].join(","));
    for line in [
        "5",
        "[]",
        &long,
        r#""x""#,
        r#"{"id":1,"method":"version"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"version"}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"version"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"version","params":[1]}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"version","extra":1}"#,
    ] {
        assert_eq!(refused(&mut wire, line), "INVALID_REQUEST", "{line}");
    }
    for method in ["", "no.such", "METHODS", "version\u{0}", &"x".repeat(9_000)] {
        assert_eq!(code(&wire.call(method, &json!({}))), "NO_METHOD");
    }
    assert_eq!(
        code(&wire.call("cli.run", &json!({"args": 5}))),
        "BAD_PARAMS"
    );
    wire.send("");
    wire.send(
        r#"[{"jsonrpc":"2.0","id":1,"method":"version"},5,{"jsonrpc":"2.0","method":"version"}]"#,
    );
    let batch = wire.recv().unwrap();
    assert_eq!(batch.as_array().unwrap().len(), 2, "{batch}");
    assert_eq!(code(&refused_long(&daemon)), "INVALID_REQUEST");
    assert_eq!(
        wire.ok("version", &json!({}))["version"],
        env!("CARGO_PKG_VERSION")
    );
    drop(anna);
}

fn refused_long(daemon: &Daemon) -> Value {
    let mut wire = daemon.connect();
    wire.send(&" ".repeat(1024 * 1024));
    let answer = wire.recv().unwrap();
    assert_eq!(wire.recv(), None, "the connection is over");
    answer
}

/// A bot's first day over the socket: hears a request, accepts, answers, reads; the same methods over `rpc` pipes and
/// `rpc call`, with a daemon and without one.
#[test]
fn bots_talk_over_socket_pipes_and_calls() {
    let folder = tempfile::tempdir().unwrap();
    let (server, anna, daemon) = with_http(folder.path());
    let ben = Person::registered(folder.path(), &server, "ben@example.org");
    ben.ok(&["send", &anna.identifier, "hello bot"]);
    anna.ok(&["listen", "--once"]);
    let mut wire = daemon.connect();
    let requests = wire.ok("requests.list", &json!({}));
    let chat = requests["requests"][0]["chat"].clone();
    wire.ok("requests.accept", &json!({"chat": chat}));
    let sent = wire.ok("messages.send", &json!({"to": chat, "text": "hello Ben"}));
    assert_eq!(
        (&sent["state"], &sent["text"]),
        (&json!("accepted"), &json!("hello Ben"))
    );
    assert_eq!(wire.ok("messages.read", &json!({"chat": chat}))["count"], 1);
    assert_eq!(
        wire.ok("chats.list", &json!({}))["chats"][0]["last"]["text"],
        "hello Ben"
    );
    let answer = json!({"to": chat, "text": "and again", "reply_to": sent["id"]});
    let answer = wire.ok("messages.send", &answer);
    assert_eq!(answer["reply"]["id"], sent["id"], "{answer}");
    let edit = json!({"id": answer["id"], "text": "and once more"});
    assert_eq!(wire.ok("messages.edit", &edit)["text"], "and once more");
    wire.ok("messages.pin", &json!({"id": answer["id"], "pinned": true}));
    let pins = wire.ok("messages.pins", &json!({"chat": chat}));
    assert_eq!(pins["messages"][0]["id"], answer["id"]);
    let timer = json!({"chat": chat, "seconds": 3600});
    assert_eq!(wire.ok("chats.set_timer", &timer)["seconds"], 3600);
    wire.ok(
        "messages.delete",
        &json!({"id": answer["id"], "for_everyone": true}),
    );
    let group = json!({"name": "bots", "who": [ben.identifier]});
    assert_eq!(
        wire.ok("groups.create", &group)["members"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    wire.ok("groups.rename", &json!({"group": "bots", "name": "people"}));
    assert_eq!(
        wire.ok("groups.list", &json!({}))["groups"][0]["name"],
        "people"
    );

    let history = json!({"chat": chat, "limit": 1}).to_string();
    let called = |person: &Person| person.ok(&["rpc", "call", "messages.history", &history]);
    let requests = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"whoami\"}\nnonsense\n";
    let piped = |person: &Person| {
        let answers = person.ok_with(&["rpc"], requests);
        let ids: BTreeSet<String> = answers
            .iter()
            .map(|answer| answer["id"].to_string())
            .collect();
        assert_eq!(
            ids,
            BTreeSet::from(["1".to_owned(), "null".to_owned()]),
            "{answers:?}"
        );
    };
    let with_daemon = called(&anna);
    piped(&anna);
    anna.run(&["rpc", "call", "no.such"])
        .expect_error(2, "NO_METHOD");
    anna.run(&["rpc", "call", "messages.info", r#"{"id":"m_1"}"#])
        .expect_error(2, "BAD_PARAMS");
    daemon.terminate();
    assert_eq!(called(&anna), with_daemon);
    piped(&anna);
}

/// What a page has to manage: the own profile with its picture, settings, the device's name and the identity key; and
/// none of it takes nonsense.
#[test]
fn the_account_is_managed_by_calls() {
    let folder = tempfile::tempdir().unwrap();
    let (server, anna, daemon) = with_http(folder.path());
    let ben = Person::registered(folder.path(), &server, "ben@example.org");
    ben.ok(&["send", &anna.identifier, "hello"]);
    anna.ok(&["listen", "--once"]);
    let mut wire = daemon.connect();
    let chat = wire.ok("requests.list", &json!({}))["requests"][0]["chat"].clone();
    wire.ok("requests.accept", &json!({"chat": chat}));
    // A PNG of one white dot.
    let dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg==";
    let set = wire.ok("profile.set", &json!({"name": "Anna B.", "picture": dot}));
    assert_eq!(set["person"]["name"], "Anna B.");
    wire.ok("messages.send", &json!({"to": chat, "text": "hello"}));
    ben.ok(&["listen", "--once"]);
    let shown = ben.ok(&[
        "rpc",
        "call",
        "profile.show",
        r#"{"who":"anna@example.org"}"#,
    ]);
    assert_eq!(shown[0]["picture"], set["picture"]);
    assert!(
        shown[0]["picture"]
            .as_str()
            .is_some_and(|jpeg| jpeg.starts_with("/9j/"))
    );
    let kept = wire.ok("profile.set", &json!({}));
    assert_eq!(kept, set, "what is left out stays");
    let gone = wire.ok("profile.set", &json!({"picture": ""}));
    assert_eq!(
        (&gone["picture"], &gone["person"]["name"]),
        (&json!(null), &json!("Anna B."))
    );
    for nonsense in ["%%", "aGVsbG8=", "iVBORw0KGgo="] {
        let answer = wire.call("profile.set", &json!({"picture": nonsense}));
        assert!(
            ["BAD_PARAMS", "BAD_INPUT"].contains(&code(&answer).as_str()),
            "{answer}"
        );
    }

    let strict = json!({"setting": "trust.mode", "value": "strict"});
    assert_eq!(wire.ok("config.set", &strict)["value"], "strict");
    let answer = wire.call(
        "config.set",
        &json!({"setting": "trust.mode", "value": "lax"}),
    );
    assert_eq!(code(&answer), "BAD_INPUT");
    let settings = wire.ok("config.list", &json!({}));
    assert_eq!(settings["settings"][0]["value"], "strict");

    let device = wire.ok("devices.list", &json!({}))["devices"][0]["device"].clone();
    wire.ok("devices.rename", &json!({"device": device, "name": "desk"}));
    assert_eq!(
        wire.ok("devices.list", &json!({}))["devices"][0]["name"],
        "desk"
    );
    assert_eq!(wire.ok("devices.rotate", &json!({}))["to"], device);
    let before = wire.ok("whoami", &json!({}))["fingerprint"].clone();
    let after = wire.ok("key.rotate", &json!({}))["fingerprint"].clone();
    assert_ne!(before, after);
    let findings = wire.ok("doctor", &json!({}))["findings"].clone();
    assert!(
        findings
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["ok"] == true),
        "{findings}"
    );
}

/// Both example bots accept who writes first, and answer every message once.
#[test]
fn the_example_bots_echo() {
    let folder = tempfile::tempdir().unwrap();
    let (server, bot, daemon) = with_http(folder.path());
    let ben = Person::registered(folder.path(), &server, "ben@example.org");
    let _at_ben = Daemon::start(&ben);
    let mut listener = ben.spawn(&["listen"]);
    let heard = lines(listener.stdout.take().unwrap());
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/echo_bot.py");
    let length = fs::read_to_string(&python).unwrap().lines().count();
    assert!(length <= 60, "{length} lines");
    let socket = bot.folder().join("daemon.sock");
    let mut running = Bot::start("python3", &[&python, &socket]);
    let said = lines(running.0.stdout.take().unwrap());
    // Its consumer begins with what happens from then on.
    assert_eq!(said.recv_timeout(DEADLINE).unwrap(), "listening");
    echoes(&ben, &bot, &heard, ["one", "two"]);
    drop(running);
    daemon.terminate();

    let running = Bot::start(rust_bot(), &[bot.folder()]);
    echoes(&ben, &bot, &heard, ["three", "four"]);
    drop(running);
    assert_eq!(ben.history(&bot).len(), 8, "each word twice, and no more");
    listener.kill().unwrap();
    listener.wait().unwrap();
}

/// Ben writes, and hears each word again.
fn echoes(ben: &Person, bot: &Person, heard: &Receiver<String>, texts: [&str; 2]) {
    for text in texts {
        ben.ok(&["send", &bot.identifier, text]);
        loop {
            let row = heard.recv_timeout(DEADLINE).expect("the bot answers");
            let row: Value = serde_json::from_str(&row).unwrap();
            if row["type"] == "message" {
                assert_eq!(row["text"], text);
                break;
            }
        }
    }
}

/// A bot that runs; dropped, it is killed.
struct Bot(Child);

impl Bot {
    fn start(program: impl AsRef<OsStr>, words: &[&Path]) -> Self {
        let mut command = Command::new(program);
        command.args(words).stdout(std::process::Stdio::piped());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The example in Rust, built beside the program; built here when only this test was.
fn rust_bot() -> PathBuf {
    let path = Path::new(CONCLAVE).with_file_name("examples/echo_bot");
    if !path.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--package", "conclave", "--example", "echo_bot"]);
        let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status();
        assert!(status.unwrap().success() && path.exists());
    }
    path
}
