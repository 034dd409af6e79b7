//! Devices of one account: letting one in, everything that can go wrong on the way, removing one.

use std::sync::Arc;

use conclave_client::ClientError;
use conclave_client::transport::Transport;
use conclave_client::view::{ChatState, MessageState, Whoami};
use conclave_proto::frame::{Done, reply, request};
use conclave_proto::limits::{DEVICES_MAX, MAILBOX_VALID_MS};
use conclave_proto::mailbox::{ANSWER, BUNDLE, OFFER, PROOF};

use crate::support::tamper::{Fate, Road, Tamper};
use crate::support::{DAY_MS, LONG, Person, World};

/// A code that is surely not `code`.
fn other_than(code: &str) -> &'static str {
    if code == "000000" { "000001" } else { "000000" }
}

/// What a link led to on both sides.
type Linked = (Result<(), ClientError>, Result<Whoami, ClientError>);

/// Links `new` over `new_way`, approved by `old` over `old_way` with the code that `typed` makes of the right one.
async fn link(
    world: &World,
    (old, old_way): (&Person, Arc<dyn Transport>),
    (new, new_way): (&Person, Arc<dyn Transport>),
    typed: impl Fn(&str) -> String,
) -> Linked {
    let address = world.server().server_address();
    let shown = new
        .link_start_over(new_way.as_ref(), &address, "laptop")
        .await
        .unwrap();
    let code = typed(&shown.code);
    let approve = async {
        let approved = old
            .approve_device_over(old_way.as_ref(), &shown.uri, &code)
            .await;
        approved.map(|offer| assert_eq!(offer.name, "laptop"))
    };
    tokio::join!(approve, new.link_finish_over(new_way.as_ref()))
}

fn ids(person: &Person) -> Vec<String> {
    let devices = person.devices().unwrap().into_iter();
    devices.map(|device| device.id.to_string()).collect()
}

/// The new device is the same account with keys of its own, both know both, and both can go online.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_device_joins_the_account() {
    let world = World::new().await;
    let old = world.person("anna").await;
    let new = world.device_of(&old, "laptop").await;
    let (one, two) = (old.whoami().unwrap(), new.whoami().unwrap());
    assert_eq!(one.account_id, two.account_id);
    assert_eq!(one.identifier, two.identifier);
    assert_eq!(one.fingerprint, two.fingerprint);
    assert_ne!(one.device_id, two.device_id);
    world.settle(&[&old, &new]).await;
    assert_eq!(ids(&old), ids(&new));
    let seen = old.find_device("laptop").unwrap();
    assert!(seen.may_certify && !seen.is_this);
    assert_eq!(seen.id, two.device_id);
    assert!(new.find_device("laptop").unwrap().is_this);
    // and the new one lets in a third, which the first learns with its next start
    let third = world.device_of(&new, "phone").await;
    let mut old = old;
    old.restart(world.transport()).await;
    world.settle(&[&old, &new, &third]).await;
    assert_eq!(ids(&old), ids(&third));
    assert_eq!(ids(&old).len(), 3);
}

/// One wrong digit ends the link on both sides, nothing is changed, and a new link works.
#[tokio::test(flavor = "multi_thread")]
async fn c123_wrong_code_ends_the_link() {
    let world = World::new().await;
    let (old, new) = (world.person("anna").await, Person::new(&world, "anna"));
    let way = world.transport();
    let wrong = |code: &str| other_than(code).to_owned();
    let (approved, joined) = link(&world, (&old, way.clone()), (&new, way.clone()), wrong).await;
    assert!(
        matches!(approved, Err(ClientError::NotFound(_))),
        "{approved:?}"
    );
    assert!(
        matches!(joined, Err(ClientError::LinkFailed(_))),
        "{joined:?}"
    );
    assert!(!new.is_registered());
    assert_eq!(ids(&old).len(), 1);
    let (approved, joined) = link(&world, (&old, way.clone()), (&new, way), str::to_owned).await;
    approved.unwrap();
    assert_eq!(joined.unwrap().account_id, old.whoami().unwrap().account_id);
}

