//! Vectors of what the devices of one account tell each other.

use conclave_core::attachment::{AttachmentError, Sealer};
use conclave_core::capability::Capability;
use conclave_core::content::{
    ChatName, ChatSetting, Content, IdentitySeeds, Kind, LogPlace, Mark, MessageRef, SyncChat,
    SyncContact, SyncItem,
};
use conclave_hostile::people::{FixedEnv, NOW_MS};
use conclave_proto::account::AccountStates;
use conclave_proto::id::{DeviceId, Hash32, LogId, MessageId, Seq};
use serde_json::{Value, json};

use crate::{people, settle};

/// What is known of somebody, and what was decided about them.
fn contact() -> (&'static str, Value, SyncItem) {
    let (ana, cert, [first, _]) = people::ana();
    let states = AccountStates {
        states: vec![first.to_bytes()],
        certs: vec![cert.to_bytes()],
        former_certs: vec![],
    };
    (
        "contact",
        json!({
            "account_id": ana.own.account_id.to_string(),
            "state": hex::encode(first.to_bytes()),
            "cert": hex::encode(cert.to_bytes()),
            "identifier": "ana@example.org",
            "given_name": "Ana",
            "own_name": "Anna",
            "capability": hex::encode([8; 32]),
            "decisions": [1, 1, 0, 1, 0],
        }),
        SyncItem::Contact(Box::new(SyncContact {
            account_id: ana.own.account_id,
            states,
            identifier: "ana@example.org".to_owned(),
            given_name: "Ana".to_owned(),
            own_name: "Anna".to_owned(),
            capability: Capability::parse(&[8; 32]),
            confirmed: true,
            accepted: true,
            blocked: false,
            verified: true,
            declined: false,
        })),
    )
}

/// One item of each kind: its own fields as the vectors show them, and itself.
fn items() -> [(&'static str, Value, SyncItem); 6] {
    let (ana, _, _) = people::ana();
    let device_id = DeviceId::new([2; 16]);
    let log_id = LogId::new([0x10; 32]);
    let mut sink = |_: &[u8]| Ok::<_, AttachmentError>(());
    let pointer = Sealer::new(&FixedEnv::new(9)).finish(&mut sink).unwrap();
    let pointer = pointer.to_bytes().to_vec();
    let seeds = ana.identity.to_stored().to_vec();
    [
        contact(),
        (
            "device",
            json!({ "device_id": device_id.to_string(), "name": "laptop" }),
            SyncItem::Device {
                device_id,
                name: "laptop".to_owned(),
            },
        ),
        (
            "profile",
            json!({ "name": "Ana", "capability": hex::encode([9; 32]) }),
            SyncItem::Profile {
                name: "Ana".to_owned(),
                capability: Capability::parse(&[9; 32]).unwrap(),
                picture: None,
            },
        ),
        (
            "read",
            json!({ "log_id": log_id.to_string(), "seq": 300 }),
            SyncItem::Read { log_id, seq: 300 },
        ),
        (
            "identity",
            json!({ "seeds": hex::encode(&seeds) }),
            SyncItem::Identity(IdentitySeeds(seeds.into())),
        ),
        (
            "history",
            json!({ "device_id": device_id.to_string(), "pointer": hex::encode(&pointer) }),
            SyncItem::History {
                device_id,
                pointer: pointer.into(),
            },
        ),
    ]
}

/// What is said of chats and messages.
fn items_of_chats() -> [(&'static str, Value, SyncItem); 4] {
    let (ana, ..) = people::ana();
    let log_id = LogId::new([0x10; 32]);
    [
        (
            "chat",
            json!({ "with": ana.own.account_id.to_string(), "setting": "muted_until_ms", "value": 1_000 }),
            SyncItem::Chat(SyncChat {
                chat: ChatName::With(ana.own.account_id),
                setting: ChatSetting::MutedUntil(1_000),
            }),
        ),
        (
            "chat",
            json!({ "of": log_id.to_string(), "setting": "archived",
                "value": [true, log_id.to_string(), 300] }),
            SyncItem::Chat(SyncChat {
                chat: ChatName::Of(log_id),
                setting: ChatSetting::Archived {
                    archived: true,
                    from: Some(LogPlace { log_id, seq: 300 }),
                },
            }),
        ),
        (
            "chat",
            json!({ "of": log_id.to_string(), "setting": "draft", "value": "not yet" }),
            SyncItem::Chat(SyncChat {
                chat: ChatName::Of(log_id),
                setting: ChatSetting::Draft("not yet".to_owned()),
            }),
        ),
        (
            "deleted",
            json!({ "targets": [[ana.own.account_id.to_string(), MessageId::new([5; 16]).to_string()]] }),
            SyncItem::Deleted(vec![MessageRef {
                sender: ana.own.account_id,
                message_id: MessageId::new([5; 16]),
            }]),
        ),
    ]
}

/// One item of each kind as protobuf, with the envelope that every content has.
#[test]
fn sync() {
    let made: Vec<Value> = items()
        .into_iter()
        .chain(items_of_chats())
        .map(|(name, shown, item)| {
            let content = Content {
                message_id: MessageId::new([5; 16]),
                sent_ms: NOW_MS,
                seen: Mark {
                    seq: Seq(7),
                    hash: Hash32::new([6; 32]),
                },
                state_head: None,
                kind: Kind::Sync(item),
            };
            let padded = content.encode_padded().unwrap();
            assert_eq!(Content::decode_padded(&padded), Ok(content));
            let length = u32::from_be_bytes(padded[..4].try_into().unwrap());
            let end = 4 + usize::try_from(length).unwrap();
            json!({ "kind": name, "fields": shown, "protobuf": hex::encode(&padded[4..end]) })
        })
        .collect();
    settle("sync", &json!({ "items": made }));
}
