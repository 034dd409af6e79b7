//! `conclave info`: one message in detail, from the disk alone.

use conclave_client::Client;
use conclave_proto::id::MessageId;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::InfoRow;

/// Show one message in detail. `send` and `history --ids` print the ids.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave info m_0123456789abcdef0123456789abcdef
  conclave info m_0123456789abcdef0123456789abcdef -o json")]
pub(crate) struct Args {
    /// A message id, `m_` and 32 hex digits
    message: MessageId,
}

/// Prints the message.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| {
        let info = client.message(args.message)?;
        Ok(context.out.row(&InfoRow::from(&info))?)
    };
    context.with_client(work).await
}
