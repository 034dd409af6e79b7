//! Who the client takes for the server of an address, and whom not (C-008, C-009).

use std::sync::Arc;

use conclave_client::transport::memory::honest_hello;
use conclave_client::transport::{Connection, RealTransport, Transport, TransportError, calls};
use conclave_proto::address::ServerAddress;
use conclave_proto::codec::{decode_frame, encode_frame};
use conclave_proto::env::{Env, OsEnv, SharedEnv};
use conclave_proto::frame::{Done, Reply, Request, reply};
use conclave_proto::hello::{ClientHello, EXPORTER_LABEL, Role};
use conclave_proto::id::ServerId;
use conclave_proto::label::sha256;
use prost::Message;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ED25519, PublicKeyData, SignatureAlgorithm, date_time_ymd,
};
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{NamedGroup, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

const NAME: &str = "server.conclave.invalid";

/// A root with its key.
struct Root(CertifiedIssuer<'static, KeyPair>);

impl Root {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn id(&self) -> ServerId {
        ServerId::new(*sha256(&self.0.key().subject_public_key_info()).as_bytes())
    }

    fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    fn leaf(&self) -> Leaf {
        self.leaf_with(NAME, &PKCS_ED25519)
    }

    fn leaf_with(&self, name: &str, algorithm: &'static SignatureAlgorithm) -> Leaf {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2030, 1, 10);
        params.not_after = date_time_ymd(2030, 4, 10);
        let der = params.signed_by(&key, &self.0).unwrap().der().clone();
        Leaf { der, key }
    }
}

/// A leaf with its key.
struct Leaf {
    der: CertificateDer<'static>,
    key: KeyPair,
}

/// 2030-02-01 and the ends of every leaf's life, ms since 1970.
const MIDDLE_MS: u64 = 1_896_134_400_000;
const BEGIN_MS: u64 = 1_894_233_600_000;
const END_MS: u64 = 1_902_009_600_000;
const HOUR_MS: u64 = 3_600_000;

/// The operating system's chance at a fixed time.
#[derive(Debug)]
struct At(u64);

impl Env for At {
    fn now_ms(&self) -> u64 {
        self.0
    }

    fn fill(&self, bytes: &mut [u8]) {
        OsEnv.fill(bytes);
    }
}

/// A TLS configuration that presents `chain` and signs with `key`, whether they fit or not.
fn config(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let certified = CertifiedKey::new(chain, any_supported_type(&key).unwrap());
    let mut config = ServerConfig::builder_with_provider(default_provider().into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![conclave_proto::ALPN.to_vec()];
    Arc::new(config)
}

async fn listen(server_id: ServerId) -> (TcpListener, ServerAddress) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = "127.0.0.1".to_owned();
    let address = ServerAddress {
        server_id,
        host,
        port,
    };
    (listener, address)
}

async fn read_frame<M: Message + Default>(stream: &mut (impl AsyncRead + Unpin)) -> M {
    let mut bytes = vec![];
    loop {
        if let Some((message, used)) = decode_frame(&bytes).unwrap() {
            assert_eq!(used, bytes.len());
            return message;
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
    }
}

/// Takes one connection up to and including the hellos.
async fn welcome(
    listener: &TcpListener,
    config: Arc<ServerConfig>,
) -> std::io::Result<(TlsStream<TcpStream>, ClientHello)> {
    let (tcp, _) = listener.accept().await?;
    let mut tls = TlsAcceptor::from(config).accept(tcp).await?;
    let hello = read_frame(&mut tls).await;
    tls.write_all(&encode_frame(&honest_hello(&OsEnv)).unwrap())
        .await?;
    tls.flush().await?;
    Ok((tls, hello))
}

/// Connects a client that pins `server_id` at `now_ms` to a server with this chain and key.
async fn meet(
    server_id: ServerId,
    chain: Vec<CertificateDer<'static>>,
    key: &KeyPair,
    now_ms: u64,
) -> Result<Arc<dyn Connection>, TransportError> {
    let (listener, address) = listen(server_id).await;
    let config = config(chain, key);
    let server = tokio::spawn(async move { welcome(&listener, config).await.map(drop) });
    let env: SharedEnv = Arc::new(At(now_ms));
    let met = RealTransport::new(address, env).connect(Role::Logs).await;
    // an honest server only fails because the client hung up on it
    assert!(met.is_err() || server.await.unwrap().is_ok());
    met
}

/// The reason for which the client took somebody for an impostor.
fn impostor(met: Result<Arc<dyn Connection>, TransportError>) -> &'static str {
    match met {
        Err(TransportError::WrongServer(reason)) => reason,
        other => panic!("not refused as an impostor: {other:?}"),
    }
}

/// The pinned server is accepted: hybrid key exchange, no name in clear, both ends bound to the same
/// TLS session, the leaf's key known, calls answered.
#[tokio::test]
async fn connects_to_the_pinned_server() {
    let root = Root::new();
    let leaf = root.leaf();
    let (listener, address) = listen(root.id()).await;
    let config = config(vec![leaf.der.clone(), root.der()], &leaf.key);
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        let (mut tls, hello) = welcome(&listener, config).await.unwrap();
        let session = tls.get_ref().1;
        let binding = session.export_keying_material([0; 32], EXPORTER_LABEL, None);
        let group = session.negotiated_key_exchange_group().unwrap().name();
        let name = session.server_name().map(str::to_owned);
        tell.send((hello, binding.unwrap(), group, name)).unwrap();
        let request: Request = read_frame(&mut tls).await;
        let body = Some(reply::Body::Done(Done {}));
        let reply = encode_frame(&Reply {
            id: request.id,
            body,
        });
        tls.write_all(&reply.unwrap()).await.unwrap();
        tls.flush().await.unwrap();
    });

    let transport = RealTransport::new(address, Arc::new(At(MIDDLE_MS)));
    let connection = transport.connect(Role::Directory).await.unwrap();
    let (hello, binding, group, name) = told.await.unwrap();
    assert_eq!(hello.role(), Role::Directory);
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    assert_eq!(name, None);
    let context = connection.context();
    assert_eq!(context.server_id, root.id());
    assert_eq!(context.binding, binding);
    assert_eq!(context.client_nonce.to_vec(), hello.nonce);
    assert_eq!(
        connection.server_key().as_slice(),
        leaf.key.public_key_raw()
    );
    calls::ping(connection.as_ref()).await.unwrap();
}

