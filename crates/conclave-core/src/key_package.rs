//! Key packages: what a device publishes so that others can add it, and what the adder checks first.

use conclave_proto::env::Env;
use conclave_proto::id::{AccountId, DeviceId};
use conclave_proto::limits::{KEY_PACKAGE_BYTES_MAX, KEY_PACKAGE_VALID_MS};
use openmls::ciphersuite::hash_ref::KeyPackageRef;
use openmls::credentials::{BasicCredential, CredentialType, CredentialWithKey};
use openmls::extensions::{Extension, ExtensionType, Extensions, UnknownExtension};
use openmls::key_packages::{KeyPackage, KeyPackageIn, Lifetime};
use openmls::prelude::Capabilities;
use openmls::treesync::LeafNode;
use openmls::versions::ProtocolVersion;
use openmls_traits::OpenMlsProvider;
use openmls_traits::storage::StorageProvider;
use tls_codec::{Deserialize, Serialize, VLByteSlice};

use crate::credential::{Accounts, LeafClaim, LeafError};
use crate::hpke::HpkeError;
use crate::identity::OwnDevice;
use crate::leaf::{self, LeafNodeError};
use crate::mls_store::{MlsRows, RowsError};
use crate::provider::{Crypto, LeafSigner, MlsFailure, Provider, SUITE};

/// Extension type of the context every conversation carries (C-034).
pub const EXTENSION_CONTEXT: u16 = 0xF0C1;
/// Extension type of a key package's signed expiry: u64, ms since 1970-01-01 UTC (C-031).
pub const EXTENSION_EXPIRY: u16 = 0xF0C2;

/// Bytes of a KeyPackageRef.
pub const KEY_PACKAGE_REF_BYTES: usize = 48;

const CENTURY_S: u64 = 100 * 366 * 86_400;

/// A key package of this device, ready to publish. Its private keys lie in the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltKeyPackage {
    /// What the server stores, about 2.7 kB.
    pub bytes: Vec<u8>,
    /// KeyPackageRef, 48 bytes: names it when its private keys are deleted.
    pub hash_ref: Vec<u8>,
    /// When adders begin to refuse it, ms since 1970-01-01 UTC.
    pub expires_ms: u64,
}

/// Somebody's key package that passed every check. Use it at once: what was accepted may change.
#[derive(Debug, Clone)]
pub struct CheckedKeyPackage {
    pub(crate) inner: KeyPackage,
    claim: LeafClaim,
    expires_ms: u64,
    hash_ref: Vec<u8>,
}

impl CheckedKeyPackage {
    /// The account.
    pub fn account_id(&self) -> AccountId {
        self.claim.credential.account_id
    }

    /// The device that will be able to join.
    pub fn device_id(&self) -> DeviceId {
        self.claim.credential.device_id
    }

    /// Credential and key.
    pub fn claim(&self) -> &LeafClaim {
        &self.claim
    }

    /// When it may no longer be used, ms since 1970-01-01 UTC.
    pub fn expires_ms(&self) -> u64 {
        self.expires_ms
    }

    /// KeyPackageRef, 48 bytes.
    pub fn hash_ref(&self) -> &[u8] {
        &self.hash_ref
    }
}

