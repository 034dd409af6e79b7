//! Deaths around transactions: of a client at a commit, of the server at a verb of its store.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conclave_client::disk::{Disk, Moment};
use conclave_server::store::Gate;
use tokio::sync::Notify;

use crate::chance::Chance;
use crate::locked;

/// Which side of a transaction a process dies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The transaction is lost.
    Before,
    /// It is on disk, and nobody heard of it.
    After,
}

impl Side {
    /// One or the other.
    pub(crate) fn any(chance: &mut Chance) -> Self {
        if chance.percent(50) {
            Self::Before
        } else {
            Self::After
        }
    }
}

/// Counts transactions down to a death, and remembers it.
#[derive(Debug, Default)]
struct Fuse {
    left: Option<(u64, Side)>,
    is_dead: bool,
}

impl Fuse {
    /// Whether the process is dead once this side of a transaction is reached.
    fn burn(&mut self, side: Side) -> bool {
        match &mut self.left {
            Some((0, planned)) if *planned == side => {
                self.left = None;
                self.is_dead = true;
            }
            Some((left @ 1.., _)) if side == Side::After => *left -= 1,
            _ => {}
        }
        self.is_dead
    }
}

/// A process that can be told to die.
#[derive(Debug)]
pub(crate) struct Mortal {
    fuse: Mutex<Fuse>,
    /// Told when anybody in this world dies.
    died: Arc<Notify>,
    /// How long each transaction takes, and who may begin; only for the server.
    turns: Option<tokio::sync::Mutex<Chance>>,
}

impl Mortal {
    /// A client, whose transactions take no time; with `turns` a server, whose follow each other and take some ms.
    pub(crate) fn new(died: &Arc<Notify>, turns: Option<Chance>) -> Arc<Self> {
        Arc::new(Self {
            fuse: Mutex::default(),
            died: Arc::clone(died),
            turns: turns.map(tokio::sync::Mutex::new),
        })
    }

    /// It dies around the transaction after `left` more.
    pub(crate) fn plan(&self, left: u64, side: Side) {
        locked(&self.fuse).left = Some((left, side));
    }

    /// It dies now.
    pub(crate) fn kill(&self) {
        locked(&self.fuse).is_dead = true;
    }

    /// It lives again, and no death is planned.
    pub(crate) fn revive(&self) {
        *locked(&self.fuse) = Fuse::default();
    }

    /// No death is planned any more.
    pub(crate) fn defuse(&self) {
        locked(&self.fuse).left = None;
    }

    pub(crate) fn is_dead(&self) -> bool {
        locked(&self.fuse).is_dead
    }

    fn reach(&self, side: Side) -> bool {
        let mut fuse = locked(&self.fuse);
        let was_dead = fuse.is_dead;
        let is_dead = fuse.burn(side);
        drop(fuse);
        if is_dead && !was_dead {
            self.died.notify_one();
        }
        is_dead
    }
}

impl Disk for Mortal {
    fn ask(&self, moment: Moment) -> Result<(), String> {
        let is_dead = match moment {
            Moment::Read => self.is_dead(),
            Moment::Commit => self.reach(Side::Before),
            Moment::Committed => self.reach(Side::After),
        };
        if is_dead {
            Err("the process is dead".to_owned())
        } else {
            Ok(())
        }
    }
}

impl Gate for Mortal {
    fn before(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            if let Some(turns) = &self.turns {
                let mut chance = turns.lock().await;
                let ms = chance.spread(8);
                if ms > 0 {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
            }
            if self.reach(Side::Before) {
                std::future::pending::<()>().await;
            }
        })
    }

    fn after(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            if self.reach(Side::After) {
                std::future::pending::<()>().await;
            }
        })
    }
}
