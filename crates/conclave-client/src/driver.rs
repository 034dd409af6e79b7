//! The network loop: connects, asks, and hands bytes to the engine.
//!
//! One round: 1. tend the account connection (pass, key packages, capability), 2. read the inbox,
//! 3. join what was accepted, 4. open chats that have something to say and no conversation yet,
//! 5. sync every log that moved, 6. send what is queued, 7. post invitations that are due.
//! A round ends at the first lost connection; the next one starts over from what is on disk.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use conclave_proto::ErrorCode;
use conclave_proto::env::SharedEnv;
use conclave_proto::hello::Role;
use conclave_proto::id::{ChatId, Epoch, LogId};
use conclave_proto::identifier::Identifier;
use parking::{Guard, Locked};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::contact::Question;
use crate::engine::Engine;
use crate::error::ClientError;
use crate::transport::{Backoff, Connection, Push, Transport, TransportError};
use crate::{contact, device, invite, outbox, request, sync};

/// Rounds that make progress without a pause before the driver lets others run.
const ROUNDS_IN_A_ROW: u32 = 1000;

/// What front ends and the driver share.
pub(crate) struct Shared {
    engine: Locked,
    pub(crate) env: SharedEnv,
    /// Something was queued: start a round.
    pub(crate) wake: Notify,
    /// How often somebody asked to be told when everything is settled.
    asked: AtomicU64,
    questions: std::sync::Mutex<VecDeque<Question>>,
    standing: watch::Sender<Standing>,
}

/// How the driver stands after its last round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    /// The value of `asked` when the round began.
    answered: u64,
    /// Nothing waits for the server.
    settled: bool,
    /// Why there is no connection.
    trouble: Option<TransportError>,
    /// Whether a round ever ended well in this process.
    ever_online: bool,
    /// Server clock minus ours, in ms.
    pub(crate) skew_ms: Option<i64>,
}

/// The engine behind a lock that is held for one step at a time, never across an await.
mod parking {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use crate::engine::Engine;

    pub(super) struct Locked(Mutex<Engine>);
    pub(crate) type Guard<'a> = MutexGuard<'a, Engine>;

    impl Locked {
        pub(super) fn new(engine: Engine) -> Self {
            Self(Mutex::new(engine))
        }

        /// A panic in a step rolled its transaction back; the engine behind it is whole.
        pub(super) fn lock(&self) -> Guard<'_> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

impl Shared {
    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            env: engine.env.clone(),
            engine: Locked::new(engine),
            wake: Notify::new(),
            asked: AtomicU64::new(0),
            questions: std::sync::Mutex::default(),
            standing: watch::Sender::new(Standing::default()),
        }
    }

    /// The engine, for one step.
    pub(crate) fn engine(&self) -> Guard<'_> {
        self.engine.lock()
    }

    /// Asks the driver which chat an identifier leads to.
    pub(crate) async fn ask(&self, identifier: Identifier) -> Result<ChatId, ClientError> {
        let (answer, answered) = oneshot::channel();
        self.questions().push_back(Question { identifier, answer });
        self.wake.notify_one();
        answered
            .await
            .map_err(|_| ClientError::Unreachable("not connected".into()))?
    }

    /// The next identifier somebody waits for.
    pub(crate) fn next_question(&self) -> Option<Question> {
        self.questions().pop_front()
    }

    /// A question that could not be answered waits again, before all others.
    pub(crate) fn put_back(&self, question: Question) {
        self.questions().push_front(question);
    }

    fn questions(&self) -> std::sync::MutexGuard<'_, VecDeque<Question>> {
        self.questions
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How the driver stands now.
    pub(crate) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Waits until a round that began after this call found nothing left to do.
    pub(crate) async fn settle(&self, timeout: Duration) -> Result<(), ClientError> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut standing = self.standing.subscribe();
        self.wake.notify_one();
        let done = standing.wait_for(|now| now.is_answer_to(asked));
        match tokio::time::timeout(timeout, done).await {
            Ok(Ok(now)) => now.result(),
            Ok(Err(_)) => Err(ClientError::Broken("the network driver stopped".into())),
            Err(_) => {
                let now = self.standing();
                match now.trouble {
                    Some(trouble) if !now.ever_online => Err(trouble.into()),
                    _ => Err(ClientError::TimedOut),
                }
            }
        }
    }
}

impl Standing {
    pub(crate) fn is_online(&self) -> bool {
        self.ever_online && self.trouble.is_none()
    }

