//! `conclave unread`: what waits, from the disk alone, fast enough for a status bar.

use conclave_client::Client;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::UnreadRow;

/// Count unread messages, in all and by chat. Does not use the network: `listen --once` does.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave unread
  conclave unread -o json | jq .count")]
pub(crate) struct Args {}

/// Prints the counts.
pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let work = async |client: &Client| {
        Ok(context
            .out
            .row(&UnreadRow::from(client.chats()?.as_slice()))?)
    };
    context.with_client(work).await
}
