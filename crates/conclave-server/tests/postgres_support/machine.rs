//! A PostgreSQL cluster in a folder, from the programs that Debian's package installs. Tests and the bench
//! share it; whoever calls says what a failure means.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const MISSING: &str =
    "PostgreSQL 15 or newer is needed: install it with `apt-get install postgresql`";

/// What did not work, in words.
pub(crate) type Result<T> = std::result::Result<T, String>;

/// The folder of the database's programs.
pub(crate) fn programs() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql");
    let found = versions.into_iter().flatten().flatten();
    let newest = found
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|version| *version >= 15)
        .max();
    if let Some(version) = newest {
        return Ok(format!("/usr/lib/postgresql/{version}/bin").into());
    }
    let told = Command::new("pg_config").arg("--bindir").output();
    let told = told.map_err(|_| MISSING)?;
    Ok(String::from_utf8_lossy(&told.stdout).trim().into())
}

/// The words before a program: the database refuses to run as root, so root runs it as the user that its
/// package made.
pub(crate) fn as_user() -> Vec<&'static str> {
    if fs::metadata("/proc/self").is_ok_and(|own| own.uid() != 0) {
        return vec!["env"];
    }
    vec![
        "setpriv",
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
    ]
}

/// One of the programs, run in `folder` as the database's user.
pub(crate) fn command(folder: &Path, before: &[&str], program: &str) -> Result<Command> {
    let (first, rest) = before.split_first().ok_or("no words before a program")?;
    let mut command = Command::new(first);
    command.args(rest).arg(programs()?.join(program));
    command.current_dir(folder).stdin(Stdio::null());
    Ok(command)
}

/// Runs one of them and wants it to end well.
pub(crate) fn run(folder: &Path, program: &str, arguments: &[&str]) -> Result<()> {
    let words = File::create(folder.join("stderr")).map_err(|error| error.to_string())?;
    let done = command(folder, &as_user(), program)?
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(words)
        .status()
        .map_err(|_| MISSING)?;
    if done.success() {
        return Ok(());
    }
    let said = fs::read_to_string(folder.join("stderr")).unwrap_or_default();
    Err(format!("{program}: {said}"))
}

/// Makes an empty cluster in `folder/data`, whose socket will be in `folder`.
pub(crate) fn make(folder: &Path, settings: &str) -> Result<()> {
    let broken = |error: std::io::Error| error.to_string();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(broken)?;
    if as_user().len() > 1 {
        let owned = Command::new("chown").arg("postgres:").arg(folder).status();
        if !owned.is_ok_and(|owned| owned.success()) {
            return Err(MISSING.to_owned());
        }
    }
    let options = [
        "-D",
        "data",
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--no-sync",
        "--locale=C",
    ];
    run(folder, "initdb", &options)?;
    let file = folder.join("data/postgresql.conf");
    let socket = folder.display();
    let text = fs::read_to_string(&file).map_err(broken)?
        + &format!("listen_addresses = ''\nunix_socket_directories = '{socket}'\n{settings}");
    fs::write(&file, text).map_err(broken)
}

const START: [&str; 8] = ["-D", "data", "-l", "log", "-w", "-t", "60", "start"];

/// Starts the cluster in `folder/data` and waits until it answers.
pub(crate) fn start(folder: &Path) -> Result<()> {
    run(folder, "pg_ctl", &START)
}

/// Starts it after its first process was killed: the others hold the data until they have noticed.
pub(crate) fn start_again(folder: &Path) -> Result<()> {
    let begun = Instant::now();
    loop {
        match start(folder) {
            Err(_) if begun.elapsed() < Duration::from_mins(1) => {}
            done => return done,
        }
    }
}

/// The address of a database in the cluster of `folder`.
pub(crate) fn url(folder: &Path, database: &str) -> String {
    format!(
        "postgres:///{database}?host={}&user=postgres",
        folder.display()
    )
}
