//! The committer: group commit of appended messages.
//!
//! One task takes what came in while the last commit ran (no timer: the commit in progress is the
//! window) and stores it in one transaction of two round trips:
//!
//! 1. lock the heads of all logs, in order of their ids, so that committers of several servers wait for
//!    each other and never in a circle;
//! 2. all entries in one statement, all heads in one, and the commit.
//!
//! Each entry is compared with its log's head between the two, in order of arrival, and with the last
//! messages there, because its client may have said it through another server (see [`Recent`]). When
//! the connection is lost during the commit, nobody knows whether the batch is there: the next
//! transaction locks the same heads (a commit that still runs is waited for), looks, and stores only what
//! is not there (C-212).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use conclave_proto::id::{Day, Epoch, Hash32, Incarnation, LogId, Seq};
use conclave_proto::label::sha256;
use conclave_proto::limits::{STORE_BATCH_BYTES, STORE_BATCH_ITEMS, STORE_QUEUE_ITEMS};
use conclave_proto::log::{EntryKind, Head};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::open::Shared;
use super::pool::dead;
use super::recent::Recent;
use super::session::{Fault, Result, Session, bytes, int, int4, number, params, small};
use crate::log::{LogHead, expires_day};
use crate::store::{AppendOutcome, Batches, StoreError};

/// Pause after the first failed connection; doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(50);
/// How often a batch is tried anew after its connection was lost; then it is only looked for.
const LOSSES: u32 = 3;
/// Longest pause between two connections.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// One message to append.
#[derive(Debug)]
struct Item {
    log_id: LogId,
    epoch: Epoch,
    payload: Vec<u8>,
    payload_hash: Hash32,
    day: Day,
    /// Where a commit put it that may or may not have happened.
    tried: Option<Seq>,
    reply: oneshot::Sender<Outcome>,
}

impl Item {
    fn answer(self, outcome: Outcome) {
        // whoever asked may be gone; the write stands all the same
        let _ = self.reply.send(outcome);
    }
}

#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    items: AtomicU64,
}

/// The queue's end that the verbs hold.
#[derive(Debug)]
pub(super) struct Appends {
    queue: mpsc::Sender<Item>,
    counters: Arc<Counters>,
}

impl Appends {
    /// Starts the committer. It ends when this is dropped.
    pub(super) fn start(shared: Arc<Shared>) -> Self {
        let (queue, items) = mpsc::channel(STORE_QUEUE_ITEMS);
        let counters = Arc::new(Counters::default());
        let committer = Committer {
            shared,
            session: None,
            counters: Arc::clone(&counters),
        };
        tokio::spawn(committer.run(items));
        Self { queue, counters }
    }

    pub(super) async fn append(
        &self,
        log_id: LogId,
        epoch: Epoch,
        payload: Vec<u8>,
        now_ms: u64,
    ) -> Outcome {
        let (reply, answer) = oneshot::channel();
        let item = Item {
            log_id,
            epoch,
            payload_hash: sha256(&payload),
            payload,
            day: Day::of_ms(now_ms),
            tried: None,
            reply,
        };
        self.queue.try_send(item).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Closed(_) => dead(),
        })?;
        answer.await.unwrap_or_else(|_| Err(dead()))
    }

    pub(super) fn batches(&self) -> Batches {
        Batches {
            commits: self.counters.commits.load(Ordering::Relaxed),
            items: self.counters.items.load(Ordering::Relaxed),
        }
    }
}

struct Committer {
    shared: Arc<Shared>,
    /// A connection, and what its transactions found and stored.
    session: Option<(Session, Recent)>,
    counters: Arc<Counters>,
}

impl Committer {
    async fn run(mut self, mut items: mpsc::Receiver<Item>) {
        while let Some(first) = items.recv().await {
            let batch = collect(first, &mut items);
            self.commit(batch, &mut items).await;
        }
    }

