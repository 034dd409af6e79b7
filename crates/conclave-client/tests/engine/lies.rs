//! A server that lies: about logs, key packages and passes. Nothing it invents is believed.
//!
//! | the lie | shown by |
//! |---|---|
//! | wrong log | [`c027_page_of_another_log_is_refused`] |
//! | shorter log, lower head, older epoch | [`c027_lower_head_pauses_the_chat`], [`c027_head_of_an_older_epoch_pauses_the_chat`], `lies_flood`: `c027_backup_put_back_unnoticed_is_an_alarm_on_both_sides` |
//! | log that is unknown all at once | `lies_flood`: `c084_log_that_is_unknown_all_at_once_is_an_alarm` |
//! | changed, repeated, reordered, missing entry | [`c025_changed_payload_pauses_the_chat`], [`c027_entries_that_do_not_follow_each_other_are_refused`], [`c027_accepted_message_that_is_not_in_the_log_pauses_the_chat`] |
//! | dropped entry | [`c026_expired_entry_is_a_gap`], [`c026_expired_entry_with_a_wrong_hash_pauses_the_chat`] |
//! | two signed heads, kept as proof | [`c027_another_hash_pauses_the_chat`], `lies_flood`: `c027_proof_holds_two_heads_that_the_server_signed`, `c025_proof_of_a_changed_payload_holds_the_entries` |
//! | other registered key or head for a bundle | `lies_flood`: `c023_other_key_or_head_than_signed_is_not_followed` |
//! | welcome blob swapped | `lies_account`: `c039_swapped_welcome_is_given_up_and_told` |
//! | key package of somebody else, damaged, missing, twice | [`c017_key_package_of_somebody_else_is_refused`], [`c017_damaged_or_missing_key_packages_fail_the_message`], `lies_account`: `c083_claim_with_one_device_twice_invites_it_once` |
//! | account state rolled back, forked, with a gap, under another key | `lies_account`: `c016_state_that_goes_back_is_ignored`, `c016_forked_state_stops_until_the_person_decides`, `c015_states_with_a_gap_change_nothing`, `c082_lookup_that_leads_back_lifts_the_stop` |
//! | lookup that leads to somebody else | `lies_account`: `lookup_that_leads_to_somebody_else_is_refused`, `lie_about_one_asker_leaves_the_inbox_moving` |
//! | pass that differs per person | [`c041_pass_that_the_hello_does_not_show_is_refused`], [`c041_pass_that_marks_one_connection_is_refused`] |
//! | endless paging | `lies_flood`: `c083_endless_log_leaves_the_others_alone`, `c083_endless_inbox_leaves_the_others_alone` |
//! | reply to a question nobody asked, of another kind, twice | `tests/transport/memory.rs`: `unasked_replies_close_the_connection`; `lies_flood`: `reply_of_another_kind_changes_nothing`, `pushes_about_nothing_change_nothing` |
//! | absurd sizes and times | `lies_flood`: `c083_pages_over_their_limit_are_refused`, `lies_about_time_are_told_and_change_nothing` |
//! | refusals without end | [`refusing_server_is_not_hammered`], `lies_account`: `limited_lookup_is_tried_again_soon` |

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use conclave_client::view::{ChatState, MessageState};
use conclave_client::{ClientError, Event};
use conclave_proto::frame::reply;
use conclave_proto::frame::request::Body;
use conclave_proto::hello::Role;
use conclave_proto::key_package::ClaimedKeyPackages;
use conclave_proto::label;
use conclave_proto::log::{Appended, LogPage};
use conclave_proto::{ErrorCode, Refusal};

use crate::support::tamper::{Fate, Road, Tamper};
use crate::support::{LONG, Person, World, next_event};

type Lie = fn(&mut LogPage);
type Loss = fn(&mut ClaimedKeyPackages);

/// Anna was away while ben wrote "one" and "two".
async fn ben_wrote() -> (World, Person, Person) {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    anna.die().await;
    ben.say(&anna, "one").await;
    ben.say(&anna, "two").await;
    ben.settle(LONG).await.unwrap();
    (world, anna, ben)
}

fn lying(world: &World, lie: Lie) -> Arc<Road> {
    let tamper = Tamper::new(world, move |_, call| match call {
        Body::ReadLog(_) => Fate::Lie(Box::new(lie)),
        _ => Fate::Pass,
    });
    Arc::new(Road(tamper))
}

