//! From an identifier to an account, and everything that stands in the way.

use conclave_proto::ErrorCode;
use conclave_proto::account::OtpStart;
use conclave_proto::frame::{reply, request::Body};
use conclave_proto::hello::Role;
use conclave_proto::id::ChallengeId;
use conclave_proto::limits::{HOLD_MS, OTP_VALID_MS};
use conclave_server::admin::{self, Request, Response};
use conclave_server::config::{Config, RegistrationMode};

use super::support::{DAY_MS, Person, World};

const ANNA: &str = "+491700001111";

fn config(mode: RegistrationMode, max_accounts: u64) -> Config {
    let mut config = Config::default();
    config.registration.mode = mode;
    config.registration.max_accounts = max_accounts;
    config
}

/// A right code registers; the same state again gets the same answer, though the code is used.
#[tokio::test]
async fn registers_and_repeats_itself() {
    let world = World::new().await;
    let anna = Person::new(&world.server, ANNA);
    let (challenge, code) = world.code(&anna).await;
    assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()));
    for _ in 0..2 {
        let mut client = world.connect(Role::Account).await;
        let done = client.register(&anna, challenge, &code).await;
        assert!(matches!(done, Ok(reply::Body::Done(_))), "{done:?}");
    }
    assert_eq!(world.account(&anna).await.status().await.state_seq, 1);
}

/// A mail address gets a code of 8 letters.
#[tokio::test]
async fn mail_codes_are_longer() {
    let world = World::new().await;
    let mail = Person::new(&world.server, "anna@example.org");
    let (challenge, code) = world.code(&mail).await;
    assert_eq!(code.len(), 8);
    let mut client = world.connect(Role::Account).await;
    client.register(&mail, challenge, &code).await.unwrap();
}

/// Five checks and no more: the sixth is refused even with the right code.
#[tokio::test]
async fn c040_the_sixth_try_is_refused() {
    let world = World::new().await;
    let anna = Person::new(&world.server, ANNA);
    let (challenge, code) = world.code(&anna).await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let mut client = world.connect(Role::Account).await;
    for left in [4, 3, 2, 1, 0] {
        let refusal = client.register(&anna, challenge, wrong).await.unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::OtpWrong);
        assert_eq!(refusal.checks_left, left);
    }
    let refusal = client.register(&anna, challenge, &code).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::OtpExhausted);
}

/// A code is good for ten minutes, and only for its own challenge.
#[tokio::test]
async fn codes_expire() {
    let world = World::new().await;
    let anna = Person::new(&world.server, ANNA);
    let (challenge, code) = world.code(&anna).await;
    let mut client = world.connect(Role::Account).await;
    let other = ChallengeId::new([9; 16]);
    let refusal = client.register(&anna, other, &code).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::OtpExpired);
    world.pass_time(OTP_VALID_MS + 1);
    let refusal = client.register(&anna, challenge, &code).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::OtpExpired);
}

/// A used code registers nothing else: not with another account id of the same key either.
#[tokio::test]
async fn used_codes_are_over() {
    let world = World::new().await;
    let anna = Person::new(&world.server, ANNA);
    let (challenge, code) = world.code(&anna).await;
    let mut client = world.connect(Role::Account).await;
    client.register(&anna, challenge, &code).await.unwrap();
    let other = Person::new(&world.server, ANNA);
    let refusal = client.register(&other, challenge, &code).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::OtpExpired);
}

/// A resend within its time gives the same challenge and the same code; the fourth in an hour is refused.
#[tokio::test]
async fn resends_keep_the_code() {
    let world = World::new().await;
    let anna = Person::new(&world.server, ANNA);
    let first = world.code(&anna).await;
    assert_eq!(world.code(&anna).await, first);
    assert_eq!(world.code(&anna).await, first);
    let mut client = world.connect(Role::Account).await;
    let refusal = client.otp_start(&anna, "").await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::RateLimited);
    assert!(refusal.retry_after_ms > 0);
}

/// A code asked for one identity key registers no other key.
#[tokio::test]
async fn c042_a_code_is_for_one_key() {
    let world = World::new().await;
    let anna = Person::new(&world.server, ANNA);
    let thief = Person::new(&world.server, ANNA);
    let (challenge, code) = world.code(&anna).await;
    let mut client = world.connect(Role::Account).await;
    let refusal = client.register(&thief, challenge, &code).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::Unauthorized);
    client.register(&anna, challenge, &code).await.unwrap();
}

/// A proof made on another connection, or over another code, is worth nothing and costs no check.
#[tokio::test]
async fn c042_a_proof_is_for_one_connection_and_code() {
    let world = World::new().await;
    let anna = Person::new(&world.server, ANNA);
    let (challenge, code) = world.code(&anna).await;
    let elsewhere = world.connect(Role::Account).await;
    let mut client = world.connect(Role::Account).await;
    let mut other_code = client.registration(&anna, challenge, "999999");
    other_code.code.clone_from(&code);
    for request in [elsewhere.registration(&anna, challenge, &code), other_code] {
        let refusal = client.ask(Body::Register(request)).await.unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::Unauthorized);
    }
    client.register(&anna, challenge, &code).await.unwrap();
}

