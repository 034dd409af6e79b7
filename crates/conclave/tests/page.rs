//! The page's server on the real programs: who comes in, and what everybody else gets.

#![cfg(test)]

mod support;

use std::io::{BufRead as _, Read as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};
use support::page::{Ask, Session, parts};
use support::{Daemon, Page, Person, Server};

/// Somebody at their page.
fn with_page(folder: &Path) -> (Server, Person, Page, Session) {
    let server = Server::start(folder);
    let anna = Person::registered(folder, &server, "anna@example.org");
    let page = Page::start(&anna);
    let session = page.enter(&page.ticket);
    (server, anna, page, session)
}

/// The link that `conclave web` prints opens the page once; the next `conclave web` finds the daemon and gives another
/// way in, at the same port; what was let in goes when that is asked for.
#[test]
fn a_link_opens_the_page_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, anna, page, session) = with_page(folder.path());
    let shown = page.ask("GET", "/").send(b"");
    assert_eq!(shown.status, 200);
    assert_eq!(shown.header("cache-control"), Some("no-cache"));
    let policy = shown.header("content-security-policy").unwrap();
    for part in [
        "script-src 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    let call = page.ask("POST", "/rpc").of(&session);
    assert_eq!(call.ok("whoami", &json!({}))["identifier"], anna.identifier);
    let replayed = page
        .ask("POST", "/auth")
        .json(&json!({"ticket": page.ticket}));
    assert_eq!(
        (replayed.status, replayed.code().as_str()),
        (401, "UNAUTHORIZED")
    );
    assert_eq!(replayed.header("set-cookie"), None);

    let rows = anna.ok(&["web", "--no-open"]);
    let (address, ticket) = parts(&rows[0]);
    assert_eq!(
        (address.as_str(), &rows[0]["opened"]),
        (page.address.as_str(), &json!(false))
    );
    let entered = page.ask("POST", "/auth").with("cookie", &session.cookie);
    let entered = entered.json(&json!({"ticket": ticket}));
    let attributes = "; HttpOnly; SameSite=Strict; Path=/";
    assert!(entered.header("set-cookie").unwrap().ends_with(attributes));
    let second = Session::of(&entered);
    assert_eq!(second.cookie, session.cookie, "tabs share a cookie");
    assert!(
        second
            .cookie
            .starts_with(&format!("conclave_{}=", page.port()))
    );
    for tab in [&session, &second] {
        page.ask("POST", "/rpc").of(tab).ok("version", &json!({}));
    }
    anna.run(&["web", "--no-open", "--port", "1"])
        .expect_error(9, "ADDRESS");

    let (status, mut events) = page.ask("GET", "/events").of(&session).stream();
    assert_eq!(status, 200);
    anna.ok(&["web", "--no-open", "--end-sessions"]);
    let mut rest = String::new();
    while !rest.ends_with("\r\n0\r\n") {
        assert!(events.read_line(&mut rest).unwrap() > 0, "{rest}");
    }
    assert!(!rest.contains("event: error"), "{rest}");
    let ended = call.json(&json!({}));
    assert_eq!((ended.status, ended.code().as_str()), (401, "UNAUTHORIZED"));
    page.terminate();
}

/// A daemon that runs already serves the page when it is asked to; a profile without an account has one, too.
#[test]
fn any_daemon_has_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let anna = Person::registered(folder.path(), &server, "anna@example.org");
    let daemon = Daemon::start(&anna);
    assert_eq!(daemon.about["page"], Value::Null);
    let (address, _) = parts(&anna.ok(&["web", "--no-open"])[0]);
    let status = anna.ok(&["daemon", "status"]);
    assert_eq!(status[0]["page"], json!(format!("http://{address}/")));

    let newcomer = Person::new(folder.path(), "new@example.org");
    let page = Page::start_with(&newcomer, &["--no-passphrase"]);
    let session = page.enter(&page.ticket);
    let answer = page
        .ask("POST", "/rpc")
        .of(&session)
        .call("whoami", &json!({}));
    assert_eq!(
        answer["error"]["data"]["code"], "NOT_REGISTERED",
        "{answer}"
    );
    page.terminate();
}

/// The page comes back at its address, which is what the browser knows it by; when another program has the port, it takes
/// a free one.
#[test]
fn the_page_keeps_its_port() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let anna = Person::registered(folder.path(), &server, "anna@example.org");
    let page = Page::start_with(&anna, &[]);
    let address = page.address.clone();
    page.terminate();
    let page = Page::start_with(&anna, &[]);
    assert_eq!(page.address, address);
    page.terminate();
    let other = std::net::TcpListener::bind(&address).unwrap();
    let page = Page::start_with(&anna, &[]);
    assert_ne!(page.address, address);
    let session = page.enter(&page.ticket);
    page.ask("POST", "/rpc")
        .of(&session)
        .call("whoami", &json!({}));
    page.terminate();
    drop(other);
}

