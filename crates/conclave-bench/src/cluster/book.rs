//! One log of the load: its keys of every epoch, and what its clients were told about it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use conclave_proto::codec;
use conclave_proto::hello::{ConnectionContext, Purpose, open_fields};
use conclave_proto::id::{Epoch, Hash32, LogId, Seq, ServerId};
use conclave_proto::label;
use conclave_proto::log::{BUNDLE_VERSION, BundleHead, CommitEntry, CreateLog, OpenOne};

use super::check::Record;

/// Writers of a log.
pub(crate) const WRITERS: u8 = 2;

/// A log that several clients share.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) id: LogId,
    seed: u64,
    record: Mutex<Record>,
}

/// Which writer's key opens each epoch, from epoch 1 on: all that a client needs of the past.
pub(crate) type Winners = Vec<u8>;

impl Book {
    /// The log with this number; its id and keys follow from the seed.
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(number);
        let id = label::sha256(&[b"log".as_slice(), &seed.to_be_bytes()].concat());
        let record = Record {
            acked: vec![Vec::new(); usize::from(WRITERS)],
            ..Record::default()
        };
        Self {
            id: LogId::new(*id.as_bytes()),
            seed,
            record: Mutex::new(record),
        }
    }

    /// What was said about the log.
    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The access key of an epoch that `who` began.
    fn key(&self, epoch: u64, who: u8) -> anyhow::Result<Ed25519KeyPair> {
        let parts = [self.seed.to_be_bytes(), epoch.to_be_bytes()].concat();
        let seed = label::sha256(&[parts.as_slice(), &[who]].concat());
        Ed25519KeyPair::from_seed_unchecked(seed.as_bytes()).context("no key from a seed")
    }

    fn public(&self, epoch: u64, who: u8) -> anyhow::Result<[u8; 32]> {
        let key = self.key(epoch, who)?;
        Ok(key.public_key().as_ref().try_into()?)
    }

    /// Who began the epoch that this commit opens.
    pub(crate) fn winner_of(&self, entry: &CommitEntry) -> anyhow::Result<u8> {
        let epoch = entry.head.base_epoch.0 + 1;
        for who in 0..WRITERS {
            if self.public(epoch, who)? == entry.head.next_access_key {
                return Ok(who);
            }
        }
        anyhow::bail!("a commit that nobody made")
    }

    /// Creates the log; the first writer began epoch 1.
    pub(crate) fn create(
        &self,
        context: &ConnectionContext,
        pass: &[u8],
    ) -> anyhow::Result<CreateLog> {
        let mut create = CreateLog {
            pass: pass.to_vec(),
            log_id: self.id.to_vec(),
            access_key: self.public(1, 0)?.to_vec(),
            proof: Vec::new(),
            blobs: Vec::new(),
            retention_days: 30,
        };
        let fields = create.fields_hash();
        let input = context.proof_input(Purpose::CreateLog, fields.as_bytes());
        create.proof = self.key(1, 0)?.sign(&input).as_ref().to_vec();
        Ok(create)
    }

    /// Proves the right to the epoch that `who` began.
    pub(crate) fn open(
        &self,
        context: &ConnectionContext,
        epoch: u64,
        who: u8,
    ) -> anyhow::Result<OpenOne> {
        let fields = open_fields(self.id, Epoch(epoch));
        let input = context.proof_input(Purpose::OpenLog, &fields);
        Ok(OpenOne {
            log_id: self.id.to_vec(),
            epoch,
            proof: self.key(epoch, who)?.sign(&input).as_ref().to_vec(),
        })
    }

    /// Ends `epoch`, which `winner` began, by a commit of `who`.
    pub(crate) fn commit(
        &self,
        server_id: ServerId,
        (epoch, winner): (u64, u8),
        who: u8,
        (base_seq, base_hash): (u64, Hash32),
    ) -> anyhow::Result<Vec<u8>> {
        let commit = format!("commit {epoch} by {who}").into_bytes();
        let head = BundleHead {
            version: BUNDLE_VERSION,
            server_id,
            log_id: self.id,
            base_epoch: Epoch(epoch),
            base_seq: Seq(base_seq),
            base_hash,
            commit_hash: label::sha256(&commit),
            next_access_key: self.public(epoch + 1, who)?,
            blobs: Vec::new(),
            retention_days: 30,
        };
        let sign = |key: Ed25519KeyPair, input: &[u8]| key.sign(input).as_ref().to_vec();
        let entry = CommitEntry {
            old_signature: sign(self.key(epoch, winner)?, &head.old_input()).into(),
            new_signature: sign(self.key(epoch + 1, who)?, &head.new_input()).into(),
            binding: vec![who].into(),
            commit: commit.into(),
            head,
        };
        Ok(codec::encode(&entry))
    }
}
