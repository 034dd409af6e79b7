//! One entry to everybody who is online: until the last reader has it, beside as many TLS writes of the same
//! bytes, one after the other, by a process that does nothing else.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use tokio::task::JoinSet;

use crate::Size;
use crate::crowd::Crowd;
use crate::echo::{self, Echo};
use crate::fill::{self, Amount};
use crate::server::Server;
use crate::table::{Better, Table, median};
use crate::wire::Connection;

/// One log that everybody reads.
const ONE: Amount = Amount {
    accounts: 0,
    packages: 0,
    logs: 1,
    per_log: 1,
};
/// Entries of one round.
const ENTRIES: usize = 7;
/// Three times the raw writes are allowed.
const TARGET: f64 = 1.0 / 3.0;

pub(crate) async fn measure(size: Size, table: &mut Table) -> anyhow::Result<()> {
    let server = Server::start_filled(|folder| fill::fill(folder, ONE))?;
    let echo = Echo::start()?;
    let crowd = Crowd::new(&server, server.place()?)?;
    let (mut readers, mut listeners) = (Vec::new(), Vec::new());
    for member in 0..size.readers {
        let (mut reader, context) = crowd.greet(member).await?;
        crowd.open(0..1, &mut reader, &context).await?;
        Crowd::follow(1, &mut reader).await?;
        readers.push(reader);
        let mut listener = echo.place.connect().await?;
        listener.put_raw(&[echo::LISTENS]);
        listener.flush().await?;
        while !listener.skipped() {
            listener.fill().await?;
        }
        listeners.push(listener);
    }
    let (mut writer, context) = crowd.greet(size.readers).await?;
    crowd.open(0..1, &mut writer, &context).await?;
    let mut teller = echo.place.connect().await?;
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        let (mut entries, mut writes) = (Vec::new(), Vec::new());
        for _ in 0..ENTRIES {
            writer.put_append(2)?;
            let (ms, bytes) = told(&mut writer, &mut readers).await?;
            entries.push(ms);
            ensure!(bytes > crate::PAYLOAD_BYTES, "a push carries its entry");
            let mut same = vec![echo::TELLS];
            same.resize(bytes, 7);
            teller.put_raw(&same);
            writes.push(told(&mut teller, &mut listeners).await?.0);
        }
        ours.push(median(&entries));
        raw.push(median(&writes));
    }
    let name = format!("one entry to {} readers", size.readers);
    let limit = format!("{} TLS writes", size.readers);
    let name = (name, "ms", Better::Less);
    table.add(name, &ours, (limit, &raw[..]), Some(TARGET));
    Ok(())
}

/// Sends what `teller` has queued; how long until each of `readers` has a frame, in ms, and the bytes of one.
async fn told(
    teller: &mut Connection,
    readers: &mut Vec<Connection>,
) -> anyhow::Result<(f64, usize)> {
    let mut reading: JoinSet<_> = readers.drain(..).map(read_one).collect();
    // this runtime has one thread, and each turn lets at least one of them begin to wait
    for _ in 0..reading.len() {
        tokio::task::yield_now().await;
    }
    let begin = Instant::now();
    teller.flush().await?;
    let mut bytes = 0;
    while let Some(read) = reading.join_next().await {
        let (reader, length) = read??;
        readers.push(reader);
        bytes = length;
    }
    let ms = begin.elapsed().as_secs_f64() * 1_000.0;
    while !teller.skipped() {
        teller.fill().await.context("no answer to who tells")?;
    }
    Ok((ms, bytes))
}

/// Waits for one frame; its length without the prefix.
async fn read_one(mut reader: Connection) -> anyhow::Result<(Connection, usize)> {
    loop {
        if let Some(length) = reader.skipped_bytes() {
            return Ok((reader, length));
        }
        reader.fill().await?;
    }
}
