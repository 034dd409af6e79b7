//! The server's keys: root certificate, leaf under it, and the pepper.
//!
//! `root.pem` is what addresses pin; `root-key.pem` signs leaves and may be moved offline: without it
//! the server runs as long as its leaf is valid. `leaf-key.pem` and `chain.pem` serve TLS and sign log
//! heads; the leaf is renewed at start when less than 30 days are left. `pepper` keys everything
//! that the database must not be able to reveal by itself.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use conclave_proto::env::Env;
use conclave_proto::id::{Day, LogId, ServerId};
use conclave_proto::label;
use conclave_proto::log::{Head, head_signing_input};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, PublicKeyData as _,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::folder::write_private;

/// DNS name in every leaf; under `.invalid`, so no real host can ever have it.
pub const LEAF_NAME: &str = "server.conclave.invalid";

const ROOT: &str = "root.pem";
const ROOT_KEY: &str = "root-key.pem";
const LEAF_KEY: &str = "leaf-key.pem";
const CHAIN: &str = "chain.pem";
const PEPPER: &str = "pepper";
/// Label of [`ServerKeys::mark`].
const MARK_LABEL: &str = "conclave/v1 community";

const DAY: Duration = Duration::from_hours(24);
/// Life of a leaf; its start lies a day back for clocks that are late.
const LEAF_DAYS: u32 = 90;
/// A leaf with less left is renewed at start.
const RENEW_DAYS: u32 = 30;

/// The keys do not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// A file cannot be read or written.
    #[error("cannot use {path}: {source}; check that the data folder belongs to this user")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} is damaged; restore it from a backup of the data folder")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The root is gone while the rest is there: a new one would change the server's address.
    #[error(
        "{path} is missing; restore it from a backup: without it every client would refuse this server"
    )]
    RootMissing {
        /// The file.
        path: PathBuf,
    },
    /// The root's key does not belong to the root.
    #[error(
        "{path} does not belong to the root certificate beside it; restore both from one backup of \
         the data folder"
    )]
    ForeignRootKey {
        /// The file.
        path: PathBuf,
    },
    /// No valid leaf, and the root's key is not here to make one.
    #[error("the server certificate has expired; put {path} back for one start to renew it")]
    LeafExpired {
        /// Where the root key belongs.
        path: PathBuf,
    },
}

/// A server's keys, loaded. Held by the server process for its life.
pub struct ServerKeys {
    /// SHA-256 of the root's SPKI: what addresses pin.
    pub server_id: ServerId,
    /// Secrets that key the database's hashes.
    pub pepper: Pepper,
    chain: Vec<CertificateDer<'static>>,
    leaf_key: PrivateKeyDer<'static>,
    head_key: Ed25519KeyPair,
}

impl std::fmt::Debug for ServerKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerKeys")
    }
}

impl ServerKeys {
    /// Whether a folder holds keys already.
    pub fn are_in(folder: &Path) -> bool {
        Files(folder.to_path_buf()).path(ROOT).exists()
    }

    /// Equal for all servers with this root and pepper, and for no others; says nothing to whoever has no pepper.
    pub fn mark(&self) -> [u8; 32] {
        self.pepper.mac(MARK_LABEL, self.server_id.as_bytes())
    }

    /// Loads the keys of a folder; makes what a new server lacks and renews a leaf that runs out.
    pub fn open(folder: &Path, env: &dyn Env) -> Result<Self, KeysError> {
        let files = Files(folder.to_path_buf());
        if !files.path(ROOT).exists() {
            if files.path(CHAIN).exists() || files.path(PEPPER).exists() {
                return Err(KeysError::RootMissing {
                    path: files.path(ROOT),
                });
            }
            files.make_root()?;
        }
        if !files.path(PEPPER).exists() {
            let mut pepper = Zeroizing::new([0; 32]);
            env.fill(pepper.as_mut());
            files.write(PEPPER, pepper.as_ref())?;
        }
        if !files.leaf_holds(env.now_ms(), RENEW_DAYS) {
            if files.path(ROOT_KEY).exists() {
                files.make_leaf(env.now_ms())?;
            } else if !files.leaf_holds(env.now_ms(), 0) {
                return Err(KeysError::LeafExpired {
                    path: files.path(ROOT_KEY),
                });
            }
        }
        files.load()
    }

