//! Who wants to know: after a commit to disk the subscribers of a log or inbox are told.
//!
//! A push is only a hint: what a slow connection has not taken yet is replaced by what is newer,
//! signals are dropped. Only handles of the entry's own epoch hear of it, so a handle's cap holds
//! for pushes too (C-021).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conclave_proto::frame::reply;
use conclave_proto::id::{DeviceId, Epoch, LogId};
use conclave_proto::inbox::InboxHint;
use conclave_proto::log::{Entry, LogPush, SignalPush};
use tokio::sync::Notify;

/// An entry up to this many payload bytes rides in its push.
const SMALL_ENTRY_BYTES: usize = 4 * 1024;
/// Pushes with an entry that wait at one connection; further ones carry the seq alone.
const WAITING_ENTRIES_MAX: usize = 64;
/// Signals that wait at one connection.
const WAITING_SIGNALS_MAX: usize = 32;
/// A signal that waited longer is worth nothing, ms.
const SIGNAL_LIFE_MS: u64 = 10_000;

/// What waits to be pushed on one connection; bounded by its handles.
#[derive(Debug, Default)]
pub(crate) struct Pushes {
    waiting: Mutex<Waiting>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    inbox: bool,
    logs: BTreeMap<u32, LogPush>,
    signals: VecDeque<(u64, SignalPush)>,
}

impl Pushes {
    /// Completes when something waits.
    pub(crate) async fn wait(&self) {
        self.notify.notified().await;
    }

    /// Takes everything that waits.
    pub(crate) fn take(&self, now_ms: u64) -> Vec<reply::Body> {
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        let inbox = waiting
            .inbox
            .then_some(reply::Body::InboxHint(InboxHint {}));
        let logs = waiting.logs.into_values().map(reply::Body::LogPush);
        let fresh = |(at_ms, signal): (u64, SignalPush)| {
            let is_fresh = now_ms.saturating_sub(at_ms) <= SIGNAL_LIFE_MS;
            is_fresh.then_some(reply::Body::SignalPush(signal))
        };
        let signals = waiting.signals.into_iter().filter_map(fresh);
        inbox.into_iter().chain(logs).chain(signals).collect()
    }

    fn hint_inbox(&self) {
        lock(&self.waiting).inbox = true;
        self.notify.notify_one();
    }

    fn hint_log(&self, handle: u32, entry: &Entry) {
        let mut waiting = lock(&self.waiting);
        let has_room = waiting.logs.len() < WAITING_ENTRIES_MAX;
        let attach = has_room && entry.payload.len() <= SMALL_ENTRY_BYTES;
        let push = waiting.logs.entry(handle).or_default();
        if entry.seq > push.seq {
            *push = LogPush {
                handle,
                seq: entry.seq,
                entry: attach.then(|| entry.clone()),
            };
        }
        drop(waiting);
        self.notify.notify_one();
    }

    fn signal(&self, handle: u32, payload: &[u8], now_ms: u64) {
        let mut waiting = lock(&self.waiting);
        if waiting.signals.len() < WAITING_SIGNALS_MAX {
            let payload = payload.to_vec();
            let push = SignalPush { handle, payload };
            waiting.signals.push_back((now_ms, push));
        }
        drop(waiting);
        self.notify.notify_one();
    }

    fn forget(&self, handle: u32) {
        let mut waiting = lock(&self.waiting);
        waiting.logs.remove(&handle);
        waiting.signals.retain(|(_, push)| push.handle != handle);
    }
}

/// All subscriptions of this process.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    logs: Mutex<HashMap<LogId, Vec<LogSubscriber>>>,
    inboxes: Mutex<HashMap<DeviceId, Vec<Arc<Pushes>>>>,
}

#[derive(Debug)]
struct LogSubscriber {
    epoch: Epoch,
    handle: u32,
    pushes: Arc<Pushes>,
}

impl Hub {
    /// From now on `pushes` hears of entries of `epoch`.
    pub(crate) fn subscribe_log(
        &self,
        log_id: LogId,
        epoch: Epoch,
        handle: u32,
        pushes: &Arc<Pushes>,
    ) {
        let mut logs = lock(&self.logs);
        let subscribers = logs.entry(log_id).or_default();
        let is_same = |s: &LogSubscriber| s.handle == handle && Arc::ptr_eq(&s.pushes, pushes);
        if !subscribers.iter().any(is_same) {
            let pushes = Arc::clone(pushes);
            subscribers.push(LogSubscriber {
                epoch,
                handle,
                pushes,
            });
        }
    }

    /// Ends one subscription and drops what waits for it.
    pub(crate) fn unsubscribe_log(&self, log_id: LogId, handle: u32, pushes: &Arc<Pushes>) {
        retain(&self.logs, &log_id, |s| {
            s.handle != handle || !Arc::ptr_eq(&s.pushes, pushes)
        });
        pushes.forget(handle);
    }

    /// An entry is on disk.
    pub(crate) fn entry(&self, log_id: LogId, entry: &Entry) {
        for subscriber in lock(&self.logs).get(&log_id).into_iter().flatten() {
            // C-021: an entry is for handles of its own epoch, the commit that ends it included.
            if subscriber.epoch.0 == entry.epoch {
                subscriber.pushes.hint_log(subscriber.handle, entry);
            }
        }
    }

