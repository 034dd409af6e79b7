//! Conversations as the server sees them: entries, the chain over them, signed heads and commit bundles.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize, VLBytes};

use crate::account::verify_ed25519;
use crate::blob::NewBlob;
use crate::codec;
use crate::id::{BlobId, Epoch, Hash32, Incarnation, LogId, Seq, ServerId};
use crate::label;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum EntryKind {
    /// Not a kind.
    Unspecified = 0,
    /// An encoded [`CommitEntry`]: ends its epoch.
    Commit = 1,
    /// A sealed message (MLS PrivateMessage).
    Message = 2,
}

/// One entry of a log as it travels.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    /// Position, from 1, without gaps.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// Epoch in which it was appended; a commit carries the epoch it ends.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// An [`EntryKind`].
    #[prost(enumeration = "EntryKind", tag = "3")]
    pub kind: i32,
    /// The bytes; empty when expired.
    #[prost(bytes = "vec", tag = "4")]
    pub payload: Vec<u8>,
    /// Day stamp of the append, days since 1970-01-01 UTC.
    #[prost(uint32, tag = "5")]
    pub day: u32,
    /// When the payload has expired: its SHA-256, so that the chain still closes. Else empty (C-026).
    #[prost(bytes = "vec", tag = "6")]
    pub expired_hash: Vec<u8>,
}

impl Entry {
    /// SHA-256 of the payload, also for an expired entry; `None` when that is malformed.
    pub fn payload_hash(&self) -> Option<Hash32> {
        if self.expired_hash.is_empty() {
            Some(label::sha256(&self.payload))
        } else if self.payload.is_empty() {
            Hash32::parse(&self.expired_hash)
        } else {
            None
        }
    }

    /// Whether the payload is gone.
    pub fn is_expired(&self) -> bool {
        !self.expired_hash.is_empty()
    }
}

/// `h_0` of a log (C-025).
pub fn chain_start(server_id: ServerId, log_id: LogId) -> Hash32 {
    label::hash(
        label::CHAIN_START,
        &[server_id.as_bytes().as_slice(), log_id.as_bytes()].concat(),
    )
}

/// `h_i = SHA-256(h_{i-1} ‖ seq ‖ epoch ‖ kind ‖ SHA-256(payload))`; u64, u64 and u8 big-endian (C-025).
pub fn chain_next(
    previous: Hash32,
    seq: Seq,
    epoch: Epoch,
    kind: EntryKind,
    payload_hash: Hash32,
) -> Hash32 {
    let kind = u8::from(kind == EntryKind::Message) + 1;
    let mut input = Vec::with_capacity(81);
    input.extend_from_slice(previous.as_bytes());
    input.extend_from_slice(&seq.0.to_be_bytes());
    input.extend_from_slice(&epoch.0.to_be_bytes());
    input.push(kind);
    input.extend_from_slice(payload_hash.as_bytes());
    label::sha256(&input)
}

/// Where a log stands: after entry `seq`, in `epoch`, with chain hash `hash`, in this life of the server.
///
/// A handle of an ended epoch is shown the head right after the commit that ended it: `epoch` is then
/// one more than the handle's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct Head {
    /// Current epoch.
    pub epoch: Epoch,
    /// Last entry; 0 in an empty log.
    pub seq: Seq,
    /// Chain hash after that entry.
    pub hash: Hash32,
    /// The server store's incarnation.
    pub incarnation: Incarnation,
}

/// Bytes that a server signs to vouch for a head (Ed25519, the key of its TLS leaf certificate).
pub fn head_signing_input(server_id: ServerId, log_id: LogId, head: &Head) -> Vec<u8> {
    let content = [
        server_id.as_bytes().as_slice(),
        log_id.as_bytes(),
        &codec::encode(head),
    ]
    .concat();
    label::signing_input(label::LOG_HEAD, &content)
}

/// A head as it travels.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WireHead {
    /// Current epoch.
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    /// Last entry.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// Chain hash, 32 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub hash: Vec<u8>,
    /// The store's incarnation.
    #[prost(uint64, tag = "4")]
    pub incarnation: u64,
}

