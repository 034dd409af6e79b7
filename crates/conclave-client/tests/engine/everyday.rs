//! Everyday talk: replies, reactions, edits, deletions, pins, timers, as both sides and all devices see them.

use conclave_client::view::{Change, GroupRole, Message, MessageState, SendMore};
use conclave_client::{ClientError, Event};
use conclave_proto::id::{ChatId, MessageId};

use crate::support::{LONG, Person, World, next_event};

fn last(person: &Person, other: &Person) -> Message {
    let history = person.history(person.chat_with(other), 1).unwrap();
    history.into_iter().next().unwrap()
}

fn shown(person: &Person, id: MessageId) -> Message {
    person.message(id).unwrap().message
}

fn emojis(person: &Person, id: MessageId) -> Vec<(String, String)> {
    let reactions = shown(person, id).reactions.into_iter();
    reactions
        .map(|reaction| (reaction.from.name, reaction.emoji))
        .collect()
}

/// Anna, Ben and Cora in one group that Anna made; Cora may do what members do.
async fn three() -> (World, [Person; 3], ChatId) {
    let world = World::new().await;
    let anna = world.person("anna").await;
    let (ben, cora) = (world.person("ben").await, world.person("cora").await);
    for other in [&ben, &cora] {
        anna.say(other, "hello").await;
        anna.settle(LONG).await.unwrap();
        other.accept(&anna).await;
        world.settle(&[other, &anna]).await;
    }
    let who = [ben.address.clone(), cora.address.clone()];
    let chat = anna.create_group("friends", &who).await.unwrap();
    world.settle(&[&anna, &ben, &cora]).await;
    (world, [anna, ben, cora], chat)
}

/// A reply names its message, a mention its person; a forwarded text says that it is one; a card carries an address.
#[tokio::test(flavor = "multi_thread")]
async fn replies_mentions_forwards_and_cards_arrive() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let first = ben.say(&anna, "shall we?").await;
    world.settle(&[&ben, &anna]).await;
    let text = format!("yes, @{}!", ben.address);
    let mention = anna.mention(&text, &ben.address).unwrap();
    let more = SendMore {
        reply_to: Some(anna.message_ref(first).unwrap()),
        mentions: vec![mention],
        ..SendMore::default()
    };
    anna.send_with(&ben.address, &text, more).await.unwrap();
    world.settle(&[&anna, &ben]).await;
    let got = last(&ben, &anna);
    let reply = got.reply.expect("an answer");
    assert_eq!(
        (reply.to.message_id, reply.text.as_str()),
        (first, "shall we?")
    );
    assert!(reply.is_here && got.mentions[0].own);
    let named = &got.mentions[0];
    assert_eq!(
        got.text.get(named.start..named.start + named.length),
        Some(format!("@{}", ben.address).as_str())
    );
    ben.forward(got.id, &anna.address).await.unwrap();
    world.settle(&[&ben, &anna]).await;
    let back = last(&anna, &ben);
    assert_eq!((back.text, back.forwarded), (text, true));
    assert!(back.reply.is_none() && back.mentions.is_empty());
    let card = SendMore {
        contact: Some(conclave_client::view::ContactCard {
            identifier: "cora@example.org".into(),
            name: "Cora".into(),
        }),
        ..SendMore::default()
    };
    anna.send_with(&ben.address, "", card.clone())
        .await
        .unwrap();
    world.settle(&[&anna, &ben]).await;
    assert_eq!(last(&ben, &anna).contact, card.contact);
}

/// Each person has one reaction on a message, the newest; an empty one takes it back; it is no unread message.
#[tokio::test(flavor = "multi_thread")]
async fn reactions_replace_each_other() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let id = anna.say(&ben, "news").await;
    world.settle(&[&anna, &ben]).await;
    ben.mark_read(ben.chat_with(&anna)).unwrap();
    for emoji in ["👍", "❤️"] {
        ben.react(id, emoji).unwrap();
    }
    anna.react(id, "🎉").unwrap();
    world.settle(&[&ben, &anna]).await;
    for person in [&anna, &ben] {
        let mut both = emojis(person, id);
        both.sort();
        let named = |name: &str, emoji: &str| (name.to_owned(), emoji.to_owned());
        assert_eq!(both, [named("anna", "🎉"), named("ben", "❤️")]);
    }
    assert_eq!(anna.chat(anna.chat_with(&ben)).unwrap().unread, 0);
    ben.react(id, "").unwrap();
    world.settle(&[&ben, &anna]).await;
    assert_eq!(emojis(&anna, id).len(), 1);
    assert!(matches!(
        ben.react(id, "a b"),
        Err(ClientError::BadInput(_))
    ));
}

