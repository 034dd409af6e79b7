//! The network loop: connects, asks, and hands bytes to the engine.
//!
//! A round:
//!
//! 1. tend the account connection: pass, key packages, capability; follow what other own devices changed
//! 2. read the inbox
//! 3. join what was accepted
//! 4. open chats that have something to say and no conversation yet
//! 5. sync every log that moved
//! 6. make commits of what is wanted
//! 7. send what is queued
//! 8. post invitations that are due
//!
//! A round ends at the first lost connection; the next one starts over from what is on disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use conclave_proto::ErrorCode;
use conclave_proto::hello::Role;
use conclave_proto::limits::RETRY_AFTER_MAX_MS;
use tokio::sync::mpsc;

use crate::net::Net;
use crate::shared::{Shared, is_passing};
use crate::transport::{Backoff, Push, Transport, TransportError};
use crate::{
    attachment, contact, device, device_key, group_link, invite, join, membership, outbox, own,
    own_sync, rejoin, request, successor, sync, talk,
};

/// Rounds that make progress without a pause before the driver lets others run.
const ROUNDS_IN_A_ROW: u32 = 1000;
/// Longest back-off from a server that answers and says when to come again, in ms: people wait for it.
const BUSY_MAX_MS: u64 = 4_000;
/// Pushes taken before a round.
const PUSHES_AT_ONCE: u32 = 1000;

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
        take_pushes(&mut net);
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
                if is_passing(&error) {
                    shared.forget_abandoned();
                } else {
                    // Those that wait now; who asks from here on gets another round.
                    let waiting: Vec<_> = std::iter::from_fn(|| shared.next_question()).collect();
                    for question in waiting {
                        let _ = question.answer.send(Err(error.clone().into()));
                    }
                }
                publish(&shared, &net, asked, Some(error));
                tokio::select! {
                    biased;
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

/// How long to wait after `error`: what the server asked for, and no shorter than the back-off.
fn pause(error: &TransportError, backoff: &mut Backoff) -> Duration {
    let ms = match error {
        TransportError::Refused(refusal) if refusal.retry_after_ms > 0 => {
            // C-083: a server cannot silence this device for ever.
            let asked_ms = refusal.retry_after_ms.min(RETRY_AFTER_MAX_MS);
            asked_ms.max(backoff.next_ms_within(BUSY_MAX_MS))
        }
        _ => backoff.next_ms(),
    };
    Duration::from_millis(ms)
}

async fn round(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    net.progress = false;
    net.due_ms = None;
    device::tend(shared, net).await?;
    own::catch_up_in_round(shared, net).await?;
    own::renew(shared, net).await?;
    device_key::tend(shared)?;
    contact::answer_questions(shared, net).await?;
    request::read_inbox(shared, net).await?;
    group_link::knock(shared, net).await?;
    rejoin::ask_due(shared, net).await?;
    join::join_accepted(shared, net).await?;
    own_sync::tend(shared, net)?;
    successor::make_due(shared, net).await?;
    contact::recheck(shared, net).await?;
    invite::open_chats(shared, net).await?;
    // C-060: everything is read to its head before anything is sealed.
    sync::sync_moved(shared, net).await?;
    membership::pursue(shared, net).await?;
    outbox::flush(shared, net).await?;
    talk::typing::tend(shared, net).await?;
    talk::tend(shared, net)?;
    attachment::tend(shared)?;
    invite::post_due(shared, net).await
}

/// Tells front ends how the round ended; `trouble` is why it failed.
fn publish(shared: &Shared, net: &Net, asked: u64, trouble: Option<TransportError>) {
    let waiting = {
        let mut engine = shared.engine();
        let waiting = engine
            .store
            .read(|tx| -> Result<u64, crate::store::StoreError> {
                Ok(tx.outbox_waiting()?
                    + tx.posts_waiting()?
                    + tx.uploads_moving()?
                    + tx.bundles_waiting()?
                    + tx.rekeys_waiting()?
                    + tx.intents_waiting()?
                    + tx.stuck_groups()?.len() as u64
                    + tx.knocks()?.len() as u64
                    + rejoin::asks_due(tx, shared.env.now_ms())?
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
        Duration::from_millis(due.saturating_sub(now_ms).min(RETRY_AFTER_MAX_MS))
    });
    let mut account = net.pushes.remove(&Role::Account);
    let mut logs = net.pushes.remove(&Role::Logs);
    // Whoever is first, the round sees to all: a fixed order makes a run repeat.
    let woken = tokio::select! {
        biased;
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
}

/// Takes the pushes that wait. C-083: what comes faster than it is taken waits for the next round.
fn take_pushes(net: &mut Net) {
    for role in [Role::Account, Role::Logs] {
        for _ in 0..PUSHES_AT_ONCE {
            let pushes = net.pushes.get_mut(&role);
            let Some(push) = pushes.and_then(|pushes| pushes.try_recv().ok()) else {
                break;
            };
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

#[cfg(test)]
mod tests {
    use conclave_proto::Refusal;
    use conclave_proto::env::OsEnv;

    use super::*;

    /// A server that says to come back in half an eternity is asked again within the hour.
    #[test]
    fn c083_server_cannot_silence_a_client_for_ever() {
        let mut backoff = Backoff::new(OsEnv::shared());
        let mut wait = |ms| {
            let refusal = Refusal::new(ErrorCode::Busy, "later").retry_after_ms(ms);
            pause(&TransportError::Refused(Box::new(refusal)), &mut backoff)
        };
        assert_eq!(wait(u64::MAX), Duration::from_hours(1));
        assert_eq!(wait(2_000), Duration::from_secs(2));
    }

    /// A server that goes on naming a short time is asked less and less often, down to every few seconds.
    #[test]
    fn busy_server_is_asked_less_often() {
        let mut backoff = Backoff::new(OsEnv::shared());
        let refusal = Refusal::new(ErrorCode::Busy, "later").retry_after_ms(250);
        let busy = TransportError::Refused(Box::new(refusal));
        let waits: Vec<_> = (0..8).map(|_| pause(&busy, &mut backoff)).collect();
        assert_eq!(waits[0], Duration::from_millis(250));
        for wait in &waits[4..] {
            assert!((2_000..=4_000).contains(&wait.as_millis()), "{waits:?}");
        }
    }
}
