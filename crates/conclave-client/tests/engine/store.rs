//! The profile on disk: who may open it, what is told when it cannot be opened, and that it shows nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use conclave_client::{Client, KeyKind, OpenError, Unlock};
use conclave_proto::env::OsEnv;
use rusqlite::Connection;

use crate::support::{LONG, World};

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
    assert!(matches!(second, Err(OpenError::InUse)));
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
