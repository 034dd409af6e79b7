//! Logs and blobs in SQLite.

use std::collections::BTreeSet;

use conclave_proto::id::{BlobId, Day, Epoch, Hash32, Incarnation, LogId, Seq};
use conclave_proto::label::sha256;
use conclave_proto::log::{Entry, EntryKind, Head};
use rusqlite::{Connection, Result, Row, params};

use super::heads::Current;
use super::newest::Newest;
use super::query::{bytes, int, one, run, uint};
use super::writer::Context;
use crate::log::{EpochSpan, LogHead, expires_day, is_lost_race};
use crate::store::{
    AppendOutcome, BundleOutcome, CreateOutcome, EpochKey, NewBundle, NewLog, Page, StoredBlob,
};

/// A log and one of its epochs: what every right is checked against.
struct LogEpoch {
    /// Row id of the log.
    log: i64,
    create_hash: Hash32,
    retention_days: u32,
    head: LogHead,
    newest: Newest,
    access_key: [u8; 32],
    span: EpochSpan,
}

fn load(tx: &Connection, log_id: LogId, epoch: Epoch) -> Result<Option<LogEpoch>> {
    one(
        tx,
        "SELECT log.id, create_hash, retention_days, log.epoch, seq, hash,
           access_key, begin_seq, end_seq, end_hash, newest
         FROM log JOIN epoch ON epoch.log = log.id AND epoch.epoch = ?2
         WHERE log_id = ?1",
        params![log_id.as_bytes(), int(epoch.0)],
        |row| {
            let end_seq = row.get::<_, Option<i64>>(8)?.map(|seq| Seq(uint(seq)));
            let end_hash = row.get::<_, Option<[u8; 32]>>(9)?.map(Hash32::new);
            Ok(LogEpoch {
                log: row.get(0)?,
                create_hash: Hash32::new(bytes(row, 1)?),
                retention_days: row.get(2)?,
                head: LogHead {
                    epoch: Epoch(uint(row.get(3)?)),
                    seq: Seq(uint(row.get(4)?)),
                    hash: Hash32::new(bytes(row, 5)?),
                },
                newest: row.get(10)?,
                access_key: bytes(row, 6)?,
                span: EpochSpan {
                    epoch,
                    begin: Seq(uint(row.get(7)?)),
                    end: end_seq.zip(end_hash),
                },
            })
        },
    )
}

pub(super) fn create_log(tx: &Connection, cx: &Context, new: &NewLog) -> Result<CreateOutcome> {
    let known = one(
        tx,
        "SELECT 1 FROM log WHERE log_id = ?1",
        [new.log_id.as_bytes()],
        |_| Ok(()),
    )?;
    if known.is_some() {
        // C-020: the same request gets the same answer, any other is a conflict.
        return Ok(match load(tx, new.log_id, Epoch(1))? {
            Some(found) if found.create_hash == new.create_hash => CreateOutcome::SameAgain {
                head: found.head.seen_by(&found.span, cx.incarnation),
            },
            _ => CreateOutcome::Conflict,
        });
    }
    if !blobs_are_new(tx, &new.blobs)? {
        return Ok(CreateOutcome::Conflict);
    }
    run(
        tx,
        "INSERT INTO log (log_id, create_hash, retention_days, epoch, seq, hash)
         VALUES (?1, ?2, ?3, 1, 0, ?4)",
        params![
            new.log_id.as_bytes(),
            new.create_hash.as_bytes(),
            new.retention_days,
            new.chain_start.as_bytes()
        ],
    )?;
    let log = tx.last_insert_rowid();
    let span = begin_epoch(tx, log, Epoch(1), Seq(0), &new.access_key)?;
    insert_blobs(tx, &new.blobs, Day::of_ms(new.now_ms))?;
    let head = LogHead {
        epoch: Epoch(1),
        seq: Seq(0),
        hash: new.chain_start,
    };
    Ok(CreateOutcome::Created {
        head: head.seen_by(&span, cx.incarnation),
    })
}

pub(super) fn epoch_key(
    tx: &Connection,
    incarnation: Incarnation,
    log_id: LogId,
    epoch: Epoch,
) -> Result<Option<EpochKey>> {
    let found = load(tx, log_id, epoch)?;
    Ok(found.map(|found| EpochKey {
        access_key: found.access_key,
        head: found.head.seen_by(&found.span, incarnation),
    }))
}

