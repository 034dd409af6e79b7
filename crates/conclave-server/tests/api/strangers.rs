//! What people without an account, or with bad intent, can ask for: guessing, squatting, enumerating,
//! flooding; always at once and over many connections.

use conclave_proto::account::{Lookup, OtpStart};
use conclave_proto::frame::{reply, request::Body};
use conclave_proto::hello::Role;
use conclave_proto::id::ChallengeId;
use conclave_proto::inbox::{InboxPage, PostItem, ReadInbox};
use conclave_proto::limits::{INBOX_ITEM_BYTES, INBOX_STRANGER_ITEMS_MAX, OTP_CHECKS_MAX};
use conclave_proto::{ErrorCode, Refusal};
use conclave_server::config::{Config, ExemptLoopback};
use tokio::task::JoinSet;

use super::support::{Client, DAY_MS, Person, World};

const ANNA: &str = "+491700001111";
const HOUR_MS: u64 = 3_600_000;

fn limited(set: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    config.limits.exempt_loopback = ExemptLoopback::Never;
    set(&mut config);
    config
}

/// Asks on every connection at once, each on its own; gives all answers.
async fn all_at_once(asked: Vec<(Client, Body)>) -> Vec<Result<reply::Body, Refusal>> {
    let mut asking = JoinSet::new();
    for (mut client, body) in asked {
        asking.spawn(async move { client.ask(body).await });
    }
    asking.join_all().await
}

fn count(answers: &[Result<reply::Body, Refusal>], code: ErrorCode) -> usize {
    let refused = answers.iter().filter_map(|answer| answer.as_ref().err());
    refused.filter(|refusal| refusal.code() == code).count()
}

/// Forty guesses at once over twenty connections are five checks, not one more, though the right
/// code is among the rest; each answer counted down once.
#[tokio::test(flavor = "multi_thread")]
async fn c040_parallel_guesses_are_five_checks() {
    let world = World::new().await;
    let mallory = Person::new(&world.server, ANNA);
    let (challenge, code) = world.code(&mallory).await;
    let mut asked = Vec::new();
    for number in 0..20 {
        let client = world.connect(Role::Account).await;
        let guess = format!(
            "{:06}",
            (code.parse::<u32>().unwrap() + 1 + number) % 1_000_000
        );
        let body = Body::Register(client.registration(&mallory, challenge, &guess));
        asked.push((client, body));
    }
    let answers = all_at_once(asked).await;
    assert_eq!(
        count(&answers, ErrorCode::OtpWrong),
        OTP_CHECKS_MAX as usize
    );
    assert_eq!(
        count(&answers, ErrorCode::OtpExhausted),
        20 - OTP_CHECKS_MAX as usize
    );
    let mut left: Vec<_> = answers
        .iter()
        .filter_map(|answer| answer.as_ref().err())
        .filter(|refusal| refusal.code() == ErrorCode::OtpWrong)
        .map(|refusal| refusal.checks_left)
        .collect();
    left.sort_unstable();
    assert_eq!(left, [0, 1, 2, 3, 4]);
    let mut client = world.connect(Role::Account).await;
    let refusal = client.register(&mallory, challenge, &code).await;
    assert_eq!(refusal.unwrap_err().code(), ErrorCode::OtpExhausted);
}

