//! Files of any size, sealed in pieces of 64 KiB, so that nobody has to hold more than one in memory.
//!
//! The STREAM construction (Hoang et al., 2015): each piece is AES-256-GCM under the file's own key with
//! its number and whether it is the last one as the nonce, so that no piece can be dropped, repeated or
//! moved and the end cannot be cut off. Zeros behind the content pad the whole to a Padmé length; how
//! long the content is travels with the key.

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};
use conclave_proto::blob::padme;
use conclave_proto::env::Env;
use conclave_proto::id::BlobId;
use conclave_proto::limits::BLOB_PIECE_BYTES;
use conclave_proto::{codec, label};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};
use zeroize::Zeroizing;

use crate::aead::{TAG_BYTES, cipher};
use crate::sealed_blob::BlobKey;

/// Content bytes of a whole piece.
pub const CONTENT_PIECE_BYTES: usize = BLOB_PIECE_BYTES - TAG_BYTES;
/// Content bytes of one file: far above what a server takes, far below what a nonce can number.
pub const CONTENT_BYTES_MAX: u64 = 1 << 40;

/// The version that pieces and pointers name.
const VERSION: u8 = 1;

/// Why a file does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttachmentError {
    /// More content than one file may have. The sender sends less.
    #[error("the file is too large")]
    TooLarge,
    /// A piece is not the one that the pointer was made for: server or sender misbehaved.
    #[error("the file does not open with its key")]
    Open,
    /// The pointer is malformed, or of a version that this one does not know (C-002).
    #[error("the pointer to the file is malformed or needs a newer version")]
    Pointer,
}

/// Where a file lies, what opens it and how long it is. Only ever inside sealed bytes or the encrypted store.
#[derive(Debug, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct AttachmentPointer {
    version: u8,
    /// The blob on the server.
    pub blob_id: BlobId,
    key: BlobKey,
    /// Bytes of the content.
    pub length: u64,
}

impl AttachmentPointer {
    /// Parses a pointer exactly (C-003); a length over the limit is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, AttachmentError> {
        let pointer: Self = codec::parse_exact(bytes).map_err(|_| AttachmentError::Pointer)?;
        let is_known = pointer.version == VERSION && pointer.length <= CONTENT_BYTES_MAX;
        is_known.then_some(pointer).ok_or(AttachmentError::Pointer)
    }

    /// The pointer as it travels. Wiped on drop.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(codec::encode(self))
    }

    /// Bytes of the blob: content, tags and padding.
    pub fn sealed_bytes(&self) -> u64 {
        sealed_bytes(self.length)
    }
}

/// Bytes that `length` bytes of content are sealed to: a Padmé length (C-146).
pub fn sealed_bytes(length: u64) -> u64 {
    let pieces = length.div_ceil(CONTENT_PIECE_BYTES as u64).max(1);
    padme(length.saturating_add(pieces.saturating_mul(TAG_BYTES as u64)))
}

/// Seals content as it comes.
pub struct Sealer {
    cipher: Pieces,
    blob_id: BlobId,
    key: BlobKey,
    length: u64,
    /// Content that is not sealed yet: a whole piece waits, because it may be the last.
    waiting: Zeroizing<Vec<u8>>,
}

impl core::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// Begins a file under a fresh id and key.
    pub fn new(env: &dyn Env) -> Self {
        let key = BlobKey::random(env);
        Self {
            cipher: Pieces::new(&key),
            blob_id: BlobId::random(env),
            key,
            length: 0,
            waiting: Zeroizing::new(Vec::with_capacity(BLOB_PIECE_BYTES)),
        }
    }

    /// The id that the file will have on the server.
    pub fn blob_id(&self) -> BlobId {
        self.blob_id
    }

    /// Takes content and gives each piece that is full to `sink`.
    pub fn write<E: From<AttachmentError>>(
        &mut self,
        mut content: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let length = self.length.saturating_add(content.len() as u64);
        if length > CONTENT_BYTES_MAX {
            return Err(AttachmentError::TooLarge.into());
        }
        self.length = length;
        while !content.is_empty() {
            if self.waiting.len() == CONTENT_PIECE_BYTES {
                sink(self.cipher.seal(false, &mut self.waiting))?;
                self.waiting.clear();
            }
            let room = CONTENT_PIECE_BYTES - self.waiting.len();
            let (now, later) = content.split_at(room.min(content.len()));
            self.waiting.extend_from_slice(now);
            content = later;
        }
        Ok(())
    }

    /// Pads, gives the last pieces to `sink` and says what opens the file.
    pub fn finish<E>(
        mut self,
        sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<AttachmentPointer, E> {
        let mut left = sealed_bytes(self.length).saturating_sub(self.cipher.sealed);
        loop {
            let sealed = piece_bytes(left);
            self.waiting.resize(sealed.saturating_sub(TAG_BYTES), 0);
            left = left.saturating_sub(sealed as u64);
            sink(self.cipher.seal(left == 0, &mut self.waiting))?;
            self.waiting.clear();
            if left == 0 {
                break;
            }
        }
        Ok(AttachmentPointer {
            version: VERSION,
            blob_id: self.blob_id,
            key: self.key,
            length: self.length,
        })
    }
}

