//! The engine: sole owner of a profile's state. One step is one transaction; events go out after its commit.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use conclave_core::conversation::{Conversation, Outside};
use conclave_core::credential::KnownAccount;
use conclave_proto::env::{Env, SharedEnv};
use conclave_proto::id::{ChatId, LogId, MessageId, ServerId};
use tokio::sync::{Notify, broadcast, watch};

use crate::attachment;
use crate::error::ClientError;
use crate::event::Event;
use crate::journal;
use crate::once;
use crate::store::{Deleted, MessageRow, OwnAccount, Store, StoreError, Tx};
use crate::talk;
use crate::view::{Message, MessageState, Person, Touched};

/// Events that a slow listener may fall behind before it loses some.
const EVENTS_MAX: usize = 4096;
/// The same of steps that touched something.
const TOUCHED_MAX: usize = 1024;

/// All state of one profile.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) store: Store,
    pub(crate) env: SharedEnv,
    /// The registered account; `None` before.
    pub(crate) own: Option<Own>,
    /// Sentences that people should read; kept while this process lives.
    pub(crate) warnings: BTreeSet<String>,
    pub(crate) events: broadcast::Sender<Event>,
    /// What each step touched of what front ends show.
    pub(crate) touched: broadcast::Sender<Arc<BTreeSet<Touched>>>,
    /// Where files of messages lie sealed.
    pub(crate) files: PathBuf,
    /// Told when files are not wanted any more.
    pub(crate) files_gone: Arc<Notify>,
    /// Changes whenever something was written to the journal.
    pub(crate) journal: watch::Sender<()>,
}

/// The registered account, as steps need it.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) account: OwnAccount,
    /// The own newest state, verified: what leaf checks of own leaves use.
    pub(crate) known: KnownAccount,
}

/// One transaction under way. What it says happened is told only after its commit.
pub(crate) struct Step<'a> {
    pub(crate) tx: &'a Tx<'a>,
    pub(crate) own: &'a Own,
    pub(crate) env: &'a dyn Env,
    pub(crate) now_ms: u64,
    pub(crate) events: Vec<Event>,
    /// The message that it made or changed, when a call asked for that.
    pub(crate) made: Option<MessageId>,
    /// Whether it wrote to the journal.
    pub(crate) is_told: Cell<bool>,
}

impl From<StoreError> for ClientError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.0)
    }
}

impl Engine {
    /// The engine over an open store.
    pub(crate) fn new(store: Store, env: SharedEnv) -> Result<Self, ClientError> {
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let mut engine = Self {
            store,
            env,
            own: None,
            warnings: BTreeSet::new(),
            events,
            touched: broadcast::Sender::new(TOUCHED_MAX),
            files: PathBuf::new(),
            files_gone: Arc::default(),
            journal: watch::Sender::new(()),
        };
        engine.load_own()?;
        Ok(engine)
    }

    /// Loads the registered account after it changed on disk.
    pub(crate) fn load_own(&mut self) -> Result<(), ClientError> {
        let account = self.store.read(|tx| tx.own_account())?;
        self.own = account.map(Own::new).transpose()?;
        Ok(())
    }

    /// The registered account.
    pub(crate) fn own(&self) -> Result<&Own, ClientError> {
        self.own.as_ref().ok_or(ClientError::NotRegistered)
    }

