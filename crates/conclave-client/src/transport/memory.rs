//! The same frames within one process: for tests, which may play a lying server, and the simulator.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use conclave_proto::PROTOCOL_VERSION;
use conclave_proto::codec::encode_frame;
use conclave_proto::env::{Env, SharedEnv};
use conclave_proto::frame::{Done, Reply, Request, reply, request};
use conclave_proto::hello::{self, ClientHello, ConnectionContext, Role, ServerHello};
use conclave_proto::id::ServerId;
use conclave_proto::limits::{FRAME_BYTES_MAX, HANDSHAKE_MS, HELLO_BYTES_MAX};
use prost::Message;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Duration, timeout};

use super::connection::{self, Peer};
use super::frames::FrameReader;
use super::{BoxFuture, Connection, Transport, TransportError};

/// Bytes under way in each direction, as a socket's buffer would hold.
const PIPE_BYTES: usize = 64 * 1024;
/// The member pass that [`Handler::hello`] shows unless a handler says otherwise.
pub const MEMORY_PASS: [u8; 32] = [7; 32];

/// A server as a test plays it: it sees requests and may answer what it likes, when it likes.
pub trait Handler: Send + Sync + 'static {
    /// Its answer to a client's hello. The default is an honest one that shows [`MEMORY_PASS`].
    fn hello(&self, hello: &ClientHello, env: &dyn Env) -> ServerHello {
        let _ = hello;
        honest_hello(env)
    }

    /// One request (never a ping: those are answered). `guest` answers, now or later.
    fn request(&self, guest: &Guest, request: Request);
}

impl<F: Fn(&Guest, Request) + Send + Sync + 'static> Handler for F {
    fn request(&self, guest: &Guest, request: Request) {
        self(guest, request);
    }
}

/// The hello of a server that plays by the rules.
pub fn honest_hello(env: &dyn Env) -> ServerHello {
    let mut nonce = [0; 32];
    env.fill(&mut nonce);
    ServerHello {
        version: PROTOCOL_VERSION,
        nonce: nonce.to_vec(),
        time_ms: env.now_ms(),
        pass_hash: hello::pass_hash(&MEMORY_PASS).to_vec(),
        incarnation: 1,
        refusal: None,
    }
}

/// One client's connection, as the handler holds it. Clones speak to the same client.
#[derive(Debug, Clone)]
pub struct Guest {
    /// What the client asked to be connected for.
    pub role: Role,
    /// What the client's proofs on this connection sign.
    pub context: Arc<ConnectionContext>,
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
}

impl Guest {
    /// Answers the request numbered `id`; id 0 makes it a push. A client that is gone hears nothing.
    pub fn send(&self, id: u64, body: reply::Body) {
        let reply = Reply {
            id,
            body: Some(body),
        };
        if let Ok(frame) = encode_frame(&reply) {
            self.send_bytes(frame);
        }
    }

    /// Sends bytes as they are, frame or not.
    pub fn send_bytes(&self, bytes: Vec<u8>) {
        // the client may be gone
        let _ = self.outgoing.send(bytes);
    }

    /// Closes the connection after what was sent so far.
    pub fn hang_up(&self) {
        self.send_bytes(Vec::new());
    }
}

/// Serves one connection's server end: the raw stream and its channel binding (32 bytes).
pub type Accept = dyn Fn(DuplexStream, Vec<u8>) -> BoxFuture<'static, ()> + Send + Sync;

/// A transport whose server runs in this process.
pub struct MemoryTransport {
    server_id: ServerId,
    server_key: [u8; 32],
    env: SharedEnv,
    accept: Box<Accept>,
    reachable: AtomicBool,
    connections: Mutex<Vec<AbortHandle>>,
}

impl fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryTransport")
    }
}