/// Somebody else who saw the link, but not the code, answers first: the new device joins nobody.
#[tokio::test(flavor = "multi_thread")]
async fn c123_who_is_first_without_the_code_gets_no_device() {
    let world = World::new().await;
    let (anna, thief) = (world.person("anna").await, world.person("eve").await);
    let (new, way) = (Person::new(&world, "anna"), world.transport());
    let address = world.server().server_address();
    let shown = new
        .link_start_over(way.as_ref(), &address, "")
        .await
        .unwrap();
    let guess = other_than(&shown.code);
    let (stolen, joined) = tokio::join!(
        thief.approve_device_over(way.as_ref(), &shown.uri, guess),
        new.link_finish_over(way.as_ref()),
    );
    assert!(
        matches!(stolen, Err(ClientError::NotFound(_))),
        "{stolen:?}"
    );
    assert!(
        matches!(joined, Err(ClientError::LinkFailed(_))),
        "{joined:?}"
    );
    let late = anna
        .approve_device_over(way.as_ref(), &shown.uri, &shown.code)
        .await;
    assert!(matches!(late, Err(ClientError::NotFound(_))), "{late:?}");
    assert!(!new.is_registered());
    assert_eq!((ids(&anna).len(), ids(&thief).len()), (1, 1));
}

/// A link that was used, is over, is of another server, or is none, is refused; nothing changes.
#[tokio::test(flavor = "multi_thread")]
async fn c120_used_and_foreign_links_are_refused() {
    let world = World::new().await;
    let (old, way) = (world.person("anna").await, world.transport());
    let address = world.server().server_address();
    let new = Person::new(&world, "anna");
    let shown = new
        .link_start_over(way.as_ref(), &address, "")
        .await
        .unwrap();
    let (approved, joined) = tokio::join!(
        old.approve_device_over(way.as_ref(), &shown.uri, &shown.code),
        new.link_finish_over(way.as_ref()),
    );
    approved.unwrap();
    joined.unwrap();
    let again = old
        .approve_device_over(way.as_ref(), &shown.uri, &shown.code)
        .await;
    // it did change something here: the device is in
    let looked = old.link_look_over(way.as_ref(), &shown.uri).await;
    for again in [again, looked] {
        let Err(ClientError::NotFound(text)) = again else {
            panic!("{again:?}")
        };
        assert!(text.contains("has the device already"), "{text}");
    }

    let late = Person::new(&world, "anna");
    let shown = late
        .link_start_over(way.as_ref(), &address, "")
        .await
        .unwrap();
    world.clock.pass(MAILBOX_VALID_MS);
    let over = old
        .approve_device_over(way.as_ref(), &shown.uri, &shown.code)
        .await;
    assert!(matches!(over, Err(ClientError::NotFound(_))), "{over:?}");
    let over = late.link_finish_over(way.as_ref()).await;
    assert!(matches!(over, Err(ClientError::NotFound(_))), "{over:?}");

    let elsewhere = World::new().await;
    let far = Person::new(&elsewhere, "anna");
    let their_way = elsewhere.transport();
    let address = elsewhere.server().server_address();
    let shown = far
        .link_start_over(their_way.as_ref(), &address, "")
        .await
        .unwrap();
    for (uri, code) in [
        (shown.uri.as_str(), shown.code.as_str()),
        ("conclave-link:AAAA", "123456"),
        ("hello", "123456"),
    ] {
        let refused = old.approve_device_over(way.as_ref(), uri, code).await;
        assert!(
            matches!(refused, Err(ClientError::BadInput(_))),
            "{refused:?}"
        );
    }
    assert_eq!(ids(&old).len(), 2);
}

/// Ten devices are let in, the eleventh is not, and says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn c125_eleventh_device_is_refused() {
    let world = World::new().await;
    let old = world.person("anna").await;
    let way = world.transport();
    for _ in 1..DEVICES_MAX {
        let new = Person::new(&world, "anna");
        let (approved, joined) = link(
            &world,
            (&old, way.clone()),
            (&new, way.clone()),
            str::to_owned,
        )
        .await;
        approved.unwrap();
        joined.unwrap();
    }
    let eleventh = Person::new(&world, "anna");
    let address = world.server().server_address();
    let shown = eleventh
        .link_start_over(way.as_ref(), &address, "")
        .await
        .unwrap();
    let refused = old
        .approve_device_over(way.as_ref(), &shown.uri, &shown.code)
        .await;
    assert!(
        matches!(refused, Err(ClientError::NotAllowed(_))),
        "{refused:?}"
    );
    assert_eq!(ids(&old).len(), DEVICES_MAX);
}