    /// Sees a batch to its end.
    async fn commit(&mut self, mut batch: Vec<Item>, items: &mut mpsc::Receiver<Item>) {
        let (mut pause, mut losses) = (PAUSE, 0_u32);
        while !batch.is_empty() {
            if self.shared.is_dead() {
                for item in batch {
                    item.answer(Err(dead()));
                }
                return;
            }
            let kept = self.session.take();
            let (session, mut recent) = match kept.filter(|(session, _)| !session.is_closed()) {
                Some(kept) => kept,
                None => match self.shared.connect().await {
                    Ok(session) => (session, Recent::default()),
                    Err(error) => {
                        tracing::warn!("the committer has no database: {error}");
                        // who was not tried yet may as well hear that it is not there
                        batch = refuse_untried(batch);
                        while let Ok(item) = items.try_recv() {
                            item.answer(Err(StoreError::Busy));
                        }
                        tokio::time::sleep(pause).await;
                        pause = pause.saturating_mul(2).min(PAUSE_MAX);
                        continue;
                    }
                },
            };
            let only_look = losses >= LOSSES;
            let life = self.shared.incarnation;
            match store(&session, &mut recent, &mut batch, life, only_look).await {
                Ok(outcomes) => {
                    self.session = Some((session, recent));
                    self.counters.commits.fetch_add(1, Ordering::Relaxed);
                    let count = u64::try_from(outcomes.len()).unwrap_or(u64::MAX);
                    self.counters.items.fetch_add(count, Ordering::Relaxed);
                    for (item, outcome) in batch.drain(..).zip(outcomes) {
                        item.answer(outcome);
                    }
                }
                Err(error) => match error.fault() {
                    Fault::Again => {
                        // refused without a trace
                        for item in &mut batch {
                            item.tried = None;
                        }
                        let is_over = session.simple("ROLLBACK").await.is_ok();
                        self.session = is_over.then(|| (session, Recent::default()));
                    }
                    // the connection goes, and with it a transaction that was not committed
                    Fault::Gone => {
                        tracing::warn!("the committer lost its database: {error}");
                        losses += 1;
                        tokio::time::sleep(pause).await;
                        pause = pause.saturating_mul(2).min(PAUSE_MAX);
                    }
                    Fault::Refused => {
                        tracing::error!("a batch was refused by the database: {error}");
                        let text = error.to_string();
                        for item in batch.drain(..) {
                            item.answer(Err(StoreError::Broken(text.clone())));
                        }
                    }
                },
            }
        }
    }
}

fn collect(first: Item, items: &mut mpsc::Receiver<Item>) -> Vec<Item> {
    let mut bytes = first.payload.len();
    let mut batch = vec![first];
    while batch.len() < STORE_BATCH_ITEMS && bytes < STORE_BATCH_BYTES {
        let Ok(item) = items.try_recv() else { break };
        bytes = bytes.saturating_add(item.payload.len());
        batch.push(item);
    }
    batch
}

/// Answers busy to whatever certainly is not stored; gives the rest back.
fn refuse_untried(batch: Vec<Item>) -> Vec<Item> {
    let (tried, untried): (Vec<_>, Vec<_>) =
        batch.into_iter().partition(|item| item.tried.is_some());
    for item in untried {
        item.answer(Err(StoreError::Busy));
    }
    tried
}

/// A locked log.
struct Locked {
    head: LogHead,
    retention_days: u32,
}

/// What an item meets.
enum Met {
    /// It goes in here.
    Enters { head: Head, retention_days: u32 },
    /// It is answered without being stored now.
    Settled(Outcome),
}

type Outcome = std::result::Result<AppendOutcome, StoreError>;

// Joined, not `= ANY`: so each id is looked up in its own partition alone, not in all of them.
const LOCK: &str = "SELECT log.log_id, epoch, seq, hash, retention_days
     FROM unnest($1::bytea[]) AS asked (log_id) JOIN log ON log.log_id = asked.log_id
     ORDER BY log.log_id FOR NO KEY UPDATE OF log";
