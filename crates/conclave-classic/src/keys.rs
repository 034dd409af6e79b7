//! Key pairs of both suites: made once, signed with, wrapped to. One key does both jobs, as documented.

use core::fmt;

use aws_lc_rs::agreement::{self, ECDH_P256};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use pkcs8::ObjectIdentifier;
use pkcs8::der::Decode as _;
use pkcs8::spki::SubjectPublicKeyInfoRef;
use zeroize::Zeroizing;

use crate::aead;
use crate::suite::Suite;

/// Bytes of an uncompressed P-256 point (SEC 1 §2.3.3).
pub(crate) const POINT_BYTES: usize = 65;
/// Bytes of a public key's PEM text that are looked at.
const PEM_BYTES_MAX: usize = 4 * 1024;
/// RSA moduli that are accepted, bits.
const RSA_BITS: core::ops::RangeInclusive<usize> = 2048..=4096;
/// The one RSA exponent that is accepted, big-endian: 65,537.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];
const PEM_LABEL: &str = "PUBLIC KEY";
/// RFC 8017: rsaEncryption.
const RSA_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// RFC 5480: id-ecPublicKey, and the curve secp256r1.
const EC_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// A key that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not an SPKI PEM (RFC 7468) of the suite. Send the one that the key belongs to.
    #[error("not a public key of this suite: send one PEM block `PUBLIC KEY`, RSA or P-256")]
    Malformed,
    /// An RSA modulus outside 2,048 to 4,096 bits. Make a larger, or smaller, key.
    #[error("an RSA key needs 2048 to 4096 bits")]
    RsaSize,
    /// An RSA exponent other than 65,537. Make a key with that exponent.
    #[error("an RSA key needs the public exponent 65537")]
    RsaExponent,
    /// A P-256 point that is not on the curve, or not uncompressed.
    #[error("an EC key needs an uncompressed point on P-256")]
    Point,
    /// A private key file that gives no key of its suite.
    #[error("not a private key of this suite in PKCS#8")]
    Private,
}

/// A primitive refused: wrong key, wrong bytes, wrong signature. One error, so that nothing is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message does not hold: it was changed, or is for another key")]
pub struct Refused;

/// A private key of one suite. Held by its owner alone; zeroized by the library on drop.
pub struct PrivateKey {
    inner: Private,
    public: PublicKey,
}

