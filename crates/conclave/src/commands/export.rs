//! `conclave export`: everything that was said in a chat, for a file of one's own.

use std::path::PathBuf;

use clap::ValueEnum;
use conclave_client::Client;
use conclave_client::view::Message;

use crate::commands::key::write_new;
use crate::exit::Failure;
use crate::output::{Row as _, json_line};
use crate::profile::Context;
use crate::rows::{ExportedRow, MessageRow};

/// Write out all messages of a chat, oldest first. What disappeared is not in it, and what will disappear says when;
/// the file keeps it all the same, and nothing encrypts it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave export anna@example.org --format txt
  conclave export friends --out friends.jsonl")]
pub(crate) struct Args {
    /// `+E164` number, e-mail address, group or chat id
    chat: String,
    /// A line of JSON for each message, or a line for people
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    format: Form,
    /// Into this new file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// JSON Lines, as `history -o json` prints them.
    Json,
    /// As `history` prints them.
    Txt,
}

impl Form {
    fn line(self, message: &Message) -> Result<String, Failure> {
        let row = MessageRow::from(message);
        Ok(match self {
            Self::Json => json_line(&row)?,
            Self::Txt => row.text(),
        })
    }
}

/// Prints or writes.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| {
        let chat = client.find_chat(&args.chat)?;
        let Some(file) = &args.out else {
            client.each_message(chat, |message| {
                Ok::<_, Failure>(context.out.line(&args.format.line(message)?)?)
            })?;
            return Ok(());
        };
        let mut text = String::new();
        let count = client.each_message(chat, |message| {
            text.push_str(&args.format.line(message)?);
            text.push('\n');
            Ok::<_, Failure>(())
        })?;
        write_new(file, &context.path(file), text.as_bytes())?;
        Ok(context.out.row(&ExportedRow {
            chat: chat.to_string(),
            file: file.display().to_string(),
            count,
        })?)
    };
    context.with_client(work).await
}
