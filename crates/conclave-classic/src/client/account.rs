//! What an account does: register, log in, send, fetch, listen.

use conclave_proto::env::SharedEnv;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::folder::Outgoing;
use super::{AccountFile, ClientError, Connection, Folder};
use crate::keys::{PrivateKey, PublicKey};
use crate::message::{Message, from_base64, to_base64};
use crate::signed;
use crate::suite::Suite;
use crate::wire::{Code, Delivery, FETCH_MAX, Receipt, Request};

/// A registration whose code is on its way.
#[derive(Debug)]
pub struct Registration {
    connection: Connection,
    folder: Folder,
    account: AccountFile,
    key: PrivateKey,
    session: String,
}

/// An account on this machine, its key open.
#[derive(Debug)]
pub struct Account {
    folder: Folder,
    file: AccountFile,
    key: PrivateKey,
    env: SharedEnv,
}

/// An account that is logged in.
#[derive(Debug)]
pub struct Session {
    account: Account,
    connection: Connection,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// Somebody wrote.
    Message {
        /// 32 hex digits.
        id: String,
        /// Who.
        sender: String,
        /// When, as they say; Unix seconds.
        at: u64,
        /// What; `Err` says why it cannot be read.
        text: Result<String, String>,
    },
    /// Somebody has what you wrote.
    Receipt(Receipt),
}

impl Registration {
    /// Makes a key, keeps it under `passphrase`, and asks for a code. A key of an earlier try is taken again.
    pub async fn start(
        folder: Folder,
        account: AccountFile,
        passphrase: &str,
    ) -> Result<Self, ClientError> {
        let suite = account.suite;
        let server_key = PublicKey::from_pem(suite, &account.server_key)?;
        let mut connection = Connection::open(&account.server, &server_key).await?;
        let key = match folder.key(suite, passphrase) {
            Ok(key) => key,
            Err(ClientError::NoAccount(_)) => {
                let key = PrivateKey::generate(suite)?;
                folder.keep_key(&key, passphrase)?;
                key
            }
            Err(error) => return Err(error),
        };
        let request = Request::Register {
            suite,
            phone: account.phone.clone(),
        };
        let reply = connection.call(&request).await?;
        let session = field(&reply, "session")?;
        Ok(Self {
            connection,
            folder,
            account,
            key,
            session,
        })
    }

    /// Brings the code. A wrong one may be tried again.
    pub async fn finish(&mut self, code: &str) -> Result<(), ClientError> {
        let server_key = self.connection.server_key.clone();
        let public_key = self.key.public().to_pem();
        let refused = |error| ClientError::Message(crate::message::MessageError::Refused(error));
        let otp = server_key.wrap(signed::OTP_INFO, code.trim().as_bytes());
        let text = signed::verify(&self.session, &public_key);
        let signature = self.key.sign(&text).map_err(refused)?;
        let request = Request::Verify {
            session: self.session.clone(),
            public_key: public_key.clone(),
            encrypted_otp: to_base64(&otp.map_err(refused)?),
            signature: to_base64(&signature),
        };
        let reply = self.connection.call(&request).await?;
        let text = signed::registered(&self.account.phone, &public_key);
        check_server(&server_key, &reply, &text, "the registration")?;
        self.folder.keep_account(&self.account)
    }
}

impl Account {
    /// Opens the account in a folder, to be used with the server that `file` names.
    pub fn open(
        folder: Folder,
        file: AccountFile,
        passphrase: &str,
        env: SharedEnv,
    ) -> Result<Self, ClientError> {
        let key = folder.key(file.suite, passphrase)?;
        Ok(Self {
            folder,
            file,
            key,
            env,
        })
    }

    /// Connects, checks the server's key, logs in, and sends again what may not have been accepted.
    pub async fn log_in(self) -> Result<Session, ClientError> {
        let known = PublicKey::from_pem(self.file.suite, &self.file.server_key)?;
        let mut connection = Connection::open(&self.file.server, &known).await?;
        let phone = self.file.phone.clone();
        let request = Request::Login {
            phone: phone.clone(),
        };
        let nonce: String = field(&connection.call(&request).await?, "nonce")?;
        let signature = self.key.sign(&signed::login(&phone, &nonce));
        let signature = signature.map_err(crate::message::MessageError::Refused)?;
        let signature = to_base64(&signature);
        connection.call(&Request::Prove { signature }).await?;
        let mut session = Session {
            account: self,
            connection,
        };
        if let Some(outgoing) = session.account.folder.outbox()? {
            session.send_again(&outgoing).await?;
        }
        Ok(session)
    }
}

