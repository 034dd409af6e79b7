//! The engine between a real server and real profiles: talking, dying at every point, lies, restores.

#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod talk;