/// One statement, so that it needs no savepoint; the log's own row follows later (see [`Heads`]).
///
/// [`Heads`]: super::heads::Heads
pub(super) fn append(
    tx: &Connection,
    cx: &mut Context,
    (log_id, epoch): (LogId, Epoch),
    (payload, payload_hash): (&[u8], Hash32),
    now_ms: u64,
) -> Result<AppendOutcome> {
    let current = match cx.heads.current(log_id, epoch) {
        Some(current) => current,
        None => match load(tx, log_id, epoch)? {
            None => return Ok(AppendOutcome::NoLog),
            Some(found) if found.head.epoch != epoch => return Ok(AppendOutcome::StaleEpoch),
            Some(found) => {
                let current = Current {
                    log: found.log,
                    head: found.head,
                    retention_days: found.retention_days,
                };
                cx.heads.remember(log_id, current, found.newest);
                current
            }
        },
    };
    let Ok(head) = (current.head).enter(epoch, EntryKind::Message, payload_hash) else {
        return Ok(AppendOutcome::StaleEpoch);
    };
    let place = (current.log, epoch, head.seq);
    let days = (Day::of_ms(now_ms), current.retention_days);
    let entry = insert_entry(tx, place, EntryKind::Message, payload, days)?;
    cx.heads.moved(log_id, head, entry);
    Ok(AppendOutcome::Appended {
        head: Head {
            epoch: head.epoch,
            seq: head.seq,
            hash: head.hash,
            incarnation: cx.incarnation,
        },
    })
}

pub(super) fn put_bundle(
    tx: &Connection,
    cx: &mut Context,
    new: &NewBundle,
) -> Result<BundleOutcome> {
    cx.heads.forget(new.log_id);
    let Some(mut found) = load(tx, new.log_id, new.base_epoch)? else {
        return Ok(BundleOutcome::NoLog);
    };
    let commit_hash = sha256(&new.commit_entry);
    let entered = (found.head).enter(new.base_epoch, EntryKind::Commit, commit_hash);
    let Ok(head) = entered else {
        return lost(tx, cx, new, &found, commit_hash);
    };
    let retry_ms = cx.races.wait_ms(new.log_id, new.now_ms);
    if retry_ms > 0 {
        return Ok(BundleOutcome::TooSoon { retry_ms });
    }
    if !blobs_are_new(tx, &new.blobs)? {
        return Ok(BundleOutcome::Conflict);
    }
    let day = Day::of_ms(new.now_ms);
    let at = (found.log, new.base_epoch, head.seq);
    let days = (day, found.retention_days);
    let entry = insert_entry(tx, at, EntryKind::Commit, &new.commit_entry, days)?;
    found.newest.push(entry);
    // all of them: those that another retention concerns are found in the index
    found.newest.settle(tx, found.log, head.seq)?;
    run(
        tx,
        "UPDATE log SET epoch = ?2, seq = ?3, hash = ?4, newest = x'' WHERE id = ?1",
        params![
            found.log,
            int(head.epoch.0),
            int(head.seq.0),
            head.hash.as_bytes()
        ],
    )?;
    run(
        tx,
        "UPDATE epoch SET end_seq = ?3, end_hash = ?4, end_day = ?5 WHERE log = ?1 AND epoch = ?2",
        params![
            found.log,
            int(new.base_epoch.0),
            int(head.seq.0),
            head.hash.as_bytes(),
            day.0
        ],
    )?;
    let span = begin_epoch(tx, found.log, head.epoch, head.seq, &new.next_access_key)?;
    if new.retention_days != found.retention_days {
        // the waiting entries follow in slices: see the sweep
        run(
            tx,
            "UPDATE log SET retention_days = ?2, redate = 1 WHERE id = ?1",
            params![found.log, new.retention_days],
        )?;
    }
    insert_blobs(tx, &new.blobs, day)?;
    cx.races.entered(new.log_id, new.now_ms);
    Ok(BundleOutcome::Appended {
        head: head.seen_by(&span, cx.incarnation),
    })
}

/// Another commit ended the epoch first, or this one did before its answer was lost.
fn lost(
    tx: &Connection,
    cx: &mut Context,
    new: &NewBundle,
    found: &LogEpoch,
    commit_hash: Hash32,
) -> Result<BundleOutcome> {
    let Some((end, _)) = found.span.end else {
        return Ok(BundleOutcome::NoLog);
    };
    let mut winner = None;
    each_entry(tx, found, (end, end), 1, |entry| {
        winner = Some(entry);
        false
    })?;
    let Some(winner) = winner else {
        return Ok(BundleOutcome::NoLog);
    };
    let is_own = winner.payload_hash() == Some(commit_hash);
    let is_race = is_lost_race(found.head, new.base_epoch, is_own);
    if is_race {
        cx.races.lost(new.log_id, new.now_ms);
    }
    Ok(BundleOutcome::Lost {
        winner: Box::new(winner),
        is_race,
    })
}

