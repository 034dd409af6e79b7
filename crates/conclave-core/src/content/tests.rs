//! Content survives, hostile content does not, and lengths tell the bucket only.

use super::*;
use crate::fixture::Person;

fn content(kind: Kind) -> Content {
    Content {
        message_id: MessageId::new([1; 16]),
        sent_ms: 1_795_348_800_000,
        seen: Mark {
            seq: Seq(41),
            hash: Hash32::new([2; 32]),
        },
        state_head: None,
        kind,
    }
}

fn text(body: impl Into<String>) -> Content {
    content(Kind::text(body))
}

fn receipt(delivered: u64, read: u64) -> Receipt {
    Receipt {
        delivered: Mark {
            seq: Seq(delivered),
            hash: Hash32::new([3; 32]),
        },
        read_up_to: Seq(read),
    }
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    padding::pad(bytes, padded_len(bytes.len()).unwrap()).unwrap()
}

fn sync_contact(person: &Person) -> SyncContact {
    SyncContact {
        account_id: person.own.account_id,
        states: conclave_proto::account::AccountStates {
            states: vec![person.state.to_bytes()],
            certs: vec![person.cert.to_bytes()],
            former_certs: vec![],
        },
        identifier: "+491700000001".into(),
        given_name: "Benni".into(),
        own_name: "Ben".into(),
        capability: Capability::parse(&[7; 32]),
        confirmed: true,
        accepted: true,
        blocked: false,
        verified: true,
        declined: false,
    }
}

/// Every kind comes back as it went in, with and without a state head.
#[test]
fn every_kind_survives() {
    let person = Person::new(1);
    let kinds = [
        Kind::text("grüß dich"),
        Kind::text(""),
        Kind::Receipt(receipt(9, 7)),
        Kind::Profile {
            name: "Anna".into(),
            capability: Capability::parse(&[5; 32]),
            picture: Some(vec![7; 9]),
        },
        Kind::Profile {
            name: String::new(),
            capability: None,
            picture: None,
        },
        Kind::Sync(SyncItem::Contact(Box::new(sync_contact(&person)))),
        Kind::Sync(SyncItem::Device {
            device_id: person.own.device_id,
            name: "laptop".into(),
        }),
        Kind::Sync(SyncItem::Profile {
            name: "Anna".into(),
            capability: Capability::parse(&[5; 32]).unwrap(),
            picture: Some(vec![1; 9]),
        }),
        Kind::Sync(SyncItem::Read {
            log_id: conclave_proto::id::LogId::new([6; 32]),
            seq: 7,
        }),
        Kind::Sync(SyncItem::Identity(IdentitySeeds(
            person.identity.to_stored(),
        ))),
        Kind::Sync(SyncItem::Deleted(vec![MessageRef {
            sender: person.own.account_id,
            message_id: MessageId::new([9; 16]),
        }])),
        Kind::AccountUpdate {
            states: person.chain(1),
            certs: vec![person.cert],
        },
        Kind::Leave,
    ];
    for kind in kinds {
        let mut sent = content(kind);
        for state_head in [
            None,
            Some(StateHead {
                seq: 4,
                hash: Hash32::new([6; 32]),
            }),
        ] {
            sent.state_head = state_head;
            let bytes = sent.encode_padded().unwrap();
            assert_eq!(Content::decode_padded(&bytes), Ok(sent.clone()));
        }
    }
}

/// The encoding of a text is the committed one.
#[test]
fn text_encoding_stays() {
    let bytes = text("hello").encode_padded().unwrap();
    assert_eq!(bytes.len(), 172);
    insta::assert_snapshot!(hex::encode(padding::unpad(&bytes).unwrap()), @"08011210010101010101010101010101010101011880c48299a03420292a2002020202020202020202020202020202020202020202020202020202020202028201070a0568656c6c6f");
}

/// A content fills its bucket to the byte: the room is the ciphertext less 82 and the content's own length.
#[test]
fn c055_padded_lengths_are_the_room_of_a_bucket() {
    let rooms: Vec<_> = PADDING_BUCKETS.iter().map(|bucket| room(*bucket)).collect();
    assert_eq!(rooms[..3], [172, 428, 940]);
    assert_eq!(rooms[6], 16_384 - 84);
    assert_eq!(rooms[7], 32_768 - 86);
    assert_eq!(rooms[10], 262_144 - 86);
    for room in rooms {
        assert_eq!(padded_len(room - padding::LENGTH_BYTES), Some(room));
        assert_ne!(padded_len(room - padding::LENGTH_BYTES + 1), Some(room));
    }
    assert_eq!(padded_len(0), Some(172));
    assert_eq!(padded_len(262_144), None);
    assert_eq!(padded_len(usize::MAX), None);
}

