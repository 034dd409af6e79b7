//! Devices that replace their leaf key: what they say before and after, who comes meanwhile, and what is refused.

use conclave_core::conversation::{ApplyError, Change, JoinError};
use conclave_core::credential::{KnownAccount, LeafError, Wanted};
use conclave_core::identity::DeviceSecret;
use conclave_core::key_package::{KeyPackageError, check};
use conclave_core::leaf::LeafNodeError;
use conclave_hostile::people::{FixedEnv, NOW_MS, Person, SERVER, device_facts};
use conclave_hostile::side::{
    Side, content, create_with, friends, group_of, join_created, message_by, open_blob, strangers,
};
use conclave_proto::id::DeviceId;

fn copy(secret: &DeviceSecret) -> DeviceSecret {
    DeviceSecret::from_stored(&secret.to_stored()).unwrap()
}

fn leaf_error(refused: &ApplyError) -> LeafError {
    match refused {
        ApplyError::Leaf {
            error: LeafNodeError::Leaf(error),
            ..
        } => *error,
        other => panic!("{other:?}"),
    }
}

/// Until its leaf follows, the device speaks under the former key, to who knows of the new one and to who does not;
/// the commit that moves the leaf is taken by both, and what is said after it, too.
#[test]
fn c187_a_leaf_follows_its_device() {
    let mut sides = group_of(3);
    let rekeyed = sides[0].person.rekeyed(11);
    sides[0].book.accept(rekeyed.known());
    sides[0].person = rekeyed;
    assert!(!sides[0].chat().has_newest_key(&sides[0].person.own));
    let known = sides[0].person.known();
    sides[1].book.accept(known.clone());
    let before = sides[0].seal(&content(1));
    for place in [1, 2] {
        assert_eq!(message_by(sides[place].open(&before)).1, content(1));
    }
    let moving = sides[0].self_update().entry;
    // who does not know the state is told to fetch it, then takes the same entry
    let refused = sides[2].try_apply(&moving).unwrap_err();
    let wanted = Wanted::Newest(sides[0].person.own.account_id);
    assert_eq!(refused.missing(), [wanted]);
    sides[2].book.accept(known);
    for side in &mut sides {
        side.apply(&moving).unwrap();
    }
    assert!(sides[0].chat().has_newest_key(&sides[0].person.own));
    sides[0].person.own.former.clear();
    let after = sides[0].seal(&content(2));
    for place in [1, 2] {
        assert_eq!(message_by(sides[place].open(&after)).1, content(2));
    }
    let next = sides[0].self_update().entry;
    for side in &mut sides {
        side.apply(&next).unwrap();
    }
}

/// Who knows of the new key alone joins a tree in which the leaf is still under the former one, and who was invited
/// by a commit that moved the leaf joins, too.
#[test]
fn c186_a_newcomer_takes_a_leaf_under_a_former_key() {
    for moves in [false, true] {
        let mut sides = group_of(2);
        let rekeyed = sides[0].person.rekeyed(11);
        let mut new = Side::new(9, &[&Person::new(9), &sides[1].person]);
        new.book.accept(rekeyed.known());
        for side in &mut sides {
            side.book.accept(new.person.known());
        }
        if moves {
            sides[0].book.accept(rekeyed.known());
            sides[0].person = rekeyed;
        }
        let package = sides[0].check(&new.key_package(false));
        let changing = sides[0].change(&[Change::Add(package)]).unwrap();
        sides[0].apply(&changing.pending.entry).unwrap();
        let welcome = open_blob(&changing.welcomes[0].blob);
        let tree = open_blob(changing.tree.as_ref().unwrap());
        let log_id = sides[0].chat().log_id();
        let joined = new.join(log_id, &welcome, &tree).unwrap();
        new.conversation = Some(joined.conversation);
        let said = sides[0].seal(&content(4));
        assert_eq!(message_by(new.open(&said)).1, content(4));
    }
}

/// Who reads late an entry of between two replacements takes each in its order.
#[test]
fn c186_two_replacements_are_followed_at_once() {
    let (mut ana, mut ben) = friends();
    let mut entries = Vec::new();
    for seed in [11, 12] {
        let rekeyed = ana.person.rekeyed(seed);
        ana.book.accept(rekeyed.known());
        ana.person = rekeyed;
        let entry = ana.self_update().entry;
        ana.apply(&entry).unwrap();
        entries.push(entry);
    }
    ben.book.accept(ana.person.known());
    for entry in &entries {
        ben.try_apply(entry).unwrap();
    }
}

