//! What both sides parse: text, frames and signed objects of `conclave-proto`.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use conclave_hostile::people::SERVER;
use conclave_proto::account::{
    AccountState, DeviceCert, FLAG_DISCOVERABLE, HybridSignature, IdentityKey,
};
use conclave_proto::address::ServerAddress;
use conclave_proto::codec::{self, CodecError};
use conclave_proto::frame::{Reply, Request, request};
use conclave_proto::hello::{ClientHello, ServerHello};
use conclave_proto::id::{
    AccountId, BlobId, ChallengeId, ChatId, DeviceId, Hash32, IdentityFingerprint, LogId,
    MessageId, ServerId,
};
use conclave_proto::identifier::Identifier;
use conclave_proto::limits::{DEVICES_MAX, FRAME_BYTES_MAX, IDENTIFIER_BYTES_MAX};
use conclave_proto::log::{self, CommitEntry, Entry, Head, WireHead};
use prost::Message;

/// Text, or the end of this input.
pub(crate) fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// What parses is written again as the same bytes (C-003).
pub(crate) fn strict<T: tls_codec::DeserializeBytes + tls_codec::Serialize>(
    bytes: &[u8],
) -> Option<T> {
    let value = codec::parse_exact::<T>(bytes).ok()?;
    assert_eq!(codec::encode(&value), bytes, "a second spelling");
    Some(value)
}

/// What decodes is written and decoded again as the same message.
fn message<M: Message + Default + PartialEq + Debug>(bytes: &[u8]) -> Option<M> {
    let message = M::decode(bytes).ok()?;
    let again = M::decode(message.encode_to_vec().as_slice());
    assert_eq!(again.as_ref(), Ok(&message), "lost in writing");
    Some(message)
}

/// What parses is shown again as the same text.
fn shown_again<T: FromStr + Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text, "a second spelling");
    }
}

/// Server addresses: what is accepted is shown in a form that means the same.
pub fn address(bytes: &[u8]) {
    let Some(Ok(address)) = text(bytes).map(str::parse::<ServerAddress>) else {
        return;
    };
    assert_eq!(address.to_string().parse(), Ok(address.clone()));
    assert!(address.host_port().ends_with(&format!(":{}", address.port)));
}

/// Phone numbers and e-mail addresses: one normalised spelling, within its limit (C-012).
pub fn identifier(bytes: &[u8]) {
    let Some(Ok(identifier)) = text(bytes).map(str::parse::<Identifier>) else {
        return;
    };
    let spelling = identifier.as_str();
    assert!(
        spelling.len() <= IDENTIFIER_BYTES_MAX,
        "{} bytes",
        spelling.len()
    );
    let again = Identifier::parse_normalised(spelling);
    assert_eq!(again.as_ref().map(Identifier::as_str), Ok(spelling));
    assert_eq!(
        again.map(|again| again.is_email()),
        Ok(identifier.is_email())
    );
}

/// Ids in text have one spelling each.
pub fn id(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    shown_again::<AccountId>(text);
    shown_again::<BlobId>(text);
    shown_again::<ChallengeId>(text);
    shown_again::<ChatId>(text);
    shown_again::<DeviceId>(text);
    shown_again::<Hash32>(text);
    shown_again::<IdentityFingerprint>(text);
    shown_again::<LogId>(text);
    shown_again::<MessageId>(text);
    shown_again::<ServerId>(text);
}

/// The first frames of a connection.
pub fn hello(bytes: &[u8]) {
    if let Some(hello) = message::<ClientHello>(bytes) {
        let _ = hello.role();
    }
    if let Some(hello) = message::<ServerHello>(bytes) {
        let _ = hello.refusal.map(|refusal| refusal.to_string());
    }
}

/// A stream of frames: the same ones however the bytes are cut, none over its limit (C-004).
pub fn frame(bytes: &[u8]) {
    let whole = frames(bytes);
    for cut in [1, bytes.len() / 2] {
        let Some((first, _)) = bytes.split_at_checked(cut) else {
            continue;
        };
        let part = frames(first);
        assert!(part.0 <= whole.0, "more frames in fewer bytes");
    }
}

