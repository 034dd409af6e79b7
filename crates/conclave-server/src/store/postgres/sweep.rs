//! What expires in PostgreSQL, in slices; and what is stored in all.

use conclave_proto::id::Day;
use conclave_proto::limits::{
    CLASSIC_SEEN_DAYS, COMMIT_RETENTION_DAYS, HOLD_KEEP_DAYS, HOLD_MS, KEY_PACKAGE_KEEP_DAYS,
    KEY_PACKAGE_OFFER_DAYS, SWEEP_ROWS, WELCOME_RETENTION_DAYS,
};
use conclave_proto::log::EntryKind;

use super::open::{family, schema_version};
use super::session::{Result, Session, bytes, get, int, int4, number, params, small};
use crate::log::{CommitSpacing, expires_day};
use crate::store::send_limit::DAY_MS;
use crate::store::{CheckReport, Summary};

/// One slice; `true` when there is more to do. One server sweeps at a time.
pub(super) async fn sweep(tx: &Session, now_ms: u64, spacing: CommitSpacing) -> Result<bool> {
    let alone = tx
        .one(
            "SELECT pg_try_advisory_xact_lock($1, 0)",
            params![family::SWEEP],
            |row| get::<bool>(row, 0),
        )
        .await?;
    if alone != Some(true) {
        return Ok(false);
    }
    let today = Day::of_ms(now_ms).0;
    // C-078: never back, so that a clock set right again is no jump
    tx.run(
        "UPDATE meta SET mark_day = $1, mark = mark + 1 WHERE mark_day < $1",
        params![int4(today)],
    )
    .await?;
    let mut left = u64::from(SWEEP_ROWS);
    if !redate(tx, &mut left).await? || !expire_entries(tx, &mut left, today).await? {
        return Ok(true);
    }
    for (sql, before) in expired_by_day(today) {
        let deleted = tx.run(sql, params![before, int(left)]).await?;
        left = left.saturating_sub(deleted);
        if left == 0 {
            return Ok(true);
        }
    }
    for (sql, before) in expired_by_ms(now_ms, spacing) {
        let deleted = tx.run(sql, params![before, int(left)]).await?;
        left = left.saturating_sub(deleted);
        if left == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Statements that delete or withdraw what is older than a day, at most so many rows; with their days.
fn expired_by_day(today: u32) -> [(&'static str, i32); 6] {
    let days = |kept: u32| int4(today).saturating_sub(int4(kept));
    [
        (
            "DELETE FROM epoch WHERE (log_id, epoch) IN
             (SELECT log_id, epoch FROM epoch WHERE end_day < $1 LIMIT $2)",
            days(COMMIT_RETENTION_DAYS),
        ),
        (
            "DELETE FROM blob WHERE blob_id IN (SELECT blob_id FROM blob WHERE day < $1 LIMIT $2)",
            days(WELCOME_RETENTION_DAYS),
        ),
        (
            "DELETE FROM inbox WHERE (device_id, number) IN
             (SELECT device_id, number FROM inbox WHERE day < $1 LIMIT $2)",
            days(WELCOME_RETENTION_DAYS),
        ),
        (
            "UPDATE key_package SET package = NULL WHERE (device_id, place) IN
             (SELECT device_id, place FROM key_package
              WHERE package IS NOT NULL AND day < $1 LIMIT $2)",
            days(KEY_PACKAGE_OFFER_DAYS),
        ),
        (
            "DELETE FROM key_package WHERE (device_id, place) IN
             (SELECT device_id, place FROM key_package WHERE day < $1 LIMIT $2)",
            days(KEY_PACKAGE_KEEP_DAYS),
        ),
        (
            "DELETE FROM classic_seen WHERE message_id IN
             (SELECT message_id FROM classic_seen WHERE day < $1 LIMIT $2)",
            days(CLASSIC_SEEN_DAYS),
        ),
    ]
}

/// The same for what ends at a moment.
fn expired_by_ms(now_ms: u64, spacing: CommitSpacing) -> [(&'static str, i64); 6] {
    let day_ago_ms = int(now_ms.saturating_sub(DAY_MS));
    let hold_ms = HOLD_MS + u64::from(HOLD_KEEP_DAYS) * DAY_MS;
    [
        (
            "DELETE FROM otp WHERE challenge_id IN
             (SELECT challenge_id FROM otp WHERE expires_ms <= $1 LIMIT $2)",
            day_ago_ms,
        ),
        (
            "DELETE FROM otp_send WHERE id IN
             (SELECT id FROM otp_send WHERE at_ms <= $1 LIMIT $2)",
            day_ago_ms,
        ),
        (
            "DELETE FROM invite WHERE token_hash IN
             (SELECT token_hash FROM invite WHERE uses <= 0 OR expires_ms <= $1 LIMIT $2)",
            int(now_ms),
        ),
        (
            "DELETE FROM hold WHERE (account_id, identity_fingerprint) IN
             (SELECT account_id, identity_fingerprint FROM hold WHERE since_ms <= $1 LIMIT $2)",
            int(now_ms.saturating_sub(hold_ms)),
        ),
        (
            "DELETE FROM mailbox WHERE (mailbox_id, slot) IN
             (SELECT mailbox_id, slot FROM mailbox WHERE until_ms <= $1 LIMIT $2)",
            int(now_ms),
        ),
        (
            // see `Race::is_over`
            "DELETE FROM race WHERE log_id IN
             (SELECT log_id FROM race WHERE commit_ms + spacing_ms <= $1 LIMIT $2)",
            int(now_ms.saturating_sub(spacing.max_ms)),
        ),
    ]
}

/// Gives waiting messages of logs whose retention changed their new day; `false` when the slice is full.
async fn redate(tx: &Session, left: &mut u64) -> Result<bool> {
    let changed = tx
        .all(
            "SELECT log_id, retention_days FROM log WHERE redate ORDER BY log_id LIMIT $1
         FOR NO KEY UPDATE",
            params![int(*left)],
            |row| Ok((bytes::<32>(row, 0)?, small(row, 1)?)),
        )
        .await?;
    for (log_id, retention_days) in changed {
        if *left == 0 {
            return Ok(false);
        }
        let kept = int4(expires_day(EntryKind::Message, 0, retention_days));
        let redated = tx
            .run(
                "UPDATE entry SET expires_day = day + $2 WHERE log_id = $1 AND seq IN
             (SELECT seq FROM entry WHERE log_id = $1 AND kind = $3
              AND expires_day IS NOT NULL AND expires_day <> day + $2 LIMIT $4)",
                params![
                    log_id.as_slice(),
                    kept,
                    i32::from(EntryKind::Message),
                    int(*left)
                ],
            )
            .await?;
        if redated < *left {
            let done = "UPDATE log SET redate = false WHERE log_id = $1";
            tx.run(done, params![log_id.as_slice()]).await?;
        }
        *left = left.saturating_sub(redated + 1);
    }
    Ok(*left > 0)
}

/// Replaces expired payloads by their hash; `false` when the slice is full.
async fn expire_entries(tx: &Session, left: &mut u64, today: u32) -> Result<bool> {
    // C-026: the payload's hash stays, so that the chain closes.
    let expired = tx
        .run(
            "UPDATE entry SET payload = '', expired_hash = sha256(payload), expires_day = NULL
         WHERE (log_id, seq) IN
         (SELECT log_id, seq FROM entry WHERE expires_day <= $1 ORDER BY expires_day LIMIT $2)",
            params![int4(today), int(*left)],
        )
        .await?;
    *left = left.saturating_sub(expired);
    Ok(*left > 0)
}

pub(super) async fn last_day(tx: &Session) -> Result<(Day, u64)> {
    let found = tx.one("SELECT mark_day, incarnation FROM meta", params![], |row| {
        Ok((Day(small(row, 0)?), number(row, 1)?))
    });
    Ok(found.await?.unwrap_or_default())
}

pub(super) async fn confirm_day(tx: &Session, day: Day) -> Result<()> {
    tx.run("UPDATE meta SET mark_day = $1", params![int4(day.0)])
        .await?;
    Ok(())
}

/// What no statement of this program leaves behind, with words for it.
const WRONG: [(&str, &str); 6] = [
    (
        "SELECT count(*) FROM log WHERE NOT EXISTS
         (SELECT 1 FROM epoch WHERE epoch.log_id = log.log_id AND epoch.epoch = log.epoch)",
        "logs have no current epoch",
    ),
    (
        "SELECT count(*) FROM log WHERE seq <>
         (SELECT count(*) FROM entry WHERE entry.log_id = log.log_id AND entry.seq <= log.seq)",
        "logs have gaps",
    ),
    (
        "SELECT count(*) FROM entry WHERE NOT EXISTS
         (SELECT 1 FROM log WHERE log.log_id = entry.log_id AND log.seq >= entry.seq)",
        "entries belong to no log",
    ),
    (
        "SELECT count(*) FROM account WHERE NOT EXISTS
         (SELECT 1 FROM account_state AS state WHERE state.account_id = account.account_id)",
        "accounts have no state",
    ),
    (
        "SELECT count(*) FROM device WHERE NOT EXISTS
         (SELECT 1 FROM account WHERE account.account_id = device.account_id)",
        "devices belong to no account",
    ),
    (
        "SELECT count(*) FROM (SELECT device_id FROM key_package UNION SELECT device_id FROM inbox)
           AS used WHERE NOT EXISTS (SELECT 1 FROM device WHERE device.device_id = used.device_id)",
        "key packages or inbox items belong to no device",
    ),
];

pub(super) async fn check(tx: &Session) -> Result<CheckReport> {
    let mut problems = Vec::new();
    for (sql, words) in WRONG {
        let found = tx.count(sql, params![]).await?;
        if found > 0 {
            problems.push(format!("{found} {words}"));
        }
    }
    Ok(CheckReport {
        schema: schema_version(tx).await?,
        problems,
    })
}

pub(super) async fn summary(tx: &Session) -> Result<Summary> {
    let one_count = async |sql| tx.count(sql, params![]).await;
    let entries = tx
        .one(
            "SELECT count(*), count(expired_hash), coalesce(sum(octet_length(payload)), 0)::int8
         FROM entry",
            params![],
            |row| Ok((number(row, 0)?, number(row, 1)?, number(row, 2)?)),
        )
        .await?;
    let (entries, entries_expired, payload_bytes) = entries.unwrap_or_default();
    Ok(Summary {
        accounts: one_count("SELECT count(identifier) FROM account").await?,
        devices: one_count("SELECT count(*) FROM device WHERE listed").await?,
        key_packages: one_count(
            "SELECT (SELECT count(*) FROM key_package WHERE package IS NOT NULL)
                  + (SELECT count(last_resort) FROM device)",
        )
        .await?,
        inbox_items: one_count("SELECT count(*) FROM inbox").await?,
        logs: one_count("SELECT count(*) FROM log").await?,
        entries,
        entries_expired,
        payload_bytes,
        blobs: one_count("SELECT count(*) FROM blob").await?,
        blob_bytes: one_count("SELECT coalesce(sum(octet_length(bytes)), 0)::int8 FROM blob")
            .await?,
    })
}