    /// The chain sent in TLS: exactly leaf and root.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    /// The leaf's private key, for TLS.
    pub fn leaf_key(&self) -> PrivateKeyDer<'static> {
        self.leaf_key.clone_key()
    }

    /// The leaf's public key (Ed25519, raw): what heads verify under.
    pub fn head_key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip(self.head_key.public_key().as_ref()) {
            *to = *from;
        }
        key
    }

    /// The leaf's signature over a log head (C-027).
    pub fn sign_head(&self, log_id: LogId, head: &Head) -> Vec<u8> {
        let input = head_signing_input(self.server_id, log_id, head);
        self.head_key.sign(&input).as_ref().to_vec()
    }
}

/// What `check` says about the keys of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeysReport {
    /// Whether the root's key lies in the folder.
    pub root_key_here: bool,
    /// Whether the leaf is valid today.
    pub leaf_valid: bool,
    /// Whether it still is in 30 days.
    pub leaf_lasts: bool,
}

/// Looks at the keys of a folder without changing anything.
pub fn report(folder: &Path, env: &dyn Env) -> KeysReport {
    let files = Files(folder.to_path_buf());
    KeysReport {
        root_key_here: files.path(ROOT_KEY).exists(),
        leaf_valid: files.leaf_holds(env.now_ms(), 0),
        leaf_lasts: files.leaf_holds(env.now_ms(), RENEW_DAYS),
    }
}

/// The root certificate of a folder, for a client that pins it.
pub fn root_certificate(folder: &Path) -> Result<CertificateDer<'static>, KeysError> {
    Files(folder.to_path_buf()).root()
}

/// The server id of a folder that has its keys.
pub fn server_id(folder: &Path) -> Result<ServerId, KeysError> {
    let files = Files(folder.to_path_buf());
    files.server_id(&files.root()?)
}

/// Secret of 32 bytes outside the database, as an HMAC-SHA256 key; never leaves the process.
pub struct Pepper(hmac::Key);

impl std::fmt::Debug for Pepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pepper")
    }
}

impl Pepper {
    /// The pepper with these bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// HMAC over `label<V> ‖ content<V>`.
    pub fn mac(&self, label: &str, content: &[u8]) -> [u8; 32] {
        let tag = hmac::sign(&self.0, &label::signing_input(label, content));
        let mut mac = [0; 32];
        for (to, from) in mac.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        mac
    }

    /// The member pass of a day: one value for everybody (C-041).
    pub fn member_pass(&self, day: Day) -> [u8; 32] {
        self.mac(label::MEMBER_PASS, &day.0.to_be_bytes())
    }
}

