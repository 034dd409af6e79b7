//! Where MLS state is kept: a small table of rows that the caller lends, and OpenMLS's storage trait over it.
//!
//! The client implements [`MlsRows`] over a borrowed database transaction, so a ratchet step, the
//! message row and the cursor commit together (C-050). [`MemoryRows`] is for tests and the simulator.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;

use conclave_proto::id::LogId;
use conclave_proto::label;
use openmls::group::GroupId;
use openmls_traits::storage::{CURRENT_VERSION, StorageProvider, traits};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

/// The rows could not be read or written. The caller must roll its transaction back and drop every
/// [`crate::conversation::Conversation`] that was touched in it.
#[derive(Debug, thiserror::Error)]
#[error("the rows of MLS state could not be read or written: {0}")]
pub struct RowsError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl RowsError {
    /// Wraps whatever the store underneath said.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

/// One item of a list: `(sub, value)`.
pub type ListItem = (Vec<u8>, Vec<u8>);

/// One table of rows `(group, kind, key, sub, value)`, unique by `(kind, key, sub)`, ordered by insertion.
///
/// Values are secrets: the store underneath must be encrypted at rest. A single value is a row with
/// an empty `sub`; a list has one row per `sub`. `group` is the log id (32 bytes) of rows that belong
/// to one conversation, and `None` for key packages, their keys and PSKs.
pub trait MlsRows {
    /// Writes the one value of `(kind, key)`, replacing what was there.
    fn put(
        &self,
        group: Option<&[u8]>,
        kind: &'static str,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), RowsError>;

    /// The one value of `(kind, key)`.
    fn load(&self, kind: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError>;

    /// Deletes every row of `(kind, key)`: the one value or the whole list. Nothing there is no error.
    fn delete(&self, kind: &'static str, key: &[u8]) -> Result<(), RowsError>;

    /// Adds an item to the end of the list `(kind, key)`; an item with the same `sub` is replaced in its place.
    fn append(
        &self,
        group: Option<&[u8]>,
        kind: &'static str,
        key: &[u8],
        sub: &[u8],
        value: &[u8],
    ) -> Result<(), RowsError>;

    /// The list `(kind, key)` as `(sub, value)` in order of insertion.
    fn list(&self, kind: &'static str, key: &[u8]) -> Result<Vec<ListItem>, RowsError>;

    /// Removes one item of a list. Nothing there is no error.
    fn remove(&self, kind: &'static str, key: &[u8], sub: &[u8]) -> Result<(), RowsError>;

    /// Deletes every row with this `group`: all that was ever kept of one conversation.
    fn delete_group(&self, group: &[u8]) -> Result<(), RowsError>;
}

/// Forgets a conversation entirely, previous epochs' keys included. The caller drops its
/// [`crate::conversation::Conversation`] too. Use this and not OpenMLS's own delete, which leaves the
/// keys of the last epoch behind after a removal.
pub fn delete_conversation(rows: &dyn MlsRows, log_id: LogId) -> Result<(), RowsError> {
    rows.delete_group(log_id.as_bytes())
}

#[derive(Clone, PartialEq, Eq)]
struct Row {
    group: Option<Vec<u8>>,
    sub: Vec<u8>,
    value: Zeroizing<Vec<u8>>,
}

type Table = BTreeMap<(&'static str, Vec<u8>), Vec<Row>>;

/// Rows in memory, for tests and the simulator. Holds secrets; wiped when dropped.
#[derive(Default)]
pub struct MemoryRows {
    table: RefCell<Table>,
    failing: Cell<bool>,
}

/// What [`MemoryRows`] held at one moment: a transaction's beginning.
#[derive(Clone, PartialEq, Eq)]
pub struct MemorySnapshot(Table);

impl MemoryRows {
    /// All rows as they are now.
    pub fn snapshot(&self) -> MemorySnapshot {
        MemorySnapshot(self.table.borrow().clone())
    }

    /// Goes back to `snapshot`: a rollback, or a restored backup.
    pub fn restore(&self, snapshot: &MemorySnapshot) {
        self.table.borrow_mut().clone_from(&snapshot.0);
    }

    /// Whether the rows are exactly those of `snapshot`: nothing was written since, or all of it undone.
    pub fn is_at(&self, snapshot: &MemorySnapshot) -> bool {
        *self.table.borrow() == snapshot.0
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.table.borrow().values().map(Vec::len).sum()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// From now on every call fails (or works again): a disk that is full or gone.
    pub fn set_failing(&self, failing: bool) {
        self.failing.set(failing);
    }

    fn alive(&self) -> Result<(), RowsError> {
        if self.failing.get() {
            Err(RowsError::new("the disk of this test is broken"))
        } else {
            Ok(())
        }
    }
}

impl fmt::Debug for MemoryRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryRows")
    }
}

impl fmt::Debug for MemorySnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemorySnapshot")
    }
}

impl MlsRows for MemoryRows {
    fn put(
        &self,
        group: Option<&[u8]>,
        kind: &'static str,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), RowsError> {
        self.append(group, kind, key, &[], value)
    }

    fn load(&self, kind: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        Ok(self
            .list(kind, key)?
            .into_iter()
            .next()
            .map(|(_, value)| value))
    }

    fn delete(&self, kind: &'static str, key: &[u8]) -> Result<(), RowsError> {
        self.alive()?;
        self.table.borrow_mut().remove(&(kind, key.to_vec()));
        Ok(())
    }

    fn append(
        &self,
        group: Option<&[u8]>,
        kind: &'static str,
        key: &[u8],
        sub: &[u8],
        value: &[u8],
    ) -> Result<(), RowsError> {
        self.alive()?;
        let mut table = self.table.borrow_mut();
        let rows = table.entry((kind, key.to_vec())).or_default();
        let row = Row {
            group: group.map(<[u8]>::to_vec),
            sub: sub.to_vec(),
            value: Zeroizing::new(value.to_vec()),
        };
        match rows.iter_mut().find(|row| row.sub == sub) {
            Some(old) => *old = row,
            None => rows.push(row),
        }
        Ok(())
    }

    fn list(&self, kind: &'static str, key: &[u8]) -> Result<Vec<ListItem>, RowsError> {
        self.alive()?;
        let table = self.table.borrow();
        let rows = table.get(&(kind, key.to_vec()));
        Ok(rows
            .into_iter()
            .flatten()
            .map(|row| (row.sub.clone(), row.value.to_vec()))
            .collect())
    }

    fn remove(&self, kind: &'static str, key: &[u8], sub: &[u8]) -> Result<(), RowsError> {
        self.alive()?;
        if let Some(rows) = self.table.borrow_mut().get_mut(&(kind, key.to_vec())) {
            rows.retain(|row| row.sub != sub);
        }
        Ok(())
    }

    fn delete_group(&self, group: &[u8]) -> Result<(), RowsError> {
        self.alive()?;
        for rows in self.table.borrow_mut().values_mut() {
            rows.retain(|row| row.group.as_deref() != Some(group));
        }
        Ok(())
    }
}

/// OpenMLS's storage over [`MlsRows`], keys and values in MessagePack.
///
/// OpenMLS folds some storage errors into errors about the message; so this remembers that a row
/// failed, and [`crate::provider::Provider::settle`] asks before it believes what OpenMLS says.
pub(crate) struct Storage<'a> {
    rows: &'a dyn MlsRows,
    failed: RefCell<Option<RowsError>>,
}

/// A row failed; the cause waits in the storage.
#[derive(Debug, thiserror::Error)]
#[error("a row of MLS state could not be read or written")]
pub(crate) struct StorageError;

impl<'a> Storage<'a> {
    pub(crate) fn new(rows: &'a dyn MlsRows) -> Self {
        Self {
            rows,
            failed: RefCell::new(None),
        }
    }

    /// The first failure since the last call, if any.
    pub(crate) fn take_failure(&self) -> Option<RowsError> {
        self.failed.borrow_mut().take()
    }

    fn watch<T>(&self, result: Result<T, RowsError>) -> Result<T, StorageError> {
        result.map_err(|error| {
            self.failed.borrow_mut().get_or_insert(error);
            StorageError
        })
    }

    fn encode(&self, value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, StorageError> {
        self.watch(
            rmp_serde::to_vec(value)
                .map(Zeroizing::new)
                .map_err(RowsError::new),
        )
    }

    fn decode<T: DeserializeOwned>(&self, bytes: Vec<u8>) -> Result<T, StorageError> {
        let bytes = Zeroizing::new(bytes);
        self.watch(rmp_serde::from_slice(&bytes).map_err(RowsError::new))
    }

    /// The raw group id: the `group` column, and the key of rows that a group has once.
    fn group(&self, id: &impl Serialize) -> Result<Vec<u8>, StorageError> {
        let id: GroupId = self.decode(self.encode(id)?.to_vec())?;
        Ok(id.to_vec())
    }

    fn put_one(
        &self,
        group: Option<&[u8]>,
        kind: &'static str,
        key: &[u8],
        value: &impl Serialize,
    ) -> Result<(), StorageError> {
        let value = self.encode(value)?;
        self.watch(self.rows.put(group, kind, key, &value))
    }

    fn load_one<T: DeserializeOwned>(
        &self,
        kind: &'static str,
        key: &[u8],
    ) -> Result<Option<T>, StorageError> {
        self.watch(self.rows.load(kind, key))?
            .map(|bytes| self.decode(bytes))
            .transpose()
    }

    fn delete_one(&self, kind: &'static str, key: &[u8]) -> Result<(), StorageError> {
        self.watch(self.rows.delete(kind, key))
    }
}

/// Rows that a group has once: `write, read, delete, bound, kind`.
macro_rules! of_group {
    ($($write:ident $read:ident $delete:ident $value:ident $kind:literal;)*) => {$(
        fn $write<G: traits::GroupId<CURRENT_VERSION>, T: traits::$value<CURRENT_VERSION>>(
            &self,
            group: &G,
            value: &T,
        ) -> Result<(), StorageError> {
            let group = self.group(group)?;
            self.put_one(Some(&group), $kind, &group, value)
        }

        fn $read<G: traits::GroupId<CURRENT_VERSION>, T: traits::$value<CURRENT_VERSION>>(
            &self,
            group: &G,
        ) -> Result<Option<T>, StorageError> {
            self.load_one($kind, &self.group(group)?)
        }

        fn $delete<G: traits::GroupId<CURRENT_VERSION>>(&self, group: &G) -> Result<(), StorageError> {
            self.delete_one($kind, &self.group(group)?)
        }
    )*};
}

/// Rows by a key of their own: `write, read, delete, key bound, value bound, kind` and the order of
/// the reader's generics, which the trait does not keep the same.
macro_rules! of_key {
    ($($write:ident $read:ident<$a:ident, $b:ident> $delete:ident $key:ident $value:ident $kind:literal;)*) => {$(
        fn $write<$key: traits::$key<CURRENT_VERSION>, $value: traits::$value<CURRENT_VERSION>>(
            &self,
            key: &$key,
            value: &$value,
        ) -> Result<(), StorageError> {
            self.put_one(None, $kind, &self.encode(key)?, value)
        }

        fn $read<$a: traits::$a<CURRENT_VERSION>, $b: traits::$b<CURRENT_VERSION>>(
            &self,
            key: &$key,
        ) -> Result<Option<$value>, StorageError> {
            self.load_one($kind, &self.encode(key)?)
        }

        fn $delete<$key: traits::$key<CURRENT_VERSION>>(&self, key: &$key) -> Result<(), StorageError> {
            self.delete_one($kind, &self.encode(key)?)
        }
    )*};
}

const STATE: &str = "state";
const OWN_LEAVES: &str = "own-leaves";
const PROPOSALS: &str = "proposals";
const EPOCH_KEYS: &str = "epoch-keys";

impl StorageProvider<CURRENT_VERSION> for Storage<'_> {
    type Error = StorageError;

    of_group! {
        write_mls_join_config mls_group_join_config delete_group_config MlsGroupJoinConfig "config";
        write_tree tree delete_tree TreeSync "tree";
        write_interim_transcript_hash interim_transcript_hash delete_interim_transcript_hash InterimTranscriptHash "transcript";
        write_context group_context delete_context GroupContext "context";
        write_confirmation_tag confirmation_tag delete_confirmation_tag ConfirmationTag "tag";
        write_message_secrets message_secrets delete_message_secrets MessageSecrets "message-secrets";
        write_resumption_psk_store resumption_psk_store delete_all_resumption_psk_secrets ResumptionPskStore "resumption";
        write_own_leaf_index own_leaf_index delete_own_leaf_index LeafNodeIndex "own-index";
        write_group_epoch_secrets group_epoch_secrets delete_group_epoch_secrets GroupEpochSecrets "epoch-secrets";
    }

    of_key! {
        write_signature_key_pair signature_key_pair<SignaturePublicKey, SignatureKeyPair> delete_signature_key_pair SignaturePublicKey SignatureKeyPair "signature-key";
        write_encryption_key_pair encryption_key_pair<HpkeKeyPair, EncryptionKey> delete_encryption_key_pair EncryptionKey HpkeKeyPair "encryption-key";
        write_key_package key_package<HashReference, KeyPackage> delete_key_package HashReference KeyPackage "key-package";
        write_psk psk<PskBundle, PskId> delete_psk PskId PskBundle "psk";
    }

    fn write_group_state<
        S: traits::GroupState<CURRENT_VERSION>,
        G: traits::GroupId<CURRENT_VERSION>,
    >(
        &self,
        group: &G,
        state: &S,
    ) -> Result<(), StorageError> {
        let group = self.group(group)?;
        self.put_one(Some(&group), STATE, &group, state)
    }

    fn group_state<S: traits::GroupState<CURRENT_VERSION>, G: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group: &G,
    ) -> Result<Option<S>, StorageError> {
        self.load_one(STATE, &self.group(group)?)
    }

    fn delete_group_state<G: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group: &G,
    ) -> Result<(), StorageError> {
        self.delete_one(STATE, &self.group(group)?)
    }

