//! Conversations that end and go on: restored servers, crossing first messages, self-updates, turned days.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use conclave_client::view::{ChatState, MessageState};
use conclave_proto::frame::reply;
use conclave_proto::frame::request::Body;
use conclave_proto::inbox::InboxPage;
use conclave_proto::{ErrorCode, Refusal};

use crate::support::tamper::{Fate, Road, Tamper};
use crate::support::{DAY_MS, LONG, Person, World};

fn watching(world: &World) -> Arc<Tamper> {
    Tamper::new(world, |_, _| Fate::Pass)
}

/// Both have the same texts, each once, and the chat is open.
fn assert_same(anna: &Person, ben: &Person, expected: &[&str]) {
    let mut texts = [anna.texts(ben), ben.texts(anna)];
    for texts in &mut texts {
        texts.sort();
    }
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(texts[0], expected);
    assert_eq!(texts[1], expected);
    assert_eq!(anna.chat_state(ben).0, ChatState::Open);
    assert_eq!(ben.chat_state(anna).0, ChatState::Open);
    assert_eq!(anna.chats().unwrap().len(), 1);
    assert_eq!(ben.chats().unwrap().len(), 1);
}

/// The server goes back to an older copy of its store: both talk on in a successor that nobody has to accept,
/// and nothing is shown twice.
#[tokio::test(flavor = "multi_thread")]
async fn c059_restored_server_leads_to_a_successor() {
    let mut world = World::new().await;
    let (mut anna, mut ben) = world.friends().await;
    anna.die().await;
    ben.die().await;
    let copy = world.backup().await;
    anna.restart(world.transport()).await;
    ben.restart(world.transport()).await;
    anna.say(&ben, "one").await;
    ben.say(&anna, "two").await;
    world.settle(&[&anna, &ben]).await;
    anna.die().await;
    ben.die().await;
    world.restore(copy).await;
    anna.restart(world.transport()).await;
    ben.restart(world.transport()).await;
    anna.settle(LONG).await.unwrap();
    ben.settle(LONG).await.unwrap();
    anna.say(&ben, "three").await;
    world.settle(&[&anna, &ben]).await;
    assert_same(&anna, &ben, &["hello", "one", "two", "three"]);
    ben.say(&anna, "four").await;
    world.settle(&[&ben, &anna]).await;
    assert_same(&anna, &ben, &["hello", "one", "two", "three", "four"]);
    assert_eq!(anna.texts(&ben).last().unwrap(), "four");
    assert!(anna.requests().unwrap().is_empty() && ben.requests().unwrap().is_empty());
    assert!(
        !anna.is_warned("proof of misbehaviour"),
        "an honest restore is no lie"
    );
}

/// A message that was accepted after the backup and fetched by nobody arrives all the same, once, and its
/// sender sees it delivered: the sender's device says it again in the successor.
#[tokio::test(flavor = "multi_thread")]
async fn c052_accepted_message_outlives_a_restore() {
    let mut world = World::new().await;
    let (mut anna, mut ben) = world.friends().await;
    anna.die().await;
    ben.die().await;
    let copy = world.backup().await;
    anna.restart(world.transport()).await;
    ben.restart(world.transport()).await;
    anna.say(&ben, "fetched").await;
    world.settle(&[&anna, &ben]).await;
    ben.die().await;
    anna.say(&ben, "unfetched").await;
    anna.settle(LONG).await.unwrap();
    anna.die().await;
    world.restore(copy).await;
    anna.restart(world.transport()).await;
    ben.restart(world.transport()).await;
    world.settle(&[&anna, &ben]).await;
    assert_same(&anna, &ben, &["hello", "fetched", "unfetched"]);
    let chat = anna.chat_with(&ben);
    let history = anna.history(chat, 100).unwrap();
    assert!(
        history
            .iter()
            .all(|row| row.state >= MessageState::Delivered)
    );
}

/// The server lost the log altogether: the same, also when both write at once.
#[tokio::test(flavor = "multi_thread")]
async fn c059_lost_log_leads_to_a_successor() {
    let mut world = World::new().await;
    let (mut anna, mut ben) = (world.person("anna").await, world.person("ben").await);
    for person in [&anna, &ben] {
        person.settle(LONG).await.unwrap();
    }
    anna.die().await;
    ben.die().await;
    let copy = world.backup().await;
    anna.restart(world.transport()).await;
    ben.restart(world.transport()).await;
    anna.say(&ben, "hello").await;
    anna.settle(LONG).await.unwrap();
    ben.accept(&anna).await;
    ben.say(&anna, "one").await;
    world.settle(&[&ben, &anna]).await;
    anna.die().await;
    ben.die().await;
    world.restore(copy).await;
    for person in [&mut anna, &mut ben] {
        person.restart(world.transport()).await;
        person.settle(LONG).await.unwrap();
    }
    anna.say(&ben, "two").await;
    ben.say(&anna, "three").await;
    world.settle(&[&anna, &ben]).await;
    anna.say(&ben, "four").await;
    ben.say(&anna, "five").await;
    world.settle(&[&anna, &ben]).await;
    let all = ["hello", "one", "two", "three", "four", "five"];
    assert_same(&anna, &ben, &all);
}

