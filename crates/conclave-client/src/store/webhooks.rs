//! Webhooks, and the events that are on their way to them.

use conclave_proto::id::ChatId;
use rusqlite::{OptionalExtension as _, Row, params};

use super::{StoreError, Tx, counter, int};

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebhookRow {
    /// Its name.
    pub(crate) id: String,
    /// Where to.
    pub(crate) url: String,
    /// What its posts are signed with.
    pub(crate) secret: Vec<u8>,
    /// The kinds of events it wants; empty: all.
    pub(crate) kinds: Vec<String>,
    /// Events up to here have their deliveries.
    pub(crate) cursor: u64,
    /// When it was made, ms since 1970-01-01 UTC.
    pub(crate) created_ms: u64,
}

/// An event on its way to a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveryRow {
    /// The webhook.
    pub(crate) webhook: String,
    /// The event's number.
    pub(crate) number: u64,
    /// The event's chat.
    pub(crate) chat_id: Option<ChatId>,
    /// Tries so far.
    pub(crate) tries: u32,
    /// When the first was, ms since 1970-01-01 UTC; 0 = there was none.
    pub(crate) first_ms: u64,
    /// Not before, ms since 1970-01-01 UTC.
    pub(crate) next_ms: u64,
    /// When it was given up, ms since 1970-01-01 UTC; 0 = it was not.
    pub(crate) dead_ms: u64,
    /// Why the last try failed.
    pub(crate) reason: String,
}

fn webhook(row: &Row<'_>) -> rusqlite::Result<WebhookRow> {
    let kinds: String = row.get("kinds")?;
    let kinds = kinds.split(',').filter(|kind| !kind.is_empty());
    Ok(WebhookRow {
        id: row.get("id")?,
        url: row.get("url")?,
        secret: row.get("secret")?,
        kinds: kinds.map(str::to_owned).collect(),
        cursor: counter(row, "cursor")?,
        created_ms: counter(row, "created_ms")?,
    })
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    Ok(DeliveryRow {
        webhook: row.get("webhook")?,
        number: counter(row, "number")?,
        chat_id: row
            .get::<_, Vec<u8>>("chat_id")?
            .try_into()
            .ok()
            .map(ChatId::new),
        tries: row.get("tries")?,
        first_ms: counter(row, "first_ms")?,
        next_ms: counter(row, "next_ms")?,
        dead_ms: counter(row, "dead_ms")?,
        reason: row.get("reason")?,
    })
}

impl Tx<'_> {
    /// All webhooks, oldest first.
    pub(crate) fn webhooks(&self) -> Result<Vec<WebhookRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM webhook ORDER BY created_ms, id")?;
        let rows = statement.query_map([], webhook)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Keeps a webhook; of a known one its cursor.
    pub(crate) fn put_webhook(&self, row: &WebhookRow) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT INTO webhook (id, url, secret, kinds, cursor, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (id) DO UPDATE SET cursor = excluded.cursor",
            )?
            .execute(params![
                row.id,
                row.url,
                row.secret,
                row.kinds.join(","),
                int(row.cursor),
                int(row.created_ms),
            ])?;
        Ok(())
    }

    /// Forgets a webhook and everything on its way to it; whether there was one.
    pub(crate) fn delete_webhook(&self, id: &str) -> Result<bool, StoreError> {
        self.0
            .execute("DELETE FROM delivery WHERE webhook = ?1", [id])?;
        Ok(self.0.execute("DELETE FROM webhook WHERE id = ?1", [id])? > 0)
    }

    /// Keeps a delivery.
    pub(crate) fn put_delivery(&self, row: &DeliveryRow) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT OR REPLACE INTO delivery
                 (webhook, number, chat_id, tries, first_ms, next_ms, dead_ms, reason)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                row.webhook,
                int(row.number),
                row.chat_id.map(|id| id.to_vec()).unwrap_or_default(),
                row.tries,
                int(row.first_ms),
                int(row.next_ms),
                int(row.dead_ms),
                row.reason,
            ])?;
        Ok(())
    }

    /// One delivery.
    pub(crate) fn delivery(
        &self,
        webhook: &str,
        number: u64,
    ) -> Result<Option<DeliveryRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM delivery WHERE webhook = ?1 AND number = ?2")?;
        Ok(statement
            .query_row(params![webhook, int(number)], delivery)
            .optional()?)
    }

    /// Forgets a delivery; whether there was one.
    pub(crate) fn delete_delivery(&self, webhook: &str, number: u64) -> Result<bool, StoreError> {
        let deleted = self
            .0
            .prepare_cached("DELETE FROM delivery WHERE webhook = ?1 AND number = ?2")?
            .execute(params![webhook, int(number)])?;
        Ok(deleted > 0)
    }

    /// Of each webhook and chat the first delivery that is not given up: in each chat one goes after the other.
    pub(crate) fn first_deliveries(&self) -> Result<Vec<DeliveryRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT * FROM delivery WHERE (webhook, number) IN
             (SELECT webhook, min(number) FROM delivery WHERE dead_ms = 0 GROUP BY webhook, chat_id)
             ORDER BY next_ms, number",
        )?;
        let rows = statement.query_map([], delivery)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Deliveries to a webhook that wait, and that were given up.
    pub(crate) fn count_deliveries(&self, webhook: &str) -> Result<(u64, u64), StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT count(*) FILTER (WHERE dead_ms = 0) AS waiting, count(*) FILTER (WHERE dead_ms > 0) AS dead
             FROM delivery WHERE webhook = ?1",
        )?;
        Ok(statement.query_row([webhook], |row| {
            Ok((counter(row, "waiting")?, counter(row, "dead")?))
        })?)
    }

    /// Deliveries that were given up, oldest first.
    pub(crate) fn dead_deliveries(&self) -> Result<Vec<DeliveryRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM delivery WHERE dead_ms > 0 ORDER BY webhook, number")?;
        let rows = statement.query_map([], delivery)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets all but the newest `count_max` that were given up for a webhook.
    pub(crate) fn prune_dead(&self, webhook: &str, count_max: u32) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "DELETE FROM delivery WHERE webhook = ?1 AND dead_ms > 0 AND number NOT IN
                 (SELECT number FROM delivery WHERE webhook = ?1 AND dead_ms > 0 ORDER BY number DESC LIMIT ?2)",
            )?
            .execute(params![webhook, count_max])?;
        Ok(())
    }
}
