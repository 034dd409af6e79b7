//! Own devices and servers that break the rules about the own account: judged inside the engine.

use conclave_core::content::{ChatName, ChatSetting, SyncChat, SyncItem};
use conclave_core::conversation::{ConversationKind, Member};
use conclave_core::inbox_item::WelcomePointer;
use conclave_core::sealed_blob;
use conclave_proto::account::{AccountState, AccountStates, DeviceCert};
use conclave_proto::codec;
use conclave_proto::env::OsEnv;
use conclave_proto::hello::Role;
use conclave_proto::id::{AccountId, Day, DeviceId, Epoch, Hash32, LogId, Seq};

use super::groups::{conversation, three};
use super::{LONG, Person, World};
use crate::contact::{Judged, Source, accept_states};
use crate::invite;
use crate::own::{self, Followed};
use crate::own_sync::{self, Pointed};
use crate::settings;
use crate::store::{InvitationRow, Stage, Thing};
use crate::transport::calls;
use crate::view::ChatState;

/// A device of `person`'s account as a member of the own conversation.
fn member(person: &Person) -> Member {
    let me = person.whoami().unwrap();
    let group = person.engine().step(|step| {
        let chat = step.tx.own_chat()?.unwrap();
        step.group(chat.live_log.unwrap())
    });
    let members = group.unwrap().members();
    let found = members.into_iter().find(|it| it.device_id == me.device_id);
    found.expect("this device is in")
}

/// What `person` would say of `other` to its own devices.
fn said(person: &Person, other: AccountId) -> SyncItem {
    let said = person
        .engine()
        .step(|step| own_sync::item(step, Thing::Contact(other)));
    said.unwrap().expect("a contact")
}

fn pin_seq(person: &Person, other: AccountId) -> u64 {
    let contact = person.engine().look(|tx, _| Ok(tx.contact(other)?));
    contact.unwrap().expect("a contact").pin.seq
}

/// Another own device that still speaks of somebody's older state, or shows one that does not verify, takes the
/// newer one away from nobody; its other words count.
#[tokio::test(flavor = "multi_thread")]
async fn c127_older_state_from_an_own_device_changes_no_pin() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let anna2 = world.device_of(&anna, "second").await;
    world.settle(&[&anna, &anna2]).await;
    let bens = ben.whoami().unwrap().account_id;
    let old = said(&anna, bens);
    let ben2 = world.device_of(&ben, "phone").await;
    ben2.settle(LONG).await.unwrap();
    ben.say(&anna, "by a new state").await;
    for _ in 0..2 {
        world.settle(&[&ben, &ben2, &anna, &anna2]).await;
    }
    assert_eq!(pin_seq(&anna, bens), 2);
    let SyncItem::Contact(mut old) = old else {
        panic!("not a contact")
    };
    old.given_name = "Benni".to_owned();
    let by = member(&anna2);
    let apply = |item: &conclave_core::content::SyncContact| {
        let item = SyncItem::Contact(Box::new(item.clone()));
        anna.engine().step(|step| own_sync::apply(step, &by, item))
    };
    apply(&old).unwrap();
    assert_eq!(pin_seq(&anna, bens), 2);
    assert_eq!(anna.contacts().unwrap()[0].person.name, "Benni");
    old.given_name = "forged".to_owned();
    old.states.states[0][40] ^= 1;
    apply(&old).unwrap();
    assert_eq!(anna.contacts().unwrap()[0].person.name, "Benni");
    // and a device that is out of the account has no say, even from inside
    old.states.states[0][40] ^= 1;
    let out = Member {
        device_id: DeviceId::new([9; 16]),
        ..by
    };
    let item = SyncItem::Contact(old);
    let ignored = anna.engine().step(|step| own_sync::apply(step, &out, item));
    ignored.unwrap();
    assert_eq!(anna.contacts().unwrap()[0].person.name, "Benni");
}

/// A device that met somebody before it heard of them from the others asks nobody to forget who they are.
#[tokio::test(flavor = "multi_thread")]
async fn c126_who_knows_less_takes_nothing_away() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let anna2 = world.device_of(&anna, "second").await;
    for _ in 0..2 {
        world.settle(&[&anna, &anna2]).await;
    }
    let bens = ben.whoami().unwrap().account_id;
    let known = anna.contacts().unwrap();
    let SyncItem::Contact(full) = said(&anna, bens) else {
        panic!("not a contact")
    };
    // as it stands after a welcome into their conversation, and nothing else
    let met = anna2.engine().step(|step| {
        let contact = step.tx.contact(bens)?.expect("a contact");
        let met = crate::store::ContactRow {
            identifier: String::new(),
            own_name: String::new(),
            capability: Vec::new(),
            confirmed: false,
            ..contact
        };
        step.tx.put_contact(&met)?;
        assert!(!step.tx.is_sharing(Thing::Contact(bens))?);
        own_sync::item(step, Thing::Contact(bens))
    });
    let by = member(&anna2);
    let item = met.unwrap().expect("a contact");
    let applied = anna.engine().step(|step| own_sync::apply(step, &by, item));
    applied.unwrap();
    assert_eq!(anna.contacts().unwrap(), known);
    let by = member(&anna);
    let item = SyncItem::Contact(full);
    let applied = anna2.engine().step(|step| own_sync::apply(step, &by, item));
    applied.unwrap();
    assert_eq!(anna2.contacts().unwrap(), known);
}

