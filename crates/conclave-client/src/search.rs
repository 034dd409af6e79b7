//! Looking for words in messages. What a person types is only ever words: quotes and operators of the index's own
//! language are taken out before it is asked (C-204).

use conclave_proto::id::{ChatId, MessageId};
use conclave_proto::limits::SEARCH_BYTES_MAX;

use crate::client::Client;
use crate::engine::{Own, show};
use crate::error::ClientError;
use crate::people::{find_chat, find_contact};
use crate::store::{MessageRow, Tx, Wanted};
use crate::view::{Found, Search};

/// Words of one search.
const WORDS_MAX: usize = 32;

impl Client {
    /// The messages that hold all words of `search`, each as the beginning of a word, without regard to case and
    /// accents; those that came to this device last first. From the disk alone.
    pub fn search(&self, search: &Search) -> Result<Vec<Found>, ClientError> {
        let query = query(&search.words)?;
        let mut bytes = [0; 8];
        self.shared().env.fill(&mut bytes);
        // No message holds it: it is drawn after all of them were written.
        let marker = format!("\u{e000}{}\u{e001}", hex::encode(bytes));
        self.engine().look(|tx, own| {
            let wanted = Wanted {
                query,
                chat: chat_of(tx, search)?,
                sender: match search.from.as_deref() {
                    None => None,
                    Some(who) if who == own.account.identifier => {
                        Some(own.account.device.account_id)
                    }
                    Some(who) => Some(find_contact(tx, who)?.pin.account_id),
                },
                since_ms: search.since_ms,
                before: before(tx, search.before)?,
                limit: search.limit,
            };
            let rows = tx.find_words(&wanted, &marker)?;
            let found = rows.into_iter();
            found
                .map(|(row, marked)| found_in(tx, own, &row, &marked, &marker))
                .collect()
        })
    }
}

fn chat_of(tx: &Tx<'_>, search: &Search) -> Result<Option<ChatId>, ClientError> {
    let chat = search.chat.as_deref().map(|chat| find_chat(tx, chat));
    Ok(chat.transpose()?.map(|chat| chat.chat_id))
}

fn before(tx: &Tx<'_>, id: Option<MessageId>) -> Result<Option<i64>, ClientError> {
    let Some(id) = id else { return Ok(None) };
    let row = tx.message_row(id)?;
    row.map(Some)
        .ok_or_else(|| ClientError::NotFound(format!("there is no message {id}")))
}

fn found_in(
    tx: &Tx<'_>,
    own: &Own,
    row: &MessageRow,
    marked: &str,
    marker: &str,
) -> Result<Found, ClientError> {
    Ok(Found {
        message: show(tx, own, row)?,
        ranges: ranges(marked, marker),
    })
}

/// Where the words stand in the text without markers: starts and lengths in bytes.
fn ranges(marked: &str, marker: &str) -> Vec<(usize, usize)> {
    let mut ranges = Vec::new();
    let mut at = 0;
    for (number, part) in marked.split(marker).enumerate() {
        if number % 2 == 1 {
            ranges.push((at, part.len()));
        }
        at += part.len();
    }
    ranges
}

/// C-204: each run of characters without white space, quotes and control characters is one string of the index's
/// language, and the beginning of what is looked for.
fn query(words: &str) -> Result<String, ClientError> {
    if words.len() > SEARCH_BYTES_MAX {
        return Err(ClientError::TooLarge(format!(
            "{} bytes are too much to search for; at most {SEARCH_BYTES_MAX} fit",
            words.len()
        )));
    }
    let is_between = |c: char| c.is_whitespace() || c.is_control() || c == '"';
    let words = words.split(is_between);
    let words: Vec<_> = words
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .collect();
    if words.is_empty() {
        return Err(ClientError::BadInput(
            "there is no word to search for; write letters or digits".into(),
        ));
    }
    if words.len() > WORDS_MAX {
        return Err(ClientError::TooLarge(format!(
            "{} words are too many to search for; at most {WORDS_MAX} fit",
            words.len()
        )));
    }
    let words: Vec<_> = words.iter().map(|word| format!("\"{word}\"*")).collect();
    Ok(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is typed becomes strings of the index's language, each closed; what holds no word is refused.
    #[test]
    fn c204_queries_are_words_alone() {
        assert_eq!(
            query("grüß  Ben").ok().as_deref(),
            Some("\"grüß\"* \"Ben\"*")
        );
        let hostile = "a\"b OR body:c NEAR(d -e ^f \0 g* + {h}";
        let expected = r#""a"* "b"* "OR"* "body:c"* "NEAR(d"* "-e"* "^f"* "g*"* "{h}"*"#;
        assert_eq!(query(hostile).ok().as_deref(), Some(expected));
        for nothing in ["", "  ", "\"\"", "* ^ - ( )", "\0\0"] {
            assert!(
                matches!(query(nothing), Err(ClientError::BadInput(_))),
                "{nothing:?}"
            );
        }
        for long in ["x".repeat(SEARCH_BYTES_MAX + 1), "x ".repeat(WORDS_MAX + 1)] {
            assert!(matches!(query(&long), Err(ClientError::TooLarge(_))));
        }
    }

    /// Ranges are those of the text without markers.
    #[test]
    fn ranges_are_of_the_text() {
        assert_eq!(ranges("a|bc|d|é|", "|"), [(1, 2), (4, 2)]);
        assert_eq!(ranges("none", "|"), []);
    }
}
