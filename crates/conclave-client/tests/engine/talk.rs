//! Two people talk.

use conclave_client::view::MessageState;
use conclave_client::{ClientError, Event};
use conclave_proto::limits::TEXT_BYTES_MAX;

use crate::support::{LONG, World, next_event};

/// Request, acceptance, both ways: each message gets to `read`, both see one order, both see one safety number.
#[tokio::test(flavor = "multi_thread")]
async fn two_people_talk() {
    let world = World::new().await;
    let (anna, ben) = (world.person("anna").await, world.person("ben").await);
    let hello = anna.say(&ben, "hello").await;
    anna.settle(LONG).await.unwrap();
    assert_eq!(anna.state(hello).0, MessageState::Accepted);
    ben.accept(&anna).await;
    world.settle(&[&ben, &anna]).await;
    assert_eq!(anna.state(hello).0, MessageState::Delivered);

    let answer = ben.say(&anna, "hello anna").await;
    let again = anna.say(&ben, "how are you?").await;
    world.settle(&[&ben, &anna]).await;
    ben.mark_read(ben.chat_with(&anna)).unwrap();
    anna.mark_read(anna.chat_with(&ben)).unwrap();
    world.settle(&[&ben, &anna]).await;
    for id in [hello, again] {
        assert_eq!(anna.state(id).0, MessageState::Read);
    }
    assert_eq!(ben.state(answer).0, MessageState::Read);
    assert_eq!(anna.texts(&ben), ben.texts(&anna));
    assert_eq!(anna.texts(&ben).len(), 3);
    assert_eq!(
        anna.safety(&ben.address).unwrap().number,
        ben.safety(&anna.address).unwrap().number
    );
    let status = anna.status().unwrap();
    assert_eq!((status.queued, status.unread), (0, 0));
    assert!(status.warnings.is_empty(), "{:?}", status.warnings);
}

/// A receiver who is away misses nothing, and neither side loses anything when both start anew in between.
#[tokio::test(flavor = "multi_thread")]
async fn away_and_restarted() {
    let world = World::new().await;
    let (mut anna, mut ben) = world.friends().await;
    ben.die().await;
    let first = anna.say(&ben, "one").await;
    anna.say(&ben, "two").await;
    anna.settle(LONG).await.unwrap();
    assert_eq!(anna.state(first).0, MessageState::Accepted);
    anna.die().await;
    anna.wake_up();
    anna.say(&ben, "three, written offline").await;
    anna.restart(world.transport()).await;
    anna.settle(LONG).await.unwrap();
    ben.restart(world.transport()).await;
    world.settle(&[&ben, &anna]).await;
    ben.restart(world.transport()).await;
    anna.restart(world.transport()).await;
    ben.say(&anna, "four").await;
    world.settle(&[&ben, &anna]).await;
    let all = ["hello", "one", "two", "three, written offline", "four"];
    assert_eq!(ben.texts(&anna), all);
    assert_eq!(anna.texts(&ben), all);
    assert_eq!(anna.state(first).0, MessageState::Delivered);
}

/// Two who are online hear each other at once, without asking.
#[tokio::test(flavor = "multi_thread")]
async fn pushes_bring_messages_at_once() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let mut heard = ben.events();
    let mut told = anna.events();
    let id = anna.say(&ben, "are you there?").await;
    let text = next_event(&mut heard, |event| match event {
        Event::Received(message) => Some(message.text),
        _ => None,
    });
    assert_eq!(text.await, "are you there?");
    // The receipt comes by itself too.
    next_event(&mut told, |event| match event {
        Event::StateChanged { id: of, state, .. } => {
            (of == id && state == MessageState::Delivered).then_some(())
        }
        _ => None,
    })
    .await;
    ben.say(&anna, "yes").await;
    let text = next_event(&mut told, |event| match event {
        Event::Received(message) => Some(message.text),
        _ => None,
    });
    assert_eq!(text.await, "yes");
}

/// More than two pages of a log arrive whole and in order, the longest text among them.
#[tokio::test(flavor = "multi_thread")]
async fn many_and_long_messages_arrive_in_order() {
    let world = World::new().await;
    let (anna, mut ben) = world.friends().await;
    ben.die().await;
    let mut said = vec!["hello".to_owned(), "ä".repeat(TEXT_BYTES_MAX / 2)];
    said.extend((0..230).map(|n| format!("message {n}")));
    for text in &said[1..] {
        anna.say(&ben, text).await;
    }
    anna.settle(LONG).await.unwrap();
    ben.restart(world.transport()).await;
    ben.settle(LONG).await.unwrap();
    assert_eq!(ben.texts(&anna), said);
    assert_eq!(anna.texts(&ben), said);
    let too_long = "a".repeat(TEXT_BYTES_MAX + 1);
    let refused = anna.send(&ben.address, &too_long).await;
    assert!(matches!(refused, Err(ClientError::TooLarge(_))));
    let refused = anna.send(&ben.address, "").await;
    assert!(matches!(refused, Err(ClientError::BadInput(_))));
    assert_eq!(anna.texts(&ben).len(), said.len());
}

