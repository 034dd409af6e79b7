//! A mail server (mailin-embedded) that keeps what it takes and answers as it is told.

use std::collections::VecDeque;
use std::net::{IpAddr, TcpListener};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use mailin_embedded::{AuthMechanism, Handler, Response, Server, SslConfig, response};

/// How long a mail may take before a test is wrong.
const LONG: Duration = Duration::from_mins(1);

/// One mail that was taken.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) text: String,
}

impl Taken {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> &str {
        let start = format!("{name}: ");
        let mut lines = self.text.lines();
        lines
            .find_map(|line| line.strip_prefix(&start))
            .unwrap()
            .trim()
    }
}

/// What it answers next; empty = yes.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) recipients: VecDeque<u16>,
    pub(crate) ends: VecDeque<u16>,
    /// Logins that were tried: user and password.
    pub(crate) logins: Vec<(String, String)>,
    /// Recipients that were named, in order.
    pub(crate) named: Vec<String>,
}

#[derive(Clone)]
struct Mails {
    script: Arc<Mutex<Script>>,
    taken: mpsc::Sender<Taken>,
    /// Each mail waits for one of these before its answer, when it is set.
    gate: Option<Arc<Mutex<mpsc::Receiver<()>>>>,
    mail: Option<Taken>,
}

impl Handler for Mails {
    fn mail(&mut self, _: IpAddr, _: &str, from: &str) -> Response {
        self.mail = Some(Taken {
            from: from.to_owned(),
            to: Vec::new(),
            text: String::new(),
        });
        response::OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        let mut script = self.script.lock().unwrap();
        script.named.push(to.to_owned());
        answer(script.recipients.pop_front())
    }

    fn data_start(&mut self, _: &str, _: &str, _: bool, to: &[String]) -> Response {
        self.mail.as_mut().unwrap().to = to.to_vec();
        response::OK
    }

    fn data(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        self.mail.as_mut().unwrap().text.push_str(&text);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        let code = self.script.lock().unwrap().ends.pop_front();
        if code.is_none() {
            // the test may have ended
            let _ = self.taken.send(self.mail.take().unwrap());
        }
        if let Some(gate) = &self.gate {
            let _ = gate.lock().unwrap().recv();
        }
        answer(code)
    }

    fn auth_plain(&mut self, _: &str, user: &str, password: &str) -> Response {
        let mut script = self.script.lock().unwrap();
        script.logins.push((user.to_owned(), password.to_owned()));
        if password == "right horse" {
            response::AUTH_OK
        } else {
            response::INVALID_CREDENTIALS
        }
    }
}

fn answer(code: Option<u16>) -> Response {
    match code {
        None => response::OK,
        // a mail server likes to repeat the address
        Some(code) => Response::custom(code, "<anna@example.org>: no".to_owned()),
    }
}

/// The test's end of a mail server; it serves until the test's process ends.
pub(crate) struct MailServer {
    pub(crate) script: Arc<Mutex<Script>>,
    taken: mpsc::Receiver<Taken>,
}

impl MailServer {
    /// Without TLS.
    pub(crate) fn start(listener: TcpListener) -> Self {
        Self::with(listener, SslConfig::None, None)
    }

    /// With STARTTLS and logins.
    pub(crate) fn start_tls(listener: TcpListener, cert: &str, key: &str) -> Self {
        let ssl = SslConfig::SelfSigned {
            cert_path: cert.to_owned(),
            key_path: key.to_owned(),
        };
        Self::with(listener, ssl, None)
    }

    /// Without TLS; each mail is taken at once and answered when the gate's other end says so.
    pub(crate) fn start_gated(listener: TcpListener) -> (Self, mpsc::Sender<()>) {
        let (open, gate) = mpsc::channel();
        let gate = Some(Arc::new(Mutex::new(gate)));
        (Self::with(listener, SslConfig::None, gate), open)
    }

    fn with(
        listener: TcpListener,
        ssl: SslConfig,
        gate: Option<Arc<Mutex<mpsc::Receiver<()>>>>,
    ) -> Self {
        let (inlet, taken) = mpsc::channel();
        let script = Arc::default();
        let with_login = !matches!(ssl, SslConfig::None);
        let mut server = Server::new(Mails {
            script: Arc::clone(&script),
            taken: inlet,
            gate,
            mail: None,
        });
        server.with_tcp_listener(listener).with_num_threads(8);
        server.with_ssl(ssl).unwrap();
        if with_login {
            server.with_auth(AuthMechanism::Plain);
        }
        std::thread::spawn(move || {
            // it serves until the process ends
            let _ = server.serve();
        });
        Self { script, taken }
    }

    /// The next mail that was taken.
    pub(crate) fn next(&self) -> Taken {
        self.taken.recv_timeout(LONG).expect("a mail comes")
    }
}
