//! `conclave mute`: a chat stays silent for a while.

use conclave_client::Client;
use conclave_client::view::FOREVER_MS;

use crate::commands::timer::seconds;
use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::ChatRow;

/// Keep a chat silent: what comes is counted and shown in `chats`, and does not bring it back from the archive.
/// It holds on all your devices.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave mute friends 8h
  conclave mute anna@example.org off")]
pub(crate) struct Args {
    /// `+E164` number, e-mail address, group or chat id
    chat: String,
    /// `30s`, `5m`, `8h`, `1d`, `4w`, at most a year; `off` = no longer [default: until you say off]
    #[arg(value_name = "DUR", value_parser = seconds)]
    time: Option<u32>,
}

/// Mutes.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| {
        let chat = client.find_chat(&args.chat)?;
        let until_ms = match args.time {
            None => FOREVER_MS,
            Some(0) => 0,
            Some(seconds) => context.now_ms().saturating_add(u64::from(seconds) * 1_000),
        };
        client.mute(chat, until_ms)?;
        Ok(context.out.row(&ChatRow::from(&client.chat(chat)?))?)
    };
    context.with_client(work).await
}
