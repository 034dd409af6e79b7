//! The durable outbox under the real program: one sending per code, over kills, restarts and outages.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use conclave_proto::hello::Role;

use super::mail_server::{MailServer, Taken};
use super::program::{Program, init};
use super::receiver::Receiver;
use super::support::Person;
use super::webhook::{SECRET, is_signed};

/// A folder whose server mails through `mail`.
fn mailing(mail: &TcpListener) -> tempfile::TempDir {
    let address = mail.local_addr().unwrap();
    let config = format!(
        "[otp]\nsender = \"smtp\"\n[otp.smtp]\nhost = \"{}\"\nport = {}\ntls = \"none\"\n\
         from = \"chat@example.net\"\n",
        address.ip(),
        address.port()
    );
    folder(&config)
}

fn folder(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path());
    std::fs::write(folder.path().join("config.toml"), config).unwrap();
    folder
}

/// An address that nobody else in these tests uses, so that it can be left and taken again.
fn own_address(last: u8) -> TcpListener {
    let [.., high, low] = std::process::id().to_be_bytes();
    TcpListener::bind(SocketAddr::from(([127, high, low, last], 0))).unwrap()
}

async fn ask(program: &Program, identifier: &str) {
    let person = Person::new(program.place, identifier);
    let mut client = program.connect(Role::Account).await;
    client.otp_start(&person, "").await.unwrap();
}

/// Asks for one more code; when its mail is the next one, no earlier mail was sent again.
async fn nothing_before(program: &Program, server: &MailServer, identifier: &str) -> Taken {
    ask(program, identifier).await;
    let mail = server.next();
    assert_eq!(mail.to, [identifier]);
    mail
}

fn restart(program: Program, folder: &Path) -> Program {
    program.stop("-KILL");
    Program::start(folder)
}

/// A code asked for while the mail server is away goes out once when it is back, though the server
/// was killed meanwhile; asking again meanwhile made no second mail.
#[tokio::test(flavor = "multi_thread")]
async fn c075_a_code_outlives_a_kill_while_the_mail_server_is_away() {
    let mail = own_address(1);
    let address = mail.local_addr().unwrap();
    let folder = mailing(&mail);
    drop(mail);
    let mut program = Program::start(folder.path());
    let anna = Person::new(program.place, "anna@example.org");
    for _ in 0..2 {
        let mut client = program.connect(Role::Account).await;
        client.otp_start(&anna, "").await.unwrap();
        program = restart(program, folder.path());
    }
    let server = MailServer::start(TcpListener::bind(address).unwrap());
    assert_eq!(server.next().to, ["anna@example.org"]);
    nothing_before(&program, &server, "ben@example.org").await;
    program = restart(program, folder.path());
    nothing_before(&program, &server, "cleo@example.org").await;
    assert_eq!(program.stop("-TERM").code, Some(0));
}

/// Killed while the mail server has the mail and has not said so: the mail is not sent a second time
/// by itself, but it is when the person asks again, under the same code and another id.
#[tokio::test(flavor = "multi_thread")]
async fn c076_a_mail_without_an_answer_is_not_repeated() {
    let mail = own_address(2);
    let folder = mailing(&mail);
    let (server, open) = MailServer::start_gated(mail);
    let mut program = Program::start(folder.path());
    let anna = Person::new(program.place, "anna@example.org");
    let mut client = program.connect(Role::Account).await;
    client.otp_start(&anna, "").await.unwrap();
    let first = server.next();
    program = restart(program, folder.path());
    // the first mail's answer finds nobody any more
    drop(open);
    nothing_before(&program, &server, "ben@example.org").await;
    let mut client = program.connect(Role::Account).await;
    client.otp_start(&anna, "").await.unwrap();
    let second = server.next();
    assert_eq!(second.to, ["anna@example.org"]);
    assert_eq!(code(&second), code(&first));
    assert_ne!(second.header("Message-ID"), first.header("Message-ID"));
    assert_eq!(program.stop("-TERM").code, Some(0));
}

