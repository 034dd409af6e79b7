//! Two people talk.

use conclave_client::view::MessageState;

use crate::support::{LONG, World};

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