/// What comes from elsewhere, for elsewhere or in another form is refused before anything is done: in each request one
/// thing is wrong.
#[test]
fn the_page_refuses_what_is_not_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, anna, page, session) = with_page(folder.path());
    let good = page.ask("POST", "/rpc").of(&session);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "version"});
    for (ask, status) in misdirected(&page, &good) {
        let reply = ask.json(&body);
        assert_eq!(reply.status, status, "{ask:?}: {}", reply.text());
        assert_eq!(reply.header("set-cookie"), None, "{ask:?}");
    }
    for path in [
        "/assets/",
        "/assets/../index.html",
        "/../Cargo.toml",
        "/assets/..%2f..%2fCargo.toml",
        "/assets/.env",
        "//etc/passwd",
        "/index.html/",
        "/assets/\\..\\x",
        "/RPC",
        "/rpc/",
    ] {
        assert_eq!(page.ask("GET", path).send(b"").status, 404, "{path}");
    }
    assert_eq!(good.send(&vec![b' '; 8 * 1024 * 1024 + 1]).status, 413);
    let long = json!({"ticket": "x".repeat(9_000)});
    assert_eq!(page.ask("POST", "/auth").json(&long).status, 413);
    let announced = good.announce(1 << 40);
    assert_eq!(
        (announced.status, announced.code().as_str()),
        (413, "TOO_LARGE"),
        "nothing of it has to come first"
    );
    for nonsense in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"ticket":5}"#,
        r#"{"ticket":"","x":1}"#,
    ] {
        let reply = page.ask("POST", "/auth").send(nonsense.as_bytes());
        assert_eq!(reply.status, 400, "{nonsense}");
    }
    for method in ["cli.run", "daemon.stop", "web.open"] {
        assert_eq!(code(&good.call(method, &json!({}))), "NO_METHOD");
    }
    let save = json!({"id": "m_00000000000000000000000000000000", "path": "/tmp/x"});
    let answer = good.call("attachments.save", &save);
    assert!(
        ["FORBIDDEN", "NOT_FOUND"].contains(&code(&answer)),
        "{answer}"
    );
    assert_eq!(good.json(&body).status, 200, "it goes on");
    drop(anna);
}

fn code(answer: &Value) -> &str {
    answer["error"]["data"]["code"].as_str().unwrap()
}

/// Requests that differ from a good one in one thing, and the status each must get.
fn misdirected(page: &Page, good: &Ask) -> Vec<(Ask, u16)> {
    let mut all = vec![(good.clone(), 200)];
    all.extend(from_elsewhere(page, good));
    for content in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "",
    ] {
        let other = good.clone().with("content-type", content);
        all.push((other.clone().at("/auth"), 415));
        all.push((other.clone().at("/unlock"), 415));
        all.push((other, 415));
    }
    for method in ["GET", "OPTIONS", "PUT", "DELETE", "HEAD", "TRACE"] {
        all.push((good.clone().by(method), 405));
        all.push((good.clone().by(method).at("/auth"), 405));
        all.push((good.clone().by(method).at("/unlock"), 405));
    }
    for path in ["/events", "/"] {
        all.push((good.clone().at(path), 405));
    }
    // A cookie reaches every port of this machine; it opens nothing by itself, and neither does a token.
    all.push((good.clone().without("x-conclave-token"), 401));
    all.push((good.clone().without("cookie"), 401));
    all
}

/// Those that are meant for another host, or come from another page.
fn from_elsewhere(page: &Page, good: &Ask) -> Vec<(Ask, u16)> {
    let port = page.port();
    let mut all = Vec::new();
    for host in [
        "example.org",
        &format!("example.org:{port}"),
        "127.0.0.1",
        "127.0.0.1:1",
        &format!("127.0.0.1.:{port}"),
        &format!("127.0.0.2:{port}"),
        &format!("localhost.example.org:{port}"),
        "",
    ] {
        all.push((good.clone().to(host), 421));
    }
    for host in ["localhost", "[::1]"] {
        let host = format!("{host}:{port}");
        let origin = format!("http://{host}");
        all.push((good.clone().to(&host).with("origin", &origin), 200));
    }
    for origin in [
        "http://example.org",
        "http://127.0.0.1:1",
        "http://127.0.0.1",
        "https://127.0.0.1",
        "null",
        "file://",
        "",
    ] {
        all.push((good.clone().with("origin", origin), 403));
    }
    // another name of the same port is another origin
    let beside = format!("http://localhost:{port}");
    all.push((good.clone().with("origin", &beside), 403));
    all.push((good.clone().without("origin"), 403));
    for site in ["cross-site", "same-site", ""] {
        all.push((good.clone().with("sec-fetch-site", site), 403));
        let shown = page.ask("GET", "/").with("sec-fetch-site", site);
        all.push((shown, 403));
    }
    for site in ["same-origin", "none"] {
        all.push((good.clone().with("sec-fetch-site", site), 200));
    }
    all
}

