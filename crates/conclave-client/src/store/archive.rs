//! Archives on their way between own devices, and what an import needs to put messages in their place.

use conclave_core::attachment::AttachmentPointer;
use conclave_proto::id::{AccountId, BlobId, ChatId, DeviceId, LogId, MessageId};
use rusqlite::{OptionalExtension as _, Row, params};
use zeroize::Zeroizing;

use super::{Deleted, StoreError, Tx, counter, id, int, optional_counter};
use crate::view::MessageState;

/// Bytes of a message row beside its text, for sums over many.
const ROW_BYTES: i64 = 160;

/// An archive on its way.
#[derive(Debug, Clone)]
pub(crate) struct ArchiveRow {
    /// The blob.
    pub(crate) blob_id: BlobId,
    /// Whether it leaves this device.
    pub(crate) is_up: bool,
    /// The pointer with its key; empty when it is over.
    pub(crate) pointer: Zeroizing<Vec<u8>>,
    /// Bytes of the blob.
    pub(crate) total: u64,
    /// Sealed bytes that the server has, or that were taken in: whole pieces.
    pub(crate) done: u64,
    /// The beginning of a record that goes on in the next piece.
    pub(crate) rest: Vec<u8>,
    /// Messages in it, or taken out so far.
    pub(crate) messages: u64,
    /// When it began, ms since 1970-01-01 UTC.
    pub(crate) began_ms: u64,
    /// Whether nothing more happens to it.
    pub(crate) is_over: bool,
    /// Why it ended without success; empty else.
    pub(crate) reason: String,
    /// Of one that goes up: what it covers.
    pub(crate) mark: HistoryMark,
}

/// What an archive covers: everything from a time on, up to and including these rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct HistoryMark {
    /// From when on, ms since 1970-01-01 UTC.
    pub(crate) since_ms: u64,
    /// Row of the last message.
    pub(crate) message: i64,
    /// Row of the last act.
    pub(crate) act: i64,
}

/// History that is owed to a device which this one let in (C-188).
#[derive(Debug)]
pub(crate) struct HoleRow {
    /// The device.
    pub(crate) device_id: DeviceId,
    /// What it has.
    pub(crate) mark: HistoryMark,
    /// Where the rest is, once that is written.
    pub(crate) pointer: Option<Zeroizing<Vec<u8>>>,
}

fn mark(row: &Row<'_>) -> rusqlite::Result<HistoryMark> {
    Ok(HistoryMark {
        since_ms: counter(row, "since_ms")?,
        message: row.get("last_message")?,
        act: row.get("last_act")?,
    })
}

fn hole(row: &Row<'_>) -> rusqlite::Result<HoleRow> {
    let pointer = row.get::<_, Vec<u8>>("pointer")?;
    Ok(HoleRow {
        device_id: DeviceId::new(id(row, "device_id")?),
        mark: mark(row)?,
        pointer: (!pointer.is_empty()).then(|| Zeroizing::new(pointer)),
    })
}

impl ArchiveRow {
    /// A transfer that begins now.
    pub(crate) fn new(
        pointer: &AttachmentPointer,
        is_up: bool,
        messages: u64,
        now_ms: u64,
    ) -> Self {
        Self {
            blob_id: pointer.blob_id,
            is_up,
            pointer: pointer.to_bytes(),
            total: pointer.sealed_bytes(),
            done: 0,
            rest: Vec::new(),
            messages,
            began_ms: now_ms,
            is_over: false,
            reason: String::new(),
            mark: HistoryMark::default(),
        }
    }
}

fn archive(row: &Row<'_>) -> rusqlite::Result<ArchiveRow> {
    Ok(ArchiveRow {
        blob_id: BlobId::new(id(row, "blob_id")?),
        is_up: row.get("is_up")?,
        pointer: Zeroizing::new(row.get("pointer")?),
        total: counter(row, "total")?,
        done: counter(row, "done")?,
        rest: row.get("rest")?,
        messages: counter(row, "messages")?,
        began_ms: counter(row, "began_ms")?,
        is_over: row.get("is_over")?,
        reason: row.get("reason")?,
        mark: mark(row)?,
    })
}

