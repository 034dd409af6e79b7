//! `conclave edit`: other words in the place of an own message's.

use conclave_proto::id::MessageId;

use crate::commands::act::act;
use crate::commands::send;
use crate::exit::Failure;
use crate::profile::Context;

/// Give a message of yours other words. Everybody can see that it was edited and what it said before.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave edit m_0123456789abcdef0123456789abcdef 'tomorrow at eight'
  conclave edit m_0123456789abcdef0123456789abcdef 'ask @ben@example.org' --mention ben@example.org")]
pub(crate) struct Args {
    /// A message id, as `send` and `history --ids` print it
    message: MessageId,
    /// The new text; `-` or nothing = standard input, a trailing line end cut
    #[arg(allow_hyphen_values = true)]
    text: Option<String>,
    /// Somebody whom the text names as `@WHO`; may be repeated
    #[arg(long, value_name = "WHO")]
    mention: Vec<String>,
}

/// Edits.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let text = send::text(context, args.text).await?;
    act(context, |client| {
        let mentions = send::mentions(client, &text, &args.mention)?;
        client.edit(args.message, &text, mentions)
    })
    .await
}
