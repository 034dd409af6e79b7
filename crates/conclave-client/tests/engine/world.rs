//! What the world does to a device: wrong clocks, crossing letters, copies, long absence.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use conclave_client::view::{ChatState, MessageState};
use conclave_client::{ClientError, Event};
use conclave_proto::frame::reply;
use conclave_proto::frame::request::Body;
use conclave_proto::inbox::InboxPage;
use conclave_proto::label;
use conclave_proto::log::EntryKind;

use crate::support::tamper::{Fate, Road, Tamper};
use crate::support::{Clock, DAY_MS, LONG, Person, World};

const YEAR_MS: i64 = 366 * 86_400_000;
const DAYS_10_MS: i64 = 10 * 86_400_000;

/// Somebody whose clock is their own.
async fn with_clock(world: &World, name: &str) -> (Person, Arc<Clock>) {
    let mut person = Person::new(world, name);
    let clock = Arc::<Clock>::default();
    person.clock = clock.clone();
    person.die().await;
    person.wake_up();
    world.register(&person, name).await;
    person.go_online_over(world.transport_on(&clock));
    person.settle(LONG).await.unwrap();
    (person, clock)
}

/// A clock that is a year off: the server's certificate is not valid by it, which is said so; what was written
/// waits and goes out when the clock is right, without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn clock_a_year_off_is_told_and_lived_through() {
    for wrong_ms in [YEAR_MS, -YEAR_MS] {
        let world = World::new().await;
        let (mut anna, clock) = with_clock(&world, "anna").await;
        let ben = world.person("ben").await;
        anna.say(&ben, "hello").await;
        anna.settle(LONG).await.unwrap();
        ben.accept(&anna).await;
        world.settle(&[&ben, &anna]).await;
        anna.die().await;
        clock.set_wrong_by(wrong_ms);
        anna.wake_up();
        anna.go_online_over(world.transport_on(&clock));
        let id = anna.say(&ben, "from another year").await;
        let settled = anna.settle(LONG).await;
        assert!(
            matches!(&settled, Err(ClientError::WrongServer(text)) if text.contains("clock")),
            "{settled:?}"
        );
        assert_eq!(anna.state(id).0, MessageState::Queued);
        clock.set_wrong_by(0);
        // The first answer may still be that of the wrong clock.
        let _ = anna.settle(LONG).await;
        world.settle(&[&anna, &ben]).await;
        assert_eq!(ben.texts(&anna), ["hello", "from another year"]);
        let history = ben.history(ben.chat_with(&anna), 10).unwrap();
        let apart_ms = history[0].ts_ms.abs_diff(history[1].ts_ms);
        assert!(apart_ms <= 2 * DAY_MS, "{apart_ms} ms");
    }
}

/// A clock that is days off, on the side that asks and on the side that is asked: the first contact waits, with
/// a warning, and is made when the clock is right; nobody's request is lost by its date.
#[tokio::test(flavor = "multi_thread")]
async fn c039_first_contact_waits_for_right_clocks() {
    let world = World::new().await;
    let (mut anna, clock) = with_clock(&world, "anna").await;
    let mut ben = world.person("ben").await;
    let mut carl = world.person("carl").await;
    for person in [&ben, &carl] {
        person.settle(LONG).await.unwrap();
    }
    anna.die().await;
    clock.set_wrong_by(DAYS_10_MS);
    anna.wake_up();
    anna.go_online_over(world.transport_on(&clock));
    let hello = anna.say(&ben, "hello").await;
    carl.say(&anna, "are you there?").await;
    carl.settle(LONG).await.unwrap();
    anna.wait_until(|| anna.is_warned("set the clock")).await;
    assert_eq!(anna.state(hello).0, MessageState::Queued);
    assert!(anna.requests().unwrap().is_empty());
    clock.set_wrong_by(0);
    anna.restart(world.transport_on(&clock)).await;
    anna.settle(LONG).await.unwrap();
    ben.accept(&anna).await;
    anna.accept(&carl).await;
    world.settle(&[&ben, &anna, &carl]).await;
    assert_eq!(ben.texts(&anna), ["hello"]);
    assert_eq!(anna.texts(&carl), ["are you there?"]);
    ben.restart(world.transport()).await;
    carl.restart(world.transport()).await;
}

