//! What the classic gateway and its clients read: request lines, public keys, messages.

use conclave_classic::keys::{PrivateKey, PublicKey};
use conclave_classic::message::Message;
use conclave_classic::suite::Suite;
use conclave_classic::wire;

use crate::proto::text;
use crate::seeds::{Seeds, texts};

/// A request line: what is accepted is written and read again as the same request.
pub fn line(bytes: &[u8]) {
    if let Ok(request) = wire::parse(bytes) {
        let again = serde_json::to_vec(&request).unwrap();
        assert_eq!(wire::parse(&again), Ok(request));
    }
}

/// A public key of either suite: what is accepted is written and read again as the same key, and can be used.
pub fn key(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    for suite in Suite::ALL {
        if let Ok(key) = PublicKey::from_pem(suite, text) {
            assert_eq!(PublicKey::from_pem(suite, &key.to_pem()), Ok(key.clone()));
            assert!(key.wrap("info", &[7; 32]).is_ok());
        }
    }
}

/// Request lines, one of each action.
pub fn lines() -> Seeds {
    let key = PrivateKey::generate(Suite::Ec).unwrap();
    let (from, to) = (("+491713920001", &key), ("+491713920002", key.public()));
    let message = Message::seal(from, to, "hello", 1_700_000_000).unwrap();
    let mut seeds = texts(&[
        r#"{"action":"hello"}"#,
        r#"{"action":"register","suite":"rsa","phone":"+491713920001"}"#,
        r#"{"action":"verify","session":"00","public_key":"","encrypted_otp":"AA==","signature":"AA=="}"#,
        r#"{"action":"login","phone":"+491713920001"}"#,
        r#"{"action":"prove","signature":"AA=="}"#,
        r#"{"action":"key","phone":"+491713920001"}"#,
        r#"{"action":"send","sealed":"AA=="}"#,
        r#"{"action":"fetch","max":10}"#,
        r#"{"action":"ack","message_ids":["00"],"receipts":["00"]}"#,
        r#"{"action":"listen"}"#,
        r#"{"action":"quit"}"#,
        r#"{"action":"dance"}"#,
        "[[[[",
    ]);
    let send = wire::Request::Send {
        message: Some(message),
        sealed: None,
    };
    seeds.push(serde_json::to_vec(&send).unwrap());
    seeds
}

/// Public keys: good ones, and those of other kinds, sizes and curves.
pub fn keys() -> Seeds {
    texts(&[
        include_str!("../../conclave-classic/tests/keys/rsa_3072.pem"),
        include_str!("../../conclave-classic/tests/keys/rsa_1024.pem"),
        include_str!("../../conclave-classic/tests/keys/rsa_e3.pem"),
        include_str!("../../conclave-classic/tests/keys/ec_compressed.pem"),
        include_str!("../../conclave-classic/tests/keys/ec_off_curve.pem"),
        include_str!("../../conclave-classic/tests/keys/ec_p384.pem"),
        include_str!("../../conclave-classic/tests/keys/ed25519.pem"),
        &PrivateKey::generate(Suite::Ec).unwrap().public().to_pem(),
    ])
}
