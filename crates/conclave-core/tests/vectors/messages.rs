//! Vectors of what is said: contents, and the intro of a request.

use conclave_core::capability::Capability;
use conclave_core::content::{
    AttachmentInfo, ContactCard, Content, Kind, Mark, Mention, MessageRef, Receipt, StateHead,
    TextMore,
};
use conclave_core::intro::{FirstText, Greeting, Intro, IntroFor};
use conclave_hostile::people::{NOW_MS, Person};
use conclave_proto::codec;
use conclave_proto::id::{AccountId, Day, Hash32, LogId, MessageId, Seq};
use conclave_proto::identifier::Identifier;
use serde_json::{Value, json};

use crate::{files, people, settle};

const SEEN: Mark = Mark {
    seq: Seq(7),
    hash: Hash32::new([6; 32]),
};

const TARGET: MessageRef = MessageRef {
    sender: AccountId::new([3; 16]),
    message_id: MessageId::new([4; 16]),
};

/// `Ana` in `Grüße, Ana`.
const MENTION: Mention = Mention {
    start: 9,
    length: 3,
    account_id: TARGET.sender,
};

fn mention_json() -> Value {
    json!({ "start": 9, "length": 3, "account": TARGET.sender.to_string() })
}

fn target_json() -> Value {
    json!({ "sender": TARGET.sender.to_string(), "message_id": TARGET.message_id.to_string() })
}