/// A transport that changes what one slot holds when it is read.
fn swapping(world: &World, slot: u32, change: fn(&mut [u8])) -> Arc<Tamper> {
    Tamper::new(world, move |_, body| match body {
        request::Body::ReadSlot(read) if read.slot == slot => {
            Fate::Change(Box::new(move |reply| {
                if let reply::Body::SlotBytes(slot) = reply
                    && !slot.bytes.is_empty()
                {
                    change(&mut slot.bytes);
                }
            }))
        }
        _ => Fate::Pass,
    })
}

fn flip(bytes: &mut [u8]) {
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
}

/// A server that changes offer, answer, proof or bundle is found out, and no device comes of it.
#[tokio::test(flavor = "multi_thread")]
async fn c122_server_that_swaps_a_slot_is_found_out() {
    let world = World::new().await;
    let old = world.person("anna").await;
    for slot in [OFFER, ANSWER, PROOF, BUNDLE] {
        let new = Person::new(&world, "anna");
        let way: Arc<dyn Transport> = Arc::new(Road(swapping(&world, slot, flip)));
        let address = world.server().server_address();
        let shown = new
            .link_start_over(way.as_ref(), &address, "")
            .await
            .unwrap();
        let finish = async {
            if matches!(slot, OFFER | PROOF) {
                return; // this side only waits
            }
            let joined = new.link_finish_over(way.as_ref()).await;
            assert!(
                matches!(joined, Err(ClientError::LinkFailed(_))),
                "{slot}: {joined:?}"
            );
        };
        let honest = world.transport();
        let approve = async {
            if slot == PROOF {
                // the new device answers honestly, over its own line
                let proven = new.link_finish_over(honest.as_ref());
                let approved = old.approve_device_over(way.as_ref(), &shown.uri, &shown.code);
                tokio::select! {
                    approved = approved => approved,
                    joined = proven => panic!("{joined:?}"),
                }
            } else {
                old.approve_device_over(way.as_ref(), &shown.uri, &shown.code)
                    .await
            }
        };
        let (approved, ()) = tokio::join!(approve, finish);
        match slot {
            OFFER => assert!(matches!(approved, Err(ClientError::WrongServer(_)))),
            ANSWER => assert!(matches!(approved, Err(ClientError::NotFound(_)))),
            PROOF => assert!(matches!(approved, Err(ClientError::LinkFailed(_)))),
            // listed, and never came: the person takes it away again
            _ => {
                approved.unwrap();
                let listed = old
                    .devices()
                    .unwrap()
                    .into_iter()
                    .find(|device| !device.is_this);
                let way = world.transport();
                old.remove_device_over(way.as_ref(), listed.unwrap().id)
                    .await
                    .unwrap();
            }
        }
        assert!(!new.is_registered(), "{slot}");
        assert_eq!(ids(&old).len(), 1, "{slot}");
    }
}

/// The letting-in side is killed at each of its calls, before and after the server acts: the command run again
/// lets the device in, listed once.
#[tokio::test(flavor = "multi_thread")]
async fn approving_device_dies_at_every_call() {
    for step in 0..7 {
        for after in [false, true] {
            let world = World::new().await;
            let mut old = world.person("anna").await;
            let (new, way) = (Person::new(&world, "anna"), world.transport());
            let address = world.server().server_address();
            let shown = new
                .link_start_over(way.as_ref(), &address, "")
                .await
                .unwrap();
            let deadly = Tamper::dying(&world, step, after);
            let road = Road(deadly.clone());
            let old_side = async {
                let died = {
                    let approve = old.approve_device_over(&road, &shown.uri, &shown.code);
                    tokio::select! {
                        done = approve => { done.unwrap(); false }
                        () = deadly.dead.notified() => true,
                    }
                };
                if died {
                    old.restart(world.transport()).await;
                    let again = old
                        .approve_device_over(way.as_ref(), &shown.uri, &shown.code)
                        .await;
                    // the last call was answered, and the link is used up by then
                    let is_late = step >= 5 && after;
                    assert!(again.is_ok() || is_late, "{step} {after}: {again:?}");
                }
            };
            let ((), joined) = tokio::join!(old_side, new.link_finish_over(way.as_ref()));
            let joined = joined.unwrap();
            assert_eq!(ids(&old).len(), 2, "{step} {after}");
            assert!(ids(&old).contains(&joined.device_id.to_string()));
        }
    }
}

