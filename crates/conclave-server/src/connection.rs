//! One connection: TLS, perhaps WebSocket, hello, then frames until somebody ends it.
//!
//! Everything is bounded: time to the hello, a frame's length, unanswered requests and their bytes,
//! bytes that wait to be written. While a client does not take its replies, its requests are not read.
//! Requests run side by side; what they hand to the store goes there in the order they came.

mod frames;
mod in_flight;
pub(crate) mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use conclave_proto::codec::{LENGTH_BYTES, encode_frame, frame_length};
use conclave_proto::hello::{
    ClientHello, ConnectionContext, EXPORTER_LABEL, Role, ServerHello, pass_hash,
};
use conclave_proto::id::Day;
use conclave_proto::limits::{HANDSHAKE_MS, HELLO_BYTES_MAX};
use conclave_proto::{ErrorCode, PROTOCOL_VERSION, Refusal};
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::blobs::{self, Served};
use crate::door::Door;
use crate::http::{self, Becomes};
use crate::server::App;
use crate::session::Session;

/// What carries the frames: TLS, or WebSocket inside it. Everything above is the same code.
pub(crate) type Stream = Box<dyn Link>;

pub(crate) trait Link: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Link for S {}

/// Serves one accepted socket until either side ends it. `stop` turns true when the server stops.
pub(crate) async fn serve(
    app: Arc<App>,
    door: Arc<Door>,
    socket: TcpStream,
    peer: SocketAddr,
    mut stop: watch::Receiver<bool>,
) {
    // C-071: TLS, upgrade and hello together. In a box, so that what they needed is freed after them.
    let limit = Duration::from_millis(HANDSHAKE_MS);
    let greeting = Box::pin(timeout(limit, greet(&app, &door, socket, peer)));
    let greeted = tokio::select! {
        greeted = greeting => greeted,
        // whoever has not said hello yet has nothing in flight
        _ = stop.wait_for(|is_stopping| *is_stopping) => return,
    };
    match greeted {
        Ok(Some(Greeted::Frames(stream, session))) => {
            frames::run(&app, session, stream, stop).await;
        }
        Ok(Some(Greeted::Blobs(served))) => {
            let serving = Box::pin(blobs::run(&app, *served));
            tokio::select! {
                () = serving => {}
                // what was acknowledged is synced; the rest comes again
                _ = stop.wait_for(|is_stopping| *is_stopping) => {}
            }
        }
        Ok(None) | Err(_) => {}
    }
}

/// What a connection turned out to be for.
enum Greeted {
    /// Frames, after the hellos.
    Frames(Stream, Arc<Session>),
    /// Blobs over HTTP.
    Blobs(Box<Served<TlsStream<TcpStream>>>),
}

/// Serves a stream that is open already, below TLS or without it; `binding` is what its proofs sign.
pub(crate) async fn serve_stream(
    app: Arc<App>,
    mut stream: Stream,
    binding: Vec<u8>,
    peer: SocketAddr,
    stop: watch::Receiver<bool>,
) {
    // C-071: as long as everybody has.
    let limit = Duration::from_millis(HANDSHAKE_MS);
    let greeting = Box::pin(timeout(limit, hello(&app, &mut stream, binding, peer)));
    if let Ok(Some(session)) = greeting.await {
        frames::run(&app, Arc::new(session), stream, stop).await;
    }
}

/// TLS, then what ALPN says: frames begin with the hellos, HTTP is answered here unless it becomes
/// a WebSocket.
async fn greet(
    app: &Arc<App>,
    door: &Door,
    socket: TcpStream,
    peer: SocketAddr,
) -> Option<Greeted> {
    socket.set_nodelay(true).ok()?;
    let mut tls = door.accept(socket).await?;
    let binding = binding(&tls)?;
    let mut stream: Stream = if tls.get_ref().1.alpn_protocol() == Some(conclave_proto::ALPN) {
        Box::new(tls)
    } else {
        match http::answer(app.readiness(), &mut tls).await? {
            Becomes::WebSocket(early) => Box::new(websocket::wrap(tls, early).await),
            Becomes::Blobs(head, rest) => {
                return Some(Greeted::Blobs(Box::new(Served {
                    stream: tls,
                    head,
                    rest,
                    network: app.network_to_limit(peer),
                })));
            }
        }
    };
    let session = hello(app, &mut stream, binding, peer).await?;
    Some(Greeted::Frames(stream, Arc::new(session)))
}

