//! What each table of the shared database is called, and where its rows stand in SQLite.

/// One table that moves.
pub(super) struct Table {
    pub(super) name: &'static str,
    columns: &'static [&'static str],
    /// Column that the database numbers by itself, when numbers are kept.
    pub(super) identity: Option<&'static str>,
    /// The same columns in SQLite, in order.
    pub(super) select: &'static str,
}

impl Table {
    pub(super) fn names(&self) -> String {
        self.columns.join(", ")
    }
}

const fn table(
    name: &'static str,
    columns: &'static [&'static str],
    select: &'static str,
) -> Table {
    Table {
        name,
        columns,
        identity: None,
        select,
    }
}

/// A table whose rows keep the numbers that they have.
const fn numbered(
    name: &'static str,
    columns: &'static [&'static str],
    select: &'static str,
) -> Table {
    Table {
        identity: Some("id"),
        ..table(name, columns, select)
    }
}

/// All tables but `meta`, and `race` and `mailbox`, which the next minutes fill.
pub(super) const TABLES: [Table; 17] = [
    table(
        "account",
        &["account_id", "identifier", "capability_hash"],
        "SELECT account_id, identifier, capability_hash FROM account",
    ),
    table(
        "account_state",
        &["account_id", "seq", "hash", "state"],
        "SELECT account_id, seq, hash, state FROM account_state s JOIN account a ON a.id = s.account",
    ),
    table(
        "device",
        &[
            "device_id",
            "account_id",
            "leaf_key",
            "cert",
            "listed",
            "last_resort",
            "last_number",
            "last_package",
        ],
        "SELECT device_id, account_id, leaf_key, cert, listed, last_resort, last_number,
         coalesce((SELECT max(id) FROM key_package k WHERE k.device = d.id), 0)
         FROM device d JOIN account a ON a.id = d.account",
    ),
    table(
        "hold",
        &["account_id", "identity_fingerprint", "since_ms"],
        "SELECT account_id, identity_fingerprint, since_ms FROM hold h JOIN account a ON a.id = h.account",
    ),
    table(
        "otp",
        &[
            "challenge_id",
            "identifier_hash",
            "sealed_identifier",
            "identity_fingerprint",
            "code_mac",
            "invite",
            "tries",
            "expires_ms",
            "send_id",
            "handed_over",
        ],
        "SELECT challenge_id, identifier_hash, sealed_identifier, identity_fingerprint, code_mac,
         invite, tries, expires_ms, send_id, handed_over FROM otp",
    ),
    table(
        "otp_send",
        &["identifier_hash", "at_ms"],
        "SELECT identifier_hash, at_ms FROM otp_send ORDER BY id",
    ),
    table(
        "invite",
        &["token_hash", "uses", "expires_ms"],
        "SELECT token_hash, uses, expires_ms FROM invite",
    ),
    table(
        "key_package",
        &["device_id", "place", "hash", "package", "day"],
        "SELECT device_id, k.id, hash, package, day FROM key_package k JOIN device d ON d.id = k.device",
    ),
    table(
        "inbox",
        &["device_id", "number", "stranger", "hash", "item", "day"],
        "SELECT device_id, number, stranger, hash, item, day FROM inbox i JOIN device d ON d.id = i.device",
    ),
    table(
        "log",
        &[
            "log_id",
            "create_hash",
            "retention_days",
            "redate",
            "epoch",
            "seq",
            "hash",
        ],
        "SELECT log_id, create_hash, retention_days, redate, epoch, seq, hash FROM log",
    ),
    table(
        "epoch",
        &[
            "log_id",
            "epoch",
            "access_key",
            "begin_seq",
            "end_seq",
            "end_hash",
            "end_day",
        ],
        "SELECT log_id, e.epoch, access_key, begin_seq, end_seq, end_hash, end_day
         FROM epoch e JOIN log l ON l.id = e.log",
    ),
    table(
        "entry",
        &[
            "log_id",
            "seq",
            "epoch",
            "kind",
            "day",
            "payload",
            "expired_hash",
            "expires_day",
        ],
        "SELECT log_id, e.seq, e.epoch, kind, day, payload, expired_hash, expires_day
         FROM entry e JOIN log l ON l.id = e.log",
    ),
    table(
        "blob",
        &["blob_id", "bytes", "day"],
        "SELECT blob_id, bytes, day FROM blob",
    ),
    table(
        "classic_account",
        &["phone", "suite", "public_key"],
        "SELECT phone, suite, public_key FROM classic_account",
    ),
    numbered(
        "classic_message",
        &["id", "recipient", "message_id", "message"],
        "SELECT id, recipient, message_id, message FROM classic_message",
    ),
    table(
        "classic_seen",
        &["message_id", "day"],
        "SELECT message_id, day FROM classic_seen",
    ),
    numbered(
        "classic_receipt",
        &["id", "sender", "message_id", "recipient", "delivered_at"],
        "SELECT id, sender, message_id, recipient, delivered_at FROM classic_receipt",
    ),
];
