//! Carries files up and down beside everything else, one at a time in each direction, from wherever they got to.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use conclave_core::attachment::AttachmentPointer;
use conclave_proto::id::Day;
use conclave_proto::limits::{BLOB_KEEP_DAYS, BLOB_PIECE_BYTES};

use super::{fail_message, files_of, pointer_of, spool};
use crate::blob::{self, BlobError, Place};
use crate::engine::Step;
use crate::error::ClientError;
use crate::event::Event;
use crate::pieces::Pieces;
use crate::send;
use crate::shared::Shared;
use crate::store::{FileRow, FileState};
use crate::transport::{Backoff, Transport, TransportError};

/// Longest pause before a file is tried again, in ms: a person may be waiting for it.
const PAUSE_MAX_MS: u64 = 5_000;
/// Bytes between two notes of how far a file is.
const NOTE_BYTES: u64 = 1024 * 1024;

/// Why a file stopped on its way.
enum Trouble {
    /// The same may work later.
    Later(BlobError),
    /// It never will.
    Final(String),
}

/// Carries files for as long as the driver runs. What no row names is removed before this returns: what is sealed
/// after it has a file before it has a row.
pub(crate) fn run(shared: Arc<Shared>, transport: Arc<dyn Transport>) -> impl Future<Output = ()> {
    {
        let mut engine = shared.engine();
        let names = engine.store.read(|tx| tx.file_names());
        // a store that does not answer is told by whoever needs it more
        if let Ok(names) = names {
            spool::tidy(&engine.files, &names);
        }
    }
    async move {
        tokio::join!(
            carry_all(&shared, transport.as_ref(), FileState::Uploading),
            carry_all(&shared, transport.as_ref(), FileState::Loading),
        );
    }
}

async fn carry_all(shared: &Shared, transport: &dyn Transport, way: FileState) {
    let told = match way {
        FileState::Uploading => &shared.uploads,
        _ => &shared.downloads,
    };
    let mut backoff = Backoff::new(shared.env.clone());
    loop {
        let rows = shared.engine().store.read(|tx| tx.files_in(way));
        let rows = rows.unwrap_or_default();
        if rows.is_empty() {
            told.notified().await;
            continue;
        }
        let mut is_stuck = false;
        for row in rows {
            let pass = shared.pass().await;
            let carried = tokio::select! {
                biased;
                () = unwanted(shared, &row) => continue,
                carried = carry(shared, transport, &row, &pass) => carried,
            };
            match carried.and_then(|()| end(shared, &row)) {
                Ok(()) => {}
                Err(Trouble::Final(reason)) => is_stuck |= !give_up(shared, &row, &reason),
                Err(Trouble::Later(error)) => {
                    is_stuck = true;
                    later(shared, &row, &pass, &error);
                }
            }
        }
        if is_stuck {
            let pause = Duration::from_millis(backoff.next_ms().min(PAUSE_MAX_MS));
            tokio::time::sleep(pause).await;
        } else {
            backoff.reset();
        }
    }
}

/// Until nobody wants the file any more.
async fn unwanted(shared: &Shared, row: &FileRow) {
    let gone = shared.engine().files_gone.clone();
    loop {
        let told = gone.notified();
        tokio::pin!(told);
        told.as_mut().enable();
        let files = shared.engine().store.read(|tx| tx.files_of(row.of));
        let is_there = |file: &FileRow| file.number == row.number && file.state == row.state;
        if files.is_ok_and(|files| !files.iter().any(is_there)) {
            return;
        }
        told.await;
    }
}

/// What stops it for now, and when it is given up.
fn later(shared: &Shared, row: &FileRow, pass: &[u8], error: &BlobError) {
    let is_about_pass = matches!(
        error,
        BlobError::Pass | BlobError::Transport(TransportError::PassDiffers)
    );
    if is_about_pass {
        return shared.doubt_pass(pass);
    }
    let keep_ms = u64::from(BLOB_KEEP_DAYS) * Day::MS;
    if shared.env.now_ms() > row.began_ms.saturating_add(keep_ms) {
        give_up(shared, row, &error.to_string());
        return;
    }
    note(shared, row, None, &error.to_string());
}

async fn carry(
    shared: &Shared,
    transport: &dyn Transport,
    row: &FileRow,
    pass: &[u8],
) -> Result<(), Trouble> {
    let pointer = pointer_of(row).map_err(|error| Trouble::Final(error.to_string()))?;
    let path = shared.engine().files.join(&row.file);
    let place = Place {
        transport,
        pass,
        env: &shared.env,
    };
    let mut noted = row.done;
    let mut progress = |done: u64| {
        if done.abs_diff(noted) >= NOTE_BYTES {
            noted = done;
            note(shared, row, Some(done), "");
        }
    };
    if row.state == FileState::Uploading {
        let mut file = File::open(path)
            .map_err(|error| Trouble::Final(format!("the sealed file is gone: {error}")))?;
        let total = pointer.sealed_bytes();
        let went = blob::upload(place, pointer.blob_id, &mut file, total, &mut progress);
        return went.await.map_err(up_trouble);
    }
    let came = take_down(place, &pointer, &path, &mut progress).await;
    came.map_err(down_trouble)
}

