//! Blobs behind an S3-compatible store: uploads lie in the folder until they are whole, then they move.
//!
//! A whole blob in the folder counts like one in the store and is read from where it is, so an answer never
//! depends on how far the move is. It is put under its id in one step and leaves the folder after that; a death
//! in between puts the same bytes again. While the store is away, uploads under way go on, and what needs it is
//! told to come again.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use conclave_proto::id::{BlobId, Day};
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{MultipartUpload as _, ObjectStore, ObjectStoreExt as _, PutPayload};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::folder::is_past;
use super::{Begun, BlobError, BlobFuture, BlobLimits, BlobStore, FolderBlobs, Reached, Written};

/// What blobs lie under in the bucket.
const PREFIX: &str = "blobs";
/// Bytes that go to the store, or come from it, at once.
const PART_BYTES: usize = 8 * 1024 * 1024;
const READ_BYTES: usize = 1024 * 1024;
/// Pauses before a move is tried again.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Blobs in a bucket.
#[derive(Debug)]
pub(crate) struct S3Blobs {
    inner: Arc<Inner>,
    mover: JoinHandle<()>,
}

#[derive(Debug)]
struct Inner {
    folder: FolderBlobs,
    bucket: Arc<dyn ObjectStore>,
    limits: BlobLimits,
    /// Bytes of all blobs in the bucket, as far as they were counted.
    bytes: AtomicU64,
    /// A blob in the folder is whole.
    moves: Notify,
}

impl Drop for S3Blobs {
    fn drop(&mut self) {
        self.mover.abort();
    }
}

impl S3Blobs {
    /// Opens the folder of uploads and begins to move what is whole there. Needs a tokio runtime.
    pub(crate) fn open(
        folder: PathBuf,
        limits: BlobLimits,
        bucket: Arc<dyn ObjectStore>,
    ) -> io::Result<Self> {
        let inner = Arc::new(Inner {
            folder: FolderBlobs::open(folder, limits)?,
            bucket,
            limits,
            bytes: AtomicU64::new(0),
            moves: Notify::new(),
        });
        let mover = tokio::spawn(move_all(Arc::clone(&inner)));
        Ok(Self { inner, mover })
    }
}

impl BlobStore for S3Blobs {
    fn begin(&self, blob_id: BlobId, total: u64, today: Day) -> BlobFuture<'_, Begun> {
        let inner = &self.inner;
        Box::pin(async move {
            if inner.folder.reached(blob_id).await?.is_none()
                && let Some(there) = inner.length(blob_id).await?
            {
                return Ok(if there == total {
                    Begun::Open(whole(total))
                } else {
                    Begun::Differs
                });
            }
            let bytes = inner.bytes.load(Ordering::Relaxed);
            if bytes.saturating_add(total) > inner.limits.quota_bytes {
                return Err(BlobError::Full);
            }
            inner.folder.begin(blob_id, total, today).await
        })
    }

    fn write(&self, blob_id: BlobId, offset: u64, bytes: Vec<u8>) -> BlobFuture<'_, Written> {
        let inner = &self.inner;
        Box::pin(async move {
            let written = inner.folder.write(blob_id, offset, bytes.clone()).await?;
            if written != Written::Unknown {
                return Ok(written);
            }
            let Some(length) = inner.length(blob_id).await? else {
                return Ok(Written::Unknown);
            };
            let end = offset.saturating_add(bytes.len() as u64);
            if end > length {
                return Ok(Written::TooLong);
            }
            // C-147: what is there stays what it is
            let there = inner.part(blob_id, offset, bytes.len()).await?;
            Ok(if bytes.is_empty() || there == Some(bytes) {
                Written::There
            } else {
                Written::Differs
            })
        })
    }

    fn reached(&self, blob_id: BlobId) -> BlobFuture<'_, Option<Reached>> {
        let inner = &self.inner;
        Box::pin(async move {
            if let Some(reached) = inner.folder.reached(blob_id).await? {
                if reached.is_whole() {
                    inner.moves.notify_one();
                }
                return Ok(Some(reached));
            }
            Ok(inner.length(blob_id).await?.map(whole))
        })
    }

    fn read(&self, blob_id: BlobId, offset: u64, most: usize) -> BlobFuture<'_, Option<Vec<u8>>> {
        let inner = &self.inner;
        Box::pin(async move {
            if let Some(bytes) = inner.folder.read(blob_id, offset, most).await? {
                return Ok(Some(bytes));
            }
            inner.part(blob_id, offset, most).await
        })
    }

    fn sweep(&self, today: Day) -> BlobFuture<'_, ()> {
        let inner = &self.inner;
        Box::pin(async move {
            inner.folder.sweep(today).await?;
            inner.sweep(today).await
        })
    }

    fn read_bytes(&self) -> usize {
        READ_BYTES
    }
}