const INSERT: &str = "INSERT INTO entry (log_id, seq, epoch, kind, day, payload, expires_day)
     SELECT log_id, seq, epoch, $7::int4, day, payload, expires_day
     FROM unnest($1::bytea[], $2::int8[], $3::int8[], $4::int4[], $5::bytea[], $6::int4[])
       AS new (log_id, seq, epoch, day, payload, expires_day)";
const MOVE: &str = "UPDATE log SET seq = moved.seq, hash = moved.hash
     FROM unnest($1::bytea[], $2::int8[], $3::bytea[]) AS moved (log_id, seq, hash)
     WHERE log.log_id = moved.log_id";

/// One transaction. The outcomes, in the order of the batch, are true once it is `Ok`. With `only_look`
/// nothing is stored: what an earlier commit did not store is answered busy. `recent` is true then too.
async fn store(
    session: &Session,
    recent: &mut Recent,
    batch: &mut [Item],
    incarnation: Incarnation,
    only_look: bool,
) -> Result<Vec<Outcome>> {
    // else the commit below could overtake a statement that is not known yet
    session.prepare(&[LOCK, INSERT, MOVE]).await?;
    let mut logs = lock(session, batch).await?;
    let heads = logs.iter().map(|(log_id, log)| (*log_id, log.head.seq));
    recent.follow(session, heads, &first_tried(batch)).await?;
    let past = past_epochs(session, batch, &logs).await?;
    let mut met = Vec::with_capacity(batch.len());
    for item in batch.iter() {
        let words = (item.epoch, item.payload_hash);
        // C-212: said before, here or through another server
        if let Some(seq) = recent.place(item.log_id, words) {
            met.push(Met::Settled(Ok(AppendOutcome::SaidBefore { seq })));
        } else if only_look {
            met.push(Met::Settled(Err(StoreError::Busy)));
        } else {
            let new = enter(item, &mut logs, &past, incarnation);
            if let Met::Enters { head, .. } = &new {
                recent.note(item.log_id, words, head.seq);
            }
            met.push(new);
        }
    }
    for (item, met) in batch.iter_mut().zip(&met) {
        item.tried = match met {
            Met::Enters { head, .. } => Some(head.seq),
            Met::Settled(Ok(AppendOutcome::SaidBefore { seq })) => Some(*seq),
            Met::Settled(_) => None,
        };
    }
    write(session, batch, &met).await?;
    let outcomes = met.into_iter().map(|met| match met {
        Met::Enters { head, .. } => Ok(AppendOutcome::Appended { head }),
        Met::Settled(outcome) => outcome,
    });
    Ok(outcomes.collect())
}

// C-213: whoever appends to a log or ends its epoch, on any server, holds its head until the commit.
/// Begins the transaction and takes the heads of all logs, in order.
async fn lock(session: &Session, batch: &[Item]) -> Result<BTreeMap<LogId, Locked>> {
    let ids: BTreeSet<LogId> = batch.iter().map(|item| item.log_id).collect();
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
    let ((), rows) = tokio::try_join!(
        biased;
        session.simple("BEGIN"),
        async { session.rows(LOCK, params![ids]).await },
    )?;
    let mut logs = BTreeMap::new();
    for row in &rows {
        let head = LogHead {
            epoch: Epoch(number(row, 1)?),
            seq: Seq(number(row, 2)?),
            hash: Hash32::new(bytes(row, 3)?),
        };
        let retention_days = small(row, 4)?;
        logs.insert(
            LogId::new(bytes(row, 0)?),
            Locked {
                head,
                retention_days,
            },
        );
    }
    Ok(logs)
}

/// The first place of each log where an earlier commit may have put one of these.
fn first_tried(batch: &[Item]) -> BTreeMap<LogId, Seq> {
    let mut first = BTreeMap::new();
    for item in batch {
        if let Some(seq) = item.tried {
            let first = first.entry(item.log_id).or_insert(seq);
            *first = seq.min(*first);
        }
    }
    first
}

