//! The method that looks for words.

use conclave_client::Client;
use conclave_client::view::Search;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::messages::message_id;
use super::{Caller, Limit, Method, Reach, RpcError, Scope, Short, TimeMs, reach_chat};
use crate::commands::search::found_rows;
use crate::rows::FoundRow;

/// Look for words in all messages, those that came last first. Each word may be the beginning of one; case and
/// accents do not matter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchParams {
    /// All of them must be there.
    words: Short,
    /// In one chat: `+E164` number, e-mail address, name of a group, or chat id. A token for some chats must say which.
    #[serde(default)]
    chat: Short,
    /// Written by somebody: `+E164` number, e-mail address or name.
    #[serde(default)]
    from: Short,
    /// Written then or later, ms since 1970-01-01 UTC.
    #[serde(default)]
    since_ms: TimeMs,
    /// The last message of the answer before, to go on after it.
    #[serde(default)]
    before: Short,
    /// At most this many.
    #[serde(default)]
    limit: Limit,
}

impl Method for SearchParams {
    const NAME: &'static str = "messages.search";
    const SCOPE: Scope = Scope::Read;
    type Result = Hits;

    fn reach(&self, client: &Client) -> Result<Reach, RpcError> {
        if self.chat.0.is_empty() {
            return Ok(Reach::Profile);
        }
        reach_chat(client, &self.chat)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<Hits, RpcError> {
        let words = |short: &Short| Some(short.0.clone()).filter(|words| !words.is_empty());
        let before = Some(&self.before).filter(|id| !id.0.is_empty());
        let found = client.search(&Search {
            words: self.words.0.clone(),
            chat: words(&self.chat),
            from: words(&self.from),
            since_ms: self.since_ms.0,
            before: before.map(message_id).transpose()?,
            limit: usize::from(self.limit.0),
        })?;
        Ok(Hits {
            messages: found_rows(client, &found)?,
        })
    }
}

/// Messages that were found.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Hits {
    /// Those that came last first.
    messages: Vec<FoundRow>,
}
