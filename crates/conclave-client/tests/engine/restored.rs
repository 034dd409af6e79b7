//! Servers that were put back from a backup, and devices past retention: groups of every size talk again within ten
//! seconds, wherever each member stood.

use std::sync::Arc;
use std::time::Duration;

use conclave_client::view::{ChatState, GroupRole};
use conclave_proto::env::Env as _;
use conclave_proto::limits::RETENTION_DAYS;

use crate::support::tamper::{Road, forgetful};
use crate::support::{DAY_MS, LONG, Person, World};

/// How long a group may be unable to talk, in ms.
const SILENCE_MS: u64 = 10_000;

/// So many people in a group of the first one's, in a world whose time is exact.
async fn choir(count: usize) -> (World, Vec<Person>) {
    let world = World::paused();
    let mut people = Vec::new();
    for number in 0..count {
        people.push(world.person(&format!("p{number}")).await);
    }
    for other in &people[1..] {
        people[0].say(other, "hello").await;
        people[0].settle(LONG).await.unwrap();
        other.accept(&people[0]).await;
        other.settle(LONG).await.unwrap();
    }
    let who: Vec<_> = people[1..].iter().map(|one| one.address.clone()).collect();
    world.clock.be_random();
    people[0].create_group("choir", &who).await.unwrap();
    for person in &people {
        person
            .wait_until(|| person.find_chat("choir").is_ok())
            .await;
    }
    world.settle(&people.iter().collect::<Vec<_>>()).await;
    (world, people)
}

fn texts(person: &Person) -> Vec<String> {
    let chat = person.find_chat("choir").unwrap();
    let history = person.history(chat, 1000).unwrap();
    history.into_iter().map(|message| message.text).collect()
}

/// Everybody says something at once, and everybody has every word within ten seconds.
async fn talk_again(world: &World, people: &[&Person], word: &str) {
    let begin_ms = world.clock.now_ms();
    let said = |person: &Person| format!("{word} of {}", person.address);
    for person in people {
        person.send("choir", &said(person)).await.unwrap();
    }
    let all_have = || {
        people.iter().all(|person| {
            let heard = texts(person);
            people.iter().all(|other| heard.contains(&said(other)))
        })
    };
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    while !all_have() {
        looks.tick().await;
        let took_ms = world.clock.now_ms() - begin_ms;
        let stand = || {
            let of = |person: &&Person| {
                let status = person.status().unwrap();
                let group = person.group("choir").unwrap();
                (
                    person.address.clone(),
                    texts(person),
                    status,
                    group,
                    person.inspect(),
                )
            };
            people.iter().map(of).collect::<Vec<_>>()
        };
        assert!(took_ms <= SILENCE_MS, "{took_ms} ms: {:#?}", stand());
    }
}

/// All are in one conversation, with the same people and the same owner, and have everything once.
async fn agree(world: &World, people: &[&Person], everything: &[&str]) {
    world.settle(people).await;
    let stand = |person: &Person| {
        let live = person.inspect().unwrap().into_iter();
        let mut live = live.filter(|view| view.is_live && Some(view.chat) == chat_of(person));
        let view = live.next().expect("a live conversation");
        let mut members = view.members;
        members.sort_unstable();
        (view.log_id, view.epoch, view.authenticator, members)
    };
    for person in people {
        let who = &person.address;
        assert_eq!(stand(person), stand(people[0]), "{who}");
        let group = person.group("choir").unwrap();
        assert_eq!(group.chat.state, ChatState::Open, "{who}");
        assert_eq!(group.people.len(), people.len(), "{who}");
        let owners = group
            .people
            .iter()
            .filter(|one| one.role == GroupRole::Owner);
        assert_eq!(owners.count(), 1, "{who}");
        assert_eq!(person.groups().unwrap().len(), 1, "{who}");
        let heard = texts(person);
        for text in everything {
            let count = heard.iter().filter(|one| one == text).count();
            assert_eq!(count, 1, "{who}, {text}: {heard:?}");
        }
        assert!(!person.is_warned("proof of misbehaviour"), "{who}");
    }
}

fn chat_of(person: &Person) -> Option<conclave_proto::id::ChatId> {
    person.find_chat("choir").ok()
}