/// Opens a file piece by piece, from its front or, after a break, from any piece.
pub struct Opener {
    cipher: Pieces,
    total: u64,
    length: u64,
}

impl core::fmt::Debug for Opener {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Opener")
    }
}

impl Opener {
    /// An opener at the first piece.
    pub fn new(pointer: &AttachmentPointer) -> Self {
        Self {
            cipher: Pieces::new(&pointer.key),
            total: pointer.sealed_bytes(),
            length: pointer.length,
        }
    }

    /// Goes on at the piece that begins `sealed` bytes into the blob; a multiple of 64 KiB.
    pub fn skip_to(&mut self, sealed: u64) {
        self.cipher.sealed = sealed - sealed % BLOB_PIECE_BYTES as u64;
    }

    /// Bytes of the blob that were opened or skipped.
    pub fn opened(&self) -> u64 {
        self.cipher.sealed
    }

    /// Bytes of the next piece; 0 when all of them were opened.
    pub fn next_bytes(&self) -> usize {
        piece_bytes(self.total.saturating_sub(self.cipher.sealed))
    }

    /// Opens the next piece in place and leaves its content, without padding.
    pub fn open<'a>(&mut self, piece: &'a mut [u8]) -> Result<&'a [u8], AttachmentError> {
        let sealed = piece.len();
        if sealed == 0 || sealed != self.next_bytes() {
            return Err(AttachmentError::Open);
        }
        let tags = self.cipher.number().saturating_mul(TAG_BYTES as u64);
        let before = self.cipher.sealed.saturating_sub(tags);
        let is_last = self.cipher.sealed.saturating_add(sealed as u64) == self.total;
        let padded = self.cipher.open(is_last, piece)?;
        let content = self.length.saturating_sub(before);
        let content = usize::try_from(content).unwrap_or(usize::MAX);
        let (content, padding) = padded.split_at(content.min(padded.len()));
        // padding is nothing but zeros, so that nothing else can hide there
        if padding.iter().any(|byte| *byte != 0) {
            return Err(AttachmentError::Open);
        }
        Ok(content)
    }
}

/// Sealed bytes of the next piece when so many are left.
fn piece_bytes(left: u64) -> usize {
    usize::try_from(left).map_or(BLOB_PIECE_BYTES, |left| left.min(BLOB_PIECE_BYTES))
}

/// The cipher of one file and how far it is.
struct Pieces {
    key: LessSafeKey,
    aad: Vec<u8>,
    /// Sealed bytes so far.
    sealed: u64,
}

impl Pieces {
    fn new(key: &BlobKey) -> Self {
        Self {
            key: cipher(key.expose()),
            aad: label::signing_input(label::ATTACHMENT, &[VERSION]),
            sealed: 0,
        }
    }

    /// The number of the next piece.
    fn number(&self) -> u64 {
        self.sealed / BLOB_PIECE_BYTES as u64
    }

    /// C-150: number and end are the nonce, so a piece opens in its own place only.
    fn nonce(&self, is_last: bool) -> Nonce {
        let mut nonce = [0; 12];
        let [number @ .., last] = &mut nonce;
        let (_, low) = number.split_at_mut(3);
        low.copy_from_slice(&self.number().to_be_bytes());
        *last = u8::from(is_last);
        Nonce::assume_unique_for_key(nonce)
    }

    #[expect(
        clippy::expect_used,
        reason = "AES-256-GCM fails only above 2^36 bytes, and a piece has 64 KiB"
    )]
    fn seal<'a>(&mut self, is_last: bool, bytes: &'a mut Vec<u8>) -> &'a [u8] {
        let nonce = self.nonce(is_last);
        self.key
            .seal_in_place_append_tag(nonce, Aad::from(&self.aad), bytes)
            .expect("far below the limit of GCM");
        self.sealed = self.sealed.saturating_add(bytes.len() as u64);
        bytes
    }

    fn open<'a>(
        &mut self,
        is_last: bool,
        bytes: &'a mut [u8],
    ) -> Result<&'a [u8], AttachmentError> {
        let (nonce, sealed) = (self.nonce(is_last), bytes.len() as u64);
        let opened = self.key.open_in_place(nonce, Aad::from(&self.aad), bytes);
        let opened = opened.map_err(|_| AttachmentError::Open)?;
        self.sealed = self.sealed.saturating_add(sealed);
        Ok(opened)
    }
}

#[cfg(test)]
mod tests;