/// Texts of different length in one bucket are sealed at one length.
#[test]
fn c055_hides_the_length_inside_a_bucket() {
    let lengths: Vec<_> = [0, 1, 60, 80]
        .iter()
        .map(|length| text("x".repeat(*length)).encode_padded().unwrap().len())
        .collect();
    assert_eq!(lengths, [172; 4]);
    let long = text("x".repeat(TEXT_BYTES_MAX)).encode_padded().unwrap();
    assert_eq!(long.len(), 131_072 - 86);
}

/// A text over 64 KiB, a long name and an update over the largest bucket are refused before sealing.
#[test]
fn refuses_what_is_too_long() {
    let long = text("x".repeat(TEXT_BYTES_MAX + 1));
    assert_eq!(
        long.encode_padded(),
        Err(ContentError::TextTooLong {
            bytes: TEXT_BYTES_MAX + 1
        })
    );
    let name = Kind::Profile {
        name: "x".repeat(NAME_BYTES_MAX + 1),
        capability: None,
        picture: None,
    };
    assert_eq!(
        content(name).encode_padded(),
        Err(ContentError::NameTooLong)
    );
    let person = Person::new(1);
    let states = vec![person.state; 60];
    let update = Kind::AccountUpdate {
        states,
        certs: vec![],
    };
    assert!(matches!(
        content(update).encode_padded(),
        Err(ContentError::TooLarge { .. })
    ));
}

/// A member's program cannot smuggle in what ours refuses to write.
#[test]
fn refuses_hostile_content() {
    let long = wire::encode(&text("x".repeat(TEXT_BYTES_MAX + 1)));
    assert!(matches!(
        Content::decode_padded(&padded(&long)),
        Err(ContentError::TextTooLong { .. })
    ));
    let beyond = wire::encode(&content(Kind::Receipt(receipt(7, 8))));
    let no_states = wire::encode(&content(Kind::AccountUpdate {
        states: vec![],
        certs: vec![],
    }));
    let good = wire::encode(&text("hello"));
    let cut = &good[..good.len() - 1];
    let mut no_utf8 = good.clone();
    *no_utf8.last_mut().unwrap() = 0xff;
    let mut short_id = good.clone();
    // field 2, length 16 becomes field 2, length 15 and a stray byte
    short_id[3] = 15;
    for bad in [
        &beyond,
        &no_states,
        cut,
        &no_utf8,
        &short_id,
        b"",
        &[0xff; 40],
    ] {
        assert_eq!(
            Content::decode_padded(&padded(bad)),
            Err(ContentError::Malformed)
        );
    }
    for raw in [b"".as_slice(), &[0; 3], &[0xff; 172], &[0, 0, 0, 1, 8, 1]] {
        assert_eq!(Content::decode_padded(raw), Err(ContentError::Malformed));
    }
}

/// A kind of a newer program is kept whole, with its id and its place, and passes through unchanged.
#[test]
fn c056_keeps_an_unknown_kind_opaque() {
    let mut bytes = wire::encode(&content(Kind::Leave));
    bytes.truncate(bytes.len() - 3);
    // field 30, three bytes
    bytes.extend_from_slice(&[0xf2, 0x01, 3, 1, 2, 3]);
    let read = Content::decode_padded(&padded(&bytes)).unwrap();
    assert_eq!(read.message_id, MessageId::new([1; 16]));
    assert_eq!(read.seen.seq, Seq(41));
    assert_eq!(
        read.kind,
        Kind::Newer {
            bytes: bytes.clone()
        }
    );
    assert_eq!(
        read.encode_padded().unwrap().as_slice(),
        padded(&bytes).as_slice()
    );
}

/// A newer version is kept whole even where it uses our tags for something else.
#[test]
fn c056_keeps_an_unknown_version_opaque() {
    let mut bytes = wire::encode(&content(Kind::Leave));
    bytes.truncate(bytes.len() - 3);
    bytes[1] = 2;
    // field 16 as a number, not as our text
    bytes.extend_from_slice(&[0x80, 0x01, 5]);
    let read = Content::decode_padded(&padded(&bytes)).unwrap();
    assert_eq!(read.kind, Kind::Newer { bytes });
}