/// A leaf goes to no key that the account does not list for that very device, under no state that it was not listed
/// by, and never back; each is refused and changes nothing.
#[test]
fn c186_a_leaf_goes_to_no_other_key() {
    /// How Ana's device pretends, after Ben accepted what she published.
    type Pretends = fn(&mut Side, Person);
    let cases: [(Pretends, LeafError); 3] = [
        // a key that no state lists
        (
            |ana, listed| {
                let stray = listed.own.secret.with_new_leaf(&FixedEnv::new(70));
                ana.person.own.account_seq = listed.own.account_seq;
                let own = std::mem::replace(&mut ana.person.own.secret, stray);
                ana.person.own.former.push(own);
            },
            LeafError::OtherKey,
        ),
        // the listed key, under the state before it
        (
            |ana, listed| {
                ana.person = listed;
                ana.person.own.account_seq = 1;
            },
            LeafError::Changed,
        ),
        // another device's
        (
            |ana, listed| {
                let mut other = copy(&listed.own.secret);
                std::mem::swap(&mut other, &mut ana.person.own.secret);
                ana.person.own.former.push(other);
                ana.person.own.account_seq = listed.own.account_seq;
                ana.person.own.device_id = DeviceId::new([9; 16]);
            },
            LeafError::Changed,
        ),
    ];
    for (number, (pretends, wanted)) in cases.into_iter().enumerate() {
        let (mut ana, mut ben) = friends();
        let listed = ana.person.rekeyed(11);
        ben.book.accept(listed.known());
        pretends(&mut ana, listed);
        let before = ben.rows.snapshot();
        let entry = ana.self_update().entry;
        let refused = ben.try_apply(&entry).unwrap_err();
        assert_eq!(leaf_error(&refused), wanted, "{number}");
        assert!(ben.rows.snapshot() == before, "{number}");
    }
    // the key of another device that the account lists
    let (mut ana, mut ben) = friends();
    let second = ana.person.own.secret.with_new_leaf(&FixedEnv::new(72));
    let facts = device_facts(ana.person.own.account_id, DeviceId::new([8; 16]));
    let identity = &ana.person.identity;
    let certs = [ana.person.cert.clone(), identity.certify(&second, &facts)];
    let state = identity.next_state(&ana.person.state, &certs, NOW_MS);
    let known = KnownAccount::new(SERVER, state, certs.to_vec()).unwrap();
    ben.book.accept(known);
    ana.person.own.account_seq = 2;
    let own = std::mem::replace(&mut ana.person.own.secret, second);
    ana.person.own.former.push(own);
    let entry = ana.self_update().entry;
    let refused = ben.try_apply(&entry).unwrap_err();
    assert_eq!(leaf_error(&refused), LeafError::OtherKey);
}

/// Who stole a key that was replaced can neither move the leaf back nor bring it in anew.
#[test]
fn c186_a_replaced_key_does_not_come_back() {
    let (mut ana, mut ben) = friends();
    let stolen = copy(&ana.person.own.secret);
    let first = Person::new(1);
    let rekeyed = ana.person.rekeyed(11);
    for book in [&mut ana.book, &mut ben.book] {
        book.accept(rekeyed.known());
    }
    ana.person = rekeyed;
    let moved = ana.self_update().entry;
    for side in [&mut ana, &mut ben] {
        side.apply(&moved).unwrap();
    }
    let newest = ana.person.own.account_seq;
    for (seq, wanted) in [(newest, LeafError::OtherKey), (1, LeafError::Changed)] {
        let (rows, mut thief) = (ana.rows.snapshot(), first.rekeyed(11));
        thief.own.former = vec![std::mem::replace(&mut thief.own.secret, copy(&stolen))];
        thief.own.account_seq = seq;
        let honest = std::mem::replace(&mut ana.person, thief);
        let entry = ana.self_update().entry;
        let refused = ben.try_apply(&entry).unwrap_err();
        assert_eq!(leaf_error(&refused), wanted);
        ana.roll_back(&rows);
        ana.person = honest;
    }
    // nobody is added under it: only what is in a tree already stands under a former key
    let package = Side::new(1, &[]).key_package(false);
    let refused = check(&package, &ben.book, NOW_MS).unwrap_err();
    assert!(matches!(
        refused,
        KeyPackageError::Leaf(LeafNodeError::Leaf(LeafError::OtherKey))
    ));
}

/// A tree whose leaf is under a key that the account never listed for it, or under a former one as if it were the
/// newest state's, lets nobody in.
#[test]
fn c186_no_unlisted_key_in_a_welcomes_tree() {
    for seq in [1, 2] {
        let (mut ana, mut ben) = strangers();
        let rekeyed = ana.person.rekeyed(11);
        ana.person.own.account_seq = seq;
        if seq == 1 {
            ana.person.own.secret = ana.person.own.secret.with_new_leaf(&FixedEnv::new(73));
        }
        let created = create_with(&ana, &ben);
        ben.book.accept(rekeyed.known());
        let refused = join_created(&ben, &created).unwrap_err();
        assert!(
            matches!(
                refused,
                JoinError::Leaf {
                    error: LeafNodeError::Leaf(LeafError::OtherKey),
                    ..
                }
            ),
            "{seq}: {refused:?}"
        );
    }
}
