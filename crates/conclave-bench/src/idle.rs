//! What an idle connection with its open logs costs the server, beside one of TLS alone.

use crate::Size;
use crate::crowd::{Crowd, OPEN_LOGS, ping_all};
use crate::echo::Echo;
use crate::fill::{Amount, fill};
use crate::server::{Process, Server};
use crate::table::{Better, Table};
use crate::wire::{Connection, Place};

/// Connections before the first that is counted.
const FIRST: u64 = 50;
/// KiB that one may cost.
const FRAMES_KIB: f64 = 24.0;
const WEBSOCKET_KIB: f64 = 28.0;

pub(crate) async fn measure(size: Size, table: &mut Table) -> anyhow::Result<()> {
    conclave_server::files::raise_limit();
    let count = u64::try_from(size.idle)?;
    let raw = echo_kib(count.min(2_000)).await?;
    let bare = server_kib(count.min(2_000), Place::clone, false).await?;
    let frames = server_kib(count, Place::clone, true).await?;
    let websocket = server_kib(count, Place::over_websocket, true).await?;
    let mut row = |name: String, kib: f64, limit: (&str, f64), target| {
        let name = (name, "KiB", Better::Less);
        table.add(name, &[kib], (limit.0, &[limit.1]), target);
    };
    let alone = ("TLS alone", raw);
    row(
        "idle connection, frames, no logs".to_owned(),
        bare,
        alone,
        None,
    );
    for (kind, kib, most) in [
        ("frames", frames, FRAMES_KIB),
        ("WebSocket", websocket, WEBSOCKET_KIB),
    ] {
        let name = format!("idle connection, {kind}, {OPEN_LOGS} logs");
        row(name.clone(), kib, alone, None);
        row(name, kib, ("the most it may cost", most), Some(1.0));
    }
    println!(
        "{count} connections with {OPEN_LOGS} logs each were held, and each answered at the end"
    );
    Ok(())
}

/// KiB of TLS alone.
async fn echo_kib(count: u64) -> anyhow::Result<f64> {
    let echo = Echo::start()?;
    let mut kept = Vec::new();
    let mut before = 0;
    for number in 0..FIRST + count {
        // what a process takes once for its first connections is not theirs
        if number == FIRST {
            before = echo.process.own_memory_bytes()?;
        }
        let mut connection = echo.place.connect().await?;
        connection.put_append(1)?;
        connection.flush().await?;
        while !connection.skipped() {
            connection.fill().await?;
        }
        kept.push(connection);
    }
    each(&echo.process, before, count)
}

/// KiB of the server, with the limits of a server that strangers can reach; each of its logs is open once.
pub(crate) async fn server_kib(
    count: u64,
    way: impl Fn(&Place) -> Place,
    opens: bool,
) -> anyhow::Result<f64> {
    let logs = if opens {
        (FIRST + count) * u64::from(OPEN_LOGS)
    } else {
        1
    };
    let amount = Amount {
        accounts: 0,
        logs,
        per_log: 1,
        packages: 0,
    };
    let server = Server::start_counting(|folder| fill(folder, amount))?;
    let crowd = Crowd::new(&server, way(&server.place()?))?;
    let mut members: Vec<Connection> = Vec::new();
    crowd.gather(&mut members, FIRST, opens).await?;
    let before = server.process.own_memory_bytes()?;
    crowd.gather(&mut members, count, opens).await?;
    ping_all(&mut members).await?;
    each(&server.process, before, count)
}

fn each(process: &Process, before: u64, count: u64) -> anyhow::Result<f64> {
    let added = process.own_memory_bytes()?.saturating_sub(before) / 1024;
    Ok(f64::from(u32::try_from(added)?) / f64::from(u32::try_from(count)?))
}
