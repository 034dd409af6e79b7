//! The webhook sender against a real web server: what is posted, what answers mean, whom it trusts.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use aws_lc_rs::hmac;
use conclave_server::config::{HttpSection, Secret};
use conclave_server::otp::{CodeMessage, HttpSender, SendError, Sender as _, SetupError};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::receiver::{Posted, Receiver};
use super::{Notes, certificate, message};

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
const PHONE: &str = "+491700000001";

fn section(url: &str) -> HttpSection {
    HttpSection {
        url: Secret::new(url.to_owned()),
        secret: Secret::new(SECRET.to_owned()),
        ..HttpSection::default()
    }
}

async fn post(section: &HttpSection, to: &str) -> Result<(), SendError> {
    let sender = HttpSender::new(section).unwrap();
    let notes = Notes::default();
    let sent = sender.send(&message(to), &notes).await;
    assert_eq!(notes.count(), 0);
    sent
}

/// Whether a request is signed as docs/operating.md says.
pub(crate) fn is_signed(posted: &Posted) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let input = format!("{}.{}", posted.header("Conclave-Timestamp"), posted.body);
    let signature = posted
        .header("Conclave-Signature")
        .strip_prefix("v1=")
        .unwrap();
    hmac::verify(&key, input.as_bytes(), &hex::decode(signature).unwrap()).is_ok()
}

/// A request is what docs/operating.md says, for phones and for mail.
#[tokio::test]
async fn a_request_says_what_it_must() {
    let mut receiver = Receiver::start().await;
    let url = format!("http://{}/send?account=7", receiver.address);
    for (to, kind) in [(PHONE, "sms"), ("anna@example.org", "mail")] {
        post(&section(&url), to).await.unwrap();
        let posted = receiver.next().await;
        assert_eq!(posted.line, "POST /send?account=7");
        assert_eq!(posted.header("Content-Type"), "application/json");
        assert_eq!(posted.header("Idempotency-Key"), "a7".repeat(16));
        assert_eq!(posted.header("Conclave-Timestamp"), "1800000000");
        assert!(is_signed(&posted));
        let expected = serde_json::json!({
            "id": "a7".repeat(16),
            "kind": kind,
            "to": to,
            "code": "KX4TQ9ZW",
            "text": "KX4TQ9ZW is your Conclave code. Give it to nobody.",
            "expires_at": 1_800_000_600,
        });
        assert_eq!(posted.json(), expected);
    }
}

/// A redirect is not followed, wherever it leads; a busy or broken receiver earns another try.
#[tokio::test]
async fn c077_redirects_are_not_followed() {
    let mut receiver = Receiver::start().await;
    let section = section(&format!("http://{}/", receiver.address));
    for (status, later) in [
        (302, false),
        (307, false),
        (308, false),
        (404, false),
        (503, true),
    ] {
        receiver.answers(&[status]);
        let error = post(&section, PHONE).await.unwrap_err();
        assert_eq!(matches!(error, SendError::Later(_)), later, "{error}");
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert_eq!(receiver.next().await.line, "POST /");
        assert!(receiver.is_idle());
    }
}

/// Over TLS the receiver needs a certificate that holds for its name, by a root that is trusted.
#[tokio::test]
async fn c077_the_receivers_certificate_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let [root, cert, key] = certificate(folder.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let [other_root, ..] = certificate(elsewhere.path());
    let mut receiver = Receiver::start_tls(&cert, &key).await;
    let port = receiver.address.port();
    let good = HttpSection {
        ca_file: root,
        ..section(&format!("https://localhost:{port}/send"))
    };
    post(&good, PHONE).await.unwrap();
    assert!(is_signed(&receiver.next().await));
    let wrong_root = HttpSection {
        ca_file: other_root,
        ..good.clone()
    };
    let wrong_name = HttpSection {
        url: Secret::new(format!("https://127.0.0.1:{port}/send")),
        ..good
    };
    for case in [wrong_root, wrong_name] {
        let error = post(&case, PHONE).await.unwrap_err();
        assert!(matches!(error, SendError::Later(_)), "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
        assert!(receiver.is_idle());
    }
}

/// A receiver that never answers costs a try, not the sender.
#[tokio::test]
async fn a_silent_receiver_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let sender = HttpSender::new(&section(&url)).unwrap();
    let sender = sender.with_patience(Duration::from_millis(50));
    let tried = sender.send(&message(PHONE), &Notes::default()).await;
    assert!(matches!(tried, Err(SendError::Later(_))), "{tried:?}");
}

