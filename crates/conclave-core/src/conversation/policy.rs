//! May this commit do what it does? One pure function of the old context, the members before, and what it does.
//!
//! The same function is asked before a commit of our own is made and for every commit that is applied, so
//! that nobody makes what the others refuse.

use conclave_proto::id::{AccountId, DeviceId};
use conclave_proto::limits::{ADDS_MAX, DEVICES_MAX};
use openmls::group::StagedCommit;
use openmls::prelude::Proposal;

use super::Member;
use super::context::{ContextError, ConversationContext, ConversationKind, Role};
use crate::credential::Accounts;

/// A device as policy names it.
pub(crate) type Device = (AccountId, DeviceId);

/// A leaf that a commit removes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Removed {
    pub(crate) member: Member,
    /// Whether its account's accepted state lists the device; `None` when no state is accepted.
    pub(crate) is_listed: Option<bool>,
}

/// What a commit would do. Proposals by reference never get this far: none is ever stored, so MLS cannot
/// resolve them.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) committer: Member,
    pub(crate) added: Vec<Device>,
    pub(crate) removed: Vec<Removed>,
    /// Whether it does anything else besides replacing the context.
    pub(crate) has_other: bool,
    /// The context after it.
    pub(crate) context: Result<ConversationContext, ContextError>,
}

/// A commit that does what nobody may do, or not this member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyViolation {
    /// It carries a proposal that is not Add, Remove or GroupContextExtensions (C-035).
    #[error("a commit carries a proposal that is not allowed")]
    Proposal,
    /// It drops or malforms the conversation's context (C-034, C-090).
    #[error("a commit breaks the conversation's context")]
    Context,
    /// It moves the conversation to another server or log, or rewrites what it is or continues (C-034).
    #[error("a commit changes what may never change in a conversation")]
    Identity,
    /// It brings in somebody who was not part of the conversation, without the right to (C-091).
    #[error("a commit brings a stranger into the conversation")]
    Stranger,
    /// A plain member changes name, link or version (C-092).
    #[error("only an owner or an admin may change the group's name, link or version")]
    Describe,
    /// Roles are changed by somebody who is no owner, beyond lowering their own (C-093).
    #[error("only an owner may give or take roles")]
    Roles,
    /// A role is left to somebody who has no device in the conversation any more (C-093).
    #[error("a role is given to somebody who is not in the group")]
    Absent,
    /// No owner stays (C-093).
    #[error("a group needs an owner: make somebody else owner first")]
    NoOwner,
    /// A device is in the conversation twice (C-094).
    #[error("a device would be in the conversation twice")]
    Twice,
    /// Over 1,024 devices, 10 of one account, or 64 added at once (C-094).
    #[error("a conversation has at most 1,024 devices, 10 of one person, and 64 are added at once")]
    TooMany,
    /// No such leaf, or the committer's own: leaving needs another member.
    #[error("the device to remove is not in the conversation, or is this one")]
    NoSuchDevice,
    /// The committer may remove this account's devices only when they are revoked, and by the state accepted
    /// here this one is not (C-095). Fetch the account's newest states, then judge again.
    #[error("only an owner, or an admin above them, may remove this person's devices")]
    Remove {
        /// Whose device.
        account_id: AccountId,
    },
}

/// Judges a commit. `members` are those before it.
pub(crate) fn check(
    old: &ConversationContext,
    members: &[Member],
    summary: &Summary,
) -> Result<(), PolicyViolation> {
    // C-035: Add, Remove and GroupContextExtensions by value, nothing else
    if summary.has_other {
        return Err(PolicyViolation::Proposal);
    }
    let new = check_context(old, summary)?;
    check_added(old, members, summary)?;
    let stay = after(members, summary);
    check_counts(old.kind, &stay, summary)?;
    if old.kind == ConversationKind::Group {
        check_roles(old, new, members, summary)?;
        check_removed(old, summary)?;
    }
    Ok(())
}

