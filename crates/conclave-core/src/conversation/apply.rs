//! A commit entry changes the epoch: processed, checked and merged in one go. The one caller of merge.
//!
//! 1. our own pending entry, byte for byte: merge what pends
//! 2. the bundle's head and signatures, then the MLS header (C-023, C-029)
//! 3. MLS processes the commit
//! 4. policy, leaves, keys and binding are checked (C-034, C-035, C-017, C-018, C-030, C-036)
//! 5. merge

use conclave_proto::codec;
use conclave_proto::id::{AccountId, Epoch};
use conclave_proto::limits::COMMIT_ENTRY_BYTES_MAX;
use conclave_proto::log::CommitEntry;
use openmls::framing::{ContentType, ProcessedMessageContent, Sender};
use openmls::group::StagedCommit;
use openmls::prelude::LeafNodeIndex;
use openmls::treesync::LeafNode;

use super::policy::{self, PolicyViolation, Summary};
use super::{
    ContextError, Conversation, ConversationContext, Member, Outside, binding, envelope, members,
    successor,
};
use crate::access::{AccessKey, Exporter, Use};
use crate::credential::{Accounts, Wanted};
use crate::key_package::check_capabilities;
use crate::leaf::{self, Checks, LeafNodeError, Refusal};
use crate::mls_store::RowsError;
use crate::provider::MlsFailure;

/// What a commit entry did.
#[derive(Debug)]
pub struct Applied {
    /// Who made it; `None` when it was our own pending commit.
    pub committer: Option<Member>,
    /// The new epoch's access key; `None` when this device was removed.
    pub next_access: Option<AccessKey>,
    /// Retention of messages from here on, in days.
    pub retention_days: u8,
    /// Devices that came in, at their new places. Empty when this device was removed.
    pub added: Vec<Member>,
    /// Devices that went, at their old places. A device in both was taken out and put in anew.
    pub removed: Vec<Member>,
    /// What the conversation said about itself before.
    pub context_before: ConversationContext,
}

impl Applied {
    /// Whether it was our own pending commit: the intent behind it is done.
    pub fn is_own(&self) -> bool {
        self.committer.is_none()
    }

    /// Whether this device was removed: nothing after this entry is for it.
    pub fn removed_self(&self) -> bool {
        self.next_access.is_none()
    }
}

/// Why a commit entry is refused. **On every error the caller rolls the rows back and drops the
/// [`Conversation`]**: MLS has stepped its ratchets already.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// This device was removed; entries after its removal are not for it.
    #[error("this device is no longer in the conversation")]
    NotMember,
    /// The entry is not of the conversation's epoch: the caller skipped or repeated a commit. Load again.
    #[error("commit of epoch {entry} given to a conversation in epoch {own}")]
    WrongEpoch {
        /// Of the entry.
        entry: Epoch,
        /// Of the conversation.
        own: Epoch,
    },
    /// No member can go on from it: the conversation needs a successor. `committer` bound themselves to it.
    #[error("the commit cannot be processed: {reason}")]
    Garbage {
        /// What is wrong.
        reason: &'static str,
        /// Who made it, when the binding names them.
        committer: Option<Member>,
    },
    /// Under our own leaf, yet not what this profile made: a copy of the profile is at work, or a member
    /// pretends so. It cannot be processed here; the conversation needs a successor.
    #[error("a commit under this device's own leaf was not made by this profile")]
    UnknownOwn {
        /// Who bound themselves to it: this device, or the member who pretends.
        bound: Option<Member>,
    },
    /// The registered access key is not the one that the new epoch gives (C-036): nobody can open the log.
    /// A successor goes on without the committer, when the binding names one.
    #[error("the commit registers wrong keys for the new epoch")]
    WrongKeys {
        /// Who made it, when the binding names them.
        committer: Option<Member>,
    },
    /// It does what nobody may do. The committer is hostile: stop, and ask the person.
    #[error("{violation}")]
    Policy {
        /// What.
        violation: PolicyViolation,
        /// Who.
        committer: Member,
    },
    /// A leaf in it is not accepted here. When accounts are named, fetch and accept their newest states, then
    /// try again; when none is, the committer is hostile.
    #[error("{error}")]
    Leaf {
        /// Why; of the first such leaf.
        error: LeafNodeError,
        /// Accounts whose newer states could change that.
        missing: Box<[Wanted]>,
        /// Who committed.
        committer: Member,
    },
    /// It removes a device that only its revocation allows to remove, and by the state accepted here it is not
    /// revoked (C-095). Fetch the account's newest states and try again; if that changes nothing, the
    /// committer is hostile.
    #[error("a member removes a device that is not revoked")]
    Revocation {
        /// Whose device.
        account_id: AccountId,
        /// Who committed.
        committer: Member,
    },
    /// The conversation asks for a newer program: update, then try again. Nothing is lost.
    #[error("the conversation needs a newer version of conclave")]
    NeedsNewerVersion,
    /// The store failed, or we are broken. Roll back and drop the conversation.
    #[error(transparent)]
    Failed(#[from] MlsFailure),
}

