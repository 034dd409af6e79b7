//! The records of an archive: a length and a protobuf message each, one after the other.
//!
//! They carry what people see, by name; no record has a field for a key, a ratchet or an epoch's secret
//! (C-152), but for the capabilities that contacts gave, which every device of the account holds.

use prost::Message as _;

/// Version of archives.
pub const VERSION: u32 = 1;
/// Bytes of one record: the largest content and its frame, or an account with ten devices.
pub const RECORD_BYTES_MAX: usize = 512 * 1024;
/// Bytes of a record's length.
const LENGTH_BYTES: usize = 4;

/// One record.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    /// Absent for a kind that this version does not know: skipped.
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub kind: Option<Kind>,
}

/// What a record says.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// First of all.
    #[prost(message, tag = "1")]
    Begin(Begin),
    /// A person.
    #[prost(message, tag = "2")]
    Contact(Contact),
    /// A chat, before its messages.
    #[prost(message, tag = "3")]
    Chat(Chat),
    /// A message.
    #[prost(message, tag = "4")]
    Message(Message),
    /// Last of all.
    #[prost(message, tag = "5")]
    End(End),
    /// What somebody did to a message or a chat, after all messages.
    #[prost(message, tag = "6")]
    Act(Act),
    /// What happened in a chat beside messages, after the chat.
    #[prost(message, tag = "7")]
    Note(Note),
}

/// Whose archive.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Begin {
    /// [`VERSION`].
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// The account, 16 bytes: nobody else's is taken in.
    #[prost(bytes = "vec", tag = "2")]
    pub account_id: Vec<u8>,
}

/// A person: the pin and what the user decided.
#[expect(
    clippy::struct_excessive_bools,
    reason = "four marks that stand side by side in the contact's row"
)]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Contact {
    /// Phone number or e-mail address; may be empty.
    #[prost(string, tag = "1")]
    pub identifier: String,
    /// What this user calls them; may be empty.
    #[prost(string, tag = "2")]
    pub given_name: String,
    /// What they call themselves; may be empty.
    #[prost(string, tag = "3")]
    pub own_name: String,
    /// `AccountStates`: the accepted state and its certificates; the pin is made from it.
    #[prost(bytes = "vec", tag = "4")]
    pub states: Vec<u8>,
    /// The one they gave, 32 bytes, or empty.
    #[prost(bytes = "vec", tag = "5")]
    pub capability: Vec<u8>,
    /// Whether a lookup led from the identifier to them.
    #[prost(bool, tag = "6")]
    pub confirmed: bool,
    /// Whether this user talks with them.
    #[prost(bool, tag = "7")]
    pub accepted: bool,
    /// Whether this user blocked them.
    #[prost(bool, tag = "8")]
    pub blocked: bool,
    /// Whether their number was compared.
    #[prost(bool, tag = "9")]
    pub verified: bool,
}

/// A chat and its logs.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Chat {
    /// Its id on the device that wrote the archive, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub chat_id: Vec<u8>,
    /// `direct` or `group`.
    #[prost(string, tag = "2")]
    pub kind: String,
    /// The other person of a direct chat, 16 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub peer: Vec<u8>,
    /// A group's name; empty for two.
    #[prost(string, tag = "4")]
    pub name: String,
    /// Ms since 1970-01-01 UTC.
    #[prost(uint64, tag = "5")]
    pub created_ms: u64,
    /// Its logs, 32 bytes each, in order.
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub logs: Vec<Vec<u8>>,
    /// Their places, one for each.
    #[prost(uint64, repeated, tag = "7")]
    pub ordinals: Vec<u64>,
}

/// A message.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Message {
    /// Its chat, as in [`Chat::chat_id`].
    #[prost(bytes = "vec", tag = "1")]
    pub chat_id: Vec<u8>,
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub message_id: Vec<u8>,
    /// Its account, 16 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub sender: Vec<u8>,
    /// What it says.
    #[prost(string, tag = "4")]
    pub body: String,
    /// Content that the client could not show, as it came; else empty.
    #[prost(bytes = "vec", tag = "5")]
    pub raw: Vec<u8>,
    /// How far it got, as the client names it.
    #[prost(string, tag = "6")]
    pub state: String,
    /// Why it failed or cannot be shown.
    #[prost(string, tag = "7")]
    pub reason: String,
    /// 32 bytes; empty when it never got a place.
    #[prost(bytes = "vec", tag = "8")]
    pub log_id: Vec<u8>,
    /// Its place in that log.
    #[prost(uint64, tag = "9")]
    pub seq: u64,
    /// The epoch of its entry.
    #[prost(uint64, tag = "10")]
    pub epoch: u64,
    /// Devices that its sender then had there.
    #[prost(uint32, tag = "11")]
    pub devices: u32,
    /// Ms since 1970-01-01 UTC.
    #[prost(uint64, tag = "12")]
    pub sent_ms: u64,
    /// Whether this user read it.
    #[prost(bool, tag = "13")]
    pub is_read: bool,
    /// `TextMore`: what comes with the body.
    #[prost(bytes = "vec", tag = "14")]
    pub more: Vec<u8>,
    /// What an edited message said first.
    #[prost(string, optional, tag = "15")]
    pub first_body: Option<String>,
    /// `TextMore` of that.
    #[prost(bytes = "vec", tag = "16")]
    pub first_more: Vec<u8>,
    /// 1 for everyone, 2 on own devices.
    #[prost(uint32, tag = "17")]
    pub deleted: u32,
    /// Who deleted it for everyone, 16 bytes.
    #[prost(bytes = "vec", tag = "18")]
    pub deleted_by: Vec<u8>,
    /// Its timer in seconds, 0 for none.
    #[prost(uint32, tag = "19")]
    pub expires_s: u32,
    /// 0 while its clock has not started.
    #[prost(uint64, tag = "20")]
    pub expires_ms: u64,
}