/// C-034: the context stays, and with it what never changes; C-092: its words belong to owners and admins.
fn check_context<'s>(
    old: &ConversationContext,
    summary: &'s Summary,
) -> Result<&'s ConversationContext, PolicyViolation> {
    if summary.context == Err(ContextError::NeedsNewerVersion) && !may_describe(old, summary) {
        return Err(PolicyViolation::Describe);
    }
    let new = summary
        .context
        .as_ref()
        .map_err(|_| PolicyViolation::Context)?;
    let same = new.kind == old.kind
        && new.server_id == old.server_id
        && new.log_id == old.log_id
        && new.successor_of == old.successor_of;
    if !same {
        return Err(PolicyViolation::Identity);
    }
    if new.min_version < old.min_version {
        return Err(PolicyViolation::Context);
    }
    let described = new.name_bytes != old.name_bytes
        || new.link != old.link
        || new.min_version != old.min_version;
    // C-092
    if described && !may_describe(old, summary) {
        return Err(PolicyViolation::Describe);
    }
    Ok(new)
}

/// Whether the committer may change name, link and version. A lone member could pause everybody by the last.
pub(crate) fn may_describe(old: &ConversationContext, summary: &Summary) -> bool {
    old.kind != ConversationKind::Group || old.role(summary.committer.account_id) >= Role::Admin
}

/// C-091: whose devices the committer may bring in.
fn check_added(
    old: &ConversationContext,
    members: &[Member],
    summary: &Summary,
) -> Result<(), PolicyViolation> {
    let anybody = old.kind == ConversationKind::Group
        && old.role(summary.committer.account_id) >= Role::Admin;
    let inside = |account: &AccountId| members.iter().any(|member| member.account_id == *account);
    let stranger = summary.added.iter().any(|(account, _)| !inside(account));
    if stranger && !anybody {
        return Err(PolicyViolation::Stranger);
    }
    Ok(())
}

/// The devices after the commit.
fn after(members: &[Member], summary: &Summary) -> Vec<Device> {
    let mut stay: Vec<Device> = remaining(members, summary)
        .map(|member| (member.account_id, member.device_id))
        .collect();
    stay.extend(&summary.added);
    stay
}

/// The members that the commit leaves where they are, in order of their leaves.
fn remaining<'m>(members: &'m [Member], summary: &Summary) -> impl Iterator<Item = &'m Member> {
    let gone = |leaf| {
        let mut removed = summary.removed.iter();
        removed.any(|removed| removed.member.leaf == leaf)
    };
    members.iter().filter(move |member| !gone(member.leaf))
}

/// C-094: no device twice, and no more than there may be.
fn check_counts(
    kind: ConversationKind,
    stay: &[Device],
    summary: &Summary,
) -> Result<(), PolicyViolation> {
    if summary.added.len() > ADDS_MAX || stay.len() > kind.leaves_max() {
        return Err(PolicyViolation::TooMany);
    }
    check_devices(stay.to_vec())
}

/// C-094 on any path: each device once, at most ten of an account.
pub(crate) fn check_devices(mut devices: Vec<Device>) -> Result<(), PolicyViolation> {
    devices.sort();
    if devices
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if a == b))
    {
        return Err(PolicyViolation::Twice);
    }
    // sorted by account first: an eleventh stands ten places behind the first
    let crowded = devices
        .windows(DEVICES_MAX + 1)
        .any(|run| matches!(run, [first, .., last] if first.0 == last.0));
    if crowded {
        return Err(PolicyViolation::TooMany);
    }
    Ok(())
}

/// C-093 in a context alone: every role is of somebody in `devices`, and one of them owns the group.
pub(crate) fn check_role_list(
    context: &ConversationContext,
    devices: &[Device],
) -> Result<(), PolicyViolation> {
    let inside = |account| devices.iter().any(|(of, _)| *of == account);
    if !context.roles.iter().all(|entry| inside(entry.account_id)) {
        return Err(PolicyViolation::Absent);
    }
    if context.roles.iter().any(|entry| entry.role == Role::Owner) {
        Ok(())
    } else {
        Err(PolicyViolation::NoOwner)
    }
}

