//! What a signature, hash or derived key is about: one distinct label per object (C-005).

use aws_lc_rs::digest;
use tls_codec::{TlsSerialize, TlsSize, VLByteSlice};

use crate::codec;
use crate::id::Hash32;

/// Identity key signs a device certificate.
pub const DEVICE_CERT: &str = "conclave/1 device-cert";
/// Device key signs its own certificate: proof of possession.
pub const DEVICE_CERT_POSSESSION: &str = "conclave/1 device-cert-possession";
/// Identity key signs an account state.
pub const ACCOUNT_STATE: &str = "conclave/1 account-state";
/// Identity key signs the account state that replaces it.
pub const ACCOUNT_STATE_ROTATION: &str = "conclave/1 account-state-rotation";
/// Hash of an identity key.
pub const IDENTITY_FINGERPRINT: &str = "conclave/1 identity-fingerprint";
/// Hash of a whole signed account state: what the next one's `prev_hash` holds.
pub const ACCOUNT_STATE_HASH: &str = "conclave/1 account-state-hash";
/// Hash of a whole signed device certificate: what an account state lists.
pub const DEVICE_CERT_HASH: &str = "conclave/1 device-cert-hash";
/// Iterated hash of a safety number's half.
pub const SAFETY_NUMBER: &str = "conclave/1 safety-number";
/// Any proof on a connection.
pub const CONNECTION_PROOF: &str = "conclave/1 connection-proof";
/// Access key of the ending epoch signs a bundle head.
pub const BUNDLE_OLD: &str = "conclave/1 bundle-old-epoch";
/// Access key of the new epoch signs the same bundle head.
pub const BUNDLE_NEW: &str = "conclave/1 bundle-new-epoch";
/// Committer's leaf key signs the bundle head, sealed in its binding.
pub const BUNDLE_BINDING: &str = "conclave/1 bundle-binding";
/// Start of a log's chain.
pub const CHAIN_START: &str = "conclave/1 chain-start";
/// Server signs a log head.
pub const LOG_HEAD: &str = "conclave/1 log-head";
/// Device key signs a request's intro.
pub const INTRO: &str = "conclave/1 intro";
/// HPKE info of a sealed inbox item.
pub const INBOX_ITEM: &str = "conclave/1 inbox-item";
/// AEAD additional data of a welcome or tree blob.
pub const WELCOME_BLOB: &str = "conclave/1 welcome-blob";
/// Hash of a new device's offer: the id of its mailbox.
pub const LINK_OFFER: &str = "conclave/1 link-offer";
/// HPKE info of an old device's answer to an offer.
pub const LINK_ANSWER: &str = "conclave/1 link-answer";
/// HPKE info of the account on its way to a new device.
pub const LINK_BUNDLE: &str = "conclave/1 link-bundle";
/// AEAD additional data of a piece of a file.
pub const ATTACHMENT: &str = "conclave/1 attachment";
/// The server's member pass of a day.
pub const MEMBER_PASS: &str = "conclave/1 member-pass";
/// Hash of a member pass, as the open hello shows it.
pub const MEMBER_PASS_HASH: &str = "conclave/1 member-pass-hash";
/// Hash of an account's capability, as the server keeps it.
pub const CAPABILITY_HASH: &str = "conclave/1 capability-hash";
/// Server's keyed hash of an OTP code.
pub const OTP_CODE: &str = "conclave/1 otp-code";
/// Server's keyed hash of an identifier in OTP and limiter rows.
pub const OTP_IDENTIFIER: &str = "conclave/1 otp-identifier";
/// Fields of a create-log proof, hashed: what "same bytes again" means.
pub const CREATE_LOG: &str = "conclave/1 create-log";

/// What is really signed: the label and the content, each with its length.
#[derive(TlsSize, TlsSerialize)]
struct SignContent<'a> {
    label: VLByteSlice<'a>,
    content: VLByteSlice<'a>,
}

/// The bytes a signature is over: `label<V> ‖ content<V>` (RFC 9420 §5.1.2's shape).
pub fn signing_input(label: &str, content: &[u8]) -> Vec<u8> {
    codec::encode(&SignContent {
        label: VLByteSlice(label.as_bytes()),
        content: VLByteSlice(content),
    })
}

/// SHA-256 over `label<V> ‖ content<V>`.
pub fn hash(label: &str, content: &[u8]) -> Hash32 {
    sha256(&signing_input(label, content))
}

/// Plain SHA-256.
#[expect(clippy::expect_used, reason = "SHA-256 is 32 bytes")]
pub fn sha256(bytes: &[u8]) -> Hash32 {
    Hash32::parse(digest::digest(&digest::SHA256, bytes).as_ref()).expect("SHA-256 is 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same content under two labels is two inputs, and moving bytes between label and content is a third.
    #[test]
    fn c005_labels_keep_objects_apart() {
        assert_ne!(
            signing_input(ACCOUNT_STATE, b"x"),
            signing_input(DEVICE_CERT, b"x")
        );
        assert_ne!(signing_input("ab", b"c"), signing_input("a", b"bc"));
        assert_ne!(hash(INTRO, b"x"), sha256(b"x"));
    }

    /// No two objects share a label.
    #[test]
    fn c005_every_label_is_distinct() {
        let labels = [
            DEVICE_CERT,
            DEVICE_CERT_POSSESSION,
            ACCOUNT_STATE_ROTATION,
            ACCOUNT_STATE,
            IDENTITY_FINGERPRINT,
            ACCOUNT_STATE_HASH,
            DEVICE_CERT_HASH,
            SAFETY_NUMBER,
            CONNECTION_PROOF,
            BUNDLE_OLD,
            BUNDLE_NEW,
            BUNDLE_BINDING,
            CHAIN_START,
            LOG_HEAD,
            INTRO,
            INBOX_ITEM,
            WELCOME_BLOB,
            ATTACHMENT,
            LINK_OFFER,
            LINK_ANSWER,
            LINK_BUNDLE,
            MEMBER_PASS,
            MEMBER_PASS_HASH,
            CAPABILITY_HASH,
            OTP_CODE,
            OTP_IDENTIFIER,
            CREATE_LOG,
        ];
        let distinct: std::collections::BTreeSet<_> = labels.iter().collect();
        assert_eq!(distinct.len(), labels.len());
    }
}
