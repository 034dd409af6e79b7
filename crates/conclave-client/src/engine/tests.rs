//! Members who break the rules: what they seal passes the server, and each engine must judge it alone.

use std::sync::Arc;

use conclave_core::content::{Content, Kind, Mark, Receipt};
use conclave_core::conversation::{Applied, Conversation};
use conclave_core::identity::{DeviceFacts, DeviceSecret, IdentitySecret, StateFacts};
use conclave_core::inbox_item::{self, InboxItem, WelcomePointer};
use conclave_proto::account::{AccountStates, DeviceRole};
use conclave_proto::codec;
use conclave_proto::env::OsEnv;
use conclave_proto::frame::request::Body;
use conclave_proto::id::{DeviceId, Hash32, LogId, MessageId, Seq};
use conclave_proto::limits::SELF_UPDATE_SENDS;
use prost::Message as _;

use crate::client::Client;
use crate::contact::{Judged, Source, accept_states};
use crate::event::Event;
use crate::receive::{self, Outcome};
use crate::store::{ContactRow, ConversationRow, InvitationRow, OutboxKind};
use crate::support::tamper::{Fate, Road, Tamper};
use crate::support::{DAY_MS, LONG, Person, World};
use crate::view::{ChatState, MessageState};

mod devices;
mod groups;
mod journal;
mod members;
mod rejoin;
mod strangers;
mod successors;
mod talk;

/// The conversation that a chat goes on in.
fn live(client: &Client, other: &Person) -> ConversationRow {
    let chat = client.find_chat(&other.address).unwrap();
    let look = client.engine().look(|tx, _| {
        let live = tx.chat(chat)?.and_then(|row| row.live_log);
        Ok(tx.conversation(live.expect("a live log"))?)
    });
    look.unwrap().expect("its conversation")
}

/// Seals any content as `from`'s device and lets the driver post it.
fn post(from: &Client, to: &Person, content: impl FnOnce(&ConversationRow) -> Content) {
    let row = live(from, to);
    let padded = content(&row).encode_padded().unwrap();
    let posted = from.engine().step(|step| {
        let mut group = Conversation::load(step.tx, row.log_id).unwrap().unwrap();
        let sealed = group.seal(step.outside(), &padded).unwrap();
        step.tx
            .push_outbox(row.chat_id, Some(row.log_id), None, OutboxKind::Profile)?;
        let outbox = step.tx.next_outbox(row.chat_id, row.log_id, true)?;
        let id = outbox.expect("the row just made").id;
        Ok(step.tx.seal_outbox(id, row.log_id, row.epoch.0, &sealed)?)
    });
    posted.unwrap();
    from.wake();
}

/// Content that keeps the rules, of any kind.
fn content(row: &ConversationRow, id: u8, kind: Kind) -> Content {
    Content {
        message_id: MessageId::new([id; 16]),
        sent_ms: row.updated_ms,
        seen: Mark {
            seq: row.cursor_seq,
            hash: row.cursor_hash,
        },
        state_head: None,
        kind,
    }
}

fn text(body: &str) -> Kind {
    Kind::text(body)
}

/// The same id twice in one log, with other words: the first stays, and is told once.
#[tokio::test(flavor = "multi_thread")]
async fn c052_first_of_two_messages_with_one_id_stays() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let mut events = ben.events();
    for body in ["first", "second"] {
        post(&anna, &ben, |row| content(row, 7, text(body)));
        anna.settle(LONG).await.unwrap();
    }
    ben.settle(LONG).await.unwrap();
    assert_eq!(ben.texts(&anna), ["hello", "first"]);
    let mut told = 0;
    while let Ok(event) = events.try_recv() {
        told += usize::from(matches!(event, Event::Received(_)));
    }
    assert_eq!(told, 1);
}

