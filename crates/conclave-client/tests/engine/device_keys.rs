//! Device keys that change: in every conversation, for whoever is away meanwhile, and with a process that dies.

use std::sync::Arc;

use conclave_client::ClientError;
use conclave_client::transport::Transport;
use conclave_core::conversation::Conversation;
use conclave_core::key_export::import_pem;
use conclave_proto::account::{AccountState, DeviceCert};
use conclave_proto::env::OsEnv;
use conclave_proto::frame::{reply, request};
use conclave_proto::limits::FORMER_LEAF_KEY_MS;

use crate::support::tamper::{Fate, Road, Tamper};
use crate::support::{DAY_MS, LONG, Person, World};

const GROUP: &str = "friends";

/// Anna, Ben and Carl, who know each other through a group of Anna's.
async fn three(world: &World) -> [Person; 3] {
    let (anna, ben) = world.friends().await;
    let carl = world.person("carl").await;
    anna.say(&carl, "hello").await;
    anna.settle(LONG).await.unwrap();
    carl.accept(&anna).await;
    world.settle(&[&carl, &anna]).await;
    let who = [ben.address.clone(), carl.address.clone()];
    anna.create_group(GROUP, &who).await.unwrap();
    world.settle(&[&anna, &ben, &carl]).await;
    [anna, ben, carl]
}

fn leaf_key(person: &Person) -> [u8; 32] {
    person
        .lend(|outside| outside.own.secret.leaf_key())
        .unwrap()
}

/// How many former keys a device still holds.
fn former(person: &Person) -> usize {
    person.lend(|outside| outside.own.former.len()).unwrap()
}

/// In how many of its conversations its leaf is under its newest key, and in how many it is not.
fn standing(person: &Person) -> (usize, usize) {
    let logs = person.inspect().unwrap();
    let logs: Vec<_> = logs.into_iter().filter(|view| view.is_going).collect();
    let moved = logs.iter().filter(|view| {
        let is_moved = person.lend(|outside| {
            let group = Conversation::load(outside.rows, view.log_id)
                .unwrap()
                .unwrap();
            group.has_newest_key(outside.own)
        });
        is_moved.unwrap()
    });
    let moved = moved.count();
    (moved, logs.len() - moved)
}

/// All stand in the same epoch of the group with the same secrets, and hear each other there.
async fn talk_on(world: &World, people: &[&Person], word: &str) {
    for (number, from) in people.iter().enumerate() {
        let said = format!("{word} {number}");
        from.send(GROUP, &said).await.unwrap();
        world.settle(people).await;
        for person in people {
            let chat = person.find_chat(GROUP).unwrap();
            let history = person.history(chat, 1_000).unwrap();
            let heard = history.iter().filter(|message| message.text == said);
            assert_eq!(heard.count(), 1, "{} hears {said}", person.address);
        }
    }
    let group = |person: &Person| {
        let group = person.group(GROUP).unwrap();
        (group.epoch, group.authenticator)
    };
    for person in people {
        assert_eq!(group(person), group(people[0]));
    }
}

fn is_alarmed(person: &Person) -> bool {
    let warnings = person.status().unwrap().warnings;
    !warnings.is_empty() || !person.unheard_notes(None).unwrap().is_empty()
}

