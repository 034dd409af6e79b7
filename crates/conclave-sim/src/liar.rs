//! The way to the server, which lies to some devices now and then, and keeps some of those that their accounts took out
//! in the dark, so that they go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use conclave_client::transport::{
    BoxFuture, Connection, MemoryTransport, Push, ServerFacts, Transport, TransportError,
};
use conclave_hostile::server::LyingServer;
use conclave_proto::frame::{reply, request};
use conclave_proto::hello::{ConnectionContext, Role};
use tokio::sync::mpsc;

use crate::chance::Chance;
use crate::locked;
use crate::wire::Wire;

/// Of a hundred devices so many are lied to, and so many of a hundred answers to them are lies.
const LIED_TO_PERCENT: (u64, u64) = (40, 5);

/// How one device reaches the server.
#[derive(Debug)]
pub(crate) struct Way {
    honest: MemoryTransport,
    liar: Arc<Liar>,
}

/// What stands between one device and the truth.
#[derive(Debug)]
struct Liar {
    wire: Arc<Wire>,
    percent: u64,
    is_dark: AtomicBool,
    inner: Mutex<(Chance, LyingServer)>,
}

impl Way {
    pub(crate) fn new(honest: MemoryTransport, wire: Arc<Wire>, mut chance: Chance) -> Arc<Self> {
        let (devices, answers) = LIED_TO_PERCENT;
        let percent = if chance.percent(devices) { answers } else { 0 };
        let liar = Arc::new(Liar {
            wire,
            percent,
            is_dark: AtomicBool::new(false),
            inner: Mutex::new((chance, LyingServer::default())),
        });
        Arc::new(Self { honest, liar })
    }

    /// Cuts every open connection.
    pub(crate) fn cut(&self) {
        self.liar.wire.note("is cut off");
        self.honest.cut();
    }

    /// Whether the device hears no more from now on what becomes of its account.
    pub(crate) fn set_dark(&self, is_dark: bool) {
        self.liar.is_dark.store(is_dark, Ordering::Relaxed);
    }
}

impl Transport for Way {
    fn connect(&self, role: Role) -> BoxFuture<'_, Result<Arc<dyn Connection>, TransportError>> {
        Box::pin(async move {
            let (honest, liar) = (self.honest.connect(role).await?, self.liar.clone());
            let connection: Arc<dyn Connection> = Arc::new(Crooked { role, honest, liar });
            Ok(connection)
        })
    }
}

/// A connection whose answers the liar sees first.
#[derive(Debug)]
struct Crooked {
    role: Role,
    honest: Arc<dyn Connection>,
    liar: Arc<Liar>,
}

impl Crooked {
    async fn ask(&self, asked: request::Body) -> Result<reply::Body, TransportError> {
        let liar = &self.liar;
        if liar.is_dark.load(Ordering::Relaxed) {
            match locked(&liar.inner).1.hush(&asked) {
                Some(answer) => return Ok(answer),
                None if self.role == Role::Account => return Err(TransportError::TimedOut),
                None => {}
            }
        }
        let mut answer = self.honest.call(asked.clone()).await?;
        let (chance, server) = &mut *locked(&liar.inner);
        server.remember(&asked, &answer);
        let is_lie = chance.percent(liar.percent) && liar.wire.is_rough();
        if is_lie && server.lie(&asked, &mut answer, chance.below(u64::MAX)) {
            liar.wire.note("is lied to");
        }
        Ok(answer)
    }
}

impl Connection for Crooked {
    fn context(&self) -> &ConnectionContext {
        self.honest.context()
    }
    fn hello(&self) -> &ServerFacts {
        self.honest.hello()
    }
    fn server_key(&self) -> [u8; 32] {
        self.honest.server_key()
    }
    fn call(&self, body: request::Body) -> BoxFuture<'_, Result<reply::Body, TransportError>> {
        Box::pin(self.ask(body))
    }
    fn pushes(&self) -> Option<mpsc::Receiver<Push>> {
        self.honest.pushes()
    }
    fn closed(&self) -> Option<TransportError> {
        self.honest.closed()
    }
    fn close(&self) {
        self.honest.close();
    }
}
