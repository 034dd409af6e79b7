//! What expires in SQLite, in slices; and what is stored in all.

use conclave_proto::id::{Day, Seq};
use conclave_proto::label::sha256;
use conclave_proto::limits::{
    CLASSIC_SEEN_DAYS, COMMIT_RETENTION_DAYS, HOLD_KEEP_DAYS, HOLD_MS, KEY_PACKAGE_KEEP_DAYS,
    KEY_PACKAGE_OFFER_DAYS, SWEEP_BYTES, SWEEP_ROWS, WELCOME_RETENTION_DAYS,
};
use conclave_proto::log::EntryKind;
use rusqlite::{Connection, Result, params};

use super::newest::Newest;
use super::query::{count, int, one, run, uint};
use super::writer::Context;
use crate::log::expires_day;
use crate::store::send_limit::DAY_MS;
use crate::store::{CheckReport, Summary};

/// One slice; `true` when there is more to do.
pub(super) fn sweep(tx: &Connection, cx: &mut Context, now_ms: u64) -> Result<bool> {
    let today = Day::of_ms(now_ms).0;
    if run(
        tx,
        // C-078: never back, so that a clock set right again is no jump
        "UPDATE meta SET mark_day = ?1 WHERE mark_day < ?1",
        [today],
    )? > 0
    {
        cx.advance_mark(tx)?;
    }
    let mut left = usize::try_from(SWEEP_ROWS).unwrap_or(usize::MAX);
    if !redate(tx, &mut left)? || !expire_entries(tx, &mut left, today)? {
        return Ok(true);
    }
    for (sql, before) in expired_rows(now_ms, today) {
        let deleted = run(tx, sql, params![before, int(left as u64)])?;
        left = left.saturating_sub(deleted);
        if left == 0 {
            return Ok(true);
        }
    }
    // what was deleted since the last time leaves the write-ahead log too
    cx.empty_wal = true;
    Ok(false)
}

/// Statements that delete or withdraw what is older than a bound, at most so many rows; with their bounds.
fn expired_rows(now_ms: u64, today: u32) -> [(&'static str, i64); 10] {
    let days = |kept: u32| i64::from(today) - i64::from(kept);
    let day_ago_ms = int(now_ms.saturating_sub(DAY_MS));
    let hold_ms = HOLD_MS + u64::from(HOLD_KEEP_DAYS) * DAY_MS;
    [
        (
            "DELETE FROM epoch WHERE (log, epoch) IN
             (SELECT log, epoch FROM epoch WHERE end_day < ?1 LIMIT ?2)",
            days(COMMIT_RETENTION_DAYS),
        ),
        (
            "DELETE FROM blob WHERE id IN (SELECT id FROM blob WHERE day < ?1 LIMIT ?2)",
            days(WELCOME_RETENTION_DAYS),
        ),
        (
            "DELETE FROM inbox WHERE id IN (SELECT id FROM inbox WHERE day < ?1 LIMIT ?2)",
            days(WELCOME_RETENTION_DAYS),
        ),
        (
            "UPDATE key_package SET package = NULL WHERE id IN
             (SELECT id FROM key_package WHERE package IS NOT NULL AND day < ?1 LIMIT ?2)",
            days(KEY_PACKAGE_OFFER_DAYS),
        ),
        (
            "DELETE FROM key_package WHERE id IN
             (SELECT id FROM key_package WHERE day < ?1 LIMIT ?2)",
            days(KEY_PACKAGE_KEEP_DAYS),
        ),
        (
            "DELETE FROM otp WHERE challenge_id IN
             (SELECT challenge_id FROM otp WHERE expires_ms <= ?1 LIMIT ?2)",
            day_ago_ms,
        ),
        (
            "DELETE FROM otp_send WHERE id IN
             (SELECT id FROM otp_send WHERE at_ms <= ?1 LIMIT ?2)",
            day_ago_ms,
        ),
        (
            "DELETE FROM classic_seen WHERE message_id IN
             (SELECT message_id FROM classic_seen WHERE day < ?1 LIMIT ?2)",
            days(CLASSIC_SEEN_DAYS),
        ),
        (
            "DELETE FROM invite WHERE token_hash IN
             (SELECT token_hash FROM invite WHERE uses <= 0 OR expires_ms <= ?1 LIMIT ?2)",
            int(now_ms),
        ),
        (
            "DELETE FROM hold WHERE (account, identity_fingerprint) IN
             (SELECT account, identity_fingerprint FROM hold WHERE since_ms <= ?1 LIMIT ?2)",
            int(now_ms.saturating_sub(hold_ms)),
        ),
    ]
}

/// Gives waiting messages of logs whose retention changed their new day; `false` when the slice is full.
fn redate(tx: &Connection, left: &mut usize) -> Result<bool> {
    while *left > 0 {
        let changed = one(
            tx,
            "SELECT id, retention_days FROM log WHERE redate = 1 LIMIT 1",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?)),
        )?;
        let Some((log, retention_days)) = changed else {
            return Ok(true);
        };
        let kept = expires_day(EntryKind::Message, 0, retention_days);
        let redated = run(
            tx,
            // newer ones than the index has were let in under the new retention
            "UPDATE entry SET expires_day = day + ?2 WHERE id IN
             (SELECT id FROM place JOIN entry ON id = place.entry WHERE place.log = ?1 AND kind = ?3
              AND expires_day IS NOT NULL AND expires_day <> day + ?2 LIMIT ?4)",
            params![log, kept, i32::from(EntryKind::Message), int(*left as u64)],
        )?;
        if redated < *left {
            run(tx, "UPDATE log SET redate = 0 WHERE id = ?1", [log])?;
        }
        *left = left.saturating_sub(redated + 1);
    }
    Ok(false)
}

