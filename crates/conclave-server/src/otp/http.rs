//! Sends codes as signed JSON webhooks: enough for any SMS gateway (docs/operating.md, "Webhook").
//!
//! `POST` of `{"id", "kind", "to", "code", "text", "expires_at"}`. The header `Conclave-Signature` is
//! `v1=` and the hex of HMAC-SHA256 under the shared secret over `<Conclave-Timestamp>.<body>`. The id
//! stays the same over every retry and restart, so that the receiver acts once (C-076).

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::reach::{is_loopback, secret, tls};
use super::{CodeMessage, Leaving, SendError, SendFuture, Sender, SetupError};
use crate::config::HttpSection;

/// How long one request may take, connecting included.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of an answer's head; its body is not read.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a secret: enough that nobody guesses it.
const SECRET_BYTES_MIN: usize = 16;

/// Sends codes to one address.
pub struct HttpSender {
    host: String,
    port: u16,
    /// As it goes into the `Host` header.
    authority: String,
    path: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    key: hmac::Key,
    patience: Duration,
}

impl std::fmt::Debug for HttpSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HttpSender")
    }
}

#[derive(Serialize)]
struct Body<'a> {
    id: String,
    kind: &'static str,
    to: &'a str,
    code: &'a str,
    text: String,
    /// Seconds since 1970-01-01 UTC.
    expires_at: u64,
}

impl HttpSender {
    /// The sender that the settings describe. Nothing is connected yet.
    pub fn new(section: &HttpSection) -> Result<Self, SetupError> {
        if section.url.expose().is_empty() {
            return Err(SetupError::Missing("otp.http.url", "http"));
        }
        let wrong =
            || SetupError::Wrong("otp.http.url", "an address as in https://sms.example/send");
        let uri: Uri = section.url.expose().parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let host = authority.host().to_owned();
        if authority.as_str().contains('@') {
            return Err(wrong());
        }
        let (tls, default_port) = match uri.scheme_str() {
            Some("https") => {
                let bare = host
                    .trim_start_matches('[')
                    .trim_end_matches(']')
                    .to_owned();
                let name = ServerName::try_from(bare).map_err(|_| wrong())?;
                let connector = TlsConnector::from(Arc::new(tls(&section.ca_file)?));
                (Some((connector, name)), 443)
            }
            // C-077: unencrypted only to this machine.
            Some("http") if is_loopback(&host) => (None, 80),
            Some("http") => return Err(SetupError::Unencrypted("otp.http.url")),
            _ => return Err(wrong()),
        };
        Ok(Self {
            port: authority.port_u16().unwrap_or(default_port),
            authority: authority.as_str().to_owned(),
            path: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
            host,
            tls,
            key: key(section)?,
            patience: PATIENCE,
        })
    }

    /// The same with other patience for one request.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    async fn post(&self, message: &CodeMessage) -> Result<(), SendError> {
        let body = body(message)?;
        let request = self.request(message, body)?;
        let status = match timeout(self.patience, self.exchange(request)).await {
            Ok(status) => status?,
            Err(_) => return Err(later("the webhook takes too long")),
        };
        judge(status)
    }

    fn request(&self, message: &CodeMessage, body: String) -> Result<Request<String>, SendError> {
        let at = (message.now_ms / 1000).to_string();
        let tag = hmac::sign(&self.key, format!("{at}.{body}").as_bytes());
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", message.send_id.to_string())
            .header("Conclave-Timestamp", at)
            .header(
                "Conclave-Signature",
                format!("v1={}", hex::encode(tag.as_ref())),
            )
            .body(body);
        request.map_err(|_| SendError::Refused("the webhook's address does not hold".to_owned()))
    }

    async fn exchange(&self, request: Request<String>) -> Result<StatusCode, SendError> {
        let unreachable =
            |error: std::io::Error| later(&format!("the webhook cannot be reached: {error}"));
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let socket = TcpStream::connect((bare, self.port))
            .await
            .map_err(unreachable)?;
        match &self.tls {
            None => ask(socket, request).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), socket).await;
                ask(stream.map_err(unreachable)?, request).await
            }
        }
    }

    async fn try_tls(&self) -> Result<(), SendError> {
        let unreachable =
            |error: std::io::Error| later(&format!("the webhook cannot be reached: {error}"));
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let socket = TcpStream::connect((bare, self.port))
            .await
            .map_err(unreachable)?;
        if let Some((connector, name)) = &self.tls {
            connector
                .connect(name.clone(), socket)
                .await
                .map_err(unreachable)?;
        }
        Ok(())
    }
}

