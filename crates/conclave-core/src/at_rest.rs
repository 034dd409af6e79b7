//! Wraps the client's store key under a passphrase: Argon2id, then AES-256-GCM.

use argon2::{Algorithm, Argon2, Version};
use conclave_proto::codec;
use conclave_proto::env::Env;
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};
use zeroize::Zeroizing;

use crate::aead;
use crate::secret::Secret;

/// Version of the wrapped bytes.
const VERSION: u8 = 1;
/// Most memory accepted from a file, in KiB: 1 GiB.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
/// Most passes accepted from a file.
const PASSES_MAX: u32 = 10;

/// What one try of a passphrase costs. One lane always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    memory_kib: u32,
    passes: u32,
}

impl Cost {
    /// 256 MiB and 3 passes: about a second on a desktop.
    pub const DESKTOP: Self = Self {
        memory_kib: 256 * 1024,
        passes: 3,
    };

    /// Memory in KiB (8 to 1,048,576) and passes (1 to 10), or `None` outside of that. Tests choose little.
    pub fn new(memory_kib: u32, passes: u32) -> Option<Self> {
        let fits = (8..=MEMORY_KIB_MAX).contains(&memory_kib) && (1..=PASSES_MAX).contains(&passes);
        fits.then_some(Self { memory_kib, passes })
    }
}

/// A key that could not be wrapped or unwrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrapError {
    /// The passphrase is empty. Ask for another one.
    #[error("the passphrase is empty: choose one, or use a key file")]
    EmptyPassphrase,
    /// Not a wrapped key of a version known here.
    #[error("the wrapped key is damaged or of a newer version")]
    Malformed,
    /// The file asks for more memory or passes than allowed: it is damaged or hostile.
    #[error("the wrapped key asks for too much memory or time: the file is damaged or not ours")]
    TooCostly,
    /// The passphrase is wrong, or the file was changed. Ask again.
    #[error("wrong passphrase, or the wrapped key was changed")]
    WrongPassphrase,
    /// This machine cannot give the memory that the wrapping needs.
    #[error("not enough memory to unlock: free some and try again")]
    Memory,
}

/// Everything that was authenticated with the key: the parameters beside their salt.
#[derive(TlsSize, TlsSerialize, TlsDeserializeBytes)]
struct Header {
    version: u8,
    memory_kib: u32,
    passes: u32,
    salt: [u8; 16],
}

#[derive(TlsSize, TlsSerialize, TlsDeserializeBytes)]
struct Wrapped {
    header: Header,
    sealed: [u8; 32 + aead::TAG_BYTES],
}

/// Wraps a store key under `passphrase`: fresh salt, header authenticated. 77 bytes.
pub fn wrap(
    store_key: &Secret<32>,
    passphrase: &str,
    cost: Cost,
    env: &dyn Env,
) -> Result<Vec<u8>, WrapError> {
    let mut salt = [0; 16];
    env.fill(&mut salt);
    let header = Header {
        version: VERSION,
        memory_kib: cost.memory_kib,
        passes: cost.passes,
        salt,
    };
    // the salt is fresh, so this key seals once
    let key = derive(passphrase, &header)?;
    let mut bytes = codec::encode(&header);
    let sealed = aead::seal_once(&key, &bytes, store_key.expose());
    bytes.extend_from_slice(&sealed);
    Ok(bytes)
}

/// Unwraps what [`wrap`] made. Costs what the header says, up to 1 GiB and 10 passes.
pub fn unwrap(bytes: &[u8], passphrase: &str) -> Result<Secret<32>, WrapError> {
    let wrapped: Wrapped = codec::parse_exact(bytes).map_err(|_| WrapError::Malformed)?;
    if wrapped.header.version != VERSION {
        return Err(WrapError::Malformed);
    }
    let key = derive(passphrase, &wrapped.header)?;
    let mut sealed = Zeroizing::new(wrapped.sealed);
    let plain = aead::open_once(&key, &codec::encode(&wrapped.header), sealed.as_mut_slice())
        .ok_or(WrapError::WrongPassphrase)?;
    Secret::parse(plain).ok_or(WrapError::Malformed)
}

