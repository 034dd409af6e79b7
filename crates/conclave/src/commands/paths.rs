//! `conclave paths`: where this profile lives, whether it is there or not.

use conclave_client::{Client, KeyKind};

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::PathsRow;

/// Show where this profile lives and how its key is kept. Opens nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave paths
  conclave paths -p work -o json")]
pub(crate) struct Args {}

/// Prints the paths.
pub(crate) fn run(context: &Context) -> Result<(), Failure> {
    let dir = context.dir()?;
    let key = match Client::key_kind(&dir) {
        KeyKind::Absent => "absent",
        KeyKind::KeyFile => "key_file",
        KeyKind::Passphrase => "passphrase",
    };
    let row = PathsRow {
        profile: context.global.profile.clone(),
        profile_dir: dir.display().to_string(),
        key,
    };
    Ok(context.out.row(&row)?)
}
