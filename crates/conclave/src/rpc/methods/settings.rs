//! Methods about what the person sets for a chat, the same on all their devices.

use conclave_client::Client;
use conclave_client::view::FOREVER_MS;
use conclave_proto::id::ChatId;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Caller, Method, Reach, RpcError, Scope, Short, Text, TimeMs, reach_chat};
use crate::rows::{ChatRow, ClearedRow, MessageRow};

/// Keep a chat silent until a time. What comes is counted, and does not bring it back from the archive.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MuteParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    chat: Short,
    /// Ms since 1970-01-01 UTC; 0 ends it; left out, it has no end.
    #[serde(default = "forever")]
    until_ms: TimeMs,
}

const fn forever() -> TimeMs {
    TimeMs(FOREVER_MS)
}

impl Method for MuteParams {
    const NAME: &'static str = "chats.mute";
    const SCOPE: Scope = Scope::Send;
    type Result = ChatRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.chat)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<ChatRow, RpcError> {
        let chat = client.find_chat(&self.chat.0)?;
        client.mute(chat, self.until_ms.0)?;
        row(client, chat)
    }
}

/// Put a chat away, or fetch it back. A message there brings it back by itself, unless it is muted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ArchiveParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    chat: Short,
    /// Whether it is put away from now on.
    archived: bool,
}

impl Method for ArchiveParams {
    const NAME: &'static str = "chats.archive";
    const SCOPE: Scope = Scope::Send;
    type Result = ChatRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.chat)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<ChatRow, RpcError> {
        let chat = client.find_chat(&self.chat.0)?;
        client.archive(chat, self.archived)?;
        row(client, chat)
    }
}

/// Put a chat above the others, or among them again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PinParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    chat: Short,
    /// Whether it stands above the others from now on.
    pinned: bool,
}

impl Method for PinParams {
    const NAME: &'static str = "chats.pin";
    const SCOPE: Scope = Scope::Send;
    type Result = ChatRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.chat)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<ChatRow, RpcError> {
        let chat = client.find_chat(&self.chat.0)?;
        client.pin_chat(chat, self.pinned)?;
        row(client, chat)
    }
}

/// Keep what was begun to be written to a chat.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DraftParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    chat: Short,
    /// In the place of what was there; empty forgets it.
    text: Text,
}

impl Method for DraftParams {
    const NAME: &'static str = "chats.draft";
    const SCOPE: Scope = Scope::Send;
    type Result = ChatRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.chat)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<ChatRow, RpcError> {
        let chat = client.find_chat(&self.chat.0)?;
        client.set_draft(chat, &self.text.0)?;
        row(client, chat)
    }
}

/// Send what was begun to be written to a chat; it is no draft any more then. Queued when the answer comes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SendDraftParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    chat: Short,
}

impl Method for SendDraftParams {
    const NAME: &'static str = "chats.send_draft";
    const SCOPE: Scope = Scope::Send;
    type Result = MessageRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.chat)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<MessageRow, RpcError> {
        let chat = client.find_chat(&self.chat.0)?;
        Ok(MessageRow::from(&client.send_draft(chat)?))
    }
}

/// Show a chat as unread until it is marked as read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MarkUnreadParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    chat: Short,
}

impl Method for MarkUnreadParams {
    const NAME: &'static str = "chats.mark_unread";
    const SCOPE: Scope = Scope::Send;
    type Result = ChatRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.chat)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<ChatRow, RpcError> {
        let chat = client.find_chat(&self.chat.0)?;
        client.mark_unread(chat)?;
        row(client, chat)
    }
}

/// Delete all that was said in a chat, on the devices of this account alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClearParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    chat: Short,
}

impl Method for ClearParams {
    const NAME: &'static str = "chats.clear";
    const SCOPE: Scope = Scope::Admin;
    type Result = ClearedRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.chat)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<ClearedRow, RpcError> {
        let chat = client.find_chat(&self.chat.0)?;
        let count = client.clear(chat)?;
        let chat = chat.to_string();
        Ok(ClearedRow { chat, count })
    }
}

fn row(client: &Client, chat: ChatId) -> Result<ChatRow, RpcError> {
    Ok(ChatRow::from(&client.chat(chat)?))
}
