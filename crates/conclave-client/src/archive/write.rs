//! Writes an archive: records into a sealed file in the profile's folder, a page at a time.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use conclave_core::attachment::{AttachmentError, AttachmentPointer, Sealer};
use conclave_proto::id::{AccountId, BlobId, Day};
use conclave_proto::limits::BLOB_BYTES_MAX;
use prost::Message as _;

use super::record::{self, Begin, Chat, Contact, End, Kind, VERSION};
use crate::engine::{Engine, Own};
use crate::error::ClientError;
use crate::shared::Shared;
use crate::store::{ActRow, ArchiveRow, ArchivedMessage, ChatStage, HistoryMark, NoteRow, Tx};
use crate::view::{ChatKind, HistoryScope};

/// Messages that are read in one transaction.
const PAGE_MESSAGES: u32 = 200;
/// Message bytes in one archive, by a generous estimate of each: padded and sealed it fits a blob.
const CONTENT_BYTES_MAX: u64 = BLOB_BYTES_MAX / 4 * 3;
/// Notes of one chat in an archive, the newest.
const NOTES_MAX: usize = 5_000;
/// What files of archives end with.
const ENDING: &str = ".archive";

/// Writes what `scope` says; `None` when that is nothing.
pub(super) fn offer(
    shared: &Shared,
    dir: &Path,
    scope: HistoryScope,
) -> Result<Option<ArchiveRow>, ClientError> {
    // before anything else: the next device gets what was said for it, not for one that never came
    drop_untold(shared, dir)?;
    let now_ms = shared.env.now_ms();
    let since_ms = match scope {
        HistoryScope::Nothing => return Ok(None),
        HistoryScope::All => 0,
        HistoryScope::Days(days) => now_ms.saturating_sub(u64::from(days) * Day::MS),
    };
    let within = shared
        .engine()
        .look(|tx, _| Ok(tx.newest_within(CONTENT_BYTES_MAX)?))?;
    let since_ms = since_ms.max(within);
    let mark = shared
        .engine()
        .look(|tx, _| Ok(tx.history_mark(since_ms)?))?;
    let from = HistoryMark {
        since_ms,
        ..HistoryMark::default()
    };
    let row = written(shared, dir, from)?;
    let row = ArchiveRow { mark, ..row };
    shared
        .engine()
        .step(|step| Ok(step.tx.put_archive(&row)?))?;
    Ok(Some(row))
}

/// An archive of what comes after `from`; its row is not in the store yet.
pub(super) fn written(
    shared: &Shared,
    dir: &Path,
    from: HistoryMark,
) -> Result<ArchiveRow, ClientError> {
    let sealer = Sealer::new(shared.env.as_ref());
    let path = file_of(dir, sealer.blob_id());
    let written = write(shared, sealer, &path, from);
    let (pointer, messages) = written.inspect_err(|_| remove_file(&path))?;
    let now_ms = shared.env.now_ms();
    Ok(ArchiveRow::new(&pointer, true, messages, now_ms))
}

/// An archive that nobody was told of is replaced by the next one.
fn drop_untold(shared: &Shared, dir: &Path) -> Result<(), ClientError> {
    let untold = shared
        .engine()
        .step(|step| Ok(step.tx.drop_untold_archives()?))?;
    for blob_id in untold {
        remove(dir, blob_id);
    }
    Ok(())
}

/// The sealed file of an archive.
pub(super) fn file_of(dir: &Path, blob_id: BlobId) -> PathBuf {
    let name = hex::encode(blob_id.as_bytes().first_chunk::<8>().unwrap_or(&[0; 8]));
    dir.join(name + ENDING)
}

/// Deletes an archive's file.
pub(super) fn remove(dir: &Path, blob_id: BlobId) {
    remove_file(&file_of(dir, blob_id));
}

fn remove_file(path: &Path) {
    // sealed under a key that is forgotten: only room is lost
    let _ = std::fs::remove_file(path);
}