/// A new key is under every leaf of the device at once, with nothing to say; nobody is told, everybody talks on; the
/// old key is wiped after a day, and no certificate lists it after a month.
#[tokio::test(flavor = "multi_thread")]
async fn c187_a_device_key_moves_everywhere() {
    let world = World::new().await;
    let [anna, ben, carl] = three(&world).await;
    let other = world.device_of(&anna, "laptop").await;
    let all = [&anna, &ben, &carl, &other];
    world.settle(&all).await;
    world.settle(&all).await;
    for person in [&ben, &carl] {
        person
            .mark_notes_heard(&person.unheard_notes(None).unwrap())
            .unwrap();
    }
    let (before, going) = (leaf_key(&anna), standing(&anna).0);
    assert_eq!(going, 4, "two people, the group, the own devices");
    let way = world.transport();
    anna.rotate_device_key_over(way.as_ref()).await.unwrap();
    assert_ne!(leaf_key(&anna), before);
    anna.settle(LONG).await.unwrap();
    assert_eq!((standing(&anna), former(&anna)), ((going, 0), 1));
    world.settle(&all).await;
    talk_on(&world, &all, "after").await;
    assert!(!is_alarmed(&ben) && !is_alarmed(&carl));
    assert_eq!(ben.safety(&anna.address).unwrap().rotated_ms, None);
    // whoever comes now adds and is added under the new key
    let dora = world.person("dora").await;
    dora.say(&anna, "hello").await;
    dora.settle(LONG).await.unwrap();
    anna.accept(&dora).await;
    world.settle(&[&anna, &dora]).await;
    anna.add_to_group(GROUP, std::slice::from_ref(&dora.address))
        .await
        .unwrap();
    world.settle(&[&anna, &dora, &ben, &carl, &other]).await;
    talk_on(&world, &[&dora, &anna, &ben, &carl, &other], "with dora").await;
    world.clock.pass(DAY_MS);
    anna.settle(LONG).await.unwrap();
    assert_eq!(former(&anna), 0);
    // its certificate forgets the key, so that nobody takes a leaf under it any more
    let watching = Tamper::new(&world, |_, _| Fate::Pass);
    let mut anna = anna;
    world.clock.pass(FORMER_LEAF_KEY_MS);
    anna.restart(Arc::new(Road(watching.clone()))).await;
    anna.settle(LONG).await.unwrap();
    let listed = watching.calls().into_iter().find_map(|call| match call {
        request::Body::PutState(put) => Some(put.certs),
        _ => None,
    });
    let certs = listed.expect("a state without it").into_iter();
    for cert in certs.map(|cert| DeviceCert::parse(&cert).unwrap()) {
        assert_eq!(cert.leaf_keys(), [cert.content.leaf_key]);
    }
    world.settle(&[&anna, &ben, &carl, &other]).await;
    talk_on(&world, &[&anna, &ben, &carl, &other], "later").await;
}

/// Who was away while keys were replaced, once and again, and while somebody came in under one of them, reads
/// everything and talks on.
#[tokio::test(flavor = "multi_thread")]
async fn c186_who_was_away_follows_all_keys() {
    let world = World::new().await;
    let [anna, mut ben, mut carl] = three(&world).await;
    ben.die().await;
    carl.die().await;
    let way = world.transport();
    for word in ["one", "two", "three"] {
        anna.send(GROUP, word).await.unwrap();
        anna.rotate_device_key_over(way.as_ref()).await.unwrap();
        anna.settle(LONG).await.unwrap();
        world.clock.pass(DAY_MS);
    }
    // only now does Ben's device speak, under a key that it replaced before it read what is new
    ben.wake_up();
    ben.rotate_device_key_over(way.as_ref()).await.unwrap();
    ben.go_online_over(world.transport());
    ben.settle(LONG).await.unwrap();
    carl.restart(world.transport()).await;
    world.settle(&[&anna, &ben, &carl]).await;
    talk_on(&world, &[&anna, &ben, &carl], "back").await;
    for person in [&ben, &carl] {
        let chat = person.find_chat(GROUP).unwrap();
        let texts: Vec<_> = person.history(chat, 100).unwrap();
        let texts: Vec<_> = texts.into_iter().map(|message| message.text).collect();
        assert_eq!(texts[..3], ["one", "two", "three"]);
        assert!(person.status().unwrap().warnings.is_empty());
    }
    // four times in a month, not more: a certificate has no room
    anna.rotate_device_key_over(way.as_ref()).await.unwrap();
    let refused = anna.rotate_device_key_over(way.as_ref()).await;
    assert!(
        matches!(refused, Err(ClientError::NotAllowed(_))),
        "{refused:?}"
    );
    world.settle(&[&anna, &ben, &carl]).await;
    talk_on(&world, &[&anna, &ben, &carl], "again").await;
}

