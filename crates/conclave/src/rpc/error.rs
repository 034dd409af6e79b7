//! Why a call failed, as JSON-RPC carries it: a number for libraries, and the same code, sentence and hint that a
//! command line shows.

use std::io;

use conclave_client::ClientError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::exit::{self, Failure};

/// The line is no JSON.
pub(crate) const PARSE: i64 = -32_700;
/// The JSON is no JSON-RPC 2.0 request.
pub(crate) const INVALID_REQUEST: i64 = -32_600;
/// There is no such method.
pub(crate) const NO_METHOD: i64 = -32_601;
/// The parameters do not fit the method.
pub(crate) const BAD_PARAMS: i64 = -32_602;
/// All others are this minus the exit code that a command would have.
const FAILED: i64 = -32_000;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RpcError {
    /// -32700, -32600, -32601 and -32602 as JSON-RPC 2.0 says; else -32000 minus the exit code of the command.
    pub(crate) code: i64,
    /// What happened: a sentence, lower case, no full stop.
    pub(crate) message: String,
    /// What programs act on.
    pub(crate) data: ErrorData,
}

/// What programs act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ErrorData {
    /// The stable code: `NOT_FOUND`, `FORBIDDEN`, …
    pub(crate) code: String,
    /// What to do; empty when the message says it.
    pub(crate) hint: String,
    /// When to try again, in ms from now.
    pub(crate) retry_after_ms: Option<u64>,
}

impl RpcError {
    fn new(number: i64, code: &str, message: impl Into<String>, hint: &str) -> Self {
        Self {
            code: number,
            message: message.into(),
            data: ErrorData {
                code: code.to_owned(),
                hint: hint.to_owned(),
                retry_after_ms: None,
            },
        }
    }

    /// The line is no JSON.
    pub(crate) fn parse(why: &str) -> Self {
        let hint = "send one JSON-RPC 2.0 request a line, in UTF-8";
        Self::new(PARSE, "PARSE", why, hint)
    }

    /// The JSON is no request.
    pub(crate) fn invalid(why: &str) -> Self {
        let hint = r#"send {"jsonrpc":"2.0","id":1,"method":"status","params":{}}"#;
        Self::new(INVALID_REQUEST, "INVALID_REQUEST", why, hint)
    }

    /// There is no such method.
    pub(crate) fn no_method(name: &str) -> Self {
        let name: String = name.chars().take(64).collect();
        let hint = "`conclave rpc schema` lists all methods";
        let message = format!("there is no method `{name}`");
        Self::new(NO_METHOD, "NO_METHOD", message, hint)
    }

    /// The parameters do not fit the method.
    pub(crate) fn bad_params(why: impl Into<String>) -> Self {
        let hint = "`conclave rpc schema` says what each method takes";
        Self::new(BAD_PARAMS, "BAD_PARAMS", why, hint)
    }

    /// The token may not do this.
    pub(crate) fn forbidden(why: impl Into<String>) -> Self {
        let hint = "make another token with `conclave token create`";
        Failure::new(exit::NO_ACCESS, "FORBIDDEN", why)
            .with_hint(hint)
            .into()
    }
}

impl From<ClientError> for RpcError {
    fn from(error: ClientError) -> Self {
        Failure::from(error).into()
    }
}

impl From<io::Error> for RpcError {
    fn from(error: io::Error) -> Self {
        Failure::from(error).into()
    }
}

impl From<Failure> for RpcError {
    fn from(failure: Failure) -> Self {
        let number = FAILED - i64::from(failure.exit);
        let mut error = Self::new(number, &failure.code, failure.message, &failure.hint);
        error.data.retry_after_ms = failure.retry_after_ms;
        error
    }
}

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Self {
        let exit = match error.code {
            PARSE | INVALID_REQUEST | NO_METHOD | BAD_PARAMS => exit::USAGE,
            number => u8::try_from(FAILED - number).unwrap_or(exit::UNEXPECTED),
        };
        let mut failure = Self::new(exit, &error.data.code, error.message);
        failure.hint = error.data.hint;
        failure.retry_after_ms = error.data.retry_after_ms;
        failure
    }
}
