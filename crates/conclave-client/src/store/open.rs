//! Opening a profile: lock, key, SQLCipher, migrations. Nothing else touches these files.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use conclave_core::at_rest::{self, Cost, WrapError};
use conclave_core::secret::Secret;
use conclave_proto::env::Env;
use rusqlite::Connection;
use zeroize::Zeroizing;

use super::{DAMAGED, Store, StoreError};
use crate::client::{KeyKind, Unlock};
use crate::error::OpenError;

const DATABASE: &str = "store.db";
/// The database while it is made; renamed when it is whole.
const DATABASE_NEW: &str = "store.db.new";
const LOCK: &str = "lock";
/// Statements kept ready: more than the store has.
const STATEMENTS: usize = 256;
const KEY_PLAIN: &str = "store.key";
const KEY_WRAPPED: &str = "store.key.wrapped";

/// Schema versions: each element moves the database one version up. Never edited once released.
const MIGRATIONS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
];

/// SQLite's write-ahead log beside the database: what it holds may not be in the database yet.
const DATABASE_LOG: &str = "store.db-wal";
/// Databases up to this size are checked whole when they are opened, in bytes: about a tenth of a second.
const CHECKED_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// How the profile in `dir` keeps its store key; without a database there is no profile.
pub(crate) fn key_kind(dir: &Path) -> KeyKind {
    if dir.join(DATABASE).exists() {
        kept_key(dir)
    } else {
        KeyKind::Absent
    }
}

/// Which form of a store key lies in `dir`.
fn kept_key(dir: &Path) -> KeyKind {
    if dir.join(KEY_WRAPPED).exists() {
        KeyKind::Passphrase
    } else if dir.join(KEY_PLAIN).exists() {
        KeyKind::KeyFile
    } else {
        KeyKind::Absent
    }
}

/// The store key's file, so that the key can be wrapped anew without touching the database.
#[derive(Debug, Clone)]
pub(crate) struct KeyFile {
    dir: PathBuf,
}

impl KeyFile {
    /// The key file of the profile in `dir`.
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    /// Reads and, when wrapped, opens the store key.
    pub(crate) fn load(&self, unlock: &Unlock) -> Result<Secret<32>, OpenError> {
        match (kept_key(&self.dir), unlock) {
            (KeyKind::Absent, _) => Err(OpenError::Store(format!(
                "its key file is missing; put it back, or {DAMAGED}"
            ))),
            (KeyKind::Passphrase, Unlock::KeyFile) => Err(OpenError::PassphraseNeeded),
            // Nothing was ever wrapped by it.
            (KeyKind::Passphrase, Unlock::Passphrase(passphrase)) if passphrase.is_empty() => {
                Err(OpenError::WrongPassphrase)
            }
            (KeyKind::Passphrase, Unlock::Passphrase(passphrase)) => {
                let wrapped = fs::read(self.dir.join(KEY_WRAPPED)).map_err(disk)?;
                at_rest::unwrap(&wrapped, passphrase).map_err(|error| match error {
                    WrapError::WrongPassphrase => OpenError::WrongPassphrase,
                    other => OpenError::Store(other.to_string()),
                })
            }
            (KeyKind::KeyFile, _) => {
                let bytes = Zeroizing::new(fs::read(self.dir.join(KEY_PLAIN)).map_err(disk)?);
                Secret::parse(&bytes)
                    .ok_or_else(|| OpenError::Store(format!("its key file is damaged; {DAMAGED}")))
            }
        }
    }

    /// Writes the store key as `unlock` says and removes the other form. Synced before it replaces anything.
    pub(crate) fn save(
        &self,
        key: &Secret<32>,
        unlock: &Unlock,
        env: &dyn Env,
    ) -> Result<(), OpenError> {
        let (name, other, bytes) = match unlock {
            Unlock::KeyFile => (
                KEY_PLAIN,
                KEY_WRAPPED,
                Zeroizing::new(key.expose().to_vec()),
            ),
            Unlock::Passphrase(passphrase) if passphrase.is_empty() => {
                return Err(OpenError::EmptyPassphrase);
            }
            Unlock::Passphrase(passphrase) => {
                let wrapped = at_rest::wrap(key, passphrase, Cost::DESKTOP, env);
                let wrapped = wrapped.map_err(|error| OpenError::Store(error.to_string()))?;
                (KEY_WRAPPED, KEY_PLAIN, Zeroizing::new(wrapped))
            }
        };
        replace_file(&self.dir, name, &bytes).map_err(disk)?;
        match fs::remove_file(self.dir.join(other)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(disk(error)),
            _ => sync_folder(&self.dir).map_err(disk),
        }
    }
}

