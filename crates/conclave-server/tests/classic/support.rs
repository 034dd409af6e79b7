//! A server with the classic gateway, and people who speak its lines.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use conclave_classic::keys::{PrivateKey, PublicKey};
use conclave_classic::message::{Message, from_base64, to_base64};
use conclave_classic::signed;
use conclave_classic::suite::Suite;
use conclave_proto::env::{Env, OsEnv};
use conclave_server::ServerHandle;
use conclave_server::config::{ClassicSection, Config};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// The machine's clock, moved.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicI64);

impl Clock {
    pub(crate) fn advance_s(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }
}

impl Env for Clock {
    fn now_ms(&self) -> u64 {
        OsEnv
            .now_ms()
            .saturating_add_signed(self.0.load(Ordering::SeqCst))
    }

    fn fill(&self, bytes: &mut [u8]) {
        OsEnv.fill(bytes);
    }
}

/// A server that offers the classic protocols to at most `most` phones.
pub(crate) async fn start(folder: &Path, clock: &Arc<Clock>, most: u64) -> ServerHandle {
    let classic = ClassicSection {
        listen: "127.0.0.1:0".to_owned(),
        max_accounts: most,
    };
    let config = Config {
        classic,
        ..Config::default()
    };
    let env = Arc::clone(clock);
    ServerHandle::start_with(folder, config, env, 0)
        .await
        .unwrap()
}

/// One connection.
pub(crate) struct Talk {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writer: OwnedWriteHalf,
}

impl Talk {
    pub(crate) async fn with(server: &ServerHandle) -> Self {
        Self::at(server.classic_address().unwrap()).await
    }

    pub(crate) async fn at(address: SocketAddr) -> Self {
        let (reader, writer) = TcpStream::connect(address).await.unwrap().into_split();
        Self {
            lines: BufReader::new(reader).lines(),
            writer,
        }
    }

    /// Sends bytes as they are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        // the server may have closed already
        let _ = self.writer.write_all(bytes).await;
    }

    /// The next line that comes; `None` at the end.
    pub(crate) async fn line(&mut self) -> Option<Value> {
        let line = self.lines.next_line().await.ok()??;
        Some(serde_json::from_str(&line).unwrap())
    }

    /// Sends a request; its reply.
    pub(crate) async fn ask(&mut self, request: Value) -> Value {
        self.write(format!("{request}\n").as_bytes()).await;
        self.line().await.unwrap()
    }

    /// The same for what must go well.
    pub(crate) async fn ok(&mut self, request: Value) -> Value {
        let reply = self.ask(request).await;
        assert_eq!(reply["status"], "ok", "{reply}");
        reply
    }

    /// The same for what must be refused with `code`, in a sentence.
    pub(crate) async fn no(&mut self, request: Value, code: &str) {
        let reply = self.ask(request.clone()).await;
        assert_eq!(
            (&reply["status"], &reply["code"]),
            (&json!("error"), &json!(code)),
            "{request}"
        );
        assert!(reply["message"].as_str().is_some_and(|text| text.len() > 5));
    }
}

/// Somebody registered and logged in.
pub(crate) struct Person {
    pub(crate) phone: String,
    pub(crate) key: PrivateKey,
    pub(crate) talk: Talk,
}

/// A verify request as documented.
pub(crate) fn verify(server: &PublicKey, key: &PrivateKey, session: &str, code: &str) -> Value {
    let public_key = key.public().to_pem();
    let otp = server.wrap("otp", code.as_bytes()).unwrap();
    let signature = key.sign(&signed::verify(session, &public_key)).unwrap();
    json!({
        "action": "verify",
        "session": session,
        "public_key": public_key,
        "encrypted_otp": to_base64(&otp),
        "signature": to_base64(&signature),
    })
}

/// The server's key of a suite, as `hello` shows it.
pub(crate) async fn server_key(talk: &mut Talk, suite: Suite) -> PublicKey {
    let hello = talk.ok(json!({ "action": "hello" })).await;
    assert_eq!(hello["suites"], json!(["rsa", "ec"]));
    let pem = hello["public_keys"][suite.as_str()].as_str().unwrap();
    PublicKey::from_pem(suite, pem).unwrap()
}

impl Person {
    pub(crate) async fn register(server: &ServerHandle, suite: Suite, phone: &str) -> Self {
        let mut talk = Talk::with(server).await;
        let own = server_key(&mut talk, suite).await;
        let key = PrivateKey::generate(suite).unwrap();
        let request = json!({ "action": "register", "suite": suite, "phone": phone });
        let reply = talk.ok(request).await;
        assert_eq!(reply["expires_s"], 600);
        let code = server.next_code().await.unwrap();
        assert_eq!(code.identifier.as_str(), phone);
        let session = reply["session"].as_str().unwrap();
        let reply = talk.ok(verify(&own, &key, session, &code.code)).await;
        let signature = from_base64(reply["signature"].as_str().unwrap()).unwrap();
        let text = signed::registered(phone, &key.public().to_pem());
        own.verify(&text, &signature).unwrap();
        let mut person = Self {
            phone: phone.to_owned(),
            key,
            talk,
        };
        person.log_in().await;
        person
    }

    /// Logs in on this person's connection.
    pub(crate) async fn log_in(&mut self) {
        let request = json!({ "action": "login", "phone": self.phone });
        let reply = self.talk.ok(request).await;
        let nonce = reply["nonce"].as_str().unwrap();
        let signature = self.key.sign(&signed::login(&self.phone, nonce)).unwrap();
        let request = json!({ "action": "prove", "signature": to_base64(&signature) });
        self.talk.ok(request).await;
    }

    /// Connects again and logs in.
    pub(crate) async fn reconnect(&mut self, server: &ServerHandle) {
        self.talk = Talk::with(server).await;
        self.log_in().await;
    }

    /// A message to somebody, not sent.
    pub(crate) fn seal(&self, to: &Self, text: &str) -> Message {
        let now_s = OsEnv.now_ms() / 1_000;
        let (from, to) = (
            (self.phone.as_str(), &self.key),
            (to.phone.as_str(), to.key.public()),
        );
        Message::seal(from, to, text, now_s).unwrap()
    }

    /// Sends a text; its id.
    pub(crate) async fn send(&mut self, to: &Self, text: &str) -> String {
        let message = self.seal(to, text);
        let reply = self
            .talk
            .ok(json!({ "action": "send", "message": message }))
            .await;
        reply["message_id"].as_str().unwrap().to_owned()
    }

    /// Everything that waits: `(id, text)` of messages from `from`, and ids of receipts.
    pub(crate) async fn fetch(&mut self, from: &Self) -> (Vec<(String, String)>, Vec<String>) {
        let reply = self.talk.ok(json!({ "action": "fetch", "max": 100 })).await;
        let messages = reply["messages"].as_array().unwrap().iter();
        let messages = messages.map(|row| {
            let mut row = row.clone();
            let id = row.as_object_mut().unwrap().remove("message_id").unwrap();
            let message: Message = serde_json::from_value(row).unwrap();
            let text = message.open(&self.key, from.key.public()).unwrap();
            (id.as_str().unwrap().to_owned(), text)
        });
        let receipts = reply["receipts"].as_array().unwrap().iter();
        let receipts = receipts.map(|row| row["message_id"].as_str().unwrap().to_owned());
        (messages.collect(), receipts.collect())
    }
}