    /// A signal from `sender` for everybody else who is subscribed in `epoch`.
    pub(crate) fn signal(
        &self,
        log_id: LogId,
        epoch: Epoch,
        payload: &[u8],
        sender: &Arc<Pushes>,
        now_ms: u64,
    ) {
        for subscriber in lock(&self.logs).get(&log_id).into_iter().flatten() {
            if subscriber.epoch == epoch && !Arc::ptr_eq(&subscriber.pushes, sender) {
                subscriber.pushes.signal(subscriber.handle, payload, now_ms);
            }
        }
    }

    /// From now on `pushes` hears of items for a device.
    pub(crate) fn subscribe_inbox(&self, device_id: DeviceId, pushes: &Arc<Pushes>) {
        let mut inboxes = lock(&self.inboxes);
        let subscribers = inboxes.entry(device_id).or_default();
        if !subscribers.iter().any(|s| Arc::ptr_eq(s, pushes)) {
            subscribers.push(Arc::clone(pushes));
        }
    }

    /// An item is on disk.
    pub(crate) fn inbox(&self, device_id: DeviceId) {
        for pushes in lock(&self.inboxes).get(&device_id).into_iter().flatten() {
            pushes.hint_inbox();
        }
    }

    /// A connection is gone.
    pub(crate) fn forget(
        &self,
        pushes: &Arc<Pushes>,
        device_id: Option<DeviceId>,
        logs: &BTreeSet<LogId>,
    ) {
        for log_id in logs {
            retain(&self.logs, log_id, |s| !Arc::ptr_eq(&s.pushes, pushes));
        }
        if let Some(device_id) = device_id {
            retain(&self.inboxes, &device_id, |s| !Arc::ptr_eq(s, pushes));
        }
    }
}

fn retain<K: Eq + Hash, S>(map: &Mutex<HashMap<K, Vec<S>>>, key: &K, keep: impl FnMut(&S) -> bool) {
    let mut map = lock(map);
    if let Some(subscribers) = map.get_mut(key) {
        subscribers.retain(keep);
        if subscribers.is_empty() {
            map.remove(key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogId = LogId::new([1; 32]);

    fn entry(seq: u64, epoch: u64, bytes: usize) -> Entry {
        Entry {
            seq,
            epoch,
            payload: vec![7; bytes],
            ..Entry::default()
        }
    }

    fn seqs(pushes: &Pushes) -> Vec<(u64, bool)> {
        let taken = pushes.take(0).into_iter();
        taken
            .map(|push| match push {
                reply::Body::LogPush(push) => (push.seq, push.entry.is_some()),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// A handle hears of its own epoch only: the commit that ends it is the last.
    #[test]
    fn c021_pushes_obey_the_cap() {
        let (hub, old, new) = (Hub::default(), Arc::default(), Arc::default());
        hub.subscribe_log(LOG, Epoch(1), 1, &old);
        hub.subscribe_log(LOG, Epoch(2), 1, &new);
        hub.entry(LOG, &entry(5, 1, 10));
        hub.entry(LOG, &entry(6, 2, 10));
        assert_eq!(seqs(&old), [(5, true)]);
        assert_eq!(seqs(&new), [(6, true)]);
    }

    /// A slow connection keeps the newest hint of each log; large entries are left out.
    #[test]
    fn hints_replace_older_ones() {
        let (hub, pushes) = (Hub::default(), Arc::default());
        hub.subscribe_log(LOG, Epoch(1), 1, &pushes);
        hub.entry(LOG, &entry(1, 1, 10));
        hub.entry(LOG, &entry(3, 1, SMALL_ENTRY_BYTES + 1));
        hub.entry(LOG, &entry(2, 1, 10));
        assert_eq!(seqs(&pushes), [(3, false)]);
        assert_eq!(seqs(&pushes), []);
    }

    /// Signals are dropped when too many wait or when they are old.
    #[test]
    fn signals_are_dropped() {
        let (hub, me, other) = (Hub::default(), Arc::default(), Arc::default());
        hub.subscribe_log(LOG, Epoch(1), 1, &me);
        hub.subscribe_log(LOG, Epoch(1), 4, &other);
        for _ in 0..100 {
            hub.signal(LOG, Epoch(1), b"typing", &me, 0);
        }
        assert_eq!(me.take(0).len(), 0);
        assert_eq!(other.take(0).len(), WAITING_SIGNALS_MAX);
        hub.signal(LOG, Epoch(1), b"typing", &me, 0);
        assert_eq!(other.take(SIGNAL_LIFE_MS + 1).len(), 0);
    }

    /// What is gone hears nothing and leaves nothing behind.
    #[test]
    fn gone_connections_leave_nothing() {
        let (hub, pushes) = (Hub::default(), Arc::default());
        let device = DeviceId::new([2; 16]);
        hub.subscribe_log(LOG, Epoch(1), 1, &pushes);
        hub.subscribe_inbox(device, &pushes);
        hub.forget(&pushes, Some(device), &BTreeSet::from([LOG]));
        hub.entry(LOG, &entry(1, 1, 10));
        hub.inbox(device);
        assert_eq!(pushes.take(0).len(), 0);
        assert!(lock(&hub.logs).is_empty() && lock(&hub.inboxes).is_empty());
    }
}
