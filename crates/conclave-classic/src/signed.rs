//! What signatures are over: the protocol's name and the parts, joined by line feeds.

use crate::PROTOCOL;
use crate::suite::Suite;

/// `S(parts…)`: the UTF-8 text that is signed.
pub fn text(parts: &[&str]) -> Vec<u8> {
    let mut text = PROTOCOL.to_owned();
    for part in parts {
        text.push('\n');
        text.push_str(part);
    }
    text.into_bytes()
}

/// What a new client signs to show that it holds its key.
pub fn verify(session: &str, public_key: &str) -> Vec<u8> {
    text(&["verify", session, public_key])
}

/// What the server signs to say who is registered under which key.
pub fn registered(phone: &str, public_key: &str) -> Vec<u8> {
    text(&["registered", phone, public_key])
}

/// What a client signs to log in.
pub fn login(phone: &str, nonce: &str) -> Vec<u8> {
    text(&["login", phone, nonce])
}

/// What the server signs when it hands out somebody's key.
pub fn key(suite: Suite, phone: &str, public_key: &str) -> Vec<u8> {
    text(&["key", suite.as_str(), phone, public_key])
}

/// `info` of the AES key that a message carries.
pub fn key_info(sender: &str, recipient: &str) -> String {
    format!("key|{sender}|{recipient}")
}

/// `info` of the link between a client and the server (suite `ec`).
pub fn link_info(phone: &str) -> String {
    format!("link|{phone}")
}

/// `info` of a one-time code on its way to the server.
pub const OTP_INFO: &str = "otp";
