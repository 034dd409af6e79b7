//! What an idle connection costs the server, beside one of TLS alone.

use conclave_proto::hello::Role;
use conclave_proto::id::ServerId;

use crate::Size;
use crate::echo::Echo;
use crate::server::{Process, Server};
use crate::table::{Better, Table};
use crate::wire::Place;

/// Connections before the first that is counted.
const FIRST: usize = 50;

/// How an idle connection was begun.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// The hello in frames, to the server.
    Frames(ServerId),
    /// The hello in a WebSocket, to the server.
    WebSocket,
    /// One message, to the echo.
    Echo,
}

pub(crate) async fn measure(size: Size, table: &mut Table) -> anyhow::Result<()> {
    let echo = Echo::start()?;
    let raw = each_kib(&echo.process, &echo.place, Kind::Echo, size.idle).await?;
    // a server for each kind: memory that one gives back is not taken by the other
    let server = Server::start()?;
    let frames = Kind::Frames(server.id);
    let frames = each_kib(&server.process, &server.place()?, frames, size.idle).await?;
    let server = Server::start()?;
    let place = server.place()?.over_http();
    let websocket = each_kib(&server.process, &place, Kind::WebSocket, size.idle).await?;
    for (name, kib) in [("frames", frames), ("WebSocket", websocket)] {
        let name = (format!("idle connection, {name}"), "KiB", Better::Less);
        table.add(name, &[kib], ("TLS alone", &[raw]), None);
    }
    Ok(())
}

/// Opens connections and keeps them all; KiB that each added to the process.
async fn each_kib(
    process: &Process,
    place: &Place,
    kind: Kind,
    count: usize,
) -> anyhow::Result<f64> {
    let mut kept = Vec::new();
    let mut before = 0;
    for number in 0..FIRST + count {
        // what a process takes once for its first connections is not theirs
        if number == FIRST {
            before = process.memory_bytes()?;
        }
        let mut connection = place.connect().await?;
        match kind {
            Kind::Frames(server_id) => drop(connection.greet(server_id, Role::Logs).await?),
            Kind::WebSocket => connection.greet_in_websocket(Role::Logs).await?,
            Kind::Echo => {
                connection.put_append(1)?;
                connection.flush().await?;
                while !connection.skipped() {
                    connection.fill().await?;
                }
            }
        }
        kept.push(connection);
    }
    let added = process.memory_bytes()?.saturating_sub(before) / 1024;
    Ok(f64::from(u32::try_from(added)?) / f64::from(u32::try_from(count)?))
}
