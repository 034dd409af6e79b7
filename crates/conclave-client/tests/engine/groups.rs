//! Groups: made, joined, talked in, changed by two at once, left.

use conclave_client::ClientError;
use conclave_client::view::{ChatState, GroupRole, MessageState, Moment, NoteKind, TrustMode};
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

/// Who has no right is refused before anything is sent: nothing waits, and the epoch stays.
#[tokio::test(flavor = "multi_thread")]
async fn c106_what_nobody_may_do_is_not_sent() {
    let world = World::new().await;
    let anna = world.person("anna").await;
    let (ben, carl) = (world.person("ben").await, world.person("carl").await);
    let dora = world.person("dora").await;
    group_of(&world, &anna, &[&ben, &carl]).await;
    let before = ben.group("friends").unwrap();
    let carl_id = carl.whoami().unwrap().account_id.to_string();
    let refused = [
        ben.add_to_group("friends", std::slice::from_ref(&dora.address))
            .await,
        ben.remove_from_group("friends", &carl_id),
        ben.remove_from_group("friends", &anna.address),
        ben.rename_group("friends", "mine"),
        ben.set_group_role("friends", &ben.address, GroupRole::Owner),
        ben.create_group_link("friends"),
        // The only owner cannot go, nor give up owning.
        anna.leave_group("friends"),
        anna.set_group_role("friends", &anna.address, GroupRole::Member),
    ];
    for refusal in refused {
        assert!(
            matches!(refusal, Err(ClientError::NotAllowed(_))),
            "{refusal:?}"
        );
    }
    world.settle(&[&ben, &anna]).await;
    let after = ben.group("friends").unwrap();
    assert_eq!((after.epoch, &after.people), (before.epoch, &before.people));
    assert!(after.waiting.is_empty() && after.failed.is_empty());
    // A group cannot be named like a person, and an identifier never means a group.
    for name in ["anna@example.org", "+4915112345678", "c_00", "", "a\u{7}b"] {
        let named = anna.create_group(name, &[]).await;
        assert!(matches!(named, Err(ClientError::BadInput(_))), "{name}");
    }
}

/// Who is removed is told, keeps what was written, and reads and writes nothing after; no conversation is begun in
/// place of the old one. Added again they read on from there.
#[tokio::test(flavor = "multi_thread")]
async fn c109_removed_people_keep_what_they_had() {
    let world = World::new().await;
    let anna = world.person("anna").await;
    let (ben, carl) = (world.person("ben").await, world.person("carl").await);
    let chat = group_of(&world, &anna, &[&ben, &carl]).await;
    anna.send("friends", "before").await.unwrap();
    world.settle(&[&anna, &ben, &carl]).await;
    anna.remove_from_group("friends", &carl.address).unwrap();
    world.settle(&[&anna, &ben, &carl]).await;
    anna.send("friends", "after").await.unwrap();
    world.settle(&[&anna, &ben, &carl]).await;
    let gone = carl.group("friends").unwrap();
    assert_eq!(gone.chat.state, ChatState::Left);
    assert!(
        gone.chat.reason.contains("removed you"),
        "{}",
        gone.chat.reason
    );
    assert!(carl.is_warned("removed you from the group"));
    assert_eq!(texts(&carl), [("anna".to_owned(), "before".to_owned())]);
    let refused = carl.send("friends", "still here?").await;
    assert!(matches!(refused, Err(ClientError::NotAllowed(_))));
    agree(&[&anna, &ben]);
    assert_eq!(anna.group("friends").unwrap().people.len(), 2);

    anna.add_to_group("friends", std::slice::from_ref(&carl.address))
        .await
        .unwrap();
    world.settle(&[&anna, &carl, &ben]).await;
    anna.send("friends", "welcome back").await.unwrap();
    world.settle(&[&anna, &carl, &ben]).await;
    let read: Vec<_> = texts(&carl).into_iter().map(|(_, text)| text).collect();
    assert_eq!(read, ["before", "welcome back"]);
    assert_eq!(anna.find_chat("friends").unwrap(), chat);
}

