//! HTTP on this machine: what the port for programs and the page's own port have in common.
//!
//! - `serve`: connections, bounded in number and time
//! - `names`: under which host names a port may be asked, and by pages of which origin
//! - `guesses`: bad secrets pause a port
//! - `body`: bodies that come and go, bounded
//! - `reply`: answers and refusals as JSON

mod body;
mod guesses;
mod names;
mod reply;
mod serve;

pub(crate) use body::{Stream, collect, drain};
pub(crate) use guesses::{Guesses, PAUSE};
pub(crate) use names::Names;
pub(crate) use reply::{
    Refusal, Reply, check_json, empty, failed, harden, only, other_method, refusal, reply,
    status_of,
};
pub(crate) use serve::{READ_TIMEOUT, serve};
