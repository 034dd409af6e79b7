//! Mailboxes in which new devices meet their accounts: in memory, for ten minutes, each slot once.
//!
//! Nothing of them reaches the disk. A mailbox that was closed keeps its place, empty, until its time
//! is over, so that its offer cannot open it a second time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use conclave_proto::id::Hash32;
use conclave_proto::limits::{MAILBOX_VALID_MS, MAILBOX_WAIT_MS, MAILBOXES_MAX};
use conclave_proto::mailbox::{OFFER, SLOTS, mailbox_id};
use tokio::sync::Notify;

/// All mailboxes of this process.
#[derive(Default)]
pub(crate) struct Mailboxes {
    open: Mutex<HashMap<Hash32, Mailbox>>,
    is_stopping: AtomicBool,
}

impl std::fmt::Debug for Mailboxes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mailboxes")
    }
}

struct Mailbox {
    /// By number; empty = not written yet.
    slots: [Vec<u8>; SLOTS as usize],
    until_ms: u64,
    is_closed: bool,
    written: Arc<Notify>,
}

/// Why a mailbox gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Unknown, used or over: one answer for all three.
    Over,
    /// There are as many as this server holds.
    Full,
}

impl Mailboxes {
    /// Opens the mailbox of `offer`; the same offer again finds it as it is.
    pub(crate) fn open(&self, offer: Vec<u8>, now_ms: u64) -> Result<(), Gone> {
        let id = mailbox_id(&offer);
        let mut open = self.lock();
        forget_over(&mut open, now_ms);
        if let Some(mailbox) = open.get(&id) {
            return if mailbox.is_closed {
                Err(Gone::Over)
            } else {
                Ok(())
            };
        }
        // C-121: bounded, in number and in bytes
        if open.len() >= MAILBOXES_MAX {
            return Err(Gone::Full);
        }
        let mut slots: [Vec<u8>; SLOTS as usize] = Default::default();
        if let Some(first) = slots.first_mut() {
            *first = offer;
        }
        let mailbox = Mailbox {
            slots,
            until_ms: now_ms.saturating_add(MAILBOX_VALID_MS),
            is_closed: false,
            written: Arc::default(),
        };
        open.insert(id, mailbox);
        Ok(())
    }

    /// Writes `slot`, unless it holds other bytes.
    pub(crate) fn put(
        &self,
        id: Hash32,
        slot: u32,
        bytes: Vec<u8>,
        now_ms: u64,
    ) -> Result<(), Gone> {
        let mut open = self.lock();
        let mailbox = live(&mut open, id, now_ms)?;
        let place = place(mailbox, slot).filter(|_| slot != OFFER);
        let place = place.ok_or(Gone::Over)?;
        // C-120: write-once; who comes second learns no more than who is not expected at all
        if !place.is_empty() && *place != bytes {
            return Err(Gone::Over);
        }
        *place = bytes;
        mailbox.written.notify_waiters();
        Ok(())
    }

    /// What `slot` holds; waits a while for it when asked to. Empty: nothing yet.
    pub(crate) async fn read(
        &self,
        id: Hash32,
        slot: u32,
        wait: bool,
        now_ms: impl Fn() -> u64,
    ) -> Result<Vec<u8>, Gone> {
        let written = Arc::clone(&live(&mut self.lock(), id, now_ms())?.written);
        let until = tokio::time::sleep(Duration::from_millis(MAILBOX_WAIT_MS));
        tokio::pin!(until);
        loop {
            let mut woken = std::pin::pin!(written.notified());
            // before looking, so that nothing is written unnoticed in between
            woken.as_mut().enable();
            let bytes = place(live(&mut self.lock(), id, now_ms())?, slot)
                .ok_or(Gone::Over)?
                .clone();
            if !wait || !bytes.is_empty() || self.is_stopping.load(Ordering::SeqCst) {
                return Ok(bytes);
            }
            tokio::select! {
                () = woken => {}
                () = &mut until => return Ok(Vec::new()),
            }
        }
    }

    /// Empties a mailbox for good.
    pub(crate) fn close(&self, id: Hash32, now_ms: u64) -> Result<(), Gone> {
        let mut open = self.lock();
        let mailbox = live(&mut open, id, now_ms)?;
        mailbox.is_closed = true;
        mailbox.slots = Default::default();
        mailbox.written.notify_waiters();
        Ok(())
    }

    /// Forgets those whose time is over.
    pub(crate) fn tidy(&self, now_ms: u64) {
        forget_over(&mut self.lock(), now_ms);
    }

    /// Lets nobody wait from now on: the server ends.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        for mailbox in self.lock().values() {
            mailbox.written.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Hash32, Mailbox>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn live(
    open: &mut HashMap<Hash32, Mailbox>,
    id: Hash32,
    now_ms: u64,
) -> Result<&mut Mailbox, Gone> {
    let mailbox = open.get_mut(&id);
    mailbox
        .filter(|mailbox| !mailbox.is_closed && is_in_time(mailbox, now_ms))
        .ok_or(Gone::Over)
}

/// Also over when the clock was set back by more than a mailbox lives.
fn is_in_time(mailbox: &Mailbox, now_ms: u64) -> bool {
    now_ms < mailbox.until_ms && mailbox.until_ms - now_ms <= MAILBOX_VALID_MS
}

fn place(mailbox: &mut Mailbox, slot: u32) -> Option<&mut Vec<u8>> {
    mailbox.slots.get_mut(usize::try_from(slot).ok()?)
}

fn forget_over(open: &mut HashMap<Hash32, Mailbox>, now_ms: u64) {
    open.retain(|_, mailbox| is_in_time(mailbox, now_ms));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server holds so many mailboxes and no more, until the time of one is over.
    #[test]
    fn c121_mailboxes_are_bounded() {
        let mailboxes = Mailboxes::default();
        for number in 0..MAILBOXES_MAX {
            assert_eq!(mailboxes.open(number.to_be_bytes().to_vec(), 1), Ok(()));
        }
        assert_eq!(mailboxes.open(vec![1], 1), Err(Gone::Full));
        // one that is open is still found
        assert_eq!(mailboxes.open(0_usize.to_be_bytes().to_vec(), 1), Ok(()));
        let later = 1 + MAILBOX_VALID_MS;
        assert_eq!(mailboxes.open(vec![1], later), Ok(()));
        assert_eq!(mailboxes.lock().len(), 1);
    }
}