/// Leaving: an admin gives up their rights, says so, and is taken out by the owner; the group stays readable. Nobody
/// puts them back without their word.
#[tokio::test(flavor = "multi_thread")]
async fn leaving_is_carried_out_by_those_who_stay() {
    let world = World::new().await;
    let anna = world.person("anna").await;
    let (ben, carl) = (world.person("ben").await, world.person("carl").await);
    group_of(&world, &anna, &[&ben, &carl]).await;
    anna.set_group_role("friends", &ben.address, GroupRole::Admin)
        .unwrap();
    world.settle(&[&anna, &ben, &carl]).await;
    ben.leave_group("friends").unwrap();
    world.settle(&[&ben, &anna, &carl]).await;
    world.settle(&[&ben, &anna, &carl]).await;
    agree(&[&anna, &carl]);
    let stay = anna.group("friends").unwrap();
    assert_eq!(stay.people.len(), 2);
    let left = ben.group("friends").unwrap();
    assert_eq!((left.chat.state, left.epoch), (ChatState::Left, None));
    let refused = ben.send("friends", "one more thing").await;
    assert!(matches!(refused, Err(ClientError::NotAllowed(_))));

    anna.add_to_group("friends", std::slice::from_ref(&ben.address))
        .await
        .unwrap();
    world.settle(&[&anna, &ben]).await;
    assert_eq!(ben.group("friends").unwrap().chat.state, ChatState::Request);
    ben.accept_request(left.chat.id).unwrap();
    world.settle(&[&ben, &anna, &carl]).await;
    anna.send("friends", "again").await.unwrap();
    world.settle(&[&anna, &ben, &carl]).await;
    assert_eq!(texts(&ben).last().unwrap().1, "again");
}

/// A stranger's group is a request that fetches nothing; one stranger can have no more than eight of them wait.
#[tokio::test(flavor = "multi_thread")]
async fn c111_groups_of_strangers_ask_first_and_are_few() {
    let world = World::new().await;
    let (anna, eve) = (world.person("anna").await, world.person("eve").await);
    for number in 0..10 {
        let who = std::slice::from_ref(&anna.address);
        eve.create_group(&format!("group {number}"), who)
            .await
            .unwrap();
        eve.settle(LONG).await.unwrap();
    }
    anna.settle(LONG).await.unwrap();
    let requests = anna.requests().unwrap();
    assert_eq!(requests.len(), 8);
    let first = &requests[0];
    assert_eq!(first.from.identifier, eve.address);
    let name = first.group.clone().unwrap();
    assert!(
        anna.groups()
            .unwrap()
            .iter()
            .all(|group| group.epoch.is_none())
    );
    anna.accept_request(first.chat).unwrap();
    world.settle(&[&anna, &eve]).await;
    eve.send(&name, "welcome").await.unwrap();
    world.settle(&[&eve, &anna]).await;
    let read = anna.history(first.chat, 10).unwrap();
    assert_eq!(read.last().unwrap().text, "welcome");
    // In her group, and still no contact of anna's.
    eve.create_group("one more", std::slice::from_ref(&anna.address))
        .await
        .unwrap();
    world.settle(&[&eve, &anna]).await;
    assert_eq!(
        anna.group("one more").unwrap().chat.state,
        ChatState::Request
    );
}

/// Under strict trust nothing goes into a group while one of its people is not verified; they are named, and what
/// was refused is not sent later. Others may write there, and are read.
#[tokio::test(flavor = "multi_thread")]
async fn c139_strict_trust_holds_in_groups() {
    let world = World::new().await;
    let anna = world.person("anna").await;
    let (ben, carl) = (world.person("ben").await, world.person("carl").await);
    group_of(&world, &anna, &[&ben, &carl]).await;
    anna.set_trust_mode(TrustMode::Strict).unwrap();
    let mut unverified = vec!["ben@example.org", "carl@example.org"];
    for other in [&ben, &carl] {
        match anna.send("friends", "too early").await {
            Err(ClientError::Unverified(names)) => {
                let named = |who: &&str| names.contains(who);
                assert!(unverified.iter().all(named), "{names}");
                assert_eq!(names.matches('@').count(), unverified.len(), "{names}");
            }
            sent => panic!("{sent:?}"),
        }
        other.send("friends", "still heard").await.unwrap();
        world.settle(&[other, &anna, &ben, &carl]).await;
        let number = other.safety(&anna.address).unwrap().number;
        anna.verify(&other.address, &number).unwrap();
        unverified.remove(0);
    }
    anna.send("friends", "now").await.unwrap();
    world.settle(&[&anna, &ben, &carl]).await;
    agree(&[&anna, &ben, &carl]);
    let said: Vec<_> = texts(&carl).into_iter().map(|(_, text)| text).collect();
    assert_eq!(said, ["still heard", "still heard", "now"]);
}

