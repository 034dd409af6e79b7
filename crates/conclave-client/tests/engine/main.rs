//! The engine between a real server and real profiles: talking, dying at every point, lies, restores.

#[cfg(test)]
mod busy;
#[cfg(test)]
mod device_keys;
#[cfg(test)]
mod devices;
#[cfg(test)]
mod everyday;
#[cfg(test)]
mod fallback;
#[cfg(test)]
mod gaps;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod lies;
#[cfg(test)]
mod lies_account;
#[cfg(test)]
mod lies_flood;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod restored;
#[cfg(test)]
mod search;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod store;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod talk;
#[cfg(test)]
mod world;
