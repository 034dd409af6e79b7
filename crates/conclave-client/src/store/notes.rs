//! Notes: what happened in a chat beside messages.

use conclave_proto::id::{AccountId, ChatId, LogId};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{StoreError, Tx, counter, id, int};
use crate::view::NoteKind;

/// One note.
#[derive(Debug, Clone)]
pub(crate) struct NoteRow {
    /// Its row; newer ones have higher numbers.
    pub(crate) id: i64,
    /// Its chat.
    pub(crate) chat_id: ChatId,
    /// The log in which it happened; `None` when there was no conversation.
    pub(crate) log_id: Option<LogId>,
    /// Place of that log in its chat.
    pub(crate) ordinal: u64,
    /// Its entry there, or the last one that was read before.
    pub(crate) seq: u64,
    /// What happened.
    pub(crate) kind: NoteKind,
    /// Who did it.
    pub(crate) actor: Option<AccountId>,
    /// Whom it is about.
    pub(crate) subject: Option<AccountId>,
    /// A name, a role, or how; empty for most kinds.
    pub(crate) value: String,
    /// When this device learned of it, ms since 1970-01-01 UTC.
    pub(crate) noted_ms: u64,
    /// Whether a listener was told, or none has to be.
    pub(crate) is_heard: bool,
}

/// A note to be written.
#[derive(Debug, Clone)]
pub(crate) struct NewNote {
    /// Its chat.
    pub(crate) chat_id: ChatId,
    /// Where it stands: log and entry.
    pub(crate) at: Option<(LogId, u64)>,
    /// What happened.
    pub(crate) kind: NoteKind,
    /// Who did it.
    pub(crate) actor: Option<AccountId>,
    /// Whom it is about.
    pub(crate) subject: Option<AccountId>,
    /// A name, a role, or how.
    pub(crate) value: String,
    /// When, ms since 1970-01-01 UTC.
    pub(crate) noted_ms: u64,
    /// Whether no listener has to be told: it was done here.
    pub(crate) is_heard: bool,
}

/// A note's columns, with the place of its log.
const SELECT: &str = "SELECT note.*, coalesce(
    (SELECT ordinal FROM conversation WHERE conversation.log_id = note.log_id),
    (SELECT ordinal FROM archived_log WHERE archived_log.log_id = note.log_id), 0) AS ordinal FROM note";

fn note(row: &Row<'_>) -> rusqlite::Result<NoteRow> {
    let account = |name| -> rusqlite::Result<Option<AccountId>> {
        let bytes: Vec<u8> = row.get(name)?;
        Ok(<[u8; 16]>::try_from(bytes).ok().map(AccountId::new))
    };
    let log: Vec<u8> = row.get("log_id")?;
    let kind: String = row.get("kind")?;
    Ok(NoteRow {
        id: row.get("id")?,
        chat_id: ChatId::new(id(row, "chat_id")?),
        log_id: <[u8; 32]>::try_from(log).ok().map(LogId::new),
        ordinal: counter(row, "ordinal")?,
        seq: counter(row, "seq")?,
        kind: NoteKind::from_name(&kind).unwrap_or(NoteKind::Unknown),
        actor: account("actor")?,
        subject: account("subject")?,
        value: row.get("value")?,
        noted_ms: counter(row, "noted_ms")?,
        is_heard: row.get("is_heard")?,
    })
}

fn bytes(account: Option<AccountId>) -> Vec<u8> {
    account.map(|account| account.to_vec()).unwrap_or_default()
}

impl Tx<'_> {
    /// Writes a note. The same at the same place again stays one note, which is told again.
    pub(crate) fn put_note(&self, new: &NewNote) -> Result<Option<NoteRow>, StoreError> {
        let on_conflict =
            "DO UPDATE SET noted_ms = excluded.noted_ms, is_heard = excluded.is_heard RETURNING id";
        let id = self.insert_note(new, on_conflict)?;
        let words = format!("{SELECT} WHERE note.id = ?1");
        let mut statement = self.0.prepare_cached(&words)?;
        Ok(statement.query_row([id], note).optional()?)
    }

    /// Writes a note of an archive unless it is known: the first stays.
    pub(crate) fn put_archived_note(&self, new: &NewNote) -> Result<(), StoreError> {
        self.insert_note(new, "DO NOTHING RETURNING id")?;
        Ok(())
    }

    fn insert_note(&self, new: &NewNote, on_conflict: &str) -> Result<Option<i64>, StoreError> {
        let (log_id, seq) = match new.at {
            Some((log_id, seq)) => (log_id.to_vec(), seq),
            None => (Vec::new(), new.noted_ms),
        };
        let mut statement = self.0.prepare_cached(&format!(
            "INSERT INTO note (chat_id, log_id, seq, kind, actor, subject, value, noted_ms, is_heard)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (log_id, seq, kind, subject) {on_conflict}"
        ))?;
        let values = params![
            new.chat_id.as_bytes(),
            log_id,
            int(seq),
            new.kind.name(),
            bytes(new.actor),
            bytes(new.subject),
            new.value,
            int(new.noted_ms),
            new.is_heard,
        ];
        Ok(statement
            .query_row(values, |row| row.get("id"))
            .optional()?)
    }

    /// The newest `limit` notes of a chat, oldest first.
    pub(crate) fn notes(&self, chat_id: ChatId, limit: usize) -> Result<Vec<NoteRow>, StoreError> {
        let words = format!(
            "{SELECT} WHERE chat_id = ?1 ORDER BY ordinal DESC, seq DESC, id DESC LIMIT ?2"
        );
        let mut statement = self.0.prepare_cached(&words)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![chat_id.as_bytes(), limit], note)?;
        let mut notes = rows.collect::<Result<Vec<_>, _>>()?;
        notes.reverse();
        Ok(notes)
    }

    /// One note.
    pub(crate) fn note(&self, id: i64) -> Result<Option<NoteRow>, StoreError> {
        let words = format!("{SELECT} WHERE note.id = ?1");
        let mut statement = self.0.prepare_cached(&words)?;
        Ok(statement.query_row([id], note).optional()?)
    }

    /// Notes that no listener was told of, in the order they came.
    pub(crate) fn unheard_notes(&self) -> Result<Vec<NoteRow>, StoreError> {
        let words = format!("{SELECT} WHERE is_heard = 0 ORDER BY id");
        let mut statement = self.0.prepare_cached(&words)?;
        let rows = statement.query_map([], note)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A listener was told of a note.
    pub(crate) fn mark_note_heard(&self, id: i64) -> Result<(), StoreError> {
        self.0
            .prepare_cached("UPDATE note SET is_heard = 1 WHERE id = ?1")?
            .execute([id])?;
        Ok(())
    }

    /// The newest note in a log that says where somebody stands: in or out.
    pub(crate) fn last_move(
        &self,
        log_id: LogId,
        account: AccountId,
    ) -> Result<Option<NoteKind>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT kind FROM note WHERE log_id = ?1 AND subject = ?2
             AND kind IN ('added', 'joined', 'removed', 'left') ORDER BY seq DESC, id DESC LIMIT 1",
        )?;
        let ids = params![log_id.as_bytes(), account.as_bytes()];
        let found = statement.query_row(ids, |row| row.get::<_, String>(0));
        Ok(found
            .optional()?
            .and_then(|kind| NoteKind::from_name(&kind)))
    }
}
