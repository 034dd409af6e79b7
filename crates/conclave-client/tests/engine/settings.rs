//! What a person sets, reads and deletes on one device, as all their devices come to see it.

use conclave_client::view::{ChatState, FOREVER_MS};
use conclave_client::{ClientError, view::Message};
use conclave_proto::id::{ChatId, MessageId};

use crate::support::{LONG, Person, World};

/// SplitMix64: one seed, one schedule.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn flip(&mut self) -> bool {
        self.roll(2) == 0
    }
}

/// Anna's two devices, whether each is online, and the people she talks with.
struct Life {
    world: World,
    devices: [Person; 2],
    online: [bool; 2],
    ben: Person,
    cora: Person,
}

const GROUP: &str = "friends";

impl Life {
    async fn new() -> Self {
        let world = World::paused();
        let anna = world.person("anna").await;
        let (ben, cora) = (world.person("ben").await, world.person("cora").await);
        for other in [&ben, &cora] {
            anna.say(other, "hello").await;
            anna.settle(LONG).await.unwrap();
            other.accept(&anna).await;
            world.settle(&[other, &anna]).await;
        }
        // What was said before a device came is not its to know, and the test is about what comes after.
        for chat in anna.chats().unwrap() {
            assert_eq!(anna.clear(chat.id).unwrap(), 1);
        }
        let second = world.device_of(&anna, "second").await;
        let who = [ben.address.clone(), cora.address.clone()];
        anna.create_group(GROUP, &who).await.unwrap();
        for _ in 0..3 {
            world.settle(&[&anna, &second, &ben, &cora]).await;
        }
        Self {
            world,
            devices: [anna, second],
            online: [true, true],
            ben,
            cora,
        }
    }

    /// The chats that operations are about.
    fn chats(&self) -> [String; 2] {
        [self.ben.address.clone(), GROUP.to_owned()]
    }

    async fn switch(&mut self, device: usize) {
        self.online[device] = !self.online[device];
        let is_online = self.online[device];
        let transport = self.world.transport();
        let person = &mut self.devices[device];
        if is_online {
            person.go_online_over(transport);
        } else {
            person.die().await;
            person.wake_up();
        }
    }

    /// What others and the devices that are online have to do is done.
    async fn catch_up(&self) {
        let mut people = vec![&self.ben, &self.cora];
        people.extend(
            (0..2)
                .filter(|at| self.online[*at])
                .map(|at| &self.devices[at]),
        );
        self.world.settle(&people).await;
    }

    /// One thing that the person does on one device, or somebody says.
    async fn act(&mut self, dice: &mut Dice, number: u64) -> String {
        let at = usize::from(dice.flip());
        let name = self.chats()[usize::from(dice.flip())].clone();
        let what = dice.roll(16);
        if what < 2 {
            self.switch(at).await;
            return format!("{at} online {}", self.online[at]);
        }
        if what < 3 {
            self.catch_up().await;
            return "catch up".to_owned();
        }
        let text = format!("text {number}");
        if what < 6 {
            let by = if dice.flip() || name != GROUP {
                &self.ben
            } else {
                &self.cora
            };
            let to = if name == GROUP {
                GROUP
            } else {
                &self.devices[0].address
            };
            by.send(to, &text).await.unwrap();
            return format!("{} says {text} to {to}", by.address);
        }
        let device = &self.devices[at];
        let chat = device.find_chat(&name).unwrap();
        let done = self.set(device, chat, what, dice, &text).await;
        format!("{at} {name} {what} {done:?}")
    }

    async fn set(
        &self,
        device: &Person,
        chat: ChatId,
        what: u64,
        dice: &mut Dice,
        text: &str,
    ) -> Result<(), ClientError> {
        match what {
            6 => device.mark_read(chat).map(|_| ()),
            7 => device.set_draft(chat, if dice.flip() { text } else { "" }),
            8 => device.pin_chat(chat, dice.flip()),
            9 => {
                let until_ms = [0, FOREVER_MS][usize::from(dice.flip())];
                device.mute(chat, until_ms)
            }
            10 => device.archive(chat, dice.roll(4) > 0),
            11 => match any(device, chat, dice) {
                Some(message) => device.delete_for_me(message),
                None => Ok(()),
            },
            12 => match any(device, chat, dice) {
                Some(message) => device.pin(message, dice.flip()).map(|_| ()),
                None => Ok(()),
            },
            13 => device.mark_unread(chat),
            14 if dice.roll(4) == 0 => device.clear(chat).map(|_| ()),
            _ => {
                let chat = chat.to_string();
                device.send(&chat, text).await.map(|_| ())
            }
        }
    }
}

