//! Intros by hostile senders, signed all the same.
#![expect(clippy::unwrap_used, reason = "test helpers")]

use conclave_core::capability::Capability;
use conclave_core::identity::DeviceSecret;
use conclave_core::intro::{FirstText, Greeting, Intro, IntroError, IntroFor};
use conclave_hostile::objects::{self, RawFirst, RawIntroContent};
use conclave_hostile::people::{FixedEnv, NOW_MS, Person, SERVER, device_facts};
use conclave_proto::id::{Day, LogId, MessageId, ServerId};
use conclave_proto::limits::{IDENTIFIER_BYTES_MAX, INTRO_TEXT_BYTES_MAX, NAME_BYTES_MAX};
use tls_codec::VLBytes;

const LOG: LogId = LogId::new([3; 32]);

fn people() -> (Person, Person) {
    (Person::new(1), Person::new(2))
}

/// A good intro from one person to another.
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
        first: Some(FirstText {
            message_id: MessageId::new([9; 16]),
            sent_ms: NOW_MS,
            body: "x".repeat(INTRO_TEXT_BYTES_MAX),
        }),
    };
    Intro::sign(&from.own, &from.state, &from.cert, &recipient, &greeting).unwrap()
}

/// The same after `change`, signed again by the sender's device.
fn resigned(from: &Person, to: &Person, change: impl FnOnce(&mut RawIntroContent)) -> Intro {
    objects::intro(&intro(from, to), Some(&from.own.secret), change)
}

/// Another person's state or certificate, a certificate the state does not list, or another server do not hold.
#[test]
fn c039_state_and_certificate_must_hold() {
    let (from, to) = people();
    let third = Person::new(3);
    let stranger = DeviceSecret::generate(&FixedEnv::new(30));
    let unlisted = from.identity.certify(
        &stranger,
        &device_facts(from.own.account_id, from.own.device_id),
    );
    for forged in [
        resigned(&from, &to, |content| content.state = third.state.clone()),
        resigned(&from, &to, |content| content.cert = third.cert.clone()),
        resigned(&from, &to, |content| content.cert = unlisted),
        resigned(&from, &to, |content| {
            content.state.content.server_id = ServerId::new([9; 32]);
        }),
    ] {
        assert!(matches!(
            forged.verify(&to.own, LOG, Day::of_ms(NOW_MS)),
            Err(IntroError::Sender(_))
        ));
    }
    // all of somebody else's, signed by oneself
    let borrowed = resigned(&from, &to, |content| {
        content.state = third.state.clone();
        content.cert = third.cert.clone();
    });
    assert_eq!(
        borrowed.verify(&to.own, LOG, Day::of_ms(NOW_MS)),
        Err(IntroError::Signature)
    );
    assert_eq!(from.state.content.server_id, SERVER);
}

/// Fields a hostile sender signs all the same: long, not UTF-8, other spelling, other version.
#[test]
fn c039_refuses_hostile_fields() {
    let (from, to) = people();
    let long = |length: usize| VLBytes::from(vec![b'x'; length]);
    for forged in [
        resigned(&from, &to, |content| content.version = 2),
        resigned(&from, &to, |content| {
            content.name = long(NAME_BYTES_MAX + 1);
        }),
        resigned(&from, &to, |content| content.name = vec![0xff].into()),
        resigned(&from, &to, |content| {
            content.identifier = b"Anna@Example.org".as_slice().into();
        }),
        resigned(&from, &to, |content| {
            content.identifier = long(IDENTIFIER_BYTES_MAX + 1);
        }),
        resigned(&from, &to, |content| {
            content.first = Some(RawFirst {
                message_id: MessageId::new([9; 16]),
                sent_ms: 0,
                body: long(INTRO_TEXT_BYTES_MAX + 1),
            });
        }),
    ] {
        assert_eq!(
            forged.verify(&to.own, LOG, Day::of_ms(NOW_MS)),
            Err(IntroError::Malformed)
        );
    }
}
