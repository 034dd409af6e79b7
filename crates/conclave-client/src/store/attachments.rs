//! Files of messages: which are on their way, how far, and which lie in the profile's folder.
//!
//! Rows go with their message by triggers, whatever took it away (C-196).

use conclave_core::content::MessageRef;
use conclave_proto::id::{AccountId, ChatId, MessageId};
use conclave_proto::limits::BLOB_BYTES_MAX;
use rusqlite::{OptionalExtension as _, Row, params};
use zeroize::Zeroizing;

use super::{MessageRow, StoreError, Tx, counter, id, int};

const BYTES_MAX: &str = "attachment_bytes_max";
const AUTO_BYTES: &str = "attachment_auto_bytes";

/// Where a file is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileState {
    /// Lies sealed here and goes to the server.
    Uploading,
    /// The server has it; another file of its message is not there yet.
    Uploaded,
    /// Comes from the server.
    Loading,
    /// Lies sealed here, whole.
    Loaded,
    /// Does not come.
    Failed,
}

impl FileState {
    const ALL: [Self; 5] = [
        Self::Uploading,
        Self::Uploaded,
        Self::Loading,
        Self::Loaded,
        Self::Failed,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Uploading => "uploading",
            Self::Uploaded => "uploaded",
            Self::Loading => "loading",
            Self::Loaded => "loaded",
            Self::Failed => "failed",
        }
    }

    fn parse(name: &str) -> Self {
        let found = Self::ALL.into_iter().find(|state| state.name() == name);
        found.unwrap_or(Self::Failed)
    }
}

/// A file of a message.
#[derive(Debug, Clone)]
pub(crate) struct FileRow {
    /// Its message.
    pub(crate) of: MessageRef,
    /// Its place there, from 0.
    pub(crate) number: u32,
    /// Its chat.
    pub(crate) chat_id: ChatId,
    /// Blob, key and length.
    pub(crate) pointer: Zeroizing<Vec<u8>>,
    /// Its name in the profile's folder.
    pub(crate) file: String,
    /// Where it is.
    pub(crate) state: FileState,
    /// Sealed bytes that are where they should be.
    pub(crate) done: u64,
    /// Sealed bytes of all of it.
    pub(crate) total: u64,
    /// Why it waits or failed; empty else.
    pub(crate) reason: String,
    /// When it began, ms since 1970-01-01 UTC.
    pub(crate) began_ms: u64,
}

fn file(row: &Row<'_>) -> rusqlite::Result<FileRow> {
    Ok(FileRow {
        of: MessageRef {
            sender: AccountId::new(id(row, "sender")?),
            message_id: MessageId::new(id(row, "message_id")?),
        },
        number: row.get("number")?,
        chat_id: ChatId::new(id(row, "chat_id")?),
        pointer: Zeroizing::new(row.get("pointer")?),
        file: row.get("file")?,
        state: FileState::parse(&row.get::<_, String>("state")?),
        done: counter(row, "done")?,
        total: counter(row, "total")?,
        reason: row.get("reason")?,
        began_ms: counter(row, "began_ms")?,
    })
}

