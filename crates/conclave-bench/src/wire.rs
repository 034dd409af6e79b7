//! A lean client: TLS, hello and frames by hand, so that the client costs as little as it can.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use bytes::{Buf as _, BytesMut};
use conclave_proto::codec::{LENGTH_BYTES, decode_frame, encode_frame};
use conclave_proto::env::OsEnv;
use conclave_proto::frame::{Reply, Request, reply, request};
use conclave_proto::hello::{
    ClientHello, ConnectionContext, EXPORTER_LABEL, Purpose, Role, ServerHello,
};
use conclave_proto::id::LogId;
use conclave_proto::limits::FRAME_BYTES_MAX;
use conclave_proto::log::{AppendEntry, CreateLog};
use conclave_proto::{ALPN, ALPN_HTTP, PROTOCOL_VERSION};
use conclave_server::keys::{self, LEAF_NAME};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::PAYLOAD_BYTES;

/// A request for a WebSocket, with the key of RFC 6455 §1.3.
const UPGRADE: &[u8] = b"GET /v1/ws HTTP/1.1\r\nHost: server.conclave.invalid\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Where something listens and what proves it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Place {
    /// Trusts exactly this root.
    pub(crate) fn new(address: SocketAddr, root: CertificateDer<'static>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(root)?;
        let mut tls = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![ALPN.to_vec()];
        tls.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            address,
            tls: Arc::new(tls),
        })
    }

    /// The server that runs from `folder`.
    pub(crate) fn of_server(address: SocketAddr, folder: &Path) -> anyhow::Result<Self> {
        Self::new(address, keys::root_certificate(folder)?)
    }

    /// The same place for whoever has to pass as HTTP.
    pub(crate) fn over_http(&self) -> Self {
        let mut tls = (*self.tls).clone();
        tls.alpn_protocols = vec![ALPN_HTTP.to_vec()];
        Self {
            address: self.address,
            tls: Arc::new(tls),
        }
    }

    /// TCP and TLS.
    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(LEAF_NAME)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        Ok(Connection {
            stream: connector.connect(name, socket).await?,
            input: BytesMut::new(),
            output: BytesMut::new(),
        })
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    input: BytesMut,
    output: BytesMut,
}

impl Connection {
    /// Queues a frame.
    pub(crate) fn put(&mut self, message: &impl prost::Message) -> anyhow::Result<()> {
        self.output.extend_from_slice(&encode_frame(message)?);
        Ok(())
    }

    /// Queues an append of one payload to the log behind handle 1.
    pub(crate) fn put_append(&mut self, id: u64) -> anyhow::Result<()> {
        let entry = AppendEntry {
            handle: 1,
            payload: vec![7; PAYLOAD_BYTES],
        };
        let body = Some(request::Body::AppendEntry(entry));
        self.put(&Request { id, body })
    }

    /// Writes what is queued.
    pub(crate) async fn flush(&mut self) -> anyhow::Result<()> {
        while self.output.has_remaining() {
            self.stream.write_buf(&mut self.output).await?;
        }
        self.stream.flush().await?;
        Ok(())
    }

    /// The next message that is already here.
    pub(crate) fn taken<M: prost::Message + Default>(&mut self) -> anyhow::Result<Option<M>> {
        let Some((message, used)) = decode_frame(&self.input)? else {
            return Ok(None);
        };
        self.input.advance(used);
        Ok(Some(message))
    }

    /// Drops the next frame that is already here, whatever it says.
    pub(crate) fn skipped(&mut self) -> bool {
        let Some(prefix) = self.input.first_chunk::<LENGTH_BYTES>() else {
            return false;
        };
        let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(FRAME_BYTES_MAX);
        let is_whole = self.input.len() >= LENGTH_BYTES + length;
        if is_whole {
            self.input.advance(LENGTH_BYTES + length);
        }
        is_whole
    }

    /// Reads once.
    pub(crate) async fn fill(&mut self) -> anyhow::Result<()> {
        self.input.reserve(16 * 1024);
        match self.stream.read_buf(&mut self.input).await? {
            0 => bail!("the connection was closed"),
            _ => Ok(()),
        }
    }

    /// Sends one message and waits for one.
    pub(crate) async fn ask<M: prost::Message + Default>(
        &mut self,
        message: &impl prost::Message,
    ) -> anyhow::Result<M> {
        self.put(message)?;
        self.flush().await?;
        loop {
            if let Some(answer) = self.taken()? {
                return Ok(answer);
            }
            self.fill().await?;
        }
    }

    /// Upgrades to a WebSocket and says hello in it; good for being idle.
    pub(crate) async fn greet_in_websocket(&mut self, role: Role) -> anyhow::Result<()> {
        self.output.extend_from_slice(UPGRADE);
        self.flush().await?;
        while !self.input.ends_with(b"\r\n\r\n") {
            self.fill().await?;
        }
        anyhow::ensure!(self.input.starts_with(b"HTTP/1.1 101 "), "no upgrade");
        self.input.clear();
        let frame = encode_frame(&ClientHello {
            version: PROTOCOL_VERSION,
            role: role.into(),
            nonce: vec![7; 32],
        })?;
        let length = u8::try_from(frame.len())?;
        anyhow::ensure!(length < 126, "a hello fits a short message");
        // whole and binary; masked with zeros, which change nothing
        self.output
            .extend_from_slice(&[0x82, 0x80 | length, 0, 0, 0, 0]);
        self.output.extend_from_slice(&frame);
        self.flush().await?;
        self.fill().await?;
        self.input.clear();
        Ok(())
    }

    /// The hellos; what proofs on this connection sign.
    pub(crate) async fn greet(
        &mut self,
        server_id: conclave_proto::id::ServerId,
        role: Role,
    ) -> anyhow::Result<ConnectionContext> {
        let hello = ClientHello {
            version: PROTOCOL_VERSION,
            role: role.into(),
            nonce: vec![7; 32],
        };
        let answer: ServerHello = self.ask(&hello).await?;
        let tls = self.stream.get_ref().1;
        let binding = tls.export_keying_material([0; 32], EXPORTER_LABEL, None)?;
        let server_nonce = answer.nonce.try_into();
        Ok(ConnectionContext {
            server_id,
            client_nonce: [7; 32],
            server_nonce: server_nonce.ok().context("a refused hello")?,
            binding: binding.to_vec(),
        })
    }

    /// Creates a log of this connection's own; it gets handle 1.
    pub(crate) async fn create_log(
        &mut self,
        context: &ConnectionContext,
        pass: &[u8],
    ) -> anyhow::Result<()> {
        let key = Ed25519KeyPair::generate()?;
        let mut create = CreateLog {
            pass: pass.to_vec(),
            log_id: LogId::random(&OsEnv).to_vec(),
            access_key: key.public_key().as_ref().to_vec(),
            proof: Vec::new(),
            blobs: Vec::new(),
            retention_days: 30,
        };
        let fields = create.fields_hash();
        let input = context.proof_input(Purpose::CreateLog, fields.as_bytes());
        create.proof = key.sign(&input).as_ref().to_vec();
        let body = Some(request::Body::CreateLog(create));
        let reply: Reply = self.ask(&Request { id: 1, body }).await?;
        match reply.body {
            Some(reply::Body::Opened(opened)) if opened.handle == 1 => Ok(()),
            other => bail!("no log was created: {other:?}"),
        }
    }
}
