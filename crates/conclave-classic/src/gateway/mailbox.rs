//! Messages in, messages and receipts out.

use serde_json::{Value, json};

use super::session::{Answer, Login, Session, base64, unknown_recipient};
use super::{Places, Pushed, Waiting};
use crate::aead;
use crate::message::{Message, MessageError, TIMESTAMP_SLACK_S};
use crate::signed;
use crate::suite::Suite;
use crate::wire::{self, ACK_MAX, Code, Delivery, FETCH_MAX, LINE_BYTES_MAX, Refusal};

/// Bytes of a message as JSON: with its id it still fits a line of `fetch`.
const MESSAGE_BYTES_MAX: usize = LINE_BYTES_MAX - 1024;
/// Bytes of messages in one answer to `fetch`.
const PAGE_BYTES_MAX: usize = LINE_BYTES_MAX - 512;
/// Messages and receipts of one read while listening.
const PUSH_MAX: u32 = 32;

impl Session {
    /// Takes one message: everything is checked, stored and synced before its id is told.
    pub(super) async fn send(&self, plain: Option<Message>, sealed: Option<String>) -> Answer {
        let login = self.logged_in().await?;
        let message = match (plain, sealed) {
            (Some(message), None) => message,
            (None, Some(sealed)) => self.open_sealed(&login, &sealed)?,
            (Some(_), Some(_)) | (None, None) => {
                let text = "send either a `message` or, with suite ec, one `sealed`";
                return Err(Refusal::new(Code::BadRequest, text));
            }
        };
        self.check(&login, &message).await?;
        let delivery = Delivery {
            message_id: message.id(login.account.suite),
            message,
        };
        let (id, recipient) = (
            delivery.message_id.clone(),
            delivery.message.recipient_id.clone(),
        );
        match self.gateway.backend.push(delivery).await? {
            Pushed::Stored => {}
            Pushed::Replay => return Err(replay(&id)),
            Pushed::Full => {
                let text = "the recipient's queue is full: wait until they fetch";
                return Err(Refusal::new(Code::QueueFull, text));
            }
        }
        self.gateway.listeners.wake(&recipient);
        Ok(json!({ "message_id": id }))
    }

    /// Which step failed is not told.
    fn open_sealed(&self, login: &Login, sealed: &str) -> Result<Message, Refusal> {
        let refused = || {
            let text = "what was sealed does not open to a message under the link key";
            Refusal::new(Code::BadSealed, text)
        };
        let sealed = base64(sealed)?;
        let info = signed::link_info(&login.phone);
        let key = self.gateway.keys.of(Suite::Ec).link(&login.key, &info);
        let key = key.map_err(|_| refused())?;
        let plain = aead::open(&key, &sealed).map_err(|_| refused())?;
        serde_json::from_slice(&plain).map_err(|_| refused())
    }

    async fn check(&self, login: &Login, message: &Message) -> Result<(), Refusal> {
        let bytes = serde_json::to_vec(message).map_or(usize::MAX, |json| json.len());
        if bytes > MESSAGE_BYTES_MAX {
            let text = format!("a message has at most {MESSAGE_BYTES_MAX} bytes as JSON");
            return Err(Refusal::new(Code::TooLong, text));
        }
        if message.sender_id != login.phone {
            let text = "`sender_id` is not the phone that is logged in";
            return Err(Refusal::new(Code::WrongSender, text));
        }
        base64(&message.encrypted_content)?;
        base64(&message.encrypted_aes_key)?;
        message.verify(&login.key).map_err(|error| {
            let code = match error {
                MessageError::Base64 => Code::BadBase64,
                _ => Code::BadSignature,
            };
            Refusal::new(code, error.to_string())
        })?;
        let now_s = self.gateway.backend.env().now_ms() / 1_000;
        if now_s.abs_diff(message.timestamp) > TIMESTAMP_SLACK_S {
            // who asks again after a long silence learns whether the first time was enough
            let id = message.id(login.account.suite);
            if self.gateway.backend.is_known(id.clone()).await? {
                return Err(replay(&id));
            }
            let text =
                "the message's time is more than ten minutes from the server's: set the clock";
            return Err(Refusal::new(Code::BadTimestamp, text));
        }
        let recipient = self
            .gateway
            .backend
            .account(message.recipient_id.clone())
            .await?;
        if recipient.ok_or_else(unknown_recipient)?.suite != login.account.suite {
            return Err(Refusal::new(
                Code::SuiteMismatch,
                MessageError::Suite.to_string(),
            ));
        }
        Ok(())
    }

    /// What waits, oldest first, as much as fits a line.
    pub(super) async fn fetch(&self, max: Option<u32>) -> Answer {
        let login = self.logged_in().await?;
        let max = max.unwrap_or(FETCH_MAX).clamp(1, FETCH_MAX);
        let backend = &self.gateway.backend;
        let waiting = backend.waiting(login.phone, Places::default(), max).await?;
        let mut room = PAGE_BYTES_MAX;
        let messages = fitting(waiting.messages, &mut room);
        let receipts = fitting(waiting.receipts, &mut room);
        Ok(json!({ "messages": messages, "receipts": receipts }))
    }

    /// Forgets what the client has kept. The sender of each message gets a receipt.
    pub(super) async fn ack(&self, messages: Vec<String>, receipts: Vec<String>) -> Answer {
        let login = self.logged_in().await?;
        if messages.len().saturating_add(receipts.len()) > ACK_MAX {
            let text = format!("at most {ACK_MAX} ids at once");
            return Err(Refusal::new(Code::BadRequest, text));
        }
        let senders = self
            .gateway
            .backend
            .ack(login.phone, messages, receipts)
            .await?;
        for sender in senders {
            self.gateway.listeners.wake(&sender);
        }
        Ok(json!({}))
    }

    /// The lines to push to a listening client; `None` when it must log in again.
    pub(super) async fn next_events(&mut self) -> Option<Vec<String>> {
        let places = self.listening?;
        let login = self.logged_in().await.ok()?;
        let backend = &self.gateway.backend;
        let waiting = backend.waiting(login.phone, places, PUSH_MAX).await.ok()?;
        let Waiting { messages, receipts } = waiting;
        let mut next = places;
        let mut lines = Vec::with_capacity(messages.len() + receipts.len());
        for (place, message) in &messages {
            next.message = *place;
            lines.push(wire::event("message", message));
        }
        for (place, receipt) in &receipts {
            next.receipt = *place;
            lines.push(wire::event("receipt", receipt));
        }
        if !lines.is_empty() {
            self.wake_again();
        }
        self.listening = Some(next);
        Some(lines)
    }
}

fn replay(id: &str) -> Refusal {
    Refusal::new(
        Code::Replay,
        format!("this message was accepted before, as {id}"),
    )
}

/// The first of `rows` that fit `room` bytes as JSON.
fn fitting<T: serde::Serialize>(rows: Vec<(u64, T)>, room: &mut usize) -> Vec<Value> {
    let mut fit = Vec::new();
    for (_, row) in rows {
        let Ok(value) = serde_json::to_value(row) else {
            continue;
        };
        let bytes = value.to_string().len() + 1;
        let Some(left) = room.checked_sub(bytes) else {
            break;
        };
        *room = left;
        fit.push(value);
    }
    fit
}
