//! `conclave send --lines`: each line of standard input becomes a message as it comes.
//!
//! 1. a line is queued on this disk and its `queued` row printed: from here on nothing loses it
//! 2. meanwhile the network works both ways, and what got as far as `--wait` is told in a `sent` row
//! 3. at the end of the input, or at the first line that cannot be queued, the rest is waited for

use std::collections::VecDeque;

use conclave_client::view::MessageState;
use conclave_client::{Client, ClientError, Event};
use conclave_proto::id::MessageId;
use tokio::sync::broadcast::error::RecvError;

use crate::commands::send::{Tally, key_changed, wait};
use crate::exit::Failure;
use crate::profile::Context;
use crate::rows::QueuedRow;

/// Sends each line to `to`; every queued one gets a `sent` row, at the latest when the command ends.
pub(crate) async fn send(
    context: &Context,
    client: &Client,
    to: &str,
    state: MessageState,
) -> Result<(), Failure> {
    let mut events = client.events();
    client.go_online();
    let mut sending = Sending {
        context,
        client,
        to,
        state,
        waiting: VecDeque::new(),
        tally: Tally::default(),
    };
    let mut lines = context.console.lines();
    let refused = loop {
        tokio::select! {
            line = lines.next() => match line {
                Ok(Some(line)) => if let Err(failure) = sending.queue(&line).await {
                    break Some(failure);
                },
                Ok(None) => break None,
                Err(failure) => break Some(failure),
            },
            event = events.recv() => match event {
                Ok(Event::StateChanged { .. }) | Err(RecvError::Lagged(_)) => sending.tell_done()?,
                Ok(_) => {}
                Err(RecvError::Closed) => {
                    return Err(ClientError::Broken("the engine has stopped".into()).into());
                }
            },
        }
    };
    sending.finish(refused).await
}

/// What was queued and is not told yet, oldest first.
struct Sending<'a> {
    context: &'a Context,
    client: &'a Client,
    to: &'a str,
    state: MessageState,
    waiting: VecDeque<MessageId>,
    tally: Tally,
}

impl Sending<'_> {
    /// Step 1. Each line has its own `--timeout`: whoever writes them may take longer than one.
    async fn queue(&mut self, line: &str) -> Result<(), Failure> {
        if line.is_empty() {
            return Ok(());
        }
        let timeout = self.context.global.timeout;
        let sending = self.client.send(self.to, line);
        let message = self.client.within(timeout, sending).await?;
        self.waiting.push_back(message.id);
        Ok(self.context.out.row(&QueuedRow {
            id: message.id.to_string(),
            chat: message.chat.to_string(),
            to: self.to.to_owned(),
        })?)
    }

    /// Step 2: tells of those that came as far as they have to, in the order they were queued.
    fn tell_done(&mut self) -> Result<(), Failure> {
        while let Some(id) = self.waiting.front() {
            let message = self.client.message(*id)?.message;
            if message.state < self.state {
                break;
            }
            self.waiting.pop_front();
            self.tally.tell(self.context, self.client, &message)?;
        }
        Ok(())
    }

    /// Step 3.
    async fn finish(mut self, refused: Option<Failure>) -> Result<(), Failure> {
        let ids: Vec<MessageId> = self.waiting.drain(..).collect();
        let waited = wait(self.client, &ids, self.state, self.context.global.timeout).await;
        for id in ids {
            let message = self.client.message(id)?.message;
            self.tally.tell(self.context, self.client, &message)?;
        }
        let Self {
            client, to, tally, ..
        } = self;
        tally.outcome(refused, waited, || key_changed(client, to))
    }
}
