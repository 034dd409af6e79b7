//! Messages a second, accepted means synced: the whole server beside its own store, a file, and TLS.

use conclave_proto::hello::Role;

use crate::Size;
use crate::bare::{BareFile, BareStore};
use crate::echo::Echo;
use crate::load::futures::Loop;
use crate::load::{Expect, Shape, appends, rate};
use crate::server::Server;
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
    let (mut writers, mut echoing) = (Vec::new(), Vec::new());
    let (place, pass) = (server.place()?, server.pass()?);
    for _ in 0..most {
        let mut connection = place.connect().await?;
        let context = connection.greet(server.id, Role::Logs).await?;
        connection.create_log(&context, &pass).await?;
        writers.push(connection);
        echoing.push(echo.place.connect().await?);
    }
    for shape in SHAPES {
        let [mut ours, mut bare, mut raw, mut tls] = [const { Vec::new() }; 4];
        for _ in 0..size.rounds {
            ours.push(frames(&mut writers, shape, Expect::Accepted, size).await?);
            bare.push(rate(store.loops(shape), size.span).await?.0);
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
        table.add(
            name("SQLite group commit"),
            &bare,
            ("file + fdatasync", &raw),
            None,
        );
    }
    Ok(())
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
