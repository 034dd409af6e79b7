//! What a folder of blobs keeps through crashes, rivals and full disks.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

const TODAY: Day = Day(20_000);
const LIMITS: BlobLimits = BlobLimits {
    quota_bytes: 10_000,
    keep_free_bytes: 0,
    keep_days: 30,
    uploads_max: 3,
};

fn id(byte: u8) -> BlobId {
    BlobId::new([byte; 32])
}

fn blobs(folder: &Path) -> FolderBlobs {
    blobs_with(folder, LIMITS)
}

fn blobs_with(folder: &Path, limits: BlobLimits) -> FolderBlobs {
    FolderBlobs::open(folder.join("blobs"), limits).unwrap()
}

fn begun(offset: u64, total: u64) -> Begun {
    Begun::Open(Reached { offset, total })
}

async fn offset(blobs: &FolderBlobs, blob_id: BlobId) -> Option<u64> {
    let reached = blobs.reached(blob_id).await.unwrap();
    reached.map(|reached| reached.offset)
}

async fn write(blobs: &FolderBlobs, blob_id: BlobId, offset: u64, bytes: &[u8]) -> Written {
    blobs.write(blob_id, offset, bytes.to_vec()).await.unwrap()
}

/// After a crash an upload goes on where it was last acknowledged: what was only written is gone.
#[tokio::test]
async fn a_crash_keeps_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let first = blobs(folder.path());
    assert_eq!(first.begin(id(1), 10, TODAY).await, Ok(begun(0, 10)));
    assert_eq!(write(&first, id(1), 0, b"abcd").await, Written::There);
    assert_eq!(offset(&first, id(1)).await, Some(4));
    assert_eq!(write(&first, id(1), 4, b"efg").await, Written::There);
    drop(first);

    let second = blobs(folder.path());
    assert_eq!(second.begin(id(1), 10, TODAY).await, Ok(begun(4, 10)));
    assert_eq!(second.read(id(1), 0, 10).await, Ok(None), "not whole yet");
    assert_eq!(write(&second, id(1), 4, b"EFGHIJ").await, Written::There);
    assert_eq!(offset(&second, id(1)).await, Some(10));
    drop(second);

    let third = blobs(folder.path());
    assert_eq!(third.begin(id(1), 10, TODAY).await, Ok(begun(10, 10)));
    let all = third.read(id(1), 0, 100).await.unwrap().unwrap();
    assert_eq!(all, b"abcdEFGHIJ");
    assert_eq!(third.read(id(1), 8, 1).await, Ok(Some(b"I".to_vec())));
    assert_eq!(
        fs::read_dir(folder.path().join("blobs/open"))
            .unwrap()
            .count(),
        0
    );
}

/// Bytes that are there are never written over, before or after the end; the same ones are welcome.
#[tokio::test]
async fn c147_nothing_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = blobs(folder.path());
    assert_eq!(write(&blobs, id(1), 0, b"x").await, Written::Unknown);
    blobs.begin(id(1), 8, TODAY).await.unwrap();
    assert_eq!(write(&blobs, id(1), 1, b"x").await, Written::Gap(0));
    assert_eq!(write(&blobs, id(1), 0, b"abcd").await, Written::There);
    assert_eq!(write(&blobs, id(1), 0, b"abcd").await, Written::There);
    assert_eq!(write(&blobs, id(1), 2, b"cdef").await, Written::There);
    assert_eq!(write(&blobs, id(1), 2, b"cdeX").await, Written::Differs);
    assert_eq!(write(&blobs, id(1), 0, b"Xbcdefgh").await, Written::Differs);
    assert_eq!(write(&blobs, id(1), 6, b"ghi").await, Written::TooLong);
    assert_eq!(write(&blobs, id(1), u64::MAX, b"a").await, Written::Gap(6));
    assert_eq!(write(&blobs, id(1), 6, b"gh").await, Written::There);
    assert_eq!(offset(&blobs, id(1)).await, Some(8));
    assert_eq!(write(&blobs, id(1), 0, b"abcdefgh").await, Written::There);
    assert_eq!(write(&blobs, id(1), 4, b"EF").await, Written::Differs);
    assert_eq!(write(&blobs, id(1), 7, b"hi").await, Written::TooLong);
    assert_eq!(blobs.begin(id(1), 16, TODAY).await, Ok(Begun::Differs));
    assert_eq!(
        blobs.read(id(1), 0, 9).await,
        Ok(Some(b"abcdefgh".to_vec()))
    );
}

