//! One leaf as MLS shows it, put before the one check: credential, certified key, usable HPKE key.

use openmls::credentials::BasicCredential;
use openmls::credentials::Credential as MlsCredential;
use openmls::treesync::LeafNode;
use tls_codec::{Deserialize, Serialize, VLBytes};

use crate::credential::{Accounts, LeafClaim, LeafError, check_leaf};
use crate::hpke::{self, HpkeError};

/// Why a leaf or key package's leaf is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeafNodeError {
    /// It is not a device of its account by the state accepted here; the variant inside says who must act.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// Its HPKE key cannot be sealed to: every later commit would fail on it (C-030).
    #[error("a member's encryption key cannot be used: {0}")]
    Key(#[from] HpkeError),
}

/// What a leaf's credential and key claim; not checked against anything yet.
pub(crate) fn claim(
    credential: &MlsCredential,
    signature_key: &[u8],
) -> Result<LeafClaim, LeafError> {
    let basic = BasicCredential::try_from(credential.clone()).map_err(|_| LeafError::Malformed)?;
    LeafClaim::parse(basic.identity(), signature_key)
}

/// Checks one leaf in full; `previous` is what stood at its place before.
pub(crate) fn check(
    credential: &MlsCredential,
    signature_key: &[u8],
    encryption_key: &[u8],
    accounts: &dyn Accounts,
    previous: Option<&LeafClaim>,
) -> Result<LeafClaim, LeafNodeError> {
    let claim = claim(credential, signature_key)?;
    // C-017, C-018: the one check of credential and key
    check_leaf(&claim, accounts, previous)?;
    trial_seal(encryption_key)?;
    Ok(claim)
}

/// [`check`] for a leaf node.
pub(crate) fn check_node(
    node: &LeafNode,
    accounts: &dyn Accounts,
    previous: Option<&LeafClaim>,
) -> Result<LeafClaim, LeafNodeError> {
    check(
        node.credential(),
        node.signature_key().as_slice(),
        &encryption_key(node)?,
        accounts,
        previous,
    )
}

/// The bytes of a leaf's HPKE key, which OpenMLS shows encoded only.
fn encryption_key(node: &LeafNode) -> Result<Vec<u8>, LeafError> {
    let encoded = node
        .encryption_key()
        .tls_serialize_detached()
        .map_err(|_| LeafError::Malformed)?;
    let key =
        VLBytes::tls_deserialize_exact(encoded.as_slice()).map_err(|_| LeafError::Malformed)?;
    Ok(key.into())
}

/// Seals nothing to a key, to see that it can be sealed to.
pub(crate) fn trial_seal(public_key: &[u8]) -> Result<(), HpkeError> {
    // C-030: length and content both show here, before MLS builds on the key
    hpke::seal(public_key, b"", b"", b"").map(|_| ())
}
