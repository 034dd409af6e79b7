//! `conclave unread`: what waits, from the disk alone, fast enough for a status bar.

use conclave_client::Client;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::{ChatRow, UnreadRow};

/// Count unread messages, in all and by chat; or mark a chat as unread until it is read. Does not use the network:
/// `listen --once` does.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave unread
  conclave unread -o json | jq .count")]
pub(crate) struct Args {
    /// Show this chat as unread: `+E164` number, e-mail address, group or chat id
    chat: Option<String>,
}

/// Prints the counts, or marks.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| {
        if let Some(chat) = args.chat {
            let chat = client.find_chat(&chat)?;
            client.mark_unread(chat)?;
            return Ok(context.out.row(&ChatRow::from(&client.chat(chat)?))?);
        }
        Ok(context
            .out
            .row(&UnreadRow::from(client.chats()?.as_slice()))?)
    };
    context.with_client(work).await
}
