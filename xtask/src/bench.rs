//! `cargo xtask bench`: builds the programs in release mode and measures them beside their limits.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::packages::{self, Wanted};
use crate::step::{OpenSsl, cargo, succeed};
use crate::vectors;

/// What `bench peers` measures beside Conclave, and counts with.
const PEERS: [Wanted; 7] = [
    ("mosquitto", "sh", &["-c", "command -v mosquitto"]),
    ("prosody", "sh", &["-c", "command -v prosody"]),
    ("ejabberd", "sh", &["-c", "command -v ejabberdctl"]),
    (
        "lua-dbi-sqlite3",
        "sh",
        &["-c", "ls /usr/lib/*/liblua*dbi-sqlite3.so*"],
    ),
    (
        "erlang-p1-sqlite3",
        "sh",
        &["-c", "ls -d /usr/lib/erlang/lib/p1_sqlite3*"],
    ),
    ("strace", "strace", &["-V"]),
    ("python3-venv", "python3", &["-c", "import ensurepip, venv"]),
];

/// Builds, then hands `words` (names, `--quick`) to `conclave-bench`.
pub(crate) fn run(root: &Path, words: &[&str]) -> anyhow::Result<()> {
    let mut synapse = None;
    if words.contains(&"peers") {
        packages::install(&PEERS)?;
        let requirements = root.join("crates/conclave-bench/synapse/requirements.txt");
        synapse = Some(vectors::python(root, &requirements)?);
    }
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
    let mut bench = Command::new(program);
    if let Some(python) = synapse {
        bench.env("CONCLAVE_BENCH_SYNAPSE", python);
    }
    succeed(bench.args(words))
}
