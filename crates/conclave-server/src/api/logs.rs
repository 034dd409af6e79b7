//! Conversations: create, open, append, bundle, read, signal; and the blobs beside them.

use conclave_proto::account::verify_ed25519;
use conclave_proto::blob::{BlobBytes, FetchBlob};
use conclave_proto::codec::parse_exact;
use conclave_proto::frame::reply;
use conclave_proto::hello::{Purpose, open_fields};
use conclave_proto::id::{BlobId, Day, Epoch, LogId, Seq};
use conclave_proto::limits::{
    COMMIT_ENTRY_BYTES_MAX, MESSAGE_ENTRY_BYTES_MAX, OPEN_LOGS_MAX, READ_PAGE_BYTES,
    READ_PAGE_ENTRIES, SIGNAL_BYTES_MAX,
};
use conclave_proto::log::{
    AppendEntry, Appended, CommitEntry, CreateLog, Entry, EntryKind, Head, LogPage, OpenLogs,
    OpenOne, Opened, OpenedLogs, OpenedOne, PutBundle, ReadLog, SendSignal, chain_start,
};
use conclave_proto::{ErrorCode, Refusal, label};

use super::{Answer, DONE, bad, edge, too_large};
use crate::limit::Action;
use crate::log::is_retention;
use crate::server::App;
use crate::session::{Handle, Session};
use crate::store::{AppendOutcome, BundleOutcome, CreateOutcome, NewBundle, NewLog, StoredBlob};

/// Stands in for the key of a log that is not there, so that its proof is checked all the same.
const NO_KEY: [u8; 32] = {
    let mut key = [0; 32];
    key[0] = 1;
    key
};

/// Unknown log, wrong key and expired key have this one answer (C-022).
fn unknown_log() -> Refusal {
    Refusal::new(
        ErrorCode::UnknownLog,
        "no such log, or the key does not open it",
    )
}

/// Creates a log at epoch 1 and opens it.
pub(super) async fn create(app: &App, session: &Session, request: CreateLog) -> Answer {
    session.check_pass(&request.pass)?;
    session.count(Action::Create)?;
    session.has_room(1)?;
    let log_id = edge::field(LogId::parse(&request.log_id), "log id")?;
    let access_key = <[u8; 32]>::try_from(request.access_key.as_slice()).ok();
    let access_key = edge::field(access_key, "access key")?;
    if !is_retention(request.retention_days) {
        return Err(bad("messages stay for 1, 7 or 30 days"));
    }
    let create_hash = request.fields_hash();
    let proof_input = session
        .context
        .proof_input(Purpose::CreateLog, create_hash.as_bytes());
    // C-007: whoever creates a log holds its first key, on this connection.
    if !verify_ed25519(&access_key, &proof_input, &request.proof) {
        let text = "the proof is not by the log's access key";
        return Err(Refusal::new(ErrorCode::Unauthorized, text));
    }
    let now_ms = app.steady_ms();
    let log = NewLog {
        log_id,
        access_key,
        create_hash,
        chain_start: chain_start(app.keys.server_id, log_id),
        retention_days: request.retention_days,
        blobs: edge::blobs(request.blobs)?,
        now_ms,
    };
    // C-020: the same request again gets the same answer.
    match app.store.create_log(log).await? {
        CreateOutcome::Created { head } | CreateOutcome::SameAgain { head } => {
            Ok(opened(session, log_id, Epoch(1), head, now_ms))
        }
        CreateOutcome::Conflict => {
            let text = "the log or a blob exists with other contents";
            Err(Refusal::new(ErrorCode::Conflict, text))
        }
    }
}

fn opened(session: &Session, log_id: LogId, epoch: Epoch, head: Head, now_ms: u64) -> reply::Body {
    reply::Body::Opened(Opened {
        handle: session.open(log_id, epoch),
        head: Some(head.into()),
        day: Day::of_ms(now_ms).0,
    })
}

/// Opens logs, each by its own proof.
pub(super) async fn open(app: &App, session: &Session, request: &OpenLogs) -> Answer {
    if request.logs.len() > OPEN_LOGS_MAX {
        return Err(too_large(format!("at most {OPEN_LOGS_MAX} logs at once")));
    }
    session.has_room(request.logs.len())?;
    let mut logs = Vec::with_capacity(request.logs.len());
    for one in &request.logs {
        session.may_open()?;
        let opened = open_one(app, session, one).await?;
        if opened.handle == 0 {
            session.failed_open();
        }
        logs.push(opened);
    }
    Ok(reply::Body::OpenedLogs(OpenedLogs { logs }))
}