/// The server loses what was said and changed in a group since yesterday, and the group itself when it is that young:
/// all talk again within ten seconds, in a group of two, three and sixteen; what nobody had fetched is not lost.
async fn goes_on_after_a_restore(count: usize) {
    let (world, people) = choir(count).await;
    let all: Vec<_> = people.iter().collect();
    // with key changes among what is lost, and without
    let rounds: &[_] = if count > 3 { &[true] } else { &[false, true] };
    for (round, changes) in rounds.iter().enumerate() {
        // a successor by itself once an hour
        world.clock.pass(2 * 3_600_000);
        world.settle(&all).await;
        let backup = world.paused_server().backup();
        let name = |words: &str| format!("{words} {round}");
        all[0].send("choir", &name("fetched")).await.unwrap();
        world.settle(&all).await;
        if *changes {
            all[0].rename_group("choir", "choir two").unwrap();
            world.settle(&all).await;
            all[0].rename_group("choir two", "choir").unwrap();
            world.settle(&all).await;
        }
        all[1].send("choir", &name("unfetched")).await.unwrap();
        all[1].settle(LONG).await.unwrap();
        world.paused_server().restore(world.folder.path(), backup);
        talk_again(&world, &all, &name("again")).await;
        agree(&world, &all, &[&name("fetched"), &name("unfetched")]).await;
    }
}

/// Two people.
#[tokio::test(start_paused = true)]
async fn c160_a_group_of_two_outlives_a_restore() {
    goes_on_after_a_restore(2).await;
}

/// Three people.
#[tokio::test(start_paused = true)]
async fn c160_a_group_of_three_outlives_a_restore() {
    goes_on_after_a_restore(3).await;
}

/// Sixteen people.
#[tokio::test(start_paused = true)]
async fn c160_a_group_of_sixteen_outlives_a_restore() {
    goes_on_after_a_restore(16).await;
}

/// Who was away knows no more than the server that was put back, at an older epoch than the others: they follow the
/// owner at once when they come, and hear what they missed.
#[tokio::test(start_paused = true)]
async fn c160_who_is_not_ahead_follows_the_owner() {
    let (world, mut people) = choir(3).await;
    let mut away = people.pop().unwrap();
    let all: Vec<_> = people.iter().collect();
    away.die().await;
    let backup = world.paused_server().backup();
    all[0].rename_group("choir", "other").unwrap();
    world.settle(&all).await;
    all[0].rename_group("other", "choir").unwrap();
    world.settle(&all).await;
    all[1].send("choir", "missed").await.unwrap();
    world.settle(&all).await;
    world.paused_server().restore(world.folder.path(), backup);
    talk_again(&world, &all, "again").await;
    away.restart(world.transport()).await;
    let all: Vec<_> = people.iter().chain([&away]).collect();
    talk_again(&world, &all, "together").await;
    agree(&world, &all, &["missed", "again of p0@example.org"]).await;
}

/// The owner is away, at an older epoch: the others go on bound to theirs. The owner has no key to that, asks, is let
/// in within ten seconds, is owner still, and hears what was said meanwhile.
#[tokio::test(start_paused = true)]
async fn c161_who_stands_at_another_epoch_is_let_in() {
    let (world, mut people) = choir(3).await;
    people[0]
        .set_group_role("choir", "p1@example.org", GroupRole::Admin)
        .unwrap();
    world.settle(&people.iter().collect::<Vec<_>>()).await;
    let mut owner = people.remove(0);
    owner.die().await;
    let backup = world.paused_server().backup();
    let all: Vec<_> = people.iter().collect();
    all[0].rename_group("choir", "other").unwrap();
    world.settle(&all).await;
    all[0].rename_group("other", "choir").unwrap();
    world.settle(&all).await;
    // the admin leaves too before the server is put back: a plain member is the first
    let mut admin = people.remove(0);
    admin.die().await;
    let left = [&people[0]];
    left[0].send("choir", "alone").await.unwrap();
    world.paused_server().restore(world.folder.path(), backup);
    talk_again(&world, &left, "again").await;
    owner.restart(world.transport()).await;
    let both = [&owner, left[0]];
    talk_again(&world, &both, "together").await;
    admin.restart(world.transport()).await;
    let all = [&owner, left[0], &admin];
    talk_again(&world, &all, "all three").await;
    let heard = ["alone", "again of p2@example.org"];
    agree(&world, &all, &heard).await;
}