/// Logs that a profile appended to over `tamper`.
fn logs(tamper: &Tamper) -> BTreeSet<Vec<u8>> {
    tamper
        .appended_to()
        .into_iter()
        .map(|log| log.to_vec())
        .collect()
}

/// Both write first at the same time: one chat each, one live log, nothing lost and nothing twice.
#[tokio::test(flavor = "multi_thread")]
async fn c058_both_write_first() {
    for _ in 0..3 {
        let world = World::new().await;
        let (mut anna, mut ben) = (world.person("anna").await, Person::new(&world, "ben"));
        world.register(&ben, "ben").await;
        anna.say(&ben, "anna first").await;
        anna.say(&ben, "anna second").await;
        anna.settle(LONG).await.unwrap();
        // Ben does not see his inbox until he has written himself.
        let is_open = Arc::new(AtomicBool::new(false));
        let open = is_open.clone();
        let blind = Tamper::new(&world, move |_, call| match call {
            Body::ReadInbox(_) if !open.load(Ordering::SeqCst) => {
                Fate::Answer(reply::Body::InboxPage(InboxPage::default()))
            }
            _ => Fate::Pass,
        });
        ben.go_online_over(Arc::new(Road(blind.clone())));
        ben.say(&anna, "ben first").await;
        ben.say(&anna, "ben second").await;
        ben.settle(LONG).await.unwrap();
        is_open.store(true, Ordering::SeqCst);
        world.settle(&[&ben, &anna]).await;
        assert_same(
            &anna,
            &ben,
            &["anna first", "anna second", "ben first", "ben second"],
        );
        let (of_anna, of_ben) = (watching(&world), watching(&world));
        anna.restart(Arc::new(Road(of_anna.clone()))).await;
        ben.restart(Arc::new(Road(of_ben.clone()))).await;
        anna.settle(LONG).await.unwrap();
        ben.settle(LONG).await.unwrap();
        anna.say(&ben, "anna third").await;
        anna.settle(LONG).await.unwrap();
        ben.settle(LONG).await.unwrap();
        ben.say(&anna, "ben third").await;
        world.settle(&[&ben, &anna]).await;
        assert_eq!(anna.texts(&ben)[4..], ["anna third", "ben third"]);
        assert_eq!(anna.texts(&ben), ben.texts(&anna), "one order");
        let live: BTreeSet<_> = logs(&of_anna)
            .intersection(&logs(&of_ben))
            .cloned()
            .collect();
        assert!(!live.is_empty(), "both write into one log");
    }
}

fn positions(tamper: &Tamper) -> (Option<usize>, Option<usize>) {
    let calls = tamper.calls();
    (
        calls
            .iter()
            .position(|call| matches!(call, Body::PutBundle(_))),
        calls
            .iter()
            .position(|call| matches!(call, Body::AppendEntry(_))),
    )
}

/// A device that joined replaces its leaf with its first send; then not before seven days have passed.
#[tokio::test(flavor = "multi_thread")]
async fn c057_self_update_after_joining_and_after_a_week() {
    let world = World::new().await;
    let (anna, mut ben) = (world.person("anna").await, world.person("ben").await);
    anna.say(&ben, "hello").await;
    anna.settle(LONG).await.unwrap();
    let joining = watching(&world);
    ben.restart(Arc::new(Road(joining.clone()))).await;
    ben.accept(&anna).await;
    world.settle(&[&ben, &anna]).await;
    let (update, append) = positions(&joining);
    assert!(update.is_some() && update < append, "{update:?} {append:?}");

    for (days, is_due) in [(0, false), (6, false), (2, true), (0, false)] {
        ben.die().await;
        world.clock.pass(days * DAY_MS);
        let tamper = watching(&world);
        ben.restart(Arc::new(Road(tamper.clone()))).await;
        ben.settle(LONG).await.unwrap();
        ben.say(&anna, "a word").await;
        world.settle(&[&ben, &anna]).await;
        let (update, append) = positions(&tamper);
        assert!(append.is_some());
        assert_eq!(update.is_some(), is_due, "after {days} more days");
        if is_due {
            assert!(update < append, "the update goes first");
        }
    }
    assert_eq!(anna.texts(&ben).len(), 5);
}

