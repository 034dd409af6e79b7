//! Every signed object, cut at every byte, longer, flipped, signed by the wrong key or for another purpose.
#![expect(clippy::unwrap_used, reason = "test helpers")]

use conclave_core::capability::Capability;
use conclave_core::credential::{Credential, KnownAccount};
use conclave_core::inbox_item::WelcomePointer;
use conclave_core::intro::{Greeting, Intro, IntroFor};
use conclave_core::key_package;
use conclave_core::sealed_blob;
use conclave_hostile::bytes;
use conclave_hostile::objects::{self, broken_signatures};
use conclave_hostile::people::{Book, FixedEnv, NOW_MS, Person, SERVER};
use conclave_hostile::side::{Side, friends};
use conclave_proto::account::{AccountState, DeviceCert, HybridSignature, verify_ed25519};
use conclave_proto::hello::{ConnectionContext, Purpose, register_fields};
use conclave_proto::id::{
    ChallengeId, Day, DeviceId, Epoch, Hash32, Incarnation, LogId, Seq, ServerId,
};
use conclave_proto::log::{CommitEntry, Head, chain_start, head_signing_input};
use conclave_proto::{codec, label};

const LOG: LogId = LogId::new([3; 32]);

fn intro(from: &Person, to: &Person) -> Intro {
    let recipient = IntroFor {
        account_id: to.own.account_id,
        device_id: to.own.device_id,
        log_id: LOG,
        day: Day::of_ms(NOW_MS),
    };
    let greeting = Greeting {
        name: "Anna".into(),
        identifier: "anna@example.org".parse().unwrap(),
        capability: Capability::random(&FixedEnv::new(6)),
        first: None,
    };
    Intro::sign(&from.own, &from.state, &from.cert, &recipient, &greeting).unwrap()
}

fn pointer(from: &Person, to: &Person) -> WelcomePointer {
    let env = FixedEnv::new(5);
    WelcomePointer {
        log_id: LOG,
        welcome: sealed_blob::seal(b"welcome", &env).unwrap().0,
        tree: sealed_blob::seal(b"tree", &env).unwrap().0,
        epoch: Epoch(1),
        start_seq: Seq(0),
        start_hash: chain_start(SERVER, LOG),
        kind: conclave_core::conversation::ConversationKind::Direct,
        name_bytes: vec![].into(),
        successor_of: None,
        intro: intro(from, to),
    }
}

/// Whether a parser takes these bytes.
type Parses = Box<dyn Fn(&[u8]) -> bool>;

/// Each object that is parsed from outside, with its parser.
fn objects() -> Vec<(&'static str, Vec<u8>, Parses)> {
    let (ana, ben) = (Person::new(1), Person::new(2));
    let (mut side, _) = friends();
    let entry = side.self_update().entry;
    let book = Book::of(&[&ana]);
    let package = Side::new(1, &[]).key_package(false);
    vec![
        (
            "account state",
            ana.state.to_bytes(),
            Box::new(|bytes| AccountState::parse(bytes).is_ok()),
        ),
        (
            "device certificate",
            ana.cert.to_bytes(),
            Box::new(|bytes| DeviceCert::parse(bytes).is_ok()),
        ),
        (
            "credential",
            ana.own.credential().to_bytes(),
            Box::new(|bytes| Credential::parse(bytes).is_ok()),
        ),
        (
            "intro",
            codec::encode(&intro(&ana, &ben)),
            Box::new(|bytes| codec::parse_exact::<Intro>(bytes).is_ok()),
        ),
        (
            "welcome pointer",
            codec::encode(&pointer(&ana, &ben)),
            Box::new(|bytes| codec::parse_exact::<WelcomePointer>(bytes).is_ok()),
        ),
        (
            "commit entry",
            entry,
            Box::new(|bytes| codec::parse_exact::<CommitEntry>(bytes).is_ok()),
        ),
        (
            "registration proof",
            codec::encode(&ana.identity.sign("label", b"content")),
            Box::new(|bytes| codec::parse_exact::<HybridSignature>(bytes).is_ok()),
        ),
        (
            "key package",
            package,
            Box::new(move |bytes| key_package::check(bytes, &book, NOW_MS).is_ok()),
        ),
    ]
}

