//! A few reading connections, each used by one blocking thread at a time.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use conclave_proto::limits::STORE_READERS;
use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::open::{OpenError, open_reader};
use crate::store::StoreError;

/// The pool.
#[derive(Debug)]
pub(super) struct Readers {
    free: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn open(data_dir: &Path) -> Result<Self, OpenError> {
        let connections: Result<Vec<_>, _> =
            (0..STORE_READERS).map(|_| open_reader(data_dir)).collect();
        Ok(Self {
            free: Arc::new(Mutex::new(connections?)),
            permits: Arc::new(Semaphore::new(STORE_READERS)),
        })
    }

    /// Runs `verb` on one snapshot that holds everything acknowledged so far.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| broken("its readers are closed"))?;
        let free = Arc::clone(&self.free);
        let task = spawn_blocking(move || {
            // a permit stands for a connection; both go back when this ends
            let _permit = permit;
            let taken = free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = taken.ok_or_else(|| broken("it lost a reader"))?;
            let result = snapshot(&connection, verb);
            free.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
            result.map_err(|error| broken(&error.to_string()))
        });
        task.await
            .unwrap_or_else(|_| Err(broken("a read was stopped")))
    }
}

fn snapshot<T>(
    connection: &Connection,
    verb: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let tx = connection.unchecked_transaction()?;
    let value = verb(&tx)?;
    tx.commit()?;
    Ok(value)
}

fn broken(reason: &str) -> StoreError {
    StoreError::Broken(reason.into())
}
