//! Logs and blobs in PostgreSQL: everything but the appends.

use std::collections::BTreeSet;

use conclave_proto::id::{BlobId, Day, Epoch, Hash32, Incarnation, LogId, Seq};
use conclave_proto::label::sha256;
use conclave_proto::log::{Entry, EntryKind};
use tokio_postgres::Row;

use super::session::{
    DbError, Result, Session, bytes, get, int, int4, maybe_bytes, number, params, small, uint,
};
use crate::log::{CommitSpacing, EpochSpan, LogHead, Race, expires_day, is_lost_race};
use crate::store::{BundleOutcome, CreateOutcome, EpochKey, NewBundle, NewLog, Page, StoredBlob};

/// A log and one of its epochs: what every right is checked against.
struct LogEpoch {
    create_hash: Hash32,
    retention_days: u32,
    head: LogHead,
    access_key: [u8; 32],
    span: EpochSpan,
}

const LOAD: &str = "SELECT create_hash, retention_days, log.epoch, seq, hash,
       access_key, begin_seq, end_seq, end_hash
     FROM log JOIN epoch ON epoch.log_id = log.log_id AND epoch.epoch = $2
     WHERE log.log_id = $1";

async fn load(tx: &Session, log_id: LogId, epoch: Epoch) -> Result<Option<LogEpoch>> {
    let id = log_id.as_bytes().as_slice();
    tx.one(LOAD, params![id, int(epoch.0)], |row| {
        Ok(LogEpoch {
            create_hash: Hash32::new(bytes(row, 0)?),
            retention_days: small(row, 1)?,
            head: LogHead {
                epoch: Epoch(number(row, 2)?),
                seq: Seq(number(row, 3)?),
                hash: Hash32::new(bytes(row, 4)?),
            },
            access_key: bytes(row, 5)?,
            span: span(row, epoch, 6)?,
        })
    })
    .await
}

/// The span in the columns begin_seq, end_seq, end_hash from `first` on.
fn span(row: &Row, epoch: Epoch, first: usize) -> Result<EpochSpan> {
    let end_seq = get::<Option<i64>>(row, first + 1)?.map(|seq| Seq(uint(seq)));
    let end_hash = maybe_bytes(row, first + 2)?.map(Hash32::new);
    Ok(EpochSpan {
        epoch,
        begin: Seq(number(row, first)?),
        end: end_seq.zip(end_hash),
    })
}

pub(super) async fn create_log(
    tx: &Session,
    new: &NewLog,
    incarnation: Incarnation,
) -> Result<CreateOutcome> {
    let id = new.log_id.as_bytes().as_slice();
    let known = "SELECT 1 FROM log WHERE log_id = $1";
    if tx.is_there(known, params![id]).await? {
        // C-020: the same request gets the same answer, any other is a conflict.
        return Ok(match load(tx, new.log_id, Epoch(1)).await? {
            Some(found) if found.create_hash == new.create_hash => CreateOutcome::SameAgain {
                head: found.head.seen_by(&found.span, incarnation),
            },
            _ => CreateOutcome::Conflict,
        });
    }
    if !blobs_are_new(tx, &new.blobs).await? {
        return Ok(CreateOutcome::Conflict);
    }
    // somebody who creates the same log at the same time breaks this statement: looked at again
    tx.run(
        "INSERT INTO log (log_id, create_hash, retention_days, epoch, seq, hash)
         VALUES ($1, $2, $3, 1, 0, $4)",
        params![
            id,
            new.create_hash.as_bytes().as_slice(),
            int4(new.retention_days),
            new.chain_start.as_bytes().as_slice()
        ],
    )
    .await?;
    let span = begin_epoch(tx, new.log_id, Epoch(1), Seq(0), &new.access_key).await?;
    insert_blobs(tx, &new.blobs, Day::of_ms(new.now_ms)).await?;
    let head = LogHead {
        epoch: Epoch(1),
        seq: Seq(0),
        hash: new.chain_start,
    };
    Ok(CreateOutcome::Created {
        head: head.seen_by(&span, incarnation),
    })
}

