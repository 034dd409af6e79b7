//! What identities sign holds, and what is stripped, mixed or changed does not.

use conclave_proto::account::{AccountError, Succession, verify_chain};
use tls_codec::VLBytes;

use super::*;
use crate::fixture::{FixedEnv, NOW_MS, Person, SERVER, device_facts};

/// Seeds survive storage, and the public key is the same again.
#[test]
fn secrets_survive_storage() {
    let person = Person::new(1);
    let again = IdentitySecret::from_stored(&person.identity.to_stored()).unwrap();
    assert_eq!(again.public(), person.identity.public());
    let device = DeviceSecret::from_stored(&person.own.secret.to_stored()).unwrap();
    assert_eq!(device.leaf_key(), person.own.secret.leaf_key());
    assert_eq!(device.inbox_key(), person.own.secret.inbox_key());
    assert!(IdentitySecret::from_stored(&[0; 63]).is_none());
    assert!(DeviceSecret::from_stored(&[0; 65]).is_none());
}

/// Printing a secret shows its type only.
#[test]
fn secrets_do_not_print() {
    let person = Person::new(1);
    assert_eq!(format!("{:?}", person.identity), "IdentitySecret");
    assert_eq!(format!("{:?}", person.own.secret), "DeviceSecret");
}

/// Either half of an identity signature alone, empty, or from another key is no signature.
#[test]
fn c013_one_half_signature_is_none() {
    let (one, other) = (Person::new(1).identity, Person::new(2).identity);
    let key = one.public();
    let good = one.sign("label", b"content");
    assert_eq!(key.verify("label", b"content", &good), Ok(()));
    let foreign = other.sign("label", b"content");
    let empty: VLBytes = vec![].into();
    for bad in [
        HybridSignature {
            mldsa65: empty.clone(),
            ..good.clone()
        },
        HybridSignature {
            ed25519: empty,
            ..good.clone()
        },
        HybridSignature {
            mldsa65: foreign.mldsa65,
            ..good.clone()
        },
        HybridSignature {
            ed25519: foreign.ed25519,
            ..good.clone()
        },
        HybridSignature {
            ed25519: good.mldsa65.clone(),
            mldsa65: good.ed25519.clone(),
        },
    ] {
        assert_eq!(
            key.verify("label", b"content", &bad),
            Err(AccountError::Signature)
        );
    }
    assert!(key.verify("other label", b"content", &good).is_err());
    assert!(key.verify("label", b"contents", &good).is_err());
}

/// A key without its post-quantum half, or of another suite, verifies nothing.
#[test]
fn c013_half_a_key_is_none() {
    let one = Person::new(1).identity;
    let good = one.sign("label", b"content");
    let mut classical = one.public();
    classical.mldsa65 = vec![].into();
    assert!(classical.verify("label", b"content", &good).is_err());
    let mut other_suite = one.public();
    other_suite.suite = 1;
    assert!(other_suite.verify("label", b"content", &good).is_err());
}

/// Former leaf keys stand behind the proof, in order; too many, twice, in use again or cut, and the certificate does not
/// hold; left out or added by somebody else, no state lists it.
#[test]
fn c185_former_leaf_keys_are_part_of_the_certificate() {
    let one = Person::new(1);
    let two = one.rekeyed(11);
    let (old, new) = (one.own.secret.leaf_key(), two.own.secret.leaf_key());
    let identity = one.identity.public();
    assert_eq!(two.cert.leaf_keys(), [old, new]);
    assert_eq!(two.cert.verify(&identity), Ok(()));
    assert_eq!(two.state.verify_cert(&two.cert), Ok(()));
    let parsed = DeviceCert::parse(&two.cert.to_bytes()).unwrap();
    assert_eq!(parsed, two.cert);
    // a new identity key certifies the same device with its past
    assert_eq!(two.rotated(12).cert.leaf_keys(), [old, new]);
    let proof = &two.cert.possession_signature.as_slice()[..64];
    let with = |tail: &[u8]| DeviceCert {
        possession_signature: [proof, tail].concat().into(),
        ..two.cert.clone()
    };
    let five: Vec<u8> = (0..5).flat_map(|byte| [byte; 32]).collect();
    for tail in [
        &old[..31],
        &five,
        new.as_slice(),
        &[old, old].concat(),
        &[&old[..], &[1]].concat(),
    ] {
        let error = with(tail).verify(&identity).unwrap_err();
        assert!(matches!(error, AccountError::Contradiction(_)), "{error}");
    }
    for tail in [&[][..], &five[..32], &[&five[..32], &old].concat()] {
        let forged = with(tail);
        assert_eq!(forged.verify(&identity), Ok(()));
        assert!(two.state.verify_cert(&forged).is_err());
    }
    let none = DeviceCert {
        possession_signature: vec![].into(),
        ..two.cert.clone()
    };
    assert_eq!(none.verify(&identity), Err(AccountError::Signature));
}

