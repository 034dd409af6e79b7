//! `cargo xtask ui`: builds the page with Node.js into `crates/conclave/ui/dist`, from where the program takes it in.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::step::succeed;

/// The oldest Node.js that the page's tools take.
const NODE_MAJOR_MIN: u32 = 20;

/// Installs the packages that the lock file names, checks types and builds.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    check_node()?;
    let folder = root.join("crates/conclave/ui");
    let npm = |words: &[&str]| {
        let mut npm = Command::new("npm");
        npm.current_dir(&folder).stdin(Stdio::null()).args(words);
        succeed(&mut npm)
    };
    npm(&["ci", "--no-audit", "--no-fund"])?;
    npm(&["run", "build"])?;
    let built = folder.join("dist/index.html");
    ensure!(built.is_file(), "the build left no {}", built.display());
    println!("    the page is built; the next `cargo build -p conclave` takes it in");
    Ok(())
}

/// Node.js is there, and new enough.
pub(crate) fn check_node() -> anyhow::Result<()> {
    let missing = "the page is built with Node.js 20 or newer and npm: install both (the programs build without them)";
    let output = Command::new("node").arg("--version").output();
    let output = output.context(missing)?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = major(&version).context(missing)?;
    ensure!(
        major >= NODE_MAJOR_MIN,
        "{missing}; here is Node.js {version}"
    );
    Ok(())
}

/// `20` of `v20.19.1`.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major;

    /// Versions are read as Node.js prints them.
    #[test]
    fn reads_versions() {
        assert_eq!(major("v20.19.1"), Some(20));
        assert_eq!(major("v9.0.0"), Some(9));
        assert_eq!(major("20"), None);
        assert_eq!(major(""), None);
    }
}
