//! A bot on the client library: accepts who writes first, answers each message once, until it is interrupted.
//!
//! It opens the profile itself, so no daemon of that profile may run:
//!
//! ```sh
//! cargo run --example echo_bot -- ~/.local/share/conclave/default
//! ```

use std::error::Error;
use std::path::PathBuf;

use conclave_client::{Client, ClientError, Event, Unlock};
use conclave_proto::env::OsEnv;
use tokio::sync::broadcast::error::RecvError;

/// Messages of a chat that are looked through for what was not answered.
const HISTORY_MAX: usize = 1_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir: PathBuf = std::env::args_os()
        .nth(1)
        .ok_or("say which profile folder is the bot's")?
        .into();
    let client = Client::open(&dir, Unlock::KeyFile, OsEnv::shared())?;
    // From here on nothing is missed; what came before lies in the store.
    let mut events = client.events();
    client.go_online();
    let ended = tokio::select! {
        ended = run(&client, &mut events) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    client.close().await;
    Ok(ended?)
}

/// Looks whenever something happened. Events are hints: the store has everything, also after a crash.
async fn run(
    client: &Client,
    events: &mut tokio::sync::broadcast::Receiver<Event>,
) -> Result<(), ClientError> {
    loop {
        for request in client.requests()? {
            client.accept_request(request.chat)?;
        }
        for chat in client.chats()? {
            // Read before answered: a bot that is killed in between says nothing twice.
            let count = usize::try_from(client.mark_read(chat.id)?).unwrap_or(usize::MAX);
            // What came after that is not read yet, and has its turn in the next round.
            let mut heard = client.history(chat.id, HISTORY_MAX)?;
            heard.retain(|message| message.is_read && !message.own);
            for message in heard.split_off(heard.len().saturating_sub(count)) {
                client.send(&chat.id.to_string(), &message.text).await?;
            }
        }
        if let Err(RecvError::Closed) = events.recv().await {
            return Ok(());
        }
    }
}