impl Tx<'_> {
    /// Writes a file's row, in the place of an earlier one.
    pub(crate) fn put_file(&self, row: &FileRow) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT INTO attachment (sender, message_id, number, chat_id, pointer, file, state, done, total,
                 reason, began_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                 ON CONFLICT DO UPDATE SET state = excluded.state, done = excluded.done,
                 reason = excluded.reason, began_ms = excluded.began_ms",
            )?
            .execute(params![
                row.of.sender.as_bytes(),
                row.of.message_id.as_bytes(),
                row.number,
                row.chat_id.as_bytes(),
                row.pointer.as_slice(),
                row.file,
                row.state.name(),
                int(row.done),
                int(row.total),
                row.reason,
                int(row.began_ms),
            ])?;
        Ok(())
    }

    /// Notes how far a file is and why it waits, when it is still where `row` says.
    pub(crate) fn move_file(
        &self,
        row: &FileRow,
        done: u64,
        reason: &str,
    ) -> Result<bool, StoreError> {
        self.turn_file(row, row.state, done, reason)
    }

    /// The same, to another state. Whether the row was there.
    pub(crate) fn turn_file(
        &self,
        row: &FileRow,
        state: FileState,
        done: u64,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let moved = self
            .0
            .prepare_cached(
                "UPDATE attachment SET state = ?5, done = ?6, reason = ?7
                 WHERE sender = ?1 AND message_id = ?2 AND number = ?3 AND state = ?4",
            )?
            .execute(params![
                row.of.sender.as_bytes(),
                row.of.message_id.as_bytes(),
                row.number,
                row.state.name(),
                state.name(),
                int(done),
                reason,
            ])?;
        Ok(moved == 1)
    }

    /// The files of a message that have a row, in order.
    pub(crate) fn files_of(&self, of: MessageRef) -> Result<Vec<FileRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT * FROM attachment WHERE sender = ?1 AND message_id = ?2 ORDER BY number",
        )?;
        let rows = statement.query_map(
            params![of.sender.as_bytes(), of.message_id.as_bytes()],
            file,
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// All files in a state, the one that began first at the front.
    pub(crate) fn files_in(&self, state: FileState) -> Result<Vec<FileRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT * FROM attachment WHERE state = ?1 ORDER BY began_ms, number",
        )?;
        let rows = statement.query_map([state.name()], file)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many files are in a state.
    pub(crate) fn count_files(&self, state: FileState) -> Result<u64, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT count(*) AS n FROM attachment WHERE state = ?1")?;
        Ok(statement.query_row([state.name()], |row| counter(row, "n"))?)
    }

    /// How many files go up, and are not held back by something that may take long.
    pub(crate) fn uploads_moving(&self) -> Result<u64, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT count(*) AS n FROM attachment WHERE state = 'uploading' AND reason = ''",
        )?;
        Ok(statement.query_row([], |row| counter(row, "n"))?)
    }

    /// The names in the profile's folder that are in use.
    pub(crate) fn file_names(&self) -> Result<Vec<String>, StoreError> {
        let mut statement = self.0.prepare("SELECT file FROM attachment")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets a file; what lies in the folder goes with the commit.
    pub(crate) fn drop_file(&self, of: MessageRef, number: u32) -> Result<(), StoreError> {
        self.0.execute(
            "DELETE FROM attachment WHERE sender = ?1 AND message_id = ?2 AND number = ?3",
            params![of.sender.as_bytes(), of.message_id.as_bytes(), number],
        )?;
        Ok(())
    }

    /// Forgets all files of a message.
    pub(crate) fn drop_files(&self, of: MessageRef) -> Result<(), StoreError> {
        self.0.execute(
            "DELETE FROM attachment WHERE sender = ?1 AND message_id = ?2",
            params![of.sender.as_bytes(), of.message_id.as_bytes()],
        )?;
        Ok(())
    }

    /// The names of files that nobody needs any more, each told once.
    pub(crate) fn take_gone_files(&self) -> Result<Vec<String>, StoreError> {
        let mut any = self
            .0
            .prepare_cached("SELECT 1 FROM attachment_gone LIMIT 1")?;
        if !any.exists([])? {
            return Ok(Vec::new());
        }
        let mut statement = self.0.prepare_cached(
            "DELETE FROM attachment_gone RETURNING file,
             EXISTS (SELECT 1 FROM attachment WHERE attachment.file = attachment_gone.file)",
        )?;
        let rows = statement.query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?))
        })?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let gone = rows.into_iter().filter(|(_, is_used)| !is_used);
        Ok(gone.map(|(name, _)| name).collect())
    }

    /// Messages of a chat that came with something beside their words, oldest first, at most `limit` of the newest.
    pub(crate) fn messages_with_more(
        &self,
        chat_id: ChatId,
        limit: u32,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT * FROM (SELECT * FROM message WHERE chat_id = ?1 AND deleted = 0 AND length(more) > ?3
             ORDER BY id DESC LIMIT ?2) ORDER BY id",
        )?;
        // A pointer alone has more bytes than mentions and timers of most messages.
        let rows = statement.query_map(
            params![chat_id.as_bytes(), limit, 64],
            super::messages::message,
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The largest file that goes or comes, in bytes of content.
    pub(crate) fn file_bytes_max(&self) -> Result<u64, StoreError> {
        Ok(self.number(BYTES_MAX)?.unwrap_or(BLOB_BYTES_MAX))
    }

    /// Changes it.
    pub(crate) fn put_file_bytes_max(&self, bytes: u64) -> Result<(), StoreError> {
        self.set_meta(BYTES_MAX, &bytes.to_be_bytes())
    }

    /// The largest file that is loaded without being asked for, in bytes; 0 = none.
    pub(crate) fn auto_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.number(AUTO_BYTES)?.unwrap_or(0))
    }

    /// Changes it.
    pub(crate) fn put_auto_bytes(&self, bytes: u64) -> Result<(), StoreError> {
        self.set_meta(AUTO_BYTES, &bytes.to_be_bytes())
    }

    fn number(&self, key: &str) -> Result<Option<u64>, StoreError> {
        let bytes = self.meta(key)?;
        Ok(bytes
            .and_then(|bytes| bytes.as_slice().try_into().ok())
            .map(u64::from_be_bytes))
    }

    /// Whether an own message waits for its files: queued, and never handed to the outbox.
    pub(crate) fn waits_for_files(&self, of: MessageRef) -> Result<bool, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT 1 FROM message WHERE sender = ?1 AND message_id = ?2 AND own = 1 AND state = 'queued'
             AND deleted = 0
             AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.message_id = message.message_id)",
        )?;
        let found = statement.query_row(
            params![of.sender.as_bytes(), of.message_id.as_bytes()],
            |_| Ok(()),
        );
        Ok(found.optional()?.is_some())
    }
}
