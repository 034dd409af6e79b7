//! `cargo xtask bench`: builds the programs in release mode and measures them beside their limits.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::step::{OpenSsl, cargo, succeed};

/// Builds, then hands `words` (names, `--quick`) to `conclave-bench`.
pub(crate) fn run(root: &Path, words: &[&str]) -> anyhow::Result<()> {
    let openssl = OpenSsl::find()?;
    let build = ["build", "--release", "--locked"];
    let packages = [
        "-p",
        "conclave-server",
        "-p",
        "conclave",
        "-p",
        "conclave-bench",
    ];
    succeed(cargo(root, openssl).args(build).args(packages))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let program = root.join(target).join("release").join("conclave-bench");
    succeed(Command::new(program).args(words))
}