/// A pointer by `from`'s device for `to`'s device.
fn pointer(from: &Person, to: &Person) -> WelcomePointer {
    let me = to.whoami().unwrap();
    let log_id = LogId::new([7; 32]);
    let intro = from
        .engine()
        .step(|step| invite::intro(step, (me.account_id, me.device_id), log_id, None));
    WelcomePointer {
        log_id,
        welcome: sealed_blob::seal(b"welcome", &OsEnv).unwrap().0,
        tree: sealed_blob::seal(b"tree", &OsEnv).unwrap().0,
        epoch: Epoch(1),
        start_seq: Seq(0),
        start_hash: Hash32::new([4; 32]),
        kind: ConversationKind::Own,
        name_bytes: vec![].into(),
        successor_of: None,
        intro: intro.unwrap(),
    }
}

/// What a pointer by `from` is to `to`.
fn pointed(from: &Person, to: &Person) -> Pointed {
    let pointer = pointer(from, to);
    let judged = to.engine().step(|step| {
        let own = &step.own.account.device;
        let day = Day::of_ms(step.now_ms);
        let introduced = pointer.intro.verify(own, pointer.log_id, day).unwrap();
        own_sync::pointed(step, &introduced, &pointer)
    });
    judged.unwrap()
}

/// A device of the account lets others in unasked; one that was removed does not, whatever it signs, and one
/// that a newer state lists sends the judge to that state first.
#[tokio::test(flavor = "multi_thread")]
async fn c128_welcome_by_a_removed_device_is_refused() {
    let world = World::new().await;
    let anna = world.person("anna").await;
    let mut anna2 = world.device_of(&anna, "second").await;
    world.settle(&[&anna, &anna2]).await;
    assert!(matches!(pointed(&anna2, &anna), Pointed::Join(_)));
    anna2.die().await;
    anna2.wake_up();
    let anna3 = world.device_of(&anna, "third").await;
    assert!(matches!(pointed(&anna3, &anna2), Pointed::Newer(3)));
    let removed = anna2.whoami().unwrap().device_id;
    let way = world.transport();
    anna.remove_device_over(way.as_ref(), removed)
        .await
        .unwrap();
    assert!(matches!(pointed(&anna2, &anna), Pointed::Void));
}

/// The state after `person`'s newest one, changed and signed with its own identity key.
fn next(person: &Person, wait_ms: u64, certs: &[DeviceCert]) -> AccountState {
    let next = person.engine().step(|step| {
        let identity = own::identity(step)?;
        Ok(identity.next_state(&step.own.account.state, certs, step.now_ms + wait_ms))
    });
    next.unwrap()
}

fn shown(states: &[&AccountState], certs: &[DeviceCert]) -> AccountStates {
    AccountStates {
        states: states.iter().map(|state| state.to_bytes()).collect(),
        certs: certs.iter().map(DeviceCert::to_bytes).collect(),
        former_certs: vec![],
    }
}

