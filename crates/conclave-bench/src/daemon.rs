//! What a client's daemon costs while it waits: its start, its memory and its processor time.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::ensure;

use crate::Size;
use crate::people::register;
use crate::server::{Process, Server, beside_this_one, next_line};
use crate::table::{Better, Table};

/// The most that a start may take, in ms.
const START_MS_MAX: f64 = 300.0;
/// The most that a daemon may hold, in MiB.
const MEMORY_MIB_MAX: f64 = 80.0;
/// The most of one core that it may use, in percent.
const CPU_PERCENT_MAX: f64 = 0.5;
/// What each is held against.
const MOST: &str = "the most that is allowed";

pub(crate) async fn measure(size: Size, table: &mut Table) -> anyhow::Result<()> {
    let server = Server::start()?;
    let anna = register(&server, "anna").await?;
    anna.client.go_online();
    anna.client.settle(crate::people::LONG).await?;
    let folder = anna.folder();
    let crate::people::Person {
        client,
        home: _home,
        ..
    } = anna;
    client.close().await;
    let [mut started, mut bare] = [const { Vec::new() }; 2];
    let mut running = None;
    for _ in 0..size.rounds {
        drop(running.take());
        let begin = Instant::now();
        let version = Command::new(beside_this_one("conclave")?)
            .arg("--version")
            .output()?;
        ensure!(version.status.success(), "conclave --version failed");
        bare.push(ms(begin));
        let begin = Instant::now();
        // Its first line comes when it listens.
        let (daemon, lines) = start(&folder)?;
        next_line(&lines)?;
        started.push(ms(begin));
        running = Some((daemon, lines));
    }
    let (daemon, _lines) = running.ok_or_else(|| anyhow::anyhow!("no round was run"))?;
    // Its first look at the server is no idling.
    tokio::time::sleep(size.idle_span / 3).await;
    let before = daemon.cpu_us()?;
    let begin = Instant::now();
    tokio::time::sleep(size.idle_span).await;
    let used_us = daemon.cpu_us()? - before;
    let percent = used_us / 10_000.0 / begin.elapsed().as_secs_f64();
    let mib = f64::from(u32::try_from(daemon.memory_bytes()? / 1024)?) / 1024.0;
    let rounds = vec![START_MS_MAX; started.len()];
    let name = |name, unit| (name, unit, Better::Less);
    table.add(
        name("daemon, from start until it listens", "ms"),
        &started,
        (MOST, &rounds),
        Some(1.0),
    );
    let version = ("conclave --version", bare.as_slice());
    table.add(
        name("daemon, from start until it listens", "ms"),
        &started,
        version,
        None,
    );
    table.add(
        name("idle daemon, resident memory", "MiB"),
        &[mib],
        (MOST, &[MEMORY_MIB_MAX]),
        Some(1.0),
    );
    // One tick of the kernel's clock at least: nothing is no figure.
    let tick = 1.0 / begin.elapsed().as_secs_f64();
    table.add(
        name("idle daemon, of one core", "%"),
        &[percent.max(tick)],
        (MOST, &[CPU_PERCENT_MAX]),
        Some(1.0),
    );
    Ok(())
}

/// The real program on the profile in `folder`.
pub(crate) fn start(folder: &Path) -> anyhow::Result<(Process, std::sync::mpsc::Receiver<String>)> {
    let mut command = Command::new(beside_this_one("conclave")?);
    let home = folder.parent().unwrap_or(folder);
    let profile = folder.file_name().unwrap_or_default();
    command.env("CONCLAVE_DATA_DIR", home);
    command.args(["daemon", "-o", "json", "-p"]).arg(profile);
    Process::spawn(&mut command)
}

fn ms(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1000.0
}
