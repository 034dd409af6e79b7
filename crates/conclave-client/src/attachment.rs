//! Files of messages, from disk to disk.
//!
//! 1. `spool`: the file is sealed as it is read, into the profile's folder
//! 2. its message is written down with what opens it, and waits (C-193)
//! 3. `carry`: the sealed file goes up beside everything else; with the last one the message goes out
//! 4. the receiver sees name, size, type and preview, and nothing is fetched before somebody asks (C-190)
//! 5. `carry`: each piece is checked and kept sealed, so a message that disappears takes all of it along (C-196)
//! 6. `save`: the content is opened into a file of the person's choice, whole or not at all (C-194); `read`: or shown
//!    from here
//!
//! Either side may die at any point and goes on at the next start.

mod carry;
mod name;
mod preview;
mod read;
mod save;
mod spool;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use conclave_core::attachment::{AttachmentPointer, sealed_bytes};
use conclave_core::content::{AttachmentInfo, TextMore};
use conclave_proto::id::{ChatId, MessageId};
use conclave_proto::label;
use conclave_proto::limits::ATTACHMENTS_MAX;
use zeroize::Zeroizing;

use crate::client::Client;
use crate::engine::{Own, Step, person};
use crate::error::ClientError;
use crate::send;
use crate::shared::{Shared, broken};
use crate::store::{ChatStage, Deleted, FileRow, FileState, MessageRow, Tx};
use crate::transport::TransportError;
use crate::view::{Attachment, AttachmentState, ChatKind, Message, MessageState, Pruned, SendMore};

pub(crate) use carry::run;
pub use name::safe_name;
pub(crate) use preview::is_well;
pub use read::AttachmentReader;
pub(crate) use spool::remove_files;

/// Where the files of a profile lie, below its folder.
const FOLDER: &str = "attachments";
/// What a message waits for before it goes out.
const WAITS: &str = "its files are on their way to the server";
/// Rows of a chat's list, newest messages first.
const LISTED_MESSAGES_MAX: u32 = 1_000;

/// The folder for files of the profile in `dir`.
pub(crate) fn folder(dir: &Path) -> PathBuf {
    dir.join(FOLDER)
}

impl Client {
    /// [`Client::send_with`] with files from this disk: each is sealed before this returns, goes up in the
    /// background, and the message goes out when the last is there. The text may be empty.
    pub async fn send_files(
        &self,
        to: &str,
        text: &str,
        files: &[PathBuf],
        more: SendMore,
    ) -> Result<Message, ClientError> {
        if files.len() > ATTACHMENTS_MAX {
            return Err(ClientError::TooLarge(format!(
                "a message takes at most {ATTACHMENTS_MAX} files; send the others with another one"
            )));
        }
        let chat = self.chat_of(to).await?;
        let mut drafts = Vec::new();
        for source in files {
            drafts.push(spool::seal(self, source).await?);
        }
        let more = TextMore {
            reply_to: more.reply_to,
            mentions: more.mentions,
            attachments: drafts.iter().map(|draft| draft.info.clone()).collect(),
            contact: more.contact,
            ..TextMore::default()
        };
        let sent = self.engine().step(|step| {
            let id = send::write_down(step, chat, text, more)?;
            put_rows(step, chat, id, &drafts)?;
            send::shown(step, id)
        });
        // A store that fails may have their rows all the same; the next start knows.
        if matches!(sent, Ok(_) | Err(ClientError::Store(_))) {
            drafts.into_iter().for_each(spool::Draft::keep);
        }
        self.shared().uploads.notify_one();
        sent
    }

    /// The files of a chat, oldest first; of its newest 1,000 messages with anything beside words.
    pub fn attachments(&self, chat: ChatId) -> Result<Vec<Attachment>, ClientError> {
        self.engine().look(|tx, own| {
            let mut all = Vec::new();
            for row in tx.messages_with_more(chat, LISTED_MESSAGES_MAX)? {
                all.extend(files_of(tx, own, &row)?);
            }
            Ok(all)
        })
    }

    /// One file of a message by its place, from 1; without one, the only file.
    pub fn attachment(
        &self,
        id: MessageId,
        number: Option<u32>,
    ) -> Result<Attachment, ClientError> {
        self.engine()
            .look(|tx, own| Ok(find(tx, own, id, number)?.0))
    }

