//! `conclave forward`: what a message says, to somebody else.

use conclave_client::Client;
use conclave_proto::id::MessageId;

use crate::commands::send::{self, Tally, Wait};
use crate::exit::Failure;
use crate::profile::Context;

/// Send what a message says to others, marked as forwarded. Who said it first is not told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave forward m_0123456789abcdef0123456789abcdef anna@example.org
  conclave forward m_0123456789abcdef0123456789abcdef friends +4915112345678")]
pub(crate) struct Args {
    /// A message id, as `history --ids` prints it
    message: MessageId,
    /// `+E164` numbers, e-mail addresses, groups or chat ids
    #[arg(required = true)]
    to: Vec<String>,
}

/// Forwards.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    context
        .with_client(async |client: &Client| {
            client.go_online();
            let mut ids = Vec::new();
            for to in &args.to {
                let sent = context
                    .in_time(client, client.forward(args.message, to))
                    .await?;
                ids.push(sent.id);
            }
            let waited =
                send::wait(client, &ids, Wait::Accepted.state(), context.remaining()).await;
            let mut tally = Tally::default();
            for id in ids {
                tally.tell(context, client, &client.message(id)?.message)?;
            }
            let first = args.to.first().map_or("", String::as_str);
            tally.outcome(None, waited, || send::key_changed(client, first))
        })
        .await
}
