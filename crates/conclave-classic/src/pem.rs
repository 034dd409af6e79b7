//! Key files: a client's own key under a passphrase, the server's in the clear inside its data folder.

use pkcs8::der::Decode as _;
use pkcs8::der::pem::LineEnding;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::{EncryptionScheme as Cipher, Kdf, Parameters, Pbkdf2Prf};
use pkcs8::{EncryptedPrivateKeyInfo, PrivateKeyInfo, SecretDocument};

use crate::keys::{KeyError, PrivateKey};
use crate::suite::Suite;

/// PBKDF2-HMAC-SHA256 rounds that are written.
const ROUNDS: u32 = 600_000;
/// PBKDF2 rounds that are accepted: about two seconds.
const ROUNDS_MAX: u32 = 10_000_000;
/// Bytes of a key file that are looked at: RSA-4096 takes 3.5 kB.
const PEM_BYTES_MAX: usize = 16 * 1024;
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
const PLAIN: &str = "PRIVATE KEY";

/// A key file that cannot be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// Not a key file as this program writes it.
    #[error("not a key file: expected PEM with PKCS#8, PBES2, PBKDF2-HMAC-SHA256, AES-256-CBC")]
    Malformed,
    /// The file asks for more rounds than allowed: damaged or hostile.
    #[error("the key file asks for too many rounds: it is damaged or not ours")]
    TooCostly,
    /// Ask for the passphrase again.
    #[error("wrong passphrase, or the key file was changed")]
    WrongPassphrase,
    /// Ask for another one.
    #[error("the passphrase is empty: choose one")]
    EmptyPassphrase,
    /// The key inside.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The key as PEM: PKCS#8 under PBES2, PBKDF2-HMAC-SHA256 (600,000 rounds) and AES-256-CBC (RFC 8018).
/// Takes about 0.2 s.
pub fn encrypt(key: &PrivateKey, passphrase: &str) -> Result<String, PemError> {
    if passphrase.is_empty() {
        return Err(PemError::EmptyPassphrase);
    }
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| PemError::Malformed)?;
    aws_lc_rs::rand::fill(&mut iv).map_err(|_| PemError::Malformed)?;
    let parameters = Parameters::pbkdf2_sha256_aes256cbc(ROUNDS, &salt, &iv);
    let parameters = parameters.map_err(|_| PemError::Malformed)?;
    PrivateKeyInfo::try_from(key.pkcs8())
        .and_then(|info| info.encrypt_with_params(parameters, passphrase))
        .ok()
        .and_then(|document| document.to_pem(ENCRYPTED, LineEnding::LF).ok())
        .map(|pem| pem.to_string())
        .ok_or(PemError::Malformed)
}

/// Opens what [`encrypt`] wrote.
pub fn decrypt(suite: Suite, pem: &str, passphrase: &str) -> Result<PrivateKey, PemError> {
    let document = document(pem, ENCRYPTED)?;
    let info = EncryptedPrivateKeyInfo::from_der(document.as_bytes());
    let info = info.map_err(|_| PemError::Malformed)?;
    check_cost(&info.encryption_algorithm)?;
    let plain = info.decrypt(passphrase);
    let plain = plain.map_err(|_| PemError::WrongPassphrase)?;
    Ok(PrivateKey::from_pkcs8(suite, plain.as_bytes())?)
}

/// The key as PEM in the clear: for the server's data folder, mode 0600.
pub fn write_plain(key: &PrivateKey) -> Result<String, PemError> {
    SecretDocument::try_from(key.pkcs8())
        .ok()
        .and_then(|document| document.to_pem(PLAIN, LineEnding::LF).ok())
        .map(|pem| pem.to_string())
        .ok_or(PemError::Malformed)
}

/// Reads what [`write_plain`] wrote.
pub fn read_plain(suite: Suite, pem: &str) -> Result<PrivateKey, PemError> {
    let document = document(pem, PLAIN)?;
    Ok(PrivateKey::from_pkcs8(suite, document.as_bytes())?)
}

fn document(pem: &str, wanted: &str) -> Result<SecretDocument, PemError> {
    if pem.len() > PEM_BYTES_MAX {
        return Err(PemError::Malformed);
    }
    match SecretDocument::from_pem(pem) {
        Ok((label, document)) if label == wanted => Ok(document),
        _ => Err(PemError::Malformed),
    }
}

/// Only what we write is accepted, with a bound on the work.
fn check_cost(scheme: &EncryptionScheme<'_>) -> Result<(), PemError> {
    let EncryptionScheme::Pbes2(parameters) = scheme else {
        return Err(PemError::Malformed);
    };
    match &parameters.kdf {
        Kdf::Pbkdf2(kdf)
            if kdf.prf == Pbkdf2Prf::HmacWithSha256
                && matches!(parameters.encryption, Cipher::Aes256Cbc { .. }) =>
        {
            if kdf.iteration_count > ROUNDS_MAX {
                return Err(PemError::TooCostly);
            }
            Ok(())
        }
        _ => Err(PemError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key file gives its key back under its passphrase only, in both suites.
    #[test]
    fn a_key_file_survives_and_needs_its_passphrase() {
        for suite in Suite::ALL {
            let key = PrivateKey::generate(suite).unwrap();
            let pem = encrypt(&key, "pass phrase").unwrap();
            assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
            let again = decrypt(suite, &pem, "pass phrase").unwrap();
            assert_eq!(again.public(), key.public());
            assert_eq!(
                decrypt(suite, &pem, "pass phrasf").err(),
                Some(PemError::WrongPassphrase)
            );
            let plain = write_plain(&key).unwrap();
            assert_eq!(read_plain(suite, &plain).unwrap().public(), key.public());
            assert!(decrypt(suite, &plain, "pass phrase").is_err());
            assert!(read_plain(suite, &pem).is_err());
        }
        let key = PrivateKey::generate(Suite::Ec).unwrap();
        assert_eq!(encrypt(&key, "").err(), Some(PemError::EmptyPassphrase));
    }

    /// A key of one suite is none of the other.
    #[test]
    fn suites_do_not_mix() {
        let ec = PrivateKey::generate(Suite::Ec).unwrap();
        let plain = write_plain(&ec).unwrap();
        assert_eq!(
            read_plain(Suite::Rsa, &plain).err(),
            Some(PemError::Key(KeyError::Private))
        );
    }
}