    /// Begins to load a file into the profile's folder, or goes on with it. [`Client::go_online`] carries it.
    pub fn fetch_attachment(
        &self,
        id: MessageId,
        number: Option<u32>,
    ) -> Result<Attachment, ClientError> {
        let fetched = self.engine().step(|step| {
            let (file, info) = find(step.tx, step.own, id, number)?;
            if !matches!(
                file.state,
                AttachmentState::Remote | AttachmentState::Failed
            ) {
                return Ok(file);
            }
            check_chat(step, file.chat)?;
            let row = step.tx.find_message(id)?.ok_or_else(|| gone(id))?;
            want(step, &row, file.number, &info)?;
            Ok(find(step.tx, step.own, id, Some(file.number))?.0)
        });
        self.shared().downloads.notify_one();
        fetched
    }

    /// Waits until a file is not on its way any more, or nothing of it moved for `timeout`: `TimedOut`, and it goes
    /// on with the next run. `told` hears of each move.
    pub async fn wait_for_attachment(
        &self,
        id: MessageId,
        number: Option<u32>,
        timeout: Duration,
        told: &mut (dyn FnMut(&Attachment) + Send),
    ) -> Result<Attachment, ClientError> {
        let mut events = self.events();
        let mut last = None;
        loop {
            let file = self.attachment(id, number)?;
            let moves = matches!(
                file.state,
                AttachmentState::Uploading | AttachmentState::Loading
            );
            told(&file);
            if !moves {
                return Ok(file);
            }
            // What is noted without moving, such as why it waits, is no reason to wait longer.
            if last.is_none_or(|(bytes, _)| bytes != file.bytes_done) {
                last = Some((file.bytes_done, tokio::time::Instant::now() + timeout));
            }
            let deadline = last.map_or_else(tokio::time::Instant::now, |(_, at)| at);
            // Lagging or not: the store is looked at again either way.
            let heard = tokio::time::timeout_at(deadline, events.recv()).await;
            if heard.is_err() {
                return Err(match file.reason.as_str() {
                    "" => ClientError::TimedOut,
                    reason => ClientError::Unreachable(reason.to_owned()),
                });
            }
        }
    }

    /// Stops what is on its way: a file that is loaded, or a message that waits for its files; that one has failed
    /// then.
    pub fn cancel_attachment(&self, id: MessageId, number: Option<u32>) -> Result<(), ClientError> {
        self.engine().step(|step| {
            let row = step.tx.find_message(id)?.ok_or_else(|| gone(id))?;
            let files = step.tx.files_of(row.name())?;
            let is_up =
                |file: &&FileRow| matches!(file.state, FileState::Uploading | FileState::Uploaded);
            if let Some(file) = files.iter().find(is_up) {
                let is_late = !step.tx.waits_for_files(row.name())?;
                if is_late {
                    return Err(ClientError::NotAllowed("the message is out already".into()));
                }
                return fail_message(step, file, "taken back before its files were on the server");
            }
            let is_meant = |file: &&FileRow| {
                matches!(file.state, FileState::Loading | FileState::Failed)
                    && number.is_none_or(|number| number == file.number + 1)
            };
            let mut meant = files.iter().filter(is_meant).peekable();
            if meant.peek().is_none() {
                return Err(ClientError::NotFound(
                    "no file of this message is on its way".into(),
                ));
            }
            for file in meant {
                step.tx.drop_file(file.of, file.number)?;
            }
            Ok(())
        })
    }

    /// Removes a loaded file from the profile's folder; it can be loaded again while the server keeps it.
    pub fn forget_attachment(&self, id: MessageId, number: Option<u32>) -> Result<(), ClientError> {
        self.engine().step(|step| {
            let (file, _) = find(step.tx, step.own, id, number)?;
            let row = step.tx.find_message(id)?.ok_or_else(|| gone(id))?;
            if file.state == AttachmentState::Loaded {
                step.tx.drop_file(row.name(), file.number - 1)?;
            }
            Ok(())
        })
    }

    /// Removes all loaded files from the profile's folder.
    pub fn prune_attachments(&self) -> Result<Pruned, ClientError> {
        let mut engine = self.engine();
        let folder = engine.files.clone();
        engine.step(|step| {
            let mut pruned = Pruned::default();
            for file in step.tx.files_in(FileState::Loaded)? {
                let facts = std::fs::metadata(folder.join(&file.file));
                pruned.files += 1;
                pruned.bytes += facts.map_or(0, |facts| facts.len());
                step.tx.drop_file(file.of, file.number)?;
            }
            Ok(pruned)
        })
    }

