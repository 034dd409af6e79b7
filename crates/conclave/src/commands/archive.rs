//! `conclave archive`, `conclave unarchive`: a chat is put away and fetched back.

use conclave_client::Client;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::ChatRow;

/// Put a chat away: `chats` leaves it out. A message there brings it back, unless the chat is muted. It holds on all
/// your devices.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave archive anna@example.org
  conclave archive friends")]
pub(crate) struct Args {
    /// `+E164` number, e-mail address, group or chat id
    chat: String,
}

/// Fetch a chat back that was put away.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave unarchive anna@example.org
  conclave unarchive friends")]
pub(crate) struct BackArgs {
    /// `+E164` number, e-mail address, group or chat id
    chat: String,
}

/// Puts away.
pub(crate) async fn away(context: &Context, args: Args) -> Result<(), Failure> {
    set(context, &args.chat, true).await
}

/// Fetches back.
pub(crate) async fn back(context: &Context, args: BackArgs) -> Result<(), Failure> {
    set(context, &args.chat, false).await
}

async fn set(context: &Context, chat: &str, archived: bool) -> Result<(), Failure> {
    let work = async |client: &Client| {
        let chat = client.find_chat(chat)?;
        client.archive(chat, archived)?;
        Ok(context.out.row(&ChatRow::from(&client.chat(chat)?))?)
    };
    context.with_client(work).await
}