/// Bad tickets and tokens open nothing, and five of them within a minute make everybody wait.
#[test]
fn guesses_pause_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, anna, page, session) = with_page(folder.path());
    let good = page.ask("POST", "/rpc").of(&session);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "version"});
    let guess = "0".repeat(64);
    for _ in 0..6 {
        let unshown = good.clone().without("x-conclave-token");
        assert_eq!(unshown.json(&body).status, 401, "nothing shown is no guess");
    }
    let guesses = [
        page.ask("POST", "/auth").json(&json!({"ticket": guess})),
        good.clone().with("x-conclave-token", &guess).json(&body),
        good.clone().with("cookie", "conclave_1=x").json(&body),
        page.ask("GET", "/events")
            .of(&session)
            .with("x-conclave-token", &guess)
            .send(b""),
        page.ask("POST", "/auth").json(&json!({"ticket": ""})),
    ];
    for reply in guesses {
        assert_eq!((reply.status, reply.code().as_str()), (401, "UNAUTHORIZED"));
    }
    let waiting = good.json(&body);
    assert_eq!(
        (waiting.status, waiting.code().as_str()),
        (429, "RATE_LIMITED")
    );
    assert!(waiting.header("retry-after").is_some());
    let (_, ticket) = parts(&anna.ok(&["web", "--no-open"])[0]);
    let waiting = page.ask("POST", "/auth").json(&json!({"ticket": ticket}));
    assert_eq!(waiting.status, 429);
    assert_eq!(
        page.ask("GET", "/").send(b"").status,
        200,
        "the page still shows"
    );
}

/// A profile whose key lies in a file opens for no passphrase: whatever is said, nobody comes in.
#[test]
fn no_passphrase_is_no_way_in() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, _anna, page, _session) = with_page(folder.path());
    for passphrase in ["", "guess"] {
        let reply = page
            .ask("POST", "/unlock")
            .json(&json!({"passphrase": passphrase}));
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (409, "NO_PASSPHRASE")
        );
        assert_eq!(reply.header("set-cookie"), None);
    }
}

/// A picture, a film, and what could run in a browser.
const FILES: [(&str, &[u8], Option<&str>); 6] = [
    ("dot.png", DOT, Some("image/png")),
    ("film.mp4", b"0123456789", Some("video/mp4")),
    ("drawing.svg", SVG, None),
    ("page.html", b"<script>alert(1)</script>", None),
    ("paper.pdf", b"%PDF-1.4", None),
    ("\"a\" b;c=d.txt", b"words", None),
];
const SVG: &[u8] = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>";
/// A PNG of one white dot.
const DOT: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55\0\0\0\nIDAT\x78\x9cc\xf8\x0f\0\x01\x01\x01\0\xb1\x38\xf6\x14\0\0\0\0IEND\xaeB\x60\x82";

