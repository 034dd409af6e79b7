//! A new conversation: its group, one welcome for each invited device, and the tree they share.
//!
//! Epoch 0 and the creating commit never leave this function: the log begins at epoch 1.

use conclave_proto::id::{AccountId, LogId};
use conclave_proto::limits::{ADDS_MAX, DEVICES_MAX};
use openmls::group::MlsGroup;
use openmls::messages::Welcome;
use openmls::messages::proposals::PreSharedKeyProposal;
use openmls::prelude::Proposal;
use openmls_traits::OpenMlsProvider;

use super::context::{AccountRole, ConversationContext, ConversationKind, Role};
use super::welcome::{self, SealedBlob, SealedWelcome, SealingError};
use super::{
    ContextError, Conversation, Outside, PADDING, PEOPLE, Predecessor, WIRE_FORMAT, group_id,
    ratchets, successor,
};
use crate::access::AccessKey;
use crate::key_package::{CheckedKeyPackage, capabilities, credential_with_key, endless};
use crate::mls_store::RowsError;
use crate::provider::{LeafSigner, MlsFailure, Provider, SUITE};

/// What to create.
#[derive(Debug, Default)]
pub struct CreateOptions {
    /// What it is for.
    pub kind: ConversationKind,
    /// A group's name, at most 128 bytes of UTF-8; empty in every other kind.
    pub name: String,
    /// The conversation that the new one continues.
    pub successor_of: Option<Predecessor>,
    /// A group's admins and owners, each in the group from its first epoch; when there is no owner among
    /// them, our own account is one.
    pub roles: Vec<AccountRole>,
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
    /// The tree that all of them need; `None` when nobody is invited.
    pub tree: Option<SealedBlob>,
}

/// Why a conversation cannot be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The devices given are not those of one other person (and our own).
    #[error("a conversation needs devices of exactly one other person")]
    NotTwoPeople,
    /// A conversation among own devices, with somebody else's.
    #[error("a device of somebody else cannot be in the conversation of one's own devices")]
    NotOwn,
    /// The same device twice, our own device, more than 10 of one person, or more than 64.
    #[error("the devices to invite repeat or are too many")]
    Devices,
    /// The name is too long, or a role is of somebody who is not invited.
    #[error("the group's name is over 128 bytes, or a role is given to somebody outside")]
    Context,
    /// A welcome or the tree is over the limit of a blob: too many devices.
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

impl From<SealingError> for CreateError {
    fn from(error: SealingError) -> Self {
        match error {
            SealingError::TooLarge => Self::TooLarge,
            SealingError::Failed(error) => Self::Failed(error),
        }
    }
}

/// Creates a conversation with `peers`, whose key packages passed [`crate::key_package::check`] just now.
///
/// Two people need devices of the other one; a group and an own conversation may begin with this device alone.
pub fn create(
    outside: Outside<'_>,
    peers: &[CheckedKeyPackage],
    options: &CreateOptions,
) -> Result<Created, CreateError> {
    check_devices(outside, peers, options.kind)?;
    let provider = outside.provider();
    let log_id = LogId::random(outside.env);
    let context = context(outside, peers, log_id, options)?;
    let mut group = new_group(&provider, outside, &context)?;
    let made = add_all(&provider, outside, &mut group, peers, options)?;
    let merged = group.merge_pending_commit(&provider);
    provider.must("merge the creating commit", merged)?;
    let (welcomes, tree) = match made {
        None => (vec![], None),
        Some(made) => (
            welcome::seal_each(outside, &made, peers.iter())?,
            Some(welcome::seal_tree(outside, &group.export_ratchet_tree())?),
        ),
    };
    let conversation = Conversation::of(group)?;
    Ok(Created {
        access: conversation.access_key()?,
        welcomes,
        tree,
        conversation,
        log_id,
    })
}

fn check_devices(
    outside: Outside<'_>,
    peers: &[CheckedKeyPackage],
    kind: ConversationKind,
) -> Result<(), CreateError> {
    let own = outside.own;
    let mut devices = vec![(own.account_id, own.device_id)];
    devices.extend(
        peers
            .iter()
            .map(|peer| (peer.account_id(), peer.device_id())),
    );
    let people = people(&devices);
    match kind {
        ConversationKind::Direct if people.len() != PEOPLE => {
            return Err(CreateError::NotTwoPeople);
        }
        ConversationKind::Own if people.len() != 1 => return Err(CreateError::NotOwn),
        _ => {}
    }
    devices.sort();
    devices.dedup();
    let crowded = people.iter().any(|person| {
        let of = |device: &&(AccountId, _)| device.0 == *person;
        devices.iter().filter(of).count() > DEVICES_MAX
    });
    if devices.len() != peers.len() + 1 || peers.len() > ADDS_MAX || crowded {
        return Err(CreateError::Devices);
    }
    Ok(())
}

fn people<D>(devices: &[(AccountId, D)]) -> Vec<AccountId> {
    let mut people: Vec<_> = devices.iter().map(|(account, _)| *account).collect();
    people.sort();
    people.dedup();
    people
}

/// What the conversation says about itself; a group has an owner, and roles only of those inside.
fn context(
    outside: Outside<'_>,
    peers: &[CheckedKeyPackage],
    log_id: LogId,
    options: &CreateOptions,
) -> Result<ConversationContext, CreateError> {
    let own = outside.own;
    let predecessor = options.successor_of.as_ref().map(|old| old.log_id);
    let mut context = ConversationContext::new(options.kind, own.server_id, log_id, predecessor);
    context.name_bytes = options.name.as_bytes().into();
    for entry in &options.roles {
        let is_own = entry.account_id == own.account_id;
        if !is_own
            && peers
                .iter()
                .all(|peer| peer.account_id() != entry.account_id)
        {
            return Err(CreateError::Context);
        }
        context.set_role(entry.account_id, entry.role);
    }
    let is_owned = context.roles.iter().any(|entry| entry.role == Role::Owner);
    if options.kind == ConversationKind::Group && !is_owned {
        context.set_role(own.account_id, Role::Owner);
    }
    context
        .as_read()
        .map_err(|_: ContextError| CreateError::Context)
}

/// Epoch 0: this device alone.
fn new_group(
    provider: &Provider<'_>,
    outside: Outside<'_>,
    context: &ConversationContext,
) -> Result<MlsGroup, MlsFailure> {
    let extensions = provider.must("make a context", context.extensions())?;
    let built = MlsGroup::builder()
        .with_group_id(group_id(context.log_id))
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

/// The creating commit; the one place where a PSK is allowed (C-035). `None` when nobody is invited.
fn add_all(
    provider: &Provider<'_>,
    outside: Outside<'_>,
    group: &mut MlsGroup,
    peers: &[CheckedKeyPackage],
    options: &CreateOptions,
) -> Result<Option<Welcome>, MlsFailure> {
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
    Ok(bundle.into_welcome())
}
