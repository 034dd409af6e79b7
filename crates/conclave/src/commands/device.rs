//! `conclave device`: the account's devices.

use std::io::{self, Write as _};

use conclave_client::Client;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::{DeviceRow, DoneRow};

/// List, rename and remove the account's devices, and let new ones in.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave device list
  conclave device approve conclave-link:AQEB --code 123456")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the account's devices, this one marked
    #[command(after_help = "Examples:
  conclave device list
  conclave device list -o json")]
    List,
    /// Let a new device in: the one that shows this link and a code, by `conclave link`
    #[command(after_help = "Examples:
  conclave device approve conclave-link:AQEB
  conclave device approve conclave-link:AQEB --code '123 456'")]
    Approve {
        /// The link that the new device shows
        link: String,
        /// The six digits that it shows; asked for at a terminal
        #[arg(long, value_name = "DIGITS")]
        code: Option<String>,
    },
    /// Give a device a name of your own
    #[command(after_help = "Examples:
  conclave device rename laptop 'old laptop'
  conclave device rename d_1f2e3d phone")]
    Rename {
        /// Its name, its id, or the beginning of its id
        device: String,
        /// The new name; empty takes the old one back
        name: String,
    },
    /// Take a device out of the account: lost, stolen or sold
    #[command(after_help = "Examples:
  conclave device remove laptop
  conclave device remove d_1f2e3d")]
    Remove {
        /// Its name, its id, or the beginning of its id
        device: String,
    },
}

/// Shows or changes.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| match &args.action {
        Action::List => list(context, client),
        Action::Approve { link, code } => {
            Box::pin(approve(context, client, link, code.as_deref())).await
        }
        Action::Rename { device, name } => {
            let device = client.find_device(device)?.id;
            client.rename_device(device, name)?;
            let to = device.to_string();
            Ok(context.out.row(&DoneRow {
                done: "renamed",
                to,
            })?)
        }
        Action::Remove { device } => remove(context, client, device).await,
    };
    context.with_client(work).await
}

fn list(context: &Context, client: &Client) -> Result<(), Failure> {
    for device in client.devices()? {
        context.out.row(&DeviceRow::from(&device))?;
    }
    Ok(())
}

async fn approve(
    context: &Context,
    client: &Client,
    link: &str,
    code: Option<&str>,
) -> Result<(), Failure> {
    let offer = context.in_time(client.link_look(link)).await?;
    let code = match code {
        Some(code) => code.to_owned(),
        None => ask(context, &offer.name)?,
    };
    let offer = context.in_time(client.approve_device(link, &code)).await?;
    // Into the conversations, as far as time goes; the rest goes on with every later run.
    let settled = context.settle(client).await;
    let to = offer.device.to_string();
    context.out.row(&DoneRow {
        done: "approved",
        to,
    })?;
    match settled {
        Err(failure) if failure.exit != crate::exit::TIMED_OUT => Err(failure),
        _ => Ok(()),
    }
}

/// The code, typed by the person who sees both devices.
fn ask(context: &Context, name: &str) -> Result<String, Failure> {
    if !context.is_interactive() {
        return Err(Failure::usage(
            "the code that the new device shows is needed; give it with --code DIGITS",
        ));
    }
    let name = crate::output::safe(name);
    let called = if name.is_empty() {
        String::new()
    } else {
        format!(", which calls itself {name:?},")
    };
    write!(
        io::stderr(),
        "the new device{called} will read everything you write from now on; the code that it shows: "
    )?;
    let mut code = String::new();
    io::stdin().read_line(&mut code)?;
    Ok(code)
}

async fn remove(context: &Context, client: &Client, words: &str) -> Result<(), Failure> {
    let device = client.find_device(words)?.id;
    context.in_time(client.remove_device(device)).await?;
    let settled = context.settle(client).await;
    let to = device.to_string();
    context.out.row(&DoneRow {
        done: "removed",
        to,
    })?;
    match settled {
        Err(failure) if failure.exit != crate::exit::TIMED_OUT => Err(failure),
        _ => Ok(()),
    }
}