/// Pages that are not an answer at all: the connection is refused, nothing changes, and the truth is still
/// taken from an honest server.
async fn is_refused(what: &str, fate: impl Fn() -> Fate + Send + Sync + 'static) {
    let (world, mut anna, ben) = ben_wrote().await;
    let tamper = Tamper::new(&world, move |_, call| match call {
        Body::ReadLog(_) => fate(),
        _ => Fate::Pass,
    });
    anna.restart(Arc::new(Road(tamper))).await;
    let settled = anna.settle(LONG).await;
    assert!(
        matches!(settled, Err(ClientError::WrongServer(_))),
        "{what}: {settled:?}"
    );
    assert_eq!(anna.texts(&ben), ["hello"], "{what}");
    assert_eq!(anna.chat_state(&ben).0, ChatState::Open, "{what}");
    anna.restart(world.transport()).await;
    world.settle(&[&anna, &ben]).await;
    assert_eq!(anna.texts(&ben), ["hello", "one", "two"], "{what}");
}

/// Signed pages that contradict what was read: the chat is paused, proof is kept, nothing is shown; after the
/// person's word it goes on in a new conversation, with what was not read still open to be sent again.
async fn is_proof(what: &str, lie: Lie) {
    let (world, mut anna, ben) = ben_wrote().await;
    anna.restart(lying(&world, lie)).await;
    anna.settle(LONG).await.unwrap();
    assert_eq!(anna.texts(&ben), ["hello"], "{what}");
    let (state, reason) = anna.chat_state(&ben);
    assert_eq!(state, ChatState::Paused, "{what}");
    assert!(reason.contains("contradicts"), "{what}: {reason}");
    assert!(anna.is_warned("proof of misbehaviour"), "{what}");
    let refused = anna.send(&ben.address, "are you there?").await;
    assert!(matches!(refused, Err(ClientError::NotAllowed(_))), "{what}");

    anna.accept_identity(&ben.address).unwrap();
    anna.restart(world.transport()).await;
    anna.say(&ben, "again").await;
    world.settle(&[&anna, &ben]).await;
    assert!(ben.texts(&anna).contains(&"again".to_owned()), "{what}");
    ben.say(&anna, "I hear you").await;
    world.settle(&[&ben, &anna]).await;
    assert_eq!(anna.texts(&ben).last().unwrap(), "I hear you", "{what}");
    // What anna never confirmed in the old log, ben's device said again.
    let both = [anna.texts(&ben), ben.texts(&anna)];
    for mut texts in both {
        texts.sort();
        assert_eq!(
            texts,
            ["I hear you", "again", "hello", "one", "two"],
            "{what}"
        );
    }
}

/// A head below what this device has read, signed by the server itself.
#[tokio::test(flavor = "multi_thread")]
async fn c027_lower_head_pauses_the_chat() {
    is_proof("lower head", |page| {
        page.entries.clear();
        page.head.as_mut().unwrap().seq = 0;
    })
    .await;
}

/// A head of an epoch that is over.
#[tokio::test(flavor = "multi_thread")]
async fn c027_head_of_an_older_epoch_pauses_the_chat() {
    is_proof("older epoch", |page| page.head.as_mut().unwrap().epoch = 1).await;
}

/// A head with another hash than its entries give.
#[tokio::test(flavor = "multi_thread")]
async fn c027_another_hash_pauses_the_chat() {
    is_proof("another hash", |page| {
        page.head.as_mut().unwrap().hash[0] ^= 1;
    })
    .await;
}

/// A payload that was changed under a true head.
#[tokio::test(flavor = "multi_thread")]
async fn c025_changed_payload_pauses_the_chat() {
    is_proof("changed payload", |page| {
        if let Some(entry) = page.entries.first_mut() {
            entry.payload[100] ^= 1;
        }
    })
    .await;
}

/// Heads without the server's signature, and without any.
#[tokio::test(flavor = "multi_thread")]
async fn c027_unsigned_heads_are_refused() {
    let change = |change: fn(&mut LogPage)| {
        move || {
            Fate::Change(Box::new(move |reply| {
                if let reply::Body::LogPage(page) = reply {
                    change(page);
                }
            }))
        }
    };
    is_refused("no signature", change(|page| page.head_signature.clear())).await;
    is_refused("another", change(|page| page.head_signature[0] ^= 1)).await;
    is_refused("no head", change(|page| page.head = None)).await;
}

fn lie(lie: Lie) -> impl Fn() -> Fate + Send + Sync + 'static {
    move || Fate::Lie(Box::new(lie))
}

