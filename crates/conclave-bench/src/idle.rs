//! What an idle connection costs the server, beside one of TLS alone.

use conclave_proto::hello::Role;

use crate::Size;
use crate::echo::Echo;
use crate::server::{Process, Server};
use crate::table::{Better, Table};
use crate::wire::Place;

pub(crate) async fn measure(size: Size, table: &mut Table) -> anyhow::Result<()> {
    let (server, echo) = (Server::start()?, Echo::start()?);
    let place = server.place()?;
    let greeted = Some(server.id);
    // what a process takes once for its first connections is not theirs
    let first = grow(&server.process, &place, greeted, 50).await?;
    let first_raw = grow(&echo.process, &echo.place, None, 50).await?;
    let frames = grow(&server.process, &place, greeted, size.idle).await?;
    let raw = grow(&echo.process, &echo.place, None, size.idle).await?;
    let name = ("idle connection, frames", "KiB", Better::Less);
    table.add(name, &[frames.1], ("TLS alone", &[raw.1]), None);
    drop((first, first_raw, frames, raw));
    Ok(())
}

/// Opens connections and keeps them; KiB that each added to the process.
async fn grow(
    process: &Process,
    place: &Place,
    server_id: Option<conclave_proto::id::ServerId>,
    count: usize,
) -> anyhow::Result<(Vec<crate::wire::Connection>, f64)> {
    let before = process.memory_bytes()?;
    let mut kept = Vec::new();
    for _ in 0..count {
        let mut connection = place.connect().await?;
        if let Some(server_id) = server_id {
            connection.greet(server_id, Role::Logs).await?;
        } else {
            // one message each, as the hello is
            connection.put_append(1)?;
            connection.flush().await?;
            while !connection.skipped() {
                connection.fill().await?;
            }
        }
        kept.push(connection);
    }
    let added = process.memory_bytes()?.saturating_sub(before);
    let each = u32::try_from(added / 1024)?;
    Ok((kept, f64::from(each) / f64::from(u32::try_from(count)?)))
}
