//! An archive over a network that cuts, between devices that die: everything once, in order.

use std::sync::atomic::Ordering;

use conclave_core::content::TextMore;
use conclave_proto::env::OsEnv;
use conclave_proto::id::{AccountId, Epoch, LogId, MessageId, Seq};

use super::record::{self, Begin, End, Kind};
use super::*;
use crate::cutting::Cutting;
use crate::store::{ContactRow, NewMessage, Position};
use crate::support::{LONG, Person, World};
use crate::view::{ChatKind, MessageState};

/// Messages of the past.
const MANY: u64 = 2_000;

/// Puts a long past into the chat with `ben`: in two logs, every third message his own, those of the last ten
/// unread.
fn live_long(anna: &Person, ben: &Person) {
    let chat_id = anna.chat_with(ben);
    let (own, peer) = (
        anna.whoami().unwrap().account_id,
        ben.whoami().unwrap().account_id,
    );
    let old_log = LogId::new([0x01; 32]);
    anna.engine()
        .step(|step| {
            for n in 0..MANY {
                let is_own = n % 3 != 0;
                if n == MANY - 10 {
                    step.tx.mark_read(chat_id)?;
                }
                let sender = if is_own { own } else { peer };
                let message_id = MessageId::random(&OsEnv);
                step.tx.insert_message(&NewMessage {
                    chat_id,
                    message_id,
                    sender,
                    own: is_own,
                    body: &format!("{n} {}", "x".repeat(300)),
                    more: &TextMore::default(),
                    raw: &[],
                    reason: "",
                    sent_ms: step.now_ms - MANY + n,
                    is_heard: true,
                })?;
                if is_own {
                    step.tx
                        .set_message_state(message_id, MessageState::Read, "")?;
                }
                step.tx.place_message(
                    sender,
                    message_id,
                    &Position {
                        log_id: old_log,
                        ordinal: 0,
                        seq: Seq(n + 1),
                        epoch: Epoch(1),
                        devices: 1,
                    },
                )?;
            }
            // a conversation that came before the one that is live
            let first = LogId::new([0x02; 32]);
            step.tx
                .put_archived_chat(chat_id, chat_id, &[(first, 0), (old_log, 0)])?;
            Ok(())
        })
        .unwrap();
}

fn is_received(person: &Person) -> bool {
    let all = person.history_progress().unwrap();
    all.iter().any(|one| one.is_incoming && one.is_over)
}

/// Until the first messages of a history are here. Told by events: to ask all the time would take the time
/// that the import needs.
async fn some_history(person: &Person) {
    let mut events = person.events();
    let has_some = || {
        let all = person.history_progress().unwrap();
        all.iter().any(|one| one.messages > 0)
    };
    let waiting = async {
        while !has_some() {
            // A slow listener loses hints, and asks again all the same.
            let _ = events.recv().await;
        }
    };
    tokio::time::timeout(LONG, waiting)
        .await
        .expect("history comes");
}

/// Two thousand messages arrive on a new device once, in order and read as they were, while the upload and
/// the download are cut again and again and both devices die on the way.
#[tokio::test(flavor = "multi_thread")]
async fn c153_a_long_history_arrives_once_and_in_order() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    live_long(&anna, &ben);
    let (up, up_cuts) = Cutting::new(&world);
    anna.restart(up.clone()).await;
    let offered = anna.offer_history(HistoryScope::All).unwrap().unwrap();
    assert_eq!(offered.messages, MANY + 1);
    anna.restart(up).await;

    let mut new = world.device_of(&anna, "laptop").await;
    let (down, down_cuts) = Cutting::new(&world);
    new.restart(down.clone()).await;
    some_history(&new).await;
    new.restart(down).await;
    new.wait_for_history(LONG).await.unwrap();
    assert!(is_received(&new));
    let all = new.history_progress().unwrap();
    assert_eq!((all[0].messages, all[0].reason.as_str()), (MANY + 1, ""));
    anna.wait_for_history(LONG).await.unwrap();
    let cuts = (
        up_cuts.load(Ordering::SeqCst),
        down_cuts.load(Ordering::SeqCst),
    );
    assert!(cuts.0 >= 2 && cuts.1 >= 2, "{cuts:?}");

    assert_eq!(new.texts(&ben), anna.texts(&ben));
    assert_eq!(new.texts(&ben).len(), usize::try_from(MANY).unwrap() + 1);
    let unread = |person: &Person| person.status().unwrap().unread;
    assert_eq!((unread(&new), unread(&anna)), (3, 3));
    let states = |person: &Person| {
        let chat = person.chat_with(&ben);
        let history = person.history(chat, 10_000).unwrap().into_iter();
        history.map(|message| message.state).collect::<Vec<_>>()
    };
    assert_eq!(states(&new), states(&anna));
    let left = std::fs::read_dir(anna.folder.path()).unwrap().flatten();
    let left = left.filter(|entry| entry.path().extension().is_some_and(|end| end == "archive"));
    assert_eq!(left.count(), 0, "the sealed file is gone");
}

