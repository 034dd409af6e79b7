//! `conclave man`: the manual, made from the same words as the help.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::args::Cli;
use crate::exit::{self, Failure};

/// Print the manual page, or write one per command to a folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave man | man -l -
  conclave man ~/.local/share/man/man1")]
pub(crate) struct Args {
    /// Folder to write all pages to; made when missing
    dir: Option<PathBuf>,
}

/// Prints or writes.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let Some(dir) = args.dir else {
        let mut page = Vec::new();
        Man::new(Cli::command()).render(&mut page)?;
        return Ok(io::stdout().write_all(&page)?);
    };
    let written =
        fs::create_dir_all(&dir).and_then(|()| clap_mangen::generate_to(Cli::command(), &dir));
    written.map_err(|error| {
        let message = format!("the pages cannot be written to {}: {error}", dir.display());
        Failure::new(exit::UNEXPECTED, "IO", message)
    })
}
