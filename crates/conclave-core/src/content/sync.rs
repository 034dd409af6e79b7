//! What the devices of one account tell each other, in the conversation that only they are in.
//!
//! Each item says the newest value of one thing; the last in the log counts.

use conclave_proto::account::AccountStates;
use conclave_proto::id::{AccountId, DeviceId, LogId};
use conclave_proto::limits::{
    DELETED_TOLD_MAX, IDENTIFIER_BYTES_MAX, NAME_BYTES_MAX, PICTURE_BYTES_MAX,
};
use prost::Message as _;
use zeroize::Zeroizing;

use super::ContentError;
use super::settings::{SyncChat, WireChat};
use super::talk::{MessageRef, WireRef, parse_ref};
use crate::attachment::AttachmentPointer;
use crate::capability::Capability;
use crate::identity::STORED_BYTES;

/// The newest value of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncItem {
    /// Everything that this account knows and decided about somebody.
    Contact(Box<SyncContact>),
    /// What the person calls a device.
    Device {
        /// The device.
        device_id: DeviceId,
        /// At most 128 bytes.
        name: String,
    },
    /// What contacts are shown and hold of this account.
    Profile {
        /// Display name, at most 128 bytes.
        name: String,
        /// What contacts may post and claim with.
        capability: Capability,
        /// A JPEG of at most 24 KiB; empty when it was removed, `None` when there never was one.
        picture: Option<Vec<u8>>,
    },
    /// How far the person has read, where no receipt says so.
    Read {
        /// The log.
        log_id: LogId,
        /// Everything up to here.
        seq: u64,
    },
    /// A new identity key; used when the newest state names it.
    Identity(IdentitySeeds),
    /// One setting of one chat.
    Chat(SyncChat),
    /// Messages that the person deleted for themselves, at most 1,000; a deletion is never taken back (C-202).
    Deleted(Vec<MessageRef>),
    /// More of the past for one device: what was said before it was in the conversations.
    History {
        /// The device.
        device_id: DeviceId,
        /// Where it is: an AttachmentPointer as it travels. Holds a key; wiped on drop.
        pointer: Zeroizing<Vec<u8>>,
    },
}

/// Both seeds of an identity key, in memory until they are in the encrypted store. Wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct IdentitySeeds(pub Zeroizing<Vec<u8>>);

impl core::fmt::Debug for IdentitySeeds {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("IdentitySeeds")
    }
}

/// What an account knows and decided about somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a decision of its own"
)]
pub struct SyncContact {
    /// Whose account.
    pub account_id: AccountId,
    /// The accepted state with its certificates, encoded.
    pub states: AccountStates,
    /// Normalised phone number or e-mail address; may be empty.
    pub identifier: String,
    /// Given by this person; may be empty.
    pub given_name: String,
    /// Chosen by themselves; may be empty.
    pub own_name: String,
    /// What they gave to post and claim with.
    pub capability: Option<Capability>,
    /// Whether a lookup led from the identifier to the account.
    pub confirmed: bool,
    /// Whether this person accepted them or wrote first.
    pub accepted: bool,
    /// Whether they are blocked.
    pub blocked: bool,
    /// Whether safety numbers were compared.
    pub verified: bool,
    /// Whether their request was declined.
    pub declined: bool,
}

impl SyncItem {
    pub(super) fn check(&self) -> Result<(), ContentError> {
        let is_well = match self {
            Self::Contact(contact) => {
                contact.identifier.len() <= IDENTIFIER_BYTES_MAX
                    && contact.given_name.len() <= NAME_BYTES_MAX
                    && contact.own_name.len() <= NAME_BYTES_MAX
                    && contact.states.states.len() == 1
            }
            Self::Device { name, .. } => name.len() <= NAME_BYTES_MAX,
            Self::Profile { name, picture, .. } => {
                let bytes = picture.as_ref().map_or(0, Vec::len);
                name.len() <= NAME_BYTES_MAX && bytes <= PICTURE_BYTES_MAX
            }
            Self::Read { .. } => true,
            Self::Identity(seeds) => seeds.0.len() == STORED_BYTES,
            Self::Chat(chat) => chat.is_well(),
            Self::Deleted(targets) => targets.len() <= DELETED_TOLD_MAX,
            Self::History { pointer, .. } => AttachmentPointer::parse(pointer).is_ok(),
        };
        if is_well {
            Ok(())
        } else {
            Err(ContentError::Malformed)
        }
    }

    pub(super) fn to_wire(&self) -> WireSync {
        let item = match self {
            Self::Contact(contact) => WireItem::Contact(WireContact {
                account_id: contact.account_id.to_vec(),
                states: Some(contact.states.clone()),
                identifier: contact.identifier.clone(),
                given_name: contact.given_name.clone(),
                own_name: contact.own_name.clone(),
                capability: contact
                    .capability
                    .as_ref()
                    .map(|capability| capability.as_bytes().to_vec())
                    .unwrap_or_default(),
                confirmed: contact.confirmed,
                accepted: contact.accepted,
                blocked: contact.blocked,
                verified: contact.verified,
                declined: contact.declined,
            }),
            Self::Device { device_id, name } => WireItem::Device(WireDevice {
                device_id: device_id.to_vec(),
                name: name.clone(),
            }),
            Self::Profile {
                name,
                capability,
                picture,
            } => WireItem::Profile(WireOwnProfile {
                name: name.clone(),
                picture: picture.clone(),
                capability: capability.as_bytes().to_vec(),
            }),
            Self::Read { log_id, seq } => WireItem::Read(WireRead {
                log_id: log_id.to_vec(),
                seq: *seq,
            }),
            Self::Identity(seeds) => WireItem::Identity(WireIdentity {
                seeds: seeds.0.to_vec(),
            }),
            Self::Chat(chat) => WireItem::Chat(chat.to_wire()),
            Self::Deleted(targets) => WireItem::Deleted(WireDeleted {
                targets: targets.iter().copied().map(WireRef::from).collect(),
            }),
            Self::History { device_id, pointer } => WireItem::History(WireHistory {
                device_id: device_id.to_vec(),
                pointer: pointer.to_vec(),
            }),
        };
        WireSync { item: Some(item) }
    }

