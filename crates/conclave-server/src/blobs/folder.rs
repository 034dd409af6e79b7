//! Blobs as files: `blobs/open/` holds uploads, `blobs/xx/` whole blobs under their ids.
//!
//! The name of an open upload says all there is to know of it: id, length, bytes that are synced, day.
//! It is renamed after each sync, so after a crash exactly what was acknowledged counts. A whole blob
//! carries its day as its file's date, nothing finer.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use conclave_proto::id::{BlobId, Day};
use conclave_proto::limits::{BLOB_PIECE_BYTES, BLOB_UNFINISHED_DAYS};

use super::{Begun, BlobError, BlobFuture, BlobStore, Reached, Written};

/// Folder of the uploads that are not whole.
const OPEN: &str = "open";

/// What blobs may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlobLimits {
    /// Bytes of all blobs, open ones with their whole length.
    pub(crate) quota_bytes: u64,
    /// Bytes of the disk that stay free.
    pub(crate) keep_free_bytes: u64,
    /// Days that a whole blob is kept.
    pub(crate) keep_days: u32,
    /// Uploads open at once.
    pub(crate) uploads_max: usize,
}

/// Blobs in a folder.
#[derive(Debug)]
pub(crate) struct FolderBlobs {
    inner: Arc<Inner>,
    /// Whether the disk is waited for on the caller's thread.
    is_in_place: bool,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    limits: BlobLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<BlobId, Arc<Mutex<Upload>>>,
    /// Of whole blobs, and what open ones will have.
    bytes: u64,
    /// When the last sweep was.
    swept: Option<Day>,
}

/// An upload that is not whole.
#[derive(Debug)]
struct Upload {
    file: File,
    path: PathBuf,
    total: u64,
    day: Day,
    synced: u64,
    written: u64,
    /// It is whole or gone; its file is found elsewhere or not at all.
    is_over: bool,
}

impl FolderBlobs {
    /// Opens the folder, made when missing; uploads go on where they were synced.
    pub(crate) fn open(folder: PathBuf, limits: BlobLimits) -> io::Result<Self> {
        make_folder(&folder.join(OPEN))?;
        let mut state = State::default();
        for entry in fs::read_dir(folder.join(OPEN))? {
            let entry = entry?;
            let Some((blob_id, upload)) = Upload::found(&entry)? else {
                fs::remove_file(entry.path())?;
                continue;
            };
            state.bytes = state.bytes.saturating_add(upload.total);
            state.open.insert(blob_id, Arc::new(Mutex::new(upload)));
        }
        each_whole(&folder, |_, length, _| {
            state.bytes = state.bytes.saturating_add(length);
            Ok(())
        })?;
        let inner = Arc::new(Inner {
            folder,
            limits,
            state: Mutex::new(state),
        });
        Ok(Self {
            inner,
            is_in_place: false,
        })
    }

    /// The same, without a second thread: a run repeats, and everybody waits for the disk.
    pub(crate) fn in_place(self) -> Self {
        Self {
            is_in_place: true,
            ..self
        }
    }

    /// The whole blobs and their lengths.
    pub(super) fn wholes(&self) -> BlobFuture<'_, Vec<(BlobId, u64)>> {
        self.work(|inner| {
            let mut found = Vec::new();
            each_whole(&inner.folder, |path, length, _| {
                let name = path.file_name().and_then(|name| name.to_str());
                let blob_id = name.and_then(conclave_proto::blob::parse_hex);
                found.extend(blob_id.map(|bytes| (BlobId::new(bytes), length)));
                Ok(())
            })?;
            Ok(found)
        })
    }

    /// Takes a whole blob out, once it lies elsewhere.
    pub(super) fn take_out(&self, blob_id: BlobId) -> BlobFuture<'_, ()> {
        self.work(move |inner| {
            let Some((_, length)) = inner.whole(blob_id)? else {
                return Ok(());
            };
            fs::remove_file(inner.path(blob_id))?;
            let mut state = inner.state();
            state.bytes = state.bytes.saturating_sub(length);
            Ok(())
        })
    }

    /// Runs disk work beside the connections.
    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> io::Result<T> + Send + 'static,
    ) -> BlobFuture<'_, T> {
        let (inner, is_in_place) = (Arc::clone(&self.inner), self.is_in_place);
        Box::pin(async move {
            let worked = if is_in_place {
                work(&inner)
            } else {
                let worked = tokio::task::spawn_blocking(move || work(&inner)).await;
                worked.map_err(|_| BlobError::Broken(ErrorKind::Other))?
            };
            worked.map_err(|error| match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => BlobError::Full,
                kind => BlobError::Broken(kind),
            })
        })
    }
}

