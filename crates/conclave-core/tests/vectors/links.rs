//! Vectors of what lets somebody in: a group's context and link, a new device's link and what its slots hold.

use conclave_core::conversation::{AccountRole, ConversationContext, ConversationKind, Role};
use conclave_core::hpke;
use conclave_core::link::{Answer, Bundle, LinkCode, Offer, proven};
use conclave_hostile::people::{FixedEnv, SERVER};
use conclave_proto::group_link::GroupLink;
use conclave_proto::id::{AccountId, LogId};
use conclave_proto::mailbox::{LinkUri, mailbox_id};
use conclave_proto::{codec, label};
use serde_json::{Value, json};
use tls_codec::VLBytes;

use crate::{people, settle};

const LOG: LogId = LogId::new([0x10; 32]);

/// Two people's context, and a group's with name, roles and link; and a few that are none.
#[test]
fn context() {
    let before = LogId::new([0x11; 32]);
    let direct = ConversationContext::new(ConversationKind::Direct, SERVER, LOG, Some(before));
    let role = |byte, role| AccountRole {
        account_id: AccountId::new([byte; 16]),
        role,
    };
    let group = ConversationContext {
        name_bytes: "Chor".as_bytes().into(),
        roles: vec![role(4, Role::Owner), role(5, Role::Admin)],
        link: Some([7; 32]),
        ..ConversationContext::new(ConversationKind::Group, SERVER, LOG, None)
    };
    let shown = |context: &ConversationContext| {
        let bytes = codec::encode(context);
        assert_eq!(ConversationContext::parse(&bytes).as_ref(), Ok(context));
        let role = |entry: &AccountRole| json!([entry.account_id.to_string(), entry.role as u8]);
        json!({
            "version": context.version,
            "kind": context.kind as u8,
            "server_id": context.server_id.to_string(),
            "log_id": context.log_id.to_string(),
            "min_version": context.min_version,
            "successor_of": context.successor_of.map(|log_id| log_id.to_string()),
            "name": context.name(),
            "roles": context.roles.iter().map(role).collect::<Vec<_>>(),
            "link": context.link.map(hex::encode),
            "encoded": hex::encode(bytes),
        })
    };
    let contexts = [shown(&direct), shown(&group)];
    let mut unsorted = group.clone();
    unsorted.roles.reverse();
    let mut linked = direct;
    linked.link = Some([7; 32]);
    let refused = [unsorted, linked].map(|context| {
        let bytes = codec::encode(&context);
        ConversationContext::parse(&bytes).unwrap_err();
        hex::encode(bytes)
    });
    settle(
        "context",
        &json!({ "contexts": contexts, "refused": refused }),
    );
}

/// A group's link as text.
#[test]
fn group_link() {
    let people: Vec<_> = [4, 5].map(|byte| AccountId::new([byte; 16])).into();
    let link = GroupLink::new(SERVER, LOG, [7; 32], "Chor", people);
    let text = link.to_string();
    assert_eq!(text.parse::<GroupLink>().as_ref(), Ok(&link));
    let nobody = GroupLink::new(SERVER, LOG, [7; 32], "Chor", vec![]).to_string();
    let cut = text[..text.len() - 4].to_owned();
    let other = text.replace("group", "link");
    for refused in [&nobody, &cut, &other] {
        assert!(refused.parse::<GroupLink>().is_err(), "{refused}");
    }
    let people = link.people.iter().map(ToString::to_string);
    settle(
        "group_link",
        &json!({
            "text": text,
            "server_id": SERVER.to_string(),
            "log_id": LOG.to_string(),
            "secret": hex::encode(link.secret),
            "name": link.name(),
            "people": people.collect::<Vec<_>>(),
            "refused": [nobody, cut, other],
        }),
    );
}

/// A new device's offer and link, and the plaintexts of answer and bundle with what is authenticated beside them: sealed
/// so, the device opens them.
#[test]
fn link() {
    let (ana, cert, [first, _]) = people::ana();
    let (secret, device_id) = (&ana.own.secret, ana.own.device_id);
    let offer = Offer::new(SERVER, device_id, secret, "laptop", &FixedEnv::new(40));
    let mailbox_id = mailbox_id(&offer.to_bytes());
    let uri = LinkUri {
        server_id: SERVER,
        mailbox_id,
    };
    let code = LinkCode::parse("123 456").unwrap();
    let answer = Answer::from_stored(ana.own.account_id, [9; 32]);
    let part = |bytes: &[u8]| codec::encode(&VLBytes::from(bytes));
    let digits = code.digits().as_bytes();
    let aad = |secret: &[u8]| [mailbox_id.to_vec(), part(digits), part(secret)].concat();
    let seal = |info: &str, aad: &[u8], plain: &[u8]| {
        let sealed = hpke::seal(&secret.inbox_key(), info.as_bytes(), aad, plain).unwrap();
        [sealed.kem_output.as_slice(), sealed.ciphertext.as_slice()].concat()
    };
    let answer_plain = codec::encode(&answer);
    let answer_aad = aad(&[]);
    let sealed = seal(label::LINK_ANSWER, &answer_aad, &answer_plain);
    Answer::open(&sealed, secret, &offer, &code).unwrap();
    let proof = secret.prove(SERVER, ana.own.account_id, device_id);
    proven(&offer, &answer, &proof.signature).unwrap();
    let bundle = [
        vec![1],
        ana.identity.to_stored().to_vec(),
        first.to_bytes(),
        codec::encode(&vec![cert.clone()]),
        vec![8; 32],
        part(b"ana@example.org"),
        part(b"Ana"),
        part(&[3; 73]),
    ]
    .concat();
    let bundle_aad = aad(answer.secret());
    let sealed = seal(label::LINK_BUNDLE, &bundle_aad, &bundle);
    let opened = Bundle::open(&sealed, secret, &offer, &code, &answer).unwrap();
    assert_eq!(
        (opened.certs, opened.state),
        (vec![cert.clone()], first.clone())
    );
    let made: Value = json!({
        "server_id": SERVER.to_string(),
        "device_id": device_id.to_string(),
        "leaf_key": hex::encode(secret.leaf_key()),
        "inbox_key": hex::encode(secret.inbox_key()),
        "name": "laptop",
        "offer": hex::encode(offer.to_bytes()),
        "mailbox_id": mailbox_id.to_string(),
        "text": uri.to_string(),
        "code": code.digits(),
        "account_id": ana.own.account_id.to_string(),
        "secret": hex::encode(answer.secret()),
        "answer": hex::encode(answer_plain),
        "answer_aad": hex::encode(answer_aad),
        "proof": hex::encode(&proof.signature),
        "identity_seeds": hex::encode(ana.identity.to_stored()),
        "state": hex::encode(first.to_bytes()),
        "certs": [hex::encode(cert.to_bytes())],
        "capability": hex::encode([8; 32]),
        "identifier": "ana@example.org",
        "own_name": "Ana",
        "history": hex::encode([3; 73]),
        "bundle": hex::encode(bundle),
        "bundle_aad": hex::encode(bundle_aad),
    });
    settle("link", &made);
}
