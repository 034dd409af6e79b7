//! The writer under pressure and on a failing disk: what the public verbs cannot arrange.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use conclave_proto::id::{Epoch, Hash32, LogId, Seq};
use conclave_proto::label::sha256;
use conclave_proto::limits::{READ_PAGE_ENTRIES, STORE_BATCH_ITEMS, STORE_QUEUE_ITEMS};
use conclave_proto::log::{EntryKind, Head, chain_next};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::SqliteStore;
use crate::store::{
    AppendOutcome, BundleOutcome, NewBundle, NewLog, Store, StoreError, StoreOptions,
};

const LOG: LogId = LogId::new([1; 32]);

async fn store_with_log() -> (TempDir, Arc<SqliteStore>) {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), StoreOptions::default()).unwrap();
    let log = NewLog {
        log_id: LOG,
        access_key: [1; 32],
        create_hash: Hash32::new([1; 32]),
        chain_start: Hash32::new([2; 32]),
        retention_days: 30,
        blobs: Vec::new(),
        now_ms: 0,
    };
    store.create_log(log).await.unwrap();
    (dir, Arc::new(store))
}

/// Holds the writer inside a batch until the sender is dropped.
async fn hold_writer(store: &Arc<SqliteStore>, tasks: &mut JoinSet<()>) -> Sender<()> {
    let (release, held) = channel::<()>();
    let (entered, inside) = tokio::sync::oneshot::channel();
    let store = Arc::clone(store);
    tasks.spawn(async move {
        let job = store.write(move |_, _| {
            let _ = entered.send(());
            let _ = held.recv();
            Ok(())
        });
        job.await.unwrap();
    });
    inside.await.unwrap();
    release
}

/// Writes that come in during a sync share the next one; beyond the queue the answer is busy, and a
/// busy write leaves no trace.
#[tokio::test]
async fn many_writes_share_a_commit_and_a_full_queue_is_busy() {
    let (_dir, store) = store_with_log().await;
    let mut holding = JoinSet::new();
    let release = hold_writer(&store, &mut holding).await;
    let before = store.batches();
    let over = 10;
    let mut appends = JoinSet::new();
    for n in 0..STORE_QUEUE_ITEMS + over {
        let store = Arc::clone(&store);
        let payload = n.to_be_bytes().to_vec();
        appends.spawn(async move { store.append(LOG, Epoch(1), payload, 0).await });
    }
    for _ in 0..over {
        let refused = appends.join_next().await.unwrap().unwrap();
        assert_eq!(refused, Err(StoreError::Busy));
    }
    drop(release);
    let mut seqs = Vec::new();
    while let Some(appended) = appends.join_next().await {
        let Ok(AppendOutcome::Appended { head }) = appended.unwrap() else {
            panic!("what was queued is written");
        };
        seqs.push(head.seq.0);
    }
    seqs.sort_unstable();
    let queued = u64::try_from(STORE_QUEUE_ITEMS).unwrap();
    assert!(seqs.into_iter().eq(1..=queued));
    let after = store.batches();
    assert_eq!(after.items - before.items, queued + 1);
    let batches = u64::try_from(STORE_QUEUE_ITEMS / STORE_BATCH_ITEMS).unwrap();
    assert!(after.commits - before.commits <= batches + 1);
}

/// A full disk fails the write, kills the store, is never tried again, and loses nothing that was
/// acknowledged.
#[tokio::test]
async fn a_full_disk_is_final() {
    let (dir, store) = store_with_log().await;
    let limit = |tx: &rusqlite::Connection| tx.pragma_update(None, "max_page_count", 80);
    store.write(move |tx, _| limit(tx)).await.unwrap();
    let mut accepted = 0;
    let failed = loop {
        match store.append(LOG, Epoch(1), vec![7; 8_000], 0).await {
            Ok(AppendOutcome::Appended { .. }) => accepted += 1,
            other => break other,
        }
        assert!(accepted < 100, "the disk never fills");
    };
    assert!(matches!(failed, Err(StoreError::Broken(_))));
    store.failed().await;
    let later = store.append(LOG, Epoch(1), vec![7], 0).await;
    assert!(matches!(later, Err(StoreError::Broken(_))));
    let read = store.read(LOG, Epoch(1), Seq(0), 1, 1).await;
    assert!(matches!(read, Err(StoreError::Broken(_))));
    drop(store);
    let again = SqliteStore::open(dir.path(), StoreOptions::default()).unwrap();
    let page = again.read(LOG, Epoch(1), Seq(0), READ_PAGE_ENTRIES, 1 << 20);
    assert_eq!(page.await.unwrap().unwrap().entries.len(), accepted);
}

