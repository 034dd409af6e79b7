//! The verdict sees what can go wrong.

use serde_json::{Value, json};

use super::{Sent, both, own_part, whole};

fn row(id: &str, text: &str, seq: u64, state: &str) -> Value {
    json!({"type": "message", "id": id, "text": text, "own": state != "received", "state": state,
           "reason": "", "seq": seq})
}

fn sent(text: &str, id: Option<&str>) -> Sent {
    Sent {
        to: 1,
        text: text.to_owned(),
        id: id.map(str::to_owned),
    }
}

fn findings(rows: &[Value], sent: &[Sent]) -> Vec<String> {
    let sent: Vec<&Sent> = sent.iter().collect();
    [own_part("a with b", rows, &sent), whole("a with b", rows)].concat()
}

/// All is well: confirmed texts are there, doubtful ones may be there or not.
#[test]
fn a_whole_history_is_praised() {
    let rows = [
        row("m1", "one", 1, "read"),
        row("x", "other", 2, "received"),
        row("m3", "three", 5, "read"),
    ];
    let sent = [
        sent("one", Some("m1")),
        sent("two", None),
        sent("three", None),
    ];
    assert_eq!(findings(&rows, &sent), Vec::<String>::new());
    assert!(both("a with b", &rows, &rows).is_empty());
}

/// Lost, twice, out of order, unread, failed, of unknown origin, under another id: each is found.
#[test]
fn each_fault_is_found() {
    let two = [sent("one", Some("m1")), sent("two", Some("m2"))];
    let one = row("m1", "one", 1, "read");
    for (rows, word) in [
        (vec![one.clone()], "is lost"),
        (
            vec![one.clone(), row("m2", "two", 2, "delivered")],
            "is delivered",
        ),
        (
            vec![row("m2", "two", 1, "read"), row("m1", "one", 2, "read")],
            "not in the order",
        ),
        (
            vec![
                one.clone(),
                row("m2", "two", 2, "read"),
                row("m3", "two", 3, "read"),
            ],
            "or twice",
        ),
        (
            vec![one.clone(), row("m2", "two", 1, "read")],
            "stands after",
        ),
        (
            vec![one.clone(), row("m9", "two", 2, "read")],
            "has the id m9",
        ),
        (
            vec![
                one.clone(),
                row("m2", "two", 2, "read"),
                row("m3", "?", 3, "read"),
            ],
            "nobody wrote",
        ),
    ] {
        let found = findings(&rows, &two);
        assert!(
            found.iter().any(|finding| finding.contains(word)),
            "{word}: {found:?}"
        );
    }
    let other = [row("m1", "one", 1, "read"), row("m2", "two", 2, "read")];
    assert_eq!(both("a with b", &other, &[one]).len(), 1);
}