    /// The largest file that this profile sends or loads, in bytes; the server has a limit of its own.
    pub fn attachment_bytes_max(&self) -> Result<u64, ClientError> {
        self.engine().look(|tx, _| Ok(tx.file_bytes_max()?))
    }

    /// Changes it.
    pub fn set_attachment_bytes_max(&self, bytes: u64) -> Result<(), ClientError> {
        self.engine()
            .step(|step| Ok(step.tx.put_file_bytes_max(bytes)?))
    }

    /// Files up to this size, in bytes, are loaded when they come, in open chats; 0 = none.
    pub fn attachment_auto_bytes(&self) -> Result<u64, ClientError> {
        self.engine().look(|tx, _| Ok(tx.auto_bytes()?))
    }

    /// Changes it.
    pub fn set_attachment_auto_bytes(&self, bytes: u64) -> Result<(), ClientError> {
        self.engine()
            .step(|step| Ok(step.tx.put_auto_bytes(bytes)?))
    }
}

/// Writes down what goes up for a message.
fn put_rows(
    step: &Step<'_>,
    chat_id: ChatId,
    message_id: MessageId,
    drafts: &[spool::Draft],
) -> Result<(), ClientError> {
    let of = conclave_core::content::MessageRef {
        sender: step.own.account.device.account_id,
        message_id,
    };
    for (number, draft) in (0..).zip(drafts) {
        step.tx.put_file(&FileRow {
            of,
            number,
            chat_id,
            pointer: Zeroizing::new(draft.info.pointer.clone()),
            file: draft.name.clone(),
            state: FileState::Uploading,
            done: 0,
            total: sealed_bytes(draft.info.length),
            reason: String::new(),
            began_ms: step.now_ms,
        })?;
    }
    Ok(step
        .tx
        .set_message_state(message_id, MessageState::Queued, WAITS)?)
}

/// Writes down that a file is wanted here. C-191: never one over the limit of this profile.
fn want(
    step: &Step<'_>,
    row: &MessageRow,
    number: u32,
    info: &AttachmentInfo,
) -> Result<(), ClientError> {
    let bytes_max = step.tx.file_bytes_max()?;
    if info.length > bytes_max {
        return Err(ClientError::TooLarge(format!(
            "the file has {} bytes, and this profile takes at most {bytes_max}; raise \
             attachments.max with `conclave config set`",
            info.length
        )));
    }
    let pointer = Zeroizing::new(info.pointer.clone());
    Ok(step.tx.put_file(&FileRow {
        of: row.name(),
        number: number - 1,
        chat_id: row.chat_id,
        file: file_name(&pointer),
        pointer,
        state: FileState::Loading,
        done: 0,
        total: sealed_bytes(info.length),
        reason: String::new(),
        began_ms: step.now_ms,
    })?)
}

/// A message came: its files are loaded when this user wants that for such. Nothing else asks by itself.
pub(crate) fn arrived(step: &Step<'_>, row: &MessageRow) -> Result<(), ClientError> {
    let auto_bytes = step.tx.auto_bytes()?;
    if row.own || auto_bytes == 0 || check_chat(step, row.chat_id).is_err() {
        return Ok(());
    }
    // C-190: in a group too, by itself from accepted people alone
    let sender = step.tx.contact(row.sender)?;
    if !sender.is_some_and(|sender| sender.accepted && !sender.blocked) {
        return Ok(());
    }
    let bytes_max = step.tx.file_bytes_max()?.min(auto_bytes);
    for (number, info) in (1..).zip(&row.more().attachments) {
        if info.length <= bytes_max {
            want(step, row, number, info)?;
        }
    }
    Ok(())
}

/// C-190: what strangers sent loads nothing before they are accepted.
fn check_chat(step: &Step<'_>, chat_id: ChatId) -> Result<(), ClientError> {
    let chat = step.tx.chat(chat_id)?;
    let chat = chat.ok_or_else(|| ClientError::Broken("a message lost its chat".into()))?;
    let is_asked = matches!(chat.stage, ChatStage::Request | ChatStage::Declined);
    let contact = chat.peer.map(|peer| step.tx.contact(peer)).transpose()?;
    let is_stranger = contact
        .flatten()
        .is_some_and(|contact| contact.blocked || !contact.accepted);
    if is_asked || (chat.kind == ChatKind::Direct && is_stranger) {
        return Err(ClientError::NotAllowed(
            "files of people whom you have not accepted are not loaded; accept their request first"
                .into(),
        ));
    }
    Ok(())
}