/// A link lets somebody ask and an owner who is online lets them in; a link that was taken back is told to be stale,
/// and lets nobody in.
#[tokio::test(flavor = "multi_thread")]
async fn c115_links_let_ask_and_stale_ones_are_told() {
    let world = World::new().await;
    let anna = world.person("anna").await;
    let (ben, carl) = (world.person("ben").await, world.person("carl").await);
    group_of(&world, &anna, &[&ben]).await;
    anna.create_group_link("friends").unwrap();
    world.settle(&[&anna, &ben]).await;
    let link = anna.group_link("friends").unwrap();
    let chat = carl.join_group(&link).unwrap();
    assert_eq!(carl.group("friends").unwrap().chat.state, ChatState::Paused);
    world.settle(&[&carl, &anna, &ben]).await;
    world.settle(&[&carl, &anna, &ben]).await;
    agree(&[&anna, &ben, &carl]);
    assert_eq!(carl.find_chat("friends").unwrap(), chat);
    assert_eq!(anna.group("friends").unwrap().people.len(), 3);
    assert!(matches!(
        carl.join_group(&link),
        Err(ClientError::Exists(_))
    ));

    // who left comes back by the same way
    carl.leave_group("friends").unwrap();
    world.settle(&[&carl, &anna, &ben, &carl]).await;
    assert_eq!(anna.group("friends").unwrap().people.len(), 2);
    assert_eq!(carl.join_group(&link).unwrap(), chat);
    world.settle(&[&carl, &anna, &carl, &ben]).await;
    world.settle(&[&carl, &anna, &ben]).await;
    assert_eq!(carl.group("friends").unwrap().chat.state, ChatState::Open);
    assert_eq!(people(&carl), people(&anna));

    anna.revoke_group_link("friends").unwrap();
    world.settle(&[&anna, &ben, &carl]).await;
    assert!(matches!(
        anna.group_link("friends"),
        Err(ClientError::NotFound(_))
    ));
    let dora = world.person("dora").await;
    dora.join_group(&link).unwrap();
    world.settle(&[&dora, &anna, &dora]).await;
    let refused = dora.group("friends").unwrap().chat;
    assert_eq!(refused.state, ChatState::Left);
    assert!(
        refused.reason.contains("not valid any more"),
        "{}",
        refused.reason
    );
    assert_eq!(anna.group("friends").unwrap().people.len(), 3);
}

/// Two hundred times two owners change the group at once, now and then with one of them cut off: each epoch has one
/// winner, both wishes hold in the end, and all see the same.
#[tokio::test(flavor = "multi_thread")]
async fn c105_what_two_want_at_once_both_comes_true() {
    let mut world = World::new().await;
    world.restart_without_spacing().await;
    let anna = world.person("anna").await;
    let (mut ben, carl) = (world.person("ben").await, world.person("carl").await);
    let chat = group_of(&world, &anna, &[&ben, &carl]).await.to_string();
    let carl_id = carl.whoami().unwrap().account_id.to_string();
    anna.set_group_role(&chat, &ben.address, GroupRole::Owner)
        .unwrap();
    world.settle(&[&anna, &ben]).await;
    for pair in 0..200 {
        let (name, cut) = (format!("name {pair}"), pair % 20 == 7);
        let role = [GroupRole::Admin, GroupRole::Member][pair % 2];
        let here = ben
            .find_chat(&anna.group(&chat).unwrap().chat.name)
            .unwrap()
            .to_string();
        if cut {
            ben.die().await;
            ben.wake_up();
        }
        ben.set_group_role(&here, &carl_id, role).unwrap();
        anna.rename_group(&chat, &name).unwrap();
        if cut {
            anna.settle(LONG).await.unwrap();
            ben.restart(world.transport()).await;
        }
        anna.settle(LONG).await.unwrap();
        ben.settle(LONG).await.unwrap();
        anna.settle(LONG).await.unwrap();
        let (ours, theirs) = (anna.group(&chat).unwrap(), ben.group(&here).unwrap());
        assert_eq!((&ours.chat.name, &theirs.chat.name), (&name, &name));
        assert_eq!((ours.epoch, &ours.failed), (theirs.epoch, &vec![]));
        let carls = |group: &conclave_client::view::Group| {
            let mut people = group.people.iter();
            people
                .find(|one| one.person.account_id.to_string() == carl_id)
                .map(|one| one.role)
        };
        assert_eq!((carls(&ours), carls(&theirs)), (Some(role), Some(role)));
    }
    anna.send(&chat, "we agree").await.unwrap();
    world.settle(&[&anna, &ben, &carl]).await;
    let name = anna.group(&chat).unwrap().chat.name;
    let read = |person: &Person| {
        person
            .history(person.find_chat(&name).unwrap(), 10)
            .unwrap()
    };
    assert_eq!(read(&ben).last().unwrap().text, "we agree");
    assert_eq!(read(&carl).last().unwrap().text, "we agree");
    assert_eq!(
        carl.group(&name).unwrap().epoch,
        anna.group(&chat).unwrap().epoch
    );
}

