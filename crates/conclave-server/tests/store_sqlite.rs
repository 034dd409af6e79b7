//! What SQLite alone must show: files, lock, schema, incarnation, and no column that links a person to a log.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise; clippy knows only the functions marked as tests"
)]

mod store_support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use conclave_proto::id::{Epoch, Incarnation, Seq};
use conclave_server::store::{NewItem, OpenError, PostOutcome, SqliteStore, Store, StoreOptions};
use store_support::{
    DAY_MS, NOW, append, create, device_id, hash, log_id, register, registration, sweep,
};

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir, StoreOptions::default()).unwrap()
}

fn copy_database(from: &Path, to: &Path) {
    fs::copy(from.join("store.db"), to.join("store.db")).unwrap();
}

/// What was acknowledged is there after the store was opened again.
#[tokio::test]
async fn acknowledged_writes_survive() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = open(dir.path());
        create(&store, 1).await;
        append(&store, 1, 1, b"kept", NOW).await;
    }
    let store = open(dir.path());
    let page = store.read(log_id(1), Epoch(1), Seq(0), 9, 999);
    assert_eq!(page.await.unwrap().unwrap().entries[0].payload, b"kept");
}

/// A second opening of the folder is refused while the first lives, and works afterwards.
#[tokio::test]
async fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let second = SqliteStore::open(dir.path(), StoreOptions::default());
    assert!(matches!(second, Err(OpenError::Locked)));
    drop(first);
    open(dir.path());
}

/// Every file of the store is readable by its owner alone.
#[tokio::test]
async fn files_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    create(&store, 1).await;
    let mut names = Vec::new();
    for file in fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.file_name());
        names.push(file.file_name().into_string().unwrap());
    }
    names.sort();
    let expected = [
        "incarnation",
        "lock",
        "store.db",
        "store.db-shm",
        "store.db-wal",
    ];
    assert_eq!(names, expected);
}

/// A database of a newer program is refused and left as it is.
#[tokio::test]
async fn a_newer_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let database = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    let refused = SqliteStore::open(dir.path(), StoreOptions::default());
    assert!(matches!(
        refused,
        Err(OpenError::NewerSchema {
            found: 99,
            known: 4
        })
    ));
    let database = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    let version: u32 = database
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, 99);
}

/// Ordinary restarts keep the incarnation; an older copy of the database begins a new one, and the
/// one after that goes on with it.
#[tokio::test]
async fn an_older_backup_begins_a_new_incarnation() {
    let dir = tempfile::tempdir().unwrap();
    let backup = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        assert_eq!(open(dir.path()).incarnation(), Incarnation(1));
    }
    copy_database(dir.path(), backup.path());
    assert_eq!(open(dir.path()).incarnation(), Incarnation(1));
    copy_database(backup.path(), dir.path());
    for _ in 0..2 {
        assert_eq!(open(dir.path()).incarnation(), Incarnation(2));
    }
    copy_database(backup.path(), dir.path());
    assert_eq!(open(dir.path()).incarnation(), Incarnation(3));
}

/// A copy taken while the server ran is noticed too, once a day has passed over the original.
#[tokio::test]
async fn a_backup_of_a_running_server_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let backup = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    sweep(&store, NOW).await;
    let database = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    let copy = backup.path().join("store.db");
    database
        .execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
        .unwrap();
    drop(database);
    sweep(&store, NOW + DAY_MS).await;
    // the machine is lost here: nothing of the close reaches the file
    let file = fs::read(dir.path().join("incarnation")).unwrap();
    drop(store);
    copy_database(backup.path(), dir.path());
    fs::write(dir.path().join("incarnation"), file).unwrap();
    assert_eq!(open(dir.path()).incarnation(), Incarnation(2));
}

/// Without its file the database counts as restored: what the operator deletes after restoring a folder.
#[tokio::test]
async fn a_missing_mark_begins_a_new_incarnation() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    fs::remove_file(dir.path().join("incarnation")).unwrap();
    assert_eq!(open(dir.path()).incarnation(), Incarnation(2));
    fs::write(dir.path().join("incarnation"), "what is this").unwrap();
    assert_eq!(open(dir.path()).incarnation(), Incarnation(3));
}

/// Columns of a table, with what they reference.
fn columns(database: &rusqlite::Connection, table: &str) -> Vec<String> {
    let sql = format!(
        "SELECT name FROM pragma_table_info('{table}')
         UNION ALL SELECT \"table\" FROM pragma_foreign_key_list('{table}')"
    );
    let mut statement = database.prepare(&sql).unwrap();
    let names = statement.query_map([], |row| row.get(0)).unwrap();
    names.map(Result::unwrap).collect()
}

