//! One connection: line in, line out; who has logged in, and who listens.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

use super::lines::{self, End, Lines, Replies};
use super::{Account, Gateway, Places, stopped};
use crate::keys::PublicKey;
use crate::message::{from_base64, to_base64};
use crate::signed;
use crate::suite::Suite;
use crate::wire::{self, Code, Refusal, Request};

/// What a request gives: the fields beside `status`.
pub(super) type Answer = Result<Value, Refusal>;

/// Who is logged in on a connection.
#[derive(Debug, Clone)]
pub(super) struct Login {
    /// E.164.
    pub(super) phone: String,
    /// As it was at login.
    pub(super) account: Account,
    /// The key of the account.
    pub(super) key: PublicKey,
}

/// One connection's state.
pub(super) struct Session {
    pub(super) gateway: Arc<Gateway>,
    pub(super) peer: SocketAddr,
    pub(super) login: Option<Login>,
    /// A login that waits for its proof: phone and nonce.
    asked: Option<(String, String)>,
    /// Where a listening client goes on.
    pub(super) listening: Option<Places>,
    wake: Arc<Notify>,
}

/// Serves one connection until either side ends it.
pub(super) async fn run(
    gateway: Arc<Gateway>,
    (socket, peer): (TcpStream, SocketAddr),
    stop: watch::Receiver<bool>,
) {
    let Ok((mut lines, mut replies)) = lines::split(socket) else {
        return;
    };
    let mut session = Session {
        gateway,
        peer,
        login: None,
        asked: None,
        listening: None,
        wake: Arc::default(),
    };
    let ended = session.serve(&mut lines, &mut replies, stop).await;
    session.unlisten();
    if let End::Refused(refusal) = ended {
        // the last line of a connection that ends anyway
        let _ = replies.send(wire::reply(&Err(refusal))).await;
    }
    replies.close().await;
}

