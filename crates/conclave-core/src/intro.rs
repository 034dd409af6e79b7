//! A request's intro: who writes to a stranger, signed for that stranger, log and day (C-039).

use core::fmt;

use conclave_proto::account::{AccountError, AccountState, DeviceCert, verify_ed25519};
use conclave_proto::id::{AccountId, Day, DeviceId, LogId, MessageId};
use conclave_proto::identifier::Identifier;
use conclave_proto::limits::{
    IDENTIFIER_BYTES_MAX, INTRO_TEXT_BYTES_MAX, NAME_BYTES_MAX, WELCOME_RETENTION_DAYS,
};
use conclave_proto::{codec, label};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize, VLBytes};

use crate::capability::Capability;
use crate::credential::KnownAccount;
use crate::identity::OwnDevice;

/// Version of [`Intro`].
const VERSION: u8 = 1;
/// Days that a sender's clock may be ahead of ours.
const DAYS_AHEAD_MAX: u32 = 1;

/// An intro as it travels inside a sealed inbox item. Nothing in it holds before [`Intro::verify`].
#[derive(PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct Intro {
    content: IntroContent,
    signature: VLBytes,
}

#[derive(PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
struct IntroContent {
    version: u8,
    recipient_account: AccountId,
    recipient_device: DeviceId,
    log_id: LogId,
    day: u32,
    name: VLBytes,
    identifier: VLBytes,
    capability: Capability,
    first: Option<IntroText>,
    state: AccountState,
    cert: DeviceCert,
}

#[derive(PartialEq, Eq, TlsSize, TlsSerialize, TlsDeserializeBytes)]
struct IntroText {
    message_id: MessageId,
    sent_ms: u64,
    body: VLBytes,
}

/// The first message, whole, shown with the request and again recognised by its id in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstText {
    /// The same id as in the log.
    pub message_id: MessageId,
    /// Sender's clock, ms since 1970-01-01 UTC.
    pub sent_ms: u64,
    /// At most 1 KiB of UTF-8; a longer first message stays out of the intro.
    pub body: String,
}

/// Whom an intro is for, and about which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntroFor {
    /// The recipient's account.
    pub account_id: AccountId,
    /// The recipient's device: each gets its own.
    pub device_id: DeviceId,
    /// The log of the conversation.
    pub log_id: LogId,
    /// Today.
    pub day: Day,
}

/// What an intro says about its sender besides state and certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// Display name, at most 128 bytes.
    pub name: String,
    /// The sender's own identifier; the recipient checks it by a lookup of its own.
    pub identifier: Identifier,
    /// The sender's capability, so that an answer is no stranger's.
    pub capability: Capability,
    /// The first message when it is short enough.
    pub first: Option<FirstText>,
}

/// A verified intro. The identifier is still unconfirmed until looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduced {
    /// The sender's state and this device's certificate; to be judged against a pin before use.
    pub sender: KnownAccount,
    /// The device that signed.
    pub device_id: DeviceId,
    /// The day it was made.
    pub day: Day,
    /// What it says.
    pub greeting: Greeting,
}

/// An intro that is not made, or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntroError {
    /// The first text is over 1 KiB. Leave it out: it comes with the log.
    #[error("the first text is over {INTRO_TEXT_BYTES_MAX} bytes: leave it out of the request")]
    TextTooLong,
    /// The name is over 128 bytes. Choose a shorter one.
    #[error("the name is over {NAME_BYTES_MAX} bytes: choose a shorter one")]
    NameTooLong,
    /// A field is not what it should be: the sender is broken or hostile.
    #[error("the request is malformed")]
    Malformed,
    /// Made for somebody else, another device or another log: somebody passes it on.
    #[error("the request was made for somebody else")]
    NotForUs,
    /// Older than invitations live, or from the future: ask the sender to write again.
    #[error("the request is too old or its date lies in the future")]
    Date,
    /// State or certificate do not hold.
    #[error("the request's sender does not hold: {0}")]
    Sender(#[from] AccountError),
    /// The device did not sign it.
    #[error("the request's signature does not verify")]
    Signature,
}

