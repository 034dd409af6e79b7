//! `conclave reply`: a message that answers another one, in its chat.

use std::path::PathBuf;

use conclave_client::Client;
use conclave_proto::id::MessageId;

use crate::commands::send::{self, More, Wait};
use crate::exit::Failure;
use crate::profile::Context;

/// Answer a message in its chat. Ends when the server has accepted the answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave reply m_0123456789abcdef0123456789abcdef 'with pleasure'
  date | conclave reply m_0123456789abcdef0123456789abcdef")]
pub(crate) struct Args {
    /// A message id, as `history --ids` prints it
    message: MessageId,
    /// The text; `-` or nothing = standard input, a trailing line end cut
    #[arg(allow_hyphen_values = true)]
    text: Option<String>,
    /// Somebody whom the text names as `@WHO`; may be repeated
    #[arg(long, value_name = "WHO")]
    mention: Vec<String>,
    /// A file to send with it; may be repeated. The text may be left out
    #[arg(long, value_name = "FILE")]
    attach: Vec<PathBuf>,
}

/// Answers.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let text = match args.text {
        None if !args.attach.is_empty() => String::new(),
        words => send::text(context, words).await?,
    };
    let more = More {
        reply_to: Some(args.message),
        mention: args.mention,
        contact: None,
        attach: args.attach,
    };
    let work = async |client: &Client| {
        let to = client.message(args.message)?.message.chat.to_string();
        send::send(context, client, &to, &text, &more, Wait::Accepted.state()).await
    };
    context.with_client(work).await
}
