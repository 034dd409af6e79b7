//! Programs of others that a chore needs: Debian's packages, installed where that is possible.

use std::process::Command;

use anyhow::bail;

use crate::step::{answers, is_root, succeed};

/// A package, and the program with its words that ends well when it is there.
pub(crate) type Wanted = (&'static str, &'static str, &'static [&'static str]);

/// Installs what is missing as root; says what to type to anybody else.
pub(crate) fn install(wanted: &[Wanted]) -> anyhow::Result<()> {
    let missing = wanted
        .iter()
        .filter(|(_, program, words)| !answers(program, words))
        .map(|(package, ..)| *package);
    let missing: Vec<&str> = missing.collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() || !answers("apt-get", &["--version"]) {
        bail!(
            "not installed here: run `apt-get install {}`",
            missing.join(" ")
        );
    }
    succeed(Command::new("apt-get").args(["update", "--quiet"]))?;
    succeed(
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(missing),
    )
}
