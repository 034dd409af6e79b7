//! Tells the program at the other end of a socket or a pipe of events, as notifications between its answers.

use std::time::Duration;

use conclave_client::{Client, ClientError};
use serde_json::json;
use tokio::sync::mpsc;

use super::RpcError;
use crate::rows::ToldRow;

/// Events that are read at once.
const PAGE: usize = 100;
/// How long one wait for events takes; then another one begins.
const WAIT: Duration = Duration::from_hours(1);

/// From where to tell.
#[derive(Debug)]
pub(super) struct Follow {
    /// Behind this event.
    pub(super) cursor: u64,
    /// The answer to who wants it: it goes first.
    pub(super) answer: String,
}

/// Tells of events from where the last one of `wanted` says, until nobody can want any more or the other end is gone.
pub(super) async fn run(
    client: Client,
    frames: mpsc::Sender<String>,
    mut wanted: mpsc::Receiver<Follow>,
) {
    let mut next = wanted.recv().await;
    while let Some(follow) = next.take() {
        if frames.send(follow.answer).await.is_err() {
            return;
        }
        let mut told = Telling {
            client: &client,
            frames: &frames,
            cursor: follow.cursor,
        };
        tokio::select! {
            biased;
            other = wanted.recv() => next = other,
            ended = told.run() => {
                let Err(error) = ended else { return };
                let error = RpcError::from(error);
                let frame = json!({"jsonrpc": "2.0", "method": "event.error", "params": error});
                // Who asked may be gone.
                let _ = frames.send(frame.to_string()).await;
                next = wanted.recv().await;
            }
        }
    }
}

struct Telling<'a> {
    client: &'a Client,
    frames: &'a mpsc::Sender<String>,
    cursor: u64,
}

impl Telling<'_> {
    /// Until the other end is gone, or the events cannot be read.
    async fn run(&mut self) -> Result<(), ClientError> {
        loop {
            let page = self
                .client
                .next_events(self.cursor, PAGE, None, WAIT)
                .await?;
            for told in &page.told {
                let Some(row) = ToldRow::new(self.client, told)? else {
                    continue;
                };
                let frame = json!({"jsonrpc": "2.0", "method": "event", "params": row});
                if self.frames.send(frame.to_string()).await.is_err() {
                    return Ok(());
                }
            }
            self.cursor = page.cursor;
        }
    }
}
