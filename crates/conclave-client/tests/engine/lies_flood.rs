//! A server that floods, never ends, answers nonsense or forgets: nobody else waits for it, nothing is lost.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use conclave_client::ClientError;
use conclave_client::transport::Push;
use conclave_client::view::{ChatState, MessageState};
use conclave_proto::account::{AccountStates, verify_ed25519};
use conclave_proto::codec;
use conclave_proto::frame::request::Body;
use conclave_proto::frame::{Done, reply};
use conclave_proto::hello::Role;
use conclave_proto::id::{Epoch, Hash32, LogId, Seq};
use conclave_proto::inbox::{InboxItem, InboxPage};
use conclave_proto::log::{
    CommitEntry, Entry, EntryKind, LogPage, LogPush, SignalPush, chain_next, head_signing_input,
};

use crate::support::tamper::{Fate, Road, Tamper};
use crate::support::{LONG, Person, World};

/// A log that never ends: each page has one more entry and promises another. Another chat goes on meanwhile;
/// the lie is found when an honest head is shown, and the person decides.
#[tokio::test(flavor = "multi_thread")]
async fn c083_endless_log_leaves_the_others_alone() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    let carl = world.person("carl").await;
    anna.say(&carl, "hello").await;
    anna.settle(LONG).await.unwrap();
    carl.accept(&anna).await;
    world.settle(&[&carl, &anna, &ben]).await;
    let honest = Tamper::new(&world, |_, _| Fate::Pass);
    anna.restart(Arc::new(Road(honest.clone()))).await;
    anna.say(&ben, "zero").await;
    world.settle(&[&anna, &ben]).await;
    let victim = honest.appended_to()[0];
    anna.die().await;
    let pages = Arc::<AtomicUsize>::default();
    let count = pages.clone();
    let handles: Arc<Mutex<Vec<u32>>> = Arc::default();
    let tamper = Tamper::new(&world, move |_, call| match call {
        Body::OpenLogs(open) => {
            let is_victim = open.logs[0].log_id == victim.to_vec();
            let handles = handles.clone();
            Fate::Change(Box::new(move |reply| {
                if let (true, reply::Body::OpenedLogs(opened)) = (is_victim, reply) {
                    handles.lock().unwrap().push(opened.logs[0].handle);
                }
            }))
        }
        Body::ReadLog(read) if handles.lock().unwrap().contains(&read.handle) => {
            count.fetch_add(1, Ordering::SeqCst);
            let after = read.after;
            Fate::Lie(Box::new(move |page| one_more(page, after)))
        }
        _ => Fate::Pass,
    });
    anna.wake_up();
    anna.go_online_over(Arc::new(Road(tamper)));
    let while_flooded = async {
        // The victim's log is far from its end, and the other chat works in both directions.
        while pages.load(Ordering::SeqCst) < 100 {
            tokio::task::yield_now().await;
        }
        let id = anna.say(&carl, "are you there?").await;
        anna.wait_for(id, MessageState::Accepted, LONG)
            .await
            .unwrap();
        carl.settle(LONG).await.unwrap();
        carl.say(&anna, "yes").await;
        carl.settle(LONG).await.unwrap();
        while anna.texts(&carl).last().unwrap() != "yes" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, while_flooded)
        .await
        .expect("not starved");
    anna.restart(world.transport()).await;
    anna.settle(LONG).await.unwrap();
    assert!(anna.is_warned("proof of misbehaviour"));
    anna.accept_identity(&ben.address).unwrap();
    anna.say(&ben, "again").await;
    world.settle(&[&anna, &ben]).await;
    assert_eq!(ben.texts(&anna).last().unwrap(), "again");
}

fn one_more(page: &mut LogPage, after: u64) {
    let head = page.head.as_mut().unwrap();
    head.seq = after + 1_000;
    page.entries = vec![Entry {
        seq: after + 1,
        epoch: head.epoch,
        kind: EntryKind::Message.into(),
        payload: after.to_be_bytes().to_vec(),
        day: 20_000,
        expired_hash: Vec::new(),
    }];
}

