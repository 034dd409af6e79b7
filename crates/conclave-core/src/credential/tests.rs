//! A leaf is its account's device or it is refused.

use super::*;
use crate::fixture::{Book, FixedEnv, NOW_MS, Person, SERVER, device_facts};
use crate::identity::DeviceSecret;

fn check(claim: &LeafClaim, book: &Book) -> Result<(), LeafError> {
    check_leaf(claim, book, None)
}

/// The encoding is 73 bytes, exact, and of one version.
#[test]
fn c003_credentials_parse_exactly() {
    let credential = Person::new(1).own.credential();
    let mut bytes = credential.to_bytes();
    assert_eq!(bytes.len(), 73);
    assert_eq!(Credential::parse(&bytes), Ok(credential));
    bytes.push(0);
    assert_eq!(Credential::parse(&bytes), Err(LeafError::Malformed));
    bytes.truncate(72);
    assert_eq!(Credential::parse(&bytes), Err(LeafError::Malformed));
    let mut other = credential.to_bytes();
    other[0] = 2;
    assert_eq!(Credential::parse(&other), Err(LeafError::Malformed));
}

/// A listed device with its certified key passes; a stranger's account does not.
#[test]
fn c017_accepts_a_listed_device_only() {
    let (one, other) = (Person::new(1), Person::new(2));
    let book = Book::of(&[&one]);
    assert_eq!(check(&one.claim(), &book), Ok(()));
    assert_eq!(check(&other.claim(), &book), Err(LeafError::UnknownAccount));
}

/// Somebody's credential on one's own key, or another device of the account, is refused.
#[test]
fn c017_rejects_borrowed_credentials() {
    let (one, other) = (Person::new(1), Person::new(2));
    let book = Book::of(&[&one, &other]);
    let borrowed = LeafClaim {
        credential: one.own.credential(),
        ..other.claim()
    };
    assert_eq!(check(&borrowed, &book), Err(LeafError::OtherKey));
    let mut foreign_device = one.claim();
    foreign_device.credential.device_id = other.own.device_id;
    assert_eq!(check(&foreign_device, &book), Err(LeafError::NotListed));
    let mut foreign_identity = one.claim();
    foreign_identity.credential.identity_fingerprint = other.own.identity_fingerprint;
    assert_eq!(
        check(&foreign_identity, &book),
        Err(LeafError::OtherIdentity)
    );
}

/// A state that is not accepted yet cannot vouch for a leaf, and seq 0 does not exist.
#[test]
fn c017_rejects_states_not_accepted() {
    let one = Person::new(1);
    let book = Book::of(&[&one]);
    let mut newer = one.claim();
    newer.credential.account_seq = 2;
    let wanted = LeafError::NewerState {
        claimed: 2,
        accepted: 1,
    };
    assert_eq!(check(&newer, &book), Err(wanted));
    newer.credential.account_seq = 0;
    assert_eq!(check(&newer, &book), Err(LeafError::Malformed));
}

/// A device that the newest accepted state no longer lists is refused, its old state notwithstanding.
#[test]
fn c017_rejects_a_removed_device() {
    let one = Person::new(1);
    let mut book = Book::of(&[&one]);
    let state = one.identity.next_state(&one.state, &[], NOW_MS);
    book.accept(KnownAccount::new(SERVER, state, vec![]).unwrap());
    assert_eq!(check(&one.claim(), &book), Err(LeafError::NotListed));
}

/// An account is known only by a signed state, with certificates that this state lists.
#[test]
fn c014_known_accounts_are_verified() {
    let (one, other) = (Person::new(1), Person::new(2));
    let state = one.state.clone();
    assert!(KnownAccount::new(SERVER, state.clone(), vec![other.cert.clone()]).is_err());
    let mut forged = state;
    forged.content.issued_ms += 1;
    assert!(KnownAccount::new(SERVER, forged, vec![one.cert.clone()]).is_err());
}

/// A listed device whose certificate is not at hand is refused until it is.
#[test]
fn c017_wants_the_certificate_at_hand() {
    let one = Person::new(1);
    let mut book = Book::default();
    book.accept(KnownAccount::new(SERVER, one.state.clone(), vec![]).unwrap());
    assert_eq!(check(&one.claim(), &book), Err(LeafError::NoCertificate));
    book.accept(one.known());
    assert_eq!(check(&one.claim(), &book), Ok(()));
}

/// Listing two devices and bringing one certificate twice is not all certificates.
#[test]
fn c014_repeated_certificates_do_not_count_twice() {
    let one = Person::new(1);
    let mut second = device_facts(one.own.account_id, one.own.device_id);
    second.device_id = DeviceId::new([7; 16]);
    let cert = one
        .identity
        .certify(&DeviceSecret::generate(&FixedEnv::new(77)), &second);
    let both = [one.cert.clone(), cert];
    let state = one.identity.next_state(&one.state, &both, NOW_MS);
    assert_eq!(state.verify_certs(&both), Ok(()));
    assert!(
        state
            .verify_certs(&[one.cert.clone(), one.cert.clone()])
            .is_err()
    );
}

/// A leaf keeps its account and device, and its seq never falls.
#[test]
fn c018_leaves_never_change_identity_or_go_back() {
    let (one, other) = (Person::new(1), Person::new(2));
    let mut book = Book::of(&[&one, &other]);
    let chain = one.chain(2);
    book.accept(KnownAccount::new(SERVER, chain[2].clone(), vec![one.cert.clone()]).unwrap());
    let mut newest = one.claim();
    newest.credential.account_seq = 3;
    assert_eq!(check_leaf(&newest, &book, Some(&one.claim())), Ok(()));
    assert_eq!(
        check_leaf(&one.claim(), &book, Some(&newest)),
        Err(LeafError::Changed)
    );
    assert_eq!(
        check_leaf(&other.claim(), &book, Some(&one.claim())),
        Err(LeafError::Changed)
    );
    let mut other_device = one.claim();
    other_device.credential.device_id = DeviceId::new([9; 16]);
    assert_eq!(
        check_leaf(&one.claim(), &book, Some(&other_device)),
        Err(LeafError::Changed)
    );
}

