//! The content as protobuf, and its checked reading.

use conclave_proto::account::{AccountState, DeviceCert};
use conclave_proto::id::{Hash32, MessageId, Seq};
use conclave_proto::limits::{DEVICES_MAX, STATE_CHAIN_MAX};
use prost::Message as _;

use super::sync::{SyncItem, WireSync};
use super::talk::{self, WireDelete, WireEdit, WirePin, WireReaction, WireText, WireTimer};
use super::{CONTENT_VERSION, Content, ContentError, Kind, Mark, Receipt, StateHead};
use crate::capability::Capability;

/// Fields 1 to 7: the same in every version.
#[derive(Clone, PartialEq, prost::Message)]
struct WireEnvelope {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(bytes = "vec", tag = "2")]
    message_id: Vec<u8>,
    #[prost(uint64, tag = "3")]
    sent_ms: u64,
    #[prost(uint64, tag = "4")]
    seen_seq: u64,
    #[prost(bytes = "vec", tag = "5")]
    seen_hash: Vec<u8>,
    /// 0 = not said.
    #[prost(uint64, tag = "6")]
    state_seq: u64,
    #[prost(bytes = "vec", tag = "7")]
    state_hash: Vec<u8>,
}

/// The kind of version 1, in the same message as the envelope. 24, 27, 28, 30 and 31 are kept for kinds to come;
/// 29 is for own devices.
#[derive(Clone, PartialEq, prost::Message)]
struct WireBody {
    #[prost(
        oneof = "WireKind",
        tags = "16, 17, 18, 19, 20, 21, 22, 23, 25, 26, 29"
    )]
    kind: Option<WireKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum WireKind {
    #[prost(message, tag = "16")]
    Text(WireText),
    #[prost(message, tag = "17")]
    Receipt(WireReceipt),
    #[prost(message, tag = "18")]
    Profile(WireProfile),
    #[prost(message, tag = "19")]
    AccountUpdate(WireAccountUpdate),
    #[prost(message, tag = "20")]
    Leave(WireLeave),
    #[prost(message, tag = "21")]
    Reaction(WireReaction),
    #[prost(message, tag = "22")]
    Edit(WireEdit),
    #[prost(message, tag = "23")]
    Delete(WireDelete),
    #[prost(message, tag = "25")]
    Timer(WireTimer),
    #[prost(message, tag = "26")]
    Pin(WirePin),
    #[prost(message, tag = "29")]
    Sync(WireSync),
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireReceipt {
    #[prost(uint64, tag = "1")]
    delivered_up_to: u64,
    #[prost(uint64, tag = "2")]
    read_up_to: u64,
    #[prost(bytes = "vec", tag = "3")]
    hash: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireProfile {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    capability: Vec<u8>,
    #[prost(bytes = "vec", optional, tag = "3")]
    picture: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireAccountUpdate {
    #[prost(bytes = "vec", repeated, tag = "1")]
    states: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    certs: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireLeave {}

/// The protobuf of a content: envelope, then kind.
pub(super) fn encode(content: &Content) -> Vec<u8> {
    let envelope = WireEnvelope {
        version: CONTENT_VERSION,
        message_id: content.message_id.to_vec(),
        sent_ms: content.sent_ms,
        seen_seq: content.seen.seq.0,
        seen_hash: content.seen.hash.to_vec(),
        state_seq: content.state_head.map_or(0, |head| head.seq),
        state_hash: content
            .state_head
            .map(|head| head.hash.to_vec())
            .unwrap_or_default(),
    };
    let body = match &content.kind {
        Kind::Newer { bytes } => return bytes.clone(),
        kind => WireBody {
            kind: build_kind(kind),
        },
    };
    let mut bytes = envelope.encode_to_vec();
    bytes.extend_from_slice(&body.encode_to_vec());
    bytes
}

fn build_kind(kind: &Kind) -> Option<WireKind> {
    Some(match kind {
        Kind::Text { body, more } => WireKind::Text(more.to_wire(body.clone())),
        Kind::Reaction { target, emoji } => WireKind::Reaction(WireReaction {
            target: Some((*target).into()),
            emoji: emoji.clone(),
        }),
        Kind::Edit {
            target,
            body,
            mentions,
        } => WireKind::Edit(WireEdit {
            target: Some((*target).into()),
            body: body.clone(),
            mentions: talk::mentions_to_wire(mentions),
        }),
        Kind::Delete { target } => WireKind::Delete(WireDelete {
            target: Some((*target).into()),
        }),
        Kind::Timer { seconds } => WireKind::Timer(WireTimer { seconds: *seconds }),
        Kind::Pin { target, pinned } => WireKind::Pin(WirePin {
            target: Some((*target).into()),
            pinned: *pinned,
        }),
        Kind::Receipt(receipt) => WireKind::Receipt(WireReceipt {
            delivered_up_to: receipt.delivered.seq.0,
            read_up_to: receipt.read_up_to.0,
            hash: receipt.delivered.hash.to_vec(),
        }),
        Kind::Profile {
            name,
            capability,
            picture,
        } => WireKind::Profile(WireProfile {
            name: name.clone(),
            picture: picture.clone(),
            capability: capability
                .as_ref()
                .map(|capability| capability.as_bytes().to_vec())
                .unwrap_or_default(),
        }),
        Kind::AccountUpdate { states, certs } => WireKind::AccountUpdate(WireAccountUpdate {
            states: states.iter().map(AccountState::to_bytes).collect(),
            certs: certs.iter().map(DeviceCert::to_bytes).collect(),
        }),
        Kind::Leave => WireKind::Leave(WireLeave {}),
        Kind::Sync(item) => WireKind::Sync(item.to_wire()),
        Kind::Newer { .. } => return None,
    })
}

/// The checked content in `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Result<Content, ContentError> {
    let malformed = ContentError::Malformed;
    let envelope = WireEnvelope::decode(bytes).map_err(|_| malformed)?;
    let state_head = match (envelope.state_seq, envelope.state_hash.as_slice()) {
        (0, []) => None,
        (0, _) => return Err(malformed),
        (seq, hash) => Some(StateHead {
            seq,
            hash: Hash32::parse(hash).ok_or(malformed)?,
        }),
    };
    Ok(Content {
        message_id: MessageId::parse(&envelope.message_id).ok_or(malformed)?,
        sent_ms: envelope.sent_ms,
        seen: Mark {
            seq: Seq(envelope.seen_seq),
            hash: Hash32::parse(&envelope.seen_hash).ok_or(malformed)?,
        },
        state_head,
        kind: parse_body(envelope.version, bytes)?,
    })
}

/// C-056: another version, or no kind that is known here, stays as it came.
fn parse_body(version: u32, bytes: &[u8]) -> Result<Kind, ContentError> {
    let newer = || Kind::Newer {
        bytes: bytes.to_vec(),
    };
    if version != CONTENT_VERSION {
        return Ok(newer());
    }
    let body = WireBody::decode(bytes).map_err(|_| ContentError::Malformed)?;
    match body.kind {
        None => Ok(newer()),
        Some(WireKind::Sync(sync)) => match SyncItem::from_wire(sync) {
            None => Ok(newer()),
            Some(item) => item.map(Kind::Sync),
        },
        Some(kind) => parse_kind(kind),
    }
}

fn parse_kind(kind: WireKind) -> Result<Kind, ContentError> {
    let malformed = ContentError::Malformed;
    Ok(match kind {
        WireKind::Text(text) => talk::parse_text(text)?,
        WireKind::Reaction(wire) => Kind::Reaction {
            target: talk::parse_ref(wire.target.as_ref())?,
            emoji: wire.emoji,
        },
        WireKind::Edit(wire) => Kind::Edit {
            target: talk::parse_ref(wire.target.as_ref())?,
            body: wire.body,
            mentions: talk::parse_mentions(&wire.mentions)?,
        },
        WireKind::Delete(wire) => Kind::Delete {
            target: talk::parse_ref(wire.target.as_ref())?,
        },
        WireKind::Timer(wire) => Kind::Timer {
            seconds: wire.seconds,
        },
        WireKind::Pin(wire) => Kind::Pin {
            target: talk::parse_ref(wire.target.as_ref())?,
            pinned: wire.pinned,
        },
        WireKind::Receipt(receipt) => Kind::Receipt(Receipt {
            delivered: Mark {
                seq: Seq(receipt.delivered_up_to),
                hash: Hash32::parse(&receipt.hash).ok_or(malformed)?,
            },
            read_up_to: Seq(receipt.read_up_to),
        }),
        WireKind::Profile(profile) => Kind::Profile {
            name: profile.name,
            picture: profile.picture,
            capability: if profile.capability.is_empty() {
                None
            } else {
                Some(Capability::parse(&profile.capability).ok_or(malformed)?)
            },
        },
        WireKind::AccountUpdate(update) => parse_update(&update)?,
        WireKind::Leave(WireLeave {}) => Kind::Leave,
        // Taken before: an item may be newer than this program.
        WireKind::Sync(sync) => match SyncItem::from_wire(sync) {
            Some(item) => Kind::Sync(item?),
            None => return Err(malformed),
        },
    })
}

fn parse_update(update: &WireAccountUpdate) -> Result<Kind, ContentError> {
    if update.states.len() > STATE_CHAIN_MAX || update.certs.len() > DEVICES_MAX {
        return Err(ContentError::Malformed);
    }
    let states: Result<_, _> = update
        .states
        .iter()
        .map(|bytes| AccountState::parse(bytes))
        .collect();
    let certs: Result<_, _> = update
        .certs
        .iter()
        .map(|bytes| DeviceCert::parse(bytes))
        .collect();
    Ok(Kind::AccountUpdate {
        states: states.map_err(|_| ContentError::Malformed)?,
        certs: certs.map_err(|_| ContentError::Malformed)?,
    })
}
