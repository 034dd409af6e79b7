//! x

pub mod log;
pub mod store;
