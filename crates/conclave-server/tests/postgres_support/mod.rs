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
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use conclave_proto::env::{Env as _, OsEnv};
use conclave_server::store::{Address, PostgresStore, StoreOptions};

const MISSING: &str =
    "PostgreSQL 15 or newer is needed: install it with `apt-get install postgresql`";

/// The folder of the database's programs.
pub(crate) fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql");
    let found = versions.into_iter().flatten().flatten();
    let newest = found
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|version| *version >= 15)
        .max();
    if let Some(version) = newest {
        return format!("/usr/lib/postgresql/{version}/bin").into();
    }
    let told = Command::new("pg_config").arg("--bindir").output();
    let told = told.unwrap_or_else(|_| panic!("{MISSING}"));
    String::from_utf8(told.stdout).unwrap().trim().into()
}

/// The database refuses to run as root: then it runs as the user that its package made.
fn as_user() -> Vec<&'static str> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return vec!["env"];
    }
    vec![
        "setpriv",
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
    ]
}

/// Runs one of the programs as the database's user and wants it to end well.
fn run(folder: &Path, program: &str, arguments: &[&str]) {
    try_run(folder, program, arguments).unwrap_or_else(|said| panic!("{program}: {said}"));
}

/// The same, or what it said.
fn try_run(folder: &Path, program: &str, arguments: &[&str]) -> Result<(), String> {
    let user = as_user();
    let (first, rest) = user.split_first().unwrap();
    let done = Command::new(first)
        .args(rest)
        .arg(programs().join(program))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(folder.join("stderr")).unwrap())
        .status();
    let done = done.unwrap_or_else(|_| panic!("{MISSING}"));
    let said = fs::read_to_string(folder.join("stderr")).unwrap_or_default();
    if done.success() { Ok(()) } else { Err(said) }
}

/// Makes an empty cluster in `folder/data`, whose socket will be in `folder`.
pub(crate) fn make(folder: &Path, settings: &str) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    if as_user().len() > 1 {
        let owned = Command::new("chown").arg("postgres:").arg(folder).status();
        assert!(owned.unwrap().success(), "{MISSING}");
    }
    let options = [
        "-D",
        "data",
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--no-sync",
    ];
    run(folder, "initdb", &[&options[..], &["--locale=C"]].concat());
    let file = folder.join("data/postgresql.conf");
    let socket = folder.display();
    let common = format!(
        "listen_addresses = ''\nunix_socket_directories = '{socket}'\nmax_connections = 300\n\
         shared_buffers = 64MB\nautovacuum = off\nlogging_collector = off\n"
    );
    let text = fs::read_to_string(&file).unwrap() + &common + settings;
    fs::write(&file, text).unwrap();
}

const START: [&str; 8] = ["-D", "data", "-l", "log", "-w", "-t", "60", "start"];

/// Starts the cluster in `folder/data` and waits until it answers.
pub(crate) fn start(folder: &Path) {
    run(folder, "pg_ctl", &START);
}

/// Starts it after its first process was killed: the others hold the data until they have noticed.
pub(crate) fn start_again(folder: &Path) {
    let begun = Instant::now();
    while let Err(said) = try_run(folder, "pg_ctl", &START) {
        assert!(begun.elapsed() < Duration::from_mins(1), "{said}");
    }
}

/// The address of a database in the cluster of `folder`.
pub(crate) fn url(folder: &Path, database: &str) -> String {
    format!(
        "postgres:///{database}?host={}&user=postgres",
        folder.display()
    )
}

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
        make(
            &folder,
            "fsync = off\nfull_page_writes = off\nsynchronous_commit = off\n",
        );
        start(&folder);
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
        .arg(programs())
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
