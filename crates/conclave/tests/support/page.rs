//! A running `conclave web`, and requests to it as a browser makes them, or as an attacker does.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Child;
use std::sync::mpsc::Receiver;

use serde_json::{Value, json};

use super::Person;
use super::program::{DEADLINE, finish, terminate};
use super::server::lines;

/// The page of somebody; dropped, its program is killed.
pub(crate) struct Page {
    child: Option<Child>,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    /// The ticket that it printed.
    pub(crate) ticket: String,
    _stdout: Receiver<String>,
    _stderr: Receiver<String>,
}

impl Page {
    /// Starts `conclave web` of `person`, and waits until it tells where the page is.
    pub(crate) fn start(person: &Person) -> Self {
        Self::start_with(person, &[])
    }

    /// The same with more words.
    pub(crate) fn start_with(person: &Person, more: &[&str]) -> Self {
        let mut child = person.spawn(&[&["web", "--no-open"], more].concat());
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        let Ok(row) = stdout.recv_timeout(DEADLINE) else {
            let said: Vec<String> = stderr.try_iter().collect();
            panic!("the page is not served: {}", said.join("\n"));
        };
        let row: Value = serde_json::from_str(&row).unwrap();
        assert_eq!(row["type"], "page", "{row}");
        let (address, ticket) = parts(&row);
        Self {
            child: Some(child),
            address,
            ticket,
            _stdout: stdout,
            _stderr: stderr,
        }
    }

    /// Its port.
    pub(crate) fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap()
    }

    /// A right request without a session.
    pub(crate) fn ask(&self, method: &'static str, path: &str) -> Ask {
        let ask = Ask {
            address: self.address.clone(),
            host: self.address.clone(),
            method,
            path: path.to_owned(),
            headers: Vec::new(),
        };
        if method == "GET" {
            return ask;
        }
        ask.with("origin", &format!("http://{}", self.address))
            .with("content-type", "application/json")
    }

    /// Comes in with a ticket.
    pub(crate) fn enter(&self, ticket: &str) -> Session {
        let reply = self.ask("POST", "/auth").json(&json!({"ticket": ticket}));
        assert_eq!(reply.status, 200, "{}", reply.text());
        Session::of(&reply)
    }

    /// Ends it as a service manager does, and checks that it ended well.
    pub(crate) fn terminate(mut self) {
        let child = self.child.take().unwrap();
        terminate(&child);
        assert_eq!(finish(child, "web").code, 0);
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Address and ticket of a row that tells where the page is.
pub(crate) fn parts(row: &Value) -> (String, String) {
    let url = row["url"].as_str().unwrap();
    let (address, ticket) = url.split_once("/#t=").unwrap();
    let address = address.strip_prefix("http://").unwrap();
    (address.to_owned(), ticket.to_owned())
}

/// What a tab holds.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// `conclave_PORT=…`.
    pub(crate) cookie: String,
    pub(crate) token: String,
}

impl Session {
    /// What the answer to a ticket or a passphrase brought.
    pub(crate) fn of(reply: &Reply) -> Self {
        let cookie = reply.header("set-cookie").expect("a cookie");
        Self {
            cookie: cookie.split(';').next().unwrap().to_owned(),
            token: reply.value()["token"].as_str().unwrap().to_owned(),
        }
    }
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) address: String,
    pub(crate) host: String,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Ask {
    /// The same with another header.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self = self.without(name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same without a header.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// The same for another path.
    pub(crate) fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// The same with another method.
    pub(crate) fn by(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// The same for another host.
    pub(crate) fn to(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// The same within a session.
    pub(crate) fn of(self, session: &Session) -> Self {
        self.with("cookie", &session.cookie)
            .with("x-conclave-token", &session.token)
    }

    /// The head as it is sent.
    pub(crate) fn head(&self, length: usize) -> String {
        let mut lines = vec![format!("{} {} HTTP/1.1\r\n", self.method, self.path)];
        if !self.host.is_empty() {
            lines.push(format!("host: {}\r\n", self.host));
        }
        for (name, value) in &self.headers {
            lines.push(format!("{name}: {value}\r\n"));
        }
        if length > 0 || self.method == "POST" {
            lines.push(format!("content-length: {length}\r\n"));
        }
        lines.concat()
    }

    /// Says that a body of so many bytes comes, and sends none; the answer.
    pub(crate) fn announce(&self, bytes: usize) -> Reply {
        let head = format!("{}connection: close\r\n\r\n", self.head(bytes));
        self.exchange(&head, b"")
    }

    /// Sends it; the answer.
    pub(crate) fn send(&self, body: &[u8]) -> Reply {
        let head = format!("{}connection: close\r\n\r\n", self.head(body.len()));
        self.exchange(&head, body)
    }

    fn exchange(&self, head: &str, body: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        // Whoever is refused early may find the connection closed.
        drop(stream.write_all(body));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        Reply::parse(&answer)
    }

    /// The same with JSON.
    pub(crate) fn json(&self, body: &Value) -> Reply {
        self.send(body.to_string().as_bytes())
    }

    /// The same with a call that must go well; its result.
    pub(crate) fn ok(&self, method: &str, params: &Value) -> Value {
        let answer = self.call(method, params);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// The same with a call; the whole answer.
    pub(crate) fn call(&self, method: &str, params: &Value) -> Value {
        let reply =
            self.json(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}));
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.value()
    }

    /// Sends it and reads as much as comes.
    pub(crate) fn stream(&self) -> (u16, BufReader<TcpStream>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let head = format!("{}\r\n", self.head(0));
        stream.write_all(head.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
        }
        (head.split(' ').nth(1).unwrap().parse().unwrap(), reader)
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Each answer keeps browsers from doing anything clever with it.
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(bytes)));
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let reply = Self {
            status: status.parse().unwrap(),
            headers: lines
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect(),
            body: bytes[end + 4..].to_vec(),
        };
        // What is no HTTP at all is answered by nobody who knows the page.
        if reply.status != 400
            || !reply.headers.is_empty() && reply.header("content-type").is_some()
        {
            let lets_in = |(name, _): &(String, String)| name.starts_with("access-control");
            assert!(!reply.headers.iter().any(lets_in), "{head}");
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
                ("x-frame-options", "DENY"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
            ] {
                assert_eq!(reply.header(name), Some(value), "{head}");
            }
            let policy = reply.header("content-security-policy").unwrap();
            assert!(policy.contains("default-src 'none'"), "{head}");
            assert!(!policy.contains("unsafe"), "{head}");
        }
        reply
    }

    /// A header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The stable code of a refusal.
    pub(crate) fn code(&self) -> String {
        let value = self.value();
        value["error"]["data"]["code"].as_str().unwrap().to_owned()
    }
}
