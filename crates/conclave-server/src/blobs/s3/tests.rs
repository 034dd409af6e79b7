//! Blobs behind an S3-compatible server that runs in this process and can go away.

use std::net::SocketAddr;

use conclave_proto::env::{Env as _, OsEnv};
use hyper::server::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::super::Place;
use super::*;
use crate::config::{BlobsSection, Secret};

const TODAY: Day = Day(20_000);
const LIMITS: BlobLimits = BlobLimits {
    quota_bytes: 64 * 1024 * 1024,
    keep_free_bytes: 0,
    keep_days: 30,
    uploads_max: 3,
};

/// An S3 server with one bucket, on a port of its own.
struct Bucket {
    disk: TempDir,
    address: SocketAddr,
    server: Option<JoinHandle<()>>,
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.go_away();
    }
}

impl Bucket {
    async fn start() -> Self {
        let disk = tempfile::tempdir().unwrap();
        std::fs::create_dir(disk.path().join("files")).unwrap();
        let mut bucket = Self {
            disk,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            server: None,
        };
        bucket.come_back().await;
        bucket
    }

    async fn come_back(&mut self) {
        let files = s3s_fs::FileSystem::new(self.disk.path()).unwrap();
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single("id", "key"));
        let service = service.build();
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        self.server = Some(tokio::spawn(async move {
            // connections end with this task
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                connections.spawn(async move {
                    let http = Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        }));
    }

    fn go_away(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
        }
    }

    fn blobs(&self, folder: &TempDir, key: &str) -> S3Blobs {
        let address = self.address;
        let section = BlobsSection {
            store: format!("s3://files?endpoint=http://{address}&region=test-1"),
            s3_key_id: "id".into(),
            s3_key: Secret::new(key.into()),
            ..BlobsSection::default()
        };
        let place = Place::parse(&section.store).unwrap().unwrap();
        let bucket = Arc::new(place.open(&section).unwrap());
        S3Blobs::open(folder.path().join("blobs"), LIMITS, bucket).unwrap()
    }

    /// The names under which whole blobs lie there.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.disk.path().join("files").join(PREFIX));
        let entries = entries.into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.len() == 64).collect()
    }
}

