//! Several servers over one store: any of them serves anybody, and hints cost time and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod any_node;
mod bus;
mod hints;
mod linking;
#[path = "../api/log_support.rs"]
#[allow(dead_code, reason = "the API's tests use the rest")]
mod log_support;
mod migrate;
mod nats;
mod nats_server;
mod nodes;
#[path = "../postgres_support/mod.rs"]
mod postgres_support;
#[path = "../api/support.rs"]
#[allow(dead_code, reason = "the API's tests use the rest")]
mod support;