/// An inbox that never ends: messages go out and come in all the same.
#[tokio::test(flavor = "multi_thread")]
async fn c083_endless_inbox_leaves_the_others_alone() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    let pages = Arc::<AtomicUsize>::default();
    let count = pages.clone();
    let tamper = Tamper::new(&world, move |_, call| match call {
        Body::ReadInbox(read) => {
            count.fetch_add(1, Ordering::SeqCst);
            let items = vec![InboxItem {
                number: read.after + 1,
                item: vec![7; 16 * 1024],
            }];
            Fate::Answer(reply::Body::InboxPage(InboxPage { items, more: true }))
        }
        _ => Fate::Pass,
    });
    anna.restart(Arc::new(Road(tamper))).await;
    let id = anna.say(&ben, "through the flood").await;
    anna.wait_for(id, MessageState::Accepted, LONG)
        .await
        .unwrap();
    ben.settle(LONG).await.unwrap();
    assert_eq!(ben.texts(&anna), ["hello", "through the flood"]);
    assert!(pages.load(Ordering::SeqCst) > 1);
    anna.restart(world.transport()).await;
    world.settle(&[&ben, &anna]).await;
}

/// Pages over their limits are no answer: refused at once, whatever they hold, and the truth is taken later.
#[tokio::test(flavor = "multi_thread")]
async fn c083_pages_over_their_limit_are_refused() {
    let long_log = |call: &Body| match call {
        Body::ReadLog(_) => Fate::Change(Box::new(|reply| {
            if let reply::Body::LogPage(page) = reply {
                page.entries = vec![Entry::default(); 100_000];
            }
        })),
        _ => Fate::Pass,
    };
    let long_inbox = |call: &Body| match call {
        Body::ReadInbox(_) => {
            let item = |number| InboxItem {
                number,
                item: Vec::new(),
            };
            let items = (1..100_000).map(item).collect();
            Fate::Answer(reply::Body::InboxPage(InboxPage { items, more: true }))
        }
        _ => Fate::Pass,
    };
    let lies: [fn(&Body) -> Fate; 2] = [long_log, long_inbox];
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    for lie in lies {
        anna.restart(Arc::new(Road(Tamper::new(&world, move |_, call| {
            lie(call)
        }))))
        .await;
        let settled = anna.settle(LONG).await;
        assert!(
            matches!(settled, Err(ClientError::WrongServer(_))),
            "{settled:?}"
        );
        anna.restart(world.transport()).await;
        anna.say(&ben, "on").await;
        world.settle(&[&anna, &ben]).await;
    }
    assert_eq!(ben.texts(&anna), ["hello", "on", "on"]);
}

/// A reply of another kind, once at every second call of a first contact: the connection is refused, the question is
/// asked again, and everything ends as if it had not been.
#[tokio::test(flavor = "multi_thread")]
async fn reply_of_another_kind_changes_nothing() {
    let world = World::new().await;
    let ben = world.person("ben").await;
    for wrong in (0..).step_by(2) {
        let mut anna = world.person(&format!("anna{wrong}")).await;
        let count = Arc::<AtomicUsize>::default();
        let counted = count.clone();
        let tamper = Tamper::new(&world, move |_, call| {
            if counted.fetch_add(1, Ordering::SeqCst) != wrong {
                return Fate::Pass;
            }
            Fate::Answer(match call {
                Body::Lookup(_) | Body::ReadLog(_) | Body::AppendEntry(_) | Body::OpenLogs(_) => {
                    reply::Body::Done(Done {})
                }
                _ => reply::Body::AccountStates(AccountStates::default()),
            })
        });
        anna.restart(Arc::new(Road(tamper))).await;
        let mut tries = 0..3;
        while anna.send(&ben.address, "hello").await.is_err() {
            tries.next().expect("the server lies once");
        }
        // The first answer may still be about the lie.
        let _ = anna.settle(LONG).await;
        anna.settle(LONG).await.unwrap();
        ben.accept(&anna).await;
        world.settle(&[&ben, &anna]).await;
        assert_eq!(ben.texts(&anna), ["hello"], "call {wrong}");
        assert_eq!(anna.texts(&ben), ["hello"], "call {wrong}");
        if count.load(Ordering::SeqCst) <= wrong {
            assert!(wrong > 10, "a first contact has more calls than {wrong}");
            return;
        }
    }
}

