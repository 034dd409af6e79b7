//! One message: signed and encrypted by its sender, checked by the server, checked again and opened by its
//! recipient.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::content;
use crate::keys::{PrivateKey, PublicKey, Refused};
use crate::signed;
use crate::suite::Suite;

/// How far a message's time may be from the server's clock, seconds.
pub const TIMESTAMP_SLACK_S: u64 = 600;

/// A message as it travels. Binary fields are base64 (standard, padded).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Phone of who wrote it.
    pub sender_id: String,
    /// Phone of whom it is for.
    pub recipient_id: String,
    /// iv ‖ the text under the message's AES key.
    pub encrypted_content: String,
    /// The AES key, wrapped to the recipient's key.
    pub encrypted_aes_key: String,
    /// By the sender's key, over all the other fields and the suite.
    pub signature: String,
    /// When it was written, Unix seconds.
    pub timestamp: u64,
}

/// A message that its recipient, or the server, does not accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A field is not base64.
    #[error("a field is not base64: use the standard alphabet with padding")]
    Base64,
    /// The signature is not by the sender's key over this message.
    #[error("the signature is not by the sender's key over this message")]
    Signature,
    /// The keys are of different suites.
    #[error("sender and recipient use different suites: they cannot write to each other")]
    Suite,
    /// It does not open: not for this key, or changed. Which step failed is not told.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The text is not UTF-8.
    #[error("the text is not UTF-8")]
    Text,
}

/// Base64 as the protocol writes it.
pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Bytes of base64 as the protocol writes it.
pub fn from_base64(text: &str) -> Result<Vec<u8>, MessageError> {
    STANDARD.decode(text).map_err(|_| MessageError::Base64)
}

impl Message {
    /// Encrypts `text` to `recipient` under a fresh AES key and signs the whole. `at` is Unix seconds.
    pub fn seal(
        (sender_id, sender): (&str, &PrivateKey),
        (recipient_id, recipient): (&str, &PublicKey),
        text: &str,
        at: u64,
    ) -> Result<Self, MessageError> {
        let suite = sender.suite();
        if recipient.suite() != suite {
            return Err(MessageError::Suite);
        }
        let mut key = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(key.as_mut()).map_err(|_| Refused)?;
        let info = signed::key_info(sender_id, recipient_id);
        let mut message = Self {
            sender_id: sender_id.to_owned(),
            recipient_id: recipient_id.to_owned(),
            encrypted_content: to_base64(&content::seal(suite, &key, text.as_bytes())?),
            encrypted_aes_key: to_base64(&recipient.wrap(&info, key.as_ref())?),
            signature: String::new(),
            timestamp: at,
        };
        message.signature = to_base64(&sender.sign(&message.signed_text(suite))?);
        Ok(message)
    }

    /// Checks the sender's signature: first thing, before anything is decrypted.
    pub fn verify(&self, sender: &PublicKey) -> Result<(), MessageError> {
        let signature = from_base64(&self.signature)?;
        sender
            .verify(&self.signed_text(sender.suite()), &signature)
            .map_err(|_| MessageError::Signature)
    }

    /// Checks everything again and gives the text.
    pub fn open(&self, own: &PrivateKey, sender: &PublicKey) -> Result<String, MessageError> {
        let suite = own.suite();
        if sender.suite() != suite {
            return Err(MessageError::Suite);
        }
        self.verify(sender)?;
        let wrapped = from_base64(&self.encrypted_aes_key)?;
        let sealed = from_base64(&self.encrypted_content)?;
        let info = signed::key_info(&self.sender_id, &self.recipient_id);
        let key = own.unwrap(&info, &wrapped)?;
        let key = <&[u8; 32]>::try_from(key.as_slice()).map_err(|_| Refused)?;
        let text = content::open(suite, key, &sealed)?;
        String::from_utf8(text.to_vec()).map_err(|_| MessageError::Text)
    }

    /// The id of this message: from what is signed, so that the same message has the same id however often it
    /// is sent, and however its signature is written. 32 hex digits.
    pub fn id(&self, suite: Suite) -> String {
        let hash = digest(&SHA256, &self.signed_text(suite));
        hex::encode(hash.as_ref().get(..16).unwrap_or_default())
    }