/// An id that somebody else used before is not taken by it: ids count for their sender alone.
#[tokio::test(flavor = "multi_thread")]
async fn c052_ids_of_two_senders_do_not_meet() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    post(&anna, &ben, |row| content(row, 7, text("by anna")));
    anna.settle(LONG).await.unwrap();
    ben.settle(LONG).await.unwrap();
    post(&ben, &anna, |row| content(row, 7, text("by ben")));
    world.settle(&[&ben, &anna]).await;
    assert_eq!(anna.texts(&ben).last().unwrap(), "by ben");
    assert_eq!(ben.texts(&anna).last().unwrap(), "by anna");
}

/// Ends the live conversation on this side, as a restored server would.
fn break_off(client: &Client, other: &Person) {
    let row = live(client, other);
    let broken = client
        .engine()
        .step(|step| crate::recover::break_off(step, row, "a test says so"));
    broken.unwrap();
}

/// A message of the old conversation that comes again in its successor is not shown again.
#[tokio::test(flavor = "multi_thread")]
async fn c052_holds_across_a_successor() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    post(&anna, &ben, |row| content(row, 7, text("once")));
    world.settle(&[&anna, &ben]).await;
    let old = live(&anna, &ben).log_id;
    break_off(&anna, &ben);
    anna.say(&ben, "in the new one").await;
    world.settle(&[&anna, &ben]).await;
    assert_ne!(live(&anna, &ben).log_id, old);
    // C-059: the successor is the live one on both sides.
    assert_eq!(live(&anna, &ben).log_id, live(&ben, &anna).log_id);
    post(&anna, &ben, |row| content(row, 7, text("once more")));
    world.settle(&[&anna, &ben]).await;
    assert_eq!(ben.texts(&anna), ["hello", "once", "in the new one"]);
}

/// What a receipt claims, given what is true.
type Claim = fn(Mark) -> Mark;

/// Ben's device sends no receipts of its own.
fn keep_silent(ben: &Client, anna: &Person) {
    let silent = ben.engine().step(|step| {
        let contact = step.tx.contact_by_identifier(&anna.address)?;
        Ok(step.tx.put_contact(&ContactRow {
            accepted: false,
            ..contact.expect("anna")
        })?)
    });
    silent.unwrap();
}

/// Receipts beyond the head or with another hash change nothing; the honest one counts.
#[tokio::test(flavor = "multi_thread")]
async fn c053_only_marks_on_our_own_chain_count() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    keep_silent(&ben, &anna);
    let id = anna.say(&ben, "one").await;
    anna.settle(LONG).await.unwrap();
    ben.settle(LONG).await.unwrap();
    let beyond = |mark: Mark| Mark {
        seq: Seq(mark.seq.0 + 100),
        ..mark
    };
    let other_hash = |mark: Mark| Mark {
        hash: Hash32::new([9; 32]),
        ..mark
    };
    let honest = |mark: Mark| mark;
    let cases: [(Claim, MessageState); 3] = [
        (beyond, MessageState::Accepted),
        (other_hash, MessageState::Accepted),
        (honest, MessageState::Read),
    ];
    for (change, expected) in cases {
        post(&ben, &anna, |row| {
            let delivered = change(Mark {
                seq: row.cursor_seq,
                hash: row.cursor_hash,
            });
            let read_up_to = delivered.seq;
            let receipt = Receipt {
                delivered,
                read_up_to,
            };
            content(row, 8, Kind::Receipt(receipt))
        });
        ben.settle(LONG).await.unwrap();
        anna.settle(LONG).await.unwrap();
        assert_eq!(anna.state(id).0, expected);
        assert_eq!(anna.chat_state(&ben).0, ChatState::Open);
    }
}