/// The same operator's other root, or anybody's, is not the pinned one.
#[tokio::test]
async fn c008_refuses_another_root() {
    let (pinned, other) = (Root::new(), Root::new());
    let leaf = other.leaf();
    let met = meet(
        pinned.id(),
        vec![leaf.der, other.der()],
        &leaf.key,
        MIDDLE_MS,
    )
    .await;
    assert_eq!(impostor(met), "its root key is not the one in the address");
}

/// Leaf and root, no certificate less or more, in that order, though every one of them is genuine.
#[tokio::test]
async fn c008_refuses_chains_of_another_shape() {
    let root = Root::new();
    let leaf = root.leaf();
    for chain in [
        vec![leaf.der.clone()],
        vec![leaf.der.clone(), root.der(), root.der()],
        vec![leaf.der.clone(), leaf.der.clone(), root.der()],
    ] {
        let met = meet(root.id(), chain, &leaf.key, MIDDLE_MS).await;
        let reason = "its certificates are not one leaf under one root";
        assert_eq!(impostor(met), reason);
    }
    let turned = vec![root.der(), leaf.der];
    impostor(meet(root.id(), turned, &leaf.key, MIDDLE_MS).await);
}

/// The pinned root is public: showing it beside a leaf that another root of the same name signed does not help.
#[tokio::test]
async fn c008_refuses_a_leaf_of_another_root() {
    let (pinned, other) = (Root::new(), Root::new());
    let leaf = other.leaf();
    let met = meet(
        pinned.id(),
        vec![leaf.der, pinned.der()],
        &leaf.key,
        MIDDLE_MS,
    )
    .await;
    let reason = "a signature of its certificate or handshake does not verify";
    assert_eq!(impostor(met), reason);
}

/// A certificate that the root signed for something else, or for a key that cannot sign heads, is no server's.
#[tokio::test]
async fn c008_refuses_leaves_for_something_else() {
    let root = Root::new();
    for leaf in [
        root.leaf_with("www.conclave.invalid", &PKCS_ED25519),
        root.leaf_with(NAME, &PKCS_ECDSA_P256_SHA256),
    ] {
        let chain = vec![leaf.der, root.der()];
        let met = meet(root.id(), chain, &leaf.key, MIDDLE_MS).await;
        let reason = "its certificate is not a conclave server's";
        assert_eq!(impostor(met), reason);
    }
}