/// Notes of a person's group as they show them: place, kind, who, whom, value.
fn notes(person: &Person, group: ChatId) -> Vec<(u64, NoteKind, String, String, String)> {
    let name = |person: Option<conclave_client::view::Person>| {
        person.map(|person| person.name).unwrap_or_default()
    };
    let timeline = person.timeline(group, 10_000).unwrap().into_iter();
    let notes = timeline.filter_map(|moment| match moment {
        Moment::Note(note) => Some(note),
        Moment::Message(_) => None,
    });
    notes
        .map(|note| {
            let (by, about) = (name(note.by), name(note.about));
            (note.seq.unwrap(), note.kind, by, about, note.value)
        })
        .collect()
}

/// What the timeline of a group says, in order, without places.
fn told(person: &Person, group: ChatId) -> Vec<String> {
    let name = |person: &Option<conclave_client::view::Person>| match person {
        Some(person) => person.name.clone(),
        None => "-".to_owned(),
    };
    let line = |moment: Moment| match moment {
        Moment::Message(message) => format!("{}: {}", message.from.name, message.text),
        Moment::Note(note) => format!(
            "{} {} {} {}",
            name(&note.by),
            note.kind.name(),
            name(&note.about),
            note.value
        )
        .trim_end()
        .to_owned(),
    };
    let timeline = person.timeline(group, 10_000).unwrap();
    timeline.into_iter().map(line).collect()
}

/// Told once, and not what `ben` did by himself; the numbers of messages do not count them.
fn told_once(ben: &Person, at_ben: ChatId) {
    let heard = ben.unheard_notes(Some(at_ben)).unwrap();
    let kinds: Vec<_> = heard.iter().map(|note| note.kind).collect();
    let expected = [
        NoteKind::Role,
        NoteKind::Added,
        NoteKind::Left,
        NoteKind::LinkMade,
        NoteKind::Removed,
    ];
    assert_eq!(kinds, expected);
    ben.mark_notes_heard(&heard).unwrap();
    assert_eq!(ben.unheard_notes(None).unwrap(), []);
}

/// Whoever comes, goes, or is given a name or a role leaves a note among the messages, the same one at the same place
/// on every device; none is unread, each is told once, and what a device did itself is not told there.
#[tokio::test(flavor = "multi_thread")]
async fn c168_changes_of_a_group_are_noted_alike_on_all_devices() {
    let world = World::new().await;
    let anna = world.person("anna").await;
    let (ben, carl) = (world.person("ben").await, world.person("carl").await);
    let dora = world.person("dora").await;
    befriend(&world, &anna, &[&dora]).await;
    let at_anna = group_of(&world, &anna, &[&ben, &carl]).await;
    let at_ben = ben.find_chat("friends").unwrap();
    let everybody = [&anna, &ben, &carl, &dora];
    let before = notes(&ben, at_ben).len();
    ben.mark_notes_heard(&ben.unheard_notes(None).unwrap())
        .unwrap();
    ben.send("friends", "before").await.unwrap();
    world.settle(&everybody).await;
    anna.set_group_role("friends", &ben.address, GroupRole::Admin)
        .unwrap();
    world.settle(&everybody).await;
    anna.add_to_group("friends", std::slice::from_ref(&dora.address))
        .await
        .unwrap();
    world.settle(&everybody).await;
    ben.send("friends", "between").await.unwrap();
    ben.settle(LONG).await.unwrap();
    ben.rename_group("friends", "hikers").unwrap();
    world.settle(&everybody).await;
    carl.leave_group("hikers").unwrap();
    world.settle(&everybody).await;
    anna.create_group_link("hikers").unwrap();
    world.settle(&everybody).await;
    let dora_id = dora.whoami().unwrap().account_id.to_string();
    anna.remove_from_group("hikers", &dora_id).unwrap();
    world.settle(&everybody).await;
    let told_ben: Vec<_> = told(&ben, at_ben).split_off(before);
    assert_eq!(
        told_ben,
        [
            "ben: before",
            "anna role ben admin",
            "anna added dora",
            "ben: between",
            "ben renamed - hikers",
            "carl left carl",
            "anna link_made -",
            "anna removed dora",
        ]
    );
    let at_carl = carl.find_chat("hikers").unwrap();
    let of_carl = notes(&carl, at_carl);
    assert_eq!(of_carl[0].1, NoteKind::Joined);
    assert_eq!(of_carl.last().unwrap().1, NoteKind::Left);
    let at_dora = dora.find_chat("hikers").unwrap();
    assert_eq!(notes(&dora, at_dora)[0].1, NoteKind::Joined);
    assert_eq!(notes(&dora, at_dora).last().unwrap().1, NoteKind::Removed);
    // From where ben came in, all that anna and he note is the same, at the same places.
    let of_ben = notes(&ben, at_ben);
    let since = of_ben[1..].first().unwrap().0;
    let of_anna = notes(&anna, at_anna);
    let of_anna = of_anna.into_iter().filter(|note| note.0 >= since);
    assert_eq!(of_anna.collect::<Vec<_>>(), of_ben[1..]);
    told_once(&ben, at_ben);
    assert_eq!(ben.chat(at_ben).unwrap().unread, 0);
    assert_eq!(told(&ben, at_ben).len(), before + 8);
    assert_eq!(ben.timeline(at_ben, 2).unwrap().len(), 2);
}