/// A member who saw another log than this device: the chat is paused with proof, and goes on when the person says so.
#[tokio::test(flavor = "multi_thread")]
async fn c054_another_view_of_the_log_pauses_the_chat() {
    let other_hash: fn(&mut Mark) = |seen| seen.hash = Hash32::new([9; 32]);
    let future: fn(&mut Mark) = |seen| seen.seq = Seq(seen.seq.0 + 100);
    for change in [other_hash, future] {
        let world = World::new().await;
        let (anna, ben) = world.friends().await;
        post(&ben, &anna, |row| {
            let mut content = content(row, 7, text("I saw something else"));
            change(&mut content.seen);
            content
        });
        ben.settle(LONG).await.unwrap();
        anna.settle(LONG).await.unwrap();
        let (state, reason) = anna.chat_state(&ben);
        assert_eq!(state, ChatState::Paused);
        assert!(reason.contains("different log"), "{reason}");
        assert!(anna.is_warned("proof of misbehaviour"));
        anna.send(&ben.address, "no").await.unwrap_err();
        anna.accept_identity(&ben.address).unwrap();
        anna.say(&ben, "go on").await;
        world.settle(&[&anna, &ben]).await;
        assert_eq!(ben.texts(&anna).last().unwrap(), "go on");
        assert_eq!(anna.chat_state(&ben).0, ChatState::Open);
    }
}

/// Content as a later version would write it.
#[derive(Clone, PartialEq, prost::Message)]
struct Later {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(bytes = "vec", tag = "2")]
    message_id: Vec<u8>,
    #[prost(uint64, tag = "3")]
    sent_ms: u64,
    #[prost(uint64, tag = "4")]
    seen_seq: u64,
    #[prost(bytes = "vec", tag = "5")]
    seen_hash: Vec<u8>,
    #[prost(bytes = "vec", tag = "31")]
    poll: Vec<u8>,
}

/// Content of an unknown kind or version is kept whole and shown as what it is; nonsense is told; both go on.
#[tokio::test(flavor = "multi_thread")]
async fn c056_newer_content_is_kept_and_shown_as_such() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    for (version, id) in [(1, 1), (2, 2)] {
        post(&ben, &anna, |row| {
            let later = Later {
                version,
                message_id: vec![id; 16],
                sent_ms: row.updated_ms,
                seen_seq: row.cursor_seq.0,
                seen_hash: row.cursor_hash.to_vec(),
                poll: b"kept whole".to_vec(),
            };
            let bytes = later.encode_to_vec();
            content(row, id, Kind::Newer { bytes })
        });
        ben.settle(LONG).await.unwrap();
    }
    let bytes = b"no protobuf at all".to_vec();
    post(&ben, &anna, |row| content(row, 3, Kind::Newer { bytes }));
    ben.settle(LONG).await.unwrap();
    ben.say(&anna, "still here").await;
    world.settle(&[&ben, &anna]).await;
    let texts = anna.texts(&ben);
    assert_eq!(texts.len(), 5, "{texts:?}");
    for shown in &texts[1..3] {
        assert!(shown.contains("newer version"), "{shown}");
    }
    assert!(texts[3].contains("cannot be shown"), "{texts:?}");
    assert_eq!(texts[4], "still here");
    let kept = anna
        .engine()
        .look(|tx, _| Ok(tx.find_message(MessageId::new([1; 16]))?));
    let kept = kept.unwrap().expect("the row");
    assert!(kept.raw.windows(10).any(|part| part == b"kept whole"));
}

/// After 500 own messages a self-update goes before the next one.
#[tokio::test(flavor = "multi_thread")]
async fn c057_self_update_after_500_sends() {
    for (sent, is_due) in [(SELF_UPDATE_SENDS - 1, false), (SELF_UPDATE_SENDS, true)] {
        let world = World::new().await;
        let (mut anna, ben) = world.friends().await;
        let mut row = live(&anna, &ben);
        row.own_sends = u64::from(sent);
        let counted = anna
            .engine()
            .step(|step| Ok(step.tx.put_conversation(&row)?));
        counted.unwrap();
        let tamper = Tamper::new(&world, |_, _| Fate::Pass);
        anna.restart(Arc::new(Road(tamper.clone()))).await;
        anna.say(&ben, "one more").await;
        world.settle(&[&anna, &ben]).await;
        let calls = tamper.calls();
        let update = calls
            .iter()
            .position(|call| matches!(call, Body::PutBundle(_)));
        let append = calls
            .iter()
            .position(|call| matches!(call, Body::AppendEntry(_)));
        assert_eq!(update.is_some(), is_due);
        assert!(update < append);
        assert_eq!(ben.texts(&anna), ["hello", "one more"]);
    }
}

