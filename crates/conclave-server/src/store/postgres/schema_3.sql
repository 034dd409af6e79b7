-- Version 3. Never edited: a change is a new version.

ALTER TABLE meta ADD COLUMN community bytea; -- MAC of whose keys the rows belong to; NULL: nobody's yet
