-- Version 2. Never edited: a change is a new version.

-- Where devices that are being linked meet, for ten minutes; like `race` neither written ahead nor replicated
-- nor backed up. No account and no log is named; every slot but the offer is sealed.
CREATE UNLOGGED TABLE mailbox (
    mailbox_id bytea NOT NULL,
    slot       int4 NOT NULL, -- 0: the offer, empty when the mailbox was closed
    bytes      bytea NOT NULL,
    until_ms   int8 NOT NULL,
    PRIMARY KEY (mailbox_id, slot)
);
CREATE INDEX mailbox_end ON mailbox (until_ms);
