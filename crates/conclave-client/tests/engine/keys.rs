//! Identity keys that change: under the old one's signature, or without it; and a process that dies meanwhile.

use std::sync::Arc;

use conclave_client::view::{ChatState, GroupRole, MessageState, NoteKind, Trust, TrustMode};
use conclave_client::{ClientError, Event};
use conclave_proto::ErrorCode;
use conclave_proto::Refusal;
use conclave_proto::frame::{reply, request};

use crate::support::tamper::{Fate, Road, Tamper};
use crate::support::{DAY_MS, LONG, Person, World, next_event};

/// Both marked each other verified.
fn verify_each_other(one: &Person, other: &Person) {
    for (one, other) in [(one, other), (other, one)] {
        let number = other.safety(&one.address).unwrap().number;
        one.verify(&other.address, &number).unwrap();
    }
}

fn fingerprint(person: &Person) -> String {
    person.whoami().unwrap().fingerprint
}

/// Each says something and both have it, in one chat, in one order.
async fn talk_on(world: &World, one: &Person, other: &Person, said: &mut Vec<String>) {
    for (from, to) in [(one, other), (other, one)] {
        said.push(format!("{} after {}", from.address, said.len()));
        from.say(to, said.last().unwrap()).await;
        world.settle(&[from, to]).await;
    }
    for (person, peer) in [(one, other), (other, one)] {
        assert_eq!(&person.texts(peer), said);
        assert_eq!(person.chats().unwrap().len(), 1);
    }
}

/// A rotated key is told once and noted until it was seen; the verified mark stays, the safety number is another
/// one, and both talk on in the same conversation.
#[tokio::test(flavor = "multi_thread")]
async fn c138_rotation_is_told_and_both_go_on() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    verify_each_other(&anna, &ben);
    let number = anna.safety(&ben.address).unwrap().number;
    let old = fingerprint(&ben);
    let mut events = anna.events();
    let rotated = ben.rotate_key_over(world.transport().as_ref()).await;
    assert_ne!(rotated.unwrap().fingerprint, old);
    assert_ne!(fingerprint(&ben), old);
    world.settle(&[&ben, &anna]).await;
    next_event(&mut events, |event| {
        matches!(event, Event::Noted { .. }).then_some(())
    })
    .await;
    let noted = anna.unheard_notes(None).unwrap();
    let kinds: Vec<_> = noted.iter().map(|note| note.kind).collect();
    assert_eq!(kinds, [NoteKind::KeyRotated]);
    assert_eq!(noted[0].about.as_ref().unwrap().identifier, ben.address);
    anna.mark_notes_heard(&noted).unwrap();
    assert_eq!(anna.unheard_notes(None).unwrap(), []);
    let safety = anna.safety(&ben.address).unwrap();
    assert_eq!(safety.trust, Trust::Verified);
    assert!(safety.rotated_ms.is_some());
    assert_ne!(safety.number, number);
    assert_eq!(safety.number, ben.safety(&anna.address).unwrap().number);
    assert!(anna.is_warned("signed by the old one"));
    anna.set_trust_mode(TrustMode::Strict).unwrap();
    let mut said = vec!["hello".to_owned()];
    talk_on(&world, &anna, &ben, &mut said).await;
    anna.verify(&ben.address, &safety.number).unwrap();
    assert!(!anna.is_warned("signed by the old one"));
    assert_eq!(anna.safety(&ben.address).unwrap().rotated_ms, None);
    // and again, by the one and by the other
    for person in [&anna, &ben, &ben] {
        let rotated = person.rotate_key_over(world.transport().as_ref()).await;
        rotated.unwrap();
        world.settle(&[person, &anna, &ben]).await;
    }
    talk_on(&world, &anna, &ben, &mut said).await;
}

