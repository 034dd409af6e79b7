//! Keeps this process up with what others write to the same store, for the connections it has.
//!
//! Told by hints, and by looking itself: at what its connections follow, a slice at a time, all of it every few
//! seconds and at once after hints may have been lost. So a lost hint costs seconds, never a message (C-220).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use crate::hint::{Heard, Hints, SharedHints, tell};
use crate::server::App;
use crate::store::StoreError;

/// Hints that wait to be told; more are lost.
const LEAVING_MAX: usize = 8_192;
/// Logs or inboxes looked at in one query.
const SLICE: usize = 500;
/// Pause between two slices: at most 2,000 logs and as many inboxes a second.
const SLICE_PAUSE: Duration = Duration::from_millis(250);
/// Shortest pause between two looks at everything, ms; as much again is left to chance.
const PAUSE_MS: u64 = 2_500;
/// The same while there are no hints.
const PAUSE_ALONE_MS: u64 = 500;

/// Runs until it is aborted.
pub(crate) async fn run(app: Arc<App>, hints: SharedHints) {
    let (outlet, leaving) = mpsc::channel(LEAVING_MAX);
    app.hub.tell(outlet);
    let now = Notify::new();
    let heard = hints.subscribe();
    tokio::join!(
        tell(&*hints, leaving),
        listen(&app, heard, &now),
        look(&app, &*hints, &now)
    );
}

async fn listen(app: &App, mut heard: mpsc::Receiver<Heard>, now: &Notify) {
    while let Some(heard) = heard.recv().await {
        match heard {
            Heard::Hints(hints) => {
                let now_ms = app.env.now_ms();
                for hint in &hints {
                    app.hub.heard(hint, now_ms);
                }
            }
            Heard::Gap => now.notify_one(),
        }
    }
}

async fn look(app: &App, hints: &dyn Hints, now: &Notify) {
    loop {
        // a store that is busy or away comes back; one that has failed for good says so itself
        let _: Result<(), StoreError> = look_once(app).await;
        let least_ms = if hints.is_connected() {
            PAUSE_MS
        } else {
            PAUSE_ALONE_MS
        };
        let mut chance = [0; 8];
        app.env.fill(&mut chance);
        let pause_ms = least_ms + u64::from_be_bytes(chance) % least_ms;
        // a hint that hints were lost, or the time is over: both lead to a look
        let _ = timeout(Duration::from_millis(pause_ms), now.notified()).await;
    }
}

/// Looks once at everything that is followed here.
async fn look_once(app: &App) -> Result<(), StoreError> {
    let logs: BTreeSet<_> = app.hub.followed_logs().into_iter().collect();
    let logs: Vec<_> = logs.into_iter().collect();
    for slice in logs.chunks(SLICE) {
        let reached = app.store.reached(slice.to_vec()).await?;
        for (&(log_id, epoch), seq) in slice.iter().zip(reached) {
            if let Some(seq) = seq {
                app.hub.reached(log_id, epoch, seq);
            }
        }
        rest(slice.len()).await;
    }
    let devices = app.hub.followed_inboxes();
    for slice in devices.chunks(SLICE) {
        let newest = app.store.newest_items(slice.to_vec()).await?;
        for (&device_id, number) in slice.iter().zip(newest) {
            app.hub.inbox_reached(device_id, number);
        }
        rest(slice.len()).await;
    }
    Ok(())
}

/// A pause when there is more to look at.
async fn rest(looked_at: usize) {
    if looked_at == SLICE {
        sleep(SLICE_PAUSE).await;
    }
}
