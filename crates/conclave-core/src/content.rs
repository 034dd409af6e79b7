//! What a message says: the sealed content, its kinds, and its padding to a bucket.
//!
//! Protobuf behind a length, filled with zeros. Fields 1 to 7 keep their meaning in every version, so a
//! message of a kind or version that is not known here still has its id, its time and its place in the chain.

use conclave_proto::account::{AccountState, DeviceCert};
use conclave_proto::id::{Hash32, MessageId, Seq};
use conclave_proto::limits::{
    DEVICES_MAX, NAME_BYTES_MAX, PADDING_BUCKETS, PICTURE_BYTES_MAX, STATE_CHAIN_MAX,
    TEXT_BYTES_MAX, TIMER_S_MAX,
};
use zeroize::Zeroizing;

use crate::capability::Capability;
use crate::padding;

mod settings;
mod sync;
mod talk;
mod wire;

pub use settings::{ChatName, ChatSetting, LogPlace, SyncChat};
pub use sync::{IdentitySeeds, SyncContact, SyncItem};
pub use talk::{AttachmentInfo, ContactCard, Mention, MessageRef, TextMore};

/// Version of the content that we write.
pub const CONTENT_VERSION: u32 = 1;

/// Bytes of a ciphertext that are not content: leaf signature with its length, and the AEAD tag
/// (`PrivateMessageContent`, RFC 9420 §6.3.1).
const SEALED_OVERHEAD: usize = 82;

/// One sealed content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The message; receivers keep the first of (sender account, id) (C-052).
    pub message_id: MessageId,
    /// Sender's clock, ms since 1970-01-01 UTC; receivers clamp it.
    pub sent_ms: u64,
    /// Where the sender saw the log when sealing (C-054).
    pub seen: Mark,
    /// The sender's own newest account state; said once per epoch.
    pub state_head: Option<StateHead>,
    /// What it says.
    pub kind: Kind,
}

/// A place in a log and the chain hash there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The place.
    pub seq: Seq,
    /// Chain hash after that entry.
    pub hash: Hash32,
}

/// An account's newest state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateHead {
    /// Its seq.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash32,
}

/// What a content says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Words.
    Text {
        /// At most 64 KiB of UTF-8.
        body: String,
        /// What comes with them; nothing by default.
        more: TextMore,
    },
    /// One emoji on a message; a person's newest one there counts (C-176).
    Reaction {
        /// The message.
        target: MessageRef,
        /// At most 32 bytes; empty takes the reaction back.
        emoji: String,
    },
    /// Other words in the place of an own message's (C-171).
    Edit {
        /// The message.
        target: MessageRef,
        /// At most 64 KiB of UTF-8.
        body: String,
        /// People named in it, as in [`TextMore::mentions`].
        mentions: Vec<Mention>,
    },
    /// Takes a message away from everybody (C-172).
    Delete {
        /// The message.
        target: MessageRef,
    },
    /// From now on messages disappear (C-173, C-177).
    Timer {
        /// Seconds, at most a year; 0 = they stay.
        seconds: u32,
    },
    /// Holds a message up in its chat, or no longer (C-173).
    Pin {
        /// The message.
        target: MessageRef,
        /// Whether it is pinned.
        pinned: bool,
    },
    /// Marks: how far messages were delivered and read.
    Receipt(Receipt),
    /// Who the sender is to this contact.
    Profile {
        /// Display name, at most 128 bytes.
        name: String,
        /// The sender's capability, when the receiver is a contact.
        capability: Option<Capability>,
        /// A JPEG of at most 24 KiB; empty when it was removed, `None` when nothing is said of it.
        picture: Option<Vec<u8>>,
    },
    /// The sender's account moved on: states from the receiver's pin, and the newest one's certificates.
    /// Still to be judged ([`crate::pin::judge`]).
    AccountUpdate {
        /// In order, oldest first.
        states: Vec<AccountState>,
        /// Of the newest state.
        certs: Vec<DeviceCert>,
    },
    /// The sender leaves; a member with the right removes the leaf.
    Leave,
    /// To the account's own other devices, in the conversation that only they are in.
    Sync(SyncItem),
    /// A kind or version not known here, kept whole until a newer program can read it (C-056).
    Newer {
        /// The protobuf bytes as they came.
        bytes: Vec<u8>,
    },
}

impl Kind {
    /// Words alone.
    pub fn text(body: impl Into<String>) -> Self {
        Self::Text {
            body: body.into(),
            more: TextMore::default(),
        }
    }

    /// Whether this is no message to people: it never causes a receipt and does not count as unread.
    pub const fn is_silent(&self) -> bool {
        matches!(
            self,
            Self::Receipt(_)
                | Self::Profile { .. }
                | Self::AccountUpdate { .. }
                | Self::Sync(_)
                | Self::Reaction { .. }
                | Self::Edit { .. }
                | Self::Delete { .. }
                | Self::Timer { .. }
                | Self::Pin { .. }
        )
    }
}

