//! TLS alone, in a process of its own: frames in, a small frame back for each, nothing stored; or one frame
//! to everybody who listens.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::{Buf as _, BytesMut};
use conclave_proto::codec::LENGTH_BYTES;
use conclave_server::keys::LEAF_NAME;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::server::{Process, next_line};
use crate::wire::Place;

/// The argument that makes this program the echo.
pub(crate) const WORD: &str = "serve-echo";
/// A frame that begins with this makes its connection listen: nothing else is read from it.
pub(crate) const LISTENS: u8 = 0;
/// A frame that begins with this goes to all who listen, whole.
pub(crate) const TELLS: u8 = 1;
/// What an acknowledgement of the server takes, prefix included.
const ANSWER: [u8; 14] = [0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// A read buffer while nothing comes, as in the server.
const IDLE_BUFFER_BYTES: usize = 512;

/// Who listens.
type Listeners = Arc<Mutex<Vec<TlsStream<TcpStream>>>>;

/// The echo, as its parent sees it.
#[derive(Debug)]
pub(crate) struct Echo {
    pub(crate) process: Process,
    pub(crate) place: Place,
}

impl Echo {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let (process, lines) = Process::spawn(Command::new(own).arg(WORD))?;
        let address: SocketAddr = next_line(&lines)?.parse()?;
        let root = next_line(&lines)?;
        let root = (0..root.len() / 2)
            .map(|at| u8::from_str_radix(root.get(2 * at..2 * at + 2).unwrap_or("x"), 16))
            .collect::<Result<Vec<u8>, _>>()?;
        let place = Place::new(address, CertificateDer::from(root))?;
        Ok(Self { process, place })
    }
}

/// Serves until it is killed. Says its address and certificate, a line each.
pub(crate) fn serve() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime does not start")?;
    runtime.block_on(async {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
        let params = rcgen::CertificateParams::new(vec![LEAF_NAME.to_owned()])?;
        let certificate = params.self_signed(&key)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut tls = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)?;
        tls.alpn_protocols = vec![conclave_proto::ALPN.to_vec()];
        tls.send_tls13_tickets = 0;
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?);
        let hex = certificate.der().iter().map(|byte| format!("{byte:02x}"));
        println!("{}", hex.collect::<String>());
        let listeners = Listeners::default();
        loop {
            let (socket, _) = listener.accept().await?;
            let (acceptor, listeners) = (acceptor.clone(), Arc::clone(&listeners));
            tokio::spawn(async move {
                // a client that leaves ends its own connection
                let _ = answer(acceptor, socket, listeners).await;
            });
        }
    })
}

async fn answer(
    acceptor: TlsAcceptor,
    socket: TcpStream,
    listeners: Listeners,
) -> anyhow::Result<()> {
    socket.set_nodelay(true)?;
    let mut stream = acceptor.accept(socket).await?;
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    loop {
        input.reserve(if input.is_empty() {
            IDLE_BUFFER_BYTES
        } else {
            16 * 1024
        });
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        while let Some(prefix) = input.first_chunk::<LENGTH_BYTES>() {
            let frame = LENGTH_BYTES + usize::try_from(u32::from_be_bytes(*prefix))?;
            if input.len() < frame {
                break;
            }
            let told = input.split_to(frame);
            output.extend_from_slice(&ANSWER);
            match told.get(LENGTH_BYTES) {
                Some(&LISTENS) => {
                    stream.write_all(&output).await?;
                    stream.flush().await?;
                    listeners.lock().await.push(stream);
                    return Ok(());
                }
                Some(&TELLS) => {
                    for listener in listeners.lock().await.iter_mut() {
                        listener.write_all(&told).await?;
                        listener.flush().await?;
                    }
                }
                _ => {}
            }
        }
        while output.has_remaining() {
            stream.write_buf(&mut output).await?;
        }
        stream.flush().await?;
    }
}