/// The other side removes this device: the chat is paused, all others go on, and the person's word starts anew.
#[tokio::test(flavor = "multi_thread")]
async fn removed_device_stops_that_chat_alone() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let carl = world.person("carl").await;
    let mut row = live(&anna, &ben);
    let removed = anna.engine().step(|step| {
        let members = step.group(row.log_id)?.members();
        let peer = members
            .into_iter()
            .find(|member| member.account_id != step.own.account.device.account_id);
        let applied = Applied {
            committer: peer,
            next_access: None,
            retention_days: 30,
            added: vec![],
            removed: vec![],
            context_before: step.group(row.log_id)?.context().clone(),
        };
        let group = step.group(row.log_id)?;
        let at = (row.cursor_seq.0 + 1, row.cursor_hash);
        receive::merged(step, &mut row, &group, &applied, at)
    });
    assert_eq!(removed.unwrap(), Outcome::Stuck);
    let (state, reason) = anna.chat_state(&ben);
    assert_eq!(state, ChatState::Paused);
    assert!(reason.contains("removed this device"), "{reason}");
    anna.say(&carl, "hello").await;
    anna.settle(LONG).await.unwrap();
    carl.settle(LONG).await.unwrap();
    assert_eq!(carl.requests().unwrap().len(), 1);
    anna.accept_identity(&ben.address).unwrap();
    anna.say(&ben, "why?").await;
    world.settle(&[&anna, &ben]).await;
    assert_eq!(ben.texts(&anna), ["hello", "why?"]);
}

/// Both updates at once: the one that lost is given up, its message is sealed again, nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn c061_lost_race_gives_way_to_the_winner() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    world.clock.pass(8 * DAY_MS);
    let tamper = Tamper::new(&world, |_, call| match call {
        Body::PutBundle(_) => Fate::DieBefore,
        _ => Fate::Pass,
    });
    anna.restart(Arc::new(Road(tamper.clone()))).await;
    anna.say(&ben, "by anna").await;
    tamper.dead.notified().await;
    anna.die().await;
    anna.wake_up();
    assert!(live(&anna, &ben).pending_bundle.is_some());
    ben.say(&anna, "by ben").await;
    ben.settle(LONG).await.unwrap();
    anna.go_online_over(world.transport());
    world.settle(&[&anna, &ben]).await;
    for texts in [anna.texts(&ben), ben.texts(&anna)] {
        assert_eq!(texts, ["hello", "by ben", "by anna"]);
    }
    assert_eq!(live(&anna, &ben).epoch, live(&ben, &anna).epoch);
    assert!(live(&anna, &ben).pending_bundle.is_none());
}

/// Opens an invitation as its recipient sees it.
fn invitation(client: &Client, from: &Person) -> (InvitationRow, WelcomePointer) {
    let chat = client.find_chat(&from.address).unwrap();
    let rows = client.engine().look(|tx, _| Ok(tx.invitations_of(chat)?));
    let row = rows.unwrap().pop().expect("an invitation");
    let pointer = codec::parse_exact(&row.pointer).unwrap();
    (row, pointer)
}

/// Lets `from`'s driver post an item to `to`, beside the conversation `log`.
fn post_item(from: &Client, log: LogId, to: &Client, pointer: WelcomePointer) {
    let (account, device, cert) = {
        let engine = to.engine();
        let own = &engine.own().unwrap().account;
        (
            own.device.account_id,
            own.device.device_id,
            own.cert.clone(),
        )
    };
    let item = inbox_item::seal(&InboxItem::Welcome(pointer), &cert).unwrap();
    let queued = from
        .engine()
        .step(|step| Ok(step.tx.push_post(log, (account, device), &item, 0)?));
    queued.unwrap();
    from.wake();
}

