//! The committed vectors are what this code makes; `CONCLAVE_VECTORS=write` writes them anew.
//!
//! ML-DSA-65 signs with fresh randomness: a committed signature that still verifies over the same bytes is
//! kept, so that a file changes only when its format does.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod files;
mod links;
mod messages;
mod own_sync;
mod people;
mod places;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The committed file of that name; `null` when there is none yet.
fn committed(name: &str) -> Value {
    std::fs::read_to_string(file(name))
        .map_or(Value::Null, |text| serde_json::from_str(&text).unwrap())
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../vectors")
        .join(name)
        .with_extension("json")
}

/// Compares what the code makes with the committed file, or writes it.
fn settle(name: &str, made: &Value) {
    if std::env::var_os("CONCLAVE_VECTORS").is_some_and(|word| word == "write") {
        let text = serde_json::to_string_pretty(made).unwrap();
        std::fs::write(file(name), text + "\n").unwrap();
    }
    assert_eq!(
        &committed(name),
        made,
        "vectors/{name}.json is not what the code makes: was a format changed?"
    );
}

/// The bytes of a committed hex field; empty when there is none.
fn bytes_of(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap_or_default()).unwrap()
}
