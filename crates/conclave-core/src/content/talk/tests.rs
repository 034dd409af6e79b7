//! What people do in a chat survives, and what does not fit its limits is refused on both sides.

use conclave_proto::env::OsEnv;
use conclave_proto::id::{Hash32, Seq};
use conclave_proto::limits::TEXT_BYTES_MAX;

use super::*;
use crate::attachment::Sealer;
use crate::content::{Content, Mark};

const TARGET: MessageRef = MessageRef {
    sender: AccountId::new([3; 16]),
    message_id: MessageId::new([4; 16]),
};

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

fn pointer(content: &[u8]) -> Vec<u8> {
    let mut sink = |_: &[u8]| Ok::<_, crate::attachment::AttachmentError>(());
    let mut sealer = Sealer::new(&OsEnv);
    sealer.write(content, &mut sink).unwrap();
    sealer.finish(&mut sink).unwrap().to_bytes().to_vec()
}

fn file() -> AttachmentInfo {
    AttachmentInfo {
        pointer: pointer(b"hello"),
        name: "../../etc/passwd".into(),
        media_type: "image/jpeg".into(),
        length: 5,
        preview: vec![9; 12],
        width: 640,
        height: 480,
    }
}

fn mention(start: u32, length: u32) -> Mention {
    Mention {
        start,
        length,
        account_id: AccountId::new([5; 16]),
    }
}

fn more(change: impl FnOnce(&mut TextMore)) -> TextMore {
    let mut more = TextMore::default();
    change(&mut more);
    more
}

fn text(body: &str, change: impl FnOnce(&mut TextMore)) -> Content {
    content(Kind::Text {
        body: body.into(),
        more: more(change),
    })
}

/// Every kind of everyday talk comes back as it went in.
#[test]
fn every_act_survives() {
    let full = |more: &mut TextMore| {
        more.reply_to = Some(TARGET);
        more.mentions = vec![mention(0, 3), mention(4, 2)];
        more.forwarded = true;
        more.expires_s = 3600;
        more.attachments = vec![file(), file()];
        more.contact = Some(ContactCard {
            identifier: "ben@example.org".into(),
            name: "Ben".into(),
        });
    };
    let said = [
        text("Ana Bo", full),
        content(Kind::Reaction {
            target: TARGET,
            emoji: "👍🏽".into(),
        }),
        content(Kind::Reaction {
            target: TARGET,
            emoji: String::new(),
        }),
        content(Kind::Edit {
            target: TARGET,
            body: "Grüß Ana".into(),
            mentions: vec![mention(7, 3)],
        }),
        content(Kind::Delete { target: TARGET }),
        content(Kind::Timer { seconds: 0 }),
        content(Kind::Timer {
            seconds: TIMER_S_MAX,
        }),
        content(Kind::Pin {
            target: TARGET,
            pinned: true,
        }),
        content(Kind::Pin {
            target: TARGET,
            pinned: false,
        }),
    ];
    for content in said {
        let bytes = content.encode_padded().unwrap();
        assert_eq!(Content::decode_padded(&bytes), Ok(content));
    }
    let more = more(full);
    assert_eq!(TextMore::parse(&more.to_bytes(), "Ana Bo"), Ok(more));
    assert_eq!(TextMore::default().to_bytes(), Vec::<u8>::new());
}

/// The encodings of all kinds are the committed ones.
#[test]
fn encodings_stay() {
    let hex = |kind: Kind| {
        let bytes = content(kind).encode_padded().unwrap();
        // without the envelope, which is the same for all
        let bytes = crate::padding::unpad(&bytes).unwrap();
        hex::encode(&bytes[bytes.len().min(63)..])
    };
    let text = Kind::Text {
        body: "Ana".into(),
        more: more(|more| {
            more.reply_to = Some(TARGET);
            more.mentions = vec![mention(0, 3)];
            more.forwarded = true;
            more.expires_s = 60;
            more.contact = Some(ContactCard {
                identifier: "b@c.de".into(),
                name: "B".into(),
            });
        }),
    };
    insta::assert_snapshot!(hex(text), @"8201520a03416e6112240a1003030303030303030303030303030303121004040404040404040404040404040404221410031a10050505050505050505050505050505052801303c420b0a066240632e6465120142");
    insta::assert_snapshot!(hex(Kind::Reaction { target: TARGET, emoji: "👍".into() }), @"aa012c0a240a10030303030303030303030303030303031210040404040404040404040404040404041204f09f918d");
    insta::assert_snapshot!(hex(Kind::Edit { target: TARGET, body: "x".into(), mentions: vec![mention(0, 1)] }), @"b2013f0a240a10030303030303030303030303030303031210040404040404040404040404040404041201781a1410011a1005050505050505050505050505050505");
    insta::assert_snapshot!(hex(Kind::Delete { target: TARGET }), @"ba01260a240a1003030303030303030303030303030303121004040404040404040404040404040404");
    insta::assert_snapshot!(hex(Kind::Timer { seconds: 60 }), @"ca0102083c");
    insta::assert_snapshot!(hex(Kind::Pin { target: TARGET, pinned: true }), @"d201280a240a10030303030303030303030303030303031210040404040404040404040404040404041001");
}