impl BlobStore for FolderBlobs {
    fn begin(&self, blob_id: BlobId, total: u64, today: Day) -> BlobFuture<'_, Begun> {
        self.work(move |inner| inner.begin(blob_id, total, today))
    }

    fn write(&self, blob_id: BlobId, offset: u64, bytes: Vec<u8>) -> BlobFuture<'_, Written> {
        self.work(move |inner| inner.write(blob_id, offset, &bytes))
    }

    fn reached(&self, blob_id: BlobId) -> BlobFuture<'_, Option<Reached>> {
        self.work(move |inner| inner.reached(blob_id))
    }

    fn read(&self, blob_id: BlobId, offset: u64, most: usize) -> BlobFuture<'_, Option<Vec<u8>>> {
        self.work(move |inner| {
            let Some((file, length)) = inner.whole(blob_id)? else {
                return Ok(None);
            };
            let left = usize::try_from(length.saturating_sub(offset)).unwrap_or(usize::MAX);
            let mut bytes = vec![0; most.min(left)];
            file.read_exact_at(&mut bytes, offset)?;
            Ok(Some(bytes))
        })
    }

    fn sweep(&self, today: Day) -> BlobFuture<'_, ()> {
        self.work(move |inner| inner.sweep(today))
    }
}

impl Inner {
    fn begin(&self, blob_id: BlobId, total: u64, today: Day) -> io::Result<Begun> {
        if let Some(reached) = self.reached(blob_id)? {
            let is_same = reached.total == total;
            return Ok(if is_same {
                Begun::Open(reached)
            } else {
                Begun::Differs
            });
        }
        let mut state = self.state();
        if let Some(_at_the_same_time) = state.open.get(&blob_id) {
            return Ok(Begun::TooMany);
        }
        if state.open.len() >= self.limits.uploads_max {
            return Ok(Begun::TooMany);
        }
        let bytes = state.bytes.saturating_add(total);
        if bytes > self.limits.quota_bytes || !self.has_room(total)? {
            return Err(ErrorKind::StorageFull.into());
        }
        let upload = Upload::create(&self.folder.join(OPEN), blob_id, total, today)?;
        state.open.insert(blob_id, Arc::new(Mutex::new(upload)));
        state.bytes = bytes;
        Ok(Begun::Open(Reached { offset: 0, total }))
    }

    fn write(&self, blob_id: BlobId, offset: u64, bytes: &[u8]) -> io::Result<Written> {
        if let Some(upload) = self.upload(blob_id) {
            let mut upload = lock(&upload);
            if !upload.is_over {
                return upload.write(offset, bytes);
            }
        }
        let Some((file, length)) = self.whole(blob_id)? else {
            return Ok(Written::Unknown);
        };
        if end_of(offset, bytes) > length {
            return Ok(Written::TooLong);
        }
        let is_same = is_there(&file, offset, bytes)?;
        Ok(if is_same {
            Written::There
        } else {
            Written::Differs
        })
    }

    fn reached(&self, blob_id: BlobId) -> io::Result<Option<Reached>> {
        if let Some(upload) = self.upload(blob_id) {
            let mut upload = lock(&upload);
            if !upload.is_over {
                upload.sync(blob_id)?;
                let reached = upload.reached();
                if reached.is_whole() {
                    self.finish(blob_id, &mut upload)?;
                }
                return Ok(Some(reached));
            }
        }
        let whole = self.whole(blob_id)?;
        Ok(whole.map(|(_, length)| Reached {
            offset: length,
            total: length,
        }))
    }

