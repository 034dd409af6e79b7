//! The profile on disk: who may open it, what is told when it cannot be opened, and that it shows nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use conclave_client::view::{ChatKind, Search};
use conclave_client::{Client, KeyKind, OpenError, Unlock};
use conclave_proto::env::OsEnv;
use rusqlite::Connection;

use crate::support::{LONG, Person, World};

fn passphrase(words: &str) -> Unlock {
    Unlock::Passphrase(words.to_owned().into())
}

fn open(folder: &Path, unlock: Unlock) -> Result<Client, OpenError> {
    Client::open(folder, unlock, OsEnv::shared())
}

fn create(folder: &Path, unlock: Unlock) -> Client {
    Client::create(folder, unlock, OsEnv::shared()).unwrap()
}

/// The right passphrase opens; a wrong one, none and an empty one do not, and say so.
#[test]
fn passphrases() {
    let folder = tempfile::tempdir().unwrap();
    drop(create(folder.path(), passphrase("right")));
    assert_eq!(Client::key_kind(folder.path()), KeyKind::Passphrase);
    let wrong = open(folder.path(), passphrase("wrong"));
    assert!(matches!(wrong, Err(OpenError::WrongPassphrase)));
    let empty = open(folder.path(), passphrase(""));
    assert!(matches!(empty, Err(OpenError::WrongPassphrase)));
    let none = open(folder.path(), Unlock::KeyFile);
    assert!(matches!(none, Err(OpenError::PassphraseNeeded)));
    let client = open(folder.path(), passphrase("right")).unwrap();
    let empty = client.change_passphrase(passphrase(""));
    assert!(matches!(empty, Err(OpenError::EmptyPassphrase)));
    client.change_passphrase(passphrase("new")).unwrap();
    drop(client);
    let old = open(folder.path(), passphrase("right"));
    assert!(matches!(old, Err(OpenError::WrongPassphrase)));
    let client = open(folder.path(), passphrase("new")).unwrap();
    client.change_passphrase(Unlock::KeyFile).unwrap();
    drop(client);
    assert_eq!(Client::key_kind(folder.path()), KeyKind::KeyFile);
    open(folder.path(), Unlock::KeyFile).unwrap();
}

/// One process at a time; nobody creates a profile over another, or opens one that is not there.
#[test]
fn one_profile_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let absent = open(folder.path(), Unlock::KeyFile);
    assert!(matches!(absent, Err(OpenError::Absent)));
    let first = create(folder.path(), Unlock::KeyFile);
    let second = open(folder.path(), Unlock::KeyFile);
    assert!(matches!(second, Err(OpenError::InUse(Some(pid))) if pid == std::process::id()));
    drop(first);
    let again = Client::create(folder.path(), Unlock::KeyFile, OsEnv::shared());
    assert!(matches!(again, Err(OpenError::Exists)));
    open(folder.path(), Unlock::KeyFile).unwrap();
}

/// The profile's database, opened beside the program.
pub(crate) fn database(folder: &Path) -> Connection {
    let key = hex::encode(std::fs::read(folder.join("store.key")).unwrap());
    let database = Connection::open(folder.join("store.db")).unwrap();
    let pragma = format!("PRAGMA key = \"x'{key}'\"");
    database.execute_batch(&pragma).unwrap();
    database
}

/// A store written by a newer program is left alone.
#[test]
fn newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(create(folder.path(), Unlock::KeyFile));
    let raw = database(folder.path());
    raw.pragma_update(None, "user_version", 1_000).unwrap();
    drop(raw);
    let newer = open(folder.path(), Unlock::KeyFile);
    assert!(matches!(newer, Err(OpenError::Newer)));
}