/// The process dies at each of its calls, the command's and the driver's: one key is the device's after it, every leaf
/// gets there, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn c187_replacing_a_device_key_dies_at_every_call() {
    let mut step = 0;
    loop {
        let mut was_alive = false;
        for after in [false, true] {
            let world = World::new().await;
            let (mut anna, ben) = world.friends().await;
            let before = leaf_key(&anna);
            anna.say(&ben, "queued").await;
            anna.die().await;
            anna.wake_up();
            let deadly = Tamper::dying(&world, step, after);
            let road = Arc::new(Road(deadly.clone()));
            let work = async {
                let done = anna.rotate_device_key_over(road.as_ref()).await;
                done.unwrap();
                anna.go_online_over(road.clone() as Arc<dyn Transport>);
                anna.settle(LONG).await.unwrap();
            };
            was_alive |= tokio::select! {
                () = work => true,
                () = deadly.dead.notified() => false,
            };
            anna.restart(world.transport()).await;
            anna.settle(LONG).await.unwrap();
            assert_eq!(standing(&anna).1, 0, "{step} {after}");
            // run again when nothing came of it
            if leaf_key(&anna) == before {
                let again = anna
                    .rotate_device_key_over(world.transport().as_ref())
                    .await;
                again.unwrap();
            }
            world.settle(&[&anna, &ben]).await;
            assert_eq!((standing(&anna).1, former(&anna)), (0, 1), "{step} {after}");
            ben.say(&anna, "and back").await;
            world.settle(&[&ben, &anna]).await;
            for (one, other) in [(&anna, &ben), (&ben, &anna)] {
                assert_eq!(
                    one.texts(other),
                    ["hello", "queued", "and back"],
                    "{step} {after}"
                );
            }
            assert!(!ben.is_warned("key"), "{step} {after}");
        }
        if was_alive {
            break;
        }
        step += 1;
    }
    assert!(step > 8, "{step} calls");
}

/// Whoever has the identity key and lists this device under a key that it does not hold takes nothing over: it is told,
/// and goes on under its own.
#[tokio::test(flavor = "multi_thread")]
async fn c129_this_device_under_a_foreign_key_is_told() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    let (pem, own) = (anna.export_key("a passphrase").unwrap(), leaf_key(&anna));
    let identity = import_pem(&pem, "a passphrase").unwrap();
    let forge = move |states: &mut conclave_proto::account::AccountStates| {
        let newest = AccountState::parse(states.states.last().unwrap()).unwrap();
        let cert = DeviceCert::parse(&states.certs[0]).unwrap();
        let content = &cert.content;
        let foreign = conclave_core::identity::DeviceSecret::generate(&OsEnv);
        let proven = foreign.prove(content.server_id, content.account_id, content.device_id);
        let facts = conclave_core::identity::DeviceFacts {
            server_id: content.server_id,
            account_id: content.account_id,
            generation: content.generation,
            device_id: content.device_id,
            role: content.role,
            not_before_ms: content.not_before_ms,
            not_after_ms: content.not_after_ms,
        };
        let cert = identity.certify_proven(&proven.with_former(&cert.leaf_keys()), &facts);
        let next = identity.next_state(
            &newest,
            std::slice::from_ref(&cert),
            newest.content.issued_ms,
        );
        states.states.push(next.to_bytes());
        states.certs = vec![cert.to_bytes()];
    };
    let forge = Arc::new(forge);
    let tamper = Tamper::new(&world, move |_, call| match call {
        request::Body::FetchStatus(_) => Fate::Change(Box::new(|reply| {
            if let reply::Body::AccountStatus(status) = reply {
                status.state_seq += 1;
            }
        })),
        request::Body::FetchStates(_) => {
            let forge = forge.clone();
            Fate::Change(Box::new(move |reply| {
                if let reply::Body::AccountStates(states) = reply {
                    forge(states);
                }
            }))
        }
        _ => Fate::Pass,
    });
    anna.restart(Arc::new(Road(tamper))).await;
    anna.settle(LONG).await.unwrap();
    assert!(anna.is_warned("under a key that it does not hold"));
    assert_eq!(leaf_key(&anna), own);
    anna.restart(world.transport()).await;
    anna.say(&ben, "still me").await;
    world.settle(&[&anna, &ben]).await;
    assert_eq!(ben.texts(&anna), ["hello", "still me"]);
}
