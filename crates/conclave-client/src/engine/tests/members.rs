//! A member with a program of their own: whatever they put into the log, honest people are told and go on.

use conclave_core::access::AccessKey;
use conclave_core::content::Content;
use conclave_core::conversation::ConversationContext;
use conclave_core::secret::Secret;
use conclave_hostile::frame::{self, by_value};
use conclave_hostile::member::{Member, extensions};
use conclave_proto::hello::Role;
use conclave_proto::id::Day;
use conclave_proto::limits::{HEAL_SPACING_MS, SUCCESSOR_SPACING_MS, TEXT_BYTES_MAX};
use conclave_proto::log::{CommitEntry, OpenOne, PutBundle};

use super::*;
use crate::transport::{Connection, calls};

/// Anna and Ben are friends; Ben's device is offline and in the hands of `Attacker`.
struct Attack {
    world: World,
    anna: Person,
    ben: Person,
}

impl Attack {
    async fn new() -> Self {
        let world = World::new().await;
        let (anna, mut ben) = world.friends().await;
        ben.die().await;
        ben.wake_up();
        Self { world, anna, ben }
    }

    /// Makes something with MLS itself over Ben's rows.
    fn forge<T>(&self, work: impl FnOnce(&mut Member<'_>) -> T) -> T {
        let log_id = live(&self.ben, &self.anna).log_id;
        let made = self
            .ben
            .engine()
            .step(|step| Ok(work(&mut Member::of(step.outside(), log_id))));
        made.unwrap()
    }

    fn frame(&self, content: &frame::Content) -> Vec<u8> {
        let log_id = live(&self.ben, &self.anna).log_id;
        let made = self
            .ben
            .engine()
            .step(|step| Ok(frame::private_message(step.outside(), log_id, content)));
        made.unwrap()
    }

    /// A connection of Ben's own making, with a handle of the log.
    async fn open(&self) -> (Arc<dyn Connection>, u32) {
        let logs = self.world.transport().connect(Role::Logs).await.unwrap();
        let row = live(&self.ben, &self.anna);
        let proof = self.forge(|member| {
            let (log_id, epoch) = (member.log_id(), member.epoch());
            member.access().prove_open(logs.context(), log_id, epoch)
        });
        let one = OpenOne {
            log_id: row.log_id.to_vec(),
            epoch: row.epoch.0,
            proof,
        };
        let opened = calls::open_logs(logs.as_ref(), vec![one]).await.unwrap();
        assert_ne!(opened[0].handle, 0, "the log opens");
        (logs, opened[0].handle)
    }

    /// Puts bytes into the log as a message.
    async fn append(&self, payload: &[u8]) {
        let (logs, handle) = self.open().await;
        calls::append_entry(logs.as_ref(), handle, payload.to_vec())
            .await
            .expect("the server cannot see what it is");
    }

    /// Puts bytes into the log as a commit.
    async fn commit(&self, commit_entry: Vec<u8>) {
        let (logs, handle) = self.open().await;
        let bundle = PutBundle {
            handle,
            commit_entry,
            blobs: vec![],
        };
        calls::put_bundle(logs.as_ref(), bundle)
            .await
            .expect("the server cannot see what it is");
    }

    /// A bundle around a forged commit, with `next` registered.
    fn bundle(&self, commit: &[u8], next: &AccessKey) -> Vec<u8> {
        self.forge(|member| member.bundle(commit, next))
    }

    /// Ben's device does as it should again; both sides say something, and both read it.
    async fn goes_on(&mut self, what: &str) {
        let Self { world, anna, ben } = self;
        anna.say(ben, "still here").await;
        ben.restart(world.transport()).await;
        world.settle(&[anna, ben]).await;
        if ben.chat_state(anna).0 == ChatState::Paused {
            ben.accept_identity(&anna.address).unwrap();
            world.settle(&[ben, anna]).await;
        }
        ben.say(anna, "so am I").await;
        world.settle(&[ben, anna]).await;
        for texts in [anna.texts(ben), ben.texts(anna)] {
            assert_eq!(texts.first().unwrap(), "hello", "{what}");
            assert!(
                texts.contains(&"still here".to_owned()),
                "{what}: {texts:?}"
            );
            assert_eq!(texts.last().unwrap(), "so am I", "{what}");
        }
    }
}

fn any_key() -> AccessKey {
    AccessKey::from_seed(Secret::take(&mut [8; 32]))
}

/// Entries that are no messages, sent as messages: each becomes at most a row that says why, and nothing else happens.
#[tokio::test(flavor = "multi_thread")]
async fn c029_junk_among_messages_is_shown_as_such() {
    let mut attack = Attack::new().await;
    let own_entry = {
        let (logs, handle) = attack.open().await;
        let page = calls::read_log(logs.as_ref(), handle, Seq(0), 100)
            .await
            .unwrap();
        page.entries
            .into_iter()
            .filter(|entry| entry.epoch == live(&attack.anna, &attack.ben).epoch.0)
    };
    let replayed: Vec<Vec<u8>> = own_entry.map(|entry| entry.payload).collect();
    assert!(replayed.len() > 1, "entries of both");
    let commit = attack.frame(&frame::commit(&[], &[0]));
    let mut junk = vec![
        commit,
        b"no mls at all".to_vec(),
        vec![0; 100_000],
        attack.frame(&frame::proposal(3, &[0; 4])),
        attack.frame(&frame::Content {
            aad: b"clear".to_vec(),
            ..frame::text(b"x")
        }),
        attack.frame(&frame::Content {
            leaf: Some(9),
            ..frame::text(b"x")
        }),
        attack.frame(&frame::text(b"no content")),
        attack.frame(&frame::text(&[0xff; 400])),
    ];
    junk.extend(replayed);
    for payload in &junk {
        let before = attack.anna.texts(&attack.ben);
        attack.append(payload).await;
        attack.anna.settle(LONG).await.unwrap();
        let texts = attack.anna.texts(&attack.ben);
        assert!(texts.len() <= before.len() + 1);
        assert_eq!(texts[..before.len()], before, "nothing else moved");
        let told = texts[before.len()..].iter();
        assert!(
            told.clone().all(|text| text.contains("cannot be shown")),
            "{texts:?}"
        );
        assert_eq!(attack.anna.chat_state(&attack.ben).0, ChatState::Open);
    }
    attack.goes_on("junk").await;
}

/// A text in protobuf, as a program without our limits writes it.
#[derive(Clone, PartialEq, prost::Message)]
struct Long {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(bytes = "vec", tag = "2")]
    message_id: Vec<u8>,
    #[prost(uint64, tag = "4")]
    seen_seq: u64,
    #[prost(bytes = "vec", tag = "5")]
    seen_hash: Vec<u8>,
    #[prost(message, optional, tag = "16")]
    text: Option<LongText>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LongText {
    #[prost(string, tag = "1")]
    body: String,
}

/// Content over its limits, though it was sealed well, is refused by its reader and shown as such.
#[tokio::test(flavor = "multi_thread")]
async fn oversized_content_is_shown_as_such() {
    let mut attack = Attack::new().await;
    let row = live(&attack.ben, &attack.anna);
    for (id, length) in [(1, TEXT_BYTES_MAX + 1), (2, 200_000)] {
        let long = Long {
            version: 1,
            message_id: vec![id; 16],
            seen_seq: row.cursor_seq.0,
            seen_hash: row.cursor_hash.to_vec(),
            text: Some(LongText {
                body: "x".repeat(length),
            }),
        };
        let bytes = long.encode_to_vec();
        let padded = content(&row, id, Kind::Newer { bytes }).encode_padded();
        let payload = attack.frame(&frame::text(&padded.unwrap()));
        attack.append(&payload).await;
    }
    attack.anna.settle(LONG).await.unwrap();
    let texts = attack.anna.texts(&attack.ben);
    assert_eq!(texts.len(), 3, "{texts:?}");
    let told = texts[1..]
        .iter()
        .all(|text| text.contains("over the limit"));
    assert!(told, "{texts:?}");
    attack.goes_on("oversized").await;
}

/// Commits that nobody can go on from: the chat says whose they are and continues in a successor, by itself.
#[tokio::test(flavor = "multi_thread")]
async fn c036_commits_that_break_a_conversation_lead_to_a_successor() {
    let garbage: fn(&Attack) -> Vec<u8> = |attack| {
        let commit = attack.frame(&frame::commit(&[by_value(3, &[0; 4])], &[0]));
        attack.bundle(&commit, &any_key())
    };
    let message: fn(&Attack) -> Vec<u8> = |attack| {
        let message = attack.frame(&frame::text(b"no commit"));
        attack.bundle(&message, &any_key())
    };
    let nonsense: fn(&Attack) -> Vec<u8> = |attack| attack.bundle(&[7; 5000], &any_key());
    let wrong_keys: fn(&Attack) -> Vec<u8> = |attack| {
        let raw = attack.forge(|member| member.commit(|builder| builder));
        attack.bundle(&raw.commit, &any_key())
    };
    let unbound: fn(&Attack) -> Vec<u8> = |attack| {
        let raw = attack.forge(|member| member.commit(|builder| builder));
        let bundle = attack.bundle(&raw.commit, &any_key());
        let mut entry: CommitEntry = codec::parse_exact(&bundle).unwrap();
        entry.binding = vec![7; 96].into();
        codec::encode(&entry)
    };
    for (what, lie, named) in [
        ("garbage", garbage, true),
        ("a message", message, true),
        ("nonsense", nonsense, true),
        ("wrong keys", wrong_keys, true),
        ("wrong keys by nobody", unbound, false),
    ] {
        let mut attack = Attack::new().await;
        let old = live(&attack.anna, &attack.ben).log_id;
        let entry = lie(&attack);
        attack.commit(entry).await;
        attack.anna.settle(LONG).await.unwrap();
        assert_eq!(attack.anna.texts(&attack.ben), ["hello"], "{what}");
        assert_eq!(attack.anna.chat_state(&attack.ben).0, ChatState::Open);
        assert!(attack.anna.is_warned("continues in a new one"), "{what}");
        let by = format!("made by {}", attack.ben.address);
        assert_eq!(attack.anna.is_warned(&by), named, "{what}");
        attack.goes_on(what).await;
        let (one, other) = (
            live(&attack.anna, &attack.ben),
            live(&attack.ben, &attack.anna),
        );
        assert_ne!(one.log_id, old, "{what}");
        assert_eq!(one.log_id, other.log_id, "{what}");
    }
}

/// Commits that nobody may make: the chat stops, says why and whose they are, and goes on at the person's word.
#[tokio::test(flavor = "multi_thread")]
async fn c035_forbidden_commits_stop_the_chat_until_the_person_decides() {
    let other_origin = |context: ConversationContext| ConversationContext {
        successor_of: Some(LogId::new([9; 32])),
        ..context
    };
    for (what, words) in [
        ("origin", "may never change"),
        ("credential", "leaf changed"),
    ] {
        let mut attack = Attack::new().await;
        let (identity, key) = {
            let engine = attack.ben.engine();
            let device = &engine.own().unwrap().account.device;
            let mut changed = device.credential();
            changed.device_id = DeviceId::new([9; 16]);
            (changed.to_bytes(), device.secret.leaf_key())
        };
        let raw = attack.forge(|member| {
            let context = other_origin(member.context());
            member.commit(|builder| match what {
                "origin" => builder
                    .propose_group_context_extensions(extensions(&context))
                    .unwrap(),
                _ => builder.leaf_node_parameters(conclave_hostile::member::leaf_with(
                    identity.clone(),
                    key,
                )),
            })
        });
        let entry = attack.bundle(&raw.commit, &raw.next);
        attack.commit(entry).await;
        attack.anna.settle(LONG).await.unwrap();
        let (state, reason) = attack.anna.chat_state(&attack.ben);
        assert_eq!(state, ChatState::Paused, "{what}");
        assert!(reason.contains(words), "{reason}");
        assert!(reason.contains(&attack.ben.address), "{reason}");
        attack
            .anna
            .send(&attack.ben.address, "no")
            .await
            .unwrap_err();
        attack.anna.accept_identity(&attack.ben.address).unwrap();
        attack.goes_on(what).await;
    }
}

/// The next conversation breaks too, within the hour: now the person is asked, and their word is enough.
#[tokio::test(flavor = "multi_thread")]
async fn second_broken_conversation_within_an_hour_asks_the_person() {
    let mut attack = Attack::new().await;
    for again in [false, true] {
        let entry = attack.bundle(&[7; 5000], &any_key());
        attack.commit(entry).await;
        attack.anna.settle(LONG).await.unwrap();
        let expected = if again {
            ChatState::Paused
        } else {
            ChatState::Open
        };
        assert_eq!(attack.anna.chat_state(&attack.ben).0, expected);
        if again {
            attack.anna.accept_identity(&attack.ben.address).unwrap();
        }
        attack.goes_on("broken").await;
        attack.ben.die().await;
        attack.ben.wake_up();
        attack.world.clock.pass(SUCCESSOR_SPACING_MS / 10);
    }
}

/// Ten thousand generations skipped: that message and the sender's next ones stay closed, each with a reason; after
/// an answer all is well, since a new epoch starts every ratchet anew.
#[tokio::test(flavor = "multi_thread")]
async fn c080_skipped_generations_heal_with_the_next_answer() {
    let mut attack = Attack::new().await;
    attack.world.clock.pass(HEAL_SPACING_MS);
    let skipped = frame::Content {
        skip: 10_000,
        ..frame::text(b"far away")
    };
    let payload = attack.frame(&skipped);
    attack.append(&payload).await;
    // what Ben's device says next is as far away
    for id in [1, 2] {
        let padded = said(&attack, id, "lost on the way");
        let payload = attack.forge(|member| {
            (0..2_500).for_each(|_| drop(member.message(b"never sent")));
            member.message(&padded)
        });
        attack.append(&payload).await;
    }
    let Attack { world, anna, ben } = &mut attack;
    anna.settle(LONG).await.unwrap();
    let texts = anna.texts(ben);
    let closed = |text: &String| text.contains("ask for it again");
    assert!(
        texts.len() == 4 && texts[1..].iter().all(closed),
        "{texts:?}"
    );
    assert_eq!(anna.chat_state(ben).0, ChatState::Open);
    let epoch = live(anna, ben).epoch;
    anna.say(ben, "what did you say?").await;
    anna.settle(LONG).await.unwrap();
    assert!(live(anna, ben).epoch > epoch, "every ratchet starts anew");
    ben.restart(world.transport()).await;
    world.settle(&[ben, anna]).await;
    ben.say(anna, "now it arrives").await;
    world.settle(&[ben, anna]).await;
    assert_eq!(anna.texts(ben).last().unwrap(), "now it arrives");
    assert_eq!(ben.texts(anna).last().unwrap(), "now it arrives");
}

/// Many commits in a row are followed to the last, and cost nothing but their reading.
#[tokio::test(flavor = "multi_thread")]
async fn many_self_updates_are_followed() {
    let attack = Attack::new().await;
    let epoch = live(&attack.anna, &attack.ben).epoch;
    for _ in 0..20 {
        let raw = attack.forge(|member| member.commit(|builder| builder));
        let entry = attack.bundle(&raw.commit, &raw.next);
        attack.commit(entry).await;
        attack.forge(|member| {
            let provider = member.provider();
            member.group.merge_pending_commit(&provider).unwrap();
        });
        let mut row = live(&attack.ben, &attack.anna);
        row.epoch = row.epoch.next();
        let noted = attack
            .ben
            .engine()
            .step(|step| Ok(step.tx.put_conversation(&row)?));
        noted.unwrap();
    }
    attack.anna.settle(LONG).await.unwrap();
    assert_eq!(live(&attack.anna, &attack.ben).epoch.0, epoch.0 + 20);
    assert_eq!(attack.anna.chat_state(&attack.ben).0, ChatState::Open);
    let payload = attack.frame(&frame::text(&said(&attack, 7, "after twenty")));
    attack.append(&payload).await;
    attack.anna.settle(LONG).await.unwrap();
    assert_eq!(attack.anna.texts(&attack.ben), ["hello", "after twenty"]);
}

/// Padded content of an honest text by Ben.
fn said(attack: &Attack, id: u8, words: &str) -> Vec<u8> {
    let row = live(&attack.ben, &attack.anna);
    content(&row, id, text(words))
        .encode_padded()
        .unwrap()
        .to_vec()
}

/// A sender's clock that lies by fifty years moves a message by at most a day, and never in the order.
#[tokio::test(flavor = "multi_thread")]
async fn lying_clocks_move_no_message() {
    let attack = Attack::new().await;
    let row = live(&attack.ben, &attack.anna);
    for (id, sent_ms) in [(1, u64::MAX), (2, 0), (3, 1)] {
        let lying = Content {
            sent_ms,
            ..content(&row, id, text(&format!("message {id}")))
        };
        let payload = attack.frame(&frame::text(&lying.encode_padded().unwrap()));
        attack.append(&payload).await;
    }
    attack.anna.settle(LONG).await.unwrap();
    let texts = attack.anna.texts(&attack.ben);
    assert_eq!(texts, ["hello", "message 1", "message 2", "message 3"]);
    let now_ms = conclave_proto::env::Env::now_ms(attack.world.clock.as_ref());
    let chat = attack.anna.chat_with(&attack.ben);
    for message in attack.anna.history(chat, 100).unwrap() {
        assert!(
            message.ts_ms.abs_diff(now_ms) <= 2 * Day::MS,
            "{}",
            message.ts_ms
        );
    }
}
