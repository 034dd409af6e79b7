//! From a welcome and a tree to a conversation: every leaf and the context are checked before it exists.

use conclave_proto::id::{Epoch, LogId};
use conclave_proto::limits::{LEAVES_MAX, WELCOME_BLOB_BYTES_MAX};
use openmls::credentials::Credential;
use openmls::group::{GroupContext, JoinBuilder, ProcessedWelcome, StagedWelcome, WelcomeError};
use openmls::messages::Welcome;
use openmls::schedule::errors::PskError;
use openmls::treesync::RatchetTreeIn;
use openmls_traits::OpenMlsProvider;
use tls_codec::{Deserialize, Size};

use super::{
    ContextError, Conversation, ConversationContext, ConversationKind, Member, Outside, PEOPLE,
    PolicyViolation, RebootPsk, group_id, join_config, people, policy, read_member, successor,
};
use crate::access::AccessKey;
use crate::credential::{Accounts, Wanted};
use crate::leaf::{self, Checks, LeafNodeError, Refusal};
use crate::mls_store::RowsError;
use crate::provider::{MlsFailure, Provider, SUITE};

/// Nodes of a full tree over so many leaves, and the length in front of them.
const fn places_max(leaves: usize) -> usize {
    2 * leaves.next_power_of_two() + 4
}

/// What was joined.
#[derive(Debug)]
pub struct Joined {
    /// In the epoch that the welcome is for.
    pub conversation: Conversation,
    /// A_e of that epoch: opens the log.
    pub access: AccessKey,
    /// The device that invited us.
    pub inviter: Member,
    /// KeyPackageRef of the package that was used, 48 bytes.
    pub key_package_ref: Vec<u8>,
    /// Whether that was a last resort: then a self-update goes with the first send.
    pub last_resort: bool,
    /// Whether the conversation is bound to its predecessor by a secret of it.
    pub bound_to_predecessor: bool,
    /// The predecessor's epoch whose secret that is.
    pub bound_epoch: Option<Epoch>,
}

