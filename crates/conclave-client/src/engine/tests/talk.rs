//! Members who do to messages what is not theirs to do, too much of it, or before the message is there.

use conclave_core::content::MessageRef;
use conclave_proto::id::{AccountId, Epoch};
use conclave_proto::limits::{ACTS_WAITING_MAX, EDITS_KEPT_MAX};

use super::*;
use crate::store::{ActKind, Position};
use crate::talk::{self, Rights};
use crate::view::Message;

fn account(client: &Client) -> AccountId {
    client.whoami().unwrap().account_id
}

fn of(client: &Client, id: MessageId) -> MessageRef {
    MessageRef {
        sender: account(client),
        message_id: id,
    }
}

fn emoji(target: MessageRef, emoji: &str) -> Kind {
    Kind::Reaction {
        target,
        emoji: emoji.to_owned(),
    }
}

fn edit(target: MessageRef, body: &str) -> Kind {
    Kind::Edit {
        target,
        body: body.to_owned(),
        mentions: vec![],
    }
}

fn shown(client: &Client, id: MessageId) -> Message {
    client.message(id).unwrap().message
}

/// Gives `client` acts as if their entries stood in the log, one after the other.
fn feed(client: &Client, other: &Person, sender: AccountId, kinds: impl Iterator<Item = Kind>) {
    let row = live(client, other);
    let fed = client.engine().step(|step| {
        for (n, kind) in kinds.enumerate() {
            let done = talk::Done {
                chat_id: row.chat_id,
                sender,
                act_id: MessageId::random(&OsEnv),
                sent_ms: step.now_ms,
            };
            let at = Position {
                log_id: row.log_id,
                ordinal: row.ordinal,
                seq: Seq(1_000 + n as u64),
                epoch: Epoch(1),
                devices: 1,
            };
            talk::receive(step, &done, kind, Rights::default(), &at)?;
        }
        Ok(())
    });
    fed.unwrap();
}

fn count(client: &Client, target: MessageRef, kind: ActKind) -> usize {
    let look = client.engine().look(|tx, _| {
        let mut all = 0;
        for chat in tx.chats()? {
            all += tx.acts_on(chat.chat_id, target, kind)?.len();
        }
        Ok(all)
    });
    look.unwrap()
}

/// Anna's message stays as it is whatever Ben's program says of it: edited, deleted, in Anna's name or his.
#[tokio::test(flavor = "multi_thread")]
async fn c171_c172_nobody_changes_what_another_wrote() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let id = anna.say(&ben, "mine").await;
    world.settle(&[&anna, &ben]).await;
    let target = of(&anna, id);
    for (n, kind) in [(40, edit(target, "his")), (41, Kind::Delete { target })] {
        post(&ben, &anna, |row| content(row, n, kind));
        ben.settle(LONG).await.unwrap();
    }
    // Named as his own it is another message, which never comes.
    let his = of(&ben, id);
    post(&ben, &anna, |row| content(row, 50, edit(his, "his")));
    world.settle(&[&ben, &anna]).await;
    assert_eq!(shown(&anna, id).text, "mine");
    assert_eq!(shown(&anna, id).edited_ms, None);
    assert_eq!(anna.texts(&ben), ["hello", "mine"]);
}

/// What is said in one chat changes nothing in another, even by the message's own writer, before or after it came.
#[tokio::test(flavor = "multi_thread")]
async fn c174_an_act_counts_in_its_own_chat_only() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let who = [ben.address.clone()];
    anna.create_group("friends", &who).await.unwrap();
    world.settle(&[&anna, &ben]).await;
    let id = ben.send("friends", "in the group").await.unwrap().id;
    world.settle(&[&ben, &anna]).await;
    let target = of(&ben, id);
    let early = MessageId::new([60; 16]);
    let early = Kind::Delete {
        target: of(&ben, early),
    };
    for (n, kind) in [
        (70, edit(target, "elsewhere")),
        (71, emoji(target, "👎")),
        (72, Kind::Delete { target }),
        (73, early),
    ] {
        post(&ben, &anna, |row| content(row, n, kind));
        ben.settle(LONG).await.unwrap();
    }
    world.settle(&[&ben, &anna]).await;
    let there = shown(&anna, id);
    assert_eq!(there.text, "in the group");
    assert!(there.reactions.is_empty() && there.deleted_by.is_none());
}

