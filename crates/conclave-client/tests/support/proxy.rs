//! A network in between that does not like raw frames: it looks for their name in the TLS hello.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conclave_proto::address::ServerAddress;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens to a connection that names the frame protocol.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Block {
    /// Nothing.
    Never,
    /// Its end, with a reset.
    Reset,
    /// Its end, as if the server had hung up.
    HangUp,
    /// The alert of a server that does not know the protocol (120, RFC 7301 §3.2).
    Alert,
    /// Silence.
    Swallow,
    /// Its end in the middle of the server's first flight.
    Cut,
}

/// Stands between clients and a server until it is dropped.
pub(crate) struct Proxy {
    pub(crate) address: ServerAddress,
    seen: Arc<[AtomicUsize; 2]>,
    running: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Proxy {
    /// A proxy before the server at `server`; its own address pins the server's root.
    pub(crate) async fn start(server: &ServerAddress, block: Block) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let behind = SocketAddr::from(([127, 0, 0, 1], server.port));
        let address = ServerAddress {
            port: listener.local_addr().unwrap().port(),
            ..server.clone()
        };
        let seen: Arc<[AtomicUsize; 2]> = Arc::default();
        let counters = Arc::clone(&seen);
        let running = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                // a connection that breaks is no matter of the proxy's
                tokio::spawn(carry(client, behind, block, Arc::clone(&counters)));
            }
        });
        Self {
            address,
            seen,
            running,
        }
    }

    /// Connections so far that named the frame protocol, and the others.
    pub(crate) fn seen(&self) -> (usize, usize) {
        let [frames, others] = &*self.seen;
        (frames.load(Ordering::SeqCst), others.load(Ordering::SeqCst))
    }
}

async fn carry(
    mut client: TcpStream,
    behind: SocketAddr,
    block: Block,
    seen: Arc<[AtomicUsize; 2]>,
) -> std::io::Result<()> {
    let hello = first_record(&mut client).await?;
    let name = conclave_proto::ALPN;
    let is_frames = hello.windows(name.len()).any(|part| part == name);
    seen[usize::from(!is_frames)].fetch_add(1, Ordering::SeqCst);
    let mut server = TcpStream::connect(behind).await?;
    match block {
        Block::Reset if is_frames => return client.set_zero_linger(),
        Block::HangUp if is_frames => return Ok(()),
        Block::Alert if is_frames => {
            return client.write_all(&[0x15, 3, 3, 0, 2, 2, 120]).await;
        }
        Block::Swallow if is_frames => {
            // until the client gives up
            return client.read(&mut [0; 64]).await.map(drop);
        }
        _ => server.write_all(&hello).await?,
    }
    if matches!(block, Block::Cut) && is_frames {
        let mut part = [0; 1200];
        server.read_exact(&mut part).await?;
        return client.write_all(&part).await;
    }
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// The client's whole TLS hello: 5 bytes of header, then its length.
async fn first_record(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut record = vec![0; 5];
    client.read_exact(&mut record).await?;
    let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
    record.resize(5 + length, 0);
    client.read_exact(&mut record[5..]).await?;
    Ok(record)
}