/// A damaged database, key file and wrapped key are told as what they are; nothing panics.
#[test]
fn damaged_files_are_told() {
    let files = [
        ("store.db", false),
        ("store.key", false),
        ("store.key.wrapped", true),
    ];
    for (file, is_wrapped) in files {
        let folder = tempfile::tempdir().unwrap();
        let unlock = || {
            if is_wrapped {
                passphrase("right")
            } else {
                Unlock::KeyFile
            }
        };
        drop(create(folder.path(), unlock()));
        let path = folder.path().join(file);
        let whole = std::fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        for byte in damaged.iter_mut().take(200) {
            *byte ^= 0x55;
        }
        for bytes in [damaged, whole[..whole.len() / 2].to_vec(), Vec::new()] {
            std::fs::write(&path, &bytes).unwrap();
            let error = open(folder.path(), unlock()).unwrap_err();
            let is_told = matches!(error, OpenError::Store(_) | OpenError::WrongPassphrase);
            assert!(is_told, "{file}, {} bytes: {error}", bytes.len());
            assert_eq!(
                std::fs::read(&path).unwrap(),
                bytes,
                "the file is untouched"
            );
        }
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Folder 0700, every file 0600, and none of what was said or who said it is in any of them.
#[tokio::test(flavor = "multi_thread")]
async fn files_are_private_and_show_nothing() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    anna.say(&ben, "a word that nobody else may find").await;
    anna.settle(LONG).await.unwrap();
    let check = |folder: &Path| {
        assert_eq!(mode(folder), 0o700);
        let mut is_database_seen = false;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            let bytes = std::fs::read(&path).unwrap();
            is_database_seen |= path.ends_with("store.db") && bytes.len() > 4096;
            for word in [
                "nobody else",
                "ben@example",
                "anna@example",
                "SQLite format",
                "CREATE",
            ] {
                let found = bytes
                    .windows(word.len())
                    .any(|part| part == word.as_bytes());
                assert!(!found, "{word} in {}", path.display());
            }
        }
        assert!(is_database_seen);
    };
    check(anna.folder.path());
    anna.die().await;
    check(anna.folder.path());
}

/// The store survives: what was said is there after opening again, under another passphrase too.
#[tokio::test(flavor = "multi_thread")]
async fn content_survives_a_change_of_passphrase() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    anna.change_passphrase(passphrase("new")).unwrap();
    let (chat, texts) = (anna.chat_with(&ben), anna.texts(&ben));
    anna.die().await;
    let client = open(anna.folder.path(), passphrase("new")).unwrap();
    let history = client.history(chat, 10).unwrap();
    let again: Vec<_> = history.into_iter().map(|message| message.text).collect();
    assert_eq!(again, texts);
}

/// Copies what lies in a folder now, as a kill would leave it.
fn snapshot(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

/// A byte flipped at any place of a used database, or its end cut off: told, and left as it is; where it hits
/// nothing that is in use, everything is still there.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_database_is_told_wherever_it_is() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    for number in 0..20 {
        anna.say(&ben, &format!("message {number}")).await;
    }
    world.settle(&[&anna, &ben]).await;
    let (chat, texts) = (anna.chat_with(&ben), anna.texts(&ben));
    anna.die().await;
    let whole = std::fs::read(anna.folder.path().join("store.db")).unwrap();
    let flipped = (0..60).map(|part| {
        let mut bytes = whole.clone();
        let place = part * whole.len() / 60 + part * 37 % 4096;
        bytes[place.min(whole.len() - 1)] ^= 0x10;
        bytes
    });
    let cut = (1..5).map(|part| whole[..part * whole.len() / 5].to_vec());
    let mut told = 0;
    for bytes in flipped.chain(cut) {
        let folder = snapshot(anna.folder.path());
        let path = folder.path().join("store.db");
        std::fs::write(&path, &bytes).unwrap();
        match open(folder.path(), Unlock::KeyFile) {
            Err(OpenError::Store(text)) => {
                told += 1;
                assert!(
                    text.contains("damaged") && text.contains("register anew"),
                    "{text}"
                );
                assert_eq!(std::fs::read(&path).unwrap(), bytes, "left as it is");
            }
            Err(error) => panic!("{error}"),
            Ok(client) => {
                let history = client.history(chat, 100).unwrap();
                let there: Vec<_> = history.into_iter().map(|message| message.text).collect();
                assert_eq!(there, texts);
            }
        }
    }
    assert!(told > 50, "only {told} were told");
}

