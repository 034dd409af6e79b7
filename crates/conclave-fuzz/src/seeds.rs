//! Where a search begins: real objects, and inputs that reach far.

use conclave_core::capability::Capability;
use conclave_core::content::{
    Content, IdentitySeeds, Kind, Mark, Receipt, StateHead, SyncContact, SyncItem,
};
use conclave_core::credential::Credential;
use conclave_core::inbox_item::{InboxItem, JoinRequest, Notice, Rejoin, WelcomePointer};
use conclave_core::intro::{FirstText, Greeting, Intro, IntroFor};
use conclave_core::sealed_blob;
use conclave_hostile::people::{FixedEnv, NOW_MS};
use conclave_proto::account::{AccountStates, HybridSignature, Lookup, PutState, Register};
use conclave_proto::address::ServerAddress;
use conclave_proto::blob::{FetchBlob, NewBlob};
use conclave_proto::codec;
use conclave_proto::frame::{Done, Ping, Reply, Request, reply, request};
use conclave_proto::hello::{ClientHello, Role, ServerHello};
use conclave_proto::id::{
    AccountId, BlobId, ChatId, DeviceId, Epoch, Hash32, Incarnation, LogId, MessageId, Seq,
    ServerId,
};
use conclave_proto::identifier::Identifier;
use conclave_proto::inbox::{InboxPage, PostItem};
use conclave_proto::log::{
    AppendEntry, CreateLog, Entry, EntryKind, Head, LogPage, OpenLogs, OpenOne, PutBundle, WireHead,
};
use conclave_proto::{ErrorCode, PROTOCOL_VERSION, Refusal};
use prost::Message as _;

use crate::chat;
use crate::core::{LOG, today};
use crate::people;

mod edited;
mod kept;
mod talk;

pub use edited::{commits, joins, key_packages, messages};
pub use kept::{key_exports, safety_numbers, wrapped_keys};

pub(crate) type Seeds = Vec<Vec<u8>>;

