//! History for a new device of the account, beside everything else that goes on.
//!
//! 1. `write`: the device that has it writes contacts, chats and messages into one sealed file
//! 2. the file goes up as a blob, from wherever it got to; its pointer travels in the link's bundle
//! 3. the new device takes the blob down, opens it piece by piece, and `import` puts each piece's records
//!    into the store in one transaction with how far it is
//!
//! Either side may die at any point and goes on at the next start. No MLS secret is in it (C-152).

mod import;
#[cfg(test)]
mod tests;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use conclave_core::archive as record;
use conclave_core::attachment::AttachmentPointer;
use conclave_proto::id::Day;
use conclave_proto::limits::BLOB_KEEP_DAYS;

use crate::blob::{self, BlobError, Place};
use crate::client::Client;
use crate::error::ClientError;
use crate::event::Event;
use crate::own_sync;
use crate::pieces::Pieces;
use crate::shared::Shared;
use crate::store::{ArchiveRow, StoreError, Thing, Tx};
use crate::transport::{Backoff, Transport, TransportError};
use crate::view::{HistoryProgress, HistoryScope};

use import::Import;

impl Client {
    /// Writes the history that the next device to be let in gets, and begins to put it up; `None` when
    /// there is nothing to give. An earlier one that nobody was told of is dropped.
    pub fn offer_history(
        &self,
        scope: HistoryScope,
    ) -> Result<Option<HistoryProgress>, ClientError> {
        let row = write::offer(self.shared(), self.dir(), scope)?;
        self.shared().archives.notify_one();
        Ok(row.map(|row| progress(&row)))
    }

    /// History on its way to or from this device, oldest first; what is over too.
    pub fn history_progress(&self) -> Result<Vec<HistoryProgress>, ClientError> {
        self.engine()
            .look(|tx, _| Ok(tx.archives()?.iter().map(progress).collect()))
    }

    /// Waits until no history is on its way any more, and gives what [`Self::history_progress`] gives then;
    /// `TimedOut` after `timeout`, and it goes on with the next run.
    pub async fn wait_for_history(
        &self,
        timeout: Duration,
    ) -> Result<Vec<HistoryProgress>, ClientError> {
        let mut events = self.events();
        let waiting = async {
            loop {
                let all = self.history_progress()?;
                if all.iter().all(|one| one.is_over) {
                    return Ok(all);
                }
                // Lagging or not: the store is looked at again either way.
                if let Err(tokio::sync::broadcast::error::RecvError::Closed) = events.recv().await {
                    return Err(ClientError::Broken("the engine stopped".into()));
                }
            }
        };
        tokio::time::timeout(timeout, waiting)
            .await
            .unwrap_or(Err(ClientError::TimedOut))
    }
}

/// Remembers history that another device of the account offers; the transfer begins with the next round.
/// A pointer that cannot be read is left aside: the link is worth more than the past.
pub(crate) fn take(tx: &Tx<'_>, pointer: &[u8], now_ms: u64) -> Result<(), StoreError> {
    let Ok(parsed) = AttachmentPointer::parse(pointer) else {
        return Ok(());
    };
    tx.put_archive(&ArchiveRow::new(&parsed, false, 0, now_ms))
}

/// C-188: a device that was let in with a history is in every conversation now: what came between the two follows. When
/// the pointer has left, nothing is owed any more.
fn fill_holes(shared: &Shared, dir: &Path) -> Result<(), ClientError> {
    let holes = shared.engine().look(|tx, own| {
        let certs = &own.account.certs;
        let is_in = |device| certs.iter().any(|cert| cert.content.device_id == device);
        Ok(tx
            .holes()?
            .into_iter()
            .map(|hole| (is_in(hole.device_id), hole))
            .collect::<Vec<_>>())
    })?;
    for (is_listed, hole) in holes {
        let device = hole.device_id;
        if !is_listed {
            shared.engine().step(|step| Ok(step.tx.end_hole(device)?))?;
        } else if hole.pointer.is_some() {
            shared.engine().step(|step| {
                if !step.tx.is_sharing(Thing::History(device))? {
                    step.tx.end_hole(device)?;
                }
                Ok(())
            })?;
        } else if shared
            .engine()
            .step(|step| own_sync::is_everywhere(step, device))?
        {
            let row = write::written(shared, dir, hole.mark)?;
            shared.engine().step(|step| {
                step.tx.put_archive(&row)?;
                step.tx.give_archive(row.blob_id)?;
                step.tx.fill_hole(device, &row.pointer)?;
                Ok(step.tx.share(Thing::History(device))?)
            })?;
            shared.wake.notify_one();
        }
    }
    Ok(())
}

/// Longest pause before an archive is asked for again, in ms: a person may be waiting for it.
const PAUSE_MAX_MS: u64 = 3_000;

/// Why a transfer stopped.
enum Trouble {
    /// The same may work later.
    Later(BlobError),
    /// It never will.
    Final(String),
}

impl From<BlobError> for Trouble {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::TooLarge(_)
            | BlobError::Length
            | BlobError::Conflict
            | BlobError::File(_) => Self::Final(error.to_string()),
            error => Self::Later(error),
        }
    }
}

