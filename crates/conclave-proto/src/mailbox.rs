//! The mailbox in which a new device and one of its account's meet: four slots, written once each.
//!
//! Lives in the server's memory for ten minutes. Its id is the hash of the first slot, which the new
//! device makes from fresh keys: who was not shown the id cannot guess it, and who reads the slot can
//! check that it is the one the id was made for.

use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::id::{Hash32, ServerId};
use crate::label;

/// Slots of one mailbox.
pub const SLOTS: u32 = 4;
/// The new device's offer; there from the start.
pub const OFFER: u32 = 0;
/// By the old device: to which account, sealed.
pub const ANSWER: u32 = 1;
/// By the new device: proof that it holds its keys.
pub const PROOF: u32 = 2;
/// By the old device: the account, sealed.
pub const BUNDLE: u32 = 3;

/// The mailbox that an offer opens.
pub fn mailbox_id(offer: &[u8]) -> Hash32 {
    label::hash(label::LINK_OFFER, offer)
}

/// Opens the mailbox of an offer. The same offer again changes nothing while it lives (C-120).
#[derive(Clone, PartialEq, prost::Message)]
pub struct OpenMailbox {
    /// What the first slot holds, at most [`crate::limits::MAILBOX_OFFER_BYTES_MAX`].
    #[prost(bytes = "vec", tag = "1")]
    pub offer: Vec<u8>,
}

/// Writes one slot, once; the same bytes again are taken again (C-120).
#[derive(Clone, PartialEq, prost::Message)]
pub struct PutSlot {
    /// [`mailbox_id`], 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub mailbox_id: Vec<u8>,
    /// 1 to 3.
    #[prost(uint32, tag = "2")]
    pub slot: u32,
    /// Not empty, at most [`crate::limits::MAILBOX_SLOT_BYTES_MAX`].
    #[prost(bytes = "vec", tag = "3")]
    pub bytes: Vec<u8>,
}

/// Reads one slot.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadSlot {
    /// [`mailbox_id`], 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub mailbox_id: Vec<u8>,
    /// 0 to 3.
    #[prost(uint32, tag = "2")]
    pub slot: u32,
    /// Whether to wait for an empty slot, up to [`crate::limits::MAILBOX_WAIT_MS`].
    #[prost(bool, tag = "3")]
    pub wait: bool,
}

/// What a slot holds.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SlotBytes {
    /// Empty: nothing yet.
    #[prost(bytes = "vec", tag = "1")]
    pub bytes: Vec<u8>,
}

/// Empties a mailbox and ends it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CloseMailbox {
    /// [`mailbox_id`], 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub mailbox_id: Vec<u8>,
}

/// What a new device shows to be joined to an account: the server that it talks to, and its mailbox.
///
/// As text `conclave-link:` and base64url of version u8 = 1, server id, mailbox id. It is not secret: who
/// sees it can answer in the account's stead, but not with the code that the new device shows beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkUri {
    /// The server that the new device talks to.
    pub server_id: ServerId,
    /// Its mailbox there: hash of the offer (C-122).
    pub mailbox_id: Hash32,
}

/// Text that is no link of a new device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkUriError {
    /// Another scheme or none.
    #[error(
        "that is not the link of a new device; it begins with `conclave-link:` and `conclave link` on the new \
         device shows it"
    )]
    Scheme,
    /// Cut off, mistyped, or of a newer version.
    #[error(
        "the link is damaged or of a newer version; copy the whole line that the new device shows"
    )]
    Damaged,
}

const SCHEME: &str = "conclave-link:";
const URI_VERSION: u8 = 1;

impl fmt::Display for LinkUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [
            [URI_VERSION].as_slice(),
            self.server_id.as_bytes(),
            self.mailbox_id.as_bytes(),
        ]
        .concat();
        write!(f, "{SCHEME}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for LinkUri {
    type Err = LinkUriError;

    fn from_str(text: &str) -> Result<Self, LinkUriError> {
        let body = text.trim().strip_prefix(SCHEME);
        let bytes = URL_SAFE_NO_PAD
            .decode(body.ok_or(LinkUriError::Scheme)?)
            .map_err(|_| LinkUriError::Damaged)?;
        let Some((&URI_VERSION, ids)) = bytes.split_first() else {
            return Err(LinkUriError::Damaged);
        };
        let (server, mailbox) = ids.split_at_checked(32).ok_or(LinkUriError::Damaged)?;
        Ok(Self {
            server_id: ServerId::parse(server).ok_or(LinkUriError::Damaged)?,
            mailbox_id: Hash32::parse(mailbox).ok_or(LinkUriError::Damaged)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link survives its text form, which is pinned; what is cut, longer or of another version is refused.
    #[test]
    fn c122_links_are_strict() {
        let uri = LinkUri {
            server_id: ServerId::new([1; 32]),
            mailbox_id: mailbox_id(b"offer"),
        };
        let text = uri.to_string();
        assert_eq!(
            text,
            "conclave-link:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBHR8rqSbyLeH_WgZ7zWqldQVnsGY6Lh8hO3USbg70zJk"
        );
        assert_eq!(text.parse(), Ok(uri));
        assert_eq!(format!(" {text}\n").parse(), Ok(uri));
        let parse = |text: &str| text.parse::<LinkUri>();
        assert_eq!(parse(&text[..text.len() - 4]), Err(LinkUriError::Damaged));
        assert_eq!(parse(&format!("{text}AAAA")), Err(LinkUriError::Damaged));
        assert_eq!(
            parse(&text.replace(":AQ", ":Ag")),
            Err(LinkUriError::Damaged)
        );
        assert_eq!(
            parse(&text.replace("link:", "group:")),
            Err(LinkUriError::Scheme)
        );
        assert_eq!(parse("conclave-link:"), Err(LinkUriError::Damaged));
    }
}