    /// A settled round answers; so does trouble that waiting does not mend, or that was there from the start.
    fn is_answer_to(&self, asked: u64) -> bool {
        self.answered >= asked
            && match &self.trouble {
                None => self.settled,
                Some(trouble) => !self.ever_online || is_final(trouble),
            }
    }

    fn result(&self) -> Result<(), ClientError> {
        self.trouble
            .clone()
            .map_or(Ok(()), |trouble| Err(trouble.into()))
    }
}

/// Whether trying again without anybody doing something cannot help.
fn is_final(error: &TransportError) -> bool {
    match error {
        TransportError::WrongServer(_)
        | TransportError::Incompatible
        | TransportError::PassDiffers => true,
        TransportError::Refused(refusal) => refusal.code() == ErrorCode::Unauthorized,
        _ => false,
    }
}

/// The driver's connections and what it knows about them. Nothing here survives a restart or needs to.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about one round"
)]
pub(crate) struct Net {
    transport: Arc<dyn Transport>,
    connections: HashMap<Role, Arc<dyn Connection>>,
    pushes: HashMap<Role, mpsc::Receiver<Push>>,
    /// Today's member pass.
    pub(crate) pass: Option<Vec<u8>>,
    /// Open handles on the logs connection.
    pub(crate) handles: HashMap<LogId, (Epoch, u32)>,
    /// Handles that a create or bundle opened for an epoch this device has not read up to yet.
    pub(crate) next_handles: HashMap<LogId, (Epoch, u32)>,
    /// Logs that may have moved.
    pub(crate) moved: HashSet<LogId>,
    /// Logs whose next commit must wait, until when (ms since 1970-01-01 UTC).
    pub(crate) commit_after_ms: HashMap<LogId, u64>,
    /// Whether the inbox may have something.
    pub(crate) inbox_moved: bool,
    /// Whether everything must be read once.
    pub(crate) all_moved: bool,
    /// Earliest time at which something is due, ms since 1970-01-01 UTC.
    pub(crate) due_ms: Option<u64>,
    /// Whether this round changed anything.
    pub(crate) progress: bool,
    answered: u64,
    /// Whether the last round failed because two hellos showed different passes.
    pass_doubted: bool,
}

impl Net {
    fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            connections: HashMap::new(),
            pushes: HashMap::new(),
            pass: None,
            handles: HashMap::new(),
            next_handles: HashMap::new(),
            moved: HashSet::new(),
            commit_after_ms: HashMap::new(),
            inbox_moved: true,
            all_moved: true,
            due_ms: None,
            progress: false,
            answered: 0,
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
                self.all_moved = true;
            }
            Role::Account => self.inbox_moved = true,
            _ => {}
        }
    }

    fn forget_all(&mut self) {
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

    fn forget_closed(&mut self) {
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

    /// Notes that something is due at `ms`.
    pub(crate) fn due_at(&mut self, ms: u64) {
        self.due_ms = Some(self.due_ms.map_or(ms, |due| due.min(ms)));
    }

    fn take_push(&mut self, push: Option<Push>, role: Role) {
        match push {
            Some(Push::Inbox) => self.inbox_moved = true,
            Some(Push::Log(push)) => {
                let log = self
                    .handles
                    .iter()
                    .find(|(_, (_, handle))| *handle == push.handle);
                if let Some(log_id) = log.map(|(log_id, _)| *log_id) {
                    self.moved.insert(log_id);
                }
            }
            Some(Push::Signal(_)) => {}
            Some(Push::Lost) => {
                self.all_moved = true;
                self.inbox_moved = true;
            }
            None => self.forget(role),
        }
    }
}

/// Runs until the task is dropped. Dropping it anywhere is safe: it holds no transaction across an await.
pub(crate) async fn run(shared: Arc<Shared>, transport: Arc<dyn Transport>) {
    let mut net = Net::new(transport);
    let mut backoff = Backoff::new(shared.env.clone());
    let mut in_a_row = 0;
    loop {
        let asked = shared.asked.load(Ordering::SeqCst);
        if asked != net.answered {
            net.all_moved = true;
            net.inbox_moved = true;
            net.answered = asked;
        }
        match round(&shared, &mut net).await {
            Ok(()) if net.progress && in_a_row < ROUNDS_IN_A_ROW => in_a_row += 1,
            Ok(()) => {
                in_a_row = 0;
                net.pass_doubted = false;
                backoff.reset();
                publish(&shared, &net, asked, None);
                idle(&shared, &mut net).await;
            }
            // The day may have turned between two hellos: once is no lie.
            Err(error)
                if is_about_pass(&error) && !std::mem::replace(&mut net.pass_doubted, true) =>
            {
                net.forget_all();
            }
            Err(error) => {
                in_a_row = 0;
                let wait = pause(&error, &mut backoff);
                net.forget_closed();
                for question in std::iter::from_fn(|| shared.next_question()) {
                    let _ = question.answer.send(Err(error.clone().into()));
                }
                publish(&shared, &net, asked, Some(error));
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = shared.wake.notified() => {}
                }
            }
        }
    }
}

