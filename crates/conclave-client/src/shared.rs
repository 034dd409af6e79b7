//! What front ends and the driver share: the engine behind its lock, questions, and how the driver stands.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use conclave_proto::env::SharedEnv;
use conclave_proto::id::ChatId;
use conclave_proto::identifier::Identifier;
use conclave_proto::limits::CLOCK_SKEW_CONTACT_MS;
use conclave_proto::{ErrorCode, Refusal};
use parking::{Guard, Locked};
use tokio::sync::{Notify, oneshot, watch};

use crate::engine::Engine;
use crate::error::ClientError;
use crate::event::Event;
use crate::once::Running;
use crate::talk::typing::Typing;
use crate::transport::TransportError;

/// How long a question waits for a server that says to come again; who asks mostly gives up before.
const ANSWER_MAX: Duration = Duration::from_mins(10);

/// What front ends and the driver share.
pub(crate) struct Shared {
    engine: Locked,
    pub(crate) env: SharedEnv,
    /// Something was queued: start a round.
    pub(crate) wake: Notify,
    /// How often somebody asked to be told when everything is settled.
    pub(crate) asked: AtomicU64,
    questions: std::sync::Mutex<VecDeque<Question>>,
    pub(crate) standing: watch::Sender<Standing>,
    /// A webhook was made, or something is to be tried again.
    pub(crate) webhooks: Notify,
    /// Calls with a key that are worked on.
    pub(crate) calls: Running,
    /// An archive waits to be carried.
    pub(crate) archives: Notify,
    /// A file of a message waits to go up.
    pub(crate) uploads: Notify,
    /// One waits to come down.
    pub(crate) downloads: Notify,
    /// Chats in which the person types.
    typing: std::sync::Mutex<Typing>,
    /// Held by whatever makes this profile an account's: a code and a link may both be under way.
    pub(crate) becoming: tokio::sync::Mutex<()>,
    /// Whether somebody wants the profile locked.
    pub(crate) lock: watch::Sender<bool>,
    /// Today's member pass, as the driver has it.
    pass: watch::Sender<Option<Vec<u8>>>,
}

/// How the driver stands after its last round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    /// The value of `asked` when the round began.
    pub(crate) answered: u64,
    /// Nothing waits for the server.
    pub(crate) settled: bool,
    /// Why there is no connection.
    pub(crate) trouble: Option<TransportError>,
    /// Whether a round ever ended well in this process.
    pub(crate) ever_online: bool,
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
            webhooks: Notify::new(),
            calls: Running::default(),
            archives: Notify::new(),
            uploads: Notify::new(),
            downloads: Notify::new(),
            typing: std::sync::Mutex::default(),
            becoming: tokio::sync::Mutex::default(),
            lock: watch::Sender::new(false),
            pass: watch::Sender::new(None),
        }
    }

    /// The engine, for one step.
    pub(crate) fn engine(&self) -> Guard<'_> {
        self.engine.lock()
    }

    /// Something was decided that logs may have waited for: the next round reads all of them.
    pub(crate) fn read_again(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.wake.notify_one();
    }

    /// Asks the driver which chat an identifier leads to. A busy server is asked again for as long as the caller waits.
    pub(crate) async fn ask(&self, identifier: Identifier) -> Result<ChatId, ClientError> {
        let (answer, answered) = oneshot::channel();
        self.questions().push_back(Question { identifier, answer });
        self.wake.notify_one();
        match tokio::time::timeout(ANSWER_MAX, answered).await {
            Ok(answered) => {
                answered.map_err(|_| ClientError::Unreachable("not connected".into()))?
            }
            Err(_) => Err(self.late()),
        }
    }

    /// Where the person types.
    pub(crate) fn typing(&self) -> std::sync::MutexGuard<'_, Typing> {
        self.typing
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The next identifier somebody waits for.
    pub(crate) fn next_question(&self) -> Option<Question> {
        self.questions().pop_front()
    }

    /// Nobody waits for these answers any more.
    pub(crate) fn forget_abandoned(&self) {
        self.questions()
            .retain(|question| !question.answer.is_closed());
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

    /// The driver has this pass from now on.
    pub(crate) fn publish_pass(&self, pass: Option<&Vec<u8>>) {
        self.pass.send_replace(pass.cloned());
    }

    /// Today's pass, once the driver has one.
    pub(crate) async fn pass(&self) -> Vec<u8> {
        let mut pass = self.pass.subscribe();
        let known = pass.wait_for(Option::is_some).await;
        // the sender lives in `self`
        known.ok().and_then(|pass| pass.clone()).unwrap_or_default()
    }

    /// Somebody found that `pass` is not today's: the driver fetches it again.
    pub(crate) fn doubt_pass(&self, pass: &[u8]) {
        let is_news = self.pass.send_if_modified(|known| {
            let is_known = known.as_deref() == Some(pass);
            if is_known {
                *known = None;
            }
            is_known
        });
        if is_news {
            self.wake.notify_one();
        }
    }

    /// Whether somebody doubts the pass that the driver has.
    pub(crate) fn is_pass_doubted(&self) -> bool {
        self.pass.borrow().is_none()
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
            Err(_) => Err(self.late()),
        }
    }

    /// Why a wait that is over came to nothing, as far as the driver knows.
    pub(crate) fn late(&self) -> ClientError {
        let now = self.standing();
        match now.trouble {
            Some(trouble) if !now.ever_online || is_passing(&trouble) => trouble.into(),
            _ => ClientError::TimedOut,
        }
    }
}

