//! Two people over rows in memory: bytes in, bytes out.

use conclave_proto::codec;
use conclave_proto::id::{Hash32, Incarnation, Seq};
use conclave_proto::label;
use conclave_proto::limits::PADDING_BUCKETS;
use conclave_proto::log::{BUNDLE_VERSION, BundleHead, CommitEntry, Head};

use super::create::{CreateOptions, Created, create};
use super::join::{Joined, join};
use super::*;
use crate::fixture::{Book, FixedEnv, NOW_MS, Person};
use crate::key_package::{self, CheckedKeyPackage};
use crate::mls_store::MemoryRows;

mod commits;
mod hostile;
mod joining;
mod successors;

/// One person's device with everything it has.
struct Side {
    person: Person,
    rows: MemoryRows,
    env: FixedEnv,
    book: Book,
    conversation: Option<Conversation>,
}

impl Side {
    fn new(seed: u64, known: &[&Person]) -> Self {
        Self {
            person: Person::new(seed),
            rows: MemoryRows::default(),
            env: FixedEnv::new(seed + 1000),
            book: Book::of(known),
            conversation: None,
        }
    }

    fn outside(&self) -> Outside<'_> {
        Outside {
            rows: &self.rows,
            own: &self.person.own,
            env: &self.env,
        }
    }

    fn chat(&self) -> &Conversation {
        self.conversation.as_ref().unwrap()
    }

    /// Does something with the conversation, then forgets it and loads it again.
    fn with<T>(&mut self, work: impl FnOnce(&mut Conversation, Outside<'_>, &Book) -> T) -> T {
        let mut conversation = self.conversation.take().unwrap();
        let result = work(&mut conversation, self.outside(), &self.book);
        let log_id = conversation.log_id();
        drop(conversation);
        self.conversation = Conversation::load(&self.rows, log_id).unwrap();
        result
    }

    fn seal(&mut self, content: &[u8]) -> Vec<u8> {
        self.with(|chat, outside, _| chat.seal(outside, content).unwrap())
    }

    fn open(&mut self, payload: &[u8]) -> Opened {
        self.with(|chat, outside, _| {
            let epoch = chat.epoch();
            chat.open_message(outside, payload, epoch).unwrap()
        })
    }

    fn self_update(&mut self) -> Pending {
        self.with(|chat, outside, _| {
            let head = head_at(chat.epoch());
            chat.self_update(outside, &head, 30).unwrap()
        })
    }

    fn apply(&mut self, payload: &[u8]) -> Result<Applied, ApplyError> {
        self.with(|chat, outside, book| {
            let epoch = chat.epoch();
            chat.apply_commit(outside, book, payload, epoch)
        })
    }

    /// Applies inside a transaction that is rolled back when it fails, as the client does.
    fn try_apply(&mut self, payload: &[u8]) -> Result<Applied, ApplyError> {
        let before = self.rows.snapshot();
        let result = self.apply(payload);
        if result.is_err() {
            self.roll_back(&before);
        }
        result
    }

    fn roll_back(&mut self, before: &crate::mls_store::MemorySnapshot) {
        let log_id = self.chat().log_id();
        self.conversation = None;
        self.rows.restore(before);
        self.conversation = Conversation::load(&self.rows, log_id).unwrap();
    }

    fn key_package(&self, last_resort: bool) -> Vec<u8> {
        key_package::build(&self.rows, &self.person.own, &self.env, last_resort)
            .unwrap()
            .bytes
    }

    fn check(&self, bytes: &[u8]) -> CheckedKeyPackage {
        key_package::check(bytes, &self.book, NOW_MS).unwrap()
    }
}

fn head_at(epoch: Epoch) -> Head {
    Head {
        epoch,
        seq: Seq(7),
        hash: Hash32::new([7; 32]),
        incarnation: Incarnation(1),
    }
}

/// A message's content that fills the smallest bucket (C-055): 256 − 82 − 2.
fn content(byte: u8) -> Vec<u8> {
    vec![byte; 172]
}

fn open_blob(blob: &SealedBlob) -> Vec<u8> {
    crate::sealed_blob::open(&blob.pointer, &blob.bytes)
        .unwrap()
        .to_vec()
}