/// Entries with a gap, out of order, told twice, of another epoch, of no kind, or beyond the head.
#[tokio::test(flavor = "multi_thread")]
async fn c027_entries_that_do_not_follow_each_other_are_refused() {
    is_refused("gap", lie(|page| drop(page.entries.remove(0)))).await;
    is_refused("order", lie(|page| page.entries.swap(0, 1))).await;
    is_refused(
        "twice",
        lie(|page| page.entries.insert(1, page.entries[0].clone())),
    )
    .await;
    is_refused("other epoch", lie(|page| page.entries[0].epoch += 1)).await;
    is_refused("no kind", lie(|page| page.entries[0].kind = 0)).await;
    is_refused(
        "beyond the head",
        lie(|page| page.head.as_mut().unwrap().seq -= 1),
    )
    .await;
    is_refused("withheld", lie(|page| page.entries.clear())).await;
}

/// A true page of another log, signed for that log, in place of this one's.
#[tokio::test(flavor = "multi_thread")]
async fn c027_page_of_another_log_is_refused() {
    let (world, mut anna, ben) = ben_wrote().await;
    let carl = world.person("carl").await;
    carl.say(&ben, "hello").await;
    carl.settle(LONG).await.unwrap();
    ben.accept(&carl).await;
    let stolen: Arc<Mutex<Option<LogPage>>> = Arc::default();
    let thief = stolen.clone();
    let mut carl = carl;
    let steal = Tamper::new(&world, move |_, call| {
        let stolen = thief.clone();
        match call {
            Body::ReadLog(_) => Fate::Change(Box::new(move |reply| {
                if let reply::Body::LogPage(page) = reply {
                    *stolen.lock().unwrap() = Some(page.clone());
                }
            })),
            _ => Fate::Pass,
        }
    });
    carl.restart(Arc::new(Road(steal))).await;
    carl.settle(LONG).await.unwrap();
    let other = stolen
        .lock()
        .unwrap()
        .clone()
        .expect("a page of another log");
    let tamper = Tamper::new(&world, move |_, call| match call {
        Body::ReadLog(_) => Fate::Answer(reply::Body::LogPage(other.clone())),
        _ => Fate::Pass,
    });
    anna.restart(Arc::new(Road(tamper))).await;
    let settled = anna.settle(LONG).await;
    assert!(
        matches!(settled, Err(ClientError::WrongServer(_))),
        "{settled:?}"
    );
    assert_eq!(anna.texts(&ben), ["hello"]);
    anna.restart(world.transport()).await;
    anna.settle(LONG).await.unwrap();
    assert_eq!(anna.texts(&ben), ["hello", "one", "two"]);
}

fn expire(entry: &mut conclave_proto::log::Entry) {
    entry.expired_hash = label::sha256(&entry.payload).to_vec();
    entry.payload.clear();
}

/// An expired message is a gap that people are told of; the chain closes over it and what follows is read.
#[tokio::test(flavor = "multi_thread")]
async fn c026_expired_entry_is_a_gap() {
    let (world, mut anna, ben) = ben_wrote().await;
    anna.wake_up();
    let mut events = anna.events();
    anna.go_online_over(lying(&world, |page| {
        if page.entries.len() == 2 {
            expire(&mut page.entries[0]);
        }
    }));
    let gap = next_event(&mut events, |event| match event {
        Event::Gap { from, to, .. } => Some((from, to)),
        _ => None,
    })
    .await;
    assert_eq!(gap.0, gap.1);
    anna.settle(LONG).await.unwrap();
    let texts = anna.texts(&ben);
    assert_eq!([&texts[0], &texts[2]], ["hello", "two"]);
    assert!(texts[1].contains("dropped"), "{texts:?}");
    assert_eq!(anna.chat_state(&ben).0, ChatState::Open);
    assert!(
        anna.is_warned("dropped a message"),
        "anna was there in time"
    );
}

/// An own message that the log only knows by its hash was accepted: it is not sent again.
#[tokio::test(flavor = "multi_thread")]
async fn c026_own_expired_entry_was_accepted() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    let tamper = Tamper::new(&world, |_, call| match call {
        Body::ReadLog(_) => Fate::Lie(Box::new(|page| page.entries.iter_mut().for_each(expire))),
        _ => Fate::Pass,
    });
    anna.restart(Arc::new(Road(tamper.clone()))).await;
    anna.settle(LONG).await.unwrap();
    let id = anna.say(&ben, "one").await;
    anna.settle(LONG).await.unwrap();
    assert_eq!(anna.state(id).0, MessageState::Accepted);
    assert_eq!(tamper.appended_to().len(), 1);
    ben.settle(LONG).await.unwrap();
    assert_eq!(ben.texts(&anna), ["hello", "one"]);
}

