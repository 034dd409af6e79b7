//! Honest commits: own echoes, races, reloads.

use conclave_core::conversation::{ApplyError, CommitError};
use conclave_core::credential::{KnownAccount, LeafError};
use conclave_core::leaf::LeafNodeError;
use conclave_hostile::people::SERVER;
use conclave_hostile::side::{Side, content, friends, head_at, message_by};
use conclave_proto::id::Epoch;

/// Both sides update in turn; the committer knows its own entry, and both derive the same next access key.
#[test]
fn both_sides_self_update() {
    let (mut ana, mut ben) = friends();
    for round in 0..4 {
        let (committer, other) = if round % 2 == 0 {
            (&mut ana, &mut ben)
        } else {
            (&mut ben, &mut ana)
        };
        let old_key = other.chat().access_key().unwrap().public();
        let pending = committer.self_update();
        let by = committer.person.own.account_id;
        let theirs = other.apply(&pending.entry).unwrap();
        assert_eq!(theirs.committer.unwrap().account_id, by);
        let own = committer.apply(&pending.entry).unwrap();
        assert!(own.is_own() && !own.removed_self());
        let key = own.next_access.unwrap().public();
        assert_eq!(key, pending.next_access.public());
        assert_eq!(key, theirs.next_access.unwrap().public());
        assert_ne!(key, old_key);
        assert_eq!(own.retention_days, 30);
        let entry = committer.seal(&content(round));
        assert_eq!(message_by(other.open(&entry)).0, by);
    }
    assert_eq!(ana.chat().epoch(), Epoch(5));
}

/// Messages flow in the old epoch while a commit pends.
#[test]
fn messages_flow_while_a_commit_pends() {
    let (mut ana, mut ben) = friends();
    let pending = ana.self_update();
    let (to_ben, to_ana) = (ana.seal(&content(1)), ben.seal(&content(2)));
    message_by(ben.open(&to_ben));
    message_by(ana.open(&to_ana));
    ana.apply(&pending.entry).unwrap();
    ben.apply(&pending.entry).unwrap();
    let entry = ben.seal(&content(3));
    message_by(ana.open(&entry));
}

/// Both commit at once: the loser processes the winner, its own commit is gone, and it commits again.
#[test]
fn the_loser_of_a_race_goes_on_with_the_winner() {
    let (mut ana, mut ben) = friends();
    let (winner, loser) = (ana.self_update(), ben.self_update());
    let applied = ben.apply(&winner.entry).unwrap();
    assert!(!applied.is_own());
    ana.apply(&winner.entry).unwrap();
    assert!(ben.chat().pending(&ben.rows).unwrap().is_none());
    // the lost entry is of an epoch that is over
    let refused =
        ben.with(|chat, outside, book| chat.apply_commit(outside, book, &loser.entry, Epoch(1)));
    assert!(matches!(refused, Err(ApplyError::WrongEpoch { .. })));
    let again = ben.self_update();
    ana.apply(&again.entry).unwrap();
    ben.apply(&again.entry).unwrap();
    assert_eq!(ana.chat().epoch(), Epoch(3));
    let entry = ana.seal(&content(1));
    message_by(ben.open(&entry));
}

/// A pending commit survives a reload byte for byte, blocks a second one, and goes only when told to.
#[test]
fn c061_pending_survives_a_reload() {
    let (mut ana, mut ben) = friends();
    let pending = ana.self_update();
    let stored = ana.chat().pending(&ana.rows).unwrap().unwrap();
    assert_eq!(stored.entry, pending.entry);
    assert_eq!(stored.base_epoch, Epoch(1));
    assert_eq!(stored.next_access.public(), pending.next_access.public());
    let second = ana.with(|chat, outside, _| chat.self_update(outside, &head_at(Epoch(1)), 30));
    assert!(matches!(second, Err(CommitError::PendingExists)));
    ana.with(|chat, outside, _| chat.drop_pending(outside).unwrap());
    assert!(ana.chat().pending(&ana.rows).unwrap().is_none());
    let other = ana.self_update();
    assert_ne!(other.entry, pending.entry);
    ben.apply(&other.entry).unwrap();
    ana.apply(&other.entry).unwrap();
}

/// A head of another epoch and a retention nobody may choose are refused.
#[test]
fn wrong_heads_and_retentions_are_refused() {
    let (mut ana, _) = friends();
    let update = |ana: &mut Side, epoch, days| {
        ana.with(|chat, outside, _| chat.self_update(outside, &head_at(epoch), days))
    };
    let refused = update(&mut ana, Epoch(2), 30);
    assert!(matches!(refused, Err(CommitError::WrongHead)));
    let refused = update(&mut ana, Epoch(1), 2);
    assert!(matches!(refused, Err(CommitError::Retention)));
    assert!(ana.chat().pending(&ana.rows).unwrap().is_none());
}

/// A self-update carries the device's newest account state; the other side accepts it when it knows that state.
#[test]
fn a_self_update_brings_the_new_account_seq() {
    let (mut ana, mut ben) = friends();
    let state = ana.person.chain(1).pop().unwrap();
    ana.person.own.account_seq = 2;
    let pending = ana.self_update();
    let refused = ben.try_apply(&pending.entry).unwrap_err();
    let newer = LeafError::NewerState {
        claimed: 2,
        accepted: 1,
    };
    assert!(matches!(
        refused,
        ApplyError::Leaf { error: LeafNodeError::Leaf(error), .. } if error == newer
    ));
    let known = KnownAccount::new(SERVER, state, vec![ana.person.cert.clone()]);
    ben.book.accept(known.unwrap());
    ben.try_apply(&pending.entry).unwrap();
    assert_eq!(ben.chat().member(0).unwrap().account_seq, 2);
}