async fn open_one(app: &App, session: &Session, one: &OpenOne) -> Result<OpenedOne, Refusal> {
    let log_id = edge::field(LogId::parse(&one.log_id), "log id")?;
    let epoch = Epoch(one.epoch);
    let found = app.store.epoch_key(log_id, epoch).await?;
    // C-022: without a log the proof is checked as well, and fails.
    let access_key = found.map_or(NO_KEY, |found| found.access_key);
    let fields = open_fields(log_id, epoch);
    let input = session.context.proof_input(Purpose::OpenLog, &fields);
    // C-021: opening needs a proof by A_e.
    let proven = verify_ed25519(&access_key, &input, &one.proof);
    match found {
        Some(found) if proven => Ok(OpenedOne {
            handle: session.open(log_id, epoch),
            head: Some(found.head.into()),
        }),
        _ => Ok(OpenedOne::default()),
    }
}

/// Appends one message. The answer comes when it is synced to disk.
pub(super) async fn append(app: &App, session: &Session, request: AppendEntry) -> Answer {
    if request.payload.len() > MESSAGE_ENTRY_BYTES_MAX {
        let text = format!("a message has at most {MESSAGE_ENTRY_BYTES_MAX} bytes");
        return Err(too_large(text));
    }
    if request.payload.is_empty() {
        return Err(bad("a message is not empty"));
    }
    let Handle { log_id, epoch } = session.handle(request.handle)?;
    let now_ms = app.steady_ms();
    let payload = request.payload;
    let outcome = app.store.append(log_id, epoch, payload.clone(), now_ms);
    let seq = match outcome.await? {
        AppendOutcome::Appended { head } => head.seq,
        // perhaps nobody was told of it yet
        AppendOutcome::SaidBefore { seq } => seq,
        // C-024: an epoch that is over takes nothing.
        AppendOutcome::StaleEpoch => return Err(stale()),
        AppendOutcome::NoLog => return Err(unknown_log()),
    };
    let day = Day::of_ms(now_ms).0;
    let entry = new_entry(seq, epoch, EntryKind::Message, payload, day);
    app.hub.entry(log_id, &entry);
    Ok(reply::Body::Appended(Appended { seq: seq.0, day }))
}

fn new_entry(seq: Seq, epoch: Epoch, kind: EntryKind, payload: Vec<u8>, day: u32) -> Entry {
    Entry {
        seq: seq.0,
        epoch: epoch.0,
        kind: kind.into(),
        payload,
        day,
        expired_hash: Vec::new(),
    }
}

fn stale() -> Refusal {
    let text = "the epoch is over, read to the commit that ended it";
    Refusal::new(ErrorCode::StaleEpoch, text)
}

/// Ends an epoch with a commit: the first wins, the others get the winner.
pub(super) async fn bundle(app: &App, session: &Session, request: PutBundle) -> Answer {
    if request.commit_entry.len() > COMMIT_ENTRY_BYTES_MAX {
        let text = format!("a commit has at most {COMMIT_ENTRY_BYTES_MAX} bytes");
        return Err(too_large(text));
    }
    session.has_room(1)?;
    let Handle { log_id, epoch } = session.handle(request.handle)?;
    let entry: CommitEntry =
        parse_exact(&request.commit_entry).map_err(|error| bad(&error.to_string()))?;
    let key = app.store.epoch_key(log_id, epoch).await?;
    let key = key.ok_or_else(unknown_log)?;
    // C-023: signed by A_e and A_{e+1}.
    if !entry.verify(app.keys.server_id, log_id, epoch, &key.access_key) {
        return Err(bad("the bundle's head does not hold"));
    }
    let blobs = edge::blobs(request.blobs)?;
    if !are_named(&entry, &blobs) {
        return Err(bad("the blobs are not those that the bundle's head names"));
    }
    let now_ms = app.steady_ms();
    let who = session.context.server_nonce;
    let is_spaced = app.config.logs.commit_spacing_ms > 0;
    if is_spaced && key.head.epoch == epoch {
        let wait_ms = app.turns.wait_ms(log_id, who, now_ms);
        if wait_ms > 0 {
            return Err(too_soon(wait_ms));
        }
    }
    let payload = request.commit_entry;
    let outcome = app.store.put_bundle(NewBundle {
        log_id,
        base_epoch: epoch,
        commit_entry: payload.clone(),
        next_access_key: entry.head.next_access_key,
        retention_days: u32::from(entry.head.retention_days),
        blobs,
        now_ms,
    });
    match outcome.await? {
        BundleOutcome::Appended { head } => {
            let day = Day::of_ms(now_ms).0;
            let entry = new_entry(head.seq, epoch, EntryKind::Commit, payload, day);
            app.hub.entry(log_id, &entry);
            app.turns.entered(log_id, who, now_ms);
            Ok(opened(session, log_id, epoch.next(), head, now_ms))
        }
        BundleOutcome::Lost { winner, is_race } => {
            if is_spaced && is_race {
                app.turns.lost(log_id, who, now_ms);
            }
            Err(Refusal {
                winner: Some(*winner),
                ..stale()
            })
        }
        BundleOutcome::TooSoon { retry_ms } => {
            app.turns.spaced(log_id, who, retry_ms, now_ms);
            Err(too_soon(retry_ms))
        }
        BundleOutcome::Conflict => {
            let text = "a blob exists already, take a new id";
            Err(Refusal::new(ErrorCode::Conflict, text))
        }
        BundleOutcome::NoLog => Err(unknown_log()),
    }
}

