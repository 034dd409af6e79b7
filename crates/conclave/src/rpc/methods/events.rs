//! Methods about events: read them, be told of them, say what is done with.

use std::time::Duration;

use conclave_client::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Caller, Cursor, Limit, Method, Reach, RpcError, Scope, Short, WaitMs, given};
use crate::rows::ToldRow;

/// Events in their order: behind `after`, or behind what `consumer` is done with. With `wait_ms` the answer comes as
/// soon as there is one. What was deleted since, or is over, is left out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    /// A program's name, of `events.subscribe`; a new one begins with what happens from now on.
    #[serde(default)]
    consumer: Short,
    /// A cursor; 0 begins with the oldest event that is kept. Without it, and without `consumer`, likewise.
    #[serde(default)]
    after: Cursor,
    /// At most this many.
    #[serde(default)]
    limit: Limit,
    /// How long to wait for an event when there is none.
    #[serde(default)]
    wait_ms: WaitMs,
}

impl Method for ListParams {
    const NAME: &'static str = "events.list";
    const SCOPE: Scope = Scope::Read;
    type Result = Events;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Filtered)
    }

    async fn call(self, client: &Client, caller: &Caller) -> Result<Events, RpcError> {
        let after = match (self.consumer.0.as_str(), self.after.0) {
            ("", 0) => client.event_range()?.0,
            ("", after) => after,
            (name, 0) => client.consume(caller.whose(), name, None)?,
            (_, after) => after,
        };
        let wait = Duration::from_millis(self.wait_ms.0);
        let limit = usize::from(self.limit.0);
        let page = client
            .next_events(after, limit, caller.chats(), wait)
            .await?;
        caller.check_still(client)?;
        let mut events = Vec::new();
        for told in &page.told {
            events.extend(ToldRow::new(client, told)?);
        }
        Ok(Events {
            events,
            cursor: page.cursor,
            last: page.last,
        })
    }
}

/// Events.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "what programs call them")]
pub(super) struct Events {
    /// In their order.
    events: Vec<ToldRow>,
    /// Go on from here: behind the last of them, and behind what was left out.
    cursor: u64,
    /// The newest number there is.
    last: u64,
}

/// Be told of events: on a socket or a pipe each comes as a notification `event` from now on, in order, until the
/// connection ends or subscribes anew. Over HTTP it only says where to go on; use `GET /events`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscribeParams {
    /// A program's name: it goes on behind what it acknowledged, a new one begins with what happens from now on.
    /// Up to 64 letters, digits and `-_.`; empty: nothing is kept, `cursor` says where to begin.
    #[serde(default)]
    consumer: Short,
    /// Go there instead; 0 is the oldest event that is kept.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Cursor")]
    cursor: Option<Cursor>,
}

impl Method for SubscribeParams {
    const NAME: &'static str = "events.subscribe";
    const SCOPE: Scope = Scope::Read;
    type Result = Consumer;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Filtered)
    }

    async fn call(self, client: &Client, caller: &Caller) -> Result<Consumer, RpcError> {
        let (first, last) = client.event_range()?;
        let cursor = match (self.consumer.0.as_str(), self.cursor.map(|from| from.0)) {
            ("", None) => last,
            ("", Some(0)) => first,
            ("", Some(cursor)) => {
                // Says whether it can be gone on from.
                client.events_after(cursor, 0, None)?;
                cursor
            }
            (name, from) => client.consume(caller.whose(), name, from)?,
        };
        Ok(Consumer {
            consumer: self.consumer.0,
            cursor,
        })
    }
}

/// How far a program is.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Consumer {
    /// Its name.
    consumer: String,
    /// Everything up to here is done with.
    cursor: u64,
}

/// Say that everything up to a cursor is done with: it is not told again. Never goes back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AckParams {
    /// The program's name.
    consumer: Short,
    /// The cursor of the last event that is done with.
    cursor: Cursor,
}

impl Method for AckParams {
    const NAME: &'static str = "events.ack";
    const SCOPE: Scope = Scope::Read;
    type Result = Consumer;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Filtered)
    }

    async fn call(self, client: &Client, caller: &Caller) -> Result<Consumer, RpcError> {
        let cursor = client.ack_events(caller.whose(), &self.consumer.0, self.cursor.0)?;
        Ok(Consumer {
            consumer: self.consumer.0,
            cursor,
        })
    }
}

/// The programs of this caller that take events, and how far each is. Those of a token are its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsumersParams {}

impl Method for ConsumersParams {
    const NAME: &'static str = "events.consumers";
    const SCOPE: Scope = Scope::Read;
    type Result = Consumers;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Filtered)
    }

    async fn call(self, client: &Client, caller: &Caller) -> Result<Consumers, RpcError> {
        let (first, last) = client.event_range()?;
        let consumers = client.consumers(caller.whose())?.into_iter();
        let consumers = consumers.map(|(consumer, cursor)| Consumer { consumer, cursor });
        Ok(Consumers {
            consumers: consumers.collect(),
            first,
            last,
        })
    }
}

/// Programs that take events.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "what programs call them")]
pub(super) struct Consumers {
    /// By name.
    consumers: Vec<Consumer>,
    /// The oldest cursor from which nothing is missing.
    first: u64,
    /// The newest number there is.
    last: u64,
}

/// Forget how far a program is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ForgetParams {
    /// The program's name.
    consumer: Short,
}

impl Method for ForgetParams {
    const NAME: &'static str = "events.forget";
    const SCOPE: Scope = Scope::Read;
    type Result = Consumer;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Filtered)
    }

    async fn call(self, client: &Client, caller: &Caller) -> Result<Consumer, RpcError> {
        client.forget_consumer(caller.whose(), &self.consumer.0)?;
        Ok(Consumer {
            consumer: self.consumer.0,
            cursor: 0,
        })
    }
}
