//! The classic gateway's rows in SQLite.

use conclave_classic::gateway::{Account, Places, Pushed, Registered, Waiting};
use conclave_classic::message::Message;
use conclave_classic::wire::{Delivery, Receipt};
use conclave_proto::id::Day;
use conclave_proto::limits::CLASSIC_QUEUE_MAX;
use rusqlite::types::Type;
use rusqlite::{Connection, Result, Row, params};

use super::query::{all, count, int, one, run, uint};

pub(super) fn accounts(tx: &Connection) -> Result<u64> {
    count(tx, "SELECT count(*) FROM classic_account", [])
}

pub(super) fn account(tx: &Connection, phone: &str) -> Result<Option<Account>> {
    one(
        tx,
        "SELECT suite, public_key FROM classic_account WHERE phone = ?1",
        [phone],
        |row| {
            let suite: String = row.get(0)?;
            let suite = suite.parse().map_err(|error| unreadable(0, error))?;
            let public_key = row.get(1)?;
            Ok(Account { suite, public_key })
        },
    )
}

pub(super) fn put_account(
    tx: &Connection,
    phone: &str,
    account: &Account,
    accounts_max: u64,
) -> Result<Registered> {
    let is_known = self::account(tx, phone)?.is_some();
    if !is_known && accounts(tx)? >= accounts_max {
        return Ok(Registered::Full);
    }
    run(
        tx,
        "INSERT INTO classic_account (phone, suite, public_key) VALUES (?1, ?2, ?3)
         ON CONFLICT (phone) DO UPDATE SET suite = excluded.suite, public_key = excluded.public_key",
        params![phone, account.suite.as_str(), account.public_key],
    )?;
    Ok(Registered::Yes)
}

pub(super) fn is_known(tx: &Connection, message_id: &str) -> Result<bool> {
    let known = one(
        tx,
        "SELECT 1 FROM classic_seen WHERE message_id = ?1",
        [message_id],
        |_| Ok(()),
    )?;
    Ok(known.is_some())
}

pub(super) fn push(tx: &Connection, delivery: &Delivery, now_ms: u64) -> Result<Pushed> {
    if is_known(tx, &delivery.message_id)? {
        return Ok(Pushed::Replay);
    }
    let recipient = &delivery.message.recipient_id;
    let waiting = count(
        tx,
        "SELECT count(*) FROM classic_message WHERE recipient = ?1",
        [recipient],
    )?;
    if waiting >= CLASSIC_QUEUE_MAX {
        return Ok(Pushed::Full);
    }
    run(
        tx,
        "INSERT INTO classic_seen (message_id, day) VALUES (?1, ?2)",
        params![delivery.message_id, Day::of_ms(now_ms).0],
    )?;
    let message = serde_json::to_string(&delivery.message)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    run(
        tx,
        "INSERT INTO classic_message (recipient, message_id, message) VALUES (?1, ?2, ?3)",
        params![recipient, delivery.message_id, message],
    )?;
    Ok(Pushed::Stored)
}

pub(super) fn waiting(tx: &Connection, phone: &str, after: Places, most: u32) -> Result<Waiting> {
    let messages = all(
        tx,
        "SELECT id, message_id, message FROM classic_message
         WHERE recipient = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        params![phone, int(after.message), most],
        |row| Ok((uint(row.get(0)?), delivery(row)?)),
    )?;
    let receipts = all(
        tx,
        "SELECT id, message_id, recipient, delivered_at FROM classic_receipt
         WHERE sender = ?1 AND id > ?2 ORDER BY id LIMIT ?3",
        params![phone, int(after.receipt), most],
        |row| {
            let receipt = Receipt {
                message_id: row.get(1)?,
                recipient_id: row.get(2)?,
                delivered_at: uint(row.get(3)?),
            };
            Ok((uint(row.get(0)?), receipt))
        },
    )?;
    Ok(Waiting { messages, receipts })
}

pub(super) fn ack(
    tx: &Connection,
    phone: &str,
    message_ids: &[String],
    receipt_ids: &[String],
    now_ms: u64,
) -> Result<Vec<String>> {
    let mut senders = Vec::new();
    for message_id in message_ids {
        let message = one(
            tx,
            "DELETE FROM classic_message WHERE recipient = ?1 AND message_id = ?2
             RETURNING id, message_id, message",
            [phone, message_id],
            delivery,
        )?;
        let Some(Delivery { message, .. }) = message else {
            continue;
        };
        run(
            tx,
            "INSERT INTO classic_receipt (sender, message_id, recipient, delivered_at)
             VALUES (?1, ?2, ?3, ?4)",
            params![message.sender_id, message_id, phone, int(now_ms / 1_000)],
        )?;
        senders.push(message.sender_id);
    }
    for message_id in receipt_ids {
        run(
            tx,
            "DELETE FROM classic_receipt WHERE sender = ?1 AND message_id = ?2",
            [phone, message_id],
        )?;
    }
    senders.sort_unstable();
    senders.dedup();
    Ok(senders)
}

/// Of a row that holds id, message id and message.
fn delivery(row: &Row<'_>) -> Result<Delivery> {
    let text: String = row.get(2)?;
    let message: Message = serde_json::from_str(&text).map_err(|error| unreadable(2, error))?;
    Ok(Delivery {
        message_id: row.get(1)?,
        message,
    })
}

fn unreadable(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
