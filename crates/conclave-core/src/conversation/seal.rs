//! Padded content becomes the payload of a message entry, and the ratchet steps with it.

use conclave_proto::limits::{MESSAGE_ENTRY_BYTES_MAX, PADDING_BUCKETS};
use openmls::framing::MlsMessageOut;
use tls_codec::Serialize;

use super::{Conversation, Outside};
use crate::provider::MlsFailure;

/// Bytes around the ciphertext field of a sealed message below 16 KiB.
pub const ENVELOPE_BYTES: usize = 78;
/// The same from 16 KiB on, where the field's length takes four bytes.
pub const LONG_ENVELOPE_BYTES: usize = 80;
const LONG_BYTES: usize = 16 * 1024;

/// Why content cannot be sealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// This device was removed. The chat is over, or goes on in a successor.
    #[error("this device is no longer in the conversation")]
    NotMember,
    /// The content was not padded to a bucket (C-055): the caller's bug. Nothing may be sent; roll back.
    #[error("content of {content_bytes} bytes does not fill a padding bucket")]
    Size {
        /// Length of the content given.
        content_bytes: usize,
    },
    /// The store failed, or we are broken. Roll back and drop the conversation.
    #[error(transparent)]
    Failed(#[from] MlsFailure),
}

impl Conversation {
    /// Seals padded content under the current epoch; the bytes are the entry's payload.
    ///
    /// The ratchet step is in the rows when this returns: store the bytes in the same transaction, and
    /// post exactly them (C-051).
    pub fn seal(&mut self, outside: Outside<'_>, content: &[u8]) -> Result<Vec<u8>, SealError> {
        if !self.is_active() {
            return Err(SealError::NotMember);
        }
        let provider = outside.provider();
        let signer = self.signer(outside.own);
        let sealed: Result<MlsMessageOut, _> =
            self.group.create_message(&provider, &signer, content);
        let message = provider.must("seal a message", sealed)?;
        let bytes = provider.must("encode a message", message.tls_serialize_detached())?;
        // C-055: what leaves has the size of a bucket and its envelope, nothing in between
        if is_bucket_sized(bytes.len()) {
            Ok(bytes)
        } else {
            Err(SealError::Size {
                content_bytes: content.len(),
            })
        }
    }
}

/// Whether an entry of `bytes` is a bucket and its envelope.
pub fn is_bucket_sized(bytes: usize) -> bool {
    bytes <= MESSAGE_ENTRY_BYTES_MAX
        && PADDING_BUCKETS.iter().any(|&bucket| {
            let envelope = if bucket < LONG_BYTES {
                ENVELOPE_BYTES
            } else {
                LONG_ENVELOPE_BYTES
            };
            bytes == bucket + envelope
        })
}