/// No table of logs knows of accounts, devices or times of day, and no table of accounts knows of logs.
#[tokio::test]
async fn no_column_links_a_person_to_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    register(&store, registration(1, 1, NOW)).await;
    create(&store, 1).await;
    let database = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    let mut statement = database
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .unwrap();
    let tables = statement
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap();
    let tables: Vec<String> = tables.map(Result::unwrap).collect();
    let of_logs = ["log", "epoch", "entry", "place", "blob"];
    assert!(
        of_logs
            .iter()
            .all(|name| tables.iter().any(|table| table == name))
    );
    for table in tables {
        let columns = columns(&database, &table);
        if of_logs.contains(&table.as_str()) {
            let about_people = ["account", "device", "identi", "_ms", "hold", "invite"];
            let found = |name: &str| columns.iter().any(|column| column.contains(name));
            assert!(
                !about_people.iter().any(|name| found(name)),
                "{table}: {columns:?}"
            );
        } else {
            let about_logs = |column: &String| {
                of_logs.contains(&column.as_str()) || column == "log_id" || column == "blob_id"
            };
            assert!(!columns.iter().any(about_logs), "{table}: {columns:?}");
        }
    }
}

/// An expired payload is not in the files any more, not even in a free page.
#[tokio::test]
async fn c026_expired_bytes_are_gone_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let secret = b"these bytes must not be found again".repeat(100);
    {
        let store = open(dir.path());
        create(&store, 1).await;
        append(&store, 1, 1, &secret, NOW).await;
        sweep(&store, NOW + 31 * DAY_MS).await;
    }
    // the close has emptied the write-ahead log into the database
    let database = fs::read(dir.path().join("store.db")).unwrap();
    let needle = &secret[..35];
    assert!(!database.windows(needle.len()).any(|bytes| bytes == needle));
    let wal = fs::metadata(dir.path().join("store.db-wal"));
    assert!(wal.map_or(0, |wal| wal.len()) == 0);
}

/// Bytes in the write-ahead log; a missing one has none.
fn wal_bytes(dir: &Path) -> u64 {
    fs::metadata(dir.join("store.db-wal")).map_or(0, |wal| wal.len())
}

/// A clean close leaves no write-ahead log behind, also when readers have used it.
#[tokio::test]
async fn a_clean_close_leaves_no_write_ahead_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    create(&store, 1).await;
    append(&store, 1, 1, b"written", NOW).await;
    let page = store.read(log_id(1), Epoch(1), Seq(0), 9, 999);
    assert_eq!(page.await.unwrap().unwrap().entries.len(), 1);
    assert!(wal_bytes(dir.path()) > 0);
    drop(store);
    assert_eq!(wal_bytes(dir.path()), 0);
}

/// After the next sweep an acknowledged inbox item is in no file of the folder of a running store.
#[tokio::test]
async fn acknowledged_items_leave_every_file_with_the_sweep() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    register(&store, registration(1, 1, NOW)).await;
    let needle = b"nobody may find this item again";
    let item = NewItem {
        device_id: device_id(1),
        capability_hash: Some(hash(1)),
        item: needle.repeat(200),
        now_ms: NOW,
    };
    let posted = store.post_item(item).await.unwrap();
    assert_eq!(posted, PostOutcome::Posted);
    let items = store.read_inbox(device_id(1), 0, 9).await.unwrap().items;
    let numbers = items.iter().map(|item| item.number).collect();
    let is_on_disk = || {
        let mut files = fs::read_dir(dir.path()).unwrap().map(Result::unwrap);
        files.any(|file| {
            let bytes = fs::read(file.path()).unwrap();
            bytes.windows(needle.len()).any(|bytes| bytes == needle)
        })
    };
    store.ack_inbox(device_id(1), numbers).await.unwrap();
    assert!(is_on_disk(), "the test looks in the wrong place");
    sweep(&store, NOW).await;
    assert!(!is_on_disk());
    assert_eq!(wal_bytes(dir.path()), 0);
}

/// A reader in the way puts the emptying off and harms nothing; the next sweep makes up for it.
#[tokio::test]
async fn a_reader_puts_the_emptying_off() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    create(&store, 1).await;
    let mut reader = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    let snapshot = reader.transaction().unwrap();
    let logs = |tx: &rusqlite::Connection| {
        tx.query_row("SELECT count(*) FROM log", [], |row| row.get::<_, u32>(0))
    };
    assert_eq!(logs(&snapshot).unwrap(), 1);
    create(&store, 2).await;
    sweep(&store, NOW).await;
    assert!(wal_bytes(dir.path()) > 0);
    create(&store, 3).await;
    assert_eq!(logs(&snapshot).unwrap(), 1);
    drop(snapshot);
    sweep(&store, NOW).await;
    assert_eq!(wal_bytes(dir.path()), 0);
    assert_eq!(logs(&reader).unwrap(), 3);
}