fn derive(passphrase: &str, header: &Header) -> Result<Zeroizing<[u8; 32]>, WrapError> {
    if passphrase.is_empty() {
        return Err(WrapError::EmptyPassphrase);
    }
    let cost = Cost::new(header.memory_kib, header.passes).ok_or(WrapError::TooCostly)?;
    let params = argon2::Params::new(cost.memory_kib, cost.passes, 1, Some(32))
        .map_err(|_| WrapError::TooCostly)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), &header.salt, key.as_mut_slice())
        .map_err(|_| WrapError::Memory)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::FixedEnv;

    fn little() -> Cost {
        Cost::new(64, 1).unwrap()
    }

    fn wrapped() -> Vec<u8> {
        let key = Secret::parse(&[7; 32]).unwrap();
        wrap(&key, "correct horse", little(), &FixedEnv::new(1)).unwrap()
    }

    /// The right passphrase gives the key back, any other and any changed byte does not.
    #[test]
    fn opens_with_the_right_passphrase_only() {
        let bytes = wrapped();
        assert_eq!(unwrap(&bytes, "correct horse").unwrap().expose(), &[7; 32]);
        for wrong in ["correct horsf", "correct horse ", "x"] {
            assert_eq!(
                unwrap(&bytes, wrong).err(),
                Some(WrapError::WrongPassphrase)
            );
        }
        assert_eq!(unwrap(&bytes, "").err(), Some(WrapError::EmptyPassphrase));
        for place in (9..bytes.len()).step_by(5) {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_eq!(
                unwrap(&changed, "correct horse").err(),
                Some(WrapError::WrongPassphrase)
            );
        }
    }

    /// Nothing is wrapped under an empty passphrase.
    #[test]
    fn refuses_an_empty_passphrase() {
        let key = Secret::parse(&[7; 32]).unwrap();
        assert_eq!(
            wrap(&key, "", little(), &FixedEnv::new(1)).err(),
            Some(WrapError::EmptyPassphrase)
        );
    }

    /// A file cannot make us spend more than 1 GiB or 10 passes, and bad shapes cost nothing.
    #[test]
    fn refuses_hostile_parameters() {
        let bytes = wrapped();
        for (place, value) in [(1, 0x0010_0001_u32), (1, u32::MAX), (1, 7), (5, 11), (5, 0)] {
            let mut hostile = bytes.clone();
            hostile[place..place + 4].copy_from_slice(&value.to_be_bytes());
            assert_eq!(
                unwrap(&hostile, "correct horse").err(),
                Some(WrapError::TooCostly)
            );
        }
        let mut newer = bytes.clone();
        newer[0] = 2;
        assert_eq!(
            unwrap(&newer, "correct horse").err(),
            Some(WrapError::Malformed)
        );
        for cut in [0, 10, bytes.len() - 1] {
            assert_eq!(
                unwrap(&bytes[..cut], "correct horse").err(),
                Some(WrapError::Malformed)
            );
        }
    }

    /// Same key and passphrase, fresh salt: the stored bytes differ; the encoding is the committed one.
    #[test]
    fn salts_are_fresh_and_the_encoding_stays() {
        let key = Secret::parse(&[7; 32]).unwrap();
        let env = FixedEnv::new(1);
        let first = wrap(&key, "correct horse", little(), &env).unwrap();
        let second = wrap(&key, "correct horse", little(), &env).unwrap();
        assert_ne!(first, second);
        insta::assert_snapshot!(hex::encode(first), @"01000000400000000148c9fd9157da82e93d97f7c9632de9562a1d3a1bef37d23fd3825a7746cfb80df53e28ec87e4874f7b1e01fe64a897ec7760be1162834786180e55656cf4a3ca");
    }
}
