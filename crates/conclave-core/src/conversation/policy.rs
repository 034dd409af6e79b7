//! May this commit do what it does? One pure function of the old context and what the commit changes.

use conclave_proto::id::AccountId;
use openmls::group::StagedCommit;
use openmls::prelude::Proposal;

use super::context::{ContextError, ConversationContext};

/// One thing that a commit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Adds a device of this account.
    Add(AccountId),
    /// Removes a leaf.
    Remove,
    /// Replaces the context's extensions.
    Context,
    /// Anything else.
    Other,
}

/// What a commit would do, read from the staged commit. Proposals by reference never get this far:
/// none is ever stored, so MLS cannot resolve them.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) changes: Vec<Change>,
    pub(crate) context: Result<ConversationContext, ContextError>,
}

/// A commit that does what nobody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyViolation {
    /// It carries a proposal that is not Add, Remove or GroupContextExtensions (C-035).
    #[error("a commit carries a proposal that is not allowed")]
    Proposal,
    /// It drops or malforms the conversation's context (C-034).
    #[error("a commit breaks the conversation's context")]
    Context,
    /// It moves the conversation to another server or log, or rewrites what it continues (C-034).
    #[error("a commit changes what may never change in a conversation")]
    Identity,
    /// It brings in somebody who was not part of the conversation: two people stay two people.
    #[error("a commit brings a stranger into the conversation")]
    Stranger,
}

/// Judges a commit. `people` are the accounts in the conversation before it.
pub(crate) fn check(
    old: &ConversationContext,
    people: &[AccountId],
    summary: &Summary,
) -> Result<(), PolicyViolation> {
    // C-035: Add, Remove and GroupContextExtensions by value, nothing else
    if summary.changes.contains(&Change::Other) {
        return Err(PolicyViolation::Proposal);
    }
    // C-034: the context stays, and with it server, log and predecessor
    let new = summary
        .context
        .as_ref()
        .map_err(|_| PolicyViolation::Context)?;
    let same = new.server_id == old.server_id
        && new.log_id == old.log_id
        && new.successor_of == old.successor_of;
    if !same {
        return Err(PolicyViolation::Identity);
    }
    // roles and versions may only change once there are rules about them
    if new.roles != old.roles || new.min_version < old.min_version {
        return Err(PolicyViolation::Context);
    }
    let stranger = summary
        .changes
        .iter()
        .any(|change| matches!(change, Change::Add(account) if !people.contains(account)));
    if stranger {
        return Err(PolicyViolation::Stranger);
    }
    Ok(())
}

impl Summary {
    /// What `staged` would do. An added leaf without a readable credential counts as something else.
    pub(crate) fn of(staged: &StagedCommit) -> Self {
        let changes = staged
            .queued_proposals()
            .map(|queued| match queued.proposal() {
                Proposal::Add(add) => {
                    added_account(add.key_package().leaf_node()).map_or(Change::Other, Change::Add)
                }
                Proposal::Remove(_) => Change::Remove,
                Proposal::GroupContextExtensions(_) => Change::Context,
                _ => Change::Other,
            })
            .collect();
        Self {
            changes,
            context: ConversationContext::read(staged.group_context().extensions()),
        }
    }
}

fn added_account(leaf: &openmls::treesync::LeafNode) -> Option<AccountId> {
    crate::leaf::claim(leaf.credential(), leaf.signature_key().as_slice())
        .ok()
        .map(|claim| claim.credential.account_id)
}

#[cfg(test)]
mod tests {
    use conclave_proto::id::{LogId, ServerId};

    use super::super::context::AccountRole;
    use super::*;

    const ANA: AccountId = AccountId::new([1; 16]);
    const BEN: AccountId = AccountId::new([2; 16]);
    const EVE: AccountId = AccountId::new([3; 16]);

    fn context() -> ConversationContext {
        ConversationContext::new(ServerId::new([1; 32]), LogId::new([2; 32]), None)
    }

    fn judge(
        changes: &[Change],
        context_after: Result<ConversationContext, ContextError>,
    ) -> Result<(), PolicyViolation> {
        let summary = Summary {
            changes: changes.to_vec(),
            context: context_after,
        };
        check(&context(), &[ANA, BEN], &summary)
    }

    /// Updates, removals and further devices of the people inside pass.
    #[test]
    fn c035_allows_what_two_people_need() {
        for changes in [
            &[][..],
            &[Change::Remove],
            &[Change::Add(BEN)],
            &[Change::Context],
        ] {
            assert_eq!(judge(changes, Ok(context())), Ok(()));
        }
    }

    /// Any other proposal, and any stranger, is refused.
    #[test]
    fn c035_refuses_the_rest() {
        let other = judge(&[Change::Remove, Change::Other], Ok(context()));
        assert_eq!(other, Err(PolicyViolation::Proposal));
        let stranger = judge(&[Change::Add(EVE)], Ok(context()));
        assert_eq!(stranger, Err(PolicyViolation::Stranger));
    }

    /// Server, log, predecessor and the context itself stay.
    #[test]
    fn c034_context_stays() {
        let changed = |change: fn(&mut ConversationContext)| {
            let mut new = context();
            change(&mut new);
            judge(&[Change::Context], Ok(new))
        };
        let identity = Err(PolicyViolation::Identity);
        assert_eq!(changed(|c| c.server_id = ServerId::new([9; 32])), identity);
        assert_eq!(changed(|c| c.log_id = LogId::new([9; 32])), identity);
        assert_eq!(
            changed(|c| c.successor_of = Some(LogId::new([9; 32]))),
            identity
        );
        let broken = Err(PolicyViolation::Context);
        let role = AccountRole {
            account_id: ANA,
            role: 1,
        };
        let mut with_role = context();
        with_role.roles.push(role);
        assert_eq!(judge(&[Change::Context], Ok(with_role)), broken);
        assert_eq!(changed(|c| c.min_version = 0), broken);
        assert_eq!(
            judge(&[Change::Context], Err(ContextError::Malformed)),
            broken
        );
    }
}
