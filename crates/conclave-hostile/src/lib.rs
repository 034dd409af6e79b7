//! What an attacker can do who is not bound by our API: everything that the other crates refuse to make.
//!
//! Only tests link this crate (`cargo xtask tidy` sees to it). A forgery here is well made in every part but
//! the one that it is about, so that a test shows which check refuses it. Whatever is forged wrongly by
//! mistake panics: a test that forges nothing must not pass.
//!
//! - [`people`]: people, devices, accepted states, a repeatable environment
//! - [`side`]: one device in a conversation, with rows in memory
//! - [`member`]: a member with MLS itself in hand, without core's checks
//! - [`welcome`]: a conversation founded with MLS itself
//! - [`crowd`]: a conversation of any number of leaves
//! - [`frame`]: what MLS's own API refuses to frame
//! - [`key_package`]: key packages taken apart, changed and signed again
//! - [`objects`]: account states, certificates, intros and commit entries, signed as one likes
//! - [`protobuf`]: messages with one field wrong
//! - [`server`]: what a server that lies answers
//! - [`bytes`]: truncated, flipped and longer bytes
//!
//! ```
//! use conclave_hostile::bytes;
//!
//! // Every cut of an object is refused by its parser.
//! for cut in bytes::truncated(b"an object") {
//!     assert!(conclave_core::credential::Credential::parse(cut).is_err());
//! }
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "only tests link this crate; a forgery that goes wrong must stop the test"
)]

pub mod bytes;
pub mod crowd;
pub mod frame;
pub mod key_package;
pub mod member;
pub mod objects;
pub mod people;
pub mod protobuf;
pub mod server;
pub mod side;
pub mod welcome;
