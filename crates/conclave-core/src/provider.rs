//! OpenMLS's door to cryptography, chance and storage: aws-lc-rs, [`crate::hpke`], `Env` and the lent rows.
//!
//! Only suite 0x004E exists here: X-Wing, AES-256-GCM, SHA-384, Ed25519. Anything else is refused.

use aws_lc_rs::{aead, digest, hkdf, hmac};
use conclave_proto::account::verify_ed25519;
use conclave_proto::env::Env;
use openmls_traits::OpenMlsProvider;
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::random::OpenMlsRand;
use openmls_traits::signatures::{Signer, SignerError};
use openmls_traits::types::{
    AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeAeadType, HpkeCiphertext,
    HpkeConfig, HpkeKdfType, HpkeKemType, HpkeKeyPair, KemOutput, SignatureScheme,
};
use tls_codec::SecretVLBytes;

use crate::hpke::{self, HpkeError};
use crate::identity::DeviceSecret;
use crate::mls_store::{MlsRows, RowsError, Storage};

/// The one suite: X-Wing (ML-KEM-768 + X25519), AES-256-GCM, SHA-384, Ed25519 leaves.
pub(crate) const SUITE: Ciphersuite = Ciphersuite::MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519;

/// A step of MLS that ended where it never should: the store, or a bug of ours.
///
/// The caller rolls back and drops the conversation; a report helps when it is not the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MlsFailure {
    /// The store failed. Roll back, then try again.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// OpenMLS refused what we asked of it: our own bug.
    #[error("mls refused to {step}: {detail}")]
    Refused {
        /// What was tried.
        step: &'static str,
        /// What OpenMLS said; holds no secrets, names or contents.
        detail: String,
    },
}

/// What OpenMLS works with during one call, over borrowed rows.
pub(crate) struct Provider<'a> {
    crypto: Crypto,
    rand: Rand<'a>,
    storage: Storage<'a>,
}

impl<'a> Provider<'a> {
    pub(crate) fn new(rows: &'a dyn MlsRows, env: &'a dyn Env) -> Self {
        Self {
            crypto: Crypto,
            rand: Rand(env),
            storage: Storage::new(rows),
        }
    }

    /// A result that must not fail unless the store or we are broken.
    pub(crate) fn must<T, E: std::fmt::Display>(
        &self,
        step: &'static str,
        result: Result<T, E>,
    ) -> Result<T, MlsFailure> {
        self.settle(result)?.map_err(|error| MlsFailure::Refused {
            step,
            detail: error.to_string(),
        })
    }

    /// A result whose error is the peer's fault, unless a row failed meanwhile: then that comes first.
    pub(crate) fn settle<T, E>(&self, result: Result<T, E>) -> Result<Result<T, E>, RowsError> {
        match self.storage.take_failure() {
            Some(error) => Err(error),
            None => Ok(result),
        }
    }
}

impl<'a> OpenMlsProvider for Provider<'a> {
    type CryptoProvider = Crypto;
    type RandProvider = Rand<'a>;
    type StorageProvider = Storage<'a>;

    fn storage(&self) -> &Storage<'a> {
        &self.storage
    }

    fn crypto(&self) -> &Crypto {
        &self.crypto
    }

    fn rand(&self) -> &Rand<'a> {
        &self.rand
    }
}

/// MLS itself over somebody's rows, with none of this crate's checks: what a hostile member has in hand.
///
/// Only `conclave-hostile` asks for it; `cargo xtask tidy` lets no other crate link OpenMLS.
pub fn unchecked<'a>(rows: &'a dyn MlsRows, env: &'a dyn Env) -> impl OpenMlsProvider + 'a {
    Provider::new(rows, env)
}

/// Signs for MLS with this device's leaf key.
pub(crate) struct LeafSigner<'a>(pub(crate) &'a DeviceSecret);

impl Signer for LeafSigner<'_> {
    fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.0.sign_input(payload))
    }

    fn signature_scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// Random bytes through [`Env`].
pub(crate) struct Rand<'a>(&'a dyn Env);

impl OpenMlsRand for Rand<'_> {
    type Error = CryptoError;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], CryptoError> {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        Ok(bytes)
    }

    fn random_vec(&self, len: usize) -> Result<Vec<u8>, CryptoError> {
        let mut bytes = vec![0; len];
        self.0.fill(&mut bytes);
        Ok(bytes)
    }
}

/// The primitives of suite 0x004E.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Crypto;

