-- Version 3: the classic gateway's own accounts and queues; no other row refers to them. Never edited.

CREATE TABLE classic_account (
    phone TEXT PRIMARY KEY,
    suite TEXT NOT NULL,
    public_key TEXT NOT NULL -- SPKI PEM, as it was registered
) STRICT;

-- What waits for one recipient; `id` is the order. Deleted when it is acknowledged.
CREATE TABLE classic_message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    recipient TEXT NOT NULL,
    message_id TEXT NOT NULL,
    message TEXT NOT NULL -- JSON, as it came
) STRICT;
CREATE INDEX classic_queue ON classic_message (recipient, id);

-- Every message that was accepted, so that none is accepted twice.
CREATE TABLE classic_seen (
    message_id TEXT PRIMARY KEY,
    day INTEGER NOT NULL
) STRICT;
CREATE INDEX classic_seen_day ON classic_seen (day);

-- What the sender of a message has not been told yet. Deleted when it is acknowledged.
CREATE TABLE classic_receipt (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sender TEXT NOT NULL,
    message_id TEXT NOT NULL,
    recipient TEXT NOT NULL,
    delivered_at INTEGER NOT NULL -- Unix seconds
) STRICT;
CREATE INDEX classic_told ON classic_receipt (sender, id);
