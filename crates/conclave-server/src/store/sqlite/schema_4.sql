-- Version 4: an entry's place in its log is written with those of its neighbours. Never edited.
--
-- An index that each append changes costs a page for each log in a batch. So the rows of a log's newest
-- entries stand in the log's own row, which an append changes anyway, and go to `place` some at a time.

CREATE TABLE place (
    log   INTEGER NOT NULL,
    seq   INTEGER NOT NULL,
    entry INTEGER NOT NULL, -- its row id
    PRIMARY KEY (log, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO place SELECT log, seq, id FROM entry ORDER BY log, seq;

ALTER TABLE log ADD COLUMN newest BLOB NOT NULL DEFAULT x''; -- row ids of the last entries, which have no place yet

-- The table of entries again, without its index by log and seq.
CREATE TABLE entry_4 (
    id           INTEGER PRIMARY KEY,
    log          INTEGER NOT NULL REFERENCES log,
    seq          INTEGER NOT NULL,
    epoch        INTEGER NOT NULL,
    kind         INTEGER NOT NULL,
    day          INTEGER NOT NULL,
    payload      BLOB NOT NULL, -- empty when expired
    expired_hash BLOB, -- SHA-256 of the payload that was
    expires_day  INTEGER -- NULL: expired
) STRICT;
INSERT INTO entry_4 SELECT id, log, seq, epoch, kind, day, payload, expired_hash, expires_day FROM entry;
DROP TABLE entry;
ALTER TABLE entry_4 RENAME TO entry;
CREATE INDEX entry_expires ON entry (expires_day) WHERE expires_day IS NOT NULL;