/// Open uploads count with their whole length, and room comes back with what expires.
#[tokio::test]
async fn c148_quota_and_open_uploads_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = blobs(folder.path());
    for (byte, total) in [(1, 4_000), (2, 4_000)] {
        assert_eq!(
            blobs.begin(id(byte), total, TODAY).await,
            Ok(begun(0, total))
        );
    }
    assert_eq!(blobs.begin(id(3), 4_000, TODAY).await, Err(BlobError::Full));
    assert_eq!(blobs.begin(id(3), 1_000, TODAY).await, Ok(begun(0, 1_000)));
    assert_eq!(blobs.begin(id(4), 1, TODAY).await, Ok(Begun::TooMany));
    blobs.sweep(Day(TODAY.0 + 1)).await.unwrap();
    assert_eq!(blobs.begin(id(4), 1, TODAY).await, Ok(Begun::TooMany));
    blobs.sweep(Day(TODAY.0 + 2)).await.unwrap();
    assert_eq!(
        blobs.begin(id(4), 10_000, TODAY).await,
        Ok(begun(0, 10_000))
    );
    let full = BlobLimits {
        keep_free_bytes: u64::MAX / 2,
        ..LIMITS
    };
    let other = tempfile::tempdir().unwrap();
    let blobs = blobs_with(other.path(), full);
    assert_eq!(blobs.begin(id(1), 1, TODAY).await, Err(BlobError::Full));
}

/// A blob lives as many whole days as it should, also over a restart, and its file's date is its day.
#[tokio::test]
async fn c149_blobs_expire_by_days() {
    let folder = tempfile::tempdir().unwrap();
    let first = blobs(folder.path());
    first.begin(id(0xab), 4, TODAY).await.unwrap();
    write(&first, id(0xab), 0, b"abcd").await;
    assert_eq!(offset(&first, id(0xab)).await, Some(4));
    let file = folder.path().join("blobs/ab").join("ab".repeat(32));
    let facts = fs::metadata(&file).unwrap();
    assert_eq!(facts.permissions().mode() & 0o777, 0o600);
    assert_eq!(facts.modified().unwrap(), UNIX_EPOCH + since_epoch(TODAY));
    drop(first);
    let second = blobs(folder.path());
    second.sweep(Day(TODAY.0 + 30)).await.unwrap();
    assert_eq!(offset(&second, id(0xab)).await, Some(4));
    second.sweep(Day(TODAY.0 + 31)).await.unwrap();
    assert_eq!(offset(&second, id(0xab)).await, None);
    assert_eq!(second.inner.state().bytes, 0);
}

/// Names of nobody's making are removed at the start, and a file that is shorter than its name says.
#[tokio::test]
async fn strange_files_do_not_stop_a_start() {
    let folder = tempfile::tempdir().unwrap();
    drop(blobs(folder.path()));
    let open = folder.path().join("blobs/open");
    let short = Upload::name(id(1), 10, 5, TODAY);
    for name in ["x", "-", &short, &Upload::name(id(2), 1, 2, TODAY)] {
        fs::write(open.join(name), b"abc").unwrap();
    }
    let blobs = blobs(folder.path());
    assert_eq!(fs::read_dir(&open).unwrap().count(), 0);
    assert_eq!(blobs.begin(id(1), 10, TODAY).await, Ok(begun(0, 10)));
}
