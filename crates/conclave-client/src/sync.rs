//! The way in, network half: open the log at the epoch this device is in, read without gaps, verify the page.
//!
//! A page is believed only when its head is signed by the server, its entries follow the cursor one by one,
//! and the chain over them meets the head (C-025, C-027). Then `receive` applies it.

use std::collections::BTreeSet;

use conclave_proto::ErrorCode;
use conclave_proto::account::verify_ed25519;
use conclave_proto::codec;
use conclave_proto::hello::Role;
use conclave_proto::id::{Day, Epoch, Hash32, LogId, Seq, ServerId};
use conclave_proto::limits::{COMMIT_RETENTION_DAYS, PAGES_AT_ONCE, READ_PAGE_ENTRIES};
use conclave_proto::log::{
    Entry, EntryKind, Head, LogPage, OpenOne, chain_next, head_signing_input,
};

use crate::error::ClientError;
use crate::net::Net;
use crate::shared::{Shared, broken, is_local};
use crate::store::{ConversationRow, Stage};
use crate::transport::{Connection, TransportError, calls};
use crate::{invite, receive, recover, rejoin, restored, states};

/// Step 5 of a round: every log that may have moved is read to its head.
pub(crate) async fn sync_moved(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    let active = shared.engine().look(|tx, _| Ok(tx.active_conversations()?));
    let rows = active.map_err(|error| broken(shared, &error))?;
    // A log that the server does not have yet is told of by nobody.
    let new = rows.iter().filter(|row| row.create_request.is_some());
    net.moved.extend(new.map(|row| row.log_id));
    let active: Vec<LogId> = rows.iter().map(|row| row.log_id).collect();
    close_unused(net, &active).await?;
    if std::mem::take(&mut net.all_moved) {
        net.moved.extend(active.iter().copied());
    }
    net.moved.retain(|log_id| active.contains(log_id));
    for log_id in active {
        if net.moved.contains(&log_id) {
            match sync_log(shared, net, log_id).await {
                Ok(Read::Done) => {
                    net.moved.remove(&log_id);
                }
                // C-083: it stays on the list, and the others have their turn.
                Ok(Read::More) => net.progress = true,
                Ok(Read::Later) => {}
                Err(error) if is_local(&error) => {
                    if is_too_many(&error) {
                        // More handles than the server allows: they close with the connection.
                        net.forget(Role::Logs);
                    }
                    net.set_aside(Some(log_id), shared.env.now_ms());
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn is_too_many(error: &TransportError) -> bool {
    matches!(error, TransportError::Refused(refusal) if refusal.code() == ErrorCode::TooLarge)
}

/// Closes handles of logs that are read no more, so that they do not use up what a connection may hold.
async fn close_unused(net: &mut Net, active: &[LogId]) -> Result<(), TransportError> {
    let known: BTreeSet<LogId> = net
        .handles
        .keys()
        .chain(net.next_handles.keys())
        .copied()
        .collect();
    for log_id in known.iter().filter(|log_id| !active.contains(log_id)) {
        net.drop_handles(*log_id);
    }
    let Some(logs) = net.connections.get(&Role::Logs).cloned() else {
        return Ok(());
    };
    for handle in std::mem::take(&mut net.unused_handles) {
        match calls::close_handle(logs.as_ref(), handle).await {
            Err(error) if !is_local(&error) => return Err(error),
            // The server may have closed it with the epoch.
            _ => {}
        }
    }
    Ok(())
}

/// How far a log was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// To its head, or as far as it can be.
    Done,
    /// Not to its head yet.
    More,
    /// Not to its head, and it cannot be read on now.
    Later,
}

/// Reads one log towards its head, through as many epochs as it takes and at most so many pages (C-083).
pub(crate) async fn sync_log(
    shared: &Shared,
    net: &mut Net,
    log_id: LogId,
) -> Result<Read, TransportError> {
    let mut tried = BTreeSet::new();
    for _ in 0..PAGES_AT_ONCE {
        let row = shared.engine().look(|tx, _| Ok(tx.conversation(log_id)?));
        let row = row.map_err(|error| broken(shared, &error))?;
        let Some(row) = row.filter(|row| row.stage != Stage::Broken) else {
            return Ok(Read::Done);
        };
        if row.create_request.is_some() {
            invite::create_log(shared, net, &row).await?;
            continue;
        }
        let Some(handle) = open(shared, net, &row).await? else {
            unknown_log(shared, net, &row)?;
            net.progress = true;
            return Ok(Read::Done);
        };
        let (logs, _) = net.connection(Role::Logs).await?;
        let page =
            calls::read_log(logs.as_ref(), handle, row.cursor_seq, READ_PAGE_ENTRIES).await?;
        let server_id = logs.context().server_id;
        match check_page(server_id, &logs.server_key(), &row, &page) {
            Ok(checked) => {
                let is_last =
                    checked.cursor_after() == checked.head.seq && checked.head.epoch == row.epoch;
                let applied = shared
                    .engine()
                    .step(|step| receive::apply_page(step, log_id, checked, &tried));
                let applied = applied.map_err(|error| broken(shared, &error))?;
                net.progress |= applied.progress;
                if !applied.missing.is_empty() {
                    // C-017, C-180: each state is asked for once, then the entry is judged by what is known.
                    if !states::fetch_wanted(shared, net, &applied.missing).await? {
                        return Ok(Read::Later);
                    }
                    tried.extend(applied.missing);
                    continue;
                }
                if applied.stuck || is_last {
                    return Ok(Read::Done);
                }
            }
            Err(PageError::Malformed(what)) => {
                net.forget(Role::Logs);
                return Err(TransportError::Protocol(what));
            }
            Err(PageError::Contradiction(head)) => {
                contradiction(shared, &row, head, &page)?;
                // A group goes on elsewhere at once.
                net.progress = true;
                return Ok(Read::Done);
            }
        }
    }
    Ok(Read::More)
}

/// The handle of the log at the conversation's epoch; `None` when the server knows no such log for this key.
async fn open(
    shared: &Shared,
    net: &mut Net,
    row: &ConversationRow,
) -> Result<Option<u32>, TransportError> {
    let (logs, _) = net.connection(Role::Logs).await?;
    match net.handles.get(&row.log_id) {
        Some((epoch, handle)) if *epoch == row.epoch => return Ok(Some(*handle)),
        Some((_, old)) => {
            let old = *old;
            net.handles.remove(&row.log_id);
            calls::close_handle(logs.as_ref(), old).await?;
        }
        None => {}
    }
    let handle = match net.next_handles.remove(&row.log_id) {
        Some((epoch, handle)) if epoch == row.epoch => handle,
        other => {
            net.unused_handles.extend(other.map(|(_, handle)| handle));
            prove(shared, logs.as_ref(), row).await?
        }
    };
    if handle == 0 {
        return Ok(None);
    }
    net.handles.insert(row.log_id, (row.epoch, handle));
    calls::subscribe_log(logs.as_ref(), handle).await?;
    Ok(Some(handle))
}

/// Opens the log by a proof of A_e. The handle; 0 = unknown.
async fn prove(
    shared: &Shared,
    logs: &dyn Connection,
    row: &ConversationRow,
) -> Result<u32, TransportError> {
    let proof = shared.engine().step(|step| {
        let key = step.group(row.log_id)?.access_key()?;
        Ok(key.prove_open(logs.context(), row.log_id, row.epoch))
    });
    let proof = proof.map_err(|error| broken(shared, &error))?;
    let one = OpenOne {
        log_id: row.log_id.to_vec(),
        epoch: row.epoch.0,
        proof,
    };
    let opened = calls::open_logs(logs, vec![one]).await?;
    Ok(opened.first().map_or(0, |one| one.handle))
}

/// The server does not know the log, or not this epoch of it: restored from an older backup, or this
/// device was away longer than commits are kept.
fn unknown_log(shared: &Shared, net: &Net, row: &ConversationRow) -> Result<(), TransportError> {
    let logs = net.connections.get(&Role::Logs);
    let life = logs.map(|logs| logs.hello().incarnation);
    let done = shared.engine().step(|step| {
        let kept_ms = u64::from(COMMIT_RETENTION_DAYS) * Day::MS;
        let is_away = step.now_ms.saturating_sub(row.read_ms) >= kept_ms;
        let reason = "this device was away longer than the server keeps key changes";
        if is_away && rejoin::strand(step, row, reason)? {
            return Ok(());
        }
        if life.is_some_and(|life| restored::is_other_life(row, life)) {
            return restored::break_off(step, row.clone());
        }
        let is_kept = row.signed_head.is_some() && step.now_ms.abs_diff(row.read_ms) < kept_ms;
        recover::break_off(
            step,
            row.clone(),
            "the server no longer has it at this device's epoch",
        )?;
        // C-084: in one life of its store, a server does not forget what it has shown.
        if is_kept && life == Some(row.incarnation) {
            recover::pause(
                step,
                row,
                "the server lost a conversation that it had, or hides it",
            )?;
        }
        Ok(())
    });
    done.map_err(|error| broken(shared, &error))
}

/// The server's head contradicts what this device has read. In the same life of its store that is proof of
/// misbehaviour; in a new life it is a restored backup and leads to a successor.
fn contradiction(
    shared: &Shared,
    row: &ConversationRow,
    head: Head,
    page: &LogPage,
) -> Result<(), TransportError> {
    let done = shared.engine().step(|step| {
        if head.incarnation != row.incarnation {
            return restored::break_off(step, row.clone());
        }
        let (what, proof) = proof(row, head, page);
        step.tx.put_evidence(what, &proof, step.now_ms)?;
        recover::retire(step, row.clone())?;
        recover::detach(step, row)?;
        recover::pause(
            step,
            row,
            "the server showed a log that contradicts what it showed before",
        )
    });
    done.map_err(|error| broken(shared, &error))
}

/// What is kept: the two signed heads; when entries do not give the new one, also what they are, from the
/// cursor on, as the chain sees them.
fn proof(row: &ConversationRow, head: Head, page: &LogPage) -> (&'static str, Vec<u8>) {
    let before = row.signed_head.clone().unwrap_or_default();
    let mut proof = [
        row.log_id.to_vec(),
        before,
        codec::encode(&head),
        page.head_signature.clone(),
    ]
    .concat();
    if page.entries.is_empty() || head.seq < row.cursor_seq || head.epoch < row.epoch {
        return ("two heads of one log that contradict each other", proof);
    }
    proof.extend_from_slice(&row.cursor_seq.0.to_be_bytes());
    proof.extend_from_slice(row.cursor_hash.as_bytes());
    for entry in &page.entries {
        proof.extend_from_slice(&entry.seq.to_be_bytes());
        proof.extend_from_slice(&entry.epoch.to_be_bytes());
        proof.extend_from_slice(&entry.kind.to_be_bytes());
        let payload = entry.payload_hash();
        proof.extend_from_slice(payload.as_ref().map_or(&[], |hash| hash.as_bytes()));
    }
    ("entries of a log that do not give its head", proof)
}

/// A page that verifies, with the chain hash after each entry.
#[derive(Debug)]
pub(crate) struct CheckedPage {
    pub(crate) entries: Vec<(Entry, EntryKind, Hash32)>,
    pub(crate) head: Head,
    /// The head's encoding and the server's signature, kept as half of a possible proof.
    pub(crate) signed_head: Vec<u8>,
    before: Seq,
}

impl CheckedPage {
    fn cursor_after(&self) -> Seq {
        self.entries
            .last()
            .map_or(self.before, |(entry, ..)| Seq(entry.seq))
    }
}

/// Why a page is not believed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PageError {
    /// Unsigned, gappy or misshapen: not an answer at all.
    Malformed(&'static str),
    /// A signed head that contradicts what was read before.
    Contradiction(Head),
}

/// Verifies a page against the conversation's cursor.
pub(crate) fn check_page(
    server_id: ServerId,
    server_key: &[u8; 32],
    row: &ConversationRow,
    page: &LogPage,
) -> Result<CheckedPage, PageError> {
    let head = page
        .head
        .as_ref()
        .and_then(conclave_proto::log::WireHead::parse);
    let head = head.ok_or(PageError::Malformed("a page of a log has no head"))?;
    // C-027: the head is the server's word, signed, for this very log.
    if !verify_ed25519(
        server_key,
        &head_signing_input(server_id, row.log_id, &head),
        &page.head_signature,
    ) {
        return Err(PageError::Malformed(
            "a log head is not signed by the server",
        ));
    }
    if head.seq < row.cursor_seq || head.epoch < row.epoch {
        return Err(PageError::Contradiction(head));
    }
    // C-083: no more than was asked for.
    if page.entries.len() > READ_PAGE_ENTRIES as usize {
        return Err(PageError::Malformed("a page of a log is too long"));
    }
    let mut entries = Vec::with_capacity(page.entries.len());
    let (mut seq, mut epoch, mut hash) = (row.cursor_seq, row.epoch, row.cursor_hash);
    for entry in &page.entries {
        let (kind, next) = check_entry(entry, seq, epoch, hash)?;
        (seq, hash) = (seq.next(), next);
        if kind == EntryKind::Commit {
            epoch = epoch.next();
        }
        entries.push((entry.clone(), kind, next));
    }
    if seq > head.seq || epoch > head.epoch {
        return Err(PageError::Malformed("a page goes beyond its head"));
    }
    if seq == head.seq && (hash != head.hash || epoch != head.epoch) {
        return Err(PageError::Contradiction(head));
    }
    if seq < head.seq && entries.is_empty() {
        return Err(PageError::Malformed("an empty page before the head"));
    }
    let signed_head = [codec::encode(&head), page.head_signature.clone()].concat();
    Ok(CheckedPage {
        entries,
        head,
        signed_head,
        before: row.cursor_seq,
    })
}

fn check_entry(
    entry: &Entry,
    seq: Seq,
    epoch: Epoch,
    hash: Hash32,
) -> Result<(EntryKind, Hash32), PageError> {
    if entry.seq != seq.next().0 || entry.epoch != epoch.0 {
        return Err(PageError::Malformed(
            "entries of a log do not follow each other",
        ));
    }
    let kind = match entry.kind() {
        EntryKind::Unspecified => return Err(PageError::Malformed("an entry of no kind")),
        kind => kind,
    };
    // C-026: also over an entry whose payload has expired.
    let payload = entry
        .payload_hash()
        .ok_or(PageError::Malformed("an entry both expired and there"))?;
    Ok((kind, chain_next(hash, Seq(entry.seq), epoch, kind, payload)))
}

/// A store failure inside a step, for the round.
impl From<PageError> for ClientError {
    fn from(error: PageError) -> Self {
        Self::WrongServer(format!("{error:?}"))
    }
}