/// Somebody who was away follows several rotations at once, and a newcomer sees nothing but the newest key.
#[tokio::test(flavor = "multi_thread")]
async fn c136_rotations_are_followed_after_a_pause() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    anna.die().await;
    for _ in 0..3 {
        let rotated = ben.rotate_key_over(world.transport().as_ref()).await;
        rotated.unwrap();
        ben.say(&anna, "still me").await;
        ben.settle(LONG).await.unwrap();
    }
    world.clock.pass(2 * DAY_MS);
    anna.restart(world.transport()).await;
    world.settle(&[&anna, &ben]).await;
    let mut said = ["hello", "still me", "still me", "still me"]
        .map(str::to_owned)
        .to_vec();
    talk_on(&world, &anna, &ben, &mut said).await;
    assert_eq!(anna.safety(&ben.address).unwrap().trust, Trust::Unverified);
    let cleo = world.person("cleo").await;
    cleo.say(&ben, "hello, I am new").await;
    cleo.settle(LONG).await.unwrap();
    ben.accept(&cleo).await;
    world.settle(&[&ben, &cleo]).await;
    assert_eq!(cleo.safety(&ben.address).unwrap().rotated_ms, None);
    assert!(!cleo.is_warned("signed by the old one"));
}

/// A key that nobody signed for stops contacts until they accept it; then the words that waited go out, once.
#[tokio::test(flavor = "multi_thread")]
async fn c137_reset_stops_contacts_until_they_accept() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    verify_each_other(&anna, &ben);
    let account = ben.whoami().unwrap().account_id;
    let reset = ben.reset_key_over(world.transport().as_ref()).await;
    assert_eq!(reset.unwrap().account_id, account);
    ben.say(&anna, "my key was stolen").await;
    world.clock.pass(3_000);
    ben.settle(LONG).await.unwrap();
    anna.settle(LONG).await.unwrap();
    assert_eq!(anna.safety(&ben.address).unwrap().trust, Trust::Changed);
    let refused = anna.send(&ben.address, "is it you?").await;
    assert!(
        matches!(refused, Err(ClientError::IdentityChanged(_))),
        "{refused:?}"
    );
    assert_eq!(anna.texts(&ben), ["hello"]);

    let accepted = anna.accept_identity(&ben.address).unwrap();
    assert_eq!(accepted.trust, Trust::Unverified, "the mark is cleared");
    world.settle(&[&anna, &ben]).await;
    let mut said = ["hello", "my key was stolen"].map(str::to_owned).to_vec();
    talk_on(&world, &anna, &ben, &mut said).await;
}

/// Contacts are stopped by a reset though the person writes to nobody, and though the process died at once after it:
/// they hear of it with the next look at their inbox, on each device.
#[tokio::test(flavor = "multi_thread")]
async fn c137_contacts_are_told_of_a_reset_at_once() {
    let world = World::new().await;
    let (anna, mut ben) = world.friends().await;
    let second = world.device_of(&anna, "laptop").await;
    world.settle(&[&anna, &second, &ben]).await;
    verify_each_other(&anna, &ben);
    let mut events = anna.events();
    let reset = ben.reset_key_over(world.transport().as_ref()).await;
    reset.unwrap();
    ben.die().await;
    ben.restart(world.transport()).await;
    world.clock.pass(3_000);
    ben.settle(LONG).await.unwrap();
    for device in [&anna, &second] {
        device.settle(LONG).await.unwrap();
        assert_eq!(device.safety(&ben.address).unwrap().trust, Trust::Changed);
        let refused = device.send(&ben.address, "a secret").await;
        assert!(
            matches!(refused, Err(ClientError::IdentityChanged(_))),
            "{refused:?}"
        );
    }
    next_event(&mut events, |event| {
        matches!(event, Event::IdentityChanged { .. }).then_some(())
    })
    .await;
    assert_eq!(anna.texts(&ben), ["hello"], "nothing is shown of it");
    assert_eq!(anna.chats().unwrap().len(), 1);
}

/// Who reset their key cannot go on with a group by themselves: no second group is made that splits the others.
#[tokio::test(flavor = "multi_thread")]
async fn c137_reset_owner_does_not_split_a_group() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let who = [anna.address.clone()];
    ben.create_group("friends", &who).await.unwrap();
    world.settle(&[&ben, &anna]).await;
    let before = anna.group("friends").unwrap();
    let reset = ben.reset_key_over(world.transport().as_ref()).await;
    reset.unwrap();
    world.settle(&[&ben, &anna]).await;
    assert!(ben.is_warned("asked to let this device in again"));
    ben.resume_group("friends").unwrap_err();
    world.settle(&[&ben, &anna]).await;
    assert_eq!(anna.groups().unwrap().len(), 1);
    let after = anna.group("friends").unwrap();
    assert_eq!(after.epoch, before.epoch, "nobody was let in");
    assert_eq!(after.people.len(), 2);
}