/// A certificate holds for its identity only, and not without the device's own signature.
#[test]
fn c014_certificates_bind_identity_and_device() {
    let (one, other) = (Person::new(1), Person::new(2));
    assert_eq!(one.cert.verify(&one.identity.public()), Ok(()));
    assert!(one.cert.verify(&other.identity.public()).is_err());

    // a certifier cannot take over somebody else's leaf key without its signature
    let mut stolen = one.cert.clone();
    stolen.content.leaf_key = other.own.secret.leaf_key();
    let bytes = codec::encode(&stolen.content);
    stolen.identity_signature = one.identity.sign(label::DEVICE_CERT, &bytes);
    let possession = codec::encode(&stolen.content.possession());
    stolen.possession_signature = one
        .own
        .secret
        .sign(label::DEVICE_CERT_POSSESSION, &possession)
        .into();
    assert_eq!(
        stolen.verify(&one.identity.public()),
        Err(AccountError::Signature)
    );

    let mut changed = one.cert.clone();
    changed.content.not_after_ms += 1;
    assert_eq!(
        changed.verify(&one.identity.public()),
        Err(AccountError::Signature)
    );
    assert_eq!(
        DeviceCert::parse(&one.cert.to_bytes()),
        Ok(one.cert.clone())
    );
}

/// A state for another server, or certificates of another account or generation, contradict.
#[test]
fn c014_states_and_certificates_agree() {
    let one = Person::new(1);
    assert_eq!(one.state.verify(SERVER), Ok(()));
    assert!(one.state.verify(ServerId::new([9; 32])).is_err());
    let certs = std::slice::from_ref(&one.cert);
    assert_eq!(one.state.verify_certs(certs), Ok(()));
    assert!(one.state.verify_certs(&[]).is_err());

    let facts = DeviceFacts {
        generation: 2,
        ..device_facts(one.own.account_id, one.own.device_id)
    };
    let newer = one.identity.certify(&one.own.secret, &facts);
    let facts = StateFacts {
        server_id: SERVER,
        account_id: one.own.account_id,
        generation: 1,
        issued_ms: NOW_MS,
        flags: 0,
    };
    let state = one
        .identity
        .first_state(&facts, std::slice::from_ref(&newer));
    assert!(state.verify_certs(&[newer]).is_err());
}

/// Only the direct successor by the same key continues a chain; gaps, swaps and other keys break it.
#[test]
fn c015_chains_are_unbroken() {
    let one = Person::new(1);
    let chain = one.chain(3);
    assert_eq!(verify_chain(SERVER, &chain), Ok(()));
    assert!(verify_chain(SERVER, &[]).is_err());
    let gap = [chain[0].clone(), chain[2].clone()];
    assert_eq!(verify_chain(SERVER, &gap), Err(AccountError::Chain));
    let swapped = [chain[1].clone(), chain[0].clone()];
    assert_eq!(verify_chain(SERVER, &swapped), Err(AccountError::Chain));

    let other = IdentitySecret::generate(&FixedEnv::new(9));
    let mut foreign = other.next_state(&chain[0], std::slice::from_ref(&one.cert), NOW_MS);
    foreign.content.identity = other.public();
    foreign.signature = other.sign(label::ACCOUNT_STATE, &codec::encode(&foreign.content));
    assert_eq!(foreign.verify(SERVER), Ok(()));
    let rekeyed = [chain[0].clone(), foreign];
    assert_eq!(verify_chain(SERVER, &rekeyed), Err(AccountError::Chain));
}

