//! `conclave proofs`: what this device keeps to show that somebody misbehaved, from the disk alone.

use std::path::PathBuf;

use conclave_client::Client;

use crate::commands::key::write_new;
use crate::exit::Failure;
use crate::output::json_line;
use crate::profile::Context;
use crate::rows::{DoneRow, ProofRow};

/// List the proofs of misbehaviour that are kept: what somebody signed and may not have.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave proofs
  conclave proofs --out proofs.jsonl")]
pub(crate) struct Args {
    /// Write them to this new file, a line of JSON each, bytes in hex
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Prints a row per proof, or writes them all.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| {
        let proofs: Vec<ProofRow> = client.proofs()?.iter().map(ProofRow::from).collect();
        let Some(file) = &args.out else {
            for proof in &proofs {
                context.out.row(proof)?;
            }
            return Ok(());
        };
        let mut text = String::new();
        for proof in &proofs {
            text.push_str(&json_line(proof)?);
            text.push('\n');
        }
        write_new(file, &context.path(file), text.as_bytes())?;
        Ok(context.out.row(&DoneRow {
            done: "written",
            to: file.display().to_string(),
        })?)
    };
    context.with_client(work).await
}