impl Intro {
    /// Signs an intro as `own`, whose newest state is `state` and certificate `cert`.
    pub fn sign(
        own: &OwnDevice,
        state: &AccountState,
        cert: &DeviceCert,
        recipient: &IntroFor,
        greeting: &Greeting,
    ) -> Result<Self, IntroError> {
        greeting.check()?;
        let content = IntroContent {
            version: VERSION,
            recipient_account: recipient.account_id,
            recipient_device: recipient.device_id,
            log_id: recipient.log_id,
            day: recipient.day.0,
            name: greeting.name.as_bytes().into(),
            identifier: greeting.identifier.as_str().as_bytes().into(),
            capability: greeting.capability.clone(),
            first: greeting.first.as_ref().map(|first| IntroText {
                message_id: first.message_id,
                sent_ms: first.sent_ms,
                body: first.body.as_bytes().into(),
            }),
            // a former key's signature is for who walks the chain, and an item has no room for it
            state: state.without_rotation(),
            cert: cert.clone(),
        };
        Ok(Self {
            signature: own
                .secret
                .sign(label::INTRO, &codec::encode(&content))
                .into(),
            content,
        })
    }

    /// Checks everything an intro can be checked for without a lookup (C-039): made for this device, for the log
    /// that the pointer names, and lately.
    pub fn verify(
        &self,
        own: &OwnDevice,
        log_id: LogId,
        today: Day,
    ) -> Result<Introduced, IntroError> {
        let content = &self.content;
        if content.version != VERSION {
            return Err(IntroError::Malformed);
        }
        // C-039: for this account and device, and for the log that the pointer names
        if content.recipient_account != own.account_id
            || content.recipient_device != own.device_id
            || content.log_id != log_id
        {
            return Err(IntroError::NotForUs);
        }
        check_day(Day(content.day), today)?;
        // C-039: state and certificate hold, and the certified device signed all of it
        let sender = KnownAccount::new(
            own.server_id,
            content.state.clone(),
            vec![content.cert.clone()],
        )?;
        let input = label::signing_input(label::INTRO, &codec::encode(content));
        let key = &content.cert.content.leaf_key;
        if !verify_ed25519(key, &input, self.signature.as_slice()) {
            return Err(IntroError::Signature);
        }
        Ok(Introduced {
            sender,
            device_id: content.cert.content.device_id,
            day: Day(content.day),
            greeting: Greeting::parse(content)?,
        })
    }
}

impl fmt::Debug for Intro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Intro")
    }
}

impl Greeting {
    fn check(&self) -> Result<(), IntroError> {
        if self.name.len() > NAME_BYTES_MAX {
            return Err(IntroError::NameTooLong);
        }
        match &self.first {
            Some(first) if first.body.len() > INTRO_TEXT_BYTES_MAX => Err(IntroError::TextTooLong),
            _ => Ok(()),
        }
    }

    fn parse(content: &IntroContent) -> Result<Self, IntroError> {
        let identifier = text(&content.identifier, IDENTIFIER_BYTES_MAX)?;
        let first = match &content.first {
            None => None,
            Some(first) => Some(FirstText {
                message_id: first.message_id,
                sent_ms: first.sent_ms,
                body: text(&first.body, INTRO_TEXT_BYTES_MAX)?,
            }),
        };
        Ok(Self {
            name: text(&content.name, NAME_BYTES_MAX)?,
            // C-012: one spelling, so that a lookup asks for the same person
            identifier: Identifier::parse_normalised(&identifier)
                .map_err(|_| IntroError::Malformed)?,
            capability: content.capability.clone(),
            first,
        })
    }
}

fn text(bytes: &VLBytes, bytes_max: usize) -> Result<String, IntroError> {
    let bytes = bytes.as_slice();
    if bytes.len() > bytes_max {
        return Err(IntroError::Malformed);
    }
    String::from_utf8(bytes.to_vec()).map_err(|_| IntroError::Malformed)
}

/// An invitation lives 30 days; clocks may be a day apart.
fn check_day(made: Day, today: Day) -> Result<(), IntroError> {
    let oldest = today.0.saturating_sub(WELCOME_RETENTION_DAYS);
    let newest = today.0.saturating_add(DAYS_AHEAD_MAX);
    if (oldest..=newest).contains(&made.0) {
        Ok(())
    } else {
        Err(IntroError::Date)
    }
}

#[cfg(test)]
pub(crate) mod tests;