impl From<Head> for WireHead {
    fn from(head: Head) -> Self {
        Self {
            epoch: head.epoch.0,
            seq: head.seq.0,
            hash: head.hash.to_vec(),
            incarnation: head.incarnation.0,
        }
    }
}

impl WireHead {
    /// The checked head, or `None` when the hash is not 32 bytes.
    pub fn parse(&self) -> Option<Head> {
        Some(Head {
            epoch: Epoch(self.epoch),
            seq: Seq(self.seq),
            hash: Hash32::parse(&self.hash)?,
            incarnation: Incarnation(self.incarnation),
        })
    }
}

// --- commit bundles ---------------------------------------------------------------------------

/// One blob that a bundle brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct BlobRef {
    /// The blob.
    pub blob_id: BlobId,
    /// SHA-256 of its bytes.
    pub hash: Hash32,
}

/// Version of [`BundleHead`].
pub const BUNDLE_VERSION: u16 = 1;

/// What a commit changes, as both access keys sign it (C-023).
#[derive(Debug, Clone, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct BundleHead {
    /// [`BUNDLE_VERSION`].
    pub version: u16,
    /// The server.
    pub server_id: ServerId,
    /// The log.
    pub log_id: LogId,
    /// Epoch that the commit ends.
    pub base_epoch: Epoch,
    /// Last entry that the committer had seen.
    pub base_seq: Seq,
    /// Chain hash there.
    pub base_hash: Hash32,
    /// SHA-256 of the commit.
    pub commit_hash: Hash32,
    /// Public half of A_{e+1}.
    pub next_access_key: [u8; 32],
    /// Blobs stored with it, in order.
    pub blobs: Vec<BlobRef>,
    /// Retention of messages from here on: 1, 7 or 30 days.
    pub retention_days: u8,
}

impl BundleHead {
    /// Bytes that A_e signs.
    pub fn old_input(&self) -> Vec<u8> {
        label::signing_input(label::BUNDLE_OLD, &codec::encode(self))
    }

    /// Bytes that A_{e+1} signs.
    pub fn new_input(&self) -> Vec<u8> {
        label::signing_input(label::BUNDLE_NEW, &codec::encode(self))
    }

    /// Bytes that the committer's leaf key signs for the binding.
    pub fn binding_input(&self) -> Vec<u8> {
        label::signing_input(label::BUNDLE_BINDING, &codec::encode(self))
    }
}

/// Payload of a commit entry: what readers need to check who registered which key (C-023).
#[derive(Debug, Clone, PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct CommitEntry {
    /// The head that both keys signed.
    pub head: BundleHead,
    /// A_e's signature, 64 bytes.
    pub old_signature: VLBytes,
    /// A_{e+1}'s signature, 64 bytes.
    pub new_signature: VLBytes,
    /// The committer's leaf signature over the head, sealed under an exporter key of epoch e.
    pub binding: VLBytes,
    /// The MLS commit (PrivateMessage).
    pub commit: VLBytes,
}

impl CommitEntry {
    /// Checks everything that needs no member's secret: version, ids, commit hash and both signatures (C-023).
    pub fn verify(
        &self,
        server_id: ServerId,
        log_id: LogId,
        epoch: Epoch,
        access_key: &[u8; 32],
    ) -> bool {
        let head = &self.head;
        head.version == BUNDLE_VERSION
            && head.server_id == server_id
            && head.log_id == log_id
            && head.base_epoch == epoch
            && crate::limits::RETENTION_DAYS_CHOICES.contains(&u32::from(head.retention_days))
            && head.commit_hash == label::sha256(self.commit.as_slice())
            && verify_ed25519(access_key, &head.old_input(), self.old_signature.as_slice())
            && verify_ed25519(
                &head.next_access_key,
                &head.new_input(),
                self.new_signature.as_slice(),
            )
    }
}

// --- requests of the logs connection ----------------------------------------------------------

