//! Every reader of outside bytes as a plain function from bytes to nothing: it panics when a promise breaks.
//!
//! A target takes any bytes. What it reads it writes again and compares; what it refuses may change nothing.
//! The tests of this crate replay `fuzz/corpus/TARGET/`; `cargo xtask fuzz` gives the same functions to libFuzzer.
//! Nothing of this crate ships.
//!
//! - [`proto`]: what both sides parse
//! - [`archive`]: a history for a new device
//! - [`core`]: keys, credentials, contents, files
//! - [`link`]: what lets somebody in
//! - [`chat`]: entries, commits and welcomes against a live conversation
//! - [`classic`]: what the classic protocols parse
//! - [`server`]: what only the server reads
//! - [`seeds`]: where a search begins: real objects
//! - [`people`]: who speaks in them
//!
//! ```
//! let target = conclave_fuzz::target("address").expect("it is listed");
//! (target.run)(b"conclave://not-an-address");
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a target reports what it found"
)]

pub mod archive;
pub mod chat;
pub mod classic;
pub mod core;
pub mod link;
pub mod people;
pub mod proto;
pub mod seeds;
pub mod server;
mod target;

pub use target::{TARGETS, Target, target};