pub(super) async fn epoch_key(
    tx: &Session,
    incarnation: Incarnation,
    log_id: LogId,
    epoch: Epoch,
) -> Result<Option<EpochKey>> {
    let found = load(tx, log_id, epoch).await?;
    Ok(found.map(|found| EpochKey {
        access_key: found.access_key,
        head: found.head.seen_by(&found.span, incarnation),
    }))
}

pub(super) async fn put_bundle(
    tx: &Session,
    new: &NewBundle,
    (incarnation, spacing): (Incarnation, CommitSpacing),
) -> Result<BundleOutcome> {
    let id = new.log_id.as_bytes().as_slice();
    // C-023: whoever comes second waits here and then sees the epoch that the first one began
    let lock = "SELECT 1 FROM log WHERE log_id = $1 FOR NO KEY UPDATE";
    if !tx.is_there(lock, params![id]).await? {
        return Ok(BundleOutcome::NoLog);
    }
    let Some(found) = load(tx, new.log_id, new.base_epoch).await? else {
        return Ok(BundleOutcome::NoLog);
    };
    let commit_hash = sha256(&new.commit_entry);
    let entered = (found.head).enter(new.base_epoch, EntryKind::Commit, commit_hash);
    let Ok(head) = entered else {
        return lost(tx, new, &found, commit_hash, spacing).await;
    };
    let race = race(tx, new.log_id, spacing).await?;
    let retry_ms = Race::wait_ms(race.as_ref(), spacing, new.now_ms);
    if retry_ms > 0 {
        return Ok(BundleOutcome::TooSoon { retry_ms });
    }
    if !blobs_are_new(tx, &new.blobs).await? {
        return Ok(BundleOutcome::Conflict);
    }
    insert_commit(tx, new, &found, head).await?;
    let span = begin_epoch(tx, new.log_id, head.epoch, head.seq, &new.next_access_key).await?;
    insert_blobs(tx, &new.blobs, Day::of_ms(new.now_ms)).await?;
    let entered = Race::entered(race.as_ref(), spacing, new.now_ms);
    remember(tx, new.log_id, entered, spacing).await?;
    Ok(BundleOutcome::Appended {
        head: head.seen_by(&span, incarnation),
    })
}

/// Stores the commit, moves the head and ends the epoch.
async fn insert_commit(
    tx: &Session,
    new: &NewBundle,
    found: &LogEpoch,
    head: LogHead,
) -> Result<()> {
    let id = new.log_id.as_bytes().as_slice();
    let day = Day::of_ms(new.now_ms).0;
    tx.run(
        "INSERT INTO entry (log_id, seq, epoch, kind, day, payload, expires_day)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![
            id,
            int(head.seq.0),
            int(new.base_epoch.0),
            i32::from(EntryKind::Commit),
            int4(day),
            new.commit_entry,
            int4(expires_day(EntryKind::Commit, day, found.retention_days))
        ],
    )
    .await?;
    tx.run(
        // the waiting entries follow another retention in slices: see the sweep
        "UPDATE log SET epoch = $2, seq = $3, hash = $4, retention_days = $5,
           redate = redate OR retention_days <> $5
         WHERE log_id = $1",
        params![
            id,
            int(head.epoch.0),
            int(head.seq.0),
            head.hash.as_bytes().as_slice(),
            int4(new.retention_days)
        ],
    )
    .await?;
    tx.run(
        "UPDATE epoch SET end_seq = $3, end_hash = $4, end_day = $5
         WHERE log_id = $1 AND epoch = $2",
        params![
            id,
            int(new.base_epoch.0),
            int(head.seq.0),
            head.hash.as_bytes().as_slice(),
            int4(day)
        ],
    )
    .await?;
    Ok(())
}