/// How many whole frames `bytes` begin with, and what stopped there.
fn frames(mut bytes: &[u8]) -> (usize, Option<CodecError>) {
    let mut count = 0;
    loop {
        match codec::decode_frame::<Request>(bytes) {
            Ok(Some((request, used))) => {
                assert!((codec::LENGTH_BYTES..=bytes.len()).contains(&used));
                let frame = codec::encode_frame(&request).expect("it fitted before");
                assert!(frame.len() <= codec::LENGTH_BYTES + FRAME_BYTES_MAX);
                bytes = &bytes[used..];
                count += 1;
            }
            Ok(None) => return (count, None),
            Err(error) => return (count, Some(error)),
        }
    }
}

/// Everything a client asks, and what a server computes from it before it decides.
pub fn request(bytes: &[u8]) {
    let Some(request) = message::<Request>(bytes) else {
        return;
    };
    match request.body {
        Some(request::Body::CreateLog(create)) => {
            let _ = create.fields_hash();
        }
        Some(request::Body::PutBundle(bundle)) => commit_entry(&bundle.commit_entry),
        Some(request::Body::PutState(put)) => {
            account_state(&put.state);
            put.certs.iter().for_each(|cert| device_cert(cert));
        }
        Some(request::Body::Lookup(lookup)) => {
            let _ = Identifier::parse_normalised(&lookup.identifier);
        }
        _ => {}
    }
}

/// Everything a server answers or pushes.
pub fn reply(bytes: &[u8]) {
    let _ = message::<Reply>(bytes);
}

/// An entry of a log, and a head as it travels: hashes of what is well-formed are 32 bytes (C-026).
pub fn entry(bytes: &[u8]) {
    if let Some(entry) = message::<Entry>(bytes) {
        let both = entry.is_expired() && !entry.payload.is_empty();
        assert!(
            !both || entry.payload_hash().is_none(),
            "an expired payload"
        );
        let _ = entry.kind();
    }
    if let Some(wire) = message::<WireHead>(bytes)
        && let Some(head) = wire.parse()
    {
        assert_eq!(WireHead::from(head), wire);
    }
}

/// A head as the server signs it.
pub fn head(bytes: &[u8]) {
    if let Some(head) = strict::<Head>(bytes) {
        let _ = log::head_signing_input(SERVER, LogId::new([1; 32]), &head);
    }
}

/// A commit entry: its head's three signing inputs are distinct, and no verdict comes without a check.
pub fn commit_entry(bytes: &[u8]) {
    let Some(entry) = strict::<CommitEntry>(bytes) else {
        return;
    };
    let head = &entry.head;
    assert_ne!(head.old_input(), head.new_input());
    assert_ne!(head.old_input(), head.binding_input());
    let holds = entry.verify(
        head.server_id,
        head.log_id,
        head.base_epoch,
        &head.next_access_key,
    );
    assert!(!holds || entry.old_signature != entry.new_signature);
}

/// An identity key and the two signatures that follow it.
pub fn identity_key(bytes: &[u8]) {
    if let Some(key) = strict::<IdentityKey>(bytes) {
        let _ = key.fingerprint();
        if key.check().is_ok() {
            let none = HybridSignature {
                ed25519: vec![0; 64].into(),
                mldsa65: vec![0; 3309].into(),
            };
            assert!(key.verify("label", b"content", &none).is_err());
        }
    }
    let _ = strict::<HybridSignature>(bytes);
}

/// A device certificate: read, hashed, and put before the key of the person it may name.
pub fn device_cert(bytes: &[u8]) {
    let Ok(cert) = DeviceCert::parse(bytes) else {
        return;
    };
    assert_eq!(cert.to_bytes(), bytes, "a second spelling");
    let _ = cert.hash();
    let person = crate::people::ana();
    if cert.verify(&person.identity.public()).is_ok() {
        assert_eq!(cert.content, person.cert.content, "a forged certificate");
    }
}

/// An account state: read, hashed and verified; what holds keeps the rules of C-014.
pub fn account_state(bytes: &[u8]) {
    let Ok(state) = AccountState::parse(bytes) else {
        return;
    };
    assert_eq!(state.to_bytes(), bytes, "a second spelling");
    let _ = state.hash();
    if state.verify(SERVER).is_ok() {
        let content = &state.content;
        assert!(content.devices.len() <= DEVICES_MAX);
        assert!(content.seq >= 1 && content.flags & !FLAG_DISCOVERABLE == 0);
    }
}