/// Creates a log at epoch 1 and opens it. The same request again gets the same answer, another one `conflict` (C-020).
#[derive(Clone, PartialEq, prost::Message)]
pub struct CreateLog {
    /// Member pass, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub pass: Vec<u8>,
    /// The log, 32 bytes: random, equals the MLS group id.
    #[prost(bytes = "vec", tag = "2")]
    pub log_id: Vec<u8>,
    /// Public half of A_1, 32 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub access_key: Vec<u8>,
    /// Ed25519 by A_1: [`crate::hello::Purpose::CreateLog`] over [`Self::fields_hash`].
    #[prost(bytes = "vec", tag = "4")]
    pub proof: Vec<u8>,
    /// Welcomes and tree.
    #[prost(message, repeated, tag = "5")]
    pub blobs: Vec<NewBlob>,
    /// Retention of messages: 1, 7 or 30 days.
    #[prost(uint32, tag = "6")]
    pub retention_days: u32,
}

impl CreateLog {
    /// Hash over everything but pass and proof: what the proof covers and "the same request" means.
    pub fn fields_hash(&self) -> Hash32 {
        let mut input = Vec::new();
        input.extend_from_slice(label::sha256(&self.log_id).as_bytes());
        input.extend_from_slice(label::sha256(&self.access_key).as_bytes());
        input.extend_from_slice(&self.retention_days.to_be_bytes());
        for blob in &self.blobs {
            input.extend_from_slice(label::sha256(&blob.blob_id).as_bytes());
            input.extend_from_slice(label::sha256(&blob.bytes).as_bytes());
        }
        label::hash(label::CREATE_LOG, &input)
    }
}

/// One log to open.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OpenOne {
    /// The log, 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub log_id: Vec<u8>,
    /// The epoch whose key proves.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// Ed25519 by A_e: [`crate::hello::Purpose::OpenLog`].
    #[prost(bytes = "vec", tag = "3")]
    pub proof: Vec<u8>,
}

/// Opens up to 100 logs in one frame.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OpenLogs {
    /// Each with its own proof.
    #[prost(message, repeated, tag = "1")]
    pub logs: Vec<OpenOne>,
}

/// One log that was opened, or not.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OpenedOne {
    /// The handle on this connection; 0 = unknown log, wrong key or expired key (C-022).
    #[prost(uint32, tag = "1")]
    pub handle: u32,
    /// The head this handle may see.
    #[prost(message, optional, tag = "2")]
    pub head: Option<WireHead>,
}

/// In the order of the request.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OpenedLogs {
    /// One for each asked.
    #[prost(message, repeated, tag = "1")]
    pub logs: Vec<OpenedOne>,
}

/// Appends one message. Accepted means synced to disk.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AppendEntry {
    /// An open handle.
    #[prost(uint32, tag = "1")]
    pub handle: u32,
    /// Sealed message, at most 257 KiB.
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
}

/// Where an entry went.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Appended {
    /// Its position.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// Its day stamp.
    #[prost(uint32, tag = "2")]
    pub day: u32,
}

/// Ends the epoch: one request, one transaction, compare-and-set on the epoch (C-023).
#[derive(Clone, PartialEq, prost::Message)]
pub struct PutBundle {
    /// An open handle of the epoch that the commit ends.
    #[prost(uint32, tag = "1")]
    pub handle: u32,
    /// Encoded [`CommitEntry`], at most 2 MiB.
    #[prost(bytes = "vec", tag = "2")]
    pub commit_entry: Vec<u8>,
    /// Blobs named in its head, in the same order.
    #[prost(message, repeated, tag = "3")]
    pub blobs: Vec<NewBlob>,
}

/// A handle opened by a create or bundle, and the head there.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Opened {
    /// The handle of the new epoch.
    #[prost(uint32, tag = "1")]
    pub handle: u32,
    /// The head.
    #[prost(message, optional, tag = "2")]
    pub head: Option<WireHead>,
    /// Day stamp of the commit entry.
    #[prost(uint32, tag = "3")]
    pub day: u32,
}