/// Why a welcome is refused. **The caller rolls back**: MLS may have deleted the one-time package already.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The welcome is for a key package this device no longer has: used, replaced, or of a restored profile.
    /// The inviter must invite again.
    #[error("the invitation is for a key package that this device no longer has")]
    UnknownKeyPackage,
    /// This conversation is here already.
    #[error("the conversation was joined already")]
    AlreadyJoined,
    /// Over a limit, before any work was done.
    #[error("the welcome or its tree is over the limit")]
    TooLarge,
    /// Not a welcome of ours. The inviter is broken or hostile.
    #[error("the welcome is malformed: {0}")]
    Malformed(&'static str),
    /// It is bound to a conversation whose secret this device does not have.
    #[error("the new conversation is bound to an old one that this device does not know")]
    MissingPredecessor,
    /// The conversation's context is not what it must be (C-034).
    #[error(transparent)]
    Context(#[from] ContextError),
    /// A member is not accepted here. When accounts are named, fetch and accept their newest states, then try
    /// again; when none is, the inviter is hostile.
    #[error("{error}")]
    Leaf {
        /// Why; of the first such leaf.
        error: LeafNodeError,
        /// Accounts whose newer states could change that.
        missing: Vec<Wanted>,
    },
    /// More or fewer than two people are in a direct conversation.
    #[error("the conversation is not between two people")]
    NotTwoPeople,
    /// A conversation of one's own devices has somebody else's in it, or is somebody else's.
    #[error("the conversation of one's own devices has a device of somebody else in it")]
    NotOwn,
    /// It has what no conversation may have: a device twice, too many of them, roles of people outside, no owner.
    #[error("{0}")]
    Policy(#[from] PolicyViolation),
    /// The store failed, or we are broken. Roll back.
    #[error(transparent)]
    Failed(#[from] MlsFailure),
}

impl JoinError {
    /// The accounts whose states may turn the refusal into an acceptance: fetch and accept them, then
    /// join again. Bounded: what is refused twice under the same states is refused.
    pub fn missing(&self) -> &[Wanted] {
        match self {
            Self::Leaf { missing, .. } => missing,
            _ => &[],
        }
    }
}

impl From<Refusal> for JoinError {
    fn from(refused: Refusal) -> Self {
        Self::Leaf {
            error: refused.error,
            missing: refused.missing,
        }
    }
}

impl From<RowsError> for JoinError {
    fn from(error: RowsError) -> Self {
        Self::Failed(error.into())
    }
}

/// Joins the conversation of log `expected` with an opened welcome and tree.
///
/// `psks` are what old conversations with these people left ([`Conversation::reboot_psks`]); empty when
/// nothing is continued.
pub fn join(
    outside: Outside<'_>,
    accounts: &dyn Accounts,
    expected: LogId,
    welcome: &[u8],
    tree: &[u8],
    psks: &[RebootPsk],
) -> Result<Joined, JoinError> {
    let tree_bytes = tree.len();
    let (welcome, tree) = parse(welcome, tree)?;
    let provider = outside.provider();
    for psk in psks {
        successor::lend(&provider, psk)?;
    }
    let processed = process(&provider, welcome)?;
    let context = check_context(
        outside,
        processed.unverified_group_info().group_context(),
        expected,
    )?;
    // C-079: before MLS builds on it
    check_size(&tree, tree_bytes, context.kind.leaves_max())?;
    let bound_to_predecessor = check_psks(&processed, &context)?;
    let bound_epoch = processed.psks().first().and_then(successor::epoch_of);
    let (key_package_ref, last_resort) = package_used(&provider, &processed)?;
    let built = JoinBuilder::new(&provider, processed)
        .skip_lifetime_validation()
        .with_ratchet_tree(tree)
        .build();
    let staged = provider.settle(built)?.map_err(|error| refusal(&error))?;
    let inviter = check_members(outside, accounts, &staged, &context)?;
    let group = staged.into_group(&provider);
    let conversation = Conversation::of(provider.must("enter a group", group)?)?;
    for psk in psks {
        successor::take_back(&provider, psk)?;
    }
    Ok(Joined {
        access: conversation.access_key()?,
        conversation,
        inviter,
        key_package_ref,
        last_resort,
        bound_to_predecessor,
        bound_epoch,
    })
}

/// Shapes and limits, before any key is touched.
fn parse(welcome: &[u8], tree: &[u8]) -> Result<(Welcome, RatchetTreeIn), JoinError> {
    if welcome.len() > WELCOME_BLOB_BYTES_MAX || tree.len() > WELCOME_BLOB_BYTES_MAX {
        return Err(JoinError::TooLarge);
    }
    let welcome = Welcome::tls_deserialize_exact(welcome)
        .map_err(|_| JoinError::Malformed("not a welcome"))?;
    if welcome.ciphersuite() != SUITE {
        return Err(JoinError::Malformed("another suite"));
    }
    if welcome.secrets().len() != 1 {
        return Err(JoinError::Malformed("not for one device"));
    }
    let bytes = tree.len();
    let tree = RatchetTreeIn::tls_deserialize_exact(tree)
        .map_err(|_| JoinError::Malformed("not a tree"))?;
    // C-079: what no conversation can have is refused before any key is touched
    check_size(&tree, bytes, LEAVES_MAX)?;
    Ok((welcome, tree))
}

/// Whether a conversation of at most `leaves_max` leaves can have this tree of `bytes`.
fn check_size(tree: &RatchetTreeIn, bytes: usize, leaves_max: usize) -> Result<(), JoinError> {
    if tree.leaves().count() > leaves_max || places(tree, bytes) > places_max(leaves_max) {
        Err(JoinError::TooLarge)
    } else {
        Ok(())
    }
}

/// At least as many as the tree's nodes, blank ones included: each costs a byte besides itself.
fn places(tree: &RatchetTreeIn, bytes: usize) -> usize {
    let nodes: usize = tree.nodes().map(Size::tls_serialized_len).sum();
    bytes.saturating_sub(nodes)
}

fn process(provider: &Provider<'_>, welcome: Welcome) -> Result<ProcessedWelcome, JoinError> {
    let processed = ProcessedWelcome::new_from_welcome(provider, &join_config(), welcome);
    provider.settle(processed)?.map_err(|error| refusal(&error))
}

fn refusal<E>(error: &WelcomeError<E>) -> JoinError {
    match error {
        WelcomeError::NoMatchingKeyPackage => JoinError::UnknownKeyPackage,
        WelcomeError::GroupAlreadyExists => JoinError::AlreadyJoined,
        WelcomeError::Psk(PskError::KeyNotFound) => JoinError::MissingPredecessor,
        _ => JoinError::Malformed("mls refuses it"),
    }
}

/// The group is the expected log's, under our suite, on our server.
fn check_context(
    outside: Outside<'_>,
    group: &GroupContext,
    expected: LogId,
) -> Result<ConversationContext, JoinError> {
    if group.ciphersuite() != SUITE {
        return Err(JoinError::Malformed("another suite"));
    }
    if group.group_id() != &group_id(expected) {
        return Err(JoinError::Malformed("another group"));
    }
    if group.epoch().as_u64() == 0 {
        return Err(JoinError::Malformed("epoch 0"));
    }
    // C-034: the context is there and names this server and log
    let context = ConversationContext::read(group.extensions())?;
    if context.server_id != outside.own.server_id || context.log_id != expected {
        return Err(ContextError::Malformed.into());
    }
    Ok(context)
}

/// C-035: only a creating commit carries PSKs, and only those of the predecessor it names.
fn check_psks(
    processed: &ProcessedWelcome,
    context: &ConversationContext,
) -> Result<bool, JoinError> {
    let ours = |predecessor| {
        processed
            .psks()
            .iter()
            .all(|id| successor::is_reboot(id, predecessor))
    };
    match (processed.psks().is_empty(), context.successor_of) {
        (true, _) => Ok(false),
        (false, Some(predecessor)) if ours(predecessor) => Ok(true),
        _ => Err(JoinError::Malformed("a shared key that is not ours")),
    }
}

fn package_used(
    provider: &Provider<'_>,
    processed: &ProcessedWelcome,
) -> Result<(Vec<u8>, bool), MlsFailure> {
    let package = processed.own_key_package().ok_or("there is none");
    let package = provider.must("find the key package used", package)?;
    let hash_ref = provider.must("hash a key package", package.hash_ref(provider.crypto()))?;
    Ok((hash_ref.as_slice().to_vec(), package.last_resort()))
}

/// Every leaf, ours included, is a device of its account; the people are those that such a conversation has;
/// the inviter is one of them.
fn check_members(
    outside: Outside<'_>,
    accounts: &dyn Accounts,
    staged: &StagedWelcome,
    context: &ConversationContext,
) -> Result<Member, JoinError> {
    let malformed = JoinError::Malformed("a leaf is not as ours");
    let mut members = Vec::new();
    let mut checks = Checks::default();
    for member in staged.members() {
        let is_own = member.index == staged.own_leaf_index();
        if is_own && !outside.own.holds(&member.signature_key) {
            // C-187: by a key package of a key that is wiped; nothing could be said there
            return Err(JoinError::UnknownKeyPackage);
        }
        // C-017: on this path too, every leaf; C-030: its key can be sealed to
        let credential: &Credential = &member.credential;
        let checked = leaf::check(
            credential,
            &member.signature_key,
            &member.encryption_key,
            accounts,
            None,
        );
        let checked = checked.map(|_| ());
        // C-180; of a conversation of two no commit would take the device out (C-156)
        checks.take(match context.kind {
            ConversationKind::Direct => checked,
            _ => checked.or_else(|refused| {
                refused.unless_former(credential, &member.signature_key, accounts)
            }),
        });
        members.extend(read_member(&member));
    }
    checks.refused()?;
    let own = members
        .iter()
        .find(|member| member.leaf == staged.own_leaf_index().u32());
    if own.is_none_or(|own| own.device_id != outside.own.device_id) {
        return Err(malformed);
    }
    check_people(outside, &members, context)?;
    // last, since these alone can be cured
    checks.finish()?;
    let inviter = staged.welcome_sender_index().u32();
    members
        .into_iter()
        .find(|member| member.leaf == inviter)
        .ok_or(malformed)
}

/// C-090: two people, one's own devices, or a group with an owner; C-094: nobody more often than may be.
fn check_people(
    outside: Outside<'_>,
    members: &[Member],
    context: &ConversationContext,
) -> Result<(), JoinError> {
    let people = people(members);
    match context.kind {
        ConversationKind::Direct if people.len() != PEOPLE => return Err(JoinError::NotTwoPeople),
        ConversationKind::Own if people != [outside.own.account_id] => {
            return Err(JoinError::NotOwn);
        }
        _ => {}
    }
    let devices: Vec<_> = members
        .iter()
        .map(|member| (member.account_id, member.device_id))
        .collect();
    if context.kind == ConversationKind::Group {
        policy::check_role_list(context, &devices)?;
    }
    policy::check_devices(devices)?;
    Ok(())
}
