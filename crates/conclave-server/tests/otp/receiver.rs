//! A web server (hyper) that keeps what it is sent and answers as it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// One request as it came.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Posted {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// The test's end of a web server; it serves until the test ends.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    /// What it answers next; empty = 200.
    pub(crate) script: Arc<Mutex<VecDeque<u16>>>,
    posted: mpsc::UnboundedReceiver<Posted>,
}

#[derive(Clone)]
struct Answers {
    script: Arc<Mutex<VecDeque<u16>>>,
    inlet: mpsc::UnboundedSender<Posted>,
}

impl Receiver {
    /// Without TLS.
    pub(crate) async fn start() -> Self {
        Self::with(None).await
    }

    /// With a certificate and key from these files.
    pub(crate) async fn start_tls(cert: &str, key: &str) -> Self {
        let chain = vec![CertificateDer::from_pem_file(cert).unwrap()];
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key);
        Self::with(Some(TlsAcceptor::from(Arc::new(config.unwrap())))).await
    }

    async fn with(acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (inlet, posted) = mpsc::unbounded_channel();
        let script = Arc::default();
        let answers = Answers {
            script: Arc::clone(&script),
            inlet,
        };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, answers) = (acceptor.clone(), answers.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => answers.serve(socket).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(socket).await {
                                answers.serve(stream).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            script,
            posted,
        }
    }

    pub(crate) fn answers(&self, statuses: &[u16]) {
        self.script.lock().unwrap().extend(statuses);
    }

    /// The next request.
    pub(crate) async fn next(&mut self) -> Posted {
        self.posted.recv().await.unwrap()
    }

    /// Whether nothing came that was not looked at.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.posted.try_recv().is_err()
    }
}

impl Answers {
    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(|request| self.answer(request));
        // a client may go at any time
        let _ = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<String>, Infallible> {
        let line = format!("{} {}", request.method(), request.uri());
        let headers = request.headers().clone();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let posted = Posted {
            line,
            headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        };
        // the test may have ended
        let _ = self.inlet.send(posted);
        let status = self.script.lock().unwrap().pop_front().unwrap_or(200);
        let answer = Response::builder()
            .status(status)
            .header("Location", "/elsewhere")
            .body(String::new());
        Ok(answer.unwrap())
    }
}
