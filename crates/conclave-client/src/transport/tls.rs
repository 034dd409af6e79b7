//! TLS 1.3 to a pinned server: the configuration and the only code that decides who the server is.

use std::sync::Arc;

use conclave_proto::ALPN;
use conclave_proto::env::SharedEnv;
use conclave_proto::id::ServerId;
use conclave_proto::label::sha256;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::time_provider::TimeProvider;
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, Error, PeerIncompatible,
    RootCertStore, SignatureScheme,
};

use super::TransportError;

/// The name in every server's leaf: the pin says who it is, not the DNS.
pub(crate) const SERVER_NAME: &str = "server.conclave.invalid";
/// How wrong the clock of a device may be for the leaf's dates, in seconds.
const CLOCK_SKEW_S: u64 = 24 * 3600;
/// SubjectPublicKeyInfo of an Ed25519 key up to the key itself (RFC 8410 §4).
const ED25519_SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// A fresh configuration for connections of one role: nothing in it is shared with another role.
#[expect(
    clippy::expect_used,
    reason = "the aws-lc-rs provider always offers TLS 1.3"
)]
pub(super) fn config(server_id: ServerId, env: &SharedEnv) -> Arc<ClientConfig> {
    // X25519MLKEM768 comes first in this provider (feature `prefer-post-quantum`)
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = PinVerifier {
        server_id,
        provider: provider.clone(),
    };
    let clock = Arc::new(EnvClock(env.clone()));
    let mut config = ClientConfig::builder_with_details(provider, clock)
        // C-008, C-009: nothing below TLS 1.3
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3 suites")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    // two connections of one person must not be linkable by a ticket, nor one replayed
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    Arc::new(config)
}

/// The raw Ed25519 key of a leaf certificate; `None` when it is malformed or of another kind.
pub(super) fn leaf_key(leaf: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let parsed = ParsedCertificate::try_from(leaf).ok()?;
    let spki = parsed.subject_public_key_info();
    spki.as_ref()
        .strip_prefix(&ED25519_SPKI)
        .and_then(|key| key.try_into().ok())
}

/// What a failed handshake means for the person.
pub(super) fn handshake_error(error: &std::io::Error) -> TransportError {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<Error>());
    match inner {
        None => TransportError::Unreachable(error.to_string()),
        Some(Error::InvalidCertificate(reason)) => TransportError::WrongServer(describe(reason)),
        Some(
            Error::PeerIncompatible(_)
            | Error::AlertReceived(
                AlertDescription::ProtocolVersion
                | AlertDescription::HandshakeFailure
                | AlertDescription::NoApplicationProtocol,
            ),
        ) => TransportError::Incompatible,
        Some(Error::InvalidMessage(_)) => TransportError::Protocol("it does not speak TLS"),
        Some(_) => TransportError::Protocol("its TLS handshake failed"),
    }
}

fn describe(reason: &CertificateError) -> &'static str {
    use CertificateError as E;
    match reason {
        E::ApplicationVerificationFailure => "its root key is not the one in the address",
        E::UnknownIssuer => "its certificates are not one leaf under one root",
        E::BadSignature => "a signature of its certificate or handshake does not verify",
        E::Expired | E::ExpiredContext { .. } => {
            "its certificate has expired, or the clock of this device is wrong"
        }
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "its certificate is not valid yet, or the clock of this device is wrong"
        }
        _ => "its certificate is not a conclave server's",
    }
}

/// The environment's clock, as TLS wants it.
#[derive(Debug)]
struct EnvClock(SharedEnv);

impl TimeProvider for EnvClock {
    fn current_time(&self) -> Option<UnixTime> {
        let ms = self.0.now_ms();
        Some(UnixTime::since_unix_epoch(
            core::time::Duration::from_millis(ms),
        ))
    }
}

/// Accepts exactly leaf and root, the root by its hash in the address, the leaf under that root.
#[derive(Debug)]
struct PinVerifier {
    server_id: ServerId,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // C-008: exactly leaf and root, and the root is the pinned one
        let [root] = rest else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        let parsed = ParsedCertificate::try_from(root)?;
        let root_id = sha256(&parsed.subject_public_key_info());
        if root_id.as_bytes() != self.server_id.as_bytes() {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        // heads are signed with the leaf's key, so it is Ed25519
        if leaf_key(leaf).is_none() {
            return Err(CertificateError::BadEncoding.into());
        }
        self.verify_leaf(leaf, root, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // C-009: nothing below TLS 1.3 verifies
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // C-009: whoever answers holds the leaf's private key
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl PinVerifier {
    /// Verifies the leaf under exactly this root; its dates may be missed by 24 h.
    fn verify_leaf(
        &self,
        leaf: &CertificateDer<'_>,
        root: &CertificateDer<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        use CertificateError as E;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots.into(), self.provider.clone())
                .build()
                .map_err(|_| CertificateError::UnknownIssuer)?;
        let name = ServerName::try_from(SERVER_NAME)
            .map_err(|_| Error::General("the server name is a DNS name".into()))?;
        let verify = |at| verifier.verify_server_cert(leaf, &[], &name, ocsp, at);

        match verify(now) {
            Err(Error::InvalidCertificate(E::Expired | E::ExpiredContext { .. })) => {
                verify(seconds(now.as_secs().saturating_sub(CLOCK_SKEW_S)))
            }
            Err(Error::InvalidCertificate(E::NotValidYet | E::NotValidYetContext { .. })) => {
                verify(seconds(now.as_secs().saturating_add(CLOCK_SKEW_S)))
            }
            result => result,
        }
    }
}

fn seconds(since_epoch: u64) -> UnixTime {
    UnixTime::since_unix_epoch(core::time::Duration::from_secs(since_epoch))
}