impl Sender for HttpSender {
    /// Leaves `leaving` alone: the receiver knows a repetition by its id.
    fn send<'a>(&'a self, message: &'a CodeMessage, _leaving: &'a dyn Leaving) -> SendFuture<'a> {
        Box::pin(self.post(message))
    }

    fn probe(&self) -> SendFuture<'_> {
        Box::pin(async move {
            match timeout(self.patience, self.try_tls()).await {
                Ok(reached) => reached,
                Err(_) => Err(later("the webhook takes too long")),
            }
        })
    }
}

/// One request on one connection; only the status of the answer is read.
async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<String>,
) -> Result<StatusCode, SendError> {
    let broken = |_| later("the webhook's answer makes no sense, or none came");
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) = builder
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let answer = sender.send_request(request);
    tokio::pin!(connection, answer);
    tokio::select! {
        biased;
        answer = &mut answer => Ok(answer.map_err(broken)?.status()),
        // the connection may end right after the answer: it has the first word then
        _ = &mut connection => Ok(answer.await.map_err(broken)?.status()),
    }
}

fn judge(status: StatusCode) -> Result<(), SendError> {
    if status.is_success() {
        return Ok(());
    }
    let number = status.as_u16();
    if status.is_redirection() {
        let text = format!("the webhook answered {number}: redirects are not followed");
        return Err(SendError::Refused(text));
    }
    let text = format!("the webhook answered {number}");
    // request timeout, too early, too many requests: the receiver asks for another try
    if status.is_server_error() || matches!(number, 408 | 425 | 429) {
        return Err(SendError::Later(text));
    }
    Err(SendError::Refused(text))
}

fn body(message: &CodeMessage) -> Result<String, SendError> {
    let body = Body {
        id: message.send_id.to_string(),
        kind: if message.identifier.is_email() {
            "mail"
        } else {
            "sms"
        },
        to: message.identifier.as_str(),
        code: &message.code,
        text: format!("{} is your Conclave code. Give it to nobody.", message.code),
        expires_at: message.expires_ms / 1000,
    };
    serde_json::to_string(&body).map_err(|_| later("the webhook's body cannot be written"))
}

fn later(text: &str) -> SendError {
    SendError::Later(text.to_owned())
}

fn key(section: &HttpSection) -> Result<hmac::Key, SetupError> {
    let text = match section.secret_file.as_str() {
        "" => section.secret.expose().to_owned(),
        file => secret(file)?,
    };
    if text.is_empty() {
        return Err(SetupError::Missing("otp.http.secret_file", "http"));
    }
    if text.len() < SECRET_BYTES_MIN {
        let what = "a secret of at least 16 bytes, as `openssl rand -hex 32` prints one";
        return Err(SetupError::Wrong("otp.http.secret", what));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which answers end a code, and which earn another try.
    #[test]
    fn answers_are_judged() {
        let judged = |number| judge(StatusCode::from_u16(number).unwrap());
        for good in [200, 201, 202, 204] {
            assert_eq!(judged(good), Ok(()));
        }
        for again in [408, 425, 429, 500, 502, 503, 504] {
            assert!(matches!(judged(again), Err(SendError::Later(_))), "{again}");
        }
        for over in [301, 302, 307, 308, 400, 401, 403, 404, 410, 422] {
            assert!(matches!(judged(over), Err(SendError::Refused(_))), "{over}");
        }
    }
}