/// A new identity key certifies a device again by the proof that its old certificate holds; nobody's proof stands in
/// for another device, account, server or key.
#[test]
fn c135_proof_of_possession_outlives_the_identity_key() {
    let (one, other) = (Person::new(1), Person::new(2));
    let fresh = Person::new(3).identity;
    let again = fresh.recertify(&one.cert, 1);
    assert_eq!(again.verify(&fresh.public()), Ok(()));
    assert!(again.verify(&one.identity.public()).is_err());

    let proof = ProvenDevice::of(&one.cert);
    assert!(proof.holds());
    let facts = device_facts(one.own.account_id, one.own.device_id);
    let own = &one.own.secret;
    let proofs = [
        ProvenDevice {
            signature: other.own.secret.sign(
                label::DEVICE_CERT_POSSESSION,
                &codec::encode(&proof.possession),
            ),
            ..proof.clone()
        },
        ProvenDevice {
            signature: own.sign(label::DEVICE_CERT, &codec::encode(&proof.possession)),
            ..proof.clone()
        },
        own.prove(ServerId::new([9; 32]), facts.account_id, facts.device_id),
        own.prove(SERVER, other.own.account_id, facts.device_id),
        own.prove(SERVER, facts.account_id, other.own.device_id),
        ProvenDevice {
            possession: Possession {
                inbox_key: other.own.secret.inbox_key().into(),
                ..proof.possession.clone()
            },
            ..proof.clone()
        },
    ];
    for wrong in proofs {
        let cert = fresh.certify_proven(&wrong, &facts);
        assert_eq!(cert.verify(&fresh.public()), Err(AccountError::Signature));
    }
}

/// A rotation needs both keys, the old one on the list, and a key that never was in use; a chain walks over it.
#[test]
fn c136_rotation_needs_both_keys() {
    let one = Person::new(1);
    let two = one.rotated(11);
    let three = two.rotated(12);
    let chain = [one.state.clone(), two.state.clone(), three.state.clone()];
    assert_eq!(verify_chain(SERVER, &chain), Ok(()));
    assert_eq!(one.state.succession(&two.state), Some(Succession::Rotation));
    let used = [&one, &two].map(|person| person.identity.public().fingerprint());
    assert_eq!(three.state.content.former, used);

    let signed = |content: &AccountStateContent, old: &IdentitySecret, by: &str| {
        let bytes = codec::encode(content);
        AccountState {
            signature: two.identity.sign(label::ACCOUNT_STATE, &bytes),
            rotation: Some(old.sign(by, &bytes)),
            content: content.clone(),
        }
    };
    let changed = |change: &dyn Fn(&mut AccountStateContent)| {
        let mut content = two.state.content.clone();
        change(&mut content);
        signed(&content, &one.identity, label::ACCOUNT_STATE_ROTATION)
    };
    let stranger = Person::new(3).identity;
    let good = &two.state.content;
    assert!(one.state.is_followed_by(&changed(&|_| {})));
    for wrong in [
        two.state.without_rotation(),
        signed(good, &stranger, label::ACCOUNT_STATE_ROTATION),
        signed(good, &two.identity, label::ACCOUNT_STATE_ROTATION),
        signed(good, &one.identity, label::ACCOUNT_STATE),
        changed(&|content| content.former = vec![]),
        changed(&|content| content.former = vec![stranger.public().fingerprint()]),
        changed(&|content| content.former.insert(0, stranger.public().fingerprint())),
        changed(&|content| content.former.push(two.identity.public().fingerprint())),
        changed(&|content| content.seq += 1),
        changed(&|content| content.prev_hash = Hash32::new([1; 32])),
        changed(&|content| content.generation += 1),
    ] {
        assert!(!one.state.is_followed_by(&wrong));
        assert_eq!(one.state.succession(&wrong), None);
    }
}

