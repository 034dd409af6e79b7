//! `conclave status`: connection, queue, unread and problems in one row.

use conclave_client::Client;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::StatusRow;

/// Show connection, queue, unread messages and problems. Syncs first; without a server it shows what is
/// known, as offline.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave status
  conclave status -o json --timeout 5s")]
pub(crate) struct Args {}

/// Prints the status.
pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let work = async |client: &Client| {
        // Whether it settled is part of the answer: `online` and `queued` say so.
        let _ = context.settle(client).await;
        Ok(context.out.row(&StatusRow::from(&client.status()?))?)
    };
    context.with_client(work).await
}
