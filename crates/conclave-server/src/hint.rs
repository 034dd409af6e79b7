//! Hints between server processes over one store: "this log moved", "this device has something".
//!
//! A hint is never more than a hint (C-220): one that is lost, late, repeated or made up costs time and
//! nothing else, because who hears of it reads the store, and because `follow` also looks by itself.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use conclave_proto::id::{DeviceId, Epoch, LogId, Seq};
use conclave_proto::limits::SIGNAL_BYTES_MAX;
use tokio::sync::mpsc;

/// Something that another process may want to push to its own connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// An entry of `epoch` with this seq is on disk.
    Log {
        /// Where.
        log_id: LogId,
        /// The entry's own epoch, which a commit ends.
        epoch: Epoch,
        /// Its seq.
        seq: Seq,
    },
    /// Something for a device is on disk.
    Inbox {
        /// Whose.
        device_id: DeviceId,
    },
    /// A signal to whoever is subscribed now; it is nowhere on disk.
    Signal {
        /// Where.
        log_id: LogId,
        /// For handles of this epoch.
        epoch: Epoch,
        /// Sealed by its sender.
        payload: Vec<u8>,
    },
}

/// What a subscriber hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Hints of other processes; own ones may be among them, signals excepted.
    Hints(Vec<Hint>),
    /// Hints may have been lost: the channel was away, or too slow.
    Gap,
}

/// A channel of hints to and from the other processes.
pub trait Hints: Send + Sync + fmt::Debug + 'static {
    /// Tells everybody else, soon, or loses it; never waits.
    fn publish(&self, batch: Vec<Hint>);

    /// From now on everything that others tell. Called once for each process.
    fn subscribe(&self) -> mpsc::Receiver<Heard>;

    /// Whether the channel works, as far as anybody knows.
    fn is_connected(&self) -> bool;
}

/// A shared channel of hints.
pub type SharedHints = Arc<dyn Hints>;

/// No channel at all: processes over one store find out by looking alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHints;

impl Hints for NoHints {
    fn publish(&self, _: Vec<Hint>) {}

    fn subscribe(&self) -> mpsc::Receiver<Heard> {
        mpsc::channel(1).1
    }

    fn is_connected(&self) -> bool {
        false
    }
}

/// Hints told at once.
const BATCH: usize = 1_024;

/// Tells everybody else what comes, until nobody says anything any more: what came together leaves together,
/// of a log's places the last alone.
pub async fn tell(hints: &dyn Hints, mut leaving: mpsc::Receiver<Hint>) {
    let mut batch = Vec::new();
    while leaving.recv_many(&mut batch, BATCH).await > 0 {
        hints.publish(newest(std::mem::take(&mut batch)));
        // others get a turn, so that a busy server tells many at once
        tokio::task::yield_now().await;
    }
}

/// Leaves out every place of a log's epoch that a later one covers.
fn newest(mut batch: Vec<Hint>) -> Vec<Hint> {
    let mut last = HashMap::new();
    for hint in &batch {
        if let Hint::Log { log_id, epoch, seq } = *hint {
            let last = last.entry((log_id, epoch)).or_insert(seq);
            *last = seq.max(*last);
        }
    }
    batch.retain(|hint| match hint {
        Hint::Log { log_id, epoch, seq } => last.get(&(*log_id, *epoch)) == Some(seq),
        _ => true,
    });
    batch
}

/// First byte of a message.
const VERSION: u8 = 1;
const LOG: u8 = 1;
const INBOX: u8 = 2;
const SIGNAL: u8 = 3;

/// Puts hints of the process `node` (a random number) into as few messages as possible, of at most `most`
/// bytes each; what does not fit into a message of its own is left out.
pub fn pack(node: u64, hints: &[Hint], most: usize) -> Vec<Vec<u8>> {
    let empty = [&[VERSION][..], &node.to_be_bytes()].concat();
    let mut messages = Vec::new();
    let mut message = empty.clone();
    for hint in hints {
        let bytes = bytes_of(hint);
        if empty.len() + bytes.len() > most {
            continue;
        }
        if message.len() + bytes.len() > most {
            messages.push(std::mem::replace(&mut message, empty.clone()));
        }
        message.extend(bytes);
    }
    if message.len() > empty.len() {
        messages.push(message);
    }
    messages
}