/// Pushes about logs that were never opened, signals without end and lost pushes move nothing; a message in
/// their midst arrives.
#[tokio::test(flavor = "multi_thread")]
async fn pushes_about_nothing_change_nothing() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    let tamper = Tamper::new(&world, |_, _| Fate::Pass);
    anna.restart(Arc::new(Road(tamper.clone()))).await;
    anna.settle(LONG).await.unwrap();
    let before = anna.texts(&ben);
    for number in 0..3_000_u32 {
        let handle = number + 1_000_000;
        let push = match number % 3 {
            0 => Push::Log(LogPush {
                handle,
                seq: u64::MAX,
                entry: Some(Entry::default()),
            }),
            1 => Push::Signal(SignalPush {
                handle,
                payload: vec![7; 64],
            }),
            _ => Push::Lost,
        };
        tamper.push(Role::Logs, &push).await;
    }
    assert_eq!(anna.texts(&ben), before);
    ben.say(&anna, "in their midst").await;
    world.settle(&[&ben, &anna]).await;
    assert_eq!(anna.texts(&ben), ["hello", "in their midst"]);
    assert_eq!(anna.chat_state(&ben).0, ChatState::Open);
}

/// A server that says, in the same life of its store, that it does not know a log it has shown: an alarm, not
/// a silent new start; after the person's word everything goes on, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn c084_log_that_is_unknown_all_at_once_is_an_alarm() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    anna.die().await;
    ben.say(&anna, "unread").await;
    ben.settle(LONG).await.unwrap();
    let tamper = Tamper::new(&world, |_, call| match call {
        Body::OpenLogs(_) => Fate::Change(Box::new(|reply| {
            if let reply::Body::OpenedLogs(opened) = reply {
                opened.logs[0].handle = 0;
            }
        })),
        _ => Fate::Pass,
    });
    anna.restart(Arc::new(Road(tamper))).await;
    anna.settle(LONG).await.unwrap();
    let (state, reason) = anna.chat_state(&ben);
    assert_eq!(state, ChatState::Paused);
    assert!(reason.contains("lost a conversation"), "{reason}");
    anna.restart(world.transport()).await;
    anna.accept_identity(&ben.address).unwrap();
    anna.say(&ben, "what happened?").await;
    world.settle(&[&anna, &ben]).await;
    world.settle(&[&ben, &anna]).await;
    for mut texts in [anna.texts(&ben), ben.texts(&anna)] {
        texts.sort();
        assert_eq!(texts, ["hello", "unread", "what happened?"]);
    }
}

/// A backup put back while the server takes itself for the same as before: both sides notice, whether the
/// epoch was gone or only messages; nothing goes on silently, and nothing is lost once the people say so.
#[tokio::test(flavor = "multi_thread")]
async fn c027_backup_put_back_unnoticed_is_an_alarm_on_both_sides() {
    for is_epoch_lost in [false, true] {
        let mut world = World::new().await;
        let (mut anna, mut ben) = world.friends().await;
        anna.die().await;
        ben.die().await;
        let copy = world.backup().await;
        // The server's mark moves at every start: the copy gets today's, as a hot copy of both would have.
        anna.restart(world.transport()).await;
        ben.restart(world.transport()).await;
        world
            .clock
            .pass(if is_epoch_lost { 8 * 86_400_000 } else { 0 });
        anna.say(&ben, "after the copy").await;
        world.settle(&[&anna, &ben]).await;
        anna.die().await;
        ben.die().await;
        world.restore_unnoticed(copy).await;
        for person in [&mut anna, &mut ben] {
            person.restart(world.transport()).await;
            person.settle(LONG).await.unwrap();
        }
        assert_eq!(
            anna.chat_state(&ben).0,
            ChatState::Paused,
            "{is_epoch_lost}"
        );
        assert_eq!(
            ben.chat_state(&anna).0,
            ChatState::Paused,
            "{is_epoch_lost}"
        );
        anna.accept_identity(&ben.address).unwrap();
        ben.accept_identity(&anna.address).unwrap();
        anna.say(&ben, "go on").await;
        world.settle(&[&anna, &ben]).await;
        ben.say(&anna, "yes").await;
        world.settle(&[&ben, &anna]).await;
        for mut texts in [anna.texts(&ben), ben.texts(&anna)] {
            texts.sort();
            let all = ["after the copy", "go on", "hello", "yes"];
            assert_eq!(texts, all, "{is_epoch_lost}");
        }
    }
}

