//! Vectors of who somebody is: identity, certificate, states, credential, safety number, exported key.

use conclave_core::identity::IdentitySecret;
use conclave_core::key_export;
use conclave_core::safety_number::SafetyNumber;
use conclave_hostile::people::{FixedEnv, NOW_MS, Person, SERVER};
use conclave_proto::account::{AccountState, DeviceCert, HybridSignature};
use conclave_proto::{codec, label};
use serde_json::{Value, json};

use crate::{bytes_of, committed, settle};

/// `made` with the committed ML-DSA-65 signature in its place, when that verifies over `content`.
fn keep(
    made: &mut HybridSignature,
    committed: &Value,
    person: &Person,
    label: &str,
    content: &[u8],
) {
    let kept = HybridSignature {
        ed25519: made.ed25519.clone(),
        mldsa65: bytes_of(committed).into(),
    };
    if person
        .identity
        .public()
        .verify(label, content, &kept)
        .is_ok()
    {
        *made = kept;
    }
}

/// The person's certificate, under the committed signature.
pub(crate) fn certificate(person: &Person, committed: &Value) -> DeviceCert {
    let mut cert = person.cert.clone();
    let content = codec::encode(&cert.content);
    let old = &committed["identity_signature"]["mldsa65"];
    keep(
        &mut cert.identity_signature,
        old,
        person,
        label::DEVICE_CERT,
        &content,
    );
    cert
}

/// A state whose certificate or predecessor may have changed with them: signed anew unless the old one holds.
pub(crate) fn sealed(mut state: AccountState, person: &Person, committed: &Value) -> AccountState {
    let content = codec::encode(&state.content);
    state.signature = person.identity.sign(label::ACCOUNT_STATE, &content);
    let old = &committed["signature"]["mldsa65"];
    keep(
        &mut state.signature,
        old,
        person,
        label::ACCOUNT_STATE,
        &content,
    );
    state
}

/// The state that replaces the person's key: `previous` is the one before it, sealed.
fn rotated(person: &Person, previous: &AccountState, committed: &Value) -> AccountState {
    let new = IdentitySecret::generate(&FixedEnv::new(11));
    let mut state = new.rotated_state(&person.identity, previous, &[], NOW_MS + 2);
    let content = codec::encode(&state.content);
    let pairs = [
        (&new, label::ACCOUNT_STATE, "signature"),
        (&person.identity, label::ACCOUNT_STATE_ROTATION, "rotation"),
    ];
    for (key, label, name) in pairs {
        let kept = HybridSignature {
            ed25519: bytes_of(&committed[name]["ed25519"]).into(),
            mldsa65: bytes_of(&committed[name]["mldsa65"]).into(),
        };
        if key.public().verify(label, &content, &kept).is_ok() {
            match name {
                "rotation" => state.rotation = Some(kept),
                _ => state.signature = kept,
            }
        }
    }
    state
}

fn signature(signature: &HybridSignature) -> Value {
    json!({
        "ed25519": hex::encode(signature.ed25519.as_slice()),
        "mldsa65": hex::encode(signature.mldsa65.as_slice()),
    })
}

/// Ana's certificate and her first two states, as all vectors use them.
pub(crate) fn ana() -> (Person, DeviceCert, [AccountState; 2]) {
    let ana = Person::new(1);
    let cert = certificate(&ana, &committed("device_cert"));
    let old = &committed("account_state")["states"];
    let mut first = ana.state.clone();
    first.content.devices[0].cert_hash = cert.hash();
    let first = sealed(first, &ana, &old[0]);
    let next = ana.identity.next_state(&first, &[], NOW_MS + 1);
    let next = sealed(next, &ana, &old[1]);
    (ana, cert, [first, next])
}

