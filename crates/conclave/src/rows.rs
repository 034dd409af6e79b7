//! The rows that commands print: the JSON shape and the line for people of each. Fields are only ever added.

mod account;
pub(crate) mod attachment;
mod chat;
mod classic;
mod daemon;
mod device;
mod group;
mod message;
pub(crate) mod note;
mod people;
mod talk;
pub(crate) mod told;
pub(crate) mod webhook;

use conclave_client::view::Person;
use schemars::JsonSchema;
use serde::Serialize;

use crate::output::safe;

pub(crate) use account::{
    CodeSentRow, FindingRow, KeyRow, PassphraseRow, PathsRow, ProofRow, SettingRow, StatusRow,
    WhoamiRow,
};
pub(crate) use attachment::{AttachmentRow, PrunedRow};
pub(crate) use chat::{ClearedRow, DraftRow, ExportedRow, FoundRow};
pub(crate) use classic::{
    ClassicAccountRow, ClassicKeyRow, ClassicMessageRow, ClassicReceiptRow, ClassicSentRow,
};
pub(crate) use daemon::{DaemonRow, PageRow, TokenRow};
pub(crate) use device::{DeviceRow, HistoryRow, LinkRow};
pub(crate) use group::{GroupLinkRow, GroupRow};
pub(crate) use message::{
    GapRow, IdentityRow, InfoRow, MessageRow, QueuedRow, SentRow, StateRow, WarningRow,
};
pub(crate) use people::{ChatRow, ContactRow, DoneRow, ReadRow, RequestRow, SafetyRow, UnreadRow};
pub(crate) use talk::{ChangedRow, ProfileRow, TimerRow, TypingRow};
pub(crate) use told::ToldRow;

/// A person as other rows carry them.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PersonRow {
    account: String,
    identifier: String,
    name: String,
}

impl From<&Person> for PersonRow {
    fn from(person: &Person) -> Self {
        Self {
            account: person.account_id.to_string(),
            identifier: person.identifier.clone(),
            name: person.name.clone(),
        }
    }
}

impl PersonRow {
    /// `Anna (anna@example.org)`, or the identifier alone; the identifier always shows, names can be faked. Who is
    /// known from a group alone has an account id in its place.
    fn text(&self) -> String {
        let who = match self.identifier.as_str() {
            "" => self.account.as_str(),
            identifier => identifier,
        };
        match self.name.as_str() {
            "" => safe(who).into_owned(),
            name => format!("{} ({})", safe(name), safe(who)),
        }
    }
}

/// Names and values in two columns; empty values are left out.
fn table(rows: &[(&str, &str)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = rows.iter().filter(|(_, value)| !value.is_empty());
    let lines: Vec<String> = lines
        .map(|(name, value)| format!("{name:<width$}  {value}"))
        .collect();
    lines.join("\n")
}

#[cfg(test)]
#[path = "rows/tests.rs"]
mod tests;
