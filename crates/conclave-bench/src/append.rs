//! Messages a second, accepted means synced: the whole server beside its own store, a file, and TLS.

use conclave_proto::hello::Role;

use crate::Size;
use crate::bare::{BareFile, BareStore};
use crate::echo::Echo;
use crate::load::futures::Loop;
use crate::load::{Expect, Shape, appends, rate};
use crate::server::{Server, cpu_us};
use crate::table::{Better, Table};
use crate::wire::Connection;

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

pub(crate) async fn measure(size: Size, table: &mut Table) -> anyhow::Result<()> {
    let most = SHAPES
        .iter()
        .map(|shape| shape.connections)
        .max()
        .unwrap_or(1);
    let (server, echo) = (Server::start()?, Echo::start()?);
    let folder = tempfile::tempdir()?;
    let store = BareStore::open(folder.path(), most).await?;
    let file = BareFile::open(folder.path())?;
    let (mut writers, mut echoing) = connect(&server, &echo, most).await?;
    for shape in SHAPES {
        let [mut ours, mut bare, mut raw, mut tls] = [const { Vec::new() }; 4];
        let [mut ours_cpu, mut bare_cpu] = [const { Vec::new() }; 2];
        let seconds = size.span.as_secs_f64();
        for _ in 0..size.rounds {
            let before = server.process.cpu_us()?;
            let rate_ours = frames(&mut writers, shape, Expect::Accepted, size).await?;
            ours_cpu.push((server.process.cpu_us()? - before) / (rate_ours * seconds));
            ours.push(rate_ours);
            let before = cpu_us("self")?;
            let rate_bare = rate(store.loops(shape), size.span).await?.0;
            bare_cpu.push((cpu_us("self")? - before) / (rate_bare * seconds));
            bare.push(rate_bare);
            raw.push(rate(file.loops(shape), size.span).await?.0);
            tls.push(frames(&mut echoing, shape, Expect::Anything, size).await?);
        }
        let target = match shape.senders() {
            64 => Some(0.53),
            512 => Some(0.85),
            _ => None,
        };
        let name = |what: &str| {
            let Shape { connections, depth } = shape;
            (
                format!("{what}, {connections} × {depth} in flight"),
                "1/s",
                Better::More,
            )
        };
        table.add(
            name("append"),
            &ours,
            ("SQLite group commit", &bare),
            target,
        );
        table.add(name("append"), &ours, ("TLS echo", &tls), None);
        let cpu = (name("append, CPU of the server").0, "µs", Better::Less);
        table.add(
            cpu,
            &ours_cpu,
            ("CPU of SQLite group commit", &bare_cpu),
            None,
        );
        table.add(
            name("SQLite group commit"),
            &bare,
            ("file + fdatasync", &raw),
            None,
        );
    }
    Ok(())
}

/// So many connections to each; those to the server have a log of their own.
async fn connect(
    server: &Server,
    echo: &Echo,
    count: usize,
) -> anyhow::Result<(Vec<Connection>, Vec<Connection>)> {
    let (mut writers, mut echoing) = (Vec::new(), Vec::new());
    let (place, pass) = (server.place()?, server.pass()?);
    for _ in 0..count {
        let mut connection = place.connect().await?;
        let context = connection.greet(server.id, Role::Logs).await?;
        connection.create_log(&context, &pass).await?;
        writers.push(connection);
        echoing.push(echo.place.connect().await?);
    }
    Ok((writers, echoing))
}

/// The rate over the first connections; they come back for the next round.
async fn frames(
    connections: &mut Vec<Connection>,
    shape: Shape,
    expect: Expect,
    size: Size,
) -> anyhow::Result<f64> {
    let loops = connections.drain(..shape.connections).map(|connection| {
        move |end| -> Loop<Connection> { Box::pin(appends(connection, shape.depth, expect, end)) }
    });
    let (rate, back) = rate(loops.collect(), size.span).await?;
    connections.extend(back);
    Ok(rate)
}