/// An edit is seen on all devices of both sides, with what it said before; only the writer can make one.
#[tokio::test(flavor = "multi_thread")]
async fn edits_keep_what_was_said_before() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let pad = world.device_of(&ben, "pad").await;
    world.settle(&[&ben, &pad, &anna]).await;
    let id = anna.say(&ben, "tomorow").await;
    world.settle(&[&anna, &ben, &pad]).await;
    let mut events = ben.events();
    anna.edit(id, "tomorrow", vec![]).unwrap();
    anna.edit(id, "tomorrow at 8", vec![]).unwrap();
    world.settle(&[&anna, &ben, &pad]).await;
    next_event(&mut events, |event| match event {
        Event::Changed { what, by, .. } if what == Change::Edited && by.name == "anna" => Some(()),
        _ => None,
    })
    .await;
    for person in [&anna, &ben, &pad] {
        let info = person.message(id).unwrap();
        assert_eq!(info.message.text, "tomorrow at 8");
        assert!(info.message.edited_ms.is_some());
        let before: Vec<_> = info.versions.into_iter().map(|one| one.text).collect();
        assert_eq!(before, ["tomorow", "tomorrow"]);
    }
    assert!(matches!(
        ben.edit(id, "never", vec![]),
        Err(ClientError::NotAllowed(_))
    ));
}

/// A message edited before it was ever sent arrives as it was, and then as it is.
#[tokio::test(flavor = "multi_thread")]
async fn edit_before_sending_arrives_as_an_edit() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    anna.die().await;
    anna.wake_up();
    let id = anna.say(&ben, "one").await;
    anna.edit(id, "two", vec![]).unwrap();
    anna.go_online_over(world.transport());
    world.settle(&[&anna, &ben]).await;
    let info = ben.message(id).unwrap();
    assert_eq!(info.message.text, "two");
    assert_eq!(info.versions[0].text, "one");
}

/// Deleted for everyone: words, versions and reactions are gone on both sides, a tombstone stays; deleted before it
/// was sent it never arrives.
#[tokio::test(flavor = "multi_thread")]
async fn c172_deleted_for_everyone_leaves_a_tombstone() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    let id = anna.say(&ben, "oops").await;
    world.settle(&[&anna, &ben]).await;
    anna.edit(id, "ooops", vec![]).unwrap();
    ben.react(id, "😮").unwrap();
    world.settle(&[&anna, &ben]).await;
    anna.delete_for_everyone(id).unwrap();
    world.settle(&[&anna, &ben]).await;
    for person in [&anna, &ben] {
        let info = person.message(id).unwrap();
        assert_eq!(info.message.text, "");
        assert_eq!(info.message.deleted_by.unwrap().name, "anna");
        assert!(info.versions.is_empty() && info.message.reactions.is_empty());
        assert!(matches!(
            person.react(id, "👍"),
            Err(ClientError::NotFound(_))
        ));
    }
    anna.die().await;
    anna.wake_up();
    let never = anna.say(&ben, "never").await;
    anna.delete_for_everyone(never).unwrap();
    anna.go_online_over(world.transport());
    world.settle(&[&anna, &ben]).await;
    assert!(!ben.texts(&anna).contains(&"never".to_owned()));
}

/// Deleted for oneself it is gone here, and the other side keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn deleted_for_me_is_gone_here_alone() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let id = ben.say(&anna, "bore").await;
    world.settle(&[&ben, &anna]).await;
    anna.delete_for_me(id).unwrap();
    assert_eq!(anna.texts(&ben), ["hello"]);
    assert_eq!(anna.chat(anna.chat_with(&ben)).unwrap().unread, 0);
    ben.edit(id, "bore!", vec![]).unwrap();
    world.settle(&[&ben, &anna]).await;
    assert_eq!(anna.texts(&ben), ["hello"]);
    assert_eq!(ben.texts(&anna), ["hello", "bore!"]);
}

