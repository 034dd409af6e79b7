//! What MLS's own API refuses to frame: a private message that opens, around any content at any generation.
//!
//! The keys come from the device's stored state, the framing is RFC 9420 §6.3 and §9 spelled out. Everything
//! but what the forgery is about holds: a receiver decrypts it and finds the signature right.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use conclave_core::conversation::Outside;
use conclave_proto::codec;
use conclave_proto::id::LogId;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tls_codec::{SecretVLBytes, TlsSerialize, TlsSize, VLByteSlice, VLBytes};

use crate::key_package;
use crate::member::Member;

const HASH_BYTES: usize = 48;

/// Content type of an application message.
pub const APPLICATION: u8 = 1;
/// Content type of a proposal.
pub const PROPOSAL: u8 = 2;
/// Content type of a commit.
pub const COMMIT: u8 = 3;

/// What to frame.
#[derive(Debug, Clone)]
pub struct Content {
    /// [`APPLICATION`], [`PROPOSAL`], [`COMMIT`] or anything else.
    pub kind: u8,
    /// The body as its kind encodes it ([`text`], [`proposal`], [`commit`]).
    pub body: Vec<u8>,
    /// What follows the signature: a confirmation tag in a commit.
    pub tail: Vec<u8>,
    /// Zeros at the end; other bytes are forgeries too.
    pub padding: Vec<u8>,
    /// Generations to skip before this message.
    pub skip: u32,
    /// The generation that it says it is of; `None` is the true one.
    pub generation: Option<u32>,
    /// The leaf that it says it is of; `None` is the member's own.
    pub leaf: Option<u32>,
    /// Data in clear.
    pub aad: Vec<u8>,
}

impl Content {
    fn new(kind: u8, body: Vec<u8>, tail: Vec<u8>) -> Self {
        Self {
            kind,
            body,
            tail,
            padding: vec![0; 64],
            skip: 0,
            generation: None,
            leaf: None,
            aad: vec![],
        }
    }
}

/// An application message.
pub fn text(bytes: &[u8]) -> Content {
    Content::new(APPLICATION, codec::encode(&VLByteSlice(bytes)), vec![])
}

/// A proposal (`type ‖ body`) sent alone.
pub fn proposal(kind: u16, body: &[u8]) -> Content {
    let bytes = [kind.to_be_bytes().as_slice(), body].concat();
    Content::new(PROPOSAL, bytes, vec![])
}

/// A commit of these encoded proposals ([`by_value`], [`by_reference`]), with these bytes in place of an
/// optional path, and a confirmation tag that cannot be right.
pub fn commit(proposals: &[Vec<u8>], path: &[u8]) -> Content {
    let proposals = codec::encode(&VLBytes::from(proposals.concat()));
    let tag = codec::encode(&VLBytes::from(vec![7; HASH_BYTES]));
    Content::new(COMMIT, [proposals.as_slice(), path].concat(), tag)
}

/// A proposal inside a commit.
pub fn by_value(kind: u16, body: &[u8]) -> Vec<u8> {
    [&[1], kind.to_be_bytes().as_slice(), body].concat()
}

/// A reference to a proposal inside a commit.
pub fn by_reference(hash: [u8; HASH_BYTES]) -> Vec<u8> {
    [vec![2], codec::encode(&VLBytes::from(hash.to_vec()))].concat()
}

/// The MLS message around `content`, by the member that `outside` is in the conversation `log_id`. The
/// device's own ratchets stay where they are.
pub fn private_message(outside: Outside<'_>, log_id: LogId, content: &Content) -> Vec<u8> {
    let mut member = Member::of(outside, log_id);
    // MLS makes its own ratchets when they are first used
    member.message(b"");
    let stored = outside.rows.load("message-secrets", log_id.as_bytes());
    let stored: Store = rmp_serde::from_slice(&stored.unwrap().unwrap()).unwrap();
    let secrets = stored.2;
    let own = member.group.own_leaf_index().u32();
    let ratchets = match content.kind {
        APPLICATION => secrets.4.4,
        _ => secrets.4.3,
    };
    let index = usize::try_from(own).unwrap();
    let Some(Ratchet::EncryptionRatchet(Head(secret, mut generation))) =
        ratchets.into_iter().nth(index).flatten()
    else {
        panic!("an own ratchet");
    };
    let mut secret = secret.value.as_slice().to_vec();
    for _ in 0..content.skip {
        secret = tree_secret(&secret, "secret", generation, HASH_BYTES);
        generation += 1;
    }
    let header = Header {
        group_id: log_id.to_vec().into(),
        epoch: member.epoch().0,
        kind: content.kind,
        aad: content.aad.clone().into(),
    };
    let leaf = content.leaf.unwrap_or(own);
    let plain = plain(outside, content, &header, leaf, &secrets.3);
    let guard = [3; 4];
    let mut nonce = tree_secret(&secret, "nonce", generation, 12);
    nonce.iter_mut().zip(guard).for_each(|(a, b)| *a ^= b);
    let key = tree_secret(&secret, "key", generation, 32);
    let sealed = seal(&key, &nonce, &codec::encode(&header), plain);
    let sender = [
        leaf.to_be_bytes(),
        content.generation.unwrap_or(generation).to_be_bytes(),
        guard,
    ]
    .concat();
    let sender_secret = secrets.0.secret.value.as_slice();
    let sample = &sealed[..HASH_BYTES];
    let sender = seal(
        &expand(sender_secret, "key", sample, 32),
        &expand(sender_secret, "nonce", sample, 12),
        &codec::encode(&SenderHeader {
            group_id: header.group_id.clone(),
            epoch: header.epoch,
            kind: header.kind,
        }),
        sender,
    );
    [
        vec![0, 1, 0, 2],
        codec::encode(&header),
        codec::encode(&VLBytes::from(sender)),
        codec::encode(&VLBytes::from(sealed)),
    ]
    .concat()
}

