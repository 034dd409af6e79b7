//! Who wants to know: after a commit to disk the subscribers of a log or inbox are told.
//!
//! A push is only a hint: what a slow connection has not taken yet is replaced by what is newer,
//! signals are dropped. Only handles of the entry's own epoch hear of it, so a handle's cap holds
//! for pushes too (C-021). Other processes over the same store are told through [`crate::hint`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use conclave_proto::frame::reply;
use conclave_proto::id::{DeviceId, Epoch, LogId, Seq};
use conclave_proto::inbox::InboxHint;
use conclave_proto::log::{Entry, LogPush, SignalPush};
use tokio::sync::{Notify, mpsc};

use crate::hint::Hint;

/// An entry up to this many payload bytes rides in its push.
const SMALL_ENTRY_BYTES: usize = 4 * 1024;
/// Pushes with an entry that wait at one connection; further ones carry the seq alone.
const WAITING_ENTRIES_MAX: usize = 64;
/// Signals that wait at one connection.
const WAITING_SIGNALS_MAX: usize = 32;
/// Subscribers of one log up to which its list has no spare room.
const FEW_SUBSCRIBERS: usize = 4;
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

    /// With the entry itself when it is at hand and small.
    fn hint_log(&self, handle: u32, seq: u64, entry: Option<&Entry>) {
        let mut waiting = lock(&self.waiting);
        let has_room = waiting.logs.len() < WAITING_ENTRIES_MAX;
        let is_small = |entry: &&Entry| has_room && entry.payload.len() <= SMALL_ENTRY_BYTES;
        let push = waiting.logs.entry(handle).or_default();
        if seq > push.seq {
            *push = LogPush {
                handle,
                seq,
                entry: entry.filter(is_small).cloned(),
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
    /// Trees, since a hash table of so many has as much room empty as full when it has just grown.
    logs: Mutex<BTreeMap<LogId, Vec<LogSubscriber>>>,
    inboxes: Mutex<BTreeMap<DeviceId, Vec<InboxSubscriber>>>,
    /// To the other processes, when there may be any.
    outlet: OnceLock<mpsc::Sender<Hint>>,
}

#[derive(Debug)]
struct LogSubscriber {
    epoch: Epoch,
    handle: u32,
    /// Highest seq that it was told.
    told: u64,
    pushes: Arc<Pushes>,
}

#[derive(Debug)]
struct InboxSubscriber {
    /// Highest number of an item that was found by looking.
    told: u64,
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
            // most logs have one or two here, and there are many logs
            if subscribers.len() < FEW_SUBSCRIBERS {
                subscribers.reserve_exact(1);
            }
            subscribers.push(LogSubscriber {
                epoch,
                handle,
                told: 0,
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

    /// From now on other processes are told, through `outlet`, what is on disk.
    pub(crate) fn tell(&self, outlet: mpsc::Sender<Hint>) {
        // said once for each process
        let _ = self.outlet.set(outlet);
    }

    fn tell_others(&self, hint: impl FnOnce() -> Hint) {
        if let Some(outlet) = self.outlet.get() {
            // C-220: a hint that finds no room is lost, and nobody waits for one
            let _ = outlet.try_send(hint());
        }
    }

    /// An entry is on disk.
    pub(crate) fn entry(&self, log_id: LogId, entry: &Entry) {
        let (epoch, seq) = (Epoch(entry.epoch), Seq(entry.seq));
        self.tell_others(|| Hint::Log { log_id, epoch, seq });
        for subscriber in lock(&self.logs).get_mut(&log_id).into_iter().flatten() {
            // C-021: an entry is for handles of its own epoch, the commit that ends it included.
            if subscriber.epoch == epoch {
                subscriber.told = subscriber.told.max(seq.0);
                let pushes = &subscriber.pushes;
                pushes.hint_log(subscriber.handle, seq.0, Some(entry));
            }
        }
    }

    /// Another process may have brought what handles of `epoch` see to `seq`.
    pub(crate) fn reached(&self, log_id: LogId, epoch: Epoch, seq: Seq) {
        for subscriber in lock(&self.logs).get_mut(&log_id).into_iter().flatten() {
            if subscriber.epoch == epoch && subscriber.told < seq.0 {
                subscriber.told = seq.0;
                subscriber.pushes.hint_log(subscriber.handle, seq.0, None);
            }
        }
    }

    /// Another process told.
    pub(crate) fn heard(&self, hint: &Hint, now_ms: u64) {
        match hint {
            Hint::Log { log_id, epoch, seq } => self.reached(*log_id, *epoch, *seq),
            Hint::Inbox { device_id } => self.hint_inbox(*device_id),
            Hint::Signal {
                log_id,
                epoch,
                payload,
            } => self.push_signal(*log_id, *epoch, payload, None, now_ms),
        }
    }

    /// Every log with the epoch of a handle that is subscribed here; some more than once.
    pub(crate) fn followed_logs(&self) -> Vec<(LogId, Epoch)> {
        let logs = lock(&self.logs);
        let each = logs.iter().flat_map(|(log_id, subscribers)| {
            let epochs = subscribers.iter().map(|subscriber| subscriber.epoch);
            epochs.map(|epoch| (*log_id, epoch))
        });
        each.collect()
    }

    /// Every device whose inbox is listened to here.
    pub(crate) fn followed_inboxes(&self) -> Vec<DeviceId> {
        lock(&self.inboxes).keys().copied().collect()
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
        self.tell_others(|| Hint::Signal {
            log_id,
            epoch,
            payload: payload.to_vec(),
        });
        self.push_signal(log_id, epoch, payload, Some(sender), now_ms);
    }

    fn push_signal(
        &self,
        log_id: LogId,
        epoch: Epoch,
        payload: &[u8],
        sender: Option<&Arc<Pushes>>,
        now_ms: u64,
    ) {
        for subscriber in lock(&self.logs).get(&log_id).into_iter().flatten() {
            let is_sender = sender.is_some_and(|sender| Arc::ptr_eq(&subscriber.pushes, sender));
            if subscriber.epoch == epoch && !is_sender {
                subscriber.pushes.signal(subscriber.handle, payload, now_ms);
            }
        }
    }

    /// From now on `pushes` hears of items for a device.
    pub(crate) fn subscribe_inbox(&self, device_id: DeviceId, pushes: &Arc<Pushes>) {
        let mut inboxes = lock(&self.inboxes);
        let subscribers = inboxes.entry(device_id).or_default();
        if !subscribers.iter().any(|s| Arc::ptr_eq(&s.pushes, pushes)) {
            let pushes = Arc::clone(pushes);
            subscribers.push(InboxSubscriber { told: 0, pushes });
        }
    }

    /// Something for a device is on disk.
    pub(crate) fn inbox(&self, device_id: DeviceId) {
        self.tell_others(|| Hint::Inbox { device_id });
        self.hint_inbox(device_id);
    }

    fn hint_inbox(&self, device_id: DeviceId) {
        for subscriber in lock(&self.inboxes).get(&device_id).into_iter().flatten() {
            subscriber.pushes.hint_inbox();
        }
    }

    /// The newest waiting item of a device has this number.
    pub(crate) fn inbox_reached(&self, device_id: DeviceId, number: u64) {
        let mut inboxes = lock(&self.inboxes);
        for subscriber in inboxes.get_mut(&device_id).into_iter().flatten() {
            if subscriber.told < number {
                subscriber.told = number;
                subscriber.pushes.hint_inbox();
            }
        }
    }

    /// A connection is gone.
    pub(crate) fn forget(
        &self,
        pushes: &Arc<Pushes>,
        device_id: Option<DeviceId>,
        logs: impl Iterator<Item = LogId>,
    ) {
        for log_id in logs {
            retain(&self.logs, &log_id, |s| !Arc::ptr_eq(&s.pushes, pushes));
        }
        if let Some(device_id) = device_id {
            retain(&self.inboxes, &device_id, |s| {
                !Arc::ptr_eq(&s.pushes, pushes)
            });
        }
    }
}

fn retain<K: Ord, S>(map: &Mutex<BTreeMap<K, Vec<S>>>, key: &K, keep: impl FnMut(&S) -> bool) {
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

    /// What was told already is not told again, whoever repeats it; what is newer comes without its entry
    /// and obeys the cap.
    #[test]
    fn c220_repeated_hints_push_nothing() {
        let (hub, old, new) = (Hub::default(), Arc::default(), Arc::default());
        hub.subscribe_log(LOG, Epoch(1), 1, &old);
        hub.subscribe_log(LOG, Epoch(2), 1, &new);
        hub.entry(LOG, &entry(5, 1, 10));
        assert_eq!(seqs(&old), [(5, true)]);
        for seq in [4, 5] {
            hub.reached(LOG, Epoch(1), Seq(seq));
        }
        assert_eq!(seqs(&old), []);
        hub.reached(LOG, Epoch(2), Seq(9));
        assert_eq!(seqs(&old), []);
        assert_eq!(seqs(&new), [(9, false)]);
        // an own entry is pushed although somebody made a hint of its seq up
        hub.entry(LOG, &entry(9, 2, 10));
        assert_eq!(seqs(&new), [(9, true)]);
    }

    /// Whoever writes faster than others can be told loses hints and never waits.
    #[test]
    fn c220_hints_without_room_are_lost() {
        let (hub, (outlet, mut leaving)) = (Hub::default(), mpsc::channel(1));
        hub.tell(outlet);
        for seq in 1..100 {
            hub.entry(LOG, &entry(seq, 1, 10));
        }
        let (log_id, epoch, seq) = (LOG, Epoch(1), Seq(1));
        assert_eq!(leaving.try_recv(), Ok(Hint::Log { log_id, epoch, seq }));
        assert!(leaving.try_recv().is_err());
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
        hub.forget(&pushes, Some(device), [LOG].into_iter());
        hub.entry(LOG, &entry(1, 1, 10));
        hub.inbox(device);
        assert_eq!(pushes.take(0).len(), 0);
        assert!(lock(&hub.logs).is_empty() && lock(&hub.inboxes).is_empty());
    }
}
