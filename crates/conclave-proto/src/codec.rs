//! Frames (u32 big-endian length, then protobuf) and the strict parser of signed objects.

use prost::Message;
use tls_codec::{DeserializeBytes, Serialize};

use crate::limits::FRAME_BYTES_MAX;

/// Bytes of a frame's length prefix.
pub const LENGTH_BYTES: usize = 4;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// A frame over the limit; the connection cannot go on.
    #[error("frame of {bytes} bytes is over the limit of {max}")]
    FrameTooLarge {
        /// Announced or built length.
        bytes: usize,
        /// The limit in force.
        max: usize,
    },
    /// Not the protobuf message it should be.
    #[error("malformed protobuf message")]
    Protobuf,
    /// Not the deterministic TLS encoding it should be: wrong shape, trailing bytes or a second spelling (C-003).
    #[error("malformed or non-canonical encoding")]
    Encoding,
    /// A version or suite we do not know (C-002).
    #[error("unknown version or suite")]
    UnknownVersion,
}

/// One whole frame: length prefix and message.
pub fn encode_frame(message: &impl Message) -> Result<Vec<u8>, CodecError> {
    let bytes = message.encoded_len();
    let length = match u32::try_from(bytes) {
        Ok(length) if bytes <= FRAME_BYTES_MAX => length,
        _ => {
            return Err(CodecError::FrameTooLarge {
                bytes,
                max: FRAME_BYTES_MAX,
            });
        }
    };
    let mut frame = Vec::with_capacity(LENGTH_BYTES + bytes);
    frame.extend_from_slice(&length.to_be_bytes());
    message
        .encode(&mut frame)
        .map_err(|_| CodecError::Protobuf)?;
    Ok(frame)
}

/// The length in a frame's prefix, checked against `max` bytes before anything is allocated (C-004).
pub fn frame_length(prefix: [u8; LENGTH_BYTES], max: usize) -> Result<usize, CodecError> {
    let bytes = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if bytes > max {
        return Err(CodecError::FrameTooLarge { bytes, max });
    }
    Ok(bytes)
}

/// The first frame in `bytes` and how many bytes it took; `None` while it is not all there.
pub fn decode_frame<M: Message + Default>(bytes: &[u8]) -> Result<Option<(M, usize)>, CodecError> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = frame_length(*prefix, FRAME_BYTES_MAX)?;
    let Some(body) = rest.get(..length) else {
        return Ok(None);
    };
    let message = M::decode(body).map_err(|_| CodecError::Protobuf)?;
    Ok(Some((message, LENGTH_BYTES + length)))
}

/// Parses one TLS-encoded object that must fill `bytes` exactly and encode to the same bytes again (C-003).
pub fn parse_exact<T: DeserializeBytes + Serialize>(bytes: &[u8]) -> Result<T, CodecError> {
    let value = T::tls_deserialize_exact_bytes(bytes).map_err(|_| CodecError::Encoding)?;
    if encode(&value) != bytes {
        return Err(CodecError::Encoding);
    }
    Ok(value)
}

/// The one TLS encoding of `value`.
#[expect(
    clippy::expect_used,
    reason = "writing to memory fails only for vectors over 2^30 bytes, which no limit allows"
)]
pub fn encode(value: &impl Serialize) -> Vec<u8> {
    value.tls_serialize_detached().expect("encodes to memory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{frame::Request, id::AccountId};

    /// A length over the limit is refused from the prefix alone.
    #[test]
    fn c004_refuses_a_long_frame_by_its_prefix() {
        let refused = frame_length(u32::MAX.to_be_bytes(), FRAME_BYTES_MAX);
        assert!(matches!(refused, Err(CodecError::FrameTooLarge { .. })));
        assert!(decode_frame::<Request>(&[0xff; 8]).is_err());
    }

    /// Half a frame is not an error, only not yet a frame.
    #[test]
    fn waits_for_the_rest_of_a_frame() {
        let frame = encode_frame(&Request { id: 3, body: None }).unwrap();
        for cut in 0..frame.len() {
            assert_eq!(decode_frame::<Request>(&frame[..cut]), Ok(None));
        }
    }

    /// Trailing and missing bytes are refused.
    #[test]
    fn c003_parses_exactly() {
        let id = AccountId::new([7; 16]);
        let mut bytes = encode(&id);
        assert_eq!(parse_exact::<AccountId>(&bytes), Ok(id));
        bytes.push(0);
        assert_eq!(parse_exact::<AccountId>(&bytes), Err(CodecError::Encoding));
        assert_eq!(
            parse_exact::<AccountId>(&bytes[..15]),
            Err(CodecError::Encoding)
        );
    }

    /// A length far beyond the bytes at hand is an error, not a panic or an allocation.
    #[test]
    fn c003_hostile_length_is_refused() {
        for length in [0x3f_u8, 0x7f, 0xbf, 0xff] {
            let bytes = [length; 40];
            let parsed = parse_exact::<tls_codec::VLBytes>(&bytes);
            assert_eq!(parsed, Err(CodecError::Encoding));
        }
    }
}
