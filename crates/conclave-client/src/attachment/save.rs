//! A sealed file of the profile's folder is opened into one of the person's choice.
//!
//! It is written beside its target under another name, synced, and put in its place in one move: whoever looks
//! sees all of it or nothing, and never something else than what was there before unless that was asked for.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use conclave_core::attachment::AttachmentPointer;
use conclave_proto::env::SharedEnv;
use conclave_proto::id::MessageId;

use super::name::numbered;
use super::read::{Content, ReadError, not_here};
use super::{file_name, find, gone, spool};
use crate::client::Client;
use crate::error::ClientError;
use crate::view::{Attachment, AttachmentState};

/// Files of one name in one folder that are told apart by a number.
const NUMBERS_MAX: u32 = 1_000;

impl Client {
    /// Where [`Client::save_attachment`] would write: `to` itself, or in it when it is a folder, under the file's safe
    /// name. When that is taken in the folder and `force` is not said, ` (1)` or the next free number stands behind it.
    /// Refused when `to` itself is there and `force` is not said, and always when that is no file.
    pub fn attachment_target(
        &self,
        file: &Attachment,
        to: &Path,
        force: bool,
    ) -> Result<PathBuf, ClientError> {
        // C-192: a name never leads out of the folder
        let target = if to.is_dir() {
            free_in(to, &file.name, force)
        } else {
            to.to_owned()
        };
        let Ok(there) = fs::symlink_metadata(&target) else {
            return Ok(target);
        };
        if there.is_dir() || !force {
            return Err(taken(&target));
        }
        // C-194: a device or a pipe is nobody's old copy
        if !there.is_file() && !there.is_symlink() {
            return Err(ClientError::BadInput(format!(
                "{} is no file; choose another name",
                target.display()
            )));
        }
        Ok(target)
    }

    /// Opens a loaded file into `to`, a file or a folder; where it was written. C-194: whole or not at all, and over
    /// nothing unless `force` is said.
    pub async fn save_attachment(
        &self,
        id: MessageId,
        number: Option<u32>,
        to: &Path,
        force: bool,
    ) -> Result<PathBuf, ClientError> {
        let (file, info) = self.engine().look(|tx, own| find(tx, own, id, number))?;
        if file.state != AttachmentState::Loaded {
            return Err(not_here());
        }
        let (folder, env) = {
            let engine = self.engine();
            (engine.files.clone(), engine.env.clone())
        };
        let sealed = folder.join(file_name(&info.pointer));
        let pointer = AttachmentPointer::parse(&info.pointer)
            .map_err(|error| ClientError::BadInput(error.to_string()))?;
        let target = self.attachment_target(&file, to, force)?;
        let job = Job {
            sealed,
            pointer,
            target: target.clone(),
            force,
        };
        let saved = tokio::task::spawn_blocking(move || job.run(&env)).await;
        match saved.map_err(|_| ClientError::Broken("a file could not be opened".into()))? {
            Ok(()) => Ok(target),
            Err(SaveError::Damaged) => {
                self.engine().step(|step| {
                    let row = step.tx.find_message(id)?.ok_or_else(|| gone(id))?;
                    Ok(step.tx.drop_file(row.name(), file.number - 1)?)
                })?;
                Err(ReadError::Damaged.into())
            }
            Err(SaveError::Taken) => Err(taken(&target)),
            Err(SaveError::Disk(error)) => Err(ClientError::BadInput(format!(
                "cannot write {}: {error}",
                target.display()
            ))),
        }
    }
}

/// The file's name in a folder, with the first number that nothing has there yet.
fn free_in(folder: &Path, name: &str, force: bool) -> PathBuf {
    let first = folder.join(name);
    if force {
        return first;
    }
    let mut targets = (0..NUMBERS_MAX).map(|number| folder.join(numbered(name, number)));
    let free = targets.find(|target| fs::symlink_metadata(target).is_err());
    // all taken: that is said of the name itself
    free.unwrap_or(first)
}

fn taken(target: &Path) -> ClientError {
    ClientError::Exists(format!(
        "{} is there already; choose another name, or say --force to replace it",
        target.display()
    ))
}

/// Why nothing was written.
enum SaveError {
    /// What lies in the profile's folder is not the file.
    Damaged,
    /// Something came to the target meanwhile.
    Taken,
    Disk(std::io::Error),
}

impl From<ReadError> for SaveError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged => Self::Damaged,
            ReadError::Disk(error) => Self::Disk(error),
        }
    }
}

impl From<std::io::Error> for SaveError {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error)
    }
}

struct Job {
    sealed: PathBuf,
    pointer: AttachmentPointer,
    target: PathBuf,
    force: bool,
}

/// A file under its other name: removed unless it was put in place.
struct Beside(PathBuf);

impl Drop for Beside {
    fn drop(&mut self) {
        // gone already when it was put in place
        let _ = fs::remove_file(&self.0);
    }
}

impl Job {
    fn run(self, env: &SharedEnv) -> Result<(), SaveError> {
        let mut sealed = Content::open(&self.sealed, &self.pointer, 0)?;
        let folder = match self.target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let beside = Beside(folder.join(format!(
            ".conclave-{}.part",
            spool::random_name(env.as_ref())
        )));
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        let mut content = options.open(&beside.0)?;
        while let Some(piece) = sealed.next()? {
            content.write_all(&piece)?;
        }
        content.sync_all()?;
        self.place(&beside.0)?;
        spool::sync_folder(folder)?;
        Ok(())
    }

    /// C-194: in one move; without `force` over nothing, whoever put it there in between.
    fn place(&self, beside: &Path) -> Result<(), SaveError> {
        if self.force {
            return Ok(fs::rename(beside, &self.target)?);
        }
        match fs::hard_link(beside, &self.target) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(SaveError::Taken),
            // A file system without links: the name is taken first.
            Err(_) => {
                let mut options = OpenOptions::new();
                let reserved = options.write(true).create_new(true).open(&self.target);
                match reserved {
                    Ok(_) => Ok(fs::rename(beside, &self.target)?),
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(SaveError::Taken),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }
}
