//! What a stolen server knows: after a conversation, every file of the server is searched.

#![cfg(test)]

mod support;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use support::{Person, Server};

const PHONE: &str = "+4915112345678";
const EMAIL: &str = "ben@example.org";
const NAME: &str = "Annabel Nosegraph";
const TEXTS: [&str; 3] = [
    "walnut cake at seven",
    "the plum jam is ready",
    "see you at the pier",
];

/// Tables that may know accounts and devices; `log`, `epoch`, `entry`, `blob` know logs; the rest neither.
const ACCOUNT_SIDE: [&str; 13] = [
    "account",
    "account_state",
    "device",
    "hold",
    "otp",
    "otp_send",
    "invite",
    "key_package",
    "inbox",
    // the classic protocols do link people to each other, and nobody to a log
    "classic_account",
    "classic_message",
    "classic_seen",
    "classic_receipt",
];
const LOG_SIDE: [&str; 5] = ["log", "epoch", "entry", "place", "blob"];
const NEITHER: [&str; 1] = ["meta"];

/// All values of a database: table and column to values.
type Values = BTreeMap<(String, String), Vec<Vec<u8>>>;

/// A conversation with a request, answers and receipts; what stands on the server's disk then.
fn after_a_conversation(folder: &Path) -> (Server, Person, Person, Vec<Vec<u8>>) {
    let mut server = Server::start(folder);
    let anna = Person::new(folder, PHONE);
    let address = server.address();
    let words = [
        "register",
        "--server",
        &address,
        "--phone",
        PHONE,
        "--name",
        NAME,
        "--no-passphrase",
    ];
    anna.ok(&words);
    anna.ok(&["register", "confirm", &server.code_for(PHONE)]);
    let ben = Person::registered(folder, &server, EMAIL);
    anna.ok(&["send", EMAIL, TEXTS[0]]);
    // Inbox items and key packages as they wait, before they are taken.
    let waiting = inbox_items(&database(&server));
    ben.ok(&["listen", "--once"]);
    ben.ok(&["request", "accept", PHONE]);
    ben.ok(&["send", PHONE, TEXTS[1]]);
    anna.ok(&["listen", "--once"]);
    anna.ok(&["send", EMAIL, TEXTS[2]]);
    for (person, other) in [(&ben, &anna), (&anna, &ben)] {
        person.ok(&["listen", "--once"]);
        person.ok(&["read", &other.identifier]);
    }
    anna.ok(&["listen", "--once"]);
    assert!(anna.history(&ben).iter().all(|row| row["read"] == true));
    server.stop();
    (server, anna, ben, waiting)
}