/// A database that is missing beside its log is not begun anew over it; its key is never replaced.
#[tokio::test(flavor = "multi_thread")]
async fn missing_database_is_not_begun_anew_over_its_log() {
    let world = World::new().await;
    let (anna, ben) = world.friends().await;
    anna.say(&ben, "in the log").await;
    let left = snapshot(anna.folder.path());
    let database = std::fs::read(left.path().join("store.db")).unwrap();
    let log = std::fs::read(left.path().join("store.db-wal")).unwrap();
    std::fs::remove_file(left.path().join("store.db")).unwrap();
    let absent = open(left.path(), Unlock::KeyFile);
    assert!(matches!(absent, Err(OpenError::Absent)), "{absent:?}");
    let anew = Client::create(left.path(), Unlock::KeyFile, OsEnv::shared());
    assert!(matches!(&anew, Err(OpenError::Store(text)) if text.contains("put store.db back")));
    assert_eq!(
        std::fs::read(left.path().join("store.db-wal")).unwrap(),
        log
    );
    // Back in its place, with its log, everything is there.
    std::fs::write(left.path().join("store.db"), database).unwrap();
    let client = open(left.path(), Unlock::KeyFile).unwrap();
    let history = client.history(anna.chat_with(&ben), 10).unwrap();
    assert_eq!(history.last().unwrap().text, "in the log");
}

/// A log that is gone, damaged or of another time leaves an older profile at worst: it says that its own
/// messages stand in the conversation, renews its keys first, and talks on.
#[tokio::test(flavor = "multi_thread")]
async fn lost_write_ahead_log_is_noticed_and_lived_through() {
    type Damage = fn(&Path, &[u8]);
    let damages: [(&str, Damage); 3] = [
        ("gone", |log, _| std::fs::remove_file(log).unwrap()),
        ("damaged", |log, _| {
            let mut bytes = std::fs::read(log).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
            std::fs::write(log, bytes).unwrap();
        }),
        ("older", |log, older| std::fs::write(log, older).unwrap()),
    ];
    for (what, damage) in damages {
        let world = World::new().await;
        let (mut anna, ben) = world.friends().await;
        anna.die().await;
        anna.wake_up();
        let older = snapshot(anna.folder.path());
        let log = older.path().join("store.db-wal");
        let older = if log.exists() {
            std::fs::read(&log).unwrap()
        } else {
            Vec::new()
        };
        for number in 0..5 {
            anna.say(&ben, &format!("lost {number}")).await;
        }
        let left = snapshot(anna.folder.path());
        // These went out before the log was lost.
        anna.go_online_over(world.transport());
        anna.settle(LONG).await.unwrap();
        anna.die().await;
        damage(&left.path().join("store.db-wal"), &older);
        let _ = std::fs::remove_file(left.path().join("store.db-shm"));
        anna.folder = left;
        anna.restart(world.transport()).await;
        anna.say(&ben, "back").await;
        world.settle(&[&anna, &ben]).await;
        ben.say(&anna, "welcome back").await;
        world.settle(&[&ben, &anna]).await;
        let heard = ben.texts(&anna);
        for text in ["lost 0", "lost 4", "back"] {
            let count = heard.iter().filter(|said| *said == text).count();
            assert_eq!(count, 1, "{what}: {text} in {heard:?}");
        }
        assert_eq!(anna.texts(&ben).last().unwrap(), "welcome back", "{what}");
    }
}

/// A profile that version 1 wrote opens, keeps its chats and messages, and talks on.
#[tokio::test(flavor = "multi_thread")]
async fn profile_of_version_1_talks_on() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    anna.die().await;
    downgrade(&database(anna.folder.path()), 1);
    anna.restart(world.transport()).await;
    assert_eq!(
        anna.chat(anna.chat_with(&ben)).unwrap().kind,
        ChatKind::Direct
    );
    anna.say(&ben, "still here").await;
    world.settle(&[&anna, &ben]).await;
    assert_eq!(ben.texts(&anna), ["hello", "still here"]);
    assert_eq!(anna.texts(&ben), ben.texts(&anna));
}

