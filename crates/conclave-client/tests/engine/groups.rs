//! Groups: made, joined, talked in, changed by two at once, left.

use conclave_client::view::{GroupRole, MessageState};
use conclave_proto::id::ChatId;

use crate::support::{LONG, Person, World};

/// Makes `others` contacts of `anna`, and her theirs.
async fn befriend(world: &World, anna: &Person, others: &[&Person]) {
    for other in others {
        anna.say(other, "hello").await;
        anna.settle(LONG).await.unwrap();
        other.accept(anna).await;
        world.settle(&[other, anna]).await;
    }
}

/// Anna and contacts of hers in one group, everything settled.
async fn group_of(world: &World, anna: &Person, others: &[&Person]) -> ChatId {
    befriend(world, anna, others).await;
    let who: Vec<_> = others.iter().map(|other| other.address.clone()).collect();
    let chat = anna.create_group("friends", &who).await.unwrap();
    let mut all = vec![anna];
    all.extend(others);
    world.settle(&all).await;
    chat
}

fn texts(person: &Person) -> Vec<(String, String)> {
    let chat = person.find_chat("friends").unwrap();
    let history = person.history(chat, 10_000).unwrap();
    let line = |message: conclave_client::view::Message| (message.from.name, message.text);
    history.into_iter().map(line).collect()
}

fn people(person: &Person) -> Vec<(String, GroupRole)> {
    let group = person.group("friends").unwrap();
    let mut people: Vec<_> = group
        .people
        .into_iter()
        .map(|member| (member.person.account_id.to_string(), member.role))
        .collect();
    people.sort();
    people
}

fn agree(people_in: &[&Person]) {
    let epoch = |person: &Person| person.group("friends").unwrap().epoch;
    for person in people_in {
        assert_eq!(epoch(person), epoch(people_in[0]));
        assert_eq!(people(person), people(people_in[0]));
        assert_eq!(texts(person), texts(people_in[0]));
    }
}

/// A contact joins at once; everybody writes to everybody, in one order; who does not know somebody learns their
/// name, and receipts come from all before a message counts as read.
#[tokio::test(flavor = "multi_thread")]
async fn three_talk_in_one_order() {
    let world = World::new().await;
    let anna = world.person("anna").await;
    let (ben, carl) = (world.person("ben").await, world.person("carl").await);
    group_of(&world, &anna, &[&ben, &carl]).await;
    let hello = anna.send("friends", "hello all").await.unwrap().id;
    world.settle(&[&anna, &ben, &carl]).await;
    ben.send("friends", "hello from ben").await.unwrap();
    world.settle(&[&ben, &anna, &carl]).await;
    carl.send("friends", "hello from carl").await.unwrap();
    world.settle(&[&carl, &anna, &ben]).await;
    agree(&[&anna, &ben, &carl]);
    let expected = [
        ("anna", "hello all"),
        ("ben", "hello from ben"),
        ("carl", "hello from carl"),
    ];
    let expected = expected.map(|(who, text)| (who.to_owned(), text.to_owned()));
    assert_eq!(texts(&ben), expected);
    assert_eq!(anna.group("friends").unwrap().people.len(), 3);
    assert_eq!(
        anna.group("friends").unwrap().people[0].role,
        GroupRole::Owner
    );

    assert_eq!(anna.state(hello).0, MessageState::Delivered);
    ben.mark_read(ben.find_chat("friends").unwrap()).unwrap();
    world.settle(&[&ben, &anna]).await;
    assert_eq!(anna.state(hello).0, MessageState::Delivered);
    carl.mark_read(carl.find_chat("friends").unwrap()).unwrap();
    world.settle(&[&carl, &anna]).await;
    assert_eq!(anna.state(hello).0, MessageState::Read);
    // Ben met carl here alone: no contact, no chat with him.
    let carl_of_ben = ben.contacts().unwrap().into_iter();
    let carl_of_ben = carl_of_ben.filter(|contact| contact.person.name == "carl");
    assert!(carl_of_ben.into_iter().all(|contact| !contact.confirmed));
}