/// The joining side is killed at each of its calls: the command run again goes on with the same link.
#[tokio::test(flavor = "multi_thread")]
async fn joining_device_dies_at_every_call() {
    for step in 0..5 {
        for after in [false, true] {
            let world = World::new().await;
            let old = world.person("anna").await;
            let (mut new, way) = (Person::new(&world, "anna"), world.transport());
            let address = world.server().server_address();
            let shown = new
                .link_start_over(way.as_ref(), &address, "")
                .await
                .unwrap();
            let deadly = Tamper::dying(&world, step, after);
            let road = Road(deadly.clone());
            let new_side = async {
                let died = {
                    let finish = new.link_finish_over(&road);
                    tokio::select! {
                        done = finish => { done.unwrap(); false }
                        () = deadly.dead.notified() => true,
                    }
                };
                if died {
                    new.die().await;
                    new.wake_up();
                    if !new.is_registered() {
                        let again = new
                            .link_start_over(way.as_ref(), &address, "")
                            .await
                            .unwrap();
                        assert_eq!(again.uri, shown.uri);
                        assert_eq!(again.code, shown.code);
                        new.link_finish_over(way.as_ref()).await.unwrap();
                    }
                }
            };
            let approve = old.approve_device_over(way.as_ref(), &shown.uri, &shown.code);
            let (approved, ()) = tokio::join!(approve, new_side);
            approved.unwrap();
            assert_eq!(ids(&new), ids(&old), "{step} {after}");
            new.go_online_over(world.transport());
            new.settle(LONG).await.unwrap();
        }
    }
}

/// A removed device is refused by the server at once, is told, and keeps what it has; removing it again is no
/// matter, and no device removes itself.
#[tokio::test(flavor = "multi_thread")]
async fn c130_removed_device_is_refused_and_told() {
    let world = World::new().await;
    let old = world.person("anna").await;
    let mut new = world.device_of(&old, "laptop").await;
    world.settle(&[&old, &new]).await;
    let way = world.transport();
    let id = new.whoami().unwrap().device_id;
    let own = old.whoami().unwrap().device_id;
    let refused = old.remove_device_over(way.as_ref(), own).await;
    assert!(
        matches!(refused, Err(ClientError::NotAllowed(_))),
        "{refused:?}"
    );
    for _ in 0..2 {
        old.remove_device_over(way.as_ref(), id).await.unwrap();
    }
    assert_eq!(ids(&old).len(), 1);
    // the connection that stands is of no use any more, and neither is a new one
    let told = new.settle(LONG).await;
    assert!(matches!(told, Err(ClientError::Removed)), "{told:?}");
    new.restart(world.transport()).await;
    let told = new.settle(LONG).await;
    assert!(matches!(told, Err(ClientError::Removed)), "{told:?}");
    assert!(new.is_warned("removed from the account"));
    assert!(new.chats().unwrap().is_empty());
}

/// Two devices change the account at once: both changes hold, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn c015_two_devices_change_the_account_at_once() {
    let world = World::new().await;
    let mut old = world.person("anna").await;
    let second = world.device_of(&old, "second").await;
    let third = world.device_of(&old, "third").await;
    let fourth = world.device_of(&old, "fourth").await;
    // the second knows of three devices at most, and removes on that ground
    let way = world.transport();
    let id = |person: &Person| person.whoami().unwrap().device_id;
    let (one, two) = tokio::join!(
        old.remove_device_over(way.as_ref(), id(&third)),
        second.remove_device_over(way.as_ref(), id(&fourth)),
    );
    one.unwrap();
    // not known there before it caught up, or removed: run again it is
    if two.is_err() || ids(&second).contains(&id(&fourth).to_string()) {
        second
            .remove_device_over(way.as_ref(), id(&fourth))
            .await
            .unwrap();
    }
    old.restart(world.transport()).await;
    world.settle(&[&old, &second]).await;
    let mut both = [id(&old).to_string(), id(&second).to_string()];
    both.sort();
    let mut seen = ids(&old);
    seen.sort();
    assert_eq!(seen, both);
}