/// Another key registered for the next epoch than the committer signed, or another head: nobody follows it,
/// and both talk on in a successor without losing anything.
#[tokio::test(flavor = "multi_thread")]
async fn c023_other_key_or_head_than_signed_is_not_followed() {
    let other_key: fn(&mut CommitEntry) = |entry| entry.head.next_access_key[0] ^= 1;
    let other_seq: fn(&mut CommitEntry) =
        |entry| entry.head.base_seq = Seq(entry.head.base_seq.0 + 1);
    let other_hash: fn(&mut CommitEntry) = |entry| entry.head.base_hash = Hash32::new([7; 32]);
    for change in [other_key, other_seq, other_hash] {
        let world = World::new().await;
        let (mut anna, ben) = world.friends().await;
        anna.die().await;
        world.clock.pass(8 * 86_400_000);
        ben.say(&anna, "with a new leaf").await;
        ben.settle(LONG).await.unwrap();
        let tamper = Tamper::new(&world, move |_, call| match call {
            Body::ReadLog(_) => Fate::Lie(Box::new(move |page| forge_commit(page, change))),
            _ => Fate::Pass,
        });
        anna.restart(Arc::new(Road(tamper))).await;
        anna.settle(LONG).await.unwrap();
        assert_eq!(anna.texts(&ben), ["hello"]);
        if anna.chat_state(&ben).0 == ChatState::Paused {
            anna.accept_identity(&ben.address).unwrap();
        }
        anna.restart(world.transport()).await;
        anna.say(&ben, "again").await;
        world.settle(&[&anna, &ben]).await;
        world.settle(&[&ben, &anna]).await;
        for mut texts in [anna.texts(&ben), ben.texts(&anna)] {
            texts.sort();
            assert_eq!(texts, ["again", "hello", "with a new leaf"]);
        }
    }
}

/// Changes a commit on a page and makes head and chain look as if it had always been so: the first entry's
/// `base_hash` is the chain before it.
fn forge_commit(page: &mut LogPage, change: fn(&mut CommitEntry)) {
    let Some(first) = page.entries.first_mut() else {
        return;
    };
    if first.kind() != EntryKind::Commit {
        return;
    }
    let mut entry: CommitEntry = codec::parse_exact(&first.payload).unwrap();
    let before = entry.head.base_hash;
    change(&mut entry);
    first.payload = codec::encode(&entry);
    page.entries.truncate(1);
    let entry = &page.entries[0];
    let payload = entry.payload_hash().unwrap();
    let (seq, epoch) = (Seq(entry.seq), Epoch(entry.epoch));
    let hash = chain_next(before, seq, epoch, EntryKind::Commit, payload);
    let head = page.head.as_mut().unwrap();
    (head.seq, head.epoch, head.hash) = (seq.0, epoch.0 + 1, hash.to_vec());
}

