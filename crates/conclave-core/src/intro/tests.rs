//! An intro holds for one recipient, log and time, or not at all.

use super::*;
use crate::fixture::{FixedEnv, NOW_MS, Person};
use conclave_proto::account::HybridSignature;
use conclave_proto::id::Hash32;

/// The log that intros here are about.
pub(crate) const LOG: LogId = LogId::new([3; 32]);

/// Today, in these tests.
pub(crate) fn today() -> Day {
    Day::of_ms(NOW_MS)
}

fn recipient(to: &Person) -> IntroFor {
    IntroFor {
        account_id: to.own.account_id,
        device_id: to.own.device_id,
        log_id: LOG,
        day: today(),
    }
}

fn greeting() -> Greeting {
    Greeting {
        name: "Anna".into(),
        identifier: "anna@example.org".parse().unwrap(),
        capability: Capability::random(&FixedEnv::new(6)),
        first: Some(FirstText {
            message_id: MessageId::new([9; 16]),
            sent_ms: NOW_MS,
            body: "x".repeat(INTRO_TEXT_BYTES_MAX),
        }),
    }
}

/// A good intro from one person to another.
pub(crate) fn intro(from: &Person, to: &Person) -> Intro {
    Intro::sign(
        &from.own,
        &from.state,
        &from.cert,
        &recipient(to),
        &greeting(),
    )
    .unwrap()
}

fn people() -> (Person, Person) {
    (Person::new(1), Person::new(2))
}

/// A good intro gives back what was said, and survives its encoding.
#[test]
fn c039_accepts_a_good_intro() {
    let (from, to) = people();
    let bytes = codec::encode(&intro(&from, &to));
    let read: Intro = codec::parse_exact(&bytes).unwrap();
    let introduced = read.verify(&to.own, LOG, today()).unwrap();
    assert_eq!(introduced.greeting, greeting());
    assert_eq!(introduced.device_id, from.own.device_id);
    assert_eq!(introduced.sender, from.known());
    assert_eq!(format!("{read:?}"), "Intro");
}

/// Passed on to another person, device or log, an intro is refused.
#[test]
fn c039_is_for_one_recipient_and_log() {
    let (from, to) = people();
    let good = intro(&from, &to);
    let third = Person::new(3);
    let mut second_device = Person::new(2);
    second_device.own.device_id = DeviceId::new([7; 16]);
    let mut other_account = Person::new(2);
    other_account.own.account_id = AccountId::new([7; 16]);
    for own in [&third.own, &second_device.own, &other_account.own] {
        assert_eq!(good.verify(own, LOG, today()), Err(IntroError::NotForUs));
    }
    let other_log = LogId::new([4; 32]);
    assert_eq!(
        good.verify(&to.own, other_log, today()),
        Err(IntroError::NotForUs)
    );
}

/// An intro is good for 30 days and a day of clock skew.
#[test]
fn c039_is_for_its_time() {
    let (from, to) = people();
    let good = intro(&from, &to);
    let made = today().0;
    for (day, holds) in [
        (made - 2, false),
        (made - 1, true),
        (made + 30, true),
        (made + 31, false),
        (u32::MAX, false),
        (0, false),
    ] {
        let verified = good.verify(&to.own, LOG, Day(day));
        assert_eq!(verified.is_ok(), holds, "{day}");
    }
}

/// Changing any byte of an intro, encoded, never gives one that verifies.
#[test]
fn c039_covers_every_byte() {
    let (from, to) = people();
    let bytes = codec::encode(&intro(&from, &to));
    for place in (0..bytes.len()).step_by(61) {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        if let Ok(read) = codec::parse_exact::<Intro>(&changed) {
            assert!(read.verify(&to.own, LOG, today()).is_err(), "{place}");
        }
    }
}

/// Our own side refuses to make what the other would refuse.
#[test]
fn refuses_to_sign_what_is_too_long() {
    let (from, to) = people();
    let sign = |greeting: &Greeting| {
        Intro::sign(
            &from.own,
            &from.state,
            &from.cert,
            &recipient(&to),
            greeting,
        )
        .err()
    };
    let mut long_text = greeting();
    if let Some(first) = &mut long_text.first {
        first.body.push('x');
    }
    assert_eq!(sign(&long_text), Some(IntroError::TextTooLong));
    let long_name = Greeting {
        name: "x".repeat(NAME_BYTES_MAX + 1),
        ..greeting()
    };
    assert_eq!(sign(&long_name), Some(IntroError::NameTooLong));
}

/// The encoding that a device signs is the committed one.
#[test]
fn intro_encoding_stays() {
    let (from, to) = people();
    let mut content = intro(&from, &to).content;
    // signatures are randomised: leave them out, and the hash over them
    content.state.content.devices[0].cert_hash = Hash32::new([1; 32]);
    content.state.signature = no_signature();
    content.cert.identity_signature = no_signature();
    content.first = None;
    let bytes = codec::encode(&content);
    insta::assert_snapshot!(bytes.len(), @"3740");
    insta::assert_snapshot!(label::sha256(&bytes), @"h_2aec4ec60fabe7a2388954d2e14ba0e3522f272db81b92db7076195e3e882ffa");
}

fn no_signature() -> HybridSignature {
    HybridSignature {
        ed25519: vec![].into(),
        mldsa65: vec![].into(),
    }
}