/// A profile that version 2 wrote, with a group and what was read and unread in it, opens: what it holds is where it was,
/// its old words are found, what was read stays read, and everybody talks on.
#[tokio::test(flavor = "multi_thread")]
async fn profile_of_version_2_keeps_what_it_has_and_finds_it() {
    let world = World::new().await;
    let (mut anna, ben) = world.friends().await;
    ben.create_group("choir", std::slice::from_ref(&anna.address))
        .await
        .unwrap();
    ben.say(&anna, "a walrus").await;
    world.settle(&[&ben, &anna]).await;
    anna.mark_read(anna.chat_with(&ben)).unwrap();
    ben.send("choir", "a narwhal").await.unwrap();
    world.settle(&[&ben, &anna]).await;
    let before = (anna.texts(&ben), anna.status().unwrap().unread);
    assert_eq!(before.1, 1, "the narwhal");
    anna.die().await;
    downgrade(&database(anna.folder.path()), 2);
    anna.restart(world.transport()).await;
    assert_eq!((anna.texts(&ben), anna.status().unwrap().unread), before);
    for (word, chat) in [
        ("walr", anna.chat_with(&ben)),
        ("narwhal", anna.find_chat("choir").unwrap()),
    ] {
        let search = Search {
            words: word.to_owned(),
            limit: 10,
            ..Search::default()
        };
        let hits = anna.search(&search).unwrap();
        let hits: Vec<_> = hits.iter().map(|hit| hit.message.chat).collect();
        assert_eq!(hits, [chat], "{word}");
    }
    anna.say(&ben, "still here").await;
    anna.send("choir", "and here").await.unwrap();
    world.settle(&[&anna, &ben]).await;
    assert_eq!(anna.texts(&ben), ben.texts(&anna));
    let choir = |person: &Person| {
        let chat = person.find_chat("choir").unwrap();
        let history = person.history(chat, 10).unwrap().into_iter();
        history.map(|message| message.text).collect::<Vec<_>>()
    };
    assert_eq!(choir(&anna), ["a narwhal", "and here"]);
    assert_eq!(choir(&ben), choir(&anna));
}

/// Moves all rows into the tables of an earlier version.
fn downgrade(database: &Connection, version: u8) {
    let schemas = [
        include_str!("../../src/store/schema_1.sql"),
        include_str!("../../src/store/schema_2.sql"),
    ];
    let schema = &schemas[..usize::from(version)].concat();
    database.pragma_update(None, "foreign_keys", false).unwrap();
    let old = Connection::open_in_memory().unwrap();
    old.execute_batch(schema).unwrap();
    let tables = names(&old, "SELECT name FROM sqlite_schema WHERE type = 'table'");
    let columns = |table: &str| {
        let columns = format!("SELECT name FROM pragma_table_info('{table}')");
        names(&old, &columns).join(", ")
    };
    for table in &tables {
        let columns = columns(table);
        let keep = format!("CREATE TABLE kept_{table} AS SELECT {columns} FROM {table}");
        database.execute_batch(&keep).unwrap();
    }
    let all = "SELECT name FROM sqlite_schema WHERE type = 'table'
               AND name NOT LIKE 'kept_%' AND name NOT LIKE 'sqlite_%'";
    for table in names(database, all) {
        database
            .execute_batch(&format!("DROP TABLE IF EXISTS {table}"))
            .unwrap();
    }
    database.execute_batch(schema).unwrap();
    for table in &tables {
        let columns = columns(table);
        let back = format!(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM kept_{table}; DROP TABLE kept_{table}"
        );
        database.execute_batch(&back).unwrap();
    }
    database
        .pragma_update(None, "user_version", version)
        .unwrap();
}

fn names(database: &Connection, query: &str) -> Vec<String> {
    let mut statement = database.prepare(query).unwrap();
    let names = statement.query_map([], |row| row.get(0)).unwrap();
    names.collect::<Result<_, _>>().unwrap()
}