/// A receipt counts only up to our own head and on our own chain.
#[test]
fn c053_receipts_beyond_the_head_or_off_the_chain_are_ignored() {
    let receipt = receipt(9, 7);
    assert!(receipt.holds(Some(Hash32::new([3; 32]))));
    assert!(!receipt.holds(Some(Hash32::new([4; 32]))));
    assert!(!receipt.holds(None));
}

/// Receipts, profiles and account updates are silent; words, leaving and what is not understood are not.
#[test]
fn knows_silent_kinds() {
    assert!(Kind::Receipt(receipt(1, 1)).is_silent());
    assert!(!Kind::Leave.is_silent());
    assert!(!Kind::Newer { bytes: vec![] }.is_silent());
    assert!(!text("x").kind.is_silent());
}

fn set(setting: ChatSetting) -> SyncItem {
    SyncItem::Chat(SyncChat {
        chat: ChatName::Of(conclave_proto::id::LogId::new([6; 32])),
        setting,
    })
}

/// Every setting of a chat comes out as it went in, and its bytes are pinned.
#[test]
fn c200_settings_are_read_as_they_were_said() {
    let place = LogPlace {
        log_id: conclave_proto::id::LogId::new([7; 32]),
        seq: 300,
    };
    let with = SyncItem::Chat(SyncChat {
        chat: ChatName::With(conclave_proto::id::AccountId::new([5; 16])),
        setting: ChatSetting::MutedUntil(1_000),
    });
    let archived = |archived, from| set(ChatSetting::Archived { archived, from });
    let items = [
        with,
        archived(true, Some(place)),
        archived(false, None),
        set(ChatSetting::Pinned(true)),
        set(ChatSetting::Draft("hm".into())),
        set(ChatSetting::MarkedUnread(false)),
        set(ChatSetting::Cleared(place)),
        set(ChatSetting::Answered {
            accepted: true,
            seq: 300,
        }),
    ];
    for item in &items {
        assert_eq!(SyncItem::parse(&item.to_bytes()).as_ref(), Some(item));
        let kind = Kind::Sync(item.clone());
        let bytes = content(kind.clone()).encode_padded().unwrap();
        assert_eq!(
            Content::decode_padded(&bytes).map(|read| read.kind),
            Ok(kind)
        );
    }
    let of = format!("1220{}", "06".repeat(32));
    let at = format!("0a20{}10ac02", "07".repeat(32));
    let bytes: Vec<String> = items
        .iter()
        .map(|item| hex::encode(item.to_bytes()))
        .collect();
    assert_eq!(
        bytes,
        [
            format!("32150a10{}18e807", "05".repeat(16)),
            format!("324d{of}222908011225{at}"),
            format!("3224{of}2200"),
            format!("3224{of}2801"),
            format!("3226{of}3202686d"),
            format!("3224{of}3800"),
            format!("3249{of}4225{at}"),
            format!("3229{of}4a05080110ac02"),
        ]
    );
}

/// A setting of two chats or none, a place in no log, and a draft or a list that is too long are refused; a setting
/// that a later version knows is kept as newer.
#[test]
fn c200_settings_that_cannot_be_are_refused() {
    let log_id = format!("1220{}", "06".repeat(32));
    let account = format!("0a10{}", "05".repeat(16));
    for bad in [
        "32022801".to_owned(),
        format!("3236{account}{log_id}2801"),
        format!("3228{log_id}42040a0207072801").replace("2801", ""),
        "3a040a020a00".to_owned(),
    ] {
        assert_eq!(SyncItem::parse(&hex::decode(&bad).unwrap()), None, "{bad}");
    }
    let long = set(ChatSetting::Draft("x".repeat(TEXT_BYTES_MAX + 1)));
    assert!(content(Kind::Sync(long)).encode_padded().is_err());
    let longest = set(ChatSetting::Draft("x".repeat(TEXT_BYTES_MAX)));
    assert!(content(Kind::Sync(longest)).encode_padded().is_ok());
    let of = MessageRef {
        sender: conclave_proto::id::AccountId::new([5; 16]),
        message_id: MessageId::new([9; 16]),
    };
    for (count, is_fit) in [(1_000, true), (1_001, false)] {
        let item = Kind::Sync(SyncItem::Deleted(vec![of; count]));
        assert_eq!(content(item).encode_padded().is_ok(), is_fit, "{count}");
    }
    // setting 15 of a later version
    let newer = hex::decode(format!("3224{log_id}7801")).unwrap();
    assert_eq!(SyncItem::parse(&newer), None);
}
