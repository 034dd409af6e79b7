//! The real programs as tests drive them: run with a deadline, a server on a free port, people with profiles.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test file uses its own part of this"
)]

pub(crate) mod daemon;
pub(crate) mod page;
pub(crate) mod person;
pub(crate) mod program;
pub(crate) mod server;

pub(crate) use daemon::Daemon;
pub(crate) use page::Page;
pub(crate) use person::Person;
pub(crate) use program::{Outcome, Program, words};
pub(crate) use server::Server;

/// The built client program.
pub(crate) const CONCLAVE: &str = env!("CARGO_BIN_EXE_conclave");
