//! The page: a chat in the browser, served to this machine by the process that has the profile.
//!
//! - `page`: its port and whose profile it shows, from the first opening to the last closing
//! - `answer`: the requests, each checked before anything is done
//! - `sessions`: tickets that open a session, and what shows that a request is of one
//! - `desk`: what a session has beside its calls
//! - `upload`, `blob`: files from the browser, and to it
//! - `assets`: the page's own files
//! - `browser`: opens one

mod answer;
mod assets;
mod blob;
mod browser;
mod desk;
mod page;
mod sessions;
mod upload;

pub(crate) use blob::{inline_kind, is_here};
pub(crate) use browser::open;
pub(crate) use desk::Desk;
pub(crate) use page::{Opened, Page};
pub(crate) use upload::Upload;
