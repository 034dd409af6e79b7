-- Version 2: codes wait on disk until they are handed to whoever brings them. Never edited.

ALTER TABLE otp ADD COLUMN send_id BLOB; -- the code waits to be sent under this id; NULL: it does not
ALTER TABLE otp ADD COLUMN handed_over INTEGER NOT NULL DEFAULT 0; -- 1: it may have left already
CREATE INDEX otp_waiting ON otp (send_id) WHERE send_id IS NOT NULL;
