//! `conclave profile`: the name and picture that contacts see.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use conclave_client::Client;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::ProfileRow;

/// Bytes of a file that a picture is made from.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Show or change the name and picture that contacts see of you.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave profile show
  conclave profile set --name Anna")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// Show your profile, or what somebody shows of themselves
    Show(ShowArgs),
    /// Change your profile and tell your contacts
    Set(SetArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave profile show
  conclave profile show anna@example.org --save anna.jpg")]
struct ShowArgs {
    /// Somebody else: `+E164` number, e-mail address or chat id
    who: Option<String>,
    /// Write the picture to this file, which must not exist yet
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave profile set --name 'Anna B.'
  conclave profile set --picture me.jpg")]
#[group(required = true, multiple = true)]
struct SetArgs {
    /// At most 128 bytes; may be empty
    #[arg(long)]
    name: Option<String>,
    /// A JPEG or PNG file; it is made small, and what else it holds (place, camera) is left out
    #[arg(long, value_name = "FILE", conflicts_with = "no_picture")]
    picture: Option<PathBuf>,
    /// Show no picture any more
    #[arg(long)]
    no_picture: bool,
}

/// Shows or sets.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    match args.command {
        Sub::Show(args) => show(context, args).await,
        Sub::Set(args) => set(context, args).await,
    }
}

async fn show(context: &Context, args: ShowArgs) -> Result<(), Failure> {
    let work = async |client: &Client| {
        let profile = client.profile(args.who.as_deref())?;
        if let Some(path) = &args.save {
            let picture = profile.picture.as_deref();
            let picture = picture.ok_or_else(|| Failure::usage("there is no picture to save"))?;
            File::create_new(context.path(path))?.write_all(picture)?;
        }
        Ok(context.out.row(&ProfileRow::from(&profile))?)
    };
    context.with_client(work).await
}

async fn set(context: &Context, args: SetArgs) -> Result<(), Failure> {
    let picture = match (&args.picture, args.no_picture) {
        (Some(path), _) => Some(read(&context.path(path))?),
        (None, true) => Some(Vec::new()),
        (None, false) => None,
    };
    let work = async |client: &Client| {
        client.set_profile(args.name.as_deref(), picture.as_deref())?;
        let settled = context.settle(client).await;
        context.out.row(&ProfileRow::from(&client.profile(None)?))?;
        settled
    };
    context.with_client(work).await
}

/// The bytes of a picture's file, as far as a picture may be long.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    if bytes.is_empty() || bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::usage(
            "the picture's file is empty or over 64 MiB; give a JPEG or PNG file",
        ));
    }
    Ok(bytes)
}