impl ApplyError {
    /// The accounts whose states may turn the refusal into an acceptance: fetch and accept them, then
    /// apply the same entry again. Bounded: what is refused twice under the same states is refused.
    pub fn missing(&self) -> Vec<Wanted> {
        match self {
            Self::Leaf { missing, .. } => missing.to_vec(),
            Self::Revocation { account_id, .. } => vec![Wanted::Newest(*account_id)],
            _ => vec![],
        }
    }
}

impl From<RowsError> for ApplyError {
    fn from(error: RowsError) -> Self {
        Self::Failed(error.into())
    }
}

impl Conversation {
    /// Applies the payload of a commit entry that the log holds in `epoch`. The caller's cursor stands right before it.
    pub fn apply_commit(
        &mut self,
        outside: Outside<'_>,
        accounts: &dyn Accounts,
        payload: &[u8],
        epoch: Epoch,
    ) -> Result<Applied, ApplyError> {
        if !self.is_active() {
            return Err(ApplyError::NotMember);
        }
        let own = self.epoch();
        if epoch != own {
            return Err(ApplyError::WrongEpoch { entry: epoch, own });
        }
        let entry = self.parse_entry(payload, epoch)?;
        // C-061: own commits are known by the bytes of the whole entry, since MLS cannot read its own
        let pending = self.pending(outside.rows)?;
        let staged = if pending.is_some_and(|pending| pending.entry == payload) {
            None
        } else {
            Some(self.process(outside, accounts, &entry)?)
        };
        self.merge(outside, entry.head.retention_days, staged)
    }

    fn parse_entry(&self, payload: &[u8], epoch: Epoch) -> Result<CommitEntry, ApplyError> {
        let garbage = |reason| ApplyError::Garbage {
            reason,
            committer: None,
        };
        if payload.len() > COMMIT_ENTRY_BYTES_MAX {
            return Err(garbage("too long"));
        }
        let entry: CommitEntry =
            codec::parse_exact(payload).map_err(|_| garbage("not a commit entry"))?;
        let access = self.access_key()?.public();
        // C-023: both access keys signed this head for this log, epoch and commit
        let context = &self.context;
        if entry.verify(context.server_id, context.log_id, epoch, &access) {
            Ok(entry)
        } else {
            Err(garbage("its head or signatures do not hold"))
        }
    }

    /// Steps 2 to 4: the staged commit of somebody else, fully checked.
    fn process(
        &mut self,
        outside: Outside<'_>,
        accounts: &dyn Accounts,
        entry: &CommitEntry,
    ) -> Result<(Member, StagedCommit), ApplyError> {
        let bound = binding::open(self, &entry.head, entry.binding.as_slice())?;
        let garbage = |reason| ApplyError::Garbage {
            reason,
            committer: bound,
        };
        let message = envelope::parse(
            entry.commit.as_slice(),
            self.log_id(),
            entry.head.base_epoch,
            ContentType::Commit,
        )
        .map_err(garbage)?;
        let provider = outside.provider();
        let processed = self.group.process_message(&provider, message);
        let processed = provider
            .settle(processed)?
            .map_err(|_| garbage("mls refuses it"))?;
        let sender = match processed.sender() {
            Sender::Member(leaf) => *leaf,
            _ => return Err(garbage("not by a member")),
        };
        let staged = match processed.into_content() {
            ProcessedMessageContent::StagedCommitMessage(staged) => *staged,
            ProcessedMessageContent::OwnPrivateMessage => {
                return Err(ApplyError::UnknownOwn { bound });
            }
            _ => return Err(garbage("not a commit")),
        };
        let committer = self
            .member(sender.u32())
            .ok_or_else(|| garbage("not by a member"))?;
        let members = self.members();
        let summary = Summary::of(&staged, committer, &members, accounts);
        self.check_policy(&members, &summary)?;
        self.check_leaves(&staged, accounts, (sender, committer))?;
        self.check_keys(&staged, entry, bound, committer)?;
        Ok((committer, staged))
    }

    fn check_policy(&self, members: &[Member], summary: &Summary) -> Result<(), ApplyError> {
        let committer = summary.committer;
        let is_newer = summary.context == Err(ContextError::NeedsNewerVersion);
        if is_newer && policy::may_describe(&self.context, summary) {
            return Err(ApplyError::NeedsNewerVersion);
        }
        // C-034, C-035, C-091 to C-095
        policy::check(&self.context, members, summary).map_err(|violation| match violation {
            PolicyViolation::Remove { account_id } => ApplyError::Revocation {
                account_id,
                committer,
            },
            violation => ApplyError::Policy {
                violation,
                committer,
            },
        })
    }

