//! Own commits: a self-update that is due, and the bundle that carries it.
//!
//! The intent (`update_due`) and the bundle are on disk before anything is sent; a bundle that was ever sent
//! is sent again unchanged until the log says who won (C-061). `receive` merges the winner, whoever it was.

use conclave_proto::ErrorCode;
use conclave_proto::hello::Role;
use conclave_proto::id::LogId;
use conclave_proto::limits::{
    COMMIT_SPACING_MS, RETENTION_DAYS, RETRY_AFTER_MAX_MS, SELF_UPDATE_MS, SELF_UPDATE_SENDS,
};
use conclave_proto::log::{Head, PutBundle};

use crate::engine::Step;
use crate::error::ClientError;
use crate::net::Net;
use crate::shared::{Shared, broken};
use crate::store::ConversationRow;
use crate::transport::{TransportError, calls};

/// C-057: due before the next own send after 7 days or 500 own messages, or soon after joining.
pub(crate) fn is_update_due(row: &ConversationRow, now_ms: u64) -> bool {
    row.update_due
        // A date in the future is that of a clock that was wrong.
        || now_ms.abs_diff(row.updated_ms) >= SELF_UPDATE_MS
        || row.own_sends >= u64::from(SELF_UPDATE_SENDS)
}

/// Makes the commit and keeps its bundle, in the step's transaction.
pub(crate) fn prepare_update(
    step: &mut Step<'_>,
    row: &mut ConversationRow,
) -> Result<(), ClientError> {
    let mut group = step.group(row.log_id)?;
    let head = Head {
        epoch: row.epoch,
        seq: row.cursor_seq,
        hash: row.cursor_hash,
        incarnation: row.incarnation,
    };
    let days = u8::try_from(RETENTION_DAYS).unwrap_or(u8::MAX);
    let pending = group
        .self_update(step.outside(), &head, days)
        .map_err(|error| ClientError::Store(error.to_string()))?;
    row.pending_bundle = Some(pending.entry);
    row.update_due = true;
    step.tx.put_conversation(row)?;
    Ok(())
}

/// Sends the pending bundle. Who won is learned by reading; a refusal for spacing only sets the next time.
pub(crate) async fn send_bundle(
    shared: &Shared,
    net: &mut Net,
    log_id: LogId,
) -> Result<(), TransportError> {
    let bundle = shared
        .engine()
        .look(|tx, _| Ok(tx.conversation(log_id)?.and_then(|row| row.pending_bundle)));
    let Some(commit_entry) = bundle.map_err(|error| broken(shared, &error))? else {
        return Ok(());
    };
    let (logs, is_new) = net.connection(Role::Logs).await?;
    let handle = net.handles.get(&log_id).copied();
    let (Some((epoch, handle)), false) = (handle, is_new) else {
        return Ok(());
    };
    let sent = calls::put_bundle(
        logs.as_ref(),
        PutBundle {
            handle,
            commit_entry,
            blobs: Vec::new(),
        },
    )
    .await;
    match sent {
        Ok(opened) => {
            // Not merged before it is read in its place; then this handle is ready.
            net.next_handles
                .insert(log_id, (epoch.next(), opened.handle));
            net.moved.insert(log_id);
            Ok(())
        }
        Err(TransportError::Refused(refusal)) => match refusal.code() {
            ErrorCode::StaleEpoch | ErrorCode::UnknownLog | ErrorCode::BadRequest => {
                net.drop_handles(log_id);
                Ok(())
            }
            ErrorCode::RateLimited | ErrorCode::Busy => {
                // C-083
                let wait_ms = refusal
                    .retry_after_ms
                    .clamp(COMMIT_SPACING_MS, RETRY_AFTER_MAX_MS);
                let after_ms = shared.env.now_ms().saturating_add(wait_ms);
                net.commit_after_ms.insert(log_id, after_ms);
                net.due_at(after_ms);
                Ok(())
            }
            _ => Err(TransportError::Refused(refusal)),
        },
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use conclave_proto::id::{ChatId, Epoch, Hash32, Incarnation, Seq};

    use super::*;
    use crate::store::Stage;

    /// An update is due after seven days, after 500 sends, or when asked for; a moment earlier it is not.
    #[test]
    fn c057_update_is_due_after_seven_days_or_500_sends() {
        let now_ms = 1_000 * SELF_UPDATE_MS;
        let head = Head {
            epoch: Epoch(1),
            seq: Seq(0),
            hash: Hash32::new([0; 32]),
            incarnation: Incarnation(1),
        };
        let (log_id, chat_id) = (LogId::new([1; 32]), ChatId::new([2; 16]));
        let mut row = ConversationRow::new(log_id, chat_id, 1, Stage::Live, head, now_ms);
        assert!(!is_update_due(&row, now_ms + SELF_UPDATE_MS - 1));
        assert!(is_update_due(&row, now_ms + SELF_UPDATE_MS));
        row.own_sends = u64::from(SELF_UPDATE_SENDS) - 1;
        assert!(!is_update_due(&row, now_ms));
        row.own_sends += 1;
        assert!(is_update_due(&row, now_ms));
        row.own_sends = 0;
        row.update_due = true;
        assert!(is_update_due(&row, now_ms));
    }
}