/// A true intro passed on to somebody else, or shown for another log, leads to no request.
#[tokio::test(flavor = "multi_thread")]
async fn c039_intro_for_somebody_else_or_another_log_is_void() {
    let world = World::new().await;
    let (carl, ben) = world.friends().await;
    let anna = world.person("dora").await;
    anna.say(&ben, "for ben alone").await;
    anna.settle(LONG).await.unwrap();
    ben.settle(LONG).await.unwrap();
    let log = live(&ben, &carl).log_id;
    post_item(&ben, log, &carl, invitation(&ben, &anna).1);
    let mut other_log = invitation(&ben, &anna).1;
    other_log.log_id = LogId::new([9; 32]);
    post_item(&ben, log, &ben, other_log);
    world.settle(&[&ben, &carl]).await;
    assert!(carl.requests().unwrap().is_empty());
    assert_eq!(carl.contacts().unwrap().len(), 1, "ben alone");
    assert_eq!(ben.requests().unwrap().len(), 1, "anna's own");
    assert_eq!(
        invitation(&ben, &anna).0.log_id,
        invitation(&ben, &anna).1.log_id
    );
    ben.accept(&anna).await;
    world.settle(&[&ben, &anna]).await;
    assert_eq!(ben.texts(&anna), ["for ben alone"]);
}

/// Nothing is fetched, joined or committed before the person accepts; a declined request stays that way.
#[tokio::test(flavor = "multi_thread")]
async fn c039_nothing_is_fetched_before_the_person_accepts() {
    let world = World::new().await;
    let (anna, mut ben) = (world.person("anna").await, world.person("ben").await);
    let tamper = Tamper::new(&world, |_, _| Fate::Pass);
    ben.restart(Arc::new(Road(tamper.clone()))).await;
    anna.say(&ben, "hello").await;
    anna.settle(LONG).await.unwrap();
    ben.settle(LONG).await.unwrap();
    let chat = ben.requests().unwrap()[0].chat;
    ben.decline_request(chat).unwrap();
    anna.say(&ben, "please").await;
    world.settle(&[&anna, &ben]).await;
    let fetched = |tamper: &Tamper| {
        let calls = tamper.calls().into_iter();
        let calls = calls.filter(|call| {
            matches!(
                call,
                Body::FetchBlob(_) | Body::OpenLogs(_) | Body::PutBundle(_) | Body::AppendEntry(_)
            )
        });
        calls.count()
    };
    assert_eq!(fetched(&tamper), 0);
    ben.accept_request(chat).unwrap();
    world.settle(&[&ben, &anna]).await;
    assert!(fetched(&tamper) > 2);
    assert_eq!(ben.texts(&anna), ["hello", "please"]);
}

/// An accepted person's intro with the welcome of somebody else: given up and told, and everything else goes on.
#[tokio::test(flavor = "multi_thread")]
async fn c039_welcome_by_somebody_else_than_the_intro_is_given_up() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let eve = world.person("eve").await;
    eve.say(&ben, "let me in").await;
    eve.settle(LONG).await.unwrap();
    ben.settle(LONG).await.unwrap();
    let (row, _) = invitation(&ben, &eve);
    let trusted = live(&ben, &anna).chat_id;
    let forged = ben.engine().step(|step| {
        let chat = step.tx.chat(trusted)?.expect("the chat with anna");
        step.tx.delete_invitation(row.log_id)?;
        Ok(step.tx.put_invitation(&InvitationRow {
            chat_id: trusted,
            account_id: chat.peer.unwrap(),
            ..row
        })?)
    });
    forged.unwrap();
    let before = live(&ben, &anna).log_id;
    ben.settle(LONG).await.unwrap();
    assert!(ben.is_warned("by somebody else"), "{:?}", ben.status());
    assert_eq!(live(&ben, &anna).log_id, before);
    ben.say(&anna, "all is well").await;
    world.settle(&[&ben, &anna]).await;
    assert_eq!(anna.texts(&ben).last().unwrap(), "all is well");
}

