//! `conclave join`: into a group, by its link.

use conclave_client::Client;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::GroupRow;

/// Ask to come into a group. Its link names whom to ask; one of them who is online lets you in, then `conclave
/// listen` or any other command brings you there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave join conclave-group:AQEB
  conclave join conclave-group:AQEB -o json")]
pub(crate) struct Args {
    /// The whole line, from `conclave-group:` on
    link: String,
}

/// Asks.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| {
        let chat = client.join_group(&args.link)?;
        let settled = context.settle(client).await;
        let group = client.group(&chat.to_string())?;
        context.out.row(&GroupRow::from(&group))?;
        settled
    };
    context.with_client(work).await
}