fn id(byte: u8) -> BlobId {
    BlobId::new([byte; 32])
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

async fn put(blobs: &S3Blobs, blob_id: BlobId, bytes: &[u8]) {
    let total = bytes.len() as u64;
    let begun = blobs.begin(blob_id, total, TODAY).await;
    assert!(matches!(begun, Ok(Begun::Open(_))), "{begun:?}");
    let written = blobs.write(blob_id, 0, bytes.to_vec()).await;
    assert_eq!(written, Ok(Written::There));
    assert_eq!(blobs.reached(blob_id).await, Ok(Some(whole(total))));
}

/// Until nothing whole lies in the folder any more.
async fn moved(blobs: &S3Blobs) {
    let moving = async {
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        while !blobs.inner.folder.wholes().await.unwrap().is_empty() {
            looks.tick().await;
        }
    };
    let limit = Duration::from_mins(1);
    tokio::time::timeout(limit, moving).await.expect("it moves");
}

async fn read_all(blobs: &S3Blobs, blob_id: BlobId, total: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < total {
        let most = (total - all.len()).min(blobs.read_bytes());
        let part = blobs.read(blob_id, all.len() as u64, most).await;
        all.extend(part.unwrap().unwrap());
    }
    all
}

/// A blob that is whole moves to the bucket, in one part or in several, and is read from any place; what is there is
/// never written over, and another length under its id is refused.
#[tokio::test(flavor = "multi_thread")]
async fn c197_whole_blobs_move_to_the_bucket_and_stay_what_they_are() {
    let (bucket, folder) = (Bucket::start().await, tempfile::tempdir().unwrap());
    let blobs = bucket.blobs(&folder, "key");
    let (small, large) = (content(70_000), content(17 * 1024 * 1024));
    put(&blobs, id(1), &small).await;
    put(&blobs, id(2), &large).await;
    moved(&blobs).await;
    assert_eq!(bucket.names().len(), 2);
    assert!(read_all(&blobs, id(1), small.len()).await == small);
    assert!(read_all(&blobs, id(2), large.len()).await == large);
    let range = blobs.read(id(2), 12_345_678, 99).await.unwrap().unwrap();
    assert_eq!(range, &large[12_345_678..12_345_777]);
    assert_eq!(blobs.reached(id(1)).await, Ok(Some(whole(70_000))));
    assert_eq!(blobs.reached(id(9)).await, Ok(None));
    assert_eq!(blobs.read(id(9), 0, 9).await, Ok(None));

    assert_eq!(
        blobs.begin(id(1), 70_000, TODAY).await,
        Ok(Begun::Open(whole(70_000)))
    );
    assert_eq!(blobs.begin(id(1), 70_001, TODAY).await, Ok(Begun::Differs));
    let write = |offset, bytes: &[u8]| blobs.write(id(1), offset, bytes.to_vec());
    assert_eq!(write(7, &small[7..99]).await, Ok(Written::There));
    assert_eq!(write(7, &small[8..99]).await, Ok(Written::Differs));
    assert_eq!(write(69_999, b"xy").await, Ok(Written::TooLong));
    let unknown = blobs.write(id(9), 0, b"x".to_vec()).await;
    assert_eq!(unknown, Ok(Written::Unknown));
}

/// While the bucket is away uploads go on and what is in the folder is read; what needs it is told to come again. A
/// server that is restarted meanwhile moves what waits once the bucket is back, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn c197_blobs_outlive_a_bucket_that_is_away() {
    let (mut bucket, folder) = (Bucket::start().await, tempfile::tempdir().unwrap());
    let first = bucket.blobs(&folder, "key");
    let bytes = content(100_000);
    put(&first, id(1), &bytes).await;
    moved(&first).await;
    first.begin(id(2), 100_000, TODAY).await.unwrap();
    bucket.go_away();
    let written = first.write(id(2), 0, bytes.clone()).await;
    assert_eq!(written, Ok(Written::There));
    assert_eq!(first.reached(id(2)).await, Ok(Some(whole(100_000))));
    assert!(read_all(&first, id(2), 100_000).await == bytes);
    assert_eq!(first.read(id(1), 0, 10).await, Err(BlobError::Away));
    assert_eq!(first.reached(id(1)).await, Err(BlobError::Away));
    assert_eq!(first.begin(id(3), 1000, TODAY).await, Err(BlobError::Away));
    drop(first);

    let second = bucket.blobs(&folder, "key");
    assert!(read_all(&second, id(2), 100_000).await == bytes);
    bucket.come_back().await;
    moved(&second).await;
    assert_eq!(bucket.names().len(), 2);
    for blob_id in [id(1), id(2)] {
        assert!(read_all(&second, blob_id, 100_000).await == bytes);
    }
}

/// What expired goes from the bucket and from the folder, and what is left counts against the quota.
#[tokio::test(flavor = "multi_thread")]
async fn c149_expired_blobs_leave_the_bucket() {
    let (bucket, folder) = (Bucket::start().await, tempfile::tempdir().unwrap());
    let blobs = bucket.blobs(&folder, "key");
    put(&blobs, id(1), &content(1000)).await;
    moved(&blobs).await;
    // the bucket dates by its own clock
    let today = Day::of_ms(OsEnv.now_ms());
    blobs.sweep(today).await.unwrap();
    assert_eq!(bucket.names().len(), 1);
    assert_eq!(blobs.inner.bytes.load(Ordering::Relaxed), 1000);
    let over = LIMITS.quota_bytes - 999;
    assert_eq!(blobs.begin(id(2), over, today).await, Err(BlobError::Full));
    blobs.sweep(Day(today.0 + 32)).await.unwrap();
    assert_eq!(bucket.names(), Vec::<String>::new());
    assert_eq!(blobs.reached(id(1)).await, Ok(None));
    assert_eq!(blobs.inner.bytes.load(Ordering::Relaxed), 0);
}

/// Wrong keys are an answer, no loss: nothing moves, and the right ones move it.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_refuses_the_keys_loses_nothing() {
    let (bucket, folder) = (Bucket::start().await, tempfile::tempdir().unwrap());
    let wrong = bucket.blobs(&folder, "no key");
    assert_eq!(wrong.begin(id(1), 10, TODAY).await, Err(BlobError::Away));
    let begun = wrong.inner.folder.begin(id(1), 10, TODAY).await;
    assert!(matches!(begun, Ok(Begun::Open(_))));
    let written = wrong.write(id(1), 0, b"0123456789".to_vec()).await;
    assert_eq!(written, Ok(Written::There));
    assert_eq!(wrong.reached(id(1)).await, Ok(Some(whole(10))));
    drop(wrong);
    let right = bucket.blobs(&folder, "key");
    moved(&right).await;
    assert_eq!(read_all(&right, id(1), 10).await, b"0123456789");
}