fn strangers() -> (Side, Side) {
    let (ana, ben) = (Person::new(1), Person::new(2));
    (Side::new(1, &[&ana, &ben]), Side::new(2, &[&ana, &ben]))
}

fn create_with(ana: &Side, ben: &Side) -> Created {
    let package = ana.check(&ben.key_package(false));
    create(ana.outside(), &[package], &CreateOptions::default()).unwrap()
}

fn join_created(ben: &Side, created: &Created) -> Result<Joined, JoinError> {
    join(
        ben.outside(),
        &ben.book,
        created.log_id,
        &open_blob(&created.welcomes[0].blob),
        &open_blob(&created.tree),
        &[],
    )
}

/// Ana wrote to Ben, who joined.
fn friends() -> (Side, Side) {
    let (mut ana, mut ben) = strangers();
    let created = create_with(&ana, &ben);
    let joined = join_created(&ben, &created).unwrap();
    assert_eq!(created.access.public(), joined.access.public());
    ana.conversation = Some(created.conversation);
    ben.conversation = Some(joined.conversation);
    (ana, ben)
}

fn message_by(opened: Opened) -> (AccountId, Vec<u8>) {
    match opened {
        Opened::Message { sender, content } => (sender.account_id, content),
        other => panic!("{other:?}"),
    }
}

/// Two people talk both ways, with a reload from the rows after every step; own entries come back as own.
#[test]
fn two_people_talk() {
    let (mut ana, mut ben) = friends();
    assert_eq!(ana.chat().epoch(), Epoch(1));
    assert_eq!(ana.chat().members(), ben.chat().members());
    assert_eq!(ana.chat().people().len(), PEOPLE);
    assert_eq!(ana.chat().own_leaf(), 0);
    assert_eq!(
        ana.chat().signal_key(1).unwrap().expose(),
        ben.chat().signal_key(1).unwrap().expose()
    );
    for round in 0..5 {
        let to_ben = ana.seal(&content(round));
        let to_ana = ben.seal(&content(round + 100));
        let by_ana = (ana.person.own.account_id, content(round));
        let by_ben = (ben.person.own.account_id, content(round + 100));
        assert_eq!(message_by(ben.open(&to_ben)), by_ana);
        assert_eq!(message_by(ana.open(&to_ana)), by_ben);
        assert_eq!(ana.open(&to_ben), Opened::Own);
    }
}

/// A message that came twice is closed the second time, and does no harm.
#[test]
fn the_same_message_opens_once() {
    let (mut ana, mut ben) = friends();
    let first = ana.seal(&content(1));
    message_by(ben.open(&first));
    assert_eq!(ben.open(&first), Opened::Unreadable(Unreadable::Closed));
    let second = ana.seal(&content(2));
    message_by(ben.open(&second));
}

/// Sealed entries are a bucket and 78 bytes (80 from 16 KiB on), for the fullest content of each bucket.
#[test]
fn c055_entries_have_bucket_sizes() {
    let (mut ana, mut ben) = friends();
    for bucket in PADDING_BUCKETS {
        let length_bytes = if bucket < 256 {
            1
        } else if bucket < 16 * 1024 {
            2
        } else {
            4
        };
        let plain = vec![5; bucket - 82 - length_bytes];
        let sealed = ana.seal(&plain);
        let envelope = if bucket < 16 * 1024 { 78 } else { 80 };
        assert_eq!(sealed.len(), bucket + envelope, "{bucket}");
        assert_eq!(message_by(ben.open(&sealed)).1, plain);
    }
}