/// What was written down under a clock ten days ahead is not put off when the clock goes back: invitations are
/// posted, identities looked up, leaves renewed.
#[tokio::test(flavor = "multi_thread")]
async fn clock_that_goes_back_puts_nothing_off() {
    let world = World::new().await;
    let (mut anna, clock) = with_clock(&world, "anna").await;
    let ben = world.person("ben").await;
    anna.say(&ben, "hello").await;
    anna.settle(LONG).await.unwrap();
    ben.accept(&anna).await;
    world.settle(&[&ben, &anna]).await;
    // Known people talk on while the clock is ahead.
    clock.set_wrong_by(DAYS_10_MS);
    let ahead = anna.say(&ben, "ahead").await;
    let state = MessageState::Accepted;
    anna.wait_for(ahead, state, LONG).await.unwrap();
    anna.die().await;
    clock.set_wrong_by(0);
    let tamper = Tamper::new(&world, |_, _| Fate::Pass);
    anna.restart(Arc::new(Road(tamper.clone()))).await;
    anna.settle(LONG).await.unwrap();
    anna.say(&ben, "back").await;
    world.settle(&[&anna, &ben]).await;
    let asked = |wanted: fn(&Body) -> bool| tamper.calls().iter().any(wanted);
    assert!(
        asked(|call| matches!(call, Body::Lookup(_))),
        "looked up again"
    );
    assert!(
        asked(|call| matches!(call, Body::PutBundle(_))),
        "renewed again"
    );
    assert_eq!(ben.texts(&anna), ["hello", "ahead", "back"]);
}

/// The server's clock goes off by days, and comes back: known people talk on all the while.
#[tokio::test(flavor = "multi_thread")]
async fn server_days_off_changes_nothing_for_known_people() {
    for wrong_ms in [DAYS_10_MS, -DAYS_10_MS] {
        let mut world = World::new().await;
        world.server_clock = Arc::default();
        world.stop().await;
        world.start().await;
        let (mut anna, mut ben) = world.friends().await;
        anna.die().await;
        ben.die().await;
        world.server_clock.set_wrong_by(wrong_ms);
        world.stop().await;
        world.start().await;
        for (person, other, text) in [(0, 1, "one"), (1, 0, "two")] {
            let people = [&mut anna, &mut ben];
            people[person].restart(world.transport()).await;
            let address = people[other].address.clone();
            people[person].send(&address, text).await.unwrap();
        }
        world.settle(&[&anna, &ben]).await;
        assert!(anna.is_warned("set the clock"));
        world.server_clock.set_wrong_by(0);
        anna.restart(world.transport()).await;
        ben.restart(world.transport()).await;
        anna.say(&ben, "three").await;
        world.settle(&[&anna, &ben]).await;
        assert_eq!(anna.texts(&ben), ben.texts(&anna));
        assert_eq!(anna.texts(&ben).len(), 4);
        assert_eq!(anna.chat_state(&ben).0, ChatState::Open);
    }
}

/// Both write first and one of them dies at a call, every call in turn: one chat each, every word once.
#[tokio::test(flavor = "multi_thread")]
async fn c058_both_write_first_and_one_dies() {
    let world = World::new().await;
    for calls in (0..).step_by(2) {
        let mut ben = Person::new(&world, &format!("ben{calls}"));
        let mut anna = world.person(&format!("anna{calls}")).await;
        world.register(&ben, &format!("ben{calls}")).await;
        anna.say(&ben, "by anna").await;
        anna.settle(LONG).await.unwrap();
        // Ben does not see his inbox until he has written himself.
        let (count, is_written) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
        let written = is_written.clone();
        let tamper = Tamper::new(&world, move |_, call| {
            if count.fetch_add(1, Ordering::SeqCst) == calls {
                return Fate::DieAfter;
            }
            match call {
                Body::ReadInbox(_) if !written.load(Ordering::SeqCst) => {
                    Fate::Answer(reply::Body::InboxPage(InboxPage::default()))
                }
                _ => Fate::Pass,
            }
        });
        ben.go_online_over(Arc::new(Road(tamper.clone())));
        let died = tokio::select! {
            () = tamper.dead.notified() => true,
            () = async {
                ben.say(&anna, "by ben").await;
                ben.settle(LONG).await.unwrap();
                is_written.store(true, Ordering::SeqCst);
                world.clock.pass(3_000);
                ben.settle(LONG).await.unwrap();
            } => false,
        };
        ben.restart(world.transport()).await;
        // or the request comes between the question and what is said
        ben.settle(LONG).await.unwrap();
        if !ben.requests().unwrap().is_empty() {
            ben.accept(&anna).await;
        }
        let is_said = |person: &Person| {
            let chat = person.find_chat(&anna.address);
            chat.is_ok() && person.texts(&anna).contains(&"by ben".to_owned())
        };
        if !is_said(&ben) {
            ben.say(&anna, "by ben").await;
        }
        world.settle(&[&ben, &anna]).await;
        world.settle(&[&anna, &ben]).await;
        for (one, other) in [(&anna, &ben), (&ben, &anna)] {
            let mut texts = one.texts(other);
            texts.sort();
            assert_eq!(texts, ["by anna", "by ben"], "died at call {calls}");
            assert_eq!(one.chats().unwrap().len(), 1, "died at call {calls}");
        }
        anna.restart(world.transport()).await;
        if !died {
            assert!(
                calls > 15,
                "writing and joining has more calls than {calls}"
            );
            return;
        }
    }
}