/// Reads entries after `after` that the handle may see.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadLog {
    /// An open handle.
    #[prost(uint32, tag = "1")]
    pub handle: u32,
    /// Last seq already held; not before the handle's epoch began.
    #[prost(uint64, tag = "2")]
    pub after: u64,
    /// At most this many entries; the server gives at most 100 or 1 MiB.
    #[prost(uint32, tag = "3")]
    pub limit: u32,
}

/// Entries without gaps, and the head at the moment of the read.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LogPage {
    /// In order, seq `after + 1` first.
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<Entry>,
    /// The head this handle may see.
    #[prost(message, optional, tag = "2")]
    pub head: Option<WireHead>,
    /// Ed25519 by the server's leaf key over [`head_signing_input`].
    #[prost(bytes = "vec", tag = "3")]
    pub head_signature: Vec<u8>,
}

/// From now on this connection gets [`LogPush`] and [`SignalPush`] for the handle.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SubscribeLog {
    /// An open handle.
    #[prost(uint32, tag = "1")]
    pub handle: u32,
}

/// Forgets a handle and its subscription.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CloseHandle {
    /// The handle.
    #[prost(uint32, tag = "1")]
    pub handle: u32,
}

/// Sends a signal to whoever is subscribed now; never stored.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SendSignal {
    /// An open handle of the current epoch.
    #[prost(uint32, tag = "1")]
    pub handle: u32,
    /// Sealed, at most 64 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
}

/// Push: the log grew to `seq`, as far as the handle may see. Only a hint.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LogPush {
    /// The subscribed handle.
    #[prost(uint32, tag = "1")]
    pub handle: u32,
    /// The newest seq visible.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// That entry itself when it is small.
    #[prost(message, optional, tag = "3")]
    pub entry: Option<Entry>,
}

/// Push: a signal.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SignalPush {
    /// The subscribed handle.
    #[prost(uint32, tag = "1")]
    pub handle: u32,
    /// The sealed bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64, payload: &[u8]) -> Entry {
        Entry {
            seq,
            epoch: 1,
            kind: EntryKind::Message.into(),
            payload: payload.to_vec(),
            day: 0,
            expired_hash: vec![],
        }
    }

    /// The chain closes over an expired entry as over the whole one, and any change of any field shows.
    #[test]
    fn c025_chain_covers_every_field() {
        let start = chain_start(ServerId::new([1; 32]), LogId::new([2; 32]));
        let whole = entry(1, b"payload");
        let expired = Entry {
            payload: vec![],
            expired_hash: label::sha256(b"payload").to_vec(),
            ..whole.clone()
        };
        assert_eq!(whole.payload_hash(), expired.payload_hash());
        let hash = label::sha256(b"payload");
        let h = chain_next(start, Seq(1), Epoch(1), EntryKind::Message, hash);
        for other in [
            chain_next(
                chain_start(ServerId::new([1; 32]), LogId::new([3; 32])),
                Seq(1),
                Epoch(1),
                EntryKind::Message,
                hash,
            ),
            chain_next(start, Seq(2), Epoch(1), EntryKind::Message, hash),
            chain_next(start, Seq(1), Epoch(2), EntryKind::Message, hash),
            chain_next(start, Seq(1), Epoch(1), EntryKind::Commit, hash),
            chain_next(
                start,
                Seq(1),
                Epoch(1),
                EntryKind::Message,
                label::sha256(b"other"),
            ),
        ] {
            assert_ne!(h, other);
        }
    }

    /// An entry that claims to be expired and carries a payload all the same is neither (C-026).
    #[test]
    fn c026_expired_entries_carry_no_payload() {
        let both = Entry {
            expired_hash: vec![0; 32],
            ..entry(1, b"x")
        };
        assert_eq!(both.payload_hash(), None);
        let short = Entry {
            expired_hash: vec![0; 31],
            ..entry(1, b"")
        };
        assert_eq!(short.payload_hash(), None);
    }
}
