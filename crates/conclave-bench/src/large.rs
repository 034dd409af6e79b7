//! A store with millions of entries: a page of a log within a fixed time, and appends beside those of a store
//! that holds next to nothing, in the same rounds.

use crate::Size;
use crate::growth::{Contender, EMPTY, Rounds};
use crate::table::{Better, Table};

/// Of the appends of an empty store.
const APPENDS: f64 = 0.8;

/// Entries, and how long a page of 100 may take, in µs.
pub(crate) type Large = (u64, f64);

pub(crate) async fn measure(size: Size, table: &mut Table) -> anyhow::Result<()> {
    for &(entries, page_us_max) in size.large {
        let (empty_folder, folder) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let mut empty = Contender::open(empty_folder.path(), EMPTY)?;
        let mut large = Contender::open(folder.path(), EMPTY.with_entries(entries))?;
        let (mut of_empty, mut of_large) = (Rounds::default(), Rounds::default());
        for _ in 0..size.rounds {
            empty.ask(size, &mut of_empty).await?;
            large.ask(size, &mut of_large).await?;
        }
        let most = vec![page_us_max; of_large.read_us.len()];
        let name = format!("read of 100 of {entries} entries, p50");
        let pages = (name, "µs", Better::Less);
        table.add(pages, &of_large.read_us, ("at most", &most), Some(1.0));
        let name = format!("append, 64 in flight, beside {entries} entries");
        let limit = ("an empty store", &of_empty.appends[..]);
        let appends = (name, "1/s", Better::More);
        table.add(appends, &of_large.appends, limit, Some(APPENDS));
    }
    Ok(())
}