/// One kind: its name, its own fields as the vectors show them, and itself.
fn kinds() -> [(&'static str, Value, Kind); 5] {
    let (_, cert, states) = people::ana();
    let encoded = |bytes: Vec<u8>| hex::encode(bytes);
    [
        (
            "text",
            json!({ "body": "Grüße, 世界" }),
            Kind::text("Grüße, 世界"),
        ),
        (
            "receipt",
            json!({ "delivered_up_to": 7, "read_up_to": 5, "hash": SEEN.hash.to_string() }),
            Kind::Receipt(Receipt {
                delivered: SEEN,
                read_up_to: Seq(5),
            }),
        ),
        (
            "profile",
            json!({ "name": "Ana", "capability": hex::encode([8; 32]) }),
            Kind::Profile {
                name: "Ana".to_owned(),
                capability: Capability::parse(&[8; 32]),
                picture: None,
            },
        ),
        (
            "account_update",
            json!({
                "states": states.iter().map(|state| encoded(state.to_bytes())).collect::<Vec<_>>(),
                "certs": [encoded(cert.to_bytes())],
            }),
            Kind::AccountUpdate {
                states: states.to_vec(),
                certs: vec![cert],
            },
        ),
        ("leave", json!({}), Kind::Leave),
    ]
}

/// Words with everything that can come with them, and a profile with its picture.
fn full() -> [(&'static str, Value, Kind); 2] {
    let (pointer, _) = files::sealed(1, &[1, 2, 3]);
    let more = TextMore {
        reply_to: Some(TARGET),
        mentions: vec![MENTION],
        forwarded: true,
        expires_s: 3600,
        attachments: vec![AttachmentInfo {
            pointer: pointer.clone(),
            name: "Bild 1.jpg".to_owned(),
            media_type: "image/jpeg".to_owned(),
            length: 3,
            preview: vec![0xff, 0xd8],
            width: 640,
            height: 480,
        }],
        contact: Some(ContactCard {
            identifier: "ben@example.org".to_owned(),
            name: "Ben".to_owned(),
        }),
    };
    let body = "Grüße, Ana";
    [
        (
            "text",
            json!({
                "body": body,
                "reply_to": target_json(),
                "mentions": [mention_json()],
                "forwarded": true,
                "expires_s": 3600,
                "attachments": [{
                    "pointer": hex::encode(pointer), "name": "Bild 1.jpg", "media_type": "image/jpeg",
                    "length": 3, "preview": "ffd8", "width": 640, "height": 480,
                }],
                "contact": { "identifier": "ben@example.org", "name": "Ben" },
            }),
            Kind::Text {
                body: body.to_owned(),
                more,
            },
        ),
        (
            "profile",
            json!({ "name": "Ana", "capability": hex::encode([8; 32]), "picture": "ffd8ff" }),
            Kind::Profile {
                name: "Ana".to_owned(),
                capability: Capability::parse(&[8; 32]),
                picture: Some(vec![0xff, 0xd8, 0xff]),
            },
        ),
    ]
}

/// The same of what people do to a message or a chat.
fn acts() -> [(&'static str, Value, Kind); 5] {
    [
        (
            "reaction",
            json!({ "target": target_json(), "emoji": "👍" }),
            Kind::Reaction {
                target: TARGET,
                emoji: "👍".to_owned(),
            },
        ),
        (
            "edit",
            json!({ "target": target_json(), "body": "Grüße, Ana", "mentions": [mention_json()] }),
            Kind::Edit {
                target: TARGET,
                body: "Grüße, Ana".to_owned(),
                mentions: vec![MENTION],
            },
        ),
        (
            "delete",
            json!({ "target": target_json() }),
            Kind::Delete { target: TARGET },
        ),
        (
            "timer",
            json!({ "seconds": 3600 }),
            Kind::Timer { seconds: 3600 },
        ),
        (
            "pin",
            json!({ "target": target_json(), "pinned": true }),
            Kind::Pin {
                target: TARGET,
                pinned: true,
            },
        ),
    ]
}

/// One content of each kind: envelope, fields, protobuf and what MLS seals.
#[test]
fn content() {
    let contents: Vec<Value> = kinds()
        .into_iter()
        .chain(full())
        .chain(acts())
        .map(|(name, fields, kind)| {
            let content = Content {
                message_id: MessageId::new([5; 16]),
                sent_ms: NOW_MS,
                seen: SEEN,
                state_head: (name == "text").then_some(StateHead {
                    seq: 1,
                    hash: Hash32::new([9; 32]),
                }),
                kind,
            };
            let padded = content.encode_padded().unwrap();
            let length = u32::from_be_bytes(padded[..4].try_into().unwrap());
            json!({
                "version": 1,
                "message_id": content.message_id.to_string(),
                "sent_ms": content.sent_ms,
                "seen_seq": content.seen.seq.0,
                "seen_hash": content.seen.hash.to_string(),
                "state_seq": content.state_head.map_or(0, |head| head.seq),
                "state_hash": content.state_head.map(|head| head.hash.to_string()),
                "kind": name,
                "fields": fields,
                "protobuf": hex::encode(&padded[4..4 + usize::try_from(length).unwrap()]),
                "padded_bytes": padded.len(),
            })
        })
        .collect();
    settle("content", &json!({ "contents": contents }));
}

/// Ana introduces herself to Ben, with and without first words.
#[test]
fn intro() {
    let (ana, cert, states) = people::ana();
    let ben = Person::new(2);
    let recipient = IntroFor {
        account_id: ben.own.account_id,
        device_id: ben.own.device_id,
        log_id: LogId::new([0x10; 32]),
        day: Day(20_779),
    };
    let intros = ["", "Hello"].map(|body| {
        let greeting = Greeting {
            name: "Ana".to_owned(),
            identifier: Identifier::email("ana@example.org").unwrap(),
            capability: Capability::parse(&[8; 32]).unwrap(),
            first: (!body.is_empty()).then(|| FirstText {
                message_id: MessageId::new([5; 16]),
                sent_ms: NOW_MS,
                body: body.to_owned(),
            }),
        };
        let intro = Intro::sign(&ana.own, &states[0], &cert, &recipient, &greeting).unwrap();
        intro
            .verify(&ben.own, recipient.log_id, recipient.day)
            .unwrap();
        json!({
            "version": 1,
            "recipient_account": recipient.account_id.to_string(),
            "recipient_device": recipient.device_id.to_string(),
            "log_id": recipient.log_id.to_string(),
            "day": recipient.day.0,
            "name": greeting.name,
            "identifier": greeting.identifier.as_str(),
            "capability": hex::encode([8; 32]),
            "first": greeting.first.map(|first| json!({
                "message_id": first.message_id.to_string(),
                "sent_ms": first.sent_ms,
                "body": first.body,
            })),
            "state": hex::encode(states[0].to_bytes()),
            "cert": hex::encode(cert.to_bytes()),
            "encoded": hex::encode(codec::encode(&intro)),
        })
    });
    settle("intro", &json!({ "intros": intros }));
}