/// A write that the schema refuses fails alone: others of its batch stand, and the store lives on.
#[tokio::test]
async fn a_refused_write_fails_alone() {
    let (_dir, store) = store_with_log().await;
    let mut holding = JoinSet::new();
    let release = hold_writer(&store, &mut holding).await;
    let mut writes = JoinSet::new();
    let refused = Arc::clone(&store);
    writes.spawn(async move {
        let job = refused.write(|tx, _| {
            tx.execute("UPDATE log SET seq = 99", [])?;
            tx.execute("INSERT INTO log SELECT * FROM log", [])
        });
        assert!(matches!(job.await, Err(StoreError::Broken(_))));
    });
    let taken = Arc::clone(&store);
    writes.spawn(async move {
        let appended = taken.append(LOG, Epoch(1), vec![1], 0).await.unwrap();
        assert!(matches!(appended, AppendOutcome::Appended { head } if head.seq == Seq(1)));
    });
    tokio::task::yield_now().await;
    drop(release);
    while let Some(done) = writes.join_next().await {
        done.unwrap();
    }
    let key = store.epoch_key(LOG, Epoch(1)).await.unwrap().unwrap();
    assert_eq!(key.head.seq, Seq(1));
}

/// Appends and a commit that share one transaction make one chain: what is answered, what is read by
/// others, and what a restart finds in the log's own row are the same.
#[tokio::test]
async fn one_batch_makes_one_chain() {
    let (dir, store) = store_with_log().await;
    let mut holding = JoinSet::new();
    let release = hold_writer(&store, &mut holding).await;
    let append = |epoch, byte: u8| store.append(LOG, Epoch(epoch), vec![byte], 0);
    let bundle = NewBundle {
        log_id: LOG,
        base_epoch: Epoch(1),
        commit_entry: vec![3],
        next_access_key: [2; 32],
        retention_days: 30,
        blobs: Vec::new(),
        now_ms: 0,
    };
    let heads = async {
        let (one, two, commit, late, four) = tokio::join!(
            append(1, 1),
            append(1, 2),
            store.put_bundle(bundle),
            append(1, 9),
            append(2, 4)
        );
        let BundleOutcome::Appended { head: three } = commit.unwrap() else {
            panic!("the commit enters");
        };
        assert_eq!(late.unwrap(), AppendOutcome::StaleEpoch);
        [appended(one), appended(two), three, appended(four)]
    };
    // the writer is let go once everything waits
    let (heads, ()) = tokio::join!(heads, async { drop(release) });
    let mut hash = Hash32::new([2; 32]);
    for (head, (byte, epoch)) in heads.iter().zip([(1, 1), (2, 1), (3, 1), (4, 2)]) {
        let kind = if byte == 3 {
            EntryKind::Commit
        } else {
            EntryKind::Message
        };
        hash = chain_next(hash, Seq(byte.into()), Epoch(epoch), kind, sha256(&[byte]));
        assert_eq!((head.seq.0, head.hash), (u64::from(byte), hash));
    }
    let seen = store.epoch_key(LOG, Epoch(2)).await.unwrap().unwrap().head;
    assert_eq!(seen, heads[3]);
    drop(store);
    let again = SqliteStore::open(dir.path(), StoreOptions::default()).unwrap();
    let five = appended(again.append(LOG, Epoch(2), vec![5], 0).await);
    let hash = chain_next(hash, Seq(5), Epoch(2), EntryKind::Message, sha256(&[5]));
    assert_eq!((five.seq, five.hash), (Seq(5), hash));
}

fn appended(outcome: Result<AppendOutcome, StoreError>) -> Head {
    match outcome {
        Ok(AppendOutcome::Appended { head }) => head,
        other => panic!("{other:?}"),
    }
}