/// Whether the member pass in hand is the trouble: another day's, or a lie (C-041).
fn is_about_pass(error: &TransportError) -> bool {
    match error {
        TransportError::PassDiffers => true,
        TransportError::Refused(refusal) => refusal.code() == ErrorCode::PassInvalid,
        _ => false,
    }
}

/// How long to wait after `error`: what the server asked for, else the back-off.
fn pause(error: &TransportError, backoff: &mut Backoff) -> Duration {
    match error {
        TransportError::Refused(refusal) if refusal.retry_after_ms > 0 => {
            Duration::from_millis(refusal.retry_after_ms)
        }
        _ => Duration::from_millis(backoff.next_ms()),
    }
}

async fn round(shared: &Shared, net: &mut Net) -> Result<(), TransportError> {
    net.progress = false;
    net.due_ms = None;
    device::tend(shared, net).await?;
    contact::answer_questions(shared, net).await?;
    request::read_inbox(shared, net).await?;
    request::join_accepted(shared, net).await?;
    contact::recheck(shared, net).await?;
    invite::open_chats(shared, net).await?;
    // C-060: everything is read to its head before anything is sealed.
    sync::sync_moved(shared, net).await?;
    outbox::flush(shared, net).await?;
    invite::post_due(shared, net).await
}

fn publish(shared: &Shared, net: &Net, asked: u64, trouble: Option<TransportError>) {
    let waiting = {
        let mut engine = shared.engine();
        let waiting = engine
            .store
            .read(|tx| -> Result<u64, crate::store::StoreError> {
                Ok(tx.outbox_waiting()?
                    + tx.posts_waiting()?
                    + tx.bundles_waiting()?
                    + tx.receipts_waiting()?)
            });
        if matches!(waiting, Ok(0)) {
            // A log that cannot be truncated now is truncated later; its content is encrypted either way.
            let _ = engine.store.truncate_log();
        }
        waiting.unwrap_or(u64::MAX)
    };
    let skew_ms = net
        .connections
        .get(&Role::Account)
        .map(|c| c.hello().skew_ms);
    shared.standing.send_modify(|standing| {
        standing.answered = asked;
        standing.settled = waiting == 0 && trouble.is_none();
        standing.ever_online |= trouble.is_none();
        standing.skew_ms = skew_ms.or(standing.skew_ms);
        standing.trouble = trouble;
    });
}

/// Waits for something to do: a command, a push, a due time, a lost connection.
async fn idle(shared: &Shared, net: &mut Net) {
    let now_ms = shared.env.now_ms();
    let due = net.due_ms.map_or(Duration::from_hours(1), |due| {
        Duration::from_millis(due.saturating_sub(now_ms))
    });
    let mut account = net.pushes.remove(&Role::Account);
    let mut logs = net.pushes.remove(&Role::Logs);
    let woken = tokio::select! {
        () = shared.wake.notified() => None,
        () = tokio::time::sleep(due) => None,
        push = next(account.as_mut()) => Some((push, Role::Account)),
        push = next(logs.as_mut()) => Some((push, Role::Logs)),
    };
    for (role, pushes) in [(Role::Account, account), (Role::Logs, logs)] {
        if let Some(pushes) = pushes {
            net.pushes.insert(role, pushes);
        }
    }
    if let Some((push, role)) = woken {
        net.take_push(push, role);
    }
    for role in [Role::Account, Role::Logs] {
        while let Some(push) = net
            .pushes
            .get_mut(&role)
            .and_then(|pushes| pushes.try_recv().ok())
        {
            net.take_push(Some(push), role);
        }
    }
}

async fn next(pushes: Option<&mut mpsc::Receiver<Push>>) -> Option<Push> {
    match pushes {
        Some(pushes) => pushes.recv().await,
        None => std::future::pending().await,
    }
}

/// What a step's failure means for the round: disk trouble ends it, everything else is a bug to be told.
pub(crate) fn broken(shared: &Shared, error: &ClientError) -> TransportError {
    let mut engine = shared.engine();
    let text = error.to_string();
    engine.warnings.insert(text.clone());
    let _ = engine.events.send(crate::event::Event::Warning(text));
    TransportError::TimedOut
}