/// After a rotation a leaf may still name the former key, under an older state only, and goes to the new one with a
/// newer state; never back, never to a key that the account did not have.
#[test]
fn c018_a_fingerprint_follows_the_replaced_keys_only() {
    let one = Person::new(1);
    let two = one.rotated(11);
    let three = two.rotated(12);
    let mut book = Book::of(&[&three]);
    let claims = [&one, &two, &three].map(Person::claim);
    for claim in &claims {
        assert_eq!(check(claim, &book), Ok(()));
    }
    for (before, after) in [(0, 1), (1, 2), (0, 2)] {
        let moved = |from: usize, to: usize| check_leaf(&claims[to], &book, Some(&claims[from]));
        assert_eq!(moved(before, after), Ok(()));
        assert_eq!(moved(after, before), Err(LeafError::Changed));
    }
    // a former key under the newest state, and a later key under the same state, are made up
    let mut late = claims[1];
    late.credential.account_seq = 3;
    assert_eq!(check(&late, &book), Err(LeafError::OtherIdentity));
    let mut early = claims[1];
    early.credential.account_seq = 1;
    assert_eq!(
        check_leaf(&early, &book, Some(&claims[0])),
        Err(LeafError::Changed)
    );
    let back = LeafClaim {
        credential: Credential {
            account_seq: 2,
            ..claims[0].credential
        },
        ..claims[0]
    };
    assert_eq!(
        check_leaf(&back, &book, Some(&claims[1])),
        Err(LeafError::Changed)
    );
    let mut stranger = claims[0];
    stranger.credential.identity_fingerprint = Person::new(2).own.identity_fingerprint;
    assert_eq!(check(&stranger, &book), Err(LeafError::OtherIdentity));
    // whoever has not accepted the rotation yet is told to fetch it
    book = Book::of(&[&one]);
    let wanted = LeafError::NewerState {
        claimed: 3,
        accepted: 1,
    };
    assert_eq!(check(&claims[2], &book), Err(wanted));
}

/// After a reset nothing of the key before counts: leaves of the old generation are refused until they are added anew.
#[test]
fn c137_leaves_of_a_lost_key_are_refused() {
    let one = Person::new(1);
    let lost = one.reset(11);
    let book = Book::of(&[&lost]);
    assert_eq!(check(&lost.claim(), &book), Ok(()));
    assert_eq!(check(&one.claim(), &book), Err(LeafError::OtherIdentity));
    assert_eq!(
        check_leaf(&lost.claim(), &book, Some(&one.claim())),
        Err(LeafError::Changed)
    );
}

/// Devices that an account listed once are known by states that a chain of hashes ties to the accepted one, and by
/// certificates that those states list; not by a broken chain, another account's states or another certificate.
#[test]
fn c181_former_devices_are_known_by_an_unbroken_chain() {
    let (one, other) = (Person::new(1), Person::new(2));
    let first = one.state.clone();
    let second = one
        .identity
        .next_state(&first, std::slice::from_ref(&one.cert), NOW_MS);
    let third = one.identity.next_state(&second, &[], NOW_MS);
    let known = KnownAccount::new(SERVER, third.clone(), vec![]).unwrap();
    let certs = [other.cert.clone(), one.cert.clone()];
    let found = |states: &[AccountState]| former_devices(&known, states, &certs);
    let wanted = |first_seq| FormerDevice {
        account_id: one.own.account_id,
        device_id: one.own.device_id,
        leaf_keys: vec![one.claim().signature_key],
        first_seq,
        last_seq: 2,
    };
    let all = [first.clone(), second.clone(), third.clone()];
    assert_eq!(found(&all), [wanted(1)]);
    assert_eq!(found(&all[1..]), [wanted(2)]);
    // a newer state than the accepted one is no matter
    let newer = one.identity.next_state(&third, &[], NOW_MS);
    assert_eq!(found(&[second.clone(), third.clone(), newer]), [wanted(2)]);
    assert_eq!(found(&[first.clone(), third.clone()]), []);
    assert_eq!(found(&all[..2]), []);
    let mut forged = second;
    forged.content.issued_ms += 1;
    assert_eq!(found(&[first, forged, third.clone()]), []);
    assert_eq!(found(&[other.state.clone(), third.clone()]), []);
    // a device that is listed still is no former one
    let listed = KnownAccount::new(SERVER, all[1].clone(), vec![]).unwrap();
    assert_eq!(former_devices(&listed, &all, &certs), []);
}

/// A device that replaced its key before it was removed is known by either: its leaves were made with both.
#[test]
fn c180_former_devices_are_known_by_their_former_keys() {
    let old = Person::new(1);
    let new = old.rekeyed(11);
    let last = new.identity.next_state(&new.state, &[], NOW_MS);
    let known = KnownAccount::new(SERVER, last.clone(), vec![]).unwrap();
    let states = [old.state.clone(), new.state.clone(), last];
    let found = former_devices(&known, &states, std::slice::from_ref(&new.cert));
    let mut book = Book::default();
    book.accept(known);
    for former in found {
        book.remember(former);
    }
    assert_eq!(check_former(&old.claim(), &book), Ok(()));
    assert_eq!(check_former(&new.claim(), &book), Ok(()));
    let mut stolen = new.claim();
    stolen.signature_key = [9; 32];
    assert!(check_former(&stolen, &book).is_err());
}
