//! Methods that do something to messages that are there: react, edit, delete, forward, pin; and the timer of a chat.

use conclave_client::Client;
use conclave_client::view::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::messages::{again, message_id};
use super::{Again, Caller, Method, Reach, RpcError, Scope, Short, Text, reach_chat};
use crate::commands::send::mentions;
use crate::rows::{DoneRow, MessageRow, TimerRow};

/// Put an emoji to a message, or take it back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReactParams {
    /// A message id, `m_` and 32 hex digits.
    id: Short,
    /// One emoji, at most 32 bytes; empty takes yours back.
    emoji: Short,
}

impl Method for ReactParams {
    const NAME: &'static str = "messages.react";
    const SCOPE: Scope = Scope::Send;
    const AGAIN: Option<Again<MessageRow>> = Some(again);
    type Result = MessageRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_message(client, &self.id)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<MessageRow, RpcError> {
        Ok(row(&client.react(message_id(&self.id)?, &self.emoji.0)?))
    }
}

/// Give an own message other words; what it said before stays visible.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EditParams {
    /// A message id, `m_` and 32 hex digits.
    id: Short,
    /// What it says from now on.
    text: Text,
    /// Whom the text names as `@WHO`.
    #[serde(default)]
    mentions: Vec<Short>,
}

impl Method for EditParams {
    const NAME: &'static str = "messages.edit";
    const SCOPE: Scope = Scope::Send;
    const AGAIN: Option<Again<MessageRow>> = Some(again);
    type Result = MessageRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_message(client, &self.id)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<MessageRow, RpcError> {
        let who: Vec<String> = self.mentions.into_iter().map(|one| one.0).collect();
        let mentions = mentions(client, &self.text.0, &who)?;
        let edited = client.edit(message_id(&self.id)?, &self.text.0, mentions)?;
        Ok(row(&edited))
    }
}

/// Delete a message: on the devices of this account, or for everyone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteParams {
    /// A message id, `m_` and 32 hex digits.
    id: Short,
    /// Also for everybody else; own messages alone, in a group also what others wrote, as owner or admin.
    #[serde(default)]
    for_everyone: bool,
}

impl Method for DeleteParams {
    const NAME: &'static str = "messages.delete";
    const SCOPE: Scope = Scope::Send;
    type Result = DoneRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_message(client, &self.id)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<DoneRow, RpcError> {
        let id = message_id(&self.id)?;
        if self.for_everyone {
            client.delete_for_everyone(id)?;
        } else {
            client.delete_for_me(id)?;
        }
        Ok(DoneRow {
            done: "deleted",
            to: id.to_string(),
        })
    }
}

/// Send what a message says to somebody else, marked as forwarded. Queued when the answer comes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ForwardParams {
    /// A message id, `m_` and 32 hex digits.
    id: Short,
    /// `+E164` number, e-mail address, name of a group, or chat id.
    to: Short,
}

impl Method for ForwardParams {
    const NAME: &'static str = "messages.forward";
    const SCOPE: Scope = Scope::Send;
    const AGAIN: Option<Again<MessageRow>> = Some(again);
    type Result = MessageRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        let from = reach_message(client, &self.id)?;
        Ok(match (from, reach_chat(client, &self.to)?) {
            (Reach::Chat(from), Reach::Chat(to)) => Reach::Chats(from, to),
            _ => Reach::Profile,
        })
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<MessageRow, RpcError> {
        let sent = client.forward(message_id(&self.id)?, &self.to.0).await?;
        Ok(row(&sent))
    }
}

/// Hold a message up in its chat, or no longer; in a group as its owner or admin.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PinParams {
    /// A message id, `m_` and 32 hex digits.
    id: Short,
    /// Whether it is held up from now on.
    pinned: bool,
}

impl Method for PinParams {
    const NAME: &'static str = "messages.pin";
    const SCOPE: Scope = Scope::Send;
    const AGAIN: Option<Again<MessageRow>> = Some(again);
    type Result = MessageRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_message(client, &self.id)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<MessageRow, RpcError> {
        Ok(row(&client.pin(message_id(&self.id)?, self.pinned)?))
    }
}

/// The messages that are held up in a chat.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PinsParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    chat: Short,
}

impl Method for PinsParams {
    const NAME: &'static str = "messages.pins";
    const SCOPE: Scope = Scope::Read;
    type Result = Pins;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.chat)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<Pins, RpcError> {
        let messages = client.pins(client.find_chat(&self.chat.0)?)?;
        let messages = messages.iter().map(MessageRow::from).collect();
        Ok(Pins { messages })
    }
}

/// Pinned messages.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Pins {
    /// All of them.
    messages: Vec<MessageRow>,
}

/// The time after which messages of a chat disappear.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TimerParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    chat: Short,
}

impl Method for TimerParams {
    const NAME: &'static str = "chats.timer";
    const SCOPE: Scope = Scope::Read;
    type Result = TimerRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.chat)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<TimerRow, RpcError> {
        let chat = client.find_chat(&self.chat.0)?;
        Ok(TimerRow::from(&client.timer(chat)?))
    }
}

/// Set the time after which messages of a chat disappear; for what is written from then on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetTimerParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    chat: Short,
    /// Seconds, at most a year; 0 lets messages stay.
    seconds: u32,
}

impl Method for SetTimerParams {
    const NAME: &'static str = "chats.set_timer";
    const SCOPE: Scope = Scope::Admin;
    type Result = TimerRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.chat)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<TimerRow, RpcError> {
        let chat = client.find_chat(&self.chat.0)?;
        client.set_timer(chat, self.seconds)?;
        Ok(TimerRow::from(&client.timer(chat)?))
    }
}

fn row(message: &Message) -> MessageRow {
    MessageRow::from(message)
}

fn reach_message(client: &Client, id: &Short) -> Result<Reach, RpcError> {
    let message = client.message(message_id(id)?)?.message;
    Ok(Reach::Chat(message.chat))
}