/// Everybody stays online while days pass: passes change under open connections, and everything still works.
#[tokio::test(flavor = "multi_thread")]
async fn days_turn_under_open_connections() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let carl = world.person("carl").await;
    carl.settle(LONG).await.unwrap();
    for day in 0..3_usize {
        world.clock.pass(DAY_MS);
        anna.say(&ben, "another day").await;
        world.settle(&[&anna, &ben, &carl]).await;
        assert_eq!(ben.texts(&anna).len(), 2 + day);
    }
    world.clock.pass(DAY_MS);
    anna.say(&carl, "hello").await;
    anna.settle(LONG).await.unwrap();
    carl.accept(&anna).await;
    carl.say(&anna, "hello anna").await;
    world.settle(&[&carl, &anna]).await;
    assert_eq!(anna.texts(&carl), ["hello", "hello anna"]);
}

/// A device that was away for a month finds a gap and goes on in the same chat.
#[tokio::test(flavor = "multi_thread")]
async fn away_for_a_month() {
    let world = World::new().await;
    let (anna, mut ben) = world.friends().await;
    ben.die().await;
    anna.say(&ben, "long ago").await;
    anna.settle(LONG).await.unwrap();
    world.clock.pass(35 * DAY_MS);
    anna.say(&ben, "today").await;
    anna.settle(LONG).await.unwrap();
    ben.restart(world.transport()).await;
    world.settle(&[&ben, &anna]).await;
    assert_eq!(ben.texts(&anna).last().unwrap(), "today");
    ben.say(&anna, "back again").await;
    world.settle(&[&ben, &anna]).await;
    assert_eq!(anna.texts(&ben).last().unwrap(), "back again");
}

/// A copy of a profile writes: the original sees an entry under its own leaf, says so, renews its keys and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn copied_profile_is_told_and_shut_out() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    anna.die().await;
    let mut copy = anna.copy();
    copy.restart(world.transport()).await;
    copy.say(&ben, "by the copy").await;
    copy.settle(LONG).await.unwrap();
    copy.die().await;
    let tamper = watching(&world);
    anna.restart(Arc::new(Road(tamper.clone()))).await;
    anna.settle(LONG).await.unwrap();
    assert!(anna.is_warned("copy of this profile"));
    anna.say(&ben, "by anna").await;
    world.settle(&[&anna, &ben]).await;
    let (update, append) = positions(&tamper);
    assert!(update.is_some() && update < append, "a fresh leaf first");
    assert_eq!(ben.texts(&anna), ["hello", "by the copy", "by anna"]);
    ben.say(&anna, "for anna").await;
    ben.settle(LONG).await.unwrap();
    copy.restart(world.transport()).await;
    // However it ends, the copy does not read on.
    let _ = copy.settle(LONG).await;
    assert!(!copy.texts(&ben).contains(&"for anna".to_owned()));
}

/// Ben cannot take anna's invitation any more and writes himself: whichever log has the smaller id, both go on
/// in his, and she does not talk on where he never was.
#[tokio::test(flavor = "multi_thread")]
async fn c059_new_conversation_replaces_an_invitation_that_failed() {
    for _ in 0..4 {
        let world = World::new().await;
        let (anna, ben) = (world.person("anna").await, world.person("ben").await);
        anna.say(&ben, "hello").await;
        anna.settle(LONG).await.unwrap();
        ben.settle(LONG).await.unwrap();
        world.clock.pass(31 * DAY_MS);
        // The sweep of an honest server or the whim of another: the welcome is gone.
        let mut ben = ben;
        let tamper = Tamper::new(&world, |_, call| match call {
            Body::FetchBlob(_) => Fate::Answer(reply::Body::Refused(Refusal::new(
                ErrorCode::NotFound,
                "there is no such blob",
            ))),
            _ => Fate::Pass,
        });
        ben.restart(Arc::new(Road(tamper))).await;
        ben.accept(&anna).await;
        ben.settle(LONG).await.unwrap();
        assert!(ben.is_warned("an invitation cannot be taken"));
        ben.restart(world.transport()).await;
        ben.say(&anna, "I am late").await;
        world.settle(&[&ben, &anna]).await;
        anna.say(&ben, "never mind").await;
        world.settle(&[&anna, &ben]).await;
        assert_same(&anna, &ben, &["hello", "I am late", "never mind"]);
    }
}