fn whole(total: u64) -> Reached {
    Reached {
        offset: total,
        total,
    }
}

/// What the store's refusal means. Its text may name blobs, so only what kind it is goes on.
fn away(error: &object_store::Error) -> BlobError {
    use object_store::Error::{PermissionDenied, Unauthenticated};
    if matches!(error, PermissionDenied { .. } | Unauthenticated { .. }) {
        tracing::error!("the S3 store refuses this server's keys: look at blobs.s3_key_id");
    } else {
        tracing::warn!("the S3 store does not answer as it should");
    }
    BlobError::Away
}

fn path_of(blob_id: BlobId) -> Path {
    Path::from_iter([PREFIX, &hex::encode(blob_id.as_bytes())])
}

impl Inner {
    /// The length of a blob in the bucket.
    async fn length(&self, blob_id: BlobId) -> Result<Option<u64>, BlobError> {
        match self.bucket.head(&path_of(blob_id)).await {
            Ok(facts) => Ok(Some(facts.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(away(&error)),
        }
    }

    /// Bytes of a blob in the bucket.
    async fn part(
        &self,
        blob_id: BlobId,
        offset: u64,
        most: usize,
    ) -> Result<Option<Vec<u8>>, BlobError> {
        let range = offset..offset.saturating_add(most as u64);
        match self.bucket.get_range(&path_of(blob_id), range).await {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(away(&error)),
        }
    }

    /// Puts a whole blob of the folder into the bucket, a part at a time, and takes it out of the folder.
    async fn move_one(&self, blob_id: BlobId, length: u64) -> Result<(), BlobError> {
        let path = path_of(blob_id);
        if length <= PART_BYTES as u64 {
            let Some(bytes) = self.folder.read(blob_id, 0, PART_BYTES).await? else {
                return Ok(());
            };
            let put = self.bucket.put(&path, PutPayload::from(bytes)).await;
            put.map_err(|error| away(&error))?;
        } else {
            self.move_parts(blob_id, length, &path).await?;
        }
        // C-197: it leaves the folder once the bucket says that it has all of it
        if self.length(blob_id).await? != Some(length) {
            return Err(BlobError::Away);
        }
        self.bytes.fetch_add(length, Ordering::Relaxed);
        self.folder.take_out(blob_id).await
    }

    async fn move_parts(&self, blob_id: BlobId, length: u64, path: &Path) -> Result<(), BlobError> {
        let upload = self.bucket.put_multipart(path).await;
        let mut upload = upload.map_err(|error| away(&error))?;
        let mut offset = 0;
        while offset < length {
            let part = self.folder.read(blob_id, offset, PART_BYTES).await?;
            let part = part.unwrap_or_default();
            let bytes = part.len() as u64;
            let put = upload.put_part(PutPayload::from(part)).await;
            if let (Err(_), _) | (Ok(()), 0) = (put, bytes) {
                // What is left of it is the bucket's to clear up, when it does not hear this either.
                let _ = upload.abort().await;
                return Err(BlobError::Away);
            }
            offset = offset.saturating_add(bytes);
        }
        let completed = upload.complete().await;
        completed.map(|_| ()).map_err(|error| away(&error))
    }

    /// C-149: what expired goes from the bucket too; what stays is counted.
    async fn sweep(&self, today: Day) -> Result<(), BlobError> {
        let prefix = Path::from(PREFIX);
        let mut all = self.bucket.list(Some(&prefix));
        let mut bytes = 0_u64;
        while let Some(blob) = all.try_next().await.map_err(|error| away(&error))? {
            let ms = u64::try_from(blob.last_modified.timestamp_millis()).unwrap_or(0);
            if is_past(Day::of_ms(ms), self.limits.keep_days, today) {
                let deleted = self.bucket.delete(&blob.location).await;
                deleted.map_err(|error| away(&error))?;
            } else {
                bytes = bytes.saturating_add(blob.size);
            }
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }
}

/// Moves whole blobs for as long as the server runs, those of an earlier run first.
async fn move_all(inner: Arc<Inner>) {
    let mut pause = PAUSE_MIN;
    loop {
        let wholes = inner.folder.wholes().await.unwrap_or_default();
        let mut is_stuck = false;
        for (blob_id, length) in wholes {
            if inner.move_one(blob_id, length).await.is_err() {
                is_stuck = true;
                break;
            }
            pause = PAUSE_MIN;
        }
        if is_stuck {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        } else {
            inner.moves.notified().await;
        }
    }
}

#[cfg(test)]
mod tests;
