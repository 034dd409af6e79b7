//! Webhooks: which events go where, what is on its way, what is tried again, what was given up. Who posts is the front
//! end; this keeps the books.
//!
//! - events are taken over from the journal in their order; in each chat one goes after the other, chats beside each
//!   other
//! - a failed try is repeated after 1 s, 5 s, 30 s, 5 min, 30 min, then each hour; a day after its first try an event
//!   is given up and stands on the list of the dead, and the next of its chat has its turn
//! - what is told is made when it is posted, so that what was deleted meanwhile is not told

use conclave_proto::id::ChatId;
use tokio::sync::futures::Notified;
use zeroize::Zeroizing;

use crate::client::Client;
use crate::engine::Step;
use crate::error::ClientError;
use crate::journal::KINDS;
use crate::store::{DeliveryRow, EventRow, WebhookRow};

/// Webhooks of a profile.
const WEBHOOKS_MAX: usize = 16;
/// Bytes of an address.
const URL_BYTES_MAX: usize = 2048;
/// Bytes of a secret: enough that nobody guesses it.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=1024;
/// Deliveries of one webhook that wait; further events stay in the journal until there is room.
const WAITING_MAX: u64 = 1000;
/// Deliveries of one webhook that were given up and are kept.
const DEAD_MAX: u32 = 1000;
/// Waits before the second and further tries, in ms.
const WAITS_MS: [u64; 5] = [1_000, 5_000, 30_000, 300_000, 1_800_000];
/// Waits after those, in ms.
const LONG_WAIT_MS: u64 = 3_600_000;
/// So long after its first try an event is given up, in ms.
const GIVEN_UP_MS: u64 = 86_400_000;
/// Bytes of a reason that are kept.
const REASON_CHARS_MAX: usize = 200;

/// A webhook as lists show it: without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// How it is named: `w_` and 16 hex digits.
    pub id: String,
    /// Where to.
    pub url: String,
    /// The kinds of events it wants; empty: all.
    pub kinds: Vec<String>,
    /// Events that wait to be posted.
    pub waiting: u64,
    /// Events that were given up.
    pub dead: u64,
    /// When it was made, ms since 1970-01-01 UTC.
    pub created_ms: u64,
}

/// An event that is to be posted.
#[derive(Clone)]
pub struct Due {
    /// The webhook.
    pub webhook: String,
    /// Where to.
    pub url: String,
    /// What to sign with.
    pub secret: Zeroizing<Vec<u8>>,
    /// The event's number.
    pub cursor: u64,
}

impl std::fmt::Debug for Due {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Due")
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

/// An event that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// The webhook.
    pub webhook: String,
    /// The event's number.
    pub cursor: u64,
    /// The event's chat; `None` when it is about the profile.
    pub chat: Option<ChatId>,
    /// How often it was tried.
    pub tries: u32,
    /// Why the last try failed.
    pub reason: String,
    /// When it was given up, ms since 1970-01-01 UTC.
    pub dead_ms: u64,
}

impl Client {
    /// Makes a webhook for what happens from now on: events of `kinds`, or all. The front end has checked the
    /// address; whoever holds `secret` can check what comes there.
    pub fn add_webhook(
        &self,
        url: &str,
        kinds: &[String],
        secret: &[u8],
    ) -> Result<Webhook, ClientError> {
        check(url, kinds, secret)?;
        let mut id = [0; 8];
        self.shared().env.fill(&mut id);
        let added = self.engine().step(|step| {
            if step.tx.webhooks()?.len() >= WEBHOOKS_MAX {
                return Err(ClientError::TooLarge(format!(
                    "there are {WEBHOOKS_MAX} webhooks already; remove one first"
                )));
            }
            let row = WebhookRow {
                id: format!("w_{}", hex::encode(id)),
                url: url.to_owned(),
                secret: secret.to_owned(),
                kinds: kinds.to_vec(),
                cursor: step.tx.event_range()?.1,
                created_ms: step.now_ms,
            };
            step.tx.put_webhook(&row)?;
            show(step, row)
        });
        self.shared().webhooks.notify_one();
        added
    }

    /// All webhooks, oldest first.
    pub fn webhooks(&self) -> Result<Vec<Webhook>, ClientError> {
        self.engine().step_aside(|step| {
            let rows = step.tx.webhooks()?.into_iter();
            rows.map(|row| show(step, row)).collect()
        })
    }

    /// Where a webhook posts to, and what it signs with.
    pub fn webhook_target(&self, id: &str) -> Result<(String, Zeroizing<Vec<u8>>), ClientError> {
        self.engine().look(|tx, _| {
            let found = tx.webhooks()?.into_iter().find(|row| row.id == id);
            let found = found.ok_or_else(|| no_webhook(id))?;
            Ok((found.url, Zeroizing::new(found.secret)))
        })
    }

