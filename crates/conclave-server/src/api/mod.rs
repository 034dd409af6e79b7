//! From a request to its answer: the route table by role, and one file per family of requests.
//!
//! Bytes from outside become checked types here, at the edge; every "no" is a `Refusal` with a
//! stable code.

mod account;
mod directory;
mod edge;
mod inbox;
mod logs;
mod mailbox;
mod registration;
mod route;

pub(crate) use registration::start_code;
pub(crate) use route::{Answer, answer};
use route::{DONE, bad, too_large};
