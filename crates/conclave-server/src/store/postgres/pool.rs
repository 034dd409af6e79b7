//! The connections of all verbs but appends: a few that read, shared, and a few that write, each for one
//! transaction at a time.
//!
//! A verb that began runs to its end, whoever stops waiting for it: a commit is never cancelled.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as PlainMutex, PoisonError};

use conclave_proto::limits::STORE_QUEUE_ITEMS;
use tokio::sync::{Mutex, Semaphore};

use super::open::Shared;
use super::session::{DbError, Fault, Result, Session, Working};
use crate::store::StoreError;

/// Connections that write, each one transaction at a time.
const WRITERS: usize = 6;
/// Connections that read, each any number of statements at a time.
const READERS: usize = 4;
/// How often a verb that met others on the same rows runs anew before it answers busy.
const TRIES: u32 = 12;
/// How often a verb looks for another connection when its own was lost before it changed anything.
const LOSSES: u32 = 3;

/// A writing or reading verb: what it does with a connection and its arguments.
pub(super) type Verb<A, T> = for<'a> fn(&'a Session, &'a A) -> Working<'a, T>;

/// The connections.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    idle: PlainMutex<Vec<Session>>,
    writers: Semaphore,
    /// Room for verbs that wait for a connection.
    queue: Arc<Semaphore>,
    readers: [Mutex<Option<Arc<Session>>>; READERS],
    next_reader: AtomicUsize,
}

impl Pool {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            idle: PlainMutex::default(),
            writers: Semaphore::new(WRITERS),
            queue: Arc::new(Semaphore::new(STORE_QUEUE_ITEMS)),
            readers: Default::default(),
            next_reader: AtomicUsize::new(0),
        }
    }

    /// Runs a verb in a transaction of its own.
    pub(super) async fn write<A, T>(
        self: Arc<Self>,
        args: A,
        verb: Verb<A, T>,
    ) -> std::result::Result<T, StoreError>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        let room = Arc::clone(&self.queue).try_acquire_owned();
        let room = room.map_err(|_| StoreError::Busy)?;
        let running = tokio::spawn(async move {
            let _room = room;
            let Ok(_turn) = self.writers.acquire().await else {
                return Err(StoreError::Busy);
            };
            self.transact(&args, verb).await
        });
        running
            .await
            .unwrap_or_else(|_| Err(unknown("the verb's task broke")))
    }

    async fn transact<A, T>(
        &self,
        args: &A,
        verb: Verb<A, T>,
    ) -> std::result::Result<T, StoreError> {
        let (mut tries, mut losses) = (0, 0);
        loop {
            if self.shared.is_dead() {
                return Err(dead());
            }
            let Ok(session) = self.take().await else {
                return Err(StoreError::Busy);
            };
            match attempt(&session, args, verb).await {
                Ok(Attempt::Done(value)) => {
                    self.give_back(session);
                    return Ok(value);
                }
                // C-212: nobody knows whether it is there, and nobody says so; the same request again
                // finds out
                Ok(Attempt::Unknown) => {
                    return Err(unknown("the connection was lost at the commit"));
                }
                Err(error) => match error.fault() {
                    Fault::Again => {
                        self.give_back(session);
                        tries += 1;
                        if tries >= TRIES {
                            return Err(StoreError::Busy);
                        }
                    }
                    Fault::Gone => {
                        losses += 1;
                        if losses >= LOSSES {
                            return Err(StoreError::Busy);
                        }
                    }
                    Fault::Refused => {
                        tracing::error!("a write was refused by the database: {error}");
                        self.give_back(session);
                        return Err(StoreError::Broken(error.to_string()));
                    }
                },
            }
        }
    }

    async fn take(&self) -> std::result::Result<Session, super::DatabaseError> {
        loop {
            let idle = {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                idle.pop()
            };
            match idle {
                Some(session) if session.is_closed() => {}
                Some(session) => return Ok(session),
                None => return self.shared.connect().await,
            }
        }
    }

    fn give_back(&self, session: Session) {
        if !session.is_closed() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(session);
        }
    }

    /// Runs a verb that only reads; each of its statements sees what was committed before it.
    pub(super) async fn read<A, T>(
        &self,
        args: &A,
        verb: Verb<A, T>,
    ) -> std::result::Result<T, StoreError> {
        let (mut tries, mut losses) = (0, 0);
        loop {
            if self.shared.is_dead() {
                return Err(dead());
            }
            let Ok(session) = self.reader().await else {
                return Err(StoreError::Busy);
            };
            let error = match verb(&session, args).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match error.fault() {
                Fault::Again => tries += 1,
                Fault::Gone => losses += 1,
                Fault::Refused => {
                    tracing::error!("a read was refused by the database: {error}");
                    return Err(StoreError::Broken(error.to_string()));
                }
            }
            if tries >= TRIES || losses >= LOSSES {
                return Err(StoreError::Busy);
            }
        }
    }

    /// The connections take turns.
    async fn reader(&self) -> std::result::Result<Arc<Session>, super::DatabaseError> {
        let turn = self.next_reader.fetch_add(1, Ordering::Relaxed) % READERS;
        let Some(place) = self.readers.get(turn) else {
            return self.shared.connect().await.map(Arc::new);
        };
        let mut place = place.lock().await;
        if let Some(session) = place.as_ref().filter(|session| !session.is_closed()) {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(self.shared.connect().await?);
        *place = Some(Arc::clone(&session));
        Ok(session)
    }
}

/// How a transaction ended.
enum Attempt<T> {
    /// Committed.
    Done(T),
    /// The connection was lost while it was being committed.
    Unknown,
}

/// One transaction. An error means that nothing was changed.
async fn attempt<A, T>(session: &Session, args: &A, verb: Verb<A, T>) -> Result<Attempt<T>> {
    session.simple("BEGIN").await?;
    match verb(session, args).await {
        Ok(value) => match session.simple("COMMIT").await {
            Ok(()) => Ok(Attempt::Done(value)),
            Err(error) if error.fault() == Fault::Again => Err(error),
            Err(_) => Ok(Attempt::Unknown),
        },
        Err(error) => {
            if error.fault() != Fault::Gone {
                // one that fails closes the connection, which ends the transaction too
                let rolled_back: std::result::Result<(), DbError> =
                    session.simple("ROLLBACK").await;
                rolled_back?;
            }
            Err(error)
        }
    }
}

/// A write of which nobody knows whether it is stored.
pub(super) fn unknown(why: &str) -> StoreError {
    StoreError::Broken(format!("{why}: whether it is stored is unknown, ask again"))
}

/// What every call gets once the store must not go on.
pub(super) fn dead() -> StoreError {
    StoreError::Broken("the database was restored from a backup, restart the server".into())
}