/// The leaf's dates hold, give or take the 24 h that a device's clock may be wrong.
#[tokio::test]
async fn c008_allows_a_day_of_clock_skew() {
    let root = Root::new();
    let leaf = root.leaf();
    let chain = vec![leaf.der, root.der()];
    for (now_ms, fits) in [
        (BEGIN_MS - 25 * HOUR_MS, false),
        (BEGIN_MS - 23 * HOUR_MS, true),
        (END_MS + 23 * HOUR_MS, true),
        (END_MS + 25 * HOUR_MS, false),
    ] {
        let met = meet(root.id(), chain.clone(), &leaf.key, now_ms).await;
        if fits {
            assert!(met.is_ok(), "{met:?}");
        } else {
            assert!(impostor(met).contains("the clock of this device"));
        }
    }
}

/// The whole right chain is public too: whoever lacks the leaf's private key fails the handshake.
#[tokio::test]
async fn c009_refuses_another_private_key() {
    let root = Root::new();
    let leaf = root.leaf();
    let stranger = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let met = meet(root.id(), vec![leaf.der, root.der()], &stranger, MIDDLE_MS).await;
    let reason = "a signature of its certificate or handshake does not verify";
    assert_eq!(impostor(met), reason);
}

/// What `bytes` as the whole answer to a TLS hello make of the connection.
async fn answer_hello_with(bytes: Vec<u8>) -> TransportError {
    let (listener, address) = listen(ServerId::new([1; 32])).await;
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        // the client's whole hello is one record: 5 bytes of header, then its length
        let mut header = [0; 5];
        tcp.read_exact(&mut header).await.unwrap();
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        tcp.read_exact(&mut vec![0; length]).await.unwrap();
        tcp.write_all(&bytes).await.unwrap();
        // until the client hangs up
        let _ = tcp.read(&mut [0; 64]).await;
    });
    let transport = RealTransport::new(address, OsEnv::shared());
    transport.connect(Role::Logs).await.unwrap_err()
}

/// A server hello of TLS 1.2 (RFC 5246 §7.4.1.3) is refused before any certificate is looked at.
#[tokio::test]
async fn c009_refuses_tls_1_2() {
    let mut hello = vec![0x03, 0x03];
    hello.extend([0x5a; 32]); // random
    hello.extend([0x00, 0xc0, 0x2b, 0x00]); // no session id, ECDHE-ECDSA-AES128-GCM, no compression
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![0x16, 0x03, 0x03, 0x00, length + 4, 0x02, 0x00, 0x00, length];
    record.extend(hello);
    let error = answer_hello_with(record).await;
    assert_eq!(error, TransportError::Incompatible);
}

/// A server that shares no protocol name with us (alert 120, RFC 7301 §3.2) speaks another version.
#[tokio::test]
async fn c001_refuses_another_protocol_name() {
    let error = answer_hello_with(vec![0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 120]).await;
    assert_eq!(error, TransportError::Incompatible);

    let root = Root::new();
    let leaf = root.leaf();
    let (listener, address) = listen(root.id()).await;
    let mut nameless = config(vec![leaf.der, root.der()], &leaf.key);
    Arc::make_mut(&mut nameless).alpn_protocols.clear();
    tokio::spawn(async move { welcome(&listener, nameless).await.map(drop) });
    let transport = RealTransport::new(address, Arc::new(At(MIDDLE_MS)));
    let error = transport.connect(Role::Logs).await.unwrap_err();
    assert_eq!(error, TransportError::Incompatible);
}

/// Something that is no TLS server at all is named as such.
#[tokio::test]
async fn names_what_does_not_speak_tls() {
    let error = answer_hello_with(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).await;
    assert_eq!(error, TransportError::Protocol("it does not speak TLS"));
}

/// A port where nobody listens, and a name that nobody has, are unreachable.
#[tokio::test]
async fn nobody_there_is_unreachable() {
    let (listener, mut address) = listen(ServerId::new([1; 32])).await;
    drop(listener);
    for host in ["127.0.0.1", "nobody.invalid"] {
        host.clone_into(&mut address.host);
        let transport = RealTransport::new(address.clone(), OsEnv::shared());
        let error = transport.connect(Role::Logs).await.unwrap_err();
        assert!(matches!(error, TransportError::Unreachable(_)), "{error}");
    }
}
