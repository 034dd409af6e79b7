//! Requests and replies: one JSON object per line, the same for every language.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::message::Message;
use crate::suite::Suite;

/// Bytes of a line, without its line feed.
pub const LINE_BYTES_MAX: usize = 256 * 1024;
/// Messages in one answer to `fetch`; a client asks again for more.
pub const FETCH_MAX: u32 = 100;
/// Ids in one `ack`.
pub const ACK_MAX: usize = 1_000;

/// A request line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Request {
    /// Which suites and keys the server has.
    Hello,
    /// Asks for a one-time code.
    Register {
        /// The suite of the key to come.
        suite: Suite,
        /// E.164.
        phone: String,
    },
    /// Brings the code back, with the key.
    Verify {
        /// From the reply to `register`.
        session: String,
        /// SPKI PEM.
        public_key: String,
        /// The code, wrapped to the server's key of the suite; base64.
        encrypted_otp: String,
        /// By the key, over session and key; base64.
        signature: String,
    },
    /// Asks for a nonce to prove oneself with.
    Login {
        /// E.164.
        phone: String,
    },
    /// Proves who asked to log in.
    Prove {
        /// Over phone and nonce; base64.
        signature: String,
    },
    /// Asks for somebody's public key.
    Key {
        /// E.164.
        phone: String,
    },
    /// Sends a message, in the clear or, with suite `ec`, under the link key.
    Send {
        /// The message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<Message>,
        /// The message as JSON under the link key; base64.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sealed: Option<String>,
    },
    /// Asks for what waits.
    Fetch {
        /// Messages at most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<u32>,
    },
    /// Says what has been kept: messages, and receipts.
    Ack {
        /// Ids of messages.
        #[serde(default)]
        message_ids: Vec<String>,
        /// Ids of messages whose receipts have been kept.
        #[serde(default)]
        receipts: Vec<String>,
    },
    /// From now on, push what comes.
    Listen,
    /// Ends the connection.
    Quit,
}

/// Why a request was refused: stable words for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Not a JSON object on one line. The stream is still in step.
    Malformed,
    /// A field is missing or of the wrong type, or the action does not exist.
    BadRequest,
    /// The line is too long; the connection ends, for it is not read to its end.
    TooLong,
    /// The line took too long, or nothing came for too long; the connection ends.
    Timeout,
    /// A field is not base64.
    BadBase64,
    /// A public key is none of its suite, too small, too large or not on the curve.
    BadKey,
    /// Not an international phone number in its plain spelling.
    BadPhone,
    /// The server has as many accounts as it takes.
    Full,
    /// This server takes no classic registrations.
    RegistrationClosed,
    /// Too many codes, or too much of something else; try again later.
    RateLimited,
    /// The registration is unknown, used or over: register again.
    UnknownSession,
    /// The code is wrong, or its encryption does not open.
    WrongCode,
    /// A signature does not hold.
    BadSignature,
    /// Log in first.
    LoginRequired,
    /// Nobody is registered under that phone.
    UnknownRecipient,
    /// The message names another sender than who is logged in.
    WrongSender,
    /// Sender and recipient use different suites.
    SuiteMismatch,
    /// The message's time is more than ten minutes from the server's.
    BadTimestamp,
    /// The message was accepted before.
    Replay,
    /// What was sealed under the link key does not open to a message.
    BadSealed,
    /// The recipient's queue is full.
    QueueFull,
    /// The server is busy; try again in a moment.
    Busy,
    /// The server's own fault.
    Internal,
}

/// A refusal: a code, and a sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// For people.
    pub message: String,
}

impl Refusal {
    /// A refusal with its sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// A message on its way to its recipient, with the id to acknowledge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// 32 hex digits.
    pub message_id: String,
    /// The message, its fields beside the id.
    #[serde(flatten)]
    pub message: Message,
}

/// The recipient has acknowledged a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Which message.
    pub message_id: String,
    /// Who acknowledged it.
    pub recipient_id: String,
    /// When, Unix seconds.
    pub delivered_at: u64,
}

