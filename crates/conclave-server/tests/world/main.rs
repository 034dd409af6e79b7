//! The world fails under the real server program: power, disk, database. Faults come from strace.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod crowd;
mod damage;
mod descriptors;
mod disk;
mod durability;
mod kill;
#[allow(dead_code, reason = "the router's own tests use the rest")]
#[path = "../api/log_support.rs"]
mod log_support;
mod moving;
#[path = "../postgres_support/mod.rs"]
mod postgres_support;
mod program;
mod scenario;
mod shared;
#[allow(dead_code, reason = "the router's own tests use the rest")]
#[path = "../api/support.rs"]
mod support;
mod trace;
