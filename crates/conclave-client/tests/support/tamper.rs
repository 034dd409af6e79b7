//! A transport around the real one that loses, changes or invents what passes through it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use conclave_client::transport::{
    BoxFuture, Connection, Push, ServerFacts, Transport, TransportError,
};
use conclave_proto::frame::{reply, request};
use conclave_proto::hello::{ConnectionContext, Role};
use conclave_proto::id::LogId;
use conclave_proto::label;
use conclave_proto::log::{LogPage, WireHead};
use conclave_server::keys::ServerKeys;
use tokio::sync::{Notify, mpsc};

use super::World;

/// What happens to one call.
pub(crate) enum Fate {
    /// It passes.
    Pass,
    /// The process stands still before the request leaves.
    DieBefore,
    /// The process stands still after the server acted, before the reply is heard.
    DieAfter,
    /// The server gives this answer instead, having done nothing.
    Answer(reply::Body),
    /// The server's answer is changed on the way.
    Change(Box<dyn FnOnce(&mut reply::Body) + Send>),
    /// The server lies about a log: the page is changed, then its head is signed by the server's own key.
    Lie(Box<dyn FnOnce(&mut LogPage) + Send>),
}

type Plan = dyn Fn(Role, &request::Body) -> Fate + Send + Sync;
type Hello = dyn Fn(Role, &mut ServerFacts) + Send + Sync;

/// The real way to the server, with somebody on it.
pub(crate) struct Tamper {
    inner: Arc<dyn Transport>,
    keys: ServerKeys,
    plan: Box<Plan>,
    hello: Box<Hello>,
    /// Told when a [`Fate::DieBefore`] or [`Fate::DieAfter`] was met.
    pub(crate) dead: Notify,
    handles: Mutex<HashMap<u32, LogId>>,
    calls: Mutex<Vec<request::Body>>,
    /// Whether pushes of the server are withheld.
    pub(crate) is_deaf: AtomicBool,
    pushers: Mutex<Vec<(Role, mpsc::WeakSender<Push>)>>,
}

impl fmt::Debug for Tamper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tamper")
    }
}

impl Tamper {
    /// Everything passes by the word of `plan`.
    pub(crate) fn new(
        world: &World,
        plan: impl Fn(Role, &request::Body) -> Fate + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::with_hello(world, plan, |_, _| {})
    }

    /// The process dies at its `step`-th call, counted from 0: before the server acts, or `after` it; all else passes.
    pub(crate) fn dying(world: &World, step: usize, after: bool) -> Arc<Self> {
        let met = AtomicUsize::new(0);
        Self::new(world, move |_, _| {
            match (met.fetch_add(1, Ordering::SeqCst) == step, after) {
                (false, _) => Fate::Pass,
                (true, false) => Fate::DieBefore,
                (true, true) => Fate::DieAfter,
            }
        })
    }

    /// The same, and `hello` changes what the server says about itself.
    pub(crate) fn with_hello(
        world: &World,
        plan: impl Fn(Role, &request::Body) -> Fate + Send + Sync + 'static,
        hello: impl Fn(Role, &mut ServerFacts) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            inner: world.transport(),
            keys: ServerKeys::open(world.folder.path(), world.clock.as_ref()).unwrap(),
            plan: Box::new(plan),
            hello: Box::new(hello),
            dead: Notify::new(),
            handles: Mutex::default(),
            calls: Mutex::default(),
            is_deaf: AtomicBool::new(false),
            pushers: Mutex::default(),
        })
    }

    /// Sends a push that the server never sent, on every open connection of a role.
    pub(crate) async fn push(&self, role: Role, push: &Push) {
        let pushers = self.pushers.lock().unwrap().clone();
        for (_, pusher) in pushers.iter().filter(|(of, _)| *of == role) {
            if let Some(pusher) = pusher.upgrade() {
                // A connection that is gone hears nothing.
                let _ = pusher.send(push.clone()).await;
            }
        }
    }

    /// What was asked so far, in order.
    pub(crate) fn calls(&self) -> Vec<request::Body> {
        self.calls.lock().unwrap().clone()
    }

    /// The logs that were appended to.
    pub(crate) fn appended_to(&self) -> Vec<LogId> {
        let handles = self.handles.lock().unwrap();
        let log = |call: &request::Body| match call {
            request::Body::AppendEntry(append) => handles.get(&append.handle).copied(),
            _ => None,
        };
        self.calls.lock().unwrap().iter().filter_map(log).collect()
    }

    fn lie(&self, request: &request::Body, page: &mut LogPage) {
        let request::Body::ReadLog(read) = request else {
            panic!("only pages of logs are lied about");
        };
        let log_id = self.handles.lock().unwrap()[&read.handle];
        if let Some(head) = page.head.as_ref().and_then(WireHead::parse) {
            page.head_signature = self.keys.sign_head(log_id, &head);
        }
    }

    fn note_handles(&self, request: &request::Body, reply: &reply::Body) {
        let mut handles = self.handles.lock().unwrap();
        match (request, reply) {
            (request::Body::OpenLogs(asked), reply::Body::OpenedLogs(opened)) => {
                for (asked, opened) in asked.logs.iter().zip(&opened.logs) {
                    handles.insert(opened.handle, LogId::parse(&asked.log_id).unwrap());
                }
            }
            (request::Body::CreateLog(create), reply::Body::Opened(opened)) => {
                handles.insert(opened.handle, LogId::parse(&create.log_id).unwrap());
            }
            (request::Body::PutBundle(bundle), reply::Body::Opened(opened)) => {
                let log_id = handles[&bundle.handle];
                handles.insert(opened.handle, log_id);
            }
            _ => {}
        }
    }
}