impl MemoryTransport {
    /// A server played by `handler`; `server_key` (Ed25519) is what its heads are signed with.
    pub fn new(
        server_id: ServerId,
        server_key: [u8; 32],
        env: SharedEnv,
        handler: impl Handler,
    ) -> Self {
        let handler = Arc::new(handler);
        let server_env = env.clone();
        Self::with_accept(server_id, server_key, env, move |stream, binding| {
            let (handler, env) = (handler.clone(), server_env.clone());
            Box::pin(serve(handler, env, stream, server_id, binding))
        })
    }

    /// A server that takes the raw stream: a whole real one, or one that breaks the framing itself.
    pub fn with_accept(
        server_id: ServerId,
        server_key: [u8; 32],
        env: SharedEnv,
        accept: impl Fn(DuplexStream, Vec<u8>) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        Self {
            server_id,
            server_key,
            env,
            accept: Box::new(accept),
            reachable: AtomicBool::new(true),
            connections: Mutex::default(),
        }
    }

    /// Whether new connections succeed; open ones are not touched.
    pub fn set_reachable(&self, reachable: bool) {
        self.reachable.store(reachable, Ordering::Relaxed);
    }

    /// Cuts every open connection, as a pulled cable or a killed server would.
    pub fn cut(&self) {
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for connection in connections.drain(..) {
            connection.abort();
        }
    }

    async fn open(&self, role: Role) -> Result<Arc<dyn Connection>, TransportError> {
        if !self.reachable.load(Ordering::Relaxed) {
            return Err(TransportError::Unreachable("connection refused".into()));
        }
        let (client_end, server_end) = tokio::io::duplex(PIPE_BYTES);
        let mut binding = vec![0; 32];
        self.env.fill(&mut binding);
        let server = tokio::spawn((self.accept)(server_end, binding.clone()));
        {
            let mut connections = self
                .connections
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            connections.retain(|connection| !connection.is_finished());
            connections.push(server.abort_handle());
        }
        let peer = Peer {
            server_id: self.server_id,
            binding,
            key: self.server_key,
        };
        let limit = Duration::from_millis(HANDSHAKE_MS);
        timeout(limit, connection::open(client_end, peer, role, &self.env))
            .await
            .map_err(|_| TransportError::TimedOut)?
    }
}

impl Transport for MemoryTransport {
    fn connect(&self, role: Role) -> BoxFuture<'_, Result<Arc<dyn Connection>, TransportError>> {
        Box::pin(self.open(role))
    }
}

/// Runs `handler` on one connection until either side ends it.
async fn serve<H: Handler>(
    handler: Arc<H>,
    env: SharedEnv,
    stream: DuplexStream,
    server_id: ServerId,
    binding: Vec<u8>,
) {
    let (read, mut write) = tokio::io::split(stream);
    let mut reader = FrameReader::new(read);
    let Ok(bytes) = reader.next(HELLO_BYTES_MAX).await else {
        return;
    };
    let Ok(client) = ClientHello::decode(bytes) else {
        return;
    };
    let hello = handler.hello(&client, env.as_ref());
    let nonce = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).unwrap_or_default();
    let (outgoing, mut queue) = mpsc::unbounded_channel();
    let guest = Guest {
        role: client.role(),
        context: Arc::new(ConnectionContext {
            server_id,
            client_nonce: nonce(&client.nonce),
            server_nonce: nonce(&hello.nonce),
            binding,
        }),
        outgoing,
    };
    if let Ok(frame) = encode_frame(&hello) {
        guest.send_bytes(frame);
    }
    let requests = async {
        while let Ok(bytes) = reader.next(FRAME_BYTES_MAX).await {
            let Ok(request) = Request::decode(bytes) else {
                return;
            };
            if let Some(request::Body::Ping(_)) = request.body {
                guest.send(request.id, reply::Body::Done(Done {}));
            } else {
                handler.request(&guest, request);
            }
        }
    };
    let replies = async {
        while let Some(bytes) = queue.recv().await {
            if bytes.is_empty() || write.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = requests => {}
        () = replies => {}
    }
}
