//! The mail sender against a real mail server: what is sent, over which connection, and what is not.

use std::net::TcpListener;
use std::time::Duration;

use conclave_server::config::{Secret, SmtpSection, SmtpTls};
use conclave_server::otp::{SendError, Sender as _, SetupError, SmtpSender};

use super::mail_server::MailServer;
use super::{Notes, certificate, message};

const ANNA: &str = "anna@example.org";

fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn section(port: u16, tls: SmtpTls) -> SmtpSection {
    SmtpSection {
        host: "localhost".to_owned(),
        port,
        tls,
        from: "Chat <chat@example.net>".to_owned(),
        ..SmtpSection::default()
    }
}

async fn send(section: &SmtpSection, notes: &Notes) -> Result<(), SendError> {
    let sender = SmtpSender::new(section).unwrap();
    sender.send(&message(ANNA), notes).await
}

/// A mail has code, end of validity, a stable id, and says that no person wrote it; connections are
/// used again.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_says_what_it_must() {
    let (listener, port) = listen();
    let server = MailServer::start(listener);
    let sender = SmtpSender::new(&section(port, SmtpTls::None)).unwrap();
    let notes = Notes::default();
    for times in 1..=3 {
        sender.send(&message(ANNA), &notes).await.unwrap();
        assert_eq!(notes.count(), times);
        let mail = server.next();
        assert_eq!(mail.from, "chat@example.net");
        assert_eq!(mail.to, [ANNA]);
        assert!(
            mail.text.contains("Your Conclave code is KX4TQ9ZW"),
            "{}",
            mail.text
        );
        assert!(mail.text.contains("valid until 08:10 UTC"), "{}", mail.text);
        let id = format!("<{}@example.net>", "a7".repeat(16));
        assert_eq!(mail.header("Message-ID"), id);
        assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
        // mail servers log subjects
        assert!(!mail.header("Subject").contains("KX4TQ9ZW"));
    }
}

/// A refusal for good and one for now are told apart at each step; neither repeats the server's own
/// words, and nothing was about to leave when the recipient was refused.
#[tokio::test(flavor = "multi_thread")]
async fn c043_refusals_are_told_apart_without_the_servers_words() {
    let (listener, port) = listen();
    let server = MailServer::start(listener);
    let section = section(port, SmtpTls::None);
    let refused = |result: Result<(), SendError>| {
        let error = result.unwrap_err();
        assert!(!error.to_string().contains("anna"), "{error}");
        error
    };
    for (code, later) in [(451, true), (450, true), (550, false), (553, false)] {
        let notes = Notes::default();
        server.script.lock().unwrap().recipients.push_back(code);
        let error = refused(send(&section, &notes).await);
        assert_eq!(matches!(error, SendError::Later(_)), later, "{error}");
        assert!(error.to_string().contains(&code.to_string()), "{error}");
        assert_eq!(notes.count(), 0);
        server.script.lock().unwrap().ends.push_back(code);
        let error = refused(send(&section, &notes).await);
        assert_eq!(matches!(error, SendError::Later(_)), later, "{error}");
        assert_eq!(notes.count(), 1);
    }
    send(&section, &Notes::default()).await.unwrap();
    server.next();
}

/// With STARTTLS and a login the mail goes; a wrong password, a certificate by somebody else and a
/// name that is not in the certificate stop it before anything leaves.
#[tokio::test(flavor = "multi_thread")]
async fn c077_tls_is_verified_before_anything_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let [root, cert, key] = certificate(folder.path());
    let (listener, port) = listen();
    let server = MailServer::start_tls(listener, &cert, &key);
    let good = SmtpSection {
        ca_file: root,
        user: "chat".to_owned(),
        password: Secret::new("right horse".to_owned()),
        ..section(port, SmtpTls::Starttls)
    };
    let notes = Notes::default();
    send(&good, &notes).await.unwrap();
    assert_eq!(server.next().to, [ANNA]);
    let logins = std::mem::take(&mut server.script.lock().unwrap().logins);
    assert_eq!(logins, [("chat".to_owned(), "right horse".to_owned())]);
    let elsewhere = tempfile::tempdir().unwrap();
    let [other_root, ..] = certificate(elsewhere.path());
    let cases = [
        SmtpSection {
            password: Secret::new("wrong".to_owned()),
            ..good.clone()
        },
        SmtpSection {
            ca_file: other_root,
            ..good.clone()
        },
        SmtpSection {
            host: "127.0.0.1".to_owned(),
            ..good.clone()
        },
    ];
    for (case, words) in cases.iter().zip(["login", "certificate", "certificate"]) {
        let notes = Notes::default();
        let error = send(case, &notes).await.unwrap_err();
        assert!(matches!(error, SendError::Later(_)), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(notes.count(), 0);
    }
    // only the wrong password came as far as a login
    assert_eq!(server.script.lock().unwrap().logins.len(), 1);
    assert_eq!(server.script.lock().unwrap().named.len(), 1);
}

/// A mail server without STARTTLS, as an attacker on the wire makes one of any, gets neither login
/// nor recipient.
#[tokio::test(flavor = "multi_thread")]
async fn c077_a_stripped_starttls_stops_the_mail() {
    let (listener, port) = listen();
    let server = MailServer::start(listener);
    let section = SmtpSection {
        user: "chat".to_owned(),
        password: Secret::new("right horse".to_owned()),
        ..section(port, SmtpTls::Starttls)
    };
    let notes = Notes::default();
    let error = send(&section, &notes).await.unwrap_err();
    assert!(error.to_string().contains("STARTTLS"), "{error}");
    assert_eq!(notes.count(), 0);
    assert!(server.script.lock().unwrap().logins.is_empty());
    assert!(server.script.lock().unwrap().named.is_empty());
}

/// A mail server that never says a word costs a try, not the sender.
#[tokio::test]
async fn a_silent_mail_server_is_given_up() {
    let (_listener, port) = listen();
    let notes = Notes::default();
    let sender = SmtpSender::new(&section(port, SmtpTls::None)).unwrap();
    let sender = sender.with_patience(Duration::from_millis(50));
    let error = sender.send(&message(ANNA), &notes).await.unwrap_err();
    assert!(matches!(error, SendError::Later(_)), "{error}");
    assert_eq!(notes.count(), 0);
}

/// Settings that cannot work are named at the start, an unencrypted way out of the machine too.
#[test]
fn c077_settings_that_cannot_be_are_named() {
    let good = section(0, SmtpTls::None);
    let refused = |section: &SmtpSection| SmtpSender::new(section).unwrap_err();
    let mut case = good.clone();
    case.host.clear();
    assert_eq!(refused(&case), SetupError::Missing("otp.smtp.host", "smtp"));
    case.host = "mail.example.net".to_owned();
    assert_eq!(refused(&case), SetupError::Unencrypted("otp.smtp.tls"));
    case = good.clone();
    case.from.clear();
    assert_eq!(refused(&case), SetupError::Missing("otp.smtp.from", "smtp"));
    case.from = "nobody".to_owned();
    assert!(refused(&case).to_string().contains("otp.smtp.from"));
    case = good.clone();
    case.user = "chat".to_owned();
    assert!(refused(&case).to_string().contains("password"));
    case.password_file = "/nonexistent/password".to_owned();
    assert!(refused(&case).to_string().contains("/nonexistent/password"));
    case = section(0, SmtpTls::Starttls);
    case.ca_file = "/dev/null".to_owned();
    assert!(refused(&case).to_string().contains("no PEM certificate"));
}