/// In a group owners and admins pin, set the timer and delete what others wrote; a member is told that they cannot.
#[tokio::test(flavor = "multi_thread")]
async fn c173_owners_hold_up_and_members_do_not() {
    let (world, [anna, ben, cora], chat) = three().await;
    let all = [&anna, &ben, &cora];
    let there = cora.find_chat("friends").unwrap();
    let id = cora.send("friends", "buy now").await.unwrap().id;
    world.settle(&all).await;
    let refused = [
        ben.pin(id, true).map(drop),
        ben.delete_for_everyone(id).map(drop),
        cora.set_timer(there, 60).map(drop),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(ClientError::NotAllowed(_))));
    }
    anna.pin(id, true).unwrap();
    anna.set_timer(chat, 3600).unwrap();
    world.settle(&all).await;
    for person in all {
        let chat = person.find_chat("friends").unwrap();
        assert_eq!(person.pins(chat).unwrap()[0].id, id);
        assert_eq!(person.timer(chat).unwrap().seconds, 3600);
    }
    anna.set_group_role("friends", &ben.address, GroupRole::Admin)
        .unwrap();
    world.settle(&all).await;
    ben.delete_for_everyone(id).unwrap();
    world.settle(&all).await;
    for person in all {
        assert_eq!(shown(person, id).deleted_by.unwrap().name, "ben");
        let chat = person.find_chat("friends").unwrap();
        assert!(person.pins(chat).unwrap().is_empty());
    }
}

/// Two owners set the timer at once, offline: everybody comes to the one that the log has last.
#[tokio::test(flavor = "multi_thread")]
async fn two_timers_at_once_end_as_one() {
    let world = World::new().await;
    let (mut anna, mut ben) = world.friends().await;
    for (person, other, seconds) in [(0, 1, 60), (1, 0, 120)] {
        let people = [&mut anna, &mut ben];
        let [first, second] = people;
        let (me, them) = if person == 0 {
            (first, second)
        } else {
            (second, first)
        };
        me.die().await;
        me.wake_up();
        let chat = me.find_chat(&them.address).unwrap();
        me.set_timer(chat, seconds).unwrap();
        assert_eq!(me.timer(chat).unwrap().seconds, seconds, "{other}");
    }
    anna.go_online_over(world.transport());
    ben.go_online_over(world.transport());
    world.settle(&[&anna, &ben]).await;
    let timers = [(&anna, &ben), (&ben, &anna)]
        .map(|(one, other)| one.timer(one.chat_with(other)).unwrap().seconds);
    assert_eq!(timers[0], timers[1]);
    assert_ne!(timers[0], 0);
}

/// Under a timer a message goes after it was read, and for its sender after it was sent: words, reactions and all;
/// what is unread waits; a restart changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn c177_messages_disappear_on_time() {
    let world = World::new().await;
    let (mut anna, mut ben) = world.friends().await;
    anna.set_timer(anna.chat_with(&ben), 3600).unwrap();
    world.settle(&[&anna, &ben]).await;
    let (read, unread) = (anna.say(&ben, "read").await, anna.say(&ben, "unread").await);
    world.settle(&[&anna, &ben]).await;
    ben.delete_for_me(unread).unwrap();
    let answer = ben.say(&anna, "answer").await;
    world.settle(&[&ben, &anna]).await;
    ben.mark_read(ben.chat_with(&anna)).unwrap();
    ben.react(read, "👍").unwrap();
    world.settle(&[&ben, &anna]).await;
    world.clock.pass(1_800_000);
    assert_eq!(shown(&ben, read).expires_s, 3600);
    assert_eq!(shown(&anna, answer).expires_ms, None);
    assert_eq!(ben.texts(&anna), ["hello", "read", "answer"]);
    ben.die().await;
    world.clock.pass(1_900_000);
    ben.wake_up();
    assert_eq!(ben.texts(&anna), ["hello"]);
    assert!(matches!(ben.message(read), Err(ClientError::NotFound(_))));
    // Hers go, his waits until she reads it.
    assert_eq!(anna.texts(&ben), ["hello", "answer"]);
    anna.die().await;
    anna.wake_up();
    anna.mark_read(anna.chat_with(&ben)).unwrap();
    world.clock.pass(3_700_000);
    assert_eq!(anna.texts(&ben), ["hello"]);
}