/// Who comes in by the link is told where they were let in, although nobody there did anything.
#[tokio::test(flavor = "multi_thread")]
async fn c168_who_comes_by_the_link_is_told() {
    let world = World::new().await;
    let (anna, ben) = (world.person("anna").await, world.person("ben").await);
    let chat = anna.create_group("friends", &[]).await.unwrap();
    anna.create_group_link("friends").unwrap();
    anna.settle(LONG).await.unwrap();
    assert_eq!(anna.unheard_notes(None).unwrap(), []);
    ben.join_group(&anna.group_link("friends").unwrap())
        .unwrap();
    world.settle(&[&ben, &anna, &ben]).await;
    let told = anna.unheard_notes(Some(chat)).unwrap();
    let kinds: Vec<_> = told
        .iter()
        .map(|note| (note.kind, note.value.as_str()))
        .collect();
    assert_eq!(kinds, [(NoteKind::Added, "link")]);
    assert_eq!(told[0].about.as_ref().unwrap().name, "ben");
    let at_ben = ben.unheard_notes(None).unwrap();
    assert_eq!(at_ben[0].kind, NoteKind::Joined);
    // A plain member does not hand out the link, and is told who does.
    let refused = ben.group_link("friends");
    assert!(
        matches!(&refused, Err(ClientError::NotAllowed(text)) if text.contains(&anna.address)),
        "{refused:?}"
    );
}

/// Names with characters that cannot be seen are refused wherever a person gives one.
#[tokio::test(flavor = "multi_thread")]
async fn c167_names_that_hide_something_are_refused() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    anna.create_group("friends", &[]).await.unwrap();
    let device = anna.whoami().unwrap().device_id;
    for name in [
        "Be\u{200b}n",
        "Ben\u{202e}",
        " Ben",
        "Ben\u{3164}",
        "a\u{7}b",
    ] {
        let refused = [
            anna.create_group(name, &[]).await.map(|_| ()),
            anna.rename_group("friends", name).map(|_| ()),
            anna.rename_contact(&ben.address, name),
            anna.rename_device(device, name),
        ];
        for refusal in refused {
            assert!(
                matches!(refusal, Err(ClientError::BadInput(_))),
                "{name:?}: {refusal:?}"
            );
        }
    }
    // No device is named to be taken for another.
    let id = device.to_string();
    let refused = anna.rename_device(device, &id);
    assert!(
        matches!(refused, Err(ClientError::BadInput(_))),
        "{refused:?}"
    );
    anna.rename_device(device, "Zoë’s 📱").unwrap();
}

/// A group that is called like a contact is not written to in their place, nor they in its.
#[tokio::test(flavor = "multi_thread")]
async fn c169_a_group_called_like_a_contact_is_asked_about() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let by_name = anna.send("Ben", "hi").await;
    assert!(
        matches!(&by_name, Err(ClientError::BadInput(text)) if text.contains(&ben.address)),
        "{by_name:?}"
    );
    let group = anna.create_group("Ben", &[]).await.unwrap();
    let refused = anna.send("Ben", "for whom?").await;
    let Err(ClientError::BadInput(text)) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        text.contains(&group.to_string()) && text.contains(&ben.address),
        "{text}"
    );
    anna.send(&group.to_string(), "to the group").await.unwrap();
    anna.send(&ben.address, "to him").await.unwrap();
    let nobody = anna.send("nosuch", "hi").await;
    assert!(
        matches!(nobody, Err(ClientError::NotFound(_))),
        "{nobody:?}"
    );
}
