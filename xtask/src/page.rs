//! `cargo xtask page` and `cargo xtask screenshots`: the page in headless Chromium, against the real programs.
//!
//! 1. build the page and both programs, which embed it
//! 2. fetch what drives Chromium, at the versions of the lock file
//! 3. let people talk, or take their pictures

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::campaign::in_folder;
use crate::step::{answers, succeed};
use crate::ui;

/// Where the tests are, from the repository's top.
const TESTS: &str = "crates/conclave/ui/tests";
/// Programs that may be Chromium.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// Files of tests at once: each has a server, up to four people and a browser.
const AT_ONCE: u32 = 2;

/// Runs all files of tests, or those named as `talk` for `flows/talk.mjs`.
pub(crate) fn run(root: &Path, names: &[&str]) -> anyhow::Result<()> {
    let files = flows(root, names)?;
    let replay = format!("cargo xtask page {}", names.join(" "));
    in_world(root, "page", replay.trim_end(), |node| {
        node.arg("--test")
            .arg(format!("--test-concurrency={AT_ONCE}"))
            .arg("--test-reporter=spec")
            .args(&files);
    })
}

/// Takes the pictures of `docs/img/` anew.
pub(crate) fn screenshots(root: &Path) -> anyhow::Result<()> {
    in_world(root, "screenshots", "cargo xtask screenshots", |node| {
        node.arg("screenshots.mjs").arg(root.join("docs/img"));
    })
}

/// Runs node among the tests, with everything built, in a folder that is kept when it fails.
fn in_world(
    root: &Path,
    name: &str,
    replay: &str,
    words: impl FnOnce(&mut Command),
) -> anyhow::Result<()> {
    ensure!(
        BROWSERS.iter().any(|name| answers(name, &["--version"]))
            || std::env::var_os("CONCLAVE_CHROMIUM").is_some(),
        "the page is tested in Chromium, which is not here: run `apt-get install chromium`, or name \
         another one in CONCLAVE_CHROMIUM"
    );
    ui::run(root)?;
    let tests = root.join(TESTS);
    succeed(
        Command::new("npm")
            .current_dir(&tests)
            .args(["ci", "--silent"]),
    )?;
    in_folder(root, name, replay, |folder| {
        let mut node = Command::new("node");
        node.current_dir(&tests)
            .stdin(Stdio::null())
            .env("CONCLAVE_PROGRAMS", folder)
            .env("CONCLAVE_FOLDER", folder);
        words(&mut node);
        succeed(&mut node)
    })
}

/// The files of tests, from their folder.
fn flows(root: &Path, names: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let folder = root.join(TESTS).join("flows");
    let mut files = vec![];
    for entry in std::fs::read_dir(&folder).context("the page's tests cannot be listed")? {
        let path = PathBuf::from("flows").join(entry?.file_name());
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if names.is_empty() || names.contains(&&*stem) {
            files.push(path);
        }
    }
    ensure!(
        names.is_empty() || files.len() == names.len(),
        "no such file of tests in {}",
        folder.display()
    );
    files.sort();
    Ok(files)
}