/// Another commit ended the epoch first, or this one did before its answer was lost.
async fn lost(
    tx: &Session,
    new: &NewBundle,
    found: &LogEpoch,
    commit_hash: Hash32,
    spacing: CommitSpacing,
) -> Result<BundleOutcome> {
    let Some((end, _)) = found.span.end else {
        return Ok(BundleOutcome::NoLog);
    };
    let winner = tx
        .one(
            "SELECT seq, epoch, kind, day, payload, expired_hash FROM entry
         WHERE log_id = $1 AND seq = $2",
            params![new.log_id.as_bytes().as_slice(), int(end.0)],
            |row| entry(row, 0),
        )
        .await?;
    let Some(winner) = winner else {
        return Ok(BundleOutcome::NoLog);
    };
    let is_own = winner.payload_hash() == Some(commit_hash);
    let is_race = is_lost_race(found.head, new.base_epoch, is_own);
    if is_race {
        let race = race(tx, new.log_id, spacing).await?;
        let lost = Race::lost(race.as_ref(), spacing, new.now_ms);
        remember(tx, new.log_id, lost, spacing).await?;
    }
    Ok(BundleOutcome::Lost {
        winner: Box::new(winner),
        is_race,
    })
}

/// What the log remembers of its last commits, whichever server took them (C-028). The log is locked.
async fn race(tx: &Session, log_id: LogId, spacing: CommitSpacing) -> Result<Option<Race>> {
    if spacing == CommitSpacing::OFF {
        return Ok(None);
    }
    tx.one(
        "SELECT spacing_ms, commit_ms, counted FROM race WHERE log_id = $1",
        params![log_id.as_bytes().as_slice()],
        |row| {
            Ok(Race {
                spacing_ms: number(row, 0)?,
                commit_ms: number(row, 1)?,
                counted: get(row, 2)?,
            })
        },
    )
    .await
}

async fn remember(tx: &Session, log_id: LogId, race: Race, spacing: CommitSpacing) -> Result<()> {
    if spacing == CommitSpacing::OFF {
        return Ok(());
    }
    tx.run(
        "INSERT INTO race VALUES ($1, $2, $3, $4) ON CONFLICT (log_id) DO UPDATE
         SET spacing_ms = excluded.spacing_ms, commit_ms = excluded.commit_ms,
           counted = excluded.counted",
        params![
            log_id.as_bytes().as_slice(),
            int(race.spacing_ms),
            int(race.commit_ms),
            race.counted
        ],
    )
    .await?;
    Ok(())
}

/// The last seq that a handle of each of these epochs may see (C-021), in one statement.
pub(super) async fn reached(tx: &Session, logs: &[(LogId, Epoch)]) -> Result<Vec<Option<Seq>>> {
    let ids: Vec<&[u8]> = logs
        .iter()
        .map(|(id, _)| id.as_bytes().as_slice())
        .collect();
    let epochs: Vec<i64> = logs.iter().map(|(_, epoch)| int(epoch.0)).collect();
    tx.all(
        "SELECT CASE WHEN epoch.epoch IS NULL THEN NULL ELSE coalesce(end_seq, log.seq) END
         FROM unnest($1::bytea[], $2::int8[]) WITH ORDINALITY AS asked (log_id, epoch, place)
         LEFT JOIN log ON log.log_id = asked.log_id
         LEFT JOIN epoch ON epoch.log_id = asked.log_id AND epoch.epoch = asked.epoch
         ORDER BY place",
        params![ids, epochs],
        |row| Ok(get::<Option<i64>>(row, 0)?.map(|seq| Seq(uint(seq)))),
    )
    .await
}