impl OpenMlsCrypto for Crypto {
    fn supports(&self, ciphersuite: Ciphersuite) -> Result<(), CryptoError> {
        if ciphersuite == SUITE {
            Ok(())
        } else {
            Err(CryptoError::UnsupportedCiphersuite)
        }
    }

    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
        vec![SUITE]
    }

    fn hkdf_extract(
        &self,
        hash_type: HashType,
        salt: &[u8],
        ikm: &[u8],
    ) -> Result<SecretVLBytes, CryptoError> {
        // RFC 5869 §2.2: extracting is HMAC under the salt
        self.hmac(hash_type, salt, ikm)
    }

    fn hmac(
        &self,
        hash_type: HashType,
        key: &[u8],
        message: &[u8],
    ) -> Result<SecretVLBytes, CryptoError> {
        sha384_only(hash_type)?;
        let key = hmac::Key::new(hmac::HMAC_SHA384, key);
        Ok(hmac::sign(&key, message).as_ref().to_vec().into())
    }

    fn hkdf_expand(
        &self,
        hash_type: HashType,
        prk: &[u8],
        info: &[u8],
        okm_len: usize,
    ) -> Result<SecretVLBytes, CryptoError> {
        sha384_only(hash_type)?;
        let mut okm = vec![0; okm_len];
        hkdf::Prk::new_less_safe(hkdf::HKDF_SHA384, prk)
            .expand(&[info], OkmLength(okm_len))
            .and_then(|okm_source| okm_source.fill(&mut okm))
            .map_err(|_| CryptoError::HkdfOutputLengthInvalid)?;
        Ok(okm.into())
    }

    fn hash(&self, hash_type: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        sha384_only(hash_type)?;
        Ok(digest::digest(&digest::SHA384, data).as_ref().to_vec())
    }

    fn aead_encrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        data: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let key = aead_key(alg, key)?;
        let nonce = aead_nonce(nonce)?;
        let mut sealed = data.to_vec();
        key.seal_in_place_append_tag(nonce, aead::Aad::from(aad), &mut sealed)
            .map_err(|_| CryptoError::CryptoLibraryError)?;
        Ok(sealed)
    }

    fn aead_decrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        ct_tag: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let key = aead_key(alg, key)?;
        let nonce = aead_nonce(nonce)?;
        let mut buffer = ct_tag.to_vec();
        let plain = key
            .open_in_place(nonce, aead::Aad::from(aad), &mut buffer)
            .map_err(|_| CryptoError::AeadDecryptionError)?;
        let length = plain.len();
        buffer.truncate(length);
        Ok(buffer)
    }

    fn signature_key_gen(&self, _alg: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        // leaf keys are made by `DeviceSecret`, never by MLS
        Err(CryptoError::UnsupportedSignatureScheme)
    }

    fn verify_signature(
        &self,
        alg: SignatureScheme,
        data: &[u8],
        pk: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        if alg != SignatureScheme::ED25519 {
            return Err(CryptoError::UnsupportedSignatureScheme);
        }
        if verify_ed25519(pk, data, signature) {
            Ok(())
        } else {
            Err(CryptoError::InvalidSignature)
        }
    }

    fn sign(
        &self,
        _alg: SignatureScheme,
        _data: &[u8],
        _key: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        // signing goes through `LeafSigner`
        Err(CryptoError::UnsupportedSignatureScheme)
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        pk_r: &[u8],
        info: &[u8],
        aad: &[u8],
        ptxt: &[u8],
    ) -> Result<HpkeCiphertext, CryptoError> {
        xwing_only(&config)?;
        hpke::seal(pk_r, info, aad, ptxt).map_err(crypto_error)
    }

    fn hpke_open(
        &self,
        config: HpkeConfig,
        input: &HpkeCiphertext,
        sk_r: &[u8],
        info: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        xwing_only(&config)?;
        hpke::open(sk_r, input, info, aad).map_err(crypto_error)
    }

    fn hpke_setup_sender_and_export(
        &self,
        _config: HpkeConfig,
        _pk_r: &[u8],
        _info: &[u8],
        _exporter_context: &[u8],
        _exporter_length: usize,
    ) -> Result<(KemOutput, ExporterSecret), CryptoError> {
        // external commits only, which Conclave has none of
        Err(CryptoError::ExporterError)
    }

    fn hpke_setup_receiver_and_export(
        &self,
        _config: HpkeConfig,
        _enc: &[u8],
        _sk_r: &[u8],
        _info: &[u8],
        _exporter_context: &[u8],
        _exporter_length: usize,
    ) -> Result<ExporterSecret, CryptoError> {
        Err(CryptoError::ExporterError)
    }

    fn derive_hpke_keypair(
        &self,
        config: HpkeConfig,
        ikm: &[u8],
    ) -> Result<HpkeKeyPair, CryptoError> {
        xwing_only(&config)?;
        hpke::derive_keypair(ikm).map_err(crypto_error)
    }
}

