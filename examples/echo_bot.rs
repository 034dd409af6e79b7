//! A bot on the client library: accepts who writes first, answers each message once, until it is interrupted.
//!
//! It opens the profile itself, so no daemon of that profile may run:
//!
//! ```sh
//! cargo run --example echo_bot -- ~/.local/share/conclave/default
//! ```

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use conclave_client::journal::Told;
use conclave_client::{Client, ClientError, Event, Unlock};
use conclave_proto::env::OsEnv;
use conclave_proto::id::ChatId;

/// How far this bot is, is kept under this name.
const NAME: &str = "echo";
/// Events that are taken at once.
const PAGE: usize = 100;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir: PathBuf = std::env::args_os()
        .nth(1)
        .ok_or("say which profile folder is the bot's")?
        .into();
    let client = Client::open(&dir, Unlock::KeyFile, OsEnv::shared())?;
    // From here on nothing is missed; the first time it begins with what happens from now on.
    let cursor = client.consume("", NAME, None)?;
    client.go_online();
    let ended = tokio::select! {
        ended = run(&client, cursor) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    client.close().await;
    Ok(ended?)
}

/// Takes events one after the other; what was not acknowledged is told again after a crash.
async fn run(client: &Client, mut cursor: u64) -> Result<(), ClientError> {
    loop {
        let page = client
            .next_events(cursor, PAGE, None, Duration::from_hours(1))
            .await?;
        for told in &page.told {
            match &told.event {
                // What it says comes as a message then. Accepted before: it is no request any more.
                Event::Requested { chat }
                    if client.requests()?.iter().any(|one| one.chat == *chat) =>
                {
                    client.accept_request(*chat)?;
                }
                Event::Received(message) if !message.own => {
                    answer(client, told, message.chat, &message.text).await?;
                }
                _ => {}
            }
        }
        cursor = page.cursor;
        client.ack_events("", NAME, cursor)?;
    }
}

/// Says what was heard, once: told of it again, the key is known already.
async fn answer(client: &Client, told: &Told, chat: ChatId, text: &str) -> Result<(), ClientError> {
    let key = format!("echo-{}", told.cursor);
    let send = async { client.send(&chat.to_string(), text).await.map(drop) };
    client
        .once(("", &key), text.as_bytes(), send, |_| None, |_| Ok(()))
        .await
}
