//! Conclave's keys and plaintext: who somebody is, what may enter a conversation, what a message says.
//!
//! Bytes in, bytes out: no socket, no clock, no database, no async. Time and randomness come through
//! [`conclave_proto::env::Env`]; where MLS state is kept is the caller's choice. An auditor reads this
//! crate and `conclave-proto` and has seen everything that touches a key.
//!
//! - [`secret`]: secret bytes that wipe themselves
//! - [`hpke`]: X-Wing HPKE, lengths checked first
//! - [`identity`]: private keys of a person and a device, certificates, account states
//! - [`credential`]: the MLS credential and the one check of a leaf
//! - [`pin`]: trust on first use
//! - [`safety_number`]: the digits that people compare
//! - [`key_export`]: the identity key as PEM
//! - [`at_rest`]: the store key under a passphrase
//! - [`content`]: what a message says, padded to a bucket
//! - [`capability`]: what contacts hold and strangers do not
//! - [`intro`]: who writes to a stranger
//! - [`inbox_item`]: sealed items of one size
//! - [`sealed_blob`]: welcomes and trees under a key of their own
//! - [`attachment`]: files of any size, sealed in pieces
//! - [`archive`]: the records of a history for a new device
//! - [`key_package`]: what a device publishes to be added, and what the adder checks
//! - [`leaf`]: one MLS leaf put before that check
//! - [`link`]: how a new device joins an account
//! - [`access`]: from an epoch to the keys that fall out of it
//! - [`conversation`]: one MLS group whose entries travel through one log
//! - [`mls_store`]: where MLS state is kept: rows that the caller lends
//! - [`provider`]: OpenMLS's door to cryptography, chance and storage
//!
//! ```
//! use conclave_core::identity::IdentitySecret;
//! use conclave_proto::env::OsEnv;
//!
//! let identity = IdentitySecret::generate(&OsEnv);
//! let signature = identity.sign("example", b"content");
//! assert!(identity.public().verify("example", b"content", &signature).is_ok());
//! assert!(identity.public().verify("example", b"other", &signature).is_err());
//! ```

pub mod access;
mod aead;
pub mod archive;
pub mod at_rest;
pub mod attachment;
pub mod capability;
pub mod content;
pub mod conversation;
pub mod credential;
pub mod hpke;
pub mod identity;
pub mod inbox_item;
pub mod intro;
pub mod key_export;
pub mod key_package;
pub mod leaf;
pub mod link;
pub mod mls_store;
mod padding;
pub mod pin;
pub mod provider;
pub mod safety_number;
pub mod sealed_blob;
pub mod secret;

// The people of conclave-hostile, made of this very crate's types.
#[cfg(test)]
extern crate self as conclave_core;
#[cfg(test)]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the tests outside use the rest, as a crate"
)]
#[path = "../../conclave-hostile/src/people.rs"]
mod fixture;