/// An expired entry under a wrong hash does not close the chain.
#[tokio::test(flavor = "multi_thread")]
async fn c026_expired_entry_with_a_wrong_hash_pauses_the_chat() {
    is_proof("wrong expired hash", |page| {
        if let Some(entry) = page.entries.first_mut() {
            entry.expired_hash = vec![7; 32];
            entry.payload.clear();
        }
    })
    .await;
}

/// A key package of somebody else under the right account: nothing is created or sealed, the message says why.
#[tokio::test(flavor = "multi_thread")]
async fn c017_key_package_of_somebody_else_is_refused() {
    let world = World::new().await;
    let (mut anna, ben) = (world.person("anna").await, world.person("ben").await);
    let carl = world.person("carl").await;
    for person in [&ben, &carl] {
        person.settle(LONG).await.unwrap();
    }
    let claimed: Arc<Mutex<Option<ClaimedKeyPackages>>> = Arc::default();
    // The first claim (for carl) is remembered and given out as the answer to every later one.
    let tamper = Tamper::new(&world, move |_, call| {
        let claimed = claimed.clone();
        match call {
            Body::ClaimKeyPackages(_) => Fate::Change(Box::new(move |reply| {
                if let reply::Body::ClaimedKeyPackages(packages) = reply {
                    let first = claimed
                        .lock()
                        .unwrap()
                        .get_or_insert(packages.clone())
                        .clone();
                    *packages = first;
                }
            })),
            _ => Fate::Pass,
        }
    });
    anna.restart(Arc::new(Road(tamper.clone()))).await;
    anna.say(&carl, "hello").await;
    anna.settle(LONG).await.unwrap();
    let hello = anna.say(&ben, "for ben alone").await;
    anna.settle(LONG).await.unwrap();
    let (state, reason) = anna.state(hello);
    assert_eq!(state, MessageState::Failed);
    assert!(reason.contains("somebody else"), "{reason}");
    let created = tamper.calls().into_iter();
    let created = created.filter(|call| matches!(call, Body::CreateLog(_)));
    assert_eq!(created.count(), 1, "only carl's conversation was created");
}

/// A key package with a changed byte, and none at all: the message fails with the reason.
#[tokio::test(flavor = "multi_thread")]
async fn c017_damaged_or_missing_key_packages_fail_the_message() {
    let change: [(&str, Loss); 2] = [
        ("cannot be invited", |claimed| {
            for package in &mut claimed.packages {
                let last = package.key_package.len() - 1;
                package.key_package[last] ^= 1;
            }
        }),
        ("no device", |claimed| claimed.packages.clear()),
    ];
    for (words, change) in change {
        let world = World::new().await;
        let (mut anna, ben) = (world.person("anna").await, world.person("ben").await);
        let tamper = Tamper::new(&world, move |_, call| match call {
            Body::ClaimKeyPackages(_) => Fate::Change(Box::new(move |reply| {
                if let reply::Body::ClaimedKeyPackages(packages) = reply {
                    change(packages);
                }
            })),
            _ => Fate::Pass,
        });
        anna.restart(Arc::new(Road(tamper))).await;
        let hello = anna.say(&ben, "hello").await;
        anna.settle(LONG).await.unwrap();
        let (state, reason) = anna.state(hello);
        assert_eq!(state, MessageState::Failed, "{words}");
        assert!(reason.contains(words), "{reason}");
    }
}

/// A pass of its own for one account is refused, and no request carries it.
#[tokio::test(flavor = "multi_thread")]
async fn c041_pass_that_the_hello_does_not_show_is_refused() {
    let world = World::new().await;
    let (mut anna, ben) = (world.person("anna").await, world.person("ben").await);
    let tamper = Tamper::new(&world, |_, call| match call {
        Body::FetchStatus(_) => Fate::Change(Box::new(|reply| {
            if let reply::Body::AccountStatus(status) = reply {
                status.pass[0] ^= 1;
            }
        })),
        _ => Fate::Pass,
    });
    anna.restart(Arc::new(Road(tamper.clone()))).await;
    let settled = anna.settle(LONG).await;
    assert!(
        settled
            .unwrap_err()
            .to_string()
            .contains("another member pass")
    );
    assert!(anna.send(&ben.address, "hello").await.is_err());
    assert_eq!(passes_used(&tamper), 0);
}

