//! `conclave-sim`: real clients and a real server in one process, under one seed.

fn main() {}