/// Two heads that contradict each other are kept so that somebody else can check them: same log, and the
/// server's signature under both.
#[tokio::test(flavor = "multi_thread")]
async fn c027_proof_holds_two_heads_that_the_server_signed() {
    let world = World::new().await;
    let (mut anna, _) = world.friends().await;
    let tamper = Tamper::new(&world, |_, call| match call {
        Body::ReadLog(_) => Fate::Lie(Box::new(|page| {
            page.entries.clear();
            page.head.as_mut().unwrap().seq = 0;
        })),
        _ => Fate::Pass,
    });
    anna.restart(Arc::new(Road(tamper))).await;
    anna.settle(LONG).await.unwrap();
    anna.die().await;
    let proof: Vec<u8> = crate::store::database(anna.folder.path())
        .query_row(
            "SELECT bytes FROM evidence WHERE what LIKE 'two heads%'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let log_id = LogId::parse(&proof[..32]).unwrap();
    let logs = world.transport().connect(Role::Logs).await.unwrap();
    let (server_id, key) = (logs.context().server_id, logs.server_key());
    let signed = |part: &[u8]| {
        let (head, signature) = part.split_at(part.len() - 64);
        let head = codec::parse_exact(head).unwrap();
        let input = head_signing_input(server_id, log_id, &head);
        assert!(verify_ed25519(&key, &input, signature));
        head
    };
    let half = (proof.len() - 32) / 2;
    let (before, after) = (signed(&proof[32..32 + half]), signed(&proof[32 + half..]));
    assert_eq!(before.incarnation, after.incarnation);
    assert!(
        after.seq < before.seq,
        "it went back in one life of its store"
    );
}

/// Entries that do not give the head they came with are kept with it, as the chain sees them.
#[tokio::test(flavor = "multi_thread")]
async fn c025_proof_of_a_changed_payload_holds_the_entries() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    anna.die().await;
    ben.say(&anna, "one").await;
    ben.settle(LONG).await.unwrap();
    let tamper = Tamper::new(&world, |_, call| match call {
        Body::ReadLog(_) => Fate::Lie(Box::new(|page| {
            if let Some(entry) = page.entries.first_mut() {
                entry.payload[100] ^= 1;
            }
        })),
        _ => Fate::Pass,
    });
    anna.restart(Arc::new(Road(tamper))).await;
    anna.settle(LONG).await.unwrap();
    assert!(anna.is_warned("entries of a log that do not give its head"));
}

/// A server whose clock is absurd: told, never trusted; known people talk on, and times stay in bounds.
#[tokio::test(flavor = "multi_thread")]
async fn lies_about_time_are_told_and_change_nothing() {
    for lie_ms in [i64::MAX, i64::MIN, 366 * 86_400_000] {
        let world = World::new().await;
        let (mut anna, ben) = world.friends().await;
        let day: u32 = if lie_ms > 0 { u32::MAX } else { 0 };
        let tamper = Tamper::with_hello(
            &world,
            move |_, call| match call {
                Body::ReadLog(_) => Fate::Change(Box::new(move |reply| {
                    if let reply::Body::LogPage(page) = reply {
                        page.entries.iter_mut().for_each(|entry| entry.day = day);
                    }
                })),
                _ => Fate::Pass,
            },
            move |_, facts| {
                facts.skew_ms = lie_ms;
                facts.time_ms = facts.time_ms.saturating_add_signed(lie_ms);
            },
        );
        ben.say(&anna, "at no time").await;
        anna.restart(Arc::new(Road(tamper))).await;
        world.settle(&[&ben, &anna]).await;
        anna.say(&ben, "never mind").await;
        world.settle(&[&anna, &ben]).await;
        assert!(anna.is_warned("set the clock"));
        assert_eq!(anna.texts(&ben), ["hello", "at no time", "never mind"]);
        assert_eq!(ben.texts(&anna), ["hello", "at no time", "never mind"]);
        assert_eq!(anna.chat_state(&ben).0, ChatState::Open);
        assert_talks(&world, &mut anna, &ben).await;
    }
}

async fn assert_talks(world: &World, anna: &mut Person, ben: &Person) {
    anna.restart(world.transport()).await;
    anna.say(ben, "the truth").await;
    world.settle(&[anna, ben]).await;
    assert_eq!(ben.texts(anna).last().unwrap(), "the truth");
}
