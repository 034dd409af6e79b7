//! The disk fails, or the process dies, at every commit of the store: nothing is lost, nothing comes twice.
//!
//! `tests/engine/kill.rs` cuts at every call of the network; here every transaction is cut, before and after
//! its commit, and once the commit alone fails and the process lives on.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::client::Client;
use crate::error::ClientError;
use crate::store::fault::Side;
use crate::support::{DAY_MS, LONG, Person, World};
use crate::view::ChatState;

/// After `commits` more commits of this profile's store, the next goes wrong.
pub(crate) fn plan(client: &Client, commits: u32, side: Side) -> Arc<Notify> {
    let mut engine = client.engine();
    engine.store.fault.plan(commits, side);
    engine.store.fault.met.clone()
}

/// Does `work` until it is done or the fault is met.
pub(crate) async fn until_fault(met: &Notify, work: impl Future<Output = ()>) {
    tokio::select! {
        () = met.notified() => {}
        () = work => {}
    }
}

/// What a person does after trouble: starts anew when the process died. Whether there was any.
pub(crate) async fn recover(world: &World, person: &mut Person, side: Side) -> bool {
    let is_met = person.engine().store.fault.end();
    if is_met && side != Side::Fails {
        person.restart(world.transport()).await;
    }
    is_met
}

/// Says what is not there yet: a person looks first.
async fn say_once(from: &Person, to: &Person, text: &str) {
    let is_there = from
        .find_chat(&to.address)
        .is_ok_and(|_| from.texts(to).iter().any(|said| said == text));
    // The first answer may still be about the disk.
    let mut tries = 0..3;
    while !is_there && from.send(&to.address, text).await.is_err() {
        tries.next().expect("it can be said when the disk is well");
    }
}

/// Whether a self-update goes before the next message of each conversation.
fn owe_update(client: &Client, is_due: bool) {
    let owed = client.engine().step(|step| {
        for mut row in step.tx.active_conversations()? {
            row.update_due |= is_due;
            step.tx.put_conversation(&row)?;
        }
        Ok(())
    });
    owed.unwrap();
}

/// Both see the same texts in one open chat.
fn assert_same(anna: &Person, ben: &Person, expected: &[String], at: &str) {
    for (one, other) in [(anna, ben), (ben, anna)] {
        assert_eq!(one.texts(other), expected, "{at}");
        let chats = one.chats().unwrap().into_iter();
        let chats = chats.filter(|chat| {
            chat.with
                .as_ref()
                .is_some_and(|with| with.identifier == other.address)
        });
        assert_eq!(chats.count(), 1, "{at}");
        let (state, reason) = one.chat_state(other);
        assert_eq!((state, reason.as_str()), (ChatState::Open, ""), "{at}");
    }
    let chat = anna.chat_with(ben);
    let conversations = anna.engine().look(|tx, _| Ok(tx.conversations_of(chat)?));
    assert_eq!(conversations.unwrap().len(), 1, "{at}");
}

async fn sends(side: Side) {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    let mut said = vec!["hello".to_owned()];
    for commits in 0.. {
        let at = format!("{side:?} at commit {commits}");
        // Some of them with a self-update before them.
        world
            .clock
            .pass(if commits % 4 == 0 { 8 * DAY_MS } else { 0 });
        let words = ["first", "second"].map(|word| format!("{word} {commits}"));
        let met = plan(&anna, commits, side);
        until_fault(&met, async {
            for word in &words {
                if anna.send(&ben.address, word).await.is_err() {
                    return;
                }
            }
            let _ = anna.settle(LONG).await;
        })
        .await;
        let is_met = recover(&world, &mut anna, side).await;
        for word in &words {
            say_once(&anna, &ben, word).await;
        }
        said.extend(words);
        world.settle(&[&anna, &ben]).await;
        assert_same(&anna, &ben, &said, &at);
        if !is_met {
            assert!(commits > 5, "sending takes more commits than {commits}");
            return;
        }
    }
}

/// A sender whose commits fail while the process lives says so, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn c050_sender_lives_through_failing_commits() {
    sends(Side::Fails).await;
}

/// A sender that dies before any of its commits.
#[tokio::test(flavor = "multi_thread")]
async fn c050_sender_dies_before_each_commit() {
    sends(Side::DiesBefore).await;
}

/// A sender that dies right after any of its commits.
#[tokio::test(flavor = "multi_thread")]
async fn c050_sender_dies_after_each_commit() {
    sends(Side::DiesAfter).await;
}

