//! Key packages: honest ones pass, forged ones do not.
#![expect(clippy::unwrap_used, reason = "test helpers")]

use conclave_core::credential::LeafError;
use conclave_core::identity::DeviceFacts;
use conclave_core::key_package::{
    CheckedKeyPackage, KEY_PACKAGE_REF_BYTES, KeyPackageError, build, check, delete,
};
use conclave_core::leaf::LeafNodeError;
use conclave_core::mls_store::MemoryRows;
use conclave_hostile::key_package::{RawKeyPackage, forge};
use conclave_hostile::people::{Book, FixedEnv, NOW_MS, Person, device_facts, state_facts};
use conclave_proto::limits::{KEY_PACKAGE_BYTES_MAX, KEY_PACKAGE_VALID_MS};

struct Fixture {
    ana: Person,
    book: Book,
    rows: MemoryRows,
    env: FixedEnv,
    bytes: Vec<u8>,
}

fn fixture() -> Fixture {
    let ana = Person::new(1);
    let (rows, env) = (MemoryRows::default(), FixedEnv::new(101));
    let bytes = build(&rows, &ana.own, &env, false).unwrap().bytes;
    Fixture {
        book: Book::of(&[&ana]),
        ana,
        rows,
        env,
        bytes,
    }
}

impl Fixture {
    fn check_forged(
        &self,
        change: impl FnOnce(&mut RawKeyPackage),
    ) -> Result<CheckedKeyPackage, KeyPackageError> {
        let bytes = forge(&self.bytes, &self.ana.own.secret, change);
        check(&bytes, &self.book, NOW_MS)
    }
}

/// An honest package passes, one-time and last-resort, and forging nothing changes nothing.
#[test]
fn honest_packages_pass() {
    let f = fixture();
    let checked = check(&f.bytes, &f.book, NOW_MS).unwrap();
    assert_eq!(checked.account_id(), f.ana.own.account_id);
    assert_eq!(checked.device_id(), f.ana.own.device_id);
    assert_eq!(checked.hash_ref().len(), KEY_PACKAGE_REF_BYTES);
    assert!(f.bytes.len() < 3000, "{}", f.bytes.len());
    let last_resort = build(&f.rows, &f.ana.own, &f.env, true).unwrap();
    check(&last_resort.bytes, &f.book, NOW_MS).unwrap();
    f.check_forged(|_| {}).unwrap();
}

/// After its date a package is refused, by that date alone.
#[test]
fn c031_refuses_an_expired_package() {
    let f = fixture();
    let expires = check(&f.bytes, &f.book, NOW_MS).unwrap().expires_ms();
    assert_eq!(expires, NOW_MS + KEY_PACKAGE_VALID_MS);
    assert!(check(&f.bytes, &f.book, expires).is_ok());
    let late = check(&f.bytes, &f.book, expires + 1);
    assert!(matches!(late, Err(KeyPackageError::Expired)));
    // without its extension there is no date, and no package
    let none = f.check_forged(|raw| raw.extensions = vec![].into());
    assert!(matches!(none, Err(KeyPackageError::Malformed("no expiry"))));
}

/// A package whose credential names another account, device, key or a newer state is refused, however well signed.
#[test]
fn c017_refuses_forged_credentials() {
    let f = fixture();
    let (ben, eve) = (Person::new(2), Person::new(3));
    let mut book = Book::of(&[&f.ana, &ben]);
    let claim_of = |person: &Person| person.own.credential().to_bytes();
    // Eve signs with her own key and claims to be Ben
    let as_ben = forge(&f.bytes, &eve.own.secret, |raw| {
        raw.leaf.identity = claim_of(&ben).into();
        raw.leaf.signature_key = eve.own.secret.leaf_key().to_vec().into();
    });
    let refused = check(&as_ben, &book, NOW_MS).unwrap_err();
    let other_key = LeafNodeError::Leaf(LeafError::OtherKey);
    assert!(matches!(refused, KeyPackageError::Leaf(error) if error == other_key));
    // Eve as herself, unknown here
    let as_eve = forge(&f.bytes, &eve.own.secret, |raw| {
        raw.leaf.identity = claim_of(&eve).into();
        raw.leaf.signature_key = eve.own.secret.leaf_key().to_vec().into();
    });
    let refused = check(&as_eve, &book, NOW_MS).unwrap_err();
    let unknown = LeafNodeError::Leaf(LeafError::UnknownAccount);
    assert!(matches!(refused, KeyPackageError::Leaf(error) if error == unknown));
    book.accept(eve.known());
    assert!(check(&as_eve, &book, NOW_MS).is_ok());
    // a credential that is no credential
    let nonsense = f.check_forged(|raw| raw.leaf.identity = vec![1, 2, 3].into());
    assert!(matches!(nonsense, Err(KeyPackageError::Leaf(_))));
}

