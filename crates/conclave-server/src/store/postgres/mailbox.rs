//! Mailboxes in PostgreSQL, where devices meet through different servers: a row for each slot that is written, in
//! a table that is gone after a crash. Slot 0, the offer, stands for the mailbox; empty: it was closed.

use conclave_proto::id::Hash32;
use conclave_proto::limits::{MAILBOX_VALID_MS, MAILBOXES_MAX};
use conclave_proto::mailbox::{OFFER, SLOTS, mailbox_id};

use super::open::family;
use super::session::{Result, Session, get, int, int4, length, params};
use crate::store::MailboxGone as Gone;

type Found<T> = std::result::Result<T, Gone>;

/// The last end that a mailbox opened now may have: one that ends later was opened under another clock.
fn latest_end_ms(now_ms: u64) -> i64 {
    int(now_ms.saturating_add(MAILBOX_VALID_MS))
}

pub(super) async fn open(tx: &Session, offer: &[u8], now_ms: u64) -> Result<Found<()>> {
    let id = mailbox_id(offer);
    // C-229: one bound and one mailbox of an offer for all processes
    tx.lock(family::MAILBOXES, b"").await?;
    tx.run(
        "DELETE FROM mailbox WHERE until_ms <= $1 OR until_ms > $2",
        params![int(now_ms), latest_end_ms(now_ms)],
    )
    .await?;
    let known = tx
        .one(
            "SELECT octet_length(bytes) > 0 FROM mailbox WHERE mailbox_id = $1 AND slot = 0",
            params![id.as_bytes().as_slice()],
            |row| get::<bool>(row, 0),
        )
        .await?;
    if let Some(is_open) = known {
        return Ok(if is_open { Ok(()) } else { Err(Gone::Over) });
    }
    // C-121: bounded, in number and in bytes
    let count = tx.count("SELECT count(*) FROM mailbox WHERE slot = 0", params![]);
    if int(count.await?) >= length(MAILBOXES_MAX) {
        return Ok(Err(Gone::Full));
    }
    tx.run(
        "INSERT INTO mailbox (mailbox_id, slot, bytes, until_ms) VALUES ($1, 0, $2, $3)",
        params![id.as_bytes().as_slice(), offer, latest_end_ms(now_ms)],
    )
    .await?;
    Ok(Ok(()))
}

pub(super) async fn put(
    tx: &Session,
    id: Hash32,
    slot: u32,
    bytes: &[u8],
    now_ms: u64,
) -> Result<Found<()>> {
    if slot == OFFER || slot >= SLOTS {
        return Ok(Err(Gone::Over));
    }
    // until the end of this transaction nobody else writes into the mailbox, or closes it
    let until_ms = tx
        .one(
            "SELECT until_ms FROM mailbox WHERE mailbox_id = $1 AND slot = 0 AND bytes <> ''
           AND until_ms > $2 AND until_ms <= $3 FOR UPDATE",
            params![id.as_bytes().as_slice(), int(now_ms), latest_end_ms(now_ms)],
            |row| get::<i64>(row, 0),
        )
        .await?;
    let Some(until_ms) = until_ms else {
        return Ok(Err(Gone::Over));
    };
    tx.run(
        "INSERT INTO mailbox (mailbox_id, slot, bytes, until_ms) VALUES ($1, $2, $3, $4)
         ON CONFLICT (mailbox_id, slot) DO NOTHING",
        params![id.as_bytes().as_slice(), int4(slot), bytes, until_ms],
    )
    .await?;
    // C-120: write-once; who comes second learns no more than who is not expected at all
    let is_there = tx
        .is_there(
            "SELECT 1 FROM mailbox WHERE mailbox_id = $1 AND slot = $2 AND bytes = $3",
            params![id.as_bytes().as_slice(), int4(slot), bytes],
        )
        .await?;
    Ok(is_there.then_some(()).ok_or(Gone::Over))
}

pub(super) async fn read(
    tx: &Session,
    id: Hash32,
    slot: u32,
    now_ms: u64,
) -> Result<Found<Vec<u8>>> {
    if slot >= SLOTS {
        return Ok(Err(Gone::Over));
    }
    let found = tx
        .one(
            "SELECT asked.bytes FROM mailbox AS offer LEFT JOIN mailbox AS asked
           ON asked.mailbox_id = offer.mailbox_id AND asked.slot = $2
         WHERE offer.mailbox_id = $1 AND offer.slot = 0 AND offer.bytes <> ''
           AND offer.until_ms > $3 AND offer.until_ms <= $4",
            params![
                id.as_bytes().as_slice(),
                int4(slot),
                int(now_ms),
                latest_end_ms(now_ms)
            ],
            |row| get::<Option<Vec<u8>>>(row, 0),
        )
        .await?;
    Ok(found.map(Option::unwrap_or_default).ok_or(Gone::Over))
}

pub(super) async fn close(tx: &Session, id: Hash32, now_ms: u64) -> Result<Found<()>> {
    let closed = tx
        .run(
            "UPDATE mailbox SET bytes = '' WHERE mailbox_id = $1 AND slot = 0 AND bytes <> ''
           AND until_ms > $2 AND until_ms <= $3",
            params![id.as_bytes().as_slice(), int(now_ms), latest_end_ms(now_ms)],
        )
        .await?;
    if closed == 0 {
        return Ok(Err(Gone::Over));
    }
    tx.run(
        "DELETE FROM mailbox WHERE mailbox_id = $1 AND slot > 0",
        params![id.as_bytes().as_slice()],
    )
    .await?;
    Ok(Ok(()))
}
