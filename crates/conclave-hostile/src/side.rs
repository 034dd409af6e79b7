//! One device in a conversation, with rows in memory: bytes in, bytes out.

use conclave_core::conversation::create::create;
use conclave_core::conversation::join::join;
use conclave_core::conversation::{
    Applied, ApplyError, Change, Changing, CommitError, Conversation, ConversationKind,
    CreateOptions, Created, JoinError, Joined, Opened, Outside, Pending, SealedBlob,
};
use conclave_core::key_package::{self, CheckedKeyPackage};
use conclave_core::mls_store::{MemoryRows, MemorySnapshot};
use conclave_core::sealed_blob;
use conclave_proto::id::{AccountId, Epoch, Hash32, Incarnation, LogId, Seq};
use conclave_proto::log::Head;

use crate::frame;
use crate::member::Member;
use crate::people::{Book, FixedEnv, NOW_MS, Person};

/// One person's device with everything it has.
#[derive(Debug)]
pub struct Side {
    /// Whose device.
    pub person: Person,
    /// What it stores.
    pub rows: MemoryRows,
    /// Its time and chance.
    pub env: FixedEnv,
    /// The account states that it accepts.
    pub book: Book,
    /// The conversation it is in; `None` before.
    pub conversation: Option<Conversation>,
}

impl Side {
    /// The device of person `seed`, who accepts the states of `known`.
    pub fn new(seed: u64, known: &[&Person]) -> Self {
        Self {
            person: Person::new(seed),
            rows: MemoryRows::default(),
            env: FixedEnv::new(seed + 1000),
            book: Book::of(known),
            conversation: None,
        }
    }

