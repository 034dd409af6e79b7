//! Mailboxes in which new devices meet their accounts, of a store that one process has to itself: in memory.
//!
//! Nothing of them reaches the disk. A mailbox that was closed keeps its place, empty, until its time
//! is over, so that its offer cannot open it a second time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use conclave_proto::id::Hash32;
use conclave_proto::limits::{MAILBOX_VALID_MS, MAILBOXES_MAX};
use conclave_proto::mailbox::{OFFER, SLOTS, mailbox_id};

use super::MailboxGone as Gone;

/// All mailboxes of a store.
#[derive(Default)]
pub(super) struct Mailboxes {
    open: Mutex<HashMap<Hash32, Mailbox>>,
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
}

impl Mailboxes {
    /// Opens the mailbox of `offer`; the same offer again finds it as it is.
    pub(super) fn open(&self, offer: Vec<u8>, now_ms: u64) -> Result<(), Gone> {
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
        };
        open.insert(id, mailbox);
        Ok(())
    }

    /// Writes `slot`, unless it holds other bytes.
    pub(super) fn put(
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
        Ok(())
    }

    /// What `slot` holds. Empty: nothing yet.
    pub(super) fn read(&self, id: Hash32, slot: u32, now_ms: u64) -> Result<Vec<u8>, Gone> {
        let mut open = self.lock();
        let place = place(live(&mut open, id, now_ms)?, slot);
        Ok(place.ok_or(Gone::Over)?.clone())
    }

    /// Empties a mailbox for good.
    pub(super) fn close(&self, id: Hash32, now_ms: u64) -> Result<(), Gone> {
        let mut open = self.lock();
        let mailbox = live(&mut open, id, now_ms)?;
        mailbox.is_closed = true;
        mailbox.slots = Default::default();
        Ok(())
    }

    /// Forgets those whose time is over.
    pub(super) fn tidy(&self, now_ms: u64) {
        forget_over(&mut self.lock(), now_ms);
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
