-- Version 2 of the profile database: groups, several devices, keys that change.

-- --- groups ----------------------------------------------------------------------------------

-- direct | group | own. Only a direct chat has another person: account_id is x'' in the others.
ALTER TABLE chat ADD COLUMN kind TEXT NOT NULL DEFAULT 'direct';
-- Of a group: what its context says, so that lists need no keys.
ALTER TABLE chat ADD COLUMN name TEXT NOT NULL DEFAULT '';
DROP INDEX chat_account;
CREATE UNIQUE INDEX chat_account ON chat (account_id) WHERE kind = 'direct';
CREATE INDEX chat_name ON chat (name) WHERE kind = 'group';

-- What an own commit that adds devices brings along, until the log says who won.
ALTER TABLE conversation ADD COLUMN pending_blobs BLOB; -- PutBundle without handle and entry
ALTER TABLE conversation ADD COLUMN profile_due INTEGER NOT NULL DEFAULT 0; -- somebody is here who was not told the own name
CREATE TABLE pending_welcome (
    log_id     BLOB NOT NULL,
    account_id BLOB NOT NULL,
    device_id  BLOB NOT NULL,
    welcome    BLOB NOT NULL,              -- BlobPointer
    tree       BLOB NOT NULL,              -- BlobPointer
    PRIMARY KEY (log_id, device_id)
) WITHOUT ROWID;

-- What the person wanted of a conversation, until it holds or failed. Rebuilt on whoever won the epoch.
CREATE TABLE intent (
    id         INTEGER PRIMARY KEY,
    chat_id    BLOB NOT NULL REFERENCES chat (chat_id),
    kind       TEXT NOT NULL,
    account_id BLOB NOT NULL,              -- zeros when it is about nobody
    device_id  BLOB NOT NULL,              -- empty when it is about a person
    value      BLOB NOT NULL,
    tries      INTEGER NOT NULL DEFAULT 0,
    due_ms     INTEGER NOT NULL DEFAULT 0,
    reason     TEXT NOT NULL DEFAULT '',   -- why it failed; empty while it waits
    UNIQUE (chat_id, kind, account_id, device_id)
);

-- Groups that this person asked to come into, by their link.
CREATE TABLE join_wish (
    log_id  BLOB PRIMARY KEY,
    chat_id BLOB NOT NULL,
    asked   BLOB NOT NULL,                 -- account ids
    secret  BLOB NOT NULL                  -- of the link; empty when everybody was asked
) WITHOUT ROWID;

-- How far each person of a group has received and read.
CREATE TABLE mark (
    log_id     BLOB NOT NULL,
    account_id BLOB NOT NULL,
    delivered  INTEGER NOT NULL,
    read       INTEGER NOT NULL,
    PRIMARY KEY (log_id, account_id)
) WITHOUT ROWID;

-- --- successors ------------------------------------------------------------------------------

-- Groups that cannot go on in a log, who broke them, and when this device begins another.
CREATE TABLE stuck (
    log_id   BLOB PRIMARY KEY,             -- the old one, at its last good epoch
    chat_id  BLOB NOT NULL REFERENCES chat (chat_id),
    left_out BLOB NOT NULL,                -- account ids, one after another
    due_ms   INTEGER NOT NULL
) WITHOUT ROWID;

-- --- devices ---------------------------------------------------------------------------------

-- What the person calls their devices.
CREATE TABLE device_name (device_id BLOB PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
-- Of an outbox row of the own conversation: the one thing whose newest value it says.
ALTER TABLE outbox ADD COLUMN what BLOB;

-- --- keys ------------------------------------------------------------------------------------

-- When the person's identity key was last replaced under the old one's signature, ms; 0 = never, or seen since.
ALTER TABLE contact ADD COLUMN rotated_ms INTEGER NOT NULL DEFAULT 0;

-- --- history between own devices ------------------------------------------------------------

-- An archive on its way up (sealed file in the profile's folder) or down (into these tables).
CREATE TABLE archive (
    blob_id  BLOB PRIMARY KEY,
    is_up    INTEGER NOT NULL,
    pointer  BLOB NOT NULL,                -- AttachmentPointer
    total    INTEGER NOT NULL,             -- bytes of the blob
    is_given INTEGER NOT NULL DEFAULT 0,   -- up: the new device was told
    done     INTEGER NOT NULL DEFAULT 0,   -- sealed bytes that the server has, or that were taken in
    rest     BLOB NOT NULL DEFAULT x'',    -- down: the beginning of a record that goes on in the next piece
    messages INTEGER NOT NULL DEFAULT 0,
    began_ms INTEGER NOT NULL,
    is_over  INTEGER NOT NULL DEFAULT 0,
    reason   TEXT NOT NULL DEFAULT ''      -- why it ended without success
) WITHOUT ROWID;
-- Chats of the other device and which they are here.
CREATE TABLE archived_chat (theirs BLOB PRIMARY KEY, chat_id BLOB NOT NULL) WITHOUT ROWID;
-- Logs whose messages came in an archive, and their place in their chat.
CREATE TABLE archived_log (log_id BLOB PRIMARY KEY, chat_id BLOB NOT NULL, ordinal INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX archived_log_chat ON archived_log (chat_id, ordinal);

-- --- places lost -----------------------------------------------------------------------------

-- Groups that this device cannot follow any more, and when it last asked to be put in anew, ms; 0 = not yet.
CREATE TABLE stranded (
    log_id   BLOB PRIMARY KEY,
    chat_id  BLOB NOT NULL REFERENCES chat (chat_id),
    asked_ms INTEGER NOT NULL
) WITHOUT ROWID;
-- Devices that asked here, or that somebody put in anew.
CREATE TABLE readd (
    log_id    BLOB NOT NULL,
    device_id BLOB NOT NULL,
    asked_ms  INTEGER NOT NULL,
    done_day  INTEGER,
    PRIMARY KEY (log_id, device_id)
) WITHOUT ROWID;
