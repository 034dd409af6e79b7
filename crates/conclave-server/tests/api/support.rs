//! A small client of raw frames, people with keys, and a server with a clock of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, ML_DSA_65_SIGNING, PqdsaKeyPair};
use conclave_proto::account::{
    AccountState, AccountStateContent, AccountStatus, Authenticate, DeviceCert, DeviceCertContent,
    DeviceEntry, DeviceRole, FLAG_DISCOVERABLE, FetchStatus, HybridSignature, IdentityKey,
    OtpStart, OtpStarted, Register, SUITE_ED25519_MLDSA65, XWING_KEY_BYTES,
};
use conclave_proto::codec::{self, decode_frame, encode_frame};
use conclave_proto::env::{Env, OsEnv};
use conclave_proto::frame::{Reply, Request, reply, request::Body};
use conclave_proto::hello::{
    ClientHello, ConnectionContext, EXPORTER_LABEL, Purpose, Role, ServerHello, account_fields,
    register_fields,
};
use conclave_proto::id::{AccountId, ChallengeId, DeviceId, Hash32, ServerId};
use conclave_proto::{PROTOCOL_VERSION, Refusal, label};
use conclave_server::ServerHandle;
use conclave_server::config::{Config, Secret};
use conclave_server::keys::{LEAF_NAME, root_certificate};
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::postgres_support::Database;

pub(crate) const DAY_MS: u64 = 86_400_000;

/// A clock that tests move.
#[derive(Debug)]
pub(crate) struct TestEnv(AtomicU64);

impl Env for TestEnv {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
    fn fill(&self, bytes: &mut [u8]) {
        OsEnv.fill(bytes);
    }
}

/// A server with its folder and clock.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) server: ServerHandle,
    pub(crate) env: Arc<TestEnv>,
    phones: AtomicU64,
    /// What the server keeps everything in, when it is not the folder.
    database: Option<Database>,
}

/// A database when this variable says `postgres`, and settings that name it.
async fn database(mut config: Config) -> (Option<Database>, Config) {
    if std::env::var("CONCLAVE_TEST_STORE").as_deref() != Ok("postgres") {
        return (None, config);
    }
    let database = Database::new().await;
    config.server.database = Secret::new(database.url());
    (Some(database), config)
}

impl World {
    pub(crate) async fn new() -> Self {
        let mut config = Config::default();
        // tests let weeks pass at once
        config.retention.clock_jump_days = 0;
        Self::with(config).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let env = Arc::new(TestEnv(AtomicU64::new(OsEnv.now_ms())));
        let (database, config) = database(config).await;
        let server = ServerHandle::start_with(folder.path(), config, env.clone(), 0);
        Self {
            server: server.await.unwrap(),
            folder,
            env,
            phones: AtomicU64::new(0),
            database,
        }
    }

    /// The same server after a stop and a start.
    pub(crate) async fn restart(self) -> Self {
        let config = self.config();
        self.server.stop().await.unwrap();
        let env = self.env.clone();
        let server = ServerHandle::start_with(self.folder.path(), config, env, 0);
        Self {
            server: server.await.unwrap(),
            ..self
        }
    }