fn bytes_of(hint: &Hint) -> Vec<u8> {
    match hint {
        Hint::Log { log_id, epoch, seq } => {
            let numbers = [epoch.0.to_be_bytes(), seq.0.to_be_bytes()].concat();
            [&[LOG], log_id.as_bytes().as_slice(), &numbers].concat()
        }
        Hint::Inbox { device_id } => [&[INBOX], device_id.as_bytes().as_slice()].concat(),
        Hint::Signal {
            log_id,
            epoch,
            payload,
        } => {
            // who sends one checked its length
            let length = u8::try_from(payload.len()).unwrap_or(0);
            let payload = payload.get(..usize::from(length)).unwrap_or_default();
            let epoch = epoch.0.to_be_bytes();
            let head = [&[SIGNAL], log_id.as_bytes().as_slice(), &epoch].concat();
            [&head, [length].as_slice(), payload].concat()
        }
    }
}

/// The process that told, and its hints; `None` for bytes that [`pack`] did not make.
pub fn unpack(message: &[u8]) -> Option<(u64, Vec<Hint>)> {
    let mut rest = message;
    if take::<1>(&mut rest)? != [VERSION] {
        return None;
    }
    let node = u64::from_be_bytes(take(&mut rest)?);
    let mut hints = Vec::new();
    while !rest.is_empty() {
        hints.push(one(&mut rest)?);
    }
    Some((node, hints))
}

fn one(rest: &mut &[u8]) -> Option<Hint> {
    match take(rest)? {
        [LOG] => Some(Hint::Log {
            log_id: LogId::new(take(rest)?),
            epoch: Epoch(u64::from_be_bytes(take(rest)?)),
            seq: Seq(u64::from_be_bytes(take(rest)?)),
        }),
        [INBOX] => Some(Hint::Inbox {
            device_id: DeviceId::new(take(rest)?),
        }),
        [SIGNAL] => {
            let log_id = LogId::new(take(rest)?);
            let epoch = Epoch(u64::from_be_bytes(take(rest)?));
            let [length] = take(rest)?;
            let (payload, after) = rest.split_at_checked(usize::from(length))?;
            *rest = after;
            (payload.len() <= SIGNAL_BYTES_MAX).then(|| Hint::Signal {
                log_id,
                epoch,
                payload: payload.to_vec(),
            })
        }
        _ => None,
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints() -> Vec<Hint> {
        let (log_id, epoch) = (LogId::new([1; 32]), Epoch(2));
        vec![
            Hint::Log {
                log_id,
                epoch,
                seq: Seq(u64::MAX),
            },
            Hint::Inbox {
                device_id: DeviceId::new([3; 16]),
            },
            Hint::Signal {
                log_id,
                epoch,
                payload: vec![7; SIGNAL_BYTES_MAX],
            },
        ]
    }

    /// What is packed comes out again, in one message when it fits and in order when it does not.
    #[test]
    fn packed_hints_come_out_again() {
        let whole = pack(9, &hints(), 8_000);
        assert_eq!(whole.len(), 1);
        assert_eq!(unpack(&whole[0]), Some((9, hints())));
        let many = vec![hints(); 50].concat();
        let parts = pack(9, &many, 200);
        assert!(parts.iter().all(|part| part.len() <= 200));
        let all = parts.iter().flat_map(|part| unpack(part).unwrap().1);
        assert_eq!(all.collect::<Vec<_>>(), many);
        assert_eq!(pack(9, &hints(), 8), Vec::<Vec<u8>>::new());
    }

    /// A later place of the same log and epoch covers an earlier one; a log's other epoch and everything else stay.
    #[test]
    fn of_a_log_the_last_place_is_told() {
        let at = |log: u8, epoch, seq| Hint::Log {
            log_id: LogId::new([log; 32]),
            epoch: Epoch(epoch),
            seq: Seq(seq),
        };
        let inbox = hints().remove(1);
        let batch = vec![
            at(1, 1, 5),
            inbox.clone(),
            at(1, 1, 7),
            at(2, 1, 3),
            at(1, 2, 8),
            at(1, 1, 6),
            inbox.clone(),
        ];
        let told = vec![inbox.clone(), at(1, 1, 7), at(2, 1, 3), at(1, 2, 8), inbox];
        assert_eq!(newest(batch), told);
    }

    /// Bytes that are cut off, too long a signal and unknown kinds are refused, never a panic.
    #[test]
    fn c220_other_bytes_are_no_hints() {
        let message = pack(9, &hints(), 8_000).remove(0);
        for end in 0..message.len() {
            let told = unpack(&message[..end]);
            assert!(told.is_none_or(|(_, told)| told.len() < hints().len()));
        }
        let mut other = message.clone();
        other[0] = 2;
        assert_eq!(unpack(&other), None);
        let signal = message.len() - SIGNAL_BYTES_MAX - 1;
        let mut long = [&message[..], &[7; 300]].concat();
        long[signal] = 255;
        assert_eq!(unpack(&long), None);
        assert_eq!(unpack(&[&message[..], &[99]].concat()), None);
    }
}