/// Why a key package is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyPackageError {
    /// Not a key package of ours: wrong bytes, suite, capabilities or signature. The peer's client is broken or hostile.
    #[error("the key package is malformed: {0}")]
    Malformed(&'static str),
    /// Past its signed expiry (C-031). The device must come online and publish new ones.
    #[error("the key package has expired: its device has not been online for long")]
    Expired,
    /// The device's certificate is not valid on this date: that device must renew it, or a clock is wrong (C-019).
    #[error("the device's certificate is not valid today: it must be renewed, or a clock is wrong")]
    CertificateDate,
    /// Its leaf is not a device of its account as accepted here, or its keys cannot be used.
    #[error(transparent)]
    Leaf(#[from] LeafNodeError),
}

impl From<LeafError> for KeyPackageError {
    fn from(error: LeafError) -> Self {
        Self::Leaf(error.into())
    }
}

impl From<HpkeError> for KeyPackageError {
    fn from(error: HpkeError) -> Self {
        Self::Leaf(error.into())
    }
}

/// Makes a key package of this device and writes its private keys to `rows`.
///
/// A last-resort package may be joined with many times; a one-time package once. Lifetimes never end:
/// the signed date in extension 0xF0C2, 90 days from `env`'s now, is what adders look at.
pub fn build(
    rows: &dyn MlsRows,
    own: &OwnDevice,
    env: &dyn Env,
    last_resort: bool,
) -> Result<BuiltKeyPackage, MlsFailure> {
    let provider = Provider::new(rows, env);
    let expires_ms = env.now_ms().saturating_add(KEY_PACKAGE_VALID_MS);
    let expiry = Extension::Unknown(
        EXTENSION_EXPIRY,
        UnknownExtension(expires_ms.to_be_bytes().to_vec()),
    );
    let extensions = provider.must("make an extension", Extensions::single(expiry))?;
    let mut builder = KeyPackage::builder()
        .leaf_node_capabilities(capabilities())
        .key_package_lifetime(endless(env.now_ms()))
        .key_package_extensions(extensions);
    if last_resort {
        builder = builder.mark_as_last_resort();
    }
    let built = builder.build(
        SUITE,
        &provider,
        &LeafSigner(&own.secret),
        credential_with_key(own),
    );
    let bundle = provider.must("make a key package", built)?;
    let package = bundle.key_package();
    let bytes = provider.must("encode a key package", package.tls_serialize_detached())?;
    let hash_ref = provider.must("hash a key package", package.hash_ref(provider.crypto()))?;
    Ok(BuiltKeyPackage {
        bytes,
        hash_ref: hash_ref.as_slice().to_vec(),
        expires_ms,
    })
}

/// Checks a claimed key package before anybody is added with it. Changes nothing.
pub fn check(
    bytes: &[u8],
    accounts: &dyn Accounts,
    now_ms: u64,
) -> Result<CheckedKeyPackage, KeyPackageError> {
    if bytes.len() > KEY_PACKAGE_BYTES_MAX {
        return Err(KeyPackageError::Malformed("too long"));
    }
    let parsed = KeyPackageIn::tls_deserialize_exact(bytes)
        .map_err(|_| KeyPackageError::Malformed("not a key package"))?;
    let package = parsed
        .validate(&Crypto, ProtocolVersion::Mls10)
        .map_err(|_| KeyPackageError::Malformed("signature, extension or lifetime"))?;
    // C-003: one spelling only
    if package.tls_serialize_detached().ok().as_deref() != Some(bytes) {
        return Err(KeyPackageError::Malformed("not the one encoding"));
    }
    if package.ciphersuite() != SUITE {
        return Err(KeyPackageError::Malformed("another suite"));
    }
    check_shape(&package, now_ms)?;
    let expires_ms = expiry(&package)?;
    // C-031: only the adder looks at a clock, and only here
    if expires_ms < now_ms {
        return Err(KeyPackageError::Expired);
    }
    // C-017: the leaf is a device of its account; C-030: leaf and init key pass a trial seal
    let claim =
        leaf::check_node(package.leaf_node(), accounts, None).map_err(|refused| refused.error)?;
    leaf::trial_seal(package.hpke_init_key().as_slice())?;
    check_certificate_dates(&claim, accounts, now_ms)?;
    let hash_ref = package
        .hash_ref(&Crypto)
        .map_err(|_| KeyPackageError::Malformed("not hashable"))?;
    Ok(CheckedKeyPackage {
        hash_ref: hash_ref.as_slice().to_vec(),
        inner: package,
        claim,
        expires_ms,
    })
}

/// C-019: a device is added only while its certificate is valid; members are never frozen by a date.
fn check_certificate_dates(
    claim: &LeafClaim,
    accounts: &dyn Accounts,
    now_ms: u64,
) -> Result<(), KeyPackageError> {
    let known = accounts.known(claim.credential.account_id);
    let cert = known
        .as_ref()
        .and_then(|known| known.cert(claim.credential.device_id));
    let Some(cert) = cert.map(|cert| &cert.content) else {
        return Err(KeyPackageError::CertificateDate);
    };
    // C-185: nobody is added under a key that was replaced
    if cert.leaf_key != claim.signature_key {
        return Err(LeafError::OtherKey.into());
    }
    if (cert.not_before_ms..=cert.not_after_ms).contains(&now_ms) {
        Ok(())
    } else {
        Err(KeyPackageError::CertificateDate)
    }
}

/// Deletes the private keys of one of our key packages: nobody can add us with it any more.
///
/// Call it only after the server has stored its replacement (C-032). An unknown reference is no error.
pub fn delete(rows: &dyn MlsRows, env: &dyn Env, hash_ref: &[u8]) -> Result<(), RowsError> {
    let encoded = VLByteSlice(hash_ref)
        .tls_serialize_detached()
        .map_err(RowsError::new)?;
    let reference =
        KeyPackageRef::tls_deserialize_exact(encoded.as_slice()).map_err(RowsError::new)?;
    let provider = Provider::new(rows, env);
    let deleted = provider.storage().delete_key_package(&reference);
    provider.settle(deleted)?.map_err(RowsError::new)
}

/// Exactly what every leaf of ours can do. Never `Capabilities::default()`: it names suites we refuse.
pub(crate) fn capabilities() -> Capabilities {
    Capabilities::new(
        Some(&[ProtocolVersion::Mls10]),
        Some(&[SUITE]),
        Some(&[
            ExtensionType::Unknown(EXTENSION_CONTEXT),
            ExtensionType::Unknown(EXTENSION_EXPIRY),
            ExtensionType::LastResort,
        ]),
        None,
        Some(&[CredentialType::Basic]),
    )
}

/// The lifetime of every leaf: the clock never decides whether a commit is valid.
pub(crate) fn endless(now_ms: u64) -> Lifetime {
    Lifetime::init(0, (now_ms / 1000).saturating_add(CENTURY_S))
}

/// This device's credential as MLS wants it.
pub(crate) fn credential_with_key(own: &OwnDevice) -> CredentialWithKey {
    CredentialWithKey {
        credential: BasicCredential::new(own.credential().to_bytes()).into(),
        signature_key: own.secret.leaf_key().to_vec().into(),
    }
}

/// Capabilities exactly ours, and a lifetime that cannot end while somebody still has to process the add.
fn check_shape(package: &KeyPackage, now_ms: u64) -> Result<(), KeyPackageError> {
    check_capabilities(package.leaf_node())
        .map_err(|()| KeyPackageError::Malformed("other capabilities"))?;
    let lifetime = package.life_time();
    if lifetime.not_before() != 0 || lifetime.not_after() < now_ms / 1000 + CENTURY_S / 2 {
        return Err(KeyPackageError::Malformed("lifetime ends"));
    }
    Ok(())
}

/// Whether a leaf can do exactly what every leaf of ours can.
pub(crate) fn check_capabilities(leaf: &LeafNode) -> Result<(), ()> {
    let ours = leaf.capabilities() == &capabilities() && leaf.extensions().iter().next().is_none();
    if ours { Ok(()) } else { Err(()) }
}

fn expiry(package: &KeyPackage) -> Result<u64, KeyPackageError> {
    package
        .extensions()
        .unknown(EXTENSION_EXPIRY)
        .and_then(|extension| extension.0.as_slice().try_into().ok())
        .map(u64::from_be_bytes)
        .ok_or(KeyPackageError::Malformed("no expiry"))
}
