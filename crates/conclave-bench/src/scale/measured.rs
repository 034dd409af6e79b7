//! What one of each costs, measured on this machine in a minute or two.

use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use conclave_proto::env::{Env as _, OsEnv};
use conclave_proto::frame::{Reply, Request, reply, request};
use conclave_proto::limits::{KEY_PACKAGE_POOL, RETENTION_DAYS};
use conclave_proto::log::ReadLog;
use conclave_server::store::Store as _;

use super::float;
use super::model::Costs;
use crate::Size;
use crate::bare::BareStore;
use crate::crowd::{Crowd, OPEN_LOGS, ping_all};
use crate::fill::{self, Amount, database_bytes, fill};
use crate::idle::server_kib;
use crate::load::futures::Loop;
use crate::load::{Expect, Shape, appends, rate};
use crate::server::Server;
use crate::wire::Connection;

/// One-time key packages of a device.
pub(super) const PACKAGES: u64 = KEY_PACKAGE_POOL as u64;
/// Entries of each log: a page.
const PER_LOG: u64 = 100;
const DAY_MS: u64 = 86_400_000;
/// Of everything that is counted.
const NOTHING: Amount = Amount {
    accounts: 0,
    logs: 0,
    per_log: 0,
    packages: 0,
};

pub(super) async fn costs(size: Size) -> anyhow::Result<Costs> {
    let members = u64::try_from(size.idle / 20)?.max(20);
    let amount = Amount {
        logs: 2 * members * u64::from(OPEN_LOGS),
        per_log: PER_LOG / 10,
        ..NOTHING
    };
    let server = Server::start_counting(|folder| fill(folder, amount))?;
    let crowd = Crowd::new(&server, server.place()?)?;
    let mut used = Used {
        server: &server,
        before: 0.0,
    };

    let (mut bare, mut following) = (Vec::new(), Vec::new());
    used.begin()?;
    crowd.gather(&mut bare, members, false).await?;
    let handshake_us = used.each_us(members)?;
    used.begin()?;
    crowd.gather(&mut following, members, true).await?;
    let open_us = (used.each_us(members)? - handshake_us).max(0.0) / f64::from(OPEN_LOGS);
    used.begin()?;
    for _ in 0..PINGS {
        ping_all(&mut following).await?;
    }
    let ping_us = used.each_us(PINGS * members)?;
    drop((bare, following));

    let append_us = append_us(size, &crowd, &mut used).await?;
    let push_us = push_us(&crowd, &mut used, append_us).await?;
    let read_us = read_us(&crowd, &mut used).await?;
    let connection_kib = server_kib(members.max(50), Clone::clone, true).await?;
    let (syncs, store_rate) = store(size).await?;
    let disk = Disk::measure().await?;
    Ok(Costs {
        append_us,
        push_us,
        read_us,
        ping_us,
        handshake_us,
        open_us,
        connection_bytes: connection_kib * 1024.0,
        entry_bytes: disk.entry,
        expired_bytes: disk.expired,
        log_bytes: disk.log,
        account_bytes: disk.account,
        packages_bytes: disk.packages,
        syncs,
        store_rate,
    })
}

/// Signs of life of each member.
const PINGS: u64 = 20;
/// Readers of the log that is pushed, and entries that are.
const READERS: u64 = 200;
const PUSHED: u64 = 50;
/// Pages that are read.
const PAGES: u64 = 1_000;

/// Processor time of the server from one moment to another.
struct Used<'a> {
    server: &'a Server,
    before: f64,
}

impl Used<'_> {
    fn begin(&mut self) -> anyhow::Result<()> {
        self.before = self.server.process.cpu_us()?;
        Ok(())
    }

    /// Since the beginning, for each of so many.
    fn each_us(&self, count: u64) -> anyhow::Result<f64> {
        Ok((self.server.process.cpu_us()? - self.before) / float(count))
    }
}

/// 64 writers with eight unanswered entries each.
async fn append_us(size: Size, crowd: &Crowd, used: &mut Used<'_>) -> anyhow::Result<f64> {
    let mut loops: Vec<Box<dyn FnOnce(Instant) -> Loop<Connection>>> = Vec::new();
    for member in 0..64 {
        let (mut writer, context) = crowd.greet(member).await?;
        crowd.open_logs(member % 20, &mut writer, &context).await?;
        loops.push(Box::new(move |end| {
            Box::pin(appends(writer, 8, Expect::Accepted, end))
        }));
    }
    used.begin()?;
    let (rate, _) = rate(loops, size.span).await?;
    Ok(used.each_us(1)? / (rate * size.span.as_secs_f64()))
}