impl Session {
    /// Encrypts, signs, keeps and sends `text`; gives the message id once the server has it on disk.
    pub async fn send(&mut self, recipient: &str, text: &str) -> Result<String, ClientError> {
        let to = self.key_of(recipient).await?;
        let Account {
            folder,
            file,
            key,
            env,
        } = &self.account;
        let (from, own) = (
            (file.phone.as_str(), key),
            (file.phone.as_str(), key.public()),
        );
        let at = env.now_ms() / 1_000;
        let outgoing = Outgoing {
            message: Message::seal(from, (recipient, &to), text, at)?,
            copy: Message::seal(from, own, text, at)?,
        };
        folder.keep_outbox(Some(&outgoing))?;
        self.post(&outgoing.message).await
    }

    /// What may not have been accepted goes out as it was, or, when it is too old for that, sealed afresh.
    async fn send_again(&mut self, outgoing: &Outgoing) -> Result<(), ClientError> {
        match self.post(&outgoing.message).await {
            Err(ClientError::Refused {
                code: Code::BadTimestamp,
                ..
            }) => {
                let key = &self.account.key;
                let text = outgoing.copy.open(key, key.public())?;
                let recipient = outgoing.message.recipient_id.clone();
                self.send(&recipient, &text).await.map(|_| ())
            }
            posted => posted.map(|_| ()),
        }
    }

    /// Posts the message that is in the outbox. "Accepted before" is accepted; a refusal that another try cannot
    /// change drops it.
    async fn post(&mut self, message: &Message) -> Result<String, ClientError> {
        let id = message.id(self.account.file.suite);
        let request = Request::Send {
            message: Some(message.clone()),
            sealed: None,
        };
        let told = match self.connection.call(&request).await {
            Ok(reply) => Ok(field(&reply, "message_id")?),
            Err(ClientError::Refused { code, message }) => match code {
                Code::Replay => Ok(id),
                Code::Busy | Code::QueueFull | Code::BadTimestamp | Code::Internal => {
                    return Err(ClientError::Refused { code, message });
                }
                _ => Err(ClientError::Refused { code, message }),
            },
            Err(error) => return Err(error),
        };
        self.account.folder.keep_outbox(None)?;
        told
    }

    /// Somebody's key as the server signs it, compared with the one that was seen first.
    async fn key_of(&mut self, phone: &str) -> Result<PublicKey, ClientError> {
        let key = self.fetch_key(phone).await?;
        match self.account.folder.pin(phone)? {
            Some(pin) if pin == key => {}
            Some(_) => return Err(ClientError::KeyChanged(phone.to_owned())),
            None => self.account.folder.keep_pin(phone, &key)?,
        }
        Ok(key)
    }

    /// Somebody's key, PEM; with `accept` it replaces the one that was seen before.
    pub async fn show_key(&mut self, phone: &str, accept: bool) -> Result<String, ClientError> {
        let key = if accept {
            let key = self.fetch_key(phone).await?;
            self.account.folder.keep_pin(phone, &key)?;
            key
        } else {
            self.key_of(phone).await?
        };
        Ok(key.to_pem())
    }

    async fn fetch_key(&mut self, phone: &str) -> Result<PublicKey, ClientError> {
        let request = Request::Key {
            phone: phone.to_owned(),
        };
        let reply = self.connection.call(&request).await?;
        let (suite, pem): (Suite, String) = (field(&reply, "suite")?, field(&reply, "public_key")?);
        if suite != self.connection.suite() {
            return Err(ClientError::OtherSuite(phone.to_owned()));
        }
        let text = signed::key(suite, phone, &pem);
        check_server(&self.connection.server_key, &reply, &text, "a key")?;
        Ok(PublicKey::from_pem(suite, &pem)?)
    }

    /// Everything that waits: kept on disk first, then acknowledged, then given.
    pub async fn fetch(&mut self) -> Result<Vec<Incoming>, ClientError> {
        let mut all = Vec::new();
        loop {
            let request = Request::Fetch {
                max: Some(FETCH_MAX),
            };
            let reply = self.connection.call(&request).await?;
            let messages: Vec<Delivery> = field(&reply, "messages")?;
            let receipts: Vec<Receipt> = field(&reply, "receipts")?;
            if messages.is_empty() && receipts.is_empty() {
                return Ok(all);
            }
            all.extend(self.take(messages, receipts).await?);
        }
    }