/// Cut at any byte or followed by one more, no object parses; whole, each does.
#[test]
fn c003_objects_parse_whole_or_not_at_all() {
    for (what, whole, parses) in objects() {
        assert!(parses(&whole), "{what}");
        for cut in bytes::truncated(&whole) {
            assert!(!parses(cut), "{what} of {} bytes", cut.len());
        }
        for more in [&[0][..], &[1], &whole] {
            assert!(!parses(&bytes::with_tail(&whole, more)), "{what}");
        }
    }
}

/// A length that lies about what follows, wherever it stands, makes no parser panic or believe it.
#[test]
fn c003_lying_lengths_are_refused() {
    for (what, whole, parses) in objects() {
        for place in (0..whole.len()).step_by(5) {
            for lie in [0x00, 0x3f, 0x40, 0x7f, 0xbf, 0xff] {
                let mut lying = whole.clone();
                lying[place] = lie;
                if lying == whole || !parses(&lying) {
                    continue;
                }
                // what still parses has the same shape: no length of it was touched
                let mut longer = lying.clone();
                longer.push(0);
                assert!(!parses(&longer), "{what} at {place}");
            }
        }
    }
}

/// An unknown version or suite is refused by the parser or the check, however well signed.
#[test]
fn c002_unknown_versions_and_suites_are_refused() {
    let (ana, ben) = (Person::new(1), Person::new(2));
    for suite in [0, 1, 3, u16::MAX] {
        let state = objects::state(&ana.state, &ana.identity, |content| content.suite = suite);
        assert!(AccountState::parse(&state.to_bytes()).is_err());
        let cert = objects::cert(&ana.cert, &ana.identity, &ana.own.secret, |content| {
            content.suite = suite;
        });
        assert!(DeviceCert::parse(&cert.to_bytes()).is_err());
        let state = objects::state(&ana.state, &ana.identity, |content| {
            content.identity.suite = suite;
        });
        assert!(state.verify(SERVER).is_err());
    }
    for version in [0, 2, u8::MAX] {
        let secret = &ana.own.secret;
        let forged = objects::intro(&intro(&ana, &ben), Some(secret), |content| {
            content.version = version;
        });
        assert!(forged.verify(&ben.own, LOG, Day::of_ms(NOW_MS)).is_err());
    }
    let (mut side, mut other) = friends();
    for version in [0, 2, u16::MAX] {
        let raw = side.forge(|member| {
            let raw = member.commit(|builder| builder);
            let mut head = member.head(&raw.commit, &raw.next);
            head.version = version;
            codec::encode(&member.entry(head, &raw.commit, &raw.next))
        });
        assert!(other.try_apply(&raw).is_err());
        side.with(|chat, outside, _| chat.drop_pending(outside).unwrap());
    }
}

/// One of the two signatures missing, cut, of somebody else, or both swapped: no state and no certificate.
#[test]
fn c013_one_of_two_signatures_is_none() {
    let (ana, eve) = (Person::new(1), Person::new(3));
    let content = codec::encode(&ana.state.content);
    let foreign = eve.identity.sign(label::ACCOUNT_STATE, &content);
    for signature in broken_signatures(&ana.state.signature, &foreign) {
        let state = AccountState {
            signature,
            ..ana.state.clone()
        };
        assert!(state.verify(SERVER).is_err());
        assert!(KnownAccount::new(SERVER, state, vec![]).is_err());
    }
    let content = codec::encode(&ana.cert.content);
    let foreign = eve.identity.sign(label::DEVICE_CERT, &content);
    for signature in broken_signatures(&ana.cert.identity_signature, &foreign) {
        let cert = DeviceCert {
            identity_signature: signature,
            ..ana.cert.clone()
        };
        assert!(cert.verify(&ana.identity.public()).is_err());
    }
}

