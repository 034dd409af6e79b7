//! HPKE (RFC 9180) with X-Wing, HKDF-SHA384 and AES-256-GCM: lengths first, then libcrux.

use openmls_libcrux_crypto::CryptoProvider;
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::types::{
    HpkeAeadType, HpkeCiphertext, HpkeConfig, HpkeKdfType, HpkeKemType, HpkeKeyPair,
};

pub use conclave_proto::account::XWING_KEY_BYTES as PUBLIC_KEY_BYTES;

/// Bytes of an X-Wing private key (a seed).
pub const PRIVATE_KEY_BYTES: usize = 32;
/// Bytes of an X-Wing encapsulation.
pub const KEM_OUTPUT_BYTES: usize = 1120;
/// Bytes that sealing adds to the plaintext, KEM output not counted.
pub const TAG_BYTES: usize = 16;

/// Keys or ciphertexts that HPKE cannot work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HpkeError {
    /// A key, seed or encapsulation of the wrong length (C-030). Refuse whatever carried it.
    #[error("hpke key or encapsulation has the wrong length")]
    Length,
    /// The public key is no X-Wing key. Refuse whatever carried it.
    #[error("hpke public key is not valid")]
    PublicKey,
    /// The ciphertext was not made for this key, info and additional data, or was changed.
    #[error("hpke ciphertext does not open with this key")]
    Open,
    /// The machine gave no randomness or memory: our own trouble, try again.
    #[error("hpke is not available on this machine")]
    Broken,
}

const CONFIG: HpkeConfig = HpkeConfig(
    HpkeKemType::XWingKemDraft6,
    HpkeKdfType::HkdfSha384,
    HpkeAeadType::AesGcm256,
);

/// The key pair that `ikm` (at least 32 bytes) derives, always the same one.
pub fn derive_keypair(ikm: &[u8]) -> Result<HpkeKeyPair, HpkeError> {
    if ikm.len() < PRIVATE_KEY_BYTES {
        return Err(HpkeError::Length);
    }
    libcrux()?
        .derive_hpke_keypair(CONFIG, ikm)
        .map_err(|_| HpkeError::Broken)
}

/// Seals `plain` to a public key of exactly 1,216 bytes.
pub fn seal(
    public_key: &[u8],
    info: &[u8],
    aad: &[u8],
    plain: &[u8],
) -> Result<HpkeCiphertext, HpkeError> {
    // C-030: libcrux panics on a short key, so lengths are checked before it sees any.
    if public_key.len() != PUBLIC_KEY_BYTES {
        return Err(HpkeError::Length);
    }
    libcrux()?
        .hpke_seal(CONFIG, public_key, info, aad, plain)
        .map_err(|_| HpkeError::PublicKey)
}

/// Opens what [`seal`] made, with a private key of exactly 32 bytes and an encapsulation of exactly 1,120.
pub fn open(
    private_key: &[u8],
    sealed: &HpkeCiphertext,
    info: &[u8],
    aad: &[u8],
) -> Result<Vec<u8>, HpkeError> {
    // C-030: as in `seal`; a short encapsulation panics too.
    if private_key.len() != PRIVATE_KEY_BYTES
        || sealed.kem_output.as_slice().len() != KEM_OUTPUT_BYTES
        || sealed.ciphertext.as_slice().len() < TAG_BYTES
    {
        return Err(HpkeError::Length);
    }
    libcrux()?
        .hpke_open(CONFIG, sealed, private_key, info, aad)
        .map_err(|_| HpkeError::Open)
}

fn libcrux() -> Result<CryptoProvider, HpkeError> {
    CryptoProvider::new().map_err(|_| HpkeError::Broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sealed opens with the right key, info and data only, and sizes are the documented ones.
    #[test]
    fn seals_and_opens() {
        let pair = derive_keypair(&[1; 32]).unwrap();
        assert_eq!(pair.public.len(), PUBLIC_KEY_BYTES);
        assert_eq!(pair.private.len(), PRIVATE_KEY_BYTES);
        let sealed = seal(&pair.public, b"info", b"aad", b"plain").unwrap();
        assert_eq!(sealed.kem_output.as_slice().len(), KEM_OUTPUT_BYTES);
        assert_eq!(sealed.ciphertext.as_slice().len(), 5 + TAG_BYTES);
        assert_eq!(
            open(&pair.private, &sealed, b"info", b"aad").unwrap(),
            b"plain"
        );
        for (info, aad) in [(b"info", b"abd"), (b"inho", b"aad")] {
            assert_eq!(
                open(&pair.private, &sealed, info, aad),
                Err(HpkeError::Open)
            );
        }
        let other = derive_keypair(&[2; 32]).unwrap();
        assert_eq!(
            open(&other.private, &sealed, b"info", b"aad"),
            Err(HpkeError::Open)
        );
    }

    /// Keys and encapsulations of any wrong length are errors, never a panic.
    #[test]
    fn c030_wrong_lengths_are_refused_before_libcrux() {
        let pair = derive_keypair(&[1; 32]).unwrap();
        let sealed = seal(&pair.public, b"", b"", b"plain").unwrap();
        for length in [0, 1, 100, 1183, 1184, 1215, 1217] {
            let key = vec![9; length];
            assert_eq!(seal(&key, b"", b"", b""), Err(HpkeError::Length));
        }
        for length in [0, 31, 33] {
            assert_eq!(
                open(&vec![9; length], &sealed, b"", b""),
                Err(HpkeError::Length)
            );
        }
        for (kem, text) in [(0, 21), (32, 21), (1088, 21), (1121, 21), (1120, 15)] {
            let bad = HpkeCiphertext {
                kem_output: vec![9; kem].into(),
                ciphertext: vec![9; text].into(),
            };
            assert_eq!(
                open(&pair.private, &bad, b"", b""),
                Err(HpkeError::Length),
                "{kem} {text}"
            );
        }
        assert_eq!(derive_keypair(&[1; 31]).err(), Some(HpkeError::Length));
    }

    /// Right lengths with nonsense inside end in an error, not in a panic.
    #[test]
    fn c030_nonsense_of_right_length_does_not_panic() {
        let pair = derive_keypair(&[1; 32]).unwrap();
        let bad = HpkeCiphertext {
            kem_output: vec![0xff; KEM_OUTPUT_BYTES].into(),
            ciphertext: vec![0xff; 64].into(),
        };
        assert_eq!(open(&pair.private, &bad, b"", b""), Err(HpkeError::Open));
        assert!(seal(&[0xff; PUBLIC_KEY_BYTES], b"", b"", b"plain").is_err());
    }
}
