//! `conclave typing`: tells a chat that its person is writing.

use conclave_client::Client;

use crate::exit::Failure;
use crate::profile::Context;

/// Tell a chat once that you are writing: for programs that show others what you do. Accepted people alone see it, for
/// six seconds, and with `config set typing off` nobody.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave typing anna@example.org
  conclave typing friends")]
pub(crate) struct Args {
    /// `+E164` number, e-mail address, group or chat id
    chat: String,
}

/// Says it; whether anybody sees it is not known.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| {
        let chat = client.find_chat(&args.chat)?;
        client.go_online();
        // The first round opens what the signal goes through.
        context.settle(client).await?;
        client.typing(chat)?;
        context.settle(client).await
    };
    context.with_client(work).await
}
