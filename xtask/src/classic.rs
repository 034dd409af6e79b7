//! `cargo xtask classic`: the classic client in Python talks with ours through a real server.

use std::path::Path;
use std::process::Command;

use crate::demo;
use crate::step::succeed;
use crate::vectors;

/// Builds the programs and runs `examples/classic/check.py` with them.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let programs = demo::build(root)?;
    let example = root.join("examples/classic");
    let python = vectors::python(root, &example.join("requirements.txt"))?;
    succeed(
        Command::new(python)
            .arg(example.join("check.py"))
            .arg(programs),
    )
}
