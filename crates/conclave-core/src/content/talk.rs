//! What people do in a chat beside plain words: replies, mentions, files, contact cards, reactions, edits.
//!
//! Every size and place is checked here (C-170), by the sender before sealing and by the receiver after opening.

use conclave_proto::id::{AccountId, MessageId};
use conclave_proto::limits::{
    ATTACHMENTS_MAX, EMOJI_BYTES_MAX, FILE_NAME_BYTES_MAX, IDENTIFIER_BYTES_MAX,
    MEDIA_TYPE_BYTES_MAX, MENTIONS_MAX, NAME_BYTES_MAX, POINTER_BYTES_MAX, PREVIEW_BYTES_MAX,
    TIMER_S_MAX,
};
use prost::Message as _;

use super::{ContentError, Kind};
use crate::attachment::AttachmentPointer;

/// How one message names another. It counts in the conversation that it is said in only (C-174).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageRef {
    /// Who wrote the other.
    pub sender: AccountId,
    /// Its id, as its sender chose it.
    pub message_id: MessageId,
}

/// What comes with the words of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextMore {
    /// The message that this one answers.
    pub reply_to: Option<MessageRef>,
    /// People named in the body, in its order, at most 64, none over another.
    pub mentions: Vec<Mention>,
    /// Whether the words were somebody else's first.
    pub forwarded: bool,
    /// The chat's timer when this was written, in seconds, at most a year; 0 = it stays.
    pub expires_s: u32,
    /// At most 10.
    pub attachments: Vec<AttachmentInfo>,
    /// Somebody's address, passed on.
    pub contact: Option<ContactCard>,
}

/// A person named in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mention {
    /// First byte of the body that names them.
    pub start: u32,
    /// Bytes of it, at least 1; both ends on characters.
    pub length: u32,
    /// Who is meant.
    pub account_id: AccountId,
}

/// A file that lies on the server, and what it is shown as before anybody loads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentInfo {
    /// An encoded [`AttachmentPointer`].
    pub pointer: Vec<u8>,
    /// The name that the sender's file has: outside words, never a path to write to. At most 255 bytes.
    pub name: String,
    /// What it is, as the sender says: at most 127 bytes.
    pub media_type: String,
    /// Bytes of its content; what the pointer says.
    pub length: u64,
    /// A small JPEG made by the sender, at most 12 KiB; may be empty.
    pub preview: Vec<u8>,
    /// Of a picture, in pixels; else 0.
    pub width: u32,
    /// Of a picture, in pixels; else 0.
    pub height: u32,
}

/// Somebody's address, passed on in a chat. It says nothing that a lookup would not have to confirm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactCard {
    /// Phone number or e-mail address, at most 254 bytes.
    pub identifier: String,
    /// What the sender calls them, at most 128 bytes.
    pub name: String,
}

impl TextMore {
    /// The encoding in which it is stored beside its body.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_wire(String::new()).encode_to_vec()
    }

    /// Parses what [`TextMore::to_bytes`] made for `body`, with every check.
    pub fn parse(bytes: &[u8], body: &str) -> Result<Self, ContentError> {
        let wire = WireText::decode(bytes).map_err(|_| ContentError::Malformed)?;
        let Kind::Text { more, .. } = parse_text(wire)? else {
            return Err(ContentError::Malformed);
        };
        more.check(body)?;
        Ok(more)
    }

    /// Whether the message says something without words.
    pub fn is_something(&self) -> bool {
        !self.attachments.is_empty() || self.contact.is_some()
    }

    pub(super) fn check(&self, body: &str) -> Result<(), ContentError> {
        check_mentions(&self.mentions, body)?;
        // C-177: a timer of at most a year
        if self.expires_s > TIMER_S_MAX {
            return Err(ContentError::OverLimit("timer"));
        }
        if self.attachments.len() > ATTACHMENTS_MAX {
            return Err(ContentError::OverLimit("number of files"));
        }
        self.attachments
            .iter()
            .try_for_each(AttachmentInfo::check)?;
        let card_is_well = self.contact.as_ref().is_none_or(|card| {
            !card.identifier.is_empty()
                && card.identifier.len() <= IDENTIFIER_BYTES_MAX
                && card.name.len() <= NAME_BYTES_MAX
        });
        if card_is_well {
            Ok(())
        } else {
            Err(ContentError::OverLimit("contact card"))
        }
    }

    pub(super) fn to_wire(&self, body: String) -> WireText {
        WireText {
            body,
            reply_to: self.reply_to.map(WireRef::from),
            mentions: mentions_to_wire(&self.mentions),
            forwarded: self.forwarded,
            expires_s: self.expires_s,
            attachments: self
                .attachments
                .iter()
                .map(AttachmentInfo::to_wire)
                .collect(),
            contact: self.contact.as_ref().map(|card| WireCard {
                identifier: card.identifier.clone(),
                name: card.name.clone(),
            }),
        }
    }
}

impl AttachmentInfo {
    fn check(&self) -> Result<(), ContentError> {
        let is_small = self.pointer.len() <= POINTER_BYTES_MAX
            && self.name.len() <= FILE_NAME_BYTES_MAX
            && self.media_type.len() <= MEDIA_TYPE_BYTES_MAX
            && self.preview.len() <= PREVIEW_BYTES_MAX;
        if !is_small {
            return Err(ContentError::OverLimit("file's description"));
        }
        let pointer = AttachmentPointer::parse(&self.pointer);
        // C-170: one length, told twice
        if pointer.is_ok_and(|pointer| pointer.length == self.length) {
            Ok(())
        } else {
            Err(ContentError::Malformed)
        }
    }