pub(crate) fn texts(texts: &[&str]) -> Seeds {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Server addresses, good and nearly good.
pub fn addresses() -> Seeds {
    let address = |host: &str, port| ServerAddress {
        server_id: ServerId::new([7; 32]),
        host: host.to_owned(),
        port,
    };
    let mut seeds = texts(&[
        "conclave://chat.example.org",
        "conclave://@host:5000",
        "conclave://BwcH@h:1/",
        "https://x",
    ]);
    for (host, port) in [("chat.example.org", 5000), ("::1", 443), ("127.0.0.1", 1)] {
        seeds.push(address(host, port).to_string().into_bytes());
    }
    seeds.push(format!("  {}/ ", address("fe80::1%eth0", 65_535)).into_bytes());
    seeds
}

/// Phone numbers and e-mail addresses in many spellings.
pub fn identifiers() -> Seeds {
    texts(&[
        "+4915112345678",
        "+49 (0)151 1234-5678",
        "+1-202-555-0123;ext=4",
        "+٤٩١٥١١٢٣٤٥٦٧٨",
        "tel:+44 20 7946 0018",
        "+8613800138000",
        "anna@example.org",
        "Anna.B+x@Example.ORG",
        "grüße@müller.example",
        "İstanbul@İ.example",
        "ẞ@ẞ.example",
        "a@b@c.de",
        "@x",
    ])
}

/// Ids in text, one of each kind.
pub fn ids() -> Seeds {
    vec![
        LogId::new([1; 32]).to_string().into_bytes(),
        AccountId::new([0xab; 16]).to_string().into_bytes(),
        DeviceId::new([2; 16]).to_string().into_bytes(),
        ChatId::new([3; 16]).to_string().into_bytes(),
        MessageId::new([4; 16]).to_string().into_bytes(),
        BlobId::new([5; 32]).to_string().into_bytes(),
        Hash32::new([6; 32]).to_string().into_bytes(),
        b"a_ABCDEF".to_vec(),
    ]
}

/// Hellos of both sides.
pub fn hellos() -> Seeds {
    let client = ClientHello {
        version: PROTOCOL_VERSION,
        role: Role::Logs.into(),
        nonce: vec![1; 32],
    };
    let server = ServerHello {
        version: PROTOCOL_VERSION,
        nonce: vec![2; 32],
        time_ms: NOW_MS,
        pass_hash: vec![3; 32],
        incarnation: 1,
        refusal: None,
    };
    let refused = ServerHello {
        refusal: Some(Refusal::new(ErrorCode::UnsupportedVersion, "update")),
        ..ServerHello::default()
    };
    vec![
        client.encode_to_vec(),
        server.encode_to_vec(),
        refused.encode_to_vec(),
    ]
}

fn request_bodies() -> Vec<request::Body> {
    let ana = people::ana();
    let blob = NewBlob {
        blob_id: vec![1; 32],
        bytes: vec![2; 40],
    };
    vec![
        request::Body::Ping(Ping {}),
        request::Body::Register(Register {
            challenge_id: vec![1; 16],
            code: "123456".to_owned(),
            state: ana.state.to_bytes(),
            certs: vec![ana.cert.to_bytes()],
            proof: vec![0; 64],
            capability_hash: vec![2; 32],
        }),
        request::Body::PutState(PutState {
            state: ana.state.to_bytes(),
            certs: vec![ana.cert.to_bytes()],
        }),
        request::Body::Lookup(Lookup {
            pass: vec![1; 32],
            identifier: "ana@example.org".to_owned(),
        }),
        request::Body::PostItem(PostItem {
            pass: vec![1; 32],
            device_id: vec![2; 16],
            capability: vec![],
            item: vec![3; 100],
        }),
        request::Body::CreateLog(CreateLog {
            pass: vec![1; 32],
            log_id: vec![2; 32],
            access_key: vec![3; 32],
            proof: vec![4; 64],
            blobs: vec![blob.clone()],
            retention_days: 30,
        }),
        request::Body::OpenLogs(OpenLogs {
            logs: vec![OpenOne {
                log_id: vec![2; 32],
                epoch: 1,
                proof: vec![4; 64],
            }],
        }),
        request::Body::AppendEntry(AppendEntry {
            handle: 1,
            payload: vec![5; 300],
        }),
        request::Body::PutBundle(PutBundle {
            handle: 1,
            commit_entry: chat::genuine()[1].clone(),
            blobs: vec![blob],
        }),
        request::Body::FetchBlob(FetchBlob {
            pass: vec![1; 32],
            blob_id: vec![2; 32],
        }),
    ]
}

/// Requests of every role.
pub fn requests() -> Seeds {
    let number = |body| Request {
        id: 7,
        body: Some(body),
    };
    request_bodies()
        .into_iter()
        .map(|body| number(body).encode_to_vec())
        .collect()
}

/// Requests as frames, alone, together, cut and too long.
pub fn frames() -> Seeds {
    let mut seeds: Seeds = requests()
        .into_iter()
        .filter(|bytes| bytes.len() < 1024)
        .map(|bytes| {
            let length = u32::try_from(bytes.len()).unwrap();
            [&length.to_be_bytes(), bytes.as_slice()].concat()
        })
        .collect();
    let all = seeds.concat();
    seeds.push(all[..all.len() - 3].to_vec());
    seeds.push(all);
    seeds.push(vec![0xff; 8]);
    seeds
}

fn wire_head() -> WireHead {
    WireHead {
        epoch: 1,
        seq: 2,
        hash: vec![3; 32],
        incarnation: 4,
    }
}

fn log_entries() -> Vec<Entry> {
    let message = Entry {
        seq: 1,
        epoch: 1,
        kind: EntryKind::Message.into(),
        payload: vec![9; 60],
        day: 20_779,
        expired_hash: vec![],
    };
    let expired = Entry {
        payload: vec![],
        expired_hash: vec![8; 32],
        ..message.clone()
    };
    let both = Entry {
        expired_hash: vec![8; 32],
        ..message.clone()
    };
    vec![message, expired, both]
}

/// Replies and pushes.
pub fn replies() -> Seeds {
    let ana = people::ana();
    let bodies = [
        reply::Body::Done(Done {}),
        reply::Body::Refused(Refusal {
            winner: log_entries().pop(),
            ..Refusal::new(ErrorCode::StaleEpoch, "the epoch is over").retry_after_ms(5)
        }),
        reply::Body::AccountStates(AccountStates {
            states: vec![ana.state.to_bytes()],
            certs: vec![ana.cert.to_bytes()],
            former_certs: vec![],
        }),
        reply::Body::LogPage(LogPage {
            entries: log_entries(),
            head: Some(wire_head()),
            head_signature: vec![7; 64],
        }),
        reply::Body::InboxPage(InboxPage {
            items: vec![],
            more: true,
        }),
    ];
    let number = |body| Reply {
        id: 7,
        body: Some(body),
    };
    bodies
        .into_iter()
        .map(|body| number(body).encode_to_vec())
        .collect()
}

/// Entries, and a head as it travels.
pub fn entries() -> Seeds {
    let mut seeds: Seeds = log_entries().iter().map(Entry::encode_to_vec).collect();
    seeds.push(wire_head().encode_to_vec());
    seeds
}

/// Heads as they are signed.
pub fn heads() -> Seeds {
    let head = Head {
        epoch: Epoch(1),
        seq: Seq(2),
        hash: Hash32::new([3; 32]),
        incarnation: Incarnation(4),
    };
    vec![codec::encode(&head), vec![0; 56], vec![0xff; 56]]
}

/// The genuine commit entry, whole and cut.
pub fn commit_entries() -> Seeds {
    let [_, commit, ..] = chat::genuine();
    vec![commit[..300].to_vec(), commit]
}

/// An identity key, and a signature by it.
pub fn identity_keys() -> Seeds {
    let ana = people::ana();
    let signature: HybridSignature = ana.identity.sign("label", b"content");
    vec![
        codec::encode(&ana.identity.public()),
        codec::encode(&signature),
    ]
}

/// Ana's and Ben's certificates.
pub fn device_certs() -> Seeds {
    vec![people::ana().cert.to_bytes(), people::ben().cert.to_bytes()]
}

/// A first state, the one after it, and one without devices.
pub fn account_states() -> Seeds {
    let ana = people::ana();
    let none = ana.identity.next_state(&ana.state, &[], NOW_MS);
    let chain = ana.chain(1);
    let mut seeds: Seeds = chain.iter().map(|state| state.to_bytes()).collect();
    let rotated = ana.rotated(11);
    seeds.extend([none, rotated.reset(12).state, rotated.state].map(|state| state.to_bytes()));
    seeds
}

/// Chains of one to three states, in order and not, with a rotation and a new generation after the first.
pub fn state_chains() -> Seeds {
    let ana = people::ana();
    let mut states = ana.chain(2);
    let rotated = ana.rotated(11);
    states.extend([
        rotated.state.clone(),
        rotated.rotated(12).state,
        ana.reset(13).state,
    ]);
    let part = |place: usize| {
        let bytes = states[place].to_bytes();
        let length = u16::try_from(bytes.len()).unwrap();
        [&length.to_be_bytes(), bytes.as_slice()].concat()
    };
    [
        vec![0],
        vec![0, 1],
        vec![0, 1, 2],
        vec![1, 0],
        vec![0, 2],
        vec![0, 3],
        vec![0, 3, 4],
        vec![3, 4],
        vec![0, 5],
        vec![0, 0],
    ]
    .into_iter()
    .map(|order| order.into_iter().map(part).collect::<Vec<_>>().concat())
    .collect()
}

/// Ana's credential with her leaf key, with another key, and Ben's name on hers.
pub fn credentials() -> Seeds {
    let (ana, ben) = (people::ana(), people::ben());
    let identity = ana.own.credential().to_bytes();
    let key = ana.own.secret.leaf_key().to_vec();
    let stolen = Credential {
        device_id: ben.own.device_id,
        ..ana.own.credential()
    };
    vec![
        [identity.clone(), key.clone()].concat(),
        [identity, ben.own.secret.leaf_key().to_vec()].concat(),
        [stolen.to_bytes(), key].concat(),
    ]
}

fn content(kind: Kind) -> Content {
    Content {
        message_id: MessageId::new([5; 16]),
        sent_ms: NOW_MS,
        seen: Mark {
            seq: Seq(3),
            hash: Hash32::new([6; 32]),
        },
        state_head: Some(StateHead {
            seq: 1,
            hash: Hash32::new([7; 32]),
        }),
        kind,
    }
}

/// What own devices tell each other, of each kind.
fn sync_items() -> impl Iterator<Item = SyncItem> {
    let ana = people::ana();
    let contact = SyncContact {
        account_id: ana.own.account_id,
        states: AccountStates {
            states: vec![ana.state.to_bytes()],
            certs: vec![ana.cert.to_bytes()],
            former_certs: vec![],
        },
        identifier: "ana@example.org".to_owned(),
        given_name: "Ana".to_owned(),
        own_name: String::new(),
        capability: Capability::parse(&[8; 32]),
        confirmed: true,
        accepted: true,
        blocked: false,
        verified: true,
        declined: false,
    };
    let name = "laptop".to_owned();
    let device_id = DeviceId::new([2; 16]);
    let seeds = ana.identity.to_stored().to_vec();
    let (log_id, seq) = (LOG, 7);
    let items = [
        SyncItem::Contact(Box::new(contact)),
        SyncItem::Device { device_id, name },
        SyncItem::Profile {
            name: "Ana".to_owned(),
            capability: Capability::parse(&[9; 32]).unwrap(),
            picture: Some(vec![0xff, 0xd8]),
        },
        SyncItem::Read { log_id, seq },
        SyncItem::Identity(IdentitySeeds(seeds.into())),
    ];
    items.into_iter()
}

/// One content of each kind: bare protobuf, and padded.
pub fn contents() -> Seeds {
    let ana = people::ana();
    let kinds = [
        Kind::text("Grüße"),
        Kind::Receipt(Receipt {
            delivered: Mark {
                seq: Seq(3),
                hash: Hash32::new([6; 32]),
            },
            read_up_to: Seq(2),
        }),
        Kind::Profile {
            name: "Ana".to_owned(),
            capability: Capability::parse(&[8; 32]),
            picture: None,
        },
        Kind::AccountUpdate {
            states: vec![ana.state.clone()],
            certs: vec![ana.cert.clone()],
        },
        Kind::Leave,
    ];
    let kinds = kinds.into_iter().chain(sync_items().map(Kind::Sync));
    let mut seeds = Vec::new();
    for kind in kinds.into_iter().chain(talk::acts()) {
        let padded = content(kind).encode_padded().unwrap();
        let length = u32::from_be_bytes(padded[..4].try_into().unwrap());
        let end = 4 + usize::try_from(length).unwrap();
        seeds.push(padded[4..end].to_vec());
        seeds.push(padded[..end].to_vec());
    }
    // a version to come
    seeds.push([vec![8, 2, 18, 16], vec![5; 16], vec![42, 32], vec![6; 32]].concat());
    seeds
}

fn greeting(first: Option<&str>) -> Greeting {
    Greeting {
        name: "Ana".to_owned(),
        identifier: Identifier::email("ana@example.org").unwrap(),
        capability: Capability::parse(&[8; 32]).unwrap(),
        first: first.map(|body| FirstText {
            message_id: MessageId::new([5; 16]),
            sent_ms: NOW_MS,
            body: body.to_owned(),
        }),
    }
}

fn introduction(first: Option<&str>) -> Intro {
    let (ana, ben) = (people::ana(), people::ben());
    let recipient = IntroFor {
        account_id: ben.own.account_id,
        device_id: ben.own.device_id,
        log_id: LOG,
        day: today(),
    };
    let greeting = greeting(first);
    Intro::sign(&ana.own, &ana.state, &ana.cert, &recipient, &greeting).unwrap()
}

/// Introductions with and without first words.
pub fn intros() -> Seeds {
    vec![
        codec::encode(&introduction(None)),
        codec::encode(&introduction(Some("Hello"))),
    ]
}

fn pointer() -> WelcomePointer {
    let env = FixedEnv::new(8);
    let sealed = |plain: &[u8]| sealed_blob::seal(plain, &env).unwrap().0;
    WelcomePointer {
        successor_of: None,
        log_id: LOG,
        welcome: sealed(b"welcome"),
        tree: sealed(b"tree"),
        epoch: Epoch(1),
        start_seq: Seq(0),
        start_hash: Hash32::new([4; 32]),
        kind: conclave_core::conversation::ConversationKind::Direct,
        name_bytes: vec![].into(),
        intro: introduction(Some("Hello")),
    }
}

/// A pointer as it lies in an item.
pub fn welcome_pointers() -> Seeds {
    vec![codec::encode(&pointer())]
}

/// Plaintexts of items: a pointer, a kind to come, lengths that lie.
pub fn inbox_items() -> Seeds {
    let item = codec::encode(&InboxItem::Welcome(pointer()));
    let log_id = LOG;
    let intro = || introduction(None);
    let others = [
        InboxItem::Rejoin(Rejoin {
            log_id,
            intro: intro(),
        }),
        InboxItem::Notice(Notice {
            log_id,
            code: 1,
            text_bytes: "the link is old".as_bytes().into(),
            intro: intro(),
        }),
        InboxItem::Notice(Notice {
            log_id,
            code: 0,
            text_bytes: vec![0xff].into(),
            intro: intro(),
        }),
        InboxItem::JoinRequest(JoinRequest {
            log_id,
            secret: [7; 32],
            intro: intro(),
        }),
    ];
    let behind = |length: usize, bytes: &[u8]| {
        let length = u32::try_from(length).unwrap();
        [&length.to_be_bytes(), bytes].concat()
    };
    let mut seeds = vec![
        behind(item.len(), &item),
        behind(item.len() - 1, &item),
        behind(3, &[2, 1, 1]),
        behind(usize::from(u16::MAX), b"x"),
        vec![],
    ];
    for other in others.iter().map(codec::encode) {
        seeds.push(behind(other.len(), &other));
    }
    seeds
}

/// A blob behind its pointer, whole and changed.
pub fn sealed_blobs() -> Seeds {
    let (pointer, sealed) = sealed_blob::seal(b"a welcome", &FixedEnv::new(8)).unwrap();
    let whole = [codec::encode(&pointer), sealed].concat();
    let mut changed = whole.clone();
    changed[70] ^= 1;
    vec![whole, changed, vec![0; 64]]
}
