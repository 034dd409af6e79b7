//! `conclave pin`, `conclave unpin`, `conclave pins`: what is held up in a chat.

use conclave_client::Client;
use conclave_proto::id::MessageId;

use crate::commands::act::act;
use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::MessageRow;

/// Hold a message up in its chat, for everybody in it. In a group owners and admins can.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave pin m_0123456789abcdef0123456789abcdef
  conclave pin m_0123456789abcdef0123456789abcdef -o json")]
pub(crate) struct PinArgs {
    /// A message id, as `history --ids` prints it
    message: MessageId,
}

/// Hold a message up no longer.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave unpin m_0123456789abcdef0123456789abcdef
  conclave unpin m_0123456789abcdef0123456789abcdef -o json")]
pub(crate) struct UnpinArgs {
    /// A message id, as `pins` prints it
    message: MessageId,
}

/// Show the messages held up in a chat, the one pinned last at the end.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave pins anna@example.org
  conclave pins friends -o json")]
pub(crate) struct PinsArgs {
    /// `+E164` number, e-mail address, group or chat id
    chat: String,
}

/// Pins.
pub(crate) async fn pin(context: &Context, args: PinArgs) -> Result<(), Failure> {
    act(context, |client| client.pin(args.message, true)).await
}

/// Unpins.
pub(crate) async fn unpin(context: &Context, args: UnpinArgs) -> Result<(), Failure> {
    act(context, |client| client.pin(args.message, false)).await
}

/// Prints each pinned message with its id before it.
pub(crate) async fn pins(context: &Context, args: PinsArgs) -> Result<(), Failure> {
    let work = async |client: &Client| {
        for message in client.pins(client.find_chat(&args.chat)?)? {
            context.out.text(&message.id.to_string())?;
            context.out.row(&MessageRow::from(&message))?;
        }
        Ok(())
    };
    context.with_client(work).await
}