/// Somebody who wants to give nothing gives nothing, although an archive for a device that never came lies
/// ready; days mean days; and what was given is given once.
#[tokio::test(flavor = "multi_thread")]
async fn history_goes_where_it_was_meant_to_go() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let files = || {
        let entries = std::fs::read_dir(anna.folder.path()).unwrap().flatten();
        entries
            .filter(|entry| entry.path().extension().is_some_and(|end| end == "archive"))
            .count()
    };
    let offered = anna.offer_history(HistoryScope::All).unwrap().unwrap();
    assert_eq!(offered.messages, 1);
    anna.wait_for_history(LONG).await.unwrap();
    assert_eq!(anna.offer_history(HistoryScope::Nothing).unwrap(), None);
    assert_eq!(files(), 0);
    let bare = world.device_of(&anna, "bare").await;
    assert_eq!(bare.history_progress().unwrap(), []);

    world.clock.pass(3 * crate::support::DAY_MS);
    let today = anna.offer_history(HistoryScope::Days(1)).unwrap().unwrap();
    assert_eq!(today.messages, 0);
    let week = anna.offer_history(HistoryScope::Days(7)).unwrap().unwrap();
    assert_eq!(week.messages, 1);
    let full = world.device_of(&anna, "full").await;
    full.wait_for_history(LONG).await.unwrap();
    assert_eq!(full.texts(&ben), ["hello"]);
    anna.wait_for_history(LONG).await.unwrap();
    let next = world.device_of(&anna, "next").await;
    assert_eq!(next.history_progress().unwrap(), []);
    // What `full` missed on its way into the conversations follows (C-188); then nothing lies here.
    let gone = async {
        while files() > 0 {
            world.settle(&[&anna, &full]).await;
            anna.wait_for_history(LONG).await.unwrap();
        }
    };
    tokio::time::timeout(LONG, gone)
        .await
        .expect("all is given");
}

/// Whoever a new device met as the member of a conversation, before the history with their address came, is found by it.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_met_before_the_history_came_has_an_address() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    anna.offer_history(HistoryScope::All).unwrap().unwrap();
    anna.wait_for_history(LONG).await.unwrap();
    let new = world.silent_device_of(&anna, "laptop").await;
    let known = anna.engine().store.read(|tx| tx.contacts()).unwrap();
    // nothing but the history can tell the address
    anna.die().await;
    let [met] = known.as_slice() else {
        panic!("{}", known.len())
    };
    let met = ContactRow {
        identifier: String::new(),
        own_name: String::new(),
        capability: Vec::new(),
        confirmed: false,
        ..met.clone()
    };
    new.engine()
        .step(|step| Ok(step.tx.put_contact(&met)?))
        .unwrap();
    new.go_online_over(world.transport());
    new.wait_for_history(LONG).await.unwrap();
    assert_eq!(new.texts(&ben), ["hello"]);
    let now = new.engine().store.read(|tx| tx.contacts()).unwrap();
    assert_eq!(now[0].capability, known[0].capability);
    assert_eq!(now[0].confirmed, known[0].confirmed);
}