impl Standing {
    pub(crate) fn is_online(&self) -> bool {
        self.ever_online && self.trouble.is_none()
    }

    /// A settled round answers; so does trouble that waiting does not mend, or that was there from the start unless
    /// the server itself says that it passes.
    fn is_answer_to(&self, asked: u64) -> bool {
        self.answered >= asked
            && match &self.trouble {
                None => self.settled,
                Some(trouble) => is_final(trouble) || (!self.ever_online && !is_passing(trouble)),
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
        | TransportError::PassDiffers
        | TransportError::Store(_) => true,
        TransportError::Refused(refusal) => refusal.code() == ErrorCode::Unauthorized,
        _ => false,
    }
}

/// Whether the server answers, and what keeps it from more is its own and passes: its database fails over, or it is
/// about to restart. Whoever waits goes on waiting.
pub(crate) fn is_passing(error: &TransportError) -> bool {
    use ErrorCode::{Busy, Internal, ShuttingDown};
    matches!(error, TransportError::Refused(refusal)
        if matches!(refusal.code(), Busy | Internal | ShuttingDown))
}

/// Somebody waits to know which chat an identifier leads to.
pub(crate) struct Question {
    pub(crate) identifier: Identifier,
    pub(crate) answer: oneshot::Sender<Result<ChatId, ClientError>>,
}

/// Warns people, once in the life of this process.
pub(crate) fn tell(shared: &Shared, text: &str) {
    let mut engine = shared.engine();
    if engine.warnings.insert(text.to_owned()) {
        // Nobody listening is fine: `status` shows it.
        let _ = engine.events.send(Event::Warning(text.to_owned()));
    }
}

/// Whether clocks differ so much that the day in a first contact would be wrong on one side; told.
pub(crate) fn is_clock_wrong(shared: &Shared, skew_ms: i64) -> bool {
    let is_wrong = skew_ms.unsigned_abs() > CLOCK_SKEW_CONTACT_MS;
    if is_wrong {
        tell(
            shared,
            "this clock and the server's differ by more than a day: first contacts wait until both are right; \
             set the clock of this machine",
        );
    }
    is_wrong
}

/// What a step's failure means for the round: disk trouble ends it, everything else is about one chat.
pub(crate) fn broken(shared: &Shared, error: &ClientError) -> TransportError {
    let text = error.to_string();
    tell(shared, &text);
    match error {
        ClientError::Store(text) => TransportError::Store(text.clone()),
        _ => TransportError::Refused(Box::new(Refusal::new(ErrorCode::Unspecified, text))),
    }
}

/// Whether an error is about one chat alone, so that the round goes on with the others.
pub(crate) fn is_local(error: &TransportError) -> bool {
    matches!(error, TransportError::Refused(refusal) if is_local_refusal(refusal))
}

/// The same of a refusal.
pub(crate) fn is_local_refusal(refusal: &Refusal) -> bool {
    let code = refusal.code();
    !code.is_temporary() && !matches!(code, ErrorCode::PassInvalid | ErrorCode::Unauthorized)
}