    /// The settings of a server that takes over.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::default();
        config.retention.clock_jump_days = 0;
        if let Some(database) = &self.database {
            config.server.database = Secret::new(database.url());
        }
        config
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.env.now_ms()
    }

    pub(crate) fn set_time(&self, now_ms: u64) {
        self.env.0.store(now_ms, Ordering::SeqCst);
    }

    pub(crate) fn pass_time(&self, ms: u64) {
        self.env.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) async fn connect(&self, role: Role) -> Client {
        Client::connect(&self.server, self.folder.path(), role).await
    }

    /// Asks for a code on a fresh connection and gives the challenge and the code.
    pub(crate) async fn code(&self, person: &Person) -> (ChallengeId, String) {
        let mut client = self.connect(Role::Account).await;
        let started = client.otp_start(person, "").await.unwrap();
        let challenge = ChallengeId::parse(&started.challenge_id).unwrap();
        let message = self.server.next_code().await.unwrap();
        assert_eq!(message.identifier.as_str(), person.identifier);
        (challenge, message.code)
    }

    pub(crate) async fn register(&self, person: &Person) -> Result<reply::Body, Refusal> {
        let (challenge, code) = self.code(person).await;
        let mut client = self.connect(Role::Account).await;
        client.register(person, challenge, &code).await
    }

    /// Somebody with an account.
    pub(crate) async fn person(&self) -> Person {
        let number = self.phones.fetch_add(1, Ordering::SeqCst);
        let person = Person::new(&self.server, &format!("+49170000{number:04}"));
        self.register(&person).await.unwrap();
        person
    }

    /// A connection that acts for somebody's device.
    pub(crate) async fn account(&self, person: &Person) -> Client {
        let mut client = self.connect(Role::Account).await;
        client.authenticate(person).await.unwrap();
        client
    }

    /// Today's member pass, fetched by a new member.
    pub(crate) async fn pass(&self) -> Vec<u8> {
        let person = self.person().await;
        self.account(&person).await.status().await.pass
    }
}

/// Where a server listens and who it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    pub(crate) server_id: ServerId,
}

impl From<&ServerHandle> for Place {
    fn from(server: &ServerHandle) -> Self {
        Self {
            address: server.local_address(),
            server_id: server.server_id(),
        }
    }
}

/// A raw connection.
pub(crate) struct Client {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) hello: ServerHello,
    pub(crate) context: ConnectionContext,
    input: Vec<u8>,
    pushes: Vec<reply::Body>,
    last_id: u64,
}

pub(crate) async fn tls(
    server: impl Into<Place>,
    folder: &Path,
    alpn: &[u8],
) -> TlsStream<TcpStream> {
    try_tls(server.into(), folder, alpn).await.unwrap()
}

async fn try_tls(server: Place, folder: &Path, alpn: &[u8]) -> Option<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root_certificate(folder).unwrap()).unwrap();
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let socket = TcpStream::connect(server.address).await.ok()?;
    socket.set_nodelay(true).ok()?;
    let name = ServerName::try_from(LEAF_NAME).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, socket).await.ok()
}

pub(crate) fn hello(role: Role) -> ClientHello {
    ClientHello {
        version: PROTOCOL_VERSION,
        role: role.into(),
        nonce: vec![7; 32],
    }
}

impl Client {
    pub(crate) async fn connect(server: impl Into<Place>, folder: &Path, role: Role) -> Self {
        Self::greet(server, folder, &hello(role)).await
    }

    /// Sends any hello; the answer may be a refusal.
    pub(crate) async fn greet(
        server: impl Into<Place>,
        folder: &Path,
        hello: &ClientHello,
    ) -> Self {
        Self::try_greet(server.into(), folder, hello).await.unwrap()
    }

    /// The same with a server that may be gone.
    pub(crate) async fn try_greet(
        server: Place,
        folder: &Path,
        hello: &ClientHello,
    ) -> Option<Self> {
        let mut stream = try_tls(server, folder, conclave_proto::ALPN).await?;
        let frame = encode_frame(hello).unwrap();
        stream.write_all(&frame).await.ok()?;
        stream.flush().await.ok()?;
        let binding = stream.get_ref().1;
        let binding = binding.export_keying_material([0; 32], EXPORTER_LABEL, None);
        let mut client = Self {
            context: ConnectionContext {
                server_id: server.server_id,
                client_nonce: hello.nonce.clone().try_into().unwrap_or([0; 32]),
                server_nonce: [0; 32],
                binding: binding.unwrap().to_vec(),
            },
            stream,
            hello: ServerHello::default(),
            input: Vec::new(),
            pushes: Vec::new(),
            last_id: 0,
        };
        client.hello = client.frame().await?;
        if let Ok(nonce) = client.hello.nonce.clone().try_into() {
            client.context.server_nonce = nonce;
        }
        Some(client)
    }

