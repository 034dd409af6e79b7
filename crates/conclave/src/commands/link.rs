//! `conclave link`: make this device one more of an account that lives on another one.

use conclave_client::Client;
use conclave_proto::address::ServerAddress;

use super::device::carry_history;
use super::safety::half_blocks;
use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::{LinkRow, WhoamiRow};

/// Join an account that lives on another device: show a link and a code, then wait until that device
/// runs `conclave device approve`. At a terminal it waits as long as the link is good, ten minutes; else as long
/// as --timeout says, and the same command goes on waiting for the same link.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave link conclave://KEY@chat.example.org --name laptop --timeout 10m
  conclave link conclave://KEY@127.0.0.1:5000 -p work")]
pub(crate) struct Args {
    /// The server's address, as `conclave whoami` shows it on the other device
    server: ServerAddress,
    /// What to call this device
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
}

/// Shows link and code, and waits.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let client = context.open_or_create().await?;
    let result = Box::pin(join(context, &client, &args)).await;
    context.close(client).await;
    result
}

async fn join(context: &Context, client: &Client, args: &Args) -> Result<(), Failure> {
    let shown = context.in_time(client, client.link_start(&args.server, &args.name));
    let shown = shown.await?;
    context.out.row(&LinkRow::from(&shown))?;
    if !context.out.is_json() && context.console.is_output_terminal() {
        context.out.text(&half_blocks(shown.uri.as_bytes())?)?;
    }
    let joining = client.link_finish();
    let me = if context.is_interactive() {
        // A person has to walk over to the other device: as long as the link is good.
        let valid = std::time::Duration::from_millis(shown.valid_ms);
        let joined = tokio::time::timeout(valid, joining).await;
        joined.unwrap_or(Err(conclave_client::ClientError::TimedOut))?
    } else {
        context.in_time(client, joining).await?
    };
    context.out.row(&WhoamiRow::from(&me))?;
    // Key packages, so that the other device can let this one into the conversations, and what it gives along; the
    // rest goes on with every later run.
    let settled = context.settle(client).await;
    carry_history(context, client).await?;
    match settled {
        Err(failure) if failure.exit != crate::exit::TIMED_OUT => Err(failure),
        _ => Ok(()),
    }
}