/// Compares an item with its log's head, and moves that.
fn enter(
    item: &Item,
    logs: &mut BTreeMap<LogId, Locked>,
    past: &BTreeSet<(LogId, u64)>,
    incarnation: Incarnation,
) -> Met {
    let Some(log) = logs.get_mut(&item.log_id) else {
        return Met::Settled(Ok(AppendOutcome::NoLog));
    };
    let entered = (log.head).enter(item.epoch, EntryKind::Message, item.payload_hash);
    let Ok(head) = entered else {
        // C-022: a forgotten epoch gets the answer of an unknown log
        let outcome = if past.contains(&(item.log_id, item.epoch.0)) {
            AppendOutcome::StaleEpoch
        } else {
            AppendOutcome::NoLog
        };
        return Met::Settled(Ok(outcome));
    };
    log.head = head;
    let head = Head {
        epoch: head.epoch,
        seq: head.seq,
        hash: head.hash,
        incarnation,
    };
    let retention_days = log.retention_days;
    Met::Enters {
        head,
        retention_days,
    }
}

/// Which of the epochs that are over are still known; asked only when there is one.
async fn past_epochs(
    session: &Session,
    batch: &[Item],
    logs: &BTreeMap<LogId, Locked>,
) -> Result<BTreeSet<(LogId, u64)>> {
    let is_over = |item: &&Item| {
        let log = logs.get(&item.log_id);
        log.is_some_and(|log| log.head.epoch != item.epoch)
    };
    let asked: Vec<&Item> = batch.iter().filter(is_over).collect();
    if asked.is_empty() {
        return Ok(BTreeSet::new());
    }
    let ids: Vec<&[u8]> = asked
        .iter()
        .map(|item| item.log_id.as_bytes().as_slice())
        .collect();
    let epochs: Vec<i64> = asked.iter().map(|item| int(item.epoch.0)).collect();
    let known = session
        .all(
            "SELECT epoch.log_id, epoch.epoch FROM epoch
         JOIN unnest($1::bytea[], $2::int8[]) AS asked (log_id, epoch)
         ON epoch.log_id = asked.log_id AND epoch.epoch = asked.epoch",
            params![ids, epochs],
            |row| Ok((LogId::new(bytes(row, 0)?), number(row, 1)?)),
        )
        .await?;
    Ok(known.into_iter().collect())
}

/// Stores what enters, moves the heads and commits: one round trip.
async fn write(session: &Session, batch: &[Item], met: &[Met]) -> Result<()> {
    let (mut ids, mut seqs, mut epochs) = (Vec::new(), Vec::new(), Vec::new());
    let (mut days, mut payloads, mut expires) = (Vec::new(), Vec::new(), Vec::new());
    let mut heads = BTreeMap::new();
    for (item, met) in batch.iter().zip(met) {
        let Met::Enters {
            head,
            retention_days,
        } = met
        else {
            continue;
        };
        ids.push(item.log_id.as_bytes().as_slice());
        seqs.push(int(head.seq.0));
        epochs.push(int(item.epoch.0));
        days.push(int4(item.day.0));
        payloads.push(item.payload.as_slice());
        expires.push(int4(expires_day(
            EntryKind::Message,
            item.day.0,
            *retention_days,
        )));
        heads.insert(item.log_id, *head);
    }
    if heads.is_empty() {
        return session.simple("COMMIT").await;
    }
    let moved: Vec<&[u8]> = heads.keys().map(|id| id.as_bytes().as_slice()).collect();
    let to: Vec<i64> = heads.values().map(|head| int(head.seq.0)).collect();
    let hashes: Vec<&[u8]> = heads
        .values()
        .map(|head| head.hash.as_bytes().as_slice())
        .collect();
    let kind = i32::from(EntryKind::Message);
    tokio::try_join!(
        biased;
        async {
            let new = params![ids, seqs, epochs, days, payloads, expires, kind];
            session.run(INSERT, new).await
        },
        async { session.run(MOVE, params![moved, to, hashes]).await },
        session.simple("COMMIT"),
    )?;
    Ok(())
}
