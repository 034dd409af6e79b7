//! A conversation: one MLS group whose entries travel through one log.
//!
//! Every function that changes state takes the caller's rows and writes to them at once; the caller runs
//! it inside one transaction (C-050). **On any error, and on any rollback, the caller drops the
//! [`Conversation`] and loads it again**: in memory it is ahead of the disk. There is no `Clone`.
//!
//! - [`create`]: a new group, its welcomes and its tree
//! - [`join`]: from a welcome, every leaf checked
//! - [`seal`]: padded content becomes an entry
//! - [`open`]: an entry becomes content and its sender
//! - [`change`]: what a commit of our own shall do
//! - [`members`]: commits of our own
//! - [`apply`]: the one caller of merge
//! - [`policy`]: may this commit do what it does?
//! - [`context`]: what the conversation says about itself
//! - [`successor`]: a conversation that continues another

use core::fmt;

use conclave_proto::env::Env;
use conclave_proto::id::{AccountId, DeviceId, Epoch, IdentityFingerprint, LogId};
use openmls::group::{
    GroupId, MlsGroup, MlsGroupJoinConfig, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY, WireFormatPolicy,
};
use openmls::prelude::{LeafNodeIndex, Member as MlsMember, SenderRatchetConfiguration};

use crate::access::{self, AccessKey, Exporter, Use};
use crate::credential::LeafClaim;
use crate::identity::OwnDevice;
use crate::leaf;
use crate::mls_store::{MlsRows, RowsError, Storage};
use crate::provider::{LeafSigner, MlsFailure, Provider};
use crate::secret::Secret;

pub mod apply;
mod binding;
pub mod change;
pub mod context;
pub mod create;
mod envelope;
pub mod join;
pub mod members;
pub mod open;
pub mod policy;
pub mod seal;
mod signal;
pub mod successor;
mod welcome;

pub use apply::{Applied, ApplyError};
pub use change::{Change, Changing};
pub use context::{AccountRole, ContextError, ConversationContext, ConversationKind, Role};
pub use create::{CreateError, CreateOptions, Created};
pub use join::{JoinError, Joined};
pub use members::{CommitError, Pending};
pub use open::{OpenError, Opened, Unreadable};
pub use policy::PolicyViolation;
pub use seal::SealError;
pub use signal::Signal;
pub use successor::{Predecessor, RebootPsk, SuccessorError};
pub use welcome::{SealedBlob, SealedWelcome};

/// Accounts in a direct conversation.
pub const PEOPLE: usize = 2;

/// Everything MLS pads to, in bytes; content is padded further, to buckets (C-055).
const PADDING: usize = 256;
/// Messages that may arrive late, and that may be skipped, per sender and epoch.
const LATE_MAX: u32 = 64;
const SKIP_MAX: u32 = 2000;

/// One device in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its place in the tree.
    pub leaf: u32,
    /// Whose device it is.
    pub account_id: AccountId,
    /// The device.
    pub device_id: DeviceId,
    /// Seq of the account state its leaf was made under.
    pub account_seq: u64,
    /// Fingerprint of its account's identity key.
    pub identity_fingerprint: IdentityFingerprint,
}

/// One conversation as this device takes part in it, in step with its rows.
///
/// Holds the epoch's secrets; one per running profile, dropped after every error or rollback.
pub struct Conversation {
    group: MlsGroup,
    context: ConversationContext,
}

impl Conversation {
    /// Loads a conversation from its rows; `None` when there is none by that log.
    pub fn load(rows: &dyn MlsRows, log_id: LogId) -> Result<Option<Self>, MlsFailure> {
        let storage = Storage::new(rows);
        let loaded = MlsGroup::load(&storage, &group_id(log_id));
        if let Some(error) = storage.take_failure() {
            return Err(error.into());
        }
        let Some(group) = loaded.map_err(RowsError::new)? else {
            return Ok(None);
        };
        Self::of(group).map(Some)
    }

    /// A group whose context was checked when it was created, joined or changed.
    fn of(group: MlsGroup) -> Result<Self, MlsFailure> {
        let context =
            ConversationContext::read(group.extensions()).map_err(|error| MlsFailure::Refused {
                step: "read a stored conversation",
                detail: error.to_string(),
            })?;
        Ok(Self { group, context })
    }

    /// The log, equal to the MLS group id.
    pub fn log_id(&self) -> LogId {
        self.context.log_id
    }

