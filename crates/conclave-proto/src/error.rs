//! The one table of stable error codes, and the refusal that carries one over the wire.

use crate::log::Entry;

/// Why the server said no. Codes are stable: names and numbers never change meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum ErrorCode {
    /// Not a code we know; treat as [`ErrorCode::Internal`].
    Unspecified = 0,
    /// The request is malformed or not of this connection's role. A bug in the client.
    BadRequest = 1,
    /// Client and server speak different versions; update the older one.
    UnsupportedVersion = 2,
    /// Over a limit of `limits.rs`. Send less.
    TooLarge = 3,
    /// The proof does not verify, or the device is not in its account's newest state.
    Unauthorized = 4,
    /// Nobody by that identifier, account or device; nothing by that id.
    NotFound = 5,
    /// Unknown log, wrong key or expired key: one answer for all three (C-022).
    UnknownLog = 6,
    /// The handle's epoch is over: read to the commit that ended it, then seal again.
    StaleEpoch = 7,
    /// The same id exists with other bytes.
    Conflict = 8,
    /// Too often; try again after `retry_after_ms`.
    RateLimited = 9,
    /// The server's queue is full; try again after `retry_after_ms`.
    Busy = 10,
    /// The code is wrong. `checks_left` tries remain.
    OtpWrong = 11,
    /// The challenge is unknown, used or over; ask for a new code.
    OtpExpired = 12,
    /// The challenge's five checks are used up; ask for a new code.
    OtpExhausted = 13,
    /// The server takes no registrations.
    RegistrationClosed = 14,
    /// The server wants an invite, and this one is missing, used up or over.
    InviteInvalid = 15,
    /// The server has as many accounts as it takes.
    ServerFull = 16,
    /// The identifier is taken: it moves to this account after `retry_after_ms` unless its owner objects.
    IdentifierHeld = 17,
    /// The member pass is missing or not today's; fetch it again over the account connection.
    PassInvalid = 18,
    /// The inbox takes no more items from strangers, or none at all.
    InboxFull = 19,
    /// The server failed; nothing was changed unless a read says otherwise.
    Internal = 20,
    /// The server is stopping; connect again.
    ShuttingDown = 21,
}

impl ErrorCode {
    /// The stable name, as shown in JSON and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::BadRequest => "bad_request",
            Self::UnsupportedVersion => "unsupported_version",
            Self::TooLarge => "too_large",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::UnknownLog => "unknown_log",
            Self::StaleEpoch => "stale_epoch",
            Self::Conflict => "conflict",
            Self::RateLimited => "rate_limited",
            Self::Busy => "busy",
            Self::OtpWrong => "otp_wrong",
            Self::OtpExpired => "otp_expired",
            Self::OtpExhausted => "otp_exhausted",
            Self::RegistrationClosed => "registration_closed",
            Self::InviteInvalid => "invite_invalid",
            Self::ServerFull => "server_full",
            Self::IdentifierHeld => "identifier_held",
            Self::PassInvalid => "pass_invalid",
            Self::InboxFull => "inbox_full",
            Self::Internal => "internal",
            Self::ShuttingDown => "shutting_down",
        }
    }

    /// Whether the same request may succeed later without anybody changing anything.
    pub const fn is_temporary(self) -> bool {
        matches!(
            self,
            Self::RateLimited | Self::Busy | Self::Internal | Self::ShuttingDown
        )
    }
}

/// A refusal as it travels.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Refusal {
    /// An [`ErrorCode`].
    #[prost(enumeration = "ErrorCode", tag = "1")]
    pub code: i32,
    /// One sentence for a person or a log; lower case, no secrets.
    #[prost(string, tag = "2")]
    pub message: String,
    /// When to try again, in ms from now; 0 = the code alone says.
    #[prost(uint64, tag = "3")]
    pub retry_after_ms: u64,
    /// With [`ErrorCode::StaleEpoch`] on a bundle: the commit that won.
    #[prost(message, optional, tag = "4")]
    pub winner: Option<Entry>,
    /// With [`ErrorCode::OtpWrong`]: how many checks remain.
    #[prost(uint32, tag = "5")]
    pub checks_left: u32,
}

impl Refusal {
    /// A refusal with a code and a sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            ..Self::default()
        }
    }

    /// The same refusal with a time to try again, in ms from now.
    #[must_use]
    pub fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = ms;
        self
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code().name(), self.message)
    }
}

impl std::error::Error for Refusal {}