/// While the server is down a known contact can be written to; it goes out when the server is back.
#[tokio::test(flavor = "multi_thread")]
async fn server_away_and_back() {
    let mut world = World::new().await;
    let (mut anna, mut ben) = world.friends().await;
    let gone = world.transport();
    world.stop().await;
    anna.restart(gone).await;
    let id = anna.say(&ben, "later").await;
    let settled = anna.settle(LONG).await;
    assert!(
        matches!(settled, Err(ClientError::Unreachable(_))),
        "{settled:?}"
    );
    assert_eq!(anna.state(id).0, MessageState::Queued);
    let stranger = anna.send("carl@example.org", "hello").await;
    assert!(
        matches!(stranger, Err(ClientError::Unreachable(_))),
        "{stranger:?}"
    );
    world.start().await;
    anna.restart(world.transport()).await;
    ben.restart(world.transport()).await;
    world.settle(&[&anna, &ben]).await;
    assert_eq!(ben.texts(&anna), ["hello", "later"]);
}

/// Nobody by that name, oneself, and a name that is none: told at once, nothing is queued.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_to_write_to() {
    let world = World::new().await;
    let anna = world.person("anna").await;
    let nobody = anna.send("nobody@example.org", "hello").await;
    assert!(
        matches!(nobody, Err(ClientError::NotFound(_))),
        "{nobody:?}"
    );
    let oneself = anna.send(&anna.address, "hello").await;
    assert!(
        matches!(oneself, Err(ClientError::BadInput(_))),
        "{oneself:?}"
    );
    let nonsense = anna.send("non@sense@", "hello").await;
    assert!(
        matches!(nonsense, Err(ClientError::BadInput(_))),
        "{nonsense:?}"
    );
    let unnamed = anna.send("nonsense", "hello").await;
    assert!(
        matches!(unnamed, Err(ClientError::NotFound(_))),
        "{unnamed:?}"
    );
    assert!(anna.chats().unwrap().is_empty());
    assert_eq!(anna.status().unwrap().queued, 0);
}

/// Somebody blocked is not heard, learns nothing, and cannot start anew; unblocked, both talk again.
#[tokio::test(flavor = "multi_thread")]
async fn blocked_people_are_not_heard() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    ben.set_blocked(&anna.address, true).unwrap();
    let id = anna.say(&ben, "listen").await;
    world.settle(&[&anna, &ben]).await;
    assert_eq!(ben.texts(&anna), ["hello"]);
    assert_eq!(anna.state(id).0, MessageState::Accepted, "no receipt");
    let refused = ben.send(&anna.address, "no").await;
    assert!(
        matches!(refused, Err(ClientError::NotAllowed(_))),
        "{refused:?}"
    );
    ben.set_blocked(&anna.address, false).unwrap();
    anna.say(&ben, "friends again?").await;
    ben.say(&anna, "yes").await;
    world.settle(&[&anna, &ben]).await;
    assert!(ben.texts(&anna).contains(&"friends again?".to_owned()));
    assert!(anna.texts(&ben).contains(&"yes".to_owned()));
}

/// A program that stays online never has to settle: first contact and answers go through by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn first_contact_needs_no_settling() {
    let world = World::new().await;
    let (anna, ben) = (world.person("anna").await, world.person("ben").await);
    ben.settle(LONG).await.unwrap();
    let mut told = anna.events();
    let hello = anna.say(&ben, "hello").await;
    let accepted = anna.wait_for(hello, MessageState::Accepted, LONG);
    accepted.await.unwrap();
    ben.accept(&anna).await;
    ben.say(&anna, "hello anna").await;
    let text = next_event(&mut told, |event| match event {
        Event::Received(message) => Some(message.text),
        _ => None,
    });
    assert_eq!(text.await, "hello anna");
    ben.mark_read(ben.chat_with(&anna)).unwrap();
    let read = anna.wait_for(hello, MessageState::Read, LONG);
    assert_eq!(read.await.unwrap().state, MessageState::Read);
}
