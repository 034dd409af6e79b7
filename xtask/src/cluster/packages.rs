//! What the campaign needs of the machine: Debian's packages, and a user that is not root for PostgreSQL.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::packages::{self, Wanted};
use crate::step::is_root;

/// Debian's packages, and how to see that each is there.
const WANTED: [Wanted; 6] = [
    (
        "postgresql",
        "sh",
        &["-c", "ls /usr/lib/postgresql/*/bin/postgres"],
    ),
    ("patroni", "patroni", &["--version"]),
    ("python3-etcd", "/usr/bin/python3", &["-c", "import etcd"]),
    (
        "python3-psycopg2",
        "/usr/bin/python3",
        &["-c", "import psycopg2"],
    ),
    ("etcd-server", "etcd", &["--version"]),
    ("nats-server", "nats-server", &["--version"]),
];

/// Installs what is missing as root; says what to type to anybody else.
pub(super) fn install() -> anyhow::Result<()> {
    packages::install(&WANTED)
}

/// The folder of `postgres`, `initdb` and `psql`: of the newest version that is installed.
pub(super) fn postgres_programs() -> anyhow::Result<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/usr/lib/postgresql")? {
        let entry = entry?;
        let version: Option<u32> = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        found.extend(version.map(|version| (version, entry.path().join("bin"))));
    }
    found.sort();
    let (_, folder) = found
        .pop()
        .context("no PostgreSQL in /usr/lib/postgresql")?;
    Ok(folder)
}

/// A command that the kernel kills when this program ends, however it ends. As root with a `user` it runs as them.
pub(super) fn guarded(program: &str, user: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some(user) = user.filter(|_| is_root()) {
        command.args(["--reuid", user, "--regid", user, "--init-groups"]);
    }
    command.arg("--").arg(program);
    command
}