/// Settles everybody until what is going on between their devices has come to rest.
async fn rest(world: &World, people: &[&Person]) {
    for _ in 0..3 {
        world.settle(people).await;
    }
}

/// Everything said with `other`, once it is known there who that is.
fn said(person: &Person, other: &str) -> Vec<String> {
    let Ok(chat) = person.find_chat(other) else {
        return Vec::new();
    };
    let history = person.history(chat, 1_000).unwrap();
    history.into_iter().map(|message| message.text).collect()
}

/// Three devices of Anna's and two of Ben's: who joins later gets into the conversation, everybody sees each
/// message from then on once and in one order, own ones as own.
#[tokio::test(flavor = "multi_thread")]
async fn every_device_sees_each_message_once_in_one_order() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let anna2 = world.device_of(&anna, "second").await;
    let ben2 = world.device_of(&ben, "phone").await;
    let everybody = [&anna, &ben, &anna2, &ben2];
    rest(&world, &everybody).await;
    let anna3 = world.device_of(&anna2, "third").await;
    let everybody = [&anna, &ben, &anna2, &ben2, &anna3];
    rest(&world, &everybody).await;
    let mut all = Vec::new();
    for (number, person) in everybody.iter().enumerate() {
        let to = if person.address == anna.address {
            &ben
        } else {
            &anna
        };
        all.push(format!("by {number}"));
        person.send(&to.address, &all[number]).await.unwrap();
        rest(&world, &everybody).await;
    }
    for (number, person) in everybody.iter().enumerate() {
        let is_anna = person.address == anna.address;
        let other = if is_anna { &ben.address } else { &anna.address };
        let chat = person.find_chat(other).unwrap();
        let history = person.history(chat, 1_000).unwrap();
        let new: Vec<_> = history
            .iter()
            .filter(|it| it.text.starts_with("by "))
            .collect();
        let texts: Vec<_> = new.iter().map(|it| it.text.clone()).collect();
        assert_eq!(texts, all, "{number}");
        for (by, message) in new.iter().enumerate() {
            let is_own = (everybody[by].address == anna.address) == is_anna;
            assert_eq!(message.own, is_own, "{number} sees {by}");
        }
    }
}

/// What one device decides the others of the account know: names, verified and blocked marks, names of devices.
#[tokio::test(flavor = "multi_thread")]
async fn c126_decisions_reach_every_own_device() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let number = anna.safety(&ben.address).unwrap().number;
    anna.verify(&ben.address, &number).unwrap();
    let anna2 = world.device_of(&anna, "second").await;
    rest(&world, &[&anna, &anna2, &ben]).await;
    let known = |person: &Person| person.contacts().unwrap();
    assert_eq!(known(&anna2), known(&anna));
    assert_eq!(known(&anna2).len(), 1);
    // from the new one to the old one too
    anna2.rename_contact(&ben.address, "Benni").unwrap();
    anna2.set_blocked(&ben.address, true).unwrap();
    let first = anna2.find_device("second").unwrap().id;
    anna2.rename_device(first, "sofa").unwrap();
    rest(&world, &[&anna2, &anna]).await;
    assert_eq!(known(&anna), known(&anna2));
    assert!(known(&anna)[0].blocked);
    assert_eq!(known(&anna)[0].person.name, "Benni");
    assert_eq!(anna.find_device("sofa").unwrap().id, first);
    // and each other's newest word wins on both
    anna.rename_contact(&ben.address, "one").unwrap();
    anna2.rename_contact(&ben.address, "two").unwrap();
    rest(&world, &[&anna, &anna2]).await;
    assert_eq!(known(&anna), known(&anna2));
}

/// A removed device is taken out of the conversations by whoever sees it, and reads nothing that comes after.
#[tokio::test(flavor = "multi_thread")]
async fn c130_removed_device_reads_nothing_any_more() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let mut anna2 = world.device_of(&anna, "second").await;
    rest(&world, &[&anna, &anna2, &ben]).await;
    ben.say(&anna, "to both").await;
    rest(&world, &[&anna, &anna2, &ben]).await;
    assert!(said(&anna2, &ben.address).contains(&"to both".to_owned()));
    anna2.die().await;
    let id = anna.find_device("second").unwrap().id;
    anna.remove_device_over(world.transport().as_ref(), id)
        .await
        .unwrap();
    rest(&world, &[&anna, &ben]).await;
    ben.say(&anna, "to one").await;
    rest(&world, &[&anna, &ben]).await;
    assert!(said(&anna, &ben.address).contains(&"to one".to_owned()));
    anna2.restart(world.transport()).await;
    let told = anna2.settle(LONG).await;
    assert!(matches!(told, Err(ClientError::Removed)), "{told:?}");
    let kept = said(&anna2, &ben.address);
    assert!(kept.contains(&"to both".to_owned()));
    assert!(!kept.contains(&"to one".to_owned()));
}

