//! Calls that may come again, by the key that their caller gave them.

use conclave_proto::id::MessageId;
use rusqlite::{OptionalExtension as _, params};

use super::{StoreError, Tx, int};

/// A call that did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallRow {
    /// Hash of method and parameters.
    pub(crate) request: Vec<u8>,
    /// The message that it made or changed.
    pub(crate) made: Option<MessageId>,
    /// Its answer; `None` when the program ended before there was one.
    pub(crate) answer: Option<String>,
}

impl Tx<'_> {
    /// The call with that key.
    pub(crate) fn call(&self, owner: &str, key: &str) -> Result<Option<CallRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT request, made, answer FROM call_key WHERE owner = ?1 AND key = ?2",
        )?;
        let call = statement.query_row([owner, key], |row| {
            Ok(CallRow {
                request: row.get("request")?,
                made: row
                    .get::<_, Vec<u8>>("made")?
                    .try_into()
                    .ok()
                    .map(MessageId::new),
                answer: row.get("answer")?,
            })
        });
        Ok(call.optional()?)
    }

    /// A call did something. What it made first stays; so does its time.
    pub(crate) fn put_call(
        &self,
        (owner, key): (&str, &str),
        now_ms: u64,
        call: &CallRow,
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT INTO call_key (owner, key, request, at_ms, made, answer) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (owner, key) DO UPDATE SET answer = coalesce(answer, excluded.answer),
                 made = CASE WHEN made = x'' THEN excluded.made ELSE made END",
            )?
            .execute(params![
                owner,
                key,
                call.request,
                int(now_ms),
                call.made.map(|id| id.to_vec()).unwrap_or_default(),
                call.answer,
            ])?;
        Ok(())
    }

    /// Forgets calls from before `since_ms`.
    pub(crate) fn prune_calls(&self, since_ms: u64) -> Result<(), StoreError> {
        self.0
            .prepare_cached("DELETE FROM call_key WHERE at_ms < ?1")?
            .execute([int(since_ms)])?;
        Ok(())
    }
}
