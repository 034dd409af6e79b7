//! The real router over loopback TLS: what every request gets, from friends and from others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod account;
mod blobs;
mod clock;
mod connection;
mod crowd;
mod inbox;
mod limits;
mod log_support;
mod logs;
mod mailbox;
#[path = "../postgres_support/mod.rs"]
mod postgres_support;
mod registration;
mod slow;
mod strangers;
#[allow(dead_code, reason = "the tests of a failing world use the rest")]
mod support;
mod websocket;
mod wrong_bytes;