/// What a key signed for one purpose is worth nothing for another: every label, every kind of proof.
#[test]
fn c005_signatures_do_not_travel_between_objects() {
    let ana = Person::new(1);
    let identity = ana.identity.public();
    let labels = [
        label::ACCOUNT_STATE,
        label::ACCOUNT_STATE_ROTATION,
        label::DEVICE_CERT,
        label::DEVICE_CERT_POSSESSION,
        label::INTRO,
        label::CONNECTION_PROOF,
        label::BUNDLE_OLD,
        label::BUNDLE_NEW,
        label::BUNDLE_BINDING,
        label::LOG_HEAD,
    ];
    let content = codec::encode(&ana.state.content);
    let cert_content = codec::encode(&ana.cert.content);
    for other in labels {
        let signature = ana.identity.sign(other, &content);
        let state = AccountState {
            signature,
            ..ana.state.clone()
        };
        assert_eq!(state.verify(SERVER).is_ok(), other == label::ACCOUNT_STATE);
        let identity_signature = ana.identity.sign(other, &cert_content);
        let cert = DeviceCert {
            identity_signature,
            ..ana.cert.clone()
        };
        assert_eq!(cert.verify(&identity).is_ok(), other == label::DEVICE_CERT);
        let possession = codec::encode(&ana.cert.content.possession());
        let possession_signature = ana.own.secret.sign(other, &possession).into();
        let cert = DeviceCert {
            possession_signature,
            ..ana.cert.clone()
        };
        let holds = other == label::DEVICE_CERT_POSSESSION;
        assert_eq!(cert.verify(&identity).is_ok(), holds);
        let device = &ana.own.secret;
        let intro = objects::intro(&intro(&ana, &Person::new(2)), None, |_| {});
        let mut raw: objects::RawIntro = codec::parse_exact(&codec::encode(&intro)).unwrap();
        raw.signature = device.sign(other, &codec::encode(&raw.content)).into();
        let intro: Intro = codec::parse_exact(&codec::encode(&raw)).unwrap();
        let verified = intro.verify(&Person::new(2).own, LOG, Day::of_ms(NOW_MS));
        assert_eq!(verified.is_ok(), other == label::INTRO, "{other}");
    }
}

/// A proof made for one purpose, connection, server or code does not hold for another.
#[test]
fn c007_proofs_hold_for_one_purpose_on_one_connection() {
    let ana = Person::new(1);
    let context = |server: u8, client: u8, nonce: u8, binding: u8| ConnectionContext {
        server_id: ServerId::new([server; 32]),
        client_nonce: [client; 32],
        server_nonce: [nonce; 32],
        binding: vec![binding; 32],
    };
    let challenge = ChallengeId::new([1; 16]);
    let fields = register_fields(challenge, "123456", ana.state.hash());
    let here = context(1, 2, 3, 4);
    let proof = ana
        .identity
        .sign_input(&here.proof_input(Purpose::Register, &fields));
    let holds = |input: &[u8]| ana.identity.public().verify_input(input, &proof).is_ok();
    assert!(holds(&here.proof_input(Purpose::Register, &fields)));
    for purpose in [Purpose::Account, Purpose::CreateLog, Purpose::OpenLog] {
        assert!(!holds(&here.proof_input(purpose, &fields)));
    }
    for elsewhere in [
        context(9, 2, 3, 4),
        context(1, 9, 3, 4),
        context(1, 2, 9, 4),
        context(1, 2, 3, 9),
    ] {
        assert!(!holds(&elsewhere.proof_input(Purpose::Register, &fields)));
    }
    for other in [
        register_fields(challenge, "123457", ana.state.hash()),
        register_fields(ChallengeId::new([2; 16]), "123456", ana.state.hash()),
        register_fields(challenge, "123456", Hash32::new([1; 32])),
    ] {
        assert!(!holds(&here.proof_input(Purpose::Register, &other)));
    }
}