fn any(device: &Person, chat: ChatId, dice: &mut Dice) -> Option<MessageId> {
    let history = device.history(chat, 1_000).unwrap();
    let at = usize::try_from(dice.roll(history.len().max(1) as u64)).unwrap();
    history.get(at).map(|message| message.id)
}

/// What a device shows of a chat that must be the same on all of the account.
#[derive(Debug, PartialEq)]
struct Shown {
    unread: u64,
    settings: (Option<u64>, bool, bool, bool, String),
    messages: Vec<(MessageId, String, bool, bool)>,
    pins: Vec<MessageId>,
}

fn shown(device: &Person, name: &str) -> Shown {
    let chat = device.chat(device.find_chat(name).unwrap()).unwrap();
    assert_eq!(chat.state, ChatState::Open);
    let show = |message: Message| (message.id, message.text, message.is_read, message.pinned);
    let history = device.history(chat.id, 10_000).unwrap();
    let mut pins: Vec<_> = device
        .pins(chat.id)
        .unwrap()
        .into_iter()
        .map(|pin| pin.id)
        .collect();
    pins.sort();
    Shown {
        unread: chat.unread,
        settings: (
            chat.muted_until_ms,
            chat.archived,
            chat.pinned,
            chat.marked_unread,
            chat.draft,
        ),
        messages: history.into_iter().map(show).collect(),
        pins,
    }
}

async fn two_devices_agree(seed: u64, steps: u64) {
    let mut life = Life::new().await;
    let mut dice = Dice(seed);
    let mut done = Vec::new();
    for number in 0..steps {
        done.push(life.act(&mut dice, number).await);
    }
    for at in 0..2 {
        if !life.online[at] {
            life.switch(at).await;
        }
    }
    for _ in 0..3 {
        life.catch_up().await;
    }
    for name in life.chats() {
        let [one, other] = [&life.devices[0], &life.devices[1]].map(|device| shown(device, &name));
        assert_eq!(one, other, "seed {seed}, {name}:\n{}", done.join("\n"));
    }
    let unread = |at: usize| life.devices[at].status().unwrap().unread;
    assert_eq!(unread(0), unread(1), "seed {seed}");
}

/// After 200 random things that a person did on two devices, each offline at random times, both show the same: what
/// is unread and read, drafts, pins, deletions, what is muted, put away and cleared.
async fn after_random_offline_work(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        two_devices_agree(seed, 200).await;
    }
}

/// Two devices agree after random offline work: seeds 0 to 4.
#[tokio::test(start_paused = true)]
async fn c203_two_devices_agree_seeds_0() {
    after_random_offline_work(0..5).await;
}

/// Two devices agree after random offline work: seeds 5 to 9.
#[tokio::test(start_paused = true)]
async fn c203_two_devices_agree_seeds_5() {
    after_random_offline_work(5..10).await;
}

/// Two devices agree after random offline work: seeds 10 to 14.
#[tokio::test(start_paused = true)]
async fn c203_two_devices_agree_seeds_10() {
    after_random_offline_work(10..15).await;
}

/// Two devices agree after random offline work: seeds 15 to 19.
#[tokio::test(start_paused = true)]
async fn c203_two_devices_agree_seeds_15() {
    after_random_offline_work(15..20).await;
}

/// The two devices of Anna's, and Ben, when all is quiet.
async fn two_devices() -> (World, Person, Person, Person) {
    let world = World::paused();
    let (anna, ben) = world.friends().await;
    let second = world.device_of(&anna, "second").await;
    for _ in 0..3 {
        world.settle(&[&anna, &second, &ben]).await;
    }
    (world, anna, second, ben)
}

fn chat(device: &Person, with: &Person) -> conclave_client::view::Chat {
    device.chat(device.chat_with(with)).unwrap()
}

/// A message brings an archived chat back on every device, in whichever order they learn of both; not a muted one.
/// Writing there brings it back too.
#[tokio::test(start_paused = true)]
async fn c201_a_message_brings_an_archived_chat_back() {
    let (world, anna, mut second, ben) = two_devices().await;
    let id = anna.chat_with(&ben);
    anna.archive(id, true).unwrap();
    world.settle(&[&anna, &second]).await;
    assert!(chat(&anna, &ben).archived && chat(&second, &ben).archived);
    // put away again, by a device that has not seen what the other one has
    second.die().await;
    second.wake_up();
    ben.say(&anna, "are you there?").await;
    world.settle(&[&ben, &anna]).await;
    assert!(!chat(&anna, &ben).archived);
    second.archive(second.chat_with(&ben), true).unwrap();
    second.go_online_over(world.transport());
    world.settle(&[&second, &anna, &second]).await;
    assert!(!chat(&anna, &ben).archived && !chat(&second, &ben).archived);
    // muted, it stays away, and comes back when it is muted no longer
    anna.archive(id, true).unwrap();
    anna.mute(id, FOREVER_MS).unwrap();
    ben.say(&anna, "hello?").await;
    world.settle(&[&ben, &anna, &second]).await;
    assert!(chat(&anna, &ben).archived && chat(&second, &ben).archived);
    assert_eq!(chat(&second, &ben).muted_until_ms, Some(FOREVER_MS));
    second.mute(second.chat_with(&ben), 0).unwrap();
    world.settle(&[&second, &anna]).await;
    assert!(!chat(&anna, &ben).archived && !chat(&second, &ben).archived);
    anna.archive(id, true).unwrap();
    anna.say(&ben, "here").await;
    world.settle(&[&anna, &second]).await;
    assert!(!chat(&anna, &ben).archived && !chat(&second, &ben).archived);
}