/// Two squatters who use up all their guesses at somebody's identifier leave its owner all five
/// checks; what they can use up is the hour's sends, and those come back.
#[tokio::test]
async fn c040_squatters_burn_only_their_own_checks() {
    let world = World::new().await;
    for _ in 0..2 {
        let squatter = Person::new(&world.server, ANNA);
        let (challenge, code) = world.code(&squatter).await;
        let wrong = if code == "000000" { "000001" } else { "000000" };
        let mut client = world.connect(Role::Account).await;
        for _ in 0..OTP_CHECKS_MAX {
            client
                .register(&squatter, challenge, wrong)
                .await
                .unwrap_err();
        }
    }
    let anna = Person::new(&world.server, ANNA);
    let (challenge, code) = world.code(&anna).await;
    let mut client = world.connect(Role::Account).await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let refusal = client.register(&anna, challenge, wrong).await.unwrap_err();
    assert_eq!(refusal.checks_left, OTP_CHECKS_MAX - 1);
    client.register(&anna, challenge, &code).await.unwrap();
    let late = Person::new(&world.server, ANNA);
    let refusal = client.otp_start(&late, "").await.unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::RateLimited);
    assert!(refusal.retry_after_ms <= HOUR_MS);
    world.pass_time(refusal.retry_after_ms);
    client.otp_start(&late, "").await.unwrap();
}

/// Sends to one identifier are three an hour and five a day however many ask at once.
#[tokio::test(flavor = "multi_thread")]
async fn sends_are_counted_under_a_rush() {
    let world = World::new().await;
    let rush = async |n: usize| {
        let mut asked = Vec::new();
        for _ in 0..n {
            let person = Person::new(&world.server, ANNA);
            let request = OtpStart {
                identifier: ANNA.to_owned(),
                identity_fingerprint: person.key().fingerprint().to_vec(),
                invite: String::new(),
            };
            asked.push((world.connect(Role::Account).await, Body::OtpStart(request)));
        }
        let answers = all_at_once(asked).await;
        assert_eq!(
            count(&answers, ErrorCode::RateLimited) + answers.iter().flatten().count(),
            n
        );
        answers.iter().flatten().count()
    };
    assert_eq!(rush(10).await, 3);
    world.pass_time(HOUR_MS + 1);
    assert_eq!(rush(10).await, 2);
    world.pass_time(HOUR_MS + 1);
    assert_eq!(rush(4).await, 0);
    world.pass_time(DAY_MS);
    assert_eq!(rush(4).await, 3);
}

/// A wrong-key proof for somebody's challenge id is refused, and a made-up challenge id answers like
/// one that is over: nobody learns which challenges are open.
#[tokio::test]
async fn c042_foreign_and_made_up_challenges_are_refused() {
    let world = World::new().await;
    let anna = Person::new(&world.server, ANNA);
    let (challenge, code) = world.code(&anna).await;
    let thief = Person::new(&world.server, ANNA);
    let mut client = world.connect(Role::Account).await;
    let foreign = client.register(&thief, challenge, &code).await.unwrap_err();
    assert_eq!(foreign.code(), ErrorCode::Unauthorized);
    let made_up = ChallengeId::new([7; 16]);
    let made_up = client.register(&thief, made_up, &code).await.unwrap_err();
    assert_eq!(made_up.code(), ErrorCode::OtpExpired);
    client.register(&anna, challenge, &code).await.unwrap();
    let used = client.register(&thief, challenge, &code).await.unwrap_err();
    assert_eq!(
        (used.code(), used.message),
        (made_up.code(), made_up.message)
    );
}

/// Whoever walks through numbers is stopped after an hour's worth, on a new connection too, and the
/// refusal is the same for a number that is registered.
#[tokio::test]
async fn enumeration_ends_at_the_limit() {
    let world = World::with(limited(|config| {
        config.limits.per_network_lookups = 20;
        config.limits.per_connection_lookups = 8;
    }))
    .await;
    let (anna, pass) = (world.person().await, world.pass().await);
    let lookup = |identifier: &str| {
        Body::Lookup(Lookup {
            pass: pass.clone(),
            identifier: identifier.to_owned(),
        })
    };
    let mut answered = 0;
    for _ in 0..5 {
        let mut client = world.connect(Role::Directory).await;
        for number in 0..10 {
            let refusal = client.ask(lookup(&format!("+4915110000{number:02}"))).await;
            answered += usize::from(refusal.unwrap_err().code() == ErrorCode::NotFound);
        }
    }
    assert_eq!(answered, 20);
    let mut client = world.connect(Role::Directory).await;
    let registered = client.ask(lookup(&anna.identifier)).await.unwrap_err();
    let unknown = client.ask(lookup("+491511999999")).await.unwrap_err();
    assert_eq!(registered.code(), ErrorCode::RateLimited);
    assert_eq!(registered.message, unknown.message);
}

