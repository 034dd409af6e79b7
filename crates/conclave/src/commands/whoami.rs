//! `conclave whoami`: this account, from the disk alone.

use conclave_client::Client;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::WhoamiRow;

/// Show this account: identifier, account and device id, server, identity fingerprint.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave whoami
  conclave whoami -p work -o json")]
pub(crate) struct Args {}

/// Prints the account.
pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let work = async |client: &Client| Ok(context.out.row(&WhoamiRow::from(&client.whoami()?))?);
    context.with_client(work).await
}
