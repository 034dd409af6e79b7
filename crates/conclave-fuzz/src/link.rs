//! What lets somebody in: links of groups and new devices, and the slots of a mailbox.

use std::sync::OnceLock;

use conclave_core::conversation::{AccountRole, ConversationContext, ConversationKind, Role};
use conclave_core::hpke;
use conclave_core::identity::{DeviceSecret, IdentitySecret};
use conclave_core::link::{Answer, Bundle, LinkCode, LinkError, Offer, proven};
use conclave_hostile::people::{FixedEnv, NOW_MS, SERVER, device_facts};
use conclave_proto::group_link::GroupLink;
use conclave_proto::id::{DeviceId, Hash32, LogId};
use conclave_proto::mailbox::{LinkUri, mailbox_id};
use conclave_proto::{codec, label};
use tls_codec::VLBytes;

use crate::people;
use crate::proto::text;
use crate::seeds::{Seeds, texts};

/// A device that wants to be let in, and the answer that it got.
struct Waiting {
    secret: DeviceSecret,
    offer: Offer,
    code: LinkCode,
    answer: Answer,
}

fn waiting() -> &'static Waiting {
    static WAITING: OnceLock<Waiting> = OnceLock::new();
    WAITING.get_or_init(|| {
        let env = FixedEnv::new(30);
        let secret = DeviceSecret::generate(&env);
        let device_id = DeviceId::new([0x31; 16]);
        Waiting {
            offer: Offer::new(SERVER, device_id, &secret, "laptop", &env),
            code: LinkCode::random(&env),
            answer: Answer::new(people::ana().own.account_id, &env),
            secret,
        }
    })
}

/// A group's link as text: what is read is written as the same text (C-114).
pub fn group_link(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Ok(link) = text.parse::<GroupLink>() {
        assert_eq!(link.to_string(), text.trim(), "a second spelling");
        assert!(link.name().len() <= 128 && !link.people.is_empty());
    }
}

/// Group links, good and nearly good.
pub fn group_links() -> Seeds {
    let ana = people::ana().own.account_id;
    let log_id = LogId::new([0x10; 32]);
    let link = |name, people| GroupLink::new(SERVER, log_id, [7; 32], name, people).to_string();
    let mut seeds = texts(&["conclave-group:", "conclave-group:AQ", "conclave-link:AQ"]);
    for text in [
        link("choir", vec![ana]),
        link("", vec![ana; 8]),
        link("nobody", vec![]),
        format!("  {}\n", link("Chörchen", vec![ana])),
    ] {
        seeds.push(text.clone().into_bytes());
        seeds.push(text.as_bytes()[..text.len() - 2].to_vec());
    }
    seeds
}

/// A new device's link as text.
pub fn device_link(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Ok(uri) = text.parse::<LinkUri>() {
        assert_eq!(uri.to_string(), text.trim(), "a second spelling");
    }
}

/// New devices' links, good and nearly good.
pub fn device_links() -> Seeds {
    let mailbox_id = Hash32::new([9; 32]);
    let server_id = SERVER;
    let link = LinkUri {
        server_id,
        mailbox_id,
    };
    let link = link.to_string();
    let mut seeds = texts(&[link.as_str(), "conclave-link:", "conclave-link:AQEB"]);
    seeds.push(format!(" {link}\n").into_bytes());
    seeds.push(link.as_bytes()[..link.len() - 1].to_vec());
    seeds
}

/// A mailbox's first slot: read strictly, and only as the one that the link names (C-122).
pub fn link_offer(bytes: &[u8]) {
    if let Ok(offer) = Offer::read(bytes) {
        assert_eq!(offer.to_bytes(), bytes, "a second spelling");
        assert!(Offer::parse(bytes, mailbox_id(bytes)).is_ok());
    }
    let named = mailbox_id(&waiting().offer.to_bytes());
    if Offer::parse(bytes, named).is_ok() {
        assert_eq!(bytes, waiting().offer.to_bytes(), "another offer passed");
    }
}

/// An offer, cut, and with another name.
pub fn link_offers() -> Seeds {
    let offer = waiting().offer.to_bytes();
    let mut named = offer.clone();
    let name = offer.len() - 32 - 6;
    named[name] = 0x1b;
    vec![offer[..offer.len() - 1].to_vec(), offer, named]
}

