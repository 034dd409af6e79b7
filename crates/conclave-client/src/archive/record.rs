//! The records of an archive: a length and a protobuf message each, one after the other.
//!
//! They carry what people see, by name; no record has a field for a key, a ratchet or an epoch's secret
//! (C-152), but for the capabilities that contacts gave, which every device of the account holds.

use prost::Message as _;

/// Version of archives.
pub(super) const VERSION: u32 = 1;
/// Bytes of one record: the largest content and its frame, or an account with ten devices.
pub(super) const RECORD_BYTES_MAX: usize = 512 * 1024;
/// Bytes of a record's length.
const LENGTH_BYTES: usize = 4;

/// One record.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Record {
    /// Absent for a kind that this version does not know: skipped.
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub(super) kind: Option<Kind>,
}

/// What a record says.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Kind {
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
pub(super) struct Begin {
    #[prost(uint32, tag = "1")]
    pub(super) version: u32,
    /// The account, 16 bytes: nobody else's is taken in.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) account_id: Vec<u8>,
}

/// A person: the pin and what the user decided.
#[expect(
    clippy::struct_excessive_bools,
    reason = "four marks that stand side by side in the contact's row"
)]
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Contact {
    #[prost(string, tag = "1")]
    pub(super) identifier: String,
    #[prost(string, tag = "2")]
    pub(super) given_name: String,
    #[prost(string, tag = "3")]
    pub(super) own_name: String,
    /// `AccountStates`: the accepted state and its certificates; the pin is made from it.
    #[prost(bytes = "vec", tag = "4")]
    pub(super) states: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    pub(super) capability: Vec<u8>,
    #[prost(bool, tag = "6")]
    pub(super) confirmed: bool,
    #[prost(bool, tag = "7")]
    pub(super) accepted: bool,
    #[prost(bool, tag = "8")]
    pub(super) blocked: bool,
    #[prost(bool, tag = "9")]
    pub(super) verified: bool,
}

/// A chat and its logs.
#[expect(
    clippy::struct_field_names,
    reason = "ids are named after what they name"
)]
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Chat {
    /// Its id on the device that wrote the archive, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub(super) chat_id: Vec<u8>,
    /// `direct` or `group`.
    #[prost(string, tag = "2")]
    pub(super) kind: String,
    /// The other person of a direct chat, 16 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub(super) peer: Vec<u8>,
    #[prost(string, tag = "4")]
    pub(super) name: String,
    #[prost(uint64, tag = "5")]
    pub(super) created_ms: u64,
    /// Its logs, 32 bytes each, in order.
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub(super) logs: Vec<Vec<u8>>,
    /// Their places, one for each.
    #[prost(uint64, repeated, tag = "7")]
    pub(super) ordinals: Vec<u64>,
}

/// A message.
#[expect(
    clippy::struct_field_names,
    reason = "ids are named after what they name"
)]
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Message {
    /// Its chat, as in [`Chat::chat_id`].
    #[prost(bytes = "vec", tag = "1")]
    pub(super) chat_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) message_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) sender: Vec<u8>,
    #[prost(string, tag = "4")]
    pub(super) body: String,
    #[prost(bytes = "vec", tag = "5")]
    pub(super) raw: Vec<u8>,
    #[prost(string, tag = "6")]
    pub(super) state: String,
    #[prost(string, tag = "7")]
    pub(super) reason: String,
    /// 32 bytes; empty when it never got a place.
    #[prost(bytes = "vec", tag = "8")]
    pub(super) log_id: Vec<u8>,
    #[prost(uint64, tag = "9")]
    pub(super) seq: u64,
    #[prost(uint64, tag = "10")]
    pub(super) epoch: u64,
    #[prost(uint32, tag = "11")]
    pub(super) devices: u32,
    #[prost(uint64, tag = "12")]
    pub(super) sent_ms: u64,
    #[prost(bool, tag = "13")]
    pub(super) is_read: bool,
    /// `TextMore`: what comes with the body.
    #[prost(bytes = "vec", tag = "14")]
    pub(super) more: Vec<u8>,
    /// What an edited message said first.
    #[prost(string, optional, tag = "15")]
    pub(super) first_body: Option<String>,
    /// `TextMore` of that.
    #[prost(bytes = "vec", tag = "16")]
    pub(super) first_more: Vec<u8>,
    /// 1 for everyone, 2 on own devices.
    #[prost(uint32, tag = "17")]
    pub(super) deleted: u32,
    /// Who deleted it for everyone, 16 bytes.
    #[prost(bytes = "vec", tag = "18")]
    pub(super) deleted_by: Vec<u8>,
    #[prost(uint32, tag = "19")]
    pub(super) expires_s: u32,
    /// 0 while its clock has not started.
    #[prost(uint64, tag = "20")]
    pub(super) expires_ms: u64,
}

/// What somebody did to a message or a chat.
#[expect(
    clippy::struct_field_names,
    reason = "ids are named after what they name"
)]
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Act {
    /// Its chat, as in [`Chat::chat_id`].
    #[prost(bytes = "vec", tag = "1")]
    pub(super) chat_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) sender: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) act_id: Vec<u8>,
    /// `reaction`, `edit`, `delete`, `pin` or `timer`.
    #[prost(string, tag = "4")]
    pub(super) kind: String,
    /// Empty when it is about the chat.
    #[prost(bytes = "vec", tag = "5")]
    pub(super) target_sender: Vec<u8>,
    #[prost(bytes = "vec", tag = "6")]
    pub(super) target_id: Vec<u8>,
    #[prost(string, tag = "7")]
    pub(super) body: String,
    /// `TextMore`: the mentions of the body.
    #[prost(bytes = "vec", tag = "8")]
    pub(super) more: Vec<u8>,
    #[prost(uint32, tag = "9")]
    pub(super) number: u32,
    #[prost(uint64, tag = "10")]
    pub(super) sent_ms: u64,
    #[prost(bytes = "vec", tag = "11")]
    pub(super) log_id: Vec<u8>,
    #[prost(uint64, tag = "12")]
    pub(super) seq: u64,
}

/// A note.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Note {
    /// Its chat, as in [`Chat::chat_id`].
    #[prost(bytes = "vec", tag = "1")]
    pub(super) chat_id: Vec<u8>,
    /// 32 bytes; empty when there was no conversation.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) log_id: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub(super) seq: u64,
    /// As the client names it.
    #[prost(string, tag = "4")]
    pub(super) kind: String,
    /// An account; may be empty.
    #[prost(bytes = "vec", tag = "5")]
    pub(super) actor: Vec<u8>,
    /// An account; may be empty.
    #[prost(bytes = "vec", tag = "6")]
    pub(super) subject: Vec<u8>,
    #[prost(string, tag = "7")]
    pub(super) value: String,
    #[prost(uint64, tag = "8")]
    pub(super) noted_ms: u64,
}

/// How much there was.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct End {
    #[prost(uint64, tag = "1")]
    pub(super) messages: u64,
}

/// A record as it is written.
pub(super) fn encode(kind: Kind) -> Vec<u8> {
    let record = Record { kind: Some(kind) };
    let body = record.encode_to_vec();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &body].concat()
}

/// Bytes that are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the archive is damaged")]
pub(super) struct Damaged;

/// A record, `None` for one of a newer version, and the bytes after it.
pub(super) type First<'a> = (Option<Kind>, &'a [u8]);

/// The first record in `bytes` and what comes after it; `None` while it is not all there.
pub(super) fn decode(bytes: &[u8]) -> Result<Option<First<'_>>, Damaged> {
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
