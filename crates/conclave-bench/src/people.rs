//! What people wait for: registration, first contact, sending, and coming back to a backlog.

use std::path::{Path, PathBuf};
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

/// What one backlog took, ms for each message.
struct Round {
    queued: f64,
    sent: f64,
    drained: f64,
    /// One synced transaction, in the same round.
    synced: f64,
}

/// Anna writes while Ben is away; then Ben reads everything; several times.
async fn backlog(
    size: Size,
    table: &mut Table,
    bare: &Path,
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
    let mut rounds = Vec::new();
    for number in 1..=size.rounds {
        let (round, back) = away(size, bare, &anna, ben).await?;
        rounds.push(round);
        ben = back;
        let chat = ben.client.find_chat(&anna.address)?;
        let sent = number * size.backlog + 1;
        let seen = ben.client.history(chat, 2 * sent)?.len();
        anyhow::ensure!(seen == sent, "{seen} messages of {sent} arrived");
    }
    report(size, table, &rounds);
    Ok(())
}

/// One time that Ben is away.
async fn away(
    size: Size,
    bare: &Path,
    anna: &Person,
    ben: Person,
) -> anyhow::Result<(Round, Person)> {
    let folder = ben.folder();
    let Person {
        address,
        client,
        home,
    } = ben;
    client.close().await;
    anna.client.settle(LONG).await?;
    let text = "x".repeat(TEXT_BYTES);
    let count = f64::from(u32::try_from(size.backlog)?);
    let begin = Instant::now();
    for _ in 0..size.backlog {
        anna.client.send(&address, &text).await?;
    }
    let queued = ms(begin) / count;
    anna.client.settle(LONG).await?;
    let sent = ms(begin) / count;
    let client = Client::open(&folder, Unlock::KeyFile, Arc::new(Hurried))?;
    let begin = Instant::now();
    client.go_online();
    client.settle(LONG).await?;
    let round = Round {
        queued,
        sent,
        drained: ms(begin) / count,
        synced: synced_transaction_ms(bare, 200)?,
    };
    let ben = Person {
        address,
        client,
        home,
    };
    Ok((round, ben))
}

fn report(size: Size, table: &mut Table, rounds: &[Round]) {
    let each = |what: fn(&Round) -> f64| rounds.iter().map(what).collect::<Vec<_>>();
    let synced = each(|round| round.synced);
    let times = [
        ("queue 256 B, synced".to_owned(), each(|round| round.queued)),
        (
            "queue, seal, send 256 B, until accepted".to_owned(),
            each(|round| round.sent),
        ),
        (
            format!("drain of {}, each message", size.backlog),
            each(|round| round.drained),
        ),
    ];
    for (name, taken) in times {
        let limit = ("1 synced SQLite transaction", synced.as_slice());
        table.add((name, "ms", Better::Less), &taken, limit, None);
    }
    table.add(
        (format!("drain of {}", size.backlog), "1/s", Better::More),
        &each(|round| 1000.0 / round.drained),
        ("at least", &vec![DRAINED_MIN; rounds.len()]),
        Some(1.0),
    );
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