/// A mailbox's second, third and fourth slot as the new device reads them: the first byte says which, and whether
/// the rest is what somebody sealed who knows the code.
pub fn link_slot(bytes: &[u8]) {
    let Some((mode, rest)) = bytes.split_first() else {
        return;
    };
    let way = waiting();
    match mode {
        0 => {
            let _ = Answer::open(rest, &way.secret, &way.offer, &way.code);
            let opened = open_bundle(rest);
            assert!(opened.is_err(), "a bundle that nobody sealed was opened");
        }
        1 => {
            let sealed = seal(rest, label::LINK_ANSWER, &[]);
            if let Ok(answer) = Answer::open(&sealed, &way.secret, &way.offer, &way.code) {
                assert_eq!(rest[1..17], *answer.account_id().as_bytes());
            }
        }
        2 => {
            let sealed = seal(rest, label::LINK_BUNDLE, way.answer.secret());
            // C-124: what is opened holds together
            if let Ok(bundle) = open_bundle(&sealed) {
                assert_eq!(
                    bundle.state.content.account_id,
                    people::ana().own.account_id
                );
                assert_eq!(bundle.state.content.identity, bundle.identity.public());
                assert!(bundle.certs.iter().any(|cert| way.offer.is_of(cert)));
            }
        }
        _ => {
            if proven(&way.offer, &way.answer, rest).is_ok() {
                assert_eq!(rest, proof(), "a forged proof");
            }
        }
    }
}

fn open_bundle(sealed: &[u8]) -> Result<Bundle, LinkError> {
    let way = waiting();
    Bundle::open(sealed, &way.secret, &way.offer, &way.code, &way.answer)
}

/// What somebody seals who has the link, the code and, for a bundle, the answer's secret.
fn seal(plain: &[u8], info: &str, secret: &[u8]) -> Vec<u8> {
    let way = waiting();
    let part = |bytes: &[u8]| codec::encode(&VLBytes::from(bytes));
    let aad = [
        mailbox_id(&way.offer.to_bytes()).to_vec(),
        part(way.code.digits().as_bytes()),
        part(secret),
    ]
    .concat();
    let sealed = hpke::seal(&way.secret.inbox_key(), info.as_bytes(), &aad, plain).unwrap();
    [sealed.kem_output.as_slice(), sealed.ciphertext.as_slice()].concat()
}

fn proof() -> Vec<u8> {
    let way = waiting();
    let (account, device) = (way.answer.account_id(), way.offer.device_id());
    way.secret.prove(SERVER, account, device).signature
}

/// Each slot: as it should be, with a part of somebody else's, cut, and nonsense.
pub fn link_slots() -> Seeds {
    let (way, ana, ben) = (waiting(), people::ana(), people::ben());
    let device = proven(&way.offer, &way.answer, &proof()).unwrap();
    let facts = device_facts(ana.own.account_id, way.offer.device_id());
    let certs = vec![
        ana.cert.clone(),
        ana.identity.certify_proven(&device, &facts),
    ];
    let state = ana.identity.next_state(&ana.state, &certs, NOW_MS);
    let words = |text: &str| codec::encode(&VLBytes::from(text.as_bytes()));
    let plain = |identity: &IdentitySecret| {
        [
            vec![2, 1],
            identity.to_stored().to_vec(),
            state.to_bytes(),
            codec::encode(&certs),
            vec![8; 32],
            words("ana@example.org"),
            words("Ana"),
            words(""),
        ]
        .concat()
    };
    let answer = [
        vec![1, 1],
        ana.own.account_id.to_vec(),
        way.answer.secret().to_vec(),
    ]
    .concat();
    let bundle = plain(&ana.identity);
    assert!(open_bundle(&seal(&bundle[1..], label::LINK_BUNDLE, way.answer.secret())).is_ok());
    vec![
        answer[..answer.len() - 1].to_vec(),
        answer,
        bundle[..bundle.len() - 1].to_vec(),
        bundle,
        plain(&ben.identity),
        [vec![3], proof()].concat(),
        [vec![0], vec![5; 1200]].concat(),
        vec![0],
    ]
}

/// A conversation's context: strictly read, and well formed when accepted (C-034, C-090).
pub fn context(bytes: &[u8]) {
    let Ok(context) = ConversationContext::parse(bytes) else {
        return;
    };
    assert_eq!(codec::encode(&context), bytes, "a second spelling");
    let is_group = context.kind == ConversationKind::Group;
    let is_plain = context.name().is_empty() && context.roles.is_empty() && context.link.is_none();
    assert!(is_group || is_plain, "fields of a group in another kind");
}

/// Contexts of two people and of a group, of versions to come, and with roles out of order.
pub fn contexts() -> Seeds {
    let (ana, ben) = (people::ana().own.account_id, people::ben().own.account_id);
    let log_id = LogId::new([0x10; 32]);
    let new = |kind| ConversationContext::new(kind, SERVER, log_id, Some(LogId::new([0x11; 32])));
    let role = |account_id, role| AccountRole { account_id, role };
    let mut roles = vec![role(ana, Role::Owner), role(ben, Role::Admin)];
    roles.sort();
    let group = ConversationContext {
        name_bytes: b"choir".to_vec().into(),
        roles,
        link: Some([7; 32]),
        ..new(ConversationKind::Group)
    };
    let mut unsorted = group.clone();
    unsorted.roles.reverse();
    let mut newer = group.clone();
    newer.min_version += 1;
    let mut direct = new(ConversationKind::Direct);
    let plain = codec::encode(&direct);
    direct.link = Some([7; 32]);
    [group, unsorted, newer, direct]
        .iter()
        .map(codec::encode)
        .chain([plain, vec![0, 2], vec![]])
        .collect()
}