pub(super) fn read(
    tx: &Connection,
    incarnation: Incarnation,
    handle: (LogId, Epoch),
    after: Seq,
    limit: u32,
    bytes_max: usize,
) -> Result<Option<Page>> {
    let Some(found) = load(tx, handle.0, handle.1)? else {
        return Ok(None);
    };
    let (first, last) = found.head.readable(&found.span, after);
    let mut entries: Vec<Entry> = Vec::new();
    let mut total = 0_usize;
    each_entry(tx, &found, (first, last), limit, |entry| {
        total = total.saturating_add(entry.payload.len());
        let has_room = entries.is_empty() || total <= bytes_max;
        if has_room {
            entries.push(entry);
        }
        has_room
    })?;
    Ok(Some(Page {
        entries,
        head: found.head.seen_by(&found.span, incarnation),
    }))
}

/// Gives `take` the entries from `first` to `last`, at most `limit`, until it wants no more.
fn each_entry(
    tx: &Connection,
    found: &LogEpoch,
    (first, last): (Seq, Seq),
    limit: u32,
    mut take: impl FnMut(Entry) -> bool,
) -> Result<()> {
    let mut left = limit;
    let mut placed = tx.prepare_cached(
        "SELECT entry.seq, epoch, kind, day, payload, expired_hash
         FROM place JOIN entry ON entry.id = place.entry
         WHERE place.log = ?1 AND place.seq BETWEEN ?2 AND ?3 ORDER BY place.seq LIMIT ?4",
    )?;
    let mut rows = placed.query(params![found.log, int(first.0), int(last.0), limit])?;
    while let Some(row) = rows.next()? {
        if !take(entry(row)?) {
            return Ok(());
        }
        left = left.saturating_sub(1);
    }
    let newest = found.newest.places(found.head.seq);
    let wanted = newest.filter(|(seq, _)| (first..=last).contains(seq));
    for (_, id) in wanted.take(usize::try_from(left).unwrap_or(usize::MAX)) {
        let mut by_id = tx.prepare_cached(
            "SELECT seq, epoch, kind, day, payload, expired_hash FROM entry WHERE id = ?1",
        )?;
        if !take(by_id.query_row([id], entry)?) {
            break;
        }
    }
    Ok(())
}

fn entry(row: &Row<'_>) -> Result<Entry> {
    Ok(Entry {
        seq: uint(row.get(0)?),
        epoch: uint(row.get(1)?),
        kind: row.get(2)?,
        day: row.get(3)?,
        payload: row.get(4)?,
        expired_hash: row.get::<_, Option<Vec<u8>>>(5)?.unwrap_or_default(),
    })
}

/// Stores an entry that [`LogHead::enter`] let in at this place; gives its row.
fn insert_entry(
    tx: &Connection,
    (log, epoch, seq): (i64, Epoch, Seq),
    kind: EntryKind,
    payload: &[u8],
    (day, retention_days): (Day, u32),
) -> Result<i64> {
    run(
        tx,
        "INSERT INTO entry (log, seq, epoch, kind, day, payload, expires_day)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            log,
            int(seq.0),
            int(epoch.0),
            i32::from(kind),
            day.0,
            payload,
            expires_day(kind, day.0, retention_days)
        ],
    )?;
    Ok(tx.last_insert_rowid())
}

fn begin_epoch(
    tx: &Connection,
    log: i64,
    epoch: Epoch,
    begin: Seq,
    access_key: &[u8; 32],
) -> Result<EpochSpan> {
    run(
        tx,
        "INSERT INTO epoch (log, epoch, access_key, begin_seq) VALUES (?1, ?2, ?3, ?4)",
        params![log, int(epoch.0), access_key, int(begin.0)],
    )?;
    Ok(EpochSpan {
        epoch,
        begin,
        end: None,
    })
}

pub(super) fn blob(tx: &Connection, blob_id: BlobId) -> Result<Option<Vec<u8>>> {
    one(
        tx,
        "SELECT bytes FROM blob WHERE blob_id = ?1",
        [blob_id.as_bytes()],
        |row| row.get(0),
    )
}

fn blobs_are_new(tx: &Connection, blobs: &[StoredBlob]) -> Result<bool> {
    let ids: BTreeSet<_> = blobs.iter().map(|blob| blob.blob_id).collect();
    for id in &ids {
        let known = one(
            tx,
            "SELECT 1 FROM blob WHERE blob_id = ?1",
            [id.as_bytes()],
            |_| Ok(()),
        )?;
        if known.is_some() {
            return Ok(false);
        }
    }
    Ok(ids.len() == blobs.len())
}

fn insert_blobs(tx: &Connection, blobs: &[StoredBlob], day: Day) -> Result<()> {
    for blob in blobs {
        run(
            tx,
            "INSERT INTO blob (blob_id, bytes, day) VALUES (?1, ?2, ?3)",
            params![blob.blob_id.as_bytes(), blob.bytes, day.0],
        )?;
    }
    Ok(())
}
