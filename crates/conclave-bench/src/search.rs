//! Looking for words and paging in a profile with many messages: the client's own calls, beside the scan without an
//! index.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use conclave_client::view::Search;
use conclave_client::{Client, Unlock};
use conclave_proto::env::OsEnv;
use conclave_proto::id::{ChatId, MessageId};
use rusqlite::{Connection, params};

use crate::Size;
use crate::people::{LONG, Person, register};
use crate::server::Server;
use crate::table::{Better, Table};

/// Rows of a page and of an answer.
const PAGE: usize = 50;
/// Words of one message.
const WORDS: u64 = 12;
/// Different words, each half as often as the one of half its number.
const VOCABULARY: u64 = 20_000;
/// One message in so many holds the rare word.
const RARE: u64 = 20_000;
/// When the first of the messages was written, ms since 1970-01-01 UTC; a minute between two.
const BEGIN_MS: u64 = 1_700_000_000_000;
/// What each is held against.
const SCAN: &str = "a scan with LIKE";

pub(crate) async fn measure(size: Size, table: &mut Table) -> anyhow::Result<()> {
    let server = Server::start()?;
    let (anna, ben) = (
        register(&server, "anna").await?,
        register(&server, "ben").await?,
    );
    anna.client.go_online();
    anna.client.send("ben@example.org", "hello").await?;
    anna.client.settle(LONG).await?;
    drop(ben);
    let folder = anna.folder();
    let Person {
        client,
        home: _home,
        ..
    } = anna;
    client.close().await;
    let messages = u64::try_from(size.searched)?;
    let begin = Instant::now();
    fill(&open(&folder)?, messages)?;
    println!(
        "{messages} messages written and indexed in {:.0} ms",
        ms(begin)
    );
    let scanned = scan(&open(&folder)?, size.rounds)?;
    let client = Client::open(&folder, Unlock::KeyFile, Arc::new(OsEnv))?;
    let chat = client.find_chat("ben@example.org")?;
    let of = |what: &str| format!("{what}, of {messages} messages");
    let limit = (SCAN, scanned.as_slice());
    for (what, words) in [
        ("search, a rare word", "quetzal"),
        ("search, a common word", "w1x"),
        ("search, a prefix of many words", "w1"),
        ("search, two words", "w1x w2x"),
        ("search, a word that no message holds", "nowhere"),
    ] {
        let values = times(size.rounds, || {
            let search = Search {
                words: words.to_owned(),
                limit: PAGE,
                ..Search::default()
            };
            client.search(&search).map(|found| found.len())
        })?;
        table.add((of(what), "ms", Better::Less), &values, limit, None);
    }
    let middle = middle(&client, chat, size.searched)?;
    let top = times(size.rounds, || {
        client.history(chat, PAGE).map(|page| page.len())
    })?;
    let inside = times(size.rounds, || {
        client
            .history_before(chat, middle, PAGE)
            .map(|page| page.len())
    })?;
    for (what, values) in [
        ("page of 50, at the end", top),
        ("page of 50, in the middle", inside),
    ] {
        table.add((of(what), "ms", Better::Less), &values, limit, None);
    }
    Ok(())
}

/// Ms that each round takes.
fn times<E: Into<anyhow::Error>>(
    rounds: usize,
    mut work: impl FnMut() -> Result<usize, E>,
) -> anyhow::Result<Vec<f64>> {
    let mut values = Vec::new();
    for _ in 0..rounds.max(3) {
        let begin = Instant::now();
        let count = work().map_err(Into::into)?;
        values.push(ms(begin));
        ensure!(count <= PAGE, "{count} rows came");
    }
    Ok(values)
}

/// A message in the middle of the chat.
fn middle(client: &Client, chat: ChatId, messages: usize) -> anyhow::Result<MessageId> {
    let page = client.history(chat, messages / 2)?;
    Ok(page.first().context("there are messages")?.id)
}

/// What looking at every row costs.
fn scan(database: &Connection, rounds: usize) -> anyhow::Result<Vec<f64>> {
    let mut statement =
        database.prepare("SELECT count(*) FROM message WHERE body LIKE '%nowhere%'")?;
    times(rounds, || {
        statement
            .query_row([], |row| row.get::<_, i64>(0))
            .map(|_| 0)
    })
}

/// The profile's database, with its key.
fn open(folder: &Path) -> anyhow::Result<Connection> {
    let key = std::fs::read(folder.join("store.key"))?;
    let key = key
        .iter()
        .fold(String::new(), |key, byte| format!("{key}{byte:02x}"));
    let database = Connection::open(folder.join("store.db"))?;
    database.execute_batch(&format!("PRAGMA key = \"x'{key}'\""))?;
    Ok(database)
}

/// Writes messages as they are when they have come, half of them by this account; the schema's own triggers index
/// them.
fn fill(database: &Connection, messages: u64) -> anyhow::Result<()> {
    let (chat, log, own, other): (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>) = database.query_row(
        "SELECT chat.chat_id, live_log, sender, account_id FROM chat JOIN message USING (chat_id) WHERE own = 1",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    )?;
    database.execute_batch("BEGIN")?;
    let mut statement = database.prepare(
        "INSERT INTO message (chat_id, message_id, sender, own, body, raw, state, log_id, ordinal, seq, epoch,
         devices, sent_ms, is_read, is_heard) VALUES (?1, ?2, ?3, ?4, ?5, x'', ?6, ?7, 1, ?8, 1, 1, ?9, 1, 1)",
    )?;
    let mut chance = Chance(1);
    for number in 0..messages {
        let is_own = number % 2 == 0;
        let id = [[0; 8], number.to_be_bytes()].concat();
        let sent_ms = BEGIN_MS + number * 60_000;
        statement.execute(params![
            chat,
            id,
            if is_own { &own } else { &other },
            is_own,
            text(&mut chance, number),
            if is_own { "accepted" } else { "received" },
            log,
            i64::try_from(1_000 + number)?,
            i64::try_from(sent_ms)?,
        ])?;
    }
    drop(statement);
    Ok(database.execute_batch("COMMIT")?)
}

fn text(chance: &mut Chance, number: u64) -> String {
    let mut words: Vec<String> = (0..WORDS)
        .map(|_| {
            // A word is about as often as its number is small.
            let most = chance.below(VOCABULARY) + 1;
            format!("w{}x", chance.below(most) + 1)
        })
        .collect();
    if number % RARE == RARE / 2 {
        words.push("quetzal".to_owned());
    }
    words.join(" ")
}

/// The same words in every run.
struct Chance(u64);

impl Chance {
    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end.max(1)
    }
}

fn ms(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1000.0
}