enum Private {
    Rsa {
        sign: Box<RsaKeyPair>,
        open: Box<OaepPrivateDecryptingKey>,
        pkcs8: Zeroizing<Vec<u8>>,
    },
    Ec {
        sign: EcdsaKeyPair,
        agree: agreement::PrivateKey,
        pkcs8: Zeroizing<Vec<u8>>,
    },
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

impl PrivateKey {
    /// A fresh key. RSA-2048 takes about a tenth of a second.
    pub fn generate(suite: Suite) -> Result<Self, KeyError> {
        let pkcs8 = match suite {
            Suite::Rsa => {
                let key = PrivateDecryptingKey::generate(KeySize::Rsa2048);
                let key = key.map_err(|_| KeyError::Private)?;
                let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| KeyError::Private)?;
                Zeroizing::new(der.as_ref().to_vec())
            }
            Suite::Ec => {
                let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING);
                let key = key.map_err(|_| KeyError::Private)?;
                let der = key.to_pkcs8v1().map_err(|_| KeyError::Private)?;
                Zeroizing::new(der.as_ref().to_vec())
            }
        };
        Self::from_pkcs8(suite, &pkcs8)
    }

    /// The key in `pkcs8` (RFC 5208), which must be of `suite`.
    pub fn from_pkcs8(suite: Suite, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let refused = |_| KeyError::Private;
        let kept = Zeroizing::new(pkcs8.to_vec());
        let (inner, spki) = match suite {
            Suite::Rsa => {
                let sign = RsaKeyPair::from_pkcs8(pkcs8).map_err(refused)?;
                let open = PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(refused)?;
                let open = OaepPrivateDecryptingKey::new(open).map_err(|_| KeyError::Private)?;
                let spki = spki_of(sign.public_key())?;
                let (sign, open) = (Box::new(sign), Box::new(open));
                let pkcs8 = kept;
                (Private::Rsa { sign, open, pkcs8 }, spki)
            }
            Suite::Ec => {
                let sign = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8);
                let sign = sign.map_err(refused)?;
                let agree = agreement::PrivateKey::from_private_key_der(&ECDH_P256, pkcs8);
                let agree = agree.map_err(refused)?;
                let spki = spki_of(sign.public_key())?;
                let pkcs8 = kept;
                (Private::Ec { sign, agree, pkcs8 }, spki)
            }
        };
        let public = PublicKey::from_spki(suite, &spki)?;
        Ok(Self { inner, public })
    }

    /// PKCS#8 v1 of this key, for [`crate::pem`].
    pub(crate) fn pkcs8(&self) -> &[u8] {
        match &self.inner {
            Private::Rsa { pkcs8, .. } | Private::Ec { pkcs8, .. } => pkcs8,
        }
    }

    /// The public half.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Which suite this key is of.
    pub const fn suite(&self) -> Suite {
        self.public.suite()
    }

    /// Signs: RSA-PSS with SHA-256 and a salt of 32 bytes, or ECDSA with SHA-256 in DER.
    pub fn sign(&self, text: &[u8]) -> Result<Vec<u8>, Refused> {
        let random = SystemRandom::new();
        match &self.inner {
            Private::Rsa { sign, .. } => {
                let mut signature = vec![0; sign.public_modulus_len()];
                sign.sign(&RSA_PSS_SHA256, &random, text, &mut signature)
                    .map_err(|_| Refused)?;
                Ok(signature)
            }
            Private::Ec { sign, .. } => {
                let signature = sign.sign(&random, text).map_err(|_| Refused)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }

    /// Opens what [`PublicKey::wrap`] wrapped; `info` counts for suite `ec` only.
    pub fn unwrap(&self, info: &str, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refused> {
        match &self.inner {
            Private::Rsa { open, .. } => {
                let mut plain = Zeroizing::new(vec![0; open.min_output_size()]);
                let bytes = open
                    .decrypt(&OAEP_SHA256_MGF1SHA256, wrapped, &mut plain, None)
                    .map_err(|_| Refused)?
                    .len();
                plain.truncate(bytes);
                Ok(plain)
            }
            Private::Ec { .. } => {
                let (point, sealed) = wrapped.split_at_checked(POINT_BYTES).ok_or(Refused)?;
                let key = self.shared(point, info)?;
                aead::open(&key, sealed)
            }
        }
    }

    /// AES key of the link between this key and `peer` (ECDH, HKDF-SHA256); suite `ec` only.
    pub fn link(&self, peer: &PublicKey, info: &str) -> Result<Zeroizing<[u8; 32]>, Refused> {
        let PublicKey::Ec { point, .. } = peer else {
            return Err(Refused);
        };
        self.shared(point, info)
    }

    fn shared(&self, point: &[u8], info: &str) -> Result<Zeroizing<[u8; 32]>, Refused> {
        let Private::Ec { agree, .. } = &self.inner else {
            return Err(Refused);
        };
        if !is_uncompressed(point) {
            return Err(Refused);
        }
        let peer = agreement::UnparsedPublicKey::new(&ECDH_P256, point);
        agreement::agree(agree, peer, Refused, |x| aead::derive(x, info))
    }
}

fn spki_of<K>(key: &K) -> Result<Vec<u8>, KeyError>
where
    K: aws_lc_rs::encoding::AsDer<PublicKeyX509Der<'static>>,
{
    let der = key.as_der().map_err(|_| KeyError::Private)?;
    Ok(der.as_ref().to_vec())
}

/// A public key of one suite, checked: size, exponent, point on the curve.
#[derive(Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA, 2,048 to 4,096 bits, exponent 65,537.
    Rsa {
        /// SPKI in DER.
        spki: Vec<u8>,
        /// RSAPublicKey in DER (RFC 8017).
        key: Vec<u8>,
    },
    /// A point on P-256.
    Ec {
        /// SPKI in DER.
        spki: Vec<u8>,
        /// The point, uncompressed.
        point: Vec<u8>,
    },
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey::{}", self.suite())
    }
}

impl PublicKey {
    /// The key in one PEM block `PUBLIC KEY` (RFC 7468), which must be of `suite`.
    pub fn from_pem(suite: Suite, pem: &str) -> Result<Self, KeyError> {
        if pem.len() > PEM_BYTES_MAX {
            return Err(KeyError::Malformed);
        }
        let (label, document) = pkcs8::Document::from_pem(pem).map_err(|_| KeyError::Malformed)?;
        if label != PEM_LABEL {
            return Err(KeyError::Malformed);
        }
        Self::from_spki(suite, document.as_bytes())
    }

