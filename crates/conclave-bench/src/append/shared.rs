//! The store that several servers share: PostgreSQL beside SQLite, and its committer beside what it saves.

use std::time::Duration;

use anyhow::{Context as _, bail};
use conclave_proto::env::{Env as _, OsEnv};
use conclave_server::hint::{Hint, Hints as _, tell};
use conclave_server::store::{Batches, PostgresHints, PostgresStore, StoreOptions};
use tokio::sync::mpsc;

use super::{connect, frames};
use crate::Size;
use crate::bare::{BareStore, create_logs};
use crate::load::{Expect, Shape, rate};
use crate::postgres::{Postgres, address};
use crate::server::Server;
use crate::table::{Better, Table};
use crate::wire::Connection;

/// Connections that store one row in each transaction: as many as the store's pool writes with, and many.
const ROW_CONNECTIONS: [usize; 2] = [6, 64];
/// Messages in flight from which a database in other processes is measured.
const SENDERS_MIN: usize = 64;
/// Hints that wait to be told, as in the server.
const HINTS_MAX: usize = 8_192;
/// Syncs that the store may need for a message with 64 in flight.
const SYNCS_MAX: f64 = 0.1;

/// Looks at what takes a moment, 10 ms apart.
const WAITS: usize = 1_000;

/// What is compared, in turns.
pub(super) struct Shared {
    server: Server,
    writers: Vec<Connection>,
    /// The server's committer in this process.
    batches: BareStore<PostgresStore>,
    /// The same, which tells others what moved.
    telling: BareStore<PostgresStore>,
    /// One committer for each connection, never with more than one message at once.
    rows: Vec<BareStore<PostgresStore>>,
    // stopped after everybody who uses it
    _postgres: Postgres,
}

/// Figures of one shape, a value for each round.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    full: Vec<f64>,
    batches: Vec<f64>,
    telling: Vec<f64>,
    rows: [Vec<f64>; ROW_CONNECTIONS.len()],
}

impl Shared {
    /// Starts PostgreSQL with a store of `most` logs, and a server on it; `None` where it is not installed.
    pub(super) async fn start(
        most: usize,
        size: Size,
        table: &mut Table,
    ) -> anyhow::Result<Option<Self>> {
        let postgres = match Postgres::start() {
            Ok(postgres) => postgres?,
            Err(missing) => {
                println!("not measured: appends of a PostgreSQL store. {missing}");
                return Ok(None);
            }
        };
        let url = postgres.database("store")?;
        let store = open(&url).await?;
        let logs = create_logs(&store, most).await?;
        // to each its own: where two write to one log, each first reads what the other said (C-212)
        let (told, single) = (
            create_logs(&store, most).await?,
            create_logs(&store, most).await?,
        );
        drop(store);
        wait(|| postgres.is_alone()).await?;
        for shape in super::SHAPES.into_iter().filter(is_measured) {
            let bare = BareStore::new(open(&url).await?, logs.clone());
            syncs(&postgres, bare, shape, size, table).await?;
        }
        let mut rows = Vec::new();
        for log_id in single
            .iter()
            .take(ROW_CONNECTIONS.into_iter().max().unwrap_or(1))
        {
            rows.push(BareStore::new(open(&url).await?, vec![*log_id]));
        }
        Ok(Some(Self {
            server: Server::start_shared(&postgres.database("server")?)?,
            writers: Vec::new(),
            batches: BareStore::new(open(&url).await?, logs),
            telling: BareStore::new(open(&url).await?, told).telling(hints(&url)?),
            rows,
            _postgres: postgres,
        }))
    }

    /// Connects anew for a shape that is measured.
    pub(super) async fn connect(&mut self, shape: Shape) -> anyhow::Result<()> {
        if is_measured(&shape) {
            self.writers = connect(&self.server, shape.connections).await?;
        }
        Ok(())
    }

