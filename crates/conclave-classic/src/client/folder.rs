//! A classic account on disk: its key under a passphrase, pins of others' keys, what was received.
//!
//! Everything is synced before the server is told that it is kept. Messages stay as they came, encrypted to
//! the account's key.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ClientError;
use crate::keys::{PrivateKey, PublicKey};
use crate::message::Message;
use crate::pem;
use crate::suite::Suite;
use crate::wire::{Delivery, Receipt};

const LOCK: &str = "lock";
const ACCOUNT: &str = "account.json";
const KEY: &str = "key.pem";
const PINS: &str = "known.json";
const OUTBOX: &str = "outbox.json";
const INBOX: &str = "inbox.jsonl";
const RECEIPTS: &str = "receipts.jsonl";

/// Who this account is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountFile {
    /// E.164.
    pub phone: String,
    /// Its suite.
    pub suite: Suite,
    /// `HOST:PORT`.
    pub server: String,
    /// The server's key, SPKI PEM, as it was known beforehand.
    pub server_key: String,
}

/// A key that was seen for a phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pin {
    suite: Suite,
    public_key: String,
}

/// A message on its way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outgoing {
    /// What is sent.
    pub(super) message: Message,
    /// The same text sealed to ourselves, for when the server finds the message too old.
    pub(super) copy: Message,
}

/// The folder of one account.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: Option<File>,
}

impl Folder {
    /// A folder, there or not yet.
    pub const fn new(path: PathBuf) -> Self {
        Self { path, lock: None }
    }

    /// Keeps other processes out while this value lives; makes the folder when it is missing.
    pub fn lock(&mut self) -> Result<(), ClientError> {
        let path = self.path.join(LOCK);
        let open = || {
            make(&self.path)?;
            options()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
        };
        let file = open().map_err(|source| self.failed(LOCK, source))?;
        match file.try_lock() {
            Ok(()) => {
                self.lock = Some(file);
                Ok(())
            }
            Err(fs::TryLockError::WouldBlock) => Err(ClientError::InUse(self.path.clone())),
            Err(fs::TryLockError::Error(source)) => Err(self.failed(LOCK, source)),
        }
    }

    /// The account in it.
    pub fn account(&self) -> Result<AccountFile, ClientError> {
        self.read_json(ACCOUNT)?
            .ok_or_else(|| ClientError::NoAccount(self.path.clone()))
    }

    /// Whether there is an account.
    pub fn has_account(&self) -> bool {
        self.path.join(ACCOUNT).exists()
    }

    /// Keeps a fresh key; it is used once the account is there too.
    pub fn keep_key(&self, key: &PrivateKey, passphrase: &str) -> Result<(), ClientError> {
        self.write(KEY, pem::encrypt(key, passphrase)?.as_bytes())
    }

    /// The account's key.
    pub fn key(&self, suite: Suite, passphrase: &str) -> Result<PrivateKey, ClientError> {
        let text = self.read_text(KEY)?;
        let text = text.ok_or_else(|| ClientError::NoAccount(self.path.clone()))?;
        Ok(pem::decrypt(suite, &text, passphrase)?)
    }

    /// Keeps who this account is.
    pub fn keep_account(&self, account: &AccountFile) -> Result<(), ClientError> {
        self.write_json(ACCOUNT, account)
    }

    /// The key that was seen for `phone`.
    pub(super) fn pin(&self, phone: &str) -> Result<Option<PublicKey>, ClientError> {
        let pins: BTreeMap<String, Pin> = self.read_json(PINS)?.unwrap_or_default();
        match pins.get(phone) {
            Some(pin) => Ok(Some(PublicKey::from_pem(pin.suite, &pin.public_key)?)),
            None => Ok(None),
        }
    }

    /// Pins a key.
    pub(super) fn keep_pin(&self, phone: &str, key: &PublicKey) -> Result<(), ClientError> {
        let mut pins: BTreeMap<String, Pin> = self.read_json(PINS)?.unwrap_or_default();
        let pin = Pin {
            suite: key.suite(),
            public_key: key.to_pem(),
        };
        pins.insert(phone.to_owned(), pin);
        self.write_json(PINS, &pins)
    }

    /// The message whose sending is not known to have ended.
    pub(super) fn outbox(&self) -> Result<Option<Outgoing>, ClientError> {
        Ok(self.read_json::<Option<Outgoing>>(OUTBOX)?.flatten())
    }

    /// Keeps a message before it is sent; `None` when it was accepted.
    pub(super) fn keep_outbox(&self, outgoing: Option<&Outgoing>) -> Result<(), ClientError> {
        self.write_json(OUTBOX, &outgoing)
    }

    /// Keeps what came; gives what was not there before.
    pub(super) fn keep_messages(
        &self,
        messages: Vec<Delivery>,
    ) -> Result<Vec<Delivery>, ClientError> {
        self.keep_new(INBOX, messages, |delivery| delivery.message_id.clone())
    }

    /// Keeps receipts; gives what was not there before.
    pub(super) fn keep_receipts(&self, rows: Vec<Receipt>) -> Result<Vec<Receipt>, ClientError> {
        self.keep_new(RECEIPTS, rows, |receipt| receipt.message_id.clone())
    }

    /// Everything that came, in the order it came.
    pub(super) fn messages(&self) -> Result<Vec<Delivery>, ClientError> {
        self.lines(INBOX)
    }

    fn keep_new<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        rows: Vec<T>,
        id: impl Fn(&T) -> String,
    ) -> Result<Vec<T>, ClientError> {
        let mut known: BTreeSet<String> = self.lines::<T>(name)?.iter().map(&id).collect();
        let fresh: Vec<T> = rows
            .into_iter()
            .filter(|row| known.insert(id(row)))
            .collect();
        if fresh.is_empty() {
            return Ok(fresh);
        }
        // begins with a line feed: what a crash cut off stays on a line of its own
        let mut text = String::from("\n");
        for row in &fresh {
            let line = serde_json::to_string(row);
            text.push_str(&line.map_err(|_| ClientError::Damaged(self.path.join(name)))?);
            text.push('\n');
        }
        let path = self.path.join(name);
        let append = || {
            let mut file = options().append(true).create(true).open(&path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            sync_folder(&self.path)
        };
        append().map_err(|source| self.failed(name, source))?;
        Ok(fresh)
    }

    /// Whole lines; one that a crash cut off was never acknowledged, and comes again.
    fn lines<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>, ClientError> {
        let text = self.read_text(name)?.unwrap_or_default();
        let rows = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        Ok(rows.collect())
    }

    fn read_text(&self, name: &str) -> Result<Option<String>, ClientError> {
        match fs::read_to_string(self.path.join(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.failed(name, source)),
        }
    }

    fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ClientError> {
        let Some(text) = self.read_text(name)? else {
            return Ok(None);
        };
        let damaged = |_| ClientError::Damaged(self.path.join(name));
        serde_json::from_str(&text).map(Some).map_err(damaged)
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), ClientError> {
        let text = serde_json::to_string_pretty(value);
        let text = text.map_err(|_| ClientError::Damaged(self.path.join(name)))?;
        self.write(name, text.as_bytes())
    }

    /// Replaces a file in one step.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ClientError> {
        let (path, fresh) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let write = || {
            make(&self.path)?;
            let mut file = options()
                .write(true)
                .create(true)
                .truncate(true)
                .open(&fresh)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            sync_folder(&self.path)
        };
        write().map_err(|source| self.failed(name, source))
    }

    fn failed(&self, name: &str, source: io::Error) -> ClientError {
        ClientError::File {
            path: self.path.join(name),
            source,
        }
    }
}

fn make(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
