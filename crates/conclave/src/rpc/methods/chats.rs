//! Methods about chats and strangers' requests.

use conclave_client::Client;
use conclave_client::view::ChatState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Caller, Method, Reach, RpcError, Scope, Short, reach_chat};
use crate::exit::{self, Failure};
use crate::rows::{ChatRow, DoneRow, RequestRow};

/// All chats, newest first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {}

impl Method for ListParams {
    const NAME: &'static str = "chats.list";
    const SCOPE: Scope = Scope::Read;
    type Result = Chats;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Filtered)
    }

    async fn call(self, client: &Client, caller: &Caller) -> Result<Chats, RpcError> {
        let chats = client.chats()?;
        let seen = chats.iter().filter(|chat| caller.may_see(chat.id));
        let chats = seen.map(ChatRow::from).collect();
        Ok(Chats { chats })
    }
}

/// Chats.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Chats {
    /// Newest first.
    chats: Vec<ChatRow>,
}

/// Strangers who wrote first and wait for an answer, oldest first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestsParams {}

impl Method for RequestsParams {
    const NAME: &'static str = "requests.list";
    const SCOPE: Scope = Scope::Read;
    type Result = Requests;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Filtered)
    }

    async fn call(self, client: &Client, caller: &Caller) -> Result<Requests, RpcError> {
        let requests = client.requests()?;
        let seen = requests.iter().filter(|one| caller.may_see(one.chat));
        let requests = seen.map(RequestRow::from).collect();
        Ok(Requests { requests })
    }
}

/// Requests.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Requests {
    /// Oldest first.
    requests: Vec<RequestRow>,
}

/// Accept a request and join the conversation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AcceptParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    chat: Short,
}

impl Method for AcceptParams {
    const NAME: &'static str = "requests.accept";
    const SCOPE: Scope = Scope::Admin;
    type Result = DoneRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.chat)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<DoneRow, RpcError> {
        let chat = client.find_chat(&self.chat.0)?;
        client.accept_request(chat)?;
        Ok(done("accepted", chat))
    }
}

/// Decline a request; the other side is not told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeclineParams {
    /// `+E164` number, e-mail address, name of a group, or chat id.
    chat: Short,
}

impl Method for DeclineParams {
    const NAME: &'static str = "requests.decline";
    const SCOPE: Scope = Scope::Admin;
    type Result = DoneRow;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        reach_chat(client, &self.chat)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<DoneRow, RpcError> {
        let chat = client.find_chat(&self.chat.0)?;
        if client.chat(chat)?.state == ChatState::Declined {
            let message = "that request was declined already";
            return Err(Failure::new(exit::CONFLICT, "ALREADY_DECLINED", message).into());
        }
        client.decline_request(chat)?;
        Ok(done("declined", chat))
    }
}

fn done(done: &'static str, chat: conclave_proto::id::ChatId) -> DoneRow {
    DoneRow {
        done,
        to: chat.to_string(),
    }
}
