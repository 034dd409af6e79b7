//! The small file `incarnation` in the data folder: how far the store was when this server last saw it.
//!
//! A store that is behind it is an older copy: a restored backup.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The file's name.
pub(super) const FILE: &str = "incarnation";

/// What the store and the file both say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Grows with each open and each new day.
    pub(super) mark: u64,
    /// Which life of the store this is.
    pub(super) incarnation: u64,
}

/// `None` when there is no file, or one that nobody can read.
pub(super) fn read(dir: &Path) -> io::Result<Option<Mark>> {
    let text = match fs::read_to_string(dir.join(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    Ok(match (numbers.next(), numbers.next()) {
        (Some(Ok(mark)), Some(Ok(incarnation))) if mark < u64::MAX / 2 => {
            Some(Mark { mark, incarnation })
        }
        _ => None,
    })
}

/// Replaces the file in one step, synced.
pub(super) fn write(dir: &Path, mark: Mark) -> io::Result<()> {
    let new = dir.join("incarnation.new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    writeln!(file, "{} {}", mark.mark, mark.incarnation)?;
    file.sync_all()?;
    fs::rename(&new, dir.join(FILE))?;
    File::open(dir)?.sync_all()
}
