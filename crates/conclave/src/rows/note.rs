//! Rows about what happened in a chat beside messages.

use conclave_client::view::{Note, NoteKind};
use schemars::JsonSchema;
use serde::Serialize;

use crate::output::{Row, safe};
use crate::rfc3339::{rfc3339, short};
use crate::rows::PersonRow;

/// A change of a group: who came, went, or was given what.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct GroupChangeRow {
    chat: String,
    /// What the group is called now.
    group: String,
    change: &'static str,
    by: Option<PersonRow>,
    /// Whether this account did it.
    own: bool,
    about: Option<PersonRow>,
    /// Whether it is about this account.
    about_own: bool,
    /// The new name or role, or `link`; of who was put out, what they did: `garbage`, `wrong_keys`, `not_allowed`, `forged`.
    value: String,
    seq: Option<u64>,
    ts: String,
    ts_ms: u64,
    #[serde(skip)]
    kind: NoteKind,
}

impl From<&Note> for GroupChangeRow {
    fn from(note: &Note) -> Self {
        Self {
            chat: note.chat.to_string(),
            group: note.group.clone(),
            change: note.kind.name(),
            by: note.by.as_ref().map(PersonRow::from),
            own: note.is_by_own,
            about: note.about.as_ref().map(PersonRow::from),
            about_own: note.is_about_own,
            value: note.value.clone(),
            seq: note.seq,
            ts: rfc3339(note.ts_ms),
            ts_ms: note.ts_ms,
            kind: note.kind,
        }
    }
}

impl GroupChangeRow {
    /// What happened, as a sentence.
    fn words(&self) -> String {
        let name = |person: &Option<PersonRow>, own: bool| match person {
            _ if own => "you".to_owned(),
            Some(person) => person.text(),
            None => "somebody".to_owned(),
        };
        let by = name(&self.by, self.own);
        let about = name(&self.about, self.about_own);
        let value = safe(&self.value);
        match self.kind {
            NoteKind::Created => format!("{by} made the group"),
            NoteKind::Added if self.value == "link" => format!("{about} came in by the link"),
            NoteKind::Added | NoteKind::Joined => format!("{by} added {about}"),
            NoteKind::Removed => format!("{by} removed {about}"),
            NoteKind::Left => format!("{about} left"),
            NoteKind::Renamed => format!("{by} named the group {value}"),
            NoteKind::Role => format!("{by} made {about} {value}"),
            NoteKind::LinkMade => format!("{by} made a link to the group"),
            NoteKind::LinkRevoked => format!("{by} took the link to the group back"),
            NoteKind::Continued => "the group broke and goes on anew".to_owned(),
            NoteKind::PutOut => format!("{about} was put out: {}", offence(&self.value)),
            _ => "something that needs a newer version of conclave".to_owned(),
        }
    }
}

/// What somebody did who was put out.
fn offence(name: &str) -> &'static str {
    match name {
        "garbage" => "the group broke by a change that nobody can follow",
        "wrong_keys" => "the group broke by keys that nobody has",
        "not_allowed" => "the group broke by a change that they may not make",
        "forged" => "the group broke by a forged member or change",
        _ => "the group broke",
    }
}

impl Row for GroupChangeRow {
    const TYPE: &'static str = "group_change";

    fn text(&self) -> String {
        let group = safe(&self.group);
        format!("{}  * {group}: {}", short(self.ts_ms), self.words())
    }
}

/// Somebody's identity key was replaced under the old one's signature.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RotatedRow {
    chat: String,
    /// The person whose key was rotated.
    with: Option<PersonRow>,
    ts: String,
    ts_ms: u64,
}

impl From<&Note> for RotatedRow {
    fn from(note: &Note) -> Self {
        Self {
            chat: note.chat.to_string(),
            with: note.about.as_ref().map(PersonRow::from),
            ts: rfc3339(note.ts_ms),
            ts_ms: note.ts_ms,
        }
    }
}

impl Row for RotatedRow {
    const TYPE: &'static str = "key_rotated";

    fn text(&self) -> String {
        let who = self.with.as_ref().map(PersonRow::text).unwrap_or_default();
        format!(
            "{}  * the identity key of {who} was replaced by a new one, signed by the old one; the safety number is \
             another one now",
            short(self.ts_ms)
        )
    }
}

/// Prints a note as the row that it is.
pub(crate) fn print(out: &crate::output::Output, note: &Note) -> std::io::Result<()> {
    match note.kind {
        NoteKind::KeyRotated => out.row(&RotatedRow::from(note)),
        _ => out.row(&GroupChangeRow::from(note)),
    }
}
