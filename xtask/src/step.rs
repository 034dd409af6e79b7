//! Child processes and named, timed steps, so that progress is visible.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};

/// Runs one named step; prints its name before it and its time after it.
pub(crate) fn step(name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    println!("==> {name}");
    let start = Instant::now();
    work().with_context(|| format!("{name} failed"))?;
    println!("==> {name}: ok after {} s\n", start.elapsed().as_secs());
    Ok(())
}

/// A cargo command in the repository, with OpenSSL's source of choice.
pub(crate) fn cargo(root: &Path, openssl: OpenSsl) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).stdin(Stdio::null());
    if openssl == OpenSsl::System {
        command.env("OPENSSL_NO_VENDOR", "1");
    }
    command
}

/// Runs `command` with its output shown; fails unless it ends well.
pub(crate) fn succeed(command: &mut Command) -> anyhow::Result<()> {
    println!("    $ {}", shown(command));
    let status = command
        .status()
        .with_context(|| format!("`{}` did not start: is it installed?", shown(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Whether `program arguments…` is there and ends well; its output is dropped.
pub(crate) fn answers(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A command as a person would type it, the program by its bare name.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let mut words = vec![name.to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

/// Where SQLCipher's OpenSSL comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenSsl {
    /// The system's library and headers (`libssl-dev`): saves minutes.
    System,
    /// Built from source with the workspace; needs perl and make.
    Vendored,
}

impl OpenSsl {
    /// Looks for what is there and says so. On a machine with neither the library nor `make`, root
    /// gets the Debian package, anybody else the command to type.
    pub(crate) fn find() -> anyhow::Result<Self> {
        if answers("pkg-config", &["--exists", "openssl"]) {
            println!("OpenSSL: the system's (OPENSSL_NO_VENDOR=1)");
            return Ok(Self::System);
        }
        if answers("make", &["--version"]) && answers("perl", &["-v"]) {
            println!(
                "OpenSSL: built from source, some minutes; libssl-dev and pkg-config save them"
            );
            return Ok(Self::Vendored);
        }
        if is_root() && answers("apt-get", &["--version"]) {
            println!("OpenSSL: neither libssl-dev nor make is here, installing libssl-dev");
            succeed(Command::new("apt-get").args(["update", "--quiet"]))?;
            succeed(
                Command::new("apt-get")
                    .env("DEBIAN_FRONTEND", "noninteractive")
                    .args(["install", "--yes", "--quiet", "--no-install-recommends"])
                    .args(["libssl-dev", "pkg-config"]),
            )?;
            return Ok(Self::System);
        }
        bail!(
            "OpenSSL can neither be found nor built: run `apt-get install libssl-dev pkg-config` \
             (fast) or `apt-get install make perl` (builds it)"
        )
    }
}

/// Whether this process may install packages.
pub(crate) fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
