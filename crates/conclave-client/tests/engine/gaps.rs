//! Chats that wait, stop or are refused: each stands alone, and what is over takes nothing with it.

use std::sync::Arc;
use std::sync::Mutex;

use conclave_client::ClientError;
use conclave_client::view::{ChatState, MessageState};
use conclave_proto::frame::reply;
use conclave_proto::frame::request::Body;
use conclave_proto::{ErrorCode, Refusal};

use crate::support::tamper::{Fate, Road, Tamper};
use crate::support::{LONG, World};

fn refused(code: ErrorCode) -> Fate {
    Fate::Answer(reply::Body::Refused(Refusal::new(code, "no")))
}

/// An invitation that waits to be posted stops with its contact: nothing goes out while they are blocked, and
/// settling does not wait for it; unblocked, it is posted.
#[tokio::test(flavor = "multi_thread")]
async fn invitation_stops_with_a_blocked_contact() {
    let world = World::new().await;
    let (mut anna, ben) = (world.person("anna").await, world.person("ben").await);
    let tamper = Tamper::new(&world, |_, call| match call {
        Body::PostItem(_) => refused(ErrorCode::InboxFull),
        _ => Fate::Pass,
    });
    anna.restart(Arc::new(Road(tamper))).await;
    let hello = anna.say(&ben, "hello").await;
    anna.wait_for(hello, MessageState::Accepted, LONG)
        .await
        .unwrap();
    anna.wait_until(|| anna.is_warned("inbox is full")).await;
    anna.set_blocked(&ben.address, true).unwrap();
    world.clock.pass(900_000);
    let honest = Tamper::new(&world, |_, _| Fate::Pass);
    anna.restart(Arc::new(Road(honest.clone()))).await;
    anna.settle(LONG).await.unwrap();
    let posts = || {
        let calls = honest.calls().into_iter();
        calls
            .filter(|call| matches!(call, Body::PostItem(_)))
            .count()
    };
    assert_eq!(posts(), 0);
    anna.set_blocked(&ben.address, false).unwrap();
    anna.settle(LONG).await.unwrap();
    assert_eq!(posts(), 1);
    ben.accept(&anna).await;
    world.settle(&[&ben, &anna]).await;
    assert_eq!(ben.texts(&anna), ["hello"]);
}

/// One invitation that the server refuses for good leaves the others alone.
#[tokio::test(flavor = "multi_thread")]
async fn refused_invitation_leaves_the_others_alone() {
    let world = World::new().await;
    let (mut anna, ben) = (world.person("anna").await, world.person("ben").await);
    let carl = world.person("carl").await;
    for person in [&ben, &carl] {
        person.settle(LONG).await.unwrap();
    }
    let first: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    let tamper = Tamper::new(&world, move |_, call| match call {
        Body::PostItem(post) => {
            let mut first = first.lock().unwrap();
            if *first.get_or_insert(post.device_id.clone()) == post.device_id {
                refused(ErrorCode::BadRequest)
            } else {
                Fate::Pass
            }
        }
        _ => Fate::Pass,
    });
    anna.restart(Arc::new(Road(tamper))).await;
    anna.say(&ben, "hello").await;
    anna.wait_until(|| anna.is_warned("refused an invitation"))
        .await;
    let hello = anna.say(&carl, "hello").await;
    let accepted = anna.wait_for(hello, MessageState::Accepted, LONG).await;
    assert_eq!(accepted.unwrap().state, MessageState::Accepted);
    carl.accept(&anna).await;
    anna.die().await;
    world.clock.pass(900_000);
    anna.restart(world.transport()).await;
    ben.accept(&anna).await;
    world.settle(&[&anna, &ben, &carl]).await;
    assert_eq!(ben.texts(&anna), ["hello"]);
    assert_eq!(carl.texts(&anna), ["hello"]);
}

/// A declined request counts nothing as unread, is declined once, and can be accepted later.
#[tokio::test(flavor = "multi_thread")]
async fn declined_request_is_over() {
    let world = World::new().await;
    let (anna, ben) = (world.person("anna").await, world.person("ben").await);
    anna.say(&ben, "hello").await;
    anna.settle(LONG).await.unwrap();
    ben.settle(LONG).await.unwrap();
    let chat = ben.requests().unwrap()[0].chat;
    ben.decline_request(chat).unwrap();
    anna.say(&ben, "please").await;
    world.settle(&[&anna, &ben]).await;
    let status = ben.status().unwrap();
    assert_eq!((status.unread, status.requests), (0, 0));
    assert!(ben.unheard().unwrap().is_empty());
    let again = ben.decline_request(chat);
    assert!(matches!(again, Err(ClientError::NotFound(_))), "{again:?}");
    assert_eq!(ben.chat_state(&anna).0, ChatState::Declined);
    ben.accept_request(chat).unwrap();
    world.settle(&[&ben, &anna]).await;
    assert_eq!(ben.texts(&anna), ["hello", "please"]);
}

/// A log that is read no more is closed on the server: handles do not pile up on a connection that stays.
#[tokio::test(flavor = "multi_thread")]
async fn retired_log_is_closed() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    let is_lying = Arc::new(Mutex::new(false));
    let lying = is_lying.clone();
    let tamper = Tamper::new(&world, move |_, call| match call {
        Body::ReadLog(_) if std::mem::take(&mut *lying.lock().unwrap()) => {
            Fate::Lie(Box::new(|page| {
                page.entries.clear();
                page.head.as_mut().unwrap().seq = 0;
            }))
        }
        _ => Fate::Pass,
    });
    anna.restart(Arc::new(Road(tamper.clone()))).await;
    anna.settle(LONG).await.unwrap();
    let closed = || {
        let calls = tamper.calls().into_iter();
        calls
            .filter(|call| matches!(call, Body::CloseHandle(_)))
            .count()
    };
    let before = closed();
    *is_lying.lock().unwrap() = true;
    anna.settle(LONG).await.unwrap();
    assert_eq!(anna.chat_state(&ben).0, ChatState::Paused);
    anna.accept_identity(&ben.address).unwrap();
    anna.say(&ben, "in a new one").await;
    anna.settle(LONG).await.unwrap();
    assert_eq!(closed(), before + 1);
    world.settle(&[&ben, &anna]).await;
    assert_eq!(ben.texts(&anna), ["hello", "in a new one"]);
}