/// Ben has sent all of them to somebody who is at their page: the message.
fn files_for(call: &Ask, anna: &Person, ben: &Person, folder: &Path) -> Value {
    ben.ok(&["send", &anna.identifier, "hello"]);
    let chat = request(call);
    call.ok("requests.accept", &json!({"chat": chat}));
    ben.ok(&["listen", "--once"]);
    let mut words = vec!["send".to_owned(), anna.identifier.clone(), "look".into()];
    for (name, bytes, _) in FILES {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        words.extend(["--attach".to_owned(), path.to_str().unwrap().to_owned()]);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    ben.ok(&words);
    loop {
        let history = call.ok("messages.history", &json!({"chat": chat}));
        let last = history["messages"].as_array().unwrap().last().unwrap();
        if last["text"] == "look" {
            return last["id"].clone();
        }
        call.ok("events.list", &json!({"wait_ms": 1000}));
    }
}

/// Files of others come into the browser whole or in parts; what could run there is only ever downloaded, and no
/// address works for anybody else, or longer than the message.
#[test]
fn files_of_others_run_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (server, anna, page, session) = with_page(folder.path());
    let ben = Person::registered(folder.path(), &server, "ben@example.org");
    let call = page.ask("POST", "/rpc").of(&session);
    let message = files_for(&call, &anna, &ben, folder.path());
    let link = |number: usize| json!({"message": message, "number": number});
    assert_eq!(code(&call.call("attachments.link", &link(1))), "NOT_FOUND");
    let shown = page.ask("GET", "/").with("cookie", &session.cookie);
    for (number, (name, bytes, kind)) in (1..).zip(FILES) {
        let id = format!("{}/{number}", message.as_str().unwrap());
        call.ok("attachments.get", &json!({"id": id}));
        let linked = call.ok("attachments.link", &link(number));
        assert_eq!(linked["inline"], json!(kind.is_some()), "{name}");
        let url = linked["url"].as_str().unwrap();
        let file = shown.clone().at(url).send(b"");
        assert_eq!((file.status, file.body.as_slice()), (200, bytes), "{name}");
        let sent_as = kind.unwrap_or("application/octet-stream");
        assert_eq!(file.header("content-type"), Some(sent_as));
        let place = kind.map_or("attachment;", |_| "inline;");
        let disposition = file.header("content-disposition").unwrap();
        assert!(disposition.starts_with(place), "{disposition}");
        assert!(!disposition.contains('"'), "{disposition}");
        let policy = file.header("content-security-policy");
        assert_eq!(policy, Some("sandbox; default-src 'none'"));
        assert_eq!(file.header("cache-control"), Some("no-store"));
    }
    let film = call.ok("attachments.link", &link(2));
    let film = shown.at(film["url"].as_str().unwrap());
    let part = film.clone().with("range", "bytes=3-5").send(b"");
    assert_eq!((part.status, &part.body[..]), (206, &b"345"[..]));
    assert_eq!(part.header("content-range"), Some("bytes 3-5/10"));
    let outside = film.clone().with("range", "bytes=10-").send(b"");
    assert_eq!((outside.status, outside.body.len()), (416, 0));

    let other = page.enter(&parts(&anna.ok(&["web", "--no-open"])[0]).1);
    assert_ne!(other.cookie, session.cookie);
    let foreign = film.clone().with("cookie", &other.cookie);
    assert_eq!(foreign.send(b"").status, 404);
    assert_eq!(film.clone().without("cookie").send(b"").status, 401);
    let near = film.clone().with("sec-fetch-site", "same-site");
    assert_eq!(near.send(b"").status, 403, "a page at another port");
    let longer = format!("{}/", film.path);
    for path in ["/blob/", "/blob/x", "/blob/../rpc", &longer] {
        assert_eq!(film.clone().at(path).send(b"").status, 404);
    }
    call.ok("messages.delete", &json!({"id": message}));
    assert_eq!(film.send(b"").status, 404, "it went with its message");
    assert_eq!(code(&call.call("attachments.link", &link(2))), "NOT_FOUND");
}

/// The chat of the request that is on its way.
fn request(call: &Ask) -> Value {
    loop {
        let requests = call.ok("requests.list", &json!({}));
        if let Some(request) = requests["requests"].get(0) {
            return request["chat"].clone();
        }
        call.ok("events.list", &json!({"wait_ms": 1000}));
    }
}

/// The uploads of somebody that lie on the disk.
fn waiting(person: &Person) -> usize {
    match std::fs::read_dir(person.folder().join("uploads")) {
        Ok(entries) => entries.count(),
        Err(_) => 0,
    }
}

/// An upload within a session.
fn up(page: &Page, session: &Session, path: &str) -> Ask {
    let ask = page.ask("POST", path).of(session);
    ask.with("content-type", "application/octet-stream")
}