/// A request in `line`.
pub fn parse(line: &[u8]) -> Result<Request, Refusal> {
    let value: Value = serde_json::from_slice(line)
        .map_err(|_| Refusal::new(Code::Malformed, "not JSON: send one JSON object per line"))?;
    if !value.is_object() {
        let text = "not a JSON object: send one with an `action`";
        return Err(Refusal::new(Code::Malformed, text));
    }
    // the error names fields and types, never values of secrets: there are none in a request
    serde_json::from_value(value)
        .map_err(|error| Refusal::new(Code::BadRequest, format!("cannot read this: {error}")))
}

/// The reply line to a request, without its line feed. `Ok` holds the fields beside `status`.
pub fn reply(result: &Result<Value, Refusal>) -> String {
    match result {
        Ok(fields) => {
            let mut line = Map::new();
            line.insert("status".to_owned(), json!("ok"));
            if let Value::Object(fields) = fields {
                line.extend(fields.clone());
            }
            Value::Object(line).to_string()
        }
        Err(refusal) => {
            json!({"status": "error", "code": refusal.code, "message": refusal.message}).to_string()
        }
    }
}

/// A line that a listening client gets unasked.
pub fn event(kind: &str, body: &impl Serialize) -> String {
    let mut line = json!({ "event": kind });
    if let (Value::Object(line), Ok(Value::Object(fields))) =
        (&mut line, serde_json::to_value(body))
    {
        line.extend(fields);
    }
    line.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each documented request line is read as what it says.
    #[test]
    fn documented_lines_are_read() {
        let lines = [
            r#"{"action":"hello"}"#,
            r#"{"action":"register","suite":"rsa","phone":"+491700000001"}"#,
            r#"{"action":"login","phone":"+491700000001"}"#,
            r#"{"action":"send","sealed":"AAAA"}"#,
            r#"{"action":"fetch","max":10}"#,
            r#"{"action":"fetch"}"#,
            r#"{"action":"ack","message_ids":["00"]}"#,
            r#"{"action":"ack","message_ids":[],"receipts":["00"]}"#,
            r#"{"action":"listen"}"#,
            r#"{"action":"quit"}"#,
        ];
        for line in lines {
            parse(line.as_bytes()).unwrap_or_else(|refusal| panic!("{line}: {refusal}"));
        }
    }

    /// What is no request is refused with the code that says how far it got.
    #[test]
    fn nonsense_is_refused_by_kind() {
        let bad: [(&[u8], Code); 9] = [
            (b"", Code::Malformed),
            (b"{", Code::Malformed),
            (b"\xff\xfe", Code::Malformed),
            (b"[]", Code::Malformed),
            (b"\"hello\"", Code::Malformed),
            (b"{}", Code::BadRequest),
            (br#"{"action":"dance"}"#, Code::BadRequest),
            (br#"{"action":"login","phone":17}"#, Code::BadRequest),
            (
                br#"{"action":"register","suite":"dsa","phone":"+1"}"#,
                Code::BadRequest,
            ),
        ];
        for (line, code) in bad {
            assert_eq!(parse(line).unwrap_err().code, code, "{line:?}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(parse(deep.as_bytes()).unwrap_err().code, Code::Malformed);
    }

    /// Replies and events have the documented shape.
    #[test]
    fn replies_have_their_shape() {
        assert_eq!(
            reply(&Ok(json!({"message_id": "ab"}))),
            r#"{"message_id":"ab","status":"ok"}"#
        );
        assert_eq!(
            reply(&Err(Refusal::new(Code::QueueFull, "full"))),
            r#"{"code":"queue_full","message":"full","status":"error"}"#
        );
        let receipt = Receipt {
            message_id: "ab".to_owned(),
            recipient_id: "+1".to_owned(),
            delivered_at: 5,
        };
        assert_eq!(
            event("receipt", &receipt),
            r#"{"delivered_at":5,"event":"receipt","message_id":"ab","recipient_id":"+1"}"#
        );
    }
}