    /// A synced upload becomes a blob.
    fn finish(&self, blob_id: BlobId, upload: &mut Upload) -> io::Result<()> {
        let path = self.path(blob_id);
        let below = path.parent().unwrap_or(&self.folder);
        make_folder(below)?;
        upload
            .file
            .set_modified(UNIX_EPOCH + since_epoch(upload.day))?;
        upload.file.sync_all()?;
        fs::rename(&upload.path, &path)?;
        File::open(below)?.sync_all()?;
        upload.is_over = true;
        self.state().open.remove(&blob_id);
        Ok(())
    }

    fn sweep(&self, today: Day) -> io::Result<()> {
        if self.state().swept == Some(today) {
            return Ok(());
        }
        let open: Vec<_> = self.state().open.clone().into_iter().collect();
        for (blob_id, upload) in open {
            let mut upload = lock(&upload);
            // C-149: an upload that nobody finishes ends the day after
            if !upload.is_over && is_past(upload.day, BLOB_UNFINISHED_DAYS, today) {
                fs::remove_file(&upload.path)?;
                upload.is_over = true;
                let mut state = self.state();
                state.open.remove(&blob_id);
                state.bytes = state.bytes.saturating_sub(upload.total);
            }
        }
        each_whole(&self.folder, |path, length, day| {
            if is_past(day, self.limits.keep_days, today) {
                fs::remove_file(path)?;
                let mut state = self.state();
                state.bytes = state.bytes.saturating_sub(length);
            }
            Ok(())
        })?;
        self.state().swept = Some(today);
        Ok(())
    }

    /// Whether the disk has room for so many bytes more and what stays free.
    fn has_room(&self, bytes: u64) -> io::Result<bool> {
        let disk = rustix::fs::statvfs(&self.folder)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        Ok(free >= bytes.saturating_add(self.limits.keep_free_bytes))
    }

    fn upload(&self, blob_id: BlobId) -> Option<Arc<Mutex<Upload>>> {
        self.state().open.get(&blob_id).cloned()
    }

