//! Each incoming message exactly once, also when events came faster than they were printed.

use std::collections::{HashMap, HashSet};

use conclave_client::view::Message;
use conclave_client::{Client, ClientError};
use conclave_proto::id::{ChatId, MessageId};

/// Rows looked at first when hints were lost; doubled until the last one seen is among them.
const FIRST_LOOK: usize = 256;

/// What was seen of each chat. Events are hints: when some are lost, the store tells what they said.
#[derive(Debug)]
pub(crate) struct Tail {
    /// The newest message seen of each chat.
    last: HashMap<ChatId, MessageId>,
    /// Seen in the store before their events came.
    ahead: HashSet<MessageId>,
}

impl Tail {
    /// Everything that is in the store now counts as seen.
    pub(crate) fn new(client: &Client) -> Result<Self, ClientError> {
        let mut last = HashMap::new();
        for chat in client.chats()? {
            // Own messages are no marks: a queued one moves behind what comes in meanwhile.
            let rows = look_back(client, chat.id, |rows| rows.iter().any(|row| !row.own))?;
            let newest = rows.iter().rev().find(|row| !row.own);
            last.extend(newest.map(|row| (chat.id, row.id)));
        }
        Ok(Self {
            last,
            ahead: HashSet::new(),
        })
    }

    /// Whether `message`, from an event, is new.
    pub(crate) fn is_new(&mut self, message: &Message) -> bool {
        if self.ahead.remove(&message.id) {
            return false;
        }
        self.last.insert(message.chat, message.id);
        true
    }

    /// What came in of every chat since, from the store: for when events were lost.
    pub(crate) fn catch_up(&mut self, client: &Client) -> Result<Vec<Message>, ClientError> {
        let mut found = Vec::new();
        for chat in client.chats()? {
            found.extend(self.catch_up_chat(client, chat.id)?);
        }
        self.ahead.extend(found.iter().map(|message| message.id));
        Ok(found)
    }

    fn catch_up_chat(
        &mut self,
        client: &Client,
        chat: ChatId,
    ) -> Result<Vec<Message>, ClientError> {
        let last = self.last.get(&chat).copied();
        let mut rows = look_back(client, chat, |rows| {
            rows.iter().any(|row| Some(row.id) == last)
        })?;
        if let Some(at) = rows.iter().position(|row| Some(row.id) == last) {
            rows.drain(..=at);
        }
        rows.retain(|row| !row.own);
        if let Some(newest) = rows.last() {
            self.last.insert(chat, newest.id);
        }
        Ok(rows)
    }
}

/// The unread messages of a chat, oldest first.
pub(crate) fn unread(client: &Client, chat: ChatId) -> Result<Vec<Message>, ClientError> {
    let count = usize::try_from(client.chat(chat)?.unread).unwrap_or(usize::MAX);
    let is_unread = |row: &Message| !row.own && !row.is_read;
    let mut rows = look_back(client, chat, |rows| {
        rows.iter().filter(|row| is_unread(row)).count() >= count
    })?;
    rows.retain(is_unread);
    Ok(rows)
}

/// The newest rows of a chat, oldest first, reaching back until they are enough or the chat began.
fn look_back(
    client: &Client,
    chat: ChatId,
    is_enough: impl Fn(&[Message]) -> bool,
) -> Result<Vec<Message>, ClientError> {
    let mut limit = FIRST_LOOK;
    loop {
        let rows = client.history(chat, limit)?;
        if rows.len() < limit || is_enough(&rows) {
            return Ok(rows);
        }
        limit = limit.saturating_mul(2);
    }
}