/// Whatever the server shows of the own account: only an unbroken chain by the known key is followed. A gap asks
/// for what is missing; a fork, another account's state, missing certificates and nonsense are told and change
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn c129_own_account_is_followed_like_anybodys() {
    let world = World::new().await;
    let mut anna = world.person("anna").await;
    let ben = world.person("ben").await;
    anna.die().await;
    anna.wake_up();
    let seq = || anna.engine().own().unwrap().account.state.content.seq;
    let look = |states: &AccountStates| own::follow(anna.shared(), states).unwrap();
    let (first, certs) = {
        let engine = anna.engine();
        let own = engine.own().unwrap();
        (own.account.state.clone(), own.account.certs.clone())
    };
    let second = next(&anna, 1, &certs);
    let other_second = next(&anna, 2, &certs);
    let third = anna
        .engine()
        .step(|step| Ok(own::identity(step)?.next_state(&second, &certs, step.now_ms)))
        .unwrap();
    let mut forged = second.clone();
    forged.content.issued_ms += 1;
    assert_eq!(look(&shown(&[&third], &certs)), Followed::Missing(1));
    assert_eq!(look(&shown(&[&second], &[])), Followed::Alarm);
    assert_eq!(look(&shown(&[&forged], &certs)), Followed::Alarm);
    let bens = ben.engine().own().unwrap().account.state.clone();
    assert_eq!(look(&shown(&[&bens], &certs)), Followed::Alarm);
    assert_eq!(seq(), 1);
    assert_eq!(look(&shown(&[&first, &second], &certs)), Followed::Here);
    assert_eq!(seq(), 2);
    assert_eq!(look(&shown(&[&other_second], &certs)), Followed::Alarm);
    assert!(anna.is_warned("two states of this account"));
    assert_eq!(look(&shown(&[&first], &certs)), Followed::Here);
    assert_eq!(seq(), 2);
    let without = next(&anna, 1, &[]);
    assert_eq!(look(&shown(&[&without], &[])), Followed::Removed);
    assert!(anna.is_warned("removed from the account"));
    assert_eq!(seq(), 2);
}

/// An introduction brings the newest state with one device's certificate; the same state, fetched, brings the
/// others, and one that the state does not list brings nothing.
#[tokio::test(flavor = "multi_thread")]
async fn c017_a_known_state_gets_its_other_certificates() {
    let world = World::new().await;
    let (anna, ben) = (world.person("anna").await, world.person("ben").await);
    let laptop = world.device_of(&anna, "laptop").await;
    world.settle(&[&anna, &laptop]).await;
    let (state, certs) = {
        let engine = anna.engine();
        let account = &engine.own().unwrap().account;
        (account.state.clone(), account.certs.clone())
    };
    let foreign = ben.engine().own().unwrap().account.certs.clone();
    let shown = |certs: &[DeviceCert]| AccountStates {
        states: vec![state.to_bytes()],
        certs: certs.iter().map(DeviceCert::to_bytes).collect(),
        former_certs: vec![],
    };
    let account = state.content.account_id;
    let show = |certs: &[DeviceCert]| {
        let known = ben.engine().step(|step| {
            // a foreign certificate may be refused whole
            let _ = accept_states(step, Source::Peer, &shown(certs));
            let contact = step.tx.contact(account)?.unwrap();
            Ok(contact.known().unwrap().certs().len())
        });
        known.unwrap()
    };
    assert_eq!(certs.len(), 2);
    assert_eq!(show(&certs[..1]), 1);
    assert_eq!(show(&foreign), 1);
    assert_eq!(show(&certs), 2);
    assert_eq!(show(&certs[1..]), 2);
}

/// Learns what the server shows of `of`, before anything else is read.
async fn look_at(world: &World, reader: &Person, of: AccountId) {
    let (way, shared) = (world.transport(), reader.shared());
    let account = way.connect(Role::Account).await.unwrap();
    own::authenticate(shared, account.as_ref()).await.unwrap();
    let pass = calls::fetch_status(account.as_ref()).await.unwrap().pass;
    let directory = way.connect(Role::Directory).await.unwrap();
    let states = calls::fetch_states(directory.as_ref(), &pass, of, 1);
    let states = states.await.unwrap();
    let judged = reader
        .engine()
        .step(|step| accept_states(step, Source::Fetched, &states));
    assert!(matches!(judged, Ok(Judged::Accepted(_))));
}

/// Who was away while a device came and went, and knows that it is gone before reading how it came, reads on: nobody is
/// blamed, no new group is made, and the device is out.
#[tokio::test(flavor = "multi_thread")]
async fn c180_who_reads_of_a_removed_device_later_reads_on() {
    let world = World::new().await;
    let (anna, mut ben, carl) = three(&world).await;
    ben.die().await;
    let carl2 = world.device_of(&carl, "lost").await;
    for _ in 0..3 {
        world.settle(&[&carl, &carl2, &anna]).await;
    }
    assert_eq!(carl2.group("friends").unwrap().people.len(), 3);
    let id = carl2.whoami().unwrap().device_id;
    let way = world.transport();
    carl.remove_device_over(way.as_ref(), id).await.unwrap();
    carl.send("friends", "without it").await.unwrap();
    for _ in 0..2 {
        world.settle(&[&carl, &anna]).await;
    }
    let before = conversation(&anna, anna.find_chat("friends").unwrap());

    ben.wake_up();
    look_at(&world, &ben, carl.whoami().unwrap().account_id).await;
    ben.go_online_over(world.transport());
    for _ in 0..2 {
        world.settle(&[&ben, &carl, &anna]).await;
    }
    let after = conversation(&ben, ben.find_chat("friends").unwrap());
    assert_eq!((after.log_id, after.stage), (before.log_id, Stage::Live));
    assert_eq!(ben.status().unwrap().warnings, Vec::<String>::new());
    let epoch = |person: &Person| person.group("friends").unwrap().epoch;
    assert_eq!((epoch(&ben), epoch(&carl)), (epoch(&anna), epoch(&anna)));
    let devices = ben.group("friends").unwrap().people;
    assert!(devices.iter().all(|member| member.devices == 1));
    ben.send("friends", "all here").await.unwrap();
    world.settle(&[&ben, &anna, &carl]).await;
    for person in [&anna, &ben, &carl] {
        let chat = person.find_chat("friends").unwrap();
        let last = person.history(chat, 10).unwrap().pop();
        assert_eq!(last.unwrap().text, "all here");
    }
}