struct Files(PathBuf);

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), KeysError> {
        let path = self.path(name);
        write_private(&path, bytes).map_err(|source| KeysError::File { path, source })
    }

    fn read(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, KeysError> {
        let path = self.path(name);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Zeroizing::new(bytes)),
            Err(source) => Err(KeysError::File { path, source }),
        }
    }

    fn damaged(&self, name: &str) -> KeysError {
        KeysError::Damaged {
            path: self.path(name),
        }
    }

    /// The key first, so that a crash between leaves no root that nobody can use.
    fn make_root(&self) -> Result<(), KeysError> {
        let (key, certificate) = new_root().map_err(|_| self.damaged(ROOT))?;
        self.write(ROOT_KEY, key.as_bytes())?;
        self.write(ROOT, certificate.as_bytes())
    }

    fn make_leaf(&self, now_ms: u64) -> Result<(), KeysError> {
        let root_key = self.read(ROOT_KEY)?;
        let root_key = std::str::from_utf8(&root_key)
            .ok()
            .and_then(|pem| KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ED25519).ok())
            .ok_or_else(|| self.damaged(ROOT_KEY))?;
        let root = self.root()?;
        let parsed = ParsedCertificate::try_from(&root).map_err(|_| self.damaged(ROOT))?;
        // a key of another root would make a chain that no client accepts
        if root_key.subject_public_key_info() != parsed.subject_public_key_info().as_ref() {
            return Err(KeysError::ForeignRootKey {
                path: self.path(ROOT_KEY),
            });
        }
        let (key, leaf) = new_leaf(root_key, now_ms).map_err(|_| self.damaged(ROOT_KEY))?;
        let root = self.read(ROOT)?;
        self.write(LEAF_KEY, key.as_bytes())?;
        self.write(CHAIN, &[leaf.as_bytes(), &root].concat())
    }

    fn root(&self) -> Result<CertificateDer<'static>, KeysError> {
        CertificateDer::from_pem_slice(&self.read(ROOT)?).map_err(|_| self.damaged(ROOT))
    }

    fn server_id(&self, root: &CertificateDer<'static>) -> Result<ServerId, KeysError> {
        let parsed = ParsedCertificate::try_from(root).map_err(|_| self.damaged(ROOT))?;
        let hash = label::sha256(parsed.subject_public_key_info().as_ref());
        Ok(ServerId::new(*hash.as_bytes()))
    }

    /// Whether chain and key fit and a client would accept them in `days` from now.
    fn leaf_holds(&self, now_ms: u64, days: u32) -> bool {
        let Ok(loaded) = self.load() else {
            return false;
        };
        let [leaf, root] = loaded.chain.as_slice() else {
            return false;
        };
        let then = Duration::from_millis(now_ms) + DAY * days;
        would_accept(root, leaf, then)
    }

    fn load(&self) -> Result<ServerKeys, KeysError> {
        let root = self.root()?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.read(CHAIN)?)
            .collect::<Result<_, _>>()
            .map_err(|_| self.damaged(CHAIN))?;
        if chain.len() != 2 || chain.get(1) != Some(&root) {
            return Err(self.damaged(CHAIN));
        }
        let leaf_key = PrivateKeyDer::from_pem_slice(&self.read(LEAF_KEY)?)
            .map_err(|_| self.damaged(LEAF_KEY))?;
        CertifiedKey::from_der(chain.clone(), leaf_key.clone_key(), &default_provider())
            .map_err(|_| self.damaged(LEAF_KEY))?;
        let head_key = Ed25519KeyPair::from_pkcs8(leaf_key.secret_der())
            .map_err(|_| self.damaged(LEAF_KEY))?;
        let pepper = self.read(PEPPER)?;
        let pepper = <&[u8; 32]>::try_from(pepper.as_slice()).map_err(|_| self.damaged(PEPPER))?;
        Ok(ServerKeys {
            server_id: self.server_id(&root)?,
            pepper: Pepper::new(pepper),
            chain,
            leaf_key,
            head_key,
        })
    }
}

fn would_accept(root: &CertificateDer<'static>, leaf: &CertificateDer<'_>, at: Duration) -> bool {
    let mut roots = RootCertStore::empty();
    if roots.add(root.clone()).is_err() {
        return false;
    }
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), default_provider().into());
    let (Ok(verifier), Ok(name)) = (verifier.build(), ServerName::try_from(LEAF_NAME)) else {
        return false;
    };
    let at = UnixTime::since_unix_epoch(at);
    verifier
        .verify_server_cert(leaf, &[], &name, &[], at)
        .is_ok()
}

/// The root is the same but for its key, so a leaf can be signed without reading its certificate.
fn root_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "Conclave server root");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn new_root() -> Result<(Zeroizing<String>, String), rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    let certificate = root_params().self_signed(&key)?;
    Ok((Zeroizing::new(key.serialize_pem()), certificate.pem()))
}

fn new_leaf(root_key: KeyPair, now_ms: u64) -> Result<(Zeroizing<String>, String), rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    let mut params = CertificateParams::new(vec![LEAF_NAME.to_owned()])?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Conclave server");
    let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(now_ms);
    params.not_before = now - DAY;
    params.not_after = now + DAY * LEAF_DAYS;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let leaf = params.signed_by(&key, &Issuer::new(root_params(), root_key))?;
    Ok((Zeroizing::new(key.serialize_pem()), leaf.pem()))
}

#[cfg(test)]
mod tests;