/// Deletes files that a death left behind before their row was written.
pub(super) fn tidy(shared: &Shared, dir: &Path) {
    let rows = shared.engine().store.read(|tx| tx.archives());
    let (Ok(rows), Ok(entries)) = (rows, std::fs::read_dir(dir)) else {
        return;
    };
    let wanted: Vec<PathBuf> = rows
        .iter()
        .filter(|row| row.is_up && !row.is_over)
        .map(|row| file_of(dir, row.blob_id))
        .collect();
    for entry in entries.flatten() {
        let path = entry.path();
        let is_ours = path.to_string_lossy().ends_with(ENDING);
        if is_ours && !wanted.contains(&path) {
            remove_file(&path);
        }
    }
}

/// The file under the pen.
struct Pen {
    sealer: Sealer,
    file: File,
}

/// Why nothing more can be written.
#[derive(Debug)]
enum PenError {
    Disk(std::io::Error),
    Seal(AttachmentError),
}

impl From<AttachmentError> for PenError {
    fn from(error: AttachmentError) -> Self {
        Self::Seal(error)
    }
}

impl From<PenError> for ClientError {
    fn from(error: PenError) -> Self {
        match error {
            PenError::Disk(error) => Self::Store(format!("cannot write the history: {error}")),
            PenError::Seal(error) => Self::TooLarge(error.to_string()),
        }
    }
}

impl Pen {
    fn put(&mut self, kind: Kind) -> Result<(), ClientError> {
        let file = &mut self.file;
        let mut sink = |piece: &[u8]| file.write_all(piece).map_err(PenError::Disk);
        Ok(self.sealer.write(&record::encode(kind), &mut sink)?)
    }

    fn finish(self) -> Result<AttachmentPointer, ClientError> {
        let Self { sealer, mut file } = self;
        let mut sink = |piece: &[u8]| file.write_all(piece).map_err(PenError::Disk);
        let pointer = sealer.finish(&mut sink)?;
        file.sync_all().map_err(PenError::Disk)?;
        Ok(pointer)
    }
}

fn write(
    shared: &Shared,
    sealer: Sealer,
    path: &Path,
    from: HistoryMark,
) -> Result<(AttachmentPointer, u64), ClientError> {
    let file = File::create_new(path).map_err(PenError::Disk)?;
    let mut pen = Pen { sealer, file };
    let messages = records(shared, from, &mut |kind| pen.put(kind))?;
    Ok((pen.finish()?, messages))
}

/// Gives all records to `put`, in order; how many messages there were.
fn records(
    shared: &Shared,
    from: HistoryMark,
    put: &mut impl FnMut(Kind) -> Result<(), ClientError>,
) -> Result<u64, ClientError> {
    let since_ms = from.since_ms;
    let head = shared.engine().look(|tx, own| head(tx, own, since_ms))?;
    for kind in head {
        put(kind)?;
    }
    let (mut after, mut messages) = (from.message, 0);
    loop {
        let page = page(&mut shared.engine(), after, since_ms)?;
        let Some((last, _)) = page.last() else { break };
        after = *last;
        for (_, message) in page {
            put(Kind::Message(of_message(message)))?;
            messages += 1;
        }
    }
    let mut after = from.act;
    loop {
        let acts = shared
            .engine()
            .look(|tx, _| Ok(tx.acts_after(after, since_ms, PAGE_MESSAGES)?))?;
        let Some((last, _)) = acts.last() else { break };
        after = *last;
        for (_, act) in acts {
            put(Kind::Act(of_act(act)))?;
        }
    }
    put(Kind::End(End { messages }))?;
    Ok(messages)
}

/// An archive before it is sealed.
#[cfg(test)]
pub(super) fn records_of(shared: &Shared) -> Vec<u8> {
    let mut written = Vec::new();
    let mut put = |kind| {
        written.extend(record::encode(kind));
        Ok(())
    };
    records(shared, HistoryMark::default(), &mut put).unwrap();
    written
}

fn page(
    engine: &mut Engine,
    after: i64,
    since_ms: u64,
) -> Result<Vec<(i64, ArchivedMessage)>, ClientError> {
    engine.look(|tx, _| Ok(tx.messages_after(after, since_ms, PAGE_MESSAGES)?))
}