/// An answer without end, or one that is no HTTP, ends the try; a 200 counts whatever follows it.
#[tokio::test]
async fn an_answer_is_bounded() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let section = section(&format!("http://{}/", listener.local_addr().unwrap()));
    let answering = tokio::spawn(async move {
        let junk = vec![b'x'; 1 << 20];
        for head in ["HTTP/1.1 200 OK\r\nx: ", "220 mail.example ESMTP\r\n"] {
            let (mut socket, _) = listener.accept().await.unwrap();
            // the client is gone when it has enough
            let _ = socket.write_all(head.as_bytes()).await;
            let _ = socket.write_all(&junk).await;
        }
        let (mut socket, _) = listener.accept().await.unwrap();
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
        socket.write_all(head.as_bytes()).await.unwrap();
        while socket.write_all(&junk).await.is_ok() {}
    });
    for _ in 0..2 {
        let error = post(&section, PHONE).await.unwrap_err();
        assert!(matches!(error, SendError::Later(_)), "{error}");
    }
    post(&section, PHONE).await.unwrap();
    answering.await.unwrap();
}

/// Settings that cannot work are named at the start; plain http leads to this machine only.
#[test]
fn c077_settings_that_cannot_be_are_named() {
    let refused = |section: &HttpSection| HttpSender::new(section).unwrap_err();
    let missing = SetupError::Missing("otp.http.url", "http");
    assert_eq!(refused(&section("")), missing);
    let open = SetupError::Unencrypted("otp.http.url");
    assert_eq!(refused(&section("http://sms.example.net/send")), open);
    assert_eq!(refused(&section("http://127.0.0.1.example.net/")), open);
    for wrong in [
        "/send",
        "ftp://localhost/",
        "http://me:pw@localhost/",
        "https://",
        "x y",
    ] {
        let error = refused(&section(wrong)).to_string();
        assert!(
            error.contains("otp.http.url") && !error.contains("pw"),
            "{error}"
        );
    }
    let mut short = section("http://localhost/");
    short.secret = Secret::new("short".to_owned());
    assert!(refused(&short).to_string().contains("16 bytes"));
    short.secret = Secret::default();
    assert!(refused(&short).to_string().contains("secret_file"));
}

/// The receiver that docs/operating.md shows takes what is signed and refuses everything else.
#[tokio::test(flavor = "multi_thread")]
async fn the_documented_receiver_works() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operating.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let script = docs.split("```python\n").nth(1).unwrap();
    let script = script.split("```").next().unwrap();
    let mut python = Command::new("python3")
        .args(["-u", "-c", script, "0"])
        .env("CONCLAVE_WEBHOOK_SECRET", SECRET)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("these tests need python3");
    let mut lines = BufReader::new(python.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let port = first
        .strip_prefix("listening on 127.0.0.1:")
        .unwrap()
        .to_owned();
    let url = format!("http://127.0.0.1:{port}/send");
    let sender = HttpSender::new(&section(&url)).unwrap();
    let mut fresh = message(PHONE);
    fresh.now_ms = conclave_proto::env::Env::now_ms(&conclave_proto::env::OsEnv);
    fresh.expires_ms = fresh.now_ms + 600_000;
    let send = async |message: CodeMessage| sender.send(&message, &Notes::default()).await;
    // twice: the second is a repetition, taken and not acted upon
    for _ in 0..2 {
        send(fresh.clone()).await.unwrap();
    }
    let stale = send(message(PHONE)).await;
    assert!(stale.unwrap_err().to_string().contains("401"));
    let mut forged = section(&url);
    forged.secret = Secret::new("another secret of 32 characters!".to_owned());
    let error = post(&forged, PHONE).await.unwrap_err();
    assert!(error.to_string().contains("401"), "{error}");
    let mut other = fresh.clone();
    other.send_id.0 = [9; 16];
    send(other).await.unwrap();
    python.kill().unwrap();
    python.wait().unwrap();
    let said: Vec<String> = lines.map(Result::unwrap).collect();
    let text = "KX4TQ9ZW is your Conclave code. Give it to nobody.";
    assert_eq!(
        said,
        [
            format!("sms to {PHONE}: {text}"),
            format!("sms to {PHONE}: {text}")
        ]
    );
}
