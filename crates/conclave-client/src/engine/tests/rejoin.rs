//! Devices that lost their place in a group: they come back, and nobody else is moved.

use conclave_core::inbox_item::{Rejoin, WelcomePointer};
use conclave_proto::codec::parse_exact;
use conclave_proto::id::Day;
use conclave_proto::limits::{RETENTION_DAYS, SUCCESSOR_SPACING_MS};

use super::groups::{conversation, pointer, three};
use super::*;
use crate::invite::intro;
use crate::rejoin;
use crate::store::Stage;
use crate::support::DAY_MS;
use crate::support::tamper::forgetful;

fn ids(of: &Client) -> (conclave_proto::id::AccountId, DeviceId) {
    let whoami = of.whoami().unwrap();
    (whoami.account_id, whoami.device_id)
}

/// The request of `from`'s device for `to`'s.
fn request(from: &Client, to: &Client, log_id: LogId) -> InboxItem {
    let to = ids(to);
    let made = from.engine().step(|step| intro(step, to, log_id, None));
    let intro = made.unwrap();
    InboxItem::Rejoin(Rejoin { log_id, intro })
}

/// Queues an item of `from`'s making for `to`'s inbox; `beside` is a log whose posts go out.
fn send_item(from: &Client, beside: LogId, to: &Client, item: &InboxItem) {
    let cert = to.engine().own().unwrap().account.cert.clone();
    let (item, to) = (inbox_item::seal(item, &cert).unwrap(), ids(to));
    let queued = from
        .engine()
        .step(|step| Ok(step.tx.push_post(beside, to, &item, 0)?));
    queued.unwrap();
    from.wake();
}

/// Carl sleeps while the group goes on under new keys, which the server does not keep for him.
async fn lost(world: &World) -> (Person, Person, Person, Arc<Tamper>) {
    let (anna, ben, carl, tamper) = asleep(world).await;
    carl.go_online_over(Arc::new(Road(tamper.clone())));
    (anna, ben, carl, tamper)
}

/// The same before Carl is online again.
async fn asleep(world: &World) -> (Person, Person, Person, Arc<Tamper>) {
    let (anna, ben, mut carl) = three(world).await;
    carl.die().await;
    ben.send("friends", "missed").await.unwrap();
    world.settle(&[&ben, &anna]).await;
    world.clock.pass(u64::from(RETENTION_DAYS + 10) * DAY_MS);
    anna.send("friends", "under new keys").await.unwrap();
    world.settle(&[&anna, &ben]).await;
    let row = conversation(&anna, anna.find_chat("friends").unwrap());
    carl.wake_up();
    let tamper = forgetful(world, row.cursor_seq.0);
    (anna, ben, carl, tamper)
}

fn texts(person: &Person) -> Vec<String> {
    let history = person.history(person.find_chat("friends").unwrap(), 100);
    history.unwrap().into_iter().map(|row| row.text).collect()
}

/// Whoever cannot read key changes any more asks, is put in anew by one member, and everybody talks on in the same
/// chat and log; what was missed is one line.
#[tokio::test(flavor = "multi_thread")]
async fn c100_a_device_that_lost_its_place_comes_back() {
    let world = World::new().await;
    let (anna, ben, carl, _) = lost(&world).await;
    let chat = carl.find_chat("friends").unwrap();
    let before = conversation(&carl, chat);
    world.settle(&[&carl, &anna, &ben]).await;
    world.settle(&[&carl, &anna, &ben]).await;
    let after = conversation(&carl, chat);
    assert_eq!((after.log_id, after.stage), (before.log_id, Stage::Live));
    let epoch = |person: &Person| person.group("friends").unwrap().epoch;
    assert!(after.epoch > before.epoch);
    assert_eq!((epoch(&anna), epoch(&ben)), (epoch(&carl), epoch(&carl)));
    assert_eq!(anna.groups().unwrap().len(), 1);
    assert_eq!(carl.group("friends").unwrap().people.len(), 3);
    let missed = texts(&carl);
    let missed = missed.iter().filter(|text| text.contains("was missed"));
    assert_eq!(missed.count(), 1);
    for (from, text) in [(&carl, "back"), (&ben, "at last"), (&anna, "indeed")] {
        from.send("friends", text).await.unwrap();
        world.settle(&[from, &anna, &ben, &carl]).await;
    }
    for person in [&anna, &ben, &carl] {
        assert!(texts(person).ends_with(&["back".into(), "at last".into(), "indeed".into()]));
        assert_eq!(
            person
                .chat(person.find_chat("friends").unwrap())
                .unwrap()
                .state,
            ChatState::Open
        );
        let waiting = person.engine().look(|tx, _| {
            let wishes = tx.intents_of(
                tx.stranded_groups()?
                    .first()
                    .map_or(chat, |row| row.chat_id),
            )?;
            Ok((
                wishes.len(),
                tx.stuck_groups()?.len(),
                tx.stranded_groups()?.len(),
            ))
        });
        assert_eq!(waiting.unwrap(), (0, 0, 0));
    }
    // It is told why, and nothing else is told to anybody.
    for (person, told) in [(&anna, 0), (&ben, 0), (&carl, 1)] {
        let warnings = person.status().unwrap().warnings;
        let about = warnings
            .iter()
            .filter(|text| text.contains("cannot be followed"));
        assert_eq!(
            (about.count(), warnings.len()),
            (told, told),
            "{warnings:?}"
        );
    }
}