/// A file goes from the browser to somebody else, under a name that leads nowhere; no other session sends it, and the
/// page sends no file of the disk.
#[test]
fn files_go_up_through_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let (server, anna, page, session) = with_page(folder.path());
    let ben = Person::registered(folder.path(), &server, "ben@example.org");
    let call = page.ask("POST", "/rpc").of(&session);
    let bytes: Vec<u8> = (0..300_000_u32).map(|at| at.to_be_bytes()[3]).collect();
    let path = "/upload?name=..%2F..%2Fr%C3%A9sum%C3%A9.html&type=image%2Fpng";
    let ask = up(&page, &session, path);
    let reply = ask.send(&bytes);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let row = reply.value();
    assert_eq!((&row["length"], waiting(&anna)), (&json!(300_000), 1));
    let send = json!({"to": ben.identifier, "text": "see", "uploads": [row["upload"]]});
    let sent = call.ok("attachments.send", &send);
    assert_eq!(sent["attachments"][0]["name"], "résumé.html");
    assert_eq!(sent["attachments"][0]["media_type"], "text/html");
    assert_eq!(waiting(&anna), 0, "sent, it is sealed");
    assert_eq!(code(&call.call("attachments.send", &send)), "NOT_FOUND");

    let other = page.enter(&parts(&anna.ok(&["web", "--no-open"])[0]).1);
    let row = ask.send(b"mine").value();
    let foreign = json!({"to": ben.identifier, "text": "", "uploads": [row["upload"]]});
    let of_other = page.ask("POST", "/rpc").of(&other);
    let foreign = of_other.call("attachments.send", &foreign);
    assert_eq!(code(&foreign), "NOT_FOUND", "another session's");
    let path = json!({"to": ben.identifier, "text": "", "paths": ["/etc/hostname"]});
    assert_eq!(code(&call.call("attachments.send", &path)), "FORBIDDEN");
}

/// Uploads are refused that are none, or too large; nothing stays of what nobody sent: not when it was cut off, not
/// when its session ends, not when the program is killed.
#[test]
fn uploads_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, anna, page, session) = with_page(folder.path());
    let ask = up(&page, &session, "/upload?name=x");
    let form = "multipart/form-data; boundary=x";
    for (bad, status) in [
        (ask.clone().with("content-type", form), 415),
        (ask.clone().with("content-type", "text/plain"), 415),
        (ask.clone().without("x-conclave-token"), 401),
        (ask.clone().with("origin", "http://example.org"), 403),
        (ask.clone().at("/upload"), 400),
        (ask.clone().at("/upload?name=%ff"), 400),
        (ask.clone().at("/upload?name=x&path=/etc"), 400),
        (ask.clone().by("GET"), 405),
    ] {
        assert_eq!(bad.send(b"x").status, status, "{bad:?}");
    }
    let call = page.ask("POST", "/rpc").of(&session);
    let small = json!({"setting": "attachments.max", "value": "1KiB"});
    call.ok("config.set", &small);
    for length in [1025, 20_000_000] {
        let large = ask.send(&vec![0; length]);
        assert_eq!((large.status, large.code().as_str()), (413, "TOO_LARGE"));
    }
    assert_eq!(waiting(&anna), 0);
    assert_eq!(ask.send(b"kept").status, 200);
    assert_eq!(waiting(&anna), 1);
    anna.ok(&["web", "--no-open", "--end-sessions"]);
    assert_eq!(waiting(&anna), 0, "they went with their session");

    let session = page.enter(&parts(&anna.ok(&["web", "--no-open"])[0]).1);
    let ask = ask.of(&session);
    assert_eq!(ask.send(b"left").status, 200);
    let slow = format!("{}\r\nsome of it", ask.head(100));
    let mut stream = std::net::TcpStream::connect(&page.address).unwrap();
    stream.write_all(slow.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "too slow: {answer}");
    assert_eq!(waiting(&anna), 1);
    drop(page);
    assert_eq!(waiting(&anna), 1, "killed");
    let page = Page::start(&anna);
    assert_eq!(waiting(&anna), 0);
    page.terminate();
}

/// What happens comes to the page as it happens, and goes on behind the last that it got.
#[test]
fn events_come_to_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let (server, anna, page, session) = with_page(folder.path());
    let ben = Person::registered(folder.path(), &server, "ben@example.org");
    let ask = page.ask("GET", "/events").of(&session);
    let (status, mut events) = ask.stream();
    assert_eq!(status, 200);
    ben.ok(&["send", &anna.identifier, "hello page"]);
    let (mut id, mut line) = (String::new(), String::new());
    while !line.starts_with("event: request") {
        if let Some(number) = line.strip_prefix("id: ") {
            number.trim().clone_into(&mut id);
        }
        line.clear();
        assert!(
            events.read_line(&mut line).unwrap() > 0,
            "the request comes"
        );
    }
    let before: u64 = id.parse::<u64>().unwrap() - 1;
    let again = ask.with("last-event-id", &before.to_string());
    let (status, mut events) = again.stream();
    assert_eq!(status, 200);
    while !line.starts_with(&format!("id: {id}")) {
        line.clear();
        assert!(events.read_line(&mut line).unwrap() > 0, "it comes again");
    }
}
