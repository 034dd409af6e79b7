//! The data folder: 0700, its files 0600, written whole or not at all.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The address that the last `serve` bound.
const LISTENING: &str = "listening";
/// Locked while a process has the folder open.
const LOCK: &str = "lock";

/// Makes the folder when it is not there and keeps everybody else out of it.
pub fn prepare(folder: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    if mode(folder)? != 0o700 {
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Takes the folder for one process, as long as the file lives; `None` when another one has it.
pub fn lock(folder: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(source),
    }
}

/// The permission bits of a path.
pub fn mode(path: &Path) -> io::Result<u32> {
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o777)
}

/// Writes a 0600 file so that after a crash the old or the new one is there, never half of one.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    match std::fs::remove_file(&partial) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)?;
    File::open(folder)?.sync_all()
}

/// Remembers the address that a server bound.
pub fn remember_listening(folder: &Path, address: std::net::SocketAddr) -> io::Result<()> {
    write_private(&folder.join(LISTENING), format!("{address}\n").as_bytes())
}

/// The address that the last server from this folder bound.
pub fn last_listening(folder: &Path) -> Option<std::net::SocketAddr> {
    let text = std::fs::read_to_string(folder.join(LISTENING)).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that is open to others is closed; files are for their owner alone.
    #[test]
    fn folder_and_files_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a").join("b");
        prepare(&data).unwrap();
        std::fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
        prepare(&data).unwrap();
        assert_eq!(mode(&data).unwrap(), 0o700);
        let file = data.join("key");
        write_private(&file, b"one").unwrap();
        write_private(&file, b"two").unwrap();
        assert_eq!(mode(&file).unwrap(), 0o600);
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
    }
}
