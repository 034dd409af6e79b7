//! The driver's side of the network: one connection per role, handles, and what may have moved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use conclave_proto::hello::Role;
use conclave_proto::id::{Epoch, LogId};
use tokio::sync::mpsc;

use crate::intent::Claimed;
use crate::transport::{Connection, Push, Transport, TransportError};

/// Signals kept for one round.
const SIGNALS_MAX: usize = 64;
/// How long a chat that failed alone is left alone, in ms.
const ASIDE_MS: u64 = 30_000;

/// The driver's connections and what it knows about them. Nothing here survives a restart or needs to.
/// The maps are sorted, so that a run repeats.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about one round"
)]
pub(crate) struct Net {
    transport: Arc<dyn Transport>,
    pub(crate) connections: BTreeMap<Role, Arc<dyn Connection>>,
    pub(crate) pushes: BTreeMap<Role, mpsc::Receiver<Push>>,
    /// Today's member pass.
    pub(crate) pass: Option<Vec<u8>>,
    /// Open handles on the logs connection.
    pub(crate) handles: BTreeMap<LogId, (Epoch, u32)>,
    /// Handles that a create or bundle opened for an epoch this device has not read up to yet.
    pub(crate) next_handles: BTreeMap<LogId, (Epoch, u32)>,
    /// Handles that are of no use any more and still open on the server.
    pub(crate) unused_handles: Vec<u32>,
    /// Logs that may have moved.
    pub(crate) moved: BTreeSet<LogId>,
    /// Logs whose next commit must wait, until when (ms since 1970-01-01 UTC).
    pub(crate) commit_after_ms: BTreeMap<LogId, u64>,
    /// Seq of the own newest state as the server said it.
    pub(crate) own_seq: u64,
    /// Whether the server should be asked about this device again.
    pub(crate) status_due: bool,
    /// Key packages claimed for commits that did not win yet.
    pub(crate) claimed: Claimed,
    /// Whether the inbox may have something.
    pub(crate) inbox_moved: bool,
    /// Whether everything must be read once.
    pub(crate) all_moved: bool,
    /// Earliest time at which something is due, ms since 1970-01-01 UTC.
    pub(crate) due_ms: Option<u64>,
    /// Whether this round changed anything.
    pub(crate) progress: bool,
    pub(crate) answered: u64,
    /// Logs whose next text waits for a look at its reader's identifier in the round to come.
    pub(crate) look_first: BTreeSet<LogId>,
    /// Signals that came since the last round.
    pub(crate) signals: Vec<(LogId, Vec<u8>)>,
    /// Whether the last round failed because two hellos showed different passes.
    pub(crate) pass_doubted: bool,
}

impl Net {
    pub(crate) fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            connections: BTreeMap::new(),
            pushes: BTreeMap::new(),
            pass: None,
            handles: BTreeMap::new(),
            next_handles: BTreeMap::new(),
            unused_handles: Vec::new(),
            moved: BTreeSet::new(),
            commit_after_ms: BTreeMap::new(),
            own_seq: 0,
            status_due: false,
            claimed: Claimed::new(),
            inbox_moved: true,
            all_moved: true,
            due_ms: None,
            progress: false,
            answered: 0,
            look_first: BTreeSet::new(),
            signals: Vec::new(),
            pass_doubted: false,
        }
    }

    /// The connection of `role`; opened when there is none. Whether it is new.
    pub(crate) async fn connection(
        &mut self,
        role: Role,
    ) -> Result<(Arc<dyn Connection>, bool), TransportError> {
        if let Some(open) = self.connections.get(&role) {
            if !open.is_closed() {
                return Ok((open.clone(), false));
            }
            self.forget(role);
        }
        let opened = self.transport.connect(role).await?;
        // C-041: an open connection must show the pass that the account connection gave.
        if self
            .pass
            .as_ref()
            .is_some_and(|pass| role != Role::Account && !opened.hello().shows_pass(pass))
        {
            return Err(TransportError::PassDiffers);
        }
        if let Some(pushes) = opened.pushes() {
            self.pushes.insert(role, pushes);
        }
        self.connections.insert(role, opened.clone());
        Ok((opened, true))
    }

    /// The member pass; there once the account connection was tended.
    pub(crate) fn pass(&self) -> Result<&[u8], TransportError> {
        self.pass.as_deref().ok_or(TransportError::Closed)
    }

    /// Forgets a connection and everything that hung on it.
    pub(crate) fn forget(&mut self, role: Role) {
        if let Some(connection) = self.connections.remove(&role) {
            connection.close();
        }
        self.pushes.remove(&role);
        match role {
            Role::Logs => {
                self.handles.clear();
                self.next_handles.clear();
                self.unused_handles.clear();
                self.all_moved = true;
            }
            Role::Account => self.inbox_moved = true,
            _ => {}
        }
    }

    pub(crate) fn forget_all(&mut self) {
        self.pass = None;
        for role in [
            Role::Account,
            Role::Directory,
            Role::Post,
            Role::Logs,
            Role::Blobs,
        ] {
            self.forget(role);
        }
    }

    pub(crate) fn forget_closed(&mut self) {
        let closed: Vec<Role> = self
            .connections
            .iter()
            .filter(|(_, c)| c.is_closed())
            .map(|(role, _)| *role)
            .collect();
        for role in closed {
            self.forget(role);
        }
    }

    /// A chat failed alone: it is tried again in a while, without its handle.
    pub(crate) fn set_aside(&mut self, log_id: Option<LogId>, now_ms: u64) {
        if let Some(log_id) = log_id {
            self.drop_handles(log_id);
        }
        self.due_at(now_ms.saturating_add(ASIDE_MS));
    }

    /// The handles of a log are of no use any more; the next sync closes them.
    pub(crate) fn drop_handles(&mut self, log_id: LogId) {
        let gone = [
            self.handles.remove(&log_id),
            self.next_handles.remove(&log_id),
        ];
        let open = gone.into_iter().flatten().map(|(_, handle)| handle);
        self.unused_handles
            .extend(open.filter(|handle| *handle != 0));
    }

    /// Notes that something is due at `ms`.
    pub(crate) fn due_at(&mut self, ms: u64) {
        self.due_ms = Some(self.due_ms.map_or(ms, |due| due.min(ms)));
    }

    pub(crate) fn take_push(&mut self, push: Option<Push>, role: Role) {
        match push {
            Some(Push::Inbox) => {
                self.inbox_moved = true;
                self.status_due = true;
            }
            Some(Push::Log(push)) => {
                let log = self
                    .handles
                    .iter()
                    .find(|(_, (_, handle))| *handle == push.handle);
                if let Some(log_id) = log.map(|(log_id, _)| *log_id) {
                    self.moved.insert(log_id);
                }
            }
            Some(Push::Signal(push)) => {
                let log = self
                    .handles
                    .iter()
                    .find(|(_, (_, handle))| *handle == push.handle);
                // C-083: more than anybody can look at is dropped.
                if let Some((log_id, _)) = log
                    && self.signals.len() < SIGNALS_MAX
                {
                    self.signals.push((*log_id, push.payload));
                }
            }
            Some(Push::Lost) => {
                self.all_moved = true;
                self.inbox_moved = true;
            }
            None => self.forget(role),
        }
    }
}