async fn payloads(store: &SqliteStore, after: u64, limit: u32) -> Vec<u8> {
    let page = store.read(LOG, Epoch(1), Seq(after), limit, 1 << 20).await;
    let entries = page.unwrap().unwrap().entries;
    let seqs = entries.iter().map(|entry| entry.seq);
    assert!(seqs.eq((after + 1..).take(entries.len())));
    entries.iter().map(|entry| entry.payload[0]).collect()
}

/// Entries are read in their order wherever they stand, in the index or among the newest, and after a restart.
#[tokio::test]
async fn entries_are_found_wherever_they_stand() {
    let (dir, mut store) = store_with_log().await;
    let all: Vec<u8> = (1..=70).collect();
    for (count, byte) in (1..).zip(&all) {
        appended(store.append(LOG, Epoch(1), vec![*byte], 0).await);
        assert_eq!(payloads(&store, 0, 100).await, all[..count]);
        assert_eq!(payloads(&store, count as u64 - 1, 1).await, [*byte]);
        if count % 10 == 0 {
            drop(store);
            store = Arc::new(SqliteStore::open(dir.path(), StoreOptions::default()).unwrap());
        }
    }
    assert_eq!(payloads(&store, 40, 26).await, all[40..66]);
    assert_eq!(store.check().await.unwrap().problems, [""; 0]);
}

/// Rows that point at the wrong entry, or at none, are said by the check.
#[tokio::test]
async fn a_misplaced_entry_is_noticed() {
    for damage in [
        "UPDATE place SET entry = entry + 1 WHERE seq = 3",
        "DELETE FROM place WHERE seq = 3",
        "DELETE FROM entry WHERE seq = 18",
        "UPDATE entry SET seq = 99 WHERE seq = 18",
        "UPDATE log SET newest = x''",
    ] {
        let (_dir, store) = store_with_log().await;
        for byte in 1..=18 {
            appended(store.append(LOG, Epoch(1), vec![byte], 0).await);
        }
        assert_eq!(store.check().await.unwrap().problems, [""; 0]);
        let changed = store.write(move |tx, _| tx.execute(damage, []));
        assert_eq!(changed.await.unwrap(), 1);
        let problems = store.check().await.unwrap().problems;
        assert!(
            problems[0].contains("not where their log looks"),
            "{damage}"
        );
    }
}

/// A database of the schema before this one opens with everything it had, and goes on.
#[tokio::test]
async fn the_schema_before_keeps_its_entries() {
    let dir = tempfile::tempdir().unwrap();
    let database = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    for sql in [
        include_str!("schema_1.sql"),
        include_str!("schema_2.sql"),
        include_str!("schema_3.sql"),
    ] {
        database.execute_batch(sql).unwrap();
    }
    database.pragma_update(None, "user_version", 3).unwrap();
    let (log_id, hash) = (LOG.as_bytes(), [2_u8; 32]);
    let log = "INSERT INTO log (log_id, create_hash, retention_days, epoch, seq, hash)
               VALUES (?1, ?2, 30, 1, 40, ?2)";
    database.execute(log, (log_id, hash)).unwrap();
    let epoch = "INSERT INTO epoch (log, epoch, access_key, begin_seq) VALUES (1, 1, ?1, 0)";
    database.execute(epoch, [hash]).unwrap();
    let entry = "INSERT INTO entry (log, seq, epoch, kind, day, payload, expires_day)
                 VALUES (1, ?1, 1, 1, 0, ?2, 31)";
    // the last comes first in the table
    for seq in (1..=40_u8).rev() {
        database.execute(entry, (seq, [seq])).unwrap();
    }
    drop(database);
    let store = SqliteStore::open(dir.path(), StoreOptions::default()).unwrap();
    let head = appended(store.append(LOG, Epoch(1), vec![41], 0).await);
    assert_eq!(head.seq, Seq(41));
    let all: Vec<u8> = (1..=41).collect();
    assert_eq!(payloads(&store, 0, 100).await, all);
    assert_eq!(store.check().await.unwrap().problems, [""; 0]);
    // entries expire as before
    while store.sweep(32 * 86_400_000).await.unwrap() {}
    assert_eq!(store.summary().await.unwrap().entries_expired, 41);
}