/// Everything before the messages. C-152: by name, what people see; the tables of MLS are never read here.
fn head(tx: &Tx<'_>, own: &Own, since_ms: u64) -> Result<Vec<Kind>, ClientError> {
    let mut kinds = vec![Kind::Begin(Begin {
        version: VERSION,
        account_id: own.account.device.account_id.to_vec(),
    })];
    for contact in tx.contacts()? {
        // who only asked is asked about on every device for itself
        if contact.accepted || contact.blocked || contact.verified {
            kinds.push(Kind::Contact(Contact {
                identifier: contact.identifier,
                given_name: contact.given_name,
                own_name: contact.own_name,
                states: contact.states.encode_to_vec(),
                capability: contact.capability,
                confirmed: contact.confirmed,
                accepted: contact.accepted,
                blocked: contact.blocked,
                verified: contact.verified,
            }));
        }
    }
    for chat in tx.chats()? {
        let is_said = !matches!(chat.stage, ChatStage::Request | ChatStage::Declined);
        if !is_said || chat.kind == ChatKind::Own {
            continue;
        }
        let logs = tx.logs_of(chat.chat_id)?;
        kinds.push(Kind::Chat(Chat {
            chat_id: chat.chat_id.to_vec(),
            kind: chat.kind.name().to_owned(),
            peer: chat
                .peer
                .as_ref()
                .map(AccountId::to_vec)
                .unwrap_or_default(),
            name: chat.name,
            created_ms: chat.created_ms,
            logs: logs.iter().map(|(log_id, _)| log_id.to_vec()).collect(),
            ordinals: logs.iter().map(|(_, ordinal)| *ordinal).collect(),
        }));
        let notes = tx.notes(chat.chat_id, NOTES_MAX)?.into_iter();
        let notes = notes.filter(|note| note.noted_ms >= since_ms);
        kinds.extend(notes.map(of_note));
    }
    Ok(kinds)
}

fn of_note(note: NoteRow) -> Kind {
    let bytes = |account: Option<AccountId>| account.map(|account| account.to_vec());
    Kind::Note(record::Note {
        chat_id: note.chat_id.to_vec(),
        log_id: note
            .log_id
            .map(|log_id| log_id.to_vec())
            .unwrap_or_default(),
        seq: note.seq,
        kind: note.kind.name().to_owned(),
        actor: bytes(note.actor).unwrap_or_default(),
        subject: bytes(note.subject).unwrap_or_default(),
        value: note.value,
        noted_ms: note.noted_ms,
    })
}

fn of_message(message: ArchivedMessage) -> record::Message {
    let (log_id, seq, epoch) = message
        .place
        .map(|(log_id, seq, epoch)| (log_id.to_vec(), seq, epoch))
        .unwrap_or_default();
    record::Message {
        chat_id: message.chat_id.to_vec(),
        message_id: message.message_id.to_vec(),
        sender: message.sender.to_vec(),
        body: message.body,
        raw: message.raw,
        state: message.state.name().to_owned(),
        reason: message.reason,
        log_id,
        seq,
        epoch,
        devices: message.devices,
        sent_ms: message.sent_ms,
        is_read: message.is_read,
        more: message.more,
        first_more: message
            .first
            .as_ref()
            .map_or(Vec::new(), |(_, more)| more.clone()),
        first_body: message.first.map(|(body, _)| body),
        deleted: u32::from(message.deleted.number()),
        deleted_by: message
            .deleted_by
            .as_ref()
            .map(AccountId::to_vec)
            .unwrap_or_default(),
        expires_s: message.expires_s,
        expires_ms: message.expires_ms.unwrap_or(0),
    }
}

fn of_act(act: ActRow) -> record::Act {
    let (log_id, seq) = act
        .place
        .map(|(log_id, _, seq)| (log_id.to_vec(), seq))
        .unwrap_or_default();
    let target = act.target;
    record::Act {
        chat_id: act.chat_id.to_vec(),
        sender: act.sender.to_vec(),
        act_id: act.act_id.to_vec(),
        kind: act.kind.name().to_owned(),
        target_sender: target
            .map(|target| target.sender.to_vec())
            .unwrap_or_default(),
        target_id: target
            .map(|target| target.message_id.to_vec())
            .unwrap_or_default(),
        body: act.body,
        more: act.more,
        number: act.number,
        sent_ms: act.sent_ms,
        log_id,
        seq,
    }
}
