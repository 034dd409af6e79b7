//! What a session of the page has beside its calls: files that were uploaded and not sent yet, and addresses of
//! loaded files. All of it goes when the session ends.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use conclave_proto::env::SharedEnv;
use conclave_proto::id::MessageId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::sessions::{IDLE, secret};
use super::upload::Upload;

/// How long an upload waits to be sent.
const UPLOAD: Duration = Duration::from_hours(1);
/// Uploads that wait.
const UPLOADS_MAX: usize = 32;
/// Addresses of files; then the oldest goes.
const LINKS_MAX: usize = 1_024;

/// A session's desk.
#[derive(Debug)]
pub(crate) struct Desk {
    env: SharedEnv,
    /// Whether the session is over.
    over: watch::Sender<bool>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    used: Instant,
    uploads: HashMap<String, (Arc<Upload>, Instant)>,
    links: VecDeque<Link>,
}

/// An address of a loaded file; nobody guesses one.
#[derive(Debug)]
struct Link {
    words: String,
    file: (MessageId, u32),
}

impl Desk {
    /// An empty one.
    pub(super) fn new(env: SharedEnv, now: Instant) -> Self {
        Self {
            env,
            over: watch::Sender::default(),
            state: Mutex::new(State {
                used: now,
                uploads: HashMap::new(),
                links: VecDeque::new(),
            }),
        }
    }

    /// Whether its session goes on.
    pub(crate) fn is_open(&self) -> bool {
        self.is_used(Instant::now())
    }

    /// The same at a time.
    pub(super) fn is_used(&self, now: Instant) -> bool {
        let idle = now.saturating_duration_since(self.state().used);
        !*self.over.borrow() && idle <= IDLE
    }

    /// Until the session is over.
    pub(super) fn over(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut over = self.over.subscribe();
        // The desk going away is an end, too.
        async move { drop(over.wait_for(|over| *over).await) }
    }

    /// Somebody used the session.
    pub(super) fn touch(&self, now: Instant) {
        self.state().used = now;
    }

    /// Whether one more file may come.
    pub(super) fn has_room(&self) -> bool {
        self.state().uploads.len() < UPLOADS_MAX
    }

    /// Keeps a file until it is sent: `u_` and digits that name it.
    pub(super) fn put(&self, upload: Upload, now: Instant) -> String {
        let name = format!("u_{}", secret(&*self.env).as_str());
        let mut state = self.state();
        // A session that ended meanwhile keeps nothing.
        if !*self.over.borrow() {
            state.uploads.insert(name.clone(), (Arc::new(upload), now));
        }
        name
    }

    /// The files of these names; none when one of them is not there.
    pub(crate) fn uploads(&self, names: &[&str]) -> Option<Vec<Arc<Upload>>> {
        let state = self.state();
        let all = names.iter().map(|name| state.uploads.get(*name));
        all.map(|found| found.map(|(upload, _)| upload.clone()))
            .collect()
    }

    /// These were sent.
    pub(crate) fn forget(&self, names: &[&str]) {
        let mut state = self.state();
        for name in names {
            state.uploads.remove(*name);
        }
    }

    /// The address of a file, from the page's own on.
    pub(crate) fn link(&self, file: (MessageId, u32)) -> String {
        let mut state = self.state();
        let known = state.links.iter().find(|link| link.file == file);
        if let Some(link) = known {
            return path_of(&link.words);
        }
        let words = secret(&*self.env).to_string();
        let path = path_of(&words);
        if state.links.len() >= LINKS_MAX {
            state.links.pop_front();
        }
        state.links.push_back(Link { words, file });
        path
    }

    /// The file at such an address.
    pub(super) fn linked(&self, path: &str) -> Option<(MessageId, u32)> {
        let state = self.state();
        let found = state.links.iter().find(|link| path_of(&link.words) == path);
        found.map(|link| link.file)
    }

    /// Removes what lies there too long.
    pub(super) fn tidy(&self, now: Instant) {
        let waits = |since: &Instant| now.saturating_duration_since(*since) <= UPLOAD;
        self.state().uploads.retain(|_, (_, since)| waits(since));
    }

    /// The session is over.
    pub(super) fn end(&self) {
        self.over.send_replace(true);
        let mut state = self.state();
        state.uploads.clear();
        state.links.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn path_of(words: &str) -> String {
    format!("{}{words}", super::blob::PATH)
}

/// Removes what a page of this profile left that was killed.
pub(super) fn clear(dir: &Path) {
    // Nothing there is the rule.
    let _ = std::fs::remove_dir_all(super::upload::folder(dir));
}

#[cfg(test)]
mod tests {
    use conclave_proto::env::OsEnv;

    use super::*;

    /// Uploads wait for an hour, and never longer than their session; what is gone leaves no file.
    #[tokio::test]
    async fn uploads_do_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let now = Instant::now();
        let desk = Desk::new(OsEnv::shared(), now);
        let upload = || Upload::begin(&OsEnv, folder.path(), "note.txt").unwrap();
        let files = || std::fs::read_dir(super::super::upload::folder(folder.path())).unwrap();
        let (old, new) = (
            desk.put(upload(), now),
            desk.put(upload(), now + UPLOAD / 2),
        );
        assert_eq!(files().count(), 2);
        assert!(desk.uploads(&[&old, &new]).is_some());
        desk.tidy(now + UPLOAD + Duration::from_secs(1));
        assert!(desk.uploads(&[&old]).is_none() && desk.uploads(&[&new]).is_some());
        assert_eq!(files().count(), 1);
        desk.end();
        assert_eq!(files().count(), 0);
        let late = desk.put(upload(), now);
        assert!(desk.uploads(&[&late]).is_none());
        assert_eq!(files().count(), 0);
        assert!(!desk.is_open());
    }

    /// A file has one address, and only so many are kept.
    #[test]
    fn addresses_are_bounded() {
        let desk = Desk::new(OsEnv::shared(), Instant::now());
        let message = MessageId::random(&OsEnv);
        let first = desk.link((message, 1));
        assert_eq!(desk.link((message, 1)), first);
        assert_eq!(desk.linked(&first), Some((message, 1)));
        assert_eq!(desk.linked("/blob/"), None);
        for number in 2..=2_000 {
            desk.link((message, number));
        }
        assert_eq!(desk.linked(&first), None);
        assert_eq!(desk.state().links.len(), LINKS_MAX);
    }
}
