//! Every bound in Conclave, with its unit and its reason. Changed by decision record only.

/// Text of one message, in UTF-8 bytes: a long letter, and the padding buckets end above it.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Payload of one message entry, in bytes: the 256 KiB bucket and its MLS envelope.
pub const MESSAGE_ENTRY_BYTES_MAX: usize = 257 * 1024;
/// Payload of one commit entry, in bytes: a cold tree of 1,024 leaves costs 1.23 MB.
pub const COMMIT_ENTRY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// One blob that travels inside a create or bundle request, in bytes: a Welcome or a tree. A warm tree of 1,024
/// leaves has 2.7 MB.
pub const WELCOME_BLOB_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Blobs in one create or bundle request: one Welcome per added device and the tree.
pub const WELCOME_BLOBS_MAX: usize = 65;
/// One frame, length prefix not counted, in bytes.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The first frame of a connection, in bytes: nobody is known yet.
pub const HELLO_BYTES_MAX: usize = 1024;
/// One sealed inbox item, in bytes: every item is padded to exactly this.
pub const INBOX_ITEM_BYTES: usize = 16 * 1024;
/// Items that one inbox holds from senders without the account's capability.
pub const INBOX_STRANGER_ITEMS_MAX: u32 = 32;
/// Items that one inbox holds in all.
pub const INBOX_ITEMS_MAX: u32 = 1024;
/// Inbox items in one reply: 16 KiB each, so this stays far below a frame.
pub const INBOX_PAGE_ITEMS: u32 = 32;
/// Entries in one page of a log.
pub const READ_PAGE_ENTRIES: u32 = 100;
/// Payload bytes in one page of a log; the first entry always fits.
pub const READ_PAGE_BYTES: usize = 1024 * 1024;
/// Handles open at once on one logs connection.
pub const HANDLES_MAX: usize = 1024;
/// Logs opened by one request.
pub const OPEN_LOGS_MAX: usize = 100;
/// Devices of one account.
pub const DEVICES_MAX: usize = 10;
/// Leaves of one conversation: devices, not people. A cold commit and a warm tree of that many stay below a frame.
pub const LEAVES_MAX: usize = 1024;
/// Devices added by one commit: their welcomes and the tree are the blobs of one bundle.
pub const ADDS_MAX: usize = WELCOME_BLOBS_MAX - 1;
/// One-time key packages in a device's pool.
pub const KEY_PACKAGE_POOL: usize = 20;
/// One key package, in bytes: ours are 2.7 kB.
pub const KEY_PACKAGE_BYTES_MAX: usize = 16 * 1024;
/// One AccountState with its signature, in bytes: 2 kB key, 3.4 kB signature, 10 devices.
pub const ACCOUNT_STATE_BYTES_MAX: usize = 16 * 1024;
/// One device certificate with its signatures, in bytes.
pub const DEVICE_CERT_BYTES_MAX: usize = 16 * 1024;
/// Former identity keys that a state lists: leaves made under older ones are renewed long before.
pub const FORMER_KEYS_MAX: usize = 16;
/// Former leaf keys that a device's certificate lists: an intro has no room for many.
pub const FORMER_LEAF_KEYS_MAX: usize = 4;
/// How long one is listed, in ms: until invitations that it signed are over.
pub const FORMER_LEAF_KEY_MS: u64 = 30 * 86_400_000;
/// States walked from a pin to the newest; a longer chain is refused.
pub const STATE_CHAIN_MAX: usize = 256;
/// Text of a first message that rides in a request's intro, in bytes.
pub const INTRO_TEXT_BYTES_MAX: usize = 1024;
/// What a notice says to people, in bytes: one sentence, also in Thai.
pub const NOTICE_TEXT_BYTES_MAX: usize = 256;
/// A display name or the name of a group, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// People mentioned in one message: more is a call to everybody.
pub const MENTIONS_MAX: usize = 64;
/// A reaction, in UTF-8 bytes: the longest emoji sequences (families, flags) take 28.
pub const EMOJI_BYTES_MAX: usize = 32;
/// The longest disappearing timer, in seconds: a year.
pub const TIMER_S_MAX: u32 = 365 * 86_400;
/// What is looked for in messages at once, in bytes.
pub const SEARCH_BYTES_MAX: usize = 1_024;
/// Messages deleted for oneself that one item tells the other own devices: 42 KiB of names.
pub const DELETED_TOLD_MAX: usize = 1_000;
/// Files in one message.
pub const ATTACHMENTS_MAX: usize = 10;
/// Name of a file, in bytes: what file systems take.
pub const FILE_NAME_BYTES_MAX: usize = 255;
/// Media type of a file, in bytes (RFC 6838 §4.2: 127 for each part; real ones are far below).
pub const MEDIA_TYPE_BYTES_MAX: usize = 127;
/// An encoded pointer to a file, in bytes: above any version of it.
pub const POINTER_BYTES_MAX: usize = 512;
/// A preview that rides in the message, in bytes: ten of them fit the largest bucket.
pub const PREVIEW_BYTES_MAX: usize = 12 * 1024;
/// A profile picture, in bytes: a face at 256 pixels.
pub const PICTURE_BYTES_MAX: usize = 24 * 1024;
/// Edits kept of one message: the newest.
pub const EDITS_KEPT_MAX: usize = 32;
/// Of one person in one chat: changes that wait for the message they name.
pub const ACTS_WAITING_MAX: usize = 256;
/// A signal (typing, presence), sealed, in bytes.
pub const SIGNAL_BYTES_MAX: usize = 64;
/// A phone number or e-mail address, in bytes (RFC 5321 §4.5.3.1).
pub const IDENTIFIER_BYTES_MAX: usize = 254;
/// An invite token as people type it, in bytes.
pub const INVITE_BYTES_MAX: usize = 64;
/// An OTP code as people type it, in bytes.
pub const OTP_CODE_BYTES_MAX: usize = 32;