/// What is said after the history was written, and before the device that gives it could bring the new one into the
/// conversation, reaches the new device all the same: texts of both, a reaction, and what was only queued meanwhile.
/// It dies when everything is ready, and when the rest is written.
#[tokio::test(flavor = "multi_thread")]
async fn c188_nothing_is_lost_between_history_and_conversation() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    let one = anna.say(&ben, "one").await;
    world.settle(&[&anna, &ben]).await;
    // offline: what it writes waits, and nobody is added by it
    anna.die().await;
    anna.wake_up();
    anna.say(&ben, "queued meanwhile").await;
    let offered = anna.offer_history(HistoryScope::All).unwrap().unwrap();
    assert_eq!(offered.messages, 2);
    let mut new = world.device_of(&anna, "laptop").await;
    ben.say(&anna, "between").await;
    ben.react(one, "👍").unwrap();
    world.settle(&[&ben]).await;
    for _ in 0..3 {
        anna.restart(world.transport()).await;
        world.settle(&[&anna, &ben, &new]).await;
        new.restart(world.transport()).await;
    }
    let expected = ["hello", "one", "between", "queued meanwhile"];
    let mut events = new.events();
    let waiting = async {
        while new.texts(&ben) != expected {
            let _ = tokio::time::timeout(Duration::from_millis(100), events.recv()).await;
            anna.settle(LONG).await.unwrap();
        }
    };
    tokio::time::timeout(LONG, waiting)
        .await
        .expect("the rest comes");
    assert_eq!(anna.texts(&ben), expected);
    let shown = new.message(one).unwrap().message;
    assert_eq!(shown.reactions.len(), 1);
    for person in [&anna, &new] {
        person.wait_for_history(LONG).await.unwrap();
    }
    // and it goes on, each once; nothing is owed any more
    ben.say(&anna, "after").await;
    world.settle(&[&ben, &anna, &new]).await;
    assert_eq!(new.texts(&ben).len(), 5);
    anna.restart(world.transport()).await;
    world.settle(&[&anna, &new]).await;
    let owed = anna.engine().look(|tx, _| Ok(tx.holes()?.len()));
    assert_eq!(owed.unwrap(), 0);
}

/// A new device gets what was done to messages: edits with what was said first, reactions, pins, the timer,
/// tombstones without words; what disappeared does not come back.
#[tokio::test(flavor = "multi_thread")]
async fn c177_history_carries_what_was_done_and_nothing_gone() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let chat = anna.chat_with(&ben);
    let one = anna.say(&ben, "one").await;
    // said at the same time, either may come first
    world.settle(&[&anna, &ben]).await;
    let two = ben.say(&anna, "two").await;
    world.settle(&[&anna, &ben]).await;
    anna.edit(one, "one!", vec![]).unwrap();
    ben.react(one, "👍").unwrap();
    ben.pin(one, true).unwrap();
    ben.delete_for_everyone(two).unwrap();
    anna.set_timer(chat, 60).unwrap();
    anna.say(&ben, "gone").await;
    world.settle(&[&anna, &ben]).await;
    world.clock.pass(100_000);
    anna.offer_history(HistoryScope::All).unwrap().unwrap();
    let new = world.device_of(&anna, "new").await;
    new.wait_for_history(LONG).await.unwrap();
    world.settle(&[&anna, &new, &ben]).await;
    let here = new.chat_with(&ben);
    assert_eq!(new.texts(&ben), ["hello", "one!", ""]);
    let (ours, theirs) = (anna.message(one).unwrap(), new.message(one).unwrap());
    assert_eq!(theirs.versions, ours.versions);
    assert_eq!(theirs.message.reactions, ours.message.reactions);
    assert!(theirs.message.pinned);
    assert_eq!(new.timer(here).unwrap().seconds, 60);
    assert!(new.message(two).unwrap().message.deleted_by.is_some());
}

