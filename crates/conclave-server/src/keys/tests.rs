//! Keys over time: made once, renewed, without their root.

use std::sync::atomic::{AtomicU64, Ordering};

use conclave_proto::env::OsEnv;

use super::*;
use crate::folder::mode;

#[derive(Debug)]
struct At(AtomicU64);

impl Env for At {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
    fn fill(&self, bytes: &mut [u8]) {
        OsEnv.fill(bytes);
    }
}

impl At {
    fn day(day: u64) -> Self {
        Self(AtomicU64::new(1_795_348_800_000 + day * 86_400_000))
    }
}

/// A second start keeps everything; every file is for its owner alone.
#[test]
fn keys_are_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = ServerKeys::open(folder.path(), &At::day(0)).unwrap();
    let again = ServerKeys::open(folder.path(), &At::day(59)).unwrap();
    assert_eq!(first.server_id, again.server_id);
    assert_eq!(first.chain(), again.chain());
    assert_eq!(server_id(folder.path()).unwrap(), first.server_id);
    for name in [ROOT, ROOT_KEY, LEAF_KEY, CHAIN, PEPPER] {
        assert_eq!(mode(&folder.path().join(name)).unwrap(), 0o600, "{name}");
    }
}

/// A leaf with less than 30 days left is renewed under the same root, so the address stays.
#[test]
fn a_leaf_is_renewed_under_the_same_root() {
    let folder = tempfile::tempdir().unwrap();
    let first = ServerKeys::open(folder.path(), &At::day(0)).unwrap();
    let renewed = ServerKeys::open(folder.path(), &At::day(61)).unwrap();
    assert_eq!(first.server_id, renewed.server_id);
    assert_eq!(first.chain()[1], renewed.chain()[1]);
    assert_ne!(first.chain()[0], renewed.chain()[0]);
}

/// Without the root's key the server runs until its leaf ends, then says what to do.
#[test]
fn the_root_key_may_be_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    ServerKeys::open(folder.path(), &At::day(0)).unwrap();
    std::fs::remove_file(folder.path().join(ROOT_KEY)).unwrap();
    ServerKeys::open(folder.path(), &At::day(80)).unwrap();
    let look = report(folder.path(), &At::day(80));
    assert!(!look.root_key_here && look.leaf_valid && !look.leaf_lasts);
    let late = ServerKeys::open(folder.path(), &At::day(91)).unwrap_err();
    assert!(matches!(late, KeysError::LeafExpired { .. }));
}

/// A lost root is never replaced in silence.
#[test]
fn a_lost_root_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    ServerKeys::open(folder.path(), &At::day(0)).unwrap();
    std::fs::remove_file(folder.path().join(ROOT)).unwrap();
    let refused = ServerKeys::open(folder.path(), &At::day(1)).unwrap_err();
    assert!(matches!(refused, KeysError::RootMissing { .. }));
}

/// A key that does not belong to the chain is replaced while the root's key is here.
#[test]
fn a_torn_renewal_is_repaired() {
    let folder = tempfile::tempdir().unwrap();
    ServerKeys::open(folder.path(), &At::day(0)).unwrap();
    let other = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    write_private(
        &folder.path().join(LEAF_KEY),
        other.serialize_pem().as_bytes(),
    )
    .unwrap();
    ServerKeys::open(folder.path(), &At::day(1)).unwrap();
}

/// The pass is one value per day.
#[test]
fn c041_one_pass_per_day() {
    let pepper = Pepper::new(&[7; 32]);
    assert_eq!(pepper.member_pass(Day(1)), pepper.member_pass(Day(1)));
    assert_ne!(pepper.member_pass(Day(1)), pepper.member_pass(Day(2)));
}

/// A root key, or a root, of another server is refused before it makes a chain that no client accepts.
#[test]
fn foreign_roots_are_refused() {
    let [folder, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    for folder in [&folder, &other] {
        ServerKeys::open(folder.path(), &At::day(0)).unwrap();
    }
    let chain = std::fs::read(folder.path().join(CHAIN)).unwrap();
    for name in [ROOT_KEY, ROOT] {
        let (own, foreign) = (folder.path().join(name), other.path().join(name));
        let kept = std::fs::read(&own).unwrap();
        std::fs::copy(foreign, &own).unwrap();
        let opened = ServerKeys::open(folder.path(), &At::day(61));
        assert!(
            matches!(opened, Err(KeysError::ForeignRootKey { .. })),
            "{name}"
        );
        assert_eq!(std::fs::read(folder.path().join(CHAIN)).unwrap(), chain);
        std::fs::write(own, kept).unwrap();
    }
    ServerKeys::open(folder.path(), &At::day(61)).unwrap();
}