/// A message as an archive carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArchivedMessage {
    /// Its chat.
    pub(crate) chat_id: ChatId,
    /// The message.
    pub(crate) message_id: MessageId,
    /// Who wrote it.
    pub(crate) sender: AccountId,
    /// Whether this account wrote it.
    pub(crate) own: bool,
    /// Text.
    pub(crate) body: String,
    /// Content of an unknown kind.
    pub(crate) raw: Vec<u8>,
    /// How far it got.
    pub(crate) state: MessageState,
    /// Why it failed or cannot be shown.
    pub(crate) reason: String,
    /// Log, place in it and epoch; `None` when it never got one.
    pub(crate) place: Option<(LogId, u64, u64)>,
    /// Other devices it was encrypted to.
    pub(crate) devices: u32,
    /// When it was written, ms since 1970-01-01 UTC.
    pub(crate) sent_ms: u64,
    /// Whether this user has read it.
    pub(crate) is_read: bool,
    /// What comes with the text, encoded.
    pub(crate) more: Vec<u8>,
    /// What it said before it was edited: text and what came with it.
    pub(crate) first: Option<(String, Vec<u8>)>,
    /// Whether its content is gone, and how.
    pub(crate) deleted: Deleted,
    /// Who deleted it for everyone.
    pub(crate) deleted_by: Option<AccountId>,
    /// The timer it was written under, in seconds.
    pub(crate) expires_s: u32,
    /// When it goes, ms since 1970-01-01 UTC.
    pub(crate) expires_ms: Option<u64>,
}

fn archived(row: &Row<'_>) -> rusqlite::Result<(i64, ArchivedMessage)> {
    let log_id = row.get::<_, Option<[u8; 32]>>("log_id")?.map(LogId::new);
    let (seq, epoch) = (
        optional_counter(row, "seq")?,
        optional_counter(row, "epoch")?,
    );
    let message = ArchivedMessage {
        chat_id: ChatId::new(id(row, "chat_id")?),
        message_id: MessageId::new(id(row, "message_id")?),
        sender: AccountId::new(id(row, "sender")?),
        own: row.get("own")?,
        body: row.get("body")?,
        raw: row.get("raw")?,
        state: MessageState::from_name(&row.get::<_, String>("state")?)
            .unwrap_or(MessageState::Failed),
        reason: row.get("reason")?,
        place: log_id
            .zip(seq)
            .map(|(log, seq)| (log, seq, epoch.unwrap_or(0))),
        devices: row.get("devices")?,
        sent_ms: counter(row, "sent_ms")?,
        is_read: row.get("is_read")?,
        more: row.get("more")?,
        first: row
            .get::<_, Option<String>>("first_body")?
            .zip(row.get("first_more")?),
        deleted: Deleted::parse(row.get("deleted")?),
        deleted_by: row
            .get::<_, Option<[u8; 16]>>("deleted_by")?
            .map(AccountId::new),
        expires_s: row.get("expires_s")?,
        expires_ms: optional_counter(row, "expires_ms")?,
    };
    Ok((row.get("id")?, message))
}