    /// The item alone, as a device keeps one that it cannot use yet.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_wire().encode_to_vec()
    }

    /// An item that a device kept; `None` when it is damaged or of a newer version.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let item = Self::from_wire(WireSync::decode(bytes).ok()?)?.ok()?;
        item.check().ok().map(|()| item)
    }

    /// `None`: an item of a newer version.
    pub(super) fn from_wire(wire: WireSync) -> Option<Result<Self, ContentError>> {
        let item = wire.item?;
        if let WireItem::Chat(chat) = &item
            && chat.is_newer()
        {
            return None;
        }
        Some(parse(item).ok_or(ContentError::Malformed))
    }
}

fn parse(item: WireItem) -> Option<SyncItem> {
    Some(match item {
        WireItem::Contact(wire) => SyncItem::Contact(Box::new(SyncContact {
            account_id: AccountId::parse(&wire.account_id)?,
            states: wire.states?,
            identifier: wire.identifier,
            given_name: wire.given_name,
            own_name: wire.own_name,
            capability: match wire.capability.as_slice() {
                [] => None,
                bytes => Some(Capability::parse(bytes)?),
            },
            confirmed: wire.confirmed,
            accepted: wire.accepted,
            blocked: wire.blocked,
            verified: wire.verified,
            declined: wire.declined,
        })),
        WireItem::Device(wire) => SyncItem::Device {
            device_id: DeviceId::parse(&wire.device_id)?,
            name: wire.name,
        },
        WireItem::Profile(wire) => SyncItem::Profile {
            name: wire.name,
            capability: Capability::parse(&wire.capability)?,
            picture: wire.picture,
        },
        WireItem::Read(wire) => SyncItem::Read {
            log_id: LogId::parse(&wire.log_id)?,
            seq: wire.seq,
        },
        WireItem::Identity(wire) => SyncItem::Identity(IdentitySeeds(Zeroizing::new(wire.seeds))),
        WireItem::Chat(wire) => SyncItem::Chat(SyncChat::parse(wire)?),
        WireItem::Deleted(wire) => {
            let targets = wire.targets.iter().map(|of| parse_ref(Some(of)).ok());
            SyncItem::Deleted(targets.collect::<Option<_>>()?)
        }
        WireItem::History(wire) => SyncItem::History {
            device_id: DeviceId::parse(&wire.device_id)?,
            pointer: Zeroizing::new(wire.pointer),
        },
    })
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WireSync {
    #[prost(oneof = "WireItem", tags = "1, 2, 3, 4, 5, 6, 7, 9")]
    item: Option<WireItem>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum WireItem {
    #[prost(message, tag = "1")]
    Contact(WireContact),
    #[prost(message, tag = "2")]
    Device(WireDevice),
    #[prost(message, tag = "3")]
    Profile(WireOwnProfile),
    #[prost(message, tag = "4")]
    Read(WireRead),
    #[prost(message, tag = "5")]
    Identity(WireIdentity),
    #[prost(message, tag = "6")]
    Chat(WireChat),
    #[prost(message, tag = "7")]
    Deleted(WireDeleted),
    #[prost(message, tag = "9")]
    History(WireHistory),
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireDeleted {
    #[prost(message, repeated, tag = "1")]
    targets: Vec<WireRef>,
}

#[derive(Clone, PartialEq, prost::Message)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of its own")]
struct WireContact {
    #[prost(bytes = "vec", tag = "1")]
    account_id: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    states: Option<AccountStates>,
    #[prost(string, tag = "3")]
    identifier: String,
    #[prost(string, tag = "4")]
    given_name: String,
    #[prost(string, tag = "5")]
    own_name: String,
    #[prost(bytes = "vec", tag = "6")]
    capability: Vec<u8>,
    #[prost(bool, tag = "7")]
    confirmed: bool,
    #[prost(bool, tag = "8")]
    accepted: bool,
    #[prost(bool, tag = "9")]
    blocked: bool,
    #[prost(bool, tag = "10")]
    verified: bool,
    #[prost(bool, tag = "11")]
    declined: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireDevice {
    #[prost(bytes = "vec", tag = "1")]
    device_id: Vec<u8>,
    #[prost(string, tag = "2")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireOwnProfile {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    capability: Vec<u8>,
    #[prost(bytes = "vec", optional, tag = "3")]
    picture: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireRead {
    #[prost(bytes = "vec", tag = "1")]
    log_id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    seq: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireIdentity {
    #[prost(bytes = "vec", tag = "1")]
    seeds: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireHistory {
    #[prost(bytes = "vec", tag = "1")]
    device_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pointer: Vec<u8>,
}