/// C-093: who has no device any more has no role; beyond that an owner decides, and everybody for less of their own.
fn check_roles(
    old: &ConversationContext,
    new: &ConversationContext,
    members: &[Member],
    summary: &Summary,
) -> Result<(), PolicyViolation> {
    check_role_list(new, &after(members, summary))?;
    let own = summary.committer.account_id;
    if old.role(own) == Role::Owner {
        return Ok(());
    }
    let mut allowed = old.clone();
    settle_roles(&mut allowed, members, summary);
    if new.role(own) < allowed.role(own) {
        allowed.set_role(own, new.role(own));
    }
    if new.roles == allowed.roles {
        Ok(())
    } else {
        Err(PolicyViolation::Roles)
    }
}

/// Takes the roles of those who leave with this commit. When the last owner does (a revoked device, and no
/// other), the first admin, else the first member, in order of leaves, owns the group: it is never orphaned.
pub(crate) fn settle_roles(
    context: &mut ConversationContext,
    members: &[Member],
    summary: &Summary,
) {
    let is_owned = context.roles.iter().any(|entry| entry.role == Role::Owner);
    let stay: Vec<_> = after(members, summary)
        .into_iter()
        .map(|(account, _)| account)
        .collect();
    context.keep_roles_of(&stay);
    if is_owned {
        let heirs = remaining(members, summary).map(|member| member.account_id);
        context.settle_owner(heirs.collect());
    }
}

/// C-095: an owner removes anybody, an admin members, everybody other devices of their own account and
/// revoked ones; and any device that the same commit adds anew. The last rule that is asked: it alone can
/// change when newer states are fetched.
fn check_removed(old: &ConversationContext, summary: &Summary) -> Result<(), PolicyViolation> {
    let own = summary.committer.account_id;
    let role = old.role(own);
    let may = |removed: &&Removed| {
        let member = &removed.member;
        member.account_id == own
            || role == Role::Owner
            || (role == Role::Admin && old.role(member.account_id) == Role::Member)
            || removed.is_listed == Some(false)
            || summary
                .added
                .contains(&(member.account_id, member.device_id))
    };
    match summary.removed.iter().find(|removed| !may(removed)) {
        None => Ok(()),
        Some(removed) => Err(PolicyViolation::Remove {
            account_id: removed.member.account_id,
        }),
    }
}

impl Removed {
    /// With the fact of its account's accepted state.
    pub(crate) fn of(member: Member, accounts: &dyn Accounts) -> Self {
        let known = accounts.known(member.account_id);
        let is_listed = known.map(|known| {
            let mut devices = known.state().content.devices.iter();
            devices.any(|entry| entry.device_id == member.device_id)
        });
        Self { member, is_listed }
    }
}

impl Summary {
    /// What `staged` by `committer` would do to `members`. An added leaf without a readable credential, and a
    /// removed one that is not among them, count as something else.
    pub(crate) fn of(
        staged: &StagedCommit,
        committer: Member,
        members: &[Member],
        accounts: &dyn Accounts,
    ) -> Self {
        let mut summary = Self {
            committer,
            added: vec![],
            removed: vec![],
            has_other: false,
            context: ConversationContext::read(staged.group_context().extensions()),
        };
        for queued in staged.queued_proposals() {
            let is_known = match queued.proposal() {
                Proposal::Add(add) => {
                    let device = added_device(add.key_package().leaf_node());
                    summary.added.extend(device);
                    device.is_some()
                }
                Proposal::Remove(remove) => {
                    let leaf = remove.removed().u32();
                    let member = members.iter().find(|member| member.leaf == leaf);
                    let removed = member.map(|member| Removed::of(*member, accounts));
                    summary.removed.extend(removed);
                    removed.is_some()
                }
                Proposal::GroupContextExtensions(_) => true,
                _ => false,
            };
            summary.has_other |= !is_known;
        }
        summary
    }
}

fn added_device(leaf: &openmls::treesync::LeafNode) -> Option<Device> {
    crate::leaf::claim(leaf.credential(), leaf.signature_key().as_slice())
        .ok()
        .map(|claim| (claim.credential.account_id, claim.credential.device_id))
}

#[cfg(test)]
mod tests;