/// Who is not in the group, whose request was made for another member, or who names a group that is not there, moves
/// nobody, and nothing is kept about them.
#[tokio::test(flavor = "multi_thread")]
async fn c100_nobody_but_a_member_is_put_in_anew() {
    let world = World::new().await;
    let (anna, ben, carl) = three(&world).await;
    let eve = world.person("eve").await;
    eve.say(&anna, "hello").await;
    eve.settle(LONG).await.unwrap();
    anna.accept(&eve).await;
    world.settle(&[&eve, &anna]).await;
    let beside = live(&eve, &anna).log_id;
    let log_id = conversation(&anna, anna.find_chat("friends").unwrap()).log_id;
    let before = anna.group("friends").unwrap().epoch;
    // A contact of Anna's, and a stranger to Ben.
    send_item(&eve, beside, &anna, &request(&eve, &anna, log_id));
    send_item(&eve, beside, &ben, &request(&eve, &ben, log_id));
    // A member's, for somebody else and for a log that is no group of his.
    send_item(&eve, beside, &ben, &request(&carl, &anna, log_id));
    let direct = live(&anna, &ben).log_id;
    send_item(&eve, beside, &ben, &request(&anna, &ben, direct));
    send_item(
        &eve,
        beside,
        &ben,
        &request(&carl, &ben, LogId::new([9; 32])),
    );
    world.settle(&[&eve, &anna, &ben, &carl]).await;
    for person in [&anna, &ben, &carl] {
        assert_eq!(person.group("friends").unwrap().epoch, before);
    }
    let eve_id = ids(&eve).0;
    let kept = ben.engine().look(|tx, _| Ok(tx.contact(eve_id)?.is_some()));
    assert!(!kept.unwrap());
    assert!(ben.requests().unwrap().is_empty());
}

/// A request that is shown again, or made anew on the days of the one that was granted, moves nobody.
#[tokio::test(flavor = "multi_thread")]
async fn c101_who_asks_again_is_not_moved_again() {
    let world = World::new().await;
    let (anna, ben, carl, _) = lost(&world).await;
    world.settle(&[&carl, &anna, &ben]).await;
    world.settle(&[&carl, &anna, &ben]).await;
    let epoch = |person: &Person| person.group("friends").unwrap().epoch;
    let before = epoch(&carl);
    assert_eq!(before, epoch(&anna));
    let log_id = conversation(&anna, anna.find_chat("friends").unwrap()).log_id;
    let beside = live(&anna, &ben).log_id;
    let (to_anna, to_ben) = (request(&carl, &anna, log_id), request(&carl, &ben, log_id));
    for _ in 0..3 {
        send_item(&anna, beside, &ben, &to_ben);
        send_item(&ben, beside, &anna, &to_anna);
        world.settle(&[&anna, &ben]).await;
        world.settle(&[&carl]).await;
        assert_eq!(
            (epoch(&anna), epoch(&ben), epoch(&carl)),
            (before, before, before)
        );
        world.clock.pass(SUCCESSOR_SPACING_MS + 1);
    }
}

/// A member takes up what a device asks an hour after the last time and not before, and not what was asked on the days
/// around its being put in anew.
#[tokio::test(flavor = "multi_thread")]
async fn c101_requests_are_taken_up_once_an_hour() {
    let world = World::new().await;
    let (anna, _ben, carl) = three(&world).await;
    let log_id = conversation(&anna, anna.find_chat("friends").unwrap()).log_id;
    let InboxItem::Rejoin(request) = request(&carl, &anna, log_id) else {
        panic!("another kind");
    };
    let may = |ago_ms: u64, done_days_ago: Option<u32>| {
        let asked = anna.engine().step(|step| {
            let today = Day::of_ms(step.now_ms);
            let introduced = request
                .intro
                .verify(&step.own.account.device, log_id, today)
                .unwrap();
            let done = done_days_ago.map(|ago| Day(today.0 - ago));
            let device = introduced.device_id;
            let asked_ms = step.now_ms - ago_ms;
            step.tx.put_readded(log_id, device, (asked_ms, done))?;
            Ok(rejoin::may_ask(step, &introduced, log_id)?.is_some())
        });
        asked.unwrap()
    };
    assert!(may(SUCCESSOR_SPACING_MS, None));
    assert!(!may(SUCCESSOR_SPACING_MS - 1, None));
    assert!(!may(SUCCESSOR_SPACING_MS, Some(0)));
    assert!(!may(SUCCESSOR_SPACING_MS, Some(1)));
    assert!(may(SUCCESSOR_SPACING_MS, Some(2)));
}

