//! Test support: a store whose disk fails, or whose process dies, at the commit that a test names.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use super::{Store, StoreError};

/// What happens at the named commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The commit fails and is rolled back; the process lives and its disk is well again.
    Fails,
    /// The process dies before the commit.
    DiesBefore,
    /// The process dies after the commit, before anybody hears of it.
    DiesAfter,
}

/// Counts commits down to the one that goes wrong.
#[derive(Debug, Default)]
pub(crate) struct Fault {
    left: Option<(u32, Side)>,
    is_dead: bool,
    /// Told when it happened.
    pub(crate) met: Arc<Notify>,
}

impl Fault {
    /// After `commits` more commits that go well, the next goes wrong.
    pub(crate) fn plan(&mut self, commits: u32, side: Side) {
        self.left = Some((commits, side));
        self.met = Arc::default();
    }

    /// No fault from here on; whether it was met.
    pub(crate) fn end(&mut self) -> bool {
        self.left.take().is_none()
    }

    /// A process that died reads and writes nothing any more.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.is_dead {
            Err(StoreError("the process is dead".into()))
        } else {
            Ok(())
        }
    }

    pub(super) fn before_commit(&mut self) -> Result<(), StoreError> {
        self.check()?;
        match &mut self.left {
            Some((0, Side::DiesAfter)) | None => Ok(()),
            Some((0, side)) => {
                self.is_dead = *side == Side::DiesBefore;
                self.left = None;
                self.met.notify_one();
                Err(StoreError("a test says that the disk fails".into()))
            }
            Some((commits, _)) => {
                *commits -= 1;
                Ok(())
            }
        }
    }

    pub(super) fn after_commit(&mut self) -> Result<(), StoreError> {
        if let Some((0, Side::DiesAfter)) = self.left {
            self.is_dead = true;
            self.left = None;
            self.met.notify_one();
        }
        self.check()
    }
}

impl Store {
    /// Makes the disk full: the database may grow by `pages` more pages. `None`: as large as it likes.
    pub(crate) fn limit_pages(&mut self, pages: Option<u32>) {
        let count = |name: &str| -> i64 {
            let sql = format!("PRAGMA {name}");
            self.connection
                .query_row(&sql, [], |row| row.get(0))
                .unwrap()
        };
        let most = pages.map_or(i64::from(u32::MAX - 1), |pages| {
            count("page_count") + i64::from(pages)
        });
        let sql = format!("PRAGMA max_page_count = {most}");
        let _: i64 = self
            .connection
            .query_row(&sql, [], |row| row.get(0))
            .unwrap();
    }

    /// Makes the database read-only, or writable again.
    pub(crate) fn set_read_only(&mut self, is_read_only: bool) {
        let done = self
            .connection
            .pragma_update(None, "query_only", is_read_only);
        done.unwrap();
    }

    /// Lets the statement fail that is under way after `steps` steps of the database's machine.
    /// Whether that happened is told by what is returned.
    pub(crate) fn interrupt_after(&mut self, mut steps: u32) -> Arc<AtomicBool> {
        let met = Arc::new(AtomicBool::new(false));
        let told = met.clone();
        let hook = move || {
            steps = steps.wrapping_sub(1);
            told.fetch_or(steps == 0, Ordering::SeqCst);
            steps == 0
        };
        self.connection.progress_handler(1, Some(hook)).unwrap();
        met
    }

    /// No statement fails from here on.
    pub(crate) fn interrupt_no_more(&mut self) {
        let none = None::<fn() -> bool>;
        self.connection.progress_handler(0, none).unwrap();
    }
}
