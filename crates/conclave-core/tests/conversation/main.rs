//! Two people over rows in memory: bytes in, bytes out.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test helpers"
)]

mod commits;
mod forged;
mod groups;
mod hostile;
mod joining;
mod rekeyed;
mod rights;
mod strangers;
mod successors;

use conclave_core::conversation::seal::is_bucket_sized;
use conclave_core::conversation::{
    ApplyError, Conversation, OpenError, Opened, PEOPLE, SealError, Unreadable,
};
use conclave_core::mls_store;
use conclave_core::provider::MlsFailure;
use conclave_hostile::bytes;
use conclave_hostile::people::NOW_MS;
use conclave_hostile::side::{content, friends, message_by};
use conclave_proto::id::{Epoch, Hash32, Seq};
use conclave_proto::limits::PADDING_BUCKETS;

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
    use conclave_core::content::{Content, Kind, Mark};
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
            kind: Kind::text("x".repeat(length)),
        };
        let entry = ana.seal(&written.encode_padded().unwrap());
        assert!(is_bucket_sized(entry.len()));
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

/// Whatever stays closed costs nothing, in memory neither: no reload, and the genuine message opens right after it.
#[test]
fn c086_a_closed_message_does_not_cost_the_genuine_one() {
    let (mut ana, mut ben) = friends();
    let honest = ana.seal(&content(1));
    let before = ben.rows.snapshot();
    let mut chat = ben.conversation.take().unwrap();
    for (place, forged) in bytes::flipped(&honest, 3) {
        let opened = chat.open_message(ben.outside(), &forged, Epoch(1)).unwrap();
        assert!(matches!(opened, Opened::Unreadable(_)), "{place}");
    }
    assert!(ben.rows.snapshot() == before);
    let opened = chat.open_message(ben.outside(), &honest, Epoch(1)).unwrap();
    assert_eq!(message_by(opened).1, content(1));
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
    mls_store::delete_conversation(&ben.rows, log_id).unwrap();
    assert!(Conversation::load(&ben.rows, log_id).unwrap().is_none());
    assert_eq!(ben.rows.len(), 0);
}