/// What waits to be sent does not disappear before it was; with the timer off messages stay.
#[tokio::test(flavor = "multi_thread")]
async fn c177_what_waits_does_not_disappear() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    anna.set_timer(anna.chat_with(&ben), 60).unwrap();
    world.settle(&[&anna, &ben]).await;
    anna.die().await;
    anna.wake_up();
    anna.say(&ben, "late").await;
    world.clock.pass(600_000);
    assert_eq!(anna.texts(&ben), ["hello", "late"]);
    anna.go_online_over(world.transport());
    world.settle(&[&anna, &ben]).await;
    assert_eq!(ben.texts(&anna), ["hello", "late"]);
    anna.set_timer(anna.chat_with(&ben), 0).unwrap();
    let stays = anna.say(&ben, "stays").await;
    world.settle(&[&anna, &ben]).await;
    assert_eq!(shown(&ben, stays).expires_s, 0);
}

/// Who writes is told to whoever listens, not from somebody blocked, and not when it is switched off; nothing is kept.
#[tokio::test(flavor = "multi_thread")]
async fn c178_typing_is_told_to_accepted_people() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let chat = anna.chat_with(&ben);
    let mut events = ben.events();
    anna.typing(chat).unwrap();
    next_event(&mut events, |event| match event {
        Event::Typing { chat, from } if chat == ben.chat_with(&anna) && from.name == "anna" => {
            Some(())
        }
        _ => None,
    })
    .await;
    // Each of these would be seen before the text that follows it.
    anna.set_says_typing(false).unwrap();
    world.clock.pass(4_000);
    anna.typing(chat).unwrap();
    anna.say(&ben, "off").await;
    world.settle(&[&anna, &ben]).await;
    anna.set_says_typing(true).unwrap();
    ben.set_blocked(&anna.address, true).unwrap();
    world.clock.pass(4_000);
    anna.typing(chat).unwrap();
    anna.settle(LONG).await.unwrap();
    ben.settle(LONG).await.unwrap();
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, Event::Typing { .. }), "{event:?}");
    }
}

/// A name and a picture reach contacts and own devices; a removed picture goes.
#[tokio::test(flavor = "multi_thread")]
async fn c179_profiles_reach_contacts_and_own_devices() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let pad = world.device_of(&anna, "pad").await;
    world.settle(&[&anna, &pad, &ben]).await;
    let mut file = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(600, 400)
        .write_to(&mut file, image::ImageFormat::Png)
        .unwrap();
    anna.set_profile(Some("Anna B."), Some(file.get_ref()))
        .unwrap();
    world.settle(&[&anna, &pad, &ben]).await;
    let picture = |person: &Person, who: Option<&str>| {
        let profile = person.profile(who).unwrap();
        (profile.person.name, profile.picture)
    };
    let mine = picture(&anna, None);
    assert_eq!(mine.0, "Anna B.");
    assert!(mine.1.is_some());
    assert_eq!(picture(&pad, None), mine);
    assert_eq!(picture(&ben, Some(&anna.address)), mine);
    assert!(anna.set_profile(None, Some(b"no picture")).is_err());
    anna.set_profile(None, Some(b"")).unwrap();
    world.settle(&[&anna, &pad, &ben]).await;
    for shown in [picture(&anna, None), picture(&ben, Some(&anna.address))] {
        assert_eq!(shown, ("Anna B.".to_owned(), None));
    }
}

/// A message's detail says which of the other side's devices have it and where it was read.
#[tokio::test(flavor = "multi_thread")]
async fn info_tells_devices_apart() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let mut pad = world.device_of(&ben, "pad").await;
    world.settle(&[&ben, &pad, &anna]).await;
    pad.die().await;
    let id = anna.say(&ben, "news").await;
    world.settle(&[&anna, &ben]).await;
    ben.mark_read(ben.chat_with(&anna)).unwrap();
    world.settle(&[&ben, &anna]).await;
    let info = anna.message(id).unwrap();
    assert_eq!(info.message.state, MessageState::Read);
    let here = ben.whoami().unwrap().device_id;
    let of_ben = info.marks.iter().find(|mark| mark.device == here);
    assert!(of_ben.is_some_and(|mark| mark.delivered && mark.read));
    assert!(
        info.marks
            .iter()
            .all(|mark| mark.device == here || !mark.read)
    );
}
