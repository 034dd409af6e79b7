-- Version 3 of the profile database: everyday messaging.

-- --- messages --------------------------------------------------------------------------------

-- What comes with the words: TextMore as conclave-core encodes it.
ALTER TABLE message ADD COLUMN more BLOB NOT NULL DEFAULT x'';
-- What an edited message said first; body and more are what it says now.
ALTER TABLE message ADD COLUMN first_body TEXT;
ALTER TABLE message ADD COLUMN first_more BLOB;
-- 0 | 1 = for everyone: a tombstone is shown | 2 = on own devices: nothing is shown. The content is gone in both.
ALTER TABLE message ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN deleted_by BLOB;
-- The timer it was written under, in seconds, and when it goes; NULL until its clock starts.
ALTER TABLE message ADD COLUMN expires_s INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN expires_ms INTEGER;
CREATE INDEX message_clock ON message (id) WHERE expires_s > 0 AND expires_ms IS NULL;
CREATE INDEX message_expiry ON message (expires_ms) WHERE expires_ms IS NOT NULL;
CREATE INDEX message_ref ON message (message_id);

-- What people did to messages and to the chat, own and others', in the order of the logs.
CREATE TABLE act (
    id            INTEGER PRIMARY KEY,
    chat_id       BLOB NOT NULL REFERENCES chat (chat_id),
    sender        BLOB NOT NULL,
    act_id        BLOB NOT NULL,
    kind          TEXT NOT NULL,              -- reaction | edit | delete | pin | timer
    target_sender BLOB NOT NULL,              -- x'' when it is about the chat
    target_id     BLOB NOT NULL,
    body          TEXT NOT NULL,              -- emoji, or new words
    more          BLOB NOT NULL,              -- mentions of the new words, as TextMore
    number        INTEGER NOT NULL,           -- pinned 0 | 1, seconds
    sent_ms       INTEGER NOT NULL,
    waits         INTEGER NOT NULL DEFAULT 0, -- its message is not here yet
    log_id        BLOB,
    ordinal       INTEGER,
    seq           INTEGER,
    UNIQUE (sender, act_id)
);
CREATE INDEX act_target ON act (target_id, target_sender, kind);
CREATE INDEX act_chat ON act (chat_id, kind);
CREATE INDEX act_waiting ON act (chat_id, sender, id) WHERE waits = 1;

-- How far each device has received and read.
CREATE TABLE device_mark (
    log_id     BLOB NOT NULL,
    account_id BLOB NOT NULL,
    device_id  BLOB NOT NULL,
    delivered  INTEGER NOT NULL,
    read       INTEGER NOT NULL,
    PRIMARY KEY (log_id, account_id, device_id)
) WITHOUT ROWID;

-- Profile pictures, one JPEG for each person, the own one too.
CREATE TABLE picture (account_id BLOB PRIMARY KEY, jpeg BLOB NOT NULL) WITHOUT ROWID;

-- --- restored servers ------------------------------------------------------------------------

-- When this device saw that the server was put back from a backup, ms; 0 = it was not.
ALTER TABLE stuck ADD COLUMN restored_ms INTEGER NOT NULL DEFAULT 0;

-- --- notes -----------------------------------------------------------------------------------

-- What happened in a chat beside messages. Its place in the history is that of its log and entry.
CREATE TABLE note (
    id       INTEGER PRIMARY KEY,
    chat_id  BLOB NOT NULL REFERENCES chat (chat_id),
    log_id   BLOB NOT NULL,                -- empty when there was no conversation
    seq      INTEGER NOT NULL,             -- of the entry, or of the last one read before
    kind     TEXT NOT NULL,
    actor    BLOB NOT NULL,                -- account id; empty when nobody did it
    subject  BLOB NOT NULL,                -- account id; empty when it is about the chat
    value    TEXT NOT NULL,
    noted_ms INTEGER NOT NULL,
    is_heard INTEGER NOT NULL,             -- told by a listener, or done here
    UNIQUE (log_id, seq, kind, subject)
);
CREATE INDEX note_chat ON note (chat_id);
CREATE INDEX note_unheard ON note (id) WHERE is_heard = 0;

-- --- chat settings ---------------------------------------------------------------------------