/// A pass that the account connection and another connection show differently is refused, and not sent there.
#[tokio::test(flavor = "multi_thread")]
async fn c041_pass_that_marks_one_connection_is_refused() {
    let world = World::new().await;
    let (mut anna, ben) = (world.person("anna").await, world.person("ben").await);
    let tamper = Tamper::with_hello(
        &world,
        |_, _| Fate::Pass,
        |role, facts| {
            if role == Role::Directory {
                facts.pass_hash = label::sha256(b"for you alone");
            }
        },
    );
    anna.restart(Arc::new(Road(tamper.clone()))).await;
    let refused = anna.send(&ben.address, "hello").await.unwrap_err();
    assert!(
        refused.to_string().contains("another member pass"),
        "{refused}"
    );
    assert_eq!(passes_used(&tamper), 0);
}

fn passes_used(tamper: &Tamper) -> usize {
    let calls = tamper.calls().into_iter();
    let with_pass = calls.filter(|call| {
        matches!(
            call,
            Body::Lookup(_)
                | Body::FetchStates(_)
                | Body::ClaimKeyPackages(_)
                | Body::CreateLog(_)
                | Body::PostItem(_)
                | Body::FetchBlob(_)
        )
    });
    with_pass.count()
}

/// A server that says yes to every message and keeps none: proof and a paused chat, not the same message for
/// ever; when the person goes on with an honest server it arrives once.
#[tokio::test(flavor = "multi_thread")]
async fn c027_accepted_message_that_is_not_in_the_log_pauses_the_chat() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    let tamper = Tamper::new(&world, |_, call| match call {
        Body::AppendEntry(_) => Fate::Answer(reply::Body::Appended(Appended { seq: 0, day: 0 })),
        _ => Fate::Pass,
    });
    anna.restart(Arc::new(Road(tamper.clone()))).await;
    let id = anna.say(&ben, "one").await;
    anna.settle(LONG).await.unwrap();
    assert_eq!(tamper.appended_to().len(), 1);
    assert_eq!(anna.state(id).0, MessageState::Queued);
    let (state, reason) = anna.chat_state(&ben);
    assert_eq!(state, ChatState::Paused);
    assert!(reason.contains("lost it"), "{reason}");
    assert!(anna.is_warned("proof of misbehaviour"));
    anna.die().await;
    anna.wake_up();
    anna.accept_identity(&ben.address).unwrap();
    anna.restart(world.transport()).await;
    world.settle(&[&anna, &ben]).await;
    assert_eq!(ben.texts(&anna), ["hello", "one"]);
    assert_eq!(anna.texts(&ben), ["hello", "one"]);
}

/// A server that refuses one log for ever is not hammered, and the other chats go on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn refusing_server_is_not_hammered() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    let carl = world.person("carl").await;
    carl.settle(LONG).await.unwrap();
    let honest = Tamper::new(&world, |_, _| Fate::Pass);
    anna.restart(Arc::new(Road(honest.clone()))).await;
    anna.say(&ben, "zero").await;
    anna.settle(LONG).await.unwrap();
    let log_id = honest.appended_to()[0];
    let refused = Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    let tamper = Tamper::new(&world, move |_, call| match call {
        // Every sealed message names its group, which is its log.
        Body::AppendEntry(append)
            if append
                .payload
                .windows(32)
                .any(|part| part == log_id.as_bytes()) =>
        {
            count.fetch_add(1, Ordering::SeqCst);
            let refusal = Refusal::new(ErrorCode::BadRequest, "no");
            Fate::Answer(reply::Body::Refused(refusal))
        }
        _ => Fate::Pass,
    });
    anna.restart(Arc::new(Road(tamper.clone()))).await;
    anna.settle(LONG).await.unwrap();
    let stuck = anna.say(&ben, "one").await;
    let hello = anna.say(&carl, "hello").await;
    let first_refusal = async {
        while refused.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, first_refusal).await.unwrap();
    let state = MessageState::Accepted;
    anna.wait_for(hello, state, LONG).await.unwrap();
    assert_eq!(anna.state(stuck).0, MessageState::Queued);
    let refused = refused.load(Ordering::SeqCst);
    assert!((1..100).contains(&refused), "{refused} times");
    anna.restart(world.transport()).await;
    world.settle(&[&anna, &ben]).await;
    assert_eq!(ben.texts(&anna), ["hello", "zero", "one"]);
}
