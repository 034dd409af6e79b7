//! `conclave read`: marks what is here as read and sends the receipt.

use conclave_client::Client;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::ReadRow;

/// Mark everything that this device has of a chat as read. Ends when the receipt is accepted.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave read anna@example.org
  conclave read +4915112345678 -o json")]
pub(crate) struct Args {
    /// `+E164` number, e-mail address or chat id
    chat: String,
}

/// Marks read before going online: only what a person could have seen.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| {
        let chat = client.find_chat(&args.chat)?;
        let count = client.mark_read(chat)?;
        let settled = context.settle(client).await;
        context.out.row(&ReadRow {
            chat: chat.to_string(),
            count,
        })?;
        settled
    };
    context.with_client(work).await
}
