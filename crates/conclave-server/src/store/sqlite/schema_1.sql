-- Version 1. Never edited: a change is a new version.
--
-- Two families that share no column: accounts (account … inbox) and logs (log … blob). Beside logs,
-- blobs and inbox items stand days only, never a time of day.

CREATE TABLE meta (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    mark        INTEGER NOT NULL, -- grows with the file `incarnation` beside the database
    mark_day    INTEGER NOT NULL,
    incarnation INTEGER NOT NULL
) STRICT;
INSERT INTO meta VALUES (1, 0, 0, 1);

CREATE TABLE account (
    id              INTEGER PRIMARY KEY,
    account_id      BLOB NOT NULL UNIQUE,
    identifier      TEXT UNIQUE, -- NULL: it moved to somebody else
    capability_hash BLOB NOT NULL
) STRICT;

CREATE TABLE account_state (
    id      INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account,
    seq     INTEGER NOT NULL,
    hash    BLOB NOT NULL,
    state   BLOB NOT NULL,
    UNIQUE (account, seq)
) STRICT;

CREATE TABLE device (
    id          INTEGER PRIMARY KEY,
    device_id   BLOB NOT NULL UNIQUE, -- never reused, so unlisted ones stay
    account     INTEGER NOT NULL REFERENCES account,
    leaf_key    BLOB NOT NULL,
    cert        BLOB NOT NULL,
    listed      INTEGER NOT NULL, -- 1: the account's newest state lists it
    last_resort BLOB,
    last_number INTEGER NOT NULL DEFAULT 0 -- of its inbox items
) STRICT;
CREATE INDEX device_of_account ON device (account, device_id);

CREATE TABLE hold (
    account              INTEGER NOT NULL REFERENCES account, -- who holds the identifier
    identity_fingerprint BLOB NOT NULL, -- who wants it
    since_ms             INTEGER NOT NULL,
    PRIMARY KEY (account, identity_fingerprint)
) STRICT, WITHOUT ROWID;

CREATE TABLE otp (
    challenge_id         BLOB PRIMARY KEY,
    identifier_hash      BLOB NOT NULL, -- HMAC, pepper outside the database
    sealed_identifier    BLOB NOT NULL, -- key outside the database
    identity_fingerprint BLOB NOT NULL,
    code_mac             BLOB NOT NULL, -- HMAC, pepper outside the database
    invite               BLOB,
    tries                INTEGER NOT NULL,
    expires_ms           INTEGER NOT NULL,
    UNIQUE (identifier_hash, identity_fingerprint)
) STRICT, WITHOUT ROWID;

CREATE TABLE otp_send (
    id              INTEGER PRIMARY KEY,
    identifier_hash BLOB NOT NULL,
    at_ms           INTEGER NOT NULL
) STRICT;
CREATE INDEX otp_send_of_identifier ON otp_send (identifier_hash, at_ms);

CREATE TABLE invite (
    token_hash BLOB PRIMARY KEY,
    uses       INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE key_package (
    id      INTEGER PRIMARY KEY,
    device  INTEGER NOT NULL REFERENCES device,
    hash    BLOB NOT NULL, -- stays after the claim, so that a package never comes back
    package BLOB, -- NULL: claimed
    day     INTEGER NOT NULL,
    UNIQUE (device, hash)
) STRICT;
CREATE INDEX key_package_waiting ON key_package (device, id) WHERE package IS NOT NULL;
CREATE INDEX key_package_day ON key_package (day);

CREATE TABLE inbox (
    id       INTEGER PRIMARY KEY,
    device   INTEGER NOT NULL REFERENCES device,
    number   INTEGER NOT NULL,
    stranger INTEGER NOT NULL,
    hash     BLOB NOT NULL,
    item     BLOB NOT NULL,
    day      INTEGER NOT NULL,
    UNIQUE (device, number),
    UNIQUE (device, hash)
) STRICT;
CREATE INDEX inbox_day ON inbox (day);

CREATE TABLE log (
    id             INTEGER PRIMARY KEY,
    log_id         BLOB NOT NULL UNIQUE,
    create_hash    BLOB NOT NULL,
    retention_days INTEGER NOT NULL,
    redate         INTEGER NOT NULL DEFAULT 0, -- 1: waiting entries expire on other days now
    epoch          INTEGER NOT NULL,
    seq            INTEGER NOT NULL,
    hash           BLOB NOT NULL
) STRICT;
CREATE INDEX log_redate ON log (id) WHERE redate = 1;

CREATE TABLE epoch (
    log        INTEGER NOT NULL REFERENCES log,
    epoch      INTEGER NOT NULL,
    access_key BLOB NOT NULL,
    begin_seq  INTEGER NOT NULL,
    end_seq    INTEGER, -- NULL: current
    end_hash   BLOB,
    end_day    INTEGER,
    PRIMARY KEY (log, epoch)
) STRICT, WITHOUT ROWID;
CREATE INDEX epoch_end ON epoch (end_day) WHERE end_day IS NOT NULL;

-- A rowid table with an index: WITHOUT ROWID writes four times as much.
CREATE TABLE entry (
    id           INTEGER PRIMARY KEY,
    log          INTEGER NOT NULL REFERENCES log,
    seq          INTEGER NOT NULL,
    epoch        INTEGER NOT NULL,
    kind         INTEGER NOT NULL,
    day          INTEGER NOT NULL,
    payload      BLOB NOT NULL, -- empty when expired
    expired_hash BLOB, -- SHA-256 of the payload that was
    expires_day  INTEGER, -- NULL: expired
    UNIQUE (log, seq)
) STRICT;
CREATE INDEX entry_expires ON entry (expires_day) WHERE expires_day IS NOT NULL;

CREATE TABLE blob (
    id      INTEGER PRIMARY KEY,
    blob_id BLOB NOT NULL UNIQUE,
    bytes   BLOB NOT NULL,
    day     INTEGER NOT NULL
) STRICT;
CREATE INDEX blob_day ON blob (day);
