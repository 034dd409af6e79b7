//! A file of this disk becomes a sealed one in the profile's folder, a piece at a time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use conclave_core::attachment::{AttachmentError, CONTENT_PIECE_BYTES, Sealer};
use conclave_core::content::AttachmentInfo;
use conclave_proto::env::{Env, SharedEnv};
use zeroize::Zeroizing;

use super::{file_name, preview, safe_name};
use crate::client::Client;
use crate::error::ClientError;

/// A sealed file that no row names yet: removed when it is dropped.
#[derive(Debug)]
pub(super) struct Draft {
    /// What its message says of it.
    pub(super) info: AttachmentInfo,
    /// Its name in the profile's folder.
    pub(super) name: String,
    path: PathBuf,
}

impl Draft {
    /// Its row is written: it stays.
    pub(super) fn keep(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // sealed under a key that is forgotten: only room is lost
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Seals `source`, beside everything else that goes on.
pub(super) async fn seal(client: &Client, source: &Path) -> Result<Draft, ClientError> {
    let bytes_max = client.attachment_bytes_max()?;
    let (folder, env) = {
        let engine = client.engine();
        (engine.files.clone(), engine.env.clone())
    };
    let source = source.to_owned();
    let sealing = tokio::task::spawn_blocking(move || seal_now(&folder, &env, &source, bytes_max));
    let sealed = sealing.await;
    sealed.map_err(|_| ClientError::Broken("a file could not be sealed".into()))?
}

fn seal_now(
    folder: &Path,
    env: &SharedEnv,
    source: &Path,
    bytes_max: u64,
) -> Result<Draft, ClientError> {
    let name = source.file_name().map(|name| name.to_string_lossy());
    let name = safe_name(&name.unwrap_or_default());
    let cannot =
        |error: std::io::Error| ClientError::BadInput(format!("cannot read {name}: {error}"));
    // Looked at before it is opened: a pipe without a writer would be waited for.
    let facts = fs::metadata(source).map_err(cannot)?;
    if !facts.is_file() {
        return Err(ClientError::BadInput(format!(
            "{name} is no file; only files can be sent"
        )));
    }
    check_size(&name, facts.len(), bytes_max)?;
    let preview = preview::make(source).unwrap_or_default();
    let mut content = File::open(source).map_err(cannot)?;

    make_folder(folder).map_err(spool_failed)?;
    let path = folder.join(format!("new-{}", random_name(env.as_ref())));
    let mut draft = Draft {
        info: AttachmentInfo {
            pointer: Vec::new(),
            media_type: media_type(&name, preview.width > 0).to_owned(),
            length: 0,
            preview: preview.jpeg,
            width: preview.width,
            height: preview.height,
            name,
        },
        name: String::new(),
        path,
    };
    let options = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft.path);
    let mut sealed = options.map_err(spool_failed)?;
    let mut sealer = Sealer::new(env.as_ref());
    let mut piece = Zeroizing::new(vec![0; CONTENT_PIECE_BYTES]);
    let mut sink = |bytes: &[u8]| sealed.write_all(bytes).map_err(SpoolError::Disk);
    loop {
        let read = content.read(&mut piece).map_err(|error| {
            ClientError::BadInput(format!("cannot read {}: {error}", draft.info.name))
        })?;
        if read == 0 {
            break;
        }
        draft.info.length += read as u64;
        // it may grow while it is read
        check_size(&draft.info.name, draft.info.length, bytes_max)?;
        let now = piece.get(..read).unwrap_or_default();
        sealer.write(now, &mut sink)?;
    }
    let pointer = sealer.finish(&mut sink)?;
    sealed.sync_all().map_err(spool_failed)?;
    draft.info.pointer = pointer.to_bytes().to_vec();
    draft.name = file_name(&draft.info.pointer);
    let last = folder.join(&draft.name);
    fs::rename(&draft.path, &last).map_err(spool_failed)?;
    draft.path = last;
    sync_folder(folder).map_err(spool_failed)?;
    Ok(draft)
}

fn check_size(name: &str, bytes: u64, bytes_max: u64) -> Result<(), ClientError> {
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(ClientError::TooLarge(format!(
        "{name} has {bytes} bytes, and this profile sends files of at most {bytes_max}; raise \
         attachments.max with `conclave config set`, as far as the server takes it"
    )))
}

/// Why nothing more can be written.
enum SpoolError {
    Disk(std::io::Error),
    Seal(AttachmentError),
}

impl From<AttachmentError> for SpoolError {
    fn from(error: AttachmentError) -> Self {
        Self::Seal(error)
    }
}

impl From<SpoolError> for ClientError {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::Disk(error) => spool_failed(error),
            SpoolError::Seal(error) => Self::TooLarge(error.to_string()),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as map_err's function")]
fn spool_failed(error: std::io::Error) -> ClientError {
    ClientError::Store(format!("cannot write to its folder for files: {error}"))
}

/// Makes the private folder for files.
pub(super) fn make_folder(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes what was written to a folder last.
pub(super) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// 16 hex digits by chance.
pub(super) fn random_name(env: &dyn Env) -> String {
    let mut bytes = [0; 8];
    env.fill(&mut bytes);
    hex::encode(bytes)
}

/// Removes files from the profile's folder.
pub(crate) fn remove_files(folder: &Path, names: &[String]) {
    for name in names {
        // Looked for again at the next start.
        let _ = fs::remove_file(folder.join(name));
    }
}

/// Removes what no row names: a death came before its row, or after it was gone.
pub(super) fn tidy(folder: &Path, wanted: &[String]) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !wanted.iter().any(|wanted| wanted.as_str() == name) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// What a file is, by its ending; pictures by what they hold.
fn media_type(name: &str, is_picture: bool) -> &'static str {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending.to_ascii_lowercase().as_str() {
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        _ if is_picture => "image/*",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "svg" => "image/svg+xml",
        "pdf" => "application/pdf",
        "txt" | "log" | "md" => "text/plain",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "json" => "application/json",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "tar" => "application/x-tar",
        "mp3" => "audio/mpeg",
        "ogg" | "opus" => "audio/ogg",
        "wav" => "audio/wav",
        "mp4" | "m4v" => "video/mp4",
        "webm" => "video/webm",
        "mov" => "video/quicktime",
        _ => "application/octet-stream",
    }
}