/// What somebody has of the group "friends".
fn group_texts(person: &Person) -> Vec<String> {
    let chat = person.find_chat("friends").unwrap();
    let history = person.history(chat, 100).unwrap();
    history.into_iter().map(|row| row.text).collect()
}

/// The only owner of a group resets their key. The first who accepts it lets them in again, and they own the group as
/// before; who has not accepted is stopped with their name, and goes on where it stopped once they have. No word that
/// was said after that is lost.
#[tokio::test(flavor = "multi_thread")]
async fn c163_an_owner_with_a_new_key_is_let_in_again() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let carl = world.person("carl").await;
    ben.say(&carl, "hello").await;
    ben.settle(LONG).await.unwrap();
    carl.accept(&ben).await;
    world.settle(&[&carl, &ben]).await;
    let who = [anna.address.clone(), carl.address.clone()];
    ben.create_group("friends", &who).await.unwrap();
    world.settle(&[&ben, &anna, &carl]).await;
    let all = [&ben, &anna, &carl];
    ben.send("friends", "before").await.unwrap();
    world.settle(&all).await;
    ben.reset_key_over(world.transport().as_ref())
        .await
        .unwrap();
    world.settle(&all).await;
    ben.send("friends", "it is me").await.unwrap();
    anna.accept_identity(&ben.address).unwrap();
    world.settle(&all).await;
    world.settle(&[&anna, &ben]).await;
    anna.send("friends", "is it you?").await.unwrap();
    world.settle(&[&anna, &ben]).await;
    for person in [&anna, &ben] {
        let texts = group_texts(person);
        for text in ["it is me", "is it you?"] {
            assert!(texts.iter().any(|said| said == text), "{texts:?}");
        }
    }
    // Carl has not decided: nothing is shown to him, and nothing broke
    carl.settle(LONG).await.unwrap();
    let stopped = carl.group("friends").unwrap().chat;
    assert_eq!(stopped.state, ChatState::Paused);
    assert!(stopped.reason.contains(&ben.address), "{}", stopped.reason);
    assert_eq!(group_texts(&carl), ["before"]);
    let refused = carl.send("friends", "who is there?").await;
    assert!(
        matches!(&refused, Err(ClientError::IdentityChanged(who)) if *who == ben.address),
        "{refused:?}"
    );
    carl.accept_identity(&ben.address).unwrap();
    world.settle(&all).await;
    carl.send("friends", "me too").await.unwrap();
    world.settle(&all).await;
    let logs: Vec<_> = all
        .iter()
        .map(|person| {
            let group = person.group("friends").unwrap();
            assert_eq!(group.chat.state, ChatState::Open);
            assert_eq!(group.people.len(), 3);
            let owner = group.people.iter().find(|one| one.role == GroupRole::Owner);
            assert_eq!(owner.unwrap().person.identifier, ben.address);
            (group.epoch, group.authenticator)
        })
        .collect();
    assert!(logs.iter().all(|stand| *stand == logs[0]));
    assert_eq!(
        group_texts(&carl),
        ["before", "it is me", "is it you?", "me too"]
    );
    assert_eq!(group_texts(&ben).last().unwrap(), "me too");
    assert_eq!(carl.groups().unwrap().len(), 1);
}

