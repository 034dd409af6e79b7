//! `conclave key`: the identity key as a file that `openssl pkey` reads, and a new one in its place.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use conclave_client::view::Whoami;
use conclave_client::{Client, ClientError};
use zeroize::Zeroizing;

use crate::exit::{self, Failure};
use crate::profile::Context;
use crate::rows::{KeyRow, WhoamiRow};

/// What people are told after a reset, below the new key.
const AFTER_RESET: &str =
    "contacts were told, and cannot write to you until they accept the new key: compare the \
     safety numbers with them
groups let this device in again by themselves once somebody in them has accepted it
other devices of the account are out: link them again";

/// Export the identity key, check an export, or replace the key.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave key export identity.pem
  conclave key rotate")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Write the identity key, encrypted under a passphrase of its own, to a new file
    #[command(after_help = "Examples:
  conclave key export identity.pem
  conclave key export identity.pem --export-passphrase-file secret.txt")]
    Export {
        /// The file to write; must not be there yet
        file: PathBuf,
        /// File whose first line is the export's passphrase
        #[arg(long, value_name = "FILE")]
        export_passphrase_file: Option<PathBuf>,
    },
    /// Check that an exported key opens and whether it is this profile's
    #[command(after_help = "Examples:
  conclave key import --verify identity.pem
  conclave key import --verify identity.pem --export-passphrase-file secret.txt")]
    Import {
        /// Only check; nothing is changed
        #[arg(long, required = true)]
        verify: bool,
        /// The exported file
        file: PathBuf,
        /// File whose first line is the export's passphrase
        #[arg(long, value_name = "FILE")]
        export_passphrase_file: Option<PathBuf>,
    },
    /// Replace the identity key by a new one that the old one signs: contacts are told and go on
    #[command(after_help = "Examples:
  conclave key rotate
  conclave key rotate -o json --timeout 1m")]
    Rotate,
    /// Replace a lost or stolen identity key: every contact has to accept the new one before they write again
    #[command(after_help = "Examples:
  conclave key reset --contacts-must-accept
  conclave key reset --contacts-must-accept --timeout 1m")]
    Reset {
        /// Say that you know: contacts and groups stop until people accept, and your
        /// other devices are out until you link them again
        #[arg(long, required = true)]
        contacts_must_accept: bool,
    },
}

/// Exports, checks or replaces.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    match &args.action {
        Action::Rotate => replace(context, async |client| client.rotate_key().await).await,
        Action::Reset { .. } => {
            replace(context, async |client| client.reset_key().await).await?;
            Ok(context.out.text(AFTER_RESET)?)
        }
        action => file(context, action).await,
    }
}

/// Replaces the key, shows the new one, and lets the conversations hear of it.
async fn replace(
    context: &Context,
    work: impl AsyncFnOnce(&Client) -> Result<Whoami, ClientError>,
) -> Result<(), Failure> {
    let work = async |client: &Client| {
        let changed = tokio::time::timeout(context.remaining(), work(client)).await;
        let whoami = changed.unwrap_or(Err(ClientError::TimedOut))?;
        context.out.row(&WhoamiRow::from(&whoami))?;
        context.settle(client).await
    };
    context.with_client(work).await
}

async fn file(context: &Context, action: &Action) -> Result<(), Failure> {
    // Keys leave the profile only for who can open it.
    let client = context.open_again().await?;
    let result = match action {
        Action::Export {
            file,
            export_passphrase_file,
        } => export(context, &client, file, export_passphrase_file.as_deref()).await,
        Action::Import {
            file,
            export_passphrase_file,
            ..
        } => verify(context, &client, file, export_passphrase_file.as_deref()).await,
        Action::Rotate | Action::Reset { .. } => Ok(()),
    };
    context.close(client).await;
    result
}

const FLAG: &str = "--export-passphrase-file";

async fn export(
    context: &Context,
    client: &Client,
    file: &Path,
    passphrase: Option<&Path>,
) -> Result<(), Failure> {
    if context.path(file).exists() {
        return Err(exists(file));
    }
    let passphrase = context
        .new_secret(passphrase, FLAG, "passphrase of the exported key: ")
        .await?;
    let pem = Zeroizing::new(client.export_key(&passphrase)?);
    let (fingerprint, matches) = client.check_exported_key(&pem, &passphrase)?;
    write_new(file, &context.path(file), pem.as_bytes())?;
    Ok(context.out.row(&KeyRow {
        file: file.display().to_string(),
        fingerprint,
        matches,
    })?)
}

fn no_passphrase() -> Failure {
    let message = format!("the exported key's passphrase is needed; give it with {FLAG} FILE");
    Failure::new(exit::USAGE, "PASSPHRASE_NEEDED", message)
}

fn exists(file: &Path) -> Failure {
    let message = format!("{} is there already and is not overwritten", file.display());
    Failure::new(exit::CONFLICT, "FILE_EXISTS", message).with_hint("choose another file")
}

/// Writes a file that only its owner reads and that was not there, at `path`; a half-written one is removed again.
/// Messages call it `file`, as it was typed.
pub(crate) fn write_new(file: &Path, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(file),
        io::ErrorKind::NotFound => Failure::new(
            exit::NOT_FOUND,
            "NO_FOLDER",
            format!(
                "{} cannot be written: its folder is not there",
                file.display()
            ),
        )
        .with_hint("make the folder first, or choose another place"),
        _ => Failure::new(
            exit::UNEXPECTED,
            "IO",
            format!("{} cannot be written: {error}", file.display()),
        ),
    };
    let mut options = OpenOptions::new();
    let mut open = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(cannot)?;
    let written = open.write_all(bytes).and_then(|()| open.sync_all());
    written.map_err(|error| {
        // The first error is the one to tell.
        let _ = fs::remove_file(path);
        cannot(error)
    })
}

async fn verify(
    context: &Context,
    client: &Client,
    file: &Path,
    passphrase: Option<&Path>,
) -> Result<(), Failure> {
    let pem = fs::read_to_string(context.path(file))
        .map(Zeroizing::new)
        .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display())))?;
    let passphrase = match passphrase {
        Some(file) => context.first_line(file)?,
        None => context
            .ask("passphrase of the exported key: ")
            .await
            .map_err(|_| no_passphrase())?,
    };
    let (fingerprint, matches) = client.check_exported_key(&pem, &passphrase)?;
    context.out.row(&KeyRow {
        file: file.display().to_string(),
        fingerprint,
        matches,
    })?;
    if matches {
        Ok(())
    } else {
        Err(Failure::new(
            exit::KEY,
            "OTHER_KEY",
            "the file opens, but it is not this profile's key",
        ))
    }
}