/// Part of a round: what came may have to be loaded, what was said again may have to go up.
pub(crate) fn tend(shared: &Shared) -> Result<(), TransportError> {
    let waiting = shared.engine().look(|tx, _| {
        Ok((
            tx.count_files(FileState::Uploading)?,
            tx.count_files(FileState::Loading)?,
        ))
    });
    let (up, down) = waiting.map_err(|error| broken(shared, &error))?;
    if up > 0 {
        shared.uploads.notify_one();
    }
    if down > 0 {
        shared.downloads.notify_one();
    }
    Ok(())
}

/// A message whose files do not go up has failed; the files go.
fn fail_message(step: &mut Step<'_>, row: &FileRow, reason: &str) -> Result<(), ClientError> {
    if step.tx.waits_for_files(row.of)? {
        let id = row.of.message_id;
        step.tx
            .set_message_state(id, MessageState::Failed, reason)?;
        step.moved(row.chat_id, id, MessageState::Failed);
    }
    Ok(step.tx.drop_files(row.of)?)
}

/// Its name in the profile's folder: another pointer is another file, whatever blob it names.
fn file_name(pointer: &[u8]) -> String {
    let hash = label::sha256(pointer);
    hex::encode(hash.as_bytes().first_chunk::<16>().unwrap_or(&[0; 16]))
}

fn gone(id: MessageId) -> ClientError {
    ClientError::NotFound(format!("there is no message {id}"))
}

/// A file of a message by its place from 1, and what its message says of it.
fn find(
    tx: &Tx<'_>,
    own: &Own,
    id: MessageId,
    number: Option<u32>,
) -> Result<(Attachment, AttachmentInfo), ClientError> {
    let row = tx.find_message(id)?;
    let row = row.filter(|row| row.deleted == Deleted::No);
    let row = row.ok_or_else(|| gone(id))?;
    let infos = row.more().attachments;
    let files = files_of(tx, own, &row)?;
    let at = match (number, files.len()) {
        (_, 0) => {
            return Err(ClientError::NotFound(format!("message {id} has no file")));
        }
        (None, 1) => 1,
        (None, many) => {
            return Err(ClientError::BadInput(format!(
                "message {id} has {many} files; name one of them: {id}/1 to {id}/{many}"
            )));
        }
        (Some(number), _) => number,
    };
    let mut both = files.into_iter().zip(infos);
    both.find(|(file, _)| file.number == at)
        .ok_or_else(|| ClientError::NotFound(format!("message {id} has no file {at}")))
}

/// The files of a message, in order.
fn files_of(tx: &Tx<'_>, own: &Own, row: &MessageRow) -> Result<Vec<Attachment>, ClientError> {
    let infos = row.more().attachments;
    if infos.is_empty() {
        return Ok(Vec::new());
    }
    let from = if row.own {
        own.person()
    } else {
        person(tx, row.sender)?
    };
    let rows = tx.files_of(row.name())?;
    let files = (0..).zip(&infos).map(|(number, info)| {
        let moved = rows.iter().find(|row| row.number == number);
        Attachment {
            message: row.message_id,
            number: number + 1,
            chat: row.chat_id,
            from: from.clone(),
            own: row.own,
            name: safe_name(&info.name),
            media_type: info.media_type.clone(),
            length: info.length,
            state: moved.map_or(AttachmentState::Remote, |row| state_of(row.state)),
            bytes_done: moved.map_or(0, |row| row.done),
            bytes_total: sealed_bytes(info.length),
            reason: moved.map_or_else(String::new, |row| row.reason.clone()),
        }
    });
    Ok(files.collect())
}

fn state_of(state: FileState) -> AttachmentState {
    match state {
        FileState::Uploading | FileState::Uploaded => AttachmentState::Uploading,
        FileState::Loading => AttachmentState::Loading,
        FileState::Loaded => AttachmentState::Loaded,
        FileState::Failed => AttachmentState::Failed,
    }
}

/// The pointer in a row that was checked when it came in.
fn pointer_of(row: &FileRow) -> Result<AttachmentPointer, ClientError> {
    AttachmentPointer::parse(&row.pointer).map_err(|error| ClientError::Broken(error.to_string()))
}