/// Somebody's key changes whom this person knows from a group alone. That is not taken in silence, although they never
/// talked: the group stops and says who it is, and goes on when they are accepted, by their account id. A person one
/// talks with can be named so, too.
#[tokio::test(flavor = "multi_thread")]
async fn c163_a_member_who_is_no_contact_is_accepted_by_their_id() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let carl = world.person("carl").await;
    anna.say(&carl, "hello").await;
    anna.settle(LONG).await.unwrap();
    carl.accept(&anna).await;
    let all = [&anna, &ben, &carl];
    world.settle(&all).await;
    let who = [ben.address.clone(), carl.address.clone()];
    anna.create_group("friends", &who).await.unwrap();
    world.settle(&all).await;
    ben.send("friends", "before").await.unwrap();
    world.settle(&all).await;
    ben.reset_key_over(world.transport().as_ref())
        .await
        .unwrap();
    world.settle(&all).await;
    ben.send("friends", "it is me").await.unwrap();
    let id = ben.whoami().unwrap().account_id.to_string();
    anna.accept_identity(&id).unwrap();
    world.settle(&all).await;
    world.settle(&[&anna, &ben]).await;
    assert_eq!(anna.chat_state(&ben).0, ChatState::Open);
    anna.say(&ben, "and to you alone").await;
    world.settle(&all).await;
    carl.settle(LONG).await.unwrap();
    let stopped = carl.group("friends").unwrap().chat;
    assert_eq!(stopped.state, ChatState::Paused);
    assert!(stopped.reason.contains(&id), "{}", stopped.reason);
    assert_eq!(group_texts(&carl), ["before"]);
    assert!(carl.safety(&id).unwrap().trust == Trust::Changed);
    carl.accept_identity(&id).unwrap();
    world.settle(&all).await;
    carl.send("friends", "welcome back").await.unwrap();
    world.settle(&all).await;
    for person in all {
        let texts = group_texts(person);
        assert_eq!(texts[0], "before");
        // Ben's own device says that it was out for a while
        let said = ["it is me", "welcome back"];
        assert!(texts.ends_with(&said.map(str::to_owned)), "{texts:?}");
        assert_eq!(person.group("friends").unwrap().people.len(), 3);
    }
}

/// The process dies when the server has the new key and nobody here knows: the next start goes on with the new one.
#[tokio::test(flavor = "multi_thread")]
async fn c138_lost_answers_leave_one_key() {
    for is_reset in [false, true] {
        let world = World::new().await;
        let (anna, mut ben) = world.friends().await;
        let old = fingerprint(&ben);
        ben.die().await;
        ben.wake_up();
        let tamper = Tamper::new(&world, |_, call| match call {
            request::Body::PutState(_) => Fate::DieAfter,
            _ => Fate::Pass,
        });
        let road = Road(tamper.clone());
        {
            let changed = async {
                if is_reset {
                    ben.reset_key_over(&road).await
                } else {
                    ben.rotate_key_over(&road).await
                }
            };
            tokio::select! {
                changed = changed => panic!("{changed:?}"),
                () = tamper.dead.notified() => {}
            }
        }
        assert_eq!(fingerprint(&ben), old, "nothing was heard");
        ben.restart(world.transport()).await;
        ben.settle(LONG).await.unwrap();
        let new = fingerprint(&ben);
        assert_ne!(new, old);
        if is_reset {
            ben.say(&anna, "a new key").await;
            world.clock.pass(3_000);
            ben.settle(LONG).await.unwrap();
            anna.settle(LONG).await.unwrap();
            anna.accept_identity(&ben.address).unwrap();
        }
        world.settle(&[&ben, &anna]).await;
        let mut said = anna.texts(&ben);
        talk_on(&world, &anna, &ben, &mut said).await;
        // it can be done again, with the key that it has now
        let again = ben.rotate_key_over(world.transport().as_ref()).await;
        assert_ne!(again.unwrap().fingerprint, new);
    }
}

/// A request that never arrived, or is refused, leaves the old key in use; the same new key is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn c138_refused_changes_leave_the_old_key() {
    let world = World::new().await;
    let (anna, mut ben) = world.friends().await;
    let old = fingerprint(&ben);
    let busy = || Refusal::new(ErrorCode::Busy, "later").retry_after_ms(1);
    let tamper = Tamper::new(&world, move |_, call| match call {
        request::Body::PutState(_) => Fate::Answer(reply::Body::Refused(busy())),
        _ => Fate::Pass,
    });
    ben.restart(Arc::new(Road(tamper.clone()))).await;
    let refused = ben.rotate_key_over(&Road(tamper.clone())).await;
    assert!(
        matches!(refused, Err(ClientError::Refused(_))),
        "{refused:?}"
    );
    assert_eq!(fingerprint(&ben), old);
    let mut said = vec!["hello".to_owned()];
    talk_on(&world, &anna, &ben, &mut said).await;
    let rotated = ben.rotate_key_over(world.transport().as_ref()).await;
    let asked = |call: &request::Body| match call {
        request::Body::PutState(put) => Some(
            conclave_proto::account::AccountState::parse(&put.state)
                .unwrap()
                .content
                .identity
                .fingerprint(),
        ),
        _ => None,
    };
    let tried = tamper.calls().iter().find_map(asked).unwrap();
    assert_eq!(
        rotated.unwrap().fingerprint,
        hex::encode(tried.as_bytes()),
        "no key is made in vain"
    );
    world.settle(&[&ben, &anna]).await;
    talk_on(&world, &anna, &ben, &mut said).await;
    let queued = anna.say(&ben, "last").await;
    world.settle(&[&anna, &ben]).await;
    assert!(anna.state(queued).0 >= MessageState::Delivered);
}