    /// What core wants to know.
    pub fn outside(&self) -> Outside<'_> {
        Outside {
            rows: &self.rows,
            own: &self.person.own,
            env: &self.env,
        }
    }

    /// The conversation.
    pub fn chat(&self) -> &Conversation {
        self.conversation.as_ref().unwrap()
    }

    /// Does something with the conversation, then forgets it and loads it again.
    pub fn with<T>(&mut self, work: impl FnOnce(&mut Conversation, Outside<'_>, &Book) -> T) -> T {
        let mut conversation = self.conversation.take().unwrap();
        let result = work(&mut conversation, self.outside(), &self.book);
        let log_id = conversation.log_id();
        drop(conversation);
        self.conversation = Conversation::load(&self.rows, log_id).unwrap();
        result
    }

    /// Does something with MLS itself in hand, then loads the conversation again.
    pub fn forge<T>(&mut self, work: impl FnOnce(&mut Member<'_>) -> T) -> T {
        self.with(|chat, outside, _| work(&mut Member::of(outside, chat.log_id())))
    }

    /// A private message that MLS would not frame.
    pub fn frame(&mut self, content: &frame::Content) -> Vec<u8> {
        self.with(|chat, outside, _| frame::private_message(outside, chat.log_id(), content))
    }

    /// Seals an honest message.
    pub fn seal(&mut self, content: &[u8]) -> Vec<u8> {
        self.with(|chat, outside, _| chat.seal(outside, content).unwrap())
    }

    /// Opens a message entry of the current epoch.
    pub fn open(&mut self, payload: &[u8]) -> Opened {
        self.with(|chat, outside, _| {
            let epoch = chat.epoch();
            chat.open_message(outside, payload, epoch).unwrap()
        })
    }

    /// Makes an honest commit that does all of `changes`.
    pub fn change(&mut self, changes: &[Change]) -> Result<Changing, CommitError> {
        self.with(|chat, outside, book| {
            let head = head_at(chat.epoch());
            chat.change(outside, book, &head, 30, changes)
        })
    }

    /// Joins the conversation of `log_id`, bound to nothing.
    pub fn join(&self, log_id: LogId, welcome: &[u8], tree: &[u8]) -> Result<Joined, JoinError> {
        join(self.outside(), &self.book, log_id, welcome, tree, &[])
    }

    /// Where the device of `other` sits.
    pub fn leaf_of(&self, other: &Person) -> u32 {
        let device = (other.own.account_id, other.own.device_id);
        let members = self.chat().members();
        let mut found = members
            .iter()
            .filter(|member| (member.account_id, member.device_id) == device);
        found.next().unwrap().leaf
    }

    /// Makes an honest commit.
    pub fn self_update(&mut self) -> Pending {
        self.with(|chat, outside, _| {
            let head = head_at(chat.epoch());
            chat.self_update(outside, &head, 30).unwrap()
        })
    }

    /// Applies a commit entry of the current epoch, whatever comes of it.
    pub fn apply(&mut self, payload: &[u8]) -> Result<Applied, ApplyError> {
        self.with(|chat, outside, book| {
            let epoch = chat.epoch();
            chat.apply_commit(outside, book, payload, epoch)
        })
    }

    /// Applies inside a transaction that is rolled back when it fails, as the client does.
    pub fn try_apply(&mut self, payload: &[u8]) -> Result<Applied, ApplyError> {
        let before = self.rows.snapshot();
        let result = self.apply(payload);
        if result.is_err() {
            self.roll_back(&before);
        }
        result
    }

    /// Goes back to `before`, as after a failed transaction.
    pub fn roll_back(&mut self, before: &MemorySnapshot) {
        let log_id = self.chat().log_id();
        self.conversation = None;
        self.rows.restore(before);
        self.conversation = Conversation::load(&self.rows, log_id).unwrap();
    }

    /// An honest key package.
    pub fn key_package(&self, last_resort: bool) -> Vec<u8> {
        key_package::build(&self.rows, &self.person.own, &self.env, last_resort)
            .unwrap()
            .bytes
    }

    /// Checks a key package that must hold.
    pub fn check(&self, bytes: &[u8]) -> CheckedKeyPackage {
        key_package::check(bytes, &self.book, NOW_MS).unwrap()
    }
}

/// A head of `epoch`, at entry 7.
pub fn head_at(epoch: Epoch) -> Head {
    Head {
        epoch,
        seq: Seq(7),
        hash: Hash32::new([7; 32]),
        incarnation: Incarnation(1),
    }
}

/// A message's content that fills the smallest bucket (C-055): 256 − 82 − 2.
pub fn content(byte: u8) -> Vec<u8> {
    vec![byte; 172]
}

/// What is in a sealed blob.
pub fn open_blob(blob: &SealedBlob) -> Vec<u8> {
    sealed_blob::open(&blob.pointer, &blob.bytes)
        .unwrap()
        .to_vec()
}

/// The tree that everybody invited needs. Panics when nobody was.
pub fn open_tree(created: &Created) -> Vec<u8> {
    open_blob(created.tree.as_ref().unwrap())
}

/// Devices that know each other, of people `1..=people`, in no conversation.
pub fn crowd(people: u64) -> Vec<Side> {
    let everybody: Vec<_> = (1..=people).map(Person::new).collect();
    let known: Vec<_> = everybody.iter().map(Person::known).collect();
    let side = |seed| {
        let mut side = Side::new(seed, &[]);
        for known in &known {
            side.book.accept(known.clone());
        }
        side
    };
    (1..=people).map(side).collect()
}

/// A group of people `1..=people`, a device each. The first one founded it with all the others and owns it.
pub fn group_of(people: u64) -> Vec<Side> {
    let mut sides = crowd(people);
    let (founder, others) = sides.split_first_mut().unwrap();
    let packages: Vec<_> = others
        .iter()
        .map(|other| founder.check(&other.key_package(false)))
        .collect();
    let options = CreateOptions {
        kind: ConversationKind::Group,
        name: "choir".into(),
        ..CreateOptions::default()
    };
    let created = create(founder.outside(), &packages, &options).unwrap();
    let tree = open_tree(&created);
    for (other, welcome) in others.iter_mut().zip(&created.welcomes) {
        let welcome = open_blob(&welcome.blob);
        let joined = other.join(created.log_id, &welcome, &tree).unwrap();
        other.conversation = Some(joined.conversation);
    }
    founder.conversation = Some(created.conversation);
    sides
}

/// Ana and Ben, who know each other's states and have no conversation.
pub fn strangers() -> (Side, Side) {
    let (ana, ben) = (Person::new(1), Person::new(2));
    (Side::new(1, &[&ana, &ben]), Side::new(2, &[&ana, &ben]))
}

/// Ana creates a conversation with Ben.
pub fn create_with(ana: &Side, ben: &Side) -> Created {
    let package = ana.check(&ben.key_package(false));
    create(ana.outside(), &[package], &CreateOptions::default()).unwrap()
}

/// Ben joins what Ana created.
pub fn join_created(ben: &Side, created: &Created) -> Result<Joined, JoinError> {
    join(
        ben.outside(),
        &ben.book,
        created.log_id,
        &open_blob(&created.welcomes[0].blob),
        &open_tree(created),
        &[],
    )
}

/// Ana wrote to Ben, who joined.
pub fn friends() -> (Side, Side) {
    let (mut ana, mut ben) = strangers();
    let created = create_with(&ana, &ben);
    let joined = join_created(&ben, &created).unwrap();
    assert_eq!(created.access.public(), joined.access.public());
    ana.conversation = Some(created.conversation);
    ben.conversation = Some(joined.conversation);
    (ana, ben)
}

/// Who sealed an opened message, and its content. Panics when it did not open.
pub fn message_by(opened: Opened) -> (AccountId, Vec<u8>) {
    match opened {
        Opened::Message { sender, content } => (sender.account_id, content),
        other => panic!("{other:?}"),
    }
}
