//! Webhooks: the daemon posts events to addresses of the user's choice, signed.
//!
//! - `target`: which addresses there can be
//! - `post`: one post, in time and without surprises
//! - `run`: what is due is posted, several at once, until the daemon ends

mod post;
mod run;
mod target;

pub(crate) use post::test;
pub(crate) use run::run;
pub(crate) use target::Target;