impl Session {
    async fn serve(
        &mut self,
        lines: &mut Lines,
        replies: &mut Replies,
        mut stop: watch::Receiver<bool>,
    ) -> End {
        loop {
            let wake = Arc::clone(&self.wake);
            let done = tokio::select! {
                line = lines.next() => match line {
                    Ok(line) => self.one(&line, lines, replies).await,
                    Err(end) => Err(end),
                },
                () = wake.notified(), if self.listening.is_some() => self.push(replies).await,
                () = stopped(&mut stop) => Err(End::Gone),
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    async fn one(
        &mut self,
        line: &[u8],
        lines: &mut Lines,
        replies: &mut Replies,
    ) -> Result<(), End> {
        let request = match wire::parse(line) {
            Ok(request) => request,
            Err(refusal) => return replies.send(wire::reply(&Err(refusal))).await,
        };
        let (is_last, is_listen) = (request == Request::Quit, request == Request::Listen);
        let answer = self.answer(request).await;
        let listens = is_listen && answer.is_ok();
        replies.send(wire::reply(&answer)).await?;
        if listens {
            lines.listen();
            // what waits already is pushed like what comes
            self.wake.notify_one();
        }
        if is_last { Err(End::Gone) } else { Ok(()) }
    }

    async fn answer(&mut self, request: Request) -> Answer {
        match request {
            Request::Hello => Ok(self.hello()),
            Request::Register { suite, phone } => self.register(suite, &phone).await,
            Request::Verify {
                session,
                public_key,
                encrypted_otp,
                signature,
            } => {
                self.verify(&session, public_key, &encrypted_otp, &signature)
                    .await
            }
            Request::Login { phone } => Ok(self.ask(phone)),
            Request::Prove { signature } => self.prove(&signature).await,
            Request::Key { phone } => self.key(&phone).await,
            Request::Send { message, sealed } => self.send(message, sealed).await,
            Request::Fetch { max } => self.fetch(max).await,
            Request::Ack {
                message_ids,
                receipts,
            } => self.ack(message_ids, receipts).await,
            Request::Listen => self.listen(),
            Request::Quit => Ok(json!({})),
        }
    }

    fn hello(&self) -> Value {
        let key = |suite| self.gateway.keys.of(suite).public().to_pem();
        json!({
            "suites": Suite::ALL,
            "public_keys": { "rsa": key(Suite::Rsa), "ec": key(Suite::Ec) },
        })
    }

    /// Looks the same whether or not the phone is registered.
    fn ask(&mut self, phone: String) -> Value {
        let mut nonce = [0; 32];
        self.gateway.backend.env().fill(&mut nonce);
        let nonce = to_base64(&nonce);
        self.asked = Some((phone, nonce.clone()));
        json!({ "nonce": nonce })
    }

    async fn prove(&mut self, signature: &str) -> Answer {
        // a nonce serves once
        let Some((phone, nonce)) = self.asked.take() else {
            let text = "nothing to prove: send `login` first";
            return Err(Refusal::new(Code::LoginRequired, text));
        };
        let signature = base64(signature)?;
        let wrong = || {
            let text = "the proof is not by the key of that phone: log in again, or register";
            Refusal::new(Code::BadSignature, text)
        };
        let account = self.gateway.backend.account(phone.clone()).await?;
        let account = account.ok_or_else(wrong)?;
        let key = PublicKey::from_pem(account.suite, &account.public_key).map_err(|_| wrong())?;
        key.verify(&signed::login(&phone, &nonce), &signature)
            .map_err(|_| wrong())?;
        self.unlisten();
        self.login = Some(Login {
            phone,
            account,
            key,
        });
        Ok(json!({}))
    }

    /// Who is logged in, if that phone still has the key that it logged in with.
    pub(super) async fn logged_in(&self) -> Result<Login, Refusal> {
        let login = self.login.clone().ok_or_else(|| {
            Refusal::new(
                Code::LoginRequired,
                "log in first: send `login`, then `prove`",
            )
        })?;
        let now = self.gateway.backend.account(login.phone.clone()).await?;
        if now.as_ref() != Some(&login.account) {
            let text = "this phone has another key by now: log in again with that";
            return Err(Refusal::new(Code::LoginRequired, text));
        }
        Ok(login)
    }

    fn listen(&mut self) -> Answer {
        let Some(login) = &self.login else {
            let text = "log in first: send `login`, then `prove`";
            return Err(Refusal::new(Code::LoginRequired, text));
        };
        if self.listening.is_none() {
            self.gateway
                .listeners
                .add(&login.phone, Arc::clone(&self.wake));
            self.listening = Some(Places::default());
        }
        Ok(json!({}))
    }

    fn unlisten(&mut self) {
        if let (Some(login), Some(_)) = (&self.login, self.listening.take()) {
            self.gateway.listeners.remove(&login.phone, &self.wake);
        }
    }

    async fn key(&self, phone: &str) -> Answer {
        self.logged_in().await?;
        let account = self.gateway.backend.account(phone.to_owned()).await?;
        let Account { suite, public_key } = account.ok_or_else(unknown_recipient)?;
        let text = signed::key(suite, phone, &public_key);
        let signature = self.gateway.sign(suite, &text)?;
        Ok(json!({ "suite": suite, "public_key": public_key, "signature": signature }))
    }

    async fn push(&mut self, replies: &mut Replies) -> Result<(), End> {
        let Some(lines) = self.next_events().await else {
            return Ok(());
        };
        for line in lines {
            replies.send(line).await?;
        }
        Ok(())
    }

    /// Wakes this connection again: there is more than one page.
    pub(super) fn wake_again(&self) {
        self.wake.notify_one();
    }
}

impl Gateway {
    /// A signature by the server's key of `suite`, as base64.
    pub(super) fn sign(&self, suite: Suite, text: &[u8]) -> Result<String, Refusal> {
        let signature = self.keys.of(suite).sign(text);
        let signature = signature.map_err(|_| {
            Refusal::new(Code::Internal, "the server cannot sign, tell its operator")
        })?;
        Ok(to_base64(&signature))
    }
}

/// Bytes of a field.
pub(super) fn base64(text: &str) -> Result<Vec<u8>, Refusal> {
    from_base64(text).map_err(|error| Refusal::new(Code::BadBase64, error.to_string()))
}

/// Nobody has that phone.
pub(super) fn unknown_recipient() -> Refusal {
    let text = "nobody is registered under that phone: look at its spelling";
    Refusal::new(Code::UnknownRecipient, text)
}