/// Mentions outside the body, inside a character, empty, over each other or too many are refused.
#[test]
fn c170_mentions_stand_in_their_body() {
    let of = |body: &str, mentions: Vec<Mention>| {
        text(body, |more| more.mentions = mentions).encode_padded()
    };
    assert!(of("Ana", vec![mention(0, 3)]).is_ok());
    assert!(of("über", vec![mention(0, 2)]).is_ok());
    let many = vec![mention(0, 1); MENTIONS_MAX + 1];
    let in_order: Vec<_> = (0..65).map(|n| mention(n, 1)).collect();
    for (body, mentions) in [
        ("Ana", vec![mention(0, 4)]),
        ("Ana", vec![mention(3, 1)]),
        ("Ana", vec![mention(u32::MAX, u32::MAX)]),
        ("Ana", vec![mention(1, 0)]),
        ("über", vec![mention(0, 1)]),
        ("über", vec![mention(1, 2)]),
        ("Ana", vec![mention(0, 2), mention(1, 2)]),
        ("Ana", vec![mention(2, 1), mention(0, 1)]),
        ("Ana", many),
        (&"x".repeat(80), in_order),
    ] {
        assert!(
            matches!(of(body, mentions.clone()), Err(ContentError::OverLimit(_))),
            "{body} {mentions:?}"
        );
        let edit = content(Kind::Edit {
            target: TARGET,
            body: body.into(),
            mentions,
        });
        assert!(matches!(
            edit.encode_padded(),
            Err(ContentError::OverLimit(_))
        ));
    }
}

/// Everything that is too long, too many or of two lengths is refused, by the sender and by the receiver.
#[test]
fn c170_refuses_what_is_over_its_limit() {
    let with = |change: &dyn Fn(&mut AttachmentInfo)| {
        let mut file = file();
        change(&mut file);
        text("", |more| more.attachments = vec![file])
    };
    let card = |identifier: usize, name: usize| {
        text("", |more| {
            more.contact = Some(ContactCard {
                identifier: "x".repeat(identifier),
                name: "x".repeat(name),
            });
        })
    };
    let emoji = |emoji: &str| {
        content(Kind::Reaction {
            target: TARGET,
            emoji: emoji.into(),
        })
    };
    let bad = [
        with(&|file| file.name = "x".repeat(FILE_NAME_BYTES_MAX + 1)),
        with(&|file| file.media_type = "x".repeat(MEDIA_TYPE_BYTES_MAX + 1)),
        with(&|file| file.preview = vec![0; PREVIEW_BYTES_MAX + 1]),
        with(&|file| file.pointer = vec![0; POINTER_BYTES_MAX + 1]),
        with(&|file| file.pointer.truncate(20)),
        with(&|file| file.length = 6),
        text("", |more| {
            more.attachments = vec![file(); ATTACHMENTS_MAX + 1];
        }),
        text("", |more| more.expires_s = TIMER_S_MAX + 1),
        card(0, 1),
        card(IDENTIFIER_BYTES_MAX + 1, 0),
        card(1, NAME_BYTES_MAX + 1),
        emoji(&"x".repeat(EMOJI_BYTES_MAX + 1)),
        emoji("\u{1b}[2J"),
        emoji("a b"),
        content(Kind::Edit {
            target: TARGET,
            body: "x".repeat(TEXT_BYTES_MAX + 1),
            mentions: vec![],
        }),
        content(Kind::Profile {
            name: String::new(),
            capability: None,
            picture: Some(vec![0; 24 * 1024 + 1]),
        }),
    ];
    for content in bad {
        let refused = content.encode_padded();
        assert!(refused.is_err(), "{content:?}");
        // A hostile program skips the check above.
        let bytes = crate::content::wire::encode(&content);
        let total = crate::content::padded_len(bytes.len()).unwrap();
        let padded = crate::padding::pad(&bytes, total).unwrap();
        assert_eq!(
            Content::decode_padded(&padded).unwrap_err(),
            refused.unwrap_err()
        );
    }
}

/// A timer of more than a year is refused.
#[test]
fn c177_refuses_an_absurd_timer() {
    for seconds in [TIMER_S_MAX + 1, u32::MAX] {
        assert_eq!(
            content(Kind::Timer { seconds }).encode_padded(),
            Err(ContentError::OverLimit("timer"))
        );
    }
}

/// An act without a whole name of its message is malformed.
#[test]
fn c170_an_act_names_its_message() {
    let good = crate::content::wire::encode(&content(Kind::Delete { target: TARGET }));
    let mut short = good.clone();
    let end = short.len();
    // the message's id says 15 bytes, and one stray byte follows
    short[end - 17] = 15;
    let mut none = good[..end - 39].to_vec();
    none.extend_from_slice(&[0xba, 0x01, 0]);
    for bytes in [short, none] {
        let total = crate::content::padded_len(bytes.len()).unwrap();
        let padded = crate::padding::pad(&bytes, total).unwrap();
        assert_eq!(
            Content::decode_padded(&padded),
            Err(ContentError::Malformed)
        );
    }
}