/// A certificate: fields, the bytes that are signed, both signatures, the whole and its hash.
#[test]
fn device_cert() {
    let (ana, cert, _) = ana();
    cert.verify(&ana.identity.public()).unwrap();
    let content = &cert.content;
    let rekeyed = certificate(&ana.rekeyed(11), &committed("device_cert")["rekeyed"]);
    rekeyed.verify(&ana.identity.public()).unwrap();
    let made = json!({
        "identity_key": hex::encode(codec::encode(&ana.identity.public())),
        "suite": content.suite,
        "identity_fingerprint": content.identity_fingerprint.to_string(),
        "server_id": content.server_id.to_string(),
        "account_id": content.account_id.to_string(),
        "generation": content.generation,
        "device_id": content.device_id.to_string(),
        "leaf_key": hex::encode(content.leaf_key),
        "inbox_key": hex::encode(content.inbox_key.as_slice()),
        "role": 1,
        "not_before_ms": content.not_before_ms,
        "not_after_ms": content.not_after_ms,
        "content": hex::encode(codec::encode(content)),
        "identity_signature": signature(&cert.identity_signature),
        "possession_signature": hex::encode(cert.possession_signature.as_slice()),
        "encoded": hex::encode(cert.to_bytes()),
        "hash": cert.hash().to_string(),
        "rekeyed": {
            "leaf_keys": rekeyed.leaf_keys().iter().map(hex::encode).collect::<Vec<_>>(),
            "identity_signature": signature(&rekeyed.identity_signature),
            "encoded": hex::encode(rekeyed.to_bytes()),
            "hash": rekeyed.hash().to_string(),
        },
    });
    settle("device_cert", &made);
}

/// Three states that follow each other: one device, then none, then another key that the first signed for.
#[test]
fn account_state() {
    let (ana, cert, [first, second]) = ana();
    first.verify_certs(std::slice::from_ref(&cert)).unwrap();
    let old = &committed("account_state")["states"][2];
    let third = rotated(&ana, &second, old);
    let states = [first, second, third];
    conclave_proto::account::verify_chain(SERVER, &states).unwrap();
    let shown = |state: &AccountState| {
        let content = &state.content;
        let devices: Vec<Value> = content
            .devices
            .iter()
            .map(|entry| {
                json!({
                    "device_id": entry.device_id.to_string(),
                    "cert_hash": entry.cert_hash.to_string(),
                })
            })
            .collect();
        json!({
            "suite": content.suite,
            "server_id": content.server_id.to_string(),
            "account_id": content.account_id.to_string(),
            "generation": content.generation,
            "seq": content.seq,
            "prev_hash": content.prev_hash.to_string(),
            "issued_ms": content.issued_ms,
            "identity_key": hex::encode(codec::encode(&content.identity)),
            "former": content.former.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "devices": devices,
            "recovery_key_hash": content.recovery_key_hash.to_string(),
            "flags": content.flags,
            "signature": signature(&state.signature),
            "rotation": state.rotation.as_ref().map(signature),
            "encoded": hex::encode(state.to_bytes()),
            "hash": state.hash().to_string(),
        })
    };
    settle(
        "account_state",
        &json!({ "states": states.each_ref().map(shown) }),
    );
}

/// What a leaf says about itself.
#[test]
fn credential() {
    let (ana, ..) = ana();
    let credential = ana.own.credential();
    let made = json!({
        "version": credential.version,
        "account_id": credential.account_id.to_string(),
        "device_id": credential.device_id.to_string(),
        "account_seq": credential.account_seq,
        "identity_fingerprint": credential.identity_fingerprint.to_string(),
        "encoded": hex::encode(credential.to_bytes()),
    });
    settle("credential", &made);
}

/// The number of two people, its spaced form and what the picture holds.
#[test]
fn safety_number() {
    let people = [Person::new(1), Person::new(2)];
    let keys = people.each_ref().map(|person| person.identity.public());
    let number = SafetyNumber::of(&keys[0], &keys[1]);
    let made = json!({
        "identity_keys": keys.each_ref().map(|key| hex::encode(codec::encode(key))),
        "fingerprints": keys.each_ref().map(|key| key.fingerprint().to_string()),
        "digits": number.digits(),
        "shown": number.to_string(),
        "qr_payload": hex::encode(number.qr_payload()),
    });
    settle("safety_number", &made);
}

/// An identity key as PEM, with what it opens to.
#[test]
fn key_export() {
    let ana = Person::new(1);
    let passphrase = "pass phrase";
    let pem = key_export::export_pem(&ana.identity, passphrase, &FixedEnv::new(5)).unwrap();
    let seeds = ana.identity.to_stored();
    let made = json!({
        "passphrase": passphrase,
        "pem": pem,
        "ed25519_seed": hex::encode(&seeds[..32]),
        "mldsa65_seed": hex::encode(&seeds[32..]),
        "identity_key": hex::encode(codec::encode(&ana.identity.public())),
        "fingerprint": ana.identity.public().fingerprint().to_string(),
    });
    settle("key_export", &made);
}
