//! `conclave search`: messages that hold words, from the disk alone.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use conclave_client::view::{Found, Search};
use conclave_client::{Client, ClientError};
use conclave_proto::id::MessageId;

use crate::exit::Failure;
use crate::profile::Context;
use crate::rfc3339::since;
use crate::rows::FoundRow;

/// Look for words in all messages, those that came last first. Each word may be the beginning of one; case and
/// accents do not matter. Does not use the network.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  conclave search holiday plans
  conclave search tick --in friends --from anna@example.org --since 2026-11-01")]
pub(crate) struct Args {
    /// All of them must be there
    #[arg(required = true, value_name = "WORD")]
    words: Vec<String>,
    /// In one chat: `+E164` number, e-mail address, group or chat id
    #[arg(long = "in", value_name = "CHAT")]
    chat: Option<String>,
    /// Written by somebody: `+E164` number, e-mail address or name
    #[arg(long, value_name = "WHO")]
    from: Option<String>,
    /// Written that day or later, UTC: `2026-11-22`
    #[arg(long, value_name = "DATE", value_parser = since)]
    since: Option<u64>,
    /// Go on after the last message that was shown
    #[arg(long, value_name = "MESSAGE")]
    before: Option<MessageId>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
}

/// Prints a row per message, with the chat that it is in.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let work = async |client: &Client| {
        let found = client.search(&Search {
            words: args.words.join(" "),
            chat: args.chat,
            from: args.from,
            since_ms: args.since.unwrap_or(0),
            before: args.before,
            limit: usize::try_from(args.limit).unwrap_or(usize::MAX),
        })?;
        for row in found_rows(client, &found)? {
            context.out.row(&row)?;
        }
        Ok(())
    };
    context.with_client(work).await
}

/// What was found, with the chats that it is in.
pub(crate) fn found_rows(client: &Client, found: &[Found]) -> Result<Vec<FoundRow>, ClientError> {
    let mut chats = HashMap::new();
    let row = |one: &Found| {
        let chat = match chats.entry(one.message.chat) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(client.chat(one.message.chat)?),
        };
        Ok(FoundRow::new(one, chat))
    };
    found.iter().map(row).collect()
}