/// After the server was put back, a member shows another the way into a log that is none of the group: it does not
/// open, members are asked and none answers, and everybody talks on where they are.
#[tokio::test(start_paused = true)]
async fn c161_a_way_that_leads_nowhere_harms_nobody() {
    let world = World::paused();
    let (anna, ben, carl) = three(&world).await;
    let server = world.paused_server();
    server.restore(world.folder.path(), server.backup());
    world.settle(&[&anna, &ben, &carl]).await;
    let row = conversation(&anna, anna.find_chat("friends").unwrap());
    let beside = live(&carl, &anna).log_id;
    for number in 9..12 {
        let mut pointer = pointer(&carl, &anna, LogId::new([number; 32]), 1);
        pointer.successor_of = Some(row.log_id);
        post_item(&carl, beside, &anna, pointer);
        world.settle(&[&carl, &anna, &ben]).await;
    }
    assert!(anna.is_warned("its members are asked"));
    for person in [&anna, &ben, &carl] {
        let text = format!("by {}", person.address);
        person.send("friends", &text).await.unwrap();
        world.settle(&[&anna, &ben, &carl]).await;
    }
    for person in [&anna, &ben, &carl] {
        let now = conversation(person, person.find_chat("friends").unwrap());
        assert_eq!((now.log_id, now.stage), (row.log_id, Stage::Live));
        assert_eq!(texts(person).len(), 3);
    }
}

/// A lost device asks each hour and not more often, and takes no stranger's welcome in the meantime.
#[tokio::test(flavor = "multi_thread")]
async fn c101_a_lost_device_asks_once_an_hour() {
    let world = World::new().await;
    let (mut anna, mut ben, carl, tamper) = asleep(&world).await;
    let eve = world.person("eve").await;
    // Nobody answers: whoever is there would let him in.
    anna.die().await;
    ben.die().await;
    carl.go_online_over(Arc::new(Road(tamper.clone())));
    let posts = || {
        let calls = tamper.calls();
        let posts = calls
            .iter()
            .filter(|call| matches!(call, Body::PostItem(_)));
        posts.count()
    };
    for asked in [2, 4] {
        for _ in 0..2 {
            world.settle(&[&carl]).await;
            assert_eq!(posts(), asked);
        }
        world.clock.pass(SUCCESSOR_SPACING_MS);
    }
    let chat = carl.find_chat("friends").unwrap();
    let lost = conversation(&carl, chat);
    eve.say(&carl, "hello").await;
    world.settle(&[&eve, &carl]).await;
    let beside = live(&eve, &carl).log_id;
    let before = carl.requests().unwrap().len();
    let pointer = pointer(&eve, &carl, lost.log_id, lost.epoch.0 + 9);
    post_item(&eve, beside, &carl, pointer);
    world.settle(&[&eve, &carl]).await;
    assert_eq!(carl.requests().unwrap().len(), before);
    let invited = carl.engine().look(|tx, _| Ok(tx.is_invited(lost.log_id)?));
    assert!(!invited.unwrap());
    assert_eq!(carl.chat(chat).unwrap().state, ChatState::Open);
}

/// A group whose welcome is out of date is not open until the one that was asked for came, and then it is the same
/// chat; without an answer it says what it waits for.
#[tokio::test(flavor = "multi_thread")]
async fn c100_a_group_waits_for_the_welcome_that_was_asked_for() {
    let world = World::new().await;
    let (anna, mut ben) = world.friends().await;
    let tamper = Tamper::new(&world, |_, call| match call {
        Body::FetchBlob(_) => Fate::DieBefore,
        _ => Fate::Pass,
    });
    ben.restart(Arc::new(Road(tamper.clone()))).await;
    let with = [ben.address.clone()];
    anna.create_group("friends", &with).await.unwrap();
    anna.settle(LONG).await.unwrap();
    tamper.dead.notified().await;
    ben.die().await;
    ben.wake_up();
    let asked = ben.engine().step(|step| {
        let invitation = step.tx.open_invitations()?.remove(0);
        let pointer = parse_exact::<WelcomePointer>(&invitation.pointer).unwrap();
        let is_asked = rejoin::ask_inviter(step, &pointer)?;
        step.tx.delete_invitation(invitation.log_id)?;
        rejoin::await_another(step, &invitation)?;
        Ok(is_asked)
    });
    assert!(asked.unwrap());
    let chat = ben.find_chat("friends").unwrap();
    let state = |person: &Person| person.chat(chat).unwrap().state;
    assert_eq!(state(&ben), ChatState::Paused);
    assert!(ben.chat(chat).unwrap().reason.contains("out of date"));

    ben.go_online_over(world.transport());
    for _ in 0..3 {
        world.settle(&[&ben, &anna]).await;
    }
    assert_eq!(ben.find_chat("friends").unwrap(), chat);
    assert_eq!(state(&ben), ChatState::Open);
    anna.send("friends", "in again").await.unwrap();
    world.settle(&[&anna, &ben]).await;
    assert_eq!(texts(&ben).last().map(String::as_str), Some("in again"));
}