/// A receiver meets messages, a commit and receipts; its store fails or its process dies at every commit.
#[tokio::test(flavor = "multi_thread")]
async fn c050_receiver_dies_at_each_commit() {
    for side in [Side::Fails, Side::DiesBefore, Side::DiesAfter] {
        let world = World::new().await;
        let (anna, mut ben) = world.friends().await;
        let mut said = vec!["hello".to_owned()];
        for commits in 0.. {
            let at = format!("{side:?} at commit {commits}");
            ben.die().await;
            owe_update(&anna, true);
            for word in ["first", "second"] {
                said.push(format!("{word} {commits}"));
                anna.say(&ben, said.last().unwrap()).await;
            }
            anna.settle(LONG).await.unwrap();
            ben.wake_up();
            let met = plan(&ben, commits, side);
            ben.go_online_over(world.transport());
            until_fault(&met, async {
                let _ = ben.settle(LONG).await;
            })
            .await;
            let is_met = recover(&world, &mut ben, side).await;
            world.settle(&[&ben, &anna]).await;
            assert_same(&anna, &ben, &said, &at);
            if !is_met {
                assert!(commits > 3, "receiving takes more commits than {commits}");
                break;
            }
        }
    }
}

async fn asks(side: Side) {
    let world = World::new().await;
    let ben = world.person("ben").await;
    for commits in 0.. {
        let at = format!("{side:?} at commit {commits}");
        let mut anna = world.person(&format!("anna{commits}")).await;
        anna.settle(LONG).await.unwrap();
        let met = plan(&anna, commits, side);
        until_fault(&met, async {
            let _ = anna.send(&ben.address, "hello").await;
            let _ = anna.settle(LONG).await;
        })
        .await;
        let is_met = recover(&world, &mut anna, side).await;
        say_once(&anna, &ben, "hello").await;
        anna.settle(LONG).await.unwrap();
        ben.accept(&anna).await;
        world.settle(&[&ben, &anna]).await;
        assert_same(&anna, &ben, &["hello".to_owned()], &at);
        if !is_met {
            assert!(commits > 5, "asking takes more commits than {commits}");
            return;
        }
    }
}

/// Somebody who writes first lives through failing commits: one request, one conversation, one message.
#[tokio::test(flavor = "multi_thread")]
async fn c050_asker_lives_through_failing_commits() {
    asks(Side::Fails).await;
}

/// The same, dying before each commit.
#[tokio::test(flavor = "multi_thread")]
async fn c050_asker_dies_before_each_commit() {
    asks(Side::DiesBefore).await;
}

/// The same, dying right after each commit.
#[tokio::test(flavor = "multi_thread")]
async fn c050_asker_dies_after_each_commit() {
    asks(Side::DiesAfter).await;
}

async fn accepts(side: Side) {
    let world = World::new().await;
    let anna = world.person("anna").await;
    for commits in 0.. {
        let at = format!("{side:?} at commit {commits}");
        let mut ben = world.person(&format!("ben{commits}")).await;
        anna.say(&ben, "hello").await;
        anna.settle(LONG).await.unwrap();
        ben.settle(LONG).await.unwrap();
        let met = plan(&ben, commits, side);
        until_fault(&met, async {
            // The driver may have met the fault already.
            for request in ben.requests().unwrap_or_default() {
                let _ = ben.accept_request(request.chat);
            }
            let _ = ben.send(&anna.address, "hello anna").await;
            let _ = ben.settle(LONG).await;
        })
        .await;
        let is_met = recover(&world, &mut ben, side).await;
        if !ben.requests().unwrap().is_empty() {
            ben.accept(&anna).await;
        }
        say_once(&ben, &anna, "hello anna").await;
        world.settle(&[&ben, &anna]).await;
        let said = ["hello", "hello anna"].map(str::to_owned);
        assert_same(&anna, &ben, &said, &at);
        if !is_met {
            assert!(commits > 6, "accepting takes more commits than {commits}");
            return;
        }
    }
}

/// Somebody who accepts, joins, commits and answers lives through failing commits.
#[tokio::test(flavor = "multi_thread")]
async fn c050_acceptor_lives_through_failing_commits() {
    accepts(Side::Fails).await;
}

/// The same, dying before each commit.
#[tokio::test(flavor = "multi_thread")]
async fn c050_acceptor_dies_before_each_commit() {
    accepts(Side::DiesBefore).await;
}

/// The same, dying right after each commit.
#[tokio::test(flavor = "multi_thread")]
async fn c050_acceptor_dies_after_each_commit() {
    accepts(Side::DiesAfter).await;
}