    /// A whole blob and its length.
    fn whole(&self, blob_id: BlobId) -> io::Result<Option<(File, u64)>> {
        match File::open(self.path(blob_id)) {
            Ok(file) => {
                let length = file.metadata()?.len();
                Ok(Some((file, length)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn path(&self, blob_id: BlobId) -> PathBuf {
        let name = hex::encode(blob_id.as_bytes());
        let below = name.get(..2).unwrap_or_default();
        self.folder.join(below).join(&name)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    fn create(folder: &Path, blob_id: BlobId, total: u64, day: Day) -> io::Result<Self> {
        let path = folder.join(Self::name(blob_id, total, 0, day));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        File::open(folder)?.sync_all()?;
        Ok(Self {
            file,
            path,
            total,
            day,
            synced: 0,
            written: 0,
            is_over: false,
        })
    }

    /// What an entry of the folder says; what came after the last sync is cut off. `None` for a name
    /// of nobody's making.
    fn found(entry: &fs::DirEntry) -> io::Result<Option<(BlobId, Self)>> {
        let name = entry.file_name();
        let Some((blob_id, total, synced, day)) = name.to_str().and_then(Self::parse_name) else {
            return Ok(None);
        };
        let path = entry.path();
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        if file.metadata()?.len() < synced {
            return Ok(None);
        }
        file.set_len(synced)?;
        let upload = Self {
            file,
            path,
            total,
            day,
            synced,
            written: synced,
            is_over: false,
        };
        Ok(Some((blob_id, upload)))
    }

    fn name(blob_id: BlobId, total: u64, synced: u64, day: Day) -> String {
        let id = hex::encode(blob_id.as_bytes());
        format!("{id}-{total}-{synced}-{}", day.0)
    }

    fn parse_name(name: &str) -> Option<(BlobId, u64, u64, Day)> {
        let mut parts = name.split('-');
        let blob_id = conclave_proto::blob::parse_hex(parts.next()?).map(BlobId::new)?;
        let (total, synced): (u64, u64) =
            (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let day = Day(parts.next()?.parse().ok()?);
        let is_sound = parts.next().is_none() && synced <= total;
        is_sound.then_some((blob_id, total, synced, day))
    }

    fn reached(&self) -> Reached {
        Reached {
            offset: self.synced,
            total: self.total,
        }
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<Written> {
        if offset > self.written {
            return Ok(Written::Gap(self.written));
        }
        if end_of(offset, bytes) > self.total {
            return Ok(Written::TooLong);
        }
        let before = usize::try_from(self.written - offset).unwrap_or(usize::MAX);
        let (again, new) = bytes.split_at(before.min(bytes.len()));
        // C-147: what is there is never written over
        if !is_there(&self.file, offset, again)? {
            return Ok(Written::Differs);
        }
        if let Err(error) = self.file.write_all_at(new, self.written) {
            self.cut_back();
            return Err(error);
        }
        self.written = self.written.saturating_add(new.len() as u64);
        Ok(Written::There)
    }

    /// Makes what was written last, file first, then the name that says so.
    fn sync(&mut self, blob_id: BlobId) -> io::Result<()> {
        if self.synced == self.written {
            return Ok(());
        }
        if let Err(error) = self.file.sync_data() {
            // what a failed sync left behind is nobody's guess
            self.cut_back();
            return Err(error);
        }
        let folder = self.path.parent().unwrap_or(Path::new(".")).to_path_buf();
        let path = folder.join(Self::name(blob_id, self.total, self.written, self.day));
        fs::rename(&self.path, &path)?;
        self.path = path;
        File::open(folder)?.sync_all()?;
        self.synced = self.written;
        Ok(())
    }

    /// Forgets what is not synced.
    fn cut_back(&mut self) {
        self.written = self.synced;
        if self.file.set_len(self.synced).is_err() {
            tracing::warn!("an upload cannot be cut back, the disk is failing");
        }
    }
}

/// Whether the file has exactly these bytes at `offset`.
fn is_there(file: &File, offset: u64, bytes: &[u8]) -> io::Result<bool> {
    let mut at = offset;
    for piece in bytes.chunks(BLOB_PIECE_BYTES) {
        let mut there = vec![0; piece.len()];
        file.read_exact_at(&mut there, at)?;
        if there != piece {
            return Ok(false);
        }
        at = end_of(at, piece);
    }
    Ok(true)
}

fn end_of(offset: u64, bytes: &[u8]) -> u64 {
    offset.saturating_add(bytes.len() as u64)
}

pub(super) fn is_past(day: Day, keep_days: u32, today: Day) -> bool {
    day.0.saturating_add(keep_days) < today.0
}

fn since_epoch(day: Day) -> Duration {
    Duration::from_millis(day.start_ms())
}

/// Calls `each` with path, length and day of every whole blob.
fn each_whole(
    folder: &Path,
    mut each: impl FnMut(&Path, u64, Day) -> io::Result<()>,
) -> io::Result<()> {
    for below in fs::read_dir(folder)? {
        let below = below?;
        if below.file_name().len() != 2 || !below.file_type()?.is_dir() {
            continue;
        }
        for blob in fs::read_dir(below.path())? {
            let (path, facts) = blob.and_then(|blob| Ok((blob.path(), blob.metadata()?)))?;
            let since = facts.modified()?.duration_since(UNIX_EPOCH);
            let ms = since.unwrap_or_default().as_millis();
            let day = Day::of_ms(u64::try_from(ms).unwrap_or(u64::MAX));
            each(&path, facts.len(), day)?;
        }
    }
    Ok(())
}

/// Makes a private folder that is there after a crash.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    match folder.parent() {
        Some(above) => File::open(above)?.sync_all(),
        None => Ok(()),
    }
}

fn lock(upload: &Mutex<Upload>) -> MutexGuard<'_, Upload> {
    upload.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
