//! Opens the store that the settings name: the data folder's own, or a database that servers share.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use conclave_proto::env::Env;

use crate::config::Config;
use crate::folder;
use crate::hint::SharedHints;
use crate::keys::{KeysError, ServerKeys};
use crate::store::{
    Address, DatabaseError, OpenError, PostgresHints, PostgresStore, SharedStore, SqliteStore,
    StoreOptions,
};

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreOpenError {
    /// The one in the data folder.
    #[error(transparent)]
    Folder(#[from] OpenError),
    /// The shared one.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The keys that the shared one belongs to.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// An open store, and what keeps other servers out of the data folder.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: SharedStore,
    /// The folder's lock, unless the store holds it itself. Dropped after the store.
    pub lock: Option<File>,
}

/// Whether the settings name a database beside the data folder's own.
pub fn is_shared(config: &Config) -> bool {
    !config.server.database.expose().is_empty()
}

/// The channel that servers of a shared database use when nothing better is set up; `None` when there is
/// no such database. Needs a tokio runtime.
pub fn hints(config: &Config, env: &dyn Env) -> Option<SharedHints> {
    let address = address(config).ok()?;
    let mut node = [0; 8];
    env.fill(&mut node);
    let hints = PostgresHints::start(address, u64::from_be_bytes(node));
    Some(Arc::new(hints))
}

fn address(config: &Config) -> Result<Address, DatabaseError> {
    let var = |name: &str| std::env::var(name).ok();
    Address::parse(config.server.database.expose(), var)
}

/// Opens the store, making what is not there yet; the folder exists. A shared one belongs to the folder's keys
/// from then on. Needs a tokio runtime.
pub async fn open(
    config: &Config,
    data_dir: &Path,
    env: &dyn Env,
) -> Result<Opened, StoreOpenError> {
    let options = StoreOptions {
        commit_spacing: config.logs.commit_spacing(),
    };
    if !is_shared(config) {
        let store = Arc::new(SqliteStore::open(data_dir, options)?);
        return Ok(Opened { store, lock: None });
    }
    let locked = folder::lock(data_dir).map_err(DatabaseError::Note)?;
    let lock = locked.ok_or(OpenError::Locked)?;
    let address = address(config)?;
    let store = PostgresStore::open(address, Some(data_dir), options).await?;
    // C-232: asked before keys are made, so that none lie in the way of the right ones
    if !ServerKeys::are_in(data_dir) {
        store.belong_to(None).await?;
    }
    let keys = ServerKeys::open(data_dir, env)?;
    store.belong_to(Some(keys.mark())).await?;
    Ok(Opened {
        store: Arc::new(store),
        lock: Some(lock),
    })
}
