//! What a transaction touched of what front ends show: noted by triggers of this connection alone, in memory, so that
//! no write can forget to say it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use conclave_proto::id::{ChatId, MessageId};
use rusqlite::Connection;

use super::{StoreError, Tx, id};
use crate::view::Touched;

/// A table whose rows front ends show.
struct Shown {
    table: &'static str,
    /// The columns that they show: an update of others is bookkeeping.
    columns: &'static [&'static str],
    /// What is noted: kind, chat, message. `{}` stands for the row.
    noted: &'static str,
    /// Which rows; empty: all.
    only: &'static str,
}

const CHAT: &str = "'chat', {}.chat_id, x''";
const MESSAGE: &str = "'message', {}.chat_id, {}.message_id";
const PEOPLE: &str = "'people', x'', x''";

const SHOWN: [Shown; 11] = [
    Shown {
        table: "chat",
        columns: &["account_id", "stage", "reason", "name"],
        noted: CHAT,
        only: "",
    },
    Shown {
        table: "chat_setting",
        columns: &[
            "muted_until_ms",
            "is_archived",
            "is_pinned",
            "draft",
            "marked_unread",
        ],
        noted: CHAT,
        only: "",
    },
    Shown {
        table: "note",
        columns: &["value"],
        noted: CHAT,
        only: "",
    },
    Shown {
        table: "intent",
        columns: &["reason"],
        noted: CHAT,
        only: "",
    },
    Shown {
        table: "message",
        columns: &[
            "chat_id",
            "body",
            "raw",
            "state",
            "reason",
            "seq",
            "sent_ms",
            "is_read",
            "deleted",
            "expires_ms",
        ],
        noted: MESSAGE,
        only: "",
    },
    Shown {
        table: "act",
        columns: &["body", "number", "waits"],
        noted: "'message', {}.chat_id, {}.target_id",
        only: "",
    },
    Shown {
        table: "attachment",
        columns: &["state", "reason"],
        noted: MESSAGE,
        only: "",
    },
    Shown {
        table: "contact",
        columns: &[
            "identifier",
            "given_name",
            "own_name",
            "fingerprint",
            "changed",
            "confirmed",
            "accepted",
            "blocked",
            "verified",
            "rotated_ms",
        ],
        noted: PEOPLE,
        only: "",
    },
    Shown {
        table: "picture",
        columns: &["jpeg"],
        noted: PEOPLE,
        only: "",
    },
    Shown {
        table: "device_name",
        columns: &["name"],
        noted: "'devices', x'', x''",
        only: "",
    },
    Shown {
        table: "meta",
        columns: &["value"],
        noted: "CASE WHEN {}.key IN ('state', 'certs') THEN 'devices' ELSE 'settings' END, x'', x''",
        only: "{}.key IN ('state', 'certs', 'name', 'trust_mode', 'typing_off', 'attachment_bytes_max', \
               'attachment_auto_bytes')",
    },
];

/// Makes the triggers; the tables are there.
pub(super) fn watch(connection: &Connection) -> rusqlite::Result<()> {
    // The same may be noted often: a key would break the upserts that the triggers stand on.
    let mut words =
        String::from("CREATE TEMP TABLE touched (kind TEXT, chat_id BLOB, message_id BLOB);");
    for shown in &SHOWN {
        let changed: Vec<_> = shown
            .columns
            .iter()
            .map(|column| format!("old.{column} IS NOT new.{column}"))
            .collect();
        let changed = format!("({})", changed.join(" OR "));
        for (moment, row, changed) in [
            ("INSERT", "new", None),
            ("UPDATE", "new", Some(changed.as_str())),
            ("DELETE", "old", None),
        ] {
            let only = Some(shown.only).filter(|only| !only.is_empty());
            let only = only.map(|only| only.replace("{}", row));
            let when: Vec<&str> = only.as_deref().into_iter().chain(changed).collect();
            let when = match when.as_slice() {
                [] => String::new(),
                all => format!("WHEN {}", all.join(" AND ")),
            };
            let (table, noted) = (shown.table, shown.noted.replace("{}", row));
            // Writing to a string cannot fail.
            let _ = write!(
                words,
                "CREATE TEMP TRIGGER touched_{table}_{moment} AFTER {moment} ON main.{table} {when} BEGIN
                 INSERT INTO touched VALUES ({noted}); END;"
            );
        }
    }
    connection.execute_batch(&words)
}

impl Tx<'_> {
    /// Takes what was touched since this was called last; what is rolled back never was.
    pub(crate) fn take_touched(&self) -> Result<BTreeSet<Touched>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("DELETE FROM temp.touched RETURNING kind, chat_id, message_id")?;
        let rows = statement.query_map([], |row| {
            Ok(match row.get_ref("kind")?.as_str()? {
                "chat" => Touched::Chat(ChatId::new(id(row, "chat_id")?)),
                "message" => {
                    let chat = ChatId::new(id(row, "chat_id")?);
                    // About the chat: its timer.
                    match row.get_ref("message_id")?.as_blob()? {
                        [] => Touched::Chat(chat),
                        _ => Touched::Message(chat, MessageId::new(id(row, "message_id")?)),
                    }
                }
                "people" => Touched::People,
                "devices" => Touched::Devices,
                _ => Touched::Settings,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
