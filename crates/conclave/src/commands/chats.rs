//! `conclave chats`: all chats, newest first, from the disk alone; and which stand above the others.

use clap::Subcommand;
use conclave_client::Client;
use conclave_proto::id::ChatId;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::{ChatRow, ClearedRow};

/// List chats with their ids, pinned ones first, then newest first. Does not use the network.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave chats
  conclave chats -o json | jq -r .id")]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// Also those that were put away
    #[arg(long)]
    archived: bool,
    #[command(subcommand)]
    what: Option<What>,
}

/// What is done to a chat in the list.
#[derive(Debug, Subcommand)]
enum What {
    /// Put a chat above the others
    #[command(after_help = "Examples:
  conclave chats pin anna@example.org
  conclave chats pin friends")]
    Pin {
        /// `+E164` number, e-mail address, group or chat id
        chat: String,
    },
    /// Put a chat among the others again
    #[command(after_help = "Examples:
  conclave chats unpin anna@example.org
  conclave chats unpin friends")]
    Unpin {
        /// `+E164` number, e-mail address, group or chat id
        chat: String,
    },
    /// Delete all that was said in a chat, on your devices alone
    #[command(after_help = "Examples:
  conclave chats clear anna@example.org
  conclave chats clear friends -o json")]
    Clear {
        /// `+E164` number, e-mail address, group or chat id
        chat: String,
    },
}

/// Prints a row per chat, or does what is asked.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| match args.what {
        None => {
            for chat in client.chats()? {
                if args.archived || !chat.archived {
                    context.out.row(&ChatRow::from(&chat))?;
                }
            }
            Ok(())
        }
        Some(What::Pin { chat }) => pin(context, client, client.find_chat(&chat)?, true),
        Some(What::Unpin { chat }) => pin(context, client, client.find_chat(&chat)?, false),
        Some(What::Clear { chat }) => {
            let chat = client.find_chat(&chat)?;
            let count = client.clear(chat)?;
            let chat = chat.to_string();
            Ok(context.out.row(&ClearedRow { chat, count })?)
        }
    };
    context.with_client(work).await
}

fn pin(context: &Context, client: &Client, chat: ChatId, pinned: bool) -> Result<(), Failure> {
    client.pin_chat(chat, pinned)?;
    Ok(context.out.row(&ChatRow::from(&client.chat(chat)?))?)
}