/// The first key cannot come back, the list keeps sixteen, and states whose list contradicts itself hold nothing.
#[test]
fn c136_keys_never_return() {
    let one = Person::new(1);
    let two = one.rotated(11);
    let back = two.rotated(1);
    assert_eq!(back.identity.public(), one.identity.public());
    assert_eq!(two.state.succession(&back.state), None);

    let mut person = one;
    for seed in 20..37 {
        let next = person.rotated(seed);
        assert!(person.state.is_followed_by(&next.state));
        person = next;
    }
    assert_eq!(person.state.content.former.len(), 16);
    assert_eq!(person.state.verify(SERVER), Ok(()));
    let resigned = |change: &dyn Fn(&mut AccountStateContent)| {
        let mut content = person.state.content.clone();
        change(&mut content);
        person.identity.sign_state(content).verify(SERVER)
    };
    assert_eq!(resigned(&|_| {}), Ok(()));
    let own = person.identity.public().fingerprint();
    assert!(resigned(&|content| content.former[0] = own).is_err());
    assert!(resigned(&|content| content.former[0] = content.former[1]).is_err());
    assert!(resigned(&|content| content.former.push(IdentityFingerprint::new([1; 32]))).is_err());
    let first = |content: &mut AccountStateContent| {
        (content.seq, content.prev_hash) = (1, Hash32::new([0; 32]));
    };
    assert!(resigned(&first).is_err());
}

/// A new generation follows for the server, never for somebody who has a pin; nor does a key that was in use before.
#[test]
fn c137_a_new_generation_breaks_the_chain() {
    let one = Person::new(1);
    let two = one.rotated(11);
    let lost = two.reset(12);
    assert_eq!(lost.state.verify(SERVER), Ok(()));
    assert_eq!(
        lost.state.verify_certs(std::slice::from_ref(&lost.cert)),
        Ok(())
    );
    assert_eq!(two.state.succession(&lost.state), Some(Succession::Reset));
    assert!(!two.state.is_followed_by(&lost.state));
    let chain = [two.state.clone(), lost.state.clone()];
    assert_eq!(verify_chain(SERVER, &chain), Err(AccountError::Chain));
    for seed in [1, 11] {
        assert_eq!(two.state.succession(&two.reset(seed).state), None);
    }
    let skipped = lost.identity.sign_state(AccountStateContent {
        generation: 3,
        ..lost.state.content.clone()
    });
    assert_eq!(two.state.succession(&skipped), None);
    let listed = lost.identity.sign_state(AccountStateContent {
        former: two.state.former_after(),
        ..lost.state.content.clone()
    });
    assert_eq!(two.state.succession(&listed), None);
}

/// Keys from committed seeds and the signed encodings are the committed ones.
#[test]
fn encodings_stay() {
    let person = Person::new(1);
    let key = person.identity.public();
    insta::assert_snapshot!(hex::encode(person.identity.to_stored()), @"48c9fd9157da82e93d97f7c9632de956076d10e8115f693bb52fea8b42866d0e780b8bdf4cc4f4374538e3a25a4177bb5a35e8eb9e355b70c7f55f18c779cc34");
    insta::assert_snapshot!(hex::encode(key.ed25519), @"7e56cb86c5cf721bd7867e57e9dfd1abcdfdd7ad2790109b3fda141fe95126ec");
    insta::assert_snapshot!(key.fingerprint(), @"f_d232a9591bfac5ff3dbed677bcff83c15573a714a444aa2ae22a93ce0d9814b2");
    insta::assert_snapshot!(label::sha256(&person.own.secret.inbox_key()), @"h_9bd8ce7b639217e8c380d5b7945c65c3287cee7ee9dbfea91b363ae9226dc192");
    insta::assert_snapshot!(hex::encode(person.own.credential().to_bytes()), @"01b1a7e393cbfcf7bc1ca9021e4d59c9fcc05c5a38014bba858cb16bdb69e42d8c0000000000000001d232a9591bfac5ff3dbed677bcff83c15573a714a444aa2ae22a93ce0d9814b2");
    insta::assert_snapshot!(shown(&codec::encode(&person.cert.content)), @"1369 bytes, h_b86a041e1354db9249207b81f42b4371be2e40a7175a6a092e3b0c87ac361a0d");
    let mut state = person.state.content;
    // the certificate's hash covers randomised signatures
    state.devices[0].cert_hash = Hash32::new([1; 32]);
    insta::assert_snapshot!(shown(&codec::encode(&state)), @"2176 bytes, h_8bfc3f7492fdd74503cb1e46088e5458d32a7673688f3a6f058e4572820601b4");
}

fn shown(bytes: &[u8]) -> String {
    format!("{} bytes, {}", bytes.len(), label::sha256(bytes))
}