    /// The next frame; `None` when the server has closed.
    pub(crate) async fn frame<M: prost::Message + Default>(&mut self) -> Option<M> {
        loop {
            if let Some((message, used)) = decode_frame(&self.input).unwrap() {
                self.input.drain(..used);
                return Some(message);
            }
            let mut part = vec![0; 16 * 1024];
            match self.stream.read(&mut part).await {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.input.extend_from_slice(&part[..read]),
            }
        }
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The same to a server that may be gone.
    pub(crate) async fn try_send(&mut self, body: Body) -> Option<u64> {
        self.last_id += 1;
        let id = self.last_id;
        let body = Some(body);
        let frame = encode_frame(&Request { id, body }).unwrap();
        self.stream.write_all(&frame).await.ok()?;
        self.stream.flush().await.ok()?;
        Some(id)
    }

    /// Sends a request without waiting; gives its id.
    pub(crate) async fn send(&mut self, body: Body) -> u64 {
        self.last_id += 1;
        let request = Request {
            id: self.last_id,
            body: Some(body),
        };
        self.raw(&encode_frame(&request).unwrap()).await;
        self.last_id
    }

    /// The reply to one request; pushes on the way are kept.
    pub(crate) async fn reply(&mut self, id: u64) -> Result<reply::Body, Refusal> {
        loop {
            let reply: Reply = self.frame().await.expect("the server answers");
            match reply.body.unwrap() {
                reply::Body::Refused(refusal) if reply.id == id => return Err(refusal),
                body if reply.id == id => return Ok(body),
                body if reply.id == 0 => self.pushes.push(body),
                body => panic!("an answer to nothing: {body:?}"),
            }
        }
    }

    pub(crate) async fn ask(&mut self, body: Body) -> Result<reply::Body, Refusal> {
        let id = self.send(body).await;
        self.reply(id).await
    }

    /// The next push.
    pub(crate) async fn push(&mut self) -> reply::Body {
        if self.pushes.is_empty() {
            let reply: Reply = self.frame().await.expect("the server pushes");
            assert_eq!(reply.id, 0, "{reply:?}");
            return reply.body.unwrap();
        }
        self.pushes.remove(0)
    }

    /// Pushes that came until now.
    pub(crate) async fn pushes(&mut self) -> Vec<reply::Body> {
        self.ask(Body::Ping(conclave_proto::frame::Ping {}))
            .await
            .unwrap();
        std::mem::take(&mut self.pushes)
    }

    /// The port of this end.
    pub(crate) fn port(&self) -> u16 {
        self.stream.get_ref().0.local_addr().unwrap().port()
    }

    pub(crate) fn certificates(&self) -> usize {
        let tls = self.stream.get_ref().1;
        tls.peer_certificates().map_or(0, <[_]>::len)
    }

    /// The Ed25519 key in the leaf certificate that this connection was shown.
    pub(crate) fn leaf_key(&self) -> Vec<u8> {
        let leaf = &self.stream.get_ref().1.peer_certificates().unwrap()[0];
        let parsed = ParsedCertificate::try_from(leaf).unwrap();
        let info = parsed.subject_public_key_info();
        info.as_ref()[info.len() - 32..].to_vec()
    }

    pub(crate) async fn otp_start(
        &mut self,
        person: &Person,
        invite: &str,
    ) -> Result<OtpStarted, Refusal> {
        let request = OtpStart {
            identifier: person.identifier.clone(),
            identity_fingerprint: person.key().fingerprint().to_vec(),
            invite: invite.to_owned(),
        };
        match self.ask(Body::OtpStart(request)).await? {
            reply::Body::OtpStarted(started) => Ok(started),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn registration(
        &self,
        person: &Person,
        challenge: ChallengeId,
        code: &str,
    ) -> Register {
        let state = person.state(1, Hash32::new([0; 32]));
        let fields = register_fields(challenge, code, state.hash());
        let input = self.context.proof_input(Purpose::Register, &fields);
        Register {
            challenge_id: challenge.to_vec(),
            code: code.to_owned(),
            state: state.to_bytes(),
            certs: vec![person.cert.to_bytes()],
            proof: codec::encode(&person.sign_input(&input)),
            capability_hash: label::hash(label::CAPABILITY_HASH, &person.capability).to_vec(),
        }
    }

    pub(crate) async fn register(
        &mut self,
        person: &Person,
        challenge: ChallengeId,
        code: &str,
    ) -> Result<reply::Body, Refusal> {
        let request = self.registration(person, challenge, code);
        self.ask(Body::Register(request)).await
    }

    pub(crate) async fn authenticate(&mut self, person: &Person) -> Result<reply::Body, Refusal> {
        let fields = account_fields(person.account_id, person.device_id);
        let input = self.context.proof_input(Purpose::Account, &fields);
        self.ask(Body::Authenticate(Authenticate {
            account_id: person.account_id.to_vec(),
            device_id: person.device_id.to_vec(),
            proof: person.device.sign(&input).as_ref().to_vec(),
        }))
        .await
    }

    pub(crate) async fn status(&mut self) -> AccountStatus {
        match self.ask(Body::FetchStatus(FetchStatus {})).await {
            Ok(reply::Body::AccountStatus(status)) => status,
            other => panic!("{other:?}"),
        }
    }
}

/// A person with one device.
pub(crate) struct Person {
    pub(crate) identifier: String,
    pub(crate) account_id: AccountId,
    pub(crate) device_id: DeviceId,
    pub(crate) capability: [u8; 32],
    pub(crate) cert: DeviceCert,
    pub(crate) device: Ed25519KeyPair,
    pub(crate) server_id: ServerId,
    pub(crate) ed25519: Ed25519KeyPair,
    pub(crate) mldsa65: PqdsaKeyPair,
    pub(crate) states: std::sync::Mutex<Option<AccountState>>,
}

impl Person {
    pub(crate) fn new(server: impl Into<Place>, identifier: &str) -> Self {
        let server_id = server.into().server_id;
        let (ed25519, device) = (
            Ed25519KeyPair::generate().unwrap(),
            Ed25519KeyPair::generate().unwrap(),
        );
        let mldsa65 = PqdsaKeyPair::generate(&ML_DSA_65_SIGNING).unwrap();
        let mut capability = [0; 32];
        OsEnv.fill(&mut capability);
        let key = identity_key(&ed25519, &mldsa65);
        let content = DeviceCertContent {
            suite: SUITE_ED25519_MLDSA65,
            identity_fingerprint: key.fingerprint(),
            server_id,
            account_id: AccountId::random(&OsEnv),
            generation: 1,
            device_id: DeviceId::random(&OsEnv),
            leaf_key: device.public_key().as_ref().try_into().unwrap(),
            inbox_key: vec![1; XWING_KEY_BYTES].into(),
            role: DeviceRole::Certifier,
            not_before_ms: 0,
            not_after_ms: u64::MAX,
        };
        let cert = certificate(&ed25519, &mldsa65, &device, content);
        Self {
            identifier: identifier.to_owned(),
            account_id: cert.content.account_id,
            device_id: cert.content.device_id,
            capability,
            cert,
            device,
            server_id,
            ed25519,
            mldsa65,
            states: std::sync::Mutex::new(None),
        }
    }

    pub(crate) fn key(&self) -> IdentityKey {
        identity_key(&self.ed25519, &self.mldsa65)
    }

    /// A state that lists the one device; the first one stays the same.
    pub(crate) fn state(&self, seq: u64, prev_hash: Hash32) -> AccountState {
        let mut first = self.states.lock().unwrap();
        if seq == 1
            && let Some(state) = &*first
        {
            return state.clone();
        }
        let entry = DeviceEntry {
            device_id: self.device_id,
            cert_hash: self.cert.hash(),
        };
        let state = self.state_of(seq, prev_hash, vec![entry], FLAG_DISCOVERABLE);
        if seq == 1 {
            *first = Some(state.clone());
        }
        state
    }

    pub(crate) fn state_of(
        &self,
        seq: u64,
        prev_hash: Hash32,
        devices: Vec<DeviceEntry>,
        flags: u32,
    ) -> AccountState {
        let content = AccountStateContent {
            suite: SUITE_ED25519_MLDSA65,
            server_id: self.server_id,
            account_id: self.account_id,
            generation: 1,
            seq,
            prev_hash,
            issued_ms: 1,
            identity: self.key(),
            former: vec![],
            devices,
            recovery_key_hash: Hash32::new([0; 32]),
            flags,
        };
        let input = label::signing_input(label::ACCOUNT_STATE, &codec::encode(&content));
        let signature = self.sign_input(&input);
        AccountState {
            content,
            signature,
            rotation: None,
        }
    }

    /// This person's device, certified by `identity` for `generation`.
    pub(crate) fn cert_by(&self, identity: &Self, generation: u32) -> DeviceCert {
        let content = DeviceCertContent {
            identity_fingerprint: identity.key().fingerprint(),
            generation,
            ..self.cert.content.clone()
        };
        identity.certify(&self.device, content)
    }

    /// `content` certified by this person's key and by the device that has `device`.
    pub(crate) fn certify(
        &self,
        device: &Ed25519KeyPair,
        content: DeviceCertContent,
    ) -> DeviceCert {
        certificate(&self.ed25519, &self.mldsa65, device, content)
    }

    /// `content` signed by this person's key, and by `former`'s when that is given.
    pub(crate) fn sign_state(
        &self,
        content: AccountStateContent,
        former: Option<&Self>,
    ) -> AccountState {
        let bytes = codec::encode(&content);
        let sign = |key: &Self, label| key.sign_input(&label::signing_input(label, &bytes));
        AccountState {
            signature: sign(self, label::ACCOUNT_STATE),
            rotation: former.map(|former| sign(former, label::ACCOUNT_STATE_ROTATION)),
            content,
        }
    }

    pub(crate) fn sign_input(&self, input: &[u8]) -> HybridSignature {
        sign_both(&self.ed25519, &self.mldsa65, input)
    }
}

fn certificate(
    ed25519: &Ed25519KeyPair,
    mldsa65: &PqdsaKeyPair,
    device: &Ed25519KeyPair,
    content: DeviceCertContent,
) -> DeviceCert {
    let possession = codec::encode(&content.possession());
    let possession = label::signing_input(label::DEVICE_CERT_POSSESSION, &possession);
    let input = label::signing_input(label::DEVICE_CERT, &codec::encode(&content));
    DeviceCert {
        identity_signature: sign_both(ed25519, mldsa65, &input),
        possession_signature: device.sign(&possession).as_ref().to_vec().into(),
        content,
    }
}

fn identity_key(ed25519: &Ed25519KeyPair, mldsa65: &PqdsaKeyPair) -> IdentityKey {
    IdentityKey {
        suite: SUITE_ED25519_MLDSA65,
        ed25519: ed25519.public_key().as_ref().try_into().unwrap(),
        mldsa65: mldsa65.public_key().as_ref().to_vec().into(),
    }
}

fn sign_both(ed25519: &Ed25519KeyPair, mldsa65: &PqdsaKeyPair, input: &[u8]) -> HybridSignature {
    let mut quantum = vec![0; ML_DSA_65_SIGNING.signature_len()];
    mldsa65.sign(input, &mut quantum).unwrap();
    HybridSignature {
        ed25519: ed25519.sign(input).as_ref().to_vec().into(),
        mldsa65: quantum.into(),
    }
}