/// The network's breaker and the world's breaker stop requests for codes, whatever identifier, key
/// or connection; a stopped request counts as no send.
#[tokio::test]
async fn code_requests_have_two_breakers() {
    for in_all in [false, true] {
        let world = World::with(limited(|config| {
            let limits = &mut config.limits;
            limits.per_network_otp_starts = if in_all { 0 } else { 4 };
            limits.otp_starts_in_all = if in_all { 4 } else { 0 };
        }))
        .await;
        for number in 0..8 {
            let person = Person::new(&world.server, &format!("+4915110000{number:02}"));
            let mut client = world.connect(Role::Account).await;
            let asked = client.otp_start(&person, "").await;
            match asked {
                Ok(_) => assert!(number < 4),
                Err(refusal) => {
                    assert_eq!(refusal.code(), ErrorCode::RateLimited);
                    assert!(number >= 4 && refusal.retry_after_ms > 0);
                }
            }
        }
        for _ in 0..4 {
            world.server.next_code().await.unwrap();
        }
    }
}

/// Codes go to phones of the allowed countries only; mail addresses are not touched by that.
#[tokio::test]
async fn texts_go_to_allowed_countries_only() {
    let world = World::with(limited(|config| {
        config.otp.sms_countries = "+49, 43".to_owned();
    }))
    .await;
    let mut client = world.connect(Role::Account).await;
    for (identifier, allowed) in [
        ("+491700001111", true),
        ("+436601234567", true),
        ("anna@example.org", true),
        ("+12025550123", false),
        ("+881612345678", false),
        ("+447911123456", false),
    ] {
        let person = Person::new(&world.server, identifier);
        let asked = client.otp_start(&person, "").await;
        assert_eq!(asked.is_ok(), allowed, "{identifier}");
        if let Err(refusal) = asked {
            assert_eq!(refusal.code(), ErrorCode::BadRequest);
        }
    }
}

/// A flood of requests over many connections at once leaves 32 in the inbox and no more; a contact
/// still gets through.
#[tokio::test(flavor = "multi_thread")]
async fn c037_a_flood_keeps_to_32_places() {
    let world = World::new().await;
    let (anna, pass) = (world.person().await, world.pass().await);
    let item = |number: u8, capability: &[u8]| {
        Body::PostItem(PostItem {
            pass: pass.clone(),
            device_id: anna.device_id.to_vec(),
            capability: capability.to_vec(),
            item: vec![number; INBOX_ITEM_BYTES],
        })
    };
    let mut asked = Vec::new();
    for number in 0..48 {
        asked.push((world.connect(Role::Post).await, item(number, &[])));
    }
    let answers = all_at_once(asked).await;
    let most = INBOX_STRANGER_ITEMS_MAX as usize;
    assert_eq!(answers.iter().flatten().count(), most);
    assert_eq!(count(&answers, ErrorCode::InboxFull), 48 - most);
    let mut contact = world.connect(Role::Post).await;
    contact.ask(item(99, &anna.capability)).await.unwrap();
    assert_eq!(items(&mut world.account(&anna).await).await, most + 1);
}

/// How many items wait.
pub(crate) async fn items(owner: &mut Client) -> usize {
    let (mut found, mut after) = (0, 0);
    loop {
        match owner.ask(Body::ReadInbox(ReadInbox { after })).await {
            Ok(reply::Body::InboxPage(InboxPage { items, more })) => {
                found += items.len();
                if !more {
                    return found;
                }
                after = items.last().unwrap().number;
            }
            other => panic!("{other:?}"),
        }
    }
}