/// A device that hears of somebody's rotated key from another own device moves nobody in a group: their place there
/// follows by itself.
#[tokio::test(flavor = "multi_thread")]
async fn c163_a_rotated_key_told_by_an_own_device_moves_nobody() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let anna2 = world.device_of(&anna, "second").await;
    let with = [ben.address.clone()];
    anna.create_group("friends", &with).await.unwrap();
    for _ in 0..2 {
        world.settle(&[&anna, &anna2, &ben]).await;
    }
    let bens = ben.whoami().unwrap().account_id;
    let old = anna2.safety(&ben.address).unwrap();
    look_at(&world, &anna, bens).await;
    ben.rotate_key_over(world.transport().as_ref())
        .await
        .unwrap();
    look_at(&world, &anna, bens).await;
    let by = member(&anna);
    let item = said(&anna, bens);
    let chat = anna2.find_chat("friends").unwrap();
    let wishes = anna2.engine().step(|step| {
        own_sync::apply(step, &by, item)?;
        Ok(step.tx.intents_of(chat)?.len())
    });
    assert_eq!(wishes.unwrap(), 0);
    assert_ne!(anna2.safety(&ben.address).unwrap().number, old.number);
}

/// An answer to an earlier invitation, one about another conversation, and one by a device that is none of the
/// account's let nobody in; what came before its invitation waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn c233_an_answer_counts_for_its_invitation_alone() {
    let world = World::new().await;
    let (anna, eve) = (world.person("anna").await, world.person("eve").await);
    let anna2 = world.device_of(&anna, "second").await;
    for _ in 0..2 {
        world.settle(&[&anna, &anna2]).await;
    }
    let by = member(&anna);
    let say = |by: &Member, log_id: LogId, seq: u64| {
        let item = SyncItem::Chat(SyncChat {
            chat: ChatName::Of(log_id),
            setting: ChatSetting::Answered {
                accepted: true,
                seq,
            },
        });
        anna2
            .engine()
            .step(|step| own_sync::apply(step, by, item))
            .unwrap();
    };
    eve.create_group("hikers", std::slice::from_ref(&anna.address))
        .await
        .unwrap();
    world.settle(&[&eve, &anna2]).await;
    let chat = anna2.find_chat("hikers").unwrap();
    let still_asks = |why: &str| {
        let state = anna2.chat(chat).unwrap().state;
        assert_eq!(state, ChatState::Request, "{why}");
    };
    still_asks("nobody answered");
    let invitation = anna2
        .engine()
        .step(|step| {
            let row = step.tx.invitations_of(chat)?.pop().expect("an invitation");
            let mut pointer: WelcomePointer = codec::parse_exact(&row.pointer).unwrap();
            // as if they had been in before
            pointer.start_seq = Seq(7);
            step.tx.delete_invitation(row.log_id)?;
            Ok(InvitationRow {
                pointer: codec::encode(&pointer),
                ..row
            })
        })
        .unwrap();
    let log_id = invitation.log_id;
    let arrive = || {
        let arrived = anna2.engine().step(|step| {
            step.tx.put_invitation(&invitation)?;
            settings::tend(step)
        });
        arrived.unwrap();
    };
    say(&by, log_id, 6);
    arrive();
    still_asks("an earlier invitation");
    say(&by, LogId::new([9; 32]), 8);
    still_asks("another conversation");
    let out = Member {
        device_id: DeviceId::new([9; 16]),
        ..by
    };
    say(&out, log_id, 8);
    still_asks("a device of nobody");
    let gone = anna2
        .engine()
        .step(|step| Ok(step.tx.delete_invitation(log_id)?));
    gone.unwrap();
    say(&by, log_id, 7);
    still_asks("its invitation has not come");
    arrive();
    assert_eq!(anna2.chat(chat).unwrap().state, ChatState::Open);
}
