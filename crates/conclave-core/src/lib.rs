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

pub mod credential;
pub mod hpke;
pub mod identity;
pub mod secret;

#[cfg(test)]
mod fixture;