impl Store {
    /// Creates a profile's store in `dir`.
    pub(crate) fn create(dir: &Path, unlock: &Unlock, env: &dyn Env) -> Result<Self, OpenError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(disk)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(disk)?;
        let lock = lock(dir)?;
        if dir.join(DATABASE).exists() {
            return Err(OpenError::Exists);
        }
        if dir.join(DATABASE_LOG).exists() {
            return Err(OpenError::Store(format!(
                "its database is missing and its log is there: put store.db back beside it, or {DAMAGED}"
            )));
        }
        // A crash on the way leaves a key without a database. It is used again, never replaced: somebody may
        // also have moved its database away.
        let file = KeyFile::new(dir);
        let key = match kept_key(dir) {
            KeyKind::Absent => Secret::random(env),
            KeyKind::KeyFile | KeyKind::Passphrase => file.load(unlock)?,
        };
        file.save(&key, unlock, env)?;
        let new = dir.join(DATABASE_NEW);
        for ending in ["", "-wal", "-shm"] {
            let half_made = dir.join(format!("{DATABASE_NEW}{ending}"));
            match fs::remove_file(half_made) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(disk(error));
                }
                _ => {}
            }
        }
        let connection = connect(&new, &key)?;
        connection.close().map_err(|(_, error)| database(error))?;
        fs::rename(&new, dir.join(DATABASE)).map_err(disk)?;
        sync_folder(dir).map_err(disk)?;
        Ok(Self::new(connect(&dir.join(DATABASE), &key)?, lock))
    }

    /// Opens the profile's store in `dir`.
    pub(crate) fn open(dir: &Path, unlock: &Unlock) -> Result<Self, OpenError> {
        let path = dir.join(DATABASE);
        if !path.exists() {
            return Err(OpenError::Absent);
        }
        let lock = lock(dir)?;
        let key = KeyFile::new(dir).load(unlock)?;
        // SQLite takes an empty file for a new database.
        let bytes = fs::metadata(&path).map_err(disk)?.len();
        if bytes == 0 {
            return Err(OpenError::Store(format!(
                "its database is empty: it is damaged; {DAMAGED}"
            )));
        }
        let mut store = Self::new(connect(&path, &key)?, lock);
        if bytes <= CHECKED_BYTES_MAX {
            let whole = store.check();
            whole.map_err(|error| {
                OpenError::Store(format!("its database is damaged ({error}); {DAMAGED}"))
            })?;
        }
        Ok(store)
    }
}

/// Opens the database at `path`, made when it is not there, and brings it to this version.
fn connect(path: &Path, key: &Secret<32>) -> Result<Connection, OpenError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(disk)?;
    let mut connection = Connection::open(path).map_err(database)?;
    let pragma = Zeroizing::new(format!(
        "PRAGMA cipher_log_level = NONE; PRAGMA key = \"x'{}'\"",
        Zeroizing::new(hex::encode(key.expose())).as_str()
    ));
    connection.execute_batch(&pragma).map_err(database)?;
    // Without SQLCipher the pragma above is silently ignored and everything would be written in clear.
    let cipher = connection.query_row("PRAGMA cipher_version", [], |row| row.get::<_, String>(0));
    if cipher.map_or(true, |version| version.is_empty()) {
        return Err(OpenError::NoEncryption);
    }
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
             PRAGMA temp_store = MEMORY; PRAGMA secure_delete = ON; PRAGMA cache_size = -16384;",
        )
        .map_err(database)?;
    // one message's way in or out runs dozens of statements: none is parsed twice
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    migrate(&mut connection)?;
    super::touched::watch(&connection).map_err(database)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let version: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(database)?;
    let done = usize::try_from(version).map_err(|_| OpenError::Newer)?;
    if done > MIGRATIONS.len() {
        return Err(OpenError::Newer);
    }
    for (index, step) in MIGRATIONS.iter().enumerate().skip(done) {
        let tx = connection.transaction().map_err(database)?;
        tx.execute_batch(step).map_err(database)?;
        let version = i64::try_from(index + 1).unwrap_or(i64::MAX);
        tx.pragma_update(None, "user_version", version)
            .map_err(database)?;
        tx.commit().map_err(database)?;
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK);
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .map_err(disk)?;
    match file.try_lock() {
        Ok(()) => {
            // Who holds it, for whoever comes too late. A full disk keeps nobody from reading.
            let _ = file.set_len(0);
            let _ = writeln!(file, "{}", std::process::id());
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).ok();
            let pid = holder.and_then(|pid| pid.trim().parse().ok());
            Err(OpenError::InUse(pid))
        }
        Err(TryLockError::Error(error)) => Err(disk(error)),
    }
}

/// Writes `bytes` beside `dir/name` and renames it there, both synced, mode 0600.
fn replace_file(dir: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = dir.join(format!("{name}.new"));
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, dir.join(name))?;
    sync_folder(dir)
}

fn sync_folder(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

#[expect(clippy::needless_pass_by_value, reason = "used as map_err's function")]
fn disk(error: std::io::Error) -> OpenError {
    OpenError::Store(error.to_string())
}

fn database(error: rusqlite::Error) -> OpenError {
    OpenError::Store(StoreError::from(error).0)
}
