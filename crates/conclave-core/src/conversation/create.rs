//! A new conversation: its group, one welcome for each invited device, and the tree they share.
//!
//! Epoch 0 and the creating commit never leave this function: the log begins at epoch 1.

use conclave_proto::id::{AccountId, DeviceId, LogId};
use openmls::group::MlsGroup;
use openmls::messages::proposals::PreSharedKeyProposal;
use openmls::messages::{EncryptedGroupSecrets, Welcome};
use openmls::prelude::Proposal;
use openmls_traits::OpenMlsProvider;
use openmls_traits::types::Ciphersuite;
use tls_codec::{Deserialize, Serialize, TlsDeserialize, TlsSerialize, TlsSize, VLBytes};

use super::context::ConversationContext;
use super::{
    Conversation, LEAVES_MAX, Outside, PADDING, PEOPLE, Predecessor, WIRE_FORMAT, group_id,
    ratchets, successor,
};
use crate::access::AccessKey;
use crate::key_package::{CheckedKeyPackage, capabilities, credential_with_key, endless};
use crate::mls_store::RowsError;
use crate::provider::{LeafSigner, MlsFailure, Provider, SUITE};
use crate::sealed_blob::{self, BlobPointer};

/// What to create.
#[derive(Debug, Default)]
pub struct CreateOptions {
    /// The conversation that the new one continues.
    pub successor_of: Option<Predecessor>,
}