/// Padding buckets of the MLS ciphertext field, in bytes.
pub const PADDING_BUCKETS: [usize; 11] = [
    256,
    512,
    1 << 10,
    2 << 10,
    4 << 10,
    8 << 10,
    16 << 10,
    32 << 10,
    64 << 10,
    128 << 10,
    256 << 10,
];

/// How long a code is valid, in ms.
pub const OTP_VALID_MS: u64 = 10 * 60 * 1000;
/// Checks of one challenge before it dies.
pub const OTP_CHECKS_MAX: u32 = 5;
/// Codes sent to one identifier per hour.
pub const OTP_SENDS_PER_HOUR: u32 = 3;
/// Codes sent to one identifier per day.
pub const OTP_SENDS_PER_DAY: u32 = 5;
/// How long a taken identifier is held before it moves to a new account, in ms.
pub const HOLD_MS: u64 = 7 * 86_400_000;

/// Retention of message entries, in days, unless the log chose less.
pub const RETENTION_DAYS: u32 = 30;
/// What a log may choose, in days.
pub const RETENTION_DAYS_CHOICES: [u32; 3] = [1, 7, 30];
/// Retention of commit entries, in days.
pub const COMMIT_RETENTION_DAYS: u32 = 400;
/// Retention of welcome blobs and of inbox items, in days: an invitation not taken by then has failed.
pub const WELCOME_RETENTION_DAYS: u32 = 30;

/// After a lost race: how long until a log takes its next commit, in ms; doubles up to [`COMMIT_SPACING_MAX_MS`].
pub const COMMIT_SPACING_MS: u64 = 2_000;
/// Ceiling of the commit spacing, in ms.
pub const COMMIT_SPACING_MAX_MS: u64 = 60_000;
/// How long a log waits for the connection whose turn it is after a lost race, in ms.
pub const COMMIT_TURN_MS: u64 = 4_000;
/// Connections in line for one log's next commit.
pub const COMMIT_LINE_MAX: usize = 16;

/// Life of a key package, in ms: a signed date in its extension, checked by the adder only.
pub const KEY_PACKAGE_VALID_MS: u64 = 90 * 86_400_000;
/// How often the last-resort key package is replaced, in ms.
pub const LAST_RESORT_REPLACE_MS: u64 = 7 * 86_400_000;
/// How long a replaced last-resort package can still be joined with, in ms.
pub const LAST_RESORT_KEEP_MS: u64 = 30 * 86_400_000;
/// Self-update before the next own send after this time, in ms.
pub const SELF_UPDATE_MS: u64 = 7 * 86_400_000;
/// Self-update before the next own send after this many own messages.
pub const SELF_UPDATE_SENDS: u32 = 500;
/// At most one self-update because of an entry that cannot be decrypted in this time, in ms: a member can make many.
pub const HEAL_SPACING_MS: u64 = 3_600_000;
/// Commits made for one wish about a group's members before it fails: with each the wait before the next
/// doubles, so others must have changed the group for minutes.
pub const INTENT_TRIES_MAX: u32 = 20;

/// People of a group up to which receipts are sent: each of them costs every other one entry.
pub const RECEIPT_PEOPLE_MAX: usize = 32;

/// Requests of one stranger that wait at once, groups that they invite to included.
pub const GROUP_REQUESTS_MAX: usize = 8;

/// Owners and admins that a group's link names: enough that one of them is online.
pub const GROUP_LINK_PEOPLE_MAX: usize = 8;

/// Longest time after joining a group until the leaf is updated, in ms: random below it, so that those who came
/// together do not commit together.
pub const JOIN_UPDATE_MS: u64 = 3 * 86_400_000;

/// At most one receipt per conversation in this time, in ms.
pub const RECEIPT_SPACING_MS: u64 = 2_000;
/// Largest random delay before an invitation's pointer is posted, in ms.
pub const POINTER_DELAY_MAX_MS: u64 = 5_000;
/// At most one automatic successor per conversation in this time, in ms.
pub const SUCCESSOR_SPACING_MS: u64 = 3_600_000;
/// Clock skew against the server that people are told about, in ms.
pub const CLOCK_SKEW_TOLD_MS: u64 = 5 * 60 * 1000;
/// Clock skew against the server beyond which a client takes and makes no first contact, in ms: the day in
/// an intro would be wrong on one side (C-039).
pub const CLOCK_SKEW_CONTACT_MS: u64 = 86_400_000;
/// Longest that a client waits because a server says so, in ms (C-083).
pub const RETRY_AFTER_MAX_MS: u64 = 3_600_000;
/// Pages of one log or inbox that a client reads before everything else has its turn (C-083).
pub const PAGES_AT_ONCE: u32 = 64;

