//! The vectors of the classic protocols open as they say. Made once, for signatures and wraps draw randomness;
//! `CONCLAVE_VECTORS=write` makes new ones.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise; clippy knows only the functions marked as tests"
)]

use std::path::PathBuf;

use conclave_classic::keys::{PrivateKey, PublicKey};
use conclave_classic::message::{Message, from_base64, to_base64};
use conclave_classic::suite::Suite;
use conclave_classic::{pem, signed};
use serde_json::{Value, json};

const ANNA: &str = "+491713920001";
const BEN: &str = "+491713920002";
const PASSPHRASE: &str = "correct horse";

fn file(suite: Suite) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../vectors/classic/{suite}.json"))
}

fn made(suite: Suite) -> Value {
    let [server, anna, ben] = [(); 3].map(|()| PrivateKey::generate(suite).unwrap());
    let sign = |key: &PrivateKey, text: &[u8]| to_base64(&key.sign(text).unwrap());
    let anna_pem = anna.public().to_pem();
    let nonce = to_base64(&[7; 32]);
    let message = Message::seal(
        (ANNA, &anna),
        (BEN, ben.public()),
        "grüße 🦀",
        1_700_000_000,
    )
    .unwrap();
    let wrapped = server.public().wrap(signed::OTP_INFO, b"123456").unwrap();
    json!({
        "suite": suite,
        "passphrase": PASSPHRASE,
        "keys": {
            "server": pem::write_plain(&server).unwrap(),
            "anna": pem::encrypt(&anna, PASSPHRASE).unwrap(),
            "ben": pem::encrypt(&ben, PASSPHRASE).unwrap(),
        },
        "public_keys": {
            "server": server.public().to_pem(),
            "anna": anna_pem,
            "ben": ben.public().to_pem(),
        },
        "otp": { "code": "123456", "encrypted_otp": to_base64(&wrapped) },
        "signatures": {
            "verify": {
                "by": "anna", "parts": ["verify", "00ff", anna_pem],
                "signature": sign(&anna, &signed::verify("00ff", &anna_pem)),
            },
            "registered": {
                "by": "server", "parts": ["registered", ANNA, anna_pem],
                "signature": sign(&server, &signed::registered(ANNA, &anna_pem)),
            },
            "login": {
                "by": "anna", "parts": ["login", ANNA, nonce],
                "signature": sign(&anna, &signed::login(ANNA, &nonce)),
            },
            "key": {
                "by": "server", "parts": ["key", suite.as_str(), ANNA, anna_pem],
                "signature": sign(&server, &signed::key(suite, ANNA, &anna_pem)),
            },
        },
        "message": message,
        "message_id": message.id(suite),
        "text": "grüße 🦀",
    })
}

/// What is written down opens, verifies and has the id that it says, in both suites.
#[test]
fn vectors_hold() {
    for suite in Suite::ALL {
        if std::env::var_os("CONCLAVE_VECTORS").is_some() {
            let text = serde_json::to_string_pretty(&made(suite)).unwrap() + "\n";
            std::fs::write(file(suite), text).unwrap();
        }
        let vector = std::fs::read_to_string(file(suite)).unwrap();
        let vector: Value = serde_json::from_str(&vector).unwrap();
        let text = |path: &str| {
            vector
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap()
                .to_owned()
        };
        let public =
            |who: &str| PublicKey::from_pem(suite, &text(&format!("/public_keys/{who}"))).unwrap();
        let server = pem::read_plain(suite, &text("/keys/server")).unwrap();
        let ben = pem::decrypt(suite, &text("/keys/ben"), PASSPHRASE).unwrap();
        assert_eq!(
            (server.public(), ben.public()),
            (&public("server"), &public("ben"))
        );
        let wrapped = from_base64(&text("/otp/encrypted_otp")).unwrap();
        let code = server.unwrap(signed::OTP_INFO, &wrapped).unwrap();
        assert_eq!(*code, text("/otp/code").into_bytes());
        for (name, row) in vector["signatures"].as_object().unwrap() {
            let parts: Vec<&str> = row["parts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|p| p.as_str().unwrap())
                .collect();
            let signature = from_base64(row["signature"].as_str().unwrap()).unwrap();
            let key = public(row["by"].as_str().unwrap());
            key.verify(&signed::text(&parts), &signature)
                .unwrap_or_else(|_| panic!("{name}"));
        }
        let message: Message = serde_json::from_value(vector["message"].clone()).unwrap();
        assert_eq!(message.open(&ben, &public("anna")).unwrap(), text("/text"));
        assert_eq!(message.id(suite), text("/message_id"));
    }
}