/// What content.rs pads fills a bucket exactly, from a word to the longest text.
#[test]
fn c055_encoded_content_fills_a_bucket() {
    use crate::content::{Content, Kind, Mark};
    let (mut ana, mut ben) = friends();
    for length in [
        1,
        100,
        1000,
        5000,
        30_000,
        conclave_proto::limits::TEXT_BYTES_MAX,
    ] {
        let written = Content {
            message_id: conclave_proto::id::MessageId::random(&ana.env),
            sent_ms: NOW_MS,
            seen: Mark {
                seq: Seq(1),
                hash: Hash32::new([1; 32]),
            },
            state_head: None,
            kind: Kind::Text {
                body: "x".repeat(length),
            },
        };
        let entry = ana.seal(&written.encode_padded().unwrap());
        assert!(seal::is_bucket_sized(entry.len()));
        let opened = message_by(ben.open(&entry)).1;
        assert_eq!(Content::decode_padded(&opened).unwrap(), written);
    }
}

/// Content between buckets is refused before anybody could send it.
#[test]
fn c055_unpadded_content_is_refused() {
    let (mut ana, _) = friends();
    for length in [430, 600, 3000] {
        let refused = ana.with(|chat, outside, _| chat.seal(outside, &vec![0; length]));
        assert!(matches!(refused, Err(SealError::Size { .. })), "{length}");
    }
}

/// After a rollback the same bytes open again: nothing of the first try is left.
#[test]
fn c050_rollback_then_the_same_bytes_open() {
    let (mut ana, mut ben) = friends();
    let entry = ana.seal(&content(1));
    let before = ben.rows.snapshot();
    let first = ben.open(&entry);
    ben.roll_back(&before);
    assert_eq!(ben.open(&entry), first);
    // and a commit
    let pending = ana.self_update();
    let before = ben.rows.snapshot();
    ben.apply(&pending.entry).unwrap();
    ben.roll_back(&before);
    assert_eq!(ben.chat().epoch(), Epoch(1));
    ben.apply(&pending.entry).unwrap();
    assert_eq!(ben.chat().epoch(), Epoch(2));
}

/// A store that fails is an error, never an "unreadable message": the entry is read again later.
#[test]
fn c050_a_failing_store_loses_nothing() {
    let (mut ana, mut ben) = friends();
    let (entry, pending) = (ana.seal(&content(1)), ana.self_update());
    let mut chat = ben.conversation.take().unwrap();
    ben.rows.set_failing(true);
    let opened = chat.open_message(ben.outside(), &entry, Epoch(1));
    assert!(matches!(
        opened,
        Err(OpenError::Failed(MlsFailure::Rows(_)))
    ));
    let applied = chat.apply_commit(ben.outside(), &ben.book, &pending.entry, Epoch(1));
    assert!(matches!(
        applied,
        Err(ApplyError::Failed(MlsFailure::Rows(_)))
    ));
    assert!(Conversation::load(&ben.rows, chat.log_id()).is_err());
    ben.rows.set_failing(false);
    ben.conversation = Conversation::load(&ben.rows, chat.log_id()).unwrap();
    message_by(ben.open(&entry));
    ben.apply(&pending.entry).unwrap();
}

/// 2,000 skipped messages are bridged, more are not; nothing takes long, and the next one in reach opens.
#[test]
fn skipped_messages_are_bounded() {
    let (mut ana, mut ben) = friends();
    let mut chat = ana.conversation.take().unwrap();
    let mut sealed = || chat.seal(ana.outside(), &content(1)).unwrap();
    let entries: Vec<_> = (0..2102).map(|_| sealed()).collect();
    assert_eq!(
        ben.open(&entries[2101]),
        Opened::Unreadable(Unreadable::Closed)
    );
    message_by(ben.open(&entries[1999]));
    // late ones of the last 64 are still kept, the one before them is not
    message_by(ben.open(&entries[1999 - 63]));
    assert_eq!(
        ben.open(&entries[1999 - 64]),
        Opened::Unreadable(Unreadable::Closed)
    );
    message_by(ben.open(&entries[2101]));
}

/// Deleting a conversation leaves no row of it behind.
#[test]
fn deleting_leaves_nothing() {
    let (mut ana, mut ben) = friends();
    ben.apply(&ana.self_update().entry).unwrap();
    ben.self_update();
    let log_id = ben.chat().log_id();
    crate::mls_store::delete_conversation(&ben.rows, log_id).unwrap();
    assert!(Conversation::load(&ben.rows, log_id).unwrap().is_none());
    assert_eq!(ben.rows.len(), 0);
}