    /// The epoch that the next entry is processed in.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.group.epoch().as_u64())
    }

    /// What the conversation says about itself.
    pub fn context(&self) -> &ConversationContext {
        &self.context
    }

    /// Whether this device is still a member; after its removal it can neither seal nor open.
    pub fn is_active(&self) -> bool {
        self.group.is_active()
    }

    /// This device's place in the tree.
    pub fn own_leaf(&self) -> u32 {
        self.group.own_leaf_index().u32()
    }

    /// All devices, this one included, in order of their leaves.
    pub fn members(&self) -> Vec<Member> {
        self.group
            .members()
            .filter_map(|member| read_member(&member))
            .collect()
    }

    /// The device at `leaf`.
    pub fn member(&self, leaf: u32) -> Option<Member> {
        read_member(&self.group.member_at(LeafNodeIndex::new(leaf))?)
    }

    /// The accounts, each once, sorted.
    pub fn people(&self) -> Vec<AccountId> {
        people(&self.members())
    }

    /// A_e of the current epoch. Fails after this device's removal.
    pub fn access_key(&self) -> Result<AccessKey, MlsFailure> {
        self.export(Use::Access).map(AccessKey::from_seed)
    }

    /// The epoch's authenticator (RFC 9420 §8.7), 48 bytes: the same on two devices means the same history.
    pub fn authenticator(&self) -> &[u8] {
        self.group.epoch_authenticator().as_slice()
    }

    /// The key of one leaf's signals in the current epoch (AES-256-GCM, random nonce).
    pub fn signal_key(&self, leaf: u32) -> Result<Secret<32>, MlsFailure> {
        Ok(access::signal_key(&self.export(Use::Signal)?, leaf))
    }

    /// What a successor of this conversation can be bound by: of the current epoch, and of the one before.
    pub fn reboot_psks(&self, rows: &dyn MlsRows) -> Result<Vec<RebootPsk>, MlsFailure> {
        let mut psks = Vec::new();
        if self.is_active() {
            psks.push(self.current_reboot_psk()?);
        }
        psks.extend(successor::load_previous(rows, self.log_id())?);
        Ok(psks)
    }

    fn current_reboot_psk(&self) -> Result<RebootPsk, MlsFailure> {
        Ok(RebootPsk {
            log_id: self.log_id(),
            epoch: self.epoch(),
            secret: self.export(Use::Reboot)?,
        })
    }

    fn export(&self, purpose: Use) -> Result<Secret<32>, MlsFailure> {
        self.group
            .export(purpose, self.context.server_id, self.context.log_id)
    }

    /// What signs for this device here: its leaf may be under a key that it replaced since (C-187).
    fn signer<'o>(&self, own: &'o OwnDevice) -> LeafSigner<'o> {
        let leaf = self.group.own_leaf_node();
        LeafSigner(leaf.map_or(&own.secret, |leaf| {
            own.signs_as(leaf.signature_key().as_slice())
        }))
    }

    /// Whether this device's leaf is under the key that its certificate names.
    pub fn has_newest_key(&self, own: &OwnDevice) -> bool {
        let leaf = self.group.own_leaf_node();
        leaf.is_some_and(|leaf| leaf.signature_key().as_slice() == own.secret.leaf_key())
    }

    /// Whether a member's leaf is still the one of its key package: its device has committed nothing here, and may never
    /// have had its welcome.
    pub fn is_as_added(&self, member: &Member) -> bool {
        let leaf = self
            .group
            .public_group()
            .leaf(LeafNodeIndex::new(member.leaf));
        leaf.is_some_and(|leaf| leaf.parent_hash().is_none())
    }

    /// What the leaf at `index` claims now.
    fn claim_at(&self, index: LeafNodeIndex) -> Option<LeafClaim> {
        let member = self.group.member_at(index)?;
        leaf::claim(&member.credential, &member.signature_key).ok()
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Conversation")
    }
}

fn group_id(log_id: LogId) -> GroupId {
    GroupId::from_slice(log_id.as_bytes())
}

fn read_member(member: &MlsMember) -> Option<Member> {
    let claim = leaf::claim(&member.credential, &member.signature_key).ok()?;
    Some(Member {
        leaf: member.index.u32(),
        account_id: claim.credential.account_id,
        device_id: claim.credential.device_id,
        account_seq: claim.credential.account_seq,
        identity_fingerprint: claim.credential.identity_fingerprint,
    })
}

fn people(members: &[Member]) -> Vec<AccountId> {
    let mut people: Vec<_> = members.iter().map(|member| member.account_id).collect();
    people.sort();
    people.dedup();
    people
}

/// Only ciphertexts travel: public commits would show account ids.
const WIRE_FORMAT: WireFormatPolicy = PURE_CIPHERTEXT_WIRE_FORMAT_POLICY;

fn ratchets() -> SenderRatchetConfiguration {
    SenderRatchetConfiguration::new(LATE_MAX, SKIP_MAX)
}

/// Settings of a joined group; a created one has the same. No past epochs: the log refuses stale entries.
fn join_config() -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(WIRE_FORMAT)
        .padding_size(PADDING)
        .max_past_epochs(0)
        .use_ratchet_tree_extension(false)
        .sender_ratchet_configuration(ratchets())
        .build()
}

/// What most calls need of the outside.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    /// Rows inside the caller's transaction.
    pub rows: &'a dyn MlsRows,
    /// This device.
    pub own: &'a OwnDevice,
    /// Time and chance.
    pub env: &'a dyn Env,
}

impl fmt::Debug for Outside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outside")
    }
}

impl<'a> Outside<'a> {
    fn provider(&self) -> Provider<'a> {
        Provider::new(self.rows, self.env)
    }
}