    fn append_own_leaf_node<
        G: traits::GroupId<CURRENT_VERSION>,
        L: traits::LeafNode<CURRENT_VERSION>,
    >(
        &self,
        group: &G,
        leaf: &L,
    ) -> Result<(), StorageError> {
        let group = self.group(group)?;
        let value = self.encode(leaf)?;
        let sub = label::sha256(&value);
        self.watch(
            self.rows
                .append(Some(&group), OWN_LEAVES, &group, sub.as_bytes(), &value),
        )
    }

    fn own_leaf_nodes<G: traits::GroupId<CURRENT_VERSION>, L: traits::LeafNode<CURRENT_VERSION>>(
        &self,
        group: &G,
    ) -> Result<Vec<L>, StorageError> {
        let items = self.watch(self.rows.list(OWN_LEAVES, &self.group(group)?))?;
        items
            .into_iter()
            .map(|(_, value)| self.decode(value))
            .collect()
    }

    fn delete_own_leaf_nodes<G: traits::GroupId<CURRENT_VERSION>>(
        &self,
        group: &G,
    ) -> Result<(), StorageError> {
        self.delete_one(OWN_LEAVES, &self.group(group)?)
    }

    fn queue_proposal<
        G: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
        P: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        group: &G,
        reference: &R,
        proposal: &P,
    ) -> Result<(), StorageError> {
        let group = self.group(group)?;
        let sub = self.encode(reference)?;
        let value = self.encode(proposal)?;
        self.watch(
            self.rows
                .append(Some(&group), PROPOSALS, &group, &sub, &value),
        )
    }