/// Carries archives for as long as the driver runs. What is left of dead ones goes before this returns: an archive
/// that is written after it has a file before it has a row.
pub(crate) fn run(
    shared: Arc<Shared>,
    transport: Arc<dyn Transport>,
    dir: PathBuf,
) -> impl Future<Output = ()> {
    write::tidy(&shared, &dir);
    carry_all(shared, transport, dir)
}

async fn carry_all(shared: Arc<Shared>, transport: Arc<dyn Transport>, dir: PathBuf) {
    let mut backoff = Backoff::new(shared.env.clone());
    loop {
        if let Err(error) = fill_holes(&shared, &dir) {
            crate::shared::tell(&shared, &format!("the rest of the history waits: {error}"));
        }
        let rows = waiting(&shared);
        if rows.is_empty() {
            shared.archives.notified().await;
            continue;
        }
        let mut is_stuck = false;
        for row in rows {
            let pass = shared.pass().await;
            match carry(&shared, transport.as_ref(), &dir, &row, &pass).await {
                Ok(()) => end(&shared, &dir, &row, ""),
                Err(Trouble::Final(reason)) => end(&shared, &dir, &row, &reason),
                Err(Trouble::Later(error)) => {
                    let is_about_pass = matches!(
                        error,
                        BlobError::Pass | BlobError::Transport(TransportError::PassDiffers)
                    );
                    if is_about_pass {
                        shared.doubt_pass(&pass);
                    }
                    if is_too_late(&row, shared.env.now_ms()) {
                        end(&shared, &dir, &row, &error.to_string());
                    }
                    is_stuck = true;
                }
            }
        }
        if is_stuck {
            let pause = Duration::from_millis(backoff.next_ms().min(PAUSE_MAX_MS));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shared.archives.notified() => backoff.reset(),
            }
        } else {
            backoff.reset();
        }
    }
}

/// What a server keeps is gone by then.
fn is_too_late(row: &ArchiveRow, now_ms: u64) -> bool {
    let days = u64::from(BLOB_KEEP_DAYS) * Day::MS;
    now_ms > row.began_ms.saturating_add(days)
}

fn waiting(shared: &Shared) -> Vec<ArchiveRow> {
    let rows = shared.engine().store.read(|tx| tx.archives());
    // a store that does not answer is told by whoever needs it more
    let rows = rows.unwrap_or_default();
    rows.into_iter().filter(|row| !row.is_over).collect()
}

async fn carry(
    shared: &Shared,
    transport: &dyn Transport,
    dir: &Path,
    row: &ArchiveRow,
    pass: &[u8],
) -> Result<(), Trouble> {
    let pointer = AttachmentPointer::parse(&row.pointer);
    let pointer = pointer.map_err(|error| Trouble::Final(error.to_string()))?;
    let place = Place {
        transport,
        pass,
        env: &shared.env,
    };
    if row.is_up {
        let mut file = std::fs::File::open(write::file_of(dir, row.blob_id))
            .map_err(|error| Trouble::Final(format!("the written history is gone: {error}")))?;
        let total = pointer.sealed_bytes();
        let mut told = |done| {
            note(shared, row, |tx| {
                tx.move_archive(row.blob_id, done, &[], row.messages)
            });
        };
        let uploaded = blob::upload(place, row.blob_id, &mut file, total, &mut told).await;
        return Ok(uploaded?);
    }
    take_down(shared, place, &pointer, row).await
}

/// Takes a blob down from the last piece that was taken in, and takes in each piece as it comes.
async fn take_down(
    shared: &Shared,
    place: Place<'_>,
    pointer: &AttachmentPointer,
    row: &ArchiveRow,
) -> Result<(), Trouble> {
    let total = pointer.sealed_bytes();
    let mut pieces = Pieces::new(pointer, row.done);
    let mut import = Import::new(row);
    let mut sink = |bytes: &[u8]| {
        pieces.feed(bytes, |_, content, opened| {
            import.take_in(shared, content, opened)
        })
    };
    let from = row.done;
    blob::download(place, row.blob_id, from, total, &mut sink).await?;
    import.finish().map_err(Trouble::from)
}

/// Writes down how far an archive is, and tells it.
fn note(shared: &Shared, row: &ArchiveRow, work: impl FnOnce(&Tx<'_>) -> Result<(), StoreError>) {
    let mut engine = shared.engine();
    // A note that is lost costs a few bytes that are asked for again.
    let _ = engine.step(|step| {
        work(step.tx)?;
        let rows = step.tx.archives()?;
        let now = rows.iter().find(|other| other.blob_id == row.blob_id);
        step.events.extend(now.map(progress).map(Event::History));
        Ok(())
    });
}

fn end(shared: &Shared, dir: &Path, row: &ArchiveRow, reason: &str) {
    note(shared, row, |tx| tx.end_archive(row.blob_id, reason));
    if row.is_up {
        write::remove(dir, row.blob_id);
    }
    if !reason.is_empty() {
        let which = if row.is_up {
            "for another device"
        } else {
            "from the other device"
        };
        let text = format!("the history {which} did not come through: {reason}");
        crate::shared::tell(shared, &text);
    }
}

/// An archive as front ends see it.
fn progress(row: &ArchiveRow) -> HistoryProgress {
    HistoryProgress {
        is_incoming: !row.is_up,
        bytes_done: row.done,
        bytes_total: row.total,
        messages: row.messages,
        is_over: row.is_over,
        reason: row.reason.clone(),
    }
}