    /// Ends a webhook; what is on its way to it is forgotten.
    pub fn remove_webhook(&self, id: &str) -> Result<(), ClientError> {
        self.engine().step(|step| {
            if step.tx.delete_webhook(id)? {
                return Ok(());
            }
            Err(no_webhook(id))
        })
    }

    /// What is to be posted now, one event of each webhook and chat; and when to look again, in ms from now, `None`
    /// when only news can change anything.
    pub fn webhooks_due(&self) -> Result<(Vec<Due>, Option<u64>), ClientError> {
        let mut engine = self.engine();
        let (webhooks, is_behind) = engine.look(|tx, _| {
            let last = tx.event_range()?.1;
            let webhooks = tx.webhooks()?;
            let is_behind = webhooks.iter().any(|row| row.cursor < last);
            Ok((webhooks, is_behind))
        })?;
        if is_behind {
            engine.step_aside(take_over)?;
        }
        let now_ms = self.shared().env.now_ms();
        let first = engine.look(|tx, _| Ok(tx.first_deliveries()?))?;
        let (due, later): (Vec<_>, Vec<_>) =
            first.into_iter().partition(|row| row.next_ms <= now_ms);
        let next = later.iter().map(|row| row.next_ms - now_ms).min();
        let due = due.into_iter().filter_map(|row| {
            let webhook = webhooks.iter().find(|webhook| webhook.id == row.webhook)?;
            Some(Due {
                webhook: row.webhook,
                url: webhook.url.clone(),
                secret: Zeroizing::new(webhook.secret.clone()),
                cursor: row.number,
            })
        });
        Ok((due.collect(), next))
    }

    /// An event was posted, or there is nothing to tell of it any more.
    pub fn webhook_done(&self, webhook: &str, cursor: u64) -> Result<(), ClientError> {
        self.engine().step_aside(|step| {
            step.tx.delete_delivery(webhook, cursor)?;
            Ok(())
        })
    }

    /// An event could not be posted, and why.
    pub fn webhook_failed(
        &self,
        webhook: &str,
        cursor: u64,
        reason: &str,
    ) -> Result<(), ClientError> {
        self.engine().step_aside(|step| {
            let Some(mut row) = step.tx.delivery(webhook, cursor)? else {
                return Ok(());
            };
            failed(&mut row, step.now_ms);
            row.reason = reason.chars().take(REASON_CHARS_MAX).collect();
            step.tx.put_delivery(&row)?;
            Ok(step.tx.prune_dead(webhook, DEAD_MAX)?)
        })
    }

    /// Events that were given up, oldest first.
    pub fn dead_webhooks(&self) -> Result<Vec<Dead>, ClientError> {
        self.engine().look(|tx, _| {
            let rows = tx.dead_deliveries()?.into_iter();
            let dead = rows.map(|row| Dead {
                webhook: row.webhook,
                cursor: row.number,
                chat: row.chat_id,
                tries: row.tries,
                reason: row.reason,
                dead_ms: row.dead_ms,
            });
            Ok(dead.collect())
        })
    }

    /// Tries events that were given up again from the beginning: that one, or all of a webhook; how many.
    pub fn retry_dead(&self, webhook: &str, cursor: Option<u64>) -> Result<u64, ClientError> {
        let retried = self.each_dead(webhook, cursor, |step, row| {
            let row = DeliveryRow {
                tries: 0,
                first_ms: 0,
                next_ms: 0,
                dead_ms: 0,
                ..row
            };
            Ok(step.tx.put_delivery(&row)?)
        });
        self.shared().webhooks.notify_one();
        retried
    }

    /// Forgets events that were given up: that one, or all of a webhook; how many.
    pub fn drop_dead(&self, webhook: &str, cursor: Option<u64>) -> Result<u64, ClientError> {
        self.each_dead(webhook, cursor, |step, row| {
            step.tx.delete_delivery(&row.webhook, row.number)?;
            Ok(())
        })
    }

    fn each_dead(
        &self,
        webhook: &str,
        cursor: Option<u64>,
        mut work: impl FnMut(&Step<'_>, DeliveryRow) -> Result<(), ClientError>,
    ) -> Result<u64, ClientError> {
        self.engine().step(|step| {
            if !step.tx.webhooks()?.iter().any(|row| row.id == webhook) {
                return Err(no_webhook(webhook));
            }
            let mut dead = step.tx.dead_deliveries()?;
            dead.retain(|row| {
                row.webhook == webhook && cursor.is_none_or(|cursor| row.number == cursor)
            });
            if let (Some(cursor), []) = (cursor, dead.as_slice()) {
                let text = format!("event {cursor} was not given up for {webhook}");
                return Err(ClientError::NotFound(text));
            }
            let count = dead.len() as u64;
            for row in dead {
                work(step, row)?;
            }
            Ok(count)
        })
    }

    /// Ends when a webhook was made, or something is tried again.
    pub fn webhooks_changed(&self) -> Notified<'_> {
        self.shared().webhooks.notified()
    }
}