struct OkmLength(usize);

impl hkdf::KeyType for OkmLength {
    fn len(&self) -> usize {
        self.0
    }
}

fn sha384_only(hash_type: HashType) -> Result<(), CryptoError> {
    match hash_type {
        HashType::Sha2_384 => Ok(()),
        _ => Err(CryptoError::UnsupportedHashAlgorithm),
    }
}

fn xwing_only(config: &HpkeConfig) -> Result<(), CryptoError> {
    let ours = config.0 == HpkeKemType::XWingKemDraft6
        && config.1 == HpkeKdfType::HkdfSha384
        && config.2 == HpkeAeadType::AesGcm256;
    if ours {
        Ok(())
    } else {
        Err(CryptoError::UnsupportedCiphersuite)
    }
}

fn aead_key(alg: AeadType, key: &[u8]) -> Result<aead::LessSafeKey, CryptoError> {
    if alg != AeadType::Aes256Gcm {
        return Err(CryptoError::UnsupportedAeadAlgorithm);
    }
    aead::UnboundKey::new(&aead::AES_256_GCM, key)
        .map(aead::LessSafeKey::new)
        .map_err(|_| CryptoError::InvalidLength)
}

fn aead_nonce(nonce: &[u8]) -> Result<aead::Nonce, CryptoError> {
    aead::Nonce::try_assume_unique_for_key(nonce).map_err(|_| CryptoError::InvalidLength)
}

fn crypto_error(error: HpkeError) -> CryptoError {
    match error {
        HpkeError::Length => CryptoError::InvalidLength,
        HpkeError::PublicKey => CryptoError::InvalidPublicKey,
        HpkeError::Open => CryptoError::HpkeDecryptionError,
        HpkeError::Broken => CryptoError::CryptoLibraryError,
    }
}

#[cfg(test)]
mod tests {
    use openmls_libcrux_crypto::CryptoProvider;

    use super::*;

    /// Hash, HMAC, HKDF and AEAD agree with libcrux byte for byte, empty salt and input included.
    #[test]
    fn agrees_with_another_implementation() {
        let other = CryptoProvider::new().unwrap();
        let hash = HashType::Sha2_384;
        for length in [0, 1, 47, 48, 49, 1000] {
            let data = vec![7; length];
            assert_eq!(
                Crypto.hash(hash, &data).unwrap(),
                other.hash(hash, &data).unwrap()
            );
            assert_eq!(
                Crypto.hkdf_extract(hash, &[], &data).unwrap().as_slice(),
                other.hkdf_extract(hash, &[], &data).unwrap().as_slice()
            );
            assert_eq!(
                Crypto.hmac(hash, &data, &data).unwrap().as_slice(),
                other.hmac(hash, &data, &data).unwrap().as_slice()
            );
            let okm = |crypto: &dyn Fn() -> SecretVLBytes| crypto().as_slice().to_vec();
            assert_eq!(
                okm(&|| Crypto.hkdf_expand(hash, &[5; 48], &data, 80).unwrap()),
                okm(&|| other.hkdf_expand(hash, &[5; 48], &data, 80).unwrap())
            );
            let alg = AeadType::Aes256Gcm;
            let sealed = Crypto
                .aead_encrypt(alg, &[1; 32], &data, &[2; 12], b"aad")
                .unwrap();
            assert_eq!(
                sealed,
                other
                    .aead_encrypt(alg, &[1; 32], &data, &[2; 12], b"aad")
                    .unwrap()
            );
            assert_eq!(
                Crypto
                    .aead_decrypt(alg, &[1; 32], &sealed, &[2; 12], b"aad")
                    .unwrap(),
                data
            );
        }
    }

    /// Other suites, hashes, ciphers and lengths are errors.
    #[test]
    fn refuses_all_but_one_suite() {
        assert!(Crypto.supports(SUITE).is_ok());
        assert!(
            Crypto
                .supports(Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519)
                .is_err()
        );
        assert!(Crypto.hash(HashType::Sha2_256, b"").is_err());
        assert!(
            Crypto
                .aead_encrypt(AeadType::Aes128Gcm, &[0; 16], b"", &[0; 12], b"")
                .is_err()
        );
        assert!(
            Crypto
                .aead_encrypt(AeadType::Aes256Gcm, &[0; 31], b"", &[0; 12], b"")
                .is_err()
        );
        assert!(
            Crypto
                .aead_decrypt(AeadType::Aes256Gcm, &[0; 32], b"", &[0; 11], b"")
                .is_err()
        );
        assert!(
            Crypto
                .hkdf_expand(HashType::Sha2_384, &[5; 48], b"", 12_241)
                .is_err()
        );
    }
}
