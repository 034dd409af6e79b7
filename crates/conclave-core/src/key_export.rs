//! The identity key as two encrypted PEM blocks that `openssl pkey` reads, and back.
//!
//! Ed25519 comes first (an old OpenSSL reads only the first block), then the ML-DSA-65 seed (RFC 9881).
//! Each is PKCS#8 v1 (RFC 5208) under PBES2, PBKDF2-HMAC-SHA256 and AES-256-CBC (RFC 8018) with its own salt
//! and IV; v2 keys and scrypt do not load in OpenSSL 3.0.

use conclave_proto::env::Env;
use pkcs8::der::Decode;
use pkcs8::der::pem::LineEnding;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::{self, Kdf, Pbkdf2Prf};
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs8::{EncryptedPrivateKeyInfo, ObjectIdentifier, PrivateKeyInfo, SecretDocument};
use zeroize::Zeroizing;

use crate::identity::IdentitySecret;
use crate::secret::Secret;

/// PBKDF2 rounds that we write.
const ROUNDS: u32 = 600_000;
/// PBKDF2 rounds that we accept: about two seconds.
const ROUNDS_MAX: u32 = 10_000_000;
/// Bytes of a PEM file that we look at.
const PEM_BYTES_MAX: usize = 16 * 1024;
const PEM_LABEL: &str = "ENCRYPTED PRIVATE KEY";
const PEM_END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
const PEM_BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";

/// One half of the identity key: its algorithm, and the two DER bytes before the 32 of its seed.
#[derive(Clone, Copy)]
struct Half {
    oid: ObjectIdentifier,
    prefix: [u8; 2],
}

/// RFC 8410: an OCTET STRING.
const ED25519: Half = Half {
    oid: ObjectIdentifier::new_unwrap("1.3.101.112"),
    prefix: [0x04, 0x20],
};
/// RFC 9881: the seed alone, `[0]` OCTET STRING.
const MLDSA65: Half = Half {
    oid: ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18"),
    prefix: [0x80, 0x20],
};

/// A key that could not be exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The passphrase is empty. Ask for another one.
    #[error("the export passphrase is empty: choose one")]
    EmptyPassphrase,
    /// Our own encoding failed; a bug.
    #[error("the key could not be encoded")]
    Broken,
}

/// A file that gives no identity key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Not two encrypted PEM blocks in the form that export writes.
    #[error(
        "not an exported identity key: expected two encrypted PEM blocks, Ed25519 and ML-DSA-65"
    )]
    Malformed,
    /// The file asks for more rounds than allowed: damaged or hostile.
    #[error("the exported key asks for too many rounds: the file is damaged or not ours")]
    TooCostly,
    /// The passphrase is wrong, or the file was changed. Ask again.
    #[error("wrong export passphrase, or the file was changed")]
    WrongPassphrase,
}

/// The identity key as PEM text, both halves encrypted under `passphrase`. Takes about 0.2 s.
pub fn export_pem(
    identity: &IdentitySecret,
    passphrase: &str,
    env: &dyn Env,
) -> Result<String, ExportError> {
    if passphrase.is_empty() {
        return Err(ExportError::EmptyPassphrase);
    }
    let mut pem = block(ED25519, identity.ed25519_seed(), passphrase, env)?;
    pem.push_str(&block(MLDSA65, identity.mldsa65_seed(), passphrase, env)?);
    Ok(pem)
}

/// The identity key in `pem`. The caller compares its fingerprint with the one it expects.
pub fn import_pem(pem: &str, passphrase: &str) -> Result<IdentitySecret, ImportError> {
    if pem.len() > PEM_BYTES_MAX {
        return Err(ImportError::Malformed);
    }
    let blocks = split(pem);
    let [first, second] = blocks.as_slice() else {
        return Err(ImportError::Malformed);
    };
    Ok(IdentitySecret::from_seeds(
        open(ED25519, first, passphrase)?,
        open(MLDSA65, second, passphrase)?,
    ))
}

/// How many PBKDF2 rounds importing `pem` takes, the dearer block counts: known before any work is done.
pub fn rounds(pem: &str) -> Result<u32, ImportError> {
    if pem.len() > PEM_BYTES_MAX {
        return Err(ImportError::Malformed);
    }
    let mut most = 0;
    for block in split(pem) {
        let (_, document) = SecretDocument::from_pem(&block).map_err(|_| ImportError::Malformed)?;
        let encrypted = EncryptedPrivateKeyInfo::from_der(document.as_bytes())
            .map_err(|_| ImportError::Malformed)?;
        most = most.max(check_cost(&encrypted.encryption_algorithm)?);
    }
    Ok(most)
}

fn block(
    half: Half,
    seed: &[u8; 32],
    passphrase: &str,
    env: &dyn Env,
) -> Result<String, ExportError> {
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    env.fill(&mut salt);
    env.fill(&mut iv);
    let mut inner = Zeroizing::new(Vec::with_capacity(34));
    inner.extend_from_slice(&half.prefix);
    inner.extend_from_slice(seed);
    let algorithm = AlgorithmIdentifierRef {
        oid: half.oid,
        parameters: None,
    };
    let pem = pbes2::Parameters::pbkdf2_sha256_aes256cbc(ROUNDS, &salt, &iv)
        .ok()
        .and_then(|params| {
            PrivateKeyInfo::new(algorithm, &inner)
                .encrypt_with_params(params, passphrase)
                .ok()
        })
        .and_then(|document| document.to_pem(PEM_LABEL, LineEnding::LF).ok())
        .ok_or(ExportError::Broken)?;
    Ok(pem.to_string())
}