/// Replaces expired payloads by their hash; `false` when the slice is full.
fn expire_entries(tx: &Connection, left: &mut usize, today: u32) -> Result<bool> {
    let mut hashed = 0_usize;
    while *left > 0 && hashed < SWEEP_BYTES {
        let expired = one(
            tx,
            "SELECT id, payload FROM entry WHERE expires_day <= ?1 ORDER BY expires_day LIMIT 1",
            [today],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)),
        )?;
        let Some((id, payload)) = expired else {
            return Ok(true);
        };
        // C-026: the payload's hash stays, so that the chain closes.
        run(
            tx,
            "UPDATE entry SET payload = x'', expired_hash = ?2, expires_day = NULL WHERE id = ?1",
            params![id, sha256(&payload).as_bytes()],
        )?;
        hashed = hashed.saturating_add(payload.len());
        *left -= 1;
    }
    Ok(false)
}

pub(super) fn last_day(tx: &Connection) -> Result<Day> {
    tx.query_row("SELECT mark_day FROM meta", [], |row| row.get(0).map(Day))
}

pub(super) fn confirm_day(tx: &Connection, day: Day) -> Result<()> {
    run(tx, "UPDATE meta SET mark_day = ?1", [day.0])?;
    Ok(())
}

pub(super) fn check(tx: &Connection) -> Result<CheckReport> {
    let mut problems = Vec::new();
    let mut statement = tx.prepare("PRAGMA integrity_check(20)")?;
    for line in statement.query_map([], |row| row.get::<_, String>(0))? {
        let line = line?;
        if line != "ok" {
            problems.push(line);
        }
    }
    let mut statement = tx.prepare("PRAGMA foreign_key_check")?;
    for table in statement.query_map([], |row| row.get::<_, String>(0))? {
        problems.push(format!("a row of table {} points nowhere", table?));
    }
    let misplaced = misplaced(tx)?;
    if misplaced > 0 {
        problems.push(format!(
            "{misplaced} entries are not where their log looks for them"
        ));
    }
    Ok(CheckReport {
        schema: super::open::schema_version(tx)?,
        problems,
    })
}

/// Entries without their place in the index or among the newest of their log, and places without their entry.
fn misplaced(tx: &Connection) -> Result<u64> {
    let mut found = 0;
    let mut logs = tx.prepare("SELECT id, seq, newest FROM log WHERE length(newest) > 0")?;
    let mut rows = logs.query([])?;
    let mut waiting = 0;
    while let Some(row) = rows.next()? {
        let (log, head, newest) = (row.get::<_, i64>(0)?, row.get(1)?, row.get::<_, Newest>(2)?);
        for (seq, id) in newest.places(Seq(uint(head))) {
            waiting += 1;
            found += count(
                tx,
                "SELECT NOT EXISTS (SELECT 1 FROM entry WHERE id = ?1 AND log = ?2 AND seq = ?3)",
                params![id, log, int(seq.0)],
            )?;
        }
    }
    found += count(
        tx,
        "SELECT count(*) FROM place LEFT JOIN entry ON entry.id = place.entry
         WHERE entry.log IS NOT place.log OR entry.seq IS NOT place.seq",
        [],
    )?;
    let entries = count(tx, "SELECT count(*) FROM entry", [])?;
    let placed = count(tx, "SELECT count(*) FROM place", [])?;
    Ok(found + entries.abs_diff(placed + waiting))
}

pub(super) fn summary(tx: &Connection) -> Result<Summary> {
    let one_count = |sql| count(tx, sql, []);
    let (entries, expired, payload_bytes): (i64, i64, i64) = tx.query_row(
        "SELECT count(*), count(expired_hash), ifnull(sum(length(payload)), 0) FROM entry",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    Ok(Summary {
        accounts: one_count("SELECT count(identifier) FROM account")?,
        devices: one_count("SELECT count(*) FROM device WHERE listed = 1")?,
        key_packages: one_count(
            "SELECT (SELECT count(*) FROM key_package WHERE package IS NOT NULL)
                  + (SELECT count(last_resort) FROM device)",
        )?,
        inbox_items: one_count("SELECT count(*) FROM inbox")?,
        logs: one_count("SELECT count(*) FROM log")?,
        entries: uint(entries),
        entries_expired: uint(expired),
        payload_bytes: uint(payload_bytes),
        blobs: one_count("SELECT count(*) FROM blob")?,
        blob_bytes: one_count("SELECT ifnull(sum(length(bytes)), 0) FROM blob")?,
    })
}