/// HPKE keys of any wrong length or with nonsense inside are errors, never a panic.
#[test]
fn c030_bad_keys_do_not_panic() {
    let f = fixture();
    for length in [0, 1, 31, 100, 1183, 1215, 1217] {
        let leaf = f.check_forged(|raw| raw.leaf.encryption_key = vec![9; length].into());
        assert!(
            matches!(leaf, Err(KeyPackageError::Leaf(LeafNodeError::Key(_)))),
            "{length}"
        );
        let init = f.check_forged(|raw| raw.init_key = vec![9; length].into());
        assert!(
            matches!(init, Err(KeyPackageError::Leaf(LeafNodeError::Key(_)))),
            "{length}"
        );
    }
    let nonsense = f.check_forged(|raw| raw.init_key = vec![0xff; 1216].into());
    assert!(matches!(
        nonsense,
        Err(KeyPackageError::Leaf(LeafNodeError::Key(_)))
    ));
}

/// Other suites, capabilities, lifetimes, spellings and sizes are malformed.
#[test]
fn refuses_other_shapes() {
    let f = fixture();
    let malformed = |change: fn(&mut RawKeyPackage)| {
        let result = f.check_forged(change);
        assert!(
            matches!(result, Err(KeyPackageError::Malformed(_))),
            "{result:?}"
        );
    };
    malformed(|raw| raw.suite = 0x004F);
    malformed(|raw| raw.version = 2);
    malformed(|raw| raw.leaf.extension_types = vec![0xF0, 0xC2, 0, 0x0A].into());
    malformed(|raw| raw.leaf.suites = vec![0, 0x4E, 0, 0x4F].into());
    malformed(|raw| raw.leaf.not_after = NOW_MS / 1000 + 3600);
    malformed(|raw| raw.leaf.not_before = 1);
    let trailing = [f.bytes.clone(), vec![0]].concat();
    let long = vec![0; KEY_PACKAGE_BYTES_MAX + 1];
    for bytes in [trailing, long, vec![]] {
        let result = check(&bytes, &f.book, NOW_MS);
        assert!(matches!(result, Err(KeyPackageError::Malformed(_))));
    }
    for place in (0..f.bytes.len()).step_by(97) {
        let mut changed = f.bytes.clone();
        changed[place] ^= 1;
        assert!(check(&changed, &f.book, NOW_MS).is_err(), "{place}");
        assert!(check(&f.bytes[..place], &f.book, NOW_MS).is_err());
    }
}

/// Deleting a package takes its private keys away; deleting twice is no error.
#[test]
fn delete_removes_the_keys() {
    let f = fixture();
    let other = build(&f.rows, &f.ana.own, &f.env, true).unwrap();
    let before = f.rows.len();
    delete(&f.rows, &f.env, &other.hash_ref).unwrap();
    assert_eq!(f.rows.len(), before - 1);
    delete(&f.rows, &f.env, &other.hash_ref).unwrap();
    assert_eq!(f.rows.len(), before - 1);
}

/// A package whose device's certificate is over, or has not begun, adds nobody; within its dates it does.
#[test]
fn c019_certificate_dates_are_the_adders() {
    let mut ana = fixture().ana;
    let (rows, env) = (MemoryRows::default(), FixedEnv::new(102));
    let bytes = build(&rows, &ana.own, &env, false).unwrap().bytes;
    let facts = DeviceFacts {
        not_after_ms: NOW_MS + 1000,
        ..device_facts(ana.own.account_id, ana.own.device_id)
    };
    ana.cert = ana.identity.certify(&ana.own.secret, &facts);
    let certs = std::slice::from_ref(&ana.cert);
    ana.state = ana
        .identity
        .first_state(&state_facts(ana.own.account_id), certs);
    let book = Book::of(&[&ana]);
    assert!(check(&bytes, &book, NOW_MS + 1000).is_ok());
    for outside in [NOW_MS + 1001, NOW_MS - 1001] {
        let refused = check(&bytes, &book, outside);
        assert!(matches!(refused, Err(KeyPackageError::CertificateDate)));
    }
}