/// A mute on one device and a draft on another, both offline, do not undo each other; of two drafts one counts.
#[tokio::test(start_paused = true)]
async fn c200_settings_do_not_undo_each_other() {
    let (world, mut anna, mut second, ben) = two_devices().await;
    for device in [&mut anna, &mut second] {
        device.die().await;
        device.wake_up();
    }
    anna.mute(anna.chat_with(&ben), FOREVER_MS).unwrap();
    anna.set_draft(anna.chat_with(&ben), "one").unwrap();
    second.pin_chat(second.chat_with(&ben), true).unwrap();
    second.set_draft(second.chat_with(&ben), "two").unwrap();
    for device in [&anna, &second] {
        device.go_online_over(world.transport());
    }
    world.settle(&[&anna, &second]).await;
    let (one, other) = (chat(&anna, &ben), chat(&second, &ben));
    assert_eq!(one.draft, other.draft);
    for chat in [one, other] {
        assert!(chat.pinned && chat.muted_until_ms.is_some());
        assert!(["one", "two"].contains(&chat.draft.as_str()));
    }
    let sent = anna.send_draft(anna.chat_with(&ben)).unwrap();
    assert_eq!(chat(&anna, &ben).draft, "");
    world.settle(&[&anna, &second, &ben]).await;
    assert_eq!(chat(&second, &ben).draft, "");
    assert_eq!(ben.message(sent.id).unwrap().message.text, sent.text);
    assert!(matches!(
        anna.send_draft(anna.chat_with(&ben)),
        Err(ClientError::NotFound(_))
    ));
}

/// What was read and deleted on one device is so on the other when it comes there later.
#[tokio::test(start_paused = true)]
async fn c202_what_comes_later_is_deleted_and_read() {
    let (world, anna, mut second, ben) = two_devices().await;
    second.die().await;
    second.wake_up();
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        ids.push(ben.say(&anna, text).await);
    }
    world.settle(&[&ben, &anna]).await;
    assert_eq!(anna.mark_read(anna.chat_with(&ben)).unwrap(), 3);
    anna.delete_for_me(ids[1]).unwrap();
    ids.push(ben.say(&anna, "four").await);
    world.settle(&[&ben, &anna]).await;
    second.go_online_over(world.transport());
    world.settle(&[&second]).await;
    let texts = |device: &Person| -> Vec<String> {
        let texts = device.texts(&ben).into_iter();
        texts.filter(|text| text != "hello").collect()
    };
    assert_eq!(texts(&anna), ["one", "three", "four"]);
    assert_eq!(texts(&second), ["one", "three", "four"]);
    assert_eq!(chat(&second, &ben).unread, 1);
    // what one cleared is gone on the other, and what comes after stays
    assert_eq!(second.clear(second.chat_with(&ben)).unwrap(), 3);
    ben.say(&anna, "five").await;
    world.settle(&[&ben, &second, &anna]).await;
    assert_eq!(texts(&anna), ["five"]);
    assert_eq!(texts(&second), ["five"]);
    assert_eq!(chat(&anna, &ben).unread, 1);
}

/// A device that is linked later has the settings that were made before it came.
#[tokio::test(start_paused = true)]
async fn c200_a_device_linked_later_has_the_settings() {
    let world = World::paused();
    let (anna, ben) = world.friends().await;
    let id = anna.chat_with(&ben);
    anna.mute(id, FOREVER_MS).unwrap();
    anna.pin_chat(id, true).unwrap();
    anna.set_draft(id, "not yet").unwrap();
    anna.archive(id, true).unwrap();
    let second = world.device_of(&anna, "second").await;
    for _ in 0..3 {
        world.settle(&[&anna, &second, &ben]).await;
    }
    let (one, other) = (chat(&anna, &ben), chat(&second, &ben));
    assert!(one.archived && one.pinned);
    assert_eq!(
        (one.muted_until_ms, one.archived, one.pinned, one.draft),
        (
            other.muted_until_ms,
            other.archived,
            other.pinned,
            other.draft
        )
    );
}
