-- Version 1 of the profile database. The whole file is encrypted (SQLCipher).

-- Single values: own keys, own account, server.
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

-- People: the pin (fingerprint to state_hash), what was accepted under it, and what waits for a decision.
CREATE TABLE contact (
    account_id   BLOB PRIMARY KEY,
    identifier   TEXT NOT NULL,
    given_name   TEXT NOT NULL DEFAULT '', -- by this user
    own_name     TEXT NOT NULL DEFAULT '', -- by themselves
    fingerprint  BLOB NOT NULL,
    generation   INTEGER NOT NULL,
    state_seq    INTEGER NOT NULL,
    state_hash   BLOB NOT NULL,
    states       BLOB NOT NULL,            -- AccountStates: the accepted state and its certificates
    changed      BLOB,                     -- AccountStates that contradict the pin, until the person decides
    capability   BLOB NOT NULL DEFAULT x'',
    confirmed    INTEGER NOT NULL DEFAULT 0,
    accepted     INTEGER NOT NULL DEFAULT 0,
    blocked      INTEGER NOT NULL DEFAULT 0,
    verified     INTEGER NOT NULL DEFAULT 0,
    checked_ms   INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX contact_identifier ON contact (identifier);

-- What people see as one chat.
CREATE TABLE chat (
    chat_id      BLOB PRIMARY KEY,
    account_id   BLOB NOT NULL,
    stage        TEXT NOT NULL,            -- open | request | declined | paused
    reason       TEXT NOT NULL DEFAULT '',
    live_log     BLOB,
    created_ms   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX chat_account ON chat (account_id);

-- MLS groups with their logs; a chat has one live one and, after a successor, older ones.
CREATE TABLE conversation (
    log_id          BLOB PRIMARY KEY,
    chat_id         BLOB NOT NULL REFERENCES chat (chat_id),
    ordinal         INTEGER NOT NULL,
    stage           TEXT NOT NULL,         -- creating | live | broken
    epoch           INTEGER NOT NULL,
    cursor_seq      INTEGER NOT NULL,
    cursor_hash     BLOB NOT NULL,
    incarnation     INTEGER NOT NULL,
    create_request  BLOB,                  -- CreateLog without pass and proof, until the server has it
    pending_bundle  BLOB,                  -- CommitEntry, until the log says who won
    update_due      INTEGER NOT NULL DEFAULT 0,
    updated_ms      INTEGER NOT NULL,
    own_sends       INTEGER NOT NULL DEFAULT 0,
    their_delivered INTEGER NOT NULL DEFAULT 0,
    their_read      INTEGER NOT NULL DEFAULT 0,
    told_delivered  INTEGER NOT NULL DEFAULT 0,
    told_read       INTEGER NOT NULL DEFAULT 0,
    want_delivered  INTEGER NOT NULL DEFAULT 0,
    want_read       INTEGER NOT NULL DEFAULT 0,
    receipt_ms      INTEGER NOT NULL DEFAULT 0,
    read_ms         INTEGER NOT NULL DEFAULT 0,
    recovered_ms    INTEGER NOT NULL DEFAULT 0,
    copied_ms       INTEGER NOT NULL DEFAULT 0,
    state_told      INTEGER NOT NULL DEFAULT 0,
    signed_head     BLOB                   -- newest head with the server's signature
) WITHOUT ROWID;
CREATE INDEX conversation_chat ON conversation (chat_id, ordinal);

-- Chain hashes of entries read, to judge what others say about them.
CREATE TABLE chain (
    log_id BLOB NOT NULL,
    seq    INTEGER NOT NULL,
    hash   BLOB NOT NULL,
    PRIMARY KEY (log_id, seq)
) WITHOUT ROWID;

CREATE TABLE message (
    id         INTEGER PRIMARY KEY,
    chat_id    BLOB NOT NULL REFERENCES chat (chat_id),
    message_id BLOB NOT NULL,
    sender     BLOB NOT NULL,
    own        INTEGER NOT NULL,
    body       TEXT NOT NULL,
    raw        BLOB NOT NULL,              -- Content of a kind this version does not know, else empty
    state      TEXT NOT NULL,
    reason     TEXT NOT NULL DEFAULT '',
    log_id     BLOB,
    ordinal    INTEGER,
    seq        INTEGER,
    epoch      INTEGER,
    devices    INTEGER NOT NULL DEFAULT 0,
    sent_ms    INTEGER NOT NULL,
    is_read    INTEGER NOT NULL,
    is_heard   INTEGER NOT NULL,           -- told by a listener, in a request, or read
    UNIQUE (sender, message_id)
);
CREATE INDEX message_chat ON message (chat_id, ordinal, seq);
CREATE INDEX message_position ON message (log_id, seq);
CREATE INDEX message_unread ON message (chat_id) WHERE is_read = 0;
CREATE INDEX message_unheard ON message (id) WHERE is_heard = 0;

-- What must still reach a log. Sealed bytes are written before they are sent and never change (C-051).
CREATE TABLE outbox (
    id         INTEGER PRIMARY KEY,
    chat_id    BLOB NOT NULL REFERENCES chat (chat_id),
    log_id     BLOB,                       -- receipts belong to one log; texts go to the live one
    message_id BLOB,
    kind       TEXT NOT NULL,              -- text | receipt | profile
    sealed     BLOB,
    epoch      INTEGER,
    seq        INTEGER                     -- where the server said it went, until it is read there
);

-- Sealed inbox items that must still be posted.
CREATE TABLE post (
    id         INTEGER PRIMARY KEY,
    log_id     BLOB NOT NULL,
    account_id BLOB NOT NULL,
    device_id  BLOB NOT NULL,
    item       BLOB NOT NULL,
    due_ms     INTEGER NOT NULL
);

-- Invitations received and not joined yet.
CREATE TABLE invitation (
    log_id      BLOB PRIMARY KEY,
    chat_id     BLOB NOT NULL REFERENCES chat (chat_id),
    account_id  BLOB NOT NULL,
    pointer     BLOB NOT NULL,
    received_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- Key packages whose private keys go at a date.
CREATE TABLE old_last_resort (hash_ref BLOB PRIMARY KEY, delete_ms INTEGER NOT NULL) WITHOUT ROWID;

-- MLS state, written by OpenMLS through the same transaction.
CREATE TABLE mls_row (
    id    INTEGER PRIMARY KEY,
    kind  TEXT NOT NULL,
    key   BLOB NOT NULL,
    sub   BLOB NOT NULL,                   -- empty for single values
    grp   BLOB,                            -- log id, so that leaving deletes everything
    value BLOB NOT NULL,
    UNIQUE (kind, key, sub)
);
CREATE INDEX mls_row_group ON mls_row (grp) WHERE grp IS NOT NULL;

-- Proof that somebody misbehaved: two signed heads, two states with one number.
CREATE TABLE evidence (id INTEGER PRIMARY KEY, what TEXT NOT NULL, bytes BLOB NOT NULL, seen_ms INTEGER NOT NULL);
