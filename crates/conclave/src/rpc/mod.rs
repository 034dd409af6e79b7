//! JSON-RPC 2.0 over the open profile: for bots, and for the daemon's own command lines.
//!
//! - `methods/`: every method, a small type each, and the one table of them
//! - `caller`: who calls, and what they may
//! - `error`: why a call failed
//! - `once`: calls with an idempotency key
//! - `schema`: what every method takes and gives, as OpenRPC
//! - `follow`: events as notifications between the answers
//! - `live`: what a page is told beside events
//! - `sse`: events over HTTP
//! - `http`: one request a POST, with a token, from this machine alone
//! - `stream`: requests and answers as lines of a socket or a pipe

mod caller;
mod error;
mod follow;
pub(crate) mod http;
mod live;
mod methods;
mod once;
mod schema;
pub(crate) mod sse;
pub(crate) mod stream;

use conclave_client::Client;
use serde::Serialize;
use serde_json::{Map, Value, json};

pub(crate) use caller::{Caller, Reach, Scope};
pub(crate) use error::RpcError;
pub(crate) use schema::document;

/// Requests of one batch.
const BATCH_MAX: usize = 64;

/// Answers a message: a request or a batch. None when it wants no answer.
pub(crate) async fn answer(client: &Client, caller: &Caller, message: Value) -> Option<Value> {
    match message {
        Value::Array(batch) if batch.is_empty() || batch.len() > BATCH_MAX => {
            let why = format!("a batch holds 1 to {BATCH_MAX} requests");
            Some(failed(&Value::Null, &RpcError::invalid(&why)))
        }
        Value::Array(batch) => {
            let mut answers = Vec::new();
            for request in batch {
                answers.extend(answer_one(client, caller, request).await);
            }
            (!answers.is_empty()).then_some(Value::Array(answers))
        }
        request => answer_one(client, caller, request).await,
    }
}

/// Answers the message in `body`, JSON or not. None when it wants no answer.
pub(crate) async fn answer_bytes(client: &Client, caller: &Caller, body: &[u8]) -> Option<Value> {
    match serde_json::from_slice(body) {
        Ok(message) => answer(client, caller, message).await,
        Err(error) => {
            let why = format!("the body is no JSON: {error}");
            Some(failed(&Value::Null, &RpcError::parse(&why)))
        }
    }
}

async fn answer_one(client: &Client, caller: &Caller, request: Value) -> Option<Value> {
    let request = match Request::parse(request) {
        Ok(request) => request,
        Err(refused) => return Some(failed(&refused.0, &refused.1)),
    };
    let result = call(client, caller, &request.method, request.params).await;
    let id = request.id?;
    Some(match result {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(error) => failed(&id, &error),
    })
}

/// Calls one method.
pub(crate) async fn call(
    client: &Client,
    caller: &Caller,
    method: &str,
    params: Value,
) -> Result<Value, RpcError> {
    let entry = methods::find(method).ok_or_else(|| RpcError::no_method(method))?;
    caller.check_scope(entry.scope)?;
    (entry.call)(client.clone(), caller.clone(), params).await
}

/// A request, checked.
#[derive(Debug)]
pub(crate) struct Request {
    /// None: a notification, which gets no answer.
    pub(crate) id: Option<Value>,
    /// What to do.
    pub(crate) method: String,
    /// An object; empty when there was none.
    pub(crate) params: Value,
}

impl Request {
    /// The request in `message`, or the id to answer to and what is wrong.
    pub(crate) fn parse(message: Value) -> Result<Self, Box<(Value, RpcError)>> {
        let Value::Object(mut fields) = message else {
            let why = "a request is an object";
            return Err(Box::new((Value::Null, RpcError::invalid(why))));
        };
        let id = fields.remove("id");
        let is_id = |id: &Value| id.is_string() || id.is_number() || id.is_null();
        if !id.as_ref().is_none_or(is_id) {
            let why = "an id is a string or a number";
            return Err(Box::new((Value::Null, RpcError::invalid(why))));
        }
        let answer_to = id.clone().unwrap_or_default();
        Self::with(id, fields).map_err(|why| Box::new((answer_to, RpcError::invalid(why))))
    }

    fn with(id: Option<Value>, mut fields: Map<String, Value>) -> Result<Self, &'static str> {
        if fields.remove("jsonrpc") != Some(Value::from("2.0")) {
            return Err("`jsonrpc` is not \"2.0\"");
        }
        let Some(Value::String(method)) = fields.remove("method") else {
            return Err("`method` is missing or no string");
        };
        let params = fields.remove("params").unwrap_or_else(|| json!({}));
        if !params.is_object() {
            return Err("`params` is no object: parameters have names");
        }
        if !fields.is_empty() {
            return Err("a request has `jsonrpc`, `id`, `method` and `params` alone");
        }
        Ok(Self { id, method, params })
    }
}

fn failed(id: &Value, error: &RpcError) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": error})
}

/// An answer as a line.
pub(crate) fn result_frame(id: &Value, result: &impl Serialize) -> String {
    json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()
}

/// A refusal as a line.
pub(crate) fn error_frame(id: &Value, error: &RpcError) -> String {
    failed(id, error).to_string()
}
