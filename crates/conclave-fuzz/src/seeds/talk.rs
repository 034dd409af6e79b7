//! Seeds of what people do in a chat beside plain words.

use conclave_core::content::{ContactCard, Kind, Mention, MessageRef, TextMore};
use conclave_proto::id::{AccountId, MessageId};

/// One of each kind, and a text with everything around it.
pub(super) fn acts() -> Vec<Kind> {
    let target = MessageRef {
        sender: AccountId::new([3; 16]),
        message_id: MessageId::new([4; 16]),
    };
    vec![
        Kind::Reaction {
            target,
            emoji: "👍".to_owned(),
        },
        Kind::Edit {
            target,
            body: "Grüße".to_owned(),
            mentions: vec![Mention {
                start: 0,
                length: 2,
                account_id: target.sender,
            }],
        },
        Kind::Delete { target },
        Kind::Timer { seconds: 60 },
        Kind::Pin {
            target,
            pinned: true,
        },
        Kind::Text {
            body: String::new(),
            more: TextMore {
                reply_to: Some(target),
                forwarded: true,
                expires_s: 60,
                contact: Some(ContactCard {
                    identifier: "b@c.de".to_owned(),
                    name: "B".to_owned(),
                }),
                ..TextMore::default()
            },
        },
    ]
}
