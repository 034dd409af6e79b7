//! How long a community stands still while it moves into PostgreSQL: `migrate-store`, which copies everything and reads
//! it back, beside a synced copy of the file.

use std::fs::File;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use conclave_server::store::take_over;

use crate::Size;
use crate::fill;
use crate::growth::EMPTY;
use crate::postgres::{self, Postgres};
use crate::table::{Better, Table};

/// Does nothing but say so where PostgreSQL is not installed.
pub(crate) async fn measure(size: Size, table: &mut Table) -> anyhow::Result<()> {
    let postgres = match Postgres::start() {
        Ok(started) => started?,
        Err(missing) => {
            println!("move is not measured: {missing}");
            return Ok(());
        }
    };
    for &entries in size.moved {
        let folder = tempfile::tempdir()?;
        fill::fill(folder.path(), EMPTY.with_entries(entries))?;
        let bytes = fill::database_bytes(folder.path())?;
        println!("{entries} entries: {} MiB", bytes / 1024 / 1024);
        let copied = copy(folder.path())?;
        let url = postgres.database(&format!("moved{entries}"))?;
        let begin = Instant::now();
        take_over(folder.path(), postgres::address(&url)?).await?;
        let moved = begin.elapsed().as_secs_f64();
        let what = (format!("move of {entries} entries"), "s", Better::Less);
        table.add(
            what,
            &[moved],
            ("a synced copy of the file", &[copied]),
            None,
        );
    }
    Ok(())
}

/// Seconds that a copy of the database's file takes.
fn copy(folder: &Path) -> anyhow::Result<f64> {
    let to = folder.join("copy");
    let begin = Instant::now();
    std::fs::copy(folder.join("store.db"), &to).context("the database cannot be copied")?;
    File::open(&to)?.sync_all()?;
    let copied = begin.elapsed().as_secs_f64();
    std::fs::remove_file(to)?;
    Ok(copied)
}
