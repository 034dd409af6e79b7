//! A channel of hints within one process, which loses, repeats or delays what it is told.

use std::sync::{Arc, Mutex};

use conclave_server::hint::{Heard, Hint, Hints};
use tokio::sync::mpsc;

/// What the channel does to hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manners {
    /// Brings each once.
    Faithful,
    /// Brings none and does not say so.
    Losing,
    /// Brings each three times, newest first.
    Repeating,
    /// Brings each when the next one is told.
    Late,
    /// Brings each with numbers that are too high, too.
    Lying,
}

/// The channel that all nodes share.
#[derive(Debug)]
pub(crate) struct Bus {
    manners: Manners,
    nodes: Mutex<Vec<mpsc::Sender<Heard>>>,
    kept: Mutex<Vec<Hint>>,
}

/// One node's end.
#[derive(Debug)]
pub(crate) struct End {
    bus: Arc<Bus>,
    heard: Mutex<Option<mpsc::Receiver<Heard>>>,
    number: usize,
}

impl Bus {
    pub(crate) fn new(manners: Manners) -> Arc<Self> {
        Arc::new(Self {
            manners,
            nodes: Mutex::default(),
            kept: Mutex::default(),
        })
    }

    /// An end for one more node.
    pub(crate) fn end(self: &Arc<Self>) -> Arc<End> {
        let (inlet, heard) = mpsc::channel(1_000);
        let mut nodes = self.nodes.lock().unwrap();
        nodes.push(inlet);
        Arc::new(End {
            bus: Arc::clone(self),
            heard: Mutex::new(Some(heard)),
            number: nodes.len() - 1,
        })
    }
}

impl Hints for End {
    fn publish(&self, batch: Vec<Hint>) {
        let hints = match self.bus.manners {
            Manners::Faithful => batch,
            Manners::Losing => return,
            Manners::Repeating => {
                let mut hints = vec![batch; 3].concat();
                hints.reverse();
                hints
            }
            Manners::Late => std::mem::replace(&mut *self.bus.kept.lock().unwrap(), batch),
            Manners::Lying => {
                let mut hints = batch;
                for hint in &mut hints {
                    if let Hint::Log { seq, .. } = hint {
                        seq.0 += 1_000;
                    }
                }
                hints
            }
        };
        for (number, node) in self.bus.nodes.lock().unwrap().iter().enumerate() {
            if number != self.number {
                // a node that does not keep up loses hints
                let _ = node.try_send(Heard::Hints(hints.clone()));
            }
        }
    }

    fn subscribe(&self) -> mpsc::Receiver<Heard> {
        self.heard.lock().unwrap().take().expect("subscribes once")
    }

    fn is_connected(&self) -> bool {
        true
    }
}