    fn to_wire(&self) -> WireAttachment {
        WireAttachment {
            pointer: self.pointer.clone(),
            name: self.name.clone(),
            media_type: self.media_type.clone(),
            length: self.length,
            preview: self.preview.clone(),
            width: self.width,
            height: self.height,
        }
    }
}

/// C-170: mentions stand inside the body, on characters, in order, none over another.
pub(super) fn check_mentions(mentions: &[Mention], body: &str) -> Result<(), ContentError> {
    let mut free = 0;
    for mention in mentions {
        let (start, length) = (mention.start as usize, mention.length as usize);
        let end = start.saturating_add(length);
        if length == 0 || start < free || body.get(start..end).is_none() {
            return Err(ContentError::OverLimit("mention"));
        }
        free = end;
    }
    if mentions.len() > MENTIONS_MAX {
        return Err(ContentError::OverLimit("number of mentions"));
    }
    Ok(())
}

/// C-170: an emoji is short and draws nothing beside itself.
pub(super) fn check_emoji(emoji: &str) -> Result<(), ContentError> {
    let is_plain = !emoji.chars().any(|c| c.is_control() || c.is_whitespace());
    if is_plain && emoji.len() <= EMOJI_BYTES_MAX {
        Ok(())
    } else {
        Err(ContentError::OverLimit("reaction"))
    }
}

pub(super) fn mentions_to_wire(mentions: &[Mention]) -> Vec<WireMention> {
    let wire = mentions.iter().map(|mention| WireMention {
        start: mention.start,
        length: mention.length,
        account_id: mention.account_id.to_vec(),
    });
    wire.collect()
}

pub(super) fn parse_mentions(wire: &[WireMention]) -> Result<Vec<Mention>, ContentError> {
    let parsed = wire.iter().map(|mention| {
        Ok(Mention {
            start: mention.start,
            length: mention.length,
            account_id: AccountId::parse(&mention.account_id).ok_or(ContentError::Malformed)?,
        })
    });
    parsed.collect()
}

/// The message that `wire` names; without one the content is malformed.
pub(super) fn parse_ref(wire: Option<&WireRef>) -> Result<MessageRef, ContentError> {
    let parsed = wire.and_then(|wire| {
        Some(MessageRef {
            sender: AccountId::parse(&wire.sender)?,
            message_id: MessageId::parse(&wire.message_id)?,
        })
    });
    parsed.ok_or(ContentError::Malformed)
}

/// The words in `wire` and what comes with them.
pub(super) fn parse_text(wire: WireText) -> Result<Kind, ContentError> {
    let reply_to = wire.reply_to.as_ref();
    let reply_to = reply_to.map(|to| parse_ref(Some(to))).transpose()?;
    let attachments = wire.attachments.into_iter().map(|file| AttachmentInfo {
        pointer: file.pointer,
        name: file.name,
        media_type: file.media_type,
        length: file.length,
        preview: file.preview,
        width: file.width,
        height: file.height,
    });
    Ok(Kind::Text {
        body: wire.body,
        more: TextMore {
            reply_to,
            mentions: parse_mentions(&wire.mentions)?,
            forwarded: wire.forwarded,
            expires_s: wire.expires_s,
            attachments: attachments.collect(),
            contact: wire.contact.map(|card| ContactCard {
                identifier: card.identifier,
                name: card.name,
            }),
        },
    })
}

impl From<MessageRef> for WireRef {
    fn from(of: MessageRef) -> Self {
        Self {
            sender: of.sender.to_vec(),
            message_id: of.message_id.to_vec(),
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WireRef {
    #[prost(bytes = "vec", tag = "1")]
    sender: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    message_id: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WireText {
    #[prost(string, tag = "1")]
    body: String,
    #[prost(message, optional, tag = "2")]
    reply_to: Option<WireRef>,
    #[prost(message, repeated, tag = "4")]
    mentions: Vec<WireMention>,
    #[prost(bool, tag = "5")]
    forwarded: bool,
    #[prost(uint32, tag = "6")]
    expires_s: u32,
    #[prost(message, repeated, tag = "7")]
    attachments: Vec<WireAttachment>,
    #[prost(message, optional, tag = "8")]
    contact: Option<WireCard>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WireMention {
    #[prost(uint32, tag = "1")]
    start: u32,
    #[prost(uint32, tag = "2")]
    length: u32,
    #[prost(bytes = "vec", tag = "3")]
    account_id: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireAttachment {
    #[prost(bytes = "vec", tag = "1")]
    pointer: Vec<u8>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    media_type: String,
    #[prost(uint64, tag = "4")]
    length: u64,
    #[prost(bytes = "vec", tag = "5")]
    preview: Vec<u8>,
    #[prost(uint32, tag = "6")]
    width: u32,
    #[prost(uint32, tag = "7")]
    height: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireCard {
    #[prost(string, tag = "1")]
    identifier: String,
    #[prost(string, tag = "2")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WireReaction {
    #[prost(message, optional, tag = "1")]
    pub(super) target: Option<WireRef>,
    #[prost(string, tag = "2")]
    pub(super) emoji: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WireEdit {
    #[prost(message, optional, tag = "1")]
    pub(super) target: Option<WireRef>,
    #[prost(string, tag = "2")]
    pub(super) body: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) mentions: Vec<WireMention>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WireDelete {
    #[prost(message, optional, tag = "1")]
    pub(super) target: Option<WireRef>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WireTimer {
    #[prost(uint32, tag = "1")]
    pub(super) seconds: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WirePin {
    #[prost(message, optional, tag = "1")]
    pub(super) target: Option<WireRef>,
    #[prost(bool, tag = "2")]
    pub(super) pinned: bool,
}

#[cfg(test)]
mod tests;