/// Every whole block in `pem`, from BEGIN to END; text around them is left out, as OpenSSL does.
fn split(pem: &str) -> Vec<String> {
    pem.split(PEM_BEGIN)
        .skip(1)
        .filter_map(|rest| rest.split_once(PEM_END))
        .map(|(body, _)| format!("{PEM_BEGIN}{body}{PEM_END}\n"))
        .collect()
}

fn open(half: Half, pem: &str, passphrase: &str) -> Result<Secret<32>, ImportError> {
    let (_, document) = SecretDocument::from_pem(pem).map_err(|_| ImportError::Malformed)?;
    let encrypted = EncryptedPrivateKeyInfo::from_der(document.as_bytes())
        .map_err(|_| ImportError::Malformed)?;
    check_cost(&encrypted.encryption_algorithm)?;
    let plain = encrypted
        .decrypt(passphrase)
        .map_err(|_| ImportError::WrongPassphrase)?;
    let info =
        PrivateKeyInfo::from_der(plain.as_bytes()).map_err(|_| ImportError::WrongPassphrase)?;
    if info.algorithm.oid != half.oid {
        return Err(ImportError::Malformed);
    }
    info.private_key
        .strip_prefix(&half.prefix)
        .and_then(Secret::parse)
        .ok_or(ImportError::Malformed)
}

/// Only what we write ourselves is accepted, with a bound on the work: the rounds asked for.
fn check_cost(scheme: &EncryptionScheme<'_>) -> Result<u32, ImportError> {
    let EncryptionScheme::Pbes2(params) = scheme else {
        return Err(ImportError::Malformed);
    };
    match &params.kdf {
        Kdf::Pbkdf2(kdf)
            if kdf.prf == Pbkdf2Prf::HmacWithSha256
                && matches!(params.encryption, pbes2::EncryptionScheme::Aes256Cbc { .. }) =>
        {
            if kdf.iteration_count > ROUNDS_MAX {
                return Err(ImportError::TooCostly);
            }
            Ok(kdf.iteration_count)
        }
        _ => Err(ImportError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{FixedEnv, Person};

    /// A block that asks for these parameters, as a hostile file may.
    fn hostile(params: pbes2::Parameters<'_>) -> String {
        let info = EncryptedPrivateKeyInfo {
            encryption_algorithm: params.into(),
            encrypted_data: &[9; 64],
        };
        let document = SecretDocument::try_from(&info).unwrap();
        document
            .to_pem(PEM_LABEL, LineEnding::LF)
            .unwrap()
            .to_string()
    }

    /// Export and import give the same identity; the wrong passphrase, a cut file or swapped blocks do not.
    #[test]
    fn survives_export() {
        let identity = Person::new(1).identity;
        let pem = export_pem(&identity, "pass phrase", &FixedEnv::new(5)).unwrap();
        let again = import_pem(&pem, "pass phrase").unwrap();
        assert_eq!(
            again.public().fingerprint(),
            identity.public().fingerprint()
        );
        assert_eq!(
            import_pem(&pem, "pass phrasf").err(),
            Some(ImportError::WrongPassphrase)
        );
        let blocks = split(&pem);
        assert_eq!(blocks.len(), 2);
        assert_eq!(
            import_pem(&blocks[0], "pass phrase").err(),
            Some(ImportError::Malformed)
        );
        let swapped = format!("{}{}", blocks[1], blocks[0]);
        assert_eq!(
            import_pem(&swapped, "pass phrase").err(),
            Some(ImportError::Malformed)
        );
    }

    /// The blocks hold what RFC 5208 and RFC 9881 say: 48 and 54 bytes of PKCS#8, each with its own salt.
    #[test]
    fn blocks_are_plain_pkcs8() {
        let identity = Person::new(1).identity;
        let pem = export_pem(&identity, "pass phrase", &FixedEnv::new(5)).unwrap();
        let lengths: Vec<_> = split(&pem)
            .iter()
            .map(|block| {
                let (_, document) = SecretDocument::from_pem(block).unwrap();
                let info = EncryptedPrivateKeyInfo::from_der(document.as_bytes()).unwrap();
                info.decrypt("pass phrase").unwrap().as_bytes().len()
            })
            .collect();
        assert_eq!(lengths, [48, 54]);
    }

    /// Nothing is exported under an empty passphrase.
    #[test]
    fn refuses_an_empty_passphrase() {
        let identity = Person::new(1).identity;
        assert_eq!(
            export_pem(&identity, "", &FixedEnv::new(5)),
            Err(ExportError::EmptyPassphrase)
        );
    }

    /// A file cannot make us work for minutes, nor use another key derivation.
    #[test]
    fn refuses_hostile_parameters() {
        let (salt, iv) = ([1; 16], [2; 16]);
        let params =
            pbes2::Parameters::pbkdf2_sha256_aes256cbc(ROUNDS_MAX + 1, &salt, &iv).unwrap();
        let block = hostile(params);
        let pem = format!("{block}{block}");
        assert_eq!(import_pem(&pem, "x").err(), Some(ImportError::TooCostly));
        let scrypt = pkcs8::pkcs5::scrypt::Params::default();
        let scrypt = pbes2::Parameters::scrypt_aes256cbc(scrypt, &salt, &iv).unwrap();
        let weak = pbes2::Parameters::pbkdf2_sha256_aes128cbc(1, &salt, &iv).unwrap();
        for params in [scrypt, weak] {
            let block = hostile(params);
            let pem = format!("{block}{block}");
            assert_eq!(import_pem(&pem, "x").err(), Some(ImportError::Malformed));
        }
        let long = "x".repeat(PEM_BYTES_MAX + 1);
        assert_eq!(import_pem(&long, "x").err(), Some(ImportError::Malformed));
        assert_eq!(import_pem("", "x").err(), Some(ImportError::Malformed));
    }
}
