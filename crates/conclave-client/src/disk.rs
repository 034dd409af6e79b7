//! The disk as tests and the simulator hold it: a process can be made to die around any transaction.

use std::fmt::Debug;
use std::sync::Arc;

/// When a [`Disk`] is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before something is read, or a transaction begins.
    Read,
    /// Before a commit: an error rolls the transaction back.
    Commit,
    /// After a commit, before anybody hears of it.
    Committed,
}

/// Stands around each transaction of a profile.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Whether the process goes on; the text of an error is what the disk said. One that died says no to
    /// everything from then on.
    fn ask(&self, moment: Moment) -> Result<(), String>;
}

/// A shared [`Disk`].
pub type SharedDisk = Arc<dyn Disk>;