/// Back after the server dropped messages and key changes: the gap is shown, a successor is made by itself,
/// and both talk again.
#[tokio::test(flavor = "multi_thread")]
async fn c026_back_after_retention_goes_on_in_a_successor() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    anna.die().await;
    ben.say(&anna, "long dropped").await;
    ben.settle(LONG).await.unwrap();
    world.clock.pass(8 * DAY_MS);
    ben.say(&anna, "under new keys").await;
    ben.settle(LONG).await.unwrap();
    let tamper = Tamper::new(&world, |_, call| match call {
        Body::ReadLog(_) => Fate::Change(Box::new(|reply| {
            let reply::Body::LogPage(page) = reply else {
                return;
            };
            for entry in &mut page.entries {
                if entry.seq > 3 && !entry.is_expired() {
                    entry.expired_hash = label::sha256(&entry.payload).to_vec();
                    entry.payload.clear();
                }
            }
            assert!(
                page.entries
                    .iter()
                    .all(|entry| entry.kind() != EntryKind::Unspecified)
            );
        })),
        _ => Fate::Pass,
    });
    anna.wake_up();
    let mut events = anna.events();
    anna.go_online_over(Arc::new(Road(tamper)));
    anna.settle(LONG).await.unwrap();
    let mut gaps = 0;
    while let Ok(event) = events.try_recv() {
        gaps += usize::from(matches!(event, Event::Gap { .. }));
    }
    assert_eq!(gaps, 1);
    assert!(anna.texts(&ben).last().unwrap().contains("dropped"));
    assert!(anna.is_warned("longer than the server keeps key changes"));
    anna.restart(world.transport()).await;
    anna.say(&ben, "I am back").await;
    world.settle(&[&anna, &ben]).await;
    world.settle(&[&ben, &anna]).await;
    // What ben's device was never told to have arrived, it says again.
    for texts in [anna.texts(&ben), ben.texts(&anna)] {
        for text in ["hello", "long dropped", "under new keys", "I am back"] {
            let count = texts.iter().filter(|said| *said == text).count();
            assert_eq!(count, 1, "{text}: {texts:?}");
        }
    }
}

/// A copy and the original write at the same time, so that both use the same keys: the original says so,
/// renews its leaf, and says again what nobody could open; no word of either is lost.
#[tokio::test(flavor = "multi_thread")]
async fn copy_that_uses_the_same_keys_costs_no_word() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    anna.die().await;
    let mut copy = anna.copy();
    // The original hears of nothing while the copy writes.
    let tamper = Tamper::new(&world, |_, _| Fate::Pass);
    anna.restart(Arc::new(Road(tamper.clone()))).await;
    anna.settle(LONG).await.unwrap();
    tamper.is_deaf.store(true, Ordering::SeqCst);
    copy.restart(world.transport()).await;
    copy.say(&ben, "by the copy").await;
    copy.settle(LONG).await.unwrap();
    copy.die().await;
    let id = anna.say(&ben, "by anna").await;
    tamper.is_deaf.store(false, Ordering::SeqCst);
    anna.settle(LONG).await.unwrap();
    assert!(anna.is_warned("copy of this profile"));
    world.settle(&[&anna, &ben]).await;
    world.settle(&[&ben, &anna]).await;
    let heard = ben.texts(&anna);
    for text in ["by the copy", "by anna"] {
        let count = heard.iter().filter(|said| *said == text).count();
        assert_eq!(count, 1, "{text}: {heard:?}");
    }
    assert_eq!(anna.state(id).0, MessageState::Delivered);
    let renewed = tamper.calls();
    assert!(
        renewed
            .iter()
            .any(|call| matches!(call, Body::PutBundle(_)))
    );
}