fn import(person: &Person, content: &[u8], part: usize) -> Result<u64, BlobError> {
    let pointer = pointer();
    let row = ArchiveRow::new(&pointer, false, 0, 0);
    let mut import = Import::new(&row);
    for part in content.chunks(part) {
        import.take_in(person.shared(), part, 65_536)?;
    }
    let messages = import.messages();
    import.finish().map(|()| messages)
}

fn pointer() -> AttachmentPointer {
    let sealer = conclave_core::attachment::Sealer::new(&OsEnv);
    let sealed = sealer.finish(&mut |_: &[u8]| Ok::<(), BlobError>(()));
    sealed.unwrap()
}

fn begin(account_id: AccountId) -> Kind {
    Kind::Begin(Begin {
        version: record::VERSION,
        account_id: account_id.to_vec(),
    })
}

fn message(chat: u8, id: u8, sender: AccountId, state: &str) -> Kind {
    Kind::Message(record::Message {
        chat_id: vec![chat; 16],
        message_id: vec![id; 16],
        sender: sender.to_vec(),
        body: "text".to_owned(),
        state: state.to_owned(),
        log_id: vec![9; 32],
        seq: u64::from(id),
        ..record::Message::default()
    })
}

fn group(chat: u8) -> Kind {
    Kind::Chat(record::Chat {
        chat_id: vec![chat; 16],
        kind: "group".to_owned(),
        name: "friends".to_owned(),
        logs: vec![vec![9; 32]],
        ordinals: vec![4],
        ..record::Chat::default()
    })
}

fn bytes_of(kinds: &[Kind]) -> Vec<u8> {
    kinds.iter().cloned().flat_map(record::encode).collect()
}

/// The same archive twice, and one that overlaps, add nothing twice; a group's later conversation finds its
/// chat again; until then, who writes there is told why that cannot be.
#[tokio::test(flavor = "multi_thread")]
async fn c153_the_same_archive_again_changes_nothing() {
    let world = World::new().await;
    let anna = world.person("anna").await;
    let own = anna.whoami().unwrap().account_id;
    let other = AccountId::new([5; 16]);
    let end = Kind::End(End { messages: 2 });
    let first = [
        begin(own),
        group(1),
        message(1, 1, own, "read"),
        message(1, 2, other, "received"),
    ];
    let first = bytes_of(&[&first[..], std::slice::from_ref(&end)].concat());
    assert_eq!(import(&anna, &first, 7), Ok(2));
    assert_eq!(import(&anna, &first, 1_000), Ok(0));
    let refused = anna.send("friends", "too early").await.unwrap_err();
    let told = refused.to_string();
    assert!(
        told.starts_with("this device is not in the group yet"),
        "{told}"
    );
    // as another device of the account knows the same group
    let more = [
        begin(own),
        group(2),
        message(2, 2, other, "received"),
        message(2, 3, own, "accepted"),
        end,
    ];
    assert_eq!(import(&anna, &bytes_of(&more), 50), Ok(1));
    let found = anna.engine().look(|tx, _| {
        let chats = tx.chats()?;
        assert_eq!(chats.len(), 1);
        assert_eq!(
            tx.archived_chat_of(LogId::new([9; 32]))?,
            Some(chats[0].chat_id)
        );
        assert_eq!(tx.next_ordinal(chats[0].chat_id)?, 5);
        Ok(tx.history(chats[0].chat_id, 10)?)
    });
    let seqs: Vec<_> = found.unwrap().iter().map(|row| row.seq).collect();
    assert_eq!(seqs, [Some(1), Some(2), Some(3)]);
}