/// A taken identifier is held for seven days, then goes to a new account; the old one keeps its id.
#[tokio::test]
async fn c044_a_taken_identifier_is_held() {
    let world = World::new().await;
    let anna = Person::new(&world.server, ANNA);
    world.register(&anna).await.unwrap();
    let other = Person::new(&world.server, ANNA);
    let held = world.register(&other).await.unwrap_err();
    assert_eq!(held.code(), ErrorCode::IdentifierHeld);
    assert!(held.retry_after_ms > HOLD_MS - DAY_MS && held.retry_after_ms <= HOLD_MS);
    assert!(world.account(&anna).await.status().await.hold_ms > 0);
    world.pass_time(HOLD_MS + 1);
    world.register(&other).await.unwrap();
    world.account(&other).await;
    assert_eq!(world.account(&anna).await.status().await.hold_ms, 0);
}

/// A device of the holder stops the move.
#[tokio::test]
async fn c044_the_holder_can_veto() {
    let world = World::new().await;
    let anna = Person::new(&world.server, ANNA);
    world.register(&anna).await.unwrap();
    let other = Person::new(&world.server, ANNA);
    world.register(&other).await.unwrap_err();
    let mut client = world.account(&anna).await;
    client
        .ask(Body::VetoHold(conclave_proto::account::VetoHold {}))
        .await
        .unwrap();
    assert_eq!(client.status().await.hold_ms, 0);
    world.pass_time(HOLD_MS + 1);
    let held = world.register(&other).await.unwrap_err();
    assert_eq!(held.code(), ErrorCode::IdentifierHeld);
}

/// Asking for a code looks the same for a registered and an unknown identifier.
#[tokio::test]
async fn c045_code_requests_tell_nothing() {
    let world = World::new().await;
    let anna = Person::new(&world.server, ANNA);
    world.register(&anna).await.unwrap();
    world.pass_time(2 * DAY_MS);
    let mut client = world.connect(Role::Account).await;
    let again = Person::new(&world.server, ANNA);
    let fresh = Person::new(&world.server, "+491700002222");
    let one = client.otp_start(&again, "").await.unwrap();
    let two = client.otp_start(&fresh, "").await.unwrap();
    assert_eq!(one.valid_ms, two.valid_ms);
    assert_eq!(one.resend_after_ms, two.resend_after_ms);
    assert_eq!(one.challenge_id.len(), two.challenge_id.len());
}

/// Another spelling of an identifier is refused.
#[tokio::test]
async fn c012_refuses_other_spellings() {
    let world = World::new().await;
    let mut client = world.connect(Role::Account).await;
    for spelling in ["+49 170 0001111", "Anna@Example.org", "0170", ""] {
        let request = OtpStart {
            identifier: spelling.to_owned(),
            identity_fingerprint: vec![1; 32],
            invite: String::new(),
        };
        let refusal = client.ask(Body::OtpStart(request)).await.unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::BadRequest);
    }
}

/// A closed server takes nobody.
#[tokio::test]
async fn closed_means_closed() {
    let world = World::with(config(RegistrationMode::Closed, 0)).await;
    let anna = Person::new(&world.server, ANNA);
    let mut client = world.connect(Role::Account).await;
    let refusal = client.otp_start(&anna, "").await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::RegistrationClosed);
}

/// An invite is needed, good as often as it says, and made by the running server.
#[tokio::test]
async fn invites_are_used_up() {
    let world = World::with(config(RegistrationMode::Invite, 0)).await;
    let request = Request::CreateInvite {
        uses: 1,
        valid_ms: DAY_MS,
    };
    let made = admin::ask(world.folder.path(), request).await.unwrap();
    let Response::Invite(token) = made else {
        panic!("{made:?}")
    };
    let anna = Person::new(&world.server, ANNA);
    let mut client = world.connect(Role::Account).await;
    for wrong in ["", "AAAAAAAAAAAAAAAA"] {
        let refusal = client.otp_start(&anna, wrong).await.unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::InviteInvalid);
    }
    let started = client.otp_start(&anna, &token).await.unwrap();
    let challenge = ChallengeId::parse(&started.challenge_id).unwrap();
    let code = world.server.next_code().await.unwrap().code;
    client.register(&anna, challenge, &code).await.unwrap();
    let ben = Person::new(&world.server, "+491700002222");
    let refusal = client.otp_start(&ben, &token).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::InviteInvalid);
}

/// A full server says so, and still lets those who are in do their work.
#[tokio::test]
async fn full_means_full() {
    let world = World::with(config(RegistrationMode::Open, 1)).await;
    let anna = Person::new(&world.server, ANNA);
    world.register(&anna).await.unwrap();
    let ben = Person::new(&world.server, "+491700002222");
    let refusal = world.register(&ben).await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::ServerFull);
    world.account(&anna).await;
}

/// A state that is damaged, of another server or signed by nobody is refused and costs no check.
#[tokio::test]
async fn c014_refuses_states_that_do_not_hold() {
    let world = World::new().await;
    let elsewhere = World::new().await;
    let anna = Person::new(&world.server, ANNA);
    let stranger = Person::new(&elsewhere.server, ANNA);
    let (challenge, code) = world.code(&anna).await;
    let mut client = world.connect(Role::Account).await;
    let good = client.registration(&anna, challenge, &code);
    let mut damaged = good.clone();
    *damaged.state.last_mut().unwrap() ^= 1;
    let mut without_certs = good.clone();
    without_certs.certs.clear();
    let mut trailing = good.clone();
    trailing.state.push(0);
    let foreign = client.registration(&stranger, challenge, &code);
    for request in [damaged, without_certs, trailing, foreign] {
        let refusal = client.ask(Body::Register(request)).await.unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::BadRequest);
    }
    client.ask(Body::Register(good)).await.unwrap();
}
