//! Methods about messages.

use std::time::Duration;

use conclave_client::Client;
use conclave_client::view::{MessageState, SendMore};
use conclave_proto::id::MessageId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Again, Caller, Limit, Method, Reach, RpcError, Scope, Short, Text, TimeoutMs, reach_chat,
};
use crate::commands::send::mentions;
use crate::rows::{InfoRow, MessageRow, ReadRow, UnreadRow};

/// How far a message must get before the answer.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Wait {
    /// On this disk: nothing loses it any more.
    Queued,
    /// On the server's disk.
    #[default]
    Accepted,
    /// On one of the recipient's devices.
    Delivered,
    /// Read by the recipient.
    Read,
}

impl Wait {
    const fn state(self) -> MessageState {
        match self {
            Self::Queued => MessageState::Queued,
            Self::Accepted => MessageState::Accepted,
            Self::Delivered => MessageState::Delivered,
            Self::Read => MessageState::Read,
        }
    }
}

/// Send a message. The answer is the message as it stands when it got as far as `wait` says, or when the time is
/// over: what is queued is never lost, look at `state`, and do not send it again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SendParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    to: Short,
    /// What to say.
    text: Text,
    /// The message that it answers, by its id; empty: none.
    #[serde(default)]
    reply_to: Short,
    /// Whom the text names as `@WHO`.
    #[serde(default)]
    mentions: Vec<Short>,
    /// How far it must get before the answer.
    #[serde(default)]
    wait: Wait,
    /// How long to wait for that.
    #[serde(default)]
    timeout_ms: TimeoutMs,
}

impl Method for SendParams {
    const NAME: &'static str = "messages.send";
    const SCOPE: Scope = Scope::Send;
    const AGAIN: Option<Again<MessageRow>> = Some(again);
    type Result = MessageRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.to)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<MessageRow, RpcError> {
        let timeout = Duration::from_millis(self.timeout_ms.0);
        let who: Vec<String> = self.mentions.into_iter().map(|one| one.0).collect();
        let answered = Some(&self.reply_to).filter(|id| !id.0.is_empty());
        let answered = answered.map(message_id).transpose()?;
        let more = SendMore {
            reply_to: answered.map(|id| client.message_ref(id)).transpose()?,
            mentions: mentions(client, &self.text.0, &who)?,
            ..SendMore::default()
        };
        let sending = client.send_with(&self.to.0, &self.text.0, more);
        let message = client.within(timeout, sending).await?;
        // Whether it came that far in time is part of the answer.
        let _ = client
            .wait_for(message.id, self.wait.state(), timeout)
            .await;
        Ok(MessageRow::from(&client.message(message.id)?.message))
    }
}

/// The newest messages of a chat, oldest first, from the disk alone. Marks nothing as read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    chat: Short,
    /// At most this many.
    #[serde(default)]
    limit: Limit,
    /// Those before this message of the chat, `m_` and 32 hex digits: the first of the page before.
    #[serde(default)]
    before: Short,
    /// Those after this message of the chat, `m_` and 32 hex digits: the last of the page before. Not with `before`.
    #[serde(default)]
    after: Short,
}

impl Method for HistoryParams {
    const NAME: &'static str = "messages.history";
    const SCOPE: Scope = Scope::Read;
    type Result = Messages;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.chat)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<Messages, RpcError> {
        let chat = client.find_chat(&self.chat.0)?;
        let limit = usize::from(self.limit.0);
        let messages = match (self.before.0.is_empty(), self.after.0.is_empty()) {
            (true, true) => client.history(chat, limit)?,
            (false, true) => client.history_before(chat, message_id(&self.before)?, limit)?,
            (true, false) => client.history_after(chat, message_id(&self.after)?, limit)?,
            (false, false) => {
                return Err(RpcError::bad_params(
                    "a page is before or after a message; say one of the two",
                ));
            }
        };
        let messages = messages.iter().map(MessageRow::from).collect();
        Ok(Messages { messages })
    }
}

/// One message of a chat with what stands around it, from the disk alone. Marks nothing as read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AroundParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    chat: Short,
    /// A message of the chat, `m_` and 32 hex digits.
    message: Short,
    /// At most this many before it, and as many after it.
    #[serde(default)]
    limit: Limit,
}

impl Method for AroundParams {
    const NAME: &'static str = "messages.around";
    const SCOPE: Scope = Scope::Read;
    type Result = AroundRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.chat)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<AroundRow, RpcError> {
        let chat = client.find_chat(&self.chat.0)?;
        let message = message_id(&self.message)?;
        let around = client.history_around(chat, message, usize::from(self.limit.0))?;
        Ok(AroundRow {
            messages: around.messages.iter().map(MessageRow::from).collect(),
            older: around.has_older,
            newer: around.has_newer,
        })
    }
}

/// Messages around one; `messages.history` goes on from both ends.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AroundRow {
    /// Oldest first.
    messages: Vec<MessageRow>,
    /// Whether there are messages before the first.
    older: bool,
    /// Whether there are messages after the last.
    newer: bool,
}

/// Messages of one chat.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Messages {
    /// Oldest first.
    messages: Vec<MessageRow>,
}

/// Mark everything that this device has of a chat as read; the receipt goes out by itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    chat: Short,
}

impl Method for ReadParams {
    const NAME: &'static str = "messages.read";
    const SCOPE: Scope = Scope::Send;
    type Result = ReadRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.chat)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<ReadRow, RpcError> {
        let chat = client.find_chat(&self.chat.0)?;
        let count = client.mark_read(chat)?;
        Ok(ReadRow {
            chat: chat.to_string(),
            count,
        })
    }
}

/// Count unread messages, in all and by chat.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UnreadParams {}

impl Method for UnreadParams {
    const NAME: &'static str = "messages.unread";
    const SCOPE: Scope = Scope::Read;
    type Result = UnreadRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Filtered)
    }

    async fn call(self, client: &Client, caller: &Caller) -> Result<UnreadRow, RpcError> {
        let mut chats = client.chats()?;
        chats.retain(|chat| caller.may_see(chat.id));
        Ok(UnreadRow::from(chats.as_slice()))
    }
}

/// One message in detail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InfoParams {
    /// A message id, `m_` and 32 hex digits.
    id: Short,
}

impl Method for InfoParams {
    const NAME: &'static str = "messages.info";
    const SCOPE: Scope = Scope::Read;
    type Result = InfoRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Chat(
            client.message(message_id(&self.id)?)?.message.chat,
        ))
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<InfoRow, RpcError> {
        let id = message_id(&self.id)?;
        Ok(InfoRow::from(&client.message(id)?))
    }
}

/// A message as it is now.
pub(super) fn again(client: &Client, id: MessageId) -> Result<MessageRow, RpcError> {
    Ok(MessageRow::from(&client.message(id)?.message))
}

pub(super) fn message_id(words: &Short) -> Result<MessageId, RpcError> {
    let id = words.0.parse();
    id.map_err(|error: conclave_proto::id::IdError| RpcError::bad_params(error.to_string()))
}
