//! The classic gateway's rows in PostgreSQL.
//!
//! Places in a queue are read "behind this one", so they must become visible in their order: whoever
//! puts something into a queue holds its lock until the commit.

use std::collections::BTreeMap;

use conclave_classic::gateway::{Account, Places, Pushed, Registered, Waiting};
use conclave_classic::message::Message;
use conclave_classic::wire::{Delivery, Receipt};
use conclave_proto::id::Day;
use conclave_proto::limits::CLASSIC_QUEUE_MAX;
use tokio_postgres::Row;

use super::open::family;
use super::session::{DbError, Result, Session, get, int, int4, number, params};

pub(super) async fn accounts(tx: &Session) -> Result<u64> {
    tx.count("SELECT count(*) FROM classic_account", params![])
        .await
}

pub(super) async fn account(tx: &Session, phone: &str) -> Result<Option<Account>> {
    tx.one(
        "SELECT suite, public_key FROM classic_account WHERE phone = $1",
        params![phone],
        |row| {
            let suite = get::<&str>(row, 0)?.parse();
            let suite = suite.map_err(|_| DbError::Row("a classic suite is unknown".to_owned()))?;
            let public_key = get(row, 1)?;
            Ok(Account { suite, public_key })
        },
    )
    .await
}

pub(super) async fn put_account(
    tx: &Session,
    phone: &str,
    account: &Account,
    accounts_max: u64,
) -> Result<Registered> {
    tx.lock(family::CLASSIC, b"accounts").await?;
    let is_known = self::account(tx, phone).await?.is_some();
    if !is_known && accounts(tx).await? >= accounts_max {
        return Ok(Registered::Full);
    }
    tx.run(
        "INSERT INTO classic_account (phone, suite, public_key) VALUES ($1, $2, $3)
         ON CONFLICT (phone) DO UPDATE SET suite = excluded.suite, public_key = excluded.public_key",
        params![phone, account.suite.as_str(), account.public_key],
    )
    .await?;
    Ok(Registered::Yes)
}

pub(super) async fn is_known(tx: &Session, message_id: &str) -> Result<bool> {
    let known = "SELECT 1 FROM classic_seen WHERE message_id = $1";
    tx.is_there(known, params![message_id]).await
}

pub(super) async fn push(tx: &Session, delivery: &Delivery, now_ms: u64) -> Result<Pushed> {
    let recipient = &delivery.message.recipient_id;
    lock_queue(tx, "messages", recipient).await?;
    if is_known(tx, &delivery.message_id).await? {
        return Ok(Pushed::Replay);
    }
    let waiting = tx
        .count(
            "SELECT count(*) FROM classic_message WHERE recipient = $1",
            params![recipient],
        )
        .await?;
    if waiting >= CLASSIC_QUEUE_MAX {
        return Ok(Pushed::Full);
    }
    let message = serde_json::to_string(&delivery.message)
        .map_err(|error| DbError::Row(format!("a message cannot be written: {error}")))?;
    // the same id for another recipient at the same time breaks this statement: looked at again
    tx.run(
        "INSERT INTO classic_seen (message_id, day) VALUES ($1, $2)",
        params![delivery.message_id, int4(Day::of_ms(now_ms).0)],
    )
    .await?;
    tx.run(
        "INSERT INTO classic_message (recipient, message_id, message) VALUES ($1, $2, $3)",
        params![recipient, delivery.message_id, message],
    )
    .await?;
    Ok(Pushed::Stored)
}

async fn lock_queue(tx: &Session, kind: &str, phone: &str) -> Result<()> {
    tx.lock(family::CLASSIC, format!("{kind} {phone}").as_bytes())
        .await
}

pub(super) async fn waiting(
    tx: &Session,
    phone: &str,
    after: Places,
    most: u32,
) -> Result<Waiting> {
    let messages = tx
        .all(
            "SELECT id, message_id, message FROM classic_message
         WHERE recipient = $1 AND id > $2 ORDER BY id LIMIT $3",
            params![phone, int(after.message), i64::from(most)],
            |row| Ok((number(row, 0)?, delivery(row)?)),
        )
        .await?;
    let receipts = tx
        .all(
            "SELECT id, message_id, recipient, delivered_at FROM classic_receipt
         WHERE sender = $1 AND id > $2 ORDER BY id LIMIT $3",
            params![phone, int(after.receipt), i64::from(most)],
            |row| {
                let receipt = Receipt {
                    message_id: get(row, 1)?,
                    recipient_id: get(row, 2)?,
                    delivered_at: number(row, 3)?,
                };
                Ok((number(row, 0)?, receipt))
            },
        )
        .await?;
    Ok(Waiting { messages, receipts })
}

pub(super) async fn ack(
    tx: &Session,
    phone: &str,
    message_ids: &[String],
    receipt_ids: &[String],
    now_ms: u64,
) -> Result<Vec<String>> {
    let deleted = tx
        .all(
            "DELETE FROM classic_message WHERE recipient = $1 AND message_id = ANY($2)
         RETURNING id, message_id, message",
            params![phone, message_ids],
            delivery,
        )
        .await?;
    let deleted = deleted.into_iter();
    let mut senders: BTreeMap<String, String> = deleted
        .map(|found| (found.message_id, found.message.sender_id))
        .collect();
    let mut told: Vec<String> = senders.values().cloned().collect();
    told.sort_unstable();
    told.dedup();
    for sender in &told {
        lock_queue(tx, "receipts", sender).await?;
    }
    // receipts are in the order that the acknowledgement names
    for message_id in message_ids {
        let Some(sender) = senders.remove(message_id) else {
            continue;
        };
        tx.run(
            "INSERT INTO classic_receipt (sender, message_id, recipient, delivered_at)
             VALUES ($1, $2, $3, $4)",
            params![sender, message_id, phone, int(now_ms / 1_000)],
        )
        .await?;
    }
    tx.run(
        "DELETE FROM classic_receipt WHERE sender = $1 AND message_id = ANY($2)",
        params![phone, receipt_ids],
    )
    .await?;
    Ok(told)
}

/// Of a row that holds id, message id and message.
fn delivery(row: &Row) -> Result<Delivery> {
    let message: Message = serde_json::from_str(get(row, 2)?)
        .map_err(|_| DbError::Row("a classic message is unreadable".to_owned()))?;
    Ok(Delivery {
        message_id: get(row, 1)?,
        message,
    })
}
