-- Version 1. Never edited: a change is a new version.
--
-- Two families that share no column: accounts (account … inbox) and logs (log … blob). Beside logs,
-- blobs and inbox items stand days only, never a time of day; `race` alone knows moments, of the last
-- minutes, and is neither written ahead nor replicated nor backed up.
--
-- No foreign keys and no row numbers of the database's own beside the classic queues: each table is
-- found by ids that clients chose, so that it can be spread over machines by them.

CREATE TABLE meta (
    one         bool PRIMARY KEY CHECK (one),
    schema      int4 NOT NULL,
    mark        int8 NOT NULL, -- grows with each server that starts and each new day
    mark_day    int4 NOT NULL,
    incarnation int8 NOT NULL
);
INSERT INTO meta VALUES (true, 1, 0, 0, 1);

CREATE TABLE account (
    account_id      bytea PRIMARY KEY,
    identifier      text UNIQUE, -- NULL: it moved to somebody else
    capability_hash bytea NOT NULL
);

CREATE TABLE account_state (
    account_id bytea NOT NULL,
    seq        int8 NOT NULL,
    hash       bytea NOT NULL,
    state      bytea NOT NULL,
    PRIMARY KEY (account_id, seq)
);

CREATE TABLE device (
    device_id    bytea PRIMARY KEY, -- never reused, so unlisted ones stay
    account_id   bytea NOT NULL,
    leaf_key     bytea NOT NULL,
    cert         bytea NOT NULL,
    listed       bool NOT NULL, -- the account's newest state lists it
    last_resort  bytea,
    last_number  int8 NOT NULL DEFAULT 0, -- of its inbox items
    last_package int8 NOT NULL DEFAULT 0 -- of its one-time key packages
);
CREATE INDEX device_of_account ON device (account_id, device_id);

CREATE TABLE hold (
    account_id           bytea NOT NULL, -- who holds the identifier
    identity_fingerprint bytea NOT NULL, -- who wants it
    since_ms             int8 NOT NULL,
    PRIMARY KEY (account_id, identity_fingerprint)
);

CREATE TABLE otp (
    challenge_id         bytea PRIMARY KEY,
    identifier_hash      bytea NOT NULL, -- HMAC, pepper outside the database
    sealed_identifier    bytea NOT NULL, -- key outside the database
    identity_fingerprint bytea NOT NULL,
    code_mac             bytea NOT NULL, -- HMAC, pepper outside the database
    invite               bytea,
    tries                int4 NOT NULL,
    expires_ms           int8 NOT NULL,
    send_id              bytea, -- the code waits to be sent under this id; NULL: it does not
    handed_over          bool NOT NULL DEFAULT false, -- it may have left already
    UNIQUE (identifier_hash, identity_fingerprint)
);
CREATE INDEX otp_waiting ON otp (send_id) WHERE send_id IS NOT NULL;
CREATE INDEX otp_end ON otp (expires_ms);

CREATE TABLE otp_send (
    id              int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    identifier_hash bytea NOT NULL,
    at_ms           int8 NOT NULL
);
CREATE INDEX otp_send_of_identifier ON otp_send (identifier_hash, id);
CREATE INDEX otp_send_at ON otp_send (at_ms);

CREATE TABLE invite (
    token_hash bytea PRIMARY KEY,
    uses       int8 NOT NULL,
    expires_ms int8 NOT NULL
);

CREATE TABLE key_package (
    device_id bytea NOT NULL,
    place     int8 NOT NULL, -- oldest first
    hash      bytea NOT NULL, -- stays after the claim, so that a package never comes back
    package   bytea, -- NULL: claimed
    day       int4 NOT NULL,
    PRIMARY KEY (device_id, place),
    UNIQUE (device_id, hash)
);
CREATE INDEX key_package_waiting ON key_package (device_id, place) WHERE package IS NOT NULL;
CREATE INDEX key_package_day ON key_package (day);

CREATE TABLE inbox (
    device_id bytea NOT NULL,
    number    int8 NOT NULL,
    stranger  bool NOT NULL,
    hash      bytea NOT NULL,
    item      bytea NOT NULL,
    day       int4 NOT NULL,
    PRIMARY KEY (device_id, number),
    UNIQUE (device_id, hash)
);
CREATE INDEX inbox_day ON inbox (day);
ALTER TABLE inbox ALTER item SET STORAGE EXTERNAL;

