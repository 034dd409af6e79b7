//! `conclave delete`: a message goes, here or for everybody.

use conclave_client::Client;
use conclave_proto::id::MessageId;

use crate::commands::act::act;
use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::DoneRow;

/// Delete a message: for you alone, or for everybody. What somebody copied or a changed program kept stays there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave delete m_0123456789abcdef0123456789abcdef
  conclave delete m_0123456789abcdef0123456789abcdef --for-everyone")]
pub(crate) struct Args {
    /// A message id, as `send` and `history --ids` print it
    message: MessageId,
    /// On everybody's devices: your own messages, in a group that you own or administer anybody's
    #[arg(long)]
    for_everyone: bool,
}

/// Deletes.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    if args.for_everyone {
        return act(context, |client| client.delete_for_everyone(args.message)).await;
    }
    let work = async |client: &Client| {
        client.delete_for_me(args.message)?;
        Ok(context.out.row(&DoneRow {
            done: "deleted",
            to: args.message.to_string(),
        })?)
    };
    context.with_client(work).await
}
