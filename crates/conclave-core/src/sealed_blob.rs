//! Welcomes and trees as the server stores them: opaque bytes under a key that travels in the pointer.

use core::fmt;

use conclave_proto::blob::padme;
use conclave_proto::env::Env;
use conclave_proto::id::BlobId;
use conclave_proto::{label, limits::WELCOME_BLOB_BYTES_MAX};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::{aead, padding};

/// The AES-256-GCM key of one blob; seals exactly once, or each piece of one file once.
///
/// Held by the inviter until the invitation is posted and by the invited in the sealed pointer; wiped on drop.
#[derive(TlsSize, TlsSerialize, TlsDeserializeBytes, ZeroizeOnDrop)]
pub struct BlobKey([u8; 32]);

impl BlobKey {
    /// A fresh key.
    pub(crate) fn random(env: &dyn Env) -> Self {
        let mut key = Self([0; 32]);
        env.fill(&mut key.0);
        key
    }

    /// The bytes themselves.
    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlobKey")
    }
}

/// Where a blob lies and the key that opens it. Only ever inside sealed bytes or the encrypted store.
#[derive(Debug, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct BlobPointer {
    /// The blob on the server.
    pub blob_id: BlobId,
    /// Its key.
    pub key: BlobKey,
}

impl BlobPointer {
    /// A second copy of the pointer: one tree blob is named to every invited device.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            blob_id: self.blob_id,
            key: BlobKey(self.key.0),
        }
    }
}

/// A blob that does not open or does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// Over 2 MiB.
    #[error("the blob is over the limit of {WELCOME_BLOB_BYTES_MAX} bytes")]
    TooLarge,
    /// The bytes are not the ones that the pointer was made for: server or inviter misbehaved.
    #[error("the blob does not open with its key")]
    Open,
}

/// Seals `plain` under a fresh id and key, padded so that its length says little (Padmé).
pub fn seal(plain: &[u8], env: &dyn Env) -> Result<(BlobPointer, Vec<u8>), BlobError> {
    let length = plain.len().saturating_add(padding::LENGTH_BYTES);
    let total = usize::try_from(padme(length as u64)).unwrap_or(usize::MAX);
    if total.saturating_add(aead::TAG_BYTES) > WELCOME_BLOB_BYTES_MAX {
        return Err(BlobError::TooLarge);
    }
    let padded = Zeroizing::new(padding::pad(plain, total).ok_or(BlobError::TooLarge)?);
    let key = BlobKey::random(env);
    let pointer = BlobPointer {
        blob_id: BlobId::random(env),
        key,
    };
    let bytes = aead::seal_once(&pointer.key.0, &aad(pointer.blob_id), &padded);
    Ok((pointer, bytes))
}

/// Opens the bytes that `pointer` points to.
pub fn open(pointer: &BlobPointer, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, BlobError> {
    if bytes.len() > WELCOME_BLOB_BYTES_MAX {
        return Err(BlobError::TooLarge);
    }
    let mut bytes = Zeroizing::new(bytes.to_vec());
    let padded = aead::open_once(&pointer.key.0, &aad(pointer.blob_id), &mut bytes)
        .ok_or(BlobError::Open)?;
    let plain = padding::unpad(padded).ok_or(BlobError::Open)?;
    Ok(Zeroizing::new(plain.to_vec()))
}

fn aad(blob_id: BlobId) -> Vec<u8> {
    label::signing_input(label::WELCOME_BLOB, blob_id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::FixedEnv;

    /// A blob opens with its own pointer only, and not when the server swaps or changes it.
    #[test]
    fn opens_with_its_pointer_only() {
        let env = FixedEnv::new(1);
        let (pointer, bytes) = seal(b"welcome", &env).unwrap();
        let (other_pointer, other_bytes) = seal(b"welcome", &env).unwrap();
        assert_eq!(open(&pointer, &bytes).unwrap().as_slice(), b"welcome");
        assert_eq!(
            open(&pointer.duplicate(), &bytes).unwrap().as_slice(),
            b"welcome"
        );
        assert_eq!(open(&pointer, &other_bytes).err(), Some(BlobError::Open));
        let renamed = BlobPointer {
            blob_id: other_pointer.blob_id,
            key: BlobKey(pointer.key.0),
        };
        assert_eq!(open(&renamed, &bytes).err(), Some(BlobError::Open));
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_eq!(open(&pointer, &changed).err(), Some(BlobError::Open));
        }
        assert_eq!(open(&pointer, &[]).err(), Some(BlobError::Open));
    }

    /// Over 2 MiB is refused on both sides.
    #[test]
    fn refuses_what_is_too_large() {
        let env = FixedEnv::new(1);
        let (pointer, _) = seal(b"", &env).unwrap();
        let long = vec![0; WELCOME_BLOB_BYTES_MAX + 1];
        assert_eq!(seal(&long, &env).err(), Some(BlobError::TooLarge));
        assert_eq!(open(&pointer, &long).err(), Some(BlobError::TooLarge));
    }
}
