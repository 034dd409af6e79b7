//! What grows with the number of accounts and entries: the store's verbs at size, beside the same verbs of a
//! store that holds little more than they need, in the same rounds.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use conclave_proto::env::{Env as _, OsEnv};
use conclave_proto::id::Seq;
use conclave_proto::limits::{READ_PAGE_BYTES, READ_PAGE_ENTRIES, RETENTION_DAYS};
use conclave_server::store::Store as _;

use crate::Size;
use crate::bare::BareStore;
use crate::fill::{self, Amount, EPOCH};
use crate::load::{Shape, rate};
use crate::table::{Better, Table, median};

/// Of the empty store: as many entries as are read and expire below.
pub(crate) const EMPTY: Amount = Amount {
    accounts: 100,
    logs: 200,
    per_log: PER_LOG,
    packages: PACKAGES,
};
/// Entries of a log, which is what one page reads.
const PER_LOG: u64 = 100;
/// Key packages of each device. A device's pool has 20, which only takes more disk.
const PACKAGES: u64 = 2;
/// Lookups and reads of one round.
const ASKED: u64 = 300;
/// Slices of the sweep in one round, 500 rows each: five rounds leave some of the empty store.
const SLICES: usize = 6;
/// A size may cost half as much again as none.
const TARGET: f64 = 1.0 / 1.5;
/// How appends are in flight.
const SHAPE: Shape = Shape {
    connections: 64,
    depth: 1,
};
const DAY_MS: u64 = 86_400_000;

/// Accounts and entries, each as a measurement of its own.
pub(crate) type Grown = (u64, u64);

/// A store, and how far the reads of it have come.
pub(crate) struct Contender {
    store: BareStore,
    amount: Amount,
    asked: u64,
}

/// Figures of one round.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    lookup_us: Vec<f64>,
    pub(crate) read_us: Vec<f64>,
    pub(crate) appends: Vec<f64>,
    idle_sweep_us: Vec<f64>,
    sweep_us: Vec<f64>,
}

/// Gives how many bytes each database had.
pub(crate) async fn measure(size: Size, table: &mut Table) -> anyhow::Result<Vec<(Amount, u64)>> {
    let mut sizes = Vec::new();
    for (accounts, entries) in size.grown {
        let (empty_folder, folder) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let amount = Amount {
            accounts: *accounts,
            logs: entries / PER_LOG,
            per_log: PER_LOG,
            packages: PACKAGES,
        };
        let begin = Instant::now();
        let mut empty = Contender::open(empty_folder.path(), EMPTY)?;
        let mut grown = Contender::open(folder.path(), amount)?;
        let bytes = fill::database_bytes(folder.path())?;
        println!(
            "{accounts} accounts, {entries} entries: {} MiB, filled in {:.0} s",
            bytes / 1024 / 1024,
            begin.elapsed().as_secs_f64()
        );
        let (mut of_empty, mut of_grown) = (Rounds::default(), Rounds::default());
        for _ in 0..size.rounds {
            empty.ask(size, &mut of_empty).await?;
            grown.ask(size, &mut of_grown).await?;
        }
        for _ in 0..size.rounds {
            empty.sweep(&mut of_empty).await?;
            grown.sweep(&mut of_grown).await?;
        }
        let of = format!("{accounts} accounts, {entries} entries");
        print(table, &of, &of_grown, &of_empty);
        sizes.push((amount, bytes));
    }
    Ok(sizes)
}

fn print(table: &mut Table, of: &str, grown: &Rounds, empty: &Rounds) {
    let mut row = |what: &str, unit, better, ours: &[f64], least: &[f64]| {
        let name = (format!("{what}; {of}"), unit, better);
        table.add(name, ours, ("an empty store", least), Some(TARGET));
    };
    let (less, more) = (Better::Less, Better::More);
    row(
        "lookup, p50",
        "µs",
        less,
        &grown.lookup_us,
        &empty.lookup_us,
    );
    row(
        "read of 100, p50",
        "µs",
        less,
        &grown.read_us,
        &empty.read_us,
    );
    row(
        "append, 64 in flight",
        "1/s",
        more,
        &grown.appends,
        &empty.appends,
    );
    let (ours, least) = (&grown.idle_sweep_us, &empty.idle_sweep_us);
    row("sweep of nothing, p50", "µs", less, ours, least);
    row(
        "sweep of 500 rows, p50",
        "µs",
        less,
        &grown.sweep_us,
        &empty.sweep_us,
    );
}

impl Contender {
    pub(crate) fn open(folder: &Path, amount: Amount) -> anyhow::Result<Self> {
        fill::fill(folder, amount)?;
        let logs = (0..amount.logs).map(fill::log_id).collect();
        Ok(Self {
            store: BareStore::of_logs(folder, logs)?,
            amount,
            asked: 0,
        })
    }

    /// Lookups, reads, appends, and a sweep that finds nothing.
    pub(crate) async fn ask(&mut self, size: Size, rounds: &mut Rounds) -> anyhow::Result<()> {
        let [mut lookups, mut reads, mut sweeps] = [const { Vec::new() }; 3];
        for _ in 0..ASKED {
            self.asked += 1;
            // all over, and never the neighbour of the last
            let place = self.asked * 7_919;
            let identifier = fill::identifier(place % self.amount.accounts);
            let begin = Instant::now();
            let found = self.store.store().account_by_identifier(identifier).await?;
            lookups.push(us(begin));
            found.context("a filled account")?;
            let log = fill::log_id(place % self.amount.logs);
            let begin = Instant::now();
            let store = self.store.store();
            let page = store.read(log, EPOCH, Seq(0), READ_PAGE_ENTRIES, READ_PAGE_BYTES);
            let page = page.await?.context("a filled log")?;
            reads.push(us(begin));
            ensure!(page.entries.len() == 100, "a page has 100 entries");
        }
        let (rate, _) = rate(self.store.loops(SHAPE), size.span).await?;
        for _ in 0..SLICES {
            let begin = Instant::now();
            let more = self.store.store().sweep(OsEnv.now_ms()).await?;
            sweeps.push(us(begin));
            ensure!(!more, "nothing expires today");
        }
        rounds.lookup_us.push(median(&lookups));
        rounds.read_us.push(median(&reads));
        rounds.appends.push(rate);
        rounds.idle_sweep_us.push(median(&sweeps));
        Ok(())
    }

    /// Some slices on a day when everything is over.
    async fn sweep(&mut self, rounds: &mut Rounds) -> anyhow::Result<()> {
        let then_ms = OsEnv.now_ms() + 2 * u64::from(RETENTION_DAYS) * DAY_MS;
        let mut slices = Vec::new();
        for _ in 0..SLICES {
            let begin = Instant::now();
            let more = self.store.store().sweep(then_ms).await?;
            slices.push(us(begin));
            ensure!(more, "a slice is full");
        }
        rounds.sweep_us.push(median(&slices));
        Ok(())
    }
}

fn us(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1_000_000.0
}
