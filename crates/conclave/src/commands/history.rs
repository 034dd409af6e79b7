//! `conclave history`: the newest messages of a chat and what happened between them, oldest first, from the disk alone.

use conclave_client::Client;
use conclave_client::view::Moment;
use conclave_proto::id::MessageId;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::{MessageRow, note};

/// Show the newest messages of a chat, oldest first. Does not use the network, marks nothing as read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave history anna@example.org
  conclave history +4915112345678 --limit 500 -o json")]
pub(crate) struct Args {
    /// `+E164` number, e-mail address, name of a group or chat id
    chat: String,
    /// At most this many messages and notes
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Those before this message of the chat, to go on where another page began
    #[arg(long, value_name = "MESSAGE")]
    before: Option<MessageId>,
    /// Print each message's id before it
    #[arg(long)]
    ids: bool,
}

/// Prints a row per message and per change of the group.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| {
        let chat = client.find_chat(&args.chat)?;
        let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
        let page = match args.before {
            Some(before) => client.timeline_before(chat, before, limit)?,
            None => client.timeline(chat, limit)?,
        };
        for moment in page {
            match moment {
                Moment::Message(message) => {
                    if args.ids {
                        context.out.text(&message.id.to_string())?;
                    }
                    context.out.row(&MessageRow::from(&message))?;
                }
                Moment::Note(note) => note::print(&context.out, &note)?,
            }
        }
        Ok(())
    };
    context.with_client(work).await
}
