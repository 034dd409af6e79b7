//! Who waits for a slot of a mailbox here: woken by what is written here, and looking by themselves for what is
//! written through another process over the same store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use conclave_proto::id::Hash32;
use conclave_proto::limits::MAILBOX_WAIT_MS;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::server::App;
use crate::store::{MailboxGone, StoreError};

/// How often a slot is looked at while somebody waits for it, when other processes may write it.
const LOOK: Duration = Duration::from_millis(250);

/// Wakes those who wait.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    written: Notify,
    is_stopping: AtomicBool,
}

impl Slots {
    /// A slot of some mailbox was written, or a mailbox closed.
    pub(crate) fn moved(&self) {
        self.written.notify_waiters();
    }

    /// Lets nobody wait from now on: the server ends.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.moved();
    }
}

/// What `slot` holds; waits for it a while. Empty: nothing yet.
pub(crate) async fn wait(
    app: &App,
    id: Hash32,
    slot: u32,
) -> Result<Result<Vec<u8>, MailboxGone>, StoreError> {
    let until = Instant::now() + Duration::from_millis(MAILBOX_WAIT_MS);
    loop {
        let mut woken = std::pin::pin!(app.slots.written.notified());
        // before looking, so that nothing is written unnoticed in between
        woken.as_mut().enable();
        let found = app.store.read_slot(id, slot, app.env.now_ms()).await?;
        let is_empty = found.as_ref().is_ok_and(Vec::is_empty);
        let is_over = Instant::now() >= until || app.slots.is_stopping.load(Ordering::SeqCst);
        if !is_empty || is_over {
            return Ok(found);
        }
        // C-229: what another process writes is found by looking
        let look = match app.hints {
            Some(_) => until.min(Instant::now() + LOOK),
            None => until,
        };
        // written, or time to look: both lead to a look
        let _ = timeout_at(look, woken).await;
    }
}
