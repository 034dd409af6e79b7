//! Groups as the engine keeps them.

use conclave_core::conversation::ConversationKind;
use conclave_core::sealed_blob;
use conclave_proto::id::{ChatId, Epoch};
use conclave_proto::limits::{JOIN_UPDATE_MS, SELF_UPDATE_MS};

use super::*;
use crate::invite::intro;
use crate::store::IntentKind;

/// Anna's group "friends" with two contacts of hers.
async fn three(world: &World) -> (Person, Person, Person) {
    let anna = world.person("anna").await;
    let (ben, carl) = (world.person("ben").await, world.person("carl").await);
    for other in [&ben, &carl] {
        anna.say(other, "hello").await;
        anna.settle(LONG).await.unwrap();
        other.accept(&anna).await;
        world.settle(&[other, &anna]).await;
    }
    let who = [ben.address.clone(), carl.address.clone()];
    anna.create_group("friends", &who).await.unwrap();
    world.settle(&[&anna, &ben, &carl]).await;
    (anna, ben, carl)
}

/// The newest conversation of a group, live or not.
fn conversation(client: &Client, chat: ChatId) -> ConversationRow {
    let look = client
        .engine()
        .look(|tx, _| Ok(tx.conversations_of(chat)?.pop()));
    look.unwrap().expect("a conversation")
}

/// Who talks in a group shows their name, and nothing that opens their inbox.
#[tokio::test(flavor = "multi_thread")]
async fn c108_groups_learn_names_and_no_capabilities() {
    let world = World::new().await;
    let (anna, ben, carl) = three(&world).await;
    carl.send("friends", "hello all").await.unwrap();
    world.settle(&[&carl, &ben, &anna]).await;
    let carl_id = carl.whoami().unwrap().account_id;
    let known = |client: &Client| client.engine().look(|tx, _| Ok(tx.contact(carl_id)?));
    let of_ben = known(&ben).unwrap().unwrap();
    assert_eq!(
        (of_ben.own_name.as_str(), of_ben.capability.as_slice()),
        ("carl", &[][..])
    );
    let of_anna = known(&anna).unwrap().unwrap();
    assert_eq!(of_anna.capability.len(), 32);
}

/// Who joined updates their leaf at a time of their own within three days, not with everybody else.
#[tokio::test(flavor = "multi_thread")]
async fn c113_joiners_update_at_times_of_their_own() {
    let world = World::new().await;
    let (_anna, ben, carl) = three(&world).await;
    let row = conversation(&ben, ben.find_chat("friends").unwrap());
    let other = conversation(&carl, carl.find_chat("friends").unwrap());
    let now_ms = ben.engine().env.now_ms();
    for row in [&row, &other] {
        assert!(!row.update_due);
        let due_ms = row.updated_ms + SELF_UPDATE_MS;
        assert!(due_ms > now_ms && due_ms < now_ms + JOIN_UPDATE_MS);
    }
    assert_ne!(row.updated_ms / 1_000, other.updated_ms / 1_000);
}

/// A pointer to a group, as `from` would seal it.
fn pointer(from: &Person, to: &Person, log_id: LogId, epoch: u64) -> WelcomePointer {
    let whoami = to.whoami().unwrap();
    let made = from.engine().step(|step| {
        let blob = |bytes: &[u8]| sealed_blob::seal(bytes, step.env).unwrap().0;
        Ok(WelcomePointer {
            log_id,
            welcome: blob(b"welcome"),
            tree: blob(b"tree"),
            epoch: Epoch(epoch),
            start_seq: Seq(0),
            start_hash: Hash32::new([0; 32]),
            successor_of: None,
            kind: ConversationKind::Group,
            name_bytes: vec![].into(),
            intro: intro(step, (whoami.account_id, whoami.device_id), log_id, None)?,
        })
    });
    made.unwrap()
}