/// An act that comes before its message waits and counts when it comes: a deletion leaves a tombstone at once, and
/// nobody is told of a message.
#[tokio::test(flavor = "multi_thread")]
async fn c175_acts_before_their_message_wait_for_it() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let mut events = anna.events();
    let (first, second) = (MessageId::new([61; 16]), MessageId::new([62; 16]));
    let said = [
        (70, edit(of(&ben, first), "better")),
        (71, emoji(of(&ben, first), "👍")),
        (
            72,
            Kind::Delete {
                target: of(&ben, second),
            },
        ),
        (61, text("good")),
        (62, text("secret")),
    ];
    for (id, kind) in said {
        post(&ben, &anna, |row| content(row, id, kind));
        ben.settle(LONG).await.unwrap();
    }
    world.settle(&[&ben, &anna]).await;
    let came = shown(&anna, first);
    assert_eq!(came.text, "better");
    assert_eq!(came.reactions.len(), 1);
    assert_eq!(anna.message(first).unwrap().versions[0].text, "good");
    let gone = shown(&anna, second);
    assert_eq!((gone.text.as_str(), gone.is_read), ("", true));
    assert!(gone.deleted_by.is_some());
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, Event::Received(message) if message.id == second));
    }
}

/// Acts for messages that never come fill no disk: the newest few are kept of each person, and theirs alone go.
#[tokio::test(flavor = "multi_thread")]
async fn c175_acts_that_wait_are_bounded() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let (bens, annas) = (account(&ben), account(&anna));
    let target = |n: usize| {
        let mut id = [9; 16];
        id[..8].copy_from_slice(&(n as u64).to_be_bytes());
        MessageRef {
            sender: bens,
            message_id: MessageId::new(id),
        }
    };
    feed(&anna, &ben, annas, std::iter::once(emoji(target(0), "❤️")));
    let many = 3 * ACTS_WAITING_MAX;
    feed(&anna, &ben, bens, (0..many).map(|n| emoji(target(n), "👍")));
    let kept = |n: usize| count(&anna, target(n), ActKind::Reaction);
    assert_eq!((0..many).map(kept).sum::<usize>(), ACTS_WAITING_MAX + 1);
    assert_eq!((kept(0), kept(many - 1)), (1, 1));
}

/// A flood of reactions by one person is one reaction, and one row.
#[tokio::test(flavor = "multi_thread")]
async fn c176_a_flood_of_reactions_is_one() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let id = anna.say(&ben, "news").await;
    world.settle(&[&anna, &ben]).await;
    let target = of(&anna, id);
    let flood = (0..2_000).map(|n| emoji(target, &n.to_string()));
    feed(&anna, &ben, account(&ben), flood);
    assert_eq!(count(&anna, target, ActKind::Reaction), 1);
    assert_eq!(shown(&anna, id).reactions[0].emoji, "1999");
}

/// Ten thousand edits: the newest counts, what it said first is kept, and so few versions that a disk holds them.
#[tokio::test(flavor = "multi_thread")]
async fn c171_ten_thousand_edits_keep_a_few_versions() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let id = ben.say(&anna, "first").await;
    world.settle(&[&ben, &anna]).await;
    let target = of(&ben, id);
    let edits = (0..10_000).map(|n| edit(target, &format!("version {n}")));
    feed(&anna, &ben, account(&ben), edits);
    let info = anna.message(id).unwrap();
    assert_eq!(info.message.text, "version 9999");
    assert_eq!(info.versions.len(), EDITS_KEPT_MAX);
    assert_eq!(info.versions[0].text, "first");
    assert_eq!(count(&anna, target, ActKind::Edit), EDITS_KEPT_MAX);
}

/// A member of a group with a program of their own pins, sets the timer and deletes what others wrote: nobody follows.
#[tokio::test(flavor = "multi_thread")]
async fn c172_c173_members_do_not_what_owners_do() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    let chat = anna
        .create_group("friends", std::slice::from_ref(&ben.address))
        .await
        .unwrap();
    world.settle(&[&anna, &ben]).await;
    let id = anna.send("friends", "stays").await.unwrap().id;
    world.settle(&[&anna, &ben]).await;
    let target = of(&anna, id);
    let there = ben.find_chat("friends").unwrap();
    let forced = ben.engine().step(|step| {
        for kind in [
            Kind::Delete { target },
            Kind::Timer { seconds: 1 },
            Kind::Pin {
                target,
                pinned: true,
            },
        ] {
            talk::force(step, there, kind)?;
        }
        Ok(())
    });
    forced.unwrap();
    ben.wake();
    world.settle(&[&ben, &anna]).await;
    let message = shown(&anna, id);
    assert_eq!((message.text.as_str(), message.pinned), ("stays", false));
    assert_eq!(anna.timer(chat).unwrap().seconds, 0);
    // His own device learns from the log that it does not count.
    assert_eq!(shown(&ben, id).text, "stays");
    assert_eq!(ben.timer(there).unwrap().seconds, 0);
}
