//! Rows in memory do what the trait says.

use super::*;

/// One value per key; lists keep their order, replace in place, and go item by item or as a whole.
#[test]
fn rows_keep_what_the_trait_says() {
    let rows = MemoryRows::default();
    rows.put(None, "a", b"k", b"1").unwrap();
    rows.put(None, "a", b"k", b"2").unwrap();
    assert_eq!(rows.load("a", b"k").unwrap(), Some(b"2".to_vec()));
    assert_eq!(rows.load("b", b"k").unwrap(), None);
    for (sub, value) in [(b"x", b"1"), (b"y", b"2"), (b"x", b"3")] {
        rows.append(None, "l", b"k", sub, value).unwrap();
    }
    let item = |sub: &[u8], value: &[u8]| (sub.to_vec(), value.to_vec());
    let listed = rows.list("l", b"k").unwrap();
    assert_eq!(listed, [item(b"x", b"3"), item(b"y", b"2")]);
    rows.remove("l", b"k", b"x").unwrap();
    assert_eq!(rows.list("l", b"k").unwrap(), [item(b"y", b"2")]);
    rows.delete("l", b"k").unwrap();
    assert!(rows.list("l", b"k").unwrap().is_empty());
}

/// Deleting a group takes its rows and no others; a restored snapshot brings them back.
#[test]
fn groups_go_as_a_whole() {
    let rows = MemoryRows::default();
    rows.put(Some(b"g"), "a", b"1", b"x").unwrap();
    rows.append(Some(b"g"), "b", b"2", b"s", b"x").unwrap();
    rows.put(Some(b"h"), "a", b"3", b"x").unwrap();
    rows.put(None, "a", b"4", b"x").unwrap();
    let before = rows.snapshot();
    rows.delete_group(b"g").unwrap();
    assert_eq!(rows.len(), 2);
    rows.restore(&before);
    assert_eq!(rows.len(), 4);
}

/// A broken store fails every call and says so.
#[test]
fn a_broken_store_says_so() {
    let rows = MemoryRows::default();
    rows.set_failing(true);
    assert!(rows.put(None, "a", b"k", b"1").is_err());
    assert!(rows.load("a", b"k").is_err());
    rows.set_failing(false);
    assert_eq!(rows.load("a", b"k").unwrap(), None);
}
