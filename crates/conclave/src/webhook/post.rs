//! One post: signed, at most ten seconds, no redirects, nothing read but the head of the answer.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use conclave_client::{Client, ClientError};
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::Target;

/// A post takes at most this long, from the look-up of the name to the answer's head.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What is posted.
#[derive(Debug)]
pub(super) struct Post<'a> {
    /// Where to.
    pub(super) target: &'a Target,
    /// What to sign with.
    pub(super) secret: &'a [u8],
    /// The event's number, or what else names the post.
    pub(super) name: String,
    /// When it is posted, ms since 1970-01-01 UTC.
    pub(super) now_ms: u64,
    /// JSON.
    pub(super) body: String,
}

impl Post<'_> {
    /// Posts it; why it failed else. Only an answer of 200 to 299 is well: a redirect is not followed.
    pub(super) async fn send(self) -> Result<(), String> {
        let sent = tokio::time::timeout(TIMEOUT, self.exchange()).await;
        let status = sent.map_err(|_| "no answer within 10 s".to_owned())??;
        if status.is_success() {
            return Ok(());
        }
        Err(format!("the answer was {}", status.as_u16()))
    }

    async fn exchange(self) -> Result<StatusCode, String> {
        let stream = self.target.connect().await?;
        if !self.target.is_secret {
            return self.over(stream).await;
        }
        let name = ServerName::try_from(self.target.host.clone());
        let name = name.map_err(|_| "the host's name cannot be checked".to_owned())?;
        let connector = TlsConnector::from(Arc::new(config()?));
        let stream = connector.connect(name, stream).await;
        let stream = stream.map_err(|error| format!("the host cannot be trusted: {error}"))?;
        self.over(stream).await
    }

    async fn over(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<StatusCode, String> {
        let broken = |error: hyper::Error| format!("the connection broke: {error}");
        let mut builder = hyper::client::conn::http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX);
        let (mut sender, connection) = builder
            .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let exchange = async {
            let answer = sender.send_request(self.request()?).await;
            // Its body is not read.
            answer.map(|answer| answer.status()).map_err(broken)
        };
        tokio::pin!(connection, exchange);
        tokio::select! {
            biased;
            status = &mut exchange => status,
            ended = &mut connection => match ended {
                Ok(()) => exchange.await,
                Err(error) => Err(broken(error)),
            },
        }
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, String> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.target.path)
            .header(HOST, &self.target.authority)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("conclave/", env!("CARGO_PKG_VERSION")))
            .header("conclave-event", &self.name)
            .header(
                "conclave-signature",
                sign(self.secret, self.now_ms, &self.body),
            )
            .body(Full::from(self.body.clone()));
        request.map_err(|error| error.to_string())
    }
}

/// `t=SECONDS,v1=HEX`: HMAC-SHA256 over the seconds, a full stop and the body.
fn sign(secret: &[u8], now_ms: u64, body: &str) -> String {
    let seconds = now_ms / 1000;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, format!("{seconds}.{body}").as_bytes());
    format!("t={seconds},v1={}", hex::encode(tag.as_ref()))
}

/// Trusts whom this machine trusts.
fn config() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Posts something to a webhook that is no event, now; why it failed.
pub(crate) async fn test(
    client: &Client,
    id: &str,
    now_ms: u64,
) -> Result<Result<(), String>, ClientError> {
    let (url, secret) = client.webhook_target(id)?;
    let target = match Target::parse(&url) {
        Ok(target) => target,
        Err(why) => return Ok(Err(why)),
    };
    let post = Post {
        target: &target,
        secret: &secret,
        name: "test".to_owned(),
        now_ms,
        body: json!({"v": 1, "type": "test"}).to_string(),
    };
    Ok(post.send().await)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signature that the documents describe, pinned: `printf '1700000000.{}' | openssl dgst -sha256 -hmac KEY`.
    #[test]
    fn signatures_are_as_documented() {
        let signature = sign(b"0123456789abcdef", 1_700_000_000_999, "{}");
        let expected =
            "t=1700000000,v1=e4f8e2ecae2295b2ddb2f0b5584c8275e226c0ebe9b3b819e70156bb67122e3e";
        assert_eq!(signature, expected);
        assert_ne!(sign(b"0123456789abcdef", 1_700_000_001_000, "{}"), expected);
    }

    /// A post of the word `secret` to `url`; how it went.
    async fn send_to(url: &str) -> Result<(), String> {
        let target = Target::parse(url).unwrap();
        let post = Post {
            target: &target,
            secret: b"0123456789abcdef0123456789abcdef",
            name: "1".to_owned(),
            now_ms: 0,
            body: "secret".to_owned(),
        };
        post.send().await
    }

    /// A target that takes the post and never answers is a failure after ten seconds.
    #[tokio::test(start_paused = true)]
    async fn a_target_that_hangs_is_a_failure() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let begin = tokio::time::Instant::now();
        let sent = send_to(&url).await;
        assert_eq!(sent, Err("no answer within 10 s".to_owned()));
        assert_eq!(begin.elapsed(), TIMEOUT);
    }

    /// An https target that cannot show who it is gets nothing of what is posted.
    #[tokio::test]
    async fn a_target_that_cannot_be_trusted_gets_nothing() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/hook", listener.local_addr().unwrap());
        let heard = std::thread::spawn(move || {
            use std::io::{Read as _, Write as _};
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = vec![0; 4096];
            let length = stream.read(&mut heard).unwrap();
            heard.truncate(length);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .unwrap();
            heard
        });
        let why = send_to(&url).await.unwrap_err();
        assert!(why.starts_with("the host cannot be trusted"), "{why}");
        let heard = heard.join().unwrap();
        assert!(heard.starts_with(&[0x16, 3, 1]), "a TLS hello");
        assert!(!heard.windows(6).any(|words| words == b"secret"));
    }
}
