//! Everybody comes back at once: the server is killed and started again, and each client waits as the client
//! library waits before it connects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use conclave_client::transport::Backoff;
use conclave_proto::env::OsEnv;
use conclave_proto::hello::ConnectionContext;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Size;
use crate::crowd::{Crowd, OPEN_LOGS, ping};
use crate::fill::{Amount, fill};
use crate::server::Server;
use crate::table::{Better, Table};
use crate::wire::Connection;

/// Everybody is live again after this, in s.
const LIVE_S: f64 = 30.0;
/// How long a client waits for a connection before it tries again, as the client library does.
const TRY: Duration = Duration::from_secs(10);

/// How one came back.
struct Back {
    /// From the cut to the first answer, in s.
    live_s: f64,
    /// From the cut until its logs were open again, in s.
    open_s: f64,
    tries: u32,
}

pub(crate) async fn measure(size: Size, table: &mut Table) -> anyhow::Result<()> {
    conclave_server::files::raise_limit();
    let count = u64::try_from(size.cut)?;
    let amount = Amount {
        accounts: 0,
        logs: count * u64::from(OPEN_LOGS),
        per_log: 1,
        packages: 0,
    };
    let mut server = Server::start_counting(|folder| fill(folder, amount))?;
    let crowd = Crowd::new(&server, server.place()?)?;
    let mut members = Vec::new();
    crowd.gather(&mut members, count, true).await?;
    let cut = Instant::now();
    let mut coming = JoinSet::new();
    for (member, connection) in (0..).zip(members) {
        coming.spawn(come_back(Arc::clone(&crowd), member, connection, cut));
    }
    tokio::task::block_in_place(|| server.kill_and_restart())?;
    let restarted_s = cut.elapsed().as_secs_f64();
    let mut back = Vec::new();
    while let Some(one) = coming.join_next().await {
        back.push(one??);
    }
    let times = |time: fn(&Back) -> f64| {
        let mut times: Vec<f64> = back.iter().map(time).collect();
        times.sort_by(f64::total_cmp);
        times
    };
    let live = times(|one| one.live_s);
    let open = times(|one| one.open_s);
    let at = |times: &[f64], share: usize| times.get((times.len() - 1) * share / 100).copied();
    let tries: u32 = back.iter().map(|one| one.tries).sum();
    println!("{count} cut, {tries} tries; the server listened again after {restarted_s:.1} s");
    for (what, share) in [("half", 50), ("99 %", 99), ("all", 100)] {
        let mut row = |what: String, times: &[f64], target| {
            let time = [at(times, share).unwrap_or(f64::NAN)];
            let name = (what, "s", Better::Less);
            table.add(name, &time, ("the longest it may take", &[LIVE_S]), target);
        };
        let target = (share == 100).then_some(1.0);
        row(format!("{count} cut, {what} live"), &live, target);
        row(
            format!("{count} cut, {what} with {OPEN_LOGS} logs open"),
            &open,
            None,
        );
    }
    Ok(())
}

/// Waits for the end of the connection and connects until that works.
async fn come_back(
    crowd: Arc<Crowd>,
    member: u64,
    mut connection: Connection,
    cut: Instant,
) -> anyhow::Result<Back> {
    while connection.fill().await.is_ok() {}
    drop(connection);
    let mut backoff = Backoff::new(OsEnv::shared());
    let mut tries = 0;
    let (mut connection, context) = loop {
        sleep(Duration::from_millis(backoff.next_ms())).await;
        tries += 1;
        if let Ok(Ok(there)) = timeout(TRY, connect(&crowd, member)).await {
            break there;
        }
    };
    let live_s = cut.elapsed().as_secs_f64();
    crowd
        .follow_logs(member, &mut connection, &context)
        .await
        .context("its logs open again")?;
    Ok(Back {
        live_s,
        open_s: cut.elapsed().as_secs_f64(),
        tries,
    })
}

async fn connect(crowd: &Crowd, member: u64) -> anyhow::Result<(Connection, ConnectionContext)> {
    let (mut connection, context) = crowd.greet(member).await?;
    ping(&mut connection).await?;
    Ok((connection, context))
}