/// A step that fails leaves nothing: not the row, not the ratchet, not an event.
#[tokio::test(flavor = "multi_thread")]
async fn c050_failed_step_leaves_nothing() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let row = live(&anna, &ben);
    let mut events = anna.events();
    let padded = content(&row, 7, text("never")).encode_padded().unwrap();
    let failed = anna.engine().step(|step| {
        let mut group = Conversation::load(step.tx, row.log_id).unwrap().unwrap();
        group.seal(step.outside(), &padded).unwrap();
        crate::send::queue(step, row.chat_id, "never")?;
        step.warn("never");
        Err::<(), _>(crate::ClientError::Broken("a test says so".into()))
    });
    failed.unwrap_err();
    assert!(events.try_recv().is_err());
    assert_eq!(anna.texts(&ben), ["hello"]);
    anna.say(&ben, "after it").await;
    world.settle(&[&anna, &ben]).await;
    assert_eq!(ben.texts(&anna), ["hello", "after it"]);
}

/// A state that somebody made for another's account, under a key of their own.
fn planted(victim: &Client) -> AccountStates {
    let own = victim.engine().own().unwrap().account.state.content.clone();
    let (identity, device) = (
        IdentitySecret::generate(&OsEnv),
        DeviceSecret::generate(&OsEnv),
    );
    let facts = DeviceFacts {
        server_id: own.server_id,
        account_id: own.account_id,
        generation: 1,
        device_id: DeviceId::random(&OsEnv),
        role: DeviceRole::Certifier,
        not_before_ms: 0,
        not_after_ms: u64::MAX,
    };
    let cert = identity.certify(&device, &facts);
    let facts = StateFacts {
        server_id: own.server_id,
        account_id: own.account_id,
        generation: 1,
        issued_ms: 0,
        flags: 0,
    };
    let state = identity.first_state(&facts, std::slice::from_ref(&cert));
    AccountStates {
        states: vec![state.to_bytes()],
        certs: vec![cert.to_bytes()],
        former_certs: vec![],
    }
}

/// Whoever shows a state of their own making for a contact's account stops nobody and changes no pin.
#[tokio::test(flavor = "multi_thread")]
async fn c016_nobody_speaks_for_another_account() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let before = anna.safety(&ben.address).unwrap();
    let states = planted(&ben);
    let judged = anna
        .engine()
        .step(|step| accept_states(step, Source::Peer, &states))
        .unwrap();
    assert!(matches!(judged, Judged::Doubtful));
    assert_eq!(anna.safety(&ben.address).unwrap(), before);
    anna.say(&ben, "still you").await;
    world.settle(&[&anna, &ben]).await;
    assert_eq!(ben.texts(&anna).last().unwrap(), "still you");
}

/// A pin that a stranger planted before the first contact gives way to what the lookup says.
#[tokio::test(flavor = "multi_thread")]
async fn c016_lookup_replaces_a_planted_pin() {
    let world = World::new().await;
    let (anna, ben) = (world.person("anna").await, world.person("ben").await);
    ben.settle(LONG).await.unwrap();
    let states = planted(&ben);
    anna.engine()
        .step(|step| accept_states(step, Source::Peer, &states))
        .unwrap();
    anna.say(&ben, "hello").await;
    anna.settle(LONG).await.unwrap();
    ben.accept(&anna).await;
    world.settle(&[&ben, &anna]).await;
    assert_eq!(
        anna.safety(&ben.address).unwrap().number,
        ben.safety(&anna.address).unwrap().number
    );
}