/// Ben's only device in a chat is removed while it is off, before his other one was let into it. As soon as Anna hears
/// of that the old conversation is over: what nobody confirmed reaches the other device, once, and both talk on.
#[tokio::test(flavor = "multi_thread")]
async fn c156_a_chat_goes_on_without_the_removed_device() {
    let world = World::new().await;
    let (anna, mut ben) = world.friends().await;
    let mut anna2 = world.device_of(&anna, "second").await;
    rest(&world, &[&anna, &anna2, &ben]).await;
    let ben2 = world.silent_device_of(&ben, "second").await;
    let removed = ben.whoami().unwrap().device_id;
    ben.die().await;
    let lost = anna.say(&ben, "into the void").await;
    rest(&world, &[&anna, &anna2]).await;
    assert_eq!(anna.state(lost).0, MessageState::Accepted);
    anna2.die().await;
    ben2.remove_device_over(world.transport().as_ref(), removed)
        .await
        .unwrap();
    ben2.go_online_over(world.transport());
    ben2.say(&anna, "from my new one").await;
    rest(&world, &[&ben2, &anna]).await;
    anna2.restart(world.transport()).await;
    rest(&world, &[&ben2, &anna, &anna2]).await;
    assert!(anna.state(lost).0 >= MessageState::Delivered);
    anna.say(&ben, "so we talk on").await;
    rest(&world, &[&anna, &anna2, &ben2]).await;
    let words = ["from my new one", "into the void", "so we talk on"];
    assert_eq!(said(&ben2, &anna.address), words);
    for device in [&anna, &anna2] {
        let mut all = said(device, &ben.address);
        all.retain(|text| text != "hello");
        assert_eq!(all, words);
    }
}

/// What one device reads is read on the others, and a request is answered once for all.
#[tokio::test(flavor = "multi_thread")]
async fn requests_and_read_marks_reach_every_own_device() {
    let world = World::new().await;
    let (anna, ben) = (world.person("anna").await, world.person("ben").await);
    let anna2 = world.device_of(&anna, "second").await;
    rest(&world, &[&anna, &anna2]).await;
    ben.say(&anna, "hello").await;
    rest(&world, &[&ben, &anna, &anna2]).await;
    assert_eq!(anna2.requests().unwrap().len(), 1);
    anna.accept(&ben).await;
    rest(&world, &[&anna, &anna2, &ben]).await;
    assert!(anna2.requests().unwrap().is_empty());
    ben.say(&anna, "are you there?").await;
    rest(&world, &[&ben, &anna, &anna2]).await;
    assert!(anna2.status().unwrap().unread > 0);
    anna.mark_read(anna.chat_with(&ben)).unwrap();
    rest(&world, &[&anna, &anna2]).await;
    assert_eq!(anna2.status().unwrap().unread, 0);
}

