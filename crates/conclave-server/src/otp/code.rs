//! How codes and invites are made, and what the database may know of them (C-043).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use conclave_proto::env::Env;
use conclave_proto::id::{ChallengeId, Hash32};
use conclave_proto::identifier::Identifier;
use conclave_proto::label;

use crate::keys::Pepper;

/// Label of the MAC that a code follows from.
const CODE_SOURCE: &str = "conclave/1 otp-code-source";
/// Label of the key that seals identifiers in challenge rows.
const IDENTIFIER_KEY: &str = "conclave/1 otp-identifier-key";
/// Label of an invite token's hash.
const INVITE: &str = "conclave/1 invite";
/// 32 letters that people do not mix up: no I, O, 0, 1.
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const MAIL_CODE_LETTERS: usize = 8;
const INVITE_LETTERS: usize = 16;
const NONCE_BYTES: usize = 12;

/// The code that belongs to a challenge: 6 digits by phone, 8 letters by mail.
pub(crate) fn code_for(pepper: &Pepper, challenge: ChallengeId, identifier: &Identifier) -> String {
    let mac = pepper.mac(CODE_SOURCE, challenge.as_bytes());
    if identifier.is_email() {
        letters(mac.iter().copied().take(MAIL_CODE_LETTERS))
    } else {
        let number = u64::from_be_bytes(mac.first_chunk().copied().unwrap_or_default());
        format!("{:06}", number % 1_000_000)
    }
}

/// What the database keeps of a code (C-043).
pub(crate) fn code_mac(pepper: &Pepper, challenge: ChallengeId, code: &str) -> [u8; 32] {
    let content = [challenge.as_bytes().as_slice(), code.as_bytes()].concat();
    pepper.mac(label::OTP_CODE, &content)
}

/// What the database keeps of an identifier that asked for a code.
pub(crate) fn identifier_hash(pepper: &Pepper, identifier: &Identifier) -> [u8; 32] {
    pepper.mac(label::OTP_IDENTIFIER, identifier.as_str().as_bytes())
}

/// The identifier, sealed under a key outside the database.
pub(crate) fn seal_identifier(
    pepper: &Pepper,
    identifier: &Identifier,
    env: &dyn Env,
) -> Option<Vec<u8>> {
    let mut nonce = [0; NONCE_BYTES];
    env.fill(&mut nonce);
    let mut sealed = identifier.as_str().as_bytes().to_vec();
    sealing_key(pepper)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::empty(),
            &mut sealed,
        )
        .ok()?;
    Some([nonce.as_slice(), &sealed].concat())
}

/// Opens what [`seal_identifier`] sealed.
pub(crate) fn open_identifier(pepper: &Pepper, sealed: &[u8]) -> Option<Identifier> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let mut rest = rest.to_vec();
    let plain = sealing_key(pepper)?
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::empty(),
            &mut rest,
        )
        .ok()?;
    Identifier::parse_normalised(std::str::from_utf8(plain).ok()?).ok()
}

fn sealing_key(pepper: &Pepper) -> Option<LessSafeKey> {
    let key = pepper.mac(IDENTIFIER_KEY, &[]);
    UnboundKey::new(&AES_256_GCM, &key)
        .ok()
        .map(LessSafeKey::new)
}

/// A fresh invite token: 16 letters, 80 bits.
pub fn new_invite(env: &dyn Env) -> String {
    let mut bytes = [0; INVITE_LETTERS];
    env.fill(&mut bytes);
    letters(bytes.into_iter())
}

/// What the database keeps of an invite token; case and dashes do not matter.
pub fn invite_hash(token: &str) -> Hash32 {
    let plain: String = token.chars().filter(char::is_ascii_alphanumeric).collect();
    label::hash(INVITE, plain.to_ascii_uppercase().as_bytes())
}

fn letters(bytes: impl Iterator<Item = u8>) -> String {
    bytes
        .filter_map(|byte| ALPHABET.get(usize::from(byte & 31)))
        .map(|&letter| char::from(letter))
        .collect()
}

#[cfg(test)]
mod tests {
    use conclave_proto::env::OsEnv;

    use super::*;

    /// Codes have the shape that people expect, and follow from challenge and pepper alone.
    #[test]
    fn codes_have_their_shape() {
        let pepper = Pepper::new(&[1; 32]);
        let phone = Identifier::phone("+491700000001").unwrap();
        let mail = Identifier::email("a@example.org").unwrap();
        for number in 0..200 {
            let challenge = ChallengeId::new([number; 16]);
            let code = code_for(&pepper, challenge, &phone);
            assert_eq!(code.len(), 6);
            assert!(code.bytes().all(|b| b.is_ascii_digit()));
            let code = code_for(&pepper, challenge, &mail);
            assert_eq!(code.len(), 8);
            assert!(code.bytes().all(|b| ALPHABET.contains(&b)));
            assert_eq!(code, code_for(&pepper, challenge, &mail));
        }
    }

    /// Without the pepper neither code nor identifier can be had from what is stored.
    #[test]
    fn c043_everything_stored_is_under_the_pepper() {
        let (mine, other) = (Pepper::new(&[1; 32]), Pepper::new(&[2; 32]));
        let mail = Identifier::email("a@example.org").unwrap();
        let challenge = ChallengeId::new([3; 16]);
        assert_ne!(
            code_mac(&mine, challenge, "123456"),
            code_mac(&other, challenge, "123456")
        );
        assert_ne!(
            code_for(&mine, challenge, &mail),
            code_for(&other, challenge, &mail)
        );
        assert_ne!(
            identifier_hash(&mine, &mail),
            identifier_hash(&other, &mail)
        );
        let sealed = seal_identifier(&mine, &mail, &OsEnv).unwrap();
        assert!(!sealed.windows(9).any(|w| w == b"a@example"));
        assert_eq!(open_identifier(&mine, &sealed), Some(mail));
        assert_eq!(open_identifier(&other, &sealed), None);
        assert_eq!(open_identifier(&mine, &sealed[..8]), None);
    }

    /// An invite is the same however it was typed.
    #[test]
    fn invites_forgive_typing() {
        let token = new_invite(&OsEnv);
        assert_eq!(token.len(), INVITE_LETTERS);
        let typed = format!("{}-{}", &token[..8], token[8..].to_lowercase());
        assert_eq!(invite_hash(&typed), invite_hash(&token));
        assert_ne!(invite_hash(&new_invite(&OsEnv)), invite_hash(&token));
    }
}
