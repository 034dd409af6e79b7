//! `cargo xtask vectors`: writes the vectors anew, or has the second implementation check them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::step::{OpenSsl, cargo, succeed};

/// Writes `vectors/*.json` as the code makes them.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    succeed(
        cargo(root, OpenSsl::find()?)
            .env("CONCLAVE_VECTORS", "write")
            .args(["test", "--package", "conclave-core", "--test", "vectors"])
            // one file names what another one holds
            .args(["--", "--test-threads=1"]),
    )
}

/// Runs `vectors/check.py` in a virtual environment below `target/` that holds what it needs and no more.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let vectors = root.join("vectors");
    let python = python(root, &vectors.join("requirements.txt"))?;
    succeed(command(&python).arg(vectors.join("check.py")).arg(&vectors))?;
    succeed(command(&python).arg(vectors.join("classic/check.py")))
}

/// A Python in a virtual environment below `target/` that holds what `requirements` names; the environment has the name
/// of the folder of that file.
pub(crate) fn python(root: &Path, requirements: &Path) -> anyhow::Result<PathBuf> {
    let name = requirements.parent().and_then(Path::file_name);
    let folder = root.join("target").join(name.unwrap_or_default());
    let python = folder.join("bin/python3");
    if !python.exists() {
        succeed(command("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    succeed(
        command(&python)
            .args(["-m", "pip", "install", "--quiet", "--no-cache-dir"])
            .args(["--disable-pip-version-check", "--requirement"])
            .arg(requirements),
    )?;
    Ok(python)
}

fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}