/// Other own devices follow a rotation, are told the new key, and can use it; contacts talk on with all of them. A
/// reset leaves one device: the others are out, as any of them may be the thief's.
#[tokio::test(flavor = "multi_thread")]
async fn c138_own_devices_follow_a_rotation() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let second = world.device_of(&anna, "laptop").await;
    world.settle(&[&anna, &second, &ben]).await;
    let old = fingerprint(&anna);
    let rotated = anna.rotate_key_over(world.transport().as_ref()).await;
    let new = rotated.unwrap().fingerprint;
    assert_ne!(new, old);
    world.settle(&[&anna, &second, &ben, &second]).await;
    assert_eq!(fingerprint(&second), new);
    let exported = second.export_key("pass").unwrap();
    let (in_export, is_own) = second.check_exported_key(&exported, "pass").unwrap();
    assert_eq!(
        (in_export, is_own),
        (new.clone(), true),
        "the new key is there"
    );
    // the second device signs with it
    let rotated = second.rotate_key_over(world.transport().as_ref()).await;
    let newest = rotated.unwrap().fingerprint;
    world.settle(&[&second, &anna, &ben, &anna]).await;
    assert_eq!(
        (fingerprint(&anna), fingerprint(&second)),
        (newest.clone(), newest.clone())
    );
    ben.say(&anna, "to all of you").await;
    second.say(&ben, "from the laptop").await;
    anna.say(&ben, "from the first").await;
    world
        .settle(&[&ben, &second, &anna, &ben, &second, &anna])
        .await;
    assert_eq!(ben.texts(&anna).len(), 4);
    assert_eq!(ben.texts(&anna), anna.texts(&ben));
    assert_eq!(ben.safety(&anna.address).unwrap().trust, Trust::Unverified);

    second
        .reset_key_over(world.transport().as_ref())
        .await
        .unwrap();
    assert_eq!(second.devices().unwrap().len(), 1);
    assert_ne!(fingerprint(&second), newest);
    anna.wait_until(|| anna.is_warned("this device was removed"))
        .await;
    assert_eq!(anna.texts(&ben).len(), 4, "what it has stays readable");
}

/// What lets a new device into the conversations was signed before the identity key was replaced, by a device that
/// is one still: the new device takes it though it knows the new key already, and misses no conversation.
#[tokio::test(flavor = "multi_thread")]
async fn c128_a_rotation_does_not_lock_a_new_device_out() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let with = [ben.address.clone()];
    anna.create_group("hike", &with).await.unwrap();
    world.settle(&[&anna, &ben]).await;
    let new = world.silent_device_of(&anna, "laptop").await;
    world.settle(&[&anna, &ben]).await;
    anna.rotate_key().await.unwrap();
    world.settle(&[&anna, &ben]).await;

    new.go_online_over(world.transport());
    for _ in 0..2 {
        world.settle(&[&new, &anna, &ben]).await;
    }
    ben.send("hike", "up").await.unwrap();
    ben.say(&anna, "and down").await;
    world.settle(&[&ben, &anna, &new]).await;
    assert_eq!(new.texts(&ben), ["and down"]);
    let hike = new.find_chat("hike").unwrap();
    let said = new.history(hike, 10).unwrap();
    assert_eq!(said.last().unwrap().text, "up");
    assert_eq!(fingerprint(&new), fingerprint(&anna));
}