/// What is answered to a group's invitation on one device holds on the other, whether it goes in or not; who left is
/// asked again, on both.
#[tokio::test(flavor = "multi_thread")]
async fn c233_an_invitation_is_answered_once_for_all_devices() {
    let world = World::new().await;
    let (anna, eve) = (world.person("anna").await, world.person("eve").await);
    let anna2 = world.device_of(&anna, "second").await;
    let all = [&eve, &anna, &anna2];
    rest(&world, &all[1..]).await;
    let with = [anna.address.clone()];
    let state = |person: &Person, group: &str| person.group(group).unwrap().chat.state;
    eve.create_group("hikers", &with).await.unwrap();
    eve.create_group("dealers", &with).await.unwrap();
    for round in ["once", "again"] {
        rest(&world, &all).await;
        for device in [&anna, &anna2] {
            assert_eq!(state(device, "hikers"), ChatState::Request, "{round}");
        }
        anna.accept_request(anna.find_chat("hikers").unwrap())
            .unwrap();
        rest(&world, &all).await;
        eve.send("hikers", round).await.unwrap();
        rest(&world, &all).await;
        for device in [&anna, &anna2] {
            assert_eq!(state(device, "hikers"), ChatState::Open, "{round}");
            assert_eq!(said(device, "hikers").last().unwrap(), round);
        }
        if round == "once" {
            anna2.leave_group("hikers").unwrap();
            rest(&world, &all).await;
            eve.add_to_group("hikers", &with).await.unwrap();
        }
    }
    let declined = anna2.find_chat("dealers").unwrap();
    anna2.decline_request(declined).unwrap();
    rest(&world, &all).await;
    for device in [&anna, &anna2] {
        assert!(device.requests().unwrap().is_empty());
        assert_eq!(state(device, "dealers"), ChatState::Declined);
    }
    anna.accept_request(anna.find_chat("dealers").unwrap())
        .unwrap();
    rest(&world, &all).await;
    for device in [&anna, &anna2] {
        assert_eq!(state(device, "dealers"), ChatState::Open);
    }
}

/// A certificate is made anew before it ends, and the other devices follow.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_before_they_end() {
    let mut world = World::new().await;
    let mut old = world.person("anna").await;
    let mut new = world.device_of(&old, "second").await;
    rest(&world, &[&old, &new]).await;
    let ends = |person: &Person| -> Vec<u64> {
        person
            .devices()
            .unwrap()
            .iter()
            .map(|device| device.expires_ms)
            .collect()
    };
    let before = ends(&old);
    new.die().await;
    world.clock.pass(330 * DAY_MS);
    // the server's own certificate is made anew with its start
    world.stop().await;
    world.start().await;
    old.restart(world.transport()).await;
    old.settle(LONG).await.unwrap();
    assert_eq!(ends(&old), before);
    world.clock.pass(15 * DAY_MS);
    old.settle(LONG).await.unwrap();
    new.restart(world.transport()).await;
    rest(&world, &[&new, &old]).await;
    let after = ends(&old);
    assert_eq!(ends(&new), after);
    assert!(
        after
            .iter()
            .zip(&before)
            .all(|(after, before)| after > before)
    );
}

/// A group is on every device of everybody in it, whoever made it and whichever device came later; who leaves
/// with one device is out with all.
#[tokio::test(flavor = "multi_thread")]
async fn groups_reach_every_own_device() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let anna2 = world.device_of(&anna, "second").await;
    let ben2 = world.device_of(&ben, "phone").await;
    rest(&world, &[&anna, &anna2, &ben, &ben2]).await;
    let with = [ben.address.clone()];
    anna.create_group("friends", &with).await.unwrap();
    rest(&world, &[&anna, &anna2, &ben, &ben2]).await;
    ben2.send("friends", "from the phone").await.unwrap();
    let ben3 = world.device_of(&ben2, "third").await;
    let everybody = [&anna, &anna2, &ben, &ben2, &ben3];
    rest(&world, &everybody).await;
    anna2.send("friends", "from the second").await.unwrap();
    rest(&world, &everybody).await;
    let both = ["from the phone", "from the second"];
    for person in &everybody[..4] {
        assert_eq!(said(person, "friends"), both);
    }
    assert_eq!(said(&ben3, "friends"), both[1..]);
    let people = |person: &Person| person.group("friends").unwrap().people.len();
    for person in everybody {
        assert_eq!(people(person), 2);
    }
    ben3.leave_group("friends").unwrap();
    rest(&world, &everybody).await;
    assert_eq!((people(&anna), people(&anna2)), (1, 1));
    anna.send("friends", "alone").await.unwrap();
    rest(&world, &everybody).await;
    for person in [&ben, &ben2, &ben3] {
        assert!(!said(person, "friends").contains(&"alone".to_owned()));
        let written = person.send("friends", "still here").await;
        assert!(
            matches!(written, Err(ClientError::NotAllowed(_))),
            "{written:?}"
        );
    }
}

