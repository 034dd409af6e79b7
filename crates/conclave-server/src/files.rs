//! How many files, and so connections, the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Open files that are kept from connections: database, logs, mail, commands of the operator.
const KEPT: u64 = 64;

/// Takes as many open files as the machine allows without asking anybody.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if setrlimit(Resource::Nofile, raised).is_err() {
        tracing::warn!("cannot raise the limit of open files");
    }
}

/// How many of `wanted` connections there are files for.
pub(crate) fn connections_max(wanted: u32) -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = room_in(files);
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    if room < wanted {
        tracing::warn!(
            "at most {room} connections at once, because at most {files} files may be open; \
             raise that limit (ulimit -n, LimitNOFILE)"
        );
    }
    room.min(wanted)
}

fn room_in(files: u64) -> usize {
    usize::try_from(files - KEPT.min(files / 2)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A few files are always left, also when there are few.
    #[test]
    fn keeps_some_files_back() {
        assert_eq!(room_in(1024), 960);
        assert_eq!(room_in(64), 32);
        assert_eq!(room_in(0), 0);
    }
}
