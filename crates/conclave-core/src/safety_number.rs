//! The 60 digits that two people compare to know that nobody sits between them.

use core::fmt;

use aws_lc_rs::digest::{Context, SHA512, digest};
use conclave_proto::account::IdentityKey;
use conclave_proto::id::IdentityFingerprint;
use conclave_proto::{codec, label};

/// Rounds of SHA-512 over each key: makes finding a key with the same digits dearer (Signal's count).
const ROUNDS: u32 = 5_200;
/// Digits of each half.
const HALF_DIGITS: usize = 30;
/// Version of [`SafetyNumber::qr_payload`].
pub const QR_VERSION: u8 = 1;

/// A safety number: depends on the two identity keys alone, so devices come and go without changing it.
#[derive(Clone, PartialEq, Eq)]
pub struct SafetyNumber {
    digits: String,
    fingerprints: [IdentityFingerprint; 2],
}

/// Bytes that no picture of a safety number holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the picture holds something else than a safety number of this version")]
pub struct NotAPicture;

/// Text that cannot be a safety number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a safety number: it has 60 digits, spaces do not matter")]
pub struct NotASafetyNumber;

impl SafetyNumber {
    /// The number of two people; the order does not matter. Takes some ten milliseconds.
    pub fn of(one: &IdentityKey, other: &IdentityKey) -> Self {
        let mut halves = [half(one), half(other)];
        halves.sort();
        let mut fingerprints = [one.fingerprint(), other.fingerprint()];
        fingerprints.sort();
        Self {
            digits: halves.concat(),
            fingerprints,
        }
    }

    /// The 60 digits without spaces.
    pub fn digits(&self) -> &str {
        &self.digits
    }

    /// What the picture holds: version and both full fingerprints, sorted; 65 bytes.
    pub fn qr_payload(&self) -> Vec<u8> {
        let [first, second] = &self.fingerprints;
        [[QR_VERSION].as_slice(), first.as_bytes(), second.as_bytes()].concat()
    }

    /// Whether `text`, as the other person read or typed it, is this number. White space does not matter.
    pub fn compare(&self, text: &str) -> Result<bool, NotASafetyNumber> {
        let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        if digits.len() != 2 * HALF_DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NotASafetyNumber);
        }
        Ok(digits == self.digits)
    }

    /// Whether `payload`, as read from the other person's picture, is this number's. It holds both fingerprints
    /// whole, in an order that is the same for both people.
    pub fn compare_picture(&self, payload: &[u8]) -> Result<bool, NotAPicture> {
        match payload.split_first() {
            Some((&QR_VERSION, prints)) if prints.len() == 64 => Ok(payload == self.qr_payload()),
            _ => Err(NotAPicture),
        }
    }
}

impl fmt::Display for SafetyNumber {
    /// Twelve groups of five digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, digit) in self.digits.chars().enumerate() {
            if place > 0 && place % 5 == 0 {
                f.write_str(" ")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SafetyNumber")
    }
}

/// 30 digits of one key: `d_1 = SHA-512(label<V> ‖ key<V>)`, `d_i = SHA-512(d_{i-1} ‖ key)`, six times five bytes.
fn half(key: &IdentityKey) -> String {
    let key = codec::encode(key);
    let mut hash = digest(&SHA512, &label::signing_input(label::SAFETY_NUMBER, &key));
    for _ in 1..ROUNDS {
        let mut context = Context::new(&SHA512);
        context.update(hash.as_ref());
        context.update(&key);
        hash = context.finish();
    }
    let groups: Vec<_> = hash
        .as_ref()
        .chunks_exact(5)
        .take(HALF_DIGITS / 5)
        .map(|five| {
            let number = five
                .iter()
                .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
            format!("{:05}", number % 100_000)
        })
        .collect();
    groups.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{NOW_MS, Person};

    fn keys() -> (IdentityKey, IdentityKey) {
        (
            Person::new(1).identity.public(),
            Person::new(2).identity.public(),
        )
    }

    /// Both people see the same number and picture; a second program over the same keys (Python, hashlib) gave the
    /// digits committed here.
    #[test]
    fn both_see_the_same() {
        let (one, other) = keys();
        let number = SafetyNumber::of(&one, &other);
        assert_eq!(number, SafetyNumber::of(&other, &one));
        assert_eq!(
            number.qr_payload(),
            SafetyNumber::of(&other, &one).qr_payload()
        );
        assert_eq!(number.qr_payload().len(), 65);
        assert_eq!(number.digits().len(), 60);
        insta::assert_snapshot!(number.to_string(), @"91773 29741 58682 48001 42651 32157 96218 62548 72573 32842 72572 81286");
    }

    /// Either half of either identity key changes the number.
    #[test]
    fn covers_both_halves_of_a_key() {
        let (one, other) = keys();
        let number = SafetyNumber::of(&one, &other);
        let third = Person::new(3).identity.public();
        for mixed in [
            IdentityKey {
                ed25519: third.ed25519,
                ..one.clone()
            },
            IdentityKey {
                mldsa65: third.mldsa65.clone(),
                ..one.clone()
            },
        ] {
            let changed = SafetyNumber::of(&mixed, &other);
            assert_ne!(changed.digits(), number.digits());
            assert_ne!(changed.qr_payload(), number.qr_payload());
        }
    }

    /// A new state of the same account does not change the number.
    #[test]
    fn devices_do_not_change_it() {
        let (one, other) = (Person::new(1), Person::new(2));
        let state = one.identity.next_state(&one.state, &[], NOW_MS);
        assert_eq!(
            SafetyNumber::of(&state.content.identity, &other.identity.public()),
            SafetyNumber::of(&one.state.content.identity, &other.identity.public())
        );
    }

    /// Comparing ignores spaces, says no to another number and refuses what is none.
    #[test]
    fn compares_what_people_type() {
        let (one, other) = keys();
        let number = SafetyNumber::of(&one, &other);
        assert_eq!(number.compare(&number.to_string()), Ok(true));
        assert_eq!(number.compare(&format!(" {}\n", number.digits())), Ok(true));
        let mut wrong = number.digits().to_owned();
        let last = if wrong.ends_with('0') { "1" } else { "0" };
        wrong.replace_range(59.., last);
        assert_eq!(number.compare(&wrong), Ok(false));
        assert_eq!(number.compare(&wrong[1..]), Err(NotASafetyNumber));
        assert_eq!(number.compare(&"x".repeat(60)), Err(NotASafetyNumber));
    }

    /// A picture is that of both people, of others, or none at all.
    #[test]
    fn compares_pictures() {
        let (one, other) = keys();
        let number = SafetyNumber::of(&one, &other);
        let picture = SafetyNumber::of(&other, &one).qr_payload();
        assert_eq!(number.compare_picture(&picture), Ok(true));
        let third = Person::new(3).identity.public();
        let others = SafetyNumber::of(&one, &third).qr_payload();
        assert_eq!(number.compare_picture(&others), Ok(false));
        let mut newer = picture.clone();
        newer[0] = 2;
        for none in [
            &picture[1..],
            &newer,
            b"",
            b"https://example.org/",
            &[1; 66],
        ] {
            assert_eq!(number.compare_picture(none), Err(NotAPicture));
        }
    }
}
