//! Commits of our own, second half: made as a bundle, kept with the pending commit until the log says who won.

use conclave_proto::codec;
use conclave_proto::id::{Epoch, LogId};
use conclave_proto::label;
use conclave_proto::limits::{COMMIT_ENTRY_BYTES_MAX, RETENTION_DAYS_CHOICES};
use conclave_proto::log::{BUNDLE_VERSION, BlobRef, BundleHead, CommitEntry, Head};
use openmls::credentials::NewSignerBundle;
use openmls::key_packages::KeyPackage;
use openmls::messages::Welcome;
use openmls::prelude::{LeafNodeIndex, LeafNodeParameters};
use openmls_traits::OpenMlsProvider;
use tls_codec::{Serialize, TlsDeserializeBytes, TlsSerialize, TlsSize, VLBytes};
use zeroize::Zeroizing;

use super::welcome::SealingError;
use super::{Conversation, ConversationContext, Outside, PolicyViolation, binding};
use crate::access::{AccessKey, Exporter, Use};
use crate::key_package::credential_with_key;
use crate::mls_store::{MlsRows, RowsError};
use crate::provider::{LeafSigner, MlsFailure, Provider};
use crate::secret::Secret;

const PENDING: &str = "pending-bundle";

/// A commit of ours that the log has not decided on yet. Post `entry` and nothing else (C-061).
#[derive(Debug)]
pub struct Pending {
    /// The epoch it ends if it wins.
    pub base_epoch: Epoch,
    /// Encoded [`CommitEntry`]: the bundle's payload.
    pub entry: Vec<u8>,
    /// A_{e+1}, which opens the log if it wins.
    pub next_access: AccessKey,
}

