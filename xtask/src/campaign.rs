//! What campaigns share: repeatable chance, programs that can be killed, a server, people with profiles.

mod chance;
mod frame;
mod person;
mod process;
mod server;
mod turns;

use std::path::{Path, PathBuf};

use crate::step::{OpenSsl, cargo, succeed};

pub(crate) use chance::Chance;
pub(crate) use frame::{Frame, in_folder, join, planned};
pub(crate) use person::{Person, account, identifier, parse, text};
pub(crate) use process::{Ended, Process, kib_of, pause};
pub(crate) use server::Server;
pub(crate) use turns::{Turns, each};

/// Builds both programs as the tests use them, and copies them: a build meanwhile changes nothing here.
fn build(root: &Path, folder: &Path) -> anyhow::Result<()> {
    let words = [
        "build",
        "--locked",
        "-p",
        "conclave-server",
        "-p",
        "conclave",
    ];
    succeed(cargo(root, OpenSsl::find()?).args(words))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    for program in ["conclave-server", "conclave"] {
        let built = root.join(&target).join("debug").join(program);
        std::fs::copy(built, folder.join(program))?;
    }
    Ok(())
}
