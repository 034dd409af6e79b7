//! Rows about what a person sets, looks for and takes out of chats.

use conclave_client::view::{Chat, Found};
use schemars::JsonSchema;
use serde::Serialize;

use crate::output::{Row, safe};
use crate::rows::people::title;
use crate::rows::{MessageRow, PersonRow};

/// A message that was looked for: its own fields, and where it was found.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FoundRow {
    #[serde(flatten)]
    message: MessageRow,
    chat_name: String,
    chat_with: Option<PersonRow>,
    ranges: Vec<RangeRow>,
}

/// Where a word stands in the text, in bytes of UTF-8.
#[derive(Debug, Serialize, JsonSchema)]
struct RangeRow {
    start: usize,
    length: usize,
}

impl FoundRow {
    /// A message and the chat that it is in.
    pub(crate) fn new(found: &Found, chat: &Chat) -> Self {
        let range = |(start, length): &(usize, usize)| RangeRow {
            start: *start,
            length: *length,
        };
        Self {
            message: MessageRow::from(&found.message),
            chat_name: chat.name.clone(),
            chat_with: chat.with.as_ref().map(PersonRow::from),
            ranges: found.ranges.iter().map(range).collect(),
        }
    }
}

impl Row for FoundRow {
    const TYPE: &'static str = "found";

    fn text(&self) -> String {
        let title = title(self.chat_with.as_ref(), &self.chat_name);
        format!("{title}\n    {}", self.message.text())
    }
}

/// What was begun to be written to a chat.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DraftRow {
    /// The chat.
    pub(crate) chat: String,
    /// Empty when there is nothing.
    pub(crate) text: String,
}

impl Row for DraftRow {
    const TYPE: &'static str = "draft";

    fn text(&self) -> String {
        if self.text.is_empty() {
            return "no draft".to_owned();
        }
        safe(&self.text).into_owned()
    }
}

/// A chat was cleared on the devices of this account.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ClearedRow {
    /// The chat.
    pub(crate) chat: String,
    /// How many messages.
    pub(crate) count: u64,
}

impl Row for ClearedRow {
    const TYPE: &'static str = "cleared";

    fn text(&self) -> String {
        format!("{} deleted, on your devices alone", self.count)
    }
}

/// A chat was written to a file.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExportedRow {
    /// The chat.
    pub(crate) chat: String,
    /// The file, as it was named.
    pub(crate) file: String,
    /// How many messages.
    pub(crate) count: u64,
}

impl Row for ExportedRow {
    const TYPE: &'static str = "exported";

    fn text(&self) -> String {
        format!("{} messages written to {}", self.count, safe(&self.file))
    }
}
