//! The records of a history that another device of the account wrote.

use conclave_core::archive::{
    Act, Begin, Chat, Contact, End, Kind, Message, Note, RECORD_BYTES_MAX, VERSION, decode, encode,
};

/// Records one after the other: each is shorter than what was there, and comes out as it went in.
pub fn archive(bytes: &[u8]) {
    let mut left = bytes;
    while let Ok(Some((kind, rest))) = decode(left) {
        let length = left.len() - rest.len();
        assert!(length >= 4, "nothing was read");
        if let Some(kind) = kind {
            let written = encode(kind.clone());
            assert!(written.len() <= length, "it grew");
            assert_eq!(decode(&written), Ok(Some((Some(kind), &[][..]))));
        }
        left = rest;
    }
}

/// A whole archive with a record of each kind, one that is cut, one with a record of a later version, and lengths that
/// no record has.
pub fn archives() -> Vec<Vec<u8>> {
    let whole: Vec<u8> = kinds().into_iter().flat_map(encode).collect();
    let cut = whole[..whole.len() - 1].to_vec();
    let later = [&whole[..], &[0, 0, 0, 2, 0x4a, 0], &whole].concat();
    let too_long = u32::try_from(RECORD_BYTES_MAX + 1).unwrap().to_be_bytes();
    vec![whole, cut, later, too_long.to_vec(), vec![0, 0, 0, 1, 0xff]]
}

fn kinds() -> Vec<Kind> {
    let (chat_id, peer, log_id) = (vec![1; 16], vec![2; 16], vec![3; 32]);
    vec![
        Kind::Begin(Begin {
            version: VERSION,
            account_id: vec![7; 16],
        }),
        Kind::Contact(Contact {
            identifier: "b@c.de".to_owned(),
            own_name: "Bea".to_owned(),
            states: vec![9; 40],
            capability: vec![8; 32],
            confirmed: true,
            accepted: true,
            ..Contact::default()
        }),
        Kind::Chat(Chat {
            chat_id: chat_id.clone(),
            kind: "direct".to_owned(),
            peer: peer.clone(),
            created_ms: 1,
            logs: vec![log_id.clone()],
            ordinals: vec![1, u64::MAX],
            ..Chat::default()
        }),
        Kind::Note(Note {
            chat_id: chat_id.clone(),
            kind: "put_out".to_owned(),
            subject: peer.clone(),
            value: "garbage".to_owned(),
            ..Note::default()
        }),
        Kind::Message(Message {
            chat_id: chat_id.clone(),
            message_id: vec![4; 16],
            sender: peer.clone(),
            body: "Grüße".to_owned(),
            state: "received".to_owned(),
            log_id: log_id.clone(),
            seq: 2,
            first_body: Some(String::new()),
            ..Message::default()
        }),
        Kind::Act(Act {
            chat_id,
            sender: peer.clone(),
            act_id: vec![5; 16],
            kind: "reaction".to_owned(),
            target_sender: peer,
            target_id: vec![4; 16],
            body: "👍".to_owned(),
            log_id,
            ..Act::default()
        }),
        Kind::End(End { messages: 1 }),
    ]
}