/// A welcome shown again leads nowhere: neither who is inside nor who was taken out follows it, and a true one does
/// bring them back.
#[tokio::test(flavor = "multi_thread")]
async fn c110_an_old_welcome_leads_nowhere() {
    let world = World::new().await;
    let (anna, ben, _carl) = three(&world).await;
    let chat = ben.find_chat("friends").unwrap();
    let row = conversation(&ben, chat);
    let beside = live(&anna, &ben).log_id;
    post_item(&anna, beside, &ben, pointer(&anna, &ben, row.log_id, 99));
    world.settle(&[&anna, &ben]).await;
    assert_eq!(ben.chat(chat).unwrap().state, ChatState::Open);
    anna.remove_from_group("friends", &ben.address).unwrap();
    world.settle(&[&anna, &ben]).await;
    let gone = conversation(&ben, chat);
    post_item(
        &anna,
        beside,
        &ben,
        pointer(&anna, &ben, row.log_id, gone.epoch.0),
    );
    world.settle(&[&anna, &ben]).await;
    assert_eq!(ben.chat(chat).unwrap().state, ChatState::Left);
    let who = [ben.address.clone()];
    anna.add_to_group("friends", &who).await.unwrap();
    world.settle(&[&anna, &ben]).await;
    assert_eq!(ben.chat(chat).unwrap().state, ChatState::Open);
}

/// What the person accepted as a group is not joined when it is something else.
#[tokio::test(flavor = "multi_thread")]
async fn c112_what_was_shown_is_what_is_joined() {
    let world = World::new().await;
    let (anna, eve) = (world.person("anna").await, world.person("eve").await);
    let who = [anna.address.clone()];
    eve.create_group("friends", &who).await.unwrap();
    eve.settle(LONG).await.unwrap();
    anna.settle(LONG).await.unwrap();
    let chat = anna.requests().unwrap().remove(0).chat;
    let changed = anna.engine().step(|step| {
        let mut row = step.tx.invitations_of(chat)?.remove(0);
        let mut pointer: WelcomePointer = codec::parse_exact(&row.pointer).unwrap();
        pointer.kind = ConversationKind::Direct;
        pointer.name_bytes = vec![].into();
        row.pointer = codec::encode(&pointer);
        step.tx.delete_invitation(row.log_id)?;
        Ok(step.tx.put_invitation(&row)?)
    });
    changed.unwrap();
    anna.accept_request(chat).unwrap();
    anna.settle(LONG).await.unwrap();
    assert!(
        anna.is_warned("not what its sender says"),
        "{:?}",
        anna.status()
    );
    assert_eq!(anna.group(&chat.to_string()).unwrap().epoch, None);
}

/// A device that its account took out is wanted out of every group by whoever learns of it.
#[tokio::test(flavor = "multi_thread")]
async fn c107_revoked_devices_go_out_of_groups() {
    let world = World::new().await;
    let (_anna, ben, mut carl) = three(&world).await;
    carl.die().await;
    carl.wake_up();
    let states = without_devices(&ben);
    let judged = carl
        .engine()
        .step(|step| accept_states(step, Source::Peer, &states));
    assert!(matches!(judged.unwrap(), Judged::Accepted(_)));
    let chat = carl.find_chat("friends").unwrap();
    let wanted = carl
        .engine()
        .look(|tx, _| Ok(tx.intents_of(chat)?))
        .unwrap();
    let whoami = ben.whoami().unwrap();
    assert!(wanted.iter().any(|intent| {
        intent.kind == IntentKind::RemoveDevice
            && (intent.account_id, intent.device_id) == (whoami.account_id, Some(whoami.device_id))
    }));
}

/// The next state of somebody's account, in which another device stands in place of theirs.
fn without_devices(person: &Person) -> AccountStates {
    let mut engine = person.engine();
    let identity = engine.store.read(|tx| tx.identity()).unwrap().unwrap();
    let own = &engine.own().unwrap().account;
    let facts = DeviceFacts {
        server_id: own.device.server_id,
        account_id: own.device.account_id,
        generation: 1,
        device_id: DeviceId::random(&OsEnv),
        role: DeviceRole::Certifier,
        not_before_ms: 0,
        not_after_ms: u64::MAX,
    };
    let cert = identity.certify(&DeviceSecret::generate(&OsEnv), &facts);
    let state = identity.next_state(&own.state, std::slice::from_ref(&cert), 0);
    AccountStates {
        states: vec![own.state.to_bytes(), state.to_bytes()],
        certs: vec![cert.to_bytes()],
    }
}
