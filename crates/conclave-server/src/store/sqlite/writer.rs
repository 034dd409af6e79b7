//! The one thread that writes: group commit.
//!
//! It takes what came in while the last sync ran (no timer: the sync in progress is the window), runs
//! each item so that it happens whole or not at all, commits once, and only then answers. When the
//! commit or the disk fails, nobody knows what is stored: the whole batch is answered `Broken`, the
//! store is dead and nothing is tried again.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use conclave_proto::id::Incarnation;
use conclave_proto::limits::{STORE_BATCH_BYTES, STORE_BATCH_ITEMS, STORE_QUEUE_ITEMS};
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{oneshot, watch};

use super::heads::Heads;
use super::mark::{self, Mark};
use crate::log::Races;
use crate::store::StoreError;

/// How long a transaction waits for an operator's tool that holds the database.
const BEGIN_PATIENCE: Duration = Duration::from_secs(5);
/// How long writes wait for readers when the write-ahead log is emptied; the next sweep tries again.
const SWEEP_PATIENCE: Duration = Duration::from_millis(100);
/// The same when the store is closed: there is no next time.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// What the verbs may use beside the database.
pub(super) struct Context {
    pub(super) races: Races,
    pub(super) heads: Heads,
    pub(super) incarnation: Incarnation,
    mark: Mark,
    /// Set by a verb: after the commit the file `incarnation` follows the database.
    mark_moved: bool,
    /// Set by a verb: after the commit the write-ahead log is emptied into the database.
    pub(super) empty_wal: bool,
    dir: PathBuf,
}

impl Context {
    pub(super) fn new(races: Races, mark: Mark, dir: PathBuf) -> Self {
        Self {
            races,
            heads: Heads::default(),
            incarnation: Incarnation(mark.incarnation),
            mark,
            mark_moved: false,
            empty_wal: false,
            dir,
        }
    }

    /// Moves the mark with the transaction in progress.
    pub(super) fn advance_mark(&mut self, tx: &Connection) -> rusqlite::Result<()> {
        self.mark = mark::advance_database(tx, self.mark)?;
        self.mark_moved = true;
        Ok(())
    }
}

/// How much was written in how few commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batches {
    /// Commits, each with one sync.
    pub commits: u64,
    /// Writes in them.
    pub items: u64,
}

#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    items: AtomicU64,
}

