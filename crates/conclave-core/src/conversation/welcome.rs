//! Welcomes on their way out: cut to one device each, sealed as blobs beside the tree that all share.

use conclave_proto::id::{AccountId, DeviceId};
use conclave_proto::label;
use conclave_proto::log::BlobRef;
use openmls::messages::{EncryptedGroupSecrets, Welcome};
use openmls::treesync::RatchetTree;
use openmls_traits::types::Ciphersuite;
use tls_codec::{Deserialize, Serialize, TlsDeserialize, TlsSerialize, TlsSize, VLBytes};

use super::Outside;
use crate::key_package::CheckedKeyPackage;
use crate::provider::{MlsFailure, Provider};
use crate::sealed_blob::{self, BlobPointer};

/// A blob to store beside the log; only the pointer in an inbox item carries its key.
#[derive(Debug)]
pub struct SealedBlob {
    /// Where it lies and what opens it.
    pub pointer: BlobPointer,
    /// Sealed bytes.
    pub bytes: Vec<u8>,
}

impl SealedBlob {
    /// As a bundle's head names it.
    pub(super) fn name(&self) -> BlobRef {
        BlobRef {
            blob_id: self.pointer.blob_id,
            hash: label::sha256(&self.bytes),
        }
    }
}

/// A welcome for one device.
#[derive(Debug)]
pub struct SealedWelcome {
    /// Whose device.
    pub account_id: AccountId,
    /// The device whose inbox gets the pointer.
    pub device_id: DeviceId,
    /// The welcome, cut to this device's own entry.
    pub blob: SealedBlob,
}

/// Why welcomes cannot be sealed.
pub(super) enum SealingError {
    /// One is over the limit of a blob.
    TooLarge,
    /// We are broken.
    Failed(MlsFailure),
}

impl From<MlsFailure> for SealingError {
    fn from(error: MlsFailure) -> Self {
        Self::Failed(error)
    }
}

/// A [`Welcome`], with its fields at hand.
#[derive(TlsSize, TlsSerialize, TlsDeserialize)]
struct OpenWelcome {
    suite: Ciphersuite,
    secrets: Vec<EncryptedGroupSecrets>,
    group_info: VLBytes,
}

/// One welcome for each of `added`, with that device's entry alone: smaller, and it shows nobody the others.
pub(super) fn seal_each<'a>(
    outside: Outside<'_>,
    welcome: &Welcome,
    added: impl Iterator<Item = &'a CheckedKeyPackage>,
) -> Result<Vec<SealedWelcome>, SealingError> {
    let provider = outside.provider();
    let bytes = provider.must("encode a welcome", welcome.tls_serialize_detached())?;
    let open = provider.must(
        "read a welcome",
        OpenWelcome::tls_deserialize_exact(bytes.as_slice()),
    )?;
    added
        .map(|peer| {
            Ok(SealedWelcome {
                account_id: peer.account_id(),
                device_id: peer.device_id(),
                blob: seal_blob(outside, &cut(&provider, &open, peer)?)?,
            })
        })
        .collect()
}

/// The tree after the commit that the welcomes are for.
pub(super) fn seal_tree(
    outside: Outside<'_>,
    tree: &RatchetTree,
) -> Result<SealedBlob, SealingError> {
    let provider = outside.provider();
    let bytes = provider.must("encode the tree", tree.tls_serialize_detached())?;
    seal_blob(outside, &bytes)
}

fn cut(
    provider: &Provider<'_>,
    welcome: &OpenWelcome,
    peer: &CheckedKeyPackage,
) -> Result<Vec<u8>, MlsFailure> {
    let entry = welcome
        .secrets
        .iter()
        .find(|entry| entry.new_member().as_slice() == peer.hash_ref())
        .ok_or("a device has no entry");
    let single = OpenWelcome {
        suite: welcome.suite,
        secrets: vec![provider.must("cut a welcome", entry)?.clone()],
        group_info: welcome.group_info.clone(),
    };
    provider.must("encode a welcome", single.tls_serialize_detached())
}

fn seal_blob(outside: Outside<'_>, plain: &[u8]) -> Result<SealedBlob, SealingError> {
    let (pointer, bytes) =
        sealed_blob::seal(plain, outside.env).map_err(|_| SealingError::TooLarge)?;
    Ok(SealedBlob { pointer, bytes })
}