/// Life of a mailbox in which a new device meets its account, in ms: time to walk from one to the other.
pub const MAILBOX_VALID_MS: u64 = 10 * 60 * 1000;
/// First slot of a mailbox, in bytes: three public keys and a name.
pub const MAILBOX_OFFER_BYTES_MAX: usize = 4 * 1024;
/// Any other slot of a mailbox, in bytes: a state and ten certificates.
pub const MAILBOX_SLOT_BYTES_MAX: usize = 64 * 1024;
/// Mailboxes of one server: what they hold stays below 64 MiB.
pub const MAILBOXES_MAX: usize = 256;
/// How long a server lets somebody wait for a slot, in ms.
pub const MAILBOX_WAIT_MS: u64 = 5_000;

/// Idle ping from either side, in ms.
pub const PING_MS: u64 = 30_000;
/// Silence after which a connection is dead, in ms.
pub const IDLE_DEAD_MS: u64 = 90_000;
/// How long a connection may take for TLS and hello, in ms.
pub const HANDSHAKE_MS: u64 = 10_000;
/// TLS hellos that wait at once for their turn to be computed: a second or two of one processor, well below
/// [`HANDSHAKE_MS`]; further connections are closed and come back.
pub const HANDSHAKES_WAITING_MAX: usize = 4_096;
/// Bytes that must move in [`IDLE_DEAD_MS`] while a frame is under way, unless it ends: 2.9 kB/s.
pub const PROGRESS_BYTES: usize = 256 * 1024;
/// Payload of one WebSocket message, in bytes: nobody has to keep more than one TLS record for it.
pub const WEBSOCKET_MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// WebSocket control frames and empty messages without one byte of a frame between them.
pub const WEBSOCKET_CONTROLS_MAX: u32 = 32;

/// How long the server hands a one-time key package out, in days: well below its life, so that whoever gets it
/// has time to use it and its owner sends new ones.
pub const KEY_PACKAGE_OFFER_DAYS: u32 = 80;
/// How long the server keeps a key package, claimed (its hash) or not, in days: longer than it is valid.
pub const KEY_PACKAGE_KEEP_DAYS: u32 = 100;
/// How long a hold may wait after its seven days for the code that finishes it, in days.
pub const HOLD_KEEP_DAYS: u32 = 30;
/// Days that the server's clock may be ahead of the latest day seen before its operator is asked: longer
/// than a weekend switched off, shorter than the hold of a taken identifier.
pub const CLOCK_JUMP_DAYS_MAX: u32 = 5;
/// Writes that wait for the server's store; more are refused as busy, not queued.
pub const STORE_QUEUE_ITEMS: usize = 4_096;
/// Writes in one commit of the server's store: one sync for all of them.
pub const STORE_BATCH_ITEMS: usize = 1_024;
/// Payload bytes after which a commit of the server's store takes no more writes.
pub const STORE_BATCH_BYTES: usize = 1024 * 1024;
/// Read connections of the server's store.
pub const STORE_READERS: usize = 4;
/// Rows that one slice of the sweep touches: the writer is held for milliseconds, not seconds.
pub const SWEEP_ROWS: u32 = 500;
/// Payload bytes that one slice of the sweep hashes.
pub const SWEEP_BYTES: usize = 4 * 1024 * 1024;

/// Classic messages that wait for one recipient: what a phone that was off for months should find.
pub const CLASSIC_QUEUE_MAX: u64 = 10_000;
/// How long a classic message's id is remembered, days: who asks again after so long may send it twice.
pub const CLASSIC_SEEN_DAYS: u32 = 30;

/// One blob over HTTP, in bytes, unless the operator chose another limit.
pub const BLOB_BYTES_MAX: u64 = 100 * 1024 * 1024;
/// Retention of a blob over HTTP, in days, unless the operator chose another.
pub const BLOB_KEEP_DAYS: u32 = 30;
/// How long an upload may stay unfinished, in whole days after the one it began on.
pub const BLOB_UNFINISHED_DAYS: u32 = 1;
/// Uploads that are open at once on a server: each holds a file.
pub const BLOB_UPLOADS_MAX: usize = 512;
/// What a server reads, writes and compares of a blob at once, in bytes.
pub const BLOB_PIECE_BYTES: usize = 64 * 1024;
/// What a client uploads in one request, in bytes: so much is sent again after a cut, at most.
pub const BLOB_PART_BYTES: u64 = 1024 * 1024;
/// Bytes of a refused request's body that a server still takes, so that its answer can be read.
pub const BLOB_REFUSED_BYTES_MAX: u64 = BLOB_PART_BYTES;