fn up_trouble(error: BlobError) -> Trouble {
    match error {
        BlobError::TooLarge(_) | BlobError::Conflict | BlobError::File(_) => {
            Trouble::Final(error.to_string())
        }
        error => Trouble::Later(error),
    }
}

fn down_trouble(error: BlobError) -> Trouble {
    match error {
        // Its message went out when all of it was there.
        BlobError::Missing => Trouble::Final(
            "the server does not have the file any more; ask for it to be sent again".into(),
        ),
        BlobError::Length | BlobError::File(_) => Trouble::Final(error.to_string()),
        error => Trouble::Later(error),
    }
}

/// Takes a file down from the last whole piece on this disk, and keeps each piece that opens, sealed.
async fn take_down(
    place: Place<'_>,
    pointer: &AttachmentPointer,
    path: &Path,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<(), BlobError> {
    let mut file = begin(path).map_err(disk)?;
    let length = file.metadata().map_err(disk)?.len();
    let total = pointer.sealed_bytes();
    let from = if length == total {
        total
    } else {
        length.min(total) / BLOB_PIECE_BYTES as u64 * BLOB_PIECE_BYTES as u64
    };
    file.set_len(from).map_err(disk)?;
    file.seek(SeekFrom::Start(from)).map_err(disk)?;
    let mut pieces = Pieces::new(pointer, from);
    let mut sink = |bytes: &[u8]| {
        pieces.feed(bytes, |sealed, _, opened| {
            file.write_all(sealed).map_err(disk)?;
            progress(opened);
            Ok(())
        })
    };
    blob::download(place, pointer.blob_id, from, total, &mut sink).await?;
    file.sync_all().map_err(disk)
}

fn begin(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        spool::make_folder(folder)?;
    }
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

/// Room may be made.
#[expect(clippy::needless_pass_by_value, reason = "used as map_err's function")]
fn disk(error: std::io::Error) -> BlobError {
    BlobError::Store(format!("cannot write to the folder for files: {error}"))
}

/// Writes down how far a file is or why it waits, and tells it.
fn note(shared: &Shared, row: &FileRow, done: Option<u64>, reason: &str) {
    // A note that is lost costs a few bytes that are asked for again.
    let noted = shared.engine().step(|step| {
        let files = step.tx.files_of(row.of)?;
        let now = files.iter().find(|file| file.number == row.number);
        let done = done.or(now.map(|now| now.done)).unwrap_or(row.done);
        let is_news = now.is_some_and(|now| now.done != done || now.reason != reason);
        if is_news && step.tx.move_file(row, done, reason)? {
            tell(step, row)?;
        }
        Ok(is_news)
    });
    if matches!(noted, Ok(true)) && !reason.is_empty() {
        // What waits for a reason is nothing that others wait for.
        shared.wake.notify_one();
    }
}

/// A file is where it should be. With its last one a message goes out.
fn end(shared: &Shared, row: &FileRow) -> Result<(), Trouble> {
    let ended = shared.engine().step(|step| {
        if row.state == FileState::Loading {
            step.tx.turn_file(row, FileState::Loaded, row.total, "")?;
            return tell(step, row);
        }
        step.tx.turn_file(row, FileState::Uploaded, row.total, "")?;
        tell(step, row)?;
        let files = step.tx.files_of(row.of)?;
        if files.iter().all(|file| file.state == FileState::Uploaded) {
            go_out(step, row)?;
        }
        Ok(())
    });
    shared.wake.notify_one();
    ended.map_err(|error| Trouble::Later(BlobError::Store(error.to_string())))
}

/// C-193: all files of a message are on the server, so it goes out; what lies here is not needed any more.
fn go_out(step: &mut Step<'_>, row: &FileRow) -> Result<(), ClientError> {
    if step.tx.waits_for_files(row.of)? {
        let id = row.of.message_id;
        match send::release(step, row.chat_id, id) {
            Ok(()) => step
                .tx
                .set_message_state(id, crate::view::MessageState::Queued, "")?,
            Err(error @ (ClientError::Store(_) | ClientError::Broken(_))) => return Err(error),
            // Nobody can be told it any more.
            Err(error) => return fail_message(step, row, &error.to_string()),
        }
    }
    Ok(step.tx.drop_files(row.of)?)
}

/// Ends a file that never comes or goes. Whether that stands; else it is tried again.
fn give_up(shared: &Shared, row: &FileRow, reason: &str) -> bool {
    let mut engine = shared.engine();
    let path = engine.files.join(&row.file);
    let ended = engine.step(|step| {
        if row.state == FileState::Uploading {
            return fail_message(step, row, reason);
        }
        // What came is not what was promised: nothing of it stays.
        let _ = std::fs::remove_file(path);
        step.tx.turn_file(row, FileState::Failed, 0, reason)?;
        tell(step, row)
    });
    drop(engine);
    // The next round says that nothing is under way any more.
    shared.wake.notify_one();
    ended.is_ok()
}

/// Tells where a file is now.
fn tell(step: &mut Step<'_>, row: &FileRow) -> Result<(), ClientError> {
    let Some(message) = step.tx.message(row.of.sender, row.of.message_id)? else {
        return Ok(());
    };
    let files = files_of(step.tx, step.own, &message)?;
    let file = files.into_iter().find(|file| file.number == row.number + 1);
    step.events.extend(file.map(Event::File));
    Ok(())
}
