//! `conclave react`: an emoji on a message.

use conclave_proto::id::MessageId;

use crate::commands::act::act;
use crate::exit::Failure;
use crate::profile::Context;

/// Put an emoji on a message, in the place of the one you put there before.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave react m_0123456789abcdef0123456789abcdef 👍
  conclave react m_0123456789abcdef0123456789abcdef --remove")]
pub(crate) struct Args {
    /// A message id, as `history --ids` prints it
    message: MessageId,
    /// One emoji, at most 32 bytes
    #[arg(required_unless_present = "remove")]
    emoji: Option<String>,
    /// Take your emoji back
    #[arg(long, conflicts_with = "emoji")]
    remove: bool,
}

/// Reacts.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let emoji = args.emoji.unwrap_or_default();
    if emoji.is_empty() && !args.remove {
        return Err(Failure::usage(
            "the emoji is empty; say --remove to take yours back",
        ));
    }
    act(context, |client| client.react(args.message, &emoji)).await
}
