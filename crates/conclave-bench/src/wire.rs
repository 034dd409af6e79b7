//! A lean client: TLS, hello and frames by hand, so that the client costs as little as it can.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use bytes::{Buf as _, BufMut as _, BytesMut};
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
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::load::payload;

/// A request for a WebSocket, with the key of RFC 6455 §1.3.
const UPGRADE: &[u8] = b"GET /v1/ws HTTP/1.1\r\nHost: server.conclave.invalid\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// What a client puts into one message of a WebSocket, in bytes; the other side keeps as much.
const WEBSOCKET_PIECE_BYTES: usize = 2 * 1024;

/// Where something listens and what proves it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    tls: Arc<ClientConfig>,
    /// Frames travel in a WebSocket.
    in_websocket: bool,
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
            in_websocket: false,
        })
    }

    /// The server that runs from `folder`.
    pub(crate) fn of_server(address: SocketAddr, folder: &Path) -> anyhow::Result<Self> {
        Self::new(address, keys::root_certificate(folder)?)
    }

    /// The same place in a WebSocket.
    pub(crate) fn over_websocket(&self) -> Self {
        let mut tls = (*self.tls).clone();
        tls.alpn_protocols = vec![ALPN_HTTP.to_vec()];
        Self {
            address: self.address,
            tls: Arc::new(tls),
            in_websocket: true,
        }
    }

    /// TCP and TLS.
    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        self.connect_from(Ipv4Addr::UNSPECIFIED).await
    }

    /// The same from an address of this machine.
    pub(crate) async fn connect_from(&self, from: Ipv4Addr) -> anyhow::Result<Connection> {
        let socket = TcpSocket::new_v4()?;
        if !from.is_unspecified() {
            socket.bind((from, 0).into())?;
        }
        let socket = socket.connect(self.address).await?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(LEAF_NAME)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let mut connection = Connection {
            stream: connector.connect(name, socket).await?,
            input: BytesMut::new(),
            output: BytesMut::new(),
            websocket: None,
        };
        if self.in_websocket {
            connection.upgrade().await?;
        }
        Ok(connection)
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    input: BytesMut,
    output: BytesMut,
    /// Bytes of messages that are not whole yet, in a WebSocket.
    websocket: Option<BytesMut>,
}

impl Connection {
    /// Queues a frame.
    pub(crate) fn put(&mut self, message: &impl prost::Message) -> anyhow::Result<()> {
        self.output.extend_from_slice(&encode_frame(message)?);
        Ok(())
    }

    /// Queues a frame of these bytes, for whoever does not speak the protocol.
    pub(crate) fn put_raw(&mut self, body: &[u8]) {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        self.output.extend_from_slice(&length.to_be_bytes());
        self.output.extend_from_slice(body);
    }

    /// Queues an append of one payload to the log behind handle 1.
    pub(crate) fn put_append(&mut self, id: u64) -> anyhow::Result<()> {
        let payload = payload();
        let entry = AppendEntry { handle: 1, payload };
        let body = Some(request::Body::AppendEntry(entry));
        self.put(&Request { id, body })
    }

    /// Writes what is queued.
    pub(crate) async fn flush(&mut self) -> anyhow::Result<()> {
        if self.websocket.is_some() {
            self.output = enclosed(&self.output.split());
        }
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
        self.skipped_bytes().is_some()
    }

    /// The same; how many bytes it had without its prefix.
    pub(crate) fn skipped_bytes(&mut self) -> Option<usize> {
        let prefix = self.input.first_chunk::<LENGTH_BYTES>()?;
        let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(FRAME_BYTES_MAX);
        if self.input.len() < LENGTH_BYTES + length {
            return None;
        }
        self.input.advance(LENGTH_BYTES + length);
        Some(length)
    }

    /// Reads once.
    pub(crate) async fn fill(&mut self) -> anyhow::Result<()> {
        let input = self.websocket.as_mut().unwrap_or(&mut self.input);
        input.reserve(16 * 1024);
        if self.stream.read_buf(input).await? == 0 {
            bail!("the connection was closed");
        }
        if let Some(messages) = &mut self.websocket {
            while let Some(payload) = next_payload(messages)? {
                self.input.extend_from_slice(&payload);
            }
        }
        Ok(())
    }

    /// Gives memory back that an idle connection does not need.
    pub(crate) fn rest(&mut self) {
        let idle = [&mut self.input, &mut self.output];
        for buffer in idle.into_iter().chain(&mut self.websocket) {
            if buffer.is_empty() {
                *buffer = BytesMut::new();
            }
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

    /// Upgrades to a WebSocket.
    async fn upgrade(&mut self) -> anyhow::Result<()> {
        self.output.extend_from_slice(UPGRADE);
        self.flush().await?;
        while !self.input.ends_with(b"\r\n\r\n") {
            self.fill().await?;
        }
        anyhow::ensure!(self.input.starts_with(b"HTTP/1.1 101 "), "no upgrade");
        self.input.clear();
        self.websocket = Some(BytesMut::new());
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
        let log = (LogId::random(&OsEnv), &Ed25519KeyPair::generate()?);
        self.create_log_as(context, pass, log).await
    }

    /// The same with the log's id and access key.
    pub(crate) async fn create_log_as(
        &mut self,
        context: &ConnectionContext,
        pass: &[u8],
        (log_id, key): (LogId, &Ed25519KeyPair),
    ) -> anyhow::Result<()> {
        let mut create = CreateLog {
            pass: pass.to_vec(),
            log_id: log_id.to_vec(),
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

/// Whole binary messages of a WebSocket's client (RFC 6455 §5.2), masked with zeros, which change nothing.
fn enclosed(bytes: &[u8]) -> BytesMut {
    let mut messages = BytesMut::new();
    for payload in bytes.chunks(WEBSOCKET_PIECE_BYTES) {
        messages.put_u8(0x82);
        // at most 2 KiB
        let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
        if let Ok(short @ ..126) = u8::try_from(length) {
            messages.put_u8(0x80 | short);
        } else {
            messages.put_u8(0xfe);
            messages.put_u16(length);
        }
        messages.put_u32(0);
        messages.extend_from_slice(payload);
    }
    messages
}

/// What the next message from a server carries, when it is whole.
fn next_payload(messages: &mut BytesMut) -> anyhow::Result<Option<BytesMut>> {
    let (head, length) = match messages.get(..4) {
        Some([_, 126, high, low]) => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        Some([_, 127, ..]) => bail!("a message of more than 64 KiB"),
        Some([_, length, ..]) => (2, usize::from(*length)),
        // also what a server sends shortest is an answer of more than two bytes
        _ => return Ok(None),
    };
    if messages.len() < head + length {
        return Ok(None);
    }
    messages.advance(head);
    Ok(Some(messages.split_to(length)))
}