/// PrivateMessageContent: body, signature over the framed content, tail, padding.
fn plain(
    outside: Outside<'_>,
    content: &Content,
    header: &Header,
    leaf: u32,
    group_context: &[u8],
) -> Vec<u8> {
    let signed = [
        vec![0, 1, 0, 2],
        codec::encode(&header.group_id),
        header.epoch.to_be_bytes().to_vec(),
        vec![1],
        leaf.to_be_bytes().to_vec(),
        codec::encode(&header.aad),
        vec![content.kind],
        content.body.clone(),
        group_context.to_vec(),
    ]
    .concat();
    let signature = key_package::sign(&outside.own.secret, "FramedContentTBS", &signed);
    [
        content.body.clone(),
        codec::encode(&VLBytes::from(signature)),
        content.tail.clone(),
        content.padding.clone(),
    ]
    .concat()
}

/// PrivateContentAAD, which is how a PrivateMessage begins too.
#[derive(TlsSize, TlsSerialize)]
struct Header {
    group_id: VLBytes,
    epoch: u64,
    kind: u8,
    aad: VLBytes,
}

#[derive(TlsSize, TlsSerialize)]
struct SenderHeader {
    group_id: VLBytes,
    epoch: u64,
    kind: u8,
}

#[derive(TlsSize, TlsSerialize)]
struct KdfLabel<'a> {
    length: u16,
    label: VLByteSlice<'a>,
    context: VLByteSlice<'a>,
}

/// DeriveTreeSecret (RFC 9420 §9).
fn tree_secret(secret: &[u8], label: &str, generation: u32, length: usize) -> Vec<u8> {
    expand(secret, label, &generation.to_be_bytes(), length)
}

/// ExpandWithLabel (RFC 9420 §8).
fn expand(secret: &[u8], label: &str, context: &[u8], length: usize) -> Vec<u8> {
    let label = format!("MLS 1.0 {label}");
    let info = codec::encode(&KdfLabel {
        length: u16::try_from(length).unwrap(),
        label: VLByteSlice(label.as_bytes()),
        context: VLByteSlice(context),
    });
    let mut bytes = vec![0; length];
    hkdf::Prk::new_less_safe(hkdf::HKDF_SHA384, secret)
        .expand(&[&info], Length(length))
        .unwrap()
        .fill(&mut bytes)
        .unwrap();
    bytes
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn seal(key: &[u8], nonce: &[u8], aad: &[u8], mut bytes: Vec<u8>) -> Vec<u8> {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap())
        .seal_in_place_append_tag(
            Nonce::try_assume_unique_for_key(nonce).unwrap(),
            Aad::from(aad),
            &mut bytes,
        )
        .unwrap();
    bytes
}

// MLS's stored state, as far as it is needed, field by field in its order.

/// MessageSecretsStore.
#[derive(Deserialize)]
struct Store(IgnoredAny, IgnoredAny, Secrets);

/// MessageSecrets.
#[derive(Deserialize)]
struct Secrets(Wrapped, IgnoredAny, IgnoredAny, Vec<u8>, Tree, IgnoredAny);

#[derive(Deserialize)]
struct Wrapped {
    secret: Secret,
}

#[derive(Deserialize)]
struct Secret {
    value: SecretVLBytes,
}

/// SecretTree.
#[derive(Deserialize)]
struct Tree(
    IgnoredAny,
    IgnoredAny,
    IgnoredAny,
    Vec<Option<Ratchet>>,
    Vec<Option<Ratchet>>,
    IgnoredAny,
);

#[derive(Deserialize)]
enum Ratchet {
    EncryptionRatchet(Head),
    DecryptionRatchet(IgnoredAny),
}

#[derive(Deserialize)]
struct Head(Secret, u32);