fn no_webhook(id: &str) -> ClientError {
    let id: String = id.chars().take(32).collect();
    ClientError::NotFound(format!(
        "there is no webhook {id}; `conclave webhook list` shows them"
    ))
}

fn check(url: &str, kinds: &[String], secret: &[u8]) -> Result<(), ClientError> {
    if url.len() > URL_BYTES_MAX {
        return Err(ClientError::TooLarge(format!(
            "the address is over {URL_BYTES_MAX} bytes"
        )));
    }
    if !SECRET_BYTES.contains(&secret.len()) {
        return Err(ClientError::BadInput(format!(
            "a secret has {} to {} bytes; make one with `openssl rand -hex 32`",
            SECRET_BYTES.start(),
            SECRET_BYTES.end()
        )));
    }
    if let Some(unknown) = kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
        let unknown: String = unknown.chars().take(32).collect();
        return Err(ClientError::BadInput(format!(
            "there are no events `{unknown}`; say {}",
            KINDS.join(", ")
        )));
    }
    Ok(())
}

fn show(step: &Step<'_>, row: WebhookRow) -> Result<Webhook, ClientError> {
    let (waiting, dead) = step.tx.count_deliveries(&row.id)?;
    Ok(Webhook {
        id: row.id,
        url: row.url,
        kinds: row.kinds,
        waiting,
        dead,
        created_ms: row.created_ms,
    })
}

/// Makes deliveries of the events that have none yet, as far as there is room.
fn take_over(step: &mut Step<'_>) -> Result<(), ClientError> {
    for mut webhook in step.tx.webhooks()? {
        let (waiting, _) = step.tx.count_deliveries(&webhook.id)?;
        // What is kept no more cannot be told.
        webhook.cursor = webhook.cursor.max(step.tx.event_range()?.0);
        let mut room = usize::try_from(WAITING_MAX.saturating_sub(waiting)).unwrap_or(0);
        while room > 0 {
            let events = step.tx.events_after(webhook.cursor, room)?;
            if events.is_empty() {
                break;
            }
            for event in events {
                webhook.cursor = event.number;
                if webhook.kinds.is_empty() || webhook.kinds.contains(&event.kind) {
                    step.tx.put_delivery(&fresh(&webhook, &event))?;
                    room -= 1;
                }
            }
        }
        step.tx.put_webhook(&webhook)?;
    }
    Ok(())
}

fn fresh(webhook: &WebhookRow, event: &EventRow) -> DeliveryRow {
    DeliveryRow {
        webhook: webhook.id.clone(),
        number: event.number,
        chat_id: event.chat_id,
        tries: 0,
        first_ms: 0,
        next_ms: 0,
        dead_ms: 0,
        reason: String::new(),
    }
}

/// One more try failed at `now_ms`.
fn failed(row: &mut DeliveryRow, now_ms: u64) {
    if row.tries == 0 {
        row.first_ms = now_ms;
    }
    let wait = usize::try_from(row.tries)
        .ok()
        .and_then(|tries| WAITS_MS.get(tries));
    row.tries = row.tries.saturating_add(1);
    if now_ms.saturating_sub(row.first_ms) >= GIVEN_UP_MS {
        // Never 0: that is alive.
        row.dead_ms = now_ms.max(1);
    } else {
        row.next_ms = now_ms.saturating_add(*wait.unwrap_or(&LONG_WAIT_MS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The waits between tries are those that the documents name, and after a day it is over.
    #[test]
    fn tries_get_rarer_and_end() {
        let webhook = WebhookRow {
            id: "w".into(),
            url: String::new(),
            secret: Vec::new(),
            kinds: Vec::new(),
            cursor: 0,
            created_ms: 0,
        };
        let mut row = fresh(&webhook, &EventRow::default());
        let begin = 1_000_000;
        let (mut now, mut waits) = (begin, Vec::new());
        while row.dead_ms == 0 {
            failed(&mut row, now);
            if row.dead_ms == 0 {
                waits.push((row.next_ms - now) / 1000);
                now = row.next_ms;
            }
        }
        assert_eq!(waits[..7], [1, 5, 30, 300, 1800, 3600, 3600]);
        assert!(now - begin >= GIVEN_UP_MS, "not before a day is over");
        assert!(now - begin < GIVEN_UP_MS + LONG_WAIT_MS);
        assert_eq!(usize::try_from(row.tries).unwrap(), waits.len() + 1);
    }
}