    /// Tells the server to push from now on.
    pub async fn listen(&mut self) -> Result<(), ClientError> {
        self.connection.call(&Request::Listen).await.map(|_| ())
    }

    /// The next thing that comes while listening, however long it takes.
    pub async fn next(&mut self) -> Result<Vec<Incoming>, ClientError> {
        let mut event = self.connection.event().await?;
        let kind = event.remove("event").unwrap_or_default();
        let body = Value::Object(event);
        let bad = |_| ClientError::BadAnswer("an event that cannot be read");
        match kind.as_str() {
            Some("message") => {
                let message = serde_json::from_value(body).map_err(bad)?;
                self.take(vec![message], Vec::new()).await
            }
            Some("receipt") => {
                let receipt = serde_json::from_value(body).map_err(bad)?;
                self.take(Vec::new(), vec![receipt]).await
            }
            _ => Err(ClientError::BadAnswer("an event of no known kind")),
        }
    }

    /// Says goodbye.
    pub async fn quit(mut self) -> Result<(), ClientError> {
        self.connection.call(&Request::Quit).await.map(|_| ())
    }

    /// Every message that was ever kept, opened again.
    pub async fn history(&mut self) -> Result<Vec<Incoming>, ClientError> {
        let mut all = Vec::new();
        for delivery in self.account.folder.messages()? {
            all.push(self.open(delivery).await?);
        }
        Ok(all)
    }

    async fn take(
        &mut self,
        messages: Vec<Delivery>,
        receipts: Vec<Receipt>,
    ) -> Result<Vec<Incoming>, ClientError> {
        let message_ids = messages.iter().map(|row| row.message_id.clone()).collect();
        let receipt_ids = receipts.iter().map(|row| row.message_id.clone()).collect();
        let messages = self.account.folder.keep_messages(messages)?;
        let receipts = self.account.folder.keep_receipts(receipts)?;
        let request = Request::Ack {
            message_ids,
            receipts: receipt_ids,
        };
        self.connection.call(&request).await?;
        let mut all = Vec::new();
        for delivery in messages {
            all.push(self.open(delivery).await?);
        }
        all.extend(receipts.into_iter().map(Incoming::Receipt));
        Ok(all)
    }

    /// Checks everything again. What does not hold is shown with its reason, never dropped.
    async fn open(&mut self, delivery: Delivery) -> Result<Incoming, ClientError> {
        let Delivery {
            message_id,
            message,
        } = delivery;
        let text = match self.key_of(&message.sender_id).await {
            Ok(key) => self.open_with(&message_id, &message, &key),
            Err(
                error @ (ClientError::KeyChanged(_)
                | ClientError::OtherSuite(_)
                | ClientError::Refused { .. }),
            ) => Err(error.to_string()),
            Err(error) => return Err(error),
        };
        Ok(Incoming::Message {
            id: message_id,
            sender: message.sender_id,
            at: message.timestamp,
            text,
        })
    }

    fn open_with(&self, id: &str, message: &Message, key: &PublicKey) -> Result<String, String> {
        let file = &self.account.file;
        if message.recipient_id != file.phone {
            return Err("the message is for somebody else".to_owned());
        }
        if message.id(file.suite) != id {
            return Err("the message does not have the id that the server gave it".to_owned());
        }
        message
            .open(&self.account.key, key)
            .map_err(|error| error.to_string())
    }
}

fn field<T: DeserializeOwned>(
    reply: &Map<String, Value>,
    name: &'static str,
) -> Result<T, ClientError> {
    let value = reply.get(name).cloned().unwrap_or_default();
    serde_json::from_value(value).map_err(|_| ClientError::BadAnswer(name))
}

fn check_server(
    server_key: &PublicKey,
    reply: &Map<String, Value>,
    text: &[u8],
    over: &'static str,
) -> Result<(), ClientError> {
    let signature: String = field(reply, "signature")?;
    let signature = from_base64(&signature).map_err(|_| ClientError::BadAnswer("signature"))?;
    server_key
        .verify(text, &signature)
        .map_err(|_| ClientError::ServerSignature(over))
}
