//! What a client needs for itself: sealing a message and keeping it, and its start with many conversations.
//!
//! - one message of 256 bytes sealed and kept in one synced transaction, beside one synced row of SQLCipher
//! - the processor's part of it, beside one RSA-2048 key wrap and signature
//! - the start of the real program, with many conversations in its profile
//!
//! The drain of a backlog stands in `people`.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, anyhow, ensure};
use conclave_classic::keys::PrivateKey;
use conclave_classic::suite::Suite;
use conclave_client::Client;
use conclave_core::content::{Content, Kind, Mark};
use conclave_core::conversation::{Conversation, Outside};
use conclave_hostile::crowd;
use conclave_proto::env::{Env as _, OsEnv};
use conclave_proto::id::{Hash32, LogId, MessageId, Seq};

use crate::Size;
use crate::baseline::sealed_us;
use crate::crypto::{MESSAGE_BYTES, Side, mean_us};
use crate::daemon::start;
use crate::people::{LONG, Person, register};
use crate::server::{Server, next_line};
use crate::table::{Better, Table};

/// Transactions of one round.
const TRANSACTIONS: usize = 100;
/// The most that a start may take, in ms.
const START_MS_MAX: f64 = 300.0;
/// Where the sealed bytes are put, among the rows of the group.
const KEPT: &str = "measured";

pub(crate) async fn measure(size: Size, table: &mut Table) -> anyhow::Result<()> {
    sealing(size, table)?;
    let server = Server::start()?;
    let anna = register(&server, "anna").await?;
    let ben = register(&server, "ben").await?;
    anna.client.go_online();
    anna.client.send("ben@example.org", "hello").await?;
    for number in 1..size.conversations {
        let name = format!("group {number}");
        anna.client.create_group(&name, &[]).await?;
    }
    anna.client.settle(LONG).await?;
    drop(ben);
    let folder = anna.folder();
    let Person {
        client,
        home: _home,
        ..
    } = anna;
    let views = client.inspect()?;
    let going = views.iter().filter(|view| view.is_going);
    ensure!(
        going.count() >= size.conversations,
        "not all conversations were made"
    );
    kept(
        size,
        &client,
        views.first().context("a chat")?.log_id,
        table,
    )?;
    client.close().await;
    starts(size, &folder, table)
}

/// Sealing alone, in the processor: for one recipient, the least that a classic message needs.
fn sealing(size: Size, table: &mut Table) -> anyhow::Result<()> {
    let keys = [
        PrivateKey::generate(Suite::Rsa)?,
        PrivateKey::generate(Suite::Rsa)?,
    ];
    let [founder, _last] = crowd::of(2);
    let mut side = Side::of_crowd(founder)?;
    let [mut ours, mut theirs] = [const { Vec::new() }; 2];
    for _ in 0..size.rounds {
        ours.push(mean_us(size.sealed, || side.seal().map(drop))?);
        theirs.push(sealed_us(&keys, 128)?);
    }
    table.add(
        ("seal 256 B to one", "µs", Better::Less),
        &ours,
        ("RSA-2048 wrap and signature, AES-256-CFB", &theirs),
        Some(10.0),
    );
    Ok(())
}

/// A message sealed in the client's own store, in turns with a row of a store that holds nothing else.
fn kept(size: Size, client: &Client, log_id: LogId, table: &mut Table) -> anyhow::Result<()> {
    let bare = tempfile::tempdir()?;
    let database = cipher(bare.path())?;
    let mut insert = database.prepare("INSERT INTO row (bytes) VALUES (?1)")?;
    let [mut ours, mut rows] = [const { Vec::new() }; 2];
    for _ in 0..size.rounds {
        ours.push(mean_us(TRANSACTIONS, || {
            client.lend(|outside| seal_and_keep(&outside, log_id))?
        })?);
        let payload = [7_u8; MESSAGE_BYTES];
        rows.push(mean_us(TRANSACTIONS, || {
            insert.execute([&payload[..]])?;
            Ok(())
        })?);
    }
    table.add(
        ("seal 256 B and keep it, synced", "µs", Better::Less),
        &ours,
        ("1 synced row of SQLCipher", &rows),
        Some(0.5),
    );
    Ok(())
}

/// The ratchet's step and the sealed bytes, as the way out does it.
fn seal_and_keep(outside: &Outside<'_>, log_id: LogId) -> anyhow::Result<()> {
    let loaded = Conversation::load(outside.rows, log_id).map_err(|error| anyhow!("{error}"))?;
    let mut group = loaded.context("a conversation")?;
    let content = Content {
        message_id: MessageId::random(&OsEnv),
        sent_ms: OsEnv.now_ms(),
        seen: Mark {
            seq: Seq(1),
            hash: Hash32::new([4; 32]),
        },
        state_head: None,
        kind: Kind::text("x".repeat(MESSAGE_BYTES)),
    };
    let again = Outside {
        rows: outside.rows,
        own: outside.own,
        env: outside.env,
    };
    let sealed = group.seal(again, &content.encode_padded()?)?;
    outside
        .rows
        .put(Some(log_id.as_bytes()), KEPT, KEPT.as_bytes(), &sealed)
        .map_err(|error| anyhow!("{error}"))
}

/// A store with a key, every transaction synced.
fn cipher(folder: &Path) -> anyhow::Result<rusqlite::Connection> {
    let database = rusqlite::Connection::open(folder.join("bare.db"))?;
    let key = "7".repeat(64);
    database.execute_batch(&format!(
        "PRAGMA key = \"x'{key}'\"; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE row (id INTEGER PRIMARY KEY, bytes BLOB)"
    ))?;
    Ok(database)
}

/// The real program, until it listens.
fn starts(size: Size, folder: &Path, table: &mut Table) -> anyhow::Result<()> {
    let mut started = Vec::new();
    for _ in 0..size.rounds {
        let begin = Instant::now();
        let (_daemon, lines) = start(folder)?;
        next_line(&lines)?;
        started.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    let most = vec![START_MS_MAX; started.len()];
    table.add(
        (
            format!("start with {} conversations", size.conversations),
            "ms",
            Better::Less,
        ),
        &started,
        ("the most that is allowed", &most),
        Some(1.0),
    );
    Ok(())
}
