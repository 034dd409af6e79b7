//! The two documented seed protocols, exactly as documented: JSON lines over TCP, one-time codes, RSA-2048 with
//! AES-256-CFB or P-256 with AES-256-GCM, signed messages, a queue per client, delivery receipts.
//!
//! They stand beside Conclave's own protocol and never mix with it: accounts, keys and messages of their
//! own, and no MLS. `docs/classic.md` says what they lack and why they are off by default.
//!
//! - [`suite`]: the two suites of primitives
//! - [`keys`]: key pairs: sign, verify, wrap, unwrap
//! - [`pem`]: key files
//! - [`signed`]: what signatures are over
//! - [`message`]: one message, sealed, checked, opened
//! - [`wire`]: requests, replies and error codes
//! - [`gateway`]: the server's side
//! - [`client`]: an account in a folder, and its calls
//!
//! ```
//! use conclave_classic::{keys::PrivateKey, message::Message, suite::Suite};
//!
//! let [anna, ben] = [(); 2].map(|()| PrivateKey::generate(Suite::Ec).unwrap());
//! let sealed = Message::seal(("+491", &anna), ("+492", ben.public()), "hello", 1_700_000_000).unwrap();
//! assert_eq!(sealed.open(&ben, anna.public()).unwrap(), "hello");
//! ```

pub mod client;
pub mod gateway;
pub mod keys;
pub mod message;
pub mod pem;
pub mod signed;
pub mod suite;
pub mod wire;

mod aead;
mod content;

/// Name of the protocol: first part of everything signed, salt of everything derived.
pub const PROTOCOL: &str = "conclave-classic/1";
