//! AES-256-GCM with a random nonce in front, and HKDF-SHA256, as suite `ec` uses them.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::PROTOCOL;
use crate::keys::Refused;

const IV_BYTES: usize = 12;

struct KeyBytes;

impl KeyType for KeyBytes {
    fn len(&self) -> usize {
        32
    }
}

/// HKDF-SHA256 (RFC 5869) of `secret` under the protocol's name as salt: an AES-256 key.
pub(crate) fn derive(secret: &[u8], info: &str) -> Result<Zeroizing<[u8; 32]>, Refused> {
    let salt = Salt::new(HKDF_SHA256, PROTOCOL.as_bytes());
    let mut key = Zeroizing::new([0; 32]);
    salt.extract(secret)
        .expand(&[info.as_bytes()], KeyBytes)
        .and_then(|okm| okm.fill(key.as_mut()))
        .map_err(|_| Refused)?;
    Ok(key)
}

/// iv\[12\] ‖ ciphertext ‖ tag\[16\].
pub(crate) fn seal(key: &[u8; 32], plain: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut iv = [0; IV_BYTES];
    rand::fill(&mut iv).map_err(|_| Refused)?;
    let mut sealed = plain.to_vec();
    gcm(key)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(iv), Aad::empty(), &mut sealed)
        .map_err(|_| Refused)?;
    Ok([iv.as_slice(), &sealed].concat())
}

/// Opens what [`seal`] sealed.
pub(crate) fn open(key: &[u8; 32], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refused> {
    let (iv, rest) = sealed.split_first_chunk::<IV_BYTES>().ok_or(Refused)?;
    let mut rest = Zeroizing::new(rest.to_vec());
    let nonce = Nonce::assume_unique_for_key(*iv);
    let bytes = gcm(key)?
        .open_in_place(nonce, Aad::empty(), &mut rest)
        .map_err(|_| Refused)?
        .len();
    rest.truncate(bytes);
    Ok(rest)
}

fn gcm(key: &[u8; 32]) -> Result<LessSafeKey, Refused> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| Refused)?;
    Ok(LessSafeKey::new(key))
}
