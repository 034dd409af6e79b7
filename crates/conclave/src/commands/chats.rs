//! `conclave chats`: all chats, newest first, from the disk alone.

use conclave_client::Client;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::ChatRow;

/// List chats, newest first, with their ids. Does not use the network.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave chats
  conclave chats -o json | jq -r .id")]
pub(crate) struct Args {}

/// Prints a row per chat.
pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let work = async |client: &Client| {
        for chat in client.chats()? {
            context.out.row(&ChatRow::from(&chat))?;
        }
        Ok(())
    };
    context.with_client(work).await
}