/// A group is one chat with its past on a new device, whether the past comes before or after the device is let
/// into the group, and under which name; what was read on the old device meanwhile is read there.
#[tokio::test(flavor = "multi_thread")]
async fn c153_a_group_and_its_past_are_one_chat() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let with = [ben.address.clone()];
    let group = anna.create_group("friends", &with).await.unwrap();
    world.settle(&[&anna, &ben]).await;
    for text in ["one", "two"] {
        ben.send("friends", text).await.unwrap();
        world.settle(&[&ben, &anna]).await;
    }
    for (is_first, name) in [(true, "friends"), (false, "comrades")] {
        let past = write::records_of(anna.shared());
        let new = world.silent_device_of(&anna, name).await;
        if is_first {
            import(&new, &past, 1_000).unwrap();
            anna.rename_group("friends", "comrades").unwrap();
        }
        new.go_online_over(world.transport());
        for _ in 0..2 {
            world.settle(&[&anna, &new, &ben]).await;
        }
        // of messages that the new device never fetched itself
        assert!(anna.mark_read(group).unwrap() > 0);
        world.settle(&[&anna, &new]).await;
        if !is_first {
            import(&new, &past, 1_000).unwrap();
        }
        ben.send("comrades", &format!("now {name}")).await.unwrap();
        world.settle(&[&ben, &anna, &new]).await;
        let all = |person: &Person| {
            let groups = person.groups().unwrap();
            assert_eq!(groups.len(), 1, "{groups:?}");
            let chats = person.chats().unwrap().into_iter();
            let chats: Vec<_> = chats.filter(|chat| chat.kind == ChatKind::Group).collect();
            assert_eq!(chats.len(), 1, "{chats:?}");
            let history = person.history(chats[0].id, 100).unwrap().into_iter();
            let of = |message: crate::view::Message| (message.text, message.is_read);
            history.map(of).collect::<Vec<_>>()
        };
        assert_eq!(all(&new), all(&anna));
    }
}

/// An archive of somebody else, without its beginning, damaged, of a newer version or with words put into
/// this account's mouth is refused, and its piece changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn c153_wrong_archives_change_nothing() {
    let world = World::new().await;
    let anna = world.person("anna").await;
    let own = anna.whoami().unwrap().account_id;
    let other = AccountId::new([5; 16]);
    let newer = Kind::Begin(Begin {
        version: record::VERSION + 1,
        account_id: own.to_vec(),
    });
    let end = || Kind::End(End { messages: 0 });
    for wrong in [
        bytes_of(&[begin(other), group(1)]),
        bytes_of(&[group(1), end()]),
        bytes_of(&[newer, group(1)]),
        bytes_of(&[begin(own), message(1, 1, other, "read")])
            .into_iter()
            .chain(bytes_of(&[group(1), message(1, 1, own, "received")]))
            .collect(),
        bytes_of(&[begin(own), end(), group(1)]),
        [bytes_of(&[begin(own)]), vec![0xff; 9]].concat(),
        bytes_of(&[begin(own), end()])[..20].to_vec(),
    ] {
        assert!(import(&anna, &wrong, 1_000).is_err(), "{wrong:?}");
        let chats = anna.engine().look(|tx, _| Ok(tx.chats()?)).unwrap();
        assert!(chats.is_empty());
    }
}

/// What an archive carries is nothing that MLS or this device keeps to itself: no part of a key's row, of the
/// device's or of the identity's seeds appears in the records.
#[tokio::test(flavor = "multi_thread")]
async fn c152_no_keys_are_in_an_archive() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    anna.say(&ben, "plain enough").await;
    world.settle(&[&anna, &ben]).await;
    let written = write::records_of(anna.shared());
    assert!(written.windows(12).any(|part| part == b"plain enough"));
    let seen: std::collections::HashSet<&[u8]> = written.windows(24).collect();
    let secrets = anna.engine().look(|tx, own| {
        let mut secrets = tx.key_rows();
        assert!(secrets.len() > 2);
        secrets.push(own.account.device.secret.to_stored().to_vec());
        secrets.push(tx.identity()?.unwrap().to_stored().to_vec());
        secrets.push(own.account.capability.to_vec());
        Ok(secrets)
    });
    for secret in secrets.unwrap() {
        for part in secret.windows(24) {
            let is_low = part.iter().map(|byte| u32::from(*byte == 0)).sum::<u32>() > 8;
            assert!(is_low || !seen.contains(part));
        }
    }
}