    fn queued_proposal_refs<
        G: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
    >(
        &self,
        group: &G,
    ) -> Result<Vec<R>, StorageError> {
        let items = self.watch(self.rows.list(PROPOSALS, &self.group(group)?))?;
        items.into_iter().map(|(sub, _)| self.decode(sub)).collect()
    }

    fn queued_proposals<
        G: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
        P: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        group: &G,
    ) -> Result<Vec<(R, P)>, StorageError> {
        let items = self.watch(self.rows.list(PROPOSALS, &self.group(group)?))?;
        items
            .into_iter()
            .map(|(sub, value)| Ok((self.decode(sub)?, self.decode(value)?)))
            .collect()
    }

    fn remove_proposal<
        G: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
    >(
        &self,
        group: &G,
        reference: &R,
    ) -> Result<(), StorageError> {
        let sub = self.encode(reference)?;
        self.watch(self.rows.remove(PROPOSALS, &self.group(group)?, &sub))
    }

    fn clear_proposal_queue<
        G: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
    >(
        &self,
        group: &G,
    ) -> Result<(), StorageError> {
        self.delete_one(PROPOSALS, &self.group(group)?)
    }

    fn write_encryption_epoch_key_pairs<
        G: traits::GroupId<CURRENT_VERSION>,
        E: traits::EpochKey<CURRENT_VERSION>,
        K: traits::HpkeKeyPair<CURRENT_VERSION>,
    >(
        &self,
        group: &G,
        epoch: &E,
        leaf_index: u32,
        key_pairs: &[K],
    ) -> Result<(), StorageError> {
        let key = self.encode(&(group, epoch, leaf_index))?;
        let group = self.group(group)?;
        self.put_one(Some(&group), EPOCH_KEYS, &key, &key_pairs)
    }

    fn encryption_epoch_key_pairs<
        G: traits::GroupId<CURRENT_VERSION>,
        E: traits::EpochKey<CURRENT_VERSION>,
        K: traits::HpkeKeyPair<CURRENT_VERSION>,
    >(
        &self,
        group: &G,
        epoch: &E,
        leaf_index: u32,
    ) -> Result<Vec<K>, StorageError> {
        let key = self.encode(&(group, epoch, leaf_index))?;
        Ok(self.load_one(EPOCH_KEYS, &key)?.unwrap_or_default())
    }

    fn delete_encryption_epoch_key_pairs<
        G: traits::GroupId<CURRENT_VERSION>,
        E: traits::EpochKey<CURRENT_VERSION>,
    >(
        &self,
        group: &G,
        epoch: &E,
        leaf_index: u32,
    ) -> Result<(), StorageError> {
        self.delete_one(EPOCH_KEYS, &self.encode(&(group, epoch, leaf_index))?)
    }
}

#[cfg(test)]
mod tests;