/// A receipt: everything up to `delivered` arrived, everything up to `read_up_to` was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The newest entry that this device has, and the chain hash there.
    pub delivered: Mark,
    /// Not beyond `delivered`; 0 = nothing.
    pub read_up_to: Seq,
}

impl Receipt {
    /// Whether the receipt may count. `hash_there` is the receiver's own chain hash after `delivered.seq`,
    /// `None` beyond its head.
    pub fn holds(&self, hash_there: Option<Hash32>) -> bool {
        // C-053: a mark beyond the head, or on another chain, is ignored.
        hash_there == Some(self.delivered.hash) && self.read_up_to <= self.delivered.seq
    }
}

/// Content that is refused, by the sender before sealing or by the receiver after opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// The text is over 64 KiB. Send it in parts.
    #[error(
        "the text is {bytes} bytes, over the limit of {TEXT_BYTES_MAX}: send it in several messages"
    )]
    TextTooLong {
        /// Its length in UTF-8.
        bytes: usize,
    },
    /// The name is over 128 bytes. Choose a shorter one.
    #[error("the name is over {NAME_BYTES_MAX} bytes: choose a shorter one")]
    NameTooLong,
    /// Something in it is over its limit or out of its bounds; the word says what. Send less of it.
    #[error("the message's {0} is over its limit or does not fit it: send less")]
    OverLimit(&'static str),
    /// The content fits no bucket. Send less.
    #[error("the content is {bytes} bytes, more than one message can hold")]
    TooLarge {
        /// Its encoded length.
        bytes: usize,
    },
    /// Not a content: the sender is broken or hostile.
    #[error("the message's content is malformed")]
    Malformed,
}

impl Content {
    /// Encodes and pads so that the MLS ciphertext field is exactly a bucket (C-055).
    pub fn encode_padded(&self) -> Result<Zeroizing<Vec<u8>>, ContentError> {
        self.check()?;
        let bytes = Zeroizing::new(wire::encode(self));
        let too_large = ContentError::TooLarge { bytes: bytes.len() };
        let total = padded_len(bytes.len()).ok_or(too_large)?;
        padding::pad(&bytes, total)
            .map(Zeroizing::new)
            .ok_or(too_large)
    }

    /// Parses what [`Content::encode_padded`] made, after decryption; every size is checked here.
    pub fn decode_padded(padded: &[u8]) -> Result<Self, ContentError> {
        let bytes = padding::unpad(padded).ok_or(ContentError::Malformed)?;
        let content = wire::parse(bytes)?;
        content.check()?;
        Ok(content)
    }

    fn check(&self) -> Result<(), ContentError> {
        self.kind.check()
    }
}

impl Kind {
    /// Whether every size and place in it is in its bounds (C-170): asked before sealing and after opening.
    pub fn check(&self) -> Result<(), ContentError> {
        match self {
            Kind::Text { body, more } => {
                check_body(body)?;
                more.check(body)
            }
            Kind::Edit { body, mentions, .. } => {
                check_body(body)?;
                talk::check_mentions(mentions, body)
            }
            Kind::Reaction { emoji, .. } => talk::check_emoji(emoji),
            // C-177: a timer of at most a year
            Kind::Timer { seconds } if *seconds > TIMER_S_MAX => {
                Err(ContentError::OverLimit("timer"))
            }
            Kind::Profile { name, .. } if name.len() > NAME_BYTES_MAX => {
                Err(ContentError::NameTooLong)
            }
            Kind::Profile {
                picture: Some(picture),
                ..
            } if picture.len() > PICTURE_BYTES_MAX => Err(ContentError::OverLimit("picture")),
            Kind::AccountUpdate { states, certs }
                if states.is_empty()
                    || states.len() > STATE_CHAIN_MAX
                    || certs.len() > DEVICES_MAX =>
            {
                Err(ContentError::Malformed)
            }
            Kind::Sync(item) => item.check(),
            Kind::Receipt(receipt) if receipt.read_up_to > receipt.delivered.seq => {
                Err(ContentError::Malformed)
            }
            _ => Ok(()),
        }
    }
}

fn check_body(body: &str) -> Result<(), ContentError> {
    if body.len() > TEXT_BYTES_MAX {
        return Err(ContentError::TextTooLong { bytes: body.len() });
    }
    Ok(())
}

/// Bytes to hand to MLS for a content of `length` encoded bytes, so that with `padding_size(256)` the ciphertext
/// field is the smallest bucket that holds it (C-055); `None` when none does.
pub fn padded_len(length: usize) -> Option<usize> {
    let wanted = length.checked_add(padding::LENGTH_BYTES)?;
    PADDING_BUCKETS
        .iter()
        .map(|bucket| room(*bucket))
        .find(|room| wanted <= *room)
}

/// Content bytes that a ciphertext of `bucket` bytes holds: its own length is 2 bytes below 16 KiB, else 4
/// (RFC 9420 §2.1.2).
const fn room(bucket: usize) -> usize {
    let short = bucket - SEALED_OVERHEAD - 2;
    if short < 16 * 1024 { short } else { short - 2 }
}

#[cfg(test)]
mod tests;
