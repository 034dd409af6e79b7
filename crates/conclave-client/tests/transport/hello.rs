//! Hellos: versions, refusals, malformed ones, and what is learnt from a good one.

use std::sync::Arc;

use conclave_client::transport::memory::{Guest, Handler, MEMORY_PASS, honest_hello};
use conclave_client::transport::{Connection, MemoryTransport, Transport, TransportError, calls};
use conclave_proto::env::{Env, OsEnv};
use conclave_proto::frame::{Request, reply};
use conclave_proto::hello::{ClientHello, Purpose, Role, ServerHello};
use conclave_proto::id::{AccountId, Incarnation, ServerId};
use conclave_proto::{ErrorCode, Refusal};

/// The operating system's chance at a time that stands still.
#[derive(Debug)]
struct Still;

impl Env for Still {
    fn now_ms(&self) -> u64 {
        1_896_134_400_000
    }

    fn fill(&self, bytes: &mut [u8]) {
        OsEnv.fill(bytes);
    }
}

/// A server whose hello a test has tampered with, and that gives out `pass`.
struct Says {
    tamper: fn(&mut ServerHello),
    pass: [u8; 32],
}

impl Handler for Says {
    fn hello(&self, _: &ClientHello, env: &dyn Env) -> ServerHello {
        let mut hello = honest_hello(env);
        (self.tamper)(&mut hello);
        hello
    }

    fn request(&self, guest: &Guest, request: Request) {
        let status = conclave_proto::account::AccountStatus {
            pass: self.pass.to_vec(),
            ..Default::default()
        };
        guest.send(request.id, reply::Body::AccountStatus(status));
    }
}

async fn greet(
    pass: [u8; 32],
    tamper: fn(&mut ServerHello),
) -> Result<Arc<dyn Connection>, TransportError> {
    let server = Says { tamper, pass };
    MemoryTransport::new(ServerId::new([1; 32]), [2; 32], Arc::new(Still), server)
        .connect(Role::Account)
        .await
}

async fn refused(tamper: fn(&mut ServerHello)) -> TransportError {
    greet(MEMORY_PASS, tamper).await.unwrap_err()
}

/// Any version but ours ends the connection, whichever side notices.
#[tokio::test]
async fn c001_refuses_another_version() {
    for tamper in [
        (|hello| hello.version = 0) as fn(&mut ServerHello),
        |hello| hello.version = 2,
        |hello| {
            let refusal = Refusal::new(ErrorCode::UnsupportedVersion, "speaks 2");
            *hello = ServerHello::default();
            hello.refusal = Some(refusal);
        },
    ] {
        assert_eq!(refused(tamper).await, TransportError::Incompatible);
    }
}

/// A refusal in the hello reaches the caller with its code.
#[tokio::test]
async fn a_refused_hello_says_why() {
    let error = refused(|hello| {
        hello.refusal = Some(Refusal::new(ErrorCode::Busy, "full").retry_after_ms(500));
    })
    .await;
    let TransportError::Refused(refusal) = error else {
        panic!("{error}");
    };
    assert_eq!(refusal.code(), ErrorCode::Busy);
    assert_eq!(refusal.retry_after_ms, 500);
}

/// A hello with a short nonce or no pass, and one over its 1,024 bytes, break the protocol.
#[tokio::test]
async fn c004_refuses_malformed_hellos() {
    for (tamper, reason) in [
        (
            (|hello| hello.nonce.truncate(31)) as fn(&mut ServerHello),
            "its hello has no nonce of 32 bytes",
        ),
        (
            |hello| hello.pass_hash.clear(),
            "its hello shows no member pass",
        ),
        (
            |hello| hello.nonce = vec![0; 1024],
            "a frame is over its limit",
        ),
    ] {
        assert_eq!(refused(tamper).await, TransportError::Protocol(reason));
    }
}

/// Clock skew is measured, incarnation and key are known; no clock value of the server breaks anything.
#[tokio::test]
async fn a_hello_tells_the_servers_facts() {
    let ahead = greet(MEMORY_PASS, |hello| hello.time_ms += 3_600_000);
    let ahead = ahead.await.unwrap();
    let facts = ahead.hello();
    assert_eq!(facts.skew_ms, 3_600_000);
    assert_eq!(facts.incarnation, Incarnation(1));
    assert_eq!(ahead.server_key(), [2; 32]);

    let absurd = greet(MEMORY_PASS, |hello| hello.time_ms = u64::MAX);
    assert_eq!(absurd.await.unwrap().hello().skew_ms, i64::MAX);
    let absurd = greet(MEMORY_PASS, |hello| hello.time_ms = 0);
    assert!(absurd.await.unwrap().hello().skew_ms < 0);
}

/// A proof made for one connection never fits another one to the same server.
#[tokio::test]
async fn c007_no_two_connections_share_a_context() {
    let first = greet(MEMORY_PASS, |_| ()).await.unwrap();
    let second = greet(MEMORY_PASS, |_| ()).await.unwrap();
    let proof = |c: &Arc<dyn Connection>| c.context().proof_input(Purpose::Account, b"");
    assert_ne!(proof(&first), proof(&second));
    assert_ne!(first.context().binding, second.context().binding);
    assert_ne!(first.context().client_nonce, second.context().client_nonce);
}

/// A pass of one's own is a mark: it is neither taken from a server that shows another, nor sent to one.
#[tokio::test]
async fn c041_refuses_a_pass_that_the_hello_does_not_show() {
    let honest = greet(MEMORY_PASS, |_| ()).await.unwrap();
    let status = calls::fetch_status(honest.as_ref()).await.unwrap();
    assert_eq!(status.pass, MEMORY_PASS);

    let tagged = [8; 32];
    let lying = greet(tagged, |_| ()).await.unwrap();
    let error = calls::fetch_status(lying.as_ref()).await.unwrap_err();
    assert_eq!(error, TransportError::PassDiffers);

    // this server would answer with the wrong kind of reply, had it been asked
    let account = AccountId::new([3; 16]);
    let error = calls::fetch_states(honest.as_ref(), &tagged, account, 1).await;
    assert_eq!(error, Err(TransportError::PassDiffers));
    assert!(!honest.is_closed());
}