    fn check_leaves(
        &self,
        staged: &StagedCommit,
        accounts: &dyn Accounts,
        (sender, committer): (LeafNodeIndex, Member),
    ) -> Result<(), ApplyError> {
        let shape = |node: &LeafNode| {
            check_capabilities(node).map_err(|()| ApplyError::Policy {
                violation: PolicyViolation::Proposal,
                committer,
            })
        };
        let mut checks = Checks::default();
        if let Some(node) = staged.update_path_leaf_node() {
            shape(node)?;
            // C-017, C-018, C-030: the committer's new leaf, against the one it replaces
            let previous = self.claim_at(sender);
            let checked = leaf::check_node(node, accounts, previous.as_ref()).map(|_| ());
            // C-099, C-186: who knows of a removal or a newer key and who does not yet come to the same verdict
            let has_key = previous.is_some_and(|it| leaf::has_key(node, &it));
            checks.take(checked.or_else(|refused| refused.unless_known_before(has_key)));
        }
        for add in staged.add_proposals() {
            let package = add.add_proposal().key_package();
            shape(package.leaf_node())?;
            let node = package.leaf_node();
            let checked = leaf::check_node(node, accounts, None).map(|_| ());
            // C-180: so that who reads this after the device was removed comes to the same verdict
            let key = node.signature_key().as_slice();
            checks.take(
                checked.or_else(|refused| refused.unless_former(node.credential(), key, accounts)),
            );
            let init_key = leaf::trial_seal(package.hpke_init_key().as_slice());
            checks.take(init_key.map_err(|error| Refusal::of(error.into())));
        }
        checks.finish().map_err(|refused| ApplyError::Leaf {
            error: refused.error,
            missing: refused.missing.into(),
            committer,
        })
    }

    /// C-036: the registered key is the one the new epoch gives, and the committer bound themselves to it.
    fn check_keys(
        &self,
        staged: &StagedCommit,
        entry: &CommitEntry,
        bound: Option<Member>,
        committer: Member,
    ) -> Result<(), ApplyError> {
        if !staged.self_removed() {
            let context = &self.context;
            let seed = staged.export(Use::Access, context.server_id, context.log_id)?;
            if AccessKey::from_seed(seed).public() != entry.head.next_access_key {
                return Err(ApplyError::WrongKeys { committer: bound });
            }
        }
        if bound == Some(committer) {
            Ok(())
        } else {
            Err(ApplyError::Garbage {
                reason: "its binding is not by the committer",
                committer: bound,
            })
        }
    }

    /// Step 5. `staged` is somebody else's; `None` merges our own pending commit.
    fn merge(
        &mut self,
        outside: Outside<'_>,
        retention_days: u8,
        staged: Option<(Member, StagedCommit)>,
    ) -> Result<Applied, ApplyError> {
        let provider = outside.provider();
        successor::store_previous(outside.rows, &self.current_reboot_psk()?)?;
        let committer = staged.as_ref().map(|(committer, _)| *committer);
        let theirs = staged.as_ref().map(|(_, staged)| staged);
        let moves = theirs
            .or(self.group.pending_commit())
            .map(|staged| self.moves(staged))
            .unwrap_or_default();
        let context_before = self.context.clone();
        if let Some((_, staged)) = staged {
            let merged = self.group.merge_staged_commit(&provider, staged);
            provider.must("merge a commit", merged)?;
        } else {
            // MLS merges nothing, without an error, when nothing pends
            let pending = self.group.pending_commit().ok_or("none pends");
            provider.must("find our commit", pending)?;
            let merged = self.group.merge_pending_commit(&provider);
            provider.must("merge our commit", merged)?;
        }
        // another entry ended the epoch, or ours did: either way nothing of ours is undecided now
        members::delete_pending(outside.rows, self.log_id())?;
        self.refresh_context()?;
        let (next_access, after) = if self.is_active() {
            (Some(self.access_key()?), self.members())
        } else {
            (None, vec![])
        };
        Ok(Applied {
            committer,
            next_access,
            retention_days,
            added: moves.arrived(&after),
            removed: moves.removed,
            context_before,
        })
    }

    /// Who comes and goes with `staged`.
    fn moves(&self, staged: &StagedCommit) -> Moves {
        let removed = staged
            .remove_proposals()
            .filter_map(|queued| self.member(queued.remove_proposal().removed().u32()))
            .collect();
        let added = staged
            .add_proposals()
            .filter_map(|add| {
                let leaf = add.add_proposal().key_package().leaf_node();
                leaf::claim(leaf.credential(), leaf.signature_key().as_slice()).ok()
            })
            .map(|claim| (claim.credential.account_id, claim.credential.device_id))
            .collect();
        Moves { removed, added }
    }

    /// After a merge: the context that policy accepted, or our own commit's.
    fn refresh_context(&mut self) -> Result<(), MlsFailure> {
        self.context = ConversationContext::read(self.group.extensions()).map_err(|error| {
            MlsFailure::Refused {
                step: "read the merged context",
                detail: error.to_string(),
            }
        })?;
        Ok(())
    }
}

/// Who comes and goes with a commit.
#[derive(Default)]
struct Moves {
    removed: Vec<Member>,
    added: Vec<policy::Device>,
}

impl Moves {
    /// The added devices where they are now.
    fn arrived(&self, members: &[Member]) -> Vec<Member> {
        members
            .iter()
            .filter(|member| self.added.contains(&(member.account_id, member.device_id)))
            .copied()
            .collect()
    }
}
