//! Blobs over HTTP: encrypted files of any size that clients put in and take out in parts.
//!
//! A blob has a random id, its bytes and the day it began: no row or name links it to an account, a
//! device or a log. [`BlobStore`] says what is kept in a few verbs, so that something else than this
//! machine's disk can stand behind it; [`FolderBlobs`] keeps files in the data folder, [`S3Blobs`] in a bucket.
//! [`open`] takes the one that the settings name.

mod ask;
mod folder;
mod place;
mod s3;
mod serve;

use std::fmt::Debug;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use conclave_proto::id::{BlobId, Day};
use conclave_proto::limits::BLOB_PIECE_BYTES;

use crate::config::BlobsSection;

pub(crate) use ask::Asked;
pub(crate) use folder::{BlobLimits, FolderBlobs};
pub(crate) use place::Place;
pub use place::PlaceError;
pub(crate) use s3::S3Blobs;
pub(crate) use serve::{Served, run};

/// What every verb gives.
pub(crate) type BlobFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BlobError>> + Send + 'a>>;

/// The blob store could not do its work; what was answered before still holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BlobError {
    /// No room left: of the quota, or of the disk.
    #[error("no room for blobs")]
    Full,
    /// What keeps them does not answer now.
    #[error("the blob store is away")]
    Away,
    /// The machine failed.
    #[error("the blob store failed: {0}")]
    Broken(std::io::ErrorKind),
}

/// How far a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reached {
    /// Bytes that are there and synced.
    pub(crate) offset: u64,
    /// Bytes that it has when it is whole.
    pub(crate) total: u64,
}

impl Reached {
    /// Whether all of it is there.
    pub(crate) fn is_whole(self) -> bool {
        self.offset == self.total
    }
}

/// What became of beginning an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is begun, now or before.
    Open(Reached),
    /// A blob of this id has another length.
    Differs,
    /// Too many uploads are open.
    TooMany,
}

/// What became of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is there, now or before; not synced yet.
    There,
    /// Other bytes are there already.
    Differs,
    /// It begins after what is there.
    Gap(u64),
    /// It ends after the blob.
    TooLong,
    /// No upload has this id.
    Unknown,
}

/// Everything that is kept of blobs. What a verb answers is synced, but for [`Self::write`].
pub(crate) trait BlobStore: Send + Sync + Debug + 'static {
    /// Begins an upload of `total` bytes on `today`; the same again changes nothing.
    fn begin(&self, blob_id: BlobId, total: u64, today: Day) -> BlobFuture<'_, Begun>;

    /// Appends what of `bytes` is new at `offset`; what was there must be the same (C-147). The next
    /// [`Self::reached`] makes it last.
    fn write(&self, blob_id: BlobId, offset: u64, bytes: Vec<u8>) -> BlobFuture<'_, Written>;

    /// Syncs what was written and says how far it is; `None` when no blob has this id.
    fn reached(&self, blob_id: BlobId) -> BlobFuture<'_, Option<Reached>>;

    /// At most `most` bytes of a whole blob from `offset` on; `None` when there is none.
    fn read(&self, blob_id: BlobId, offset: u64, most: usize) -> BlobFuture<'_, Option<Vec<u8>>>;

    /// Deletes what has expired by `today`.
    fn sweep(&self, today: Day) -> BlobFuture<'_, ()>;

    /// How many bytes are best read at once.
    fn read_bytes(&self) -> usize {
        BLOB_PIECE_BYTES
    }
}

/// Opens the blobs that the settings name: in `folder`, or behind an S3 store with its uploads there.
pub(crate) fn open(
    folder: PathBuf,
    section: &BlobsSection,
) -> Result<Box<dyn BlobStore>, OpenError> {
    let limits = section.limits();
    Ok(match Place::parse(&section.store)? {
        None => Box::new(FolderBlobs::open(folder, limits)?),
        Some(place) => Box::new(S3Blobs::open(
            folder,
            limits,
            Arc::new(place.open(section)?),
        )?),
    })
}

/// Why blobs cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// The setting is none.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] std::io::Error),
}