/// A welcome that shows a device which its account has removed meanwhile is taken, and the device is out.
#[tokio::test(flavor = "multi_thread")]
async fn c180_a_welcome_that_shows_a_removed_device_is_taken() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let with = [ben.address.clone()];
    anna.create_group("hike", &with).await.unwrap();
    rest(&world, &[&anna, &ben]).await;
    let lost = world.device_of(&ben, "lost").await;
    rest(&world, &[&anna, &ben, &lost]).await;
    let new = world.silent_device_of(&anna, "laptop").await;
    rest(&world, &[&anna, &ben, &lost]).await;
    let way = world.transport();
    let id = lost.whoami().unwrap().device_id;
    ben.remove_device_over(way.as_ref(), id).await.unwrap();
    rest(&world, &[&anna, &ben]).await;

    new.go_online_over(world.transport());
    rest(&world, &[&new, &anna, &ben]).await;
    rest(&world, &[&new, &anna, &ben]).await;
    ben.send("hike", "up").await.unwrap();
    rest(&world, &[&ben, &anna, &new]).await;
    let hike = new.find_chat("hike").unwrap();
    let said = new.history(hike, 10).unwrap();
    assert_eq!(said.last().map(|message| message.text.as_str()), Some("up"));
}

/// Ben's phone lets his laptop into a group, and is lost before it told the laptop so: nothing it posts arrives. When the
/// laptop has removed the phone, whoever hears of that puts the laptop in anew, which then knows of the group.
#[tokio::test(flavor = "multi_thread")]
async fn c184_who_was_let_in_by_a_removed_device_is_put_in_anew() {
    let world = World::new().await;
    let (anna, mut ben) = world.friends().await;
    let with = [ben.address.clone()];
    anna.create_group("hike", &with).await.unwrap();
    rest(&world, &[&anna, &ben]).await;
    let phone = ben.whoami().unwrap().device_id;
    let mute = Tamper::new(&world, |_, body| match body {
        request::Body::PostItem(_) => Fate::Answer(reply::Body::Done(Done {})),
        _ => Fate::Pass,
    });
    ben.die().await;
    ben.restart(Arc::new(Road(mute))).await;
    let laptop = world.device_of(&ben, "laptop").await;
    rest(&world, &[&anna, &ben, &laptop]).await;
    assert_eq!(anna.group("hike").unwrap().devices, 3);
    assert!(laptop.find_chat("hike").is_err());
    ben.die().await;

    let way = world.transport();
    laptop
        .remove_device_over(way.as_ref(), phone)
        .await
        .unwrap();
    laptop.say(&anna, "my phone is gone").await;
    rest(&world, &[&laptop, &anna]).await;
    rest(&world, &[&laptop, &anna]).await;
    anna.send("hike", "then by laptop").await.unwrap();
    rest(&world, &[&anna, &laptop]).await;
    assert_eq!(said(&laptop, "hike"), ["then by laptop"]);
    let place = |person: &Person| {
        let group = person.group("hike").unwrap();
        (group.epoch, group.authenticator, group.devices)
    };
    assert_eq!(place(&laptop), place(&anna));
    assert_eq!(place(&anna).2, 2);
}

/// Of the device that should be put in anew no key package can be had: the wish ends, and holds nothing up. That device
/// asks itself when it finds that it is out.
#[tokio::test(flavor = "multi_thread")]
async fn c184_a_device_without_key_packages_holds_nothing_up() {
    let world = World::new().await;
    let (mut anna, mut ben) = world.friends().await;
    let with = [ben.address.clone()];
    anna.create_group("hike", &with).await.unwrap();
    rest(&world, &[&anna, &ben]).await;
    let phone = world.device_of(&ben, "phone").await;
    let tablet = world.device_of(&ben, "tablet").await;
    rest(&world, &[&anna, &ben, &phone, &tablet]).await;
    assert_eq!(anna.group("hike").unwrap().devices, 4);
    let gone = phone.whoami().unwrap().device_id;
    let without = Tamper::new(&world, |_, body| match body {
        request::Body::ClaimKeyPackages(_) => Fate::Change(Box::new(|reply| {
            if let reply::Body::ClaimedKeyPackages(claimed) = reply {
                claimed.packages.clear();
            }
        })),
        _ => Fate::Pass,
    });
    ben.restart(Arc::new(Road(without))).await;
    // nobody else is there to do it
    anna.die().await;
    let way = world.transport();
    ben.remove_device_over(way.as_ref(), gone).await.unwrap();
    ben.settle(LONG).await.unwrap();
    let group = ben.group("hike").unwrap();
    assert_eq!((group.devices, group.waiting.len()), (3, 0));
}