-- What the person set for a chat: the same on all their devices.
CREATE TABLE chat_setting (
    chat_id        BLOB PRIMARY KEY REFERENCES chat (chat_id),
    muted_until_ms INTEGER NOT NULL DEFAULT 0,
    is_archived    INTEGER NOT NULL DEFAULT 0,
    archived_log   BLOB,                     -- how far it was read when it was put away
    archived_seq   INTEGER NOT NULL DEFAULT 0,
    is_pinned      INTEGER NOT NULL DEFAULT 0,
    draft          TEXT NOT NULL DEFAULT '',
    marked_unread  INTEGER NOT NULL DEFAULT 0,
    cleared_log    BLOB,                     -- everything up to here was deleted on own devices
    cleared_seq    INTEGER NOT NULL DEFAULT 0,
    news_log       BLOB,                     -- the newest that somebody else said, whether it is still here or not
    news_seq       INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
-- Settings of chats, or places, that another own device has and this one not yet.
CREATE TABLE setting_wait (
    name  BLOB NOT NULL,                     -- how own devices name the chat
    field INTEGER NOT NULL,
    item  BLOB NOT NULL,                     -- SyncItem
    PRIMARY KEY (name, field)
) WITHOUT ROWID;
-- Deleted on own devices before it came here.
CREATE TABLE hidden (
    sender     BLOB NOT NULL,
    message_id BLOB NOT NULL,
    PRIMARY KEY (sender, message_id)
) WITHOUT ROWID;
-- How far the person has read each log, on whichever device.
CREATE TABLE own_read (log_id BLOB PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO own_read (log_id, seq)
    SELECT log_id, max(seq) FROM message WHERE own = 0 AND is_read = 1 AND seq IS NOT NULL AND log_id IS NOT NULL
    AND log_id NOT IN (SELECT log_id FROM message WHERE is_read = 0 AND log_id IS NOT NULL) GROUP BY log_id;

-- --- search ----------------------------------------------------------------------------------

-- The words of messages; the text itself stays in message.body. Triggers hold both together, in whichever step a
-- message comes, is edited, deleted or over.
CREATE VIRTUAL TABLE message_words USING fts5 (
    body, content = 'message', content_rowid = 'id', prefix = '2 3',
    tokenize = 'unicode61 remove_diacritics 2'
);
-- What is deleted is overwritten in the index too.
INSERT INTO message_words (message_words, rank) VALUES ('secure-delete', 1);
INSERT INTO message_words (rowid, body) SELECT id, body FROM message WHERE body <> '';
CREATE TRIGGER message_words_new AFTER INSERT ON message WHEN new.body <> '' BEGIN
    INSERT INTO message_words (rowid, body) VALUES (new.id, new.body);
END;
CREATE TRIGGER message_words_gone AFTER DELETE ON message WHEN old.body <> '' BEGIN
    INSERT INTO message_words (message_words, rowid, body) VALUES ('delete', old.id, old.body);
END;
CREATE TRIGGER message_words_wiped AFTER UPDATE OF body ON message
WHEN old.body <> '' AND old.body <> new.body BEGIN
    INSERT INTO message_words (message_words, rowid, body) VALUES ('delete', old.id, old.body);
END;
CREATE TRIGGER message_words_changed AFTER UPDATE OF body ON message
WHEN new.body <> '' AND old.body <> new.body BEGIN
    INSERT INTO message_words (rowid, body) VALUES (new.id, new.body);
END;

-- --- attachments -----------------------------------------------------------------------------

-- Files on their way up or down, and those that lie sealed in the profile's folder.
CREATE TABLE attachment (
    sender     BLOB NOT NULL,                 -- of their message
    message_id BLOB NOT NULL,
    number     INTEGER NOT NULL,              -- the place among the files of the message, from 0
    chat_id    BLOB NOT NULL,
    pointer    BLOB NOT NULL,
    file       TEXT NOT NULL,                 -- name in the profile's folder
    state      TEXT NOT NULL,                 -- uploading | uploaded | loading | loaded | failed
    done       INTEGER NOT NULL,              -- sealed bytes
    total      INTEGER NOT NULL,
    reason     TEXT NOT NULL,                 -- why it waits or failed
    began_ms   INTEGER NOT NULL,
    PRIMARY KEY (sender, message_id, number)
) WITHOUT ROWID;
CREATE INDEX attachment_state ON attachment (state, began_ms);
-- Files whose row is gone: removed with the next commit, once no other row has the same.
CREATE TABLE attachment_gone (file TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TRIGGER attachment_left AFTER DELETE ON attachment BEGIN
    INSERT OR IGNORE INTO attachment_gone (file) VALUES (OLD.file);
END;
CREATE TRIGGER attachment_of_gone AFTER DELETE ON message BEGIN
    DELETE FROM attachment WHERE sender = OLD.sender AND message_id = OLD.message_id;
END;
CREATE TRIGGER attachment_of_wiped AFTER UPDATE OF deleted ON message WHEN NEW.deleted <> 0 BEGIN
    DELETE FROM attachment WHERE sender = NEW.sender AND message_id = NEW.message_id;
END;

-- --- former devices --------------------------------------------------------------------------

-- Devices that an account listed once, as far as entries of logs named them since (C-180).
CREATE TABLE former_device (
    account_id BLOB NOT NULL,
    device_id  BLOB NOT NULL,
    leaf_keys  BLOB NOT NULL,     -- 32 bytes each, newest last
    first_seq  INTEGER NOT NULL,  -- of the account's states that list it
    last_seq   INTEGER NOT NULL,
    PRIMARY KEY (account_id, device_id)
) WITHOUT ROWID;

-- --- held pointers ---------------------------------------------------------------------------

-- Sealed pointers into logs that are not read far enough to follow them (C-182).
CREATE TABLE held (
    log_id     BLOB NOT NULL,
    account_id BLOB NOT NULL,
    epoch      INTEGER NOT NULL,
    item       BLOB NOT NULL,
    PRIMARY KEY (log_id, account_id, epoch)
) WITHOUT ROWID;

-- --- events ----------------------------------------------------------------------------------

-- What happened, in the order in which it was written down. It holds names alone: what a program is told is made
-- of the rows that they name, when it is told.
CREATE TABLE event (
    number  INTEGER PRIMARY KEY AUTOINCREMENT, -- a number never comes again
    at_ms   INTEGER NOT NULL,
    kind    TEXT NOT NULL,
    chat_id BLOB NOT NULL,                     -- empty when it is about the profile
    sender  BLOB NOT NULL,                     -- who wrote the message; empty when there is none
    thing   BLOB NOT NULL,                     -- the message; empty when there is none
    actor   BLOB NOT NULL,                     -- who did it; empty when nobody is named
    word    TEXT NOT NULL,                     -- a state, a change, a sentence
    one     INTEGER NOT NULL,
    two     INTEGER NOT NULL,
    three   INTEGER NOT NULL
);

-- How far programs have taken what happened. The owner is a token, or empty: the user.
CREATE TABLE consumer (
    owner  TEXT NOT NULL,
    name   TEXT NOT NULL,
    cursor INTEGER NOT NULL,
    PRIMARY KEY (owner, name)
) WITHOUT ROWID;

-- Calls that may come again: the row is written with what the call did. For 7 days.
CREATE TABLE call_key (
    owner   TEXT NOT NULL,
    key     TEXT NOT NULL,
    request BLOB NOT NULL,                     -- hash of method and parameters
    at_ms   INTEGER NOT NULL,
    made    BLOB NOT NULL,                     -- the message that it made or changed; the answer is made of it
    answer  TEXT,                              -- else the answer, once there is one
    PRIMARY KEY (owner, key)
) WITHOUT ROWID;
CREATE INDEX call_key_age ON call_key (at_ms);

-- Where events are posted to.
CREATE TABLE webhook (
    id         TEXT PRIMARY KEY,
    url        TEXT NOT NULL,
    secret     BLOB NOT NULL,
    kinds      TEXT NOT NULL,                  -- joined by commas; empty: all
    cursor     INTEGER NOT NULL,               -- events up to here have their deliveries
    created_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- Events to be posted. Done: deleted.
CREATE TABLE delivery (
    webhook  TEXT NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    number   INTEGER NOT NULL,                 -- of the event
    chat_id  BLOB NOT NULL,                    -- one after the other in each chat
    tries    INTEGER NOT NULL DEFAULT 0,
    first_ms INTEGER NOT NULL DEFAULT 0,       -- of the first try; 0 = there was none
    next_ms  INTEGER NOT NULL DEFAULT 0,       -- not before
    dead_ms  INTEGER NOT NULL DEFAULT 0,       -- given up then; 0 = not
    reason   TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (webhook, number)
) WITHOUT ROWID;

-- --- device keys -----------------------------------------------------------------------------

-- Leaf keys that this device had. The private half goes when nothing is under it any more (then x''), the rest stays
-- as long as its certificate lists it.
CREATE TABLE former_key (leaf_key BLOB PRIMARY KEY, secret BLOB NOT NULL, since_ms INTEGER NOT NULL) WITHOUT ROWID;
-- Logs in which this device's leaf is still under one of them.
CREATE TABLE rekey (log_id BLOB PRIMARY KEY) WITHOUT ROWID;

-- --- history between own devices -------------------------------------------------------------

-- Of an archive that goes up: from when on (ms), and the last rows in it.
ALTER TABLE archive ADD COLUMN since_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE archive ADD COLUMN last_message INTEGER NOT NULL DEFAULT 0;
ALTER TABLE archive ADD COLUMN last_act INTEGER NOT NULL DEFAULT 0;
-- Devices let in here with an archive, until they are in every conversation: what they have, and where the rest is.
CREATE TABLE history_hole (
    device_id    BLOB PRIMARY KEY,
    since_ms     INTEGER NOT NULL,
    last_message INTEGER NOT NULL,
    last_act     INTEGER NOT NULL,
    pointer      BLOB NOT NULL DEFAULT x'' -- AttachmentPointer, once it is written
) WITHOUT ROWID;