/// The parts of a commit entry cannot stand in for one another, and it holds for one server, log, epoch and key.
#[test]
fn c023_entries_hold_for_one_place_and_each_signature_for_one_purpose() {
    let (mut side, _) = friends();
    let bytes = side.self_update().entry;
    let access = side.chat().access_key().unwrap().public();
    let log_id = side.chat().log_id();
    let entry: CommitEntry = codec::parse_exact(&bytes).unwrap();
    assert!(entry.verify(SERVER, log_id, Epoch(1), &access));
    assert!(!entry.verify(ServerId::new([9; 32]), log_id, Epoch(1), &access));
    assert!(!entry.verify(SERVER, LOG, Epoch(1), &access));
    assert!(!entry.verify(SERVER, log_id, Epoch(2), &access));
    assert!(!entry.verify(SERVER, log_id, Epoch(1), &entry.head.next_access_key));
    let mut swapped = entry.clone();
    std::mem::swap(&mut swapped.old_signature, &mut swapped.new_signature);
    assert!(!swapped.verify(SERVER, log_id, Epoch(1), &access));
    let mut other_commit = entry.clone();
    other_commit.commit = vec![1, 2, 3].into();
    assert!(!other_commit.verify(SERVER, log_id, Epoch(1), &access));
    let changes: [fn(&mut CommitEntry); 5] = [
        |entry| entry.head.base_seq = Seq(8),
        |entry| entry.head.base_hash = Hash32::new([8; 32]),
        |entry| entry.head.retention_days = 7,
        |entry| entry.head.next_access_key = [8; 32],
        |entry| entry.old_signature = entry.new_signature.clone(),
    ];
    for change in changes {
        let mut changed = entry.clone();
        change(&mut changed);
        assert!(!changed.verify(SERVER, log_id, Epoch(1), &access));
    }
}

/// A signed head is of one server and log, and of every one of its fields.
#[test]
fn c027_heads_hold_for_one_log() {
    let server = Person::new(1).own.secret;
    let head = Head {
        epoch: Epoch(1),
        seq: Seq(2),
        hash: Hash32::new([3; 32]),
        incarnation: Incarnation(4),
    };
    let signature = server.sign_input(&head_signing_input(SERVER, LOG, &head));
    let holds = |server_id, log_id, head: Head| {
        let input = head_signing_input(server_id, log_id, &head);
        verify_ed25519(&server.leaf_key(), &input, &signature)
    };
    assert!(holds(SERVER, LOG, head));
    assert!(!holds(ServerId::new([9; 32]), LOG, head));
    assert!(!holds(SERVER, LogId::new([9; 32]), head));
    let others = [
        Head {
            epoch: Epoch(2),
            ..head
        },
        Head {
            seq: Seq(3),
            ..head
        },
        Head {
            hash: Hash32::new([4; 32]),
            ..head
        },
        Head {
            incarnation: Incarnation(5),
            ..head
        },
    ];
    assert!(others.iter().all(|other| !holds(SERVER, LOG, *other)));
}

/// Well-signed states that contradict themselves, and certificates that say too much, are refused.
#[test]
fn c014_well_signed_contradictions_are_refused() {
    let ana = Person::new(1);
    let state = |change: fn(&mut conclave_proto::account::AccountStateContent)| {
        objects::state(&ana.state, &ana.identity, change).verify(SERVER)
    };
    assert!(state(|_| {}).is_ok());
    assert!(state(|content| content.seq = 0).is_err());
    assert!(state(|content| content.seq = 2).is_err());
    assert!(state(|content| content.prev_hash = Hash32::new([1; 32])).is_err());
    assert!(state(|content| content.flags = 2).is_err());
    assert!(state(|content| content.devices.push(content.devices[0])).is_err());
    assert!(state(|content| content.server_id = ServerId::new([9; 32])).is_err());
    let many = |content: &mut conclave_proto::account::AccountStateContent| {
        let entry = content.devices[0];
        content.devices = (0..11)
            .map(|id| conclave_proto::account::DeviceEntry {
                device_id: DeviceId::new([id; 16]),
                ..entry
            })
            .collect();
    };
    assert!(
        objects::state(&ana.state, &ana.identity, many)
            .verify(SERVER)
            .is_err()
    );
}