CREATE TABLE log (
    log_id         bytea PRIMARY KEY,
    create_hash    bytea NOT NULL,
    retention_days int4 NOT NULL,
    redate         bool NOT NULL DEFAULT false, -- waiting entries expire on other days now
    epoch          int8 NOT NULL,
    seq            int8 NOT NULL,
    hash           bytea NOT NULL
) PARTITION BY HASH (log_id);
CREATE INDEX log_redate ON log (log_id) WHERE redate;

CREATE TABLE epoch (
    log_id     bytea NOT NULL,
    epoch      int8 NOT NULL,
    access_key bytea NOT NULL,
    begin_seq  int8 NOT NULL,
    end_seq    int8, -- NULL: current
    end_hash   bytea,
    end_day    int4,
    PRIMARY KEY (log_id, epoch)
) PARTITION BY HASH (log_id);
CREATE INDEX epoch_end ON epoch (end_day) WHERE end_day IS NOT NULL;

CREATE TABLE entry (
    log_id       bytea NOT NULL,
    seq          int8 NOT NULL,
    epoch        int8 NOT NULL,
    kind         int4 NOT NULL,
    day          int4 NOT NULL,
    payload      bytea NOT NULL, -- empty when expired
    expired_hash bytea, -- SHA-256 of the payload that was
    expires_day  int4, -- NULL: expired
    PRIMARY KEY (log_id, seq)
) PARTITION BY HASH (log_id);
CREATE INDEX entry_expires ON entry (expires_day) WHERE expires_day IS NOT NULL;
-- ciphertext does not shrink
ALTER TABLE entry ALTER payload SET STORAGE EXTERNAL;

-- Heads move with every entry: half-empty pages keep a moved head on its page.
DO $$ BEGIN
    FOR i IN 0..15 LOOP
        EXECUTE format('CREATE TABLE log_%s PARTITION OF log
            FOR VALUES WITH (MODULUS 16, REMAINDER %s) WITH (fillfactor = 50)', i, i);
        EXECUTE format('CREATE TABLE epoch_%s PARTITION OF epoch
            FOR VALUES WITH (MODULUS 16, REMAINDER %s)', i, i);
        EXECUTE format('CREATE TABLE entry_%s PARTITION OF entry
            FOR VALUES WITH (MODULUS 16, REMAINDER %s)', i, i);
    END LOOP;
END $$;

-- What a log remembers of its newest commit and of lost races (C-028), for about two minutes.
CREATE UNLOGGED TABLE race (
    log_id     bytea PRIMARY KEY,
    spacing_ms int8 NOT NULL,
    commit_ms  int8 NOT NULL,
    counted    bool NOT NULL
);

CREATE TABLE blob (
    blob_id bytea PRIMARY KEY,
    bytes   bytea NOT NULL,
    day     int4 NOT NULL
);
CREATE INDEX blob_day ON blob (day);
ALTER TABLE blob ALTER bytes SET STORAGE EXTERNAL;

CREATE TABLE classic_account (
    phone      text PRIMARY KEY,
    suite      text NOT NULL,
    public_key text NOT NULL -- SPKI PEM, as it was registered
);

-- What waits for one recipient; `id` is the order. Deleted when it is acknowledged.
CREATE TABLE classic_message (
    id         int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recipient  text NOT NULL,
    message_id text NOT NULL,
    message    text NOT NULL -- JSON, as it came
);
CREATE INDEX classic_queue ON classic_message (recipient, id);

-- Every message that was accepted, so that none is accepted twice.
CREATE TABLE classic_seen (
    message_id text PRIMARY KEY,
    day        int4 NOT NULL
);
CREATE INDEX classic_seen_day ON classic_seen (day);

-- What the sender of a message has not been told yet. Deleted when it is acknowledged.
CREATE TABLE classic_receipt (
    id           int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sender       text NOT NULL,
    message_id   text NOT NULL,
    recipient    text NOT NULL,
    delivered_at int8 NOT NULL -- Unix seconds
);
CREATE INDEX classic_told ON classic_receipt (sender, id);