/// The way to the server, whose connections ask the [`Tamper`] at every step.
#[derive(Debug)]
pub(crate) struct Road(pub(crate) Arc<Tamper>);

impl Transport for Road {
    fn connect(&self, role: Role) -> BoxFuture<'_, Result<Arc<dyn Connection>, TransportError>> {
        Box::pin(async move {
            let inner = self.0.inner.connect(role).await?;
            let mut facts = *inner.hello();
            (self.0.hello)(role, &mut facts);
            let (tamper, inner) = (self.0.clone(), inner);
            let connection: Arc<dyn Connection> = Arc::new(Tampered {
                tamper,
                role,
                facts,
                inner,
            });
            Ok(connection)
        })
    }
}

#[derive(Debug)]
struct Tampered {
    tamper: Arc<Tamper>,
    role: Role,
    facts: ServerFacts,
    inner: Arc<dyn Connection>,
}

impl Tampered {
    async fn stand_still(&self) -> ! {
        self.tamper.dead.notify_one();
        std::future::pending().await
    }

    async fn pass(&self, body: request::Body) -> Result<reply::Body, TransportError> {
        let asked = body.clone();
        self.tamper.calls.lock().unwrap().push(body.clone());
        let fate = (self.tamper.plan)(self.role, &body);
        match fate {
            Fate::DieBefore => self.stand_still().await,
            Fate::Answer(reply::Body::Refused(refusal)) => {
                return Err(TransportError::Refused(Box::new(refusal)));
            }
            Fate::Answer(reply) => return Ok(reply),
            _ => {}
        }
        let mut reply = self.inner.call(body).await?;
        self.tamper.note_handles(&asked, &reply);
        match (fate, &mut reply) {
            (Fate::DieAfter, _) => self.stand_still().await,
            (Fate::Change(change), reply) => change(reply),
            (Fate::Lie(lie), reply::Body::LogPage(page)) => {
                lie(page);
                self.tamper.lie(&asked, page);
            }
            _ => {}
        }
        Ok(reply)
    }
}

impl Connection for Tampered {
    fn context(&self) -> &ConnectionContext {
        self.inner.context()
    }
    fn hello(&self) -> &ServerFacts {
        &self.facts
    }
    fn server_key(&self) -> [u8; 32] {
        self.inner.server_key()
    }
    fn call(&self, body: request::Body) -> BoxFuture<'_, Result<reply::Body, TransportError>> {
        Box::pin(self.pass(body))
    }
    fn pushes(&self) -> Option<mpsc::Receiver<Push>> {
        let mut inner = self.inner.pushes()?;
        let (sender, pushes) = mpsc::channel(256);
        let tamper = self.tamper.clone();
        let mut pushers = tamper.pushers.lock().unwrap();
        pushers.push((self.role, sender.downgrade()));
        drop(pushers);
        tokio::spawn(async move {
            while let Some(push) = inner.recv().await {
                let is_deaf = tamper.is_deaf.load(Ordering::SeqCst);
                if !is_deaf && sender.send(push).await.is_err() {
                    return;
                }
            }
        });
        Some(pushes)
    }
    fn closed(&self) -> Option<TransportError> {
        self.inner.closed()
    }
    fn close(&self) {
        self.inner.close();
    }
}

/// The server has dropped what stands up to `last` in every log.
pub(crate) fn forgetful(world: &World, last: u64) -> Arc<Tamper> {
    Tamper::new(world, move |_, call| match call {
        request::Body::ReadLog(_) => Fate::Change(Box::new(move |reply| {
            let reply::Body::LogPage(page) = reply else {
                return;
            };
            for entry in &mut page.entries {
                if entry.seq <= last && !entry.is_expired() {
                    entry.expired_hash = label::sha256(&entry.payload).to_vec();
                    entry.payload.clear();
                }
            }
        })),
        _ => Fate::Pass,
    })
}