/// One writer whose every entry all readers take before the next one.
async fn push_us(crowd: &Crowd, used: &mut Used<'_>, append_us: f64) -> anyhow::Result<f64> {
    let mut readers = Vec::new();
    for member in 0..READERS {
        let (mut reader, context) = crowd.greet(member).await?;
        crowd.follow_logs(0, &mut reader, &context).await?;
        readers.push(reader);
    }
    let (mut writer, context) = crowd.greet(READERS).await?;
    crowd.open_logs(0, &mut writer, &context).await?;
    used.begin()?;
    for id in 1..=PUSHED {
        writer.put_append(id)?;
        writer.flush().await?;
        next(&mut writer).await?;
        for reader in &mut readers {
            let Some(reply::Body::LogPush(_)) = next(reader).await? else {
                bail!("a reader got something else than a push");
            };
        }
    }
    Ok(used.each_us(PUSHED * READERS)? - append_us / float(READERS))
}

/// One reader of many pages.
async fn read_us(crowd: &Crowd, used: &mut Used<'_>) -> anyhow::Result<f64> {
    let (mut reader, context) = crowd.greet(0).await?;
    crowd.open_logs(1, &mut reader, &context).await?;
    let mut entries = 0;
    used.begin()?;
    for (id, handle) in (1..=PAGES).zip((1..=OPEN_LOGS).cycle()) {
        let (after, limit) = (0, 100);
        let read = ReadLog {
            handle,
            after,
            limit,
        };
        let body = Some(request::Body::ReadLog(read));
        reader.put(&Request { id, body })?;
        reader.flush().await?;
        let Some(reply::Body::LogPage(page)) = next(&mut reader).await? else {
            bail!("a read got something else than a page");
        };
        entries += u64::try_from(page.entries.len())?;
    }
    ensure!(entries > 0, "filled logs have entries");
    used.each_us(entries)
}

async fn next(connection: &mut Connection) -> anyhow::Result<Option<reply::Body>> {
    loop {
        if let Some(reply) = connection.taken::<Reply>()? {
            return Ok(reply.body);
        }
        connection.fill().await?;
    }
}

/// Syncs for each entry, and entries a second, with 64 in flight.
async fn store(size: Size) -> anyhow::Result<(f64, f64)> {
    let shape = Shape {
        connections: 64,
        depth: 1,
    };
    let folder = tempfile::tempdir()?;
    let bare = BareStore::open(folder.path(), shape.connections).await?;
    let before = bare.store().batches();
    let (rate, _) = rate(bare.loops(shape), size.span).await?;
    let after = bare.store().batches();
    let syncs = float(after.commits - before.commits) / float(after.items - before.items);
    Ok((syncs, rate))
}

/// Bytes on disk of one of each.
struct Disk {
    entry: f64,
    expired: f64,
    log: f64,
    account: f64,
    packages: f64,
}

impl Disk {
    async fn measure() -> anyhow::Result<Self> {
        let of = |amount| -> anyhow::Result<f64> {
            let folder = tempfile::tempdir()?;
            fill(folder.path(), amount)?;
            Ok(float(database_bytes(folder.path())?))
        };
        let (accounts, logs) = (500, 2_000);
        let nothing = of(NOTHING)?;
        let bare = of(Amount {
            accounts,
            ..NOTHING
        })?;
        let whole = of(Amount {
            accounts,
            packages: PACKAGES,
            ..NOTHING
        })?;
        let of_logs = of(Amount { logs, ..NOTHING })?;
        let amount = Amount {
            logs,
            per_log: PER_LOG,
            ..NOTHING
        };
        let entries = float(logs * PER_LOG);
        Ok(Self {
            entry: (of(amount)? - of_logs) / entries,
            expired: (expired_bytes(amount).await? - of_logs) / entries,
            log: (of_logs - nothing) / float(logs),
            account: (whole - nothing) / float(accounts),
            packages: (whole - bare) / float(accounts),
        })
    }
}

/// Bytes of a database whose entries have all expired, once the room that they left is used again.
async fn expired_bytes(amount: Amount) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    fill(folder.path(), amount)?;
    let bare = BareStore::of_logs(folder.path(), vec![fill::log_id(0)])?;
    let then_ms = OsEnv.now_ms() + 2 * u64::from(RETENTION_DAYS) * DAY_MS;
    while bare.store().sweep(then_ms).await? {}
    drop(bare);
    let database = rusqlite::Connection::open(folder.path().join("store.db"))?;
    database.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")?;
    database
        .close()
        .map_err(|(_, error)| error)
        .context("closing")?;
    Ok(float(database_bytes(folder.path())?))
}
