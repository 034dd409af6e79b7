//! The JSON shape of the rows that programs depend on most, and that text rows cannot be faked.

use conclave_client::view::{
    Chat, ChatKind, ChatState, Message, MessageState, Proof, Safety, Trust,
};
use conclave_proto::id::{AccountId, ChatId, MessageId};

use super::*;
use crate::output::{Row as _, json_line};

fn anna() -> Person {
    Person {
        account_id: AccountId::new([0xa1; 16]),
        identifier: "anna@example.org".into(),
        name: "Anna".into(),
    }
}

fn message(own: bool) -> Message {
    Message {
        id: MessageId::new([1; 16]),
        chat: ChatId::new([2; 16]),
        from: anna(),
        own,
        text: "hi".into(),
        state: if own {
            MessageState::Delivered
        } else {
            MessageState::Received
        },
        reason: String::new(),
        seq: Some(7),
        ts_ms: 1_763_778_485_042,
        is_read: false,
        reply: None,
        mentions: vec![],
        reactions: vec![],
        edited_ms: None,
        deleted_by: None,
        forwarded: false,
        expires_s: 0,
        expires_ms: None,
        attachments: vec![],
        contact: None,
        pinned: false,
    }
}

fn chat(unread: u64) -> Chat {
    Chat {
        id: ChatId::new([2; 16]),
        kind: ChatKind::Direct,
        name: String::new(),
        with: Some(anna()),
        state: ChatState::Open,
        reason: String::new(),
        unread,
        last: None,
        ts_ms: 0,
        muted_until_ms: None,
        archived: false,
        pinned: false,
        marked_unread: false,
        draft: String::new(),
        trust: None,
        confirmed: true,
        timer_s: 0,
    }
}

fn json<T: Serialize>(row: &T) -> serde_json::Value {
    serde_json::to_value(row).unwrap()
}

/// A message row has every field that the documentation promises, with ids as text and time in both forms.
#[test]
fn message_rows_have_every_field() {
    assert_eq!(
        json(&MessageRow::from(&message(false))),
        serde_json::json!({
            "id": "m_01010101010101010101010101010101",
            "chat": "c_02020202020202020202020202020202",
            "from": {
                "account": "a_a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1",
                "identifier": "anna@example.org",
                "name": "Anna",
            },
            "own": false,
            "text": "hi",
            "state": "received",
            "reason": "",
            "seq": 7,
            "ts": "2025-11-22T02:28:05.042Z",
            "ts_ms": 1_763_778_485_042_u64,
            "read": false,
            "reply": null,
            "mentions": [],
            "reactions": [],
            "edited_ts_ms": null,
            "deleted_by": null,
            "forwarded": false,
            "expires_s": 0,
            "expires_ts_ms": null,
            "attachments": [],
            "contact": null,
            "pinned": false,
        })
    );
}

/// `send` tells the state of each recipient.
#[test]
fn sent_rows_name_recipients() {
    let row = json(&SentRow::new(&message(true), "bob@example.org"));
    assert_eq!(row["state"], "delivered");
    assert_eq!(
        row["recipients"],
        serde_json::json!([{"to": "bob@example.org", "state": "delivered"}])
    );
}

/// Lists are there even when they are empty.
#[test]
fn lists_are_always_there() {
    let row = UnreadRow::from([chat(0)].as_slice());
    assert_eq!(json(&row), serde_json::json!({"count": 0, "chats": []}));
    assert_eq!(
        json(&UnreadRow::from([chat(2), chat(3)].as_slice()))["count"],
        5
    );
}

/// Lines for people show who, what and how far; a message cannot pretend to be two.
#[test]
fn text_rows_read_well() {
    let mut message = message(true);
    assert_eq!(
        MessageRow::from(&message).text(),
        "2025-11-22 02:28Z  me: hi  [delivered]"
    );
    message.text = "A long letter, with a line\nand more than fits".into();
    assert_eq!(
        StateRow::new(&message, message.state).text(),
        "    [delivered]  A long letter, with a line and m…"
    );
    message.own = false;
    message.text = "a\n2025-11-22 02:28Z  me: pay him\u{1b}[1m".into();
    assert_eq!(
        MessageRow::from(&message).text(),
        "2025-11-22 02:28Z  Anna (anna@example.org): a\n    2025-11-22 02:28Z  me: pay him�[1m"
    );
}

/// Twelve groups stand in three lines of four.
#[test]
fn safety_numbers_stand_in_three_lines() {
    let safety = Safety {
        with: anna(),
        number: ["12345"; 12].join(" "),
        qr: vec![0xab],
        trust: Trust::Unverified,
        rotated_ms: None,
    };
    let row = SafetyRow::from(&safety);
    assert_eq!(row.text().lines().count(), 4);
    assert_eq!(json(&row)["qr"], "ab");
    let rotated = SafetyRow::from(&Safety {
        rotated_ms: Some(1_763_778_485_123),
        ..safety
    });
    let first = rotated.text().lines().next().unwrap().to_owned();
    assert!(first.ends_with("key rotated 2025-11-22 02:28Z, signed by the old key"));
    assert_eq!(json(&rotated)["rotated_ts"], "2025-11-22T02:28:05.123Z");
}

/// A proof is a line for people, and whole for programs: its bytes in hex.
#[test]
fn proofs_are_whole() {
    let proof = Proof {
        what: "two signed heads".into(),
        bytes: vec![0xab, 1],
        seen_ms: 1_763_778_485_123,
    };
    let row = ProofRow::from(&proof);
    assert_eq!(row.text(), "2025-11-22 02:28Z  two signed heads  (2 bytes)");
    assert_eq!(
        json_line(&row).unwrap(),
        r#"{"v":1,"type":"proof","what":"two signed heads","bytes":"ab01","ts":"2025-11-22T02:28:05.123Z","ts_ms":1763778485123}"#
    );
}
