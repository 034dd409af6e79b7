//! `conclave draft`: what was begun to be written to a chat.

use conclave_client::Client;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::{ChatRow, DraftRow, MessageRow};

/// Show, keep or send what you began to write to a chat. It is the same on all your devices.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave draft anna@example.org 'what I wanted to say'
  conclave draft anna@example.org --send")]
pub(crate) struct Args {
    /// `+E164` number, e-mail address, group or chat id
    chat: String,
    /// What to keep in the place of what was there
    text: Option<String>,
    /// Send it
    #[arg(long, conflicts_with_all = ["text", "clear"])]
    send: bool,
    /// Forget it
    #[arg(long, conflicts_with = "text")]
    clear: bool,
}

/// Shows, keeps, sends or forgets.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| {
        let chat = client.find_chat(&args.chat)?;
        if args.send {
            let sent = client.send_draft(chat)?;
            let settled = context.settle(client).await;
            let sent = client.message(sent.id)?.message;
            context.out.row(&MessageRow::from(&sent))?;
            return settled;
        }
        let text = if args.clear {
            Some(String::new())
        } else {
            args.text
        };
        if let Some(text) = text {
            client.set_draft(chat, &text)?;
            return Ok(context.out.row(&ChatRow::from(&client.chat(chat)?))?);
        }
        Ok(context.out.row(&DraftRow {
            chat: chat.to_string(),
            text: client.chat(chat)?.draft,
        })?)
    };
    context.with_client(work).await
}