    fn signed_text(&self, suite: Suite) -> Vec<u8> {
        signed::text(&[
            "message",
            suite.as_str(),
            &self.sender_id,
            &self.recipient_id,
            &self.timestamp.to_string(),
            &self.encrypted_aes_key,
            &self.encrypted_content,
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: &str = "+491700000001";
    const BEN: &str = "+491700000002";

    struct Pair {
        anna: PrivateKey,
        ben: PrivateKey,
    }

    fn pair(suite: Suite) -> Pair {
        let [anna, ben] = [(); 2].map(|()| PrivateKey::generate(suite).unwrap());
        Pair { anna, ben }
    }

    fn message(pair: &Pair, text: &str) -> Message {
        Message::seal(
            (ANNA, &pair.anna),
            (BEN, pair.ben.public()),
            text,
            1_700_000_000,
        )
        .unwrap()
    }

    /// In both suites the recipient reads what was written; nobody else does.
    #[test]
    fn the_recipient_alone_reads() {
        for suite in Suite::ALL {
            let pair = pair(suite);
            let stranger = PrivateKey::generate(suite).unwrap();
            for text in ["", "hello", "grüße\n\u{1f980}", &"x".repeat(100_000)] {
                let message = message(&pair, text);
                assert_eq!(message.open(&pair.ben, pair.anna.public()).unwrap(), text);
                assert!(message.open(&stranger, pair.anna.public()).is_err());
                assert!(message.open(&pair.ben, stranger.public()).is_err());
            }
        }
    }

    /// Each field is under the signature: changed in any way, the message is refused as not signed.
    #[test]
    fn every_field_is_signed() {
        for suite in Suite::ALL {
            let pair = pair(suite);
            let good = message(&pair, "hello");
            let other = message(&pair, "other");
            let changed = [
                Message {
                    sender_id: BEN.to_owned(),
                    ..good.clone()
                },
                Message {
                    recipient_id: ANNA.to_owned(),
                    ..good.clone()
                },
                Message {
                    encrypted_content: other.encrypted_content.clone(),
                    ..good.clone()
                },
                Message {
                    encrypted_aes_key: other.encrypted_aes_key.clone(),
                    ..good.clone()
                },
                Message {
                    signature: other.signature.clone(),
                    ..good.clone()
                },
                Message {
                    timestamp: good.timestamp + 1,
                    ..good.clone()
                },
            ];
            for message in changed {
                assert_eq!(
                    message.open(&pair.ben, pair.anna.public()),
                    Err(MessageError::Signature)
                );
            }
            let short = Message {
                signature: "AAAA".to_owned(),
                ..good.clone()
            };
            assert_eq!(
                short.verify(pair.anna.public()),
                Err(MessageError::Signature)
            );
            let broken = Message {
                signature: "not base64!".to_owned(),
                ..good
            };
            assert_eq!(broken.verify(pair.anna.public()), Err(MessageError::Base64));
        }
    }

    /// A sender who signs nonsense gets one and the same answer, whichever step fails.
    #[test]
    fn which_step_failed_is_not_told() {
        for suite in Suite::ALL {
            let pair = pair(suite);
            let good = message(&pair, "hello");
            let garbage = to_base64(&[7; 256]);
            let keys = [garbage.clone(), to_base64(&[4; 65]), String::new()];
            for encrypted_aes_key in keys {
                let mut message = Message {
                    encrypted_aes_key,
                    ..good.clone()
                };
                let signature = pair.anna.sign(&message.signed_text(suite)).unwrap();
                message.signature = to_base64(&signature);
                assert_eq!(
                    message.open(&pair.ben, pair.anna.public()),
                    Err(MessageError::Refused(Refused))
                );
            }
        }
    }

    /// The id is of what was said and not of how the signature is written; suites never cross.
    #[test]
    fn ids_follow_from_what_is_signed() {
        let (rsa, ec) = (pair(Suite::Rsa), pair(Suite::Ec));
        let one = message(&ec, "hello");
        let signature = to_base64(&ec.anna.sign(&one.signed_text(Suite::Ec)).unwrap());
        assert_ne!(signature, one.signature, "ECDSA draws a nonce");
        let again = Message {
            signature,
            ..one.clone()
        };
        assert_eq!(again.id(Suite::Ec), one.id(Suite::Ec));
        assert_ne!(message(&ec, "hello").id(Suite::Ec), one.id(Suite::Ec));
        assert_eq!(
            Message::seal((ANNA, &rsa.anna), (BEN, ec.ben.public()), "x", 1),
            Err(MessageError::Suite)
        );
    }
}
