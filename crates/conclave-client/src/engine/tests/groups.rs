//! Groups as the engine keeps them.

use std::sync::atomic::{AtomicUsize, Ordering};

use conclave_core::conversation::ConversationKind;
use conclave_core::sealed_blob;
use conclave_hostile::member::Member;
use conclave_hostile::side::Side;
use conclave_hostile::welcome::key_package;
use conclave_proto::frame::reply;
use conclave_proto::hello::Role;
use conclave_proto::id::{ChatId, Epoch};
use conclave_proto::limits::{JOIN_UPDATE_MS, LEAVES_MAX, SELF_UPDATE_MS};
use conclave_proto::log::{OpenOne, PutBundle};
use conclave_proto::{ErrorCode, Refusal};
use tokio::runtime::Handle;

use super::*;
use crate::invite::intro;
use crate::membership::prepare_update;
use crate::receive::NEEDS_NEWER;
use crate::recover;
use crate::store::IntentKind;
use crate::transport::{Transport, TransportError, calls};

/// Anna's group "friends" with two contacts of hers.
pub(super) async fn three(world: &World) -> (Person, Person, Person) {
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
pub(super) fn conversation(client: &Client, chat: ChatId) -> ConversationRow {
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
pub(super) fn pointer(from: &Person, to: &Person, log_id: LogId, epoch: u64) -> WelcomePointer {
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
        former_certs: vec![],
    }
}

/// A member whose program commits nothing by itself, and whoever holds it commits as they like.
struct Hasty {
    person: Person,
    chat: ChatId,
    commits: AtomicUsize,
}

impl Hasty {
    /// Ends the epoch with a self-update if the server lets them; else nothing happens. Their device has read the
    /// log to its head after it.
    async fn commit(&self, way: &dyn Transport) {
        let Self { person, chat, .. } = self;
        let mut row = conversation(person, *chat);
        if row.pending_bundle.is_none() {
            let made = person.engine().step(|step| prepare_update(step, &mut row));
            made.unwrap();
            row = conversation(person, *chat);
        }
        let logs = way.connect(Role::Logs).await.unwrap();
        let proof = person.engine().step(|step| {
            let key = step.group(row.log_id)?.access_key()?;
            Ok(key.prove_open(logs.context(), row.log_id, row.epoch))
        });
        let one = OpenOne {
            log_id: row.log_id.to_vec(),
            epoch: row.epoch.0,
            proof: proof.unwrap(),
        };
        let opened = calls::open_logs(logs.as_ref(), vec![one]).await.unwrap();
        let bundle = PutBundle {
            handle: opened[0].handle,
            commit_entry: row.pending_bundle.clone().unwrap(),
            blobs: vec![],
        };
        match calls::put_bundle(logs.as_ref(), bundle).await {
            Err(TransportError::Refused(refusal)) if refusal.code() == ErrorCode::RateLimited => {}
            done => {
                done.expect("nobody else commits in between");
                self.commits.fetch_add(1, Ordering::SeqCst);
                let epoch = row.epoch.next();
                let read = || conversation(person, *chat).epoch == epoch;
                person.wait_until(read).await;
            }
        }
    }
}

/// A member who is always quicker, and commits whenever the server lets them, is taken out by the owner with the
/// third commit that the owner tries: who lost a race goes before who won it.
#[tokio::test(flavor = "multi_thread")]
async fn c028_a_member_who_commits_all_the_time_is_taken_out() {
    let world = World::new().await;
    let (mut anna, ben, mut carl) = three(&world).await;
    let carls = carl.address.clone();
    let silent = Tamper::new(&world, |_, call| match call {
        Body::PutBundle(_) => Fate::Answer(reply::Body::Refused(
            Refusal::new(ErrorCode::RateLimited, "not by itself").retry_after_ms(3_600_000),
        )),
        _ => Fate::Pass,
    });
    carl.restart(Arc::new(Road(silent))).await;
    carl.settle(LONG).await.unwrap();
    let hasty = Arc::new(Hasty {
        chat: carl.find_chat("friends").unwrap(),
        person: carl,
        commits: AtomicUsize::new(0),
    });
    let (before_her, way) = (hasty.clone(), world.transport());
    let tamper = Tamper::new(&world, move |_, call| {
        if let Body::PutBundle(_) = call {
            let commit = before_her.commit(way.as_ref());
            tokio::task::block_in_place(|| Handle::current().block_on(commit));
        }
        Fate::Pass
    });
    anna.restart(Arc::new(Road(tamper.clone()))).await;
    anna.settle(LONG).await.unwrap();
    anna.remove_from_group("friends", &carls).unwrap();
    anna.settle(LONG).await.unwrap();
    let calls = tamper.calls();
    let tried = calls
        .iter()
        .filter(|call| matches!(call, Body::PutBundle(_)));
    let (tried, lost) = (tried.count(), hasty.commits.load(Ordering::SeqCst));
    assert!(tried <= 3 && lost == 1, "{tried} tried, {lost} lost");
    world.settle(&[&ben, &hasty.person]).await;
    for person in [&anna, &ben] {
        let group = person.group("friends").unwrap();
        assert_eq!((group.people.len(), group.failed.len()), (2, 0));
    }
    let gone = hasty.person.group("friends").unwrap();
    assert_eq!(gone.chat.state, ChatState::Left);
}

/// A group of 1,024 devices is full: the wish for one more fails with a reason that people see, and nothing is
/// committed.
#[tokio::test(flavor = "multi_thread")]
async fn c094_wish_for_the_1025th_device_fails_with_a_reason() {
    let world = World::new().await;
    let (anna, _ben, _carl) = three(&world).await;
    let dora = world.person("dora").await;
    let chat = anna.find_chat("friends").unwrap();
    let row = conversation(&anna, chat);
    // Strangers fill it up in her rows alone: with MLS itself, in one commit that nobody else hears of.
    let filled = anna.engine().step(|step| {
        let mut member = Member::of(step.outside(), row.log_id);
        let strangers = (1..=LEAVES_MAX as u64 - 3)
            .map(|seed| Side::new(seed * 2_000, &[]).key_package(false))
            .map(|bytes| key_package(step.outside(), &bytes));
        member.commit(|builder| builder.propose_adds(strangers));
        let merged = member.group.merge_pending_commit(&member.provider());
        assert!(merged.is_ok(), "the strangers are in");
        Ok(())
    });
    filled.unwrap();
    let who = [dora.address.clone()];
    anna.add_to_group("friends", &who).await.unwrap();
    anna.settle(LONG).await.unwrap();
    let group = anna.group("friends").unwrap();
    assert_eq!(group.devices, LEAVES_MAX as u64);
    assert!(group.waiting.is_empty());
    assert_eq!(group.failed.len(), 1);
    let reason = &group.failed[0].reason;
    assert!(reason.contains("at most 1,024 devices"), "{reason}");
    assert!(anna.is_warned("at most 1,024 devices"));
    assert!(conversation(&anna, chat).pending_bundle.is_none());
}

/// A pause for a commit that only a newer program can judge ends when the program that judges it is there; a pause
/// for another reason waits for the person.
#[tokio::test(flavor = "multi_thread")]
async fn c002_a_pause_for_a_newer_version_ends_by_itself() {
    let world = World::new().await;
    let (anna, mut ben, mut carl) = three(&world).await;
    let other = "the server lost a conversation";
    for (person, reason) in [(&mut ben, NEEDS_NEWER), (&mut carl, other)] {
        person.die().await;
        person.wake_up();
        let chat = person.find_chat("friends").unwrap();
        let row = conversation(person, chat);
        let paused = person
            .engine()
            .step(|step| recover::pause(step, &row, reason));
        paused.unwrap();
        assert_eq!(person.chat(chat).unwrap().state, ChatState::Paused);
    }
    anna.rename_group("friends", "hikers").unwrap();
    anna.settle(LONG).await.unwrap();
    for person in [&mut ben, &mut carl] {
        person.restart(world.transport()).await;
        person.settle(LONG).await.unwrap();
    }
    assert_eq!(ben.group("hikers").unwrap().chat.state, ChatState::Open);
    let waits = carl.group("hikers").unwrap().chat;
    assert_eq!(
        (waits.state, waits.reason.as_str()),
        (ChatState::Paused, other)
    );
    ben.send("hikers", "up to date").await.unwrap();
    world.settle(&[&ben, &anna]).await;
    let heard = anna.history(anna.find_chat("hikers").unwrap(), 1).unwrap();
    assert_eq!(heard[0].text, "up to date");
}

/// Who was away while they were taken out of a group and let in again comes back into it, whatever they read first, once
/// or twice over.
#[tokio::test(flavor = "multi_thread")]
async fn c182_who_was_out_and_in_again_while_away_is_in() {
    let world = World::new().await;
    let (anna, ben, mut carl) = three(&world).await;
    carl.die().await;
    for round in 0..2 {
        anna.remove_from_group("friends", &carl.address).unwrap();
        world.settle(&[&anna, &ben]).await;
        let back = [carl.address.clone()];
        anna.add_to_group("friends", &back).await.unwrap();
        world.settle(&[&anna, &ben]).await;
        let text = format!("again {round}");
        ben.send("friends", &text).await.unwrap();
        world.settle(&[&anna, &ben]).await;
    }
    carl.wake_up();
    carl.go_online_over(world.transport());
    for _ in 0..2 {
        world.settle(&[&carl, &anna, &ben]).await;
    }
    let epoch = |person: &Person| person.group("friends").unwrap().epoch;
    assert_eq!(epoch(&carl), epoch(&anna));
    assert_eq!(carl.groups().unwrap().len(), 1);
    carl.send("friends", "in").await.unwrap();
    world.settle(&[&carl, &anna, &ben]).await;
    for person in [&anna, &ben, &carl] {
        let chat = person.find_chat("friends").unwrap();
        let texts = person.history(chat, 10).unwrap();
        let texts: Vec<_> = texts.iter().map(|row| row.text.as_str()).collect();
        assert!(texts.ends_with(&["again 0", "again 1", "in"]), "{texts:?}");
    }
    let kept = carl.engine().look(|tx, _| Ok(tx.held()?.len()));
    assert_eq!(kept.unwrap(), 0);
}