    fn from_spki(suite: Suite, spki: &[u8]) -> Result<Self, KeyError> {
        let info = SubjectPublicKeyInfoRef::from_der(spki).map_err(|_| KeyError::Malformed)?;
        let bits = info.subject_public_key.as_bytes();
        let bits = bits.ok_or(KeyError::Malformed)?.to_vec();
        let spki = spki.to_vec();
        match suite {
            Suite::Rsa if info.algorithm.oid == RSA_OID => {
                check_rsa(&bits)?;
                Ok(Self::Rsa { spki, key: bits })
            }
            Suite::Ec if info.algorithm.oid == EC_OID => {
                let curve = info.algorithm.parameters_oid();
                if curve != Ok(P256_OID) {
                    return Err(KeyError::Malformed);
                }
                check_point(&bits)?;
                Ok(Self::Ec { spki, point: bits })
            }
            Suite::Rsa | Suite::Ec => Err(KeyError::Malformed),
        }
    }

    /// The key as PEM text.
    pub fn to_pem(&self) -> String {
        let (Self::Rsa { spki, .. } | Self::Ec { spki, .. }) = self;
        // bytes that were parsed as DER encode as PEM
        pkcs8::Document::try_from(spki.as_slice())
            .ok()
            .and_then(|document| {
                document
                    .to_pem(PEM_LABEL, pkcs8::der::pem::LineEnding::LF)
                    .ok()
            })
            .unwrap_or_default()
    }

    /// Which suite this key is of.
    pub const fn suite(&self) -> Suite {
        match self {
            Self::Rsa { .. } => Suite::Rsa,
            Self::Ec { .. } => Suite::Ec,
        }
    }

    /// Checks a signature by this key over `text`.
    pub fn verify(&self, text: &[u8], signature: &[u8]) -> Result<(), Refused> {
        match self {
            Self::Rsa { key, .. } => {
                UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key).verify(text, signature)
            }
            Self::Ec { point, .. } => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(text, signature)
            }
        }
        .map_err(|_| Refused)
    }

    /// Encrypts a few bytes to this key: RSA-OAEP (SHA-256, MGF1-SHA256, empty label), or an ephemeral point ‖
    /// iv\[12\] ‖ AES-256-GCM under ECDH and HKDF with `info`.
    pub fn wrap(&self, info: &str, plain: &[u8]) -> Result<Vec<u8>, Refused> {
        match self {
            Self::Rsa { spki, .. } => {
                let key = PublicEncryptingKey::from_der(spki).map_err(|_| Refused)?;
                let key = OaepPublicEncryptingKey::new(key).map_err(|_| Refused)?;
                let mut wrapped = vec![0; key.ciphertext_size()];
                let bytes = key
                    .encrypt(&OAEP_SHA256_MGF1SHA256, plain, &mut wrapped, None)
                    .map_err(|_| Refused)?
                    .len();
                wrapped.truncate(bytes);
                Ok(wrapped)
            }
            Self::Ec { point, .. } => {
                let ephemeral = agreement::PrivateKey::generate(&ECDH_P256).map_err(|_| Refused)?;
                let own = ephemeral.compute_public_key().map_err(|_| Refused)?;
                let peer = agreement::UnparsedPublicKey::new(&ECDH_P256, point);
                let key = agreement::agree(&ephemeral, peer, Refused, |x| aead::derive(x, info))?;
                Ok([own.as_ref(), &aead::seal(&key, plain)?].concat())
            }
        }
    }
}

fn check_rsa(key: &[u8]) -> Result<(), KeyError> {
    let key = aws_lc_rs::rsa::PublicKey::from_der(key).map_err(|_| KeyError::Malformed)?;
    if key.exponent().big_endian_without_leading_zero() != RSA_EXPONENT {
        return Err(KeyError::RsaExponent);
    }
    let modulus = key.modulus();
    let modulus = modulus.big_endian_without_leading_zero();
    let unused = modulus.first().map_or(0, |first| first.leading_zeros());
    let bits = (modulus.len() * 8).saturating_sub(usize::try_from(unused).unwrap_or(0));
    if RSA_BITS.contains(&bits) {
        Ok(())
    } else {
        Err(KeyError::RsaSize)
    }
}

fn is_uncompressed(point: &[u8]) -> bool {
    point.len() == POINT_BYTES && point.first() == Some(&4)
}

/// On the curve, as the library sees it when it agrees on a key.
fn check_point(point: &[u8]) -> Result<(), KeyError> {
    if !is_uncompressed(point) {
        return Err(KeyError::Point);
    }
    let own = agreement::PrivateKey::generate(&ECDH_P256).map_err(|_| KeyError::Point)?;
    let peer = agreement::UnparsedPublicKey::new(&ECDH_P256, point);
    agreement::agree(&own, peer, KeyError::Point, |_| Ok(()))
}
