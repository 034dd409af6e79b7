//! `conclave doctor`: checks clock, server, store and keys, and says what to do.

use crate::exit::{self, Failure};
use crate::profile::Context;
use crate::rows::FindingRow;

/// Check clock, server, store and keys. Exit 0 when all is well.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave doctor
  conclave doctor -o json --timeout 5s")]
pub(crate) struct Args {}

/// Prints a row per finding.
pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let client = context.open().await?;
    let findings = context
        .in_time(&client, async { Ok(client.doctor().await) })
        .await;
    context.close(client).await;
    let findings = findings?;
    for finding in &findings {
        context.out.row(&FindingRow::from(finding))?;
    }
    let bad = findings.iter().filter(|finding| !finding.ok).count();
    match bad {
        0 => Ok(()),
        _ => Err(Failure::new(
            exit::UNEXPECTED,
            "UNWELL",
            format!("{bad} checks failed; each says what to do"),
        )),
    }
}