/// C-028: after a lost race commits are spaced, and who lost goes first, so that nobody starves senders.
fn too_soon(retry_ms: u64) -> Refusal {
    let text = "commits of this log are spaced for a while, try again later";
    Refusal::new(ErrorCode::RateLimited, text).retry_after_ms(retry_ms)
}

/// Whether the blobs are exactly those of the signed head, in its order.
fn are_named(entry: &CommitEntry, blobs: &[StoredBlob]) -> bool {
    let named = &entry.head.blobs;
    named.len() == blobs.len()
        && named.iter().zip(blobs).all(|(named, blob)| {
            named.blob_id == blob.blob_id && named.hash == label::sha256(&blob.bytes)
        })
}

/// A page of a log as far as the handle may see, with a signed head.
pub(super) async fn read(app: &App, session: &Session, request: &ReadLog) -> Answer {
    let Handle { log_id, epoch } = session.handle(request.handle)?;
    let _one_at_a_time = session.large_reply.lock().await;
    let limit = request.limit.min(READ_PAGE_ENTRIES);
    let after = Seq(request.after);
    // C-021: the store checks the right in the read that serves it.
    let page = app.store.read(log_id, epoch, after, limit, READ_PAGE_BYTES);
    let page = page.await?.ok_or_else(unknown_log)?;
    Ok(reply::Body::LogPage(LogPage {
        entries: page.entries,
        head: Some(page.head.into()),
        // C-027: a read is vouched for.
        head_signature: app.keys.sign_head(log_id, &page.head),
    }))
}

/// Sends a signal to whoever is subscribed now.
pub(super) async fn signal(app: &App, session: &Session, request: &SendSignal) -> Answer {
    if request.payload.len() > SIGNAL_BYTES_MAX {
        return Err(too_large(format!(
            "a signal has at most {SIGNAL_BYTES_MAX} bytes"
        )));
    }
    let Handle { log_id, epoch } = session.handle(request.handle)?;
    session.count(Action::Signal)?;
    let key = app.store.epoch_key(log_id, epoch).await?;
    let key = key.ok_or_else(unknown_log)?;
    // C-085, C-021: who is out of the epoch sends nothing into it either.
    if key.head.epoch != epoch {
        return Err(stale());
    }
    let now_ms = app.env.now_ms();
    app.hub
        .signal(log_id, epoch, &request.payload, &session.pushes, now_ms);
    Ok(DONE)
}

/// A blob's bytes.
pub(super) async fn blob(app: &App, session: &Session, request: &FetchBlob) -> Answer {
    session.check_pass(&request.pass)?;
    let blob_id = edge::field(BlobId::parse(&request.blob_id), "blob id")?;
    let _one_at_a_time = session.large_reply.lock().await;
    match app.store.blob(blob_id).await? {
        Some(bytes) => Ok(reply::Body::BlobBytes(BlobBytes { bytes })),
        None => Err(Refusal::new(
            ErrorCode::NotFound,
            "no such blob, or it is over",
        )),
    }
}