fn code(mail: &Taken) -> &str {
    let mut words = mail.text.split("Your Conclave code is ");
    words.nth(1).unwrap().lines().next().unwrap().trim()
}

/// Killed at once after each mail, over and over: each code goes out once.
#[tokio::test(flavor = "multi_thread")]
async fn c076_kills_right_after_a_mail_repeat_none() {
    let mail = own_address(3);
    let folder = mailing(&mail);
    let server = MailServer::start(mail);
    let mut program = Program::start(folder.path());
    for n in 0..6 {
        nothing_before(&program, &server, &format!("anna{n}@example.org")).await;
        program = restart(program, folder.path());
    }
    nothing_before(&program, &server, "ben@example.org").await;
    assert_eq!(program.stop("-TERM").code, Some(0));
}

/// Refused for now is tried again under the same id; refused for good is not, and nobody else waits.
#[tokio::test(flavor = "multi_thread")]
async fn c076_now_is_tried_again_and_never_is_not() {
    let mail = own_address(4);
    let folder = mailing(&mail);
    let server = MailServer::start(mail);
    server.script.lock().unwrap().ends.extend([451, 452]);
    let program = Program::start_logging(folder.path(), "debug");
    nothing_before(&program, &server, "anna@example.org").await;
    assert_eq!(server.script.lock().unwrap().named.len(), 3);
    server.script.lock().unwrap().recipients.push_back(550);
    ask(&program, "nobody@example.org").await;
    nothing_before(&program, &server, "ben@example.org").await;
    let named = server.script.lock().unwrap().named.clone();
    let tried = named.iter().filter(|name| name.contains("nobody")).count();
    assert_eq!(tried, 1, "{named:?}");
    let ended = program.stop("-TERM");
    assert_eq!(ended.code, Some(0));
    assert_eq!(
        ended.stderr.matches("could not be sent").count(),
        1,
        "{}",
        ended.stderr
    );
    assert_eq!(
        ended.stderr.matches("given up").count(),
        1,
        "{}",
        ended.stderr
    );
    // C-043: the mail server repeated the address, the log does not
    for text in [ended.stdout, ended.stderr] {
        assert!(!text.contains("example.org"), "{text}");
    }
}

/// A webhook that fails is asked again under the same id with the same body, also after a kill; when
/// it has said yes, never again.
#[tokio::test(flavor = "multi_thread")]
async fn c076_a_webhook_hears_one_id_over_failures_and_a_kill() {
    let mut receiver = Receiver::start().await;
    let config = format!(
        "[otp]\nsender = \"http\"\n[otp.http]\nurl = \"http://{}/send\"\nsecret = \"{SECRET}\"\n",
        receiver.address
    );
    let folder = folder(&config);
    let mut program = Program::start(folder.path());
    receiver.answers(&[500, 503]);
    ask(&program, "+491700000001").await;
    let first = receiver.next().await;
    let again = receiver.next().await;
    receiver.answers(&[500]);
    program = restart(program, folder.path());
    let after = [receiver.next().await, receiver.next().await];
    for posted in [&again, &after[0], &after[1]] {
        assert!(is_signed(posted));
        assert_eq!(posted.body, first.body);
        assert_eq!(
            posted.header("Idempotency-Key"),
            first.header("Idempotency-Key")
        );
    }
    ask(&program, "+491700000002").await;
    let other = receiver.next().await;
    assert_eq!(other.json()["to"], "+491700000002");
    assert_ne!(other.json()["id"], first.json()["id"]);
    assert_eq!(program.stop("-TERM").code, Some(0));
}

/// Without a gateway for texts a mailing server says so to who asks for one, and asks nobody.
#[tokio::test(flavor = "multi_thread")]
async fn phones_need_a_gateway() {
    let mail = own_address(6);
    let folder = mailing(&mail);
    let program = Program::start(folder.path());
    let person = Person::new(program.place, "+491700000001");
    let mut client = program.connect(Role::Account).await;
    let refusal = client.otp_start(&person, "").await.unwrap_err();
    assert!(refusal.message.contains("mail"), "{}", refusal.message);
    assert_eq!(program.stop("-TERM").code, Some(0));
}
