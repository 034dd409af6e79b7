//! Real PostgreSQL for tests: one cluster for all test processes of a checkout, one database for each
//! test.
//!
//! The first test starts the cluster and a small supervisor; each test holds a shared lock while it
//! lives, however it dies, and the supervisor stops the cluster when nobody holds one.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise; clippy knows only the functions marked as tests"
)]

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use conclave_proto::env::{Env as _, OsEnv};
use conclave_server::store::{Address, PostgresStore, StoreOptions};

pub(crate) mod machine;

use machine::{as_user, make, programs, start, url};

/// What a cluster is that many tests share.
pub(crate) const SMALL: &str = "max_connections = 300\nshared_buffers = 64MB\nautovacuum = off\n\
                                logging_collector = off\n";

/// The cluster that all tests of this checkout share.
fn shared_folder() -> (PathBuf, File) {
    let checkout = fs::metadata(env!("CARGO_MANIFEST_DIR")).unwrap();
    let user = fs::metadata("/proc/self").unwrap().uid();
    let name = format!(
        "conclave-postgres-{user}-{:x}-{:x}",
        checkout.dev(),
        checkout.ino()
    );
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).unwrap();
    let lock_file = |name: &str| {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        options.open(folder.join(name)).unwrap()
    };
    let starting = lock_file("start");
    starting.lock().unwrap();
    let user_lock = lock_file("users");
    user_lock.lock_shared().unwrap();
    if UnixStream::connect(folder.join(".s.PGSQL.5432")).is_err() {
        // a machine that stopped may have left one
        let _ = fs::remove_dir_all(folder.join("data"));
        // what these tests find out does not depend on the disk: the machine does not stop
        let careless = "fsync = off\nfull_page_writes = off\nsynchronous_commit = off\n";
        make(&folder, &format!("{SMALL}{careless}")).unwrap();
        start(&folder).unwrap();
        supervise(&folder);
    }
    (folder, user_lock)
}

/// Starts what stops the cluster when its last user is gone.
fn supervise(folder: &Path) {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/postgres_support/supervise.sh"
    );
    let mut supervisor = Command::new("sh");
    supervisor
        .args(["-c", "sh \"$0\" \"$@\" &", script])
        .arg(folder)
        .arg(programs().unwrap())
        .args(as_user());
    supervisor
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // `&` of the shell: it outlives this process by design, and is nobody's child
    let started = supervisor.process_group(0).status();
    assert!(started.unwrap().success());
}

/// An empty database, gone when dropped.
#[derive(Debug)]
pub(crate) struct Database {
    folder: PathBuf,
    name: String,
    _user: File,
}

impl Database {
    /// Makes one.
    pub(crate) async fn new() -> Self {
        let (folder, user) = shared_folder();
        let mut random = [0; 8];
        OsEnv.fill(&mut random);
        let name = format!("t{:x}", u64::from_be_bytes(random));
        execute(
            &url(&folder, "postgres"),
            &format!("CREATE DATABASE {name}"),
        )
        .await;
        Self {
            folder,
            name,
            _user: user,
        }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        url(&self.folder, &self.name)
    }

    /// Opens the store in it.
    pub(crate) async fn store(&self, options: StoreOptions) -> PostgresStore {
        let address = Address::parse(&self.url(), |_| None).unwrap();
        PostgresStore::open(address, None, options).await.unwrap()
    }

    /// Runs statements in it.
    pub(crate) async fn execute(&self, sql: &str) {
        execute(&self.url(), sql).await;
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let url = url(&self.folder, "postgres");
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(execute(&url, &sql));
        });
        // the cluster goes with its last user anyway
        let _ = dropping.join();
    }
}

/// Runs statements.
pub(crate) async fn execute(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .unwrap();
    let serving = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
    drop(client);
    serving.await.unwrap().unwrap();
}
