//! Disk and network of a person's device.

pub mod transport;