/// Who talked on in the old log after the restore, and said things there, comes along with them.
#[tokio::test(start_paused = true)]
async fn c161_who_went_on_in_the_old_log_comes_along() {
    let (world, mut people) = choir(4).await;
    let mut ahead = people.remove(0);
    for person in &mut people {
        person.die().await;
    }
    let backup = world.paused_server().backup();
    ahead.send("choir", "nobody has it").await.unwrap();
    ahead.settle(LONG).await.unwrap();
    ahead.die().await;
    world.paused_server().restore(world.folder.path(), backup);
    for person in &mut people {
        person.restart(world.transport()).await;
    }
    let all: Vec<_> = people.iter().collect();
    talk_again(&world, &all, "in the old one").await;
    ahead.restart(world.transport()).await;
    let all: Vec<_> = [&ahead].into_iter().chain(&people).collect();
    talk_again(&world, &all, "in the new one").await;
    let heard = ["nobody has it", "in the old one of p2@example.org"];
    agree(&world, &all, &heard).await;
}

/// A server that was put back hands out no key package twice that its device has used: new groups and first messages
/// reach everybody.
#[tokio::test(start_paused = true)]
async fn c162_used_key_packages_are_replaced_after_a_restore() {
    let (world, people) = choir(3).await;
    let all: Vec<_> = people.iter().collect();
    let backup = world.paused_server().backup();
    let who = [all[1].address.clone(), all[2].address.clone()];
    all[0].create_group("second", &who).await.unwrap();
    world.settle(&all).await;
    assert!(all[1].find_chat("second").is_ok());
    world.paused_server().restore(world.folder.path(), backup);
    world.settle(&all).await;
    all[0].create_group("third", &who).await.unwrap();
    world.settle(&all).await;
    world.settle(&all).await;
    for person in &all {
        for name in ["choir", "second", "third"] {
            let text = format!("{name} by {}", person.address);
            person.send(name, &text).await.unwrap();
        }
        world.settle(&all).await;
    }
    for person in &all {
        for name in ["choir", "second", "third"] {
            let chat = person.find_chat(name).unwrap();
            let history = person.history(chat, 100).unwrap();
            let from = history.iter().filter(|row| row.text.starts_with(name));
            assert_eq!(from.count(), 3, "{name} at {}", person.address);
        }
        let warnings = person.status().unwrap().warnings;
        let broken = warnings
            .iter()
            .find(|text| text.contains("cannot be taken"));
        assert_eq!(broken, None);
    }
}

/// Somebody slept while the group went on under new keys, which the server does not keep for them: they ask, are let
/// in, and all talk again within ten seconds.
async fn comes_back(count: usize) {
    let (world, mut people) = choir(count).await;
    let mut away = people.pop().unwrap();
    away.die().await;
    let all: Vec<_> = people.iter().collect();
    all[0].send("choir", "missed").await.unwrap();
    world.settle(&all).await;
    world.clock.pass(u64::from(RETENTION_DAYS + 10) * DAY_MS);
    all[0].send("choir", "under new keys").await.unwrap();
    world.settle(&all).await;
    let ends: Vec<_> = all[0]
        .inspect()
        .unwrap()
        .iter()
        .map(|view| view.cursor.0.0)
        .collect();
    let last = ends.into_iter().max().unwrap();
    away.wake_up();
    away.go_online_over(Arc::new(Road(forgetful(&world, last))));
    let begin_ms = world.clock.now_ms();
    let all: Vec<_> = people.iter().chain([&away]).collect();
    let stand = |person: &Person| {
        let group = person.group("choir").unwrap();
        (group.epoch, group.authenticator, group.people.len())
    };
    // what is said before it is in again is what it missed
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    while stand(&away) != stand(all[0]) {
        looks.tick().await;
        let took_ms = world.clock.now_ms() - begin_ms;
        assert!(took_ms <= SILENCE_MS, "{took_ms} ms");
    }
    talk_again(&world, &all, "together").await;
    assert!(world.clock.now_ms() - begin_ms <= SILENCE_MS);
    world.settle(&all).await;
    for person in &all {
        assert_eq!(stand(person), stand(all[0]), "{}", person.address);
    }
    let gap = texts(&away)
        .into_iter()
        .filter(|text| text.contains("was missed"));
    assert_eq!(gap.count(), 1);
}

/// One of two people, and one of three.
#[tokio::test(start_paused = true)]
async fn c100_who_comes_back_to_a_small_group_talks_within_ten_seconds() {
    comes_back(2).await;
    comes_back(3).await;
}

/// One of sixteen people.
#[tokio::test(start_paused = true)]
async fn c100_who_comes_back_to_sixteen_talks_within_ten_seconds() {
    comes_back(16).await;
}
