//! A log as its members hold it, and the calls that tests make on it.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use conclave_proto::blob::NewBlob;
use conclave_proto::env::OsEnv;
use conclave_proto::frame::{reply, request::Body};
use conclave_proto::hello::{Purpose, open_fields};
use conclave_proto::id::{BlobId, Epoch, Hash32, LogId, Seq};
use conclave_proto::log::{
    AppendEntry, BUNDLE_VERSION, BlobRef, BundleHead, CommitEntry, CreateLog, LogPage, OpenLogs,
    OpenOne, Opened, OpenedOne, PutBundle, ReadLog,
};
use conclave_proto::{Refusal, codec, label};

use super::support::Client;

/// A log with the access keys of its epochs.
pub(crate) struct Log {
    pub(crate) id: LogId,
    pub(crate) keys: Vec<Ed25519KeyPair>,
}

impl Log {
    pub(crate) fn new() -> Self {
        let keys = (0..6).map(|_| Ed25519KeyPair::generate().unwrap());
        Self {
            id: LogId::random(&OsEnv),
            keys: keys.collect(),
        }
    }

    pub(crate) fn key(&self, epoch: u64) -> &Ed25519KeyPair {
        &self.keys[usize::try_from(epoch).unwrap()]
    }

    pub(crate) fn public(&self, epoch: u64) -> [u8; 32] {
        self.key(epoch).public_key().as_ref().try_into().unwrap()
    }

    pub(crate) fn create(&self, client: &Client, pass: &[u8], blobs: Vec<NewBlob>) -> CreateLog {
        let mut request = CreateLog {
            pass: pass.to_vec(),
            log_id: self.id.to_vec(),
            access_key: self.public(1).to_vec(),
            proof: Vec::new(),
            blobs,
            retention_days: 30,
        };
        let fields = request.fields_hash();
        let input = client
            .context
            .proof_input(Purpose::CreateLog, fields.as_bytes());
        request.proof = self.key(1).sign(&input).as_ref().to_vec();
        request
    }

    pub(crate) fn open_one(&self, client: &Client, epoch: u64) -> OpenOne {
        let fields = open_fields(self.id, Epoch(epoch));
        let input = client.context.proof_input(Purpose::OpenLog, &fields);
        OpenOne {
            log_id: self.id.to_vec(),
            epoch,
            proof: self.key(epoch).sign(&input).as_ref().to_vec(),
        }
    }

    pub(crate) fn commit(
        &self,
        client: &Client,
        epoch: u64,
        commit: &[u8],
        blobs: &[NewBlob],
    ) -> CommitEntry {
        let refs = blobs.iter().map(|blob| BlobRef {
            blob_id: BlobId::parse(&blob.blob_id).unwrap(),
            hash: label::sha256(&blob.bytes),
        });
        let head = BundleHead {
            version: BUNDLE_VERSION,
            server_id: client.context.server_id,
            log_id: self.id,
            base_epoch: Epoch(epoch),
            base_seq: Seq(0),
            base_hash: Hash32::new([0; 32]),
            commit_hash: label::sha256(commit),
            next_access_key: self.public(epoch + 1),
            blobs: refs.collect(),
            retention_days: 30,
        };
        let sign = |key: &Ed25519KeyPair, input: &[u8]| key.sign(input).as_ref().to_vec();
        CommitEntry {
            old_signature: sign(self.key(epoch), &head.old_input()).into(),
            new_signature: sign(self.key(epoch + 1), &head.new_input()).into(),
            binding: vec![1].into(),
            commit: commit.to_vec().into(),
            head,
        }
    }
}

pub(crate) fn opened(answer: Result<reply::Body, Refusal>) -> Opened {
    match answer {
        Ok(reply::Body::Opened(opened)) => opened,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn open(client: &mut Client, log: &Log, epoch: u64) -> OpenedOne {
    let logs = vec![log.open_one(client, epoch)];
    match client.ask(Body::OpenLogs(OpenLogs { logs })).await {
        Ok(reply::Body::OpenedLogs(mut opened)) => opened.logs.remove(0),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn append(
    client: &mut Client,
    handle: u32,
    payload: &[u8],
) -> Result<u64, Refusal> {
    let payload = payload.to_vec();
    let request = AppendEntry { handle, payload };
    match client.ask(Body::AppendEntry(request)).await? {
        reply::Body::Appended(appended) => Ok(appended.seq),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn commit(
    client: &mut Client,
    log: &Log,
    handle: u32,
    epoch: u64,
) -> Result<reply::Body, Refusal> {
    let entry = log.commit(client, epoch, b"commit", &[]);
    let request = PutBundle {
        handle,
        commit_entry: codec::encode(&entry),
        blobs: vec![],
    };
    client.ask(Body::PutBundle(request)).await
}

pub(crate) async fn read(client: &mut Client, handle: u32, after: u64) -> LogPage {
    let limit = 100;
    let request = ReadLog {
        handle,
        after,
        limit,
    };
    match client.ask(Body::ReadLog(request)).await {
        Ok(reply::Body::LogPage(page)) => page,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn seqs(page: &LogPage) -> Vec<u64> {
    page.entries.iter().map(|entry| entry.seq).collect()
}
