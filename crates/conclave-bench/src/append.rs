//! Messages a second, accepted means synced: the whole server beside its own store, a file, and TLS;
//! and on PostgreSQL.

mod shared;

use conclave_proto::hello::Role;

use crate::Size;
use crate::bare::{BareFile, BareStore};
use crate::echo::Echo;
use crate::load::futures::Loop;
use crate::load::{Expect, Shape, appends, rate};
use crate::server::{Server, cpu_us};
use crate::table::{Better, Table};
use crate::wire::Connection;
use shared::Shared;

/// 512 in flight twice: few connections that pipeline, and a connection for each.
const SHAPES: [Shape; 4] = [
    Shape {
        connections: 1,
        depth: 1,
    },
    Shape {
        connections: 64,
        depth: 1,
    },
    Shape {
        connections: 64,
        depth: 8,
    },
    Shape {
        connections: 512,
        depth: 1,
    },
];

/// Syncs that the store may need for a message with 64 in flight.
const SYNCS_MAX: f64 = 0.1;

/// What is compared, in turns.
struct Contenders {
    server: Server,
    /// Connections to the server, with a log each.
    writers: Vec<Connection>,
    store: BareStore,
    file: BareFile,
    echo: Echo,
    /// Connections to TLS without a store.
    echoing: Vec<Connection>,
    /// The same on PostgreSQL, where that is installed.
    shared: Option<Shared>,
}

/// Figures of one shape, a value for each round.
#[derive(Debug, Default)]
struct Rounds {
    ours: Vec<f64>,
    bare: Vec<f64>,
    raw: Vec<f64>,
    tls: Vec<f64>,
    /// Of the server, µs a message.
    ours_cpu: Vec<f64>,
    bare_cpu: Vec<f64>,
    /// Of the bare store, a message.
    bare_syncs: Vec<f64>,
    shared: shared::Rounds,
}

pub(crate) async fn measure(size: Size, table: &mut Table) -> anyhow::Result<()> {
    let most = SHAPES.iter().map(|shape| shape.connections).max();
    let most = most.unwrap_or(1);
    let (server, echo) = (Server::start()?, Echo::start()?);
    let folder = tempfile::tempdir()?;
    let mut contenders = Contenders {
        server,
        writers: Vec::new(),
        store: BareStore::open(folder.path(), most).await?,
        file: BareFile::open(folder.path())?,
        echo,
        echoing: Vec::new(),
        shared: Shared::start(most, size, table).await?,
    };
    for shape in SHAPES {
        contenders.connect(shape).await?;
        let mut rounds = Rounds::default();
        for _ in 0..size.rounds {
            contenders.round(shape, size, &mut rounds).await?;
        }
        rounds.print(shape, table);
    }
    Ok(())
}

impl Contenders {
    /// Connects anew for a shape: a server ends connections that say nothing while others are measured.
    async fn connect(&mut self, shape: Shape) -> anyhow::Result<()> {
        self.writers = connect(&self.server, shape.connections).await?;
        self.echoing.clear();
        for _ in 0..shape.connections {
            self.echoing.push(self.echo.place.connect().await?);
        }
        if let Some(shared) = &mut self.shared {
            shared.connect(shape).await?;
        }
        Ok(())
    }

    async fn round(&mut self, shape: Shape, size: Size, rounds: &mut Rounds) -> anyhow::Result<()> {
        let seconds = size.span.as_secs_f64();
        let before = self.server.process.cpu_us()?;
        let ours = frames(&mut self.writers, shape, Expect::Accepted, size).await?;
        let used = self.server.process.cpu_us()? - before;
        rounds.ours_cpu.push(used / (ours * seconds));
        rounds.ours.push(ours);
        let (before, syncs) = (cpu_us("self")?, self.store.batches());
        let bare = rate(self.store.loops(shape), size.span).await?.0;
        rounds
            .bare_cpu
            .push((cpu_us("self")? - before) / (bare * seconds));
        rounds.bare_syncs.push(self.store.syncs_each_since(syncs)?);
        rounds.bare.push(bare);
        let raw = rate(self.file.loops(shape), size.span).await?.0;
        rounds.raw.push(raw);
        let tls = frames(&mut self.echoing, shape, Expect::Anything, size).await?;
        rounds.tls.push(tls);
        if let Some(shared) = &mut self.shared {
            shared.round(shape, size, &mut rounds.shared).await?;
        }
        Ok(())
    }
}

impl Rounds {
    fn print(&self, shape: Shape, table: &mut Table) {
        let targets = Targets::of(shape);
        let Shape { connections, depth } = shape;
        let name = |what: &str| format!("{what}, {connections} × {depth} in flight");
        let rate = |what: &str| (name(what), "1/s", Better::More);
        let store = ("SQLite group commit", &self.bare[..]);
        table.add(rate("append"), &self.ours, store, targets.of_store);
        table.add(rate("append"), &self.ours, ("TLS echo", &self.tls), None);
        let cpu = (name("append, CPU of the server"), "µs", Better::Less);
        let limit = ("CPU of SQLite group commit", &self.bare_cpu[..]);
        table.add(cpu, &self.ours_cpu, limit, None);
        let raw = ("file + fdatasync", &self.raw[..]);
        table.add(rate(store.0), &self.bare, raw, targets.of_file);
        if targets.of_file.is_some() {
            let syncs = (name("syncs a message"), "", Better::Less);
            let most = vec![SYNCS_MAX; self.bare_syncs.len()];
            table.add(syncs, &self.bare_syncs, ("at most", &most), Some(1.0));
        }
        self.shared.print(shape, &self.ours, table);
    }
}

/// The least that counts as good, of a limit.
struct Targets {
    /// The server, of the store alone.
    of_store: Option<f64>,
    /// The store alone, of a file.
    of_file: Option<f64>,
}

impl Targets {
    fn of(shape: Shape) -> Self {
        let (of_store, of_file) = match shape.senders() {
            64 => (Some(0.60), Some(0.55)),
            512 => (Some(0.90), None),
            _ => (None, None),
        };
        Self { of_store, of_file }
    }
}

/// So many connections, each with a log of its own.
async fn connect(server: &Server, count: usize) -> anyhow::Result<Vec<Connection>> {
    let mut writers = Vec::new();
    for _ in 0..count {
        writers.push(writer(server).await?);
    }
    Ok(writers)
}

async fn writer(server: &Server) -> anyhow::Result<Connection> {
    let mut connection = server.place()?.connect().await?;
    let context = connection.greet(server.id, Role::Logs).await?;
    connection.create_log(&context, &server.pass()?).await?;
    Ok(connection)
}

/// The rate over all connections; they come back for the next round.
async fn frames(
    connections: &mut Vec<Connection>,
    shape: Shape,
    expect: Expect,
    size: Size,
) -> anyhow::Result<f64> {
    let loops = std::mem::take(connections).into_iter().map(|connection| {
        move |end| -> Loop<Connection> { Box::pin(appends(connection, shape.depth, expect, end)) }
    });
    let (rate, back) = rate(loops.collect(), size.span).await?;
    *connections = back;
    Ok(rate)
}