impl Tx<'_> {
    /// Writes a new archive.
    pub(crate) fn put_archive(&self, row: &ArchiveRow) -> Result<(), StoreError> {
        self.0.execute(
            "INSERT OR IGNORE INTO archive
             (blob_id, is_up, pointer, total, messages, began_ms, since_ms, last_message, last_act)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                row.blob_id.as_bytes(),
                row.is_up,
                row.pointer.as_slice(),
                int(row.total),
                int(row.messages),
                int(row.began_ms),
                int(row.mark.since_ms),
                row.mark.message,
                row.mark.act,
            ],
        )?;
        Ok(())
    }

    /// Where an archive that is written now ends: before anything that waits for its place in a log.
    pub(crate) fn history_mark(&self, since_ms: u64) -> Result<HistoryMark, StoreError> {
        let mut statement = self.0.prepare(
            "SELECT coalesce((SELECT min(id) - 1 FROM message WHERE state = 'queued'),
                             (SELECT max(id) FROM message), 0) AS last_message,
                    coalesce((SELECT min(id) - 1 FROM act WHERE seq IS NULL), (SELECT max(id) FROM act), 0)
                    AS last_act",
        )?;
        let (message, act) = statement.query_row([], |row| {
            Ok((row.get("last_message")?, row.get("last_act")?))
        })?;
        Ok(HistoryMark {
            since_ms,
            message,
            act,
        })
    }

    /// History that is owed to devices.
    pub(crate) fn holes(&self) -> Result<Vec<HoleRow>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT * FROM history_hole ORDER BY device_id")?;
        let rows = statement.query_map([], hole)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The same of one device.
    pub(crate) fn hole(&self, device: DeviceId) -> Result<Option<HoleRow>, StoreError> {
        let mut holes = self.holes()?.into_iter();
        Ok(holes.find(|hole| hole.device_id == device))
    }

    /// The rest is written: where it is.
    pub(crate) fn fill_hole(&self, device: DeviceId, pointer: &[u8]) -> Result<(), StoreError> {
        self.0.execute(
            "UPDATE history_hole SET pointer = ?2 WHERE device_id = ?1",
            params![device.as_bytes(), pointer],
        )?;
        Ok(())
    }

    /// Nothing is owed to a device any more.
    pub(crate) fn end_hole(&self, device: DeviceId) -> Result<(), StoreError> {
        self.0.execute(
            "DELETE FROM history_hole WHERE device_id = ?1",
            [device.as_bytes()],
        )?;
        Ok(())
    }

    /// Whether a device waits to be added to a conversation.
    pub(crate) fn is_device_wished(&self, device: DeviceId) -> Result<bool, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT 1 FROM intent WHERE kind = 'add_device' AND device_id = ?1 AND reason = ''",
        )?;
        Ok(statement.exists([device.as_bytes()])?)
    }

    /// Notes that an archive's pointer goes to its device by another way than a link.
    pub(crate) fn give_archive(&self, blob_id: BlobId) -> Result<(), StoreError> {
        self.0.execute(
            "UPDATE archive SET is_given = 1 WHERE blob_id = ?1",
            [blob_id.as_bytes()],
        )?;
        Ok(())
    }

    /// All archives, oldest first.
    pub(crate) fn archives(&self) -> Result<Vec<ArchiveRow>, StoreError> {
        let mut statement = self.0.prepare("SELECT * FROM archive ORDER BY began_ms")?;
        let rows = statement.query_map([], archive)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes how far an archive is.
    pub(crate) fn move_archive(
        &self,
        blob_id: BlobId,
        done: u64,
        rest: &[u8],
        messages: u64,
    ) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "UPDATE archive SET done = ?2, rest = ?3, messages = ?4 WHERE blob_id = ?1",
            )?
            .execute(params![blob_id.as_bytes(), int(done), rest, int(messages)])?;
        Ok(())
    }

    /// Ends an archive; `reason` is empty when it went well. Its key is forgotten once nobody needs it.
    pub(crate) fn end_archive(&self, blob_id: BlobId, reason: &str) -> Result<(), StoreError> {
        self.0.execute(
            "UPDATE archive SET is_over = 1, reason = ?2, rest = x'',
             pointer = CASE WHEN is_up = is_given THEN x'' ELSE pointer END WHERE blob_id = ?1",
            params![blob_id.as_bytes(), reason],
        )?;
        Ok(())
    }

    /// Ends archives for devices that no device was told of; which ones.
    pub(crate) fn drop_untold_archives(&self) -> Result<Vec<BlobId>, StoreError> {
        let mut statement = self
            .0
            .prepare("DELETE FROM archive WHERE is_up = 1 AND is_given = 0 RETURNING blob_id")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        let ids = rows.collect::<Result<Vec<[u8; 32]>, _>>()?;
        Ok(ids.into_iter().map(BlobId::new).collect())
    }

    /// The pointer that the next device to be let in is given, once; empty when there is none. The upload
    /// may be over by then. What comes after it, and before the device is everywhere, is owed to it.
    pub(crate) fn take_archive_offer(
        &self,
        device: DeviceId,
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        self.0.execute(
            "INSERT OR REPLACE INTO history_hole (device_id, since_ms, last_message, last_act)
             SELECT ?1, since_ms, last_message, last_act FROM archive WHERE is_up = 1 AND is_given = 0",
            [device.as_bytes()],
        )?;
        let mut statement = self.0.prepare(
            "UPDATE archive SET is_given = 1 WHERE is_up = 1 AND is_given = 0 RETURNING pointer",
        )?;
        let found = statement.query_row([], |row| row.get::<_, Vec<u8>>(0));
        let found = found.optional()?;
        let told =
            "UPDATE archive SET pointer = x'' WHERE is_up = 1 AND is_given = 1 AND is_over = 1";
        self.0.execute(told, [])?;
        Ok(Zeroizing::new(found.unwrap_or_default()))
    }

    /// Up to `limit` messages after row `after` that were written at `since_ms` or later and are not waiting
    /// to be sent, in the order they came in; each with its row.
    pub(crate) fn messages_after(
        &self,
        after: i64,
        since_ms: u64,
        limit: u32,
    ) -> Result<Vec<(i64, ArchivedMessage)>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT message.* FROM message JOIN chat USING (chat_id)
             WHERE id > ?1 AND sent_ms >= ?2 AND state <> 'queued'
             AND chat.stage NOT IN ('request', 'declined') AND chat.kind <> 'own' ORDER BY id LIMIT ?3",
        )?;
        let rows = statement.query_map(params![after, int(since_ms), limit], archived)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// When the newest messages that together have `bytes` begin, ms since 1970-01-01 UTC; 0 = all fit.
    pub(crate) fn newest_within(&self, bytes: u64) -> Result<u64, StoreError> {
        let mut statement = self.0.prepare(
            "SELECT sent_ms FROM (SELECT sent_ms,
             sum((length(body) + coalesce(length(first_body), 0)) * 2 + length(raw) + length(more) + ?2) OVER (ORDER BY sent_ms DESC, id DESC) AS total
             FROM message) WHERE total > ?1 ORDER BY sent_ms DESC LIMIT 1",
        )?;
        let found = statement
            .query_row(params![int(bytes), ROW_BYTES], |row| {
                counter(row, "sent_ms")
            })
            .optional()?;
        Ok(found.map_or(0, |last_over| last_over.saturating_add(1)))
    }

    /// The logs of a chat and their places in it: its conversations, and what came in an archive.
    pub(crate) fn logs_of(&self, chat_id: ChatId) -> Result<Vec<(LogId, u64)>, StoreError> {
        let mut statement = self.0.prepare(
            "SELECT log_id, ordinal FROM conversation WHERE chat_id = ?1
             UNION SELECT log_id, ordinal FROM archived_log WHERE chat_id = ?1 ORDER BY 2",
        )?;
        let rows = statement.query_map([chat_id.as_bytes()], |row| {
            Ok((LogId::new(id(row, "log_id")?), counter(row, "ordinal")?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The chat that a log belongs to by an archive: a conversation joined later goes on there.
    pub(crate) fn archived_chat_of(&self, log_id: LogId) -> Result<Option<ChatId>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT chat_id FROM archived_log JOIN chat USING (chat_id) WHERE log_id = ?1",
        )?;
        let found = statement.query_row([log_id.as_bytes()], |row| row.get(0));
        Ok(found.optional()?.map(ChatId::new))
    }

    /// The place of a log in its chat, as an archive says.
    pub(crate) fn archived_ordinal(&self, log_id: LogId) -> Result<Option<u64>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT ordinal FROM archived_log WHERE log_id = ?1")?;
        let found = statement.query_row([log_id.as_bytes()], |row| counter(row, "ordinal"));
        Ok(found.optional()?)
    }

    /// Which chat here a chat of the other device is.
    pub(crate) fn archived_chat(&self, theirs: ChatId) -> Result<Option<ChatId>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT chat_id FROM archived_chat WHERE theirs = ?1")?;
        let found = statement.query_row([theirs.as_bytes()], |row| row.get(0));
        Ok(found.optional()?.map(ChatId::new))
    }

    /// Notes which chat here a chat of the other device is, and the places of its logs. Conversations of
    /// this device take the places that they have there; those that are not there come after them.
    pub(crate) fn put_archived_chat(
        &self,
        theirs: ChatId,
        chat_id: ChatId,
        logs: &[(LogId, u64)],
    ) -> Result<(), StoreError> {
        let is_known = self.archived_chat(theirs)?.is_some();
        self.0.execute(
            "INSERT OR REPLACE INTO archived_chat (theirs, chat_id) VALUES (?1, ?2)",
            params![theirs.as_bytes(), chat_id.as_bytes()],
        )?;
        for (log_id, ordinal) in logs {
            self.0.execute(
                "INSERT OR IGNORE INTO archived_log (log_id, chat_id, ordinal) VALUES (?1, ?2, ?3)",
                params![log_id.as_bytes(), chat_id.as_bytes(), int(*ordinal)],
            )?;
        }
        if is_known {
            return Ok(());
        }
        let last = logs.iter().map(|(_, ordinal)| *ordinal).max().unwrap_or(0);
        for table in ["conversation", "message", "act"] {
            self.0.execute(
                &format!(
                    "UPDATE {table} SET ordinal = coalesce((SELECT a.ordinal FROM archived_log a
                     WHERE a.log_id = {table}.log_id), ordinal + ?2)
                     WHERE chat_id = ?1 AND log_id IS NOT NULL"
                ),
                params![chat_id.as_bytes(), int(last)],
            )?;
        }
        Ok(())
    }

    /// Writes a message of an archive unless it is known: the first of (sender, id) stays (C-052, C-153).
    /// Whether it was written.
    pub(crate) fn insert_archived(&self, message: &ArchivedMessage) -> Result<bool, StoreError> {
        let place = message.place;
        let written = self
            .0
            .prepare_cached(
                "INSERT OR IGNORE INTO message (chat_id, message_id, sender, own, body, raw, state, reason,
                 log_id, ordinal, seq, epoch, devices, sent_ms, is_read, is_heard,
                 more, first_body, first_more, deleted, deleted_by, expires_s, expires_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,
                 (SELECT ordinal FROM archived_log WHERE log_id = ?9), ?10, ?11, ?12, ?13,
                 ?14 OR EXISTS (SELECT 1 FROM own_read WHERE log_id = ?9 AND own_read.seq >= ?10), 1,
                 ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
            )?
            .execute(params![
                message.chat_id.as_bytes(),
                message.message_id.as_bytes(),
                message.sender.as_bytes(),
                message.own,
                message.body,
                message.raw,
                message.state.name(),
                message.reason,
                place.map(|(log_id, ..)| log_id.to_vec()),
                place.map(|(_, seq, _)| int(seq)),
                place.map(|(.., epoch)| int(epoch)),
                message.devices,
                int(message.sent_ms),
                message.is_read,
                message.more,
                message.first.as_ref().map(|(body, _)| body),
                message.first.as_ref().map(|(_, more)| more),
                message.deleted.number(),
                message.deleted_by.as_ref().map(AccountId::as_bytes),
                message.expires_s,
                message.expires_ms.map(int),
            ])?;
        if written == 0 && message.is_read {
            // read on one device is read on all
            self.0
                .prepare_cached(
                    "UPDATE message SET is_read = 1, is_heard = 1 WHERE sender = ?1 AND message_id = ?2",
                )?
                .execute(params![message.sender.as_bytes(), message.message_id.as_bytes()])?;
        }
        Ok(written == 1)
    }
}