/// The queue's end that the verbs hold.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<SyncSender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    /// Ends (its sender is dropped) when the thread ends: failed, unless the store is being dropped.
    alive: watch::Receiver<()>,
    counters: Arc<Counters>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(connection: Connection, context: Context) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(STORE_QUEUE_ITEMS);
        let (alive_sender, alive) = watch::channel(());
        let counters = Arc::new(Counters::default());
        let mut worker = Worker {
            connection,
            context,
            counters: Arc::clone(&counters),
        };
        let thread = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                worker.run(&jobs);
                // the thread is done with the store before anybody hears of it
                drop(alive_sender);
            })?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            alive,
            counters,
        })
    }

    /// Runs `verb` in the next batch; answers after its commit.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        (kind, bytes): (Kind, usize),
        verb: impl FnOnce(&Connection, &mut Context) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Item {
            verb: Some(verb),
            value: None,
            reply,
            kind,
            bytes,
        };
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.try_send(Box::new(job)).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => stopped(),
        })?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Whether the thread has ended: nothing can be written any more.
    pub(super) fn is_dead(&self) -> bool {
        self.alive.has_changed().is_err()
    }

    pub(super) async fn failed(&self) {
        let mut alive = self.alive.clone();
        while alive.changed().await.is_ok() {}
    }

    pub(super) fn batches(&self) -> Batches {
        Batches {
            commits: self.counters.commits.load(Ordering::Relaxed),
            items: self.counters.items.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Writer {
    /// Waits for the last batch: what was acknowledged is on disk, and the lock is free afterwards.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What every call after a failure gets.
pub(super) fn stopped() -> StoreError {
    StoreError::Broken("it stopped after an earlier failure, restart the server".into())
}

/// What a write needs around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A savepoint, and heads that are up to date in the database.
    Verb,
    /// Neither: it changes the database by one statement, and goes by [`Heads`].
    Append,
}

/// One write of a batch.
trait Job: Send {
    fn kind(&self) -> Kind;
    fn bytes(&self) -> usize;
    /// Runs inside the batch's transaction.
    fn run(&mut self, tx: &Connection, context: &mut Context) -> rusqlite::Result<()>;
    /// Answers once the batch is committed, or not.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct Item<T, F> {
    verb: Option<F>,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    kind: Kind,
    bytes: usize,
}

impl<T, F> Job for Item<T, F>
where
    T: Send,
    F: FnOnce(&Connection, &mut Context) -> rusqlite::Result<T> + Send,
{
    fn kind(&self) -> Kind {
        self.kind
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn run(&mut self, tx: &Connection, context: &mut Context) -> rusqlite::Result<()> {
        if let Some(verb) = self.verb.take() {
            self.value = Some(verb(tx, context)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { value, reply, .. } = *self;
        // whoever asked may be gone; the write stands all the same
        let _ = reply.send(outcome.and_then(|()| value.ok_or_else(stopped)));
    }
}

struct Worker {
    connection: Connection,
    context: Context,
    counters: Arc<Counters>,
}

impl Worker {
    fn run(&mut self, jobs: &Receiver<Box<dyn Job>>) {
        while let Ok(first) = jobs.recv() {
            let batch = collect(first, jobs);
            if let Err(reason) = self.commit(batch) {
                tracing::error!("the store failed and stays closed: {reason}");
                return;
            }
        }
        if let Err(reason) = self.close() {
            tracing::error!("the store could not be closed cleanly: {reason}");
        }
    }

    /// Runs and answers a batch; an error is final.
    fn commit(&mut self, mut batch: Vec<Box<dyn Job>>) -> Result<(), String> {
        let outcome = self.write(&mut batch);
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        let items = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        self.counters.items.fetch_add(items, Ordering::Relaxed);
        match outcome {
            Ok(results) => {
                for (job, result) in batch.into_iter().zip(results) {
                    job.answer(result);
                }
                Ok(())
            }
            Err(reason) => {
                for job in batch {
                    job.answer(Err(StoreError::Broken(reason.clone())));
                }
                Err(reason)
            }
        }
    }

    /// One transaction around all items. The results count only when it is `Ok`.
    fn write(&mut self, batch: &mut [Box<dyn Job>]) -> Result<Vec<Result<(), StoreError>>, String> {
        execute(&self.connection, "BEGIN IMMEDIATE")?;
        let mut results = Vec::with_capacity(batch.len());
        for job in batch {
            results.push(self.run_one(&mut **job)?);
        }
        self.follow_heads()?;
        execute(&self.connection, "COMMIT")?;
        self.follow_mark()?;
        if std::mem::take(&mut self.context.empty_wal) {
            self.empty_wal(SWEEP_PATIENCE)?;
        }
        Ok(results)
    }

    /// One item, whole or not at all. The outer error is final.
    fn run_one(&mut self, job: &mut dyn Job) -> Result<Result<(), StoreError>, String> {
        let is_verb = job.kind() == Kind::Verb;
        if is_verb {
            self.follow_heads()?;
            execute(&self.connection, "SAVEPOINT item")?;
        }
        let result = match job.run(&self.connection, &mut self.context) {
            Ok(()) => Ok(()),
            Err(error) if is_fatal(&error) => return Err(error.to_string()),
            Err(error) => {
                tracing::error!("a write was refused by the schema: {error}");
                if is_verb {
                    execute(&self.connection, "ROLLBACK TO item")?;
                }
                Err(StoreError::Broken(error.to_string()))
            }
        };
        if is_verb {
            execute(&self.connection, "RELEASE item")?;
        }
        Ok(result)
    }

    fn follow_heads(&mut self) -> Result<(), String> {
        let followed = self.context.heads.follow(&self.connection);
        followed.map_err(|error| error.to_string())
    }

    fn follow_mark(&mut self) -> Result<(), String> {
        if std::mem::take(&mut self.context.mark_moved) {
            mark::write_file(&self.context.dir, self.context.mark)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let moved = self.context.advance_mark(&self.connection);
        moved.map_err(|error| error.to_string())?;
        self.follow_mark()?;
        self.empty_wal(CLOSE_PATIENCE)
    }

    /// Moves the write-ahead log into the database and truncates it: it holds deleted rows, and the
    /// order of all commits. A reader that holds on to it only puts this off.
    fn empty_wal(&self, patience: Duration) -> Result<(), String> {
        let connection = &self.connection;
        let emptied = connection.busy_timeout(patience).and_then(|()| {
            // the first column says whether a reader was in the way
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        });
        let restored = connection.busy_timeout(BEGIN_PATIENCE);
        match emptied.and(restored) {
            Err(error) if !is_in_use(&error) => Err(error.to_string()),
            _ => Ok(()),
        }
    }
}

fn collect(first: Box<dyn Job>, jobs: &Receiver<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
    let mut bytes = first.bytes();
    let mut batch = vec![first];
    while batch.len() < STORE_BATCH_ITEMS && bytes < STORE_BATCH_BYTES {
        let Ok(job) = jobs.try_recv() else { break };
        bytes = bytes.saturating_add(job.bytes());
        batch.push(job);
    }
    batch
}

fn execute(connection: &Connection, sql: &str) -> Result<(), String> {
    let statement = connection.prepare_cached(sql);
    let done = statement.and_then(|mut statement| statement.execute([]));
    done.map(|_| ()).map_err(|error| error.to_string())
}

/// Whether somebody else holds the database just now.
fn is_in_use(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(
        code,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// Whether an error says something about the disk rather than about the one item: everything but a
/// broken constraint or an impossible value.
fn is_fatal(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => {
            failure.code != ErrorCode::ConstraintViolation && failure.code != ErrorCode::TooBig
        }
        _ => false,
    }
}
