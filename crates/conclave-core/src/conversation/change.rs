//! Commits of our own, first half: what one shall do, asked of the same policy that everybody will ask.

use conclave_proto::id::AccountId;
use conclave_proto::limits::FRAME_BYTES_MAX;
use conclave_proto::log::Head;
use openmls::prelude::LeafNodeIndex;
use openmls_traits::OpenMlsProvider;

use super::context::{ConversationContext, Role};
use super::members::Shape;
use super::policy::{self, PolicyViolation, Removed, Summary};
use super::welcome::{self, SealedBlob, SealedWelcome};
use super::{CommitError, Conversation, Outside, Pending};
use crate::credential::Accounts;
use crate::key_package::CheckedKeyPackage;
use crate::provider::MlsFailure;

/// What a bundle's frame holds besides commit and blobs: head, signatures, ids and field headers, generously.
const FRAME_ROOM_BYTES: usize = 16 * 1024;

/// One thing that a commit shall do.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a handful in one commit, most of them adds"
)]
pub enum Change {
    /// Adds the device of a key package that passed [`crate::key_package::check`] just now.
    Add(CheckedKeyPackage),
    /// Removes the device at this leaf.
    Remove {
        /// Its place in the tree ([`super::Member::leaf`]).
        leaf: u32,
    },
    /// Names the group: at most 128 bytes of UTF-8.
    Name(String),
    /// Gives an account another role.
    Role {
        /// Whose.
        account_id: AccountId,
        /// The new one; [`Role::Member`] takes it away.
        role: Role,
    },
    /// Sets or revokes the secret of the group's link.
    Link(Option<[u8; 32]>),
    /// Raises the lowest version of the rules that may take part.
    MinVersion(u16),
}

/// A commit that was made, and the way in for the devices that it adds.
#[derive(Debug)]
pub struct Changing {
    /// What to post.
    pub pending: Pending,
    /// One for each added device. They are the blobs of the bundle, in this order, and the tree after them.
    pub welcomes: Vec<SealedWelcome>,
    /// The tree that all of them need; `None` when nobody is added.
    pub tree: Option<SealedBlob>,
}

impl Conversation {
    /// Whether this device may do all of `changes` in one commit, by the policy that everybody applies (C-091).
    pub fn check_change(
        &self,
        accounts: &dyn Accounts,
        changes: &[Change],
    ) -> Result<(), PolicyViolation> {
        let summary = self.summary(accounts, changes)?;
        policy::check(&self.context, &self.members(), &summary)
    }

    /// Makes one commit that does all of `changes`; none = a self-update. Roles of accounts that leave with it
    /// are taken too.
    ///
    /// `head` is where the caller's cursor stands. The pending commit, its bundle and A_{e+1} are in the rows
    /// when this returns; nothing is merged before the log has it. Store the welcomes with them: they exist
    /// nowhere else.
    pub fn change(
        &mut self,
        outside: Outside<'_>,
        accounts: &dyn Accounts,
        head: &Head,
        retention_days: u8,
        changes: &[Change],
    ) -> Result<Changing, CommitError> {
        self.check_ready(outside.rows, head, retention_days)?;
        self.check_change(accounts, changes)?;
        let summary = self.summary(accounts, changes)?;
        let context = summary.context.ok().filter(|new| *new != self.context);
        let adds = || changes.iter().filter_map(Change::added);
        let shape = Shape {
            adds: adds().map(|package| package.inner.clone()).collect(),
            removals: summary
                .removed
                .iter()
                .map(|removed| LeafNodeIndex::new(removed.member.leaf))
                .collect(),
            context,
        };
        let (commit, welcome) = self.build_commit(outside, shape)?;
        let (welcomes, tree) = match welcome {
            None => (vec![], None),
            Some(welcome) => (
                welcome::seal_each(outside, &welcome, adds())?,
                Some(welcome::seal_tree(outside, &self.tree_after(outside)?)?),
            ),
        };
        let blobs = welcomes.iter().map(|welcome| &welcome.blob).chain(&tree);
        let blobs: Vec<_> = blobs.collect();
        let bytes: usize = blobs.iter().map(|blob| blob.bytes.len()).sum();
        // all of it travels in one frame, with room for its own field headers
        if bytes + commit.len() > FRAME_BYTES_MAX - FRAME_ROOM_BYTES {
            return Err(CommitError::TooLarge);
        }
        let blobs = blobs.into_iter().map(SealedBlob::name).collect();
        let pending = self.bundle(outside, head, retention_days, commit, blobs)?;
        Ok(Changing {
            pending,
            welcomes,
            tree,
        })
    }

    /// What `changes` come to.
    fn summary(
        &self,
        accounts: &dyn Accounts,
        changes: &[Change],
    ) -> Result<Summary, PolicyViolation> {
        let members = self.members();
        let at = |leaf| members.iter().find(|member| member.leaf == leaf).copied();
        let own = self.own_leaf();
        let mut context = self.context.clone();
        let mut summary = Summary {
            committer: at(own).ok_or(PolicyViolation::NoSuchDevice)?,
            added: vec![],
            removed: vec![],
            has_other: false,
            context: Ok(context.clone()),
        };
        for change in changes {
            match change {
                Change::Add(package) => {
                    summary
                        .added
                        .push((package.account_id(), package.device_id()));
                }
                Change::Remove { leaf } => {
                    let member = at(*leaf).filter(|member| member.leaf != own);
                    let member = member.ok_or(PolicyViolation::NoSuchDevice)?;
                    let is_again = |other: &Removed| other.member.leaf == *leaf;
                    if !summary.removed.iter().any(is_again) {
                        summary.removed.push(Removed::of(member, accounts));
                    }
                }
                _ => change.write(&mut context),
            }
        }
        policy::settle_roles(&mut context, &members, &summary);
        summary.context = context.as_read();
        Ok(summary)
    }

    /// The tree after our pending commit.
    fn tree_after(
        &self,
        outside: Outside<'_>,
    ) -> Result<openmls::treesync::RatchetTree, MlsFailure> {
        let provider = outside.provider();
        let pending = self.group.pending_commit().ok_or("there is none");
        let exported = provider
            .must("find the pending commit", pending)?
            .export_ratchet_tree(provider.crypto(), self.group.export_ratchet_tree());
        let tree = provider.must("export the next tree", exported)?;
        provider.must("export the next tree", tree.ok_or("it is not a member's"))
    }
}

impl Change {
    fn added(&self) -> Option<&CheckedKeyPackage> {
        match self {
            Self::Add(package) => Some(package),
            _ => None,
        }
    }

    /// What it changes in the context.
    fn write(&self, context: &mut ConversationContext) {
        match self {
            Self::Add(_) | Self::Remove { .. } => {}
            Self::Name(name) => context.name_bytes = name.as_bytes().into(),
            Self::Role { account_id, role } => context.set_role(*account_id, *role),
            Self::Link(secret) => context.link = *secret,
            Self::MinVersion(version) => context.min_version = *version,
        }
    }
}