/// A registration cut at every commit ends as one account that others can write to.
#[tokio::test(flavor = "multi_thread")]
async fn c050_registration_dies_at_each_commit() {
    for side in [Side::Fails, Side::DiesBefore, Side::DiesAfter] {
        for commits in 0.. {
            let world = World::new().await;
            let anna = world.person("anna").await;
            let mut ben = Person::new(&world, "ben");
            let _ = plan(&ben, commits, side);
            let is_met = registers(&world, &mut ben, side).await;
            ben.restart(world.transport()).await;
            ben.settle(LONG).await.unwrap();
            anna.say(&ben, "hello").await;
            anna.settle(LONG).await.unwrap();
            ben.accept(&anna).await;
            world.settle(&[&ben, &anna]).await;
            let at = format!("{side:?} at commit {commits}");
            assert_same(&anna, &ben, &["hello".to_owned()], &at);
            if !is_met {
                assert!(commits > 3, "registering takes more commits than {commits}");
                break;
            }
        }
    }
}

/// Registers as often as it takes; whether the fault was met.
async fn registers(world: &World, ben: &mut Person, side: Side) -> bool {
    let transport = world.transport();
    let at = world.server().server_address();
    let mut codes = 0;
    while !ben.is_registered() {
        let identifier = ben.address.parse().unwrap();
        let started = ben.register_start_over(transport.as_ref(), &at, &identifier, None, "ben");
        if started.await.is_ok() {
            let code = world.server().next_code().await.unwrap().code;
            let _ = ben.register_confirm_over(transport.as_ref(), &code).await;
        }
        codes += 1;
        assert!(codes < 4, "it does not end");
        if !ben.is_registered() && side != Side::Fails {
            ben.die().await;
            ben.wake_up();
        }
        world.clock.pass(DAY_MS / 24 / 20);
    }
    ben.engine().store.fault.end()
}

/// What a full or read-only disk says.
fn is_told(result: &Result<impl std::fmt::Debug, ClientError>, words: &str) {
    let text = match result {
        Err(ClientError::Store(text)) => text.clone(),
        other => panic!("{other:?}"),
    };
    assert!(text.contains(words), "{text}");
}

/// A disk that is full, then has room again: told in words, nothing lost and nothing twice, without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn full_disk_is_told_and_lived_through() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    for person in [&anna, &ben] {
        person.engine().store.limit_pages(Some(0));
    }
    let long = "x".repeat(60_000);
    is_told(&anna.send(&ben.address, &long).await, "disk is full");
    anna.engine().store.limit_pages(None);
    assert_eq!(anna.texts(&ben), ["hello"], "what failed left nothing");
    let mut said = vec!["hello".to_owned()];
    for number in 0..5 {
        said.push(format!("{number} {long}"));
        anna.say(&ben, said.last().unwrap()).await;
    }
    anna.settle(LONG).await.unwrap();
    is_told(&ben.settle(LONG).await, "disk is full");
    assert!(ben.is_warned("disk is full"));
    ben.engine().store.limit_pages(None);
    world.settle(&[&ben, &anna]).await;
    assert_same(&anna, &ben, &said, "after the disk was full");
}

/// A disk that turned read-only, then is writable again.
#[tokio::test(flavor = "multi_thread")]
async fn read_only_disk_is_told_and_lived_through() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    anna.engine().store.set_read_only(true);
    is_told(&anna.send(&ben.address, "no").await, "read-only");
    ben.say(&anna, "are you there?").await;
    ben.settle(LONG).await.unwrap();
    is_told(&anna.settle(LONG).await, "read-only");
    assert_eq!(anna.texts(&ben), ["hello"]);
    anna.engine().store.set_read_only(false);
    world.settle(&[&anna, &ben]).await;
    let said = ["hello", "are you there?"].map(str::to_owned);
    assert_same(&anna, &ben, &said, "writable again");
}

/// A statement fails in the middle of a step, at many places of receiving, joining in a commit and sending:
/// the step is rolled back whole, and nobody is blamed for what the disk did.
#[tokio::test(flavor = "multi_thread")]
async fn c050_statement_that_fails_takes_its_step_with_it() {
    let world = World::new().await;
    let (anna, mut ben) = world.friends().await;
    let mut said = vec!["hello".to_owned()];
    for number in 1.. {
        let steps = number * 397;
        ben.die().await;
        owe_update(&anna, true);
        said.push(format!("to ben {number}"));
        anna.say(&ben, said.last().unwrap()).await;
        anna.settle(LONG).await.unwrap();
        ben.wake_up();
        said.push(format!("to anna {number}"));
        ben.say(&anna, said.last().unwrap()).await;
        let met = ben.engine().store.interrupt_after(steps);
        ben.go_online_over(world.transport());
        let _ = ben.settle(LONG).await;
        ben.engine().store.interrupt_no_more();
        world.settle(&[&ben, &anna]).await;
        assert_same(&anna, &ben, &said, &format!("after {steps} steps"));
        if !met.load(std::sync::atomic::Ordering::SeqCst) {
            assert!(number > 5, "this takes more than {steps} steps");
            return;
        }
    }
}
