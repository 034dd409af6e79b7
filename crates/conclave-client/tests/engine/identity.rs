//! Somebody's identity changes: nothing is sent until the person decides.

use conclave_client::view::{MessageState, Trust};
use conclave_client::{ClientError, Event};
use conclave_proto::ErrorCode;
use conclave_proto::limits::HOLD_MS;

use crate::support::{DAY_MS, LONG, Person, World, next_event};

/// Somebody new takes over ben's address: a right code, seven days nobody objects, another right code.
async fn take_over(world: &World, name: &str) -> Person {
    let thief = Person::new(world, name);
    let (server, transport) = (world.server(), world.transport());
    let (at, identifier) = (server.server_address(), thief.address.parse().unwrap());
    for is_over in [false, true] {
        let started = thief.register_start_over(transport.as_ref(), &at, &identifier, None, name);
        started.await.unwrap();
        let code = server.next_code().await.unwrap().code;
        let confirmed = thief.register_confirm_over(transport.as_ref(), &code).await;
        match confirmed {
            Ok(_) => assert!(is_over, "the identifier moved at once"),
            Err(ClientError::Refused(refusal)) => {
                assert_eq!(refusal.code(), ErrorCode::IdentifierHeld);
                assert!(!is_over, "{}", refusal.message);
                world.clock.pass(HOLD_MS + DAY_MS / 24);
            }
            Err(error) => panic!("{error}"),
        }
    }
    thief.go_online_over(transport);
    thief
}

/// Another account under a known address stops sending; nothing reaches it until the person accepts, then
/// everything that waited goes there.
#[tokio::test(flavor = "multi_thread")]
async fn c016_new_account_under_a_known_address_stops_sending() {
    let world = World::new().await;
    let (anna, mut ben) = world.friends().await;
    let number = anna.safety(&ben.address).unwrap().number;
    anna.verify(&ben.address, &number).unwrap();
    ben.die().await;
    let other = take_over(&world, "ben").await;

    let mut events = anna.events();
    let secret = anna.say(&ben, "for ben alone").await;
    next_event(&mut events, |event| {
        matches!(event, Event::IdentityChanged { .. }).then_some(())
    })
    .await;
    let refused = anna.send(&ben.address, "and this").await;
    assert!(
        matches!(refused, Err(ClientError::IdentityChanged(_))),
        "{refused:?}"
    );
    world.clock.pass(3_000);
    other.settle(LONG).await.unwrap();
    assert_eq!(anna.state(secret).0, MessageState::Queued);
    assert!(other.chats().unwrap().is_empty());
    let safety = anna.safety(&ben.address).unwrap();
    assert_eq!(safety.trust, Trust::Changed);
    assert_ne!(safety.number, number);

    let accepted = anna.accept_identity(&ben.address).unwrap();
    assert_eq!(accepted.trust, Trust::Unverified, "the mark is cleared");
    anna.settle(LONG).await.unwrap();
    other.accept(&anna).await;
    other.say(&anna, "it is me").await;
    world.settle(&[&other, &anna]).await;
    assert_eq!(other.texts(&anna), ["for ben alone", "it is me"]);
    assert_eq!(anna.texts(&ben), ["hello", "for ben alone", "it is me"]);
    assert_eq!(anna.chats().unwrap().len(), 1);
}

/// The new account writes first: its message is not shown before the person accepts the change.
#[tokio::test(flavor = "multi_thread")]
async fn c016_message_of_a_new_account_waits() {
    let world = World::new().await;
    let (anna, mut ben) = world.friends().await;
    ben.die().await;
    let other = take_over(&world, "ben").await;
    other.say(&anna, "it is me, with a new phone").await;
    world.clock.pass(3_000);
    other.settle(LONG).await.unwrap();
    anna.settle(LONG).await.unwrap();
    let chats = anna.chats().unwrap();
    let old = chats.iter().find(|chat| chat.reason.contains("changed"));
    let old = old.expect("the chat with ben says that the key changed").id;
    assert_eq!(anna.history(old, 10).unwrap().len(), 1);
    let refused = anna.send(&ben.address, "who are you?").await;
    assert!(
        matches!(refused, Err(ClientError::IdentityChanged(_))),
        "{refused:?}"
    );

    anna.accept_identity(&ben.address).unwrap();
    anna.settle(LONG).await.unwrap();
    anna.say(&ben, "welcome back").await;
    world.settle(&[&anna, &other]).await;
    let all = ["hello", "it is me, with a new phone", "welcome back"];
    assert_eq!(anna.texts(&ben), all);
    assert_eq!(other.texts(&anna), all[1..]);
}

/// An owner who objects keeps the address, and nobody's chat changes.
#[tokio::test(flavor = "multi_thread")]
async fn c044_veto_keeps_the_address() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let thief = Person::new(&world, "ben");
    let (server, transport) = (world.server(), world.transport());
    let (at, identifier) = (server.server_address(), thief.address.parse().unwrap());
    let started = thief.register_start_over(transport.as_ref(), &at, &identifier, None, "");
    started.await.unwrap();
    let code = server.next_code().await.unwrap().code;
    let held = thief.register_confirm_over(transport.as_ref(), &code).await;
    assert!(matches!(held, Err(ClientError::Refused(_))), "{held:?}");
    ben.veto_hold().await.unwrap();
    world.clock.pass(8 * DAY_MS);
    anna.say(&ben, "still you?").await;
    world.settle(&[&anna, &ben]).await;
    assert_eq!(ben.texts(&anna), ["hello", "still you?"]);
    assert_eq!(anna.safety(&ben.address).unwrap().trust, Trust::Unverified);
}
