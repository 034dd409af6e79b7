//! One leaf as MLS shows it, put before the one check: credential, certified key, usable HPKE key.

use conclave_proto::id::AccountId;
use openmls::credentials::BasicCredential;
use openmls::credentials::Credential as MlsCredential;
use openmls::treesync::LeafNode;
use tls_codec::{Deserialize, Serialize, VLBytes};

use crate::credential::{Accounts, LeafClaim, LeafError, Wanted, check_former, check_leaf};
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

/// A refused leaf, and whose states could change that.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: LeafNodeError,
    /// None when no state could.
    pub(crate) missing: Vec<Wanted>,
}

impl Refusal {
    /// For good.
    pub(crate) fn of(error: LeafNodeError) -> Self {
        Self {
            error,
            missing: vec![],
        }
    }

    /// Until a newer state of `account_id` is accepted, when that could help.
    fn about(error: LeafNodeError, account_id: AccountId) -> Self {
        let missing = match error {
            LeafNodeError::Leaf(error) if error.wants_states() => vec![Wanted::Newest(account_id)],
            _ => vec![],
        };
        Self { error, missing }
    }
}

impl Refusal {
    /// Nothing, when it says no more than that the device was removed or has a newer key, and `may_stay`.
    pub(crate) fn unless_known_before(self, may_stay: bool) -> Result<(), Self> {
        match self.error {
            LeafNodeError::Leaf(LeafError::NotListed | LeafError::OtherKey) if may_stay => Ok(()),
            _ => Err(self),
        }
    }

    /// C-180: nothing, when the device was removed since the state that the leaf names, or it is not known yet
    /// whether it was.
    pub(crate) fn unless_former(
        self,
        credential: &MlsCredential,
        signature_key: &[u8],
        accounts: &dyn Accounts,
    ) -> Result<(), Self> {
        let LeafNodeError::Leaf(LeafError::NotListed) = self.error else {
            return Err(self);
        };
        let claim = claim(credential, signature_key).map_err(|error| Self::of(error.into()))?;
        check_former(&claim, accounts).map_err(|missing| Self {
            error: self.error,
            missing: missing.into_iter().collect(),
        })
    }
}

impl From<HpkeError> for Refusal {
    fn from(error: HpkeError) -> Self {
        Self::of(error.into())
    }
}

/// The checks of many leaves: a final refusal counts before all others, else every account that is missing is
/// named at once.
#[derive(Default)]
pub(crate) struct Checks {
    last: Option<Refusal>,
    curable: Option<Refusal>,
}

impl Checks {
    /// Takes in the check of one leaf.
    pub(crate) fn take(&mut self, checked: Result<(), Refusal>) {
        let Err(refusal) = checked else { return };
        if refusal.missing.is_empty() {
            self.last.get_or_insert(refusal);
        } else if let Some(first) = &mut self.curable {
            for wanted in refusal.missing {
                if !first.missing.contains(&wanted) {
                    first.missing.push(wanted);
                }
            }
        } else {
            self.curable = Some(refusal);
        }
    }

    /// The first final refusal.
    pub(crate) fn refused(&mut self) -> Result<(), Refusal> {
        self.last.take().map_or(Ok(()), Err)
    }

    /// What all of them came to.
    pub(crate) fn finish(mut self) -> Result<(), Refusal> {
        self.refused()?;
        self.curable.map_or(Ok(()), Err)
    }
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
) -> Result<LeafClaim, Refusal> {
    let claim = claim(credential, signature_key).map_err(|error| Refusal::of(error.into()))?;
    trial_seal(encryption_key)?;
    // C-017, C-018: the one check of credential and key
    check_leaf(&claim, accounts, previous)
        .map_err(|error| Refusal::about(error.into(), claim.credential.account_id))?;
    Ok(claim)
}

/// [`check`] for a leaf node.
pub(crate) fn check_node(
    node: &LeafNode,
    accounts: &dyn Accounts,
    previous: Option<&LeafClaim>,
) -> Result<LeafClaim, Refusal> {
    check(
        node.credential(),
        node.signature_key().as_slice(),
        &encryption_key(node).map_err(|error| Refusal::of(error.into()))?,
        accounts,
        previous,
    )
}

/// Whether a leaf signs with the same key as what stood at its place.
pub(crate) fn has_key(node: &LeafNode, previous: &LeafClaim) -> bool {
    node.signature_key().as_slice() == previous.signature_key
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