/// Reads the client's hello and answers it.
async fn hello(
    app: &Arc<App>,
    stream: &mut Stream,
    binding: Vec<u8>,
    peer: SocketAddr,
) -> Option<Session> {
    let hello = match read_hello(stream).await? {
        Ok(hello) => hello,
        Err(refusal) => return refuse(stream, refusal).await,
    };
    // C-001: any other version is refused.
    if hello.version != PROTOCOL_VERSION {
        let text = format!("this server speaks version {PROTOCOL_VERSION}, update the older side");
        return refuse(stream, Refusal::new(ErrorCode::UnsupportedVersion, text)).await;
    }
    let nonce = <[u8; 32]>::try_from(hello.nonce.as_slice());
    let (Ok(client_nonce), true) = (nonce, hello.role() != Role::Unspecified) else {
        let text = "the hello needs a role and a nonce of 32 bytes";
        return refuse(stream, Refusal::new(ErrorCode::BadRequest, text)).await;
    };
    let mut server_nonce = [0; 32];
    app.env.fill(&mut server_nonce);
    let context = ConnectionContext {
        server_id: app.keys.server_id,
        client_nonce,
        server_nonce,
        binding,
    };
    let now_ms = app.env.now_ms();
    let pass_day = Day::of_ms(now_ms);
    let answer = ServerHello {
        version: PROTOCOL_VERSION,
        nonce: server_nonce.to_vec(),
        time_ms: now_ms,
        pass_hash: pass_hash(&app.keys.pepper.member_pass(pass_day)).to_vec(),
        incarnation: app.store.incarnation().0,
        refusal: None,
    };
    write_hello(stream, &answer).await?;
    let network = app.network_to_limit(peer);
    let app = Arc::clone(app);
    Some(Session::new(app, context, hello.role(), pass_day, network))
}

async fn read_hello(stream: &mut Stream) -> Option<Result<ClientHello, Refusal>> {
    let mut prefix = [0; LENGTH_BYTES];
    stream.read_exact(&mut prefix).await.ok()?;
    // C-004: the length is checked before anything is allocated for it.
    let Ok(length) = frame_length(prefix, HELLO_BYTES_MAX) else {
        let text = format!("a hello has at most {HELLO_BYTES_MAX} bytes");
        return Some(Err(Refusal::new(ErrorCode::TooLarge, text)));
    };
    let mut body = BytesMut::zeroed(length);
    stream.read_exact(&mut body).await.ok()?;
    let malformed = |_| Refusal::new(ErrorCode::BadRequest, "the hello is malformed");
    Some(ClientHello::decode(body).map_err(malformed))
}

async fn refuse(stream: &mut Stream, refusal: Refusal) -> Option<Session> {
    let answer = ServerHello {
        refusal: Some(refusal),
        ..ServerHello::default()
    };
    write_hello(stream, &answer).await?;
    stream.shutdown().await.ok()?;
    None
}

async fn write_hello(stream: &mut Stream, hello: &ServerHello) -> Option<()> {
    let frame = encode_frame(hello).ok()?;
    stream.write_all(&frame).await.ok()?;
    stream.flush().await.ok()
}

/// The TLS exporter that proofs on this connection sign (C-007).
fn binding(stream: &TlsStream<TcpStream>) -> Option<Vec<u8>> {
    let tls = stream.get_ref().1;
    let value = tls.export_keying_material([0; 32], EXPORTER_LABEL, None);
    value.ok().map(|value| value.to_vec())
}
