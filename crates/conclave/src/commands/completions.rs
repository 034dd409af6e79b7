//! `conclave completions`: a script that teaches a shell our words.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Failure;

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave completions bash > ~/.local/share/bash-completion/completions/conclave
  conclave completions zsh > ~/.zfunc/_conclave")]
pub(crate) struct Args {
    /// Which shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "conclave", &mut script);
    Ok(io::stdout().write_all(&script)?)
}
