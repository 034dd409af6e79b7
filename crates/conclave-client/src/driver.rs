//! The network loop: connects, asks, and hands bytes to the engine.
//!
//! A round:
//!
//! 1. tend the account connection: pass, key packages, capability
//! 2. read the inbox
//! 3. join what was accepted
//! 4. open chats that have something to say and no conversation yet
//! 5. sync every log that moved
//! 6. send what is queued
//! 7. post invitations that are due
//!
//! A round ends at the first lost connection; the next one starts over from what is on disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use conclave_proto::ErrorCode;
use conclave_proto::hello::Role;
use tokio::sync::mpsc;

use crate::net::Net;
use crate::shared::Shared;
use crate::transport::{Backoff, Push, Transport, TransportError};
use crate::{contact, device, invite, outbox, request, sync};

/// Rounds that make progress without a pause before the driver lets others run.
const ROUNDS_IN_A_ROW: u32 = 1000;

/// Runs until the task is dropped. Dropping it anywhere is safe: it holds no transaction across an await.
pub(crate) async fn run(shared: Arc<Shared>, transport: Arc<dyn Transport>) {
    let mut net = Net::new(transport);
    let mut backoff = Backoff::new(shared.env.clone());
    let mut in_a_row = 0;
    loop {
        let asked = shared.asked.load(Ordering::SeqCst);
        if asked != net.answered {
            net.all_moved = true;
            net.inbox_moved = true;
            net.answered = asked;
        }
        match round(&shared, &mut net).await {
            Ok(()) if net.progress && in_a_row < ROUNDS_IN_A_ROW => in_a_row += 1,
            Ok(()) => {
                in_a_row = 0;
                net.pass_doubted = false;
                backoff.reset();
                publish(&shared, &net, asked, None);
                idle(&shared, &mut net).await;
            }
            // The day may have turned between two hellos: once is no lie.
            Err(error)
                if is_about_pass(&error) && !std::mem::replace(&mut net.pass_doubted, true) =>
            {
                net.forget_all();
            }
            Err(error) => {
                in_a_row = 0;
                let wait = pause(&error, &mut backoff);
                net.forget_closed();
                for question in std::iter::from_fn(|| shared.next_question()) {
                    let _ = question.answer.send(Err(error.clone().into()));
                }
                publish(&shared, &net, asked, Some(error));
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = shared.wake.notified() => {}
                }
            }
        }
    }
}

/// Whether the member pass in hand is the trouble: another day's, or a lie (C-041).
fn is_about_pass(error: &TransportError) -> bool {
    match error {
        TransportError::PassDiffers => true,
        TransportError::Refused(refusal) => refusal.code() == ErrorCode::PassInvalid,
        _ => false,
    }
}

/// How long to wait after `error`: what the server asked for, else the back-off.
fn pause(error: &TransportError, backoff: &mut Backoff) -> Duration {
    match error {
        TransportError::Refused(refusal) if refusal.retry_after_ms > 0 => {
            Duration::from_millis(refusal.retry_after_ms)
        }
        _ => Duration::from_millis(backoff.next_ms()),
    }
}

async fn round(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    net.progress = false;
    net.due_ms = None;
    device::tend(shared, net).await?;
    contact::answer_questions(shared, net).await?;
    request::read_inbox(shared, net).await?;
    request::join_accepted(shared, net).await?;
    contact::recheck(shared, net).await?;
    invite::open_chats(shared, net).await?;
    // C-060: everything is read to its head before anything is sealed.
    sync::sync_moved(shared, net).await?;
    outbox::flush(shared, net).await?;
    invite::post_due(shared, net).await
}

fn publish(shared: &Shared, net: &Net, asked: u64, trouble: Option<TransportError>) {
    let waiting = {
        let mut engine = shared.engine();
        let waiting = engine
            .store
            .read(|tx| -> Result<u64, crate::store::StoreError> {
                Ok(tx.outbox_waiting()?
                    + tx.posts_waiting()?
                    + tx.bundles_waiting()?
                    + tx.receipts_waiting()?)
            });
        if matches!(waiting, Ok(0)) {
            // A log that cannot be truncated now is truncated later; its content is encrypted either way.
            let _ = engine.store.truncate_log();
        }
        waiting.unwrap_or(u64::MAX)
    };
    let skew_ms = net
        .connections
        .get(&Role::Account)
        .map(|c| c.hello().skew_ms);
    shared.standing.send_modify(|standing| {
        standing.answered = asked;
        standing.settled = waiting == 0 && trouble.is_none();
        standing.ever_online |= trouble.is_none();
        standing.skew_ms = skew_ms.or(standing.skew_ms);
        standing.trouble = trouble;
    });
}

/// Waits for something to do: a command, a push, a due time, a lost connection.
async fn idle(shared: &Shared, net: &mut Net) {
    let now_ms = shared.env.now_ms();
    let due = net.due_ms.map_or(Duration::from_hours(1), |due| {
        Duration::from_millis(due.saturating_sub(now_ms))
    });
    let mut account = net.pushes.remove(&Role::Account);
    let mut logs = net.pushes.remove(&Role::Logs);
    let woken = tokio::select! {
        () = shared.wake.notified() => None,
        () = tokio::time::sleep(due) => None,
        push = next(account.as_mut()) => Some((push, Role::Account)),
        push = next(logs.as_mut()) => Some((push, Role::Logs)),
    };
    for (role, pushes) in [(Role::Account, account), (Role::Logs, logs)] {
        if let Some(pushes) = pushes {
            net.pushes.insert(role, pushes);
        }
    }
    if let Some((push, role)) = woken {
        net.take_push(push, role);
    }
    for role in [Role::Account, Role::Logs] {
        while let Some(push) = net
            .pushes
            .get_mut(&role)
            .and_then(|pushes| pushes.try_recv().ok())
        {
            net.take_push(Some(push), role);
        }
    }
}

async fn next(pushes: Option<&mut mpsc::Receiver<Push>>) -> Option<Push> {
    match pushes {
        Some(pushes) => pushes.recv().await,
        None => std::future::pending().await,
    }
}