/// What somebody did to a message or a chat.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Act {
    /// Its chat, as in [`Chat::chat_id`].
    #[prost(bytes = "vec", tag = "1")]
    pub chat_id: Vec<u8>,
    /// Who did it, 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub sender: Vec<u8>,
    /// Its id, 16 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub act_id: Vec<u8>,
    /// `reaction`, `edit`, `delete`, `pin` or `timer`.
    #[prost(string, tag = "4")]
    pub kind: String,
    /// Empty when it is about the chat.
    #[prost(bytes = "vec", tag = "5")]
    pub target_sender: Vec<u8>,
    /// The message's id; empty when it is about the chat.
    #[prost(bytes = "vec", tag = "6")]
    pub target_id: Vec<u8>,
    /// An emoji or new words.
    #[prost(string, tag = "7")]
    pub body: String,
    /// `TextMore`: the mentions of the body.
    #[prost(bytes = "vec", tag = "8")]
    pub more: Vec<u8>,
    /// Seconds of a timer; 1 for a pin that is set.
    #[prost(uint32, tag = "9")]
    pub number: u32,
    /// Ms since 1970-01-01 UTC.
    #[prost(uint64, tag = "10")]
    pub sent_ms: u64,
    /// 32 bytes.
    #[prost(bytes = "vec", tag = "11")]
    pub log_id: Vec<u8>,
    /// Its place in that log.
    #[prost(uint64, tag = "12")]
    pub seq: u64,
}

/// A note.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Note {
    /// Its chat, as in [`Chat::chat_id`].
    #[prost(bytes = "vec", tag = "1")]
    pub chat_id: Vec<u8>,
    /// 32 bytes; empty when there was no conversation.
    #[prost(bytes = "vec", tag = "2")]
    pub log_id: Vec<u8>,
    /// Its place in that log.
    #[prost(uint64, tag = "3")]
    pub seq: u64,
    /// As the client names it.
    #[prost(string, tag = "4")]
    pub kind: String,
    /// An account; may be empty.
    #[prost(bytes = "vec", tag = "5")]
    pub actor: Vec<u8>,
    /// An account; may be empty.
    #[prost(bytes = "vec", tag = "6")]
    pub subject: Vec<u8>,
    /// A name, a role, or how.
    #[prost(string, tag = "7")]
    pub value: String,
    /// Ms since 1970-01-01 UTC.
    #[prost(uint64, tag = "8")]
    pub noted_ms: u64,
}

/// How much there was.
#[derive(Clone, PartialEq, prost::Message)]
pub struct End {
    /// Messages in the archive.
    #[prost(uint64, tag = "1")]
    pub messages: u64,
}

/// A record as it is written.
pub fn encode(kind: Kind) -> Vec<u8> {
    let record = Record { kind: Some(kind) };
    let body = record.encode_to_vec();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &body].concat()
}

/// Bytes that are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the archive is damaged")]
pub struct Damaged;

/// A record, `None` for one of a newer version, and the bytes after it.
pub type First<'a> = (Option<Kind>, &'a [u8]);

/// The first record in `bytes` and what comes after it; `None` while it is not all there.
pub fn decode(bytes: &[u8]) -> Result<Option<First<'_>>, Damaged> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Damaged)?;
    if length > RECORD_BYTES_MAX {
        return Err(Damaged);
    }
    let Some((body, rest)) = rest.split_at_checked(length) else {
        return Ok(None);
    };
    let record = Record::decode(body).map_err(|_| Damaged)?;
    Ok(Some((record.kind, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record comes out as it went in, wherever it is cut; its bytes are pinned; a length that no
    /// record has is damage at once, before anything is collected for it.
    #[test]
    fn records_are_read_as_they_were_written() {
        let begin = Begin {
            version: VERSION,
            account_id: vec![7; 16],
        };
        let bytes = encode(Kind::Begin(begin.clone()));
        assert_eq!(
            hex::encode(&bytes),
            format!("000000160a140801121{}{}", "0", "07".repeat(16))
        );
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), Ok(None));
        }
        let more = [&bytes[..], &[1]].concat();
        assert_eq!(
            decode(&more),
            Ok(Some((Some(Kind::Begin(begin)), &[1][..])))
        );
        assert_eq!(decode(&[0, 8, 0, 1]), Err(Damaged));
        assert_eq!(decode(&[0, 0, 0, 1, 0xff]), Err(Damaged));
        // kind 9 of a later version
        assert_eq!(decode(&[0, 0, 0, 2, 0x4a, 0]), Ok(Some((None, &[][..]))));
    }
}