    /// Runs one step: everything in `work` commits together or not at all (C-050), and with it the events that tell
    /// of it and the key of the call that wants it.
    pub(crate) fn step<T>(
        &mut self,
        work: impl FnOnce(&mut Step<'_>) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let value = self.step_aside(|step| {
            let value = work(step)?;
            once::write(step)?;
            Ok(value)
        })?;
        once::committed();
        Ok(value)
    }

    /// A step that no call wants: what has to be done anyway.
    pub(crate) fn step_aside<T>(
        &mut self,
        work: impl FnOnce(&mut Step<'_>) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let own = self.own.as_ref().ok_or(ClientError::NotRegistered)?;
        let env = self.env.as_ref();
        let ((value, is_told), events, (gone, touched)) = self.store.write(|tx| {
            let mut step = Step {
                tx,
                own,
                env,
                now_ms: env.now_ms(),
                events: Vec::new(),
                made: None,
                is_told: Cell::new(false),
            };
            // C-177: nothing whose time is over is there for any step
            tx.delete_expired(step.now_ms)?;
            let value = work(&mut step)?;
            tx.start_clocks(step.now_ms)?;
            for event in &step.events {
                journal::write(&step, event)?;
            }
            let gone = (tx.take_gone_files()?, tx.take_touched()?);
            let value = (value, step.is_told.get());
            Ok::<_, ClientError>((value, step.events, gone))
        })?;
        if !gone.is_empty() {
            // C-196: the row is gone, so is the file; one that a death leaves behind goes at the next start
            attachment::remove_files(&self.files, &gone);
            self.files_gone.notify_waiters();
        }
        if is_told {
            self.journal.send_replace(());
        }
        for event in events {
            if let Event::Warning(text) = &event {
                self.warnings.insert(text.clone());
            }
            // Nobody listening is fine: everything stands in the store.
            let _ = self.events.send(event);
        }
        if !touched.is_empty() {
            // The same.
            let _ = self.touched.send(Arc::new(touched));
        }
        Ok(value)
    }

    /// Looks at the store; changes nothing.
    pub(crate) fn look<T>(
        &mut self,
        work: impl FnOnce(&Tx<'_>, &Own) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        self.expire()?;
        let own = self.own.as_ref().ok_or(ClientError::NotRegistered)?;
        self.store.read(|tx| work(tx, own))
    }

    /// C-177: what is over is gone before anybody looks.
    fn expire(&mut self) -> Result<(), ClientError> {
        let next_ms = self.store.read(|tx| tx.next_expiry())?;
        if next_ms.is_some_and(|next_ms| next_ms <= self.env.now_ms()) && self.own.is_some() {
            self.step_aside(|_| Ok(()))?;
        }
        Ok(())
    }
}

impl Own {
    fn new(account: OwnAccount) -> Result<Self, ClientError> {
        let server_id = account.device.server_id;
        let known = KnownAccount::new(server_id, account.state.clone(), account.certs.clone())
            .map_err(|error| ClientError::Store(format!("the own account is damaged: {error}")))?;
        Ok(Self { account, known })
    }

    /// The server this account lives on.
    pub(crate) fn server_id(&self) -> ServerId {
        self.account.device.server_id
    }

    /// This account as the author of messages.
    pub(crate) fn person(&self) -> Person {
        Person {
            account_id: self.account.device.account_id,
            identifier: self.account.identifier.clone(),
            name: self.account.name.clone(),
        }
    }
}

impl<'a> Step<'a> {
    /// What MLS calls need of the outside, inside this transaction.
    pub(crate) fn outside(&self) -> Outside<'a> {
        Outside {
            rows: self.tx,
            own: &self.own.account.device,
            env: self.env,
        }
    }

    /// The MLS group of a log.
    pub(crate) fn group(&self, log_id: LogId) -> Result<Conversation, ClientError> {
        Conversation::load(self.tx, log_id)?
            .ok_or_else(|| ClientError::Store("the keys of a conversation are missing".into()))
    }

    /// Tells people something, after the commit.
    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        self.events.push(Event::Warning(text.into()));
    }

    /// Tells that an own message moved on.
    pub(crate) fn moved(&mut self, chat: ChatId, id: MessageId, state: MessageState) {
        self.events.push(Event::StateChanged { chat, id, state });
    }
}

/// A message row as front ends see it.
pub(crate) fn show(tx: &Tx<'_>, own: &Own, row: &MessageRow) -> Result<Message, ClientError> {
    let from = if row.own {
        own.person()
    } else {
        person(tx, row.sender)?
    };
    let text = match (row.raw.is_empty(), row.reason.is_empty() || row.own) {
        _ if row.deleted != Deleted::No => String::new(),
        (false, _) => "this message needs a newer version of conclave".to_owned(),
        (true, false) => format!("this message cannot be shown: {}", row.reason),
        (true, true) => row.body.clone(),
    };
    let message = Message {
        id: row.message_id,
        chat: row.chat_id,
        from,
        own: row.own,
        text,
        state: row.state,
        reason: row.reason.clone(),
        seq: row.seq,
        ts_ms: row.sent_ms,
        is_read: row.is_read,
        reply: None,
        mentions: Vec::new(),
        reactions: Vec::new(),
        edited_ms: None,
        deleted_by: None,
        forwarded: false,
        expires_s: row.expires_s,
        expires_ms: row.expires_ms,
        attachments: Vec::new(),
        contact: None,
        pinned: false,
    };
    talk::surround(tx, own, row, message)
}

/// Somebody as front ends see them.
pub(crate) fn person(
    tx: &Tx<'_>,
    account: conclave_proto::id::AccountId,
) -> Result<Person, ClientError> {
    let contact = tx.contact(account)?;
    Ok(Person {
        account_id: account,
        identifier: contact
            .as_ref()
            .map(|row| row.identifier.clone())
            .unwrap_or_default(),
        name: contact
            .as_ref()
            .map(|row| row.name().to_owned())
            .unwrap_or_default(),
    })
}

#[cfg(test)]
pub(crate) mod crash;
#[cfg(test)]
mod tests;
