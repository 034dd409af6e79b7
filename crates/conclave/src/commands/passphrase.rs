//! `conclave passphrase`: what unlocks the profile. Only the store key's wrapping changes.

use std::path::PathBuf;

use conclave_client::Unlock;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::PassphraseRow;

/// Change what unlocks this profile.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave passphrase change
  conclave passphrase change --new-passphrase-file new.txt")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Set a new passphrase, or with --no-passphrase keep the key in a file
    #[command(after_help = "Examples:
  conclave passphrase change --passphrase-file old.txt --new-passphrase-file new.txt
  conclave passphrase change --no-passphrase")]
    Change {
        /// File whose first line is the new passphrase
        #[arg(long, value_name = "FILE", conflicts_with = "no_passphrase")]
        new_passphrase_file: Option<PathBuf>,
    },
}

/// Opens with the old passphrase first: who cannot open a profile cannot change what opens it.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let Action::Change {
        new_passphrase_file,
    } = args.action;
    let client = context.open_again().await?;
    let new = if context.global.no_passphrase {
        Ok(Unlock::KeyFile)
    } else {
        let file = new_passphrase_file.as_deref();
        context.new_passphrase(file, "--new-passphrase-file").await
    };
    let changed = new.and_then(|new| {
        let unlock = match &new {
            Unlock::KeyFile => "key_file",
            Unlock::Passphrase(_) => "passphrase",
        };
        client.change_passphrase(new)?;
        Ok(unlock)
    });
    context.close(client).await;
    Ok(context.out.row(&PassphraseRow { unlock: changed? })?)
}
