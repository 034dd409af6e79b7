//! The limits below the server: its own store without network, a bare file, and SQLite row by row.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Instant;

use anyhow::{Context as _, bail};
use conclave_proto::env::{Env as _, OsEnv};
use conclave_proto::id::{Epoch, Hash32, LogId, Seq};
use conclave_server::hint::Hint;
use conclave_server::store::{
    AppendOutcome, Batches, CreateOutcome, NewLog, SqliteStore, Store, StoreOptions,
};
use tokio::sync::{mpsc, oneshot};

use crate::PAYLOAD_BYTES;
use crate::load::futures::Loop;
use crate::load::{Shape, payload};

/// The server's store in this process, with a log for each connection of `shape`.
#[derive(Debug)]
pub(crate) struct BareStore<S = SqliteStore> {
    store: Arc<S>,
    logs: Vec<LogId>,
    /// Where it says what moved, as the server does.
    outlet: Option<mpsc::Sender<Hint>>,
}

impl BareStore {
    pub(crate) async fn open(folder: &Path, logs: usize) -> anyhow::Result<Self> {
        let store = SqliteStore::open(folder, StoreOptions::default())?;
        let logs = create_logs(&store, logs).await?;
        Ok(Self::new(store, logs))
    }

    /// The store in `folder` with logs that it has already, in their first epoch.
    pub(crate) fn of_logs(folder: &Path, logs: Vec<LogId>) -> anyhow::Result<Self> {
        let store = SqliteStore::open(folder, StoreOptions::default())?;
        Ok(Self::new(store, logs))
    }

    /// Commits so far, each with a sync, and the writes in them.
    pub(crate) fn batches(&self) -> Batches {
        self.store.batches()
    }

    /// Syncs for each write since then.
    pub(crate) fn syncs_each_since(&self, before: Batches) -> anyhow::Result<f64> {
        let now = self.store.batches();
        let syncs = u32::try_from(now.commits - before.commits)?;
        let writes = u32::try_from(now.items - before.items)?;
        Ok(f64::from(syncs) / f64::from(writes.max(1)))
    }
}

impl<S: Store> BareStore<S> {
    /// A store with logs that it has already, in their first epoch.
    pub(crate) fn new(store: S, logs: Vec<LogId>) -> Self {
        Self {
            store: Arc::new(store),
            logs,
            outlet: None,
        }
    }

    /// The same, which tells others of each append.
    pub(crate) fn telling(self, outlet: mpsc::Sender<Hint>) -> Self {
        Self {
            outlet: Some(outlet),
            ..self
        }
    }

    /// The store itself.
    pub(crate) fn store(&self) -> &S {
        &self.store
    }

    /// One loop for each message in flight.
    pub(crate) fn loops(&self, shape: Shape) -> Vec<impl FnOnce(Instant) -> Loop<()> + use<S>> {
        let one = |log_id: LogId| {
            let (store, outlet) = (Arc::clone(&self.store), self.outlet.clone());
            move |end: Instant| -> Loop<()> { Box::pin(store_loop(store, outlet, log_id, end)) }
        };
        let logs = self.logs.iter().take(shape.connections);
        logs.flat_map(|log_id| (0..shape.depth).map(move |_| one(*log_id)))
            .collect()
    }
}

/// So many logs in their first epoch.
pub(crate) async fn create_logs(store: &impl Store, count: usize) -> anyhow::Result<Vec<LogId>> {
    let logs: Vec<LogId> = (0..count).map(|_| LogId::random(&OsEnv)).collect();
    for log_id in &logs {
        let created = store.create_log(NewLog {
            log_id: *log_id,
            access_key: [1; 32],
            create_hash: Hash32::new([2; 32]),
            chain_start: Hash32::new([3; 32]),
            retention_days: 30,
            blobs: Vec::new(),
            now_ms: OsEnv.now_ms(),
        });
        let CreateOutcome::Created { .. } = created.await? else {
            bail!("no log was created");
        };
    }
    Ok(logs)
}

async fn store_loop(
    store: Arc<impl Store>,
    outlet: Option<mpsc::Sender<Hint>>,
    log_id: LogId,
    end: Instant,
) -> anyhow::Result<(u32, ())> {
    const EPOCH: Epoch = Epoch(1);
    let mut answered = 0_u32;
    while Instant::now() < end {
        let outcome = store.append(log_id, EPOCH, payload(), OsEnv.now_ms());
        let seq = match outcome.await? {
            AppendOutcome::Appended { head } if head.seq > Seq(0) => head.seq,
            other => bail!("an append was answered with {other:?}"),
        };
        answered += 1;
        if let Some(outlet) = &outlet {
            let epoch = EPOCH;
            // lost when too many wait, as in the server
            let _ = outlet.try_send(Hint::Log { log_id, epoch, seq });
        }
    }
    Ok((answered, ()))
}

/// A file that one thread appends to, with one fdatasync for all that waited.
#[derive(Debug, Clone)]
pub(crate) struct BareFile(SyncSender<oneshot::Sender<()>>);

impl BareFile {
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let mut file = File::create(folder.join("bare"))?;
        let (queue, waiting) = sync_channel::<oneshot::Sender<()>>(4096);
        std::thread::spawn(move || {
            while let Ok(first) = waiting.recv() {
                let mut batch = vec![first];
                while let Ok(next) = waiting.try_recv() {
                    batch.push(next);
                }
                let bytes = vec![7; batch.len() * PAYLOAD_BYTES];
                let written = file.write_all(&bytes).and_then(|()| file.sync_data());
                if written.is_err() {
                    // whoever waits hears that nobody answers
                    return;
                }
                for one in batch {
                    // a loop that has ended does not listen
                    let _ = one.send(());
                }
            }
        });
        Ok(Self(queue))
    }

    /// One loop for each message in flight.
    pub(crate) fn loops(&self, shape: Shape) -> Vec<impl FnOnce(Instant) -> Loop<()> + use<>> {
        let one = || {
            let queue = self.0.clone();
            move |end: Instant| -> Loop<()> { Box::pin(file_loop(queue, end)) }
        };
        (0..shape.senders()).map(|_| one()).collect()
    }
}

async fn file_loop(
    queue: SyncSender<oneshot::Sender<()>>,
    end: Instant,
) -> anyhow::Result<(u32, ())> {
    let mut answered = 0;
    while Instant::now() < end {
        let (sender, answer) = oneshot::channel();
        queue.try_send(sender).context("the bare file's queue")?;
        answer.await.context("the bare file failed")?;
        answered += 1;
    }
    Ok((answered, ()))
}

/// SQLite with a synced transaction for each row; the mean of `count`, in ms.
pub(crate) fn synced_transaction_ms(folder: &Path, count: u32) -> anyhow::Result<f64> {
    let database = rusqlite::Connection::open(folder.join("bare.db"))?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database
        .execute_batch("CREATE TABLE IF NOT EXISTS row (id INTEGER PRIMARY KEY, bytes BLOB)")?;
    let mut insert = database.prepare("INSERT INTO row (bytes) VALUES (?1)")?;
    let payload = [7_u8; PAYLOAD_BYTES];
    let begin = Instant::now();
    for _ in 0..count {
        insert.execute([&payload[..]])?;
    }
    Ok(begin.elapsed().as_secs_f64() * 1000.0 / f64::from(count))
}