    /// One round, where the shape is measured at all.
    pub(super) async fn round(
        &mut self,
        shape: Shape,
        size: Size,
        rounds: &mut Rounds,
    ) -> anyhow::Result<()> {
        if !is_measured(&shape) {
            return Ok(());
        }
        let full = frames(&mut self.writers, shape, Expect::Accepted, size).await?;
        rounds.full.push(full);
        rounds
            .batches
            .push(rate(self.batches.loops(shape), size.span).await?.0);
        rounds
            .telling
            .push(rate(self.telling.loops(shape), size.span).await?.0);
        let one = Shape {
            connections: 1,
            depth: 1,
        };
        for (connections, rates) in ROW_CONNECTIONS.into_iter().zip(&mut rounds.rows) {
            let stores = self.rows.iter().take(connections);
            let loops = stores.flat_map(|store| store.loops(one)).collect();
            rates.push(rate(loops, size.span).await?.0);
        }
        Ok(())
    }
}

fn is_measured(shape: &Shape) -> bool {
    shape.senders() >= SENDERS_MIN
}

async fn open(url: &str) -> anyhow::Result<PostgresStore> {
    Ok(PostgresStore::open(address(url)?, None, StoreOptions::default()).await?)
}

/// A channel through the database, as a server has it, and another server that hears.
fn hints(url: &str) -> anyhow::Result<mpsc::Sender<Hint>> {
    let (outlet, leaving) = mpsc::channel(HINTS_MAX);
    let mut node = [0; 8];
    OsEnv.fill(&mut node);
    let node = u64::from_be_bytes(node);
    let (own, other) = (address(url)?, PostgresHints::start(address(url)?, !node));
    let mut heard = other.subscribe();
    tokio::spawn(async move { while heard.recv().await.is_some() {} });
    tokio::spawn(async move { tell(&PostgresHints::start(own, node), leaving).await });
    Ok(outlet)
}

/// Counts syncs beside commits with nobody else connected: an acknowledged message is a synced one.
async fn syncs(
    postgres: &Postgres,
    bare: BareStore<PostgresStore>,
    shape: Shape,
    size: Size,
    table: &mut Table,
) -> anyhow::Result<()> {
    let before = postgres.syncs()?;
    rate(bare.loops(shape), size.span).await?;
    let Batches { commits, items } = bare.store().batches();
    let (commits, items) = (f64_of(commits)?, f64_of(items)?);
    drop(bare);
    wait(|| postgres.is_alone()).await?;
    let mut counted = 0.0;
    // what each process did is counted a little later
    wait(|| {
        counted = postgres.syncs()? - before;
        Ok(counted >= commits)
    })
    .await
    .with_context(|| format!("{commits} commits were acknowledged after {counted} syncs"))?;
    let Shape { connections, depth } = shape;
    let name = format!("syncs a message, PostgreSQL, {connections} × {depth} in flight");
    let limit = ("at most", &[SYNCS_MAX][..]);
    table.add(
        (name, "", Better::Less),
        &[counted / items],
        limit,
        Some(1.0),
    );
    Ok(())
}

fn f64_of(count: u64) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(count)?))
}

/// Lets others run until something holds.
async fn wait(mut holds: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    for _ in 0..WAITS {
        if holds()? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("waited in vain")
}

impl Rounds {
    /// One row for each comparison; `sqlite` is the server on its own store.
    pub(super) fn print(&self, shape: Shape, sqlite: &[f64], table: &mut Table) {
        if self.full.is_empty() {
            return;
        }
        let Shape { connections, depth } = shape;
        let named = |what: &str| format!("{what}, {connections} × {depth} in flight");
        let rate = |what: &str| (named(what), "1/s", Better::More);
        let of_sqlite = (shape.senders() >= 512).then_some(0.5);
        let full = "append, PostgreSQL";
        table.add(
            rate(full),
            &self.full,
            ("append, SQLite", sqlite),
            of_sqlite,
        );
        let batches = "PostgreSQL group commit";
        table.add(rate(full), &self.full, (batches, &self.batches), None);
        let targets = [Some(4.0), None];
        for ((count, rates), target) in ROW_CONNECTIONS.into_iter().zip(&self.rows).zip(targets) {
            let limit = format!("a transaction for each row, {count} connections");
            table.add(rate(batches), &self.batches, (limit, rates), target);
        }
        let telling = "PostgreSQL group commit with hints";
        table.add(
            rate(telling),
            &self.telling,
            ("without hints", &self.batches),
            Some(0.9),
        );
    }
}