/// The one SQLite file of the server, opened read-only and without any key.
fn database(server: &Server) -> Connection {
    let is_sqlite =
        |file: &PathBuf| fs::read(file).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0"));
    let files: Vec<PathBuf> = files(server.folder())
        .into_iter()
        .filter(is_sqlite)
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    Connection::open_with_flags(&files[0], OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all
}

fn inbox_items(database: &Connection) -> Vec<Vec<u8>> {
    let mut rows = database.prepare("SELECT item FROM inbox").unwrap();
    rows.query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// Every value of every table, texts and blobs as bytes; numbers are left out.
fn values(database: &Connection) -> Values {
    let mut names = database
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .unwrap();
    let tables: Vec<String> = names
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let mut values = Values::new();
    for table in tables {
        let mut rows = database.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns: Vec<String> = rows.column_names().map(str::to_owned).collect();
        for column in &columns {
            values.entry((table.clone(), column.clone())).or_default();
        }
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for (index, column) in columns.iter().enumerate() {
                if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = row.get_ref(index).unwrap() {
                    values
                        .get_mut(&(table.clone(), column.clone()))
                        .unwrap()
                        .push(bytes.to_vec());
                }
            }
        }
    }
    values
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// The bytes that an id's text stands for.
fn id_bytes(row: &Value, field: &str) -> Vec<u8> {
    let text = row[field].as_str().unwrap();
    let digits = text.split_once('_').map_or(text, |(_, digits)| digits);
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

/// No file of the server holds a word of the conversation or a name, in any usual spelling of it.
#[test]
fn no_plaintext_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let (server, ..) = after_a_conversation(folder.path());
    for file in files(server.folder()) {
        let bytes = fs::read(&file).unwrap();
        for text in TEXTS.iter().chain([&NAME]) {
            let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            for needle in [text.as_bytes(), wide.as_slice()] {
                assert!(!contains(&bytes, needle), "{}: {text}", file.display());
            }
        }
    }
}

/// Identifiers stand in the account table and nowhere else.
#[test]
fn identifiers_stand_in_the_account_table_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (server, ..) = after_a_conversation(folder.path());
    let values = values(&database(&server));
    let mut found = HashSet::new();
    for ((table, column), cells) in &values {
        for identifier in [PHONE, EMAIL, &PHONE[1..]] {
            if cells
                .iter()
                .any(|cell| contains(cell, identifier.as_bytes()))
            {
                found.insert((table.as_str(), column.as_str()));
            }
        }
    }
    assert_eq!(found, HashSet::from([("account", "identifier")]));
}

/// No table of one side carries a value of the other, and no number joins them: what links a person or a
/// device to a log is not there. Inbox items look alike and say nothing of the log either.
#[test]
fn nothing_links_an_account_to_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let (server, anna, ben, waiting) = after_a_conversation(folder.path());
    let database = database(&server);
    let values = values(&database);
    every_table_has_its_side(&values);

    // A value of four bytes or more that stands on both sides would join them.
    let mut seen: HashMap<&[u8], &str> = HashMap::new();
    for ((table, _), cells) in values
        .iter()
        .filter(|((table, _), _)| ACCOUNT_SIDE.contains(&table.as_str()))
    {
        seen.extend(
            cells
                .iter()
                .filter(|cell| cell.len() >= 4)
                .map(|cell| (cell.as_slice(), table.as_str())),
        );
    }
    let log_side: Vec<_> = values
        .iter()
        .filter(|((table, _), _)| LOG_SIDE.contains(&table.as_str()))
        .collect();
    for ((table, column), cells) in &log_side {
        for cell in *cells {
            assert_eq!(
                seen.get(cell.as_slice()),
                None,
                "{table}.{column} holds a value of the account side"
            );
        }
    }

    // Nor does a log's row carry an id or key of a device inside of something larger, or the other way round.
    let mut secrets: Vec<Vec<u8>> = Vec::new();
    for person in [&anna, &ben] {
        let me = &person.ok(&["whoami"])[0];
        secrets.extend(["account", "device", "fingerprint"].map(|field| id_bytes(me, field)));
    }
    for column in [
        ("device", "leaf_key"),
        ("device", "last_resort"),
        ("key_package", "hash"),
        ("key_package", "package"),
    ] {
        secrets.extend(
            values[&(column.0.to_owned(), column.1.to_owned())]
                .iter()
                .cloned(),
        );
    }
    for ((table, column), cells) in &log_side {
        for secret in &secrets {
            assert!(
                !cells.iter().any(|cell| contains(cell, secret)),
                "{table}.{column} names a device"
            );
        }
    }
    let logs = &values[&("log".to_owned(), "log_id".to_owned())];
    let blobs = &values[&("blob".to_owned(), "blob_id".to_owned())];
    assert!(
        !logs.is_empty() && !blobs.is_empty() && !waiting.is_empty(),
        "there is something to link"
    );
    let inbox = &values[&("inbox".to_owned(), "item".to_owned())];
    for item in waiting.iter().chain(inbox) {
        assert_eq!(item.len(), 16 * 1024, "every inbox item has one size");
        assert!(
            !logs.iter().chain(blobs).any(|id| contains(item, id)),
            "an inbox item names a log"
        );
    }
    no_key_crosses(&database);
}

/// A table that this test does not know may not go unexamined.
fn every_table_has_its_side(values: &Values) {
    for (table, _) in values.keys() {
        let name = table.as_str();
        let is_known =
            ACCOUNT_SIDE.contains(&name) || LOG_SIDE.contains(&name) || NEITHER.contains(&name);
        assert!(is_known, "{table}: say here which side it belongs to");
    }
}

/// No foreign key leads from one side to the other.
fn no_key_crosses(database: &Connection) {
    for (own, other) in [
        (ACCOUNT_SIDE.as_slice(), LOG_SIDE.as_slice()),
        (&LOG_SIDE, &ACCOUNT_SIDE),
    ] {
        for table in own {
            let mut keys = database
                .prepare(&format!(
                    "SELECT \"table\" FROM pragma_foreign_key_list('{table}')"
                ))
                .unwrap();
            for target in keys.query_map([], |row| row.get::<_, String>(0)).unwrap() {
                assert!(
                    !other.contains(&target.unwrap().as_str()),
                    "{table} refers to the other side"
                );
            }
        }
    }
}

/// Times beside logs, blobs and inbox items are whole days: no order of arrival by the clock.
#[test]
fn times_beside_logs_are_days() {
    let folder = tempfile::tempdir().unwrap();
    let (server, ..) = after_a_conversation(folder.path());
    let database = database(&server);
    for (table, column) in [("entry", "day"), ("blob", "day"), ("key_package", "day")] {
        let sql = format!("SELECT min({column}), max({column}) FROM {table}");
        let (low, high): (i64, i64) = database
            .query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert!(
            (10_000..100_000).contains(&low) && (10_000..100_000).contains(&high),
            "{table}.{column} counts days"
        );
    }
}