/// Why a commit cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// This device was removed.
    #[error("this device is no longer in the conversation")]
    NotMember,
    /// One of our commits is still undecided: post that one, or read on until the log decides (C-061).
    #[error("a commit of this device is still pending")]
    PendingExists,
    /// The head given is not of the conversation's epoch: read to the head first.
    #[error("the log's head is not of the conversation's epoch")]
    WrongHead,
    /// Retention is not 1, 7 or 30 days.
    #[error("retention must be 1, 7 or 30 days")]
    Retention,
    /// The commit is over 2 MiB, or a welcome or the tree over the limit of a blob: too many devices.
    #[error("the commit, a welcome or the tree is over its limit: add fewer devices at once")]
    TooLarge,
    /// It would do what this device may not do; everybody would refuse it.
    #[error(transparent)]
    Policy(#[from] PolicyViolation),
    /// The store failed, or we are broken. Roll back and drop the conversation.
    #[error(transparent)]
    Failed(#[from] MlsFailure),
}

impl From<RowsError> for CommitError {
    fn from(error: RowsError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<SealingError> for CommitError {
    fn from(error: SealingError) -> Self {
        match error {
            SealingError::TooLarge => Self::TooLarge,
            SealingError::Failed(error) => Self::Failed(error),
        }
    }
}

/// What MLS is asked to commit, besides new keys of our own.
#[derive(Default)]
pub(super) struct Shape {
    pub(super) adds: Vec<KeyPackage>,
    pub(super) removals: Vec<LeafNodeIndex>,
    /// The new context, when it changes.
    pub(super) context: Option<ConversationContext>,
}

#[derive(TlsSize, TlsSerialize, TlsDeserializeBytes)]
struct PendingRow {
    base_epoch: Epoch,
    entry: VLBytes,
    next_seed: [u8; 32],
}

impl Conversation {
    /// Makes a commit that replaces this device's own keys (C-057), under its newest account state.
    ///
    /// `head` is where the caller's cursor stands. The pending commit, its bundle and A_{e+1} are in the
    /// rows when this returns; nothing is merged before the log has it.
    pub fn self_update(
        &mut self,
        outside: Outside<'_>,
        head: &Head,
        retention_days: u8,
    ) -> Result<Pending, CommitError> {
        self.check_ready(outside.rows, head, retention_days)?;
        let (commit, _) = self.build_commit(outside, Shape::default())?;
        self.bundle(outside, head, retention_days, commit, vec![])
    }

    /// Our undecided commit, if there is one: after a crash it is posted again unchanged (C-061).
    pub fn pending(&self, rows: &dyn MlsRows) -> Result<Option<Pending>, RowsError> {
        load_pending(rows, self.log_id())
    }

    /// Gives up our undecided commit. Only when the server definitely refused it, or it never left (C-061).
    pub fn drop_pending(&mut self, outside: Outside<'_>) -> Result<(), MlsFailure> {
        let provider = outside.provider();
        delete_pending(outside.rows, self.log_id())?;
        let cleared = self.group.clear_pending_commit(provider.storage());
        provider.must("drop a pending commit", cleared)
    }

    pub(super) fn check_ready(
        &self,
        rows: &dyn MlsRows,
        head: &Head,
        retention_days: u8,
    ) -> Result<(), CommitError> {
        if !self.is_active() {
            return Err(CommitError::NotMember);
        }
        if !RETENTION_DAYS_CHOICES.contains(&u32::from(retention_days)) {
            return Err(CommitError::Retention);
        }
        if head.epoch != self.epoch() {
            return Err(CommitError::WrongHead);
        }
        // C-061: one undecided commit at a time, and it stays what it is
        if self.group.pending_commit().is_some() || self.pending(rows)?.is_some() {
            return Err(CommitError::PendingExists);
        }
        Ok(())
    }

    /// Stages a commit of `shape`, with new keys of our own under the newest account state.
    pub(super) fn build_commit(
        &mut self,
        outside: Outside<'_>,
        shape: Shape,
    ) -> Result<(Vec<u8>, Option<Welcome>), MlsFailure> {
        let provider = outside.provider();
        let credential = credential_with_key(outside.own);
        let parameters = LeafNodeParameters::builder()
            .with_credential_with_key(credential.clone())
            .build();
        // C-187: what stands in the tree signs the commit, what shall stand there signs the new leaf
        let (old, new) = (self.signer(outside.own), LeafSigner(&outside.own.secret));
        let mut builder = self
            .group
            .commit_builder()
            .consume_proposal_store(false)
            .force_self_update(true)
            .leaf_node_parameters(parameters)
            .propose_removals(shape.removals)
            .propose_adds(shape.adds);
        if let Some(context) = shape.context {
            let extensions = provider.must("make a context", context.extensions())?;
            let proposed = builder.propose_group_context_extensions(extensions);
            builder = provider.must("propose a context", proposed)?;
        }
        let builder = builder.load_psks(provider.storage());
        let built = provider
            .must("begin a commit", builder)?
            .build_with_new_signer(
                provider.rand(),
                provider.crypto(),
                &old,
                NewSignerBundle {
                    signer: &new,
                    credential_with_key: credential,
                },
                |_| true,
            );
        let staged = provider
            .must("build a commit", built)?
            .stage_commit(&provider);
        let (commit, welcome, _) = provider.must("stage a commit", staged)?.into_contents();
        let bytes = provider.must("encode a commit", commit.tls_serialize_detached())?;
        Ok((bytes, welcome))
    }

    /// The bundle around our staged commit, kept in the rows.
    pub(super) fn bundle(
        &self,
        outside: Outside<'_>,
        head: &Head,
        retention_days: u8,
        commit: Vec<u8>,
        blobs: Vec<BlobRef>,
    ) -> Result<Pending, CommitError> {
        let next_access = self.next_access(&outside.provider())?;
        let bundle = BundleHead {
            version: BUNDLE_VERSION,
            server_id: self.context.server_id,
            log_id: self.context.log_id,
            base_epoch: self.epoch(),
            base_seq: head.seq,
            base_hash: head.hash,
            commit_hash: label::sha256(&commit),
            next_access_key: next_access.public(),
            blobs,
            retention_days,
        };
        let entry = codec::encode(&CommitEntry {
            old_signature: self.access_key()?.sign_old(&bundle).into(),
            new_signature: next_access.sign_new(&bundle).into(),
            binding: binding::seal(self, outside.own, outside.env, &bundle)?.into(),
            commit: commit.into(),
            head: bundle,
        });
        if entry.len() > COMMIT_ENTRY_BYTES_MAX {
            return Err(CommitError::TooLarge);
        }
        let pending = Pending {
            base_epoch: self.epoch(),
            entry,
            next_access,
        };
        store_pending(outside.rows, self.log_id(), &pending)?;
        Ok(pending)
    }

    /// A_{e+1} by our pending commit: the same that everybody derives after merging it.
    fn next_access(&self, provider: &Provider<'_>) -> Result<AccessKey, MlsFailure> {
        let pending = provider.must(
            "find the pending commit",
            self.group.pending_commit().ok_or("there is none"),
        )?;
        let context = &self.context;
        pending
            .export(Use::Access, context.server_id, context.log_id)
            .map(AccessKey::from_seed)
    }
}

fn store_pending(rows: &dyn MlsRows, log_id: LogId, pending: &Pending) -> Result<(), RowsError> {
    let row = PendingRow {
        base_epoch: pending.base_epoch,
        entry: pending.entry.clone().into(),
        next_seed: *pending.next_access.seed().expose(),
    };
    let key = log_id.as_bytes();
    rows.put(
        Some(key),
        PENDING,
        key,
        &Zeroizing::new(codec::encode(&row)),
    )
}

pub(super) fn load_pending(
    rows: &dyn MlsRows,
    log_id: LogId,
) -> Result<Option<Pending>, RowsError> {
    let Some(bytes) = rows.load(PENDING, log_id.as_bytes())?.map(Zeroizing::new) else {
        return Ok(None);
    };
    let mut row: PendingRow = codec::parse_exact(&bytes).map_err(RowsError::new)?;
    Ok(Some(Pending {
        base_epoch: row.base_epoch,
        entry: row.entry.into(),
        next_access: AccessKey::from_seed(Secret::take(&mut row.next_seed)),
    }))
}

pub(super) fn delete_pending(rows: &dyn MlsRows, log_id: LogId) -> Result<(), RowsError> {
    rows.delete(PENDING, log_id.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mls_store::MemoryRows;

    /// The stored form of a pending bundle is pinned: changing it needs a migration.
    #[test]
    fn stored_pending_encoding() {
        let rows = MemoryRows::default();
        let log_id = LogId::new([1; 32]);
        let pending = Pending {
            base_epoch: Epoch(5),
            entry: vec![0xee; 3],
            next_access: AccessKey::from_seed(Secret::take(&mut [2; 32])),
        };
        store_pending(&rows, log_id, &pending).unwrap();
        let stored = rows.load(PENDING, log_id.as_bytes()).unwrap().unwrap();
        let expected = format!("000000000000000503eeeeee{}", "02".repeat(32));
        assert_eq!(hex::encode(stored), expected);
        let loaded = load_pending(&rows, log_id).unwrap().unwrap();
        assert_eq!(loaded.entry, pending.entry);
        rows.put(None, PENDING, log_id.as_bytes(), b"torn").unwrap();
        assert!(load_pending(&rows, log_id).is_err());
    }
}