/// A blob to store beside the log; only the pointer in an inbox item carries its key.
#[derive(Debug)]
pub struct SealedBlob {
    /// Where it lies and what opens it.
    pub pointer: BlobPointer,
    /// Sealed bytes.
    pub bytes: Vec<u8>,
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

/// A conversation that exists here and nowhere else yet.
#[derive(Debug)]
pub struct Created {
    /// In epoch 1.
    pub conversation: Conversation,
    /// The log to create.
    pub log_id: LogId,
    /// A_1.
    pub access: AccessKey,
    /// One for each invited device.
    pub welcomes: Vec<SealedWelcome>,
    /// The tree that all of them need.
    pub tree: SealedBlob,
}

/// Why a conversation cannot be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The devices given are not those of one other person (and our own).
    #[error("a conversation needs devices of exactly one other person")]
    NotTwoPeople,
    /// The same device twice, our own device, or too many.
    #[error("the devices to invite repeat or are too many")]
    Devices,
    /// A welcome or the tree is over 2 MiB: too many devices.
    #[error("the welcome or its tree is over the limit")]
    TooLarge,
    /// The store failed, or we are broken. Roll back.
    #[error(transparent)]
    Failed(#[from] MlsFailure),
}

impl From<RowsError> for CreateError {
    fn from(error: RowsError) -> Self {
        Self::Failed(error.into())
    }
}

/// A [`Welcome`], with its fields at hand.
#[derive(TlsSize, TlsSerialize, TlsDeserialize)]
struct OpenWelcome {
    suite: Ciphersuite,
    secrets: Vec<EncryptedGroupSecrets>,
    group_info: VLBytes,
}

/// Creates a conversation with `peers`, whose key packages passed [`crate::key_package::check`] just now.
pub fn create(
    outside: Outside<'_>,
    peers: &[CheckedKeyPackage],
    options: &CreateOptions,
) -> Result<Created, CreateError> {
    check_devices(outside, peers)?;
    let provider = outside.provider();
    let log_id = LogId::random(outside.env);
    let mut group = new_group(&provider, outside, log_id, options)?;
    let welcome = add_all(&provider, outside, &mut group, peers, options)?;
    let merged = group.merge_pending_commit(&provider);
    provider.must("merge the creating commit", merged)?;
    let tree = provider.must(
        "encode the tree",
        group.export_ratchet_tree().tls_serialize_detached(),
    )?;
    let conversation = Conversation::of(group)?;
    Ok(Created {
        access: conversation.access_key()?,
        welcomes: cut(&provider, outside, &welcome, peers)?,
        tree: seal_blob(outside, &tree)?,
        conversation,
        log_id,
    })
}

fn check_devices(outside: Outside<'_>, peers: &[CheckedKeyPackage]) -> Result<(), CreateError> {
    let own = outside.own;
    let mut people: Vec<_> = peers.iter().map(CheckedKeyPackage::account_id).collect();
    people.push(own.account_id);
    people.sort();
    people.dedup();
    if people.len() != PEOPLE {
        return Err(CreateError::NotTwoPeople);
    }
    let mut devices: Vec<_> = peers.iter().map(CheckedKeyPackage::device_id).collect();
    devices.push(own.device_id);
    devices.sort();
    devices.dedup();
    if devices.len() != peers.len() + 1 || devices.len() > LEAVES_MAX {
        return Err(CreateError::Devices);
    }
    Ok(())
}

/// Epoch 0: this device alone.
fn new_group(
    provider: &Provider<'_>,
    outside: Outside<'_>,
    log_id: LogId,
    options: &CreateOptions,
) -> Result<MlsGroup, MlsFailure> {
    let predecessor = options.successor_of.as_ref().map(|old| old.log_id);
    let context = ConversationContext::new(outside.own.server_id, log_id, predecessor);
    let extensions = provider.must("make a context", context.extensions())?;
    let built = MlsGroup::builder()
        .with_group_id(group_id(log_id))
        .ciphersuite(SUITE)
        .with_wire_format_policy(WIRE_FORMAT)
        .padding_size(PADDING)
        .max_past_epochs(0)
        .number_of_resumption_psks(0)
        .use_ratchet_tree_extension(false)
        .sender_ratchet_configuration(ratchets())
        .lifetime(endless(outside.env.now_ms()))
        .with_capabilities(capabilities())
        .with_group_context_extensions(extensions)
        .build(
            provider,
            &LeafSigner(&outside.own.secret),
            credential_with_key(outside.own),
        );
    provider.must("create a group", built)
}

/// The creating commit; the one place where a PSK is allowed (C-035).
fn add_all(
    provider: &Provider<'_>,
    outside: Outside<'_>,
    group: &mut MlsGroup,
    peers: &[CheckedKeyPackage],
    options: &CreateOptions,
) -> Result<OpenWelcome, MlsFailure> {
    let psk = options
        .successor_of
        .as_ref()
        .and_then(|old| old.psk.as_ref());
    let mut builder = group
        .commit_builder()
        .force_self_update(true)
        .propose_adds(peers.iter().map(|peer| peer.inner.clone()));
    if let Some(psk) = psk {
        let proposal = PreSharedKeyProposal::new(successor::lend(provider, psk)?);
        builder = builder.add_proposal(Proposal::PreSharedKey(Box::new(proposal)));
    }
    let builder = provider.must(
        "begin the creating commit",
        builder.load_psks(provider.storage()),
    )?;
    let signer = LeafSigner(&outside.own.secret);
    let built = builder.build(provider.rand(), provider.crypto(), &signer, |_| true);
    let staged = provider
        .must("build the creating commit", built)?
        .stage_commit(provider);
    let bundle = provider.must("stage the creating commit", staged)?;
    if let Some(psk) = psk {
        successor::take_back(provider, psk)?;
    }
    let welcome: Welcome = provider.must(
        "make a welcome",
        bundle.into_welcome().ok_or("there is none"),
    )?;
    let bytes = provider.must("encode a welcome", welcome.tls_serialize_detached())?;
    provider.must(
        "read a welcome",
        OpenWelcome::tls_deserialize_exact(bytes.as_slice()),
    )
}

/// One welcome for each device, with that device's entry alone: smaller, and it shows nobody the others.
fn cut(
    provider: &Provider<'_>,
    outside: Outside<'_>,
    welcome: &OpenWelcome,
    peers: &[CheckedKeyPackage],
) -> Result<Vec<SealedWelcome>, CreateError> {
    let of = |peer: &CheckedKeyPackage| {
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
        let bytes = provider.must("encode a welcome", single.tls_serialize_detached())?;
        Ok(SealedWelcome {
            account_id: peer.account_id(),
            device_id: peer.device_id(),
            blob: seal_blob(outside, &bytes)?,
        })
    };
    peers.iter().map(of).collect()
}

fn seal_blob(outside: Outside<'_>, plain: &[u8]) -> Result<SealedBlob, CreateError> {
    let (pointer, bytes) =
        sealed_blob::seal(plain, outside.env).map_err(|_| CreateError::TooLarge)?;
    Ok(SealedBlob { pointer, bytes })
}
