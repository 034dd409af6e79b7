//! What people wait for: registration, first contact, sending, and coming back to a backlog.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use conclave_client::{Client, Unlock};
use conclave_proto::env::{Env, OsEnv, SharedEnv};
use conclave_proto::identifier::Identifier;
use tempfile::TempDir;

use crate::Size;
use crate::bare::synced_transaction_ms;
use crate::echo::Echo;
use crate::server::Server;
use crate::table::{Better, Table};

/// How long anything may take.
pub(crate) const LONG: Duration = Duration::from_mins(5);
/// The name of everybody's profile.
const PROFILE: &str = "default";
/// Messages that a client must drain in a second.
const DRAINED_MIN: f64 = 3_000.0;
/// Messages of 256 bytes that are sent one after the other.
const TEXT_BYTES: usize = 256;

/// The machine's clock and chance. Four random bytes are zeros: the random delay of an invitation's
/// post, up to 5 s, is privacy and not speed.
#[derive(Debug)]
struct Hurried;

impl Env for Hurried {
    fn now_ms(&self) -> u64 {
        OsEnv.now_ms()
    }

    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() == 4 {
            bytes.fill(0);
        } else {
            OsEnv.fill(bytes);
        }
    }
}

/// Somebody with a profile.
pub(crate) struct Person {
    address: String,
    pub(crate) client: Client,
    /// Holds the profile, in a folder of its own.
    pub(crate) home: TempDir,
}

impl Person {
    /// Where the profile is.
    pub(crate) fn folder(&self) -> PathBuf {
        self.home.path().join(PROFILE)
    }
}

pub(crate) async fn measure(size: Size, table: &mut Table) -> anyhow::Result<()> {
    let (server, echo) = (Server::start()?, Echo::start()?);
    let bare = tempfile::tempdir()?;
    let [mut registered, mut met, mut connected, mut synced] = [const { Vec::new() }; 4];
    let mut last = None;
    for round in 0..size.rounds {
        let begin = Instant::now();
        let anna = register(&server, &format!("anna{round}")).await?;
        registered.push(ms(begin));
        let ben = register(&server, &format!("ben{round}")).await?;
        anna.client.go_online();
        anna.client.settle(LONG).await?;
        let begin = Instant::now();
        anna.client.send(&ben.address, "hello").await?;
        anna.client.settle(LONG).await?;
        met.push(ms(begin));
        let begin = Instant::now();
        echo.place.connect().await?;
        connected.push(ms(begin));
        synced.push(synced_transaction_ms(bare.path(), 50)?);
        last = Some((anna, ben));
    }
    let least: Vec<f64> = connected.iter().zip(&synced).map(|(a, b)| a + b).collect();
    let limit = (
        "1 TLS connection + 1 synced SQLite transaction",
        least.as_slice(),
    );
    let name = |name| (name, "ms", Better::Less);
    table.add(name("register, until usable"), &registered, limit, None);
    table.add(
        name("first message to a stranger, until accepted"),
        &met,
        limit,
        None,
    );
    let (anna, ben) = last.context("no round was run")?;
    backlog(size, table, bare.path(), anna, ben).await
}

/// Anna writes while Ben is away; then Ben reads everything.
async fn backlog(
    size: Size,
    table: &mut Table,
    bare: &std::path::Path,
    anna: Person,
    mut ben: Person,
) -> anyhow::Result<()> {
    ben.client.go_online();
    ben.client.settle(LONG).await?;
    let request = ben
        .client
        .requests()?
        .into_iter()
        .next()
        .context("a request")?;
    ben.client.accept_request(request.chat)?;
    ben.client.settle(LONG).await?;
    let folder = ben.folder();
    ben.client.close().await;
    anna.client.settle(LONG).await?;
    let text = "x".repeat(TEXT_BYTES);
    let count = f64::from(u32::try_from(size.backlog)?);
    let begin = Instant::now();
    for _ in 0..size.backlog {
        anna.client.send(&ben.address, &text).await?;
    }
    let queued = ms(begin) / count;
    anna.client.settle(LONG).await?;
    let sent = ms(begin) / count;
    let synced = synced_transaction_ms(bare, 200)?;
    ben.client = Client::open(&folder, Unlock::KeyFile, Arc::new(Hurried))?;
    let begin = Instant::now();
    ben.client.go_online();
    ben.client.settle(LONG).await?;
    let drained = ms(begin) / count;
    let synced_after = synced_transaction_ms(bare, 200)?;
    let chat = ben.client.find_chat(&anna.address)?;
    let seen = ben.client.history(chat, 2 * size.backlog)?.len();
    anyhow::ensure!(seen == size.backlog + 1, "{seen} messages arrived");
    let one = "1 synced SQLite transaction";
    let name = |name| (name, "ms", Better::Less);
    table.add(
        name("queue 256 B, synced"),
        &[queued],
        (one, &[synced]),
        None,
    );
    table.add(
        name("queue, seal, send 256 B, until accepted"),
        &[sent],
        (one, &[synced]),
        None,
    );
    let drain = format!("drain of {}, each message", size.backlog);
    table.add(
        (drain, "ms", Better::Less),
        &[drained],
        (one, &[synced_after]),
        None,
    );
    let rate = format!("drain of {}", size.backlog);
    table.add(
        (rate, "1/s", Better::More),
        &[1000.0 / drained],
        ("at least", &[DRAINED_MIN]),
        Some(1.0),
    );
    Ok(())
}

/// Somebody new at `server`.
pub(crate) async fn register(server: &Server, name: &str) -> anyhow::Result<Person> {
    let home = tempfile::tempdir()?;
    let env: SharedEnv = Arc::new(Hurried);
    let client = Client::create(&home.path().join(PROFILE), Unlock::KeyFile, env)?;
    let address = format!("{name}@example.org");
    let identifier: Identifier = address.parse()?;
    let place = conclave_server::address_of(server.id, server.address);
    client
        .register_start(&place, &identifier, None, name)
        .await?;
    client.register_confirm(&server.next_code()?).await?;
    Ok(Person {
        address,
        client,
        home,
    })
}

fn ms(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1000.0
}