/// The right and the entries in one statement: both are of one moment (C-021). The bounds are those of
/// `LogHead::readable`.
const READ: &str = "SELECT log.epoch, log.seq, log.hash, begin_seq, end_seq, end_hash,
       page.seq, page.epoch, page.kind, page.day, page.payload, page.expired_hash
     FROM log JOIN epoch ON epoch.log_id = log.log_id AND epoch.epoch = $2
     LEFT JOIN LATERAL (
       SELECT * FROM (
         SELECT *, sum(octet_length(payload)) OVER (ORDER BY seq) AS total,
           row_number() OVER (ORDER BY seq) AS place
         FROM (
           SELECT entry.seq, entry.epoch, kind, day, payload, expired_hash FROM entry
           WHERE entry.log_id = log.log_id AND entry.seq > greatest($3, begin_seq)
             AND entry.seq <= coalesce(end_seq, log.seq)
           ORDER BY entry.seq LIMIT $4
         ) AS readable
       ) AS summed WHERE total <= $5 OR place = 1
     ) AS page ON true
     WHERE log.log_id = $1 ORDER BY page.seq";

pub(super) async fn read(
    tx: &Session,
    incarnation: Incarnation,
    handle: (LogId, Epoch),
    after: Seq,
    limit: u32,
    bytes_max: usize,
) -> Result<Option<Page>> {
    let id = handle.0.as_bytes().as_slice();
    let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    let asked = params![
        id,
        int(handle.1.0),
        int(after.0),
        i64::from(limit),
        bytes_max
    ];
    let rows = tx.rows(READ, asked).await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let head = LogHead {
        epoch: Epoch(number(first, 0)?),
        seq: Seq(number(first, 1)?),
        hash: Hash32::new(bytes(first, 2)?),
    };
    let span = span(first, handle.1, 3)?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in &rows {
        if get::<Option<i64>>(row, 6)?.is_some() {
            entries.push(entry(row, 6)?);
        }
    }
    Ok(Some(Page {
        entries,
        head: head.seen_by(&span, incarnation),
    }))
}

/// The entry in the columns seq, epoch, kind, day, payload, expired_hash from `first` on.
fn entry(row: &Row, first: usize) -> Result<Entry> {
    Ok(Entry {
        seq: number(row, first)?,
        epoch: number(row, first + 1)?,
        kind: get(row, first + 2)?,
        day: small(row, first + 3)?,
        payload: get(row, first + 4)?,
        expired_hash: get::<Option<Vec<u8>>>(row, first + 5)?.unwrap_or_default(),
    })
}

async fn begin_epoch(
    tx: &Session,
    log_id: LogId,
    epoch: Epoch,
    begin: Seq,
    access_key: &[u8; 32],
) -> Result<EpochSpan> {
    tx.run(
        "INSERT INTO epoch (log_id, epoch, access_key, begin_seq) VALUES ($1, $2, $3, $4)",
        params![
            log_id.as_bytes().as_slice(),
            int(epoch.0),
            access_key.as_slice(),
            int(begin.0)
        ],
    )
    .await?;
    Ok(EpochSpan {
        epoch,
        begin,
        end: None,
    })
}

pub(super) async fn blob(tx: &Session, blob_id: BlobId) -> Result<Option<Vec<u8>>> {
    tx.one(
        "SELECT bytes FROM blob WHERE blob_id = $1",
        params![blob_id.as_bytes().as_slice()],
        |row| get(row, 0),
    )
    .await
}

async fn blobs_are_new(tx: &Session, blobs: &[StoredBlob]) -> Result<bool> {
    if blobs.is_empty() {
        return Ok(true);
    }
    let ids: BTreeSet<_> = blobs
        .iter()
        .map(|blob| blob.blob_id.as_bytes().as_slice())
        .collect();
    if ids.len() != blobs.len() {
        return Ok(false);
    }
    let ids: Vec<&[u8]> = ids.into_iter().collect();
    let known = "SELECT 1 FROM blob WHERE blob_id = ANY($1) LIMIT 1";
    Ok(!tx.is_there(known, params![ids]).await?)
}

async fn insert_blobs(tx: &Session, blobs: &[StoredBlob], day: Day) -> Result<()> {
    for blob in blobs {
        let inserted = tx
            .run(
                "INSERT INTO blob (blob_id, bytes, day) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                params![blob.blob_id.as_bytes().as_slice(), blob.bytes, int4(day.0)],
            )
            .await?;
        if inserted == 0 {
            return Err(DbError::Raced);
        }
    }
    Ok(())
}
