//! Where a profile's socket lies, and who may be at its other end: this user alone.
//!
//! The socket lies in `$XDG_RUNTIME_DIR/conclave/`, or in the profile's folder when there is no runtime folder.
//! `daemon.sock` in the profile's folder always leads to it: command lines find it without that variable.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use rustix::process::getuid;
use tokio::net::{UnixListener, UnixStream};

use crate::exit::{self, Failure};

/// The name in the profile's folder.
const SOCKET: &str = "daemon.sock";
/// Bytes of a socket's path on Linux and, shorter, on macOS.
const PATH_BYTES_MAX: usize = 103;

/// A bound socket; its files go when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    /// The socket.
    pub(super) path: PathBuf,
    /// What leads to it.
    link: Option<PathBuf>,
}

impl Drop for Place {
    fn drop(&mut self) {
        // What stays is found stale and replaced by the next daemon.
        let _ = fs::remove_file(&self.path);
        if let Some(link) = &self.link {
            let _ = fs::remove_file(link);
        }
    }
}

/// Binds the socket of the profile in `dir`. The caller holds the profile's lock: what lies there is stale.
pub(super) fn bind(
    dir: &Path,
    runtime_dir: Option<&Path>,
) -> Result<(UnixListener, Place), Failure> {
    let named = dir.join(SOCKET);
    let place = match runtime_dir.and_then(own_folder) {
        Some(folder) => Place {
            path: folder.join(format!("{}.sock", name_of(dir))),
            link: Some(named.clone()),
        },
        None => Place {
            path: named.clone(),
            link: None,
        },
    };
    if place.path.as_os_str().len() > PATH_BYTES_MAX {
        let message = format!(
            "the path of the socket is too long: {}",
            place.path.display()
        );
        return Err(Failure::new(exit::UNEXPECTED, "SOCKET", message)
            .with_hint("set XDG_RUNTIME_DIR, or use a shorter --data-dir"));
    }
    let cannot = |error: io::Error| {
        let message = format!("no socket can be made at {}: {error}", place.path.display());
        Failure::new(exit::UNEXPECTED, "SOCKET", message)
    };
    remove_stale(&named).map_err(cannot)?;
    remove_stale(&place.path).map_err(cannot)?;
    // Both folders are this user's alone: nobody gets in between this line and the next.
    let listener = UnixListener::bind(&place.path).map_err(cannot)?;
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o600)).map_err(cannot)?;
    if let Some(link) = &place.link {
        symlink(&place.path, link).map_err(cannot)?;
    }
    Ok((listener, place))
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// `conclave/` below the runtime folder, when it is this user's and nobody else's.
fn own_folder(runtime_dir: &Path) -> Option<PathBuf> {
    if !runtime_dir.is_absolute() {
        return None;
    }
    let folder = runtime_dir.join("conclave");
    // When it is there, what it is decides.
    let _ = fs::DirBuilder::new().mode(0o700).create(&folder);
    let about = fs::symlink_metadata(&folder).ok()?;
    let is_own =
        about.is_dir() && about.uid() == getuid().as_raw() && about.mode().trailing_zeros() >= 6;
    is_own.then_some(folder)
}

/// A name for the profile in `dir` that says nothing about it.
fn name_of(dir: &Path) -> String {
    let hash = digest::digest(&digest::SHA256, dir.as_os_str().as_encoded_bytes());
    hex::encode(hash.as_ref().get(..16).unwrap_or_default())
}

/// A connection to the daemon of the profile in `dir`; none when no daemon of this user answers.
pub(super) async fn connect(dir: &Path) -> Option<UnixStream> {
    let named = dir.join(SOCKET);
    // A link may be longer than what it leads to.
    let path = fs::read_link(&named).unwrap_or(named);
    let stream = UnixStream::connect(path).await.ok()?;
    is_own_user(&stream).then_some(stream)
}

/// Whether the process at the other end is this user's.
pub(super) fn is_own_user(stream: &UnixStream) -> bool {
    let peer = stream.peer_cred();
    peer.is_ok_and(|peer| peer.uid() == getuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    /// The socket is its user's alone, is found by the profile's folder, and goes with the daemon; one that a killed
    /// daemon left is replaced.
    #[tokio::test]
    async fn the_socket_is_private_and_found() {
        for has_runtime_dir in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let (profile, runtime) = (folder.path().join("p"), folder.path().join("r"));
            fs::create_dir(&profile).unwrap();
            fs::create_dir(&runtime).unwrap();
            let runtime_dir = has_runtime_dir.then_some(runtime.as_path());
            let (killed, left) = bind(&profile, runtime_dir).unwrap();
            drop(killed);
            std::mem::forget(left);
            assert!(connect(&profile).await.is_none(), "nobody listens");
            let (listener, place) = bind(&profile, runtime_dir).unwrap();
            assert_eq!(mode(&place.path), 0o600);
            assert_eq!(place.path.starts_with(&runtime), has_runtime_dir);
            if has_runtime_dir {
                assert_eq!(mode(&runtime.join("conclave")), 0o700);
            }
            let near = connect(&profile).await.unwrap();
            let (far, _) = listener.accept().await.unwrap();
            assert!(is_own_user(&near) && is_own_user(&far));
            drop(place);
            assert_eq!(
                fs::read_dir(&profile).unwrap().count(),
                0,
                "nothing is left"
            );
        }
    }

    /// A runtime folder that others may enter, or a link in its place, is not used.
    #[tokio::test]
    async fn a_shared_runtime_folder_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let (profile, runtime) = (folder.path().join("p"), folder.path().join("r"));
        fs::create_dir(&profile).unwrap();
        fs::create_dir_all(runtime.join("conclave")).unwrap();
        fs::set_permissions(runtime.join("conclave"), fs::Permissions::from_mode(0o755)).unwrap();
        let (_listener, place) = bind(&profile, Some(&runtime)).unwrap();
        assert!(place.path.starts_with(&profile));
        drop(place);
        fs::remove_dir(runtime.join("conclave")).unwrap();
        fs::create_dir(folder.path().join("elsewhere")).unwrap();
        symlink(folder.path().join("elsewhere"), runtime.join("conclave")).unwrap();
        let (_listener, place) = bind(&profile, Some(&runtime)).unwrap();
        assert!(place.path.starts_with(&profile));
    }
}
